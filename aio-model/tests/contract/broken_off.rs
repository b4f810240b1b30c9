//! What is broken off is not complete: a close in the middle of a send is a reset (K2).

use std::time::Duration;

use aio_model::Outcome::{Exhausted, Failed, Transferred, WouldBlock};
use aio_model::{Close, ConnId, Deadline, Instant, Kind, Send, SystemError, SystemErrorKind};

use crate::bench::{Asked, Bench, MS};

const NO_TIME: Duration = Duration::ZERO;
const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const SHORT: SystemError = SystemError::from_kind(SystemErrorKind::OutOfMemory);

/// A stream in the middle of a send.
fn in_the_middle() -> (Bench, ConnId) {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("hello").within(5 * MS), "send");
    bench.round(NO_TIME, &[Transferred(2)]);
    assert_eq!(to_reset(&bench), [conn]);
    (bench, conn)
}

fn to_reset(bench: &Bench) -> Vec<ConnId> {
    bench.model.conns_to_reset().collect()
}

#[test]
fn k2_a_close_in_the_middle_of_a_send_is_a_reset() {
    type Cut = fn(&mut Bench, ConnId);
    let cuts: [Cut; 7] = [
        |bench, conn| assert!(bench.model.close(conn).unwrap()),
        |bench, conn| {
            bench.submit(conn, Close::now(), "close");
        },
        |bench, _| bench.model.shut_down(),
        |bench, _| bench.model.shut_down_by(Deadline::At(Instant::ZERO), || unreachable!("it is absolute")),
        |bench, conn| {
            bench.model.cancel_all(conn).unwrap();
            bench.submit(conn, Close::flush(), "close");
        },
        |bench, conn| {
            bench.round(5 * MS, &[]);
            bench.submit(conn, Close::linger(MS), "close");
        },
        |bench, conn| {
            bench.model.on_ready(conn, aio_model::Readiness::WRITABLE);
            bench.round(NO_TIME, &[Failed(RESET)]);
            bench.model.close(conn).unwrap();
        },
    ];
    for cut in cuts {
        let (mut bench, conn) = in_the_middle();
        cut(&mut bench, conn);
        assert_eq!(to_reset(&bench), [conn], "also if it is dropped before");
        let mut asked = bench.round(NO_TIME, &[]);
        asked.extend(bench.round(NO_TIME, &[]));
        // The time for flushing may be up at once, but not without a last attempt.
        asked.retain(|asked| !matches!(asked, Asked::Send(..)));
        assert_eq!(asked, [Asked::Reset(conn)]);
        assert_eq!(to_reset(&bench), []);
    }
}

#[test]
fn k2_a_flush_that_ends_in_the_middle_of_a_send_is_a_reset() {
    let (mut bench, conn) = in_the_middle();
    bench.submit(conn, Close::flush().within(2 * MS), "close");
    assert_eq!(bench.round(MS, &[]), []);
    bench.model.close(conn).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Reset(conn)]);
}

#[test]
fn k2_what_is_whole_or_was_resumed_is_closed_with_a_fin() {
    let (mut bench, conn) = in_the_middle();
    bench.model.cancel_all(conn).unwrap();
    bench.model.resume(conn).unwrap();
    assert_eq!(to_reset(&bench), []);
    bench.submit(conn, Send::new("not begun"), "queued");
    bench.model.close(conn).unwrap();
    assert_eq!(bench.model.resume(conn).err(), Some(aio_model::ResumeError::NotTainted));
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);

    let mut bench = Bench::new();
    let (whole, waits) = (bench.stream(), bench.stream());
    bench.submit(whole, Send::new("hello"), "send");
    bench.submit(waits, Send::new("hello").within(MS), "send");
    bench.round(NO_TIME, &[Transferred(5), WouldBlock]);
    bench.submit(whole, Close::now(), "close");
    bench.round(MS, &[]);
    bench.model.close(waits).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(waits)], "it ended with nothing sent");
}

/// What was decided when it was closed stays so.
#[test]
fn k2_a_close_that_is_under_way_stays_a_reset() {
    let (mut bench, conn) = in_the_middle();
    bench.model.cancel_all(conn).unwrap();
    bench.model.close(conn).unwrap();
    bench.model.resume(conn).unwrap();
    assert_eq!(to_reset(&bench), [conn]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Reset(conn)]);
}

#[test]
fn k2_an_abort_is_a_reset_of_a_stream_and_completes() {
    let mut bench = Bench::new();
    for (kind, resets) in [(Kind::Stream, true), (Kind::Listener, false)] {
        let conn = bench.model.open(kind).unwrap();
        bench.submit(conn, Close::abort(), "abort");
        let asked = if resets { Asked::Reset(conn) } else { Asked::Close(conn) };
        assert_eq!(bench.round(NO_TIME, &[]), [asked]);
        assert_eq!(bench.ended(), [("abort", 0, "Closed".to_owned())]);
    }
}

/// Nobody has sent anything on a connection that is being made.
#[test]
fn k2_a_connect_that_is_given_up_is_no_reset() {
    let mut bench = Bench::new();
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let op = bench.submit(bench.model.own(), aio_model::Connect::to(address), "connect");
    bench.round(NO_TIME, &[Exhausted(SHORT)]);
    bench.round(MS, &[]);
    let [Asked::Connect(conn)] = bench.round(NO_TIME, &[WouldBlock])[..] else { panic!("it is tried again") };
    bench.model.cancel(op).unwrap();
    assert_eq!((to_reset(&bench), bench.round(NO_TIME, &[])), (vec![], vec![Asked::Close(conn)]));
}
