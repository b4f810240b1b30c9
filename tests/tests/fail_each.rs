//! Each call made to fail in turn, the first few of each kind; and that the judge would notice what must be
//! noticed. The long form is `cargo run --release -p tests --bin fail_each`. The runs count the descriptors
//! of the process, so the tests take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tests::failing::campaign::{Calm, FailureTally, planned, scenario};
use tests::failing::fault::{Effect, FAULTS};
use tests::failing::judge::{Check, play, play_on};
use tests::failing::programs::SCENARIOS;
use tests::failing::system::Treason;
use tests::turns::PATIENCE;

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_call_may_fail_with_every_error() {
    let _alone = alone();
    let mut tally = FailureTally::default();
    for (seed, scenario) in (1..).zip(SCENARIOS) {
        let calm = Calm::of(scenario).unwrap_or_else(|broken| panic!("{}: {broken}", scenario.name));
        tally.singles(&calm, 4, || ());
        tally.pairs(&calm, seed, 20, || ());
    }
    assert!(tally.broken.is_empty(), "{}\n{tally}", tally.broken.join("\n"));
    for fault in FAULTS {
        let key = (fault.call, format!("{:?}", fault.failure));
        assert!(tally.rows().contains_key(&key), "no scenario has {fault:?}");
    }
    println!("{tally}");
}

/// What a broken system does, in which scenario, with which failures, and the check that is to notice.
const TREASONS: [(Treason, &str, &[&str], Check); 9] = [
    (Treason::NoEventAfterEagain, "echo-tcp", &["Recv:EAGAIN:2"], Check::NoHang),
    (Treason::SwallowsSend, "echo-unix", &[], Check::NoHang),
    (Treason::ChangesByte, "echo-tcp", &[], Check::Bytes),
    (Treason::ChangesByte, "call-tcp", &[], Check::NoPanic),
    (Treason::LeaksDescriptor, "accept-many", &[], Check::Descriptors),
    (Treason::OtherErrno, "echo-tcp", &["Recv:ECONNRESET:2"], Check::RightError),
    (Treason::StormOfEvents, "echo-tcp", &PAUSES, Check::NoSpin),
    (Treason::FailsTwice, "echo-tcp", &["Send:EPIPE:1"], Check::RightError),
    (Treason::KeepsSocket, "vectored", &["Adopt:ENOMEM:1"], Check::GivenBack),
];

/// Each makes the listener pause for twice as long as the one before.
const PAUSES: [&str; 7] = [
    "Accept:EMFILE:1",
    "Accept:EMFILE:2",
    "Accept:EMFILE:3",
    "Accept:EMFILE:4",
    "Accept:EMFILE:5",
    "Accept:EMFILE:6",
    "Accept:EMFILE:7",
];

#[test]
fn a_broken_system_is_noticed() {
    let _alone = alone();
    for (treason, name, failures, check) in TREASONS {
        let scenario = scenario(name).unwrap();
        let calm = play(scenario, &[], None).unwrap();
        let plan: Vec<_> = failures.iter().map(|failure| planned(failure).unwrap()).collect();
        if check != Check::NoHang {
            play(scenario, &plan, Some(&calm))
                .unwrap_or_else(|broken| panic!("without {treason:?}: {broken}"));
        }
        let patience = if check == Check::NoHang { Duration::from_millis(500) } else { PATIENCE };
        let broken = play_on(scenario, &plan, Some(&calm), Some(treason), patience);
        let broken = broken.expect_err(&format!("nobody noticed {treason:?}"));
        assert_eq!(broken.check, check, "{treason:?}: {broken}");
    }
}

/// The checks that need no broken system: an expectation that is not met.
#[test]
fn a_wrong_expectation_is_noticed() {
    let _alone = alone();
    let expect = |name: &str, failure: &str, effect: Effect| {
        let calm = play(scenario(name).unwrap(), &[], None).unwrap();
        let mut plan = planned(failure).unwrap();
        plan.expected = effect;
        play(scenario(name).unwrap(), &[plan], Some(&calm)).map_err(|broken| broken.check)
    };
    let broken = |name, failure, effect| expect(name, failure, effect).expect_err(failure);
    assert_eq!(broken("echo-tcp", "AcceptRegister:ENOMEM:1", Effect::Passes), Check::Harm);
    assert_eq!(broken("accept-many", "Accept:EMFILE:1", Effect::FailsTurn), Check::TurnFails);
    assert_eq!(broken("call-tcp", "Connect:ECONNREFUSED:1", Effect::Drops), Check::RightError);
    assert_eq!(broken("vectored", "Adopt:ENOMEM:1", Effect::Drops), Check::GivenBack);
    // An hour's jump, somewhere, ends what flushes, and over a Unix socket its peer hears an end, but too
    // early.
    let mut jumps =
        (1..80).map(|nth| expect("closes", &format!("Clock:an hour's jump:{nth}"), Effect::Passes));
    assert!(jumps.any(|played| matches!(played, Err(Check::Passes))));
}
