//! Sends that are queued one behind the other go out together, and each completes by itself.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::bench::{Asked, Bench, MS, ended, limits};
use aio_model::Outcome::{self, Transferred, WouldBlock};
use aio_model::{
    Buffer, Close, ConnId, Limits, Parts, Readiness, SLICES_MAX, Send, Shutdown, SystemError, SystemErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;
const SENT: &str = "Sent";

/// A model with so many bytes for a lane in a turn.
fn bench(lane_transfer_max: u32) -> Bench {
    let lane_transfer_max = NonZeroU32::new(lane_transfer_max).unwrap();
    Bench::with(Limits { lane_transfer_max, lane_ops_max: limits().ops_max, ..limits() }, 2)
}

fn parts(parts: &[&'static str]) -> Parts {
    parts.iter().copied().map(Buffer::from).collect()
}

fn send_three(bench: &mut Bench) -> ConnId {
    let conn = bench.stream();
    bench.submit(conn, Send::new("abc"), "first");
    bench.submit(conn, Send::new(parts(&["d", "", "efg"])), "second");
    bench.submit(conn, Send::new("hi"), "third");
    conn
}

/// Has the next call answered, and returns the bytes that it was lent.
fn lent(bench: &mut Bench, conn: ConnId, outcome: Outcome) -> Vec<u8> {
    let mut bytes = vec![];
    bench.model.on_ready(conn, Readiness::WRITABLE);
    bench.model.begin_round();
    assert!(bench.model.attempt(|call| {
        match call {
            aio_model::Syscall::Send { bytes: lent, .. } => bytes.extend(lent),
            aio_model::Syscall::SendVectored { slices, .. } => {
                assert!(slices.iter().count() <= SLICES_MAX);
                slices.iter().for_each(|slice| bytes.extend(slice));
                assert_eq!(bytes.len(), slices.len());
            }
            other => panic!("{other:?} is no send"),
        }
        outcome
    }));
    bench.model.check().unwrap();
    bytes
}

#[test]
fn c4_queued_sends_go_out_in_one_call_and_each_completes_by_itself() {
    let mut bench = bench(100);
    let conn = send_three(&mut bench);
    bench.submit(conn, Shutdown::write(), "fin");
    bench.submit(conn, Close::flush(), "close");
    let asked = bench.round(NO_TIME, &[Transferred(9), Outcome::Done]);
    assert_eq!(asked, [Asked::SendVectored(conn, 4, 9), Asked::Shutdown(conn)]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    let sends = [ended("first", 3, SENT), ended("second", 4, SENT), ended("third", 2, SENT)];
    let rest = [ended("fin", 0, "ShutDown"), ended("close", 0, "Closed")];
    assert_eq!(bench.ended(), [sends.as_slice(), &rest].concat());
}

#[test]
fn c4_a_transfer_that_stops_ends_inside_of_one_send() {
    for count in 1..=9 {
        let mut bench = bench(100);
        let conn = send_three(&mut bench);
        assert_eq!(lent(&mut bench, conn, Transferred(count)), b"abcdefghi");
        let done = bench.ended();
        let expected = [(3, "first", 3), (7, "second", 4), (9, "third", 2)];
        let expected = expected.into_iter().filter(|(end, ..)| *end <= count);
        assert_eq!(done, expected.map(|(_, name, bytes)| ended(name, bytes, SENT)).collect::<Vec<_>>());
        if count < 9 {
            let rest = lent(&mut bench, conn, Transferred(9 - count));
            assert_eq!(rest, b"abcdefghi"[count..]);
            assert_eq!(done.len() + bench.ended().len(), 3);
        }
    }
}

#[test]
fn c5_only_the_send_that_was_begun_taints() {
    let mut bench = bench(100);
    let conn = bench.stream();
    let first = bench.submit(conn, Send::new("abc"), "first");
    let second = bench.submit(conn, Send::new("def"), "second");
    bench.submit(conn, Send::new("ghi"), "third");
    bench.model.cancel(first).unwrap();
    assert_eq!(lent(&mut bench, conn, WouldBlock), b"defghi", "what was not begun can be taken back");
    assert_eq!(lent(&mut bench, conn, Transferred(1)), b"defghi");
    bench.model.cancel(second).unwrap();
    let third = ended("third", 0, "Tainted");
    let expected = [ended("first", 0, "Cancelled"), ended("second", 1, "Cancelled"), third];
    assert_eq!(bench.ended(), expected);
}

#[test]
fn c4_what_does_not_fit_into_the_share_of_bytes_is_not_begun() {
    for (lane_transfer_max, expected) in
        [(1, "abc"), (6, "abc"), (7, "abcdefg"), (8, "abcdefg"), (9, "abcdefghi")]
    {
        let mut bench = bench(lane_transfer_max);
        let conn = send_three(&mut bench);
        assert_eq!(lent(&mut bench, conn, WouldBlock), expected.as_bytes(), "{lane_transfer_max}");
    }
    // The first one goes out whatever its size.
    let mut bench = bench(5);
    let conn = bench.stream();
    bench.submit(conn, Send::new("longer than that"), "long");
    bench.submit(conn, Send::new("s"), "short");
    assert_eq!(lent(&mut bench, conn, Transferred(12)), b"longer than that");
    assert_eq!(lent(&mut bench, conn, Transferred(5)), b"thats");
    assert_eq!(bench.ended(), [ended("long", 16, SENT), ended("short", 1, SENT)]);
}

#[test]
fn c4_ranges_of_buffers_go_out_together() {
    let mut bench = bench(100);
    let conn = bench.stream();
    bench.submit(conn, Send::new("abcd").skip(1).first(3), "whole");
    bench.submit(conn, Send::new(parts(&["ef", "gh", "ij", "kl"])).skip(3).first(5), "parts");
    bench.submit(conn, Send::new("mnop").skip(3), "end");
    bench.submit(conn, Send::new(parts(&["qr", "st"])).first(1), "begin");
    assert_eq!(lent(&mut bench, conn, Transferred(4)), b"bchipq");
    assert_eq!(lent(&mut bench, conn, Transferred(2)), b"pq");
    assert_eq!(
        bench.ended(),
        [("whole", 2), ("parts", 2), ("end", 1), ("begin", 1)].map(|(name, bytes)| ended(name, bytes, SENT))
    );
}

#[test]
fn k7_as_many_go_out_together_as_a_call_takes_slices() {
    let mut bench = bench(1 << 20);
    let conn = bench.stream();
    for _ in 0..1500 {
        bench.submit(conn, Send::new("xy"), "one");
    }
    let thousand: Parts = (0..1000).map(|_| Buffer::from("z")).collect();
    bench.submit(conn, Send::new(thousand), "of parts");
    assert_eq!(lent(&mut bench, conn, Transferred(2 * 1024)).len(), 2 * 1024);
    // Of several parts, each counts.
    assert_eq!(lent(&mut bench, conn, Transferred(2 * 476)).len(), 2 * 476);
    assert_eq!(lent(&mut bench, conn, Transferred(1000)).len(), 1000);
    assert_eq!(bench.ended().len(), 1501);
}

/// What is sent of one lane in a turn is bounded: others have their turn, however many sends are queued.
#[test]
fn k6_a_lane_that_has_had_its_bytes_goes_to_the_back() {
    let mut bench = bench(8);
    let [flood, other] = [(); 2].map(|()| bench.stream());
    for _ in 0..4 {
        bench.submit(flood, Send::new("abcd"), "flood");
    }
    for _ in 0..5 {
        bench.submit(flood, Send::new("efg"), "flood");
    }
    bench.submit(other, Send::new("x"), "other");
    let two = |bytes| Asked::SendVectored(flood, 2, bytes);
    assert_eq!(bench.round(NO_TIME, &[Transferred(8), Transferred(1)]), [two(8), Asked::Send(other, 1)]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(8)]), [two(8)]);
    // What is left of the share is for another call, which may exceed it.
    assert_eq!(bench.round(NO_TIME, &[Transferred(6), Transferred(6)]), [two(6), two(6)]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(3)]), [Asked::Send(flood, 3)]);
}

/// A deadline of one behind the head ends that alone, and one of the head has everything tried once more.
#[test]
fn t2_a_last_attempt_takes_along_what_is_behind_it() {
    let mut bench = bench(100);
    let conn = bench.stream();
    bench.submit(conn, Send::new("abc").within(2 * MS), "first");
    bench.submit(conn, Send::new("de").within(MS), "second");
    bench.submit(conn, Send::new("fgh"), "third");
    bench.round(NO_TIME, &[WouldBlock]);
    assert_eq!(bench.round(MS, &[]), [], "it is not its turn");
    assert_eq!(bench.ended(), [ended("second", 0, "Deadline")]);
    assert_eq!(bench.round(MS, &[Transferred(4)]), [Asked::SendVectored(conn, 2, 6)]);
    assert_eq!(bench.ended(), [ended("first", 3, SENT)]);
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Transferred(2)]), [Asked::Send(conn, 2)]);
    assert_eq!(bench.ended(), [ended("third", 3, SENT)]);
}

#[test]
fn k4_an_error_reaches_each_of_them() {
    let mut bench = bench(100);
    let conn = send_three(&mut bench);
    assert_eq!(lent(&mut bench, conn, Transferred(4)), b"abcdefghi");
    let reset = SystemError::from_kind(SystemErrorKind::ConnectionReset);
    lent(&mut bench, conn, Outcome::Failed(reset));
    let error = "System(ConnectionReset)";
    assert_eq!(bench.ended(), [ended("first", 3, SENT), ended("second", 1, error), ended("third", 0, error)]);
}

#[test]
fn c4_ten_thousand_sends_with_a_cancel_a_deadline_and_partial_transfers_lose_nothing() {
    let mut bench = bench(1000);
    let conn = bench.stream();
    let mut ops = vec![];
    let mut expected = vec![];
    for serial in 0..10_000_u32 {
        let bytes = serial.to_le_bytes().to_vec();
        let send = Send::new(bytes.clone());
        let send = if serial == 5_000 { send.within(MS) } else { send };
        ops.push(bench.model.submit(conn, send, "send", || bench.now).unwrap());
        if serial != 5_000 && serial != 7_000 {
            expected.extend(bytes);
        }
    }
    bench.model.cancel(ops[7_000]).unwrap();
    assert_eq!(bench.round(MS, &[WouldBlock]).len(), 1);
    let (mut got, mut ends) = (Vec::<u8>::new(), bench.ended());
    for calls in 1..10_000 {
        let count = [1, 990, 3, 991, 500][calls % 5].min(expected.len() - got.len());
        if count == 0 {
            break;
        }
        let bytes = lent(&mut bench, conn, Transferred(count));
        got.extend(&bytes[..count.min(bytes.len())]);
        ends.extend(bench.ended());
    }
    assert!(got == expected);
    assert_eq!(ends.len(), 10_000);
    let sent = ends.iter().filter(|done| **done == ended("send", 4, SENT)).count();
    assert_eq!(sent, 9_998);
    assert!(ends.contains(&ended("send", 0, "Deadline")) && ends.contains(&ended("send", 0, "Cancelled")));
}
