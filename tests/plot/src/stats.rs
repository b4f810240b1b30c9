//! Quantiles of a few numbers.

/// The numbers in ascending order.
pub fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_unstable_by(f64::total_cmp);
    numbers
}

/// The value `fraction` of the way from the first to the last of sorted numbers, interpolated between its two
/// neighbours; `None` of no numbers. A fraction below 0 is taken for 0, one above 1 for 1.
pub fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = fraction.clamp(0.0, 1.0) * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to `last`")]
    let below = position as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * position.fract())
}

/// The median; `None` of no numbers.
pub fn median(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(numbers), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_known_numbers() {
        let quartiles = |numbers: &[f64]| {
            let sorted = sorted(numbers.iter().copied());
            [0.25, 0.5, 0.75].map(|fraction| quantile(&sorted, fraction).unwrap())
        };
        assert_eq!(quartiles(&[3.0]), [3.0; 3]);
        assert_eq!(quartiles(&[5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(quartiles(&[4.0, 1.0, 3.0, 2.0]), [1.75, 2.5, 3.25]);
        assert_eq!(quantile(&[1.0, 2.0], -1.0).zip(quantile(&[1.0, 2.0], 9.0)), Some((1.0, 2.0)));
        assert_eq!((median([]), quantile(&[], 0.5)), (None, None));
    }

    #[test]
    fn one_wild_number_moves_the_median_of_many_not_far() {
        let (calm, wild) = ([1.0, 1.01, 0.99, 1.02, 0.98], [1.0, 1.01, 0.99, 1.02, 50.0]);
        assert!((median(calm).unwrap() - median(wild).unwrap()).abs() < 0.02);
    }
}
