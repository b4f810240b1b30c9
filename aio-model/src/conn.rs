//! A connection: two lanes, and where it is between being opened and being gone.
//!
//! ```text
//!   connect ─▶ Connecting ── failed, deadline, cancel ──▶ gone, or Closing if there is a descriptor
//!                  │ connected
//!                  ▼     close now, abort; close flush with nothing queued
//! adopt, accept ─▶ Open ───────────────────────────────────────┐
//!                  │ close flush, close linger, shut_down_by   ▼      close call
//!                  ▼                                        Closing ─────────────▶ gone (the id is stale)
//!              Flushing ── sends done, time up, close now ───▶ ▲
//!                  │ sends done, if it is to linger            │
//!                  ▼                                           │
//!              Lingering ── peer ended, time up, close now ────┘
//! ```
//!
//! While it flushes and while it lingers, the receive lane discards what comes: a peer that writes before it reads would
//! otherwise never get to read.

use crate::lane::{Direction, Lane};
use crate::pool::PoolId;
use crate::slab::NIL;
use crate::system::Kind;
use crate::time::Instant;
use crate::timers::TimerId;

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) lanes: [Lane; 2],
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// Where its pooled receives take from, and those of the connections that it accepts.
    pub(crate) pool: PoolId,
    /// The `Close` operation that completes when the connection is gone, or [`NIL`].
    pub(crate) closer: u32,
    /// When flushing or lingering ends: for a lingering `Close`, that long after the peer was last seen to take
    /// anything; without a `Close`, as the shutdown of the proactor says. The deadline of a `Close` is the operation's.
    pub(crate) end_timer: Option<TimerId>,
    pub(crate) opened_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being made, and its id is nobody's yet. Its send lane has one operation, the connect.
    Connecting {
        /// Whether the system knows it: there is a descriptor to be closed.
        known: bool,
    },
    /// Operations are welcome.
    Open,
    /// No new operations; the queued sends go on, then it lingers or closes. What the peer sends is thrown away; its
    /// receive lane makes the calls for that, and backs off like any other.
    Flushing,
    /// No operations are left; a FIN is sent, and what the peer sends is thrown away until it ends too, or time is up.
    /// Its receive lane makes these calls.
    Lingering { fin: Fin },
    /// No operations are left; the descriptor waits to be closed. Its receive lane stands in the run queue
    /// for that.
    Closing {
        /// Whether closing resets the connection, because the bytes sent so far are not all that belongs together.
        reset: bool,
    },
}

/// How far the FIN of a connection that lingers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fin {
    /// To be sent.
    Due,
    /// To be sent, and has been tried.
    Tried,
    Sent,
}

impl Conn {
    pub(crate) fn new(kind: Kind, pool: PoolId, now: Instant) -> Conn {
        Conn {
            lanes: [Lane::new(Direction::Receive), Lane::new(Direction::Send)],
            kind,
            phase: Phase::Open,
            pool,
            closer: NIL,
            end_timer: None,
            opened_at: now,
        }
    }

    /// Whether a lane has something to attempt.
    pub(crate) fn is_runnable(&self, direction: Direction) -> bool {
        let lane = &self.lanes[direction as usize];
        match (self.phase, direction) {
            (Phase::Lingering { fin: Fin::Due | Fin::Tried }, Direction::Receive) => true,
            (Phase::Flushing | Phase::Lingering { .. }, Direction::Receive) => {
                lane.is_ready() && lane.end.is_none()
            }
            (_, _) => lane.is_runnable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Op;
    use core::mem::size_of;

    /// What most connections of a server take is a connection and an operation that waits: with what the slabs add, a
    /// timer, and the descriptor's entry, less than 256 bytes.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_is_small() {
        assert_eq!((size_of::<Lane>(), size_of::<Conn>()), (48, 120));
        assert_eq!((size_of::<Op<()>>(), size_of::<Op<u64>>()), (48, 56));
    }
}
