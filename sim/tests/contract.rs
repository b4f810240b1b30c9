//! The contract, on seeds, on generated scripts, and on the tapes that once failed.

use std::path::Path;

use proptest::prelude::*;
use sim::campaign::Campaign;
use sim::episode::{Setup, run};
use sim::tape::{self, Tape};
use sim::{Choice, EngineKind};

/// Steps per engine: a few seconds in a debug build.
const STEPS: u64 = 150_000;

fn campaign(seed: u64, engine: EngineKind) -> Campaign {
    let setup = Setup { engine: Some(engine), ..Setup::default() };
    let mut campaign = Campaign::new(seed, setup);
    while campaign.steps() < STEPS {
        if let Err(report) = campaign.next_episode() {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failure.tape");
            Tape::of(&report, setup).save(&path, "see the message").unwrap();
            panic!("{:?}\nto see it: cargo sim replay {}", report.broken, path.display());
        }
    }
    campaign
}

#[test]
fn the_contract_holds_on_epoll() {
    campaign(11, EngineKind::Epoll);
}

#[test]
fn the_contract_holds_on_kqueue() {
    campaign(12, EngineKind::Kqueue);
}

#[test]
fn the_contract_holds_on_poll() {
    campaign(13, EngineKind::Poll);
}

#[test]
fn the_same_seed_gives_the_same_run_and_its_tape_too() {
    for seed in 0..300 {
        let first = run(Choice::seeded(seed), Setup::default());
        assert_eq!(first.broken, None, "seed {seed}");
        let again = run(Choice::seeded(seed), Setup::default());
        let played = run(Choice::tape(first.tape.as_slice()), Setup::default());
        assert_eq!(first.fingerprint, again.fingerprint, "seed {seed}");
        assert_eq!(first.fingerprint, played.fingerprint, "the tape of seed {seed}");
        assert_eq!((first.steps, &first.tape), (played.steps, &played.tape));
    }
    // The comparison can fail: other seeds give other runs.
    let fingerprint = |seed| run(Choice::seeded(seed), Setup::default()).fingerprint;
    assert_ne!(fingerprint(0), fingerprint(1));
}

#[test]
fn the_kept_tapes_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let tapes = tape::list(&folder).unwrap();
    for path in &tapes {
        let report = Tape::load(path).unwrap().run();
        assert_eq!(report.broken, None, "{}", path.display());
    }
    assert!(!tapes.is_empty(), "there are regressions to play");
}

/// Scripts, unless `PROPTEST_CASES` says otherwise.
fn cases() -> u32 {
    std::env::var_os("PROPTEST_CASES").map_or(2000, |_| ProptestConfig::default().cases)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Whatever bytes say is a script, and the contract holds on it; proptest makes a failing one short.
    #[test]
    fn the_contract_holds_on_any_script(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let report = run(Choice::bytes(bytes), Setup::default());
        prop_assert_eq!(report.broken, None);
    }
}
