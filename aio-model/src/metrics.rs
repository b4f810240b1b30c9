//! What has happened, and how many operations are queued: counted by events, for [`Stats`](crate::Stats).

use crate::error::SystemError;
use crate::id::ConnId;
use crate::op::LaneOp;

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
    /// Waits for bytes, or for room.
    wait,
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
            LaneOp::RecvPooled(_) | LaneOp::RecvMany(..) => &mut self.recv_pooled,
            LaneOp::Send => &mut self.send,
            LaneOp::Wait => &mut self.wait,
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
    /// Operations ended because their connection was idle.
    pub idled: u64,
    /// Operations cancelled.
    pub cancelled: u64,
    /// Times a lane that could be received from found its pool empty.
    pub parked: u64,
}

/// The counts of a model, which change by what happens alone.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counters: Counters,
    /// The queued operations, by what they do.
    queued: Queued,
    /// The connections accepted that a completion was made of.
    accepts_told: u64,
    /// The last shortage that lasts, and was not told.
    shortage: Option<(ConnId, SystemError)>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident => $counter:ident,)*) => {
        impl Metrics {
            $(
                $(#[$doc])*
                #[inline(always)]
                pub(crate) fn $event(&mut self) {
                    self.counters.$counter += 1;
                }
            )*
        }
    };
}

events! {
    /// A turn began.
    on_turn => turns,
    /// A turn waits or polls for events.
    on_wait => waits,
    /// A system call was made.
    on_attempt => attempts,
    /// It would have blocked.
    on_would_block => would_blocks,
    /// It was interrupted.
    on_interrupt => interrupts,
    /// The system was short of something for it.
    on_exhaustion => exhaustions,
    /// Memory for a buffer was refused.
    on_buffer_refused => buffers_refused,
    /// An accept was refused, for no shortage.
    on_accept_refused => accepts_refused,
    /// An event came for a connection that lives.
    on_event => events,
    /// One came for a connection that is gone.
    on_stale_event => events_stale,
    /// An event made a lane ready, and its next attempt would have blocked all the same.
    on_spurious_event => events_spurious,
    /// A connection was accepted.
    on_accepted => accepted,
    /// A connection was made.
    on_connected => connected,
    /// A connection takes a place.
    on_opened => opened,
    /// A connection is gone.
    on_closed => closed,
    /// An operation was refused.
    on_refused => refused,
    /// An operation has had its final completion.
    on_completed => completed,
    /// An operation was ended by its deadline.
    on_expired => expired,
    /// A lane found its pool empty.
    on_parked => parked,
    /// A post was accepted. It ends at once, so it is not queued.
    on_post_submitted => submitted,
}

impl Metrics {
    /// What has happened.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// The operations that are queued.
    pub(crate) fn queued(&self) -> Queued {
        self.queued
    }

    /// The connections accepted that a completion was made of.
    pub(crate) fn accepts_told(&self) -> u64 {
        self.accepts_told
    }

    /// A completion is made of a connection that was accepted.
    pub(crate) fn on_accept_told(&mut self) {
        self.accepts_told += 1;
    }

    /// A connection that took a place has given it back, as if it had not been there.
    pub(crate) fn on_open_rolled_back(&mut self) {
        self.counters.opened -= 1;
    }

    /// Bytes were received.
    #[inline(always)]
    pub(crate) fn on_received(&mut self, bytes: usize) {
        self.counters.bytes_received += bytes as u64;
    }

    /// Bytes were sent.
    #[inline(always)]
    pub(crate) fn on_sent(&mut self, bytes: usize) {
        self.counters.bytes_sent += bytes as u64;
    }

    /// An operation was accepted, and stands in its lane.
    #[inline(always)]
    pub(crate) fn on_submitted(&mut self, kind: LaneOp) {
        self.counters.submitted += 1;
        self.queued.count_in(kind);
    }

    /// An operation has left its lane.
    #[inline(always)]
    pub(crate) fn on_ended(&mut self, kind: LaneOp) {
        self.queued.count_out(kind);
    }

    /// A close was accepted.
    pub(crate) fn on_close_submitted(&mut self) {
        self.counters.submitted += 1;
        self.queued.close += 1;
    }

    /// A close has ended.
    pub(crate) fn on_close_ended(&mut self) {
        self.queued.close -= 1;
    }

    /// A sleep was accepted.
    pub(crate) fn on_sleep_submitted(&mut self) {
        self.counters.submitted += 1;
        self.queued.sleep += 1;
    }

    /// A sleep has ended.
    pub(crate) fn on_sleep_ended(&mut self) {
        self.queued.sleep -= 1;
    }

    /// So many operations were cancelled.
    pub(crate) fn on_idled(&mut self, ops: u32) {
        self.counters.idled += u64::from(ops);
    }

    pub(crate) fn on_cancelled(&mut self, ops: u32) {
        self.counters.cancelled += u64::from(ops);
    }

    /// The system is short of something for a lane of that connection, and has been for a while.
    pub(crate) fn on_shortage(&mut self, conn: ConnId, error: SystemError) {
        self.shortage = Some((conn, error));
    }

    /// The shortage that was told last, once.
    #[inline]
    pub(crate) fn take_shortage(&mut self) -> Option<(ConnId, SystemError)> {
        self.shortage.take()
    }
}

/// For those who break a model to see whether that is noticed.
#[cfg(test)]
impl Metrics {
    pub(crate) fn innards(&mut self) -> (&mut Counters, &mut Queued) {
        (&mut self.counters, &mut self.queued)
    }
}
