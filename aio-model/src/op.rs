//! Operations: what a user submits, as values, and what is kept of one in its lane.

use alloc::boxed::Box;
use core::fmt;
use core::num::NonZeroU8;

use crate::buffer::Buffer;
use crate::completion::{CloseReason, Done, OpError};
use crate::connect::Target;
use crate::direction::Direction;
use crate::error::{SystemError, SystemErrorKind};
use crate::id::{PoolId, Serial};
use crate::time::Deadline;
use crate::timers::TimerId;
use crate::transfer::Transfer;

/// Something that can be submitted: [`Recv`](crate::Recv), [`Send`](crate::Send), [`Accept`](crate::Accept),
/// [`Wait`](crate::Wait), [`Shutdown`](crate::Shutdown) and [`Close`](crate::Close) on a connection or
/// listener;
/// [`Connect`](crate::Connect), [`Sleep`](crate::Sleep) and [`Post`](crate::Post) on the proactor itself.
pub trait Operation<C> {
    /// The operation in the model's terms.
    fn into_request(self) -> Request<C>;
}

/// An operation in the model's terms. Opaque: the nouns make one.
#[derive(Debug)]
pub struct Request<C> {
    pub(crate) kind: OpKind<C>,
    pub(crate) transfer: Transfer,
    pub(crate) deadline: Option<Deadline>,
}

impl<C> Request<C> {
    /// A request that moves no bytes of a buffer that came with it.
    pub(crate) fn bare(kind: OpKind<C>, deadline: Option<Deadline>) -> Request<C> {
        Request { kind, transfer: Transfer::NONE, deadline }
    }

    /// The buffer that goes with it.
    pub fn buffer(&self) -> &Buffer {
        self.transfer.buffer()
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

/// How a context is copied for each connection that is accepted.
pub(crate) type CloneContext<C> = fn(&C) -> C;

/// What an operation has to do, as submitted.
pub(crate) enum OpKind<C> {
    /// Receive into a buffer of the user's: any bytes, or all it can hold.
    Recv { exact: bool },
    /// Receive any bytes into a lease, taken when there is something to read: from a pool of choice, or the
    /// connection's own.
    RecvPooled { pool: Option<PoolId> },
    /// The same, one lease after the other, as long as there are fewer of them out than that.
    RecvMany { pool: Option<PoolId>, leases_max: u8, clone: CloneContext<C> },
    /// Send a buffer.
    Send,
    /// Wait until a receive or a send would not block.
    Wait(Direction),
    /// Accept one connection, or with a way to copy the context, one after the other.
    Accept { many: Option<CloneContext<C>> },
    /// Make a connection, which this operation is the first one of.
    Connect { target: Box<Target> },
    /// Send FIN once the sends before it are done.
    Shutdown,
    /// Close the connection.
    Close { manner: Manner, reason: CloseReason },
    /// Wait for a point in time.
    Sleep,
    /// Complete at once.
    Post,
}

impl<C> OpKind<C> {
    /// The lane that it queues in, if it does in one.
    pub(crate) fn direction(&self) -> Option<Direction> {
        match self {
            OpKind::Wait(direction) => Some(*direction),
            OpKind::Send | OpKind::Connect { .. } | OpKind::Shutdown => Some(Direction::Send),
            OpKind::Recv { .. }
            | OpKind::RecvPooled { .. }
            | OpKind::RecvMany { .. }
            | OpKind::Accept { .. } => Some(Direction::Receive),
            OpKind::Close { .. } | OpKind::Sleep | OpKind::Post => None,
        }
    }
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// At once.
    Now,
    /// At once, and by a reset.
    Abort,
    /// When its queued sends are done.
    Flush,
    /// When after that and a FIN the peer has ended too, or at the latest that many milliseconds later.
    Linger(u32),
}

impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Manner::Now => f.write_str("close"),
            Manner::Abort => f.write_str("close_abort"),
            Manner::Flush => f.write_str("close_flush"),
            Manner::Linger(span) => write!(f, "close_linger({span} ms)"),
        }
    }
}

impl<C> fmt::Debug for OpKind<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpKind::Recv { exact } => fmt::Display::fmt(&LaneOp::Recv { exact: *exact }, f),
            OpKind::RecvPooled { pool: Some(pool) } => fmt::Display::fmt(&LaneOp::RecvPooled(*pool), f),
            OpKind::RecvPooled { pool: None } => f.write_str("recv_pooled"),
            OpKind::RecvMany { leases_max, .. } => write!(f, "recv_many({leases_max})"),
            OpKind::Send => fmt::Display::fmt(&LaneOp::Send, f),
            OpKind::Wait(_) => fmt::Display::fmt(&LaneOp::Wait, f),
            OpKind::Accept { many } => fmt::Display::fmt(&LaneOp::Accept { many: many.is_some() }, f),
            OpKind::Connect { target } => write!(f, "connect({})", target.address()),
            OpKind::Shutdown => fmt::Display::fmt(&LaneOp::Shutdown, f),
            OpKind::Close { manner, .. } => fmt::Display::fmt(manner, f),
            OpKind::Sleep => f.write_str("sleep"),
            OpKind::Post => f.write_str("post"),
        }
    }
}

/// What an operation in a lane has to do. What it carries lies beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneOp {
    /// Receive into a buffer of the user's: any bytes, or all it can hold.
    Recv { exact: bool },
    /// Receive any bytes into a lease of that pool.
    RecvPooled(PoolId),
    /// The same, one lease after the other, as long as there are fewer of them out than that.
    RecvMany(PoolId, NonZeroU8),
    /// Accept one connection, or one after the other.
    Accept { many: bool },
    /// Send a buffer.
    Send,
    /// Wait until an attempt would not block.
    Wait,
    /// Make the connection.
    Connect,
    /// Send FIN.
    Shutdown,
    /// Nothing any more: it has ended, and its completion waits here to be taken.
    Ended(EndedAs),
}

impl LaneOp {
    /// The pool that it receives from, if it is one of the receives that take a buffer when there is
    /// something to read.
    #[inline]
    pub(crate) fn pool(self) -> Option<PoolId> {
        match self {
            LaneOp::RecvPooled(pool) | LaneOp::RecvMany(pool, _) => Some(pool),
            _ => None,
        }
    }
}

/// What an operation has ended with, but for a number, which is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndedAs {
    Received,
    EndOfStream,
    Sent,
    Ready,
    Connected,
    ShutDown,
    Deadline,
    Idle,
    Cancelled,
    ClosedOnRequest,
    ClosedWithCode,
    ClosedByShutDown,
    Tainted,
    UnexpectedEof,
    System(SystemErrorKind),
}

/// An operation in its lane, from its submission until its completion is taken or stored elsewhere.
#[derive(Debug)]
pub(crate) struct Op<C> {
    pub(crate) serial: Serial,
    /// The timer of its deadline. Once it has ended, the number that goes with [`EndedAs`].
    word: u32,
    pub(crate) kind: LaneOp,
    pub(crate) context: C,
}

impl<C> Op<C> {
    #[inline]
    pub(crate) fn new(serial: Serial, kind: LaneOp, timer: Option<TimerId>, context: C) -> Op<C> {
        Op { serial, word: TimerId::to_word(timer), kind, context }
    }

    /// One that has ended. What a buffer or a connection came with does not fit in here.
    pub(crate) fn ended(serial: Serial, context: C, result: Result<Done, OpError>) -> Op<C> {
        let (ended, word) = match result {
            Ok(Done::Received { end_of_stream: false }) => (EndedAs::Received, 0),
            Ok(Done::Received { end_of_stream: true }) => (EndedAs::EndOfStream, 0),
            Ok(Done::Sent) => (EndedAs::Sent, 0),
            Ok(Done::Ready) => (EndedAs::Ready, 0),
            Ok(Done::Connected) => (EndedAs::Connected, 0),
            Ok(Done::ShutDown) => (EndedAs::ShutDown, 0),
            Err(OpError::Deadline) => (EndedAs::Deadline, 0),
            Err(OpError::Idle) => (EndedAs::Idle, 0),
            Err(OpError::Cancelled) => (EndedAs::Cancelled, 0),
            Err(OpError::Closed(CloseReason::Requested)) => (EndedAs::ClosedOnRequest, 0),
            Err(OpError::Closed(CloseReason::Code(code))) => (EndedAs::ClosedWithCode, code),
            Err(OpError::Closed(CloseReason::ShutDown)) => (EndedAs::ClosedByShutDown, 0),
            Err(OpError::Tainted) => (EndedAs::Tainted, 0),
            Err(OpError::UnexpectedEof) => (EndedAs::UnexpectedEof, 0),
            Err(OpError::System(error)) => (EndedAs::System(error.kind()), error.to_word()),
            Ok(Done::Accepted(_) | Done::Closed | Done::Elapsed | Done::Posted) => {
                unreachable!("these are stored elsewhere")
            }
        };
        Op { serial, word, kind: LaneOp::Ended(ended), context }
    }

    /// Whether it has ended.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.kind, LaneOp::Ended(_))
    }

    /// What it has ended with, if it has.
    pub(crate) fn result(&self) -> Option<Result<Done, OpError>> {
        let LaneOp::Ended(ended) = self.kind else { return None };
        Some(match ended {
            EndedAs::Received => Ok(Done::Received { end_of_stream: false }),
            EndedAs::EndOfStream => Ok(Done::Received { end_of_stream: true }),
            EndedAs::Sent => Ok(Done::Sent),
            EndedAs::Ready => Ok(Done::Ready),
            EndedAs::Connected => Ok(Done::Connected),
            EndedAs::ShutDown => Ok(Done::ShutDown),
            EndedAs::Deadline => Err(OpError::Deadline),
            EndedAs::Idle => Err(OpError::Idle),
            EndedAs::Cancelled => Err(OpError::Cancelled),
            EndedAs::ClosedOnRequest => Err(OpError::Closed(CloseReason::Requested)),
            EndedAs::ClosedWithCode => Err(OpError::Closed(CloseReason::Code(self.word))),
            EndedAs::ClosedByShutDown => Err(OpError::Closed(CloseReason::ShutDown)),
            EndedAs::Tainted => Err(OpError::Tainted),
            EndedAs::UnexpectedEof => Err(OpError::UnexpectedEof),
            EndedAs::System(kind) => Err(OpError::System(SystemError::from_word(kind, self.word))),
        })
    }

    /// The timer of its deadline.
    #[inline]
    pub(crate) fn timer(&self) -> Option<TimerId> {
        if self.is_ended() { None } else { TimerId::from_word(self.word) }
    }

    /// The timer of its deadline, if it has not ended.
    #[inline(always)]
    pub(crate) fn live_timer(&self) -> Option<TimerId> {
        debug_assert!(!self.is_ended(), "an operation that has ended has no deadline");
        TimerId::from_word(self.word)
    }

    /// Replaces the timer of its deadline, or forgets it.
    #[inline]
    pub(crate) fn set_timer(&mut self, timer: Option<TimerId>) {
        debug_assert!(!self.is_ended(), "an operation that has ended has no deadline");
        self.word = TimerId::to_word(timer);
    }
}

impl fmt::Display for LaneOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaneOp::Recv { exact: false } => f.write_str("recv"),
            LaneOp::Recv { exact: true } => f.write_str("recv_exact"),
            LaneOp::RecvPooled(pool) => write!(f, "recv_pooled({pool:?})"),
            LaneOp::RecvMany(pool, leases_max) => write!(f, "recv_many({pool:?}, {leases_max})"),
            LaneOp::Send => f.write_str("send"),
            LaneOp::Wait => f.write_str("wait"),
            LaneOp::Accept { many: false } => f.write_str("accept_one"),
            LaneOp::Accept { many: true } => f.write_str("accept_many"),
            LaneOp::Connect => f.write_str("connect"),
            LaneOp::Shutdown => f.write_str("shutdown"),
            LaneOp::Ended(ended) => write!(f, "ended({ended:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_in_place_tells_what_it_ended_with() {
        let system = |code| OpError::System(SystemError::new(SystemErrorKind::BrokenPipe, code));
        let results = [
            Ok(Done::Received { end_of_stream: false }),
            Ok(Done::Received { end_of_stream: true }),
            Ok(Done::Sent),
            Ok(Done::Ready),
            Ok(Done::Connected),
            Ok(Done::ShutDown),
            Err(OpError::Deadline),
            Err(OpError::Idle),
            Err(OpError::Cancelled),
            Err(OpError::Closed(CloseReason::Requested)),
            Err(OpError::Closed(CloseReason::Code(u32::MAX))),
            Err(OpError::Closed(CloseReason::ShutDown)),
            Err(OpError::Tainted),
            Err(OpError::UnexpectedEof),
            Err(system(0)),
            Err(system(32)),
            Err(system(i32::MIN)),
        ];
        for result in results {
            let op = Op::ended(Serial::FIRST, (), result);
            assert_eq!((op.result(), op.timer()), (Some(result), None));
        }
    }
}
