//! An account of every operation: a proactor whose completions are held against what was submitted.

mod entries;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::time::{Duration, Instant};

use aio::{
    Builder, CloseReason, Completion, ConnId, Counters, OpError, OpId, Operation, Os, Proactor, Request,
    SubmitErrorKind, System,
};

pub use entries::{Booked, EntryKind, Readable, Writable};
pub(crate) use entries::{Entries, Held, LedgerEntry};

/// How long to wait for what should come at once: for ever, but a test that hangs must end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proactor of which every operation is booked when it is submitted. Each completion is checked against its
/// entry (it has one, and only one completion; connection, context, the very buffer; its place in its lane;
/// the kind of its result), and each turn against the model's invariants.
#[derive(Debug)]
pub struct Ledger<C, S: System = Os> {
    /// The proactor. What is submitted here, past the ledger, has no entry.
    pub aio: Proactor<C, S>,
    entries: Entries<C>,
    ended: VecDeque<Completion<C>>,
    batch: Vec<Completion<C>>,
    failed_turns: Vec<io::Error>,
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
            entries: Entries::default(),
            ended: VecDeque::new(),
            batch: Vec::with_capacity(64),
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
        let entry = LedgerEntry { conn, context, kind: O::KIND, held };
        self.entries.open(op, entry).unwrap_or_else(|wrong| panic!("{wrong}"));
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
        assert_eq!(self.entries.open_now(), 0, "operations without a completion: {:?}", self.entries);
        assert!(self.is_settled(), "nobody looked at {:?}", self.ended);
        assert!(self.failed_turns.is_empty(), "nobody looked at {:?}", self.failed_turns);
        let left = self.aio.stats();
        assert_eq!((left.credits, left.connections, left.leases), (0, 0, 0));
        assert_eq!((stats.submitted, stats.opened), (self.entries.ended, stats.closed));
        let Entries { bytes_received, bytes_sent, .. } = self.entries;
        assert_eq!((stats.bytes_received, stats.bytes_sent), (bytes_received, bytes_sent));
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
            self.entries.complete(&done).unwrap_or_else(|wrong| panic!("{wrong}: {done:?}"));
            self.ended.push_back(done);
        }
        self.batch = batch;
        goes_on
    }
}
