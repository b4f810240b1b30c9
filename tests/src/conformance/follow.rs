//! Histories in the simulator: every deed again, with the simulator steered to where the kernel went.
//!
//! What peers send stays on its way until something shows that it has arrived; what the system under test sends
//! arrives at once, and how much of it is taken at once is a fault's to say. Where a reset throws away what is on
//! its way, the history itself tells how much had arrived before: what was received later.

mod arrivals;
mod guesses;

use std::collections::BTreeMap;
use std::fmt;

use aio_model::{Address, ConnId, Instant, Outcome, Readiness, Syscall, System, Target};
use sim::{
    Act, Answer, Capacity, Choice, Direction, EngineKind, Fault, Faults, Net, Odds, PeerId, SimOs, SocketId,
};

use crate::conformance::caller::Caller;
use crate::conformance::history::{Deed, History, Name, Number, PeerSaw, Seen};
use crate::pair::Family;

use guesses::{Guesses, search};

/// How much a system throws away at once, real or simulated.
const DISCARD_BYTES: usize = 16 << 10;

/// How many ways to explain a history are tried before it is called a difference.
const ATTEMPTS_MAX: usize = 2000;

/// Something that the kernel did and no simulated system does, or the other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How many deeds came before.
    pub at: usize,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deed {}: {}", self.at, self.what)
    }
}

/// How often the kernel was more generous than its contract, as far as the simulator has it; and how hard it was to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Directions that an event was of, in all.
    pub told: u64,
    /// Of those, the ones that nothing had changed in, as far as the simulator knows.
    pub unowed: u64,
    /// How many ways to explain the history were tried: 1, if what is likely was the case.
    pub attempts: u64,
}

/// Does everything that was done to the kernel to a simulated system with this engine.
///
/// # Errors
///
/// The first difference.
pub fn follow(history: &History, engine: EngineKind) -> Result<Extras, Difference> {
    if let Some((at, what)) = history.broken.first() {
        return Err(Difference { at: *at, what: what.clone() });
    }
    // What has arrived when is not always to be seen. With narrow buffers it may have been less than it seems.
    let attempts_max = if history.lags { ATTEMPTS_MAX } else { 1 };
    let (extras, attempts) = search(attempts_max, |guesses| attempt(history, engine, guesses))?;
    Ok(Extras { attempts: attempts as u64, ..extras })
}

fn attempt(history: &History, engine: EngineKind, guesses: &Guesses) -> Result<Extras, Difference> {
    let mut follower = Follower::new(history, engine, guesses);
    for (at, (deed, seen)) in history.deeds.iter().enumerate() {
        follower.at = at;
        follower.perform(deed, seen).map_err(|what| Difference { at, what })?;
    }
    follower.rest().map_err(|what| Difference { at: history.deeds.len(), what })?;
    Ok(follower.extras)
}

#[derive(Debug)]
struct Conn {
    id: Option<ConnId>,
    target: Option<Target>,
    peer: Option<PeerId>,
    /// The peer has sent its end.
    ended: bool,
    /// So has this end.
    shut: bool,
    /// This end is closed: whatever arrives is unwelcome, and that shows at once.
    closed: bool,
}

impl Conn {
    fn new(id: Option<ConnId>, peer: Option<PeerId>) -> Conn {
        Conn { id, target: None, peer, ended: false, shut: false, closed: false }
    }
}

struct Follower<'a> {
    history: &'a History,
    guesses: &'a Guesses,
    engine: EngineKind,
    at: usize,
    net: Net,
    caller: Caller<SimOs>,
    listener: Option<(ConnId, SocketId)>,
    conns: Vec<Conn>,
    /// After which deed a direction was last told of: by the kernel, and by the simulator.
    told: BTreeMap<(Name, Direction), [Option<usize>; 2]>,
    extras: Extras,
}

type Followed<T = ()> = Result<T, String>;

impl<'a> Follower<'a> {
    fn new(history: &'a History, engine: EngineKind, guesses: &'a Guesses) -> Follower<'a> {
        let net = Net::calm();
        net.set_family(match history.family {
            Family::Tcp => sim::Family::Tcp,
            Family::Unix => sim::Family::Unix,
        });
        net.set_capacity(Some(Capacity::of(usize::MAX / 4)));
        net.host_default(Answer::Accepts);
        net.host(nobody(), Answer::Refuses);
        Follower {
            history,
            guesses,
            engine,
            at: 0,
            caller: Caller::new(SimOs::new(net.clone(), engine)),
            net,
            listener: None,
            conns: Vec::new(),
            told: BTreeMap::new(),
            extras: Extras::default(),
        }
    }

    /// The faults that strike during the next deed, whenever they can, and what they draw.
    fn steer(&self, faults: &[Fault], draws: &[usize]) {
        let mut set = Faults::NONE;
        faults.iter().for_each(|&fault| set.set(fault, Odds::ALWAYS));
        self.net.set_faults(set);
        let tape: Vec<u64> = draws.iter().map(|&draw| draw as u64).collect();
        self.net.choose(|choice| *choice = Choice::tape(tape));
    }

    fn perform(&mut self, deed: &Deed, seen: &Seen) -> Followed {
        self.steer(&[], &[]);
        if let (
            Deed::Recv(conn, _) | Deed::Discard(conn) | Deed::Send(conn, _) | Deed::Shutdown(conn),
            Seen::Outcome(Outcome::Failed(_)),
        ) = (deed, seen)
        {
            self.arrive_before_reset(*conn);
            self.relieve(*conn);
        }
        match (deed, seen) {
            (Deed::Accept(_) | Deed::Dial { .. } | Deed::DialAgain(_), &Seen::Outcome(outcome)) => {
                self.make(deed, outcome)
            }
            (Deed::Recv(conn, pieces), &Seen::Outcome(outcome)) => self.recv(*conn, pieces, outcome),
            (&Deed::Discard(conn), &Seen::Outcome(outcome)) => self.discard(conn, outcome),
            (Deed::Send(conn, pieces), &Seen::Outcome(outcome)) => self.send(*conn, pieces, outcome),
            (&Deed::Shutdown(conn), &Seen::Outcome(outcome)) => {
                self.conns[conn].shut |= outcome == Outcome::Done;
                self.steer(&[Fault::Latency], &[]);
                let conn = self.id(conn);
                same(outcome, self.caller.system.perform(Syscall::ShutdownWrite { conn }))
            }
            (&Deed::Close(conn), &Seen::Outcome(outcome)) => {
                let id = self.id(conn);
                if self.incoming(conn).1 == 0 || self.guesses.likely() {
                    self.arrive(conn, usize::MAX);
                }
                self.relieve(conn);
                (self.conns[conn].id, self.conns[conn].closed) = (None, true);
                same(outcome, self.caller.system.perform(Syscall::Close { conn: id }))
            }
            (&Deed::PeerWrite(conn, _), &Seen::Peer(saw)) => self.peer_write(conn, saw),
            (&Deed::PeerRead(conn, _), &Seen::Peer(saw)) => self.peer_read(conn, saw),
            (Deed::Wait, Seen::Events(events)) => self.wait(events),
            (deed, _) => {
                self.arrange(deed);
                Ok(())
            }
        }
    }

    /// What is done to one end and has no answer.
    fn arrange(&mut self, deed: &Deed) {
        match *deed {
            Deed::Listen => {
                let socket = self.net.listen(1 << 20).expect("there are descriptors");
                let (id, listener) = (socket.id(), self.caller.open());
                self.caller.system.adopt(listener, socket).expect("nothing is refused");
                self.listener = Some((listener, id));
            }
            Deed::Unlisten => {
                if let Some((conn, _)) = self.listener.take() {
                    self.caller.system.perform(Syscall::Close { conn });
                }
                let waiting = self.conns.iter_mut().filter(|conn| conn.id.is_none());
                waiting.for_each(|conn| conn.closed = true);
            }
            Deed::PeerConnect(_) => {
                let (_, listener) = self.listener.expect("there is a listener");
                let peer = self.net.connect(listener).expect("there is room");
                self.conns.push(Conn::new(None, Some(peer)));
            }
            Deed::Adopt(_) => {
                let (peer, socket) = self.net.pair().expect("there are descriptors");
                let id = self.caller.open();
                self.caller.system.adopt(id, socket).expect("nothing is refused");
                self.conns.push(Conn::new(Some(id), Some(peer)));
            }
            Deed::PeerShutdown(conn) => {
                self.arrive_before_end(conn);
                self.steer(&[Fault::Latency], &[]);
                self.net.peer_shutdown(self.peer(conn));
                self.conns[conn].ended = true;
            }
            Deed::PeerReset(conn) if self.history.family == Family::Tcp => {
                self.relieve_before_reset(conn);
                self.arrive_before_reset(conn);
                self.steer(&[], &[]);
                self.net.peer_reset(self.peer(conn));
            }
            Deed::PeerClose(conn) | Deed::PeerReset(conn) => {
                let peer = self.peer(conn);
                self.relieve_before_reset(conn);
                if self.net.peer_state(peer).readable > 0 {
                    self.arrive_before_reset(conn);
                }
                self.arrive_before_end(conn);
                self.steer(&[Fault::Latency], &[]);
                self.net.peer_close(peer);
                self.conns[conn].ended = true;
            }
            _ => unreachable!("{deed:?} has an answer"),
        }
    }

    fn id(&self, conn: Number) -> ConnId {
        self.conns[conn].id.expect("it is open")
    }

    fn peer(&self, conn: Number) -> PeerId {
        self.conns[conn].peer.expect("it is there")
    }

    /// Connections are made, or accepted.
    fn make(&mut self, deed: &Deed, seen: Outcome) -> Followed {
        match *deed {
            Deed::Accept(conn) => {
                let (listener, _) = self.listener.expect("there is a listener");
                let id = self.caller.open();
                if seen == Outcome::WouldBlock {
                    self.steer(&[Fault::AcceptWouldBlock], &[]);
                }
                let answer = self.caller.system.perform(Syscall::Accept { listener, conn: id });
                if answer == Outcome::Done {
                    self.conns[conn].id = Some(id);
                }
                same(seen, answer)
            }
            Deed::Dial { nobody: is_nobody, .. } => {
                if seen == Outcome::WouldBlock {
                    self.steer(&[Fault::ConnectDelayed], &[]);
                }
                let address = if is_nobody { nobody() } else { somebody() };
                let (id, target, answer) = self.caller.dial(address, true);
                let known = matches!(answer, Outcome::Done | Outcome::WouldBlock);
                let conn = Conn { target: Some(target), ..Conn::new(known.then_some(id), None) };
                self.conns.push(conn);
                self.dialled(self.conns.len() - 1, seen, answer)
            }
            Deed::DialAgain(conn) => {
                let id = self.id(conn);
                if seen != Outcome::WouldBlock {
                    self.relieve(conn);
                }
                let target = self.conns[conn].target.clone().expect("it was dialled");
                let answer = self.caller.dial_again(id, &target);
                if !matches!(answer, Outcome::Done | Outcome::WouldBlock) {
                    self.conns[conn].id = None;
                }
                self.dialled(conn, seen, answer)
            }
            _ => unreachable!("{deed:?} makes no connection"),
        }
    }

    fn dialled(&mut self, conn: Number, seen: Outcome, answer: Outcome) -> Followed {
        self.conns[conn].peer = self.conns[conn].id.and_then(|id| self.net.peer_of(id));
        same(seen, answer)
    }

    /// Before a receive of up to `bytes_max` bytes: lets arrive what it is going to find, and holds back the rest.
    fn before_receive(&self, conn: Number, bytes_max: usize, seen: Outcome) {
        let (arrived, _) = self.incoming(conn);
        match seen {
            Outcome::Transferred(0) => self.arrive(conn, usize::MAX),
            Outcome::Transferred(count) | Outcome::Partial(count) => {
                self.arrive(conn, count.saturating_sub(arrived));
                if count < bytes_max && count < arrived {
                    self.steer(&[Fault::RecvShort], &[count - 1]);
                }
            }
            Outcome::WouldBlock if arrived > 0 => self.steer(&[Fault::RecvWouldBlock], &[]),
            Outcome::Interrupted => self.steer(&[Fault::Interrupted], &[]),
            _ => {}
        }
    }

    fn recv(&mut self, conn: Number, pieces: &[usize], seen: Outcome) -> Followed {
        self.before_receive(conn, pieces.iter().sum(), seen);
        let (answer, _) = self.caller.recv(self.id(conn), pieces);
        same(seen, answer)
    }

    fn discard(&mut self, conn: Number, seen: Outcome) -> Followed {
        self.before_receive(conn, DISCARD_BYTES, seen);
        let id = self.id(conn);
        same(seen, self.caller.system.perform(Syscall::Discard { conn: id }))
    }

    fn send(&mut self, conn: Number, pieces: &[usize], seen: Outcome) -> Followed {
        let id = self.id(conn);
        let bytes_max: usize = pieces.iter().sum();
        if self.net.peer_state(self.peer(conn)).closed {
            self.arrive_before_reset(conn);
        }
        match seen {
            Outcome::Transferred(count) => {
                // If the kernel has room, the pressure is off. That may be too little room for an event.
                self.make_room(conn);
                self.simulate_wait(Some(conn));
                if self.history.lags {
                    self.steer(&[Fault::Latency], &[]);
                }
                if count < bytes_max {
                    self.steer(&[Fault::SendShort], &[count.saturating_sub(1)]);
                }
            }
            Outcome::WouldBlock => self.steer(&[Fault::SendWouldBlock], &[]),
            Outcome::Interrupted => self.steer(&[Fault::Interrupted], &[]),
            _ => {}
        }
        same(seen, self.caller.send(id, &vec![0; bytes_max], pieces))
    }

    fn peer_write(&mut self, conn: Number, saw: PeerSaw) -> Followed {
        let peer = self.peer(conn);
        if matches!(saw, PeerSaw::End | PeerSaw::Failed(_)) {
            self.arrive(conn, usize::MAX);
        }
        // Whether it is held up on its way to where it is unwelcome is not to be seen.
        let arrives = self.conns[conn].closed && (!self.history.lags || self.guesses.likely());
        self.steer(if arrives { &[] } else { &[Fault::Latency] }, &[]);
        let wrote = |bytes| self.net.peer_write(peer, &vec![0; bytes]);
        match saw {
            PeerSaw::Bytes(count) => peer_agrees(wrote(count) == count, &self.net, peer),
            PeerSaw::Nothing => peer_agrees(!self.net.peer_state(peer).reset, &self.net, peer),
            PeerSaw::End | PeerSaw::Failed(_) => peer_agrees(wrote(1) == 0, &self.net, peer),
        }
    }

    fn peer_read(&mut self, conn: Number, saw: PeerSaw) -> Followed {
        let peer = self.peer(conn);
        match saw {
            PeerSaw::Bytes(count) => {
                self.deliver(conn, count.saturating_sub(self.net.peer_state(peer).readable));
            }
            PeerSaw::End => self.relieve(conn),
            PeerSaw::Nothing | PeerSaw::Failed(_) => {}
        }
        if self.conns[conn].closed && matches!(saw, PeerSaw::End | PeerSaw::Failed(_)) {
            self.arrive(conn, usize::MAX);
        }
        // The room that is left behind may be too little for an event.
        self.simulate_wait(Some(conn));
        let state = self.net.peer_state(peer);
        let agrees = match saw {
            PeerSaw::Bytes(count) => {
                self.net.act(Act::Read { peer, bytes_max: count, expects: None });
                self.net.peer_state(peer).received == state.received + count as u64
            }
            PeerSaw::End => state.ended || state.reset,
            PeerSaw::Failed(_) => state.reset,
            PeerSaw::Nothing => state.readable == 0 && !state.ended,
        };
        peer_agrees(agrees, &self.net, peer)
    }

    fn wait(&mut self, events: &[(Name, Readiness)]) -> Followed {
        for &(name, readiness) in events {
            let id = self.name_to_id(name).ok_or_else(|| format!("an event of {name:?}, which is closed"))?;
            if let Name::Conn(conn) = name {
                self.show(conn, readiness, self.net.readiness(id).unwrap_or_default());
            }
            let said = self.net.readiness(id).unwrap_or_default();
            if !allows(said, readiness, self.engine) {
                return Err(format!("{name:?} is {readiness:?}, in the simulator {said:?}"));
            }
        }
        self.simulate_wait(None);
        for (name, readiness) in events {
            for lane in lanes(*name, *readiness) {
                let told = self.told.entry(lane).or_default();
                told[0] = Some(self.at);
                self.extras.told += 1;
                self.extras.unowed += u64::from(told[1] != Some(self.at));
            }
        }
        Ok(())
    }

    /// Takes note of what the simulator tells of, but for one that does not count.
    fn simulate_wait(&mut self, except: Option<Number>) {
        for (id, readiness) in self.caller.events(Instant::ZERO) {
            let Some(name) = self.id_to_name(id).filter(|name| except.map(Name::Conn) != Some(*name)) else {
                continue;
            };
            lanes(name, readiness).for_each(|lane| self.told.entry(lane).or_default()[1] = Some(self.at));
        }
    }

    /// An event shows that something has come: lets it come.
    fn show(&self, conn: Number, readiness: Readiness, said: Readiness) {
        if readiness.intersects(Readiness::ERROR) && !said.intersects(Readiness::ERROR) {
            self.arrive_before_reset(conn);
            self.relieve(conn);
            return;
        }
        if readiness.intersects(Readiness::READABLE) || readiness.hints_end() {
            let (arrived, in_flight) = self.incoming(conn);
            // An end would have been told of, and what is lost later has not come.
            let kept = usize::from(self.conns[conn].ended && !readiness.hints_end());
            let wanted = in_flight.min(self.ceiling(conn).saturating_sub(arrived));
            let all = kept == 0 && wanted == in_flight;
            self.arrive(conn, if all { usize::MAX } else { wanted.min(in_flight.saturating_sub(kept)) });
        }
        if readiness.intersects(Readiness::WRITABLE) && !said.intersects(Readiness::WRITABLE) {
            self.make_room(conn);
        }
    }

    fn name_to_id(&self, name: Name) -> Option<ConnId> {
        match name {
            Name::Listener => self.listener.map(|(id, _)| id),
            Name::Conn(conn) => self.conns[conn].id,
        }
    }

    fn id_to_name(&self, id: ConnId) -> Option<Name> {
        let listens = self.listener.is_some_and(|(listener, _)| listener == id);
        let conn = self.conns.iter().position(|conn| conn.id == Some(id));
        conn.map(Name::Conn).or(listens.then_some(Name::Listener))
    }

    /// At the end what was on its way comes. An edge that only the simulator has is a difference.
    fn rest(&mut self) -> Followed {
        self.steer(&[], &[]);
        for (conn, known) in self.conns.iter().enumerate() {
            // Behind what has arrived, more may wait at the peer's end.
            let readable = self.history.ready.contains(&(Name::Conn(conn), Direction::Receive));
            if !self.history.lags || (readable && self.incoming(conn).0 == 0) {
                self.arrive(conn, usize::MAX);
            }
            // What is on its way to a peer that has closed is going to be a reset, and that would be seen.
            let closed = known.peer.is_some_and(|peer| self.net.peer_state(peer).closed);
            let room = self.history.ready.contains(&(Name::Conn(conn), Direction::Send));
            let through = if closed { self.history.errors.contains(&conn) } else { room };
            known
                .peer
                .filter(|_| through)
                .into_iter()
                .for_each(|peer| self.net.hurry(peer, Direction::Receive));
        }
        self.at = self.history.deeds.len() - 1;
        self.simulate_wait(None);
        for (&(name, direction), &[kernel, simulator]) in &self.told {
            let ready = self.history.ready.contains(&(name, direction));
            if ready && simulator > kernel {
                return Err(format!(
                    "{name:?} is ready to {direction:?}, which the kernel told of after {kernel:?} and the \
                     simulator after {simulator:?}"
                ));
            }
        }
        match self.net.violations().first() {
            Some(violation) => Err(format!("the simulator was misused: {violation:?}")),
            None => Ok(()),
        }
    }
}

/// Where a peer answers.
fn somebody() -> Address {
    Address::unix(*b"somebody")
}

/// Where nobody does.
fn nobody() -> Address {
    Address::unix(*b"nobody")
}

fn same(seen: Outcome, answer: Outcome) -> Followed {
    if seen == answer { Ok(()) } else { Err(format!("it was {seen:?}, in the simulator {answer:?}")) }
}

fn peer_agrees(agrees: bool, net: &Net, peer: PeerId) -> Followed {
    if agrees { Ok(()) } else { Err(format!("in the simulator the peer is {:?}", net.peer_state(peer))) }
}

/// The directions that an event wakes.
fn lanes(name: Name, readiness: Readiness) -> impl Iterator<Item = (Name, Direction)> {
    let woken = [
        readiness.wakes_receive().then_some((name, Direction::Receive)),
        readiness.wakes_send().then_some((name, Direction::Send)),
    ];
    woken.into_iter().flatten()
}

/// Whether the simulator, of which `said` is the case, can have an event like this: what is over is over, but how
/// much there is to read, or room to write, is the kernel's to know.
fn allows(said: Readiness, readiness: Readiness, engine: EngineKind) -> bool {
    let subset = [Readiness::READABLE, Readiness::WRITABLE];
    let equal = [Readiness::READ_CLOSED, Readiness::WRITE_CLOSED, Readiness::ERROR];
    subset.iter().all(|&bit| !readiness.intersects(bit) || said.intersects(bit))
        && equal.iter().all(|&bit| {
            // A one-shot engine may watch one direction only, and say nothing of the other.
            readiness.intersects(bit) == said.intersects(bit)
                || (engine == EngineKind::Poll && said.intersects(bit) && bit != Readiness::ERROR)
        })
}
