//! The time, and how long to sleep.

use std::sync::OnceLock;
use std::time::Duration;

use aio_model::Instant;

/// When the first clock of this process was made: the origin of all of them, so that what one says means the
/// same to another.
static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();

fn origin() -> std::time::Instant {
    *ORIGIN.get_or_init(std::time::Instant::now)
}

/// The instant on every clock of this process. What was before the origin counts as the origin.
pub(crate) fn from_std(at: std::time::Instant) -> Instant {
    Instant::ZERO + at.saturating_duration_since(origin())
}

/// The instant on the clock of `std`; none if that can not count so far.
pub(crate) fn to_std(at: Instant) -> Option<std::time::Instant> {
    origin().checked_add(at.saturating_since(Instant::ZERO))
}

/// A monotonic clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Of all clocks, at hand.
    origin: std::time::Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { origin: origin() }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// How long to sleep so as not to wake before `until`. `None`: for ever.
    pub(crate) fn timeout(&self, until: Option<Instant>) -> Option<Duration> {
        until.map(|until| whole_millis(until.saturating_since(self.now())))
    }
}

/// The longest sleep. Nobody minds waking once a day, and every engine can count that far: kevent(2) on
/// Darwin refuses more than three years, epoll(7) has 24 days.
const SLEEP_MS_MAX: u128 = 24 * 60 * 60 * 1000;

/// Rounded up, so that no sleep ends before it should: epoll(7) and poll(2) count whole milliseconds, and
/// kevent(2) here and there drops what is below a microsecond.
fn whole_millis(span: Duration) -> Duration {
    let millis = span.as_nanos().div_ceil(1_000_000).min(SLEEP_MS_MAX);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_are_rounded_up_and_never_overflow() {
        let millis = |nanos| whole_millis(Duration::from_nanos(nanos)).as_nanos();
        assert_eq!(millis(0), 0);
        assert_eq!(millis(1), 1_000_000);
        assert_eq!(millis(999_999), 1_000_000);
        assert_eq!(millis(1_000_000), 1_000_000);
        assert_eq!(millis(1_000_001), 2_000_000);
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(whole_millis(day), day);
        assert_eq!(whole_millis(day + Duration::from_nanos(1)), day);
        assert_eq!(whole_millis(Duration::MAX), day);
    }

    #[test]
    fn all_clocks_agree_and_stds_means_the_same() {
        let (one, before) = (Clock::new(), std::time::Instant::now());
        let (first, other) = (one.now(), Clock::new());
        let second = other.now();
        assert!(first <= second && from_std(before) <= first, "{first:?} {second:?}");
        assert_eq!(to_std(from_std(before)), Some(before));
        assert_eq!(to_std(first).map(from_std), Some(first));
        assert_eq!(from_std(origin() + Duration::from_nanos(5)), Instant::from_nanos(5));
        assert_eq!(from_std(origin()), Instant::ZERO);
        let long_ago = origin().checked_sub(Duration::from_nanos(1));
        assert_eq!(long_ago.map(from_std), long_ago.map(|_| Instant::ZERO), "it is over in any case");
    }

    #[test]
    fn the_timeout_is_what_is_left_until_then() {
        let clock = Clock::new();
        assert_eq!(clock.timeout(None), None);
        assert_eq!(clock.timeout(Some(Instant::ZERO)), Some(Duration::ZERO));
        assert_eq!(clock.timeout(Some(Instant::MAX)), Some(Duration::from_secs(24 * 60 * 60)));
        assert!(clock.timeout(Some(clock.now() + Duration::from_secs(1))) <= Some(Duration::from_secs(1)));
        let earlier = clock.now();
        assert!(clock.now() >= earlier);
    }
}
