//! The clock: real for the network, and not always so for those who read it.

use std::time::Duration;

use aio_model::Instant;

use crate::world::dice::Dice;
use crate::world::faults::Fault;
use crate::world::timing;

/// What time it is. The time itself only goes forward; a reading of it may be off.
#[derive(Debug)]
pub(crate) struct SimClock {
    now: Instant,
}

impl SimClock {
    /// A while after the origin, so that there is something to step back into.
    const START: Instant = Instant::from_nanos(10_000_000_000);

    pub(crate) fn new() -> SimClock {
        SimClock { now: SimClock::START }
    }

    /// The time, as the network has it.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Lets time pass until `at`, if that is still to come.
    pub(crate) fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }

    /// Lets time pass, if it happens to.
    pub(crate) fn tick(&mut self, dice: &mut Dice) {
        if dice.strikes(Fault::ClockTicks) {
            self.now = self.now + dice.span(timing::TICK_MAX);
        }
        if dice.strikes(Fault::ClockJumps) {
            self.now = self.now + dice.span(timing::JUMP_MAX);
        }
    }

    /// What somebody reads who looks.
    pub(crate) fn read(&mut self, dice: &mut Dice) -> Instant {
        if dice.strikes(Fault::ClockBackwards) {
            return earlier(self.now, dice.span(timing::BACKWARDS_MAX));
        }
        self.now
    }
}

/// The instant `span` before `at`, or the origin.
pub(crate) fn earlier(at: Instant, span: Duration) -> Instant {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(at.as_nanos().saturating_sub(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::choice::{Choice, Odds};
    use crate::world::faults::Faults;

    #[test]
    fn time_stands_still_unless_a_fault_or_a_wait_moves_it() {
        let mut dice = Dice::new(Choice::seeded(1), Faults::NONE);
        let mut clock = SimClock::new();
        clock.tick(&mut dice);
        assert_eq!(clock.read(&mut dice), SimClock::START);
        clock.advance_to(SimClock::START + Duration::from_nanos(1));
        clock.advance_to(Instant::ZERO);
        assert_eq!(clock.now(), SimClock::START + Duration::from_nanos(1));
    }

    #[test]
    fn readings_step_back_but_time_does_not() {
        let faults =
            Faults { clock_ticks: Odds::one_in(2), clock_backwards: Odds::one_in(2), ..Faults::NONE };
        let mut dice = Dice::new(Choice::seeded(2), faults);
        let mut clock = SimClock::new();
        let mut stepped_back = 0;
        for _ in 0..100 {
            let before = clock.now();
            clock.tick(&mut dice);
            assert!(clock.now() >= before && clock.now() <= before + timing::TICK_MAX);
            stepped_back += u32::from(clock.read(&mut dice) < before);
        }
        assert!(stepped_back > 10);
    }
}
