//! What the system is short of, and what it refuses (K5).

use std::time::Duration;

use crate::bench::{Asked, Bench, MS, ended};
use aio_model::Outcome::{Done, Exhausted, Failed, Interrupted, Refused, WouldBlock};
use aio_model::{Accept, Address, Connect, Readiness, SystemError, SystemErrorKind};

const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const EMFILE: SystemError = SystemError::from_kind(SystemErrorKind::DescriptorsExhausted);
const NO_TIME: Duration = Duration::ZERO;

#[test]
fn k5_a_descriptor_that_is_closed_ends_the_pauses_for_want_of_one() {
    let mut bench = Bench::new();
    let (first, second, conn) = (bench.listener(), bench.listener(), bench.stream());
    for listener in [first, second] {
        bench.submit(listener, Accept::many(), "accept");
        bench.readable(listener);
    }
    let (one, two) = (Asked::Accept(first), Asked::Accept(second));
    assert_eq!(bench.round(NO_TIME, &[Exhausted(EMFILE), Exhausted(EMFILE)]), [one, two]);
    assert_eq!(
        (bench.model.stats().lanes_backing_off, bench.model.next_deadline()),
        (2, Some(bench.now + MS))
    );
    bench.model.close(conn).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!((bench.model.stats().lanes_backing_off, bench.model.is_busy()), (0, true));
    // The first has one now, and wants another: it comes after the second, which has none.
    assert_eq!(bench.round(NO_TIME, &[Done, Exhausted(EMFILE), Exhausted(EMFILE)]), [one, one, two]);
    let done = bench.completions().pop().unwrap();
    let Ok(aio_model::Done::Accepted(conn)) = done.result else { panic!("{done:?}") };
    bench.model.close(conn).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.round(NO_TIME, &[Done, WouldBlock, WouldBlock]), [two, two, one]);
}

#[test]
fn k5_what_the_system_refuses_four_times_ends_every_accept_that_is_queued() {
    const EPERM: SystemError = SystemError::from_kind(SystemErrorKind::PermissionDenied);
    let mut bench = Bench::new();
    let listener = bench.listener();
    bench.submit(listener, Accept::many(), "many");
    bench.submit(listener, Accept::one(), "one");
    bench.readable(listener);
    let accept = Asked::Accept(listener);
    // Another answer in between ends the row.
    for (pause, outcomes) in [(1, vec![Refused(EPERM)]), (2, vec![Interrupted, Refused(EPERM)])] {
        assert_eq!(bench.round(NO_TIME, &outcomes), vec![accept; outcomes.len()]);
        assert_eq!(bench.model.next_deadline(), Some(bench.now + pause * MS));
        bench.round(pause * MS, &[]);
    }
    for pause in [4, 8] {
        assert_eq!(bench.round(NO_TIME, &[Refused(EPERM)]), [accept]);
        assert_eq!(bench.ended(), []);
        bench.round(pause * MS, &[]);
    }
    assert_eq!(bench.round(NO_TIME, &[Refused(EPERM)]), [accept]);
    let told = ["many", "one"].map(|context| ended(context, 0, "System(PermissionDenied)"));
    assert_eq!(bench.ended(), told);
    assert_eq!(bench.model.conn_info(listener).unwrap().receive.end, None, "it may be tried anew");
    bench.submit(listener, Accept::one(), "again");
    assert_eq!(bench.round(NO_TIME, &[Done]), [accept]);
    assert_eq!(bench.model.stats().counters.accepts_refused, 5);
}

#[test]
fn k5_a_shortage_that_lasts_is_told_once() {
    let mut bench = Bench::new();
    let listener = bench.listener();
    bench.submit(listener, Accept::many(), "accept");
    bench.readable(listener);
    for nth in 1..=12 {
        bench.round(NO_TIME, &[Exhausted(EMFILE)]);
        let told = bench.model.take_shortage();
        assert_eq!(told, (nth == 8).then_some((listener, EMFILE)), "{nth}");
        bench.round(2000 * MS, &[]);
    }
}

#[test]
fn k5_a_connect_whose_peers_queue_is_full_pauses_for_32_ms_at_most() {
    let mut bench = Bench::new();
    let full = Exhausted(SystemError::from_kind(SystemErrorKind::Other));
    bench.submit(bench.model.own(), Connect::to(Address::unix(*b"/x")), "connect");
    for pause in [1, 2, 4, 8, 16, 32, 32, 32, 32, 32, 32, 32] {
        assert_eq!(bench.round(NO_TIME, &[full]).len(), 1);
        assert_eq!(bench.model.next_deadline(), Some(bench.now + pause * MS));
        bench.round(pause * MS, &[]);
    }
}

/// Its descriptor is closed by the system, with the connect that fails.
#[test]
fn k5_a_connect_that_fails_frees_its_descriptor_for_an_accept() {
    for failed in [Failed(RESET), Refused(RESET), Exhausted(RESET)] {
        let mut bench = Bench::new();
        let listener = bench.listener();
        bench.submit(bench.model.own(), Connect::to(Address::unix(*b"/x")), "connect");
        bench.round(NO_TIME, &[WouldBlock]);
        let (connecting, _) = bench.model.conns().nth(1).unwrap();
        bench.submit(listener, Accept::one(), "accept");
        bench.readable(listener);
        assert_eq!(bench.round(NO_TIME, &[Exhausted(EMFILE)]), [Asked::Accept(listener)]);
        bench.model.on_ready(connecting, Readiness::WRITABLE);
        bench.round(NO_TIME, &[failed]);
        assert_eq!(bench.round(NO_TIME, &[Done]), [Asked::Accept(listener)]);
    }
}
