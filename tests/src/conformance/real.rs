//! Scripts on real sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aio::Os;
use aio_model::{Address, ConnId, Instant, Outcome, Readiness, Syscall, System, SystemErrorKind, Target};
use rustix::event::{PollFd, PollFlags, poll};
use sim::{Direction, Side, pattern};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::conformance::belief::Belief;
use crate::conformance::book::{Book, goes_on};
use crate::conformance::caller::{Caller, count};
use crate::conformance::history::{Deed, History, Name, Number, PeerSaw, Seen};
use crate::conformance::script::Script;
use crate::pair::Family;

/// How long something that has to come may take: for ever, but a script that hangs must end.
const PATIENCE: Duration = Duration::from_secs(5);

/// As little as a kernel gives, or a little more.
const NARROW_BYTES: usize = 4096;

/// The most times that a step repeats itself: the narrow buffers are full long before.
const REPEATS_MAX: usize = 400;

/// A place to connect to.
#[derive(Debug)]
struct Host {
    listener: Socket,
    address: Address,
}

/// Who listens for the connections of any number of scripts, one after the other.
#[derive(Debug)]
pub struct Hosts {
    family: Family,
    /// With buffers as they come, and with narrow ones.
    hosts: [Host; 2],
    /// Where nobody listens; bound, so that nobody will.
    nobody: Host,
}

impl Hosts {
    /// The listeners of one family.
    ///
    /// # Errors
    ///
    /// When the system gives no sockets.
    pub fn new(family: Family) -> io::Result<Hosts> {
        let hosts = [Host::new(family, false)?, Host::new(family, true)?];
        hosts.iter().try_for_each(|host| host.listener.listen(1024))?;
        Ok(Hosts { family, hosts, nobody: Host::new(family, false)? })
    }
}

impl Host {
    /// Bound, and not listening.
    fn new(family: Family, narrow: bool) -> io::Result<Host> {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let (listener, address) = match family {
            Family::Tcp => {
                let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
                let address = listener.local_addr()?.as_socket().ok_or(ErrorKind::Unsupported)?;
                (listener, Address::from(address))
            }
            Family::Unix => {
                let name = NAMES.fetch_add(1, Ordering::Relaxed);
                let path = format!("\0aio-conformance-{}-{name}", std::process::id());
                let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                listener.bind(&SockAddr::unix(&path)?)?;
                (listener, Address::unix(path.into_bytes()))
            }
        };
        if narrow {
            narrow_down(&listener)?;
        }
        Ok(Host { listener, address })
    }

    fn connect(&self, narrow: bool) -> io::Result<Socket> {
        let address = match &self.address {
            Address::Unix(path) => SockAddr::unix(String::from_utf8_lossy(path).as_ref())?,
            _ => self.listener.local_addr()?,
        };
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        if narrow {
            narrow_down(&socket)?;
        }
        socket.connect(&address)?;
        Ok(socket)
    }

    /// The connection whose other end has this address. Those that come before it are kept.
    fn accept(&self, from: Option<SocketAddr>, kept: &mut Vec<(SocketAddr, Socket)>) -> io::Result<Socket> {
        if let Some(known) = kept.iter().position(|(address, _)| Some(*address) == from) {
            return Ok(kept.swap_remove(known).1);
        }
        loop {
            let (socket, address) = self.listener.accept()?;
            match address.as_socket() {
                Some(address) if from != Some(address) => kept.push((address, socket)),
                _ => return Ok(socket),
            }
        }
    }
}

fn narrow_down(socket: &Socket) -> io::Result<()> {
    socket.set_send_buffer_size(NARROW_BYTES)?;
    socket.set_recv_buffer_size(NARROW_BYTES)
}

/// A connection, both ends.
#[derive(Debug, Default)]
struct Conn {
    id: Option<ConnId>,
    target: Option<Target>,
    peer: Option<Socket>,
    belief: Option<Belief>,
    sent: u64,
    received: u64,
    peer_sent: u64,
    peer_received: u64,
}

struct Player<'a> {
    hosts: &'a Hosts,
    script: &'a Script,
    patience: Duration,
    ear: Ear<'a>,
    caller: Caller<Os>,
    conns: Vec<Conn>,
    listener: Option<(ConnId, Host, Belief)>,
    /// Connections that a host has accepted, and whose other end does not know yet that it is connected.
    early: Vec<(SocketAddr, Socket)>,
    history: History,
}

/// Plays a script.
///
/// # Errors
///
/// When the system gives no more sockets, or a peer can not do what every peer can.
pub fn play(script: &Script, hosts: &Hosts) -> io::Result<History> {
    play_with(script, hosts, PATIENCE, &mut |_| {})
}

/// What events pass on their way, to be tampered with.
pub type Ear<'a> = &'a mut dyn FnMut(&mut Vec<(ConnId, Readiness)>);

/// Plays a script with another patience, and something between the engine and whoever listens.
///
/// # Errors
///
/// As [`play`].
pub fn play_with(script: &Script, hosts: &Hosts, patience: Duration, ear: Ear<'_>) -> io::Result<History> {
    debug_assert_eq!(script.family, hosts.family);
    let history = History {
        family: script.family,
        lags: script.narrow || script.nagle,
        deeds: Vec::new(),
        ready: Vec::new(),
        errors: Vec::new(),
        broken: Vec::new(),
    };
    let caller = Caller::new(Os::new()?);
    let mut player = Player {
        hosts,
        script,
        patience,
        ear,
        caller,
        conns: Vec::new(),
        listener: None,
        early: Vec::new(),
        history,
    };
    let mut book = Book::default();
    for step in &script.steps {
        for _ in 0..REPEATS_MAX {
            let Some(deed) = book.deed(step) else { break };
            let seen = player.perform(&deed)?;
            book.note(&deed, &seen);
            let again = goes_on(step, &deed, &seen);
            player.history.deeds.push((deed, seen));
            if !again {
                break;
            }
        }
        player.keep_promises()?;
    }
    player.finish()
}

impl Player<'_> {
    fn perform(&mut self, deed: &Deed) -> io::Result<Seen> {
        Ok(match *deed {
            Deed::Listen | Deed::Unlisten | Deed::PeerConnect(_) | Deed::Adopt(_) => {
                self.arrange(deed)?;
                Seen::Nothing
            }
            Deed::Accept(conn) => Seen::Outcome(self.accept(conn)),
            Deed::Dial { nobody, .. } => Seen::Outcome(self.dial(nobody)?),
            Deed::DialAgain(conn) => Seen::Outcome(self.dial_again(conn)?),
            Deed::Recv(conn, ref pieces) => Seen::Outcome(self.recv(conn, pieces)),
            Deed::Discard(conn) => Seen::Outcome(self.discard(conn)),
            Deed::Send(conn, ref pieces) => Seen::Outcome(self.send(conn, pieces)),
            Deed::Shutdown(conn) => {
                let conn = self.id(conn);
                Seen::Outcome(self.caller.system.perform(Syscall::ShutdownWrite { conn }))
            }
            Deed::Close(conn) => {
                let conn = self.conns[conn].id.take().expect("it is open");
                Seen::Outcome(self.caller.system.perform(Syscall::Close { conn }))
            }
            Deed::PeerWrite(conn, bytes) => Seen::Peer(self.peer_write(conn, bytes)),
            Deed::PeerRead(conn, bytes) => Seen::Peer(self.peer_read(conn, bytes)),
            Deed::PeerShutdown(conn) => {
                // Of a connection that is dead already there is nothing to end.
                let _ = self.peer(conn).shutdown(std::net::Shutdown::Write);
                Seen::Nothing
            }
            Deed::PeerClose(conn) => {
                self.conns[conn].peer = None;
                Seen::Nothing
            }
            Deed::PeerReset(conn) => {
                self.peer(conn).set_linger(Some(Duration::ZERO))?;
                self.conns[conn].peer = None;
                Seen::Nothing
            }
            Deed::Wait => Seen::Events(self.wait(Instant::ZERO)),
        })
    }

    fn id(&self, conn: Number) -> ConnId {
        self.conns[conn].id.expect("it is open")
    }

    fn peer(&mut self, conn: Number) -> &mut Socket {
        self.conns[conn].peer.as_mut().expect("it is open")
    }

    fn host(&self) -> &Host {
        &self.hosts.hosts[usize::from(self.script.narrow)]
    }

    fn welcome(&mut self, from: Option<SocketAddr>) -> io::Result<Socket> {
        self.hosts.hosts[usize::from(self.script.narrow)].accept(from, &mut self.early)
    }

    fn belief(&self) -> Belief {
        Belief::new(self.caller.system.rearm())
    }

    fn arrange(&mut self, deed: &Deed) -> io::Result<()> {
        let narrow = self.script.narrow;
        match deed {
            Deed::Listen => {
                let host = Host::new(self.script.family, narrow)?;
                host.listener.listen(64)?;
                let id = self.caller.open();
                let listener = host.listener.try_clone()?;
                self.adopt(id, listener)?;
                self.listener = Some((id, host, self.belief()));
            }
            Deed::Unlisten => {
                if let Some((conn, ..)) = self.listener.take() {
                    self.caller.system.perform(Syscall::Close { conn });
                }
            }
            Deed::PeerConnect(_) => {
                let (_, host, _) = self.listener.as_ref().expect("there is a listener");
                let peer = self.prepare(host.connect(narrow)?)?;
                self.conns.push(Conn { peer: Some(peer), ..Conn::default() });
            }
            _ => {
                let peer = self.prepare(self.host().connect(narrow)?)?;
                let from = peer.local_addr()?.as_socket();
                let ours = self.welcome(from)?;
                ours.set_nonblocking(true)?;
                let id = self.caller.open();
                let belief = Some(self.belief());
                self.adopt(id, ours)?;
                self.conns.push(Conn { id: Some(id), peer: Some(peer), belief, ..Conn::default() });
            }
        }
        Ok(())
    }

    fn adopt(&mut self, id: ConnId, socket: Socket) -> io::Result<()> {
        let nodelay = !self.script.nagle;
        let socket = aio::Socket::from(socket).nodelay(nodelay);
        self.caller.system.adopt(id, socket).map_err(|(error, _)| io::Error::other(error))
    }

    /// A socket, made a peer's.
    fn prepare(&self, socket: Socket) -> io::Result<Socket> {
        socket.set_nonblocking(true)?;
        if self.script.family == Family::Tcp {
            socket.set_tcp_nodelay(!self.script.nagle)?;
        }
        Ok(socket)
    }

    fn accept(&mut self, conn: Number) -> Outcome {
        let id = self.caller.open();
        let belief = self.belief();
        let (listener, _, waits) = self.listener.as_mut().expect("there is a listener");
        let outcome = self.caller.system.perform(Syscall::Accept { listener: *listener, conn: id });
        waits.on_outcome(Direction::Receive, usize::MAX, outcome);
        if outcome == Outcome::Done {
            (self.conns[conn].id, self.conns[conn].belief) = (Some(id), Some(belief));
        }
        outcome
    }

    fn dial(&mut self, nobody: bool) -> io::Result<Outcome> {
        let host = if nobody { &self.hosts.nobody } else { self.host() };
        let address = host.address.clone();
        let (id, target, outcome) = self.caller.dial(address, !self.script.nagle);
        self.conns.push(Conn { target: Some(target), ..Conn::default() });
        let conn = self.conns.len() - 1;
        if matches!(outcome, Outcome::Done | Outcome::WouldBlock) {
            (self.conns[conn].id, self.conns[conn].belief) = (Some(id), Some(self.belief()));
        }
        self.dialled(conn, outcome)
    }

    fn dial_again(&mut self, conn: Number) -> io::Result<Outcome> {
        let target = self.conns[conn].target.clone().expect("it was dialled");
        let outcome = self.caller.dial_again(self.id(conn), &target);
        if !matches!(outcome, Outcome::Done | Outcome::WouldBlock) {
            self.conns[conn].id = None;
        }
        self.dialled(conn, outcome)
    }

    fn dialled(&mut self, conn: Number, outcome: Outcome) -> io::Result<Outcome> {
        if let Some(belief) = &mut self.conns[conn].belief {
            belief.on_outcome(Direction::Send, usize::MAX, outcome);
        }
        if outcome == Outcome::Done {
            let from = match self.script.family {
                Family::Tcp => Some(self.caller.system.local_addr(self.id(conn))?),
                Family::Unix => None,
            };
            let peer = self.welcome(from)?;
            self.conns[conn].peer = Some(self.prepare(peer)?);
        }
        Ok(outcome)
    }

    fn recv(&mut self, conn: Number, pieces: &[usize]) -> Outcome {
        let (outcome, bytes) = self.caller.recv(self.id(conn), pieces);
        let known = &mut self.conns[conn];
        let wrong = pattern::mismatch(conn as u64, Side::Client, known.received, &bytes);
        known.received += bytes.len() as u64;
        self.believe(conn, Direction::Receive, pieces.iter().sum(), outcome);
        if wrong.is_some() {
            self.broke(format!("{conn} received what was not sent"));
        }
        outcome
    }

    fn discard(&mut self, conn: Number) -> Outcome {
        let outcome = self.caller.system.perform(Syscall::Discard { conn: self.id(conn) });
        self.conns[conn].received += count(outcome) as u64;
        // Nobody says how much that could have been, so no count of bytes is short.
        self.believe(conn, Direction::Receive, 0, outcome);
        outcome
    }

    fn send(&mut self, conn: Number, pieces: &[usize]) -> Outcome {
        let mut bytes = vec![0; pieces.iter().sum()];
        pattern::fill(conn as u64, Side::Server, self.conns[conn].sent, &mut bytes);
        let outcome = self.caller.send(self.id(conn), &bytes, pieces);
        self.conns[conn].sent += count(outcome) as u64;
        self.believe(conn, Direction::Send, bytes.len(), outcome);
        outcome
    }

    fn believe(&mut self, conn: Number, direction: Direction, bytes_max: usize, outcome: Outcome) {
        if let Some(belief) = &mut self.conns[conn].belief {
            belief.on_outcome(direction, bytes_max, outcome);
        }
    }

    fn peer_write(&mut self, conn: Number, bytes: usize) -> PeerSaw {
        let mut buffer = vec![0; bytes];
        pattern::fill(conn as u64, Side::Client, self.conns[conn].peer_sent, &mut buffer);
        // Without a SIGPIPE: `write` would raise none either, as the standard library ignores it.
        let saw = saw(self.peer(conn).write(&buffer));
        if let PeerSaw::Bytes(count) = saw {
            self.conns[conn].peer_sent += count as u64;
        }
        saw
    }

    fn peer_read(&mut self, conn: Number, bytes: usize) -> PeerSaw {
        let mut buffer = vec![0; bytes];
        let saw = saw(self.peer(conn).read(&mut buffer));
        if let PeerSaw::Bytes(count) = saw {
            let known = &mut self.conns[conn];
            let wrong = pattern::mismatch(conn as u64, Side::Server, known.peer_received, &buffer[..count]);
            known.peer_received += count as u64;
            if wrong.is_some() {
                self.broke(format!("the peer of {conn} received what was not sent"));
            }
            if count == 0 {
                return PeerSaw::End;
            }
        }
        saw
    }

    fn broke(&mut self, what: String) {
        self.history.broken.push((self.history.deeds.len(), what));
    }

    fn wait(&mut self, until: Instant) -> Vec<(Name, Readiness)> {
        let mut events = self.caller.events(until);
        (self.ear)(&mut events);
        let mut named = Vec::new();
        for (id, readiness) in events {
            let listener = self.listener.as_mut().filter(|(listener, ..)| *listener == id);
            let conn = self.conns.iter().position(|conn| conn.id == Some(id));
            let (name, belief) = match (listener, conn) {
                (Some((_, _, belief)), _) => (Name::Listener, Some(belief)),
                (None, Some(conn)) => (Name::Conn(conn), self.conns[conn].belief.as_mut()),
                (None, None) => {
                    self.broke(format!("an event of {id}, which is not open"));
                    continue;
                }
            };
            named.push((name, readiness));
            belief.into_iter().for_each(|belief| belief.on_event(readiness));
        }
        named
    }

    /// Who is ready, and not believed to be, must be told. Looked at after each wait.
    fn keep_promises(&mut self) -> io::Result<()> {
        if !matches!(self.history.deeds.last(), Some((Deed::Wait, _))) {
            return Ok(());
        }
        let patience = self.caller.system.now() + self.patience;
        while let Some((name, direction)) = self.owed()? {
            if self.caller.system.now() >= patience {
                self.broke(format!("{name:?} is ready to {direction:?}, and no event says so"));
                break;
            }
            let events = self.wait(patience);
            self.history.deeds.push((Deed::Wait, Seen::Events(events)));
        }
        Ok(())
    }

    /// A direction in which the kernel is ready, and the model would not know.
    fn owed(&mut self) -> io::Result<Option<(Name, Direction)>> {
        let ready = ready(&self.flags()?);
        let knows = |&(name, direction): &(Name, Direction)| {
            let belief = match name {
                Name::Listener => self.listener.as_ref().map(|(_, _, belief)| belief),
                Name::Conn(conn) => self.conns[conn].belief.as_ref(),
            };
            belief.is_some_and(|belief| belief.is_ready(direction))
        };
        Ok(ready.into_iter().find(|lane| !knows(lane)))
    }

    /// What the kernel says of the listener and every open connection.
    fn flags(&mut self) -> io::Result<Vec<(Name, PollFlags)>> {
        let listener = self.listener.as_ref().map(|(id, ..)| (Name::Listener, *id));
        let conns = self.conns.iter().enumerate();
        let conns = conns.filter_map(|(number, conn)| Some((Name::Conn(number), conn.id?)));
        let system = &mut self.caller.system;
        let asked = listener.into_iter().chain(conns).map(|(name, id)| {
            let fd = system.descriptor(id).ok_or(ErrorKind::NotFound)?;
            let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
            poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
            Ok((name, fds[0].revents()))
        });
        asked.collect()
    }

    /// The last waits, and what is the case then. No port is left occupied by what lingers.
    fn finish(mut self) -> io::Result<History> {
        // A wait may return early for no reason, as mio's over poll(2) does after a registration.
        for _ in 0..2 {
            let events = self.wait(Instant::ZERO);
            self.history.deeds.push((Deed::Wait, Seen::Events(events)));
            self.keep_promises()?;
        }
        let flags = self.flags()?;
        self.history.ready = ready(&flags);
        let errors = flags.iter().filter(|(_, flags)| flags.contains(PollFlags::ERR));
        self.history.errors = errors.filter_map(|(name, _)| name.conn()).collect();
        if self.script.family == Family::Tcp {
            for conn in &self.conns {
                conn.peer.iter().try_for_each(|peer| peer.set_linger(Some(Duration::ZERO)))?;
            }
        }
        Ok(self.history)
    }
}

/// The directions in which the kernel would let something through.
fn ready(flags: &[(Name, PollFlags)]) -> Vec<(Name, Direction)> {
    let over = PollFlags::HUP | PollFlags::ERR;
    let receive = (Direction::Receive, over | PollFlags::IN | PollFlags::RDHUP);
    let directions = [receive, (Direction::Send, over | PollFlags::OUT)];
    let lanes = flags.iter().flat_map(|&(name, flags)| {
        let ready = directions.into_iter().filter(move |(_, any)| flags.intersects(*any));
        ready.map(move |(direction, _)| (name, direction))
    });
    lanes.collect()
}

fn saw(result: io::Result<usize>) -> PeerSaw {
    match result {
        Ok(count) => PeerSaw::Bytes(count),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock => PeerSaw::Nothing,
            ErrorKind::ConnectionReset => PeerSaw::Failed(SystemErrorKind::ConnectionReset),
            ErrorKind::BrokenPipe => PeerSaw::Failed(SystemErrorKind::BrokenPipe),
            ErrorKind::NotConnected => PeerSaw::Failed(SystemErrorKind::NotConnected),
            _ => PeerSaw::Failed(SystemErrorKind::Other),
        },
    }
}
