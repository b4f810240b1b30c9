//! Time, sleeping and waking.

use std::thread;
use std::time::Duration;

use aio_model::{Instant, System, Wake};
use aio_sys::{Os, OsWaker, Socket};

use crate::rig::{EVENTS_MAX, Rig};

const fn assert_send<T: Send>() {}
const fn assert_sync<T: Sync>() {}
const _: () = {
    assert_send::<Os>();
    assert_send::<Socket>();
    assert_send::<OsWaker>();
    assert_sync::<OsWaker>();
};

fn nothing(conn: aio_model::ConnId, ready: aio_model::Readiness) {
    panic!("{conn} is {ready:?}");
}

#[test]
fn a_sleep_never_ends_early() {
    let mut os = Os::new().unwrap();
    for nanos in [1, 500, 1_000, 499_999, 999_999, 1_000_000, 1_000_001, 1_500_000, 3_141_592] {
        let until = os.now() + Duration::from_nanos(nanos);
        let now = os.wait(Some(until), EVENTS_MAX, nothing).unwrap();
        assert!(now >= until, "{:?} early", until.saturating_since(now));
        assert!(os.now() >= now);
    }
}

#[test]
fn a_time_that_has_passed_does_not_sleep_but_reports() {
    let mut rig = Rig::new();
    assert_eq!(rig.at_hand(), []);
    let (conn, _peer) = rig.pair();
    assert_eq!(rig.at_hand().first().map(|(id, _)| *id), Some(conn));
}

#[test]
fn a_wake_ends_a_wait_however_long() {
    let mut os = Os::new().unwrap();
    for until in [None, Some(Instant::MAX), Some(Instant::from_nanos(u64::MAX / 2))] {
        let waker = os.waker();
        let other = thread::spawn(move || waker.wake());
        os.wait(until, EVENTS_MAX, nothing).unwrap();
        other.join().unwrap();
    }
    assert_eq!(os.stale_events(), 0, "a wake is not a late event");
}

#[test]
fn a_wake_before_the_wait_is_not_lost_and_not_kept() {
    let mut os = Os::new().unwrap();
    let wakers = [os.waker(), os.waker()];
    for waker in wakers.iter().cycle().take(1000) {
        waker.wake();
    }
    os.wait(None, EVENTS_MAX, nothing).unwrap();
    // All of them were one.
    let until = os.now() + Duration::from_millis(5);
    assert!(os.wait(Some(until), EVENTS_MAX, nothing).unwrap() >= until);
}

#[test]
fn a_wake_is_not_lost_to_a_registration() {
    // mio over poll(2) swallows what its own notification and a wake have in common.
    let mut rig = Rig::new();
    let waker = rig.os.waker();
    waker.wake();
    let (conn, _peer) = rig.pair();
    rig.close(conn);
    rig.os.wait(None, EVENTS_MAX, |_, _| ()).unwrap();
}

#[test]
fn wakes_and_waits_in_a_race_never_hang() {
    let mut os = Os::new().unwrap();
    let (to, from) = std::sync::mpsc::channel();
    let waker = os.waker();
    let other = thread::spawn(move || {
        for number in 0..20_000 {
            to.send(number).unwrap();
            waker.wake();
        }
    });
    let mut received = 0;
    while received < 20_000 {
        os.wait(None, EVENTS_MAX, nothing).unwrap();
        received += from.try_iter().count();
    }
    other.join().unwrap();
}

#[test]
fn a_waker_outlives_its_system() {
    let os = Os::new().unwrap();
    let waker = os.waker();
    drop(os);
    waker.wake();
    waker.clone().wake();
}

/// Longer than any test takes: what does not sleep in that time, would not.
const LONG: Duration = Duration::from_secs(20);

#[test]
fn polling_finds_an_event_without_sleeping() {
    let mut rig = Rig::new();
    let (conn, _peer) = rig.pair();
    let mut seen = Vec::new();
    let (_, slept) = rig.os.wait_spinning(None, LONG, EVENTS_MAX, |id, _| seen.push(id)).unwrap();
    assert_eq!((seen, slept), (vec![conn], false));
}

#[test]
fn polling_ends_with_a_wake() {
    let mut os = Os::new().unwrap();
    let waker = os.waker();
    let other = thread::spawn(move || waker.wake());
    let (_, slept) = os.wait_spinning(None, LONG, EVENTS_MAX, nothing).unwrap();
    other.join().unwrap();
    assert!(!slept);
}

#[test]
fn polling_in_vain_goes_on_to_sleep_and_neither_ends_early() {
    let mut os = Os::new().unwrap();
    let (short, long) = (Duration::from_micros(50), Duration::from_millis(3));
    for (spin, span, sleeps) in [(short, long, true), (long, short, false), (Duration::ZERO, short, true)] {
        let until = os.now() + span;
        let (now, slept) = os.wait_spinning(Some(until), spin, EVENTS_MAX, nothing).unwrap();
        assert!(now >= until && slept == sleeps, "{spin:?} of {span:?}: {slept}");
    }
}
