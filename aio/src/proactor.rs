//! The proactor: a model, a system, and the mailbox for what is returned from other threads.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use aio_model::{
    AddrError, Address, Buffer, Completion, Config, ConnId, ConnInfo, Deadline, Home, IdError, Instant, Kind,
    LeaseHolders, Limits, Listen, ListenError, Model, OpId, OpIdError, OpInfo, Operation, PoolId, PoolSize,
    ResumeError, Returned, SetIdleError, SetPoolError, Spin, Stats, SubmitError, Syscall, System,
    SystemError, Turn, Violation, turn,
};
use aio_sys::Os;

use crate::builder::{AdoptError, BuildError, Builder};
use crate::mailbox::Mailbox;
use crate::realm;
use crate::traced::{self, Listeners, Spans};

/// As many leases can be returned at once, even if there is no memory for more.
const FETCHED_MIN: usize = 64;

/// How many completions a turn delivers into a vector without free capacity.
const BATCH_DEFAULT: usize = 256;

/// Submits operations and delivers their completions, for any number of connections, on the thread that owns
/// it.
///
/// `C` is the *context*: a value of yours that rides on an operation and comes back with its completion. `S`
/// is the operating system, real or simulated.
///
/// A program is a loop: [`turn`](Proactor::turn) waits, makes system calls and fills a batch with
/// completions; the program handles them, and [`submit`](Proactor::submit)s what comes next. Submitting makes
/// no system call, so it is legal anywhere and never blocks. The next turn tries every send at once; a
/// receive waits until its connection is readable.
///
/// Dropping a proactor closes its connections and drops the operations that had not ended: a connection in
/// the middle of a send is reset (see [`Close`](crate::Close)), also when the drop is part of a panic. Leases
/// that are still out there stay valid.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::{TcpListener, TcpStream};
///
/// use aio::{Accept, Close, Done, Proactor, Recv, Send};
///
/// #[derive(Clone, Copy)]
/// enum Ctx { Accept, Read, Write, Close }
///
/// # fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(listener.local_addr()?)?;
/// client.write_all(b"hello")?;
///
/// let mut aio: Proactor<Ctx> = Proactor::new()?;
/// let listener = aio.adopt(listener)?;
/// aio.submit(listener, Accept::one(), Ctx::Accept)?;
///
/// let mut batch = Vec::new();
/// while aio.turn(&mut batch, None)? {
///     for done in batch.drain(..) {
///         match (done.context, done.result) {
///             (Ctx::Accept, Ok(Done::Accepted(conn))) => drop(aio.submit(conn, Recv::pooled(), Ctx::Read)?),
///             (Ctx::Read, Ok(_)) => drop(aio.submit(done.conn, Send::new(done.buffer), Ctx::Write)?),
///             (Ctx::Write, Ok(_)) => drop(aio.submit(done.conn, Close::now(), Ctx::Close)?),
///             _ => aio.shut_down(),
///         }
///     }
/// }
///
/// let mut echo = String::new();
/// client.read_to_string(&mut echo)?;
/// assert_eq!(echo, "hello");
/// # Ok(())
/// # }
/// ```
///
/// # Waking a turn from another thread
///
/// The [system](Proactor::system)'s waker ends the wait of a [`turn`](Proactor::turn) from any thread,
/// without any lock. The turn then goes on as after any wait and returns `Ok(true)`, perhaps without a
/// completion: a wake is no completion and says nothing else, so what it is about goes another way, such as a
/// channel, and is looked at after each turn. No wake is lost: one that comes while no turn waits lets the
/// next wait return at once, and any number of them that come before a wait are one. Dropping a lease on
/// another thread wakes the proactor, too, if connections wait for a buffer.
///
/// ```
/// use std::sync::mpsc;
/// use std::thread;
///
/// use aio::system::{System, Wake};
/// use aio::Proactor;
///
/// # fn main() -> std::io::Result<()> {
/// let mut aio: Proactor<()> = Proactor::new()?;
/// let (sender, jobs) = mpsc::channel();
/// let waker = aio.system().waker();
/// thread::spawn(move || {
///     // First what it is about, then the wake.
///     sender.send("stop").unwrap();
///     waker.wake();
/// });
/// let mut batch = Vec::new();
/// while aio.turn(&mut batch, None)? {
///     for job in jobs.try_iter() {
///         assert_eq!(job, "stop");
///         aio.shut_down();
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # `TCP_NODELAY`
///
/// It is off unless you ask for it, as the system has it: with [`Socket::nodelay`](crate::Socket::nodelay)
/// before a stream is adopted, or a listener, for all that it accepts; and with
/// [`Connect::nodelay`](crate::Connect::nodelay). Without it the kernel keeps a small packet back until the
/// peer has acknowledged what was sent before, and the peer delays its acknowledgement by up to 40 ms, in the
/// hope of sending it along with an answer. So one send and then its answer is fast, two small sends and then
/// an answer are not. A request of a header (16 bytes) and a body (100 bytes), and an answer of one byte:
///
/// | | without | with `TCP_NODELAY` |
/// |---|---|---|
/// | header and body as two sends | 44 ms | 20 µs |
/// | one send of two [`Parts`](crate::Parts) | 14 µs | 14 µs |
///
/// Medians over loopback, a thread for each end, Linux 6.18 on two cores that were awake; where they slept,
/// 58 µs instead of 20 and 56 instead of 14, and the same 44 ms. `cargo run --release -p tests --bin nodelay`
/// measures it.
///
/// # While a pool has no free buffer
///
/// A connection whose [pooled](crate::Recv::pooled) receive waits for a buffer is not read. That its peer has
/// ended or reset it ends the receive at once if that is all there is; behind bytes that wait to be received
/// it is not noticed until a buffer is there. The deadline of the receive, a cancel and a close are not kept
/// waiting, nor are sends, which may fail meanwhile.
/// Whoever keeps a buffer for long keeps others waiting: give each send a deadline, or a peer that never
/// reads keeps the buffer that is being sent to it.
pub struct Proactor<C, S: System = Os> {
    model: Model<C>,
    system: S,
    mailbox: Arc<Mailbox<Returned>>,
    /// What was fetched from the mailbox; empty between calls, kept for its memory.
    fetched: Vec<Returned>,
    spans: Spans,
}

impl<C> Proactor<C, Os> {
    /// A proactor on the operating system, with default limits and pool.
    ///
    /// # Errors
    ///
    /// When the operating system gives no readiness queue.
    pub fn new() -> io::Result<Proactor<C, Os>> {
        Ok(Builder::default().build()?)
    }

    /// Configures a proactor.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl<C, S: System> Proactor<C, S> {
    /// A proactor on a system of choice, with default limits and pool.
    ///
    /// # Errors
    ///
    /// None of today's, but a configuration is checked wherever it comes from.
    pub fn on(system: S) -> Result<Proactor<C, S>, BuildError> {
        Builder::default().build_on(system)
    }

    pub(crate) fn with(limits: Limits, pools: Vec<PoolSize>, spin: Spin, system: S) -> Proactor<C, S> {
        let mailbox = Arc::new(Mailbox::new(Arc::new(system.waker())));
        let home: Arc<dyn Home> = Arc::<Mailbox<Returned>>::clone(&mailbox);
        let config = Config { limits, pools, realm: realm::next(), rearm: system.rearm() };
        let mut model = Model::new(config, &home);
        model.set_spin(spin);
        Proactor { model, system, mailbox, fetched: Vec::with_capacity(FETCHED_MIN), spans: Spans::default() }
    }

    /// Takes in a socket: a connected TCP or Unix stream, or a listener, from `std`, `socket2` or an
    /// `OwnedFd`. It is set non-blocking and belongs to the proactor from now on.
    ///
    /// # Errors
    ///
    /// [`AdoptError`] gives the socket back: when it is something else, connections are at their limit, the
    /// proactor is shutting down, or the system refuses to watch it.
    pub fn adopt(&mut self, socket: impl Into<S::Socket>) -> Result<ConnId, AdoptError<S::Socket>> {
        let socket = socket.into();
        let kind = match self.system.kind(&socket) {
            Ok(kind) => kind,
            Err(error) => return Err(AdoptError { error: error.into(), socket }),
        };
        let listeners = self.spans.listeners();
        let conn = match self.model.open(kind) {
            Ok(conn) => conn,
            Err(error) => return Err(AdoptError { error: error.into(), socket }),
        };
        self.spans.watch(&mut self.system, listeners).adopt(conn, socket).map_err(|(error, socket)| {
            self.model.rollback_open(conn);
            AdoptError { error: error.into(), socket }
        })?;
        Ok(conn)
    }

    /// Makes a listener and takes it in: [`Listen`] says where, and with which options. On any system, real
    /// or simulated, so that a server that listens this way starts unchanged on both.
    ///
    /// ```
    /// use std::net::{SocketAddr, TcpStream};
    ///
    /// use aio::{Accept, Done, Listen, Proactor};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut aio: Proactor<&str> = Proactor::new()?;
    /// let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    /// let listener = aio.listen(&Listen::on(any_port).nodelay(true))?;
    /// let address = aio.local_addr(listener)?.as_internet().unwrap();
    /// aio.submit(listener, Accept::one(), "accept")?;
    ///
    /// let client = TcpStream::connect(address)?;
    /// let mut batch = Vec::new();
    /// while batch.is_empty() {
    ///     aio.turn(&mut batch, None)?;
    /// }
    /// let Ok(Done::Accepted(conn)) = batch[0].result else { panic!("{:?}", batch[0]) };
    /// assert_eq!(aio.peer_addr(conn)?.as_internet(), Some(client.local_addr()?));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The path of a Unix socket stays when the listener is closed: removing it is the program's to do, or
    /// that of the next start, with [`Listen::unlink_stale`].
    ///
    /// # Errors
    ///
    /// [`ListenError`]: what the description lacks, before any system call; connections are at their limit or
    /// the proactor is shutting down, likewise; or what the system says. No connection and no descriptor is
    /// left then; but the path of a Unix socket is, if
    /// the system had listened and then refused to watch the listener.
    pub fn listen(&mut self, listen: &Listen) -> Result<ConnId, ListenError> {
        listen.validate()?;
        let listeners = self.spans.listeners();
        let conn = self.model.open(Kind::Listener)?;
        let adopted = self.system.listen(listen).and_then(|socket| {
            let adopted = self.spans.watch(&mut self.system, listeners).adopt(conn, socket);
            // The socket that comes back is closed.
            adopted.map_err(|(error, _)| error)
        });
        match adopted {
            Ok(()) => Ok(conn),
            Err(error) => {
                self.model.rollback_open(conn);
                Err(error.into())
            }
        }
    }

    /// The address that a connection or listener is bound to: of a listener on port 0, the port that the
    /// system has chosen.
    ///
    /// # Errors
    ///
    /// [`AddrError`]: the connection is gone, or what the system says.
    pub fn local_addr(&mut self, conn: ConnId) -> Result<Address, AddrError> {
        self.model.conn_info(conn)?;
        Ok(self.system.local_addr(conn)?)
    }

    /// The address of a connection's peer. Most Unix sockets that connect have no name; their address is an
    /// empty path.
    ///
    /// Of a connection that was accepted by a listener that [`listen`](Proactor::listen) made, the address is
    /// kept from the accept on, and told for as long as the connection is open. Of any other the system is
    /// asked, and it does not tell any more once the peer has reset the connection.
    ///
    /// # Errors
    ///
    /// [`AddrError`]: the connection is gone, or what the system says: `NotConnected` of a listener, and of a
    /// connection that is dead.
    pub fn peer_addr(&mut self, conn: ConnId) -> Result<Address, AddrError> {
        self.model.conn_info(conn)?;
        Ok(self.system.peer_addr(conn)?)
    }

    /// Submits an operation on a connection. It ends with exactly one final completion, which carries
    /// `context` and the buffer. Makes no system call and never blocks.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] gives context and buffer back; no completion follows.
    #[inline]
    pub fn submit(
        &mut self,
        conn: ConnId,
        op: impl Operation<C>,
        context: C,
    ) -> Result<OpId, SubmitError<C>> {
        let submitted = self.model.submit(conn, op, context, || self.system.now());
        if traced::is_on() {
            let told = match &submitted {
                Ok(op) => Ok(*op),
                Err(error) => Err(error.kind),
            };
            self.spans.on_submitted(conn, told);
        }
        submitted
    }

    /// The id that stands for this proactor itself: what is of no connection (yet) is submitted on it.
    ///
    /// ```
    /// use aio::{Connect, Done, Proactor, Recv};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let mut aio = Proactor::new()?;
    /// aio.submit(aio.own(), Connect::to(listener.local_addr()?), "upstream")?;
    /// let mut batch = Vec::new();
    /// while batch.is_empty() {
    ///     aio.turn(&mut batch, None)?;
    /// }
    /// let done = batch.remove(0);
    /// assert_eq!((done.context, done.result), ("upstream", Ok(Done::Connected)));
    /// aio.submit(done.conn, Recv::pooled(), "read")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aio::{Done, Proactor, Sleep};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let mut aio = Proactor::new()?;
    /// aio.submit(aio.own(), Sleep::new(Duration::from_millis(5)), "tick")?;
    /// let mut batch = Vec::new();
    /// while batch.is_empty() {
    ///     aio.turn(&mut batch, None)?;
    /// }
    /// assert_eq!((batch[0].context, batch[0].result), ("tick", Ok(Done::Elapsed)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn own(&self) -> ConnId {
        self.model.own()
    }

    /// Takes one bounded turn: waits for something to do, at most `timeout` long (`None`: until there is
    /// something; zero: not at all), does it, and appends completions to `batch`. Returns false once the
    /// proactor was shut down and every completion has been delivered.
    ///
    /// At most as many completions are delivered as `batch` has free capacity for (256 if it has none); the
    /// rest comes with the next turns. A turn may deliver nothing at all: when `timeout` has passed, when
    /// [another thread woke it](Proactor#waking-a-turn-from-another-thread), or when what there was to do has
    /// completed nothing.
    ///
    /// # Errors
    ///
    /// When the system's readiness queue fails, which no healthy system's does; or when there is no memory
    /// for a single completion in `batch`. Nothing is lost: another turn may be taken.
    pub fn turn(&mut self, batch: &mut Vec<Completion<C>>, timeout: Option<Duration>) -> io::Result<bool> {
        self.fetch_leases();
        let until = match timeout {
            None => None,
            Some(Duration::ZERO) => Some(Instant::ZERO),
            Some(timeout) => Some(self.system.now() + timeout),
        };
        let listeners = self.spans.listeners();
        // Without memory for that, completions wait for the next turn.
        let has_room = batch.len() < batch.capacity()
            || batch.try_reserve(BATCH_DEFAULT).is_ok()
            || batch.try_reserve(1).is_ok();
        let before = batch.len();
        if listeners == Listeners::None {
            turn(&mut self.model, &mut self.system, until, batch)?;
        } else {
            self.turn_told(listeners, until, batch)?;
        }
        if let Some((conn, error)) = self.model.take_shortage() {
            self.spans.warn_of_shortage(conn, error);
        }
        let delivered = batch.len() > before;
        if !has_room && self.model.completions() > 0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        Ok(delivered || !self.model.is_drained())
    }

    /// The same turn, step by step: what happened in one is told before the next.
    #[cold]
    fn turn_told(
        &mut self,
        listeners: Listeners,
        until: Option<Instant>,
        batch: &mut Vec<Completion<C>>,
    ) -> Result<(), SystemError> {
        self.spans.tell();
        let mut turn = Turn::begin(&mut self.model, until);
        loop {
            let mut system = self.spans.watch(&mut self.system, listeners);
            let goes_on = turn.step(&mut self.model, &mut system)?;
            self.spans.tell();
            if !goes_on {
                break;
            }
        }
        let before = batch.len();
        self.model.deliver(batch);
        for done in &batch[before..] {
            self.spans.on_completed(done);
        }
        Ok(())
    }

    /// Brings the leases that were dropped since the last turn home.
    fn fetch_leases(&mut self) {
        loop {
            self.mailbox.fetch(&mut self.fetched, self.model.has_parked());
            if self.fetched.is_empty() {
                return;
            }
            for buffer in self.fetched.drain(..) {
                self.model.give_back(buffer);
            }
            // What came home may be of another pool than what is waited for, so the next fetch leaves word
            // again.
        }
    }

    /// Gives a buffer back to its pool at once. To drop it does the same, from any thread, but takes a way
    /// that is ready for that: on the thread of the proactor, this is cheaper. What is no lease of this
    /// proactor's is just dropped.
    #[inline]
    pub fn give_back(&mut self, buffer: impl Into<Buffer>) {
        if let Buffer::Lease(lease) = buffer.into() {
            self.model.give_back_lease(lease);
        }
    }

    /// Ends a queued operation with [`OpError::Cancelled`](crate::OpError::Cancelled). If it is a send that
    /// had moved a part of its bytes, its lane is tainted: see [`resume`](Proactor::resume).
    ///
    /// # Errors
    ///
    /// When it has ended already, or is a close. Nothing happens then.
    pub fn cancel(&mut self, op: OpId) -> Result<(), OpIdError> {
        self.model.cancel(op)
    }

    /// Gives a queued operation another deadline, or none: for a receive that is to be waited for a while
    /// longer.
    ///
    /// # Errors
    ///
    /// When it has ended already, or is a close. Nothing happens then.
    pub fn set_deadline(&mut self, op: OpId, deadline: Option<Deadline>) -> Result<(), OpIdError> {
        self.model.set_deadline(op, deadline, || self.system.now())
    }

    /// Cancels every queued operation of a connection, and returns how many they were.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn cancel_all(&mut self, conn: ConnId) -> Result<u32, IdError> {
        self.model.cancel_all(conn)
    }

    /// Allows sends again after one ended with only a part of its bytes sent. The program knows from that
    /// send's completion how many they were, and sends the rest next: `Send::new(done.buffer).skip(done.bytes
    /// as usize)`.
    ///
    /// # Errors
    ///
    /// When no send of this connection ended so, or the connection is gone.
    pub fn resume(&mut self, conn: ConnId) -> Result<(), ResumeError> {
        self.model.resume(conn)
    }

    /// Closes a connection or listener at once: every queued operation ends with
    /// [`OpError::Closed`](crate::OpError::Closed), and the next turn closes the descriptor, by a reset if
    /// that cuts off a send in the middle (see [`Close`](crate::Close)). Returns whether it is this call that
    /// closes it: `true` once for each connection. A connection that flushes or lingers because of a
    /// [`Close`](crate::Close) is cut off, one that does because of
    /// [`shut_down_within`](Proactor::shut_down_within) is not. Closing what is closed, or belongs to another
    /// proactor, does nothing. Submit a [`Close`](crate::Close) instead to flush first, or to know when it is
    /// done.
    pub fn close(&mut self, conn: ConnId) -> bool {
        self.model.close(conn).unwrap_or(false)
    }

    /// [`close`](Proactor::close), unless the connection is being closed already: one that flushes or lingers
    /// goes on, and its peer gets to read the last answer. It is what to do about a connection that an
    /// operation fails on, or that a submission is refused on. Returns whether it is this call that closes
    /// it.
    pub fn close_if_open(&mut self, conn: ConnId) -> bool {
        self.model.close_if_open(conn).unwrap_or(false)
    }

    /// [`close`](Proactor::close), for a reason of the program's own, which the operations that it ends are
    /// told as [`CloseReason::Code`](crate::CloseReason::Code).
    pub fn close_with(&mut self, conn: ConnId, code: u32) -> bool {
        self.model.close_with(conn, code).unwrap_or(false)
    }

    /// Sets for how long no byte may go through on a connection, in either direction: then every operation
    /// that is queued on it ends with [`Idle`](crate::OpError::Idle), after a last attempt for the first of
    /// each lane. The connection stays open, and the time begins anew. `None` ends that. It costs one timer
    /// for each connection, and nothing for each message.
    ///
    /// The time runs from now, and anew from each byte: those of sends when the kernel takes them. It is
    /// counted in milliseconds, rounded up: one at least, 49 days at most. When the connection is being
    /// closed it has its own time, and is idle no more. On a listener it is set for the connections that it
    /// accepts from now on.
    ///
    /// # Errors
    ///
    /// When the connection is gone or being closed, or there is no memory for a timer. Nothing happens then.
    ///
    /// ```
    /// use std::time::Duration;
    /// use aio::{OpError, Proactor, Recv, Socket};
    ///
    /// let mut aio = Proactor::<()>::new()?;
    /// let (ours, _silent) = std::os::unix::net::UnixStream::pair()?;
    /// let conn = aio.adopt(Socket::from(ours))?;
    /// aio.set_idle(conn, Some(Duration::from_millis(5)))?;
    /// aio.submit(conn, Recv::pooled(), ())?;
    /// let mut batch = Vec::new();
    /// while batch.is_empty() {
    ///     aio.turn(&mut batch, None)?;
    /// }
    /// assert_eq!(batch[0].result, Err(OpError::Idle));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_idle(&mut self, conn: ConnId, span: Option<Duration>) -> Result<(), SetIdleError> {
        self.model.set_idle(conn, span, || self.system.now())
    }

    /// [`set_idle`](Proactor::set_idle), of two connections between which the program forwards: bytes on
    /// either count for both, so both are idle at once. When one of them is gone, the other goes on by
    /// itself.
    ///
    /// # Errors
    ///
    /// As [`set_idle`](Proactor::set_idle) of either; also when they are one, or one is a listener.
    pub fn set_idle_pair(&mut self, conns: [ConnId; 2], span: Duration) -> Result<(), SetIdleError> {
        self.model.set_idle_pair(conns, span, || self.system.now())
    }

    /// Lets the [pooled](crate::Recv::pooled) receives that are submitted on a connection from now on take
    /// from another pool than the default one; on a listener, those of the connections that it accepts from
    /// now on, too.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or the connection is gone. Nothing happens then.
    pub fn set_pool(&mut self, conn: ConnId, pool: PoolId) -> Result<(), SetPoolError> {
        self.model.set_pool(conn, pool)
    }

    /// Who has the buffers of the pools that are lent: queued sends, receives, or the program. Costs a look
    /// at each queued send: for a log, or to find out where the buffers of a pool went.
    pub fn lease_holders(&self) -> LeaseHolders {
        self.model.lease_holders()
    }

    /// Gives a connection a bound of its own for the bytes that are queued to be sent
    /// ([`lane_bytes_max`](Builder::lane_bytes_max)), or with `None` the proactor's again; on a listener, the
    /// connections that it accepts from now on, too. What is queued stays, even if it is more.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or another proactor's. Nothing happens then.
    pub fn set_lane_bytes_max(&mut self, conn: ConnId, bytes_max: Option<NonZeroU32>) -> Result<(), IdError> {
        self.model.set_lane_bytes_max(conn, bytes_max)
    }

    /// What there is to know about a connection: its age, what is queued, how many bytes went through.
    ///
    /// # Errors
    ///
    /// When the connection is gone.
    pub fn conn_info(&self, conn: ConnId) -> Result<ConnInfo, IdError> {
        self.model.conn_info(conn)
    }

    /// Every connection and listener, those being made or closed included.
    pub fn conns(&self) -> impl Iterator<Item = (ConnId, ConnInfo)> {
        self.model.conns()
    }

    /// What there is to know about an operation: how far it is, and what it waits for.
    ///
    /// # Errors
    ///
    /// When its completion was delivered.
    pub fn op_info(&self, op: OpId) -> Result<OpInfo, IdError> {
        self.model.op_info(op)
    }

    /// Every operation that is queued, or whose completion was not delivered yet.
    pub fn ops_info(&self) -> impl Iterator<Item = (OpId, OpInfo)> {
        self.model.ops_info()
    }

    /// Closes everything and refuses whatever is submitted from now on. Turns go on until the last completion
    /// is delivered; then [`turn`](Proactor::turn) returns false.
    pub fn shut_down(&mut self) {
        self.model.shut_down();
    }

    /// [`shut_down`](Proactor::shut_down), but gracefully: sends that are queued may go on, then a FIN is
    /// sent, and what the peer still sends is thrown away until it has ended its side too, so that no reset
    /// overtakes the last answer. `span` from now everything that is left ends, and with it the proactor: a
    /// peer that does not end holds it open for so long. Receives, accepts, connects and sleeps end at once,
    /// and nothing is accepted any more.
    ///
    /// A [`Close`](crate::Close) that was submitted before goes on as it is (a lingering one lingers), for
    /// `span` at most.
    pub fn shut_down_within(&mut self, span: Duration) {
        self.model.shut_down_by(Deadline::Within(span), || self.system.now());
    }

    /// What there is now, and what has happened so far. Cheap enough to be taken every second.
    pub fn stats(&self) -> Stats {
        let mut stats = self.model.stats();
        // Leases that were dropped are home as soon as somebody looks.
        stats.leases = stats.leases.saturating_sub(u32::try_from(self.mailbox.len()).unwrap_or(u32::MAX));
        stats
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        self.model.limits()
    }

    /// Whether the next turn has something to do without waiting: calls to attempt, completions to deliver,
    /// deadlines that the last turn had no room for.
    pub fn is_busy(&self) -> bool {
        self.model.is_busy()
    }

    /// The time, on the clock that deadlines are measured with. All proactors of a process that are on
    /// [`Os`] have one clock, and [`Os::instant_from_std`] tells what an instant of `std` is on it. A
    /// simulated system has a clock of its own.
    pub fn now(&mut self) -> Instant {
        self.system.now()
    }

    /// The system below.
    pub fn system(&self) -> &S {
        &self.system
    }

    /// The system below, to ask it about sockets. It belongs to the proactor: what is adopted, accepted, or
    /// closed behind its back is lost to it.
    pub fn system_mut(&mut self) -> &mut S {
        &mut self.system
    }

    /// Looks whether everything inside fits together: for tests, after whatever they have done to it. Costs a
    /// look at every connection and operation.
    ///
    /// # Errors
    ///
    /// What does not fit: a bug in this library.
    pub fn check(&self) -> Result<(), BrokenInvariant> {
        self.model.check().map_err(BrokenInvariant)
    }
}

impl<C, S: System> Drop for Proactor<C, S> {
    fn drop(&mut self) {
        // A lease that is dropped from now on has no pool to return to, and frees its memory.
        self.mailbox.close();
        // The system closes what is left, with a FIN. A send that is cut off by that must not seem complete
        // (K2).
        for conn in self.model.conns_to_reset() {
            self.system.perform(Syscall::Close { conn, reset: true });
        }
    }
}

impl<C, S: System> fmt::Debug for Proactor<C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proactor").field("model", &self.model).finish_non_exhaustive()
    }
}

/// Something inside a [`Proactor`] does not fit together: a bug in this library.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a broken invariant of the proactor, please report it: {0}")]
pub struct BrokenInvariant(Violation);

impl From<BrokenInvariant> for io::Error {
    fn from(broken: BrokenInvariant) -> io::Error {
        io::Error::other(broken)
    }
}
