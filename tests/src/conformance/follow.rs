//! Histories in the simulator: every deed again, with the simulator steered to where the kernel went.
//!
//! What peers send stays on its way until something shows that it has arrived. So does what the system under
//! test sends, if the history [lags](History::lags), and else it arrives at once; how much of it is taken at
//! once is a fault's to say. Where a reset throws away what is on its way, the history itself tells how much
//! had arrived before: what was received later.
//!
//! | room | what is in it |
//! |---|---|
//! | `calls` | the calls of the system under test, steered |
//! | `peers` | what peers do |
//! | `events` | what is told, of what must be the case |
//! | `arrivals` | what is on its way, and when it is there |
//! | `guesses` | what is assumed of it, and in how many ways |

mod arrivals;
mod calls;
mod events;
mod guesses;
mod peers;

use std::collections::BTreeMap;
use std::fmt;

use aio_model::{Address, ConnId, Direction, Outcome, Target};
use sim::{Answer, Capacity, Choice, EngineKind, Fault, Faults, Net, Odds, PeerId, SimOs, SocketId};

use crate::conformance::caller::Caller;
use crate::conformance::history::{Deed, History, Name, Number, Seen};
use crate::pair::Family;

use guesses::{Guesses, search};

/// How much a system throws away at once, real or simulated.
const DISCARD_BYTES: usize = 16 << 10;

/// How many ways to explain a history are tried before it is called a difference. Of those that can be
/// explained, one in tens of thousands takes more than one, and two or three are enough.
const ATTEMPTS_MAX: usize = 200;

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

/// How often the kernel was more generous than its contract, as far as the simulator has it; and how hard it
/// was to follow.
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
    // What has arrived when is not always to be seen. With narrow buffers it may have been less than it
    // seems.
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
            Family::Tcp | Family::Tcp6 => sim::Family::Tcp,
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
            Deed::Recv(conn, _)
            | Deed::Discard(conn)
            | Deed::Peek(conn)
            | Deed::Send(conn, _)
            | Deed::Shutdown(conn),
            Seen::Outcome(Outcome::Failed(_)),
        )
        | (Deed::AskError(conn), Seen::Error(Some(_))) = (deed, seen)
        {
            self.arrive_before_reset(*conn);
            self.relieve(*conn);
        }
        match (deed, seen) {
            (Deed::Accept(_) | Deed::Connect { .. } | Deed::ConnectAgain(_), &Seen::Outcome(outcome)) => {
                self.make(deed, outcome)
            }
            (Deed::Recv(conn, pieces), &Seen::Outcome(outcome)) => self.recv(*conn, pieces, outcome),
            (&Deed::Discard(conn), &Seen::Outcome(outcome)) => self.discard(conn, outcome),
            (Deed::Send(conn, pieces), &Seen::Outcome(outcome)) => self.send(*conn, pieces, outcome),
            (&Deed::Poll(conn, direction), &Seen::Outcome(outcome)) => self.poll(conn, direction, outcome),
            (&Deed::Peek(conn), &Seen::Outcome(outcome)) => self.peek(conn, outcome),
            (&Deed::Shutdown(conn), &Seen::Outcome(outcome)) => self.shutdown(conn, outcome),
            (&Deed::Close(conn), &Seen::Outcome(outcome)) => self.close(conn, false, outcome),
            (&Deed::Abort(conn), &Seen::Outcome(outcome)) => self.close(conn, true, outcome),
            (&Deed::PeerWrite(conn, _), &Seen::Peer(saw)) => self.peer_write(conn, saw),
            (&Deed::PeerRead(conn, _), &Seen::Peer(saw)) => self.peer_read(conn, saw),
            (Deed::Wait | Deed::Nap, Seen::Events(events)) => self.wait(events),
            (&Deed::AskError(conn), &Seen::Error(error)) => self.ask_error(conn, error),
            // Our calls do not block, whatever others make of the socket; and what time brings is seen later.
            (Deed::Block(_) | Deed::Stall(_), _) => Ok(()),
            (deed, _) => {
                self.arrange(deed);
                Ok(())
            }
        }
    }

    fn id(&self, conn: Number) -> ConnId {
        self.conns[conn].id.expect("it is open")
    }

    fn peer(&self, conn: Number) -> PeerId {
        self.conns[conn].peer.expect("it is there")
    }
}

/// Where nobody does.
fn nobody() -> Address {
    Address::unix(*b"nobody")
}

fn same(seen: Outcome, answer: Outcome) -> Followed {
    if seen == answer { Ok(()) } else { Err(format!("it was {seen:?}, in the simulator {answer:?}")) }
}
