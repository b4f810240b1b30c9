//! A peer that reads slowly is noticed: the bytes that wait to be sent to it are bounded, counted and told.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::bench::{Bench, ended, limits};
use aio_model::Outcome::{Done, Transferred, WouldBlock};
use aio_model::{Accept, ConnId, Done as End, IdError, Limit, Limits, Readiness, Send, SubmitErrorKind};

const NO_TIME: Duration = Duration::ZERO;
const FULL: SubmitErrorKind = SubmitErrorKind::Busy(Limit::LaneBytes);

fn bench(lane_bytes_max: u32) -> Bench {
    Bench::with(Limits { lane_bytes_max: NonZeroU32::new(lane_bytes_max).unwrap(), ..limits() }, 2)
}

/// Submits a send of so many bytes, and tells whether that was accepted.
fn send(bench: &mut Bench, conn: ConnId, len: usize) -> bool {
    match bench.try_submit(conn, Send::new(vec![b'x'; len]), "send") {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!((refused.kind, refused.context, refused.buffer.len()), (FULL, "send", len));
            false
        }
    }
}

fn queued(bench: &Bench, conn: ConnId) -> u64 {
    bench.model.conn_info(conn).unwrap().send.queued_bytes
}

#[test]
fn c6_a_send_that_exceeds_the_bytes_of_its_lane_is_refused_with_its_buffer() {
    let mut bench = bench(10);
    let conn = bench.stream();
    assert!(send(&mut bench, conn, 4) && send(&mut bench, conn, 6), "so many and no more");
    assert!(!send(&mut bench, conn, 1));
    assert_eq!(queued(&bench, conn), 10);
    // What the kernel has taken does not count.
    bench.round(NO_TIME, &[Transferred(5)]);
    assert_eq!((queued(&bench, conn), bench.ended()), (5, vec![ended("send", 4, "Sent")]));
    assert!(!send(&mut bench, conn, 6) && send(&mut bench, conn, 5));
    assert_eq!(bench.model.cancel_all(conn), Ok(2));
    assert_eq!(queued(&bench, conn), 0);
}

#[test]
fn c6_an_empty_lane_takes_a_send_of_any_size() {
    for lane_bytes_max in [1, 10] {
        let mut bench = bench(lane_bytes_max);
        let conn = bench.stream();
        assert!(send(&mut bench, conn, 1000) && !send(&mut bench, conn, 1));
        bench.round(NO_TIME, &[Transferred(999)]);
        assert_eq!(queued(&bench, conn), 1);
        assert_eq!(send(&mut bench, conn, 9), lane_bytes_max == 10);
        bench.model.cancel_all(conn).unwrap();
        bench.model.resume(conn).unwrap();
        assert!(send(&mut bench, conn, 1000));
    }
}

#[test]
fn c6_a_connection_has_a_bound_of_its_own_and_those_that_a_listener_accepts_inherit_it() {
    let mut bench = bench(10);
    let [conn, listener] = [bench.stream(), bench.listener()];
    bench.model.set_lane_bytes_max(conn, NonZeroU32::new(2)).unwrap();
    assert!(send(&mut bench, conn, 1) && send(&mut bench, conn, 1) && !send(&mut bench, conn, 1));
    bench.model.set_lane_bytes_max(conn, None).unwrap();
    assert!(send(&mut bench, conn, 8) && !send(&mut bench, conn, 1));
    bench.model.set_lane_bytes_max(listener, NonZeroU32::new(3)).unwrap();
    bench.submit(listener, Accept::one(), "accept");
    bench.readable(listener);
    bench.round(NO_TIME, &[WouldBlock, Done]);
    let accepted = bench.completions().into_iter().find_map(|done| match done.result {
        Ok(End::Accepted(conn)) => Some(conn),
        _ => None,
    });
    let accepted = accepted.expect("it was accepted");
    assert!(send(&mut bench, accepted, 1) && send(&mut bench, accepted, 2) && !send(&mut bench, accepted, 1));
    bench.model.close(conn).unwrap();
    bench.round(NO_TIME, &[Transferred(3)]);
    assert_eq!(bench.model.set_lane_bytes_max(conn, None), Err(IdError::Stale));
}

/// Whatever is taken out of the queue, and wherever it stands there, the bytes are counted.
#[test]
fn c6_the_bytes_that_are_queued_are_those_of_the_sends_that_are_left() {
    let mut bench = bench(1000);
    let conn = bench.stream();
    let ops = [1, 20, 300].map(|len| bench.submit(conn, Send::new(vec![0; len + 2]).skip(2), "send"));
    assert_eq!(queued(&bench, conn), 321);
    bench.model.cancel(ops[1]).unwrap();
    assert_eq!(queued(&bench, conn), 301);
    bench.model.cancel(ops[0]).unwrap();
    assert_eq!(queued(&bench, conn), 300);
    bench.round(NO_TIME, &[Transferred(100)]);
    bench.model.on_ready(conn, Readiness::WRITABLE);
    assert_eq!(queued(&bench, conn), 200);
    bench.round(NO_TIME, &[Transferred(200)]);
    assert_eq!(queued(&bench, conn), 0);
}
