//! Receives that go on: one submission, a completion for each receive, and never more leases out than were
//! asked for.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::bench::{Asked, Bench, ended, limits};
use aio_model::Outcome::{Done, Failed, Interrupted, Transferred, WouldBlock};
use aio_model::{
    Buffer, Completion, ConnId, LanePlace, Limits, PoolId, Recv, Send, Shutdown, SubmitErrorKind,
    SystemError, SystemErrorKind,
};

const NO_TIME: Duration = Duration::ZERO;
const FULL: aio_model::Outcome = Transferred(8);

/// A connection that receives again and again, with at most so many leases out, and is readable.
fn receiving(bench: &mut Bench, leases_max: u8) -> ConnId {
    let conn = bench.stream();
    bench.submit(conn, Recv::many(leases_max), "many");
    bench.readable(conn);
    conn
}

fn place(bench: &Bench, conn: ConnId) -> LanePlace {
    bench.model.conn_info(conn).unwrap().receive.place
}

fn leases(done: Vec<Completion<&'static str>>) -> Vec<Buffer> {
    let leases = done.into_iter().map(|done| {
        assert!(done.more && matches!(done.buffer, Buffer::Lease(_)), "{done:?}");
        assert_eq!(done.bytes, done.buffer.len() as u64);
        done.buffer
    });
    leases.collect()
}

#[test]
fn b3_who_receives_many_waits_while_all_its_leases_are_out_and_goes_on_when_one_is_home() {
    let mut bench = Bench::with(limits(), 8);
    let conn = receiving(&mut bench, 2);
    assert_eq!(bench.round(NO_TIME, &[FULL, FULL]), [Asked::Recv(conn, 8); 2]);
    assert_eq!(place(&bench, conn), LanePlace::LeasesOut);
    let mut out = leases(bench.completions());
    assert_eq!(out.len(), 2);
    // It does not spin, and an event changes nothing.
    assert!(!bench.model.is_busy());
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[]), []);
    // One is returned, then the other: one receive for each.
    for _ in 0..2 {
        drop(out.pop());
        bench.fetch();
        assert!(bench.model.is_busy());
        assert_eq!(bench.round(NO_TIME, &[FULL]), [Asked::Recv(conn, 8)]);
        out.extend(leases(bench.completions()));
        assert_eq!((out.len(), place(&bench, conn)), (2, LanePlace::LeasesOut));
        out.reverse();
    }
    assert_eq!(bench.model.outstanding(), 2);
}

#[test]
fn b3_a_short_receive_waits_for_an_event_and_a_lease_that_is_returned_makes_no_call() {
    let mut bench = Bench::with(limits(), 8);
    let conn = receiving(&mut bench, 1);
    bench.round(NO_TIME, &[Transferred(3)]);
    let out = leases(bench.completions());
    assert_eq!(bench.round(NO_TIME, &[]), []);
    drop(out);
    bench.fetch();
    assert_eq!(bench.round(NO_TIME, &[]), [], "it is not readable");
    bench.readable(conn);
    bench.round(NO_TIME, &[Interrupted, WouldBlock]);
    assert_eq!(bench.completions().len(), 0);
    assert_eq!(bench.model.outstanding(), 0);
}

/// A lease that is sent is out until the send has ended, or until it was copied.
#[test]
fn b3_a_lease_in_a_send_is_out_and_one_that_was_copied_is_home() {
    for (buffers, copied) in [(8, false), (1, true)] {
        let mut bench = Bench::with(limits(), buffers);
        let conn = receiving(&mut bench, 1);
        bench.round(NO_TIME, &[FULL]);
        let lease = leases(bench.completions()).pop().unwrap();
        bench.submit(conn, Send::new(lease), "send");
        let goes_on = if copied { LanePlace::Running } else { LanePlace::Idle };
        let outcomes: &[_] = if copied { &[WouldBlock, WouldBlock] } else { &[WouldBlock] };
        assert_eq!(place(&bench, conn) == LanePlace::Running, copied, "{goes_on:?}");
        assert_eq!(bench.round(NO_TIME, outcomes).len(), outcomes.len());
        assert_eq!(bench.model.cancel_all(conn), Ok(2));
        assert_eq!(bench.ended(), [ended("many", 0, "Cancelled"), ended("send", 0, "Cancelled")]);
        assert_eq!(bench.model.outstanding(), 0);
    }
}

#[test]
fn b3_a_lease_of_a_receive_that_has_ended_is_not_counted_for_the_next_one() {
    let mut bench = Bench::with(limits(), 8);
    let conn = receiving(&mut bench, 2);
    bench.round(NO_TIME, &[FULL, FULL]);
    let old = leases(bench.completions());
    assert_eq!(bench.model.cancel_all(conn), Ok(1));
    assert_eq!(bench.ended(), [ended("many", 0, "Cancelled")]);
    bench.submit(conn, Recv::many(2), "again");
    bench.round(NO_TIME, &[FULL, FULL]);
    let new = leases(bench.completions());
    drop(old);
    bench.fetch();
    assert_eq!((bench.round(NO_TIME, &[]), place(&bench, conn)), (vec![], LanePlace::LeasesOut));
    // Nor for a connection that has the place of the one that is gone.
    bench.model.close(conn).unwrap();
    bench.round(NO_TIME, &[]);
    bench.completions();
    let next = receiving(&mut bench, 1);
    assert_eq!(next.index(), conn.index());
    bench.round(NO_TIME, &[FULL]);
    let _kept = leases(bench.completions());
    drop(new);
    bench.fetch();
    assert_eq!((bench.round(NO_TIME, &[]), place(&bench, next)), (vec![], LanePlace::LeasesOut));
}

#[test]
fn b3_who_receives_many_waits_in_line_for_a_pool_that_another_drains() {
    let mut bench = Bench::with(limits(), 2);
    let [first, second] = [(); 2].map(|()| receiving(&mut bench, 2));
    let asked = bench.round(NO_TIME, &[FULL, FULL]);
    assert_eq!(asked, [Asked::Recv(first, 8); 2]);
    assert_eq!((place(&bench, first), place(&bench, second)), (LanePlace::LeasesOut, LanePlace::Parked));
    let mut out = leases(bench.completions());
    drop(out.pop());
    bench.fetch();
    assert_eq!(bench.round(NO_TIME, &[FULL]), [Asked::Recv(second, 8)], "it has waited longer");
    assert_eq!((place(&bench, first), place(&bench, second)), (LanePlace::Parked, LanePlace::Parked));
    assert_eq!(bench.model.cancel_all(first), Ok(1));
    drop((out, bench.completions()));
    bench.fetch();
    assert_eq!(bench.round(NO_TIME, &[FULL, FULL]), [Asked::Recv(second, 8); 2]);
}

#[test]
fn c1_a_receive_that_goes_on_ends_once_whatever_ends_it() {
    type End = fn(&mut Bench, ConnId);
    let reset = SystemError::from_kind(SystemErrorKind::ConnectionReset);
    let calls: [(End, &str); 3] = [
        (|bench, conn| assert_eq!(bench.model.cancel_all(conn), Ok(1)), "Cancelled"),
        (|bench, conn| assert_eq!(bench.model.close(conn), Ok(true)), "Closed(Requested)"),
        (|bench, _| bench.model.shut_down(), "Closed(ShutDown)"),
    ];
    // While it is idle, readable, or all its leases are out.
    for (end, result) in calls {
        for state in 0..3 {
            let mut bench = Bench::with(limits(), 8);
            let conn = bench.stream();
            bench.submit(conn, Recv::many(1), "many");
            if state > 0 {
                bench.readable(conn);
            }
            if state > 1 {
                bench.round(NO_TIME, &[FULL]);
            }
            end(&mut bench, conn);
            let done = bench.completions();
            assert_eq!(done.iter().filter(|done| !done.more).count(), 1, "{done:?}");
            assert_eq!(format!("{:?}", done.last().unwrap().result), format!("Err({result})"));
            assert_eq!(done.len(), 1 + usize::from(state > 1));
            bench.round(NO_TIME, &[]);
            drop(done);
            bench.fetch();
            assert_eq!((bench.model.outstanding(), bench.model.ops()), (0, 0));
        }
    }
    let ends =
        [(Transferred(0), "Received { end_of_stream: true }"), (Failed(reset), "System(ConnectionReset)")];
    for (outcome, result) in ends {
        let mut bench = Bench::with(limits(), 8);
        let conn = receiving(&mut bench, 2);
        bench.round(NO_TIME, &[FULL, outcome]);
        let [first, last] = bench.completions().try_into().unwrap();
        assert!(first.more && !last.more && last.buffer.is_empty());
        let last = last.result.map_or_else(|error| format!("{error:?}"), |done| format!("{done:?}"));
        assert_eq!(last, result);
        assert_eq!(bench.model.conn_info(conn).unwrap().receive.ops, 0);
    }
}

#[test]
fn t1_a_receive_that_goes_on_ends_with_its_deadline_after_a_last_attempt() {
    let mut bench = Bench::with(limits(), 8);
    let conn = bench.stream();
    let at = aio_model::Instant::from_nanos(5_000_000);
    bench.submit(conn, Recv::many(1).deadline(at), "many");
    assert_eq!(bench.round(Duration::from_millis(5), &[Transferred(3)]), [Asked::Recv(conn, 8)]);
    assert_eq!(
        bench.ended(),
        [ended("many", 3, "Received { end_of_stream: false }"), ended("many", 0, "Deadline")]
    );
    // Who waits for a lease is not tried.
    let conn = receiving(&mut bench, 1);
    bench.round(NO_TIME, &[FULL]);
    let _out = leases(bench.completions());
    let op = bench.model.ops_info().find(|(_, info)| info.conn == conn).unwrap().0;
    let deadline = aio_model::Deadline::At(bench.now);
    bench.model.set_deadline(op, Some(deadline), || bench.now).unwrap();
    assert_eq!(bench.round(NO_TIME, &[]), []);
    assert_eq!(bench.ended(), [ended("many", 0, "Deadline")]);
}

#[test]
fn c6_without_a_credit_for_another_completion_a_receive_that_goes_on_ends_with_what_it_brought() {
    let one = Limits { ops_max: NonZeroU32::MIN, ..limits() };
    let mut bench = Bench::with(one, 8);
    let conn = receiving(&mut bench, 2);
    assert_eq!(bench.round(NO_TIME, &[FULL]), [Asked::Recv(conn, 8)]);
    let [done] = bench.completions().try_into().unwrap();
    assert!(!done.more && done.bytes == 8 && done.context == "many");
    // With two credits, one completion goes first.
    let two = Limits { ops_max: NonZeroU32::new(2).unwrap(), ..limits() };
    let mut bench = Bench::with(two, 8);
    let conn = receiving(&mut bench, 4);
    assert_eq!(bench.round(NO_TIME, &[FULL, FULL]), [Asked::Recv(conn, 8); 2]);
    assert_eq!(bench.completions().iter().map(|done| done.more).collect::<Vec<_>>(), [true, false]);
    assert_eq!(bench.model.ops(), 0);
}

#[test]
fn k7_a_number_of_leases_that_makes_no_sense_and_receives_beside_one_that_goes_on_are_refused() {
    let mut bench = Bench::with_pools(&[(2, 8), (300, 8), (0, 8)]);
    let conn = bench.stream();
    let mut refused = |recv| bench.try_submit(conn, recv, "many").unwrap_err().kind;
    assert_eq!(refused(Recv::many(0)), SubmitErrorKind::LeasesMax);
    assert_eq!(refused(Recv::many(3)), SubmitErrorKind::LeasesMax);
    assert_eq!(refused(Recv::many(2).from(PoolId::new(2))), SubmitErrorKind::LeasesMax);
    assert_eq!(refused(Recv::many(1).from(PoolId::new(3))), SubmitErrorKind::NoPool);
    bench.submit(conn, Recv::into(vec![0; 4]), "first");
    let many = bench.submit(conn, Recv::many(u8::MAX).from(PoolId::new(1)), "many");
    let buffer = bench.try_submit(conn, Recv::into(vec![7; 4]), "behind").unwrap_err();
    assert_eq!((buffer.kind, buffer.buffer.as_slice()), (SubmitErrorKind::ReceivesMany, [7; 4].as_slice()));
    let again = bench.try_submit(conn, Recv::many(1), "behind").unwrap_err();
    assert_eq!(again.kind, SubmitErrorKind::ReceivesMany);
    bench.submit(conn, Shutdown::write(), "shutdown");
    // The first one comes first, and then all that is left.
    bench.readable(conn);
    assert_eq!(bench.round(NO_TIME, &[Done, Transferred(4), FULL, WouldBlock]).len(), 4);
    let ended: Vec<_> = bench.completions().iter().map(|done| (done.context, done.more)).collect();
    assert_eq!(ended, [("shutdown", false), ("first", false), ("many", true)]);
    // Once it is cancelled, any other is welcome.
    bench.model.cancel(many).unwrap();
    bench.submit(conn, Recv::into(vec![7; 4]), "after");
    let listener = bench.listener();
    let wrong = bench.try_submit(listener, Recv::many(1), "many").unwrap_err();
    assert_eq!(wrong.kind, SubmitErrorKind::WrongKind);
}
