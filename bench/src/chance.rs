//! Chance that costs next to nothing, and is the same in every run.

/// `SplitMix64`: one addition, then a mix; about a nanosecond a number.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Chance from a seed.
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number less than `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let upper = (z ^ (z >> 31)) >> 32;
        // The upper half of a product of two numbers of 32 bits, one of them `bound`, is less than it.
        u32::try_from((upper * u64::from(bound)) >> 32).unwrap_or(0)
    }
}
