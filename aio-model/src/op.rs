//! Operations: what a user submits, as values, and what becomes of one inside of the model.

use core::fmt;
use core::time::Duration;

use crate::buffer::Buffer;
use crate::completion::{Completion, Done, OpError};
use crate::id::{ConnId, OpId};
use crate::lane::Direction;
use crate::list::Link;
use crate::pool::PoolId;
use crate::time::{Deadline, Instant};
use crate::timers::TimerId;

/// Something that can be submitted on a connection: [`Recv`], [`Send`], [`Accept`], [`Shutdown`], [`Close`].
pub trait Operation<C> {
    /// The operation in the model's terms.
    fn into_request(self) -> Request<C>;
}

/// An operation in the model's terms. Opaque: the nouns of this module make one.
#[derive(Debug)]
pub struct Request<C> {
    pub(crate) work: Work<C>,
    pub(crate) buffer: Buffer,
    pub(crate) deadline: Option<Deadline>,
}

impl<C> Request<C> {
    /// The buffer that goes with it.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Sets or replaces the deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Deadline) -> Request<C> {
        self.deadline = Some(deadline);
        self
    }
}

impl<C> Operation<C> for Request<C> {
    fn into_request(self) -> Request<C> {
        self
    }
}

/// What an operation has to do.
pub(crate) enum Work<C> {
    /// Receive into the operation's buffer: any bytes, or all it can hold.
    Recv { exact: bool },
    /// Receive any bytes into a lease, taken when there is something to read.
    RecvPooled { pool: PoolId },
    /// Send `buffer[start..end]`.
    Send { start: usize, end: usize },
    /// Accept one connection, or with a way to copy the context, one after the other.
    Accept { many: Option<fn(&C) -> C> },
    /// Send FIN once the sends before it are done.
    Shutdown,
    /// Close the connection: at once, or when its queued sends are done.
    Close { flush: bool },
    /// Wait for a point in time.
    Sleep,
    /// Complete at once.
    Post,
}

// By hand: a derive would ask the same of the context, which is not in here.
impl<C> Clone for Work<C> {
    fn clone(&self) -> Work<C> {
        *self
    }
}

impl<C> Copy for Work<C> {}

impl<C> fmt::Debug for Work<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Recv { exact: false } => f.write_str("recv"),
            Work::Recv { exact: true } => f.write_str("recv_exact"),
            Work::RecvPooled { pool } => write!(f, "recv_pooled({pool:?})"),
            Work::Send { start, end } => write!(f, "send({start}..{end})"),
            Work::Accept { many: None } => f.write_str("accept_one"),
            Work::Accept { many: Some(_) } => f.write_str("accept_many"),
            Work::Shutdown => f.write_str("shutdown"),
            Work::Close { flush: false } => f.write_str("close"),
            Work::Close { flush: true } => f.write_str("close_flush"),
            Work::Sleep => f.write_str("sleep"),
            Work::Post => f.write_str("post"),
        }
    }
}

impl<C> Work<C> {
    /// The lane that it queues in. A close queues in none, nor does what is of no connection.
    pub(crate) fn direction(&self) -> Option<Direction> {
        match self {
            Work::Recv { .. } | Work::RecvPooled { .. } | Work::Accept { .. } => Some(Direction::Receive),
            Work::Send { .. } | Work::Shutdown => Some(Direction::Send),
            Work::Close { .. } | Work::Sleep | Work::Post => None,
        }
    }
}

macro_rules! deadline {
    ($type:ident) => {
        impl $type {
            /// Ends the operation with [`OpError::Deadline`] if it is not complete this long after its submission,
            /// its wait in the queue included. `Duration::MAX` never comes.
            pub fn within(mut self, span: Duration) -> $type {
                self.deadline = Some(Deadline::Within(span));
                self
            }

            /// Ends the operation with [`OpError::Deadline`] if it is not complete at `at`.
            pub fn deadline(mut self, at: Instant) -> $type {
                self.deadline = Some(Deadline::At(at));
                self
            }
        }
    };
}

/// Receives bytes from a stream.
///
/// The operation ends with `Received`; at the end of the stream with 0 bytes and `end_of_stream`. The buffer
/// comes back with the completion, filled from its front with [`Completion::bytes`] bytes, whatever the outcome.
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Recv {
    source: RecvInto,
    deadline: Option<Deadline>,
}

#[derive(Debug)]
enum RecvInto {
    Any(Buffer),
    Exact(Buffer),
    Pool(PoolId),
}

impl Recv {
    /// Receives at least one byte into `buffer`: a `Vec<u8>` or a `Box<[u8]>`, into its length, not its capacity;
    /// or a lease, into all of its [capacity](crate::Lease::capacity).
    ///
    /// A vector comes back as long as it was: send `Send::new(buffer).first(count)` to send what was received.
    pub fn into(buffer: impl Into<Buffer>) -> Recv {
        Recv { source: RecvInto::Any(buffer.into()), deadline: None }
    }

    /// Receives until `buffer` is full. If the stream ends before, the operation fails with
    /// [`OpError::UnexpectedEof`], and the bytes that did come are in the buffer.
    pub fn exact(buffer: impl Into<Buffer>) -> Recv {
        Recv { source: RecvInto::Exact(buffer.into()), deadline: None }
    }

    /// Receives at least one byte into a buffer of the default pool, which is lent only once there is something
    /// to read: an idle connection holds no buffer. The completion carries a [`Lease`](crate::Lease).
    pub fn pooled() -> Recv {
        Recv::pooled_from(PoolId::DEFAULT)
    }

    /// [`pooled`](Recv::pooled), from a pool of choice.
    pub fn pooled_from(pool: PoolId) -> Recv {
        Recv { source: RecvInto::Pool(pool), deadline: None }
    }
}

deadline!(Recv);

impl<C> Operation<C> for Recv {
    fn into_request(self) -> Request<C> {
        let (work, buffer) = match self.source {
            RecvInto::Any(buffer) => (Work::Recv { exact: false }, buffer),
            RecvInto::Exact(buffer) => (Work::Recv { exact: true }, buffer),
            RecvInto::Pool(pool) => (Work::RecvPooled { pool }, Buffer::None),
        };
        Request { work, buffer, deadline: self.deadline }
    }
}

/// Sends all bytes of a buffer, or of a range of it.
///
/// Ends with `Sent` when the kernel took them all. The buffer comes back on every outcome, and
/// [`Completion::bytes`] says how many the kernel took. If it took some but not all, the lane is *tainted*:
/// the sends behind this one end with [`OpError::Tainted`], until the lane is resumed.
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Send {
    buffer: Buffer,
    start: usize,
    end: Option<usize>,
    deadline: Option<Deadline>,
}

impl Send {
    /// Sends all of `buffer`: a `Vec<u8>`, `Bytes`, a lease, static bytes, or several of them as [`Parts`], such as
    /// a header and a shared body, without copying them together.
    ///
    /// [`Parts`]: crate::Parts
    pub fn new(buffer: impl Into<Buffer>) -> Send {
        Send { buffer: buffer.into(), start: 0, end: None, deadline: None }
    }

    /// Leaves out the first `count` bytes: to resend what is left of a send that ended after `count`.
    pub fn skip(mut self, count: usize) -> Send {
        self.start = count;
        self
    }

    /// Sends only up to the `end`-th byte of the buffer: of a receive buffer, what was received.
    pub fn first(mut self, end: usize) -> Send {
        self.end = Some(end);
        self
    }
}

deadline!(Send);

impl<C> Operation<C> for Send {
    fn into_request(self) -> Request<C> {
        let end = self.end.unwrap_or(self.buffer.len());
        Request { work: Work::Send { start: self.start, end }, buffer: self.buffer, deadline: self.deadline }
    }
}

/// Accepts connections from a listener. Each ends with `Accepted`, which names the new connection.
///
/// Accepting pauses by itself while connections are at their limit or descriptors run out.
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Accept {
    deadline: Option<Deadline>,
}

/// [`Accept::many`].
#[derive(Debug)]
#[must_use = "submit it"]
pub struct AcceptMany {
    deadline: Option<Deadline>,
}

impl Accept {
    /// Accepts one connection.
    pub fn one() -> Accept {
        Accept { deadline: None }
    }

    /// Accepts one connection after the other: a completion each, with a clone of the context and
    /// [`more`](Completion::more) set, until a final one (cancel, close, an error). Each completion takes a
    /// credit of its own while it waits to be taken; with `ops_max` at 1 there is none, and the first connection
    /// comes with the final completion.
    pub fn many() -> AcceptMany {
        AcceptMany { deadline: None }
    }
}

deadline!(Accept);
deadline!(AcceptMany);

impl<C> Operation<C> for Accept {
    fn into_request(self) -> Request<C> {
        Request { work: Work::Accept { many: None }, buffer: Buffer::None, deadline: self.deadline }
    }
}

impl<C: Clone> Operation<C> for AcceptMany {
    fn into_request(self) -> Request<C> {
        let many: fn(&C) -> C = C::clone;
        Request { work: Work::Accept { many: Some(many) }, buffer: Buffer::None, deadline: self.deadline }
    }
}

/// Sends FIN after the sends queued before it; receiving goes on. Ends with `ShutDown`.
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Shutdown {
    deadline: Option<Deadline>,
}

impl Shutdown {
    /// Shuts the write side down.
    pub fn write() -> Shutdown {
        Shutdown { deadline: None }
    }
}

deadline!(Shutdown);

impl<C> Operation<C> for Shutdown {
    fn into_request(self) -> Request<C> {
        Request { work: Work::Shutdown, buffer: Buffer::None, deadline: self.deadline }
    }
}

/// Closes a connection or a listener, and completes with `Closed` when all its other operations have: nothing
/// comes from this connection after it.
///
/// A close can not be cancelled. Use `close(conn)` when nobody needs to know.
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Close {
    flush: bool,
    deadline: Option<Deadline>,
}

impl Close {
    /// Closes at once: every queued operation ends with [`OpError::Closed`].
    pub fn now() -> Close {
        Close { flush: false, deadline: None }
    }

    /// Lets the queued sends finish first. Receives end at once; a deadline turns it into [`Close::now`].
    pub fn flush() -> Close {
        Close { flush: true, deadline: None }
    }
}

impl Close {
    /// Ends the flushing after that long: what is not sent by then ends with [`OpError::Closed`]. A close itself
    /// always ends with `Closed`.
    pub fn within(mut self, span: Duration) -> Close {
        self.deadline = Some(Deadline::Within(span));
        self
    }

    /// Ends the flushing at `at`, as [`within`](Close::within) does.
    pub fn deadline(mut self, at: Instant) -> Close {
        self.deadline = Some(Deadline::At(at));
        self
    }
}

impl<C> Operation<C> for Close {
    fn into_request(self) -> Request<C> {
        Request { work: Work::Close { flush: self.flush }, buffer: Buffer::None, deadline: self.deadline }
    }
}

/// Waits for a point in time, and ends with `Elapsed` in the first turn at or after it, rounded up to the
/// millisecond. It is of no connection: submit it on the proactor's [own](crate::Model::own) id.
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Sleep {
    deadline: Deadline,
}

impl Sleep {
    /// Waits that long from its submission. `Duration::MAX` never comes.
    pub fn new(span: Duration) -> Sleep {
        Sleep { deadline: Deadline::Within(span) }
    }

    /// Waits until `at`.
    pub fn until(at: Instant) -> Sleep {
        Sleep { deadline: Deadline::At(at) }
    }
}

impl<C> Operation<C> for Sleep {
    fn into_request(self) -> Request<C> {
        Request { work: Work::Sleep, buffer: Buffer::None, deadline: Some(self.deadline) }
    }
}

/// Completes in the next turn with `Posted`, and whatever context and buffer it was given: a message of the
/// program to itself, in line with the other completions. It is of no connection: submit it on the proactor's
/// [own](crate::Model::own) id.
#[derive(Debug, Default)]
#[must_use = "submit it"]
pub struct Post {
    buffer: Buffer,
}

impl Post {
    /// A message without bytes.
    pub fn new() -> Post {
        Post::default()
    }

    /// A message with bytes.
    pub fn with(buffer: impl Into<Buffer>) -> Post {
        Post { buffer: buffer.into() }
    }
}

impl<C> Operation<C> for Post {
    fn into_request(self) -> Request<C> {
        Request { work: Work::Post, buffer: self.buffer, deadline: None }
    }
}

/// An accepted operation, from its submission until its completion is taken. Its slab entry *is* the credit:
/// the place that its completion waits in, so that completing can neither fail nor allocate (C6).
#[derive(Debug)]
pub(crate) struct Op<C> {
    pub(crate) context: C,
    pub(crate) buffer: Buffer,
    /// Bytes moved so far.
    pub(crate) bytes: u64,
    pub(crate) conn: ConnId,
    /// In the queue of its lane, then in that of the completions.
    pub(crate) link: Link,
    pub(crate) timer: Option<TimerId>,
    pub(crate) stage: Stage<C>,
}

#[derive(Debug)]
pub(crate) enum Stage<C> {
    /// In its lane; for a close, at its connection; for a sleep, among the sleeping.
    Queued(Work<C>),
    /// In the queue of completions.
    Ended {
        result: Result<Done, OpError>,
        /// The operation that goes on, if this is one of its several completions and not its last.
        of: Option<OpId>,
    },
}

impl<C> Op<C> {
    /// What a queued operation has to do.
    pub(crate) fn work(&self) -> &Work<C> {
        match &self.stage {
            Stage::Queued(work) => work,
            Stage::Ended { .. } => unreachable!("only a queued operation has work"),
        }
    }

    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued(_))
    }

    /// Consumes the operation: there is no second completion to make of it (C1).
    pub(crate) fn complete(self, op: OpId) -> Completion<C> {
        let Stage::Ended { result, of } = self.stage else {
            unreachable!("an operation is completed after it has ended");
        };
        let Op { context, buffer, bytes, conn, .. } = self;
        Completion { context, conn, op: of.unwrap_or(op), buffer, bytes, result, more: of.is_some() }
    }
}
