//! Choices by lot, the same for the same seed.

/// A source of choices.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Any number.
    pub(super) fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits of an xorshift are its weakest.
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    /// A number below `end`, which is not zero.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.any() % end
    }

    /// True in one case of so many.
    pub(super) fn one_in(&mut self, cases: u64) -> bool {
        self.below(cases) == 0
    }

    /// A number from 1 to `max`: as often between 1 and 2 as between `max / 2` and `max`.
    pub(super) fn size(&mut self, max: usize) -> usize {
        let magnitude = self.below(u64::from(max.ilog2()) + 1);
        let span = 1_usize << magnitude;
        let above = usize::try_from(self.below(1 << magnitude)).unwrap_or(0);
        (span + above).min(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_comes_and_no_other() {
        let (mut chance, mut seen) = (Chance::new(3), [0_u32; 11]);
        (0..10_000).for_each(|_| seen[chance.size(10)] += 1);
        assert_eq!(seen[0], 0);
        assert!(seen[1..].iter().all(|count| *count > 100), "{seen:?}");
    }
}
