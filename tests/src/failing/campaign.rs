//! Every scenario with every failure, one at a time and in random pairs, and a table of what came of them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::fault::{Call, CallFault, FAULTS};
use super::judge::{Broken, Played, play};
use super::programs::{FailureScenario, SCENARIOS};
use super::system::Planned;

/// What was run, and what came of it.
#[derive(Debug, Default)]
pub struct FailureTally {
    rows: BTreeMap<(Call, String), FailureRow>,
    /// Runs in which something failed.
    pub runs: u64,
    /// Calls that failed.
    pub failures: u64,
    /// What did not hold, with the command that shows it again.
    pub broken: Vec<String>,
}

/// What came of one call with one error number.
#[derive(Debug, Default, Clone)]
pub struct FailureRow {
    /// What had to.
    pub effect: String,
    /// In so many runs.
    pub runs: u64,
    /// Of so many scenarios.
    pub scenarios: Vec<&'static str>,
    /// In which something else did.
    pub broken: u64,
}

/// A scenario, and what it is like when nothing fails.
#[derive(Debug)]
pub struct Calm {
    scenario: &'static FailureScenario,
    played: Played,
}

impl Calm {
    /// Plays it twice: what it says must not be by chance.
    ///
    /// # Errors
    ///
    /// When it does not even hold when nothing fails.
    pub fn of(scenario: &'static FailureScenario) -> Result<Calm, Broken> {
        let played = play(scenario, &[], None)?;
        play(scenario, &[], Some(&played))?;
        Ok(Calm { scenario, played })
    }

    /// The faults that it can have, each with the number of calls that may have it.
    pub fn faults(&self) -> impl Iterator<Item = (CallFault, u32)> + '_ {
        let made = |fault: &CallFault| self.played.made[fault.call as usize];
        FAULTS.iter().map(move |fault| (*fault, made(fault))).filter(|(_, made)| *made > 0)
    }

    /// The scenario's name.
    pub fn name(&self) -> &'static str {
        self.scenario.name
    }
}

/// The scenario of a name.
pub fn scenario(name: &str) -> Option<&'static FailureScenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

impl FailureTally {
    /// Plays a scenario with one failure after the other: each fault at each call, or at the first few.
    pub fn singles(&mut self, calm: &Calm, nth_max: u32, mut on_run: impl FnMut()) {
        for (fault, made) in calm.faults() {
            // Waiting and asking for the time happen as often as they happen: any number will do.
            for nth in 1..=made.min(nth_max) {
                self.run(calm, &[Planned::new(nth, fault)]);
                on_run();
            }
        }
    }

    /// Plays a scenario with two failures, chosen by a seed.
    pub fn pairs(&mut self, calm: &Calm, seed: u64, count: u32, mut on_run: impl FnMut()) {
        let faults: Vec<_> = calm.faults().collect();
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..count {
            let mut planned = || {
                let (fault, made) = faults[random.usize(..faults.len())];
                let nth = random.u32(..made) + 1;
                Planned::new(nth, fault)
            };
            let plan = [planned(), planned()];
            self.run(calm, &plan);
            on_run();
        }
    }

    /// Plays a scenario with these failures.
    pub fn run(&mut self, calm: &Calm, plan: &[Planned]) {
        self.runs += 1;
        let (injected, broken) = match play(calm.scenario, plan, Some(&calm.played)) {
            Ok(played) => (played.injected.iter().map(|injected| injected.planned).collect(), None),
            Err(broken) => (plan.to_vec(), Some(broken)),
        };
        self.failures += injected.len() as u64;
        for planned in &injected {
            let fault = planned.fault;
            let row = self.rows.entry((fault.call, format!("{:?}", fault.failure))).or_default();
            row.effect = format!("{:?}", fault.effect);
            row.runs += 1;
            row.broken += u64::from(broken.is_some());
            if !row.scenarios.contains(&calm.name()) {
                row.scenarios.push(calm.name());
            }
        }
        if let Some(broken) = broken {
            let mut command =
                format!("cargo run --release -p tests --bin fail_each -- --scenario {}", calm.name());
            for planned in plan {
                let _ = write!(command, " --fail {}", Name(planned));
            }
            self.broken.push(format!("{command}\n    {broken}"));
        }
    }

    /// The rows of the table, by call and errno.
    pub fn rows(&self) -> &BTreeMap<(Call, String), FailureRow> {
        &self.rows
    }
}

impl fmt::Display for FailureTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} {:<20} {:<10} {:>9} {:>6} {:>7}",
            "call", "fails with", "effect", "scenarios", "runs", "broken"
        )?;
        for ((call, failure), row) in &self.rows {
            let (call, scenarios) = (format!("{call:?}"), row.scenarios.len());
            writeln!(
                f,
                "{call:<16} {failure:<20} {:<10} {scenarios:>9} {:>6} {:>7}",
                row.effect, row.runs, row.broken
            )?;
        }
        write!(f, "{} runs, {} calls failed, {} runs broken", self.runs, self.failures, self.broken.len())
    }
}

/// A planned failure, as the command line names it: `recv:ECONNRESET:3`.
struct Name<'a>(&'a Planned);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Planned { nth, fault, .. } = self.0;
        write!(f, "'{:?}:{:?}:{nth}'", fault.call, fault.failure)
    }
}

/// The failure that a name of the command line stands for.
pub fn planned(name: &str) -> Option<Planned> {
    let (rest, nth) = name.rsplit_once(':')?;
    let (call, failure) = rest.split_once(':')?;
    let same =
        |fault: &&CallFault| format!("{:?}", fault.call) == call && format!("{:?}", fault.failure) == failure;
    Some(Planned::new(nth.parse().ok()?, *FAULTS.iter().find(same)?))
}
