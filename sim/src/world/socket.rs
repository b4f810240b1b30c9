//! Sockets: what a process holds descriptors of.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use aio_model::{ConnId, Kind};

use crate::world::link::{Change, Condition, Side};

/// Names a socket of the simulated system, for ever: ids are not reused, descriptors are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u32);

impl SocketId {
    pub(crate) fn new(index: usize) -> SocketId {
        SocketId(u32::try_from(index).expect("fewer than 2³² sockets in a run"))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// One end of one connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    pub(crate) link: u32,
    pub(crate) side: Side,
}

impl Endpoint {
    /// The other end.
    pub(crate) fn far(self) -> Endpoint {
        Endpoint { link: self.link, side: !self.side }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.link, self.side)
    }
}

/// Where a socket is registered, and under which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Registration {
    /// Index of the poller.
    pub(crate) poller: usize,
    pub(crate) conn: ConnId,
}

/// A socket that a process holds.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) descriptor: u32,
    pub(crate) what: What,
    /// Where it is registered, if it is.
    pub(crate) registration: Option<Registration>,
}

/// What a socket is.
#[derive(Debug)]
pub(crate) enum What {
    Stream(Endpoint),
    Listener(Listener),
}

impl Socket {
    pub(crate) fn kind(&self) -> Kind {
        match self.what {
            What::Stream(_) => Kind::Stream,
            What::Listener(_) => Kind::Listener,
        }
    }

    pub(crate) fn stream(&self) -> Option<Endpoint> {
        match self.what {
            What::Stream(end) => Some(end),
            What::Listener(_) => None,
        }
    }

    pub(crate) fn listener(&self) -> Option<&Listener> {
        match &self.what {
            What::Stream(_) => None,
            What::Listener(listener) => Some(listener),
        }
    }

    pub(crate) fn listener_mut(&mut self) -> Option<&mut Listener> {
        match &mut self.what {
            What::Stream(_) => None,
            What::Listener(listener) => Some(listener),
        }
    }
}

/// A listener: connections that wait to be accepted.
#[derive(Debug)]
pub(crate) struct Listener {
    backlog: VecDeque<u32>,
    backlog_max: usize,
    /// Accepts find nobody for now.
    held: bool,
    /// Those who are accepted have their peer's address for ever.
    pub(crate) keeps_peer: bool,
}

impl Listener {
    pub(crate) fn new(backlog_max: usize) -> Listener {
        Listener { backlog: VecDeque::new(), backlog_max, held: false, keeps_peer: false }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.backlog.len() >= self.backlog_max
    }

    /// How many connections an accept could find.
    pub(crate) fn pending(&self) -> usize {
        if self.held { 0 } else { self.backlog.len() }
    }

    pub(crate) fn condition(&self) -> Condition {
        Condition { arrived: self.pending() > 0, ..Condition::default() }
    }

    /// A connection arrives.
    pub(crate) fn push(&mut self, link: u32) -> Option<Change> {
        self.backlog.push_back(link);
        self.arrival()
    }

    /// Takes the connection that has waited longest.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        if self.held { None } else { self.backlog.pop_front() }
    }

    /// Hides the waiting connections.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// Lets the hidden connections arrive again.
    pub(crate) fn release(&mut self) -> Option<Change> {
        self.held = false;
        self.arrival()
    }

    /// Everyone who waits, when it is closed.
    pub(crate) fn into_backlog(self) -> VecDeque<u32> {
        self.backlog
    }

    fn arrival(&self) -> Option<Change> {
        (self.pending() > 0).then_some(Change::Arrival)
    }
}

/// The descriptors of a process. The lowest free one is given out, as POSIX has it, so that a number comes
/// round again as soon as it can.
#[derive(Debug)]
pub(crate) struct Descriptors {
    free: BTreeSet<u32>,
    /// All from here on were never given out.
    fresh: u32,
    pub(crate) count_max: u32,
}

impl Descriptors {
    pub(crate) fn new() -> Descriptors {
        Descriptors { free: BTreeSet::new(), fresh: 0, count_max: u32::MAX }
    }

    /// How many are taken.
    pub(crate) fn count(&self) -> u32 {
        self.fresh - u32::try_from(self.free.len()).expect("no more free ones than were given out")
    }

    /// The lowest free descriptor, unless the limit is reached.
    pub(crate) fn take(&mut self) -> Option<u32> {
        if self.count() >= self.count_max {
            return None;
        }
        let lowest = self.free.pop_first().unwrap_or_else(|| {
            self.fresh += 1;
            self.fresh - 1
        });
        Some(lowest)
    }

    pub(crate) fn give_back(&mut self, descriptor: u32) {
        let new = self.free.insert(descriptor);
        debug_assert!(new && descriptor < self.fresh, "a descriptor is given back once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_descriptor_is_next() {
        let mut descriptors = Descriptors::new();
        descriptors.count_max = 4;
        let taken: Vec<_> = (0..5).map(|_| descriptors.take()).collect();
        assert_eq!(taken, [Some(0), Some(1), Some(2), Some(3), None]);
        descriptors.give_back(2);
        descriptors.give_back(1);
        assert_eq!((descriptors.take(), descriptors.take(), descriptors.take()), (Some(1), Some(2), None));
    }

    #[test]
    fn a_held_listener_seems_empty_and_then_announces_all_at_once() {
        let mut listener = Listener::new(2);
        assert_eq!(listener.push(7), Some(Change::Arrival));
        listener.hold();
        assert_eq!((listener.push(8), listener.pop(), listener.pending()), (None, None, 0));
        assert!(listener.is_full());
        assert_eq!(listener.release(), Some(Change::Arrival));
        assert_eq!((listener.pop(), listener.pop(), listener.pop()), (Some(7), Some(8), None));
    }
}
