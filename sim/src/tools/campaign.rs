//! Campaigns: one episode after the other, each from a seed of its own, on one thread or on many, on one
//! machine or on many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::judge::episode::{Report, Setup, run};
use crate::judge::probes::Probes;
use crate::world::choice::{Choice, mix};

/// Episodes in a row, until enough steps are taken or a rule is broken.
#[derive(Debug, Clone)]
pub struct Campaign {
    seed: u64,
    setup: Setup,
    tally: Tally,
}

/// What came of episodes.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Tally {
    /// How many there were.
    pub episodes: u64,
    /// Steps taken.
    pub steps: u64,
    /// The same for those who did the same, in whatever order.
    pub fingerprint: u64,
    /// What happened, and how often.
    pub probes: Probes,
}

impl Tally {
    /// Takes an episode into account.
    fn add(&mut self, report: &Report) {
        self.episodes += 1;
        self.steps += report.steps;
        self.fingerprint = self.fingerprint.wrapping_add(mix(report.fingerprint));
        self.probes.add(&report.probes);
    }

    /// Takes other episodes into account.
    fn merge(&mut self, other: &Tally) {
        self.episodes += other.episodes;
        self.steps += other.steps;
        self.fingerprint = self.fingerprint.wrapping_add(other.fingerprint);
        self.probes.add(&other.probes);
    }
}

/// The seed of an episode of a campaign.
fn episode_seed(seed: u64, episode: u64) -> u64 {
    mix(seed.wrapping_add(mix(episode)))
}

impl Campaign {
    /// A campaign that draws the seeds of its episodes from `seed`.
    pub fn new(seed: u64, setup: Setup) -> Campaign {
        Campaign { seed, setup, tally: Tally::default() }
    }

    /// Runs the next episode.
    ///
    /// # Errors
    ///
    /// What came of it, when it broke a rule.
    pub fn next_episode(&mut self) -> Result<(), Box<Report>> {
        let episode_seed = episode_seed(self.seed, self.tally.episodes);
        let report = run(Choice::seeded(episode_seed), self.setup);
        self.tally.add(&report);
        if report.broken.is_none() { Ok(()) } else { Err(Box::new(report)) }
    }

    /// What came of it so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.tally.steps
    }
}

/// A part of a campaign: of all its episodes, each `of`-th, so that many machines can share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0 on.
    pub index: u64,
    /// Into how many parts it is cut.
    pub of: u64,
}

/// A campaign on several threads.
#[derive(Debug)]
pub struct Threads {
    seed: u64,
    setup: Setup,
    shard: Shard,
    /// The next episode of this shard.
    next: AtomicU64,
    stop: AtomicBool,
    tally: Mutex<Tally>,
    failures: Mutex<Vec<Report>>,
}

impl Threads {
    /// A campaign that goes on with the `begin`-th episode of its shard.
    pub fn new(seed: u64, setup: Setup, shard: Shard, begin: u64) -> Threads {
        Threads {
            seed,
            setup,
            shard,
            next: AtomicU64::new(begin),
            stop: AtomicBool::new(false),
            tally: Mutex::new(Tally::default()),
            failures: Mutex::new(Vec::new()),
        }
    }

    /// Runs episodes on `jobs` threads until [`stop`](Threads::stop) is called, or as soon as a rule is
    /// broken. `watch` is called now and then, on this thread.
    pub fn run(&self, jobs: usize, mut watch: impl FnMut(&Threads)) {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| self.work())).collect();
            while workers.iter().any(|worker| !worker.is_finished()) {
                watch(self);
                // Nothing depends on how long: it is how often somebody looks.
                thread::park_timeout(Duration::from_millis(100));
            }
        });
    }

    fn work(&self) {
        let mut mine = Tally::default();
        while !self.stop.load(Ordering::Relaxed) {
            let episode = self.next.fetch_add(1, Ordering::Relaxed);
            let episode_seed = episode_seed(self.seed, episode * self.shard.of + self.shard.index);
            let report = run(Choice::seeded(episode_seed), self.setup);
            mine.add(&report);
            if report.broken.is_some() {
                self.stop();
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(report);
            }
            if mine.episodes >= 256 {
                self.deliver(&mut mine);
            }
        }
        self.deliver(&mut mine);
    }

    fn deliver(&self, mine: &mut Tally) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).merge(mine);
        *mine = Tally::default();
    }

    /// Ends the campaign when the episodes under way are over.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What came of it so far, but for what the threads have not delivered yet.
    pub fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The next episode of this shard: where a campaign that is taken up again begins.
    pub fn next(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// What came of the episodes that broke a rule.
    pub fn failures(&self) -> Vec<Report> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All shards together, on any number of threads, run what one thread runs.
    #[test]
    fn shards_and_threads_run_the_same_episodes() {
        let setup = Setup { actions_max: 30, ..Setup::default() };
        let mut alone = Campaign::new(3, setup);
        (0..60).for_each(|_| alone.next_episode().unwrap());
        let mut together = Tally::default();
        for index in 0..3 {
            // As if 20 episodes were one stop.
            let mut shard = Tally::default();
            for episode in 0..20 {
                let seed = episode_seed(3, episode * 3 + index);
                shard.add(&run(Choice::seeded(seed), setup));
            }
            together.merge(&shard);
        }
        assert_eq!(together.fingerprint, alone.tally().fingerprint);
        assert_eq!((together.steps, &together.probes), (alone.steps(), &alone.tally().probes));

        let threads = Threads::new(3, setup, Shard { index: 0, of: 1 }, 0);
        threads.run(2, |threads| {
            if threads.next() > 300 {
                threads.stop();
            }
        });
        let tally = threads.tally();
        assert_eq!(tally.episodes, threads.next());
        let mut again = Campaign::new(3, setup);
        (0..tally.episodes).for_each(|_| again.next_episode().unwrap());
        assert_eq!(tally.fingerprint, again.tally().fingerprint);
    }
}
