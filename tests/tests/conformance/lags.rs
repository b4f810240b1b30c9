//! What is late: with narrow buffers, and where small packets wait for each other, bytes may be on their way
//! for long, and be lost there. Each of these once was a difference.

use aio_model::{Outcome, Readiness, SystemErrorKind};
use tests::conformance::{Case, History, Hosts, PeerSaw, Script, Seen, Step};
use tests::pair::Family;

use crate::{FIRST, answers, failure, recv, scene, scene_of, script, told, write};

/// Seeds of random scripts over TCP that once differed, by what was wrong.
const SEEDS: &[u64] = &[
    // A send is told of a reset, and a receive then finds the end: what had not arrived by then never will.
    3_038_446, 3_088_810, 3_155_204, 3_248_402, 3_379_864,
    // A peer closes while something is still on its way to it.
    3_117_518, 3_395_311, // What a peer writes is late where it is unwelcome.
    3_137_892,
];

#[test]
fn seeds_that_once_differed() {
    let hosts = Hosts::new(Family::Tcp).unwrap();
    for &seed in SEEDS {
        let case = Case::run(&Script::undisturbed_of_seed(seed, Family::Tcp), &hosts).unwrap();
        assert_eq!(case.difference, None, "seed {seed}\n{}", case.history);
    }
}

fn send(bytes: usize) -> Step {
    Step::Send { at: 0, pieces: vec![bytes] }
}

#[test]
fn what_had_not_arrived_before_a_reset_is_lost() {
    // Of 4,936 bytes 4,096 fit into the window, and the rest waits.
    let steps =
        [Step::Adopt, write(4936), Step::PeerReset { at: 0 }, send(151), Step::Drain { at: 0, piece: 64 }];
    let history = scene(Family::Tcp, true, &steps);
    let receives = answers(&history, "recv");
    let received: usize = receives
        .iter()
        .map(|outcome| match outcome {
            Outcome::Transferred(count) => *count,
            _ => 0,
        })
        .sum();
    assert_eq!(failure(answers(&history, "send")[0]), Some(SystemErrorKind::ConnectionReset), "{history}");
    assert!((1..4936).contains(&received), "{history}");
    assert_eq!(receives.last(), Some(&Outcome::Transferred(0)), "{history}");
}

#[test]
fn a_peer_that_closes_before_the_last_small_packet_comes_resets_nothing_yet() {
    let steps = [
        Step::Adopt,
        send(8),
        // The peer's end has to wait until there is room for it, and its acknowledgement with it.
        Step::PeerFill { at: 0 },
        send(14),
        send(41),
        Step::PeerRead { at: 0, bytes: 4492 },
        Step::PeerClose { at: 0 },
        Step::Wait,
    ];
    let history = scene_of(&Script { nagle: true, ..script(Family::Tcp, true, &steps) });
    let [PeerSaw::Bytes(read)] = peer_saw(&history, "peer reads")[..] else {
        panic!("it reads once\n{history}")
    };
    assert!(read < 8 + 14 + 41, "a packet waits for those before:\n{history}");
    assert!(!told(&history, 0, FIRST).intersects(Readiness::ERROR), "{history}");
}

#[test]
fn what_comes_to_where_it_is_unwelcome_may_come_late() {
    let steps = [
        Step::Connect,
        // Asks whether the connection is there.
        recv(1),
        write(3),
        // This end's has to wait behind megabytes, and no acknowledgement leaves without it.
        Step::Fill { at: 0, piece: 8192 },
        write(1),
        recv(59),
        Step::Close { at: 0 },
        write(3045),
        write(2),
    ];
    let history = scene_of(&Script { nagle: true, ..script(Family::Tcp, true, &steps) });
    // The fourth is taken, so the third has not yet come to where it would have been answered by a reset.
    assert_eq!(peer_saw(&history, "peer writes"), [3, 1, 3045, 2].map(PeerSaw::Bytes), "{history}");
}

#[test]
fn what_had_not_arrived_before_this_end_reset_is_lost() {
    let read = Step::PeerRead { at: 0, bytes: 16 << 10 };
    let steps = [
        Step::Adopt,
        write(343),
        Step::Wait,
        send(20_000),
        // With bytes unread that is a reset.
        Step::Close { at: 0 },
        read.clone(),
        read.clone(),
        read,
    ];
    let history = scene(Family::Tcp, true, &steps);
    let [Outcome::Transferred(sent)] = answers(&history, "send")[..] else { panic!("it sends\n{history}") };
    let saw = peer_saw(&history, "peer reads");
    assert!(matches!(saw[0], PeerSaw::Bytes(read) if read < sent), "{history}");
    assert_eq!(saw[1..], [PeerSaw::Failed(SystemErrorKind::ConnectionReset), PeerSaw::End], "{history}");
}

#[test]
fn what_did_not_fit_into_the_window_is_lost_to_a_reset_that_no_call_reports() {
    // The peer closes with 5 bytes unread, which resets the connection at once.
    let unread = [send(5), write(9764), Step::Wait, Step::PeerClose { at: 0 }];
    // The peer closes cleanly, and the 5 bytes that arrive after that cause the reset.
    let unwelcome = [write(9764), Step::Wait, Step::PeerClose { at: 0 }, send(5)];
    for before in [unread, unwelcome] {
        let ends = [Step::Discard { at: 0 }, Step::Abort { at: 0 }];
        let history = scene(Family::Tcp, true, &[&[Step::Adopt][..], &before, &ends].concat());
        let [PeerSaw::Bytes(written)] = peer_saw(&history, "peer writes")[..] else {
            panic!("it writes once\n{history}")
        };
        let [Outcome::Transferred(received)] = answers(&history, "discard")[..] else {
            panic!("it receives once\n{history}")
        };
        assert!((1..written).contains(&received), "the window was full:\n{history}");
    }
}

/// What a peer was told, when it did things of one kind.
fn peer_saw(history: &History, kind: &str) -> Vec<PeerSaw> {
    let of_kind = history.deeds.iter().filter(|(deed, _)| deed.kind() == kind);
    let saw = of_kind.filter_map(|(_, seen)| match seen {
        Seen::Peer(saw) => Some(*saw),
        _ => None,
    });
    saw.collect()
}
