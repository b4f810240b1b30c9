//! The lane: one direction of a connection, or a listener's accepts. One type, whichever it is, so that the
//! directions can not drift apart.
//!
//! A lane is a FIFO of operations and what is believed of the kernel: *ready*, an attempt may succeed, or not.
//! Only an outcome makes it not ready. An event makes it ready again, or a last attempt that moved all it was asked to, for
//! none may follow that. Where a lane *stands* follows:
//!
//! ```text
//!                      operations, and ready
//!        ┌──────┐ ─────────────────────────▶ ┌─────────┐ ── attempt, rotate ─┐
//!   ────▶│ Idle │                            │ Running │ ◀───────────────────┘
//!        └──────┘ ◀───────────────────────── └─────────┘
//!                   none left, or not ready   │   │   ▲
//!                                             ▼   ▼   │ lease given, place free, time up
//!                                  Parked · Held · BackingOff
//! ```
//!
//! Parked: the pool has no buffer. Held: connections or credits are at their limit. `BackingOff`: the system
//! ran out of something that comes back without an event, or refused.

use crate::attempt::RoundNumber;
use crate::backoff::{Row, Want};
use crate::completion::{Done, OpError};
use crate::conn::Conn;
use crate::error::{SystemError, SystemErrorKind};
use crate::list::{Link, Links, List};
use crate::op::{Op, Work};
use crate::pool::PoolId;
use crate::slab::Slab;
use crate::system::{Outcome, Readiness, Rearm};
use crate::timers::TimerId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Receives, or a listener's accepts.
    Receive = 0,
    /// Sends, and the connect before them.
    Send = 1,
}

/// Names a lane: the index of its connection, and the direction in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneId(u32);

impl LaneId {
    pub(crate) fn new(conn: u32, direction: Direction) -> LaneId {
        LaneId(conn << 1 | u32::from(direction == Direction::Send))
    }

    pub(crate) fn from_index(index: u32) -> LaneId {
        LaneId(index)
    }

    pub(crate) fn index(self) -> u32 {
        self.0
    }

    pub(crate) fn conn(self) -> u32 {
        self.0 >> 1
    }

    pub(crate) fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Receive } else { Direction::Send }
    }
}

#[derive(Debug)]
pub(crate) struct Lane {
    /// The queued operations, in submission order.
    pub(crate) ops: List,
    /// In the list that `place` names.
    pub(crate) link: Link,
    pub(crate) place: Place,
    pub(crate) belief: Belief,
    /// An event hinted at an end of stream or an error: a short transfer then proves nothing.
    pub(crate) end_hinted: bool,
    pub(crate) gate: Gate,
    /// Nothing more can come of this direction (K4).
    pub(crate) end: Option<End>,
    /// How often in a row the system was short of something, or refused.
    pub(crate) row: Row,
    /// Bytes that went through, ever.
    pub(crate) bytes: u64,
}

/// Which list a lane is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Idle,
    Running {
        /// In which round it came to stand where it stands: its turn is in the next one.
        since: RoundNumber,
    },
    Parked(PoolId),
    Held {
        /// Whether it was the last to get a place, or one of the last: those who got none come first (K6).
        served: bool,
    },
    /// Until the timer fires.
    BackingOff {
        timer: TimerId,
        want: Want,
    },
}

/// What is believed of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Belief {
    /// An attempt would block: an outcome said so, and an event is due. Only a last attempt is made all the same.
    Blocked,
    /// An attempt may succeed.
    Ready,
    /// The same, because of an event that no attempt has been made for yet.
    Woken,
}

/// What a call moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    /// How many bytes.
    pub(crate) count: usize,
    /// Whether there was room for more, or more to be sent.
    pub(crate) short: bool,
}

impl Moved {
    /// What a receive moved into that much space; none if it moved nothing, or says what can not be.
    #[inline]
    pub(crate) fn received(outcome: Outcome, space: usize) -> Option<Moved> {
        let (count, short) = match outcome {
            Outcome::Transferred(count) => (count, count < space),
            Outcome::Partial(count) => (count, false),
            _ => return None,
        };
        (1..=space).contains(&count).then_some(Moved { count, short })
    }
}

/// What a lane ended with. Sticky: every operation from now on ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The peer has sent all it ever will.
    EndOfStream,
    /// An error of the system.
    Fault(SystemError),
}

/// What submitted sends meet. Always open for receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// A send ended after a part of its bytes, and the user has not resumed the lane (C5).
    Tainted,
    /// A shutdown is in the queue, as its last operation.
    Shutting,
    /// FIN was sent.
    Shut,
}

impl Lane {
    pub(crate) fn new(direction: Direction) -> Lane {
        Lane {
            ops: List::EMPTY,
            link: Link::UNLINKED,
            place: Place::Idle,
            // A send is worth a try at once. A receive waits for the event that the registration will cause.
            belief: if direction == Direction::Send { Belief::Ready } else { Belief::Blocked },
            end_hinted: false,
            gate: Gate::Open,
            end: None,
            row: Row::NONE,
            bytes: 0,
        }
    }

    /// Whether an attempt may succeed.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.belief != Belief::Blocked
    }

    /// An event said that an attempt may succeed. Returns whether that is news.
    #[inline]
    pub(crate) fn on_event(&mut self, readiness: Readiness) -> bool {
        self.end_hinted |= readiness.hints_end();
        let is_news = !self.is_ready();
        if is_news {
            self.belief = Belief::Woken;
        }
        is_news
    }

    /// Bytes went through. If they were fewer than there was room for, and the engine reports arrivals, that
    /// proves that there is no more, unless an end may be waiting behind the bytes.
    #[inline]
    pub(crate) fn on_transfer(&mut self, moved: Moved, rearm: Rearm) {
        self.on_attempt();
        if moved.short && rearm == Rearm::OnArrival && !self.end_hinted {
            self.belief = Belief::Blocked;
        }
        self.end_row();
        self.bytes += moved.count as u64;
    }

    /// An attempt succeeded: no event is any more the reason to make one, and if it was a last attempt, made without any,
    /// none may follow.
    #[inline]
    pub(crate) fn on_attempt(&mut self) {
        self.belief = Belief::Ready;
    }

    /// Whether there is something to attempt. A shutdown is its lane's last operation; once it is the only one, it
    /// needs no room in the kernel's buffers.
    #[inline]
    pub(crate) fn is_runnable(&self) -> bool {
        let shuts_down = self.gate == Gate::Shutting && self.ops.len() == 1;
        (self.is_ready() || shuts_down) && !self.ops.is_empty()
    }
}

impl End {
    /// What the receives of a connection end with when no more bytes come, given how its sends have ended.
    ///
    /// A kernel tells an error once, to whichever call comes first. After it was told to a send, a receive finds an end
    /// of stream that the peer never sent. EPIPE and ENOTCONN are no such news: they are the state of the socket, and
    /// the end behind them may be the peer's own.
    pub(crate) fn of_receives(sends: Option<End>) -> End {
        match sends {
            Some(End::Fault(error))
                if !matches!(error.kind(), SystemErrorKind::BrokenPipe | SystemErrorKind::NotConnected) =>
            {
                End::Fault(error)
            }
            _ => End::EndOfStream,
        }
    }

    /// What an operation ends with in a lane that has ended like this.
    pub(crate) fn result<C>(self, work: &Work<C>) -> Result<Done, OpError> {
        match (self, work) {
            (End::EndOfStream, Work::Recv { exact: true, .. }) => Err(OpError::UnexpectedEof),
            (End::EndOfStream, _) => Ok(Done::Received { end_of_stream: true }),
            (End::Fault(error), _) => Err(OpError::System(error)),
        }
    }
}

impl Links for Slab<Conn> {
    #[inline]
    fn link(&self, index: u32) -> &Link {
        &self[LaneId(index)].link
    }

    #[inline]
    fn link_mut(&mut self, index: u32) -> &mut Link {
        &mut self[LaneId(index)].link
    }
}

impl<C> Links for Slab<Op<C>> {
    #[inline]
    fn link(&self, index: u32) -> &Link {
        &self[index].link
    }

    #[inline]
    fn link_mut(&mut self, index: u32) -> &mut Link {
        &mut self[index].link
    }
}

impl core::ops::Index<LaneId> for Slab<Conn> {
    type Output = Lane;

    #[inline]
    fn index(&self, lane: LaneId) -> &Lane {
        &self[lane.conn()].lanes[(lane.0 & 1) as usize]
    }
}

impl core::ops::IndexMut<LaneId> for Slab<Conn> {
    #[inline]
    fn index_mut(&mut self, lane: LaneId) -> &mut Lane {
        &mut self[lane.conn()].lanes[(lane.0 & 1) as usize]
    }
}
