//! What the fuzzers run: properties of bytes, kept here so that stable Rust and proptest run them too.
//!
//! Each takes any bytes for a script, plays it on a part of the model and on a naive account of what that
//! part promises, and says where the two disagree. The targets in `fuzz/` are one line each; `cargo test -p
//! sim` plays the seeds that are kept beside them.
//!
//! A judge that can not say no is worth nothing: each property is generic over what it judges, or over its
//! own rules, and its tests hand it a broken one that it must reject.

macro_rules! ensure {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

#[cfg(test)]
mod property;
mod script;
mod slab;
mod slices;
mod timers;

pub use script::{Machine, Observed, observe, script};
pub use slab::slab;
pub use slices::slices;
pub use timers::timers;

use crate::judge::episode::{Setup, run};
use crate::world::choice::Choice;

/// What came of a script: nothing, or what was found.
pub type Verdict = Result<(), String>;

/// A property, under the name that its target and its folder of seeds have.
pub type FuzzTarget = (&'static str, fn(&[u8]) -> Verdict);

/// Every property.
pub const TARGETS: [FuzzTarget; 5] =
    [("script", script), ("slab", slab), ("slices", slices), ("tape", tape), ("timers", timers)];

/// The contract holds in the simulator, whatever chance does.
///
/// # Errors
///
/// The rule that was broken, and the tape that shows it.
pub fn tape(bytes: &[u8]) -> Verdict {
    let report = run(Choice::bytes(bytes), Setup::default());
    match report.broken {
        None => Ok(()),
        Some(broken) => Err(format!("{broken}\ntape: {:?}", report.tape)),
    }
}

/// Panics with what was found, as fuzzers want it.
///
/// # Panics
///
/// When something was found.
pub fn must_hold(verdict: Verdict) {
    if let Err(what) = verdict {
        panic!("{what}");
    }
}
