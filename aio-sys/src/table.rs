//! The descriptors, by connection.

use std::os::fd::{AsFd, OwnedFd};

use aio_model::{ConnId, Readiness};
use mio::{Interest, Token};

use crate::platform;
use crate::token;

/// What a receive proves that brings less than there was room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// It has found all there is.
    Drained,
    /// Nothing. On a Unix socket it ends behind a message that carried a descriptor; and of protocols that
    /// are neither TCP nor Unix (MPTCP, SCTP, vsock) nobody here knows where they end.
    Nothing,
    /// Nothing, and one that would block neither: there were urgent data. A receive ends at their mark; and
    /// one that begins there, while a signal waits to be handled, is told EAGAIN by Linux, whatever is behind
    /// the mark.
    NotEvenWouldBlock,
}

impl Proof {
    /// Of a socket whose short receives have found all there is, or not.
    pub(crate) fn of_short(drained: bool) -> Proof {
        if drained { Proof::Drained } else { Proof::Nothing }
    }
}

/// Two facts in one byte, so that an entry takes no more with them than without.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks(u8);

impl Marks {
    const NODELAY: u8 = 0b01;
    const KEEPS_PEER: u8 = 0b10;

    pub(crate) fn new(nodelay: bool, keeps_peer: bool) -> Marks {
        let nodelay = if nodelay { Marks::NODELAY } else { 0 };
        Marks(if keeps_peer { nodelay | Marks::KEEPS_PEER } else { nodelay })
    }

    /// Of a listener: whether what it accepts gets `TCP_NODELAY`.
    pub(crate) fn nodelay(self) -> bool {
        self.0 & Marks::NODELAY != 0
    }

    /// Of a listener: whether the addresses of those it accepts are kept; of what was accepted: whether its
    /// peer's is.
    pub(crate) fn keeps_peer(self) -> bool {
        self.0 & Marks::KEEPS_PEER != 0
    }
}

/// One connection or listener. Its drop closes the descriptor, and does not wait for the peer, whatever
/// `SO_LINGER` says.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) conn: ConnId,
    pub(crate) fd: OwnedFd,
    /// Whether somebody else may hold the open file, which then outlives the descriptor.
    pub(crate) shared: bool,
    pub(crate) marks: Marks,
    pub(crate) proof: Proof,
    /// The directions that an event is due for: not reported since they were registered or would have
    /// blocked. Only kept up for the engines that are [one-shot](crate::platform::ONE_SHOT).
    pub(crate) awaited: Option<Interest>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        platform::never_wait_in_close(self.fd.as_fd());
    }
}

impl Entry {
    /// There are urgent data, or there were.
    pub(crate) fn on_urgent(&mut self) {
        self.proof = Proof::NotEvenWouldBlock;
    }

    /// An event is due for `interest`: the last attempt would have blocked.
    pub(crate) fn await_event(&mut self, interest: Interest) -> Interest {
        let awaited = self.awaited.map_or(interest, |awaited| awaited.add(interest));
        self.awaited = Some(awaited);
        awaited
    }

    /// An event has come: none is due any more for what it tells to try.
    pub(crate) fn on_event(&mut self, readiness: Readiness) {
        let told =
            [(readiness.wakes_receive(), Interest::READABLE), (readiness.wakes_send(), Interest::WRITABLE)];
        for (_, interest) in told.into_iter().filter(|(told, _)| *told) {
            self.awaited = self.awaited.and_then(|awaited| awaited.remove(interest));
        }
    }
}

/// Every connection, at its slab index. As dense as the slab, 20 bytes an entry.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Option<Entry>>,
}

impl Table {
    /// What an entry takes.
    pub(crate) const ENTRY_BYTES: usize = size_of::<Option<Entry>>();

    #[inline(always)]
    pub(crate) fn get(&self, conn: ConnId) -> Option<&Entry> {
        self.entries.get(conn.index() as usize)?.as_ref().filter(|entry| entry.conn == conn)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Entry> {
        self.entries.get_mut(conn.index() as usize)?.as_mut().filter(|entry| entry.conn == conn)
    }

    /// The connection that an event is about; `None` if it has gone since.
    pub(crate) fn of_event(&mut self, token: Token) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(token::index(token) as usize)?.as_mut()?;
        (token::pack(entry.conn.key()) == Some(token)).then_some(entry)
    }

    /// Whether nobody has the place of `conn`.
    pub(crate) fn is_vacant(&self, conn: ConnId) -> bool {
        self.entries.get(conn.index() as usize).is_none_or(Option::is_none)
    }

    /// Whether there is memory for an entry in the place of `conn`: putting it in then allocates nothing.
    pub(crate) fn has_room(&mut self, conn: ConnId) -> bool {
        let (length, entries) = (conn.index() as usize + 1, &mut self.entries);
        let more = length.saturating_sub(entries.len());
        entries.try_reserve(more).is_ok() || entries.try_reserve_exact(more).is_ok()
    }

    /// Puts an entry in its place, which is vacant.
    pub(crate) fn insert(&mut self, entry: Entry) {
        debug_assert!(self.is_vacant(entry.conn));
        let index = entry.conn.index() as usize;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        self.entries[index] = Some(entry);
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Entry> {
        self.entries.get_mut(conn.index() as usize)?.take_if(|entry| entry.conn == conn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_20_bytes() {
        assert_eq!(Table::ENTRY_BYTES, 20);
    }
}
