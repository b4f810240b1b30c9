//! Campaigns: one episode after the other, each from a seed of its own.

use crate::choice::{Choice, mix};
use crate::episode::{Report, Setup, run};

/// Episodes in a row, until enough steps are taken or a rule is broken.
#[derive(Debug, Clone)]
pub struct Campaign {
    seed: u64,
    setup: Setup,
    episodes: u64,
    steps: u64,
    fingerprint: u64,
}

/// An episode that broke a rule.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// The seed of the episode itself.
    pub episode_seed: u64,
    /// What came of it.
    pub report: Report,
}

impl Campaign {
    /// A campaign that draws the seeds of its episodes from `seed`.
    pub fn new(seed: u64, setup: Setup) -> Campaign {
        Campaign { seed, setup, episodes: 0, steps: 0, fingerprint: 0 }
    }

    /// Runs the next episode.
    ///
    /// # Errors
    ///
    /// When it broke a rule.
    pub fn next_episode(&mut self) -> Result<(), Box<Failure>> {
        let episode_seed = mix(self.seed.wrapping_add(mix(self.episodes)));
        let report = run(Choice::seeded(episode_seed), self.setup);
        self.episodes += 1;
        self.steps += report.steps;
        self.fingerprint = mix(self.fingerprint ^ report.fingerprint);
        if report.broken.is_none() { Ok(()) } else { Err(Box::new(Failure { episode_seed, report })) }
    }

    /// Episodes run so far.
    pub fn episodes(&self) -> u64 {
        self.episodes
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The same for two campaigns that did the same.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}
