//! The state of a simulated system: everything that the other rooms act on.
//!
//! [`traffic`](crate::world::traffic) moves bytes, [`calls`](crate::world::calls) answers system calls,
//! [`wait`](crate::world::wait) sleeps and delivers events, [`peer`](crate::world::peer) is the other end of
//! the network. All are methods of [`World`], since anything that happens may touch all of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use aio_model::{Address, ConnId, Direction, Instant, Readiness, SystemError};

use crate::world::agenda::Agenda;
use crate::world::choice::Choice;
use crate::world::clock::SimClock;
use crate::world::connecting::Answer;
use crate::world::dice::Dice;
use crate::world::engine::{EngineKind, SimEngine};
use crate::world::faults::{Fault, Faults};
use crate::world::link::{Condition, Family, Link};
use crate::world::listening::AddressTable;
use crate::world::names::{Known, Names};
use crate::world::peer::{Act, PeerId};
use crate::world::pipe::Capacity;
use crate::world::socket::{Descriptors, Endpoint, Registration, Socket, SocketId, What};
use crate::world::trace::{Trace, TraceEntry};
use crate::world::wrong_call::WrongCall;

/// How often things happened, for oracles that bound them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// System calls.
    pub calls: u64,
    /// Of those, the ones that would have blocked.
    pub would_blocks: u64,
    /// Waits.
    pub waits: u64,
    /// Waits that returned no event.
    pub waits_empty: u64,
    /// Events delivered.
    pub events: u64,
}

/// What happens by itself.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    /// What this end sent flows on.
    Flow(Endpoint),
    /// The connections that a listener hid arrive again.
    Release(SocketId),
    /// A peer acts.
    Act(Act),
    /// The other side of a connect answers.
    Handshake { end: Endpoint, answer: Answer, verdict: Result<(), SystemError> },
}

/// A connection, and the sockets that hold its ends. An end without one is a peer's, waits to be accepted, or
/// is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) link: Link,
    pub(crate) holders: [Option<SocketId>; 2],
}

/// One readiness engine, and who waits on it.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) engine: SimEngine,
    pub(crate) names: Names,
    pub(crate) waker: Arc<AtomicBool>,
    /// A wait would never have returned.
    pub(crate) slept_for_ever: bool,
    /// Events that will be delivered a second time.
    pub(crate) echoes: Vec<(ConnId, Readiness)>,
}

/// A simulated system.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) clock: SimClock,
    pub(crate) agenda: Agenda<Due>,
    /// Indexed by the serial number of the connection.
    pub(crate) connections: Vec<Connection>,
    /// Indexed by [`SocketId`].
    pub(crate) sockets: Vec<Option<Socket>>,
    pub(crate) descriptors: Descriptors,
    pub(crate) pollers: Vec<Poller>,
    /// The buffers of new connections, if they are not to be drawn.
    pub(crate) capacity: Option<Capacity>,
    /// What new connections are.
    pub(crate) family: Family,
    /// What addresses answer; the last word counts.
    pub(crate) hosts: Vec<(Address, Answer)>,
    pub(crate) answer_default: Answer,
    pub(crate) addresses: AddressTable,
    /// Peers that came by plan, or that were connected to, and that nobody has asked about yet.
    pub(crate) arrivals: Vec<PeerId>,
    pub(crate) counts: Counts,
    pub(crate) trace: Trace,
    pub(crate) violations: Vec<WrongCall>,
}

impl World {
    pub(crate) fn new(choice: Choice, faults: Faults) -> World {
        World {
            dice: Dice::new(choice, faults),
            clock: SimClock::new(),
            agenda: Agenda::new(),
            connections: Vec::new(),
            sockets: Vec::new(),
            descriptors: Descriptors::new(),
            pollers: Vec::new(),
            capacity: None,
            family: Family::Tcp,
            hosts: Vec::new(),
            answer_default: Answer::Refuses,
            addresses: AddressTable::default(),
            arrivals: Vec::new(),
            counts: Counts::default(),
            trace: Trace::new(),
            violations: Vec::new(),
        }
    }

    pub(crate) fn add_poller(&mut self, kind: EngineKind) -> usize {
        self.pollers.push(Poller {
            engine: SimEngine::new(kind),
            names: Names::default(),
            waker: Arc::new(AtomicBool::new(false)),
            slept_for_ever: false,
            echoes: Vec::new(),
        });
        self.pollers.len() - 1
    }

    /// Records that something happened, after the faults that made it happen.
    pub(crate) fn note(&mut self, entry: TraceEntry) {
        for fault in self.dice.take_recent() {
            self.trace.record(TraceEntry::Struck(fault));
        }
        self.trace.record(entry);
    }

    pub(crate) fn violate(&mut self, violation: WrongCall) {
        self.violations.push(violation);
        self.note(TraceEntry::Violated(violation));
    }

    /// What time it is, for somebody who looks.
    pub(crate) fn read_clock(&mut self) -> Instant {
        self.clock.tick(&mut self.dice);
        let now = self.clock.read(&mut self.dice);
        self.note(TraceEntry::Read { now });
        now
    }

    pub(crate) fn link(&self, end: Endpoint) -> &Link {
        &self.connections[end.link as usize].link
    }

    pub(crate) fn link_mut(&mut self, end: Endpoint) -> &mut Link {
        &mut self.connections[end.link as usize].link
    }

    /// An open socket. Only for ids from a registration or a handle, which both end with the socket.
    pub(crate) fn socket(&self, socket: SocketId) -> &Socket {
        self.sockets[socket.index()].as_ref().expect("the socket is open")
    }

    /// The buffers of one direction of a new connection.
    pub(crate) fn draw_capacity(&mut self) -> Capacity {
        if let Some(capacity) = self.capacity {
            return capacity;
        }
        if !self.dice.strikes(Fault::OddBuffers) {
            return Capacity::ROOMY;
        }
        Capacity { send_bytes_max: self.dice.size(1 << 16), recv_bytes_max: self.dice.size(1 << 16) }
    }

    /// A socket on the lowest descriptor, if there is one left.
    pub(crate) fn create(&mut self, what: What) -> Option<SocketId> {
        let descriptor = self.descriptors.take()?;
        let socket = SocketId::new(self.sockets.len());
        if let What::Stream(end) = what {
            self.connections[end.link as usize].holders[end.side as usize] = Some(socket);
        }
        self.sockets.push(Some(Socket { descriptor, what, registration: None }));
        Some(socket)
    }

    /// Registers a socket under a name.
    pub(crate) fn register(&mut self, socket: SocketId, registration: Registration) {
        let condition = condition(&self.sockets, &self.connections, socket);
        let poller = &mut self.pollers[registration.poller];
        poller.names.insert(registration.conn, socket);
        poller.engine.register(socket, condition, self.clock.now(), &mut self.dice);
        if let Some(socket) = &mut self.sockets[socket.index()] {
            socket.registration = Some(registration);
        }
    }

    /// The open socket that an id names, whichever poller knows it.
    pub(crate) fn find(&self, conn: ConnId) -> Option<SocketId> {
        self.pollers.iter().find_map(|poller| match poller.names.look_up(conn) {
            Known::Open(socket) => Some(socket),
            Known::Closed | Known::Never => None,
        })
    }

    /// The end of a connection that an id names, if it names an open stream.
    pub(crate) fn find_stream(&self, conn: ConnId) -> Option<Endpoint> {
        self.socket(self.find(conn)?).stream()
    }

    /// What is the case at the socket that an id names.
    pub(crate) fn condition_of(&self, conn: ConnId) -> Option<Condition> {
        Some(condition(&self.sockets, &self.connections, self.find(conn)?))
    }

    /// Whether an event that wakes this direction is on its way.
    pub(crate) fn edge_debt(&self, conn: ConnId, direction: Direction) -> bool {
        let Some(socket) = self.find(conn) else { return false };
        let Some(registration) = self.socket(socket).registration else { return false };
        let condition = condition(&self.sockets, &self.connections, socket);
        self.pollers[registration.poller].engine.owes(socket, direction, condition)
    }

    /// Nothing goes wrong from now on, and whatever was held up comes now.
    pub(crate) fn heal(&mut self) {
        self.dice.faults = Faults::NONE;
        let now = self.clock.now();
        self.agenda.hurry(now, |due| matches!(due, Due::Flow(_) | Due::Release(_) | Due::Handshake { .. }));
        self.pollers.iter_mut().for_each(|poller| poller.engine.hurry(now));
        self.run_due();
    }
}

/// What is the case at an open socket. Not a method, so that an engine can ask while it is borrowed.
pub(crate) fn condition(
    sockets: &[Option<Socket>],
    connections: &[Connection],
    socket: SocketId,
) -> Condition {
    match &sockets[socket.index()].as_ref().expect("the socket is open").what {
        What::Stream(end) => connections[end.link as usize].link.condition(end.side),
        What::Listener(listener) => listener.condition(),
    }
}
