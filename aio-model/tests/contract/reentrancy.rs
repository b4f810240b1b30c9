//! Anything may be done at any time (C7), and whatever is done, buffers stay the user's (B1, B4).

use std::num::NonZeroU32;
use std::thread;
use std::time::Duration;

use crate::bench::{Asked, Bench, MS, ended, limits};
use aio_model::Outcome::{Done, Exhausted, Failed, Interrupted, Transferred, WouldBlock};
use aio_model::{
    Accept, Buffer, ConnId, Limits, OpError, OpId, OpIdError, Parts, Recv, Send, Sleep, Syscall, SystemError,
    SystemErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;

/// Ends the operation, one way or another.
type End = fn(&mut Bench, ConnId, OpId);

#[test]
fn c7_between_two_calls_of_a_turn_anything_may_be_done() {
    let mut bench = Bench::new();
    let [a, b, c, d] = [(); 4].map(|()| bench.stream());
    bench.submit(a, Send::new("first"), "a");
    let cancelled = bench.submit(b, Send::new("x"), "b");
    bench.submit(c, Send::new("x"), "c");
    bench.model.begin_round();
    assert!(bench.model.attempt(|_| Transferred(5)));
    // The lanes of b and c are the next in this turn, and that of d is not in it.
    bench.model.cancel(cancelled).unwrap();
    bench.model.close(c).unwrap();
    bench.submit(a, Send::new("again"), "again");
    bench.submit(d, Send::new("x"), "d");
    bench.model.check().unwrap();
    let more = bench.model.attempt(|call| unreachable!("{call:?}: a was served, the others came in between"));
    assert!(!more, "the lanes that it had left have nothing to do any more");
    let asked = bench.round(NO_TIME, &[Transferred(5), Transferred(1)]);
    assert_eq!(asked, [Asked::Close(c), Asked::Send(a, 5), Asked::Send(d, 1)], "they are served in the next");
    let all = [
        ended("a", 5, "Sent"),
        ended("b", 0, "Cancelled"),
        ended("c", 0, "Closed(Requested)"),
        ended("again", 5, "Sent"),
        ended("d", 1, "Sent"),
    ];
    assert_eq!(bench.ended(), all);
}

/// A lane that leaves a queue from its middle leaves an entry there, with a number that comes round.
#[test]
fn k6_what_a_lane_left_behind_in_a_queue_never_counts_again() {
    let mut bench = Bench::with(Limits { connections_max: NonZeroU32::MIN, ..limits() }, 2);
    let listener = bench.listener();
    let first = bench.submit(listener, Accept::many(), "first");
    bench.readable(listener);
    assert_eq!(bench.model.stats().lanes_held, 1);
    bench.model.cancel(first).unwrap();
    bench.model.age(u32::MAX);
    bench.submit(listener, Accept::many(), "second");
    assert_eq!(bench.model.stats().lanes_held, 1);
    bench.model.check().unwrap();
}

/// The user takes the last credit, or the last place, while the first of two listeners is being served.
#[test]
fn k6_who_was_served_waits_behind_who_was_not() {
    let four = NonZeroU32::new(4).unwrap();
    for (credit, limits) in
        [(true, Limits { ops_max: four, ..limits() }), (false, Limits { connections_max: four, ..limits() })]
    {
        let mut bench = Bench::with(limits, 2);
        let [first, second] = [(); 2].map(|()| bench.listener());
        for listener in [first, second] {
            bench.submit(listener, Accept::many(), "accept");
            bench.readable(listener);
        }
        bench.model.begin_round();
        assert!(bench.model.attempt(|call| if call.conn() == first { Done } else { WouldBlock }));
        let taken = if credit {
            bench.submit(bench.model.own(), Sleep::new(MS), "the last credit");
            None
        } else {
            Some(bench.stream())
        };
        assert!(!bench.model.attempt(|call| unreachable!("{call:?}: there is no place")), "they are held");
        bench.completions();
        if let Some(conn) = taken {
            bench.model.close(conn).unwrap();
            assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
        }
        let next = bench.round(NO_TIME, &[Done]);
        assert_eq!(next, [Asked::Accept(second)], "the credit: {credit}");
    }
}

#[test]
fn k6_whoever_leaves_the_line_in_the_middle_of_a_turn_changes_nobodys_share() {
    let mut bench = Bench::with(Limits { lane_attempts_max: NonZeroU32::new(2).unwrap(), ..limits() }, 2);
    let [a, b, c] = [(); 3].map(|()| bench.stream());
    let first = bench.submit(a, Send::new([0; 64].to_vec()), "a");
    let behind = bench.submit(b, Send::new([0; 64].to_vec()), "b");
    bench.submit(c, Send::new([0; 64].to_vec()), "c");
    let calls = |bench: &mut Bench, most: usize| {
        let mut calls = Vec::new();
        let mut call = |call: Syscall<'_>| {
            calls.push(call.conn());
            Interrupted
        };
        for _ in 0..most {
            if !bench.model.attempt(&mut call) {
                break;
            }
        }
        calls
    };
    // The lane at the front is removed when it has made one of its two attempts: the next still has two.
    bench.model.begin_round();
    assert_eq!(calls(&mut bench, 1), [a]);
    bench.model.cancel(first).unwrap();
    assert_eq!(calls(&mut bench, 9), [b, b, c, c]);
    // The lane behind it is removed: the first does not get a second share.
    bench.model.begin_round();
    bench.model.cancel(behind).unwrap();
    assert_eq!(calls(&mut bench, 9), [c, c]);
}

#[test]
fn c7_between_two_completions_anything_may_be_done() {
    let mut bench = Bench::with(limits(), 1);
    let [a, b, c] = [(); 3].map(|()| bench.stream());
    bench.submit(a, Recv::pooled(), "lease");
    let waits = bench.submit(a, Recv::pooled(), "parked");
    bench.submit(b, Send::new("x"), "sent");
    let over = bench.submit(c, Send::new("x"), "over");
    bench.readable(a);
    let asked = bench.round(NO_TIME, &[Transferred(1), Transferred(1), Transferred(8)]);
    assert_eq!(asked, [Asked::Send(b, 1), Asked::Send(c, 1), Asked::Recv(a, 8)]);
    assert!(bench.model.has_parked());

    // Three completions wait. Handling the first: a queued operation is cancelled, one that has ended is not.
    let first = bench.model.next_completion().unwrap();
    assert_eq!(first.context, "sent");
    assert_eq!(bench.model.cancel(over), Err(OpIdError::Stale), "its completion waits to be taken");
    bench.submit(b, Send::new("y"), "answer");
    bench.model.cancel(waits).unwrap();
    bench.model.check().unwrap();

    // Handling the second: its connection is closed, and another opened.
    assert_eq!(bench.model.next_completion().unwrap().context, "over");
    bench.model.close(c).unwrap();
    let d = bench.stream();
    bench.submit(d, Recv::pooled(), "new");
    bench.readable(d);

    // Handling the third: its lease is released, and everything cancelled.
    let lease = bench.model.next_completion().unwrap();
    assert_eq!((lease.context, lease.received()), ("lease", &[1, 2, 3, 4, 5, 6, 7, 8][..]));
    drop(lease);
    bench.fetch();
    assert_eq!(bench.model.cancel_all(b), Ok(1));
    bench.model.check().unwrap();

    assert_eq!(bench.round(NO_TIME, &[Transferred(2)]), [Asked::Close(c), Asked::Recv(d, 8)]);
    let all = [
        ended("parked", 0, "Cancelled"),
        ended("answer", 0, "Cancelled"),
        ended("new", 2, "Received { end_of_stream: false }"),
    ];
    assert_eq!(bench.ended(), all);
}

#[test]
fn b1_a_buffer_comes_back_from_every_end_and_in_the_end_none_is_lent() {
    const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
    let endings: [(&str, End); 7] = [
        ("Cancelled", |bench, _, op| bench.model.cancel(op).unwrap()),
        ("Deadline", |bench, _, _| assert_eq!(bench.round(5 * MS, &[Exhausted(RESET)]).len(), 2)),
        ("System(ConnectionReset)", |bench, _, _| {
            assert_eq!(bench.round(NO_TIME, &[Failed(RESET)]).len(), 1);
        }),
        ("Received { end_of_stream: true }", |bench, _, _| {
            assert_eq!(bench.round(NO_TIME, &[Transferred(0)]).len(), 1);
        }),
        ("Received { end_of_stream: false }", |bench, _, _| {
            assert_eq!(bench.round(NO_TIME, &[Transferred(1)]).len(), 1);
        }),
        ("Closed(Requested)", |bench, conn, _| assert!(bench.model.close(conn).unwrap())),
        ("Closed(ShutDown)", |bench, _, _| bench.model.shut_down()),
    ];
    let once = Limits { lane_attempts_max: NonZeroU32::MIN, ..limits() };
    for (result, end) in endings {
        for pooled in [true, false] {
            let mut bench = Bench::with(once, 1);
            let conn = bench.stream();
            let recv = if pooled { Recv::pooled() } else { Recv::into(vec![0; 8]) };
            let op = bench.submit(conn, recv.within(5 * MS), "recv");
            bench.readable(conn);
            bench.round(NO_TIME, &[Interrupted]);
            assert_eq!(bench.model.outstanding(), u32::from(pooled), "it is about to be filled");
            end(&mut bench, conn, op);
            let done = bench.completions().remove(0);
            assert_eq!(
                done.result.map_or_else(|error| format!("{error:?}"), |done| format!("{done:?}")),
                result
            );
            match done.buffer {
                Buffer::Vec(bytes) => assert_eq!((bytes.len(), pooled), (8, false)),
                Buffer::Lease(lease) => assert_eq!((lease.len(), pooled), (1, true)),
                other => assert!(pooled && done.bytes == 0, "{other:?}"),
            }
            bench.fetch();
            assert_eq!(bench.model.outstanding(), 0, "{result}");
        }
    }
}

#[test]
fn b4_a_lease_is_sent_as_it_is_turned_into_bytes_or_dropped_on_any_thread() {
    let mut bench = Bench::with(limits(), 8);
    let conn = bench.stream();
    let mut leases = [(); 3].map(|()| {
        bench.submit(conn, Recv::pooled(), "recv");
        bench.readable(conn);
        bench.round(NO_TIME, &[Transferred(2)]);
        bench.completions().remove(0).buffer
    });
    assert_eq!(bench.model.outstanding(), 3);
    let [sent, shared, dropped] = leases.each_mut().map(std::mem::take);
    let address = sent.as_slice().as_ptr();
    bench.submit(conn, Send::new(sent), "send");
    assert_eq!(bench.round(NO_TIME, &[Transferred(2)]), [Asked::Send(conn, 2)]);
    let done = bench.completions().remove(0);
    assert_eq!(done.buffer.as_slice().as_ptr(), address, "it is the same buffer, and not a copy");
    assert!(matches!(done.buffer, Buffer::Lease(_)));
    let bytes = shared.into_bytes();
    let tail = bytes.slice(1..);
    thread::spawn(move || drop((dropped, bytes, done))).join().unwrap();
    bench.fetch();
    assert_eq!(
        (bench.model.outstanding(), &tail[..]),
        (1, &[2][..]),
        "a part of the shared bytes is all of them"
    );
    // The rest of them is a part of a send, and goes home from there.
    let parts = Parts::from_iter([Buffer::Static(b"header"), Buffer::Bytes(tail)]);
    bench.submit(conn, Send::new(parts), "parts");
    assert_eq!(bench.round(NO_TIME, &[Transferred(7)]), [Asked::SendVectored(conn, 2, 7)]);
    let done = bench.completions().remove(0);
    assert_eq!((done.bytes, done.result), (7, Ok::<_, OpError>(aio_model::Done::Sent)));
    thread::spawn(move || drop(done)).join().unwrap();
    bench.fetch();
    assert_eq!(bench.model.outstanding(), 0);
}
