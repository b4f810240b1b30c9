//! Whatever the kernel does the simulator can do: random scripts, scenes that the model relies on, and canaries.
//!
//! Many more scripts: `cargo run --release -p tests --bin conformance`.

use std::time::Duration;

use aio_model::{Outcome, Readiness, SystemErrorKind};
use sim::EngineKind;
use tests::conformance::real::play_with;
use tests::conformance::{
    Case, Deed, History, Hosts, Name, PeerSaw, Script, Seen, Step, campaign, follow, play, shorten, shrink,
};
use tests::pair::Family;

/// How many scripts of each family; few, as this is a test among others.
const SCRIPTS: u64 = 600;

const END: Readiness = Readiness::READ_CLOSED;

/// The same for everybody, unless the environment says otherwise.
fn first_seed() -> u64 {
    let given = std::env::var("CONFORMANCE_SEED").ok();
    given.map_or(1, |seed| seed.parse().expect("CONFORMANCE_SEED is a number"))
}

fn random_scripts(family: Family) {
    let hosts = Hosts::new(family).unwrap();
    for seed in (0..SCRIPTS).map(|number| first_seed().wrapping_add(number)) {
        let script = Script::of_seed(seed, family);
        if let Some(difference) = Case::run(&script, &hosts).unwrap().difference {
            let (script, case) = shrink(&script, &hosts).unwrap();
            let history = case.map(|case| case.history.to_string());
            panic!(
                "{difference}\n{script:#?}\n{}\nto see it again: cargo run --release -p tests --bin conformance -- \
                 --family {} --seed {seed} --scripts 1",
                history.unwrap_or_default(),
                format!("{family:?}").to_lowercase(),
            );
        }
    }
}

#[test]
fn random_scripts_over_tcp() {
    random_scripts(Family::Tcp);
}

#[test]
fn random_scripts_over_unix_sockets() {
    random_scripts(Family::Unix);
}

fn script(family: Family, narrow: bool, steps: &[Step]) -> Script {
    Script { family, narrow, nagle: false, steps: steps.to_vec() }
}

/// Plays steps, and has the simulator follow.
fn scene(family: Family, narrow: bool, steps: &[Step]) -> History {
    let history = play(&script(family, narrow, steps), &Hosts::new(family).unwrap()).unwrap();
    let followed = follow(&history, campaign::engine().unwrap());
    assert_eq!(followed.err(), None, "{history}");
    history
}

/// What the `nth` wait told of the first connection.
fn told(history: &History, nth: usize, name: Name) -> Readiness {
    let waits = history.deeds.iter().filter_map(|(_, seen)| match seen {
        Seen::Events(events) => Some(events),
        _ => None,
    });
    let events = waits.into_iter().nth(nth).expect("there are as many waits");
    let of = events.iter().filter(|(of, _)| *of == name);
    of.fold(Readiness::NONE, |sum, (_, readiness)| sum | *readiness)
}

const FIRST: Name = Name::Conn(0);

/// The answers to the calls of one kind.
fn answers(history: &History, kind: &str) -> Vec<Outcome> {
    let of_kind = history.deeds.iter().filter(|(deed, _)| deed.kind() == kind);
    let outcomes = of_kind.filter_map(|(_, seen)| match seen {
        Seen::Outcome(outcome) => Some(*outcome),
        _ => None,
    });
    outcomes.collect()
}

fn failure(outcome: Outcome) -> Option<SystemErrorKind> {
    match outcome {
        Outcome::Failed(error) => Some(error.kind()),
        _ => None,
    }
}

fn recv(bytes: usize) -> Step {
    Step::Recv { at: 0, pieces: vec![bytes] }
}

fn write(bytes: usize) -> Step {
    Step::PeerWrite { at: 0, bytes }
}

/// Whether the model is told of arrivals, and not only after an attempt that would have blocked.
fn arrivals_are_told() -> bool {
    campaign::engine().unwrap() == EngineKind::Epoll
}

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
            Family::Tcp => [Some(SystemErrorKind::ConnectionReset), None, None],
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
        let history = scene(family, false, &[Step::DialNobody, Step::Wait, recv(1)]);
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

/// What is wrong with a history, if it is changed like that, must be noticed.
fn canary(what: &str, steps: &[Step], change: impl Fn(&Deed, &mut Seen) -> bool) {
    for family in Family::ALL {
        let mut history = scene(family, false, steps);
        let changed = history.deeds.iter_mut().any(|(deed, seen)| change(deed, seen));
        assert!(changed, "{what}, {family:?}: nothing to change in\n{history}");
        let followed = follow(&history, campaign::engine().unwrap());
        assert!(followed.is_err(), "{what}, {family:?}: not noticed in\n{history}");
    }
}

/// Changes the first answer that is like `from`.
fn answer(from: fn(Outcome) -> bool, to: Outcome) -> impl Fn(&Deed, &mut Seen) -> bool {
    move |_, seen| match seen {
        Seen::Outcome(outcome) if from(*outcome) => {
            *outcome = to;
            true
        }
        _ => false,
    }
}

#[test]
fn canaries_of_answers() {
    let end = [Step::Adopt, write(3), Step::PeerShutdown { at: 0 }, Step::Wait, recv(8), recv(8)];
    let is_end = |outcome| outcome == Outcome::Transferred(0);
    canary("no end", &end, answer(is_end, Outcome::WouldBlock));
    let full = [Step::Adopt, write(8), recv(8), Step::Wait];
    let is_full = |outcome| outcome == Outcome::Transferred(8);
    canary("an early end", &full, answer(is_full, Outcome::Transferred(0)));
    let more = [Step::Adopt, write(3), recv(3), recv(8), Step::Wait];
    canary(
        "bytes from nowhere",
        &more,
        answer(|outcome| outcome == Outcome::WouldBlock, Outcome::Transferred(8)),
    );
    let none = [Step::Adopt, Step::Accept, Step::PeerConnect, Step::Accept, Step::Accept];
    canary("nobody is accepted", &none, answer(|outcome| outcome == Outcome::WouldBlock, Outcome::Done));
    let unread = [Step::Adopt, Step::Send { at: 0, pieces: vec![5] }, Step::PeerClose { at: 0 }, recv(8)];
    let is_failure = |outcome| failure(outcome).is_some();
    canary("a reset that is none", &unread, answer(is_failure, Outcome::Transferred(0)));
    let again = [Step::Adopt, Step::Shutdown { at: 0 }];
    let fails = Outcome::Failed(aio_model::SystemError::new(SystemErrorKind::NotConnected, 107));
    canary("a shutdown that fails", &again, answer(|outcome| outcome == Outcome::Done, fails));
}

#[test]
fn canaries_of_peers() {
    let drain = [Step::Adopt, Step::Send { at: 0, pieces: vec![5] }, Step::PeerDrain { at: 0 }];
    canary("a peer reads what was not sent", &drain, |_, seen| {
        let reads = *seen == Seen::Peer(PeerSaw::Bytes(5));
        if reads {
            *seen = Seen::Peer(PeerSaw::Bytes(6));
        }
        reads
    });
    canary("a peer's end from nowhere", &drain, |deed, seen| {
        let nothing = matches!(deed, Deed::PeerRead(..)) && *seen == Seen::Peer(PeerSaw::Nothing);
        if nothing {
            *seen = Seen::Peer(PeerSaw::End);
        }
        nothing
    });
}

fn is_end(event: &(Name, Readiness)) -> bool {
    event.1.intersects(END)
}

#[test]
fn canaries_of_events() {
    let steps = [Step::Adopt, Step::Wait, write(3), Step::PeerShutdown { at: 0 }, Step::Wait];
    let events = |change: fn(&mut Vec<(Name, Readiness)>) -> bool| {
        move |_: &Deed, seen: &mut Seen| match seen {
            Seen::Events(events) => change(events),
            _ => false,
        }
    };
    canary(
        "an event is lost",
        &steps,
        events(|events| {
            let count = events.len();
            events.retain(|event| !is_end(event));
            events.len() < count
        }),
    );
    // Over poll(2) an event may say less than that: READABLE is enough to find out.
    if arrivals_are_told() {
        canary(
            "an event does not say that it is the end",
            &steps,
            events(|events| {
                let ends = events.iter_mut().filter(|event| is_end(event));
                ends.map(|event| event.1 = Readiness::READABLE).count() > 0
            }),
        );
    }
    canary(
        "an error from nowhere",
        &steps,
        events(|events| events.iter_mut().map(|event| event.1 |= Readiness::ERROR).count() > 0),
    );
    canary(
        "readable with nothing to read",
        &[Step::Adopt, Step::Wait],
        events(|events| events.iter_mut().map(|event| event.1 |= Readiness::READABLE).count() > 0),
    );
}

/// The promise that is asked of the kernel itself: an event that is lost on its way is one that never comes.
#[test]
fn canary_of_the_promise() {
    for family in Family::ALL {
        let hosts = Hosts::new(family).unwrap();
        let steps = [Step::Adopt, Step::Wait, recv(8), write(3), Step::Wait];
        let script = script(family, false, &steps);
        let mut waits = 0;
        let history = play_with(&script, &hosts, Duration::from_millis(20), &mut |events| {
            waits += 1;
            if waits == 2 {
                events.clear();
            }
        });
        let history = history.unwrap();
        let Some((_, what)) = history.broken.first() else { panic!("a promise is broken:\n{history}") };
        assert_eq!(what, "Conn(0) is ready to Receive, and no event says so");
        assert!(follow(&history, campaign::engine().unwrap()).is_err());
    }
}

#[test]
fn scripts_are_made_as_short_as_what_is_wrong_with_them() {
    // As if it were wrong to receive after a wait: what the rest of the script does is beside the point.
    let mut long = Script::of_seed(7, Family::Tcp);
    long.steps.extend([write(3), Step::Wait, Step::Shutdown { at: 0 }, recv(8), Step::Wait]);
    let (short, _) = shorten(&long, |script| {
        let waits = script.steps.iter().position(|step| *step == Step::Wait);
        let rest = waits.map_or(&[][..], |waits| &script.steps[waits..]);
        Ok(rest.contains(&recv(8)).then_some(()))
    })
    .unwrap();
    assert_eq!(short.steps, [Step::Wait, recv(8)]);
}
