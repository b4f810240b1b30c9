//! How far away the deadlines of a program are.

use aio_model::Tick;
use fastrand::Rng;

/// A distribution of the time from the arming of a timer to its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadlineMix {
    /// From 1 ms to 10 min, every order of magnitude alike: a program with all kinds of timeouts.
    Mixed,
    /// 30 s, for all, armed one after the other: a server's one idle timeout.
    Equal,
    /// 30 s, for all, armed at once: a herd that falls into a single tick.
    Herd,
}

/// 30 s in ticks.
const EQUAL: u64 = 30_000;

impl DeadlineMix {
    /// Every distribution.
    pub const ALL: [DeadlineMix; 3] = [DeadlineMix::Mixed, DeadlineMix::Equal, DeadlineMix::Herd];

    /// A deadline for a timer that is armed at `now`.
    pub fn draw(self, now: u64, random: &mut Rng) -> Tick {
        match self {
            DeadlineMix::Mixed => {
                // 10 min are about 2^19.2 ms: an exponent, then a place between its power and the next.
                let power = 1 << random.u32(..20);
                Tick(now + (u64::from(power + random.u32(..power))).min(600_000))
            }
            DeadlineMix::Equal | DeadlineMix::Herd => Tick(now + EQUAL),
        }
    }

    /// When the `nth` of `live` timers was armed, of those that are there at one time.
    pub fn armed_at(self, nth: u32, live: u32) -> u64 {
        match self {
            DeadlineMix::Mixed | DeadlineMix::Herd => 0,
            // Timers that live for 30 s and are armed at a steady rate are spread over 30 s.
            DeadlineMix::Equal => u64::from(nth) * EQUAL / u64::from(live),
        }
    }
}
