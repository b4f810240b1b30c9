//! The nouns: what users submit. Each turns into a [`Request`], the operation in the model's terms.

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

use crate::buffer::Buffer;
use crate::completion::CloseReason;
use crate::connect::{Address, Target, UserSocket};
use crate::direction::Direction;
use crate::id::PoolId;
use crate::op::{CloneContext, Manner, OpKind, Operation, Request};
use crate::time::{Deadline, Instant};
use crate::transfer::Transfer;

macro_rules! deadline {
    ($type:ident) => {
        impl $type {
            /// Ends the operation with [`Deadline`](crate::OpError::Deadline) if it is not complete this long
            /// after its submission, its wait in the queue included. `Duration::MAX` never comes.
            ///
            /// If it is the next of its lane then, it is tried once more: what the kernel has for it by that
            /// time counts, even if nobody has looked, for the program was stopped or busy. `Duration::ZERO`
            /// is so a single try.
            pub fn within(mut self, span: Duration) -> $type {
                self.deadline = Some(Deadline::Within(span));
                self
            }

            /// Ends the operation with [`Deadline`](crate::OpError::Deadline) if it is not complete at `at`,
            /// after a last try.
            pub fn deadline(mut self, at: Instant) -> $type {
                self.deadline = Some(Deadline::At(at));
                self
            }
        }
    };
}

macro_rules! progress {
    ($type:ident) => {
        impl $type {
            /// Ends the operation with [`Deadline`](crate::OpError::Deadline) if no byte of its lane is moved
            /// for that long, since its submission or later, after a last try. A peer that is slow but goes
            /// on is not cut off, however long it takes; one that stops is. What is moved for the operations
            /// before it in the lane counts, too. `Duration::MAX` never comes.
            pub fn progress(mut self, span: Duration) -> $type {
                self.deadline = Some(Deadline::Progress(span));
                self
            }
        }
    };
}

/// Receives bytes from a stream.
///
/// The operation ends with `Received`; at the end of the stream with 0 bytes and `end_of_stream`. The buffer
/// comes back with the completion, filled from its front with [`Completion::bytes`](crate::Completion::bytes)
/// bytes, whatever the outcome.
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
    OwnPool,
    Pool(PoolId),
}

impl Recv {
    /// Receives at least one byte into `buffer`: a `Vec<u8>` or a `Box<[u8]>`, into its length, not its
    /// capacity; or a lease, into all of its [capacity](crate::Lease::capacity); or several of these as
    /// [`Parts`], one after the other, in one system call.
    ///
    /// [`Parts`]: crate::Parts
    ///
    /// A vector comes back as long as it was: send `Send::new(buffer).first(count)` to send what was
    /// received.
    pub fn into(buffer: impl Into<Buffer>) -> Recv {
        Recv { source: RecvInto::Any(buffer.into()), deadline: None }
    }

    /// Receives until `buffer` is full. If the stream ends before, the operation fails with
    /// [`UnexpectedEof`](crate::OpError::UnexpectedEof), and the bytes that did come are in the buffer.
    pub fn exact(buffer: impl Into<Buffer>) -> Recv {
        Recv { source: RecvInto::Exact(buffer.into()), deadline: None }
    }

    /// Receives at least one byte into a buffer of the connection's pool, which is lent only once there is
    /// something to read: an idle connection holds no buffer. The completion carries a
    /// [`Lease`](crate::Lease).
    ///
    /// A connection's pool is [`PoolId::DEFAULT`] unless [`set_pool`](crate::Model::set_pool) says otherwise.
    /// While the pool has no free buffer, the connection waits in line for one and is not read. The peer's
    /// end or reset ends this receive all the same if the readiness engine tells of it and no bytes are
    /// before it; behind bytes it does not before a buffer is there. The deadline, a cancel or a close always
    /// do.
    pub fn pooled() -> Recv {
        Recv { source: RecvInto::OwnPool, deadline: None }
    }

    /// [`pooled`](Recv::pooled), from a pool of choice.
    pub fn pooled_from(pool: PoolId) -> Recv {
        Recv { source: RecvInto::Pool(pool), deadline: None }
    }
}

deadline!(Recv);
progress!(Recv);

/// [`Recv::many`].
#[derive(Debug)]
#[must_use = "submit it"]
pub struct RecvMany {
    pool: Option<PoolId>,
    leases_max: u8,
    deadline: Option<Deadline>,
}

impl Recv {
    /// Receives as [`pooled`](Recv::pooled) does, again and again: a completion for each receive, with a
    /// lease, a clone of the context, and [`more`](crate::Completion::more) set. One submission, instead of
    /// one for each message.
    ///
    /// Of its leases `leases_max` are out at once, at the most: in completions that were not taken, in the
    /// program's hands, or in sends. While they are, it waits, and the peer feels that as it does any reader
    /// that is slow; it goes on when one of them is dropped, or was copied to be sent. So a program that
    /// answers each message before it drops the lease takes the next one when it has answered. A lease that
    /// is kept for ever stops it for ever.
    ///
    /// While it is queued it receives all there is: another receive on the connection is refused with
    /// [`ReceivesMany`](crate::SubmitErrorKind::ReceivesMany). It is refused itself with
    /// [`LeasesMax`](crate::SubmitErrorKind::LeasesMax) if `leases_max` is 0, or more than the pool has
    /// buffers.
    ///
    /// The final completion, which has `more` not set, comes with the end of the stream, an error, a cancel,
    /// a close, or its deadline. Also with a lease, as that of any receive, where there was no credit for
    /// another completion beside its own ([`ops_max`](crate::Limits::ops_max)): submit it again then, as
    /// after any receive that brought bytes and has no more.
    ///
    /// ```
    /// use aio_model::{Completion, Done, Recv};
    ///
    /// # let _ = Recv::many(2);
    /// /// Whether to submit a `Recv::many` (again).
    /// fn is_to_be_submitted<C>(done: &Completion<C>) -> bool {
    ///     matches!(done.result, Ok(Done::Received { end_of_stream: false })) && !done.more
    /// }
    /// ```
    pub fn many(leases_max: u8) -> RecvMany {
        RecvMany { pool: None, leases_max, deadline: None }
    }
}

impl RecvMany {
    /// Takes its buffers from a pool of choice.
    pub fn from(mut self, pool: PoolId) -> RecvMany {
        self.pool = Some(pool);
        self
    }
}

impl RecvMany {
    /// Ends it with [`Deadline`](crate::OpError::Deadline) if nothing is received for that long: after its
    /// submission, and after each receive. Before that there is a last attempt, unless it waits for a buffer
    /// or a lease. `Duration::MAX` never comes.
    pub fn within(mut self, span: Duration) -> RecvMany {
        self.deadline = Some(Deadline::Progress(span));
        self
    }

    /// Ends it with [`Deadline`](crate::OpError::Deadline) at `at`, after a last try.
    pub fn deadline(mut self, at: Instant) -> RecvMany {
        self.deadline = Some(Deadline::At(at));
        self
    }
}

impl<C: Clone> Operation<C> for RecvMany {
    fn into_request(self) -> Request<C> {
        let RecvMany { pool, leases_max, deadline } = self;
        Request::bare(OpKind::RecvMany { pool, leases_max, clone: C::clone }, deadline)
    }
}

impl<C> Operation<C> for Recv {
    fn into_request(self) -> Request<C> {
        let (kind, transfer) = match self.source {
            RecvInto::Any(buffer) => (OpKind::Recv { exact: false }, Transfer::space(buffer)),
            RecvInto::Exact(buffer) => (OpKind::Recv { exact: true }, Transfer::space(buffer)),
            RecvInto::OwnPool => (OpKind::RecvPooled { pool: None }, Transfer::NONE),
            RecvInto::Pool(pool) => (OpKind::RecvPooled { pool: Some(pool) }, Transfer::NONE),
        };
        Request { kind, transfer, deadline: self.deadline }
    }
}

/// Sends all bytes of a buffer, or of a range of it.
///
/// Ends with `Sent` when the kernel took them all. The buffer comes back on every outcome, and
/// [`Completion::bytes`](crate::Completion::bytes) says how many the kernel took. If it took some but not
/// all, the lane is *tainted*: the sends behind this one end with [`Tainted`](crate::OpError::Tainted), until
/// the lane is resumed.
///
/// Sends that are queued on a connection go out together, in one call for as many as fit into
/// [`lane_transfer_max`](crate::Limits::lane_transfer_max) bytes; each completes by itself.
///
/// If it took none, by the time of the deadline or a cancel, it is as if the send had not been there: those
/// behind it go on, as they also would behind one that was never submitted. So what makes sense only
/// together, such as a header and its body, belongs into one send, of [`Parts`](crate::Parts) if it lies in
/// several buffers.
///
/// Give it a deadline, or one of [progress](Send::progress). To a peer that does not read, one without waits
/// for ever, and keeps its buffer. Leases may be sent as they are; but of a pool's buffers at most three
/// quarters are in sends, and never all, so that peers which do not read keep none from others. While more
/// are lent, what a lease holds is copied when it is submitted, and comes back as a vector. (A lease that was
/// turned into `Bytes` is the program's own: it is neither counted nor copied.)
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Send {
    buffer: Buffer,
    start: usize,
    end: Option<usize>,
    deadline: Option<Deadline>,
}

impl Send {
    /// Sends all of `buffer`: a `Vec<u8>`, `Bytes`, a lease, static bytes, or several of them as [`Parts`],
    /// such as a header and a shared body, without copying them together.
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
progress!(Send);

impl<C> Operation<C> for Send {
    fn into_request(self) -> Request<C> {
        let end = self.end.unwrap_or(self.buffer.len());
        let transfer = Transfer::bytes(self.buffer, self.start, end);
        Request { kind: OpKind::Send, transfer, deadline: self.deadline }
    }
}

/// Waits until a connection is readable, or writable, and does nothing else: for a library that reads and
/// writes by itself, on the descriptor that `aio_sys::Os::descriptor` gives out.
///
/// Ends with `Ready` when a receive, or a send, would not block: there are bytes, room, an end or an error.
/// It stands in line with the receives, or the sends, of its connection: what was submitted before comes
/// first, what is submitted later comes after it. The kernel is asked each time, so it does not matter how
/// much the library has read or written; who waits again at once, and reads nothing, is told again at once.
///
/// What the library has found, such as an end or an error, the proactor does not know. A kernel tells an
/// error once: after the library was told, a receive of the proactor finds the end of the stream.
///
/// ```
/// use std::time::Duration;
/// use aio_model::Wait;
///
/// let wait = Wait::readable().within(Duration::from_secs(30));
/// # drop(wait);
/// ```
#[derive(Debug)]
#[must_use = "submit it"]
pub struct Wait {
    direction: Direction,
    deadline: Option<Deadline>,
}

impl Wait {
    /// Waits until a receive would not block.
    pub fn readable() -> Wait {
        Wait { direction: Direction::Receive, deadline: None }
    }

    /// Waits until a send would not block, after the sends that are queued.
    pub fn writable() -> Wait {
        Wait { direction: Direction::Send, deadline: None }
    }
}

deadline!(Wait);

impl<C> Operation<C> for Wait {
    fn into_request(self) -> Request<C> {
        Request::bare(OpKind::Wait(self.direction), self.deadline)
    }
}

/// Accepts connections from a listener. Each ends with `Accepted`, which names the new connection.
///
/// Accepting pauses by itself while connections are at their limit or descriptors run out. What the system
/// refuses four times in a row (EPERM, ENOSYS: a filter) ends with its error; the listener stays, and accepts
/// that are submitted later are tried anew.
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
    /// [`more`](crate::Completion::more) set, until a final one (cancel, close, an error). Each completion
    /// takes a credit of its own while it waits to be taken; with `ops_max` at 1 there is none, and the first
    /// connection comes with the final completion. The context is cloned before each call; a clone that was
    /// of no use is dropped.
    pub fn many() -> AcceptMany {
        AcceptMany { deadline: None }
    }
}

deadline!(Accept);
deadline!(AcceptMany);

impl<C> Operation<C> for Accept {
    fn into_request(self) -> Request<C> {
        Request::bare(OpKind::Accept { many: None }, self.deadline)
    }
}

impl<C: Clone> Operation<C> for AcceptMany {
    fn into_request(self) -> Request<C> {
        let many: CloneContext<C> = C::clone;
        Request::bare(OpKind::Accept { many: Some(many) }, self.deadline)
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
        Request::bare(OpKind::Shutdown, self.deadline)
    }
}

/// Makes a connection. Ends with `Connected`, and [`Completion::conn`](crate::Completion::conn) is the new
/// connection, open for operations.
///
/// It is of no connection yet: submit it on the proactor's [own](crate::Model::own) id. It takes a
/// connection's place at once, and is refused when there is none. Whatever it fails with, its deadline and a
/// cancel included, nothing is left of the connection, and the id in the completion is stale.
///
/// What it can fail with, as [`SystemErrorKind`](crate::SystemErrorKind): `ConnectionRefused`, `Unreachable`,
/// `TimedOut` (the kernel's own patience, two minutes on Linux), `NotFound` (no such Unix socket),
/// `NameTooLong` (the path of a Unix socket), `PermissionDenied`, `AddressInUse`, `AddressNotAvailable` (no
/// port is left to that target, or the local address is another machine's), `DescriptorsExhausted` and
/// `OutOfMemory`, which are the caller's to deal with, and `SelfConnected`: on a local port without a
/// listener, TCP may connect a socket to itself. A Unix listener whose queue is full is tried again until
/// there is room, every 32 ms at the latest.
///
/// ```
/// use std::net::SocketAddr;
/// use std::time::Duration;
/// use aio_model::Connect;
///
/// let upstream: SocketAddr = "127.0.0.1:8110".parse().unwrap();
/// let connect = Connect::to(upstream).nodelay(true).within(Duration::from_secs(3));
/// # drop(connect);
/// ```
#[derive(Debug, Clone)]
#[must_use = "submit it"]
pub struct Connect {
    target: Target,
    deadline: Option<Deadline>,
}

impl Connect {
    /// Connects to an address: a [`SocketAddr`] or the path of a Unix socket.
    pub fn to(address: impl Into<Address>) -> Connect {
        Connect { target: Target::new(address.into()), deadline: None }
    }

    /// Connects a socket that was prepared, instead of a new one. Of the systems, `aio_sys::Os` takes those
    /// that its `PreparedSocket` makes; any other fails with `InvalidInput`, and a simulated system with
    /// `Unsupported`.
    pub fn with(socket: UserSocket, address: impl Into<Address>) -> Connect {
        Connect { target: Target::new(address.into()).with_socket(socket), deadline: None }
    }

    /// Binds the socket to a local address first. With port 0 the system chooses one: on Linux not before it
    /// connects, so that connections to different targets may have the same one, and there may be as many to
    /// each as there are ports to choose from. Elsewhere there are that many in all. An address of the other
    /// family, or for a Unix socket, makes it fail with `InvalidInput`.
    pub fn from(mut self, local: SocketAddr) -> Connect {
        self.target = self.target.with_local(local);
        self
    }

    /// Sets `TCP_NODELAY`, so that nothing small waits for the acknowledgement of what was sent before. Unix
    /// sockets ignore it.
    pub fn nodelay(mut self, nodelay: bool) -> Connect {
        self.target = self.target.with_nodelay(nodelay);
        self
    }
}

deadline!(Connect);

impl<C> Operation<C> for Connect {
    fn into_request(self) -> Request<C> {
        Request::bare(OpKind::Connect { target: Box::new(self.target) }, self.deadline)
    }
}

/// Closes a connection or a listener, and completes with `Closed` when all its other operations have: nothing
/// comes from this connection after it.
///
/// A close can not be cancelled. Use `close(conn)` when nobody needs to know, and `close_if_open(conn)` where
/// an operation has failed and the connection may be closing gracefully already.
///
/// # Several closes
///
/// A connection that is being closed takes another `Close`. The first one says how it is closed, and for what
/// reason; of [`flush`](Close::flush) and [`linger`](Close::linger) that follow only the deadline counts: the
/// strictest of all holds. [`now`](Close::now) and [`abort`](Close::abort) end at once what flushes or
/// lingers. Each completes with `Closed` when the connection is gone, in the order of their submission.
///
/// # FIN or reset
///
/// A close ends the stream with a FIN, which tells the peer that it has all there is. So it does not where
/// that is not true: if a send had been begun and will not be completed, the close resets the connection
/// instead, and the peer's reads fail behind what has arrived. That is so whatever cuts the send off: its
/// deadline, a cancel, an error of the system, this close, the end of its flushing, the shutdown or the drop
/// of the proactor. After a [`resume`](crate::Model::resume) the bytes that were sent are the program's own
/// to make sense of, and a close is clean again. Queued sends of which no byte was sent are no reason for a
/// reset: what belongs together is sent as one operation, of several [`Parts`] if need be. [`Close::abort`]
/// resets on purpose.
///
/// A reset is TCP's. Unix sockets have none: their peer sees the end of the stream, and only the protocol can
/// tell it that something is missing. Nor does a close reset, or send FIN, while somebody else holds a
/// duplicate of the descriptor: that happens when the last of them is closed.
///
/// [`Parts`]: crate::Parts
#[derive(Debug, Clone)]
#[must_use = "submit it"]
pub struct Close {
    manner: Manner,
    reason: CloseReason,
    deadline: Option<Deadline>,
}

impl Close {
    /// Closes at once: every queued operation ends with [`Closed`](crate::OpError::Closed).
    pub fn now() -> Close {
        Close::new(Manner::Now)
    }

    /// [`now`](Close::now), and breaks the connection off: it is reset, whether or not a send is under way.
    /// The peer gets an error behind what has arrived; what is on its way to it may be lost. For a peer that
    /// is not to take what it has for complete, or that is not to keep the kernel busy with the rest. A
    /// listener is just closed.
    pub fn abort() -> Close {
        Close::new(Manner::Abort)
    }

    /// Lets the queued sends finish first. Receives end at once; a deadline turns it into [`Close::now`].
    ///
    /// While it flushes, what the peer sends is read and thrown away, so a peer that writes before it reads
    /// gets to read. A peer that takes nothing is waited for until the deadline: without one, for ever.
    ///
    /// If the peer still sends when the last send is done, its kernel is told by a reset, and a reset may
    /// overtake what was sent: see [`linger`](Close::linger).
    pub fn flush() -> Close {
        Close::new(Manner::Flush)
    }

    /// [`flush`](Close::flush), then sends FIN, and throws away what the peer still sends until it has ended
    /// its side too. So it reads all of the last answer even if it was sending when that was given.
    ///
    /// It waits at most `span` (in milliseconds, rounded up; 49 days at most) for a peer that takes nothing:
    /// `span` begins when this is submitted, and anew whenever the kernel takes bytes of a send, and at the
    /// first try at FIN. What the peer sends does not make it longer. A peer that goes on taking a little is
    /// waited for until the [deadline](Close::within), if there is one; a server that talks to strangers sets
    /// both. What is not sent by then ends with [`Closed`](crate::OpError::Closed).
    pub fn linger(span: Duration) -> Close {
        let millis = span.as_nanos().div_ceil(1_000_000);
        Close::new(Manner::Linger(u32::try_from(millis).unwrap_or(u32::MAX)))
    }

    fn new(manner: Manner) -> Close {
        Close { manner, reason: CloseReason::Requested, deadline: None }
    }

    /// Gives a reason of the program's own, which every operation that it ends is told, as
    /// [`CloseReason::Code`].
    pub fn code(mut self, code: u32) -> Close {
        self.reason = CloseReason::Code(code);
        self
    }

    /// Ends flushing and lingering after that long, whatever the peer does, and after a last try: what is not
    /// sent by then ends with [`Closed`](crate::OpError::Closed). A close itself always succeeds, as
    /// [`Done::Closed`](crate::Done::Closed).
    pub fn within(mut self, span: Duration) -> Close {
        self.deadline = Some(Deadline::Within(span));
        self
    }

    /// Ends flushing and lingering at `at`, as [`within`](Close::within) does.
    pub fn deadline(mut self, at: Instant) -> Close {
        self.deadline = Some(Deadline::At(at));
        self
    }
}

impl<C> Operation<C> for Close {
    fn into_request(self) -> Request<C> {
        Request::bare(OpKind::Close { manner: self.manner, reason: self.reason }, self.deadline)
    }
}

/// Waits for a point in time, and ends with `Elapsed` in the first turn at or after it, rounded up to the
/// millisecond; if more falls due than a turn may end, in one of those that follow at once, in the order of
/// deadlines. It is of no connection: submit it on the proactor's [own](crate::Model::own) id.
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
        Request::bare(OpKind::Sleep, Some(self.deadline))
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
        Request { kind: OpKind::Post, transfer: Transfer::over(self.buffer, 0), deadline: None }
    }
}
