//! What only some connections have: operations behind the one at the head of a lane, a buffer of the user's
//! to receive into, completions that wait to be taken, a `Close`. Most have none of it, so it lies apart.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::buffer::Buffer;
use crate::completion::{CloseReason, Done, OpError};
use crate::connect::Target;
use crate::id::{ConnId, Serial};
use crate::op::{LaneOp, Manner, Op};
use crate::time::Instant;
use crate::timers::TimerId;
use crate::transfer::Transfer;

/// What an operation carries.
#[derive(Debug)]
pub(crate) enum Carried {
    Nothing,
    /// A buffer.
    Transfer(Transfer),
}

impl Carried {
    pub(crate) fn transfer(&self) -> Option<&Transfer> {
        match self {
            Carried::Transfer(transfer) => Some(transfer),
            Carried::Nothing => None,
        }
    }

    /// The buffer, if there is one.
    pub(crate) fn into_transfer(self) -> Transfer {
        match self {
            Carried::Transfer(transfer) => transfer,
            Carried::Nothing => Transfer::NONE,
        }
    }
}

/// An operation that is not at the head of its lane.
#[derive(Debug)]
pub(crate) struct QueuedOp<C> {
    pub(crate) op: Op<C>,
    pub(crate) load: Carried,
}

impl<C> QueuedOp<C> {
    /// The bytes that it is to send, if it is a send.
    pub(crate) fn bytes_to_send(&self) -> usize {
        match self.op.kind {
            LaneOp::Send => self.load.transfer().map_or(0, Transfer::left),
            _ => 0,
        }
    }
}

/// A completion that waits to be taken.
#[derive(Debug)]
pub(crate) struct EndedOp<C> {
    pub(crate) serial: Serial,
    pub(crate) context: C,
    pub(crate) buffer: Buffer,
    pub(crate) moved: usize,
    pub(crate) result: Result<Done, OpError>,
    pub(crate) more: bool,
}

/// The `Close` operations of a connection. The first one says how it is closed.
#[derive(Debug)]
pub(crate) struct Closing<C> {
    pub(crate) first: Closer<C>,
    /// Those that were submitted while it was being closed already.
    pub(crate) others: VecDeque<Closer<C>>,
    pub(crate) manner: Manner,
    pub(crate) reason: CloseReason,
    /// Of the strictest of their deadlines.
    pub(crate) timer: Option<TimerId>,
    /// Whether the connection is closed, and the completions wait to be taken.
    pub(crate) ended: bool,
}

/// A `Close` operation.
#[derive(Debug)]
pub(crate) struct Closer<C> {
    pub(crate) serial: Serial,
    pub(crate) context: C,
}

impl<C> Closing<C> {
    pub(crate) fn new(first: Closer<C>, manner: Manner, reason: CloseReason) -> Closing<C> {
        Closing { first, others: VecDeque::new(), manner, reason, timer: None, ended: false }
    }

    /// The operations, in the order in which they were submitted.
    pub(crate) fn closers(&self) -> impl Iterator<Item = &Closer<C>> {
        core::iter::once(&self.first).chain(&self.others)
    }
}

/// An operation whose deadline is put off whenever its lane makes progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Renewal {
    pub(crate) serial: Serial,
    /// It comes so long after the last progress.
    pub(crate) span: Duration,
}

#[derive(Debug)]
pub(crate) struct Extra<C> {
    /// The operations behind the heads of the lanes.
    pub(crate) behind: [VecDeque<QueuedOp<C>>; 2],
    /// The bytes of the sends among them.
    pub(crate) bytes_behind: usize,
    /// The completions of the lanes that wait to be taken, but for those that do in their lane. Where there
    /// is any, or an operation behind the head, there is room for those of all that are queued.
    pub(crate) ended: [VecDeque<EndedOp<C>>; 2],
    /// What the operation at the head of the receive lane carries. (A send is so usual that its buffer lies
    /// in the connection.)
    pub(crate) receive: Carried,
    /// Where a connect goes to.
    pub(crate) target: Option<Box<Target>>,
    pub(crate) closing: Option<Closing<C>>,
    /// The queued operations whose deadlines are put off.
    pub(crate) renewals: Vec<Renewal>,
    /// When each lane last made progress, while there are any.
    pub(crate) progress: [Instant; 2],
    /// The connection whose bytes count for this one, too, and keep it from being idle.
    pub(crate) idle_with: Option<ConnId>,
}

/// In a box that memory can be refused for, which `Box::new` does not let happen.
pub(crate) type ExtraBox<C> = Box<[Extra<C>; 1]>;

impl<C> Extra<C> {
    fn new() -> Extra<C> {
        Extra {
            behind: Default::default(),
            bytes_behind: 0,
            ended: Default::default(),
            receive: Carried::Nothing,
            target: None,
            closing: None,
            renewals: Vec::new(),
            progress: [Instant::ZERO; 2],
            idle_with: None,
        }
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        let Extra { behind, ended, receive, target, closing, renewals, idle_with, .. } = self;
        behind.iter().all(VecDeque::is_empty)
            && ended.iter().all(VecDeque::is_empty)
            && matches!(receive, Carried::Nothing)
            && target.is_none()
            && closing.is_none()
            && renewals.is_empty()
            && idle_with.is_none()
    }
}

/// As many are kept for reuse.
const SPARES_MAX: usize = 1024;

/// As much room in one is kept with it.
const SPARE_ROOM_MAX: usize = 16;

/// Empty ones, to be used again.
#[derive(Debug)]
pub(crate) struct Spares<C>(Vec<ExtraBox<C>>);

impl<C> Spares<C> {
    pub(crate) const EMPTY: Spares<C> = Spares(Vec::new());

    /// An empty one, if there is memory for it.
    pub(crate) fn take(&mut self) -> Option<ExtraBox<C>> {
        self.0.pop().or_else(|| {
            let mut place = Vec::new();
            place.try_reserve_exact(1).ok()?;
            place.push(Extra::new());
            place.into_boxed_slice().try_into().ok()
        })
    }

    /// Keeps an empty one, if there is room for it.
    pub(crate) fn keep(&mut self, mut extra: ExtraBox<C>) {
        let [inner] = &mut *extra;
        debug_assert!(inner.is_empty());
        let room = |queues: [usize; 2]| queues[0].max(queues[1]);
        let most = room(inner.behind.each_ref().map(VecDeque::capacity))
            .max(room(inner.ended.each_ref().map(VecDeque::capacity)))
            .max(inner.renewals.capacity());
        if self.0.len() < SPARES_MAX && most <= SPARE_ROOM_MAX && self.0.try_reserve(1).is_ok() {
            self.0.push(extra);
        }
    }
}
