//! A connection that is closed more than once: what is under way goes on, each close completes, and the
//! strictest deadline holds.

use std::time::Duration;

use crate::bench::{Asked, Bench, MS, ended};
use aio_model::Outcome::{Transferred, WouldBlock};
use aio_model::{
    Close, CloseReason, ConnId, Deadline, IdError, OpIdError, Outcome, Readiness, Send, SubmitErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;

/// A stream with a send that waits for room.
fn stuck(bench: &mut Bench) -> ConnId {
    let conn = bench.stream();
    bench.submit(conn, Send::new("abc"), "send");
    bench.round(NO_TIME, &[WouldBlock]);
    conn
}

#[test]
fn k2_a_graceful_close_of_what_closes_gracefully_completes_last_and_in_order() {
    let mut bench = Bench::new();
    let conn = stuck(&mut bench);
    bench.submit(conn, Close::flush(), "first");
    bench.submit(conn, Close::linger(MS), "second");
    let third = bench.submit(conn, Close::flush().code(7), "third");
    assert_eq!(bench.model.cancel(third), Err(OpIdError::Close));
    assert_eq!(bench.try_submit(conn, Send::new("no"), "no").unwrap_err().kind, SubmitErrorKind::Closing);
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Transferred(3)]), [Asked::Send(conn, 3)]);
    // The first one says how: nothing lingers.
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    let closes = ["first", "second", "third"].map(|name| ended(name, 0, "Closed"));
    assert_eq!(bench.ended(), [[ended("send", 3, "Sent")].as_slice(), &closes].concat());
    assert_eq!(bench.model.stats().credits, 0);
}

#[test]
fn k2_of_several_closes_the_strictest_deadline_holds() {
    for spans in [[9, 5, 7], [5, 9, 7], [9, 7, 5]] {
        let mut bench = Bench::new();
        let conn = stuck(&mut bench);
        let ops = spans.map(|span| bench.submit(conn, Close::flush().within(span * MS), "close"));
        for op in ops {
            let due = bench.model.op_info(op).unwrap().due;
            assert_eq!(due, Some(bench.now + 5 * MS), "of all of them");
        }
        assert_eq!(bench.round(4 * MS, &[]), []);
        assert_eq!(bench.round(MS, &[WouldBlock]), [Asked::Send(conn, 3)]);
        assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
        assert_eq!(bench.ended().len(), 4, "{spans:?}");
        assert_eq!(bench.model.next_deadline(), None);
    }
}

/// Who closes at once while it flushes or lingers means it, and who aborts gets a reset.
#[test]
fn k2_a_close_at_once_cuts_a_graceful_one_short() {
    for (abort, last) in [(false, "now"), (true, "abort")] {
        let mut bench = Bench::new();
        let conn = stuck(&mut bench);
        bench.submit(conn, Close::linger(100 * MS).within(200 * MS), "linger");
        let close = if abort { Close::abort() } else { Close::now() };
        bench.submit(conn, close, last);
        let asked = bench.round(NO_TIME, &[]);
        assert_eq!(asked, [if abort { Asked::Reset(conn) } else { Asked::Close(conn) }]);
        let closes = ["linger", last].map(|name| ended(name, 0, "Closed"));
        assert_eq!(bench.ended(), [[ended("send", 0, "Closed(Requested)")].as_slice(), &closes].concat());
        assert_eq!(bench.model.next_deadline(), None);
    }
}

#[test]
fn k2_a_close_of_what_is_closed_at_once_completes_when_it_is_gone() {
    let mut bench = Bench::new();
    let conn = stuck(&mut bench);
    assert_eq!(bench.model.close(conn), Ok(true));
    for (name, close) in [("flush", Close::flush().within(MS)), ("abort", Close::abort())] {
        bench.submit(conn, close, name);
    }
    assert_eq!(bench.model.next_deadline(), None, "there is nothing to wait for");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)], "what is under way stays as it is");
    let closes = ["flush", "abort"].map(|name| ended(name, 0, "Closed"));
    assert_eq!(bench.ended(), [[ended("send", 0, "Closed(Requested)")].as_slice(), &closes].concat());
    assert_eq!(bench.try_submit(conn, Close::flush(), "late").unwrap_err().kind, SubmitErrorKind::Stale);
}

#[test]
fn k2_close_says_once_that_it_closes() {
    let mut bench = Bench::new();
    let conn = stuck(&mut bench);
    assert_eq!((bench.model.close(conn), bench.model.close(conn)), (Ok(true), Ok(false)));
    assert_eq!(bench.model.close_with(conn, 7), Ok(false));
    bench.round(NO_TIME, &[]);
    assert_eq!(bench.ended(), [ended("send", 0, "Closed(Requested)")]);
    assert_eq!(bench.model.close(conn), Err(IdError::Stale));
    assert_eq!(bench.model.close_if_open(conn), Err(IdError::Stale));
}

/// What a program does whose submission is refused, because the connection is being closed.
#[test]
fn k2_close_if_open_cuts_off_no_last_answer() {
    let mut bench = Bench::new();
    let [conn, open] = [stuck(&mut bench), bench.stream()];
    bench.submit(conn, Close::linger(10 * MS).code(3), "linger");
    assert_eq!((bench.model.close_if_open(conn), bench.model.close_if_open(open)), (Ok(false), Ok(true)));
    assert_eq!(bench.model.close_if_open(open), Ok(false));
    bench.model.on_ready(conn, Readiness::WRITABLE);
    let asked = bench.round(NO_TIME, &[Transferred(3)]);
    assert_eq!(asked, [Asked::Close(open), Asked::Send(conn, 3)]);
    assert_eq!(bench.round(NO_TIME, &[Outcome::Done]), [Asked::Shutdown(conn)]);
    assert_eq!(bench.model.close_with(conn, 1), Ok(true), "close means it");
    bench.round(NO_TIME, &[]);
    assert_eq!(bench.ended(), [ended("send", 3, "Sent"), ended("linger", 0, "Closed")]);
    // What a shutdown lets finish is left to it by both.
    let conn = stuck(&mut bench);
    bench.model.shut_down_by(Deadline::At(bench.now + MS), || unreachable!("it is not relative"));
    assert_eq!((bench.model.close_if_open(conn), bench.model.close(conn)), (Ok(false), Ok(false)));
    assert_eq!(bench.model.close_with(conn, 9), Ok(false));
    bench.round(MS, &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("send", 0, &format!("Closed({:?})", CloseReason::ShutDown))]);
}
