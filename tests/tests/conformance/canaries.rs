//! Canaries: a kernel, or a history of it, that lies, and must be found out.

use std::time::Duration;

use aio_model::{Direction, Outcome, Readiness, SystemErrorKind};
use tests::conformance::real::play_with;
use tests::conformance::{Deed, Hosts, Name, PeerSaw, Seen, Step, campaign, follow};
use tests::pair::Family;

use crate::{END, arrivals_are_told, failure, recv, scene, script, write};

/// What is wrong with a history, if it is changed like that, must be noticed. Where buffers are narrow, it
/// must be noticed by one who may guess when things came.
fn is_noticed(
    family: Family,
    narrow: bool,
    what: &str,
    steps: &[Step],
    change: &dyn Fn(&Deed, &mut Seen) -> bool,
) {
    let mut history = scene(family, narrow, steps);
    let changed = history.deeds.iter_mut().any(|(deed, seen)| change(deed, seen));
    assert!(changed, "{what}, {family:?}: nothing to change in\n{history}");
    let followed = follow(&history, campaign::engine().unwrap());
    assert!(followed.is_err(), "{what}, {family:?}, narrow: {narrow}: not noticed in\n{history}");
}

/// The same, on every kind of sockets.
fn canary(what: &str, steps: &[Step], change: impl Fn(&Deed, &mut Seen) -> bool) {
    for family in Family::ALL {
        [false, true].into_iter().for_each(|narrow| is_noticed(family, narrow, what, steps, &change));
    }
}

/// Of what would be no wonder if it could be late.
fn canary_of_the_prompt(what: &str, steps: &[Step], change: impl Fn(&Deed, &mut Seen) -> bool) {
    Family::ALL.into_iter().for_each(|family| is_noticed(family, false, what, steps, &change));
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
fn canaries_of_polls_and_peeks() {
    let poll = |direction| Step::Poll { at: 0, direction };
    let peek = Step::Peek { at: 0 };
    let (done, blocked) = (Outcome::Done, Outcome::WouldBlock);
    let nothing = [Step::Adopt, poll(Direction::Receive), Step::Wait];
    canary(
        "a poll that finds what nobody sent",
        &nothing,
        answer(|outcome| outcome == Outcome::WouldBlock, done),
    );
    let unread = [Step::Adopt, write(3), Step::Wait, poll(Direction::Receive), recv(8)];
    canary("a poll that misses bytes", &unread, answer(|outcome| outcome == Outcome::Done, blocked));
    let room = [Step::Adopt, Step::Wait, poll(Direction::Send), Step::Wait];
    canary(
        "a poll that finds no room, and is never told",
        &room,
        answer(|outcome| outcome == Outcome::Done, blocked),
    );
    let none = [Step::Adopt, peek.clone(), Step::Wait];
    canary(
        "a byte from nowhere, left there",
        &none,
        answer(|outcome| outcome == Outcome::WouldBlock, Outcome::Transferred(1)),
    );
    let end = [Step::Adopt, Step::PeerShutdown { at: 0 }, Step::Wait, peek];
    let is_end = |outcome| outcome == Outcome::Transferred(0);
    canary("a peek that takes the end for a byte", &end, answer(is_end, Outcome::Transferred(1)));
    canary("a peek that misses the end", &end, answer(is_end, blocked));
}

#[test]
fn canaries_of_errors_that_are_told_once() {
    let ask = Step::AskError { at: 0 };
    let unread = [Step::Adopt, Step::Send { at: 0, pieces: vec![5] }, Step::PeerClose { at: 0 }];
    let error = |from: Option<SystemErrorKind>, to: Option<SystemErrorKind>| {
        move |_: &Deed, seen: &mut Seen| {
            let is = *seen == Seen::Error(from);
            if is {
                *seen = Seen::Error(to);
            }
            is
        }
    };
    let (reset, pipe) = (Some(SystemErrorKind::ConnectionReset), Some(SystemErrorKind::BrokenPipe));
    let asked = [&unread[..], &[Step::Wait, ask.clone(), recv(8)]].concat();
    canary("an error that is told to nobody", &asked, error(reset, None));
    canary_of_the_prompt("an error that is another one", &asked, error(reset, pipe));
    let twice = [&unread[..], &[Step::Wait, recv(8), ask.clone()]].concat();
    canary("an error that is told twice", &twice, error(None, reset));
    let healthy = [Step::Adopt, write(3), recv(8), ask, Step::Wait];
    canary("an error without a cause, by SO_ERROR", &healthy, error(None, reset));
    let after = [&unread[..], &[Step::Wait, Step::AskError { at: 0 }, recv(8)]].concat();
    let fails = Outcome::Failed(aio_model::SystemError::new(SystemErrorKind::ConnectionReset, 104));
    canary(
        "a receive is told what another has consumed",
        &after,
        answer(|outcome| outcome == Outcome::Transferred(0), fails),
    );
}

#[test]
fn canary_of_a_close_with_a_reset() {
    let reads = Step::PeerRead { at: 0, bytes: 8 };
    let steps = [Step::Adopt, Step::Abort { at: 0 }, reads];
    for lie in [PeerSaw::Nothing, PeerSaw::End, PeerSaw::Failed(SystemErrorKind::BrokenPipe)] {
        let hears = |_: &Deed, seen: &mut Seen| {
            let is_reset = *seen == Seen::Peer(PeerSaw::Failed(SystemErrorKind::ConnectionReset));
            if is_reset {
                *seen = Seen::Peer(lie);
            }
            is_reset
        };
        [false, true].into_iter().for_each(|narrow| {
            is_noticed(Family::Tcp, narrow, "a reset that the peer takes for something else", &steps, &hears);
        });
    }
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
    let sees_nothing = |_: &Deed, seen: &mut Seen| {
        let reads = *seen == Seen::Peer(PeerSaw::Bytes(5));
        if reads {
            *seen = Seen::Peer(PeerSaw::Nothing);
        }
        reads
    };
    let sent = [Step::Adopt, Step::Send { at: 0, pieces: vec![5] }, Step::PeerRead { at: 0, bytes: 8 }];
    canary_of_the_prompt("what was sent is late, with nothing to wait for", &sent, sees_nothing);
    let reset = [
        Step::Adopt,
        write(3),
        Step::Wait,
        Step::Send { at: 0, pieces: vec![5] },
        Step::Close { at: 0 },
        Step::PeerRead { at: 0, bytes: 8 },
    ];
    canary_of_the_prompt("a reset overtakes what has arrived", &reset, |_, seen| {
        let reads = *seen == Seen::Peer(PeerSaw::Bytes(5));
        if reads {
            *seen = Seen::Peer(PeerSaw::Failed(SystemErrorKind::ConnectionReset));
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

/// What is late, or lost on its way, is not to be seen; but not everything can be explained by that.
#[test]
fn canaries_of_what_lags() {
    let send = Step::Send { at: 0, pieces: vec![5] };
    let lags = |what, steps: &[Step], change: &dyn Fn(&Deed, &mut Seen) -> bool| {
        is_noticed(Family::Tcp, true, what, steps, change);
    };
    let reset = Step::PeerReset { at: 0 };
    lags(
        "a reset takes what was told of",
        &[Step::Adopt, write(3), Step::Wait, reset, send.clone(), recv(8), recv(8)],
        &answer(|outcome| outcome == Outcome::Transferred(3), Outcome::Transferred(0)),
    );
    let closes = Step::PeerClose { at: 0 };
    // Over poll(2) nobody is owed that who has been told of both directions.
    if arrivals_are_told() {
        lags(
            "nobody is told of what was sent to a peer that has closed",
            &[Step::Adopt, Step::Wait, closes.clone(), Step::Wait, send.clone(), Step::Wait],
            &|_, seen| match seen {
                Seen::Events(events) => {
                    let count = events.len();
                    events.retain(|(_, readiness)| !readiness.intersects(Readiness::ERROR));
                    events.len() < count
                }
                _ => false,
            },
        );
    }
    let discard = Step::Discard { at: 0 };
    lags(
        "what a receive did not find before a reset is received after it",
        &[Step::Adopt, write(4936), Step::Wait, Step::PeerReset { at: 0 }, discard.clone(), discard],
        &answer(|outcome| failure(outcome).is_some(), Outcome::Transferred(840)),
    );
    lags(
        "a receive finds nothing of what was told of",
        &[Step::Adopt, write(3), Step::Wait, recv(8)],
        &answer(|outcome| outcome == Outcome::Transferred(3), Outcome::WouldBlock),
    );
    let hears = Step::PeerRead { at: 0, bytes: 8 };
    lags(
        "a peer that was reset writes on",
        &[Step::Adopt, Step::Close { at: 0 }, write(5), hears, write(5)],
        &|deed, seen| {
            let fails = matches!((deed, &seen), (Deed::PeerWrite(..), Seen::Peer(PeerSaw::Failed(_))));
            if fails {
                *seen = Seen::Peer(PeerSaw::Bytes(5));
            }
            fails
        },
    );
    let read = Step::PeerRead { at: 0, bytes: 16 << 10 };
    let much = Step::Send { at: 0, pieces: vec![20_000] };
    let resets = [Step::Adopt, write(343), Step::Wait, much, Step::Close { at: 0 }];
    lags(
        "what was lost to a reset is read after it was told",
        &[&resets[..], &[read.clone(), read.clone(), read]].concat(),
        &|_, seen| {
            let ends = *seen == Seen::Peer(PeerSaw::End);
            if ends {
                *seen = Seen::Peer(PeerSaw::Bytes(5));
            }
            ends
        },
    );
    lags(
        "a peer that has read everything resets",
        &[Step::Adopt, send, Step::PeerDrain { at: 0 }, closes, recv(8)],
        &answer(
            |outcome| outcome == Outcome::Transferred(0),
            Outcome::Failed(aio_model::SystemError::new(SystemErrorKind::ConnectionReset, 104)),
        ),
    );
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
