//! Chance and faults together: who asks whether something goes wrong asks here, and it is counted.

use std::time::Duration;

use crate::world::choice::Choice;
use crate::world::faults::{Fault, Faults};

/// The choices of a run, the faults it may meet, and how often each has struck.
#[derive(Debug)]
pub(crate) struct Dice {
    pub(crate) choice: Choice,
    pub(crate) faults: Faults,
    struck: Vec<u64>,
    /// What struck since somebody took note of it.
    recent: Vec<Fault>,
}

impl Dice {
    pub(crate) fn new(choice: Choice, faults: Faults) -> Dice {
        Dice { choice, faults, struck: vec![0; Fault::ALL.len()], recent: Vec::new() }
    }

    /// Whether the fault strikes, here and now.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.choice.chance(self.faults.odds(fault));
        if strikes {
            self.struck[fault as usize] += 1;
            self.recent.push(fault);
        }
        strikes
    }

    /// How often the fault has struck.
    pub(crate) fn struck(&self, fault: Fault) -> u64 {
        self.struck[fault as usize]
    }

    /// What struck since this was last asked, in order.
    pub(crate) fn take_recent(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.recent)
    }

    /// A size of at least 1 and at most `max`, small or large alike.
    pub(crate) fn size(&mut self, max: usize) -> usize {
        let size = self.choice.magnitude(max as u64).max(1);
        usize::try_from(size).expect("no more than a size")
    }

    /// A span of at least a nanosecond and at most `max`, short or long alike.
    pub(crate) fn span(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.choice.magnitude(nanos).max(1))
    }
}
