//! What others do: an error that another call has consumed, and another holder of a socket, which interrupts
//! or stalls this end.

use aio_model::{Outcome, Readiness, SystemErrorKind};
use tests::conformance::{Deed, History, Name, PeerSaw, Script, Seen, Step};
use tests::pair::Family;

use crate::{END, FIRST, answers, failure, recv, scene, scene_of, script, told, write};

const RESET: Option<SystemErrorKind> = Some(SystemErrorKind::ConnectionReset);
const BROKEN_PIPE: Option<SystemErrorKind> = Some(SystemErrorKind::BrokenPipe);

fn send() -> Step {
    Step::Send { at: 0, pieces: vec![5] }
}

fn ask() -> Step {
    Step::AskError { at: 0 }
}

/// What this end was told by its calls and by reads of `SO_ERROR`: the failure of each, in order;
/// none for an end of the stream.
fn failures(history: &History) -> Vec<Option<SystemErrorKind>> {
    let told = history.deeds.iter().filter_map(|(deed, seen)| match (deed, seen) {
        (Deed::Recv(..) | Deed::Send(..) | Deed::Discard(_) | Deed::Shutdown(_), Seen::Outcome(outcome)) => {
            Some(failure(*outcome))
        }
        (_, Seen::Error(error)) => Some(*error),
        (_, _) => None,
    });
    told.collect()
}

/// A connection whose peer does `breaks`, and then `calls` at this end.
fn broken_off(family: Family, breaks: &[Step], calls: &[Step]) -> Vec<Option<SystemErrorKind>> {
    let steps = [&[Step::Adopt][..], breaks, &[Step::Wait], calls].concat();
    failures(&scene(family, false, &steps))
}

#[test]
fn a_reset_is_told_to_whichever_call_comes_first() {
    let reset = [Step::PeerReset { at: 0 }];
    for family in [Family::Tcp, Family::Tcp6] {
        let told = |calls: &[Step]| broken_off(family, &reset, calls);
        assert_eq!(told(&[send(), recv(8), send()]), [RESET, None, BROKEN_PIPE], "{family:?}");
        assert_eq!(told(&[recv(8), send(), recv(8)]), [RESET, BROKEN_PIPE, None], "{family:?}");
        assert_eq!(told(&[ask(), recv(8), send(), ask()]), [RESET, None, BROKEN_PIPE, None], "{family:?}");
        assert_eq!(told(&[Step::Discard { at: 0 }, send(), ask()]), [RESET, BROKEN_PIPE, None], "{family:?}");
        // A shutdown is refused in any case, and leaves the error to the others.
        let shutdown = Step::Shutdown { at: 0 };
        let not_connected = Some(SystemErrorKind::NotConnected);
        assert_eq!(told(&[shutdown, recv(8), ask()]), [not_connected, RESET, None], "{family:?}");
    }
}

#[test]
fn what_had_arrived_before_the_reset_is_received_whichever_call_was_told() {
    for first in [send(), ask()] {
        let steps = [Step::Adopt, write(3), Step::PeerReset { at: 0 }, Step::Wait, first, recv(8), recv(8)];
        let history = scene(Family::Tcp, false, &steps);
        let receives = answers(&history, "recv");
        assert_eq!(receives, [Outcome::Transferred(3), Outcome::Transferred(0)], "{history}");
        assert_eq!(failures(&history)[0], RESET, "{history}");
    }
}

#[test]
fn a_reset_behind_the_end_is_a_broken_pipe_and_nothing_to_receives() {
    // What is sent to a peer that has closed comes back as a reset.
    let closed = [Step::PeerClose { at: 0 }, send()];
    let told = |calls: &[Step]| broken_off(Family::Tcp, &closed, calls)[1..].to_vec();
    assert_eq!(told(&[send(), recv(8), ask()]), [BROKEN_PIPE, None, None]);
    assert_eq!(told(&[recv(8), send(), ask()]), [None, BROKEN_PIPE, None]);
    // An error that nobody but a send is told: a receive does not even consume it.
    assert_eq!(told(&[recv(8), ask(), send()]), [None, BROKEN_PIPE, BROKEN_PIPE]);
}

#[test]
fn a_unix_socket_tells_its_receives_alone() {
    // Closed with something unread.
    let closed = [send(), Step::PeerClose { at: 0 }];
    let told = |calls: &[Step]| broken_off(Family::Unix, &closed, calls)[1..].to_vec();
    assert_eq!(told(&[send(), recv(8), recv(8)]), [BROKEN_PIPE, RESET, None]);
    assert_eq!(told(&[recv(8), send(), ask()]), [RESET, BROKEN_PIPE, None]);
    assert_eq!(told(&[ask(), recv(8), send()]), [RESET, None, BROKEN_PIPE]);
}

#[test]
fn an_error_that_another_has_taken_is_an_error_to_events_no_more() {
    let steps = [Step::Adopt, Step::PeerReset { at: 0 }, ask(), Step::Wait, recv(8)];
    let history = scene(Family::Tcp, false, &steps);
    let readiness = told(&history, 0, FIRST);
    assert!(readiness.intersects(END) && !readiness.intersects(Readiness::ERROR), "{history}");
    assert_eq!(answers(&history, "recv"), [Outcome::Transferred(0)], "{history}");
}

#[test]
fn a_reset_while_both_ends_are_under_way_is_left_to_the_first_call() {
    // This end waits behind what the peer does not read.
    let steps = [
        Step::Adopt,
        Step::PeerShutdown { at: 0 },
        Step::Fill { at: 0, piece: 1024 },
        Step::Shutdown { at: 0 },
        Step::PeerReset { at: 0 },
        recv(8),
        ask(),
    ];
    let history = scene(Family::Tcp, true, &steps);
    assert_eq!(failures(&history).into_iter().rev().take(2).collect::<Vec<_>>(), [RESET, None], "{history}");
}

#[test]
fn signals_interrupt_waits_and_lose_nothing() {
    for family in Family::ALL {
        let mut steps = vec![Step::Adopt, Step::Wait];
        // Asleep with nothing to wake it but signals, then with something at hand.
        for _ in 0..5 {
            steps.extend([Step::Nap, write(3), Step::Nap, recv(8), recv(8)]);
        }
        steps.extend([Step::PeerShutdown { at: 0 }, Step::Nap, recv(8)]);
        let history = scene_of(&Script { signals: true, ..script(family, false, &steps) });
        let received: Vec<_> = answers(&history, "recv")
            .into_iter()
            .filter(|outcome| matches!(outcome, Outcome::Transferred(3) | Outcome::Partial(3)))
            .collect();
        assert_eq!(received.len(), 5, "{family:?}\n{history}");
        assert_eq!(answers(&history, "recv").last(), Some(&Outcome::Transferred(0)), "{family:?}\n{history}");
    }
}

#[test]
fn what_came_during_a_stall_is_one_event_and_all_there() {
    for family in Family::ALL {
        let stall = Step::Stall { millis: 2 };
        let steps = [
            Step::Adopt,
            Step::Wait,
            recv(8),
            write(3),
            stall.clone(),
            write(4),
            Step::PeerShutdown { at: 0 },
            stall,
            Step::Wait,
            Step::Drain { at: 0, piece: 64 },
        ];
        let history = scene(family, false, &steps);
        assert!(told(&history, 1, FIRST).intersects(END), "{family:?}\n{history}");
        let [.., all, end] = answers(&history, "recv")[..] else { panic!("it receives\n{history}") };
        assert!(matches!(all, Outcome::Transferred(7) | Outcome::Partial(7)), "{family:?}\n{history}");
        assert_eq!(end, Outcome::Transferred(0), "{family:?}\n{history}");
    }
}

#[test]
fn sockets_that_another_makes_blocking_make_no_call_of_ours_block() {
    for family in Family::ALL {
        let block = Step::Block { at: 0 };
        let steps = [
            Step::Adopt,
            block.clone(),
            recv(8),
            Step::Recv { at: 0, pieces: vec![8, 8] },
            Step::Discard { at: 0 },
            Step::Fill { at: 0, piece: 8192 },
            Step::Send { at: 0, pieces: vec![8192, 8192] },
            Step::Wait,
            Step::PeerDrain { at: 0 },
            Step::Wait,
            block,
            Step::Nap,
        ];
        let history = scene(family, true, &steps);
        for kind in ["recv", "recv, vectored", "discard"] {
            assert_eq!(answers(&history, kind), [Outcome::WouldBlock], "{family:?}\n{history}");
        }
        let full = [answers(&history, "send"), answers(&history, "send, vectored")];
        assert!(full.iter().all(|sends| sends.last() == Some(&Outcome::WouldBlock)), "{family:?}\n{history}");
        assert!(told(&history, 1, FIRST).wakes_send(), "{family:?}\n{history}");
    }
}

#[test]
fn a_listener_that_another_makes_blocking_makes_no_accept_block() {
    for family in Family::ALL {
        let steps = [
            Step::PeerConnect,
            Step::BlockListener,
            Step::Accept,
            Step::BlockListener,
            Step::Accept,
            Step::Wait,
            Step::PeerConnect,
            Step::Wait,
            Step::Accept,
        ];
        let history = scene(family, false, &steps);
        let expected = [Outcome::Done, Outcome::WouldBlock, Outcome::Done];
        assert_eq!(answers(&history, "accept"), expected, "{family:?}\n{history}");
        assert!(told(&history, 1, Name::Listener).wakes_receive(), "{family:?}\n{history}");
    }
}

#[test]
fn a_close_with_a_reset_is_one_to_the_peer_and_on_a_unix_socket_an_end() {
    let read = Step::PeerRead { at: 0, bytes: 64 };
    let steps = [Step::Adopt, send(), Step::Abort { at: 0 }, read.clone(), read.clone(), read];
    for family in Family::ALL {
        let history = scene(family, false, &steps);
        let reads: Vec<_> = history.deeds.iter().filter(|(deed, _)| deed.kind() == "peer reads").collect();
        let reads: Vec<_> = reads.into_iter().map(|(_, seen)| seen.clone()).collect();
        let second = match family {
            Family::Unix => PeerSaw::End,
            _ => PeerSaw::Failed(SystemErrorKind::ConnectionReset),
        };
        let expected = [PeerSaw::Bytes(5), second, PeerSaw::End].map(Seen::Peer);
        assert_eq!(reads, expected, "{family:?}\n{history}");
    }
}
