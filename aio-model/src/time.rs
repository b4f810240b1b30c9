//! Time as a value: the model never reads a clock, it is told (T3).

use core::fmt;
use core::ops::Add;
use core::time::Duration;

/// A point in time: nanoseconds since some origin that the system chose when it started.
///
/// Arithmetic saturates: `now + Duration::MAX` is [`Instant::MAX`], 584 years after the origin, which no
/// clock reaches. So a deadline of `Duration::MAX` simply never comes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// The origin.
    pub const ZERO: Instant = Instant { nanos: 0 };
    /// The end of time.
    pub const MAX: Instant = Instant { nanos: u64::MAX };

    /// The point that many nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant { nanos }
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }

    /// The tick that this instant lies in: what has begun at this instant.
    pub(crate) const fn tick_floor(self) -> Tick {
        Tick(self.nanos / Tick::NANOS)
    }

    /// The first tick that does not begin before this instant: rounded *up*, so that nothing ends early (T1).
    pub(crate) const fn tick_ceil(self) -> Tick {
        Tick(self.nanos.div_ceil(Tick::NANOS))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, span: Duration) -> Instant {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Instant { nanos: self.nanos.saturating_add(nanos) }
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.nanos))
    }
}

/// A whole millisecond since the origin: the resolution of timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    const NANOS: u64 = 1_000_000;

    /// When the tick begins. Past the end of [`Instant`]'s range it is the end of time.
    pub const fn start(self) -> Instant {
        Instant { nanos: self.0.saturating_mul(Tick::NANOS) }
    }
}

/// When an operation ends at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// At this instant.
    At(Instant),
    /// This long after its submission.
    Within(Duration),
    /// When for this long, since its submission or later, no byte of its lane was moved, and no connection
    /// accepted: it is put off whenever there is progress.
    Progress(Duration),
}

impl Deadline {
    /// When it falls due. `clock` is asked only if it is relative; a clock that stepped back, behind `now`,
    /// does not make it come sooner (T3).
    #[inline(always)]
    pub(crate) fn at(self, now: Instant, clock: impl FnOnce() -> Instant) -> Instant {
        match self {
            Deadline::At(at) => at,
            Deadline::Within(span) | Deadline::Progress(span) => clock().max(now) + span,
        }
    }

    /// Whether it depends on when the operation is submitted.
    pub(crate) fn is_relative(self) -> bool {
        !matches!(self, Deadline::At(_))
    }

    /// How long after the last progress of its lane it comes, if it is put off by that.
    pub(crate) fn renewal(self) -> Option<Duration> {
        match self {
            Deadline::Progress(span) => Some(span),
            Deadline::At(_) | Deadline::Within(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_and_ticks_round_away_from_early() {
        let at = Instant::from_nanos;
        assert_eq!(at(5) + Duration::MAX, Instant::MAX);
        assert_eq!(at(5).saturating_since(at(9)), Duration::ZERO);
        assert_eq!(
            (at(0).tick_ceil(), at(1).tick_ceil(), at(1_000_000).tick_ceil()),
            (Tick(0), Tick(1), Tick(1))
        );
        assert_eq!((at(999_999).tick_floor(), at(1_000_000).tick_floor()), (Tick(0), Tick(1)));
        assert!(Instant::MAX.tick_ceil().start() == Instant::MAX);
        assert!(Instant::MAX.tick_floor() < Instant::MAX.tick_ceil(), "the end of time is never reached");
    }
}
