//! Many scripts: played, followed, counted; and made short when they differ.

use std::collections::BTreeMap;
use std::io;

use aio::Os;
use aio_model::{Rearm, System};
use sim::EngineKind;

use crate::conformance::follow::{Difference, Extras, follow};
use crate::conformance::history::History;
use crate::conformance::real::{Hosts, play};
use crate::conformance::script::Script;

/// A script, and what came of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What was done and seen.
    pub history: History,
    /// What the simulator can not follow.
    pub difference: Option<Difference>,
    /// How generous the kernel was.
    pub extras: Extras,
}

impl Case {
    /// Plays a script, and follows it.
    ///
    /// # Errors
    ///
    /// When the system gives no more sockets.
    pub fn run(script: &Script, hosts: &Hosts) -> io::Result<Case> {
        let history = play(script, hosts)?;
        let followed = follow(&history, engine()?);
        let extras = followed.clone().unwrap_or_default();
        Ok(Case { history, difference: followed.err(), extras })
    }
}

/// The simulator's name for the engine that this build of the library has.
///
/// # Errors
///
/// When the system gives none.
pub fn engine() -> io::Result<EngineKind> {
    Ok(match Os::new()?.rearm() {
        Rearm::OnArrival => EngineKind::Epoll,
        Rearm::OnWouldBlock => EngineKind::Poll,
    })
}

/// What was done, and what came of it, each how often.
#[derive(Debug, Clone, Default)]
pub struct ScriptTally {
    /// Scripts that were played.
    pub scripts: u64,
    /// Deeds in them.
    pub deeds: u64,
    /// By deed and outcome.
    pub seen: BTreeMap<(&'static str, String), u64>,
    /// How generous the kernel was, and how often it had to be tried again to follow it.
    pub extras: Extras,
    /// Scripts in which what is likely was not the case.
    pub odd: u64,
    /// The most ways that were tried for one of them.
    pub attempts_max: u64,
}

impl ScriptTally {
    /// Counts a case.
    pub fn add(&mut self, case: &Case) {
        self.scripts += 1;
        self.deeds += case.history.deeds.len() as u64;
        self.extras.told += case.extras.told;
        self.extras.unowed += case.extras.unowed;
        self.extras.attempts += case.extras.attempts;
        self.odd += u64::from(case.extras.attempts > 1);
        self.attempts_max = self.attempts_max.max(case.extras.attempts);
        for (deed, seen) in &case.history.deeds {
            *self.seen.entry((deed.kind(), seen.kind(deed))).or_default() += 1;
        }
    }
}

/// Makes a script that differs as short as it can be, and returns it with what came of it. A kernel does not
/// do exactly the same again, so each is played a few times.
///
/// # Errors
///
/// When the system gives no more sockets.
pub fn shrink(script: &Script, hosts: &Hosts) -> io::Result<(Script, Option<Case>)> {
    shorten(script, |script| differs(script, hosts))
}

/// Leaves steps out while something is still wrong with a script: what is left, and what is wrong with it.
///
/// # Errors
///
/// What `is_wrong` fails with.
pub fn shorten<T>(
    script: &Script,
    mut is_wrong: impl FnMut(&Script) -> io::Result<Option<T>>,
) -> io::Result<(Script, Option<T>)> {
    let mut best = script.clone();
    let mut worst = None;
    let mut len = best.steps.len();
    while len > 0 {
        let mut start = 0;
        while start < best.steps.len() {
            let mut shorter = best.clone();
            shorter.steps.drain(start..(start + len).min(best.steps.len()));
            match is_wrong(&shorter)? {
                Some(wrong) => (best, worst) = (shorter, Some(wrong)),
                None => start += len,
            }
        }
        len /= 2;
    }
    Ok((best, worst))
}

fn differs(script: &Script, hosts: &Hosts) -> io::Result<Option<Case>> {
    for _ in 0..3 {
        let case = Case::run(script, hosts)?;
        if case.difference.is_some() {
            return Ok(Some(case));
        }
    }
    Ok(None)
}
