//! How much of the current turn is left (K6).

use crate::limits::Limits;

/// The budget of a turn, and of the lane that is being served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// The ticket of the lane that is being served.
    serving: Option<u32>,
    /// Attempts for all lanes together.
    attempts: u32,
    /// Attempts for the lane that is being served.
    lane_attempts: u32,
    /// Bytes for it.
    lane_bytes: usize,
    /// How much of what has expired may end, whatever the attempts leave of theirs.
    expiries_min: u32,
    /// How much of it has ended.
    expiries: u32,
    /// More had expired than the last turn had room to end.
    overdue: bool,
}

impl Round {
    pub(super) const OVER: Round = Round {
        serving: None,
        attempts: 0,
        lane_attempts: 0,
        lane_bytes: 0,
        expiries_min: 0,
        expiries: 0,
        overdue: false,
    };

    /// A turn begins, of so many attempts.
    pub(super) fn begin(&mut self, attempts: u32) {
        *self = Round {
            attempts,
            expiries_min: attempts.div_ceil(2),
            ..Round { overdue: self.overdue, ..Round::OVER }
        };
    }

    /// Whether no attempts are left.
    #[inline(always)]
    pub(super) fn is_used_up(&self) -> bool {
        self.attempts == 0
    }

    /// The lane with that ticket is served: with a budget of its own, if it was not the one that was served
    /// before. Whoever was at the front before may have left it because of an outcome or because of the user:
    /// what was left of its budget is not this one's.
    pub(super) fn serve(&mut self, ticket: u32, limits: &Limits) {
        if self.serving != Some(ticket) {
            self.serving = Some(ticket);
            self.lane_attempts = limits.lane_attempts_max.get();
            self.lane_bytes = limits.lane_transfer_max.get() as usize;
        }
    }

    /// Counts bytes that went through in the lane that is being served.
    #[inline(always)]
    pub(super) fn count_bytes(&mut self, count: usize) {
        self.lane_bytes = self.lane_bytes.saturating_sub(count);
    }

    /// Counts an attempt. Returns whether the turn's budget or the lane's is used up.
    #[inline(always)]
    pub(super) fn count(&mut self) -> bool {
        self.attempts -= 1;
        self.lane_attempts -= 1;
        self.lane_attempts == 0 || self.lane_bytes == 0 || self.attempts == 0
    }

    /// Counts an attempt after which its lane has left the run queue.
    #[inline(always)]
    pub(super) fn count_usual(&mut self) {
        self.attempts -= 1;
    }

    /// Whether the turn has room for another end of what has expired: it has as many as the attempts have
    /// left, and at least half of a turn's.
    pub(super) fn has_room_for_expiry(&self) -> bool {
        self.expiries < self.attempts.max(self.expiries_min)
    }

    pub(super) fn count_expiry(&mut self) {
        self.expiries += 1;
    }

    /// Whether more had expired than the last turn had room to end.
    pub(super) fn is_overdue(&self) -> bool {
        self.overdue
    }

    pub(super) fn set_overdue(&mut self, overdue: bool) {
        self.overdue = overdue;
    }
}
