//! Deadlines that progress puts off, and connections that are idle without any.

use std::time::Duration;

use crate::bench::{Asked, Bench, MS, ended, limits};
use aio_model::Outcome::{Done, Interrupted, Transferred, WouldBlock};
use aio_model::{
    Accept, Close, ConnId, ConnPhase, Deadline, Readiness, Recv, Send, SetIdleError, SubmitErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;
const RECEIVED: &str = "Received { end_of_stream: false }";

fn writable(bench: &mut Bench, conn: ConnId) {
    bench.model.on_ready(conn, Readiness::WRITABLE);
}

#[test]
fn t1_a_send_to_a_peer_that_goes_on_taking_is_not_cut_off_and_one_to_a_peer_that_stops_is() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Send::new(vec![0; 100]).progress(10 * MS), "send");
    bench.submit(conn, Send::new(vec![0; 9]).progress(3 * MS), "behind");
    bench.round(NO_TIME, &[Transferred(1)]);
    for _ in 0..20 {
        writable(&mut bench, conn);
        bench.round(2 * MS, &[Transferred(1)]);
    }
    assert_eq!(bench.ended(), [], "each of them had progress of its lane");
    bench.round(2 * MS, &[]);
    assert_eq!(bench.ended(), []);
    bench.round(MS, &[]);
    assert_eq!(bench.ended(), [ended("behind", 0, "Deadline")]);
    bench.round(6 * MS, &[]);
    assert_eq!(bench.ended(), []);
    // The last attempt moves something: that is progress.
    assert_eq!(bench.round(MS, &[Transferred(1)]).len(), 1);
    assert_eq!(bench.ended(), []);
    bench.round(9 * MS, &[]);
    assert_eq!(bench.round(MS, &[WouldBlock]).len(), 1);
    assert_eq!(bench.ended(), [ended("send", 22, "Deadline")]);
    assert_eq!(bench.try_submit(conn, Send::new("x"), "x").unwrap_err().kind, SubmitErrorKind::Tainted);
}

#[test]
fn t1_a_deadline_may_begin_or_cease_to_be_put_off() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let op = bench.submit(conn, Recv::exact(vec![0; 100]).within(5 * MS), "recv");
    let set = |bench: &mut Bench, deadline| {
        let now = bench.now;
        bench.model.set_deadline(op, deadline, || now).unwrap();
        bench.model.check().unwrap();
    };
    set(&mut bench, Some(Deadline::Progress(5 * MS)));
    for _ in 0..4 {
        bench.readable(conn);
        bench.round(4 * MS, &[Transferred(1)]);
    }
    let due = |bench: &Bench| bench.model.op_info(op).unwrap().due;
    assert_eq!(due(&bench), Some(bench.now + 5 * MS), "what is told is when it falls due");
    set(&mut bench, None);
    bench.round(100 * MS, &[]);
    set(&mut bench, Some(Deadline::Within(5 * MS)));
    bench.readable(conn);
    bench.round(4 * MS, &[Transferred(1)]);
    bench.round(MS, &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("recv", 5, "Deadline")]);
}

#[test]
fn t1_the_gap_between_the_completions_of_a_receive_that_goes_on_is_bounded() {
    let mut bench = Bench::with(limits(), 8);
    let conn = bench.stream();
    bench.submit(conn, Recv::many(8).within(10 * MS), "many");
    for _ in 0..5 {
        bench.readable(conn);
        bench.round(8 * MS, &[Transferred(3)]);
        assert_eq!(bench.ended(), [ended("many", 3, RECEIVED)]);
    }
    bench.round(9 * MS, &[]);
    assert_eq!(bench.ended(), []);
    bench.round(MS, &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("many", 0, "Deadline")]);
}

#[test]
fn t1_what_is_queued_on_a_connection_that_is_idle_ends_after_a_last_look() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let now = bench.now;
    bench.model.set_idle(conn, Some(10 * MS), || now).unwrap();
    bench.submit(conn, Recv::pooled(), "recv");
    bench.submit(conn, Send::new(vec![0; 8]), "send");
    bench.submit(conn, Send::new(vec![0; 8]), "behind");
    bench.round(9 * MS, &[Transferred(3)]);
    // Bytes in either direction count.
    bench.round(9 * MS, &[]);
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(3)]);
    assert_eq!(bench.ended(), [ended("recv", 3, RECEIVED)]);
    bench.submit(conn, Recv::pooled(), "recv");
    bench.round(9 * MS, &[]);
    // The last look at the send lane moves bytes.
    assert_eq!(
        bench.round(MS, &[WouldBlock, Transferred(1)]),
        [Asked::Recv(conn, 8), Asked::SendVectored(conn, 2, 13)]
    );
    assert_eq!(bench.ended(), []);
    assert_eq!(bench.model.conn_info(conn).unwrap().last_progress, bench.now);
    bench.round(9 * MS, &[]);
    assert_eq!(bench.round(MS, &[Interrupted, WouldBlock]).len(), 2);
    let idle = [ended("recv", 0, "Idle"), ended("send", 4, "Idle"), ended("behind", 0, "Idle")];
    assert_eq!(bench.ended(), idle);
    assert_eq!(bench.model.stats().counters.idled, 3);
    // It stays open, and the time begins anew.
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Open);
    bench.model.resume(conn).unwrap();
    bench.submit(conn, Recv::into(vec![0; 4]), "again");
    bench.round(9 * MS, &[]);
    assert_eq!(bench.ended(), []);
    bench.round(MS, &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("again", 0, "Idle")]);
    // Taken away, nothing ends.
    bench.model.set_idle(conn, None, || now).unwrap();
    bench.submit(conn, Recv::into(vec![0; 4]), "never");
    bench.round(1000 * MS, &[]);
    assert_eq!(bench.ended(), []);
}

#[test]
fn t1_bytes_on_either_of_a_pair_count_for_both() {
    let mut bench = Bench::new();
    let [near, far] = [(); 2].map(|()| bench.stream());
    let now = bench.now;
    bench.model.set_idle_pair([near, far], 10 * MS, || now).unwrap();
    bench.submit(near, Recv::into(vec![0; 100]), "near");
    bench.submit(far, Recv::exact(vec![0; 100]), "far");
    for _ in 0..5 {
        bench.readable(far);
        bench.round(8 * MS, &[Transferred(1)]);
    }
    assert_eq!(bench.ended(), []);
    bench.round(9 * MS, &[]);
    assert_eq!(bench.ended(), []);
    bench.round(MS, &[WouldBlock, WouldBlock]);
    assert_eq!(bench.ended(), [ended("near", 0, "Idle"), ended("far", 5, "Idle")]);
    // When one is gone, the other goes on by itself.
    bench.submit(near, Recv::into(vec![0; 100]), "near");
    bench.round(5 * MS, &[]);
    bench.model.close(far).unwrap();
    bench.round(NO_TIME, &[]);
    bench.round(5 * MS, &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("near", 0, "Idle")]);
}

#[test]
fn t1_a_pair_that_is_paired_again_keeps_both() {
    for again in [[0, 1], [1, 0]] {
        let mut bench = Bench::new();
        let [near, far] = [(); 2].map(|()| bench.stream());
        let now = bench.now;
        bench.model.set_idle_pair([near, far], MS, || now).unwrap();
        bench.model.set_idle_pair(again.map(|at| [near, far][at]), 10 * MS, || now).unwrap();
        for [silent, busy] in [[near, far], [far, near]] {
            bench.submit(busy, Send::new(vec![0; 1]), "send");
            bench.submit(silent, Recv::pooled(), "silent");
            bench.round(8 * MS, &[Transferred(1)]);
            assert_eq!(bench.ended(), [ended("send", 1, "Sent")]);
            // The bytes on the one still count for the other.
            bench.round(9 * MS, &[]);
            assert_eq!(bench.ended(), [], "{again:?}");
            bench.round(MS, &[WouldBlock]);
            assert_eq!(bench.ended(), [ended("silent", 0, "Idle")], "{again:?}");
        }
    }
}

#[test]
fn t1_those_that_a_listener_accepts_inherit_its_idle_time_and_a_close_has_its_own() {
    let mut bench = Bench::new();
    let listener = bench.listener();
    let now = bench.now;
    bench.model.set_idle(listener, Some(10 * MS), || now).unwrap();
    bench.submit(listener, Accept::many(), "accept");
    bench.readable(listener);
    bench.round(50 * MS, &[Done, WouldBlock]);
    let aio_model::Done::Accepted(conn) = bench.completions()[0].result.unwrap() else { panic!("none came") };
    assert_eq!(bench.model.conn_info(conn).unwrap().idle, Some(10 * MS));
    bench.submit(conn, Recv::pooled(), "recv");
    bench.round(10 * MS, &[WouldBlock]);
    assert_eq!(bench.ended(), [ended("recv", 0, "Idle")], "the accept goes on");
    bench.submit(conn, Send::new(vec![0; 8]), "send");
    bench.round(NO_TIME, &[WouldBlock]);
    bench.submit(conn, Close::flush(), "close");
    bench.round(100 * MS, &[]);
    assert_eq!(bench.ended(), []);
    let refused = bench.model.set_idle(conn, None, || now);
    assert_eq!(refused, Err(SetIdleError::Closing));
    let other = bench.stream();
    for pair in [[other, other], [other, listener], [listener, other]] {
        assert_eq!(bench.model.set_idle_pair(pair, MS, || now), Err(SetIdleError::NoPair));
    }
    bench.model.shut_down();
    bench.round(NO_TIME, &[]);
}
