//! What happens when a deadline has come: a last attempt, in the order of deadlines, so many in a turn.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::bench::{Asked, Bench, MS, limits};
use aio_model::Outcome::{self, Exhausted, Failed, Interrupted, Partial, Transferred, WouldBlock};
use aio_model::{
    Accept, Close, Connect, Deadline, Instant, Limits, Readiness, Recv, Send, Shutdown, Sleep, SystemError,
    SystemErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;
const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);

type Ended = (&'static str, u64, String);

fn ended(context: &'static str, bytes: u64, result: &str) -> Ended {
    (context, bytes, result.into())
}

#[test]
fn t2_the_last_attempt_counts_like_any_other() {
    let received = "Received { end_of_stream: false }";
    let shortage = SystemError::from_kind(SystemErrorKind::OutOfMemory);
    for (outcome, bytes, result) in [
        (Transferred(10), 10, received),
        (Transferred(9), 9, "Deadline"),
        (Partial(4), 4, "Deadline"),
        (Transferred(0), 0, "UnexpectedEof"),
        (Failed(RESET), 0, "System(ConnectionReset)"),
        (WouldBlock, 0, "Deadline"),
        (Interrupted, 0, "Deadline"),
        (Exhausted(shortage), 0, "Deadline"),
    ] {
        let mut bench = Bench::new();
        let conn = bench.stream();
        bench.submit(conn, Recv::exact(vec![0; 10]).within(5 * MS), "recv");
        assert_eq!(bench.round(4 * MS, &[]), [], "nobody has said that there is anything");
        assert_eq!(bench.round(MS, &[outcome]), [Asked::Recv(conn, 10)]);
        assert_eq!(bench.ended(), [ended("recv", bytes, result)], "{outcome:?}");
        assert_eq!(bench.model.stats().counters.expired, u64::from(result == "Deadline"));
    }
}

/// Each kind of operation, also one that was never tried, or whose deadline is in the past from the
/// beginning, or was moved there.
#[test]
fn t2_whatever_has_a_deadline_is_tried_once_more() {
    let mut bench = Bench::new();
    let (conn, sender, listener) = (bench.stream(), bench.stream(), bench.listener());
    bench.submit(sender, Send::new("abc").within(5 * MS), "send");
    bench.submit(
        bench.model.own(),
        Connect::to("127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap()),
        "connect",
    );
    assert_eq!(bench.round(NO_TIME, &[WouldBlock, WouldBlock]).len(), 2);
    bench.submit(conn, Recv::pooled().deadline(Instant::ZERO), "recv");
    bench.submit(listener, Accept::many().within(5 * MS), "accept");
    let asked = bench.round(NO_TIME, &[Transferred(2)]);
    assert_eq!(asked, [Asked::Recv(conn, 8)], "what is late already is tried once");
    let asked = bench.round(5 * MS, &[Transferred(3), Outcome::Done]);
    assert_eq!(asked, [Asked::Send(sender, 3), Asked::Accept(listener)]);
    let received = "Received { end_of_stream: false }";
    let done = bench.ended();
    assert_eq!(done[..2], [ended("recv", 2, received), ended("send", 3, "Sent")]);
    assert!(done[2].2.starts_with("Accepted") && done[3] == ended("accept", 0, "Deadline"), "{done:?}");
    let connect = bench.model.ops_info().next().map(|(op, _)| op).unwrap();
    bench.model.set_deadline(connect, Some(Deadline::At(Instant::ZERO)), || unreachable!()).unwrap();
    assert_eq!(bench.round(NO_TIME, &[Outcome::Done]).len(), 1);
    assert_eq!(bench.ended(), [ended("connect", 0, "Connected")]);
    bench.submit(conn, Shutdown::write().within(NO_TIME), "shutdown");
    assert_eq!(
        bench.round(NO_TIME, &[Interrupted, Interrupted, Interrupted, Interrupted, Outcome::Done]).len(),
        5
    );
    assert_eq!(bench.ended(), [ended("shutdown", 0, "ShutDown")]);
}

#[test]
fn t2_who_waits_for_a_buffer_or_a_place_or_behind_another_is_not_tried() {
    let limits = Limits { connections_max: NonZeroU32::new(3).unwrap(), ..limits() };
    let mut bench = Bench::with(limits, 1);
    let (one, two, listener) = (bench.stream(), bench.stream(), bench.listener());
    bench.submit(one, Recv::pooled(), "lent");
    bench.readable(one);
    bench.round(NO_TIME, &[Transferred(8)]);
    let lease = bench.completions();
    // The one is parked, of the other nobody knows whether it is ready; for neither is there a buffer.
    bench.submit(one, Recv::pooled().within(MS), "parked");
    bench.submit(two, Recv::pooled().within(MS), "idle");
    bench.submit(two, Recv::into(vec![0; 4]).within(2 * MS), "behind");
    bench.submit(listener, Accept::one().within(MS), "held");
    bench.readable(listener);
    assert_eq!(bench.round(NO_TIME, &[]), []);
    assert_eq!(bench.round(MS, &[]), []);
    let late = ["parked", "idle", "held"].map(|context| ended(context, 0, "Deadline"));
    assert_eq!(bench.ended(), late);
    assert_eq!(bench.round(MS, &[Transferred(4)]), [Asked::Recv(two, 4)], "it is the next now");
    assert_eq!(bench.ended(), [ended("behind", 4, "Received { end_of_stream: false }")]);
    drop(lease);
}

/// A call that moves all that it was asked to may leave more behind: no event is owed for that.
#[test]
fn c6_a_lane_goes_on_after_a_last_attempt_without_an_event() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::into(vec![0; 2]).within(MS), "first");
    bench.submit(conn, Recv::into(vec![0; 2]), "second");
    assert_eq!(bench.round(MS, &[Transferred(2)]), [Asked::Recv(conn, 2)]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(conn, 2)], "it is tried at once");
    let received = "Received { end_of_stream: false }";
    assert_eq!(bench.ended(), [ended("first", 2, received), ended("second", 1, received)]);
    // And where the system was short of something, a pause is waited for, and no event.
    bench.submit(conn, Recv::into(vec![0; 2]).within(MS), "third");
    bench.submit(conn, Recv::into(vec![0; 2]), "fourth");
    bench.round(MS, &[Exhausted(RESET)]);
    assert_eq!(bench.round(NO_TIME, &[]), []);
    bench.round(MS, &[]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(conn, 2)]);
}

#[test]
fn k6_a_turn_ends_as_many_deadlines_as_it_has_room_for_and_the_next_ones_do_not_sleep() {
    let limits = Limits { turn_attempts_max: NonZeroU32::new(5).unwrap(), ..limits() };
    let mut bench = Bench::with(limits, 2);
    let conn = bench.stream();
    for context in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        bench.submit(bench.model.own(), Sleep::new(MS), context);
    }
    let contexts = |bench: &mut Bench| -> String { bench.ended().into_iter().map(|done| done.0).collect() };
    // Nothing else to do: as many as a turn may make attempts.
    bench.round(MS, &[]);
    assert_eq!(contexts(&mut bench), "abcde");
    assert!(bench.model.is_busy(), "the next turn does not sleep");
    // However much else there is to do: half of it, rounded up.
    for conn in [conn; 5].map(|_| bench.stream()) {
        bench.submit(conn, Send::new("x"), "+");
    }
    bench.model.on_ready(conn, Readiness::READABLE | Readiness::WRITABLE);
    bench.submit(conn, Recv::pooled(), "-");
    bench.round(NO_TIME, &[Transferred(1); 5]);
    assert_eq!(contexts(&mut bench), "+++++fgh");
    // What one attempt leaves.
    bench.round(NO_TIME, &[Transferred(1)]);
    assert_eq!(contexts(&mut bench), "-ijk");
    bench.round(NO_TIME, &[]);
    assert!(!bench.model.is_busy());
}

#[test]
fn k2_when_time_is_up_what_can_still_be_sent_is() {
    for (outcome, result) in [(Transferred(3), "Sent"), (WouldBlock, "Closed(Requested)")] {
        let mut bench = Bench::new();
        let conn = bench.stream();
        bench.submit(conn, Send::new("abc"), "send");
        bench.submit(conn, Close::flush().within(5 * MS), "close");
        assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Send(conn, 3)]);
        assert_eq!(bench.round(5 * MS, &[outcome]), [Asked::Send(conn, 3)]);
        assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
        let bytes = if result == "Sent" { 3 } else { 0 };
        assert_eq!(bench.ended(), [ended("send", bytes, result), ended("close", 0, "Closed")]);
    }
}

/// A send that ends with nothing sent was not there.
#[test]
fn c5_a_send_that_ends_with_nothing_sent_lets_those_behind_it_go_on() {
    for cancelled in [true, false] {
        let mut bench = Bench::new();
        let conn = bench.stream();
        let first = bench.submit(conn, Send::new("abc").within(5 * MS), "first");
        bench.submit(conn, Send::new("defg").within(6 * MS), "second");
        bench.submit(conn, Shutdown::write(), "shutdown");
        assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::SendVectored(conn, 2, 7)]);
        if cancelled {
            bench.model.cancel(first).unwrap();
        } else {
            assert_eq!(bench.round(5 * MS, &[WouldBlock]), [Asked::SendVectored(conn, 2, 7)]);
        }
        bench.model.on_ready(conn, Readiness::WRITABLE);
        let asked = bench.round(NO_TIME, &[Transferred(4), Outcome::Done]);
        assert_eq!(asked, [Asked::Send(conn, 4), Asked::Shutdown(conn)]);
        let first = ended("first", 0, if cancelled { "Cancelled" } else { "Deadline" });
        assert_eq!(bench.ended(), [first, ended("second", 4, "Sent"), ended("shutdown", 0, "ShutDown")]);
    }
}
