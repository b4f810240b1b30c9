//! Making connections, one scripted call at a time.

use std::net::SocketAddr;
use std::time::Duration;

use crate::bench::{Asked, Bench, MS};
use aio_model::Outcome::{self, Exhausted, Failed, Interrupted, Transferred, WouldBlock};
use aio_model::{
    Accept, Address, Close, ConnPhase, Connect, Done, Limit, Limits, OpError, Readiness, Recv, Send,
    SubmitErrorKind, Syscall, SystemError, SystemErrorKind,
};

const REFUSED: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionRefused);
const NO_TIME: Duration = Duration::ZERO;

fn connect() -> Connect {
    Connect::to(SocketAddr::from(([127, 0, 0, 1], 80)))
}

/// A connect that is under way, and the id that the connection will have.
fn under_way(bench: &mut Bench, connect: Connect) -> (aio_model::OpId, aio_model::ConnId) {
    let op = bench.submit(bench.model.own(), connect, "connect");
    let asked = bench.round(NO_TIME, &[WouldBlock]);
    let [Asked::Connect(conn)] = asked[..] else { panic!("{asked:?}") };
    (op, conn)
}

#[test]
fn c1_a_connect_brings_a_connection_that_was_nobodys_before() {
    let mut bench = Bench::new();
    let (op, conn) = under_way(&mut bench, connect());
    assert_eq!(bench.model.conns().next().map(|(_, info)| info.phase), Some(ConnPhase::Connecting));
    let early = bench.try_submit(conn, Recv::pooled(), "early").unwrap_err();
    assert_eq!(early.kind, SubmitErrorKind::Stale, "it is not there yet");
    assert!(bench.model.close(conn).is_err() && bench.model.cancel_all(conn).is_err());

    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Outcome::Done]), [Asked::Connect(conn)]);
    let done = bench.completions().remove(0);
    assert_eq!((done.context, done.conn, done.op), ("connect", conn, op));
    assert_eq!((done.result, done.bytes), (Ok(Done::Connected), 0));

    bench.submit(conn, Send::new("hello"), "send");
    bench.submit(conn, Recv::pooled(), "recv");
    assert_eq!(bench.round(NO_TIME, &[Transferred(5)]), [Asked::Send(conn, 5)]);
    let stats = bench.model.stats();
    assert_eq!((stats.counters.connected, stats.counters.opened, stats.queued.connect), (1, 1, 0));
}

#[test]
fn k7_writable_is_a_hint_that_a_connection_may_be_there() {
    let mut bench = Bench::new();
    let (_, conn) = under_way(&mut bench, connect());
    assert_eq!(bench.round(MS, &[]), [], "nothing is tried without an event");
    for outcome in [WouldBlock, Interrupted] {
        bench.model.on_ready(conn, Readiness::WRITABLE);
        let again = if outcome == Interrupted { vec![outcome, WouldBlock] } else { vec![outcome] };
        assert_eq!(bench.round(NO_TIME, &again).len(), again.len());
    }
    assert_eq!(bench.model.stats().counters.events_spurious, 2);
    bench.model.on_ready(conn, Readiness::WRITABLE);
    bench.round(NO_TIME, &[Outcome::Done]);
    assert_eq!(bench.ended()[0].2, "Connected");
}

#[test]
fn k7_a_connect_that_fails_leaves_nothing() {
    for at_once in [true, false] {
        let mut bench = Bench::new();
        bench.submit(bench.model.own(), connect(), "connect");
        if !at_once {
            bench.round(NO_TIME, &[WouldBlock]);
            let (conn, _) = bench.model.conns().next().unwrap();
            bench.model.on_ready(conn, Readiness::ERROR | Readiness::WRITE_CLOSED);
        }
        let asked = bench.round(NO_TIME, &[Failed(REFUSED)]);
        assert_eq!(asked.len(), 1, "the system has forgotten it by itself: {asked:?}");
        let done = bench.completions().remove(0);
        assert_eq!(done.result, Err(OpError::System(REFUSED)));
        assert_eq!(bench.model.connections(), 0);
        let late = bench.try_submit(done.conn, Recv::pooled(), "late").unwrap_err();
        assert_eq!(late.kind, SubmitErrorKind::Stale);
    }
}

#[test]
fn t1_a_deadline_or_a_cancel_ends_a_connect_and_closes_what_there_is() {
    for cancel in [true, false] {
        let mut bench = Bench::new();
        let (op, conn) = under_way(&mut bench, connect().within(5 * MS));
        if cancel {
            bench.model.cancel(op).unwrap();
        } else {
            assert_eq!(bench.model.next_deadline(), Some(bench.now + 5 * MS));
            bench.round(5 * MS, &[]);
        }
        let result = if cancel { "Cancelled" } else { "Deadline" };
        assert_eq!(bench.ended(), [("connect", 0, result.to_owned())]);
        assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
        assert_eq!(bench.model.connections(), 0);
    }
}

#[test]
fn k2_what_the_system_never_heard_of_is_not_closed() {
    let mut bench = Bench::new();
    let op = bench.submit(bench.model.own(), connect(), "cancelled");
    bench.model.cancel(op).unwrap();
    bench.submit(bench.model.own(), connect(), "shut down");
    bench.model.shut_down();
    assert_eq!(bench.round(NO_TIME, &[]), []);
    let shut = "Closed(ShutDown)".to_owned();
    assert_eq!(bench.ended(), [("cancelled", 0, "Cancelled".into()), ("shut down", 0, shut)]);
    assert!(bench.model.is_drained());
}

#[test]
fn k5_a_full_queue_is_tried_again_and_not_closed_in_between() {
    let mut bench = Bench::new();
    let full = Exhausted(SystemError::from_kind(SystemErrorKind::Other));
    bench.submit(bench.model.own(), connect().within(20 * MS), "connect");
    assert_eq!(bench.round(NO_TIME, &[full]).len(), 1);
    assert_eq!(bench.round(NO_TIME, &[]), [], "it pauses");
    bench.round(MS, &[]);
    assert_eq!(bench.round(NO_TIME, &[full]).len(), 1, "a millisecond later");
    assert_eq!(bench.round(20 * MS, &[full]).len(), 1, "one last try");
    assert_eq!(bench.ended(), [("connect", 0, "Deadline".into())]);
    assert_eq!((bench.round(NO_TIME, &[]), bench.model.connections()), (vec![], 0));
}

#[test]
fn k5_a_connection_that_was_made_ends_the_row_of_pauses() {
    let mut bench = Bench::new();
    let full = Exhausted(SystemError::from_kind(SystemErrorKind::Other));
    bench.submit(bench.model.own(), connect(), "connect");
    bench.round(NO_TIME, &[full]);
    bench.round(MS, &[]);
    bench.round(NO_TIME, &[full]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + 2 * MS), "the second in a row");
    bench.round(2 * MS, &[]);
    bench.round(NO_TIME, &[Outcome::Done]);
    let conn = bench.completions().remove(0).conn;
    bench.submit(conn, Send::new("hello"), "send");
    bench.round(NO_TIME, &[full]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + MS), "a first one again");
}

#[test]
fn k2_a_shutdown_ends_connects_that_are_under_way() {
    let mut bench = Bench::new();
    let (_, conn) = under_way(&mut bench, connect());
    let now = bench.now;
    bench.model.shut_down_by(aio_model::Deadline::Within(MS), || now);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("connect", 0, "Closed(ShutDown)".into())]);
    assert!(bench.model.is_drained());
}

#[test]
fn c6_a_connect_needs_a_place_and_holds_it() {
    let mut bench =
        Bench::with(Limits { connections_max: Limits::ONE.connections_max, ..Limits::DEFAULT }, 1);
    let op = bench.submit(bench.model.own(), connect(), "first");
    let second = bench.try_submit(bench.model.own(), connect(), "second").unwrap_err();
    assert_eq!((second.kind, second.context), (SubmitErrorKind::Busy(Limit::Connections), "second"));
    bench.model.cancel(op).unwrap();
    bench.submit(bench.model.own(), connect(), "third");

    let mut bench = Bench::with(Limits { ops_max: Limits::ONE.ops_max, ..Limits::DEFAULT }, 1);
    bench.submit(bench.model.own(), connect(), "first");
    let second = bench.try_submit(bench.model.own(), connect(), "second").unwrap_err();
    assert_eq!(second.kind, SubmitErrorKind::Busy(Limit::Ops));
    assert_eq!(bench.model.connections(), 1, "a refused one takes no place");
}

#[test]
fn k5_a_connect_that_fails_makes_room_for_an_accept() {
    let mut bench = Bench::with(Limits { connections_max: 2.try_into().unwrap(), ..Limits::DEFAULT }, 1);
    let listener = bench.listener();
    bench.submit(listener, Accept::one(), "accept");
    bench.submit(bench.model.own(), connect(), "connect");
    bench.readable(listener);
    // The connect is first in line. When it has failed, the accept that was held goes on.
    bench.round(NO_TIME, &[WouldBlock]);
    let conn = bench.model.conns().find(|(conn, _)| *conn != listener).unwrap().0;
    bench.model.on_ready(conn, Readiness::ERROR);
    bench.round(NO_TIME, &[Failed(REFUSED)]);
    assert_eq!(bench.round(NO_TIME, &[Outcome::Done]), [Asked::Accept(listener)]);
}

#[test]
fn k7_what_fits_no_connection_is_refused() {
    let mut bench = Bench::new();
    let (stream, own) = (bench.stream(), bench.model.own());
    for refused in [
        bench.try_submit(stream, connect(), "x"),
        bench.try_submit(own, Recv::pooled(), "x"),
        bench.try_submit(own, Send::new("x"), "x"),
        bench.try_submit(own, Close::now(), "x"),
    ] {
        assert_eq!(refused.unwrap_err().kind, SubmitErrorKind::WrongKind);
    }
}

#[test]
fn the_system_is_told_where_to_and_where_from() {
    let mut bench = Bench::new();
    let local: SocketAddr = "127.0.0.2:7".parse().unwrap();
    let connects = [connect().from(local).nodelay(true), Connect::to(Address::unix(*b"/tmp/x"))];
    for connect in connects {
        bench.submit(bench.model.own(), connect, "connect");
    }
    bench.model.begin_round();
    let mut asked = Vec::new();
    let refuse = |call: Syscall<'_>| {
        if let Syscall::Connect { target, .. } = call {
            asked.push((target.address().to_string(), target.local(), target.nodelay()));
        }
        Failed(REFUSED)
    };
    let mut refuse = refuse;
    while bench.model.attempt(&mut refuse) {}
    let first = ("127.0.0.1:80".to_owned(), Some(local), true);
    assert_eq!(asked, [first, ("unix:/tmp/x".to_owned(), None, false)]);
}
