//! The seam: everything the model ever asks of an operating system, as plain data.
//!
//! Two enums and two verbs. [`Syscall`] is one non-blocking attempt, [`Outcome`] its answer;
//! [`System::perform`] makes the attempt, [`System::wait`] sleeps and reports readiness. `aio-sys` implements
//! it over epoll and kqueue, `sim` in memory; the loop above it is the same code.

use core::fmt;
use core::num::NonZeroU32;
use core::ops::{BitOr, BitOrAssign};
use core::time::Duration;

use crate::buffer::{Slices, SlicesMut};
use crate::connect::{Address, Target};
use crate::direction::Direction;
use crate::error::{SystemError, SystemErrorKind};
use crate::id::ConnId;
use crate::listen::Listen;
use crate::time::Instant;

/// One non-blocking attempt. The bytes are lent for this one call.
#[derive(Debug)]
pub enum Syscall<'a> {
    /// Receive into `buffer`: at least one byte and at most 2³⁰, which every kernel takes. Answer:
    /// [`Outcome::Transferred`], 0 at the end of stream.
    Recv {
        /// Where from.
        conn: ConnId,
        /// Where to.
        buffer: &'a mut [u8],
    },
    /// Receive into `slices`, as if they were one. Answer: [`Outcome::Transferred`], 0 at the end of stream.
    RecvVectored {
        /// Where from.
        conn: ConnId,
        /// Where to.
        slices: SlicesMut<'a>,
    },
    /// Receive, and throw away, some of what is at hand. Answer: [`Outcome::Transferred`], 0 at the end of
    /// stream, and short of nothing: only [`Outcome::WouldBlock`] says that there is no more.
    Discard {
        /// Where from.
        conn: ConnId,
    },
    /// Say whether a receive, or a send, would not block, and do nothing else. Answer: [`Outcome::Done`] if
    /// it would not: bytes, room, an end or an error are there; or [`Outcome::WouldBlock`].
    Poll {
        /// Of which connection.
        conn: ConnId,
        /// Which of them.
        direction: Direction,
    },
    /// Say what a receive would find, and leave it there. Answer: [`Outcome::Transferred`] of one byte if
    /// there are any, and of none at the end of stream; or what any receive fails with.
    Peek {
        /// Where.
        conn: ConnId,
    },
    /// Send `bytes`, at least one and at most 2³⁰, without raising SIGPIPE. Answer: [`Outcome::Transferred`],
    /// not 0.
    Send {
        /// Where to.
        conn: ConnId,
        /// What.
        bytes: &'a [u8],
    },
    /// Send `slices`, as if they were one, without raising SIGPIPE. Answer: [`Outcome::Transferred`], not 0.
    SendVectored {
        /// Where to.
        conn: ConnId,
        /// What.
        slices: Slices<'a>,
    },
    /// Accept one connection from `listener` and know it as `conn` from now on: non-blocking, close-on-exec,
    /// registered for readiness. Answer: [`Outcome::Done`]; after any other, `conn` is not known.
    Accept {
        /// Where from.
        listener: ConnId,
        /// The name of the new connection.
        conn: ConnId,
    },
    /// Make a connection, and know it as `conn` from now on: non-blocking, close-on-exec, registered for
    /// readiness. Or, if that was answered with [`Outcome::WouldBlock`] before, say whether it is made.
    /// Answer: [`Outcome::Done`] when it is; [`Outcome::WouldBlock`] while it is under way, and an event will
    /// follow; [`Outcome::Interrupted`] when nothing has changed. After any other answer `conn` is not known
    /// (any more).
    Connect {
        /// The name of the new connection.
        conn: ConnId,
        /// Where to.
        target: &'a Target,
    },
    /// Send FIN: no more bytes will follow. Answer: [`Outcome::Done`].
    ShutdownWrite {
        /// Which connection.
        conn: ConnId,
    },
    /// Deregister and close the descriptor, and forget `conn`. Answer: [`Outcome::Done`]; it can not fail.
    Close {
        /// Which connection or listener.
        conn: ConnId,
        /// Whether to reset the connection instead of ending it with a FIN: the peer gets an error behind
        /// what has arrived, and what is on its way may be lost. Only ever of a stream. Where there are no
        /// resets (Unix sockets) it makes no difference.
        reset: bool,
    },
}

impl Syscall<'_> {
    /// The connection that the call is about; for an accept, the listener.
    pub fn conn(&self) -> ConnId {
        match self {
            Syscall::Recv { conn, .. }
            | Syscall::RecvVectored { conn, .. }
            | Syscall::Discard { conn }
            | Syscall::Poll { conn, .. }
            | Syscall::Peek { conn }
            | Syscall::Connect { conn, .. }
            | Syscall::Send { conn, .. }
            | Syscall::SendVectored { conn, .. }
            | Syscall::ShutdownWrite { conn }
            | Syscall::Close { conn, .. } => *conn,
            Syscall::Accept { listener, .. } => *listener,
        }
    }
}

/// What came of a [`Syscall`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// That many bytes went through, at most as many as were lent.
    Transferred(usize),
    /// That many bytes were received, at least one; and if they are fewer than there was room for, that is no
    /// sign that no more are at hand: the kernel had another reason to stop there.
    Partial(usize),
    /// It happened.
    Done,
    /// It would have blocked. An event follows when it is worth another try.
    WouldBlock,
    /// Nothing happened, for no lasting reason: try again (EINTR; at an accept, ECONNABORTED and whatever
    /// else is wrong with the connection that was to be accepted).
    Interrupted,
    /// The system is short of something that comes back by itself, without an event: try again later (EMFILE,
    /// ENFILE, ENOBUFS, ENOMEM; at a connect only that the other's queue is full: everything else is
    /// [`Failed`](Outcome::Failed), for the user to know).
    Exhausted(SystemError),
    /// At an accept: it failed for a reason that is no shortage, and says neither that the listener is broken
    /// nor that it was about the one connection (EPERM, ENOSYS: a filter). Perhaps the next one is let pass,
    /// perhaps none ever will be. At any other call, the same as [`Failed`](Outcome::Failed).
    Refused(SystemError),
    /// It failed, and will fail again.
    Failed(SystemError),
}

/// What an event says about a connection: hints, which only ever cause an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// A receive or an accept may succeed.
    pub const READABLE: Readiness = Readiness(0b00001);
    /// A send may succeed.
    pub const WRITABLE: Readiness = Readiness(0b00010);
    /// The peer sends no more, or the connection is dead.
    pub const READ_CLOSED: Readiness = Readiness(0b00100);
    /// The peer receives no more, or the connection is dead.
    pub const WRITE_CLOSED: Readiness = Readiness(0b01000);
    /// An error is pending.
    pub const ERROR: Readiness = Readiness(0b10000);

    /// What may be more than bytes: an end or an error.
    const ENDS: Readiness = Readiness(0b11100);

    /// Whether any of `other` is in here.
    pub const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there is a reason to try a receive or an accept: closed and error bits count.
    pub const fn wakes_receive(self) -> bool {
        self.intersects(Readiness::READABLE) || self.hints_end()
    }

    /// Whether there is a reason to try a send: closed and error bits count.
    pub const fn wakes_send(self) -> bool {
        self.intersects(Readiness::WRITABLE) || self.hints_end()
    }

    /// Whether it says that bytes may be received, perhaps that there is room to send, and nothing else.
    #[inline(always)]
    pub(crate) const fn is_of_bytes(self) -> bool {
        self.0 & (Readiness::READABLE.0 | Readiness::ENDS.0) == Readiness::READABLE.0
    }

    /// Whether more than bytes may be waiting: an end of stream or an error. A short receive is then no proof
    /// that nothing is left to learn.
    pub const fn hints_end(self) -> bool {
        self.intersects(Readiness::ENDS)
    }
}

impl BitOr for Readiness {
    type Output = Readiness;

    fn bitor(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Readiness) {
        *self = *self | other;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = ["READABLE", "WRITABLE", "READ_CLOSED", "WRITE_CLOSED", "ERROR"];
        let mut set = names.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        match set.next() {
            None => f.write_str("NONE")?,
            Some((_, first)) => f.write_str(first)?,
        }
        set.try_for_each(|(_, name)| write!(f, "|{name}"))
    }
}

/// What makes a readiness engine report a direction again, once it has reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rearm {
    /// Anything new that arrives, or space that frees up after a send found too little: epoll with EPOLLET,
    /// kqueue with `EV_CLEAR`. A short transfer then proves that the direction is drained, unless it is a
    /// [`Partial`](Outcome::Partial) one.
    OnArrival,
    /// An attempt that would block: mio over poll(2). Only [`Outcome::WouldBlock`] promises another event.
    OnWouldBlock,
}

/// What kind of thing a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A connected byte stream.
    Stream,
    /// A listener.
    Listener,
}

/// An operating system, real or simulated: everything the model ever asks of one is a [`Syscall`] or a wait.
pub trait System {
    /// What can be adopted as a connection.
    type Socket;

    /// What wakes a [`wait`](System::wait) from another thread.
    type Waker: Wake;

    /// What makes this system's engine report a direction again.
    fn rearm(&self) -> Rearm;

    /// A handle that wakes this system's [`wait`](System::wait).
    fn waker(&self) -> Self::Waker;

    /// What time it is. Cheap; never earlier than what an earlier call said, or at worst clamped by the
    /// model.
    fn now(&mut self) -> Instant;

    /// What kind of thing a socket is, before it is adopted.
    ///
    /// # Errors
    ///
    /// When it is neither a stream nor a listener, or the system can not tell.
    fn kind(&mut self, socket: &Self::Socket) -> Result<Kind, SystemError>;

    /// Takes a socket in and knows it as `conn` from now on: non-blocking, registered for readiness in both
    /// directions, edge-triggered. The current state of the socket is reported as an event.
    ///
    /// # Errors
    ///
    /// When the system refuses to register it; the socket comes back as it was, but perhaps non-blocking.
    fn adopt(&mut self, conn: ConnId, socket: Self::Socket) -> Result<(), (SystemError, Self::Socket)>;

    /// Makes a listener, to be adopted. Never waits for a peer.
    ///
    /// A system that has no addresses need not implement this, nor the two that follow.
    ///
    /// # Errors
    ///
    /// What the system says; [`SystemErrorKind::InvalidInput`] of what is not
    /// [valid](Listen::validate). Nothing is left then: no descriptor, and no path.
    fn listen(&mut self, listen: &Listen) -> Result<Self::Socket, SystemError> {
        let _ = listen;
        Err(UNSUPPORTED)
    }

    /// The address that a connection or listener is bound to.
    ///
    /// # Errors
    ///
    /// [`SystemErrorKind::InvalidInput`] if it is not known (any more), or what the system says.
    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        let _ = conn;
        Err(UNSUPPORTED)
    }

    /// The address of a connection's peer. Of what a listener accepted that
    /// [keeps](Listen::keep_peer_addr) them it is known for as long as the connection is.
    ///
    /// # Errors
    ///
    /// As [`local_addr`](System::local_addr), and [`SystemErrorKind::NotConnected`] of a listener, of a
    /// connection that is not made yet, and where the system has forgotten it because the connection is dead.
    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        let _ = conn;
        Err(UNSUPPORTED)
    }

    /// Makes one attempt. Never blocks.
    fn perform(&mut self, call: Syscall<'_>) -> Outcome;

    /// Sleeps until there is an event, until `until` (`None`: for ever), or until it is woken, and reports
    /// events at hand: one at least, if there is any, and `events_max` at most; what it leaves comes with the
    /// next waits. An engine that can not leave any (mio over poll(2)) reports all there are. May return
    /// early for no reason; returns the time it is now.
    ///
    /// # Errors
    ///
    /// When the readiness engine itself fails. An interrupted wait is not an error, it is an early return.
    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError>;

    /// [`wait`](System::wait), but before it sleeps it polls for events for `spin`: for latency, at the price
    /// of the processor. Returns the time it is now, and whether it went to sleep.
    ///
    /// That is all that may differ; a system to which it makes no difference need not implement it.
    ///
    /// # Errors
    ///
    /// As [`wait`](System::wait).
    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        let _ = spin;
        self.wait(until, events_max, on_ready).map(|now| (now, true))
    }
}

/// Of a system that has no addresses.
const UNSUPPORTED: SystemError = SystemError::from_kind(SystemErrorKind::Unsupported);

/// Whoever may use a system may lend it.
impl<S: System> System for &mut S {
    type Socket = S::Socket;
    type Waker = S::Waker;

    fn rearm(&self) -> Rearm {
        (**self).rearm()
    }

    fn waker(&self) -> S::Waker {
        (**self).waker()
    }

    #[inline(always)]
    fn now(&mut self) -> Instant {
        (**self).now()
    }

    fn kind(&mut self, socket: &S::Socket) -> Result<Kind, SystemError> {
        (**self).kind(socket)
    }

    fn adopt(&mut self, conn: ConnId, socket: S::Socket) -> Result<(), (SystemError, S::Socket)> {
        (**self).adopt(conn, socket)
    }

    fn listen(&mut self, listen: &Listen) -> Result<S::Socket, SystemError> {
        (**self).listen(listen)
    }

    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        (**self).local_addr(conn)
    }

    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        (**self).peer_addr(conn)
    }

    #[inline(always)]
    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        (**self).perform(call)
    }

    #[inline(always)]
    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        (**self).wait(until, events_max, on_ready)
    }

    #[inline(always)]
    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        (**self).wait_spinning(until, spin, events_max, on_ready)
    }
}

/// What makes a call: a closure, or a [`System`] as [`On`].
pub(crate) trait Perform {
    /// Makes one attempt.
    fn perform(self, call: Syscall<'_>) -> Outcome;
}

impl<F: FnOnce(Syscall<'_>) -> Outcome> Perform for F {
    #[inline(always)]
    fn perform(self, call: Syscall<'_>) -> Outcome {
        self(call)
    }
}

/// A system that makes a call. Each place where one is made has its own copy of what the system does then,
/// and in that there is nothing left to be told apart.
pub(crate) struct On<'a, S>(pub(crate) &'a mut S);

impl<S: System> Perform for On<'_, S> {
    #[inline(always)]
    fn perform(self, call: Syscall<'_>) -> Outcome {
        self.0.perform(call)
    }
}

/// Wakes a [`System::wait`] from any thread.
pub trait Wake: Send + Sync + 'static {
    /// Makes the wait that is under way, or else the next one, return. Never blocks.
    fn wake(&self);
}
