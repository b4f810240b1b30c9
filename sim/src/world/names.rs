//! Which socket a connection id names, and which ids have been closed.

use std::collections::VecDeque;

use aio_model::ConnId;

use crate::world::socket::SocketId;

/// How many closed ids are remembered, to make stale events of.
const CLOSED_MAX: usize = 16;

/// The ids that one poller knows.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Indexed by the index of the id: who has it now, and who had it last.
    slots: Vec<Slot>,
    closed: VecDeque<ConnId>,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    open: Option<(ConnId, SocketId)>,
    closed: Option<ConnId>,
}

/// What is known of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Open(SocketId),
    Closed,
    Never,
}

impl Names {
    /// What `conn` names.
    pub(crate) fn look_up(&self, conn: ConnId) -> Known {
        let Some(slot) = self.slots.get(conn.index() as usize) else { return Known::Never };
        match slot.open {
            Some((open, socket)) if open == conn => return Known::Open(socket),
            _ => {}
        }
        match slot.closed {
            Some(closed) if closed.realm() == conn.realm() && closed >= conn => Known::Closed,
            _ => Known::Never,
        }
    }

    /// Whether the id is new, and its place free.
    pub(crate) fn is_free(&self, conn: ConnId) -> bool {
        let taken = self.slots.get(conn.index() as usize).is_some_and(|slot| slot.open.is_some());
        !taken && self.look_up(conn) == Known::Never
    }

    /// Gives a socket its name.
    pub(crate) fn insert(&mut self, conn: ConnId, socket: SocketId) {
        let index = conn.index() as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, Slot::default());
        }
        self.slots[index].open = Some((conn, socket));
    }

    /// Takes the name back.
    pub(crate) fn remove(&mut self, conn: ConnId) {
        if let Some(slot) = self.slots.get_mut(conn.index() as usize) {
            slot.open = None;
            slot.closed = Some(conn);
        }
        if self.closed.len() == CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(conn);
    }

    /// All ids in use, by index.
    pub(crate) fn open(&self) -> impl Iterator<Item = (ConnId, SocketId)> {
        self.slots.iter().filter_map(|slot| slot.open)
    }

    /// Some ids that were closed lately, the latest last.
    pub(crate) fn closed(&mut self) -> &[ConnId] {
        self.closed.make_contiguous()
    }
}

#[cfg(test)]
mod tests {
    use aio_model::testing::Ids;

    use super::*;

    #[test]
    fn names_are_open_then_closed_and_never_again() {
        let mut ids = Ids::default();
        let (mut names, socket) = (Names::default(), SocketId::new(3));
        let first = ids.open();
        assert!(names.is_free(first));
        names.insert(first, socket);
        assert_eq!((names.look_up(first), names.is_free(first)), (Known::Open(socket), false));
        names.remove(first);
        assert_eq!((names.look_up(first), names.is_free(first)), (Known::Closed, false));
        let second = ids.reopen(first);
        assert_eq!(second.index(), first.index());
        assert_eq!((names.look_up(second), names.is_free(second)), (Known::Never, true));
        names.insert(second, socket);
        assert_eq!((names.look_up(first), names.open().count()), (Known::Closed, 1));
        assert_eq!(names.closed(), [first]);
    }
}
