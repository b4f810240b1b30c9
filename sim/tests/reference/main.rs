//! `aio::Proactor` against the naive reference, call by call: the same answers, the same system calls in the
//! same order, the same completions, the same state to be seen.
//!
//! `PROPTEST_CASES=1000000 cargo test --profile sim -p sim --test reference the_proactor` for a long run.

mod plain;
mod player;
mod step;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use player::{play, watch};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use sim::reference::Rule;

/// Steps of a script, at most.
const STEPS_MAX: usize = 80;

/// Scripts, unless `PROPTEST_CASES` says otherwise.
fn cases() -> u32 {
    std::env::var_os("PROPTEST_CASES").map_or(2000, |_| Config::default().cases)
}

proptest! {
    #![proptest_config(Config { cases: cases(), ..Config::default() })]

    #[test]
    fn the_proactor_does_what_the_reference_says(script in step::script(STEPS_MAX)) {
        play(&script, None).map_err(TestCaseError::fail)?;
    }
}

/// The canary: without any one of its rules, the reference is something else than the proactor, and the
/// comparison says so. What is tried is the same in every run.
#[test]
fn a_reference_without_any_one_of_its_rules_is_found_out() {
    for rule in Rule::ALL {
        let config =
            Config { failure_persistence: None, cases: 500, max_shrink_iters: 0, ..Config::default() };
        let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let (held, found) = (Cell::new(0), Cell::new(false));
        let outcome = TestRunner::new_with_rng(config, chance).run(&step::script(STEPS_MAX), |script| {
            let verdict = play(&script, Some(rule));
            held.set(held.get() + u32::from(verdict.is_ok()));
            found.set(verdict.is_err());
            verdict.map_err(TestCaseError::fail)
        });
        // Found by the comparison, that is, and not because the reference trips over its missing rule.
        assert!(found.get(), "{rule:?} can be left out, and nothing is different: {outcome:?}");
        if let Err(TestError::Fail(what, _)) = outcome {
            println!("{rule:?} is missed in script {}, {what}", held.get());
        }
    }
}

/// The other canary: scripts that reach little prove little.
#[test]
fn the_scripts_reach_everything() {
    let seen = RefCell::new(BTreeSet::new());
    let config = Config { failure_persistence: None, cases: 1500, ..Config::default() };
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let played = TestRunner::new_with_rng(config, chance).run(&step::script(STEPS_MAX), |script| {
        seen.borrow_mut().extend(watch(&script));
        Ok(())
    });
    played.expect("nothing is rejected");
    let seen = seen.into_inner();
    let expected: BTreeSet<String> = include_str!("reached.txt").lines().map(String::from).collect();
    let (missed, new) = (expected.difference(&seen), seen.difference(&expected));
    assert_eq!(seen, expected, "missed {:?}, new {:?}", missed.collect::<Vec<_>>(), new.collect::<Vec<_>>());
}
