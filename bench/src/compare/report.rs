//! What a comparison has found, as data.

use serde::{Deserialize, Serialize};

use super::stats::{Spread, number};
use crate::load::child::LoadAnswer;
use crate::load::latencies;

/// All scenarios of one run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Comparison {
    /// The server that every ratio is relative to.
    pub baseline: String,
    /// Rounds of slices; each server has one slice in each.
    pub rounds: usize,
    /// The length of a slice.
    pub slice_ms: u64,
    /// What was compared.
    pub scenarios: Vec<Found>,
}

/// One scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Found {
    /// Its name.
    pub scenario: String,
    /// Its servers, the fewest CPU per request (or bytes) first.
    pub rows: Vec<ServerRow>,
}

/// One server in one scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerRow {
    /// Its name.
    pub peer: String,
    /// What the slices measured, if it was speed.
    pub speed: Option<Speed>,
    /// Resident bytes per idle connection, if it was memory.
    pub bytes_per_connection: Option<f64>,
}

/// How fast, and how dear. Ratios are taken within a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Speed {
    /// Requests per second against the baseline's in the same round.
    pub requests_ratio: Spread,
    /// Server CPU per request against the baseline's in the same round.
    pub cpu_ratio: Spread,
    /// The latency that 99 of 100 requests do not exceed, against the baseline's in the same round.
    pub p99_ratio: Spread,
    /// Requests per second.
    pub requests: Spread,
    /// Server CPU microseconds per request.
    pub cpu_us: Spread,
    /// Latency that half of the requests do not exceed, over all rounds.
    pub p50_us: f64,
    /// Of 99 in a hundred.
    pub p99_us: f64,
    /// Of 999 in a thousand.
    pub p999_us: f64,
}

/// What one server did in one slice.
#[derive(Debug, Clone)]
pub struct Slice {
    /// What the load saw.
    pub answer: LoadAnswer,
    /// What the server used meanwhile.
    pub cpu_nanos: u64,
}

impl Slice {
    fn requests_per_second(&self) -> f64 {
        number(self.answer.requests) * 1e9 / number(self.answer.nanos.max(1))
    }

    fn cpu_us(&self) -> f64 {
        number(self.cpu_nanos) / 1e3 / number(self.answer.requests.max(1))
    }

    fn p99_nanos(&self) -> f64 {
        let mut own = latencies();
        self.answer.add_to(&mut own);
        number(own.value_at_quantile(0.99).max(1))
    }
}

impl Speed {
    /// The figures of a server's slices, against those of the baseline in the same rounds. `None` without
    /// any.
    pub fn of(slices: &[Slice], baseline: &[Slice]) -> Option<Speed> {
        let pairs = || slices.iter().zip(baseline);
        let mut all = latencies();
        slices.iter().for_each(|slice| slice.answer.add_to(&mut all));
        let micros = |quantile| number(all.value_at_quantile(quantile)) / 1e3;
        Some(Speed {
            requests_ratio: Spread::of(
                pairs().map(|(a, b)| a.requests_per_second() / b.requests_per_second()),
            )?,
            cpu_ratio: Spread::of(pairs().map(|(a, b)| a.cpu_us() / b.cpu_us()))?,
            p99_ratio: Spread::of(pairs().map(|(a, b)| a.p99_nanos() / b.p99_nanos()))?,
            requests: Spread::of(slices.iter().map(Slice::requests_per_second))?,
            cpu_us: Spread::of(slices.iter().map(Slice::cpu_us))?,
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
        })
    }
}

impl ServerRow {
    /// What rows are sorted by: the dearest last.
    pub fn cost(&self) -> f64 {
        self.speed
            .as_ref()
            .map(|speed| speed.cpu_ratio.median)
            .or(self.bytes_per_connection)
            .unwrap_or(f64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(requests: u64, cpu_nanos: u64) -> Slice {
        let answer =
            LoadAnswer { error: None, requests, nanos: 1_000_000_000, latencies: vec![(80_000, requests)] };
        Slice { answer, cpu_nanos }
    }

    #[test]
    fn a_tail_is_compared_within_a_round() {
        let tail = |nanos, slow| {
            let latencies = vec![(80_000, 1000 - slow), (nanos, slow)];
            Slice { answer: LoadAnswer { latencies, ..slice(1000, 1).answer }, cpu_nanos: 1 }
        };
        // Two of a hundred are slow; in the second round the machine was, for both.
        let baseline = [tail(1_000_000, 20), tail(9_000_000, 20), tail(1_000_000, 20)];
        let peer = [tail(2_000_000, 20), tail(18_000_000, 20), tail(2_000_000, 20)];
        let ratio = Speed::of(&peer, &baseline).unwrap().p99_ratio;
        assert!([ratio.low, ratio.high].iter().all(|is| (is - 2.0).abs() < 0.02), "{ratio:?}");
        // One of a thousand is none of the 99.
        let ratio = Speed::of(&[tail(2_000_000, 1)], &[tail(1_000_000, 1)]).unwrap().p99_ratio;
        assert!((ratio.median - 1.0).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine was half as fast in the second round, for both: the ratio does not move.
        let baseline = [slice(1000, 5_000_000), slice(500, 5_000_000), slice(1000, 5_000_000)];
        let peer = [slice(900, 5_400_000), slice(450, 5_400_000), slice(900, 5_400_000)];
        let speed = Speed::of(&peer, &baseline).unwrap();
        let near = |spread: Spread, value: f64| {
            [spread.low, spread.median, spread.high].iter().all(|is| (is - value).abs() < 1e-9)
        };
        assert!(near(speed.requests_ratio, 0.9), "{speed:?}");
        assert!(near(speed.cpu_ratio, 1.2), "{speed:?}");
        assert!((speed.p50_us - 80.0).abs() < 1.0, "{speed:?}");
    }

    #[test]
    fn a_peer_as_good_as_the_baseline_is_at_one_and_a_worse_one_is_not() {
        let baseline = [slice(1000, 5_000_000)];
        let same = Speed::of(&baseline, &baseline).unwrap();
        assert!((same.cpu_ratio.median - 1.0).abs() < 1e-9);
        let worse = Speed::of(&[slice(1000, 5_150_000)], &baseline).unwrap();
        assert!((worse.cpu_ratio.median - 1.03).abs() < 1e-9);
        assert!(Speed::of(&[], &baseline).is_none());
    }
}
