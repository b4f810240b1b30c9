//! Choices by lot, the same for the same seed.

use fastrand::Rng;

/// What is drawn besides numbers.
pub(super) trait Chance {
    /// True in one case of so many.
    fn one_in(&mut self, cases: u64) -> bool;

    /// A number from 1 to `max`: as often between 1 and 2 as between `max / 2` and `max`.
    fn size(&mut self, max: usize) -> usize;
}

impl Chance for Rng {
    fn one_in(&mut self, cases: u64) -> bool {
        self.u64(..cases) == 0
    }

    fn size(&mut self, max: usize) -> usize {
        let start = 1 << self.u32(..=max.ilog2());
        self.usize(start..2 * start).min(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_comes_and_no_other() {
        let (mut chance, mut seen) = (Rng::with_seed(3), [0_u32; 11]);
        (0..10_000).for_each(|_| seen[chance.size(10)] += 1);
        assert_eq!(seen[0], 0);
        assert!(seen[1..].iter().all(|count| *count > 100), "{seen:?}");
    }
}
