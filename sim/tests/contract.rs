//! The contract, on seeds, on generated scripts, and on the tapes that once failed.

use std::path::Path;

use aio_model::testing::Ids;
use aio_model::{Outcome, Syscall, System, SystemErrorKind};
use proptest::prelude::*;
use sim::campaign::Campaign;
use sim::episode::{Setup, run};
use sim::tape::{self, Tape};
use sim::{Capacity, Choice, EngineKind, Net, PeerId, SimOs};

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

/// What two receives of 16 KiB get after a peer writes 6,000 bytes to a window of 4,096, and then acts.
fn received_after(act: impl FnOnce(&Net, PeerId, &mut dyn FnMut(&[u8]) -> Outcome)) -> [Outcome; 2] {
    let net = Net::calm();
    net.set_capacity(Some(Capacity { send_bytes_max: 1 << 16, recv_bytes_max: 4096 }));
    let mut os = SimOs::new(net.clone(), EngineKind::Epoll);
    let (peer, socket) = net.pair().unwrap();
    let conn = Ids::default().open();
    os.adopt(conn, socket).map_err(|(error, _)| error).unwrap();
    assert_eq!(net.peer_write(peer, &[7; 6000]), 6000);
    act(&net, peer, &mut |bytes| os.perform(Syscall::Send { conn, bytes }));
    [(); 2].map(|()| os.perform(Syscall::Recv { conn, buffer: &mut [0; 16 << 10] }))
}

/// Linux does the same: see `tests/tests/conformance/lags.rs`.
#[test]
fn what_did_not_fit_into_the_window_is_lost_to_a_reset() {
    let delivered = received_after(|_, _, _| {});
    assert_eq!(delivered, [4096, 1904].map(Outcome::Transferred), "nothing is lost without a reset");
    let reset = received_after(|net, peer, _| net.peer_reset(peer));
    let unread = received_after(|net, peer, send| {
        assert_eq!(send(b"never read"), Outcome::Transferred(10));
        net.peer_close(peer);
    });
    let unwelcome = received_after(|net, peer, send| {
        net.peer_close(peer);
        assert_eq!(send(b"too late"), Outcome::Transferred(8));
    });
    for [first, second] in [reset, unread, unwelcome] {
        assert_eq!(first, Outcome::Transferred(4096));
        let Outcome::Failed(error) = second else { panic!("{second:?}") };
        assert_eq!(error.kind(), SystemErrorKind::ConnectionReset);
    }
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
