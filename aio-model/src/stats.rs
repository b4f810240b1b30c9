//! What a model holds, and what it has done: a snapshot that costs a few dozen copies, at any time.

use crate::cargo::Cargo;
use crate::conn::Conn;
use crate::model::Model;
use crate::op::{Op, Work};
use crate::owner::Packed;
use crate::slab::Slab;
use crate::timers::Timers;

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
    /// Lanes that pause, because the system was short of something for their last call, or refused it. A shortage that
    /// lasts is one of which this gauge tells again and again.
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

/// What the entries of a model's tables take. A connection that waits for its next message holds one of a connection, and
/// one of an operation; with a deadline, one of a timer too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layout {
    /// Bytes for a connection or listener.
    pub conn_bytes: usize,
    /// Bytes for an operation: it becomes the completion, so that takes no more.
    pub op_bytes: usize,
    /// Bytes for an armed timer.
    pub timer_bytes: usize,
    /// Bytes for what an operation carries, while it does: its buffer, and how much of it was moved.
    pub cargo_bytes: usize,
}

impl<C> Model<C> {
    /// What the entries of this model's tables take.
    pub const LAYOUT: Layout = Layout {
        conn_bytes: Slab::<Conn>::ENTRY_BYTES,
        op_bytes: Slab::<Op<C>>::ENTRY_BYTES,
        timer_bytes: Timers::<Packed>::ENTRY_BYTES,
        cargo_bytes: size_of::<Cargo>(),
    };
}

macro_rules! queued {
    ($($(#[$doc:meta])* $name:ident: $pattern:pat,)*) => {
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

            pub(crate) fn of_mut<C>(&mut self, work: &Work<C>) -> &mut u32 {
                match work {
                    $($pattern => &mut self.$name,)*
                }
            }
        }
    };
}

queued! {
    /// Receives into a buffer of the user's, or several.
    recv: Work::Recv { .. },
    /// Receives into a buffer of a pool.
    recv_pooled: Work::RecvPooled { .. } | Work::RecvOwnPool,
    /// Sends.
    send: Work::Send,
    /// Accepts.
    accept: Work::Accept { .. },
    /// Connects.
    connect: Work::Connect { .. },
    /// Shutdowns.
    shutdown: Work::Shutdown,
    /// Closes.
    close: Work::Close { .. },
    /// Sleeps.
    sleep: Work::Sleep,
    /// Posts. They end as they are submitted, so none is ever seen here.
    post: Work::Post,
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
        Stats {
            connections: self.connections(),
            queued: self.queued,
            credits: self.ops.len(),
            completions: self.completions(),
            leases: self.outstanding(),
            lanes_parked: self.pools.iter().map(|pool| pool.parked.len()).sum(),
            lanes_held: self.held_len(),
            lanes_backing_off: self.backing_off,
            pools_refused: self.pools.iter().map(|pool| u32::from(pool.retry.is_some())).sum(),
            lanes_runnable: self.run.len(),
            timers: self.timers.len(),
            counters: self.stats,
        }
    }
}
