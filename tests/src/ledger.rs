//! An account of every operation: a proactor whose completions are held against what was submitted.

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use aio::{
    Accept, AcceptMany, Buffer, Builder, Close, CloseReason, Completion, ConnId, Connect, Counters, Done,
    OpError, OpId, Operation, Os, Post, Proactor, Recv, Request, Send, Shutdown, Sleep, SubmitErrorKind,
    System,
};

/// How long to wait for what should come at once: for ever, but a test that hangs must end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proactor of which every operation is booked when it is submitted. Each completion is checked against its
/// entry (it has one, and only one completion; connection, context, the very buffer; its place in its lane;
/// the kind of its result), and each turn against the model's invariants.
#[derive(Debug)]
pub struct Ledger<C, S: System = Os> {
    /// The proactor. What is submitted here, past the ledger, has no entry.
    pub aio: Proactor<C, S>,
    entries: HashMap<OpId, Entry<C>>,
    lanes: HashMap<(ConnId, Kind), VecDeque<OpId>>,
    ended: VecDeque<Completion<C>>,
    batch: Vec<Completion<C>>,
    finals: u64,
    bytes_received: u64,
    bytes_sent: u64,
    failed_turns: Vec<io::Error>,
}

#[derive(Debug)]
struct Entry<C> {
    conn: ConnId,
    context: C,
    kind: Kind,
    held: Held,
}

/// What an operation is, as far as its completion tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
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

/// An operation whose kind is known.
pub trait Booked<C>: Operation<C> {
    /// Its kind.
    const KIND: Kind;
}

macro_rules! booked {
    ($($operation:ty => $kind:ident),* $(,)?) => {
        $(impl<C: Clone> Booked<C> for $operation {
            const KIND: Kind = Kind::$kind;
        })*
    };
}

booked! {
    Recv => Receive,
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
enum Held {
    None,
    Lease { address: usize, capacity: usize },
    Memory { address: usize, len: usize },
    Parts(usize),
}

impl Held {
    fn of(buffer: &Buffer) -> Held {
        match buffer {
            Buffer::None => Held::None,
            Buffer::Lease(lease) => {
                Held::Lease { address: lease.as_ptr().addr(), capacity: lease.capacity() }
            }
            Buffer::Parts(_) => Held::Parts(buffer.len()),
            whole => Held::Memory { address: whole.as_slice().as_ptr().addr(), len: whole.len() },
        }
    }
}

impl<C: Copy + PartialEq + Debug> Ledger<C> {
    /// A ledger with no entries.
    ///
    /// # Panics
    ///
    /// When the proactor can not be built. As all methods do when something is not as it should be.
    pub fn new(builder: Builder) -> Ledger<C> {
        Ledger::of(builder.build().unwrap())
    }
}

impl<C: Copy + PartialEq + Debug, S: System> Ledger<C, S> {
    /// A ledger of a proactor that has done nothing yet.
    pub fn of(aio: Proactor<C, S>) -> Ledger<C, S> {
        Ledger {
            aio,
            entries: HashMap::new(),
            lanes: HashMap::new(),
            ended: VecDeque::new(),
            batch: Vec::with_capacity(64),
            finals: 0,
            bytes_received: 0,
            bytes_sent: 0,
            failed_turns: Vec::new(),
        }
    }

    /// Takes in a socket.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn adopt(&mut self, socket: impl Into<S::Socket>) -> ConnId {
        self.aio.adopt(socket).unwrap()
    }

    /// Submits an operation, and books it.
    ///
    /// # Panics
    ///
    /// When it is refused, or has the id of one that is under way.
    pub fn submit<O: Booked<C>>(&mut self, conn: ConnId, op: O, context: C) -> OpId {
        self.offer(conn, op, context).unwrap_or_else(|kind| panic!("{kind}"))
    }

    /// Submits an operation, and books it if it is accepted. If not, context and buffer come back as they
    /// were.
    ///
    /// # Errors
    ///
    /// The reason why it was refused.
    ///
    /// # Panics
    ///
    /// When it has the id of one that is under way, or something does not come back.
    pub fn offer<O: Booked<C>>(&mut self, conn: ConnId, op: O, context: C) -> Result<OpId, SubmitErrorKind> {
        let request = op.into_request();
        let (held, refused) = (Held::of(request.buffer()), self.aio.stats().counters.refused);
        let op = match self.aio.submit(conn, request, context) {
            Ok(op) => op,
            Err(error) => {
                assert_eq!((error.context, Held::of(&error.buffer)), (context, held));
                assert_eq!(self.aio.stats().counters.refused, refused + 1);
                return Err(error.kind);
            }
        };
        let entry = Entry { conn, context, kind: O::KIND, held };
        assert!(self.entries.insert(op, entry).is_none(), "{op} is the id of two operations");
        self.lanes.entry((conn, O::KIND)).or_default().push_back(op);
        Ok(op)
    }

    /// Submits an operation that is refused, with context and buffer as they were: the reason.
    ///
    /// # Panics
    ///
    /// When it is accepted, or something does not come back.
    pub fn refused(&mut self, conn: ConnId, op: impl Operation<C>, context: C) -> SubmitErrorKind {
        let request: Request<C> = op.into_request();
        let (held, refused) = (Held::of(request.buffer()), self.aio.stats().counters.refused);
        let error = self.aio.submit(conn, request, context).unwrap_err();
        assert_eq!((error.context, Held::of(&error.buffer)), (context, held));
        assert_eq!(self.aio.stats().counters.refused, refused + 1);
        error.kind
    }

    /// Takes a turn that does not wait.
    ///
    /// # Panics
    ///
    /// When something is not as it should be.
    pub fn poll(&mut self) {
        self.turn(Duration::ZERO);
    }

    /// The completions that nobody has looked at.
    pub fn completions(&mut self) -> VecDeque<Completion<C>> {
        std::mem::take(&mut self.ended)
    }

    /// What the turns failed with that failed since this was asked before. A test that does not ask expects
    /// none.
    pub fn failed_turns(&mut self) -> Vec<io::Error> {
        std::mem::take(&mut self.failed_turns)
    }

    /// Takes turns until there is a completion: the first that has not been looked at.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub fn completion(&mut self) -> Completion<C> {
        self.until("a completion", |ledger| !ledger.ended.is_empty());
        self.ended.pop_front().expect("one was waited for")
    }

    /// Takes turns until something holds.
    ///
    /// # Panics
    ///
    /// When it does not come to hold.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Ledger<C, S>) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            let left = PATIENCE.saturating_sub(start.elapsed());
            assert!(!left.is_zero(), "waited in vain for {what}: {:?}, {:?}", self.aio, self.entries);
            self.turn(left);
        }
    }

    /// Takes turns until there is nothing to do without the peers.
    ///
    /// # Panics
    ///
    /// When there always is.
    pub fn until_stuck(&mut self) {
        let (start, mut attempts) = (Instant::now(), None);
        while attempts != Some(self.aio.stats().counters.attempts) || self.aio.is_busy() {
            assert!(start.elapsed() < PATIENCE, "{:?}", self.aio);
            attempts = Some(self.aio.stats().counters.attempts);
            // One of two turns asks for events.
            self.poll();
            self.poll();
        }
    }

    /// Whether every completion has been looked at.
    pub fn is_settled(&self) -> bool {
        self.ended.is_empty()
    }

    /// Shuts the proactor down. What is still under way ends so, and nothing is left.
    ///
    /// # Panics
    ///
    /// When a completion has not been looked at, or something is left.
    pub fn finish(mut self) -> Counters {
        assert!(self.is_settled(), "nobody looked at {:?}", self.ended);
        self.aio.shut_down();
        self.drain();
        for done in self.ended.drain(..) {
            assert_eq!(done.result, Err(OpError::Closed(CloseReason::ShutDown)), "{done:?}");
        }
        self.finished()
    }

    /// Takes turns until the proactor, which was shut down, says that it is done.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn drain(&mut self) {
        let start = Instant::now();
        while self.turn(PATIENCE) {
            assert!(start.elapsed() < PATIENCE, "{:?}, {:?}", self.aio, self.entries);
        }
        assert!(!self.turn(PATIENCE), "it is done for good");
    }

    /// Says that nothing is left, after a [`drain`](Ledger::drain): no operation, connection, or buffer.
    ///
    /// # Panics
    ///
    /// When something is.
    pub fn finished(self) -> Counters {
        let stats = self.aio.stats().counters;
        assert!(self.entries.is_empty(), "operations without a completion: {:?}", self.entries);
        assert!(self.is_settled(), "nobody looked at {:?}", self.ended);
        assert!(self.failed_turns.is_empty(), "nobody looked at {:?}", self.failed_turns);
        assert_eq!(
            (self.aio.stats().credits, self.aio.stats().connections, self.aio.stats().leases),
            (0, 0, 0)
        );
        assert_eq!((stats.submitted, stats.opened), (self.finals, stats.closed));
        assert_eq!((stats.bytes_received, stats.bytes_sent), (self.bytes_received, self.bytes_sent));
        stats
    }

    /// Takes a turn that waits no longer than so. Whether there is to be another.
    ///
    /// # Panics
    ///
    /// When something is not as it should be.
    pub fn turn(&mut self, timeout: Duration) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let goes_on = self.aio.turn(&mut batch, Some(timeout)).unwrap_or_else(|error| {
            self.failed_turns.push(error);
            true
        });
        assert_eq!(self.aio.check(), Ok(()));
        for done in batch.drain(..) {
            self.hold_against_entry(&done);
            self.ended.push_back(done);
        }
        self.batch = batch;
        goes_on
    }

    fn hold_against_entry(&mut self, done: &Completion<C>) {
        let entry = self.entries.get(&done.op);
        let Entry { conn, context, kind, held } = entry.unwrap_or_else(|| panic!("no entry has {done:?}"));
        assert_eq!(done.context, *context, "{done:?}");
        assert!(done.conn == *conn || *kind == Kind::Connect, "{done:?}");
        match (kind, done.result) {
            (Kind::Receive, Ok(Done::Received { end_of_stream })) => {
                assert_eq!(end_of_stream, done.bytes == 0, "{done:?}");
            }
            (Kind::Send, Ok(Done::Sent)) => assert!(done.bytes > 0, "{done:?}"),
            (Kind::Send, Ok(Done::ShutDown) | Err(OpError::Tainted))
            | (Kind::Accept, _)
            | (Kind::Connect, Ok(Done::Connected))
            | (Kind::Unqueued, Ok(Done::Closed | Done::Elapsed | Done::Posted)) => {
                assert_eq!(done.bytes, 0, "{done:?}");
            }
            (_, Err(_)) => {}
            (_, Ok(_)) => panic!("the result of another operation: {done:?}"),
        }
        if *held == Held::None && *kind == Kind::Receive {
            match &done.buffer {
                Buffer::Lease(lease) => {
                    assert!(lease.len() as u64 == done.bytes && done.bytes > 0, "{done:?}");
                }
                other => assert!(matches!(other, Buffer::None) && done.bytes == 0, "{done:?}"),
            }
        } else {
            assert_eq!(Held::of(&done.buffer), *held, "{done:?}");
        }
        match kind {
            Kind::Receive => self.bytes_received += done.bytes,
            Kind::Send => self.bytes_sent += done.bytes,
            Kind::Accept | Kind::Connect | Kind::Unqueued => {}
        }
        if !done.more {
            self.strike(done, *kind);
        }
    }

    /// Takes the entry of a final completion out.
    fn strike(&mut self, done: &Completion<C>, kind: Kind) {
        self.finals += 1;
        let entry = self.entries.remove(&done.op).expect("it was booked");
        let lane = self.lanes.get_mut(&(entry.conn, kind)).expect("it was booked");
        let place = lane.iter().position(|op| *op == done.op).expect("it was booked");
        lane.remove(place);
        let may_overtake = matches!(done.result, Err(OpError::Deadline | OpError::Cancelled));
        assert!(
            place == 0 || may_overtake || matches!(kind, Kind::Connect | Kind::Unqueued),
            "{place} operations overtaken: {done:?}"
        );
        if done.result == Ok(Done::Closed) {
            let left = self.entries.values().find(|entry| entry.conn == done.conn);
            assert!(left.is_none(), "closed before {left:?} ended");
        }
    }
}
