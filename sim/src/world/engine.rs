//! Readiness engines: what turns changes of sockets into events.
//!
//! An engine must promise exactly as much as the real one does. One that reported every ready socket in every
//! batch would be a comfort: a lost wake-up would not be noticed, since the next batch makes up for it. So
//! each event here is owed to a *change*, is reported once, and says what is the case when it is delivered:
//!
//! | | epoll, edge-triggered | kqueue, `EV_CLEAR` | poll, one-shot |
//! |---|---|---|---|
//! | an event is owed | for each change, but one per socket at most | the same, but one per side at most | when an armed side is ready |
//! | it says | all that is the case, of both sides | all that is the case of its side | all that is the case of the armed sides |
//! | then | it is gone | it is gone | the reported sides are disarmed |
//! | registration | reports what is the case | the same | arms both sides |
//! | an attempt that would block | | | arms its side |
//! | to register anew | reports what is the case | the same | arms a side, and reports what is the case |
//!
//! Where real engines are more generous than their documentation (BSD announces every acknowledged byte, mio
//! re-arms both sides for one), this one is not. Spurious events are a fault, and drawn as such.

use std::fmt;
use std::str::FromStr;

use aio_model::{Direction, Instant, Readiness, Rearm};

use crate::world::dice::Dice;
use crate::world::faults::Fault;
use crate::world::link::{Change, Condition};
use crate::world::socket::SocketId;
use crate::world::timing;

/// Which readiness engine to simulate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EngineKind {
    /// `epoll` with `EPOLLET`: Linux.
    Epoll,
    /// `kqueue` with `EV_CLEAR`: the BSDs and macOS.
    Kqueue,
    /// `poll`, with interest that is dropped when it fires: mio where it has nothing better.
    Poll,
}

impl EngineKind {
    /// All of them.
    pub const ALL: &[EngineKind] = &[EngineKind::Epoll, EngineKind::Kqueue, EngineKind::Poll];

    /// What makes this engine report a direction again.
    pub const fn rearm(self) -> Rearm {
        match self {
            EngineKind::Epoll | EngineKind::Kqueue => Rearm::OnArrival,
            EngineKind::Poll => Rearm::OnWouldBlock,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Epoll => "epoll",
            EngineKind::Kqueue => "kqueue",
            EngineKind::Poll => "poll",
        })
    }
}

/// The error of parsing an [`EngineKind`]: no engine has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownEngine;

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<EngineKind, UnknownEngine> {
        let named = |engine: &&EngineKind| engine.to_string() == name;
        EngineKind::ALL.iter().find(named).copied().ok_or(UnknownEngine)
    }
}

/// What an event speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Both,
    Side(Direction),
}

/// An event that is owed.
#[derive(Debug, Clone, Copy)]
struct Owed {
    socket: SocketId,
    scope: Scope,
    /// When it can be delivered at the earliest.
    due: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Registration {
    /// The directions whose event is owed; both, or neither, if the engine speaks of both at once.
    owed: [bool; 2],
    /// The directions that a one-shot engine watches; the others watch both for ever.
    armed: [bool; 2],
}

/// A readiness engine, with the sockets that are registered with it.
#[derive(Debug)]
pub(crate) struct SimEngine {
    kind: EngineKind,
    /// Indexed by socket.
    registrations: Vec<Option<Registration>>,
    owed: Vec<Owed>,
}

impl SimEngine {
    pub(crate) fn new(kind: EngineKind) -> SimEngine {
        SimEngine { kind, registrations: Vec::new(), owed: Vec::new() }
    }

    /// Watches a socket, and owes an event for what is the case already.
    pub(crate) fn register(&mut self, socket: SocketId, condition: Condition, now: Instant, dice: &mut Dice) {
        if self.registrations.len() <= socket.index() {
            self.registrations.resize(socket.index() + 1, None);
        }
        self.registrations[socket.index()] = Some(Registration { owed: [false; 2], armed: [true; 2] });
        self.report(socket, condition, now, dice);
    }

    /// Registers anew, for `direction` at least, what is registered: owes an event for what is the case.
    pub(crate) fn register_anew(
        &mut self,
        socket: SocketId,
        direction: Direction,
        condition: Condition,
        now: Instant,
        dice: &mut Dice,
    ) {
        self.on_would_block(socket, direction);
        self.report(socket, condition, now, dice);
    }

    fn report(&mut self, socket: SocketId, condition: Condition, now: Instant, dice: &mut Dice) {
        for &scope in self.scopes() {
            if self.compose(socket, scope, condition) != Readiness::NONE {
                self.owe(socket, scope, now, dice);
            }
        }
    }

    /// Forgets a socket, and every event that is owed for it.
    pub(crate) fn deregister(&mut self, socket: SocketId) {
        if let Some(registration) = self.registrations.get_mut(socket.index()).and_then(Option::take)
            && registration.owed.contains(&true)
        {
            self.owed.retain(|owed| owed.socket != socket);
        }
    }

    /// A registered socket changed.
    pub(crate) fn on_change(&mut self, socket: SocketId, change: Change, now: Instant, dice: &mut Dice) {
        let (receive, send) = (Scope::Side(Direction::Receive), Scope::Side(Direction::Send));
        let scopes: &[Scope] = match (self.kind, change) {
            (EngineKind::Epoll | EngineKind::Poll, _) => &[Scope::Both],
            (EngineKind::Kqueue, Change::Arrival | Change::End) => &[receive],
            (EngineKind::Kqueue, Change::Room | Change::Shut) => &[send],
            (EngineKind::Kqueue, Change::Dead) if dice.strikes(Fault::EventWriteSideAlone) => &[send],
            (EngineKind::Kqueue, Change::Dead) => &[receive, send],
        };
        for &scope in scopes {
            self.owe(socket, scope, now, dice);
        }
    }

    /// An attempt on a registered socket would have blocked, so there is nothing to tell of that side yet.
    pub(crate) fn on_would_block(&mut self, socket: SocketId, direction: Direction) {
        if let Some(registration) = self.registration_mut(socket) {
            registration.armed[direction as usize] = true;
        }
    }

    /// The events of one batch: those due, `events_max` at most, each saying what is the case now.
    pub(crate) fn collect(
        &mut self,
        now: Instant,
        events_max: usize,
        dice: &mut Dice,
        mut look: impl FnMut(SocketId) -> Condition,
    ) -> Vec<(SocketId, Readiness)> {
        let mut queue = std::mem::take(&mut self.owed);
        if queue.len() > 1 && dice.strikes(Fault::BatchPermuted) {
            dice.choice.shuffle(&mut queue);
        }
        let mut events_max = events_max;
        if queue.len() > 1 && dice.strikes(Fault::BatchTruncated) {
            events_max = events_max.min(1 + dice.choice.index(queue.len() - 1));
        }
        let mut events = Vec::new();
        for owed in queue {
            if owed.due > now || events.len() == events_max {
                self.owed.push(owed);
                continue;
            }
            self.settle(owed);
            let readiness = self.compose(owed.socket, owed.scope, look(owed.socket));
            if readiness != Readiness::NONE {
                self.disarm(owed.socket, readiness);
                events.push((owed.socket, readiness));
            }
        }
        events
    }

    /// When the next event that is held up can be delivered.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.owed.iter().map(|owed| owed.due).min()
    }

    /// Holds no event up any longer.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.owed.iter_mut().for_each(|owed| owed.due = owed.due.min(now));
    }

    /// Whether an event that wakes `direction` is owed.
    pub(crate) fn owes(&self, socket: SocketId, direction: Direction, condition: Condition) -> bool {
        self.owed.iter().filter(|owed| owed.socket == socket).any(|owed| {
            let readiness = self.compose(socket, owed.scope, condition);
            match direction {
                Direction::Receive => readiness.wakes_receive(),
                Direction::Send => readiness.wakes_send(),
            }
        })
    }

    fn scopes(&self) -> &'static [Scope] {
        match self.kind {
            EngineKind::Epoll | EngineKind::Poll => &[Scope::Both],
            EngineKind::Kqueue => &[Scope::Side(Direction::Receive), Scope::Side(Direction::Send)],
        }
    }

    fn registration_mut(&mut self, socket: SocketId) -> Option<&mut Registration> {
        self.registrations.get_mut(socket.index())?.as_mut()
    }

    /// Owes an event, unless the same one is owed already.
    fn owe(&mut self, socket: SocketId, scope: Scope, now: Instant, dice: &mut Dice) {
        let Some(registration) = self.registration_mut(socket) else { return };
        let owed = &mut registration.owed[scope.slot()];
        if !std::mem::replace(owed, true) {
            let due = if dice.strikes(Fault::EventDelayed) {
                now + dice.span(timing::EVENT_DELAY_MAX)
            } else {
                now
            };
            self.owed.push(Owed { socket, scope, due });
        }
    }

    fn settle(&mut self, owed: Owed) {
        if let Some(registration) = self.registration_mut(owed.socket) {
            registration.owed[owed.scope.slot()] = false;
        }
    }

    /// Drops the interest that has fired, if the engine is one-shot. A hang-up or an error ends the watch.
    fn disarm(&mut self, socket: SocketId, readiness: Readiness) {
        if self.kind != EngineKind::Poll {
            return;
        }
        if let Some(registration) = self.registration_mut(socket) {
            let last = readiness.intersects(Readiness::ERROR)
                || (readiness.intersects(Readiness::READ_CLOSED)
                    && readiness.intersects(Readiness::WRITE_CLOSED));
            registration.armed[0] &= !last && !readiness.intersects(Readiness::READABLE);
            registration.armed[1] &= !last && !readiness.intersects(Readiness::WRITABLE);
        }
    }

    /// What an event of this scope would say.
    fn compose(&self, socket: SocketId, scope: Scope, condition: Condition) -> Readiness {
        let registration = self.registrations.get(socket.index()).and_then(Option::as_ref);
        match (scope, registration) {
            (_, None) => Readiness::NONE,
            (Scope::Both, Some(_)) if self.kind == EngineKind::Epoll => both_sides(condition, [true; 2]),
            (Scope::Both, Some(registration)) => both_sides(condition, registration.armed),
            (Scope::Side(direction), Some(_)) => one_side(condition, direction),
        }
    }
}

impl Scope {
    /// Where a registration remembers that an event of this scope is owed.
    fn slot(self) -> usize {
        match self {
            Scope::Both => 0,
            Scope::Side(direction) => direction as usize,
        }
    }
}

/// The mask of poll(2), as mio reads it. Hang-ups and errors can not be masked, so a socket that is watched
/// at all is told.
pub(crate) fn both_sides(condition: Condition, armed: [bool; 2]) -> Readiness {
    if armed == [false; 2] {
        return Readiness::NONE;
    }
    let readable = armed[0] && (condition.arrived || condition.ended);
    let writable = armed[1] && (condition.room || condition.shut);
    let hung_up = condition.ended && condition.shut;
    let read_closed = hung_up || (readable && condition.ended);
    let write_closed = hung_up || (condition.error && (writable || !readable));
    flags([readable, writable, read_closed, write_closed, condition.error])
}

/// The filters of kqueue(2), as mio reads them.
fn one_side(condition: Condition, direction: Direction) -> Readiness {
    match direction {
        Direction::Receive => {
            let fires = condition.receives();
            flags([fires, false, condition.ended, false, condition.ended && condition.error])
        }
        Direction::Send => {
            let fires = condition.sends();
            flags([false, fires, false, condition.shut, condition.shut && condition.error])
        }
    }
}

/// Readiness of flags in the order in which [`Readiness`] declares them.
pub(crate) fn flags(set: [bool; 5]) -> Readiness {
    let all = [
        Readiness::READABLE,
        Readiness::WRITABLE,
        Readiness::READ_CLOSED,
        Readiness::WRITE_CLOSED,
        Readiness::ERROR,
    ];
    all.into_iter().zip(set).filter(|(_, set)| *set).fold(Readiness::NONE, |sum, (flag, _)| sum | flag)
}
