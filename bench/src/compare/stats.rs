//! Medians and spreads.

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
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |fraction| quantile(&sorted, fraction);
        Some(Spread { low: at(0.25)?, median: at(0.5)?, high: at(0.75)? })
    }
}

/// The place `fraction` of the way from the first to the last of sorted numbers, between its two neighbours.
fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let mut below = last;
    // The largest index whose share is not beyond the fraction: there are few rounds, so counting is cheap
    // enough.
    while below > 0 && share(below, last) > fraction {
        below -= 1;
    }
    let above = (below + 1).min(last);
    if above == below {
        return Some(sorted[below]);
    }
    let width = share(above, last) - share(below, last);
    let weight = (fraction - share(below, last)) / width;
    Some(sorted[below] + (sorted[above] - sorted[below]) * weight)
}

fn share(nth: usize, last: usize) -> f64 {
    number(nth as u64) / number(last as u64)
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

    fn spread(numbers: &[f64]) -> (f64, f64, f64) {
        let Spread { low, median, high } = Spread::of(numbers.iter().copied()).unwrap();
        (low, median, high)
    }

    #[test]
    fn quartiles_of_known_numbers() {
        assert_eq!(spread(&[3.0]), (3.0, 3.0, 3.0));
        assert_eq!(spread(&[5.0, 1.0, 4.0, 2.0, 3.0]), (2.0, 3.0, 4.0));
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0]), (1.75, 2.5, 3.25));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn one_wild_round_moves_the_median_of_many_not_far() {
        let calm = spread(&[1.0, 1.01, 0.99, 1.02, 0.98]);
        let wild = spread(&[1.0, 1.01, 0.99, 1.02, 50.0]);
        assert!((calm.1 - wild.1).abs() < 0.02, "{calm:?} {wild:?}");
    }

    #[test]
    fn the_order_of_the_rounds_does_not_matter_but_their_values_do() {
        assert_eq!(spread(&[1.0, 2.0, 3.0]), spread(&[3.0, 1.0, 2.0]));
        assert_ne!(spread(&[1.0, 2.0, 3.0]), spread(&[1.0, 2.5, 3.0]));
    }
}
