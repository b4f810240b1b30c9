//! Scatter receives, huge buffers, lingering closes, pools of connections, and what can be seen from outside.

use std::time::Duration;

use crate::bench::{Asked, Bench, MS};
use aio_model::Outcome::{self, Exhausted, Failed, Partial, Transferred, WouldBlock};
use aio_model::{
    Buffer, Close, CloseReason, ConnPhase, Done, LaneEnd, LanePlace, OpError, Parts, PoolId, Readiness, Recv,
    SLICES_MAX, Send, SetPoolError, Shutdown, Sleep, SubmitErrorKind, Syscall, SystemError, SystemErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;
const RESET: SystemError = SystemError::from_kind(SystemErrorKind::ConnectionReset);
const SHORT: Outcome = Exhausted(SystemError::from_kind(SystemErrorKind::OutOfMemory));

fn vecs(lengths: &[usize]) -> Parts {
    lengths.iter().map(|len| Buffer::from(vec![0; *len])).collect()
}

#[test]
fn c2_a_scatter_receive_fills_its_parts_in_order() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vecs(&[2, 0, 3])), "exact");
    bench.submit(conn, Recv::into(vecs(&[4, 4])), "any");
    bench.readable(conn);
    let asked = bench.round(NO_TIME, &[Partial(1), Partial(4), Transferred(5)]);
    let vectored = |slices, bytes| Asked::RecvVectored(conn, slices, bytes);
    assert_eq!(asked, [vectored(2, 5), vectored(2, 4), vectored(2, 8)]);
    let done = bench.completions();
    assert_eq!((done[0].bytes, done[1].bytes), (5, 5));
    let chunks = |buffer: &Buffer| buffer.chunks().map(<[u8]>::to_vec).collect::<Vec<_>>();
    assert_eq!(chunks(&done[0].buffer), [vec![1, 1], vec![], vec![2, 3, 4]]);
    assert_eq!(chunks(&done[1].buffer), [[1, 2, 3, 4], [5, 0, 0, 0]]);
}

#[test]
fn k4_an_exact_scatter_receive_that_is_cut_short_keeps_its_bytes() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vecs(&[2, 2])), "exact");
    bench.readable(conn);
    bench.round(NO_TIME, &[Partial(3), Transferred(0)]);
    let done = bench.completions().remove(0);
    assert_eq!((done.bytes, done.result), (3, Err(OpError::UnexpectedEof)));
    assert_eq!(done.buffer.chunks().collect::<Vec<_>>(), [[1, 2], [3, 0]]);
}

#[test]
fn b4_leases_among_the_parts_know_what_they_hold() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "lease");
    bench.readable(conn);
    bench.round(NO_TIME, &[Partial(1)]);
    let lease = bench.completions().remove(0).buffer;
    let parts: Parts = [Buffer::from(vec![0; 2]), lease].into_iter().collect();
    bench.submit(conn, Recv::into(parts), "both");
    bench.round(NO_TIME, &[Transferred(5)]);
    let done = bench.completions().remove(0);
    assert_eq!((done.bytes, done.buffer.len()), (5, 5), "the vector's 2 and 3 in the lease");
    drop(done);
    bench.fetch();
    assert_eq!(bench.model.outstanding(), 0);
}

#[test]
fn k7_only_what_can_be_written_into_is_received_into() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let mixed: Parts = [Buffer::from(vec![0; 2]), Buffer::from("static")].into_iter().collect();
    let refused = bench.try_submit(conn, Recv::into(mixed), "mixed").unwrap_err();
    assert_eq!((refused.kind, refused.buffer.len()), (SubmitErrorKind::NotWritable, 8));
    let refused = bench.try_submit(conn, Recv::exact(vecs(&[0, 0])), "empty").unwrap_err();
    assert_eq!(refused.kind, SubmitErrorKind::EmptyBuffer);
}

#[test]
fn k7_more_slices_than_a_call_takes_go_into_several() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::exact(vecs(&[1; 2 * SLICES_MAX + 1])), "many");
    bench.readable(conn);
    let full = Transferred(SLICES_MAX);
    let asked = bench.round(NO_TIME, &[full, full, Transferred(1)]);
    let vectored = |slices| Asked::RecvVectored(conn, slices, slices);
    assert_eq!(asked, [vectored(SLICES_MAX), vectored(SLICES_MAX), vectored(1)]);
    assert_eq!(bench.completions()[0].bytes, 2049);
}

/// Runs a round in which every call moves all that it was lent, touching none of it. Returns how much each
/// was.
fn round_of_all(bench: &mut Bench) -> Vec<usize> {
    bench.model.begin_round();
    let mut moved = Vec::new();
    let mut all = |call: Syscall<'_>| {
        let count = match call {
            Syscall::Recv { buffer, .. } => buffer.len(),
            Syscall::RecvVectored { slices, .. } => slices.len(),
            Syscall::Send { bytes, .. } => bytes.len(),
            Syscall::SendVectored { slices, .. } => slices.len(),
            other => panic!("{other:?}"),
        };
        moved.push(count);
        Transferred(count)
    };
    while bench.model.attempt(&mut all) {}
    bench.model.check().unwrap();
    moved
}

#[cfg(target_pointer_width = "64")]
#[test]
fn k7_sizes_above_two_gibibytes_work() {
    const CALL_MAX: usize = 1 << 30;
    let total = 5 * (1usize << 29);
    let mut bench = Bench::new();
    let [conn, other] = [(); 2].map(|()| bench.stream());
    // Zeroed memory that nobody touches takes no room.
    bench.submit(conn, Recv::exact(vec![0; total]), "recv");
    bench.submit(conn, Recv::exact(vecs(&[total / 2, total / 2])), "scatter");
    bench.submit(conn, Send::new(vec![0; total]), "send");
    let body = bytes::Bytes::from(vec![0; 1 << 26]);
    let shared: Parts = (0..total >> 26).map(|_| Buffer::from(body.clone())).collect();
    bench.submit(other, Send::new(shared), "gather");
    bench.readable(conn);
    let mut moved = Vec::new();
    while bench.model.stats().queued.total() > 0 {
        moved.extend(round_of_all(&mut bench));
    }
    assert_eq!(moved.iter().sum::<usize>(), 4 * total);
    assert!(moved.iter().all(|count| *count <= CALL_MAX), "no kernel takes more: {moved:?}");
    let done = bench.completions();
    assert!(done.len() == 4 && done.iter().all(|done| done.bytes == total as u64 && done.result.is_ok()));
}

#[test]
fn c4_a_gather_send_of_very_many_parts_walks_each_once() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let parts: Parts = (0..300_000).map(|_| Buffer::from("x")).collect();
    bench.submit(conn, Send::new(parts), "gather");
    let mut calls = 0;
    while bench.model.stats().queued.send > 0 {
        calls += round_of_all(&mut bench).len();
    }
    assert_eq!(calls, 300_000usize.div_ceil(SLICES_MAX));
    assert_eq!(bench.completions()[0].bytes, 300_000);
}

#[test]
fn c5_what_is_left_of_a_gather_send_can_be_sent_from_any_place() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    let op = bench.submit(
        conn,
        Send::new(["ab", "cd", "ef"].map(Buffer::from).into_iter().collect::<Parts>()),
        "a",
    );
    bench.round(NO_TIME, &[Transferred(5)]);
    bench.model.cancel(op).unwrap();
    bench.model.resume(conn).unwrap();
    let buffer = bench.completions().remove(0).buffer;
    bench.submit(conn, Send::new(buffer).skip(1), "b");
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(bench.round(NO_TIME, &[Transferred(5)]), [Asked::SendVectored(conn, 3, 5)]);
}

/// A stream with a send queued and a lingering close behind it.
fn lingering(bench: &mut Bench) -> aio_model::ConnId {
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "recv");
    bench.submit(conn, Send::new("bye"), "send");
    bench.submit(conn, Close::linger(10 * MS), "close");
    assert_eq!(bench.ended(), [("recv", 0, "Closed(Requested)".into())]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(3)]), [Asked::Send(conn, 3)]);
    assert_eq!(bench.model.conn_info(conn).unwrap().phase, ConnPhase::Lingering);
    assert_eq!(bench.ended(), [("send", 3, "Sent".into())]);
    conn
}

#[test]
fn k2_a_lingering_close_sends_fin_and_waits_for_the_peers() {
    let mut bench = Bench::new();
    let conn = lingering(&mut bench);
    assert_eq!(bench.round(NO_TIME, &[Outcome::Done]), [Asked::Shutdown(conn)]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + 10 * MS));
    assert_eq!(bench.round(MS, &[]), [], "nothing to throw away");
    bench.readable(conn);
    let asked = bench.round(NO_TIME, &[Transferred(100), WouldBlock]);
    assert_eq!(asked, [Asked::Discard(conn); 2]);
    let refused = bench.try_submit(conn, Recv::pooled(), "late").unwrap_err();
    assert_eq!(refused.kind, SubmitErrorKind::Closing);
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(0)]), [Asked::Discard(conn), Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("close", 0, "Closed".into())]);
    assert_eq!(bench.model.stats().counters.bytes_received, 0, "what is thrown away was not received");
}

#[test]
fn k2_lingering_ends_with_its_time_an_error_or_a_close() {
    for end in ["time", "reset", "close", "shut down", "no fin"] {
        let mut bench = Bench::new();
        let conn = lingering(&mut bench);
        let fin = if end == "no fin" { Failed(RESET) } else { Outcome::Done };
        let mut asked = bench.round(NO_TIME, &[fin]);
        match end {
            "time" => assert_eq!(bench.round(10 * MS, &[WouldBlock]), [Asked::Discard(conn)]),
            "reset" => {
                bench.readable(conn);
                asked = bench.round(NO_TIME, &[Failed(RESET)]);
            }
            "close" => assert!(bench.model.close(conn).unwrap()),
            "shut down" => bench.model.shut_down(),
            _ => {}
        }
        asked.extend(bench.round(NO_TIME, &[]));
        assert_eq!(asked.last(), Some(&Asked::Close(conn)), "{end}");
        assert_eq!(bench.ended(), [("close", 0, "Closed".into())], "{end}");
        assert_eq!(bench.model.stats().timers, 0);
    }
}

#[test]
fn k5_a_lingering_close_pauses_while_the_system_is_short_and_goes_on() {
    let mut bench = Bench::new();
    let conn = lingering(&mut bench);
    let (fin, discard) = (Asked::Shutdown(conn), Asked::Discard(conn));
    assert_eq!(bench.round(NO_TIME, &[SHORT]), [fin]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + MS), "it does not give up, and does not spin");
    bench.readable(conn);
    assert_eq!(bench.round(MS, &[]), [], "an event cuts no pause short");
    assert_eq!(bench.round(NO_TIME, &[SHORT]), [fin]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + 2 * MS));
    assert_eq!(bench.round(2 * MS, &[]), []);
    assert_eq!(bench.round(NO_TIME, &[Outcome::Done, Transferred(9), SHORT]), [fin, discard, discard]);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + MS), "after a success pauses begin again");
    assert_eq!(bench.round(MS, &[]), []);
    assert_eq!(bench.round(NO_TIME, &[SHORT]), [discard]);
    assert_eq!(bench.round(2 * MS, &[]), []);
    assert_eq!(bench.round(NO_TIME, &[Transferred(0)]), [discard, Asked::Close(conn)]);
    assert_eq!(bench.ended(), [("close", 0, "Closed".into())]);
    assert_eq!((bench.model.stats().counters.exhaustions, bench.model.stats().timers), (4, 0));
}

#[test]
fn k2_a_shortage_that_lasts_does_not_make_lingering_longer() {
    for fin_sent in [false, true] {
        let mut bench = Bench::new();
        let conn = lingering(&mut bench);
        if fin_sent {
            bench.round(NO_TIME, &[Outcome::Done]);
            bench.readable(conn);
        }
        let asked = if fin_sent { Asked::Discard(conn) } else { Asked::Shutdown(conn) };
        // Tried at 0, 1, 3 and 7 ms; next would be 15.
        for pause in [1, 2, 4] {
            assert_eq!(bench.round(NO_TIME, &[SHORT]), [asked]);
            assert_eq!(bench.round(pause * MS, &[]), []);
        }
        assert_eq!(bench.round(NO_TIME, &[SHORT]), [asked]);
        assert_eq!(bench.model.next_deadline(), Some(bench.now + 3 * MS), "its ten milliseconds are up");
        assert_eq!(bench.round(3 * MS, &[SHORT]), [asked], "one last try");
        assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
        assert_eq!(bench.ended(), [("close", 0, "Closed".into())]);
        assert_eq!(bench.model.stats().timers, 0);
    }
    // A close does not wait for the pause.
    let mut bench = Bench::new();
    let conn = lingering(&mut bench);
    bench.round(NO_TIME, &[SHORT]);
    bench.model.close(conn).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    assert_eq!(bench.model.stats().timers, 0);
}

#[test]
fn k2_what_is_broken_or_over_does_not_linger() {
    // The peer has ended already.
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "recv");
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(0)]);
    bench.submit(conn, Close::linger(MS), "close");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    // The stream was cut in the middle of a send.
    let conn = bench.stream();
    let op = bench.submit(conn, Send::new("hello"), "send");
    bench.round(NO_TIME, &[Transferred(2)]);
    bench.submit(conn, Close::linger(MS), "close");
    bench.model.cancel(op).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Reset(conn)]);
    // A FIN that was sent before is not sent again.
    let conn = bench.stream();
    bench.submit(conn, Shutdown::write(), "fin");
    bench.round(NO_TIME, &[Outcome::Done]);
    bench.submit(conn, Close::linger(3 * MS), "close");
    assert_eq!(bench.round(NO_TIME, &[]), []);
    assert_eq!(bench.model.next_deadline(), Some(bench.now + 3 * MS));
    bench.round(3 * MS, &[]);
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(conn)]);
    // A listener has nothing to linger for.
    let listener = bench.listener();
    bench.submit(listener, Close::linger(MS), "close");
    assert_eq!(bench.round(NO_TIME, &[]), [Asked::Close(listener)]);
}

#[test]
fn k2_a_reason_of_the_programs_own_reaches_every_operation() {
    let reason = "Closed(Code(7))".to_owned();
    for submitted in [true, false] {
        let mut bench = Bench::new();
        let conn = bench.stream();
        bench.submit(conn, Recv::pooled(), "recv");
        bench.submit(conn, Recv::into(vec![0; 4]), "recv too");
        bench.submit(conn, Send::new("x"), "send");
        if submitted {
            bench.submit(conn, Close::now().code(7), "close");
        } else {
            bench.model.close_with(conn, 7).unwrap();
        }
        let ended = bench.ended();
        let expected = ["recv", "recv too", "send"].map(|context| (context, 0, reason.clone()));
        assert_eq!(ended, expected);
    }
    assert_eq!(CloseReason::Code(7).to_string(), "for the program's reason 7");
}

#[test]
fn b2_a_connection_has_a_pool_of_its_own_choice() {
    let mut bench = Bench::with_pools(&[(1, 8), (1, 64)]);
    let (listener, conn) = (bench.listener(), bench.stream());
    bench.model.set_pool(conn, PoolId::new(1)).unwrap();
    bench.model.set_pool(listener, PoolId::new(1)).unwrap();
    bench.submit(conn, Recv::pooled(), "large");
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(9)]), [Asked::Recv(conn, 64)]);
    bench.submit(conn, Recv::pooled_from(PoolId::DEFAULT), "small");
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[Transferred(8)]), [Asked::Recv(conn, 8)]);

    bench.submit(listener, aio_model::Accept::one(), "accept");
    bench.readable(listener);
    bench.round(NO_TIME, &[Outcome::Done]);
    let accepted = bench.completions().into_iter().find_map(|done| match done.result {
        Ok(Done::Accepted(conn)) => Some(conn),
        _ => None,
    });
    let info = bench.model.conn_info(accepted.unwrap()).unwrap();
    assert_eq!(info.pool, PoolId::new(1), "as its listener's");

    assert_eq!(bench.model.set_pool(conn, PoolId::new(2)), Err(SetPoolError::NoPool));
    bench.model.close(conn).unwrap();
    bench.round(NO_TIME, &[]);
    assert_eq!(bench.model.set_pool(conn, PoolId::DEFAULT), Err(SetPoolError::Stale));
    let foreign = Bench::foreign().stream();
    assert_eq!(bench.model.set_pool(foreign, PoolId::DEFAULT), Err(SetPoolError::Foreign));
}

#[test]
fn what_a_connection_is_doing_can_be_seen() {
    let mut bench = Bench::with_pools(&[(1, 8)]);
    let (conn, other) = (bench.stream(), bench.stream());
    bench.submit(other, Recv::pooled(), "hog");
    bench.readable(other);
    bench.round(NO_TIME, &[Transferred(8)]);
    let hog = bench.completions();
    bench.submit(conn, Recv::pooled(), "parked");
    bench.submit(conn, Send::new("hello").within(3 * MS), "send");
    bench.submit(conn, Send::new("world"), "behind");
    bench.submit(bench.model.own(), Sleep::new(MS), "sleep");
    bench.readable(conn);
    bench.round(2 * MS, &[Transferred(2)]);
    let info = bench.model.conn_info(conn).unwrap();
    assert_eq!((info.age, info.phase), (2 * MS, ConnPhase::Open));
    assert_eq!((info.receive.place, info.receive.ops, info.receive.ready), (LanePlace::Parked, 1, true));
    assert_eq!((info.send.place, info.send.ops, info.send.bytes), (LanePlace::Idle, 2, 2));
    let stats = bench.model.stats();
    assert_eq!((stats.connections, stats.credits, stats.leases, stats.lanes_parked), (2, 4, 1, 1));
    assert_eq!((stats.queued.recv_pooled, stats.queued.send, stats.queued.sleep), (1, 2, 0));
    assert_eq!((stats.completions, stats.timers), (1, 1), "the sleep is over, the send has a deadline");

    let text = format!("{:#?}", bench.model);
    for part in ["c0v1: Stream, Open, 2ms old", "send(0..5), 2 bytes moved, deadline 3ms", "Parked, ready"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!format!("{:?}", bench.model).contains("hello"));

    bench.round(MS, &[]);
    let info = bench.model.conn_info(conn).unwrap();
    assert!(info.send.tainted && info.send.ops == 0);
    bench.readable(other);
    bench.submit(other, Recv::into(vec![0; 4]), "eof");
    bench.round(NO_TIME, &[Transferred(0)]);
    let info = bench.model.conn_info(other).unwrap();
    assert_eq!((info.receive.end, info.receive.bytes), (Some(LaneEnd::EndOfStream), 8));
    drop(hog);
}
