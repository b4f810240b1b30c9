//! A connection: two lanes, and where it is between being opened and being gone.
//!
//! ```text
//!            close now, or flush with nothing queued
//!          ┌──────────────────────────────────────────┐
//!          │                                          ▼      close call
//! open ─▶ Open ──── close after flush ──▶ Flushing ─▶ Closing ──────────▶ gone (the id is stale)
//!                                          sends done, deadline, close now
//! ```

use crate::completion::CloseReason;
use crate::lane::{Direction, Lane};
use crate::slab::NIL;
use crate::system::Kind;
use crate::timers::TimerId;

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) lanes: [Lane; 2],
    pub(crate) kind: Kind,
    pub(crate) phase: Phase,
    /// The `Close` operation that completes when the connection is gone, or [`NIL`].
    pub(crate) closer: u32,
    /// When flushing ends at the latest.
    pub(crate) flush_timer: Option<TimerId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Operations are welcome.
    Open,
    /// No new operations; the queued sends go on, then it closes.
    Flushing(CloseReason),
    /// No operations are left; the descriptor waits to be closed. Its receive lane stands in the run queue
    /// for that.
    Closing,
}

impl Conn {
    pub(crate) fn new(kind: Kind) -> Conn {
        Conn {
            lanes: [Lane::new(Direction::Receive), Lane::new(Direction::Send)],
            kind,
            phase: Phase::Open,
            closer: NIL,
            flush_timer: None,
        }
    }
}
