//! Spreads.

use plot::stats::{quantile, sorted};
use serde::{Deserialize, Serialize};

/// The middle half of a set of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// A quarter of them is less.
    pub low: f64,
    /// Half of them is less.
    pub median: f64,
    /// Three quarters of them are less.
    pub high: f64,
}

impl Spread {
    /// The spread of some numbers; `None` of none.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let sorted = sorted(numbers);
        let at = |fraction| quantile(&sorted, fraction);
        Some(Spread { low: at(0.25)?, median: at(0.5)?, high: at(0.75)? })
    }
}

/// A count as a number that can be divided; exact up to 2^53.
pub fn number(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark stay below 2^53")]
    let number = count as f64;
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_half_whatever_the_order() {
        let spread = Spread { low: 2.0, median: 3.0, high: 4.0 };
        assert_eq!(Spread::of([5.0, 1.0, 4.0, 2.0, 3.0]), Some(spread));
        assert_eq!(Spread::of([]), None);
    }
}
