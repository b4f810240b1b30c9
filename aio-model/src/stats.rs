//! What a model holds, and what it has done: a snapshot that costs a few dozen copies, at any time.

use crate::buffer::Buffer;
use crate::conn::Conn;
use crate::deadlines::Deadlines;
use crate::extra::{Extra, QueuedOp};
use crate::lane::Direction;
use crate::metrics::{Counters, Queued};
use crate::model::{Model, ModelView};
use crate::pool::Pool;
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
    /// Lanes whose `Recv::many` has as many leases out as it may, and that wait for one of them.
    pub lanes_leases_out: u32,
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

/// Who has the buffers of the pools that are lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LeaseHolders {
    /// Those in queued sends.
    pub sends: u32,
    /// Those that are set aside for receives which have waited, or were interrupted.
    pub receives: u32,
    /// The others: in completions that were not taken, in the program's hands, also as `Bytes` or in receives
    /// that the program gave them to, or on their way home.
    pub program: u32,
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

impl<C> ModelView<'_, C> {
    /// How many leases of a pool are in queued sends.
    pub(crate) fn leases_in_sends(&self, pool: &Pool) -> u32 {
        let sends = self.lanes.iter().flat_map(|(_, conn)| conn.queued_ops(Direction::Send));
        let parts = sends.filter_map(|(_, transfer)| transfer).flat_map(|transfer| transfer.buffer().parts());
        let lent = |part: &&Buffer| matches!(part, Buffer::Lease(lease) if pool.has_lent(lease));
        u32::try_from(parts.filter(lent).count()).unwrap_or(u32::MAX)
    }
}

impl<C> Model<C> {
    /// Who has the buffers of the pools that are lent. Costs a look at each queued send.
    pub fn lease_holders(&self) -> LeaseHolders {
        let view = self.view();
        let sends = view.pools.iter().map(|pool| view.leases_in_sends(pool)).sum();
        let receives = view.pools.iter().map(Pool::granted).sum();
        LeaseHolders { sends, receives, program: view.pools.outstanding() - sends - receives }
    }

    /// What there is now, and what has happened so far. Costs a copy, and a look at each pool.
    pub fn stats(&self) -> Stats {
        let ModelView { lanes, deadlines, pools, completions, metrics, .. } = self.view();
        Stats {
            connections: lanes.live(),
            queued: metrics.queued(),
            credits: completions.credits(),
            completions: completions.waiting(),
            leases: pools.outstanding(),
            lanes_parked: pools.iter().map(|pool| lanes.parked(pool.id())).sum(),
            lanes_leases_out: lanes.leases_awaited(),
            lanes_held: lanes.held(),
            lanes_backing_off: lanes.pausing(),
            pools_refused: pools.iter().map(|pool| u32::from(pool.retry().is_some())).sum(),
            lanes_runnable: lanes.running(),
            timers: deadlines.len(),
            counters: metrics.counters(),
        }
    }
}
