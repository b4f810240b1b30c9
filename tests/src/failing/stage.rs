//! The stage: a program on a failing system, its peers, and the turns that both take, in one thread, so that
//! a call that fails is the same call each time.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use aio::{Builder, Completion, ConnId, OpError, OpId, SubmitErrorKind, SystemError};
use socket2::Socket;

use super::peer::{PeerStep, ScenarioPeer};
use super::place::ServerPlace;
use super::system::Failing;
use crate::ledger::{Booked, EntryKind, Ledger};
use crate::pair::Family;
use crate::turns::PATIENCE;

/// What a program does with a completion.
pub trait Program {
    /// Handles one.
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>);
}

/// Contexts from here on are of operations that always end the same way, so their results are told.
pub const TOLD: usize = 100;

/// How long the proactor waits while no event comes, before the peers are asked again. Loopback delivers at
/// once; this is for a machine on which it does not.
const NAP: Duration = Duration::from_millis(2);

/// A program's proactor, its peers, and what they have seen.
#[derive(Debug)]
pub struct Stage {
    /// The proactor, with its account of every operation.
    pub ledger: Ledger<usize, Failing>,
    peers: Vec<ScenarioPeer>,
    /// Where connections of the program arrive, and what the peers that they get do.
    callee: Option<Callee>,
    /// Listeners that never accept.
    deaf: Vec<Socket>,
    /// The places where the program or a peer listens.
    places: Vec<ServerPlace>,
    listeners: Vec<ConnId>,
    cues: u32,
    facts: Vec<String>,
    lingering: HashSet<ConnId>,
    kinds: HashMap<OpId, EntryKind>,
    errors: Vec<LaneError>,
    odd: Vec<String>,
    given_back: Vec<GivenBack>,
    failed_turns: Vec<std::io::Error>,
}

/// An operation that ended with an error of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneError {
    /// Its connection.
    pub conn: ConnId,
    /// Its lane.
    pub kind: EntryKind,
    /// The error.
    pub error: SystemError,
}

/// A socket that was not adopted.
#[derive(Debug)]
pub struct GivenBack {
    /// Why not.
    pub error: std::io::Error,
    /// Whether what came back is what was handed over.
    pub whole: bool,
}

/// What tells a socket from all others, and that it is open.
fn identity(socket: &Socket) -> (RawFd, Option<socket2::Type>, String) {
    (socket.as_raw_fd(), socket.r#type().ok(), format!("{:?}", socket.local_addr()))
}

/// The server that the program connects to.
#[derive(Debug)]
struct Callee {
    listener: Socket,
    seeds: Seeds,
    steps: Vec<PeerStep>,
}

/// The seeds of what a peer says, and of what it hears.
pub type Seeds = (u64, u64);

/// The seeds of the peer of that number at a pair.
pub fn seeds(nth: usize) -> Seeds {
    (100 + nth as u64, 200 + nth as u64)
}

impl Stage {
    /// An empty stage.
    ///
    /// # Panics
    ///
    /// When no proactor can be built.
    pub fn new(builder: Builder, system: Failing) -> Stage {
        Stage {
            ledger: Ledger::of(builder.build_on(system).expect("the limits are right")),
            peers: Vec::new(),
            callee: None,
            deaf: Vec::new(),
            places: Vec::new(),
            listeners: Vec::new(),
            cues: 0,
            facts: Vec::new(),
            lingering: HashSet::new(),
            kinds: HashMap::new(),
            errors: Vec::new(),
            odd: Vec::new(),
            given_back: Vec::new(),
            failed_turns: Vec::new(),
        }
    }

    /// Takes a socket in, if the system does; if not, notes whether it came back as it was.
    pub fn adopt(&mut self, socket: Socket) -> Option<ConnId> {
        let before = identity(&socket);
        match self.ledger.aio.adopt(aio::Socket::from(socket).nodelay(true)) {
            Ok(conn) => Some(conn),
            Err(refused) => {
                let back = Socket::from(OwnedFd::from(refused.socket));
                self.given_back.push(GivenBack { error: refused.error, whole: identity(&back) == before });
                None
            }
        }
    }

    /// Listens with the program's proactor.
    ///
    /// # Panics
    ///
    /// When the system gives no listener.
    pub fn listen(&mut self, family: Family) -> Option<ConnId> {
        let (socket, place) = ServerPlace::listen(family).expect("a listener");
        self.places.push(place);
        let listener = self.adopt(socket);
        self.listeners.extend(listener);
        listener
    }

    /// Lets a peer connect to where the program listens, if it does.
    ///
    /// # Panics
    ///
    /// When the peer can not be made.
    pub fn call_in(&mut self, seeds: Seeds, steps: &[PeerStep]) {
        // It fails when the listener was not adopted, and has gone.
        if let Ok(socket) = self.places[0].connect() {
            self.peers.push(ScenarioPeer::new(socket, seeds, steps).expect("a peer"));
        }
    }

    /// A stream to a peer, adopted by the program.
    ///
    /// # Panics
    ///
    /// When the system gives no pair.
    pub fn pair(&mut self, family: Family, buffers: Option<usize>, steps: &[PeerStep]) -> Option<ConnId> {
        let (ours, theirs) = family.sockets(buffers).expect("a pair");
        self.peers.push(ScenarioPeer::new(theirs, seeds(self.peers.len()), steps).expect("a peer"));
        self.adopt(ours)
    }

    /// Where the program can connect to; every connection that arrives is a peer that does this.
    ///
    /// # Panics
    ///
    /// When the system gives no listener.
    pub fn callee(&mut self, family: Family, seeds: Seeds, steps: &[PeerStep]) -> aio::Address {
        let (listener, place) = ServerPlace::listen(family).expect("a listener");
        listener.set_nonblocking(true).expect("non-blocking");
        let target = place.target();
        self.places.push(place);
        self.callee = Some(Callee { listener, seeds, steps: steps.to_vec() });
        target
    }

    /// Where the program can connect to, and nobody ever accepts.
    ///
    /// # Panics
    ///
    /// When the system gives no listener.
    pub fn deaf(&mut self, family: Family) -> aio::Address {
        let (listener, place) = ServerPlace::listen(family).expect("a listener");
        // With one in its queue, that is full: who comes after it is not even answered.
        listener.listen(0).expect("it listens");
        let first = place.connect().expect("the first is answered");
        let target = place.target();
        self.places.push(place);
        self.deaf.extend([listener, first]);
        target
    }

    /// The descriptors of the stage itself, and of no connection of the program's.
    pub fn descriptors(&self) -> usize {
        self.peers.len() + usize::from(self.callee.is_some()) + self.deaf.len()
    }

    /// Gives the peers that wait for one a cue.
    pub fn cue(&mut self) {
        self.cues += 1;
    }

    /// Submits an operation, if it is accepted.
    pub fn submit<O: Booked<usize>>(&mut self, conn: ConnId, op: O, context: usize) -> Option<OpId> {
        match self.ledger.offer(conn, op, context) {
            Ok(op) => {
                self.kinds.insert(op, O::KIND);
                Some(op)
            }
            // Only what a failure has closed or broken refuses anything here.
            Err(SubmitErrorKind::Closing | SubmitErrorKind::Stale | SubmitErrorKind::ShutDown) => None,
            Err(kind) => panic!("refused: {kind}"),
        }
    }

    /// Takes turns until the program has closed all its connections, and the peers have heard of it.
    ///
    /// # Errors
    ///
    /// When that does not come about within so long.
    pub fn play(&mut self, program: &mut dyn Program, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        while !self.is_over() {
            if start.elapsed() > patience {
                return Err(format!("{:?}, {:?}", self.ledger.aio, self.peers));
            }
            self.peers_go_on();
            self.turn(program, NAP, |_| ());
        }
        self.ledger.aio.shut_down();
        while self.turn(program, NAP, |_| ()) {
            if start.elapsed() > patience {
                return Err(format!("shutting down: {:?}", self.ledger.aio));
            }
        }
        Ok(())
    }

    /// Takes turns until an operation of that context has ended, and then until everything has.
    pub fn serve(&mut self, program: &mut dyn Program, stop: usize) {
        let mut is_to_stop = false;
        while self.turn(program, PATIENCE, |done| is_to_stop |= done.context == stop) {
            if std::mem::take(&mut is_to_stop) {
                self.ledger.aio.shut_down();
            }
        }
    }

    fn turn(
        &mut self,
        program: &mut dyn Program,
        timeout: Duration,
        mut on_done: impl FnMut(&Completion<usize>),
    ) -> bool {
        let goes_on = self.ledger.turn(timeout);
        for done in self.ledger.completions() {
            self.note(&done);
            on_done(&done);
            program.on(self, done);
        }
        let failed = self.ledger.failed_turns();
        self.failed_turns.extend(failed);
        goes_on
    }

    /// A connection lingers: its FIN is no operation of anybody's.
    pub fn lingers(&mut self, conn: ConnId) {
        self.lingering.insert(conn);
    }

    /// Whether a connection lingered.
    pub fn lingered(&self, conn: ConnId) -> bool {
        self.lingering.contains(&conn)
    }

    /// Says that nothing is left, after a play.
    ///
    /// # Panics
    ///
    /// When something is.
    pub fn close(self) {
        self.ledger.finished();
    }

    fn peers_go_on(&mut self) {
        if let Some(Callee { listener, seeds, steps }) = &self.callee {
            while let Ok((socket, _)) = listener.accept() {
                self.peers.push(ScenarioPeer::new(socket, *seeds, steps).expect("a peer"));
            }
        }
        self.peers.iter_mut().for_each(|peer| peer.go_on(self.cues));
    }

    /// Nothing is left but listeners, no completion can come, and the peers have heard of it.
    fn is_over(&mut self) -> bool {
        let aio = &self.ledger.aio;
        self.listeners.retain(|listener| aio.conn_info(*listener).is_ok());
        let stats = aio.stats();
        let is_idle = self.ledger.is_settled()
            && stats.connections as usize == self.listeners.len()
            && stats.completions == 0
            && stats.queued.total() == stats.queued.accept;
        if is_idle {
            // Peers that wait for a cue may go on.
            self.cues = u32::MAX;
        }
        is_idle && self.peers.iter().all(|peer| peer.ending().is_some())
    }

    fn note(&mut self, done: &Completion<usize>) {
        let lane = (done.conn, self.kinds[&done.op]);
        let broken = self.errors.iter().find(|error| (error.conn, error.kind) == lane);
        match (broken, done.result) {
            (Some(first), result) if result != Err(OpError::System(first.error)) => {
                self.odd.push(format!("{done:?} after {first:?}"));
            }
            (_, Err(OpError::System(error))) => {
                self.errors.push(LaneError { conn: lane.0, kind: lane.1, error });
            }
            (_, _) => {}
        }
        if done.context >= TOLD {
            let result = match done.result {
                Ok(aio::Done::Accepted(_)) => "Ok(Accepted)".to_owned(),
                result => format!("{result:?}"),
            };
            self.facts.push(format!("{} {result} {}", done.context, done.bytes));
        }
    }

    /// What the program was told and the peers heard, in an order of its own.
    pub fn facts(&self) -> Vec<String> {
        let mut facts = self.facts.clone();
        facts.sort_unstable();
        facts.extend(self.peers.iter().map(|peer| format!("heard {} {:?}", peer.heard(), peer.ending())));
        facts
    }

    /// The peers.
    pub fn peers(&self) -> &[ScenarioPeer] {
        &self.peers
    }

    /// The operations that ended with an error of the system, in order.
    pub fn errors(&self) -> &[LaneError] {
        &self.errors
    }

    /// What ended otherwise although an error had ended its lane.
    pub fn odd(&self) -> &[String] {
        &self.odd
    }

    /// What came back of the sockets that were not adopted.
    pub fn given_back(&self) -> &[GivenBack] {
        &self.given_back
    }

    /// What turns failed with.
    pub fn failed_turns(&self) -> &[std::io::Error] {
        &self.failed_turns
    }
}
