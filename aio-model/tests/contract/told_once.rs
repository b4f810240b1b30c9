//! A system tells an error once, to whichever call comes first (K4).

use std::time::Duration;

use aio_model::Outcome::{Failed, Transferred};
use aio_model::{ConnId, OpError, Readiness, Recv, Send, SystemError, SystemErrorKind as Kind};

use crate::bench::Bench;

const NO_TIME: Duration = Duration::ZERO;

/// A stream that has bytes to be received, and of which a send was told this.
fn told(kind: Kind) -> (Bench, ConnId) {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("x"), "send");
    bench.model.on_ready(conn, Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR);
    bench.round(NO_TIME, &[Failed(SystemError::from_kind(kind))]);
    bench.completions();
    (bench, conn)
}

#[test]
fn k4_what_a_send_was_told_ends_the_receives_behind_the_bytes_that_are_there() {
    let kinds =
        [Kind::ConnectionReset, Kind::TimedOut, Kind::Unreachable, Kind::ConnectionRefused, Kind::Other];
    for kind in kinds {
        let (mut bench, conn) = told(kind);
        for (recv, context) in
            [(Recv::pooled(), "pooled"), (Recv::exact(vec![0; 6]), "exact"), (Recv::into(vec![0; 6]), "any")]
        {
            bench.submit(conn, recv, context);
        }
        bench.round(NO_TIME, &[Transferred(3), Transferred(2), Transferred(0)]);
        bench.submit(conn, Recv::pooled(), "later");
        let fault = Err(OpError::System(SystemError::from_kind(kind)));
        let done: Vec<_> = bench.completions().into_iter().map(|done| (done.bytes, done.result)).collect();
        assert!(done[0].1.is_ok() && done[0].0 == 3, "{done:?}");
        assert_eq!(done[1..], [(2, fault), (0, fault), (0, fault)], "{kind:?}");
        let info = bench.model.conn_info(conn).unwrap();
        assert_eq!(info.receive.end, info.send.end);
    }
}

#[test]
fn k4_that_nothing_can_be_sent_is_no_end_of_the_receives() {
    for kind in [Kind::BrokenPipe, Kind::NotConnected] {
        let (mut bench, conn) = told(kind);
        bench.submit(conn, Recv::pooled(), "recv");
        bench.round(NO_TIME, &[Transferred(0)]);
        let end = "Received { end_of_stream: true }".to_owned();
        assert_eq!(bench.ended(), [("recv", 0, end)], "{kind:?}");
    }
}

/// An end that was received before is the peer's own.
#[test]
fn k4_an_end_before_the_fault_stays_an_end() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "recv");
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(0)]);
    bench.submit(conn, Send::new("x"), "send");
    bench.round(NO_TIME, &[Failed(SystemError::from_kind(Kind::ConnectionReset))]);
    bench.submit(conn, Recv::pooled(), "again");
    let ended = bench.ended();
    assert_eq!(
        (ended[0].2.as_str(), ended[2].2.as_str()),
        ("Received { end_of_stream: true }", ended[0].2.as_str())
    );
}
