//! What came of a run or a campaign, for programs to read: what `--json` prints.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tools::campaign::Tally;

/// Steps per hit that a probe must have: a hundred in 10⁸.
const STEPS_PER_HIT: u64 = 1_000_000;

/// How often each probe that matters must have been hit after that many steps.
pub fn hits_due(steps: u64) -> u64 {
    (steps / STEPS_PER_HIT).max(1)
}

/// What came of a run or a campaign.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// Where all choices came from.
    pub seed: u64,
    /// Which part of a campaign it is, as `i/n`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Episodes run.
    pub episodes: u64,
    /// Steps taken.
    pub steps: u64,
    /// How long that took, without making a tape short.
    pub seconds: f64,
    /// Steps taken in a second.
    pub steps_per_s: f64,
    /// Episodes that broke a rule: a run ends with the first.
    pub violations: usize,
    /// Probes that were not hit, of those that matter, or too seldom.
    pub probes_missed: usize,
    /// The same for two runs that did the same.
    pub trace_hash: String,
    /// The first episode that broke a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

impl Summary {
    /// The summary of episodes that were run in that time, of which so many broke a rule.
    pub fn new(seed: u64, tally: &Tally, time: Duration, violations: usize) -> Summary {
        Summary {
            seed,
            shard: None,
            episodes: tally.episodes,
            steps: tally.steps,
            seconds: time.as_secs_f64(),
            steps_per_s: rate(tally.steps, time).round(),
            violations,
            probes_missed: tally.probes.missed(hits_due(tally.steps)).len(),
            trace_hash: format!("{:016x}", tally.fingerprint),
            failure: None,
        }
    }
}

/// How many in a second, as precise as a rate needs to be.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub fn rate(steps: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { steps as f64 / time.as_secs_f64() }
}

/// An episode that broke a rule, made short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The rule that was broken.
    pub rule: String,
    /// The check that noticed.
    pub check: String,
    /// What was seen.
    pub what: String,
    /// Steps of the short episode.
    pub steps: u64,
    /// Actions of the user and the peers in it.
    pub actions: usize,
    /// Choices on its tape.
    pub choices: usize,
    /// Those of them that are not the simplest.
    pub events: usize,
    /// Choices on the tape before it was made short.
    pub choices_before: usize,
    /// Where the tape is kept: `cargo sim replay` plays it.
    pub tape: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_json_and_comes_back_as_it_was() {
        let tally = Tally { episodes: 3, steps: 4_000_000, fingerprint: 0xAB, ..Tally::default() };
        let mut summary = Summary::new(7, &tally, Duration::from_secs(2), 1);
        let what = "a \"quoted\" thing\n".to_owned();
        let (rule, check, tape) = ("a rule".to_owned(), "a-check".to_owned(), PathBuf::from("a.tape"));
        let failing = Failure {
            rule,
            check,
            what,
            steps: 5,
            actions: 2,
            choices: 9,
            events: 4,
            choices_before: 90,
            tape,
        };
        summary.failure = Some(failing.clone());
        let text = serde_json::to_string(&summary).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (key, due) in [("seed", 7), ("steps", 4_000_000), ("violations", 1)] {
            assert_eq!(value[key], due, "{key}");
        }
        assert_eq!(
            (value["steps_per_s"].as_f64(), value["trace_hash"].as_str()),
            (Some(2e6), Some("00000000000000ab"))
        );
        assert!(value.get("shard").is_none(), "what a run does not have it does not say");
        assert!(summary.probes_missed > 0, "nothing was hit");
        assert_eq!(serde_json::from_str::<Summary>(&text).unwrap().failure, Some(failing));
    }
}
