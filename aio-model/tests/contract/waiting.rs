//! Waits for bytes or for room, which move nothing; and what a receive that waits for a buffer is told.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::bench::{Asked, Bench, ended, limits};
use aio_model::Outcome::{Done, Exhausted, Failed, Interrupted, Transferred, WouldBlock};
use aio_model::{
    Buffer, ConnId, Direction, LanePlace, Limits, Outcome, Readiness, Recv, Send, Shutdown, SubmitErrorKind,
    SystemError, SystemErrorKind, Wait,
};

const NO_TIME: Duration = Duration::ZERO;
const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const ENDED: Readiness = Readiness::READ_CLOSED;

fn place(bench: &Bench, conn: ConnId) -> LanePlace {
    bench.model.conn_info(conn).unwrap().receive.place
}

#[test]
fn c3_a_wait_stands_in_line_and_moves_nothing() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vec![0; 4]), "recv");
    bench.submit(conn, Wait::readable(), "readable");
    bench.submit(conn, Recv::into(vec![0; 4]), "behind");
    bench.submit(conn, Send::new(vec![0; 4]), "send");
    bench.submit(conn, Wait::writable(), "writable");
    bench.readable(conn);
    let asked = bench.round(NO_TIME, &[Transferred(4), Done, Transferred(4), Done, WouldBlock]);
    assert_eq!(
        asked,
        [
            Asked::Send(conn, 4),
            Asked::Poll(conn, Direction::Send),
            Asked::Recv(conn, 4),
            Asked::Poll(conn, Direction::Receive),
            Asked::Recv(conn, 4),
        ]
    );
    let received = "Received { end_of_stream: false }";
    let expected = [
        ended("send", 4, "Sent"),
        ended("writable", 0, "Ready"),
        ended("recv", 4, received),
        ended("readable", 0, "Ready"),
    ];
    assert_eq!(bench.ended(), expected);
}

/// However much the library has read, the kernel is asked: who finds nothing waits for an event.
#[test]
fn k6_a_wait_that_finds_nothing_waits_for_an_event() {
    for (direction, wait, readiness) in [
        (Direction::Receive, Wait::readable as fn() -> Wait, Readiness::READABLE),
        (Direction::Send, Wait::writable, Readiness::WRITABLE),
    ] {
        let mut bench = Bench::new();
        let conn = bench.stream();
        bench.model.on_ready(conn, readiness);
        let polls = |count| vec![Asked::Poll(conn, direction); count];
        for _ in 0..3 {
            bench.submit(conn, wait(), "wait");
            assert_eq!(bench.round(NO_TIME, &[Interrupted, Done]), polls(2), "it is told again");
            assert_eq!(bench.ended(), [ended("wait", 0, "Ready")]);
        }
        bench.submit(conn, wait(), "wait");
        assert_eq!(bench.round(NO_TIME, &[WouldBlock]), polls(1));
        assert_eq!(bench.round(NO_TIME, &[]), []);
        bench.model.on_ready(conn, readiness);
        assert_eq!(bench.round(NO_TIME, &[Done]), polls(1));
        assert_eq!(bench.ended(), [ended("wait", 0, "Ready")]);
    }
}

#[test]
fn c1_whatever_ends_a_wait_it_completes_once() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Wait::readable().within(Duration::from_millis(1)), "late");
    bench.round(Duration::from_millis(1), &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("late", 0, "Deadline")]);
    bench.submit(conn, Wait::readable().within(Duration::from_millis(1)), "last");
    bench.round(Duration::from_millis(1), &[Done]);
    assert_eq!(bench.ended(), [ended("last", 0, "Ready")], "nobody had looked");
    let op = bench.submit(conn, Wait::writable(), "cancelled");
    bench.model.cancel(op).unwrap();
    assert_eq!(bench.ended(), [ended("cancelled", 0, "Cancelled")]);
    bench.submit(conn, Wait::writable(), "failed");
    bench.round(NO_TIME, &[Failed(RESET)]);
    bench.submit(conn, Wait::writable(), "after");
    let reset = "System(ConnectionReset)";
    assert_eq!(bench.ended(), [ended("failed", 0, reset), ended("after", 0, reset)]);
    bench.submit(conn, Wait::readable(), "closed");
    bench.model.close(conn).unwrap();
    assert_eq!(bench.ended(), [ended("closed", 0, "Closed(Requested)")]);
}

#[test]
fn k4_a_wait_behind_the_end_is_ready_and_where_it_makes_no_sense_it_is_refused() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "recv");
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(0)]);
    bench.submit(conn, Wait::readable(), "readable");
    let end = "Received { end_of_stream: true }";
    assert_eq!(bench.ended(), [ended("recv", 0, end), ended("readable", 0, "Ready")]);
    bench.submit(conn, Shutdown::write(), "shutdown");
    let refused = bench.try_submit(conn, Wait::writable(), "writable").unwrap_err();
    assert_eq!(refused.kind, SubmitErrorKind::WriteShutDown);
    let listener = bench.listener();
    for wait in [Wait::readable(), Wait::writable()] {
        let refused = bench.try_submit(listener, wait, "wait").unwrap_err();
        assert_eq!(refused.kind, SubmitErrorKind::WrongKind);
    }
}

/// A connection that can be received from, waits for the only buffer, and whose peer may have ended; and who
/// has that buffer.
fn parked(bench: &mut Bench, hinted_before: bool) -> (ConnId, Buffer) {
    let [other, conn] = [(); 2].map(|()| bench.stream());
    bench.submit(other, Recv::pooled(), "other");
    bench.readable(other);
    bench.round(NO_TIME, &[Transferred(3)]);
    let buffer = bench.completions().pop().unwrap().buffer;
    bench.submit(conn, Recv::pooled(), "parked");
    bench.submit(conn, Recv::into(vec![0; 4]), "behind");
    if hinted_before {
        bench.model.on_ready(conn, ENDED);
    } else {
        bench.readable(conn);
        assert_eq!(bench.round(NO_TIME, &[]), []);
        assert_eq!(place(bench, conn), LanePlace::Parked);
        assert!(!bench.model.is_busy());
        bench.model.on_ready(conn, ENDED);
        assert!(bench.model.is_busy(), "it is to be asked");
    }
    (conn, buffer)
}

#[test]
fn b3_an_end_that_is_all_there_is_needs_no_buffer() {
    let end = "Received { end_of_stream: true }";
    let reset = "System(ConnectionReset)";
    for hinted_before in [false, true] {
        for (outcome, result) in [(Transferred(0), end), (Failed(RESET), reset)] {
            let mut bench = Bench::with(limits(), 1);
            let (conn, buffer) = parked(&mut bench, hinted_before);
            assert_eq!(bench.round(NO_TIME, &[Interrupted, outcome]), [Asked::Peek(conn); 2]);
            assert_eq!(bench.ended(), [ended("parked", 0, result), ended("behind", 0, result)]);
            drop(buffer);
            bench.fetch();
            assert_eq!(bench.model.outstanding(), 0);
        }
    }
}

#[test]
fn b3_behind_bytes_the_end_waits_for_a_buffer_and_the_lane_keeps_its_place() {
    let mut bench = Bench::with(limits(), 1);
    let (conn, buffer) = parked(&mut bench, false);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Peek(conn)]);
    assert_eq!((place(&bench, conn), bench.model.is_busy()), (LanePlace::Parked, false));
    assert_eq!(bench.round(NO_TIME, &[]), [], "it is asked once");
    let late = bench.stream();
    bench.submit(late, Recv::pooled(), "late");
    bench.readable(late);
    bench.round(NO_TIME, &[]);
    drop(buffer);
    bench.fetch();
    assert_eq!(bench.round(NO_TIME, &[Transferred(3), Transferred(0)])[0], Asked::Recv(conn, 8));
    assert_eq!(bench.completions()[0].context, "parked");
}

#[test]
fn k6_a_peek_and_the_lanes_that_run_go_on_in_the_order_in_which_they_came() {
    let mut bench = Bench::with(Limits { turn_attempts_max: NonZeroU32::MIN, ..limits() }, 1);
    let (conn, buffer) = parked(&mut bench, false);
    bench.submit(conn, Send::new(vec![0; 8]), "send");
    // The hint came before the send; tried again, the peek comes behind it.
    let asked = [Asked::Peek(conn), Asked::Send(conn, 8), Asked::Peek(conn), Asked::Send(conn, 6)];
    for (asked, outcome) in asked.into_iter().zip([Interrupted, Transferred(2), Interrupted, Transferred(6)])
    {
        assert_eq!(bench.round(NO_TIME, &[outcome]), [asked]);
    }
    assert_eq!(bench.ended(), [ended("send", 8, "Sent")]);
    drop(buffer);
}

#[test]
fn b3_whatever_a_peek_is_answered_the_lane_goes_on() {
    let shortage = SystemError::from_kind(SystemErrorKind::OutOfMemory);
    for outcome in [WouldBlock, Exhausted(shortage), Outcome::Partial(1), Done, Transferred(2)] {
        let mut bench = Bench::with(limits(), 1);
        let (conn, buffer) = parked(&mut bench, false);
        assert_eq!(bench.round(NO_TIME, &[outcome]), [Asked::Peek(conn)]);
        let nonsense = bench.ended().len() == 2;
        assert_eq!(nonsense, !matches!(outcome, WouldBlock | Exhausted(_)), "{outcome:?}");
        drop(buffer);
        bench.fetch();
        if let Exhausted(_) = outcome {
            assert_eq!(bench.round(Duration::from_millis(2), &[]), [], "it pauses");
        }
        bench.readable(conn);
        let outcomes: &[Outcome] = if nonsense { &[] } else { &[Transferred(8), WouldBlock] };
        bench.round(NO_TIME, outcomes);
        assert_eq!(bench.completions().len(), usize::from(!nonsense));
    }
}

#[test]
fn b3_who_waits_for_a_lease_of_its_own_is_told_of_the_end_too() {
    let mut bench = Bench::with(limits(), 8);
    let conn = bench.stream();
    bench.submit(conn, Recv::many(1), "many");
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(8)]);
    let held = bench.completions();
    assert_eq!(place(&bench, conn), LanePlace::LeasesOut);
    bench.model.on_ready(conn, ENDED);
    assert_eq!(bench.round(NO_TIME, &[Transferred(0)]), [Asked::Peek(conn)]);
    assert_eq!(bench.ended(), [ended("many", 0, "Received { end_of_stream: true }")]);
    drop(held);
}
