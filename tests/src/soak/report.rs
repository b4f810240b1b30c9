//! What came of a soak: samples, trends, checks, and the verdict.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::party::{Account, PartyTally};
use super::trend::Trend;
use super::{SoakPlan, chart};

/// The gauges at one moment, both sides together.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Sample {
    /// Since the start.
    pub seconds: f64,
    /// Resident memory of the process.
    pub resident_bytes: u64,
    /// Open descriptors of the process.
    pub descriptors: usize,
    /// Pool buffers that are lent.
    pub leases: u32,
    /// Operations that are queued, or whose completion was not taken.
    pub credits: u32,
    /// Connections and listeners.
    pub connections: u32,
    /// Armed timers.
    pub timers: u32,
    /// Connections that wait for a pool buffer.
    pub parked: u32,
    /// Completions since the last sample, per second.
    pub completions_per_s: f64,
}

/// Something that must hold.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SoakCheck {
    /// What.
    pub name: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

/// All that came of a soak.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SoakReport {
    /// Whether everything holds.
    pub pass: bool,
    /// The seed.
    pub seed: u64,
    /// As many connections as the clients held.
    pub connections: u32,
    /// How long it went on.
    pub seconds: f64,
    /// So much of it was warm-up, in seconds.
    pub warm_up: f64,
    /// What must hold.
    pub checks: Vec<SoakCheck>,
    /// How each gauge went on.
    pub trends: Vec<Trend>,
    /// What the server did.
    pub server: PartyTally,
    /// What the clients did.
    pub client: PartyTally,
    /// The connections of a client that follows no rules.
    pub hostile_peers: u64,
    /// Operations of both sides.
    pub operations: u64,
    /// Of those, the ones that ended by their deadline, by a cancel, and the receives that had to wait for a
    /// buffer.
    pub expired: u64,
    /// See [`expired`](SoakReport::expired).
    pub cancelled: u64,
    /// See [`expired`](SoakReport::expired).
    pub parked: u64,
    /// Every sample. The last one was taken when all connections had ended.
    pub samples: Vec<Sample>,
}

/// The start of a run is no measure: tables and pools grow to what they need.
const WARM_UP: f64 = 0.25;

/// A shorter run ends before the allocator has all that it will ever need: four times the noise.
const SETTLED: Duration = Duration::from_secs(300);

type Gauge = fn(&Sample) -> f64;

/// How much growth is noise: so much at any rate, and such a share of the median.
type Noise = (f64, f64);

/// Every gauge and its noise; those that are not judged have none.
pub(super) const GAUGES: [(&str, Gauge, Option<Noise>); 8] = [
    // The allocator's arenas breathe.
    ("resident memory, KiB", |sample| sample.resident_bytes as f64 / 1024.0, Some((4096.0, 0.02))),
    ("descriptors", |sample| sample.descriptors as f64, Some((8.0, 0.1))),
    ("leases outstanding", |sample| f64::from(sample.leases), Some((8.0, 0.1))),
    ("credits in use", |sample| f64::from(sample.credits), Some((16.0, 0.1))),
    ("connections", |sample| f64::from(sample.connections), Some((8.0, 0.1))),
    ("timers", |sample| f64::from(sample.timers), Some((16.0, 0.1))),
    ("parked connections", |sample| f64::from(sample.parked), None),
    ("completions per second", |sample| sample.completions_per_s, None),
];

/// Judges what was seen.
pub(super) fn judge(
    plan: &SoakPlan,
    samples: Vec<Sample>,
    accounts: &[Account; 2],
    hostile_peers: u64,
    settled: bool,
    descriptors: (usize, usize),
) -> SoakReport {
    let seconds = plan.span.as_secs_f64();
    let warm_up = seconds * WARM_UP;
    let measured: Vec<_> = samples.iter().filter(|at| (warm_up..seconds).contains(&at.seconds)).collect();
    let trends: Vec<_> = GAUGES
        .iter()
        .map(|(name, gauge, noise)| {
            let points: Vec<_> = measured.iter().map(|sample| (sample.seconds, gauge(sample))).collect();
            let settles = *name == GAUGES[0].0 && plan.span < SETTLED;
            Trend::of(
                name,
                &points,
                noise.map(|(least, share)| (least * if settles { 4.0 } else { 1.0 }, share)),
            )
        })
        .collect();
    let mut checks = checks(accounts, settled, &samples, descriptors);
    let grows: Vec<_> = trends.iter().filter(|trend| !trend.holds()).map(|trend| trend.gauge).collect();
    checks.push(check("nothing grows after the warm-up", grows.is_empty(), format!("{grows:?}")));
    let [server, client] = accounts;
    let sum = |of: fn(&Account) -> u64| of(server) + of(client);
    SoakReport {
        pass: checks.iter().all(|check| check.holds),
        seed: plan.seed,
        connections: plan.connections,
        seconds,
        warm_up,
        checks,
        trends,
        server: server.tally.clone(),
        client: client.tally.clone(),
        hostile_peers,
        operations: sum(|side| side.opened),
        expired: sum(|side| side.counters.expired),
        cancelled: sum(|side| side.counters.cancelled),
        parked: sum(|side| side.counters.parked),
        samples,
    }
}

fn check(name: &'static str, holds: bool, seen: String) -> SoakCheck {
    SoakCheck { name, holds, seen }
}

fn checks(
    accounts: &[Account; 2],
    settled: bool,
    samples: &[Sample],
    descriptors: (usize, usize),
) -> Vec<SoakCheck> {
    let [server, client] = accounts;
    let end = samples.last();
    let rest = end.map_or_else(String::new, |end| {
        format!("{} connections, {} credits, {} leases", end.connections, end.credits, end.leases)
    });
    let booked = [server, client].map(|side| (side.opened, side.ended, side.open, side.counters.completed));
    let exactly_one = booked.iter().all(|(opened, ended, open, completed)| {
        opened == ended && *open == 0 && opened == completed && *opened > 0
    });
    let violations = server.violations + client.violations;
    let told: Vec<_> = accounts.iter().flat_map(|side| &side.told).map(String::as_str).collect();
    let told = format!("{violations} were{}{}", if told.is_empty() { "" } else { ": " }, told.join("; "));
    let left = accounts.each_ref().map(|side| side.left);
    let gone = accounts.iter().all(|side| side.counters.opened == side.counters.closed);
    let whole = client.tally.whole;
    let verified = server.tally.bytes_verified + client.tally.bytes_verified;
    vec![
        check("every operation had exactly one completion", exactly_one, format!("{booked:?}")),
        check("no byte, result or order was wrong", violations == 0, told),
        check("streams arrived, and were looked at", whole > 0 && verified > 0, format!("{whole} whole")),
        check("all connections ended, and both sides came to rest", settled, rest),
        check("what was opened was closed", gone, format!("{left:?} left")),
        check("nothing is left after the shutdown", left == [(0, 0, 0); 2], format!("{left:?}")),
        check("descriptors are what they were", descriptors.0 == descriptors.1, format!("{descriptors:?}")),
    ]
}

impl SoakReport {
    /// The gauges as a picture: a self-contained SVG file.
    pub fn to_svg(&self) -> String {
        chart::draw(self)
    }
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let window = self.seconds - self.warm_up;
        writeln!(
            f,
            "{:24} {:>11} {:>11} {:>14} {:>14} {:>11} {:>11}",
            "gauge", "median", "max", "slope/h (LS)", "slope/h (TS)", "growth", "allowed"
        )?;
        for trend in &self.trends {
            let allowed = trend.growth_max.map_or("-".into(), |max| format!("{max:.1}"));
            writeln!(
                f,
                "{:24} {:>11.1} {:>11.1} {:>+14.1} {:>+14.1} {:>+11.1} {allowed:>11}{}",
                trend.gauge,
                trend.median,
                trend.max,
                trend.slope_per_hour,
                trend.robust_slope_per_hour,
                trend.growth,
                if trend.holds() { "" } else { "  GROWS" },
            )?;
        }
        writeln!(f, "(growth: of the {window:.0} s after a warm-up of {:.0} s)\n", self.warm_up)?;
        for (name, tally) in [("server", &self.server), ("clients", &self.client)] {
            writeln!(
                f,
                "{name:8} {} connections: {} whole, {} broken off, {} lost, {} garbage, {} not made; \
                 {:.1} MiB verified; {} sends resumed",
                tally.connections,
                tally.whole,
                tally.broken_off,
                tally.lost,
                tally.garbage,
                tally.connects_failed,
                tally.bytes_verified as f64 / f64::from(1 << 20),
                tally.resumed,
            )?;
        }
        writeln!(
            f,
            "hostile  {} connections\n{} operations: {} expired, {} cancelled; {} receives waited for a buffer\n",
            self.hostile_peers, self.operations, self.expired, self.cancelled, self.parked
        )?;
        for check in &self.checks {
            let verdict = if check.holds { "holds" } else { "FAILS" };
            writeln!(f, "{verdict}  {}: {}", check.name, check.seen)?;
        }
        write!(f, "verdict: {}", if self.pass { "pass" } else { "fail" })
    }
}
