//! Whether a gauge grows: its slope by least squares, and by a way that outliers do not bend.

use plot::stats::median;
use serde::Serialize;

/// How a gauge went on after the warm-up.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Trend {
    /// What is measured.
    pub gauge: &'static str,
    /// Its median.
    pub median: f64,
    /// Its maximum.
    pub max: f64,
    /// Growth per hour by least squares.
    pub slope_per_hour: f64,
    /// Growth per hour as the median of the slopes between any two samples (Theil and Sen).
    pub robust_slope_per_hour: f64,
    /// What the robust slope makes of the time that was looked at.
    pub growth: f64,
    /// How much growth is taken for noise; none if the gauge is not judged.
    pub growth_max: Option<f64>,
}

impl Trend {
    /// The trend of a gauge, from points in seconds and its unit. `noise` is how much it may seem to grow: so
    /// much at any rate, and such a share of its median.
    pub(super) fn of(gauge: &'static str, points: &[(f64, f64)], noise: Option<(f64, f64)>) -> Trend {
        let values = || points.iter().map(|point| point.1);
        let span = points.last().map_or(0.0, |last| last.0 - points[0].0);
        let (median, max) = (median(values()).unwrap_or(0.0), values().fold(0.0, f64::max));
        let robust = theil_sen(points);
        Trend {
            gauge,
            median,
            max,
            slope_per_hour: least_squares(points) * 3600.0,
            robust_slope_per_hour: robust * 3600.0,
            growth: robust * span,
            growth_max: noise.map(|(least, share)| least + median * share),
        }
    }

    /// Whether it does not grow.
    pub fn holds(&self) -> bool {
        self.growth_max.is_none_or(|max| self.growth <= max)
    }
}

fn least_squares(points: &[(f64, f64)]) -> f64 {
    let count = points.len().max(1) as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x).powi(2))
    });
    if under > 0.0 { over / under } else { 0.0 }
}

/// At most so many points are paired with each other: the pairs are half of their square.
const PAIRED_MAX: usize = 2000;

fn theil_sen(points: &[(f64, f64)]) -> f64 {
    let step = points.len().div_ceil(PAIRED_MAX).max(1);
    let points: Vec<_> = points.iter().step_by(step).collect();
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, a) in points.iter().enumerate() {
        slopes.extend(points[index + 1..].iter().map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    median(slopes).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(slope: f64, wave: f64) -> Vec<(f64, f64)> {
        (0..500_u32).map(f64::from).map(|x| (x, 100.0 + slope * x + wave * (x * 0.7).sin())).collect()
    }

    #[test]
    fn a_line_has_its_slope_and_a_wave_none() {
        let trend = Trend::of("line", &line(0.5, 0.0), Some((1.0, 0.1)));
        assert!((trend.slope_per_hour - 1800.0).abs() < 1e-6);
        assert!((trend.robust_slope_per_hour - 1800.0).abs() < 1e-6);
        assert!((trend.growth - 249.5).abs() < 1e-6 && !trend.holds());
        let trend = Trend::of("wave", &line(0.0, 50.0), Some((1.0, 0.1)));
        assert!(trend.growth.abs() < 5.0 && trend.holds());
        assert!(!Trend::of("growing wave", &line(0.5, 50.0), Some((1.0, 0.1))).holds());
        assert!(Trend::of("not judged", &line(0.5, 0.0), None).holds());
    }

    #[test]
    fn an_outlier_bends_only_least_squares() {
        let mut points = line(0.0, 0.0);
        points[499].1 = 1e6;
        let trend = Trend::of("outlier", &points, Some((1.0, 0.1)));
        assert!(trend.slope_per_hour > 1000.0 && trend.holds(), "{trend:?}");
    }

    #[test]
    fn few_points_have_no_slope() {
        for points in [&[][..], &[(1.0, 1.0)]] {
            let trend = Trend::of("few", points, Some((1.0, 0.1)));
            assert_eq!((trend.slope_per_hour, trend.growth), (0.0, 0.0));
        }
    }
}
