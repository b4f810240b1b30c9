//! Attempts that moved nothing, and backing off: what a lane does when the system is short of something, or
//! refuses (K5).
//!
//! ```text
//!            short of something, refused             its time has come; a descriptor is closed
//!   Running ───────────────────────────▶ BackingOff ───────────────────────────────────────▶ Running, Idle
//! ```
//!
//! A lane that lacks a descriptor also stands in a list: a descriptor that is closed ends the pauses of all
//! of these. Those that had one since the others came to wait come after them.

use crate::completion::OpError;
use crate::error::{SystemError, SystemErrorKind};
use crate::lane::{End, LaneId, PAUSE_EXPONENT_MAX, Want};
use crate::model::Model;
use crate::op::LaneOp;
use crate::system::Outcome;

/// The longest pause of a connect, as a power of two in milliseconds: it waits for room in a listener's
/// queue, which may come at any time, without an event.
const CONNECT_PAUSE_EXPONENT_MAX: u8 = 5;

/// How often in a row an accept is refused by the system before it ends with the error.
const REFUSALS_MAX: u8 = 4;

/// The pause that makes a shortage a lasting one: the eighth in a row, an eighth of a second.
pub(super) const LASTING: u8 = 8;

impl<C> Model<C> {
    /// An attempt that moved nothing.
    pub(super) fn on_no_progress(&mut self, id: LaneId, outcome: Outcome) {
        match outcome {
            Outcome::WouldBlock => {
                self.metrics.on_would_block();
                let woken = self.lanes.change(id, &mut self.deadlines, |lane| lane.on_would_block());
                if woken {
                    self.metrics.on_spurious_event();
                }
            }
            Outcome::Interrupted => {
                self.metrics.on_interrupt();
                self.lanes.change(id, &mut self.deadlines, |lane| lane.on_interrupt());
            }
            Outcome::Exhausted(error) => self.exhausted(id, error),
            Outcome::Refused(error) => self.refused(id, error),
            Outcome::Failed(error) => self.finish_lane(id, End::Fault(error)),
            // More than was lent, or the answer to another call than the one that was made: a system that
            // does so is broken, but its user's connections end with an error, not with a panic.
            Outcome::Done | Outcome::Transferred(_) | Outcome::Partial(_) => {
                self.finish_lane(id, End::Fault(SystemError::from_kind(SystemErrorKind::Other)));
            }
        }
    }

    /// The system was short of something for a lane's call.
    #[cold]
    fn exhausted(&mut self, id: LaneId, error: SystemError) {
        self.metrics.on_exhaustion();
        self.lanes.change(id, &mut self.deadlines, |lane| lane.on_interrupt());
        let want = match error.kind() {
            SystemErrorKind::DescriptorsExhausted => {
                Want::Descriptor { served: self.lanes.lane(id).row().pauses() == 0 }
            }
            _ => Want::Time,
        };
        self.back_off(id, want, error);
    }

    /// The system refused a lane's call. An accept is tried a few times more: what refuses one connection,
    /// such as a firewall, may let the next one pass. Then every accept that is queued here ends with the
    /// error; those that are submitted later are tried anew. Everything else fails for good.
    #[cold]
    fn refused(&mut self, id: LaneId, error: SystemError) {
        if !matches!(self.lanes.lane(id).next_kind(), Some(LaneOp::Accept { .. })) {
            return self.finish_lane(id, End::Fault(error));
        }
        self.metrics.on_accept_refused();
        let refusals = self.lanes.change(id, &mut self.deadlines, |lane| lane.row_mut().refuse());
        if refusals < REFUSALS_MAX {
            return self.back_off(id, Want::Time, error);
        }
        self.lanes.change(id, &mut self.deadlines, |lane| lane.row_mut().end_refusals());
        self.end_all(id, |_| Err(OpError::System(error)));
    }

    /// Pauses a lane, twice as long each time in a row, from 1 ms to about a second.
    fn back_off(&mut self, id: LaneId, want: Want, error: SystemError) {
        let exponent_max = match self.lanes.lane(id).next_kind() {
            Some(LaneOp::Connect) => CONNECT_PAUSE_EXPONENT_MAX,
            _ => PAUSE_EXPONENT_MAX,
        };
        let now = self.now.tick_ceil();
        let row = self.lanes.pause(id, want, exponent_max, now, &mut self.deadlines);
        if row == LASTING {
            self.metrics.on_shortage(self.lanes.id(id.conn()), error);
        }
    }

    /// There is no memory for what a call would bring: it is not made, as if the system were short of it.
    #[cold]
    pub(super) fn without_memory(&mut self, id: LaneId) {
        self.exhausted(id, SystemError::from_kind(SystemErrorKind::OutOfMemory));
    }
}
