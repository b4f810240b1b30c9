//! Odd arguments: spans and instants that are no round numbers, or are exactly what some structure is cut at.

use std::time::Duration;

use aio_model::Instant;

use crate::world::choice::Choice;
use crate::world::clock::earlier;

const MS: u64 = 1_000_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A span that is nothing, nearly nothing, a millisecond or a nanosecond more or less, days, or without end.
pub(crate) fn span(choice: &mut Choice) -> Duration {
    match choice.below(8) {
        0 => Duration::ZERO,
        1 => Duration::from_nanos(1),
        2 => Duration::from_nanos(MS - 1 + choice.below(3)),
        3 => Duration::from_nanos(1_000 * MS - 1 + choice.below(3)),
        4 => Duration::from_nanos(choice.magnitude(3_000 * MS)),
        // What a number of 32 bits holds no more, in milliseconds.
        5 => {
            Duration::from_millis(u64::from(u32::MAX) - 1 + choice.below(3))
                + Duration::from_nanos(choice.below(2))
        }
        6 => DAY * u32::try_from(choice.magnitude(100)).unwrap_or(1) + Duration::from_nanos(choice.below(3)),
        _ => Duration::MAX,
    }
}

/// A span as a lingering close counts it: in whole milliseconds, rounded up, as many as a number of 32 bits
/// holds.
pub(crate) fn in_millis(span: Duration) -> u32 {
    let begun = u128::from(!span.as_nanos().is_multiple_of(u128::from(MS)));
    u32::try_from(span.as_millis() + begun).unwrap_or(u32::MAX)
}

/// A nanosecond before, at, or after the beginning of this millisecond, of the next one, or now.
pub(crate) fn edge(choice: &mut Choice, now: Instant) -> Instant {
    let tick = now.as_nanos() / MS * MS;
    let at = [now.as_nanos(), tick, tick + MS][choice.index(3)];
    earlier(Instant::from_nanos(at + 1), Duration::from_nanos(choice.below(3)))
}

/// The next instant at which the count of milliseconds has so many sixes of its lowest bits all 0, and how
/// many milliseconds apart such instants are.
pub(crate) fn boundary_of(choice: &mut Choice, now: Instant) -> (Instant, u64) {
    let unit = 1 << (6 * choice.within(1..=4));
    let tick = (now.as_nanos() / MS / unit + 1 + choice.below(2)) * unit;
    (Instant::from_nanos(tick * MS), unit)
}

/// [`boundary_of`] a nanosecond or a millisecond more or less, or exactly.
pub(crate) fn boundary(choice: &mut Choice, now: Instant) -> Instant {
    let (at, _) = boundary_of(choice, now);
    let at = earlier(at, Duration::from_nanos([0, 0, 1, MS][choice.index(4)]));
    at + Duration::from_nanos([0, 0, 1, MS][choice.index(4)])
}

/// One of a crowd around `at`: exactly there, next to it, or before the next such instant.
pub(crate) fn around(choice: &mut Choice, at: Instant, unit: u64, nth: u64) -> Instant {
    match (nth, choice.below(4)) {
        (0, _) => at,
        (_, 0) => at + Duration::from_millis(choice.below(4)),
        (_, 1) => earlier(at, Duration::from_millis(choice.below(3))),
        (_, _) => at + Duration::from_millis(choice.below(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lingering_close_counts_milliseconds_rounded_up() {
        let nanos = Duration::from_nanos;
        let spans = [nanos(0), nanos(1), nanos(MS - 1), nanos(MS), nanos(MS + 1), Duration::MAX];
        assert_eq!(spans.map(in_millis), [0, 1, 1, 1, 2, u32::MAX]);
    }

    #[test]
    fn boundaries_are_ahead_and_where_digits_change() {
        let mut choice = Choice::seeded(1);
        let now = Instant::from_nanos(10_000 * MS + 5);
        for _ in 0..1_000 {
            let (at, unit) = boundary_of(&mut choice, now);
            let tick = at.as_nanos() / MS;
            assert!(
                at > now
                    && at.as_nanos().is_multiple_of(MS)
                    && tick.is_multiple_of(unit)
                    && tick - 10_000 <= 2 * unit
            );
        }
    }
}
