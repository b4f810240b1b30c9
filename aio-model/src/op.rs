//! Operations: what a user submits, as values, and what becomes of one inside of the model.

use alloc::boxed::Box;
use core::fmt;

use crate::buffer::Buffer;
use crate::cargo::{Cargo, CargoId};
use crate::completion::{CloseReason, Done, OpError};
use crate::connect::Target;
use crate::id::Key;
use crate::lane::Direction;
use crate::list::Link;
use crate::pool::PoolId;
use crate::time::Deadline;
use crate::timers::TimerId;

/// Something that can be submitted: [`Recv`](crate::Recv), [`Send`](crate::Send), [`Accept`](crate::Accept),
/// [`Shutdown`](crate::Shutdown) and [`Close`](crate::Close) on a connection or listener;
/// [`Connect`](crate::Connect), [`Sleep`](crate::Sleep) and [`Post`](crate::Post) on the proactor itself.
pub trait Operation<C> {
    /// The operation in the model's terms.
    fn into_request(self) -> Request<C>;
}

/// An operation in the model's terms. Opaque: the nouns make one.
#[derive(Debug)]
pub struct Request<C> {
    pub(crate) work: Work<C>,
    pub(crate) cargo: Cargo,
    pub(crate) deadline: Option<Deadline>,
}

impl<C> Request<C> {
    /// A request that carries nothing.
    pub(crate) fn bare(work: Work<C>, deadline: Option<Deadline>) -> Request<C> {
        Request { work, cargo: Cargo::default(), deadline }
    }

    /// The buffer that goes with it.
    pub fn buffer(&self) -> &Buffer {
        &self.cargo.buffer
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
    /// Receive into the operation's cargo: any bytes, or all it can hold.
    Recv { exact: bool },
    /// Receive any bytes into a lease, taken when there is something to read.
    RecvPooled { pool: PoolId },
    /// The same, from the connection's own pool: as submitted. Once accepted it is a [`Work::RecvPooled`].
    RecvOwnPool,
    /// Send the operation's cargo.
    Send,
    /// Accept one connection, or with a way to copy the context, one after the other.
    Accept { many: Option<fn(&C) -> C> },
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

impl<C> fmt::Debug for Work<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Recv { exact: false } => f.write_str("recv"),
            Work::Recv { exact: true } => f.write_str("recv_exact"),
            Work::RecvPooled { pool } => write!(f, "recv_pooled({pool:?})"),
            Work::RecvOwnPool => f.write_str("recv_pooled"),
            Work::Send => f.write_str("send"),
            Work::Accept { many: None } => f.write_str("accept_one"),
            Work::Accept { many: Some(_) } => f.write_str("accept_many"),
            Work::Connect { target } => write!(f, "connect({})", target.address()),
            Work::Shutdown => f.write_str("shutdown"),
            Work::Close { manner: Manner::Now, .. } => f.write_str("close"),
            Work::Close { manner: Manner::Abort, .. } => f.write_str("close_abort"),
            Work::Close { manner: Manner::Flush, .. } => f.write_str("close_flush"),
            Work::Close { manner: Manner::Linger(span), .. } => write!(f, "close_linger({span} ms)"),
            Work::Sleep => f.write_str("sleep"),
            Work::Post => f.write_str("post"),
        }
    }
}

impl<C> Work<C> {
    /// The lane that it queues in. A close queues in none, nor does what is of no connection.
    pub(crate) fn direction(&self) -> Option<Direction> {
        match self {
            Work::Recv { .. } | Work::RecvPooled { .. } | Work::RecvOwnPool | Work::Accept { .. } => {
                Some(Direction::Receive)
            }
            Work::Send | Work::Connect { .. } | Work::Shutdown => Some(Direction::Send),
            Work::Close { .. } | Work::Sleep | Work::Post => None,
        }
    }
}

/// An accepted operation, from its submission until its completion is taken. Its slab entry *is* the credit:
/// the place that its completion waits in, so that completing can neither fail nor allocate (C6).
#[derive(Debug)]
pub(crate) struct Op<C> {
    pub(crate) context: C,
    /// The connection it is of, or the proactor's own key.
    pub(crate) conn: Key,
    /// In the queue of its lane, then in that of the completions.
    pub(crate) link: Link,
    pub(crate) timer: Option<TimerId>,
    /// What it carries, if it carries anything.
    pub(crate) cargo: Option<CargoId>,
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
        of: Option<Key>,
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

    /// Ends it: of what it had to do there is its result now. Its link becomes the given one; returns the work that is
    /// over, and the link that it had where it was queued.
    #[inline]
    pub(crate) fn retire(&mut self, result: Result<Done, OpError>, link: Link) -> (Work<C>, Link) {
        let Stage::Queued(work) = core::mem::replace(&mut self.stage, Stage::Ended { result, of: None })
        else {
            unreachable!("an operation ends once");
        };
        (work, core::mem::replace(&mut self.link, link))
    }
}
