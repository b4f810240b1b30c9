//! Scenes: what the model relies on, on real sockets.

use aio_model::{Direction, Outcome, Readiness, SystemErrorKind};
use tests::conformance::{Name, Step};
use tests::pair::Family;

use crate::{END, FIRST, answers, arrivals_are_told, failure, recv, scene, told, write};

#[test]
fn new_data_after_a_short_receive_is_a_new_event() {
    for family in Family::ALL {
        let steps = [Step::Adopt, Step::Wait, write(3), Step::Wait, recv(8), write(3), Step::Wait];
        let history = scene(family, false, &steps);
        let again = told(&history, 2, FIRST).intersects(Readiness::READABLE);
        assert_eq!(again, arrivals_are_told(), "{family:?}\n{history}");
    }
}

#[test]
fn new_data_behind_unread_data_is_a_new_event() {
    for family in Family::ALL {
        let history = scene(family, false, &[Step::Adopt, write(3), Step::Wait, write(3), Step::Wait]);
        let again = told(&history, 1, FIRST).intersects(Readiness::READABLE);
        assert_eq!(again, arrivals_are_told(), "{family:?}\n{history}");
    }
}

#[test]
fn polls_and_peeks_say_what_there_is_and_take_nothing() {
    let (poll, peek) = (Step::Poll { at: 0, direction: Direction::Receive }, Step::Peek { at: 0 });
    for family in Family::ALL {
        let steps = [
            [Step::Adopt, Step::Wait, poll.clone(), peek.clone()],
            [write(3), Step::Wait, poll.clone(), peek.clone()],
            [poll.clone(), peek.clone(), recv(3), poll.clone()],
            [peek.clone(), write(1), Step::Wait, recv(8)],
            [Step::PeerShutdown { at: 0 }, Step::Wait, poll.clone(), peek.clone()],
        ];
        let history = scene(family, false, &steps.concat());
        let (done, blocked) = (Outcome::Done, Outcome::WouldBlock);
        assert_eq!(answers(&history, "poll, to receive"), [blocked, done, done, blocked, done], "{family:?}");
        let [none, one, end] = [blocked, Outcome::Transferred(1), Outcome::Transferred(0)];
        assert_eq!(answers(&history, "peek"), [none, one, one, none, end], "{family:?}");
        // Whatever the engine: where nothing is found, the next event is asked for.
        for nth in [1, 2] {
            assert!(told(&history, nth, FIRST).intersects(Readiness::READABLE), "{family:?}\n{history}");
        }
    }
}

#[test]
fn a_poll_that_finds_no_room_is_told_when_there_is() {
    let poll = Step::Poll { at: 0, direction: Direction::Send };
    for family in Family::ALL {
        // The send that would have blocked asks for the event first; the poll leaves it asked for.
        let fill = Step::Fill { at: 0, piece: 1 << 15 };
        let steps = [Step::Adopt, Step::Wait, poll.clone(), fill, poll.clone(), Step::PeerDrain { at: 0 }];
        let history = scene(family, true, &[&steps[..], &[Step::Wait, poll.clone()]].concat());
        let [Outcome::Done, Outcome::WouldBlock, Outcome::Done] = answers(&history, "poll, to send")[..]
        else {
            panic!("{family:?}\n{history}")
        };
        assert!(told(&history, 1, FIRST).intersects(Readiness::WRITABLE), "{family:?}\n{history}");
    }
}

#[test]
fn what_a_receive_left_behind_is_no_new_event() {
    for family in Family::ALL {
        let history = scene(family, false, &[Step::Adopt, write(8), Step::Wait, recv(3), Step::Wait]);
        assert_eq!(told(&history, 1, FIRST), Readiness::NONE, "{family:?}\n{history}");
    }
}

#[test]
fn an_end_behind_a_short_receive_is_a_new_event() {
    for family in Family::ALL {
        let end = Step::PeerShutdown { at: 0 };
        let history = scene(family, false, &[Step::Adopt, write(3), Step::Wait, end, recv(8), Step::Wait]);
        // Over poll(2), too: mio goes on asking for it when it has reported the data.
        assert!(told(&history, 1, FIRST).intersects(END), "{family:?}\n{history}");
    }
}

#[test]
fn data_and_the_end_are_one_event() {
    for family in Family::ALL {
        let end = Step::PeerShutdown { at: 0 };
        let history =
            scene(family, false, &[Step::Adopt, write(3), end, Step::Wait, recv(8), recv(8), recv(8)]);
        assert!(told(&history, 0, FIRST).intersects(END), "{family:?}\n{history}");
        let [first, then @ ..] = &answers(&history, "recv")[..] else { panic!("it received") };
        assert!(matches!(first, Outcome::Transferred(3) | Outcome::Partial(3)));
        assert_eq!(then, [Outcome::Transferred(0), Outcome::Transferred(0)]);
    }
}

#[test]
fn room_after_a_send_that_found_too_little_is_an_event() {
    for family in Family::ALL {
        let steps = [
            Step::Adopt,
            Step::Wait,
            Step::Fill { at: 0, piece: 4096 },
            Step::Wait,
            Step::PeerDrain { at: 0 },
            Step::Wait,
        ];
        let history = scene(family, true, &steps);
        assert!(!told(&history, 1, FIRST).wakes_send(), "{family:?}\n{history}");
        assert!(told(&history, 2, FIRST).wakes_send(), "{family:?}\n{history}");
    }
}

#[test]
fn what_had_arrived_before_a_reset_is_received_and_then_the_reset_once() {
    let reset = Step::PeerReset { at: 0 };
    let steps = [Step::Adopt, write(3), reset, Step::Wait, recv(8), recv(8), recv(8), Step::Wait];
    let history = scene(Family::Tcp, false, &steps);
    assert!(told(&history, 0, FIRST).intersects(Readiness::ERROR), "{history}");
    let [first, second, third] = answers(&history, "recv")[..] else { panic!("three receives") };
    assert_eq!((first, third), (Outcome::Transferred(3), Outcome::Transferred(0)));
    assert_eq!(failure(second), Some(SystemErrorKind::ConnectionReset));
}

#[test]
fn a_peer_that_closes_with_bytes_unread_is_an_error_to_receives() {
    for family in Family::ALL {
        let send = Step::Send { at: 0, pieces: vec![5] };
        let steps =
            [Step::Adopt, send.clone(), Step::PeerClose { at: 0 }, Step::Wait, send, recv(8), recv(8)];
        let history = scene(family, false, &steps);
        let sends = answers(&history, "send");
        let receives = answers(&history, "recv");
        let kinds = [failure(sends[1]), failure(receives[0]), failure(receives[1])];
        let expected = match family {
            // The send is told, and nobody after it.
            Family::Tcp | Family::Tcp6 => [Some(SystemErrorKind::ConnectionReset), None, None],
            // A send is a broken pipe in any case, and leaves the error to the receive.
            Family::Unix => [Some(SystemErrorKind::BrokenPipe), Some(SystemErrorKind::ConnectionReset), None],
        };
        assert_eq!(kinds, expected, "{family:?}\n{history}");
    }
}

#[test]
fn ends_both_ways_are_the_end_of_both_directions() {
    for family in Family::ALL {
        let steps = [Step::Adopt, Step::PeerShutdown { at: 0 }, Step::Shutdown { at: 0 }, Step::Wait];
        let readiness = told(&scene(family, false, &steps), 0, FIRST);
        assert!(readiness.intersects(END) && readiness.intersects(Readiness::WRITE_CLOSED), "{family:?}");
    }
}

#[test]
fn a_reset_does_not_reach_what_has_ended_both_ways() {
    let ends = [Step::PeerShutdown { at: 0 }, Step::Shutdown { at: 0 }];
    let steps =
        [Step::Adopt, ends[0].clone(), ends[1].clone(), Step::PeerReset { at: 0 }, Step::Wait, recv(8)];
    let history = scene(Family::Tcp, false, &steps);
    assert!(!told(&history, 0, FIRST).intersects(Readiness::ERROR), "{history}");
    assert_eq!(answers(&history, "recv"), [Outcome::Transferred(0)]);
}

#[test]
fn a_refused_connect_is_an_event_and_then_an_error() {
    for family in Family::ALL {
        let history = scene(family, false, &[Step::ConnectNobody, Step::Wait, recv(1)]);
        let mut answers = answers(&history, "connect");
        if answers == [Outcome::WouldBlock] {
            assert!(told(&history, 0, FIRST).wakes_send(), "{history}");
            answers = self::answers(&history, "connect, again");
        }
        assert_eq!(failure(answers[0]), Some(SystemErrorKind::ConnectionRefused), "{history}");
    }
}

#[test]
fn one_event_stands_for_all_who_wait_to_be_accepted() {
    for family in Family::ALL {
        let mut steps = vec![Step::PeerConnect; 3];
        steps.push(Step::Wait);
        steps.extend(vec![Step::Accept; 4]);
        steps.extend([Step::Wait, Step::PeerConnect, Step::Wait]);
        let history = scene(family, false, &steps);
        assert!(told(&history, 0, Name::Listener).wakes_receive(), "{family:?}");
        let expected = [Outcome::Done, Outcome::Done, Outcome::Done, Outcome::WouldBlock];
        assert_eq!(answers(&history, "accept"), expected, "{family:?}");
        assert!(!told(&history, 1, Name::Listener).wakes_receive(), "{family:?}\n{history}");
        assert!(told(&history, 2, Name::Listener).wakes_receive(), "{family:?}\n{history}");
    }
}

#[test]
fn who_has_gone_before_the_accept_is_accepted_all_the_same() {
    for family in Family::ALL {
        let steps = [
            Step::PeerConnect,
            write(3),
            Step::PeerVanish { reset: true },
            Step::Wait,
            Step::Accept,
            recv(8),
        ];
        let history = scene(family, false, &steps);
        assert_eq!(answers(&history, "accept"), [Outcome::Done], "{family:?}");
    }
}
