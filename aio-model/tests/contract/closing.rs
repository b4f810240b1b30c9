//! Graceful ends: what they read, how long they take, and what makes them longer or shorter.

use std::time::Duration;

use aio_model::Outcome::{Done, Exhausted, Failed, Interrupted, Transferred, WouldBlock};
use aio_model::{
    Close, ConnId, ConnPhase, Deadline, LanePlace, Outcome, Readiness, Recv, Send, Shutdown, SubmitErrorKind,
    SystemError, SystemErrorKind,
};

use crate::bench::{Asked, Bench, MS};

const NO_TIME: Duration = Duration::ZERO;
const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const SHORT: Outcome = Exhausted(SystemError::from_kind(SystemErrorKind::OutOfMemory));

/// A stream with six bytes to send, of which the kernel has not taken any, and that close behind them.
fn flushing(bench: &mut Bench, close: Close) -> ConnId {
    let conn = bench.stream();
    bench.submit(conn, Send::new("answer"), "send");
    assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Send(conn, 6)]);
    bench.submit(conn, close, "close");
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Flushing);
    conn
}

fn writable(bench: &mut Bench, conn: ConnId) {
    bench.model.on_ready(conn, Readiness::WRITABLE);
    bench.model.check().unwrap();
}

/// How many milliseconds it has.
fn left(bench: &mut Bench) -> Option<u128> {
    let now = bench.now;
    bench.model.next_deadline().map(|at| at.saturating_since(now).as_millis())
}

#[test]
fn k2_what_flushes_throws_away_what_comes() {
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::flush());
    bench.readable(conn);
    let discard = Asked::Discard(conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(9); 4]), [discard; 4], "as many as a lane may");
    assert_eq!(bench.round(NO_TIME, &[Transferred(9), WouldBlock]), [discard; 2]);
    assert_eq!(bench.round(NO_TIME, &[]), [], "nothing is at hand");
    assert_eq!(left(&mut bench), None, "a flush has as much time as its deadline says");
    bench.readable(conn);
    writable(&mut bench, conn);
    assert_eq!(bench.round(NO_TIME, &[WouldBlock, Transferred(6)]), [discard, Asked::Send(conn, 6)]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("send", 6, "Sent".into()), ("close", 0, "Closed".into())]);
    assert_eq!(bench.model.stats().counters.bytes_received, 0);
}

#[test]
fn k2_bytes_that_the_kernel_takes_give_a_lingering_close_its_span_anew() {
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::linger(10 * MS));
    let (send, discard) = (|count| Asked::Send(conn, count), Asked::Discard(conn));
    assert_eq!(left(&mut bench), Some(10), "from its submission");
    bench.readable(conn);
    assert_eq!(bench.round(4 * MS, &[Transferred(9), WouldBlock]), [discard; 2]);
    assert_eq!(left(&mut bench), Some(6), "what the peer says does not count");
    for count in [6, 5] {
        writable(&mut bench, conn);
        assert_eq!(bench.round(3 * MS, &[Transferred(1)]), [send(count)]);
        assert_eq!(left(&mut bench), Some(10), "what it takes does");
    }
    writable(&mut bench, conn);
    assert_eq!(bench.round(8 * MS, &[Transferred(4)]), [send(4)]);
    assert_eq!(left(&mut bench), Some(10));
    assert_eq!(bench.round(2 * MS, &[Interrupted; 4]), [Asked::Shutdown(conn); 4]);
    assert_eq!(left(&mut bench), Some(10), "anew with the first try at FIN");
    assert_eq!(bench.round(3 * MS, &[SHORT]), [Asked::Shutdown(conn)]);
    assert_eq!(left(&mut bench), Some(1), "the end of the pause");
    assert_eq!(bench.round(MS, &[]), []);
    assert_eq!(bench.round(NO_TIME, &[Done]), [Asked::Shutdown(conn)]);
    assert_eq!(left(&mut bench), Some(6), "from the first try at FIN");
    bench.readable(conn);
    assert_eq!(bench.round(5 * MS, &[Transferred(9), WouldBlock]), [discard; 2]);
    assert_eq!(bench.round(MS, &[]), [discard], "one last try");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("send", 6, "Sent".into()), ("close", 0, "Closed".into())]);
    assert_eq!(bench.model.stats().timers, 0);
}

#[test]
fn k2_a_peer_that_takes_nothing_ends_a_lingering_close_whatever_it_says() {
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::linger(10 * MS).code(7));
    for _ in 0..9 {
        bench.readable(conn);
        assert_eq!(bench.round(MS, &[Transferred(1), WouldBlock]), [Asked::Discard(conn); 2]);
    }
    assert_eq!(bench.round(MS, &[]), [Asked::Send(conn, 6)], "one last try");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("send", 0, "Closed(Code(7))".into()), ("close", 0, "Closed".into())]);
}

#[test]
fn k2_a_close_with_a_deadline_ends_at_it_whatever_is_taken() {
    for end in ["flushing", "lingering"] {
        let mut bench = Bench::new();
        let conn = flushing(&mut bench, Close::linger(10 * MS).within(15 * MS));
        writable(&mut bench, conn);
        let taken = if end == "flushing" { 1 } else { 6 };
        bench.round(9 * MS, &[Transferred(taken)]);
        bench.round(NO_TIME, if taken == 6 { &[Done] } else { &[] });
        assert_eq!(left(&mut bench), Some(6), "{end}");
        bench.ended();
        let last = if end == "flushing" { Asked::Send(conn, 5) } else { Asked::Discard(conn) };
        assert_eq!(bench.round(6 * MS, &[]), [last], "one last try");
        let cut = if end == "flushing" { Asked::Reset(conn) } else { Asked::Close(conn) };
        assert_eq!(bench.round(NO_TIME, &[]), [cut], "{end}");
        let closed = ("close", 0, "Closed".into());
        match end {
            "flushing" => assert_eq!(bench.ended(), [("send", 1, "Closed(Requested)".into()), closed]),
            _ => assert_eq!(bench.ended(), [closed]),
        }
        assert_eq!((bench.model.stats().timers, bench.model.stats().counters.expired), (0, 0));
    }
}

#[test]
fn k2_the_span_of_a_lingering_close_runs_from_its_submission() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("answer"), "send");
    bench.round(NO_TIME, &[WouldBlock]);
    // The program took a while before it closed.
    bench.now = bench.now + 25 * MS;
    bench.submit(conn, Close::linger(10 * MS), "close");
    assert_eq!(left(&mut bench), Some(10));
    assert_eq!(bench.round(9 * MS, &[]), []);
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Flushing);
    // Nothing makes it shorter: not a FIN that was sent before, either.
    let conn = bench.stream();
    bench.submit(conn, Shutdown::write(), "fin");
    bench.round(2 * MS, &[Done]);
    bench.now = bench.now + 25 * MS;
    bench.submit(conn, Close::linger(10 * MS), "close");
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Lingering);
    bench.round(9 * MS, &[]);
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Lingering);
    bench.round(MS, &[]);
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Closing);
}

#[test]
fn k2_sends_go_on_behind_the_end_of_the_peer_and_then_nothing_lingers() {
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::linger(10 * MS));
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(9), Transferred(0)]), [Asked::Discard(conn); 2]);
    bench.model.on_ready(conn, Readiness::READABLE | Readiness::READ_CLOSED);
    assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Send(conn, 6)], "nothing more can come");
    writable(&mut bench, conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(6)]), [Asked::Send(conn, 6)]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("send", 6, "Sent".into()), ("close", 0, "Closed".into())]);
}

#[test]
fn k2_an_error_that_is_found_while_flushing_ends_the_sends_and_the_close() {
    let broken = SystemError::from_kind(SystemErrorKind::Other);
    for (outcome, error) in [(Failed(RESET), RESET), (Done, broken)] {
        let mut bench = Bench::new();
        let conn = flushing(&mut bench, Close::linger(10 * MS));
        bench.readable(conn);
        let asked = bench.round(NO_TIME, &[outcome]);
        assert_eq!(asked, [Asked::Discard(conn), Asked::Reset(conn)]);
        let told = format!("System({error:?})");
        assert_eq!(bench.ended(), [("send", 0, told), ("close", 0, "Closed".into())]);
        assert_eq!(bench.model.stats().timers, 0);
    }
}

#[test]
fn k2_what_waited_for_a_buffer_or_paused_reads_on_once_it_flushes() {
    for waits in [LanePlace::Parked, LanePlace::BackingOff] {
        let buffers = if waits == LanePlace::Parked { 0 } else { 1 };
        let mut bench = Bench::with_pools(&[(buffers, 8)]);
        let conn = bench.stream();
        bench.submit(conn, Recv::pooled(), "recv");
        bench.submit(conn, Send::new("answer"), "send");
        bench.readable(conn);
        let outcomes = [WouldBlock, SHORT];
        bench.round(NO_TIME, if waits == LanePlace::Parked { &outcomes[..1] } else { &outcomes });
        assert_eq!(bench.model.conn_info(conn).unwrap().receive.place, waits);
        bench.submit(conn, Close::flush(), "close");
        assert_eq!(bench.ended(), [("recv", 0, "Closed(Requested)".into())]);
        assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Discard(conn)], "{waits:?}");
        assert_eq!((bench.model.stats().timers, bench.model.stats().lanes_parked), (0, 0));
    }
}

#[test]
fn k5_what_flushes_pauses_its_reading_and_goes_on_sending() {
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::linger(10 * MS));
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[SHORT]), [Asked::Discard(conn)]);
    assert_eq!(left(&mut bench), Some(1));
    writable(&mut bench, conn);
    assert_eq!(
        bench.round(NO_TIME, &[Transferred(6)]),
        [Asked::Send(conn, 6)],
        "the FIN waits for the pause"
    );
    assert_eq!(bench.round(MS, &[]), []);
    let asked = bench.round(NO_TIME, &[Done, Transferred(0)]);
    assert_eq!(asked, [Asked::Shutdown(conn), Asked::Discard(conn), Asked::Close(conn)]);
}

/// Streams that are shut down by `10 ms` from now: with something to send, with nothing, and one that lingers
/// already.
fn shut_down(bench: &mut Bench, own: Duration) -> [ConnId; 3] {
    let lingers = flushing(bench, Close::linger(own));
    let (sends, idle) = (bench.stream(), bench.stream());
    bench.submit(sends, Recv::pooled(), "recv");
    bench.submit(sends, Send::new("bye"), "send");
    let by = bench.now + 10 * MS;
    bench.model.shut_down_by(Deadline::At(by), || unreachable!("it is not relative"));
    bench.model.check().unwrap();
    [lingers, sends, idle]
}

#[test]
fn k2_a_shut_down_with_a_deadline_lingers_until_then() {
    let mut bench = Bench::new();
    let [lingers, sends, idle] = shut_down(&mut bench, 50 * MS);
    assert_eq!(left(&mut bench), Some(10), "sooner than the close would have ended");
    for conn in [lingers, sends, idle] {
        let refused = bench.try_submit(conn, Close::now(), "late").unwrap_err();
        assert_eq!(refused.kind, SubmitErrorKind::ShutDown);
    }
    writable(&mut bench, lingers);
    let asked = bench.round(NO_TIME, &[Transferred(3), Done, Transferred(6)]);
    assert_eq!(asked, [Asked::Send(sends, 3), Asked::Shutdown(idle), Asked::Send(lingers, 6)]);
    let fins = bench.round(NO_TIME, &[Done, Done]);
    assert_eq!(fins, [Asked::Shutdown(sends), Asked::Shutdown(lingers)]);
    for conn in [lingers, sends, idle] {
        assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Lingering);
        bench.readable(conn);
    }
    let discard = Asked::Discard;
    let asked = bench.round(4 * MS, &[Transferred(0), Transferred(9), WouldBlock, WouldBlock]);
    assert_eq!(asked[..2], [discard(lingers), Asked::Close(lingers)]);
    assert_eq!(asked[2..], [sends, sends, idle].map(discard));
    assert_eq!(left(&mut bench), Some(6), "bytes of the peers do not put it off");
    // Somebody who closes what fails would cut off what the shutdown lets finish.
    bench.model.close(sends).unwrap();
    assert_eq!(bench.model.conn_info(sends).unwrap().phase, ConnPhase::Lingering);
    let sooner = bench.now + 2 * MS;
    bench.model.shut_down_by(Deadline::At(sooner), || unreachable!("it is not relative"));
    assert_eq!(bench.round(2 * MS, &[]), [sends, idle].map(discard), "one last try each");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(sends), Asked::Close(idle)]);
    bench.ended();
    assert!(bench.model.is_drained());
    assert_eq!(bench.model.stats().timers, 0);
}

#[test]
fn k2_a_shut_down_never_makes_a_close_last_longer_or_changes_it() {
    let mut bench = Bench::new();
    let [lingers, ..] = shut_down(&mut bench, 5 * MS);
    bench.round(5 * MS, &[WouldBlock, Done]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(lingers)], "its own time is up");
    // One that only flushes does not linger because of it.
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::flush().code(7));
    bench.model.shut_down_by(Deadline::At(bench.now + 10 * MS), || unreachable!("it is not relative"));
    writable(&mut bench, conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(6)]), [Asked::Send(conn, 6)]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    // What is cut off is told what was said first.
    let mut bench = Bench::new();
    let conn = flushing(&mut bench, Close::linger(50 * MS).code(7));
    bench.model.shut_down_by(Deadline::At(bench.now + 10 * MS), || unreachable!("it is not relative"));
    assert_eq!(bench.round(10 * MS, &[]), [Asked::Send(conn, 6)], "one last try");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("send", 0, "Closed(Code(7))".into()), ("close", 0, "Closed".into())]);
}

/// What leaves the run queue because of another lane, or closes, does not let anybody be served twice.
#[test]
fn k6_an_end_in_the_middle_of_a_round_gives_nobody_a_second_share() {
    for sends_first in [true, false] {
        let mut bench = Bench::new();
        let ends = flushing(&mut bench, Close::flush());
        let first = bench.stream();
        bench.submit(first, Recv::exact(vec![0; 99]), "recv");
        bench.readable(first);
        if sends_first {
            writable(&mut bench, ends);
        }
        bench.readable(ends);
        writable(&mut bench, ends);
        let (outcome, calls) = match sends_first {
            true => (Transferred(6), [Asked::Send(ends, 6), Asked::Close(ends)]),
            false => (Failed(RESET), [Asked::Discard(ends), Asked::Reset(ends)]),
        };
        let one = Outcome::Partial(1);
        let asked = bench.round(NO_TIME, &[one, one, one, one, outcome]);
        let served = [99, 98, 97, 96].map(|space| Asked::Recv(first, space));
        assert_eq!(asked, [&served[..], &calls].concat());
    }
}
