//! What the parties and the one who watches them tell each other.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use aio::Stats;

use super::Side;

/// How far the soak is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SoakPhase {
    /// Everything goes on.
    Run,
    /// No connection is made any more; those that there are end as they should.
    Drain,
    /// Both sides shut down.
    Stop,
}

/// Shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Control {
    phase: AtomicU8,
    stats: [Mutex<Stats>; 2],
}

impl Control {
    pub(super) fn phase(&self) -> SoakPhase {
        match self.phase.load(Ordering::Relaxed) {
            0 => SoakPhase::Run,
            1 => SoakPhase::Drain,
            _ => SoakPhase::Stop,
        }
    }

    pub(super) fn set_phase(&self, phase: SoakPhase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Lets a side's gauges be seen.
    pub(super) fn publish(&self, side: Side, stats: Stats) {
        *self.stats[side as usize].lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// A side's gauges, as they were at its last tick.
    pub(super) fn stats(&self, side: Side) -> Stats {
        *self.stats[side as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
