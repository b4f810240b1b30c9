//! A proactor network library: submit operations, get completions.
//!
//! Start with [`Proactor`]. The operations are [`Recv`], [`Send`], [`Accept`], [`Shutdown`] and [`Close`] on
//! a connection or listener; [`Connect`], [`Sleep`] and [`Post`] on the proactor itself; what comes back is a
//! [`Completion`].
//!
//! # What may be relied on
//!
//! * **Exactly one.** Every accepted operation has exactly one final completion, before its connection's
//!   `Closed`. A refused submission has none: [`SubmitError`] gives context and buffer back at once.
//! * **Nothing is lost.** A completion carries context, connection, operation, buffer, the count of bytes
//!   moved in all attempts together, and the result, on every outcome.
//! * **Order.** First in, first out, in each direction of a connection; only a deadline or a cancel lets an
//!   operation end before an earlier one.
//! * **Bytes.** Those received form a gap-free prefix of what the peer sent; sends never interleave.
//!   Sends that are queued go out together, in as few calls as it takes, and each completes by itself.
//! * **Taint.** A send that ended with a part of its bytes ends those behind it with [`OpError::Tainted`],
//!   and new ones are refused, until [`Proactor::resume`] or a close. If it ended with an error of the
//!   system, the others end with that error instead: there is nothing to resume.
//! * **Never blocks.** Submitting reserves the place of the completion. At a limit it refuses with
//!   [`SubmitErrorKind::Busy`].
//! * **Time.** What has no deadline never times out. What has one never times out early, and ends in the
//!   first turn at or after it, rounded up to the millisecond; or, if very many fall due together, in one of
//!   those that follow at once. In one turn, bytes that moved come before a deadline. What is next in its
//!   direction is tried once more at its deadline, so nothing ends in vain because the program was stopped or
//!   busy.
//! * **Buffers** are in one place at a time. A pooled receive takes one when its connection is readable, and
//!   gives it back when there was nothing after all. While none is free, readable connections wait in line.
//! * **Closing** is idempotent, and everything queued is told why. A close may flush first, and may linger,
//!   so that no reset overtakes the last answer.
//! * **Identity.** An id never names another connection or operation than the one it was made for.
//! * **Fairness.** A turn is bounded, and so is each connection's part of it.
//! * **Errors are values.** An end of stream is a success with no bytes; an error of the system is sticky,
//!   and reaches every operation of its direction.
#![forbid(unsafe_code)]

mod builder;
mod mailbox;
mod proactor;
mod realm;
mod sync;
#[cfg(feature = "tracing")]
mod traced;
#[cfg(not(feature = "tracing"))]
#[path = "untraced.rs"]
mod traced;

pub use aio_model::{
    Accept, AcceptMany, AddrError, Address, Buffer, Close, CloseReason, Completion, ConnId, ConnInfo,
    ConnPhase, Connect, Counters, Deadline, Direction, Done, IdError, Instant, InvalidListen, Kind, LaneEnd,
    LaneInfo, LanePlace, Lease, LeaseHolders, Limit, Limits, Listen, ListenError, OpError, OpId, OpIdError,
    OpInfo, OpenError, Operation, Parts, PoolId, Post, Queued, Recv, RecvMany, Request, ResumeError, Send,
    SetIdleError, SetPoolError, Shutdown, Sleep, Spin, Stats, SubmitError, SubmitErrorKind, System,
    SystemError, SystemErrorKind, Wait,
};
pub use aio_sys::{Os, PrepareError, PrepareErrorKind, PreparedSocket, Socket};

/// What it takes to be the system below a [`Proactor`]: to simulate one, or to make a real one fail.
///
/// This module is **unstable**: whatever new the library asks of a system, such as another [`Syscall`] or
/// [`Outcome`], may come with any release. Programs that are generic over [`System`], and use what the rest
/// of the crate offers, are not affected.
///
/// [`Syscall`]: system::Syscall
/// [`Outcome`]: system::Outcome
pub mod system {
    pub use aio_model::{
        Kind, Outcome, Readiness, Rearm, SLICES_MAX, Slices, SlicesMut, Syscall, System, Target, Wake,
    };
}
pub use builder::{AdoptError, BuildError, Builder};
pub use proactor::{BrokenInvariant, Proactor};

/// The README's examples are tested.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
