//! The canaries of the checks: a sound model, one thing in it broken, and the one check that must say so.
//!
//! Every check has one; the simulator's tests see to that.

use alloc::vec;
use core::num::NonZeroU32;
use core::time::Duration;

use super::*;
use crate::extra::Carried;
use crate::lane::End;
use crate::model::{Innards, own_index};
use crate::queue::QueueEntry;
use crate::testing::nowhere;
use crate::{
    Accept, Buffer, Close, Config, Instant, Kind, Limits, OpId, Operation, Outcome, Parts, PoolId, PoolSize,
    Post, Readiness, Rearm, Recv, Send, Sleep, SubmitErrorKind, SystemError, SystemErrorKind,
};

/// Breaks a model that is sound, and expects that check to say so.
#[track_caller]
fn canary(check: &str, mut model: Model<()>, sabotage: impl FnOnce(Innards<'_, ()>)) {
    assert_eq!(model.check(), Ok(()), "sound, before it is broken");
    sabotage(model.innards());
    assert_eq!(model.check().map_err(|violation| violation.check), Err(check));
}

/// A model with one pool, of one buffer.
fn model() -> Model<()> {
    let pools = vec![PoolSize { buffers_max: 1, buffer_bytes: 8 }];
    Model::new(Config { limits: Limits::DEFAULT, pools, realm: 1, rearm: Rearm::OnArrival }, &nowhere())
}

/// A model, and a stream in it with so many receives queued.
fn receiving(count: u32) -> (Model<()>, ConnId) {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    for _ in 0..count {
        submit(&mut model, conn, Recv::into(vec![0; 8]));
    }
    (model, conn)
}

/// The same, and it is readable.
fn readable(count: u32) -> (Model<()>, ConnId) {
    let (mut model, conn) = receiving(count);
    model.on_ready(conn, Readiness::READABLE);
    (model, conn)
}

fn submit(model: &mut Model<()>, conn: ConnId, op: impl Operation<()>) -> OpId {
    model.submit(conn, op, (), || Instant::ZERO).unwrap()
}

/// A model with a sleep, and the index of that.
fn sleeping() -> (Model<()>, u32) {
    let mut model = model();
    let own = model.own();
    let sleep = submit(&mut model, own, Sleep::new(Duration::from_secs(1)));
    (model, own_index(sleep.place()).unwrap())
}

/// A model with a post, whose completion waits to be taken.
fn posted() -> Model<()> {
    let mut model = model();
    let own = model.own();
    submit(&mut model, own, Post::new());
    model
}

/// A round in which every call has the same outcome.
fn round(model: &mut Model<()>, outcome: Outcome) {
    model.begin_round();
    while model.attempt(|_| outcome) {}
}

fn receive(conn: ConnId) -> LaneId {
    LaneId::receive(conn.index())
}

#[test]
fn more_operations_than_the_limit() {
    canary("ops-limit", receiving(2).0, |model| model.limits.ops_max = NonZeroU32::MIN);
}

#[test]
fn more_connections_than_the_limit() {
    let (mut model, _) = receiving(0);
    model.open(Kind::Listener).unwrap();
    canary("conns-limit", model, |model| model.limits.connections_max = NonZeroU32::MIN);
}

#[test]
fn a_connection_that_was_closed_before_it_was_opened() {
    canary("conns-counted", model(), |model| model.counters.closed += 1);
}

#[test]
fn a_connection_that_is_not_counted() {
    canary("conns-live", receiving(0).0, |model| {
        model.lanes.count_wrong(1, 0);
        model.counters.opened += 1;
    });
}

#[test]
fn operations_whose_completions_have_no_room() {
    canary("completion-room", receiving(1).0, |model| model.completions.forget_room());
}

#[test]
fn a_queue_that_counts_a_lane_which_is_not_there() {
    canary("lane-queue", readable(1).0, |model| model.lanes.run_mut().left());
}

#[test]
fn a_lane_that_runs_and_waits() {
    let (model, conn) = readable(1);
    canary("lane-place", model, |model| model.lanes.lane_mut(receive(conn)).set_wait(WaitsFor::Outcome));
}

#[test]
fn a_lane_in_no_queue_that_says_it_is_in_one() {
    let (model, conn) = receiving(1);
    canary("lane-stands", model, |model| {
        let lane = model.lanes.lane_mut(receive(conn));
        lane.set(Bits::QUEUED | Bits::READY);
        lane.set_ticket(7);
    });
}

#[test]
fn operations_behind_the_head_that_the_lane_does_not_know_of() {
    let (model, conn) = receiving(2);
    canary("op-more", model, |model| model.lanes.lane_mut(receive(conn)).clear(Bits::MORE));
}

#[test]
fn operations_behind_no_head() {
    let (model, conn) = receiving(2);
    canary("op-head", model, |model| model.lanes.lane_mut(receive(conn)).head = None);
}

#[test]
fn operations_that_overtook_each_other() {
    let (model, conn) = receiving(3);
    canary("op-order", model, |model| {
        model.lanes.conn_mut(conn.index()).extra_mut().unwrap().behind[0].swap(0, 1);
    });
}

#[test]
fn a_send_in_the_lane_of_receives() {
    let (model, conn) = receiving(1);
    canary("op-lane", model, |model| {
        model.lanes.lane_mut(receive(conn)).head.as_mut().unwrap().kind = LaneOp::Send;
    });
}

#[test]
fn a_receive_without_its_buffer() {
    let (model, conn) = receiving(1);
    canary("op-buffer", model, |model| {
        model.lanes.conn_mut(conn.index()).extra_mut().unwrap().receive = Carried::Nothing;
    });
}

#[test]
fn more_operations_in_a_lane_than_the_limit() {
    canary("lane-limit", receiving(2).0, |model| model.limits.lane_ops_max = NonZeroU32::MIN);
}

#[test]
fn bytes_behind_the_head_that_are_counted_wrong() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    for _ in 0..2 {
        submit(&mut model, conn, Send::new("abc"));
    }
    canary("bytes-behind", model, |model| {
        model.lanes.conn_mut(conn.index()).extra_mut().unwrap().bytes_behind = 2;
    });
}

#[test]
fn more_leases_in_sends_than_there_may_be() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Send::new("abc"));
    canary("leases-in-sends", model, |model| {
        // Of a pool of one, none may be.
        let lease = model.pools.of(PoolId::DEFAULT).lend().unwrap();
        *model.lanes.conn_mut(conn.index()).send.buffer_mut() = lease.into();
    });
}

#[test]
fn an_operation_in_a_lane_that_has_ended() {
    let (model, conn) = receiving(1);
    canary("ended-empty", model, |model| model.lanes.lane_mut(receive(conn)).set_end(End::EndOfStream));
}

#[test]
fn an_operation_in_a_lane_that_is_tainted() {
    let (model, conn) = receiving(1);
    canary("tainted-empty", model, |model| model.lanes.lane_mut(receive(conn)).set(Bits::TAINTED));
}

#[test]
fn an_operation_that_has_ended_and_that_its_lane_goes_on_with() {
    let (mut model, conn) = receiving(1);
    assert_eq!(model.cancel_all(conn), Ok(1));
    canary("completion-ended", model, |model| model.lanes.lane_mut(receive(conn)).clear(Bits::ENDED_HEAD));
}

#[test]
fn operations_without_room_for_their_completions() {
    let (model, conn) = receiving(2);
    canary("lane-room", model, |model| {
        model.lanes.conn_mut(conn.index()).extra_mut().unwrap().ended = Default::default();
    });
}

#[test]
fn an_operation_on_a_connection_that_closes() {
    let (model, conn) = receiving(1);
    canary("closing-empty", model, |model| model.lanes.conn_mut(conn.index()).force(Phase::Closing));
}

#[test]
fn a_connection_that_closes_and_waits_for_nothing() {
    let (mut model, conn) = receiving(0);
    model.close(conn).unwrap();
    canary("closing-place", model, |model| model.lanes.leave(receive(conn), model.deadlines));
}

#[test]
fn an_operation_on_a_connection_that_is_gone() {
    let (model, conn) = receiving(1);
    canary("gone-empty", model, |model| model.lanes.conn_mut(conn.index()).force(Phase::Gone));
}

#[test]
fn a_connection_in_the_making_that_nobody_asked_for() {
    let (model, conn) = receiving(0);
    canary("connecting-op", model, |model| model.lanes.conn_mut(conn.index()).force(Phase::ConnectingKnown));
}

#[test]
fn an_operation_on_a_connection_that_lingers() {
    let (model, conn) = receiving(1);
    canary("lingering-empty", model, |model| {
        model.lanes.conn_mut(conn.index()).force(Phase::LingeringFinSent);
    });
}

#[test]
fn a_connection_that_flushes_with_nothing_to_send() {
    let (model, conn) = receiving(0);
    canary("flushing-sends", model, |model| model.lanes.conn_mut(conn.index()).force(Phase::Flushing));
}

#[test]
fn a_connection_that_is_open_and_has_its_end_timed() {
    let (model, conn) = receiving(0);
    canary("end-timer", model, |model| {
        let timer = model.deadlines.arm(Instant::from_nanos(1), Owner::End(conn.index()));
        model.lanes.set_end_timer(conn.index(), timer);
    });
}

#[test]
fn a_connection_that_lingers_for_ever() {
    let (mut model, conn) = receiving(0);
    submit(&mut model, conn, Close::linger(Duration::from_secs(1)));
    canary("linger-timer", model, |model| {
        model.deadlines.cancel(model.lanes.conn(conn.index()).end_timer);
        model.lanes.set_end_timer(conn.index(), None);
    });
}

#[test]
fn a_lane_that_could_go_on_and_stands_nowhere() {
    let (model, conn) = receiving(1);
    canary("runnable-stands", model, |model| model.lanes.lane_mut(receive(conn)).set(Bits::READY));
}

#[test]
fn a_completion_that_is_nowhere() {
    canary("completion-count", posted(), |model| {
        let _ = model.completions.next();
    });
}

#[test]
fn a_completion_of_another_lane() {
    canary("completion-place", posted(), |model| {
        model.completions.move_first(Place::Lane(LaneId::receive(0)));
    });
}

#[test]
fn a_sleep_that_is_not_counted() {
    canary("sleep-count", sleeping().0, |model| model.own.count_wrong(1));
}

#[test]
fn a_connection_whose_close_is_forgotten() {
    let (mut model, conn) = receiving(0);
    submit(&mut model, conn, Close::now());
    canary("closer", model, |model| model.lanes.closing_mut(conn.index()).unwrap().ended = true);
}

#[test]
fn an_operation_that_is_nowhere() {
    canary("op-count", receiving(1).0, |model| model.completions.count_wrong(u32::MAX));
}

#[test]
fn a_gauge_that_is_off_by_one() {
    canary("queued-count", receiving(1).0, |model| model.queued.send += 1);
}

#[test]
fn a_buffer_held_by_a_receive_that_waits_for_an_event() {
    let (mut model, conn) = receiving(0);
    submit(&mut model, conn, Recv::pooled());
    canary("lease-in-use", model, |model| model.lanes.lane_mut(receive(conn)).set(Bits::GRANTED));
}

#[test]
fn a_buffer_set_aside_for_nobody() {
    canary("granted-count", model(), |model| {
        let pool = model.pools.of(PoolId::DEFAULT);
        assert!(pool.make_another());
        pool.grant();
    });
}

#[test]
fn a_timer_of_somebody_else() {
    let (model, sleep) = sleeping();
    canary("timer-owner", model, |model| {
        let timer = model.deadlines.arm(Instant::from_nanos(1), Owner::Close(sleep));
        model.own.set_timer(sleep, timer);
    });
}

#[test]
fn a_timer_of_nobody() {
    canary("timer-count", model(), |model| {
        model.deadlines.arm(Instant::from_nanos(1), Owner::Sleep(0));
    });
}

/// A listener with an accept queued, which somebody waits for.
fn listening() -> (Model<()>, ConnId) {
    let mut model = model();
    let listener = model.open(Kind::Listener).unwrap();
    submit(&mut model, listener, Accept::one());
    model.on_ready(listener, Readiness::READABLE);
    (model, listener)
}

/// A listener that has no descriptor to accept with.
fn short_of_descriptors() -> Model<()> {
    let (mut model, _) = listening();
    let short = SystemError::from_kind(SystemErrorKind::DescriptorsExhausted);
    round(&mut model, Outcome::Exhausted(short));
    model
}

#[test]
fn an_accept_that_runs_without_a_place() {
    canary("held-in-vain", listening().0, |model| model.lanes.find_places(1));
}

#[test]
fn a_receive_that_waits_for_a_place() {
    let (model, conn) = receiving(1);
    canary("held-accept", model, |model| {
        let lane = model.lanes.lane_mut(receive(conn));
        lane.set(Bits::READY);
        lane.set_wait(WaitsFor::Place);
        // So that it is in a queue that counts.
        let entry = QueueEntry { lane: receive(conn), ticket: lane.ticket() };
        assert!(model.lanes.held_mut().push(entry, |_| true));
    });
}

#[test]
fn a_connection_that_was_accepted_and_that_nobody_is_told_of() {
    canary("accepted-told", model(), |model| model.counters.accepted += 1);
}

#[test]
fn a_lane_whose_pause_is_not_counted() {
    canary("pausing-count", short_of_descriptors(), |model| model.lanes.count_wrong(0, u32::MAX));
}

#[test]
fn a_lane_that_pauses_for_a_descriptor_and_stands_in_no_list() {
    canary("lane-stands", short_of_descriptors(), |model| *model.lanes.short_mut() = Default::default());
}

#[test]
fn a_lane_that_pauses_among_those_who_had_nothing_and_had_something() {
    canary("lane-queue", short_of_descriptors(), |model| model.lanes.short_mut().swap(0, 1));
}

#[test]
fn a_deadline_that_is_put_off_for_nobody() {
    let (model, conn) = receiving(1);
    canary("renewal-op", model, |model| {
        assert!(model.lanes.has_room_to_renew(conn.index()));
        let serial = model.lanes.lane(receive(conn)).next().unwrap().serial;
        model.lanes.set_renewal(conn.index(), serial, Some(Duration::from_secs(1)));
    });
}

#[test]
fn a_lane_that_sees_to_nothing_apart() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Recv::into(vec![0; 8]).progress(Duration::from_secs(1)));
    canary("renewal-seen-to", model, |model| model.lanes.lane_mut(receive(conn)).clear(Bits::APART));
}

#[test]
fn a_connection_that_is_never_found_to_be_idle() {
    let (model, conn) = receiving(1);
    canary("idle-timer", model, |model| {
        model.lanes.conn_mut(conn.index()).idle = Some(NonZeroU32::MIN);
    });
}

#[test]
fn more_leases_out_than_there_may_be() {
    let (model, conn) = receiving(1);
    canary("leases-out", model, |model| model.lanes.conn_mut(conn.index()).leases_out = 1);
}

#[test]
fn a_lane_that_waits_for_a_lease_and_has_none_out() {
    let (mut model, conn) = receiving(0);
    submit(&mut model, conn, Recv::many(1));
    model.on_ready(conn, Readiness::READABLE);
    canary("lease-awaited", model, |model| model.lanes.await_lease(receive(conn)));
}

#[test]
fn a_lane_that_waits_for_a_lease_and_is_not_counted() {
    let (mut model, conn) = receiving(0);
    submit(&mut model, conn, Recv::many(1));
    canary("leases-awaited", model, |model| {
        model.lanes.conn_mut(conn.index()).leases_out = 1;
        model.lanes.lane_mut(receive(conn)).set_wait(WaitsFor::Lease);
        model.lanes.lane_mut(receive(conn)).set(Bits::READY);
    });
}

#[test]
fn a_lane_that_waits_for_a_buffer_that_is_free() {
    let (mut model, conn) = receiving(0);
    let lease = model.innards().pools.of(PoolId::DEFAULT).lend().unwrap();
    submit(&mut model, conn, Recv::pooled());
    model.on_ready(conn, Readiness::READABLE);
    round(&mut model, Outcome::Interrupted);
    canary("parked-in-vain", model, |model| model.pools.of(PoolId::DEFAULT).take_back(lease.end()));
}

/// Refused with everything given back, before anything is kept of it.
#[test]
fn k7_an_operation_with_more_bytes_than_can_be_counted_is_refused() {
    let (mut model, conn) = receiving(0);
    let whole = bytes::Bytes::from(vec![0; 1 << 30]);
    let parts = || core::iter::repeat_n(whole.clone(), 5).map(Buffer::from).collect::<Parts>();
    for send in [Send::new(parts()), Send::new(parts()).first(10), Send::new(parts()).skip(1 << 20)] {
        let refused = model.submit(conn, send, (), || Instant::ZERO).unwrap_err();
        assert_eq!(refused.kind, SubmitErrorKind::TooLarge);
        assert_eq!(refused.buffer.chunks().map(<[u8]>::len).sum::<usize>(), 5 << 30);
    }
    assert_eq!((model.ops(), model.stats().counters.refused, model.check()), (0, 3, Ok(())));
}
