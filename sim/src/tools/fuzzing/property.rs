//! How proptest asks the properties: bytes that hold, and a broken subject that must be found out.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Verdict;

/// Scripts per property: a second or two in a debug build. `PROPTEST_CASES` asks for more.
const CASES: u32 = 1000;

/// The property holds on any script of at most `bytes_max` bytes. Proptest makes a failing one short.
pub(crate) fn holds(property: impl Fn(&[u8]) -> Verdict, bytes_max: usize) {
    let cases = std::env::var_os("PROPTEST_CASES").map_or(CASES, |_| Config::default().cases);
    let mut runner = TestRunner::new(Config { failure_persistence: None, cases, ..Config::default() });
    let outcome = runner.run(&scripts(bytes_max), |bytes| property(&bytes).map_err(TestCaseError::fail));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The canary: a property of something that is broken on purpose does not hold on some script, and says so.
/// What scripts are tried is the same in every run.
pub(crate) fn rejects(property: impl Fn(&[u8]) -> Verdict, bytes_max: usize) {
    let config = Config { failure_persistence: None, cases: CASES, ..Config::default() };
    let chance = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let rejected = Cell::new(false);
    let outcome = TestRunner::new_with_rng(config, chance).run(&scripts(bytes_max), |bytes| {
        rejected.set(rejected.get() || property(&bytes).is_err());
        Ok(())
    });
    outcome.expect("the judge does not panic");
    assert!(rejected.get(), "the property holds of something that is broken");
}

fn scripts(bytes_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=bytes_max)
}
