//! The entries of a ledger: what was submitted, and whether a completion is right.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;

use aio::{
    Accept, AcceptMany, Buffer, Close, Completion, ConnId, Connect, Done, OpError, OpId, Operation, Post,
    Recv, Request, Send, Shutdown, Sleep, Wait,
};

/// What an operation is, as far as its completion tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A receive.
    Receive,
    /// A send, or the shutdown that comes after it.
    Send,
    /// An accept.
    Accept,
    /// A connect, of whose completion the connection is news.
    Connect,
    /// What queues in no lane.
    Unqueued,
}

impl EntryKind {
    const ALL: [EntryKind; 5] =
        [EntryKind::Receive, EntryKind::Send, EntryKind::Accept, EntryKind::Connect, EntryKind::Unqueued];
}

/// A wait for bytes.
#[derive(Debug)]
pub struct Readable;

/// A wait for room.
#[derive(Debug)]
pub struct Writable;

impl<C> Operation<C> for Readable {
    fn into_request(self) -> Request<C> {
        Wait::readable().into_request()
    }
}

impl<C> Operation<C> for Writable {
    fn into_request(self) -> Request<C> {
        Wait::writable().into_request()
    }
}

/// An operation whose kind is known.
pub trait Booked<C>: Operation<C> {
    /// Its kind.
    const KIND: EntryKind;
}

macro_rules! booked {
    ($($operation:ty => $kind:ident),* $(,)?) => {
        $(impl<C: Clone> Booked<C> for $operation {
            const KIND: EntryKind = EntryKind::$kind;
        })*
    };
}

booked! {
    Recv => Receive,
    Readable => Receive,
    Writable => Send,
    Send => Send,
    Shutdown => Send,
    Accept => Accept,
    AcceptMany => Accept,
    Connect => Connect,
    Close => Unqueued,
    Sleep => Unqueued,
    Post => Unqueued,
}

/// A buffer as it was handed over: where its bytes lie and how many they are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    None,
    /// With so many bytes in it.
    Lease {
        address: usize,
        capacity: usize,
        len: usize,
    },
    Memory {
        address: usize,
        len: usize,
    },
    Parts(usize),
}

impl Held {
    pub(crate) fn of(buffer: &Buffer) -> Held {
        match buffer {
            Buffer::None => Held::None,
            Buffer::Lease(lease) => {
                let (address, capacity) = (lease.as_ptr().addr(), lease.capacity());
                Held::Lease { address, capacity, len: lease.len() }
            }
            Buffer::Parts(_) => Held::Parts(buffer.len()),
            whole => Held::Memory { address: whole.as_slice().as_ptr().addr(), len: whole.len() },
        }
    }
}

/// An operation that was accepted.
#[derive(Debug)]
pub(crate) struct LedgerEntry<C> {
    pub(crate) conn: ConnId,
    pub(crate) context: C,
    pub(crate) kind: EntryKind,
    pub(crate) held: Held,
}

/// The operations that have no completion yet, and how many have one.
#[derive(Debug)]
pub(crate) struct Entries<C> {
    entries: HashMap<OpId, LedgerEntry<C>>,
    /// Those of each kind on each connection, in the order of their submission; none is empty.
    lanes: HashMap<(ConnId, EntryKind), VecDeque<OpId>>,
    pub(crate) opened: u64,
    pub(crate) ended: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

impl<C> Default for Entries<C> {
    fn default() -> Entries<C> {
        let (entries, lanes) = (HashMap::new(), HashMap::new());
        Entries { entries, lanes, opened: 0, ended: 0, bytes_received: 0, bytes_sent: 0 }
    }
}

/// What is wrong, unless something holds.
fn ensure(holds: bool, wrong: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong.to_owned()) }
}

impl<C: Copy + PartialEq + Debug> Entries<C> {
    /// An operation was accepted. An error says what is wrong with it.
    pub(crate) fn open(&mut self, op: OpId, entry: LedgerEntry<C>) -> Result<(), String> {
        self.opened += 1;
        self.lanes.entry((entry.conn, entry.kind)).or_default().push_back(op);
        match self.entries.insert(op, entry) {
            None => Ok(()),
            Some(other) => Err(format!("{op} is also the id of {other:?}")),
        }
    }

    /// How many operations have no completion yet.
    pub(crate) fn open_now(&self) -> usize {
        self.entries.len()
    }

    /// A completion came. An error says what is wrong with it; a final one ends its operation all the same.
    pub(crate) fn complete(&mut self, done: &Completion<C>) -> Result<(), String> {
        let Some(entry) = self.entries.get(&done.op) else {
            return Err("it has no entry: never submitted, or completed before".to_owned());
        };
        let matching = matches(entry, done);
        match entry.kind {
            EntryKind::Receive => self.bytes_received += done.bytes,
            EntryKind::Send => self.bytes_sent += done.bytes,
            EntryKind::Accept | EntryKind::Connect | EntryKind::Unqueued => {}
        }
        let order = if done.more { Ok(()) } else { self.strike(done) };
        matching.and(order)
    }

    /// Takes the entry of a final completion out.
    fn strike(&mut self, done: &Completion<C>) -> Result<(), String> {
        self.ended += 1;
        let LedgerEntry { conn, kind, .. } = self.entries.remove(&done.op).expect("it has an entry");
        let lane = self.lanes.get_mut(&(conn, kind)).expect("an entry is in a lane");
        let place = lane.iter().position(|op| *op == done.op).expect("an entry is in its lane");
        lane.remove(place);
        if lane.is_empty() {
            self.lanes.remove(&(conn, kind));
        }
        let may_overtake = matches!(done.result, Err(OpError::Deadline | OpError::Cancelled))
            || matches!(kind, EntryKind::Connect | EntryKind::Unqueued);
        ensure(place == 0 || may_overtake, "it has overtaken others")?;
        let is_last = || EntryKind::ALL.iter().all(|kind| !self.lanes.contains_key(&(done.conn, *kind)));
        ensure(done.result != Ok(Done::Closed) || is_last(), "closed before all others have ended")
    }
}

/// What is wrong with a completion of that operation, its order apart.
fn matches<C: PartialEq>(entry: &LedgerEntry<C>, done: &Completion<C>) -> Result<(), String> {
    let LedgerEntry { conn, context, kind, held } = entry;
    ensure(done.context == *context, "its context is another one's")?;
    ensure(done.conn == *conn || *kind == EntryKind::Connect, "its connection is another one")?;
    match (kind, done.result) {
        (EntryKind::Receive, Ok(Done::Received { end_of_stream })) => {
            ensure(end_of_stream == (done.bytes == 0), "end of stream and bytes do not agree")
        }
        (EntryKind::Send, Ok(Done::Sent)) => ensure(done.bytes > 0, "nothing was sent"),
        (EntryKind::Receive | EntryKind::Send, Ok(Done::Ready))
        | (EntryKind::Send, Ok(Done::ShutDown) | Err(OpError::Tainted))
        | (EntryKind::Accept, _)
        | (EntryKind::Connect, Ok(Done::Connected))
        | (EntryKind::Unqueued, Ok(Done::Closed | Done::Elapsed | Done::Posted)) => {
            ensure(done.bytes == 0, "it has bytes")
        }
        (_, Err(_)) => Ok(()),
        (_, Ok(_)) => Err("its result is that of another operation".to_owned()),
    }?;
    let buffer = Held::of(&done.buffer);
    let same = match (kind, held, &done.buffer) {
        (EntryKind::Receive, Held::None, Buffer::Lease(lease)) => {
            lease.len() as u64 == done.bytes && done.bytes > 0
        }
        (EntryKind::Receive, Held::None, Buffer::None) => done.bytes == 0,
        // What is received into it changes how many they are.
        (EntryKind::Receive, Held::Lease { address, capacity, .. }, Buffer::Lease(lease)) => {
            (lease.as_ptr().addr(), lease.capacity()) == (*address, *capacity)
        }
        // Its pool had lent too many for it to be sent as it was (B3).
        (EntryKind::Send, Held::Lease { len, .. }, Buffer::Vec(copy)) => copy.len() == *len,
        _ => buffer == *held,
    };
    if same { Ok(()) } else { Err(format!("its buffer is {buffer:?}, and was {held:?}")) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aio::Proactor;

    use super::*;

    fn open(
        entries: &mut Entries<u8>,
        op: OpId,
        conn: ConnId,
        context: u8,
        kind: EntryKind,
    ) -> Result<(), String> {
        entries.open(op, LedgerEntry { conn, context, kind, held: Held::None })
    }

    fn posted() -> Completion<u8> {
        let mut aio = Proactor::new().unwrap();
        aio.submit(aio.own(), Post::new(), 0).unwrap();
        crate::turns::complete(&mut aio, 1).remove(0)
    }

    #[test]
    fn one_completion_ends_an_entry() {
        let (mut entries, done) = (Entries::default(), posted());
        open(&mut entries, done.op, done.conn, 0, EntryKind::Unqueued).unwrap();
        assert_eq!(entries.open_now(), 1);
        assert_eq!(entries.complete(&done), Ok(()));
        assert_eq!((entries.open_now(), entries.opened, entries.ended), (0, 1, 1));
    }

    #[test]
    fn a_completion_of_nothing_a_second_one_and_a_second_operation_are_wrong() {
        let (mut entries, done) = (Entries::default(), posted());
        assert!(entries.complete(&done).is_err());
        open(&mut entries, done.op, done.conn, 0, EntryKind::Unqueued).unwrap();
        assert_eq!(entries.complete(&done), Ok(()));
        assert!(entries.complete(&done).is_err());
        open(&mut entries, done.op, done.conn, 0, EntryKind::Unqueued).unwrap();
        assert!(open(&mut entries, done.op, done.conn, 0, EntryKind::Unqueued).is_err());
    }

    #[test]
    fn what_does_not_match_its_entry_is_wrong() {
        let done = posted();
        let mut other = aio_model::testing::Ids::default();
        for (conn, context, kind, held) in [
            (other.open(), 0, EntryKind::Unqueued, Held::None),
            (done.conn, 1, EntryKind::Unqueued, Held::None),
            (done.conn, 0, EntryKind::Send, Held::None),
            (done.conn, 0, EntryKind::Unqueued, Held::Parts(0)),
        ] {
            let mut entries = Entries::default();
            entries.open(done.op, LedgerEntry { conn, context, kind, held }).unwrap();
            assert!(entries.complete(&done).is_err());
            assert_eq!((entries.open_now(), entries.ended), (0, 1), "it has ended all the same");
        }
    }

    #[test]
    fn a_close_before_the_others_and_one_that_overtakes_are_wrong() {
        let (mut aio, mut entries) = (Proactor::new().unwrap(), Entries::default());
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let conn = aio.adopt(ours).unwrap();
        for context in 0..2 {
            let op = aio.submit(conn, Recv::pooled().within(Duration::MAX), context).unwrap();
            open(&mut entries, op, conn, context, EntryKind::Receive).unwrap();
        }
        let op = aio.submit(conn, Close::now(), 2).unwrap();
        open(&mut entries, op, conn, 2, EntryKind::Unqueued).unwrap();
        let ends = crate::turns::complete(&mut aio, 3);
        assert_eq!(ends[2].result, Ok(Done::Closed));
        let right: Vec<bool> = ends.iter().rev().map(|done| entries.complete(done).is_ok()).collect();
        assert_eq!(right, [false, false, true]);
    }
}
