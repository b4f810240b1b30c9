//! What a model holds, and what it has done: a snapshot that costs a few dozen copies, at any time.

use crate::conn::Conn;
use crate::deadlines::Deadlines;
use crate::extra::{Extra, QueuedOp};
use crate::model::{Model, ModelView};
use crate::op::LaneOp;
use crate::slab::Slab;

/// A snapshot: what there is now, and what has happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections and listeners that exist, those being made or closed included.
    pub connections: u32,
    /// The operations that are queued, by what they do.
    pub queued: Queued,
    /// Credits in use: operations that are queued, or whose completion was not taken.
    pub credits: u32,
    /// Completions that wait to be taken.
    pub completions: u32,
    /// Buffers of the pools that are lent.
    pub leases: u32,
    /// Lanes that can be received from and wait for a buffer.
    pub lanes_parked: u32,
    /// Accepts that wait for a free connection or credit.
    pub lanes_held: u32,
    /// Lanes that pause, because the system was short of something for their last call, or refused it. A
    /// shortage that lasts is one of which this gauge tells again and again.
    pub lanes_backing_off: u32,
    /// Pools that memory for another buffer was refused, and that ask for it again.
    pub pools_refused: u32,
    /// Lanes that have something to attempt.
    pub lanes_runnable: u32,
    /// Timers that are armed: deadlines, pauses, ends of flushing.
    pub timers: u32,
    /// What has happened since the start.
    pub counters: Counters,
}

/// What the entries of a model's tables take. A connection that waits for its next message holds one of a
/// connection; with a deadline, one of a timer too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// Bytes for a connection or listener, and the operation at the head of each of its lanes.
    pub conn_bytes: usize,
    /// Bytes for an operation behind another one in its lane, with what it carries.
    pub queued_bytes: usize,
    /// Bytes for what only those connections have that have operations behind others, receive into buffers of
    /// the user's, or have completions that wait to be taken.
    pub extra_bytes: usize,
    /// Bytes for an armed timer.
    pub timer_bytes: usize,
}

impl<C> Model<C> {
    /// What the entries of this model's tables take.
    pub const LAYOUT: Layout = Layout {
        conn_bytes: Slab::<Conn<C>>::ENTRY_BYTES,
        queued_bytes: size_of::<QueuedOp<C>>(),
        extra_bytes: size_of::<Extra<C>>(),
        timer_bytes: Deadlines::TIMER_BYTES,
    };
}

macro_rules! queued {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Queued operations, by what they do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Queued {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Queued {
            /// All of them.
            pub const fn total(&self) -> u32 {
                0 $(+ self.$name)*
            }
        }
    };
}

queued! {
    /// Receives into a buffer of the user's, or several.
    recv,
    /// Receives into a buffer of a pool.
    recv_pooled,
    /// Sends.
    send,
    /// Accepts.
    accept,
    /// Connects.
    connect,
    /// Shutdowns.
    shutdown,
    /// Closes.
    close,
    /// Sleeps.
    sleep,
    /// Posts. They end as they are submitted, so none is ever seen here.
    post,
}

impl Queued {
    /// An operation of a lane was queued.
    #[inline(always)]
    pub(crate) fn count_in(&mut self, kind: LaneOp) {
        *self.of_mut(kind) += 1;
    }

    /// An operation of a lane has ended.
    #[inline(always)]
    pub(crate) fn count_out(&mut self, kind: LaneOp) {
        *self.of_mut(kind) -= 1;
    }

    #[inline(always)]
    fn of_mut(&mut self, kind: LaneOp) -> &mut u32 {
        match kind {
            LaneOp::Recv { .. } => &mut self.recv,
            LaneOp::RecvPooled(_) => &mut self.recv_pooled,
            LaneOp::Send => &mut self.send,
            LaneOp::Accept { .. } => &mut self.accept,
            LaneOp::Connect => &mut self.connect,
            LaneOp::Shutdown => &mut self.shutdown,
            LaneOp::Ended(_) => unreachable!("it is not queued any more"),
        }
    }
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Turns taken.
    pub turns: u64,
    /// Turns that waited or polled for events; the others had sends to make first.
    pub waits: u64,
    /// System calls attempted.
    pub attempts: u64,
    /// Attempts that would have blocked.
    pub would_blocks: u64,
    /// Attempts that were interrupted.
    pub interrupts: u64,
    /// Attempts for which the system was short of something.
    pub exhaustions: u64,
    /// Times that memory for a buffer of a pool was refused.
    pub buffers_refused: u64,
    /// Accepts that the system refused, for no shortage.
    pub accepts_refused: u64,
    /// Events for connections that live.
    pub events: u64,
    /// Events for connections that are gone: dropped.
    pub events_stale: u64,
    /// Lanes that an event made ready, and whose next attempt would have blocked all the same.
    pub events_spurious: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections made by a connect.
    pub connected: u64,
    /// Connections and listeners opened: accepted, adopted, or begun to connect.
    pub opened: u64,
    /// Of those, the ones that are gone.
    pub closed: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Operations accepted.
    pub submitted: u64,
    /// Operations refused.
    pub refused: u64,
    /// Operations whose final completion was taken.
    pub completed: u64,
    /// Operations ended by their deadline.
    pub expired: u64,
    /// Operations cancelled.
    pub cancelled: u64,
    /// Times a lane that could be received from found its pool empty.
    pub parked: u64,
}

impl<C> Model<C> {
    /// What there is now, and what has happened so far. Costs a copy, and a look at each pool.
    pub fn stats(&self) -> Stats {
        let ModelView { lanes, deadlines, pools, completions, counters, queued, .. } = self.view();
        Stats {
            connections: lanes.live(),
            queued,
            credits: completions.credits(),
            completions: completions.waiting(),
            leases: pools.outstanding(),
            lanes_parked: pools.iter().map(|pool| lanes.parked(pool.id())).sum(),
            lanes_held: lanes.held(),
            lanes_backing_off: lanes.pausing(),
            pools_refused: pools.iter().map(|pool| u32::from(pool.retry().is_some())).sum(),
            lanes_runnable: lanes.running(),
            timers: deadlines.len(),
            counters,
        }
    }
}
