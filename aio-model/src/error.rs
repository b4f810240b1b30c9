//! Errors as values: each call's own, and everything handed over comes back (C1, K7).

use core::fmt;
use core::num::NonZeroI32;

use crate::buffer::Buffer;

/// An error that the operating system gave: a kind to match on, and the number for the record.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SystemError {
    kind: SystemErrorKind,
    code: Option<NonZeroI32>,
}

impl SystemError {
    /// An error of the operating system, with its `errno`. No error has the number 0: it stands for none.
    pub const fn new(kind: SystemErrorKind, code: i32) -> SystemError {
        SystemError { kind, code: NonZeroI32::new(code) }
    }

    /// An error that no `errno` stands behind.
    pub const fn from_kind(kind: SystemErrorKind) -> SystemError {
        SystemError { kind, code: None }
    }

    /// The `errno` as a number that is 0 for none: what it takes to keep an error in few bytes.
    #[inline]
    pub(crate) const fn to_word(self) -> u32 {
        match self.code {
            Some(code) => code.get().cast_unsigned(),
            None => 0,
        }
    }

    /// The error that [`to_word`](SystemError::to_word) made a number of.
    #[inline]
    pub(crate) const fn from_word(kind: SystemErrorKind, word: u32) -> SystemError {
        SystemError::new(kind, word.cast_signed())
    }

    /// What kind of error it is.
    pub const fn kind(self) -> SystemErrorKind {
        self.kind
    }

    /// The `errno`, if there was one.
    pub const fn code(self) -> Option<i32> {
        match self.code {
            Some(code) => Some(code.get()),
            None => None,
        }
    }
}

impl fmt::Debug for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{:?}({code})", self.kind),
            None => write!(f, "{:?}", self.kind),
        }
    }
}

impl fmt::Display for SystemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.describe())?;
        self.code.map_or(Ok(()), |code| write!(f, " (os error {code})"))
    }
}

impl core::error::Error for SystemError {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The kinds of [`SystemError`] that a program may want to tell apart; as in `std::io::ErrorKind`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum SystemErrorKind {
            $($(#[$doc])* $name,)*
        }

        impl SystemErrorKind {
            const fn describe(self) -> &'static str {
                match self {
                    $(SystemErrorKind::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// ECONNRESET: the peer threw the connection away.
    ConnectionReset => "connection reset by peer",
    /// ECONNABORTED: the connection ended before it was accepted.
    ConnectionAborted => "connection aborted",
    /// ECONNREFUSED: nobody listens there.
    ConnectionRefused => "connection refused",
    /// EPIPE: this side, or the connection, is shut for sending.
    BrokenPipe => "broken pipe",
    /// ENOTCONN: the socket is not connected (any more).
    NotConnected => "not connected",
    /// ETIMEDOUT: the kernel gave up on the peer.
    TimedOut => "connection timed out",
    /// EHOSTUNREACH, ENETUNREACH, ENETDOWN and their like.
    Unreachable => "host or network unreachable",
    /// EMFILE, ENFILE: no descriptor left.
    DescriptorsExhausted => "too many open files",
    /// ENOBUFS, ENOMEM, ENOSPC: the kernel is out of memory for it.
    OutOfMemory => "out of kernel memory",
    /// A send of something that moved nothing.
    WriteZero => "the system took no bytes",
    /// The descriptor is not a stream socket or a listener, or what is connected to is none (EPROTOTYPE).
    Unsupported => "not a stream socket or a listener",
    /// EACCES, EPERM.
    PermissionDenied => "permission denied",
    /// ENOENT: there is no such Unix socket.
    NotFound => "no such socket",
    /// ENAMETOOLONG: the path of a Unix socket has more bytes than an address takes (107 on Linux).
    NameTooLong => "the path of the Unix socket is too long",
    /// TCP connected a socket to itself, as it does now and then when nobody listens on a local port:
    /// refused.
    SelfConnected => "connected to itself",
    /// EADDRINUSE.
    AddressInUse => "address in use",
    /// EADDRNOTAVAIL.
    AddressNotAvailable => "address not available",
    /// EINVAL, EBADF, ENOTSOCK and the like.
    InvalidInput => "invalid argument",
    /// Anything else: see the code.
    Other => "system error",
}

/// Why a submission was refused. No completion follows, and everything handed over is in here.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a refused submission gives context and buffer back"]
pub struct SubmitError<C> {
    /// Why.
    pub kind: SubmitErrorKind,
    /// The context of the refused operation.
    pub context: C,
    /// The buffer of the refused operation.
    pub buffer: Buffer,
}

impl<C> fmt::Display for SubmitError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl<C: fmt::Debug> core::error::Error for SubmitError<C> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.kind)
    }
}

/// The reasons for which a submission is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitErrorKind {
    /// A limit is reached. Take completions, or wait for some, and submit again.
    #[error("busy: {0}; take completions and submit again")]
    Busy(Limit),
    /// The id names no connection (any more): it was closed.
    #[error("the connection id is stale: its connection was closed")]
    Stale,
    /// The id was given out by another proactor.
    #[error("the id belongs to another proactor")]
    Foreign,
    /// The connection is being closed.
    #[error("the connection is being closed")]
    Closing,
    /// An earlier send ended after a part of its bytes. Resume the lane (resend the rest) or close.
    #[error("an earlier send ended after a part of its bytes; resume the lane, or close")]
    Tainted,
    /// The connection's write side was shut down by an earlier operation.
    #[error("the write side is shut down")]
    WriteShutDown,
    /// There is nothing to receive into, or nothing to send.
    #[error("the buffer is empty")]
    EmptyBuffer,
    /// A buffer of this kind can not be received into: it is shared or absent.
    #[error("the buffer can not be received into; hand over a Vec<u8> or a lease")]
    NotWritable,
    /// The parts of the buffer have more bytes together than this machine can count.
    #[error("the parts have more bytes together than can be counted")]
    TooLarge,
    /// The range of a send does not lie within its buffer.
    #[error("the range lies outside of the buffer")]
    OutOfRange,
    /// A listener does not receive or send, a stream does not accept, and what is of no connection is
    /// submitted on the proactor's own id.
    #[error(
        "the operation does not fit: listeners accept; streams receive, send and shut down; \
         connects, sleeps and posts are the proactor's own"
    )]
    WrongKind,
    /// There is no pool of that number.
    #[error("there is no such pool")]
    NoPool,
    /// A `Recv::many` may have no leases out, or more than its pool has buffers.
    #[error("`leases_max` is 0, or more than the pool has buffers")]
    LeasesMax,
    /// A `Recv::many` is queued on the connection, and receives all there is. Cancel it first.
    #[error("a `Recv::many` receives all there is; cancel it first")]
    ReceivesMany,
    /// The proactor is shutting down.
    #[error("the proactor is shutting down")]
    ShutDown,
}

/// The limits that a submission can run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// `connections_max`.
    #[error("as many connections as `connections_max` allows")]
    Connections,
    /// `ops_max`: operations that are queued or whose completion has not been taken.
    #[error("as many operations as `ops_max` allows")]
    Ops,
    /// No limit of the program's: the system has no memory for it.
    #[error("as much as there is memory for")]
    Memory,
    /// `lane_ops_max`: operations queued in one lane.
    #[error("as many operations in this lane as `lane_ops_max` allows")]
    LaneOps,
    /// `lane_bytes_max`, of the proactor or the connection: bytes that are queued in one lane to be sent.
    #[error("as many bytes in this lane as `lane_bytes_max` allows")]
    LaneBytes,
}

/// The id names nothing (any more): the operation has completed, or the connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// It was there once.
    #[error("the id is stale: what it named has ended")]
    Stale,
    /// Another proactor gave it out.
    #[error("the id belongs to another proactor")]
    Foreign,
}

/// Why a connection can not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A limit is reached.
    #[error("busy: {0}; close one first")]
    Busy(Limit),
    /// The proactor is shutting down.
    #[error("the proactor is shutting down")]
    ShutDown,
}

/// What does not make sense about a [`Listen`](crate::Listen).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidListen {
    /// The path of the Unix socket has no bytes.
    #[error("the path of the Unix socket is empty")]
    EmptyPath,
    /// The path of the Unix socket has a zero byte in it.
    #[error("the path of the Unix socket has a zero byte in it")]
    ZeroInPath,
    /// `backlog` is zero.
    #[error("`backlog` is zero")]
    NoBacklog,
    /// `reuse_port` on a Unix socket.
    #[error("`reuse_port` is for TCP")]
    ReusePortOfUnix,
    /// `v6only` on what is no IPv6 address.
    #[error("`v6only` is for IPv6 addresses")]
    V6OnlyOfOther,
    /// `keepalive` is zero, or more than the longest.
    #[error("`keepalive` is zero, or longer than 32,767 seconds")]
    Keepalive,
    /// `user_timeout` is zero, or more than the longest.
    #[error("`user_timeout` is zero, or longer than 2,147,483,647 milliseconds")]
    UserTimeout,
}

/// The system does not listen on what makes no sense.
impl From<InvalidListen> for SystemError {
    fn from(_: InvalidListen) -> SystemError {
        SystemError::from_kind(SystemErrorKind::InvalidInput)
    }
}

/// Why there is no listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The description makes no sense; no system call was made.
    #[error(transparent)]
    Invalid(#[from] InvalidListen),
    /// There is no place for another connection; no system call was made.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system refused: `AddressInUse`, `AddressNotAvailable` (the address is another machine's),
    /// `PermissionDenied` (a port below 1024, a directory), `NotFound` (no such directory), `NameTooLong`,
    /// `DescriptorsExhausted`, `OutOfMemory`.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Why there is no address to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// The connection is gone.
    #[error("the connection id is stale: its connection was closed")]
    Stale,
    /// Another proactor gave the id out.
    #[error("the id belongs to another proactor")]
    Foreign,
    /// The system does not tell: `NotConnected` of a listener's peer, and of a peer that was not kept and has
    /// gone.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Why an operation can be neither cancelled nor given another deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpIdError {
    /// It has ended: its completion was taken, or waits to be.
    #[error("the operation has ended")]
    Stale,
    /// Another proactor gave the id out.
    #[error("the id belongs to another proactor")]
    Foreign,
    /// A close can not be taken back, and keeps the deadline it was submitted with.
    #[error("a close can not be cancelled or changed")]
    Close,
    /// The system has no memory for a deadline that is put off by progress.
    #[error("there is no memory for a deadline that is put off")]
    Memory,
}

/// Why the idle time of a connection can not be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetIdleError {
    /// The connection is gone.
    #[error("the connection id is stale: its connection was closed")]
    Stale,
    /// Another proactor gave the id out.
    #[error("the id belongs to another proactor")]
    Foreign,
    /// The connection is being closed.
    #[error("the connection is being closed")]
    Closing,
    /// Two of one connection are no pair, nor is a listener one of a pair.
    #[error("only two connections are a pair")]
    NoPair,
    /// The system has no memory for it.
    #[error("there is no memory for it")]
    Memory,
}

impl From<IdError> for SetIdleError {
    fn from(error: IdError) -> SetIdleError {
        match error {
            IdError::Stale => SetIdleError::Stale,
            IdError::Foreign => SetIdleError::Foreign,
        }
    }
}

/// Why a lane can not be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The connection is gone.
    #[error("the connection id is stale: its connection was closed")]
    Stale,
    /// Another proactor gave the id out.
    #[error("the id belongs to another proactor")]
    Foreign,
    /// No send of this connection ended after a part of its bytes.
    #[error("the lane is not tainted")]
    NotTainted,
}

/// Why a connection can not be given another pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetPoolError {
    /// The connection is gone.
    #[error("the connection id is stale: its connection was closed")]
    Stale,
    /// Another proactor gave the id out.
    #[error("the id belongs to another proactor")]
    Foreign,
    /// There is no pool of that number.
    #[error("there is no such pool")]
    NoPool,
}

/// Whoever names something that is not there is told so in the words of the call that it was for.
macro_rules! from_id_error {
    ($($type:ident),*) => {
        $(impl From<IdError> for $type {
            fn from(error: IdError) -> $type {
                match error {
                    IdError::Stale => $type::Stale,
                    IdError::Foreign => $type::Foreign,
                }
            }
        })*
    };
}

from_id_error!(SubmitErrorKind, ResumeError, SetPoolError, AddrError);
