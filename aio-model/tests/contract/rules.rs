//! The rules of the contract, one or more tests each, with the test playing the operating system.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::bench::{Asked, Bench, MS, ended, limits};
use aio_model::Outcome::{Done, Exhausted, Failed, Interrupted, Partial, Transferred, WouldBlock};
use aio_model::{
    Accept, Buffer, Close, ConnId, Deadline, Done::Accepted, IdError, Instant, Kind, Limit, Limits, OpId,
    OpIdError, OpenError, Parts, Post, Readiness, Recv, ResumeError, Send, Shutdown, Sleep, SubmitErrorKind,
    SystemError, SystemErrorKind,
};

const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const EMFILE: SystemError = SystemError::from_kind(SystemErrorKind::DescriptorsExhausted);
const NO_TIME: Duration = Duration::ZERO;

#[test]
fn c2_counts_are_cumulative_over_every_attempt() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vec![0; 6]), "exact");
    bench.submit(conn, Send::new(vec![0; 5]), "send");
    bench.readable(conn);
    let asked = bench.round(NO_TIME, &[Transferred(5), Transferred(2)]);
    assert_eq!(asked, [Asked::Send(conn, 5), Asked::Recv(conn, 6)]);
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[Interrupted, Transferred(4)]), [Asked::Recv(conn, 4); 2]);
    let done = bench.completions();
    assert_eq!((done[0].context, done[0].bytes), ("send", 5));
    assert_eq!((done[1].context, done[1].bytes), ("exact", 6));
    assert_eq!(done[1].received(), [1, 2, 1, 2, 3, 4]);
}

#[test]
fn k4_an_exact_receive_cut_short_reports_what_came_and_the_end_is_sticky() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vec![0; 6]), "exact");
    bench.submit(conn, Recv::into(vec![0; 6]), "any");
    bench.submit(conn, Recv::pooled(), "pooled");
    bench.model.on_ready(conn, Readiness::READABLE | Readiness::READ_CLOSED);
    bench.round(NO_TIME, &[Transferred(3), Transferred(0)]);
    let eof = "Received { end_of_stream: true }";
    assert_eq!(
        bench.ended(),
        [ended("exact", 3, "UnexpectedEof"), ended("any", 0, eof), ended("pooled", 0, eof)]
    );
    bench.submit(conn, Recv::pooled(), "after");
    assert_eq!(bench.ended(), [ended("after", 0, eof)], "no call is needed to know");
    assert_eq!(bench.model.outstanding(), 0);
}

#[test]
fn k4_an_error_reaches_every_operation_of_its_lane_and_none_of_the_other() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vec![0; 6]), "exact");
    bench.submit(conn, Recv::pooled(), "pooled");
    bench.submit(conn, Send::new("x"), "send");
    bench.readable(conn);
    bench.round(NO_TIME, &[WouldBlock, Transferred(2)]);
    bench.model.on_ready(conn, Readiness::ERROR);
    bench.round(NO_TIME, &[Failed(RESET), Transferred(1)]);
    let reset = "System(ConnectionReset)";
    assert_eq!(
        bench.ended(),
        [ended("exact", 2, reset), ended("pooled", 0, reset), ended("send", 1, "Sent")]
    );
}

#[test]
fn c5_a_send_that_ends_in_the_middle_taints_its_lane_until_it_is_resumed() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new(vec![0; 10]).within(5 * MS), "half");
    bench.submit(conn, Send::new("next"), "next");
    bench.submit(conn, Shutdown::write(), "fin");
    bench.round(NO_TIME, &[Transferred(4)]);
    assert_eq!(bench.round(5 * MS, &[WouldBlock]), [Asked::SendVectored(conn, 2, 10)], "one last try");
    let tainted = "Tainted";
    assert_eq!(
        bench.ended(),
        [ended("half", 4, "Deadline"), ended("next", 0, tainted), ended("fin", 0, tainted)]
    );
    let refused = bench.try_submit(conn, Send::new("no"), "no").unwrap_err();
    assert_eq!((refused.kind, refused.context, refused.buffer.len()), (SubmitErrorKind::Tainted, "no", 2));
    bench.model.resume(conn).unwrap();
    assert_eq!(bench.model.resume(conn), Err(ResumeError::NotTainted));
    bench.submit(conn, Send::new(vec![0; 10]).skip(4), "rest");
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Transferred(6)]), [Asked::Send(conn, 6)]);
    assert_eq!(bench.ended(), [ended("rest", 6, "Sent")]);
}

#[test]
fn c3_only_a_deadline_or_a_cancel_ends_an_operation_before_an_earlier_one() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::into(vec![0; 2]), "first");
    bench.submit(conn, Recv::into(vec![0; 2]).within(MS), "second");
    let third = bench.submit(conn, Recv::into(vec![0; 2]), "third");
    bench.submit(conn, Recv::into(vec![0; 2]), "fourth");
    bench.model.cancel(third).unwrap();
    assert_eq!(bench.model.cancel(third), Err(OpIdError::Stale));
    bench.round(MS, &[]);
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(2), Transferred(1)]);
    let received = "Received { end_of_stream: false }";
    let order = [ended("third", 0, "Cancelled"), ended("second", 0, "Deadline"), ended("first", 2, received)];
    let all = bench.ended();
    assert_eq!(all[..3], order);
    assert_eq!(all[3], ended("fourth", 1, received));
}

#[test]
fn t1_time_ends_what_has_a_deadline_and_nothing_else_and_never_early() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "none");
    bench.submit(conn, Recv::pooled().within(Duration::MAX), "max");
    bench.submit(conn, Recv::pooled().within(MS + Duration::from_nanos(1)), "later");
    assert_eq!(bench.model.next_deadline(), Some(Instant::ZERO + 2 * MS), "rounded up");
    bench.round(MS, &[]);
    assert_eq!(bench.ended(), []);
    bench.round(MS, &[]);
    assert_eq!(bench.ended(), [ended("later", 0, "Deadline")]);
    bench.round(Duration::from_secs(1 << 30), &[]);
    assert_eq!((bench.ended(), bench.model.next_deadline()), (vec![], None));
    bench.model.on_time(Instant::ZERO);
    assert_eq!(bench.model.now(), bench.now, "a step back is no step");
}

#[test]
fn t2_what_is_complete_is_a_success_even_at_its_deadline() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled().within(MS), "op");
    bench.submit(conn, Send::new("x").within(Duration::ZERO), "now");
    bench.readable(conn);
    bench.round(MS, &[Transferred(1), Transferred(1)]);
    let received = "Received { end_of_stream: false }";
    assert_eq!(bench.ended(), [ended("now", 1, "Sent"), ended("op", 1, received)]);
}

#[test]
fn b2_a_buffer_is_lent_when_there_is_something_to_read_and_returned_when_there_is_not() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "op");
    bench.round(NO_TIME, &[]);
    assert_eq!(bench.model.outstanding(), 0);
    bench.readable(conn);
    bench.round(NO_TIME, &[WouldBlock]);
    assert_eq!(bench.model.outstanding(), 0);
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(3)]);
    assert_eq!(bench.model.outstanding(), 1);
    let done = bench.completions().pop().unwrap();
    assert_eq!(done.received(), [1, 2, 3]);
    let bytes = done.buffer.into_bytes();
    let half = bytes.slice(1..);
    drop(bytes);
    bench.fetch();
    assert_eq!((&half[..], bench.model.outstanding()), (&[2, 3][..], 1));
    drop(half);
    bench.fetch();
    assert_eq!(bench.model.outstanding(), 0);
}

#[test]
fn b3_an_empty_pool_parks_in_order_and_each_buffer_goes_to_the_longest_parked() {
    let mut bench = Bench::with(limits(), 1);
    let conns: Vec<_> = (0..4).map(|_| bench.stream()).collect();
    let ops: Vec<_> = conns.iter().map(|conn| bench.submit(*conn, Recv::pooled(), "recv")).collect();
    for conn in &conns {
        bench.readable(*conn);
    }
    assert_eq!(bench.round(NO_TIME, &[Transferred(8)]), [Asked::Recv(conns[0], 8)]);
    bench.submit(conns[3], Send::new("x"), "send");
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Send(conns[3], 1)], "writes go on");
    assert!(bench.model.has_parked());
    // The longest parked gives up, so the buffer goes to the one behind it.
    bench.model.cancel(ops[1]).unwrap();
    let done: Vec<_> = bench.completions().into_iter().map(|done| (done.conn, done.context)).collect();
    assert_eq!(done, [(conns[0], "recv"), (conns[3], "send"), (conns[1], "recv")]);
    bench.fetch();
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(conns[2], 8)]);
    assert_eq!(bench.ended(), [ended("recv", 1, "Received { end_of_stream: false }")]);
    // A buffer that was handed over, but whose operation is cancelled before it could be filled, goes on.
    let op = bench.submit(conns[0], Recv::pooled(), "again");
    bench.readable(conns[0]);
    bench.model.begin_round();
    bench.model.cancel(op).unwrap();
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(conns[3], 8)]);
}

#[test]
fn c6_every_limit_works_at_one_and_a_refusal_gives_everything_back() {
    let mut bench = Bench::with(Limits::ONE, 1);
    let conn = bench.stream();
    assert_eq!(bench.model.open(Kind::Stream), Err(OpenError::Busy(Limit::Connections)));
    bench.submit(conn, Recv::pooled(), "only");
    let refused = bench.try_submit(conn, Send::new(vec![7; 3]), "no").unwrap_err();
    assert_eq!((refused.kind, refused.context), (SubmitErrorKind::Busy(Limit::Ops), "no"));
    assert_eq!(refused.buffer.into_vec().unwrap(), [7; 3]);
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(1)]);
    assert!(bench.try_submit(conn, Recv::pooled(), "no").is_err(), "the completion has not been taken");
    assert_eq!(bench.ended().len(), 1);
    bench.submit(conn, Close::now(), "close");
    bench.round(NO_TIME, &[]);
    assert_eq!(bench.ended(), [ended("close", 0, "Closed")]);
    assert_eq!((bench.model.connections(), bench.model.ops()), (0, 0));
}

#[test]
fn k5_accepting_pauses_without_descriptors_connections_or_credits_and_resumes() {
    let mut limits = limits();
    limits.connections_max = NonZeroU32::new(3).unwrap();
    limits.ops_max = NonZeroU32::new(2).unwrap();
    let mut bench = Bench::with(limits, 1);
    let listener = bench.listener();
    bench.submit(listener, Accept::many(), "accept");
    bench.readable(listener);
    let accept = Asked::Accept(listener);
    assert_eq!(bench.round(NO_TIME, &[Interrupted, Exhausted(EMFILE)]), [accept; 2]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + MS), "a pause, not a spin");
    assert_eq!(bench.round(NO_TIME, &[]), []);
    bench.round(MS, &[]);
    assert_eq!(bench.round(NO_TIME, &[Exhausted(EMFILE)]), [accept]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + 2 * MS), "twice as long");
    bench.round(2 * MS, &[]);
    // One credit is the accept's own, so one completion fits at a time.
    assert_eq!(bench.round(NO_TIME, &[Done]), [accept]);
    assert_eq!(bench.round(NO_TIME, &[]), []);
    let first = bench.completions().pop().unwrap();
    assert!(first.more);
    let Ok(aio_model::Done::Accepted(conn)) = first.result else { panic!("{first:?}") };
    assert_eq!(bench.round(NO_TIME, &[Done]), [accept]);
    assert_eq!(bench.completions().len(), 1);
    assert_eq!(bench.round(NO_TIME, &[]), [], "connections are at their limit");
    bench.model.close(conn).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [accept]);
    bench.model.close(listener).unwrap();
    assert_eq!(bench.ended(), [ended("accept", 0, "Closed(Requested)")]);
}

#[test]
fn k1_a_stale_or_foreign_id_reaches_nobody() {
    let mut bench = Bench::new();
    let old = bench.stream();
    bench.model.close(old).unwrap();
    bench.round(NO_TIME, &[]);
    let new = bench.stream();
    assert_eq!(new.index(), old.index(), "the place is reused");
    bench.submit(new, Recv::pooled(), "new");
    bench.model.on_ready(old, Readiness::READABLE);
    assert_eq!(bench.round(NO_TIME, &[]), [], "the late event wakes nobody");
    assert_eq!(bench.try_submit(old, Recv::pooled(), "").unwrap_err().kind, SubmitErrorKind::Stale);
    assert_eq!(bench.model.close(old), Err(IdError::Stale));
    let mut other = Bench::foreign();
    let foreign = other.stream();
    let op = other.submit(foreign, Recv::pooled(), "other");
    assert_eq!(foreign.key(), old.key(), "but for the realm it would be a valid id");
    assert_eq!(bench.try_submit(foreign, Recv::pooled(), "").unwrap_err().kind, SubmitErrorKind::Foreign);
    assert_eq!(bench.model.cancel(op), Err(OpIdError::Foreign));
    assert_eq!(bench.model.close(foreign), Err(IdError::Foreign));
    assert_eq!(bench.model.stats().counters.events_stale, 1);
}

#[test]
fn k2_close_ends_everything_in_order_and_closed_comes_last() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vec![0; 4]), "recv");
    bench.submit(conn, Send::new("ab"), "send");
    bench.submit(conn, Close::flush().within(5 * MS), "close");
    assert_eq!(bench.try_submit(conn, Recv::pooled(), "").unwrap_err().kind, SubmitErrorKind::Closing);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Send(conn, 2)]);
    bench.model.on_ready(conn, Readiness::WRITABLE);
    let asked = bench.round(NO_TIME, &[Transferred(1)]);
    assert_eq!(asked, [Asked::Send(conn, 1)]);
    bench.model.close(conn).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    let closed = "Closed(Requested)";
    assert_eq!(
        bench.ended(),
        [ended("recv", 0, closed), ended("send", 2, "Sent"), ended("close", 0, "Closed")]
    );
    assert_eq!(bench.model.close(conn), Err(IdError::Stale));
}

#[test]
fn k2_a_flush_that_takes_too_long_is_cut_off() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("ab"), "send");
    bench.submit(conn, Close::flush().within(5 * MS), "close");
    bench.round(NO_TIME, &[WouldBlock]);
    bench.round(5 * MS, &[]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.ended(), [ended("send", 0, "Closed(Requested)"), ended("close", 0, "Closed")]);
}

#[test]
fn k3_a_shutdown_takes_its_place_in_the_send_lane() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("ab"), "send");
    bench.submit(conn, Shutdown::write(), "fin");
    bench.submit(conn, Recv::pooled(), "recv");
    assert_eq!(bench.try_submit(conn, Send::new("x"), "").unwrap_err().kind, SubmitErrorKind::WriteShutDown);
    assert_eq!(bench.round(NO_TIME, &[Transferred(2), Done]), [Asked::Send(conn, 2), Asked::Shutdown(conn)]);
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(1)]);
    let received = "Received { end_of_stream: false }";
    assert_eq!(
        bench.ended(),
        [ended("send", 2, "Sent"), ended("fin", 0, "ShutDown"), ended("recv", 1, received)]
    );
}

#[test]
fn k3_a_cancelled_shutdown_shuts_nothing() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("ab"), "send");
    let fin = bench.submit(conn, Shutdown::write(), "fin");
    bench.model.cancel(fin).unwrap();
    bench.submit(conn, Send::new("cd"), "more");
    assert_eq!(bench.model.cancel_all(conn), Ok(2));
    bench.submit(conn, Send::new("ef"), "again");
}

#[test]
fn k6_a_lane_has_a_budget_a_round_and_then_the_others_come_first() {
    let mut bench = Bench::new();
    let (fast, slow) = (bench.stream(), bench.stream());
    for conn in [fast, slow] {
        for _ in 0..6 {
            bench.submit(conn, Recv::into(vec![0; 1]), "recv");
        }
        bench.readable(conn);
    }
    let asked = bench.round(NO_TIME, &[Transferred(1); 8]);
    assert_eq!(asked, [[Asked::Recv(fast, 1); 4], [Asked::Recv(slow, 1); 4]].concat());
}

#[test]
fn k7_bad_input_is_refused_with_its_own_error() {
    let mut bench = Bench::new();
    let (stream, listener) = (bench.stream(), bench.listener());
    let mut kind =
        |conn, op: aio_model::Request<&'static str>| bench.try_submit(conn, op, "").unwrap_err().kind;
    let recv = |recv: Recv| aio_model::Operation::<&'static str>::into_request(recv);
    let send = |send: Send| aio_model::Operation::<&'static str>::into_request(send);
    assert_eq!(kind(stream, recv(Recv::into(vec![]))), SubmitErrorKind::EmptyBuffer);
    assert_eq!(kind(stream, recv(Recv::into(Buffer::None))), SubmitErrorKind::EmptyBuffer);
    assert_eq!(kind(stream, recv(Recv::into("static"))), SubmitErrorKind::NotWritable);
    assert_eq!(kind(stream, recv(Recv::pooled_from(aio_model::PoolId::new(1)))), SubmitErrorKind::NoPool);
    assert_eq!(kind(listener, recv(Recv::pooled())), SubmitErrorKind::WrongKind);
    assert_eq!(kind(stream, send(Send::new(vec![]))), SubmitErrorKind::EmptyBuffer);
    assert_eq!(kind(stream, send(Send::new("ab").skip(2))), SubmitErrorKind::EmptyBuffer);
    assert_eq!(kind(stream, send(Send::new("ab").skip(3))), SubmitErrorKind::OutOfRange);
    assert_eq!(kind(stream, send(Send::new("ab").first(3))), SubmitErrorKind::OutOfRange);
    let accept = aio_model::Operation::<&'static str>::into_request(Accept::one());
    assert_eq!(kind(stream, accept), SubmitErrorKind::WrongKind);
    assert_eq!(bench.model.ops(), 0);
}

#[test]
fn a_shut_down_model_drains_and_takes_nothing_new() {
    let mut bench = Bench::new();
    let (stream, listener) = (bench.stream(), bench.listener());
    bench.submit(stream, Recv::pooled(), "recv");
    bench.submit(listener, Accept::one(), "accept");
    bench.model.shut_down();
    assert_eq!(bench.try_submit(stream, Recv::pooled(), "").unwrap_err().kind, SubmitErrorKind::ShutDown);
    assert_eq!(bench.model.open(Kind::Stream), Err(OpenError::ShutDown));
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(stream), Asked::Close(listener)]);
    assert!(!bench.model.is_drained());
    let closed = "Closed(ShutDown)";
    assert_eq!(bench.ended(), [ended("recv", 0, closed), ended("accept", 0, closed)]);
    assert!(bench.model.is_drained());
}

#[test]
fn a_shut_down_with_a_deadline_lets_queued_sends_finish() {
    let mut bench = Bench::new();
    let (quick, stuck) = (bench.stream(), bench.stream());
    for conn in [quick, stuck] {
        bench.submit(conn, Recv::pooled(), "recv");
        bench.submit(conn, Send::new("ab"), "send");
    }
    bench.model.shut_down_by(Deadline::At(bench.now + 9 * MS), || unreachable!());
    bench.model.shut_down_by(Deadline::At(bench.now + 5 * MS), || unreachable!());
    assert_eq!(bench.model.next_deadline(), Some(bench.now + 5 * MS), "the sooner end counts");
    bench.round(NO_TIME, &[Transferred(2), WouldBlock]);
    bench.readable(quick);
    let ends = [Asked::Shutdown(quick), Asked::Discard(quick), Asked::Close(quick), Asked::Send(stuck, 2)];
    assert_eq!(bench.round(5 * MS, &[Done, Transferred(0)]), ends, "one last try");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(stuck)]);
    let closed = "Closed(ShutDown)";
    let received = [ended("recv", 0, closed), ended("recv", 0, closed)];
    assert_eq!(
        bench.ended(),
        [&received[..], &[ended("send", 2, "Sent"), ended("send", 0, closed)]].concat()
    );
    assert!(bench.model.is_drained());
}

#[test]
fn k6_a_turn_smaller_than_a_lanes_share_starves_nobody() {
    let limits = Limits { turn_attempts_max: NonZeroU32::new(1).unwrap(), ..limits() };
    let mut bench = Bench::with(limits, 2);
    let (fast, slow) = (bench.stream(), bench.stream());
    for _ in 0..9 {
        bench.submit(fast, Recv::into(vec![0; 1]), "fast");
    }
    bench.submit(slow, Recv::into(vec![0; 1]), "slow");
    bench.readable(fast);
    bench.readable(slow);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(fast, 1)]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(slow, 1)]);
}

#[test]
fn c6_accepting_many_works_with_a_single_credit() {
    let limits = Limits { connections_max: NonZeroU32::new(2).unwrap(), ..Limits::ONE };
    let mut bench = Bench::with(limits, 1);
    let listener = bench.listener();
    bench.submit(listener, Accept::many(), "accept");
    bench.readable(listener);
    assert_eq!(bench.round(NO_TIME, &[Done]), [Asked::Accept(listener)]);
    let done = bench.completions().pop().unwrap();
    assert!(matches!(done.result, Ok(aio_model::Done::Accepted(_))) && !done.more);
}

#[test]
fn k5_a_listener_that_is_held_does_not_keep_the_loop_awake() {
    let limits = Limits { connections_max: NonZeroU32::new(2).unwrap(), ..limits() };
    let mut bench = Bench::with(limits, 1);
    let (listener, conn) = (bench.listener(), bench.stream());
    bench.submit(listener, Accept::many(), "accept");
    bench.readable(listener);
    assert_eq!(bench.round(NO_TIME, &[]), []);
    bench.submit(conn, Send::new("x"), "send");
    bench.round(NO_TIME, &[Transferred(1)]);
    assert_eq!(bench.ended(), [ended("send", 1, "Sent")]);
    assert!(!bench.model.is_busy(), "connections are still at their limit");
}

/// Three listeners, each with two accepts, of which the first is named, and with somebody who waits; and a
/// place for one connection, which is taken by the first.
fn listeners() -> (Bench, [ConnId; 3], [OpId; 3]) {
    let limits = Limits { connections_max: NonZeroU32::new(4).unwrap(), ..limits() };
    let mut bench = Bench::with(limits, 1);
    let listeners = [(); 3].map(|()| bench.listener());
    let accepts = listeners.map(|listener| {
        bench.readable(listener);
        let first = bench.submit(listener, Accept::many(), "first");
        bench.submit(listener, Accept::many(), "second");
        first
    });
    assert_eq!(bench.round(NO_TIME, &[Done]), [Asked::Accept(listeners[0])]);
    assert_eq!(
        bench.model.stats().lanes_held,
        3,
        "a lane that waits for a credit does not keep the loop awake"
    );
    (bench, listeners, accepts)
}

/// Closes the connection that was accepted last, and says who accepts in its place.
fn next_to_accept(bench: &mut Bench) -> ConnId {
    let accepted = bench.completions().into_iter().find_map(|done| match done.result {
        Ok(Accepted(conn)) => Some(conn),
        _ => None,
    });
    bench.model.close(accepted.unwrap()).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(accepted.unwrap())]);
    match bench.round(NO_TIME, &[Done])[..] {
        [Asked::Accept(listener)] => listener,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn k6_listeners_take_turns_at_places_that_become_free_one_by_one() {
    let (mut bench, [a, b, c], _) = listeners();
    assert_eq!([(); 6].map(|()| next_to_accept(&mut bench)), [b, c, a, b, c, a]);
}

#[test]
fn k6_a_listener_keeps_its_place_in_the_line_when_its_first_accept_is_cancelled() {
    let (mut bench, [a, b, c], accepts) = listeners();
    bench.model.cancel(accepts[1]).unwrap();
    assert_eq!(bench.model.stats().lanes_held, 3, "the next one lacks a place, too");
    assert_eq!([(); 2].map(|()| next_to_accept(&mut bench)), [b, c]);
    // The one that had a place last is the last, whichever of its accepts it was.
    bench.model.cancel(accepts[2]).unwrap();
    assert_eq!([(); 3].map(|()| next_to_accept(&mut bench)), [a, b, c]);
    bench.model.check().unwrap();
}

#[test]
fn t3_a_clock_that_steps_back_brings_no_deadline_forward() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.round(100 * MS, &[]);
    bench.now = Instant::ZERO + 50 * MS;
    bench.submit(conn, Recv::pooled().within(30 * MS), "op");
    assert_eq!(bench.model.next_deadline(), Some(Instant::ZERO + 130 * MS));
}

#[test]
fn k3_a_shutdown_needs_no_room() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let send = bench.submit(conn, Send::new("ab"), "send");
    bench.submit(conn, Shutdown::write(), "fin");
    assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Send(conn, 2)]);
    assert_eq!(bench.round(NO_TIME, &[]), [], "the send comes first");
    bench.model.cancel(send).unwrap();
    assert_eq!(bench.round(NO_TIME, &[Done]), [Asked::Shutdown(conn)]);
}

#[test]
fn k2_a_close_does_not_cut_off_what_a_shut_down_lets_finish() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "recv");
    bench.submit(conn, Send::new("ab"), "send");
    bench.round(NO_TIME, &[WouldBlock]);
    bench.model.shut_down_by(Deadline::At(bench.now + 100 * MS), || unreachable!());
    assert_eq!(bench.ended(), [ended("recv", 0, "Closed(ShutDown)")]);
    bench.model.close(conn).unwrap();
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Transferred(2)]), [Asked::Send(conn, 2)]);
    assert_eq!(bench.ended(), [ended("send", 2, "Sent")]);
}

#[test]
fn b3_a_lane_keeps_its_place_in_the_line_if_its_next_receive_waits_for_the_same() {
    let mut bench = Bench::with(limits(), 1);
    let (a, b, c) = (bench.stream(), bench.stream(), bench.stream());
    bench.submit(a, Recv::pooled(), "a");
    let first = bench.submit(b, Recv::pooled(), "b1");
    bench.submit(b, Recv::pooled(), "b2");
    bench.submit(c, Recv::pooled(), "c");
    for conn in [a, b, c] {
        bench.readable(conn);
    }
    bench.round(NO_TIME, &[Transferred(8)]);
    bench.model.cancel(first).unwrap();
    bench.round(NO_TIME, &[]);
    assert_eq!(bench.ended().len(), 2, "and the buffer is returned");
    assert_eq!(bench.round(NO_TIME, &[Transferred(8)]), [Asked::Recv(b, 8)]);
}

#[test]
fn t1_a_deadline_can_be_moved_and_taken_away() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let (op, other) = (
        bench.submit(conn, Recv::pooled().within(5 * MS), "op"),
        bench.submit(conn, Recv::pooled(), "other"),
    );
    let at = |span| Some(Deadline::At(Instant::ZERO + span));
    bench.model.set_deadline(op, at(9 * MS), || unreachable!("absolute")).unwrap();
    bench.model.set_deadline(other, Some(Deadline::Within(7 * MS)), || Instant::ZERO).unwrap();
    assert_eq!(bench.model.next_deadline(), Some(Instant::ZERO + 7 * MS));
    bench.model.set_deadline(other, None, || unreachable!("none")).unwrap();
    bench.round(8 * MS, &[]);
    assert_eq!(bench.ended(), []);
    bench.round(MS, &[]);
    assert_eq!(bench.ended(), [ended("op", 0, "Deadline")]);
    assert_eq!(bench.model.set_deadline(op, None, || Instant::ZERO), Err(OpIdError::Stale));
}

#[test]
fn k3_a_shutdown_that_failed_shuts_nothing() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Shutdown::write(), "fin");
    bench.round(NO_TIME, &[Failed(RESET)]);
    bench.submit(conn, Send::new("x"), "send");
    bench.submit(conn, Shutdown::write(), "again");
    bench.submit(conn, Send::new("x"), "more");
    let reset = "System(ConnectionReset)";
    assert_eq!(bench.ended(), ["fin", "send", "again", "more"].map(|context| ended(context, 0, reset)));
}

#[test]
fn c4_parts_are_sent_as_one_in_as_few_calls_as_the_kernel_allows() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let parts: Parts = (0..1500).map(|_| Buffer::from("ab")).chain([Buffer::from(vec![7; 9])]).collect();
    bench.submit(conn, Send::new(parts), "parts");
    // The first call takes 1,024 slices, and the kernel all of them but one byte.
    let asked = bench.round(NO_TIME, &[Transferred(2047)]);
    assert_eq!(asked, [Asked::SendVectored(conn, 1024, 2048)]);
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Transferred(962)]), [Asked::SendVectored(conn, 478, 962)]);
    let done = bench.completions().pop().unwrap();
    assert_eq!((done.bytes, done.buffer.len(), done.buffer.chunks().count()), (3009, 3009, 1501));
    let empty: Parts = ["", ""].map(Buffer::from).into_iter().collect();
    assert_eq!(bench.try_submit(conn, Send::new(empty), "").unwrap_err().kind, SubmitErrorKind::EmptyBuffer);
    let parts = Parts::from(vec![Buffer::from("ab")]);
    assert_eq!(bench.try_submit(conn, Recv::into(parts), "").unwrap_err().kind, SubmitErrorKind::NotWritable);
}

#[test]
fn c1_what_is_of_no_connection_completes_too() {
    let mut bench = Bench::new();
    let own = bench.model.own();
    bench.submit(own, Sleep::new(5 * MS), "sleep");
    let op = bench.submit(own, Sleep::until(Instant::MAX), "cancelled");
    bench.submit(own, Post::with(vec![1, 2]), "post");
    let moved = bench.submit(own, Sleep::new(Duration::MAX), "moved");
    assert_eq!(bench.ended(), [ended("post", 0, "Posted")]);
    bench.model.cancel(op).unwrap();
    bench.model.set_deadline(moved, Some(Deadline::At(Instant::ZERO + 4 * MS)), || Instant::ZERO).unwrap();
    assert_eq!(bench.model.next_deadline(), Some(Instant::ZERO + 4 * MS));
    bench.round(5 * MS, &[]);
    let order =
        [ended("cancelled", 0, "Cancelled"), ended("moved", 0, "Elapsed"), ended("sleep", 0, "Elapsed")];
    assert_eq!(bench.ended(), order);
    assert_eq!(bench.try_submit(own, Recv::pooled(), "").unwrap_err().kind, SubmitErrorKind::WrongKind);
    let stream = bench.stream();
    assert_eq!(bench.try_submit(stream, Sleep::new(MS), "").unwrap_err().kind, SubmitErrorKind::WrongKind);
    assert_eq!(bench.model.close(own), Err(IdError::Stale));
    bench.submit(own, Sleep::new(MS), "last");
    bench.model.shut_down();
    assert_eq!(bench.try_submit(own, Post::new(), "").unwrap_err().kind, SubmitErrorKind::ShutDown);
    assert_eq!(bench.ended(), [ended("last", 0, "Closed(ShutDown)")]);
}

#[test]
fn c6_a_partial_receive_proves_nothing() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::into(vec![0; 8]), "first");
    bench.submit(conn, Recv::into(vec![0; 8]), "second");
    bench.readable(conn);
    bench.round(NO_TIME, &[Partial(3), Transferred(3)]);
    let received = "Received { end_of_stream: false }";
    assert_eq!(bench.ended(), [ended("first", 3, received), ended("second", 3, received)]);
}

#[test]
fn k7_a_system_that_claims_too_much_ends_its_connection_and_nothing_else() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new("ab"), "send");
    bench.submit(conn, Recv::into(vec![0; 8]), "recv");
    bench.round(NO_TIME, &[Transferred(3)]);
    assert_eq!(bench.ended(), [ended("send", 0, "System(Other)")]);
}

#[test]
fn k6_a_shutdown_that_was_taken_back_leaves_no_needless_call() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let send = bench.submit(conn, Send::new("ab"), "send");
    bench.round(NO_TIME, &[WouldBlock]);
    bench.model.cancel(send).unwrap();
    let fin = bench.submit(conn, Shutdown::write(), "fin");
    bench.model.cancel(fin).unwrap();
    bench.submit(conn, Send::new("cd"), "more");
    assert_eq!(bench.round(NO_TIME, &[]), [], "there is still no room");
}
