//! The canaries of the checks: a sound model, one thing in it broken, and the one check that must say so.
//!
//! Every check has one; the simulator's tests see to that.

use alloc::sync::Arc;
use alloc::vec;
use core::num::NonZeroU32;
use core::time::Duration;

use super::*;
use crate::cargo::Cargo;
use crate::conn::Fin;
use crate::lane::{Belief, End};
use crate::lease::{Home, Returned};
use crate::list::{Link, List};
use crate::time::Tick;
use crate::{
    Accept, Buffer, Close, Config, ConnId, Instant, Kind, Limits, OpId, Operation, Outcome, Parts, PoolSize,
    Post, Readiness, Rearm, Recv, Send, Sleep, SubmitErrorKind, SystemError, SystemErrorKind,
};

/// Breaks a model that is sound, and expects that check to say so.
#[track_caller]
fn canary(check: &str, mut model: Model<()>, sabotage: impl FnOnce(&mut Model<()>)) {
    assert_eq!(model.check(), Ok(()), "sound, before it is broken");
    sabotage(&mut model);
    assert_eq!(model.check().map_err(|violation| violation.check), Err(check));
}

struct Nowhere;

impl Home for Nowhere {
    fn come_home(&self, _: Returned) {}
}

/// A model with one pool, of one buffer.
fn model() -> Model<()> {
    let home: Arc<dyn Home> = Arc::new(Nowhere);
    let pools = vec![PoolSize { buffers_max: 1, buffer_bytes: 8 }];
    Model::new(Config { limits: Limits::DEFAULT, pools, realm: 1, rearm: Rearm::OnArrival }, &home)
}

/// A model, and the index of a stream in it with so many receives queued.
fn receiving(count: u32) -> (Model<()>, u32) {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    for _ in 0..count {
        submit(&mut model, conn, Recv::into(vec![0; 8]));
    }
    (model, conn.index())
}

fn submit(model: &mut Model<()>, conn: ConnId, op: impl Operation<()>) -> OpId {
    model.submit(conn, op, (), || Instant::ZERO).unwrap()
}

fn own(model: &mut Model<()>, op: impl Operation<()>) -> u32 {
    let own = model.own();
    submit(model, own, op).index()
}

/// A round in which every call has the same outcome.
fn round(model: &mut Model<()>, outcome: Outcome) {
    model.begin_round();
    while model.attempt(|_| outcome) {}
}

fn receive(conn: u32) -> LaneId {
    LaneId::new(conn, Direction::Receive)
}

#[test]
fn more_operations_than_the_limit() {
    let (model, _) = receiving(2);
    canary("ops-limit", model, |model| model.limits.ops_max = NonZeroU32::MIN);
}

#[test]
fn more_connections_than_the_limit() {
    let (mut model, _) = receiving(0);
    model.open(Kind::Listener).unwrap();
    canary("conns-limit", model, |model| model.limits.connections_max = NonZeroU32::MIN);
}

#[test]
fn a_connection_that_was_closed_before_it_was_opened() {
    canary("conns-counted", model(), |model| model.stats.closed += 1);
}

#[test]
fn a_queue_of_lanes_with_a_loop_in_it() {
    let (mut model, conn) = receiving(1);
    model.on_ready(model.conn_id(conn), Readiness::READABLE);
    canary("lane-list", model, |model| model.run.push_back(&mut model.conns, receive(conn).index()));
}

#[test]
fn a_lane_in_two_queues() {
    let (mut model, conn) = receiving(1);
    model.on_ready(model.conn_id(conn), Readiness::READABLE);
    canary("lane-place", model, |model| model.held.push_back(&mut model.conns, receive(conn).index()));
}

#[test]
fn a_lane_in_another_queue_than_it_says() {
    let (mut model, conn) = receiving(1);
    model.on_ready(model.conn_id(conn), Readiness::READABLE);
    canary("lane-place", model, |model| model.conns[receive(conn)].place = Place::Held { served: false });
}

#[test]
fn a_lane_in_no_queue_that_says_it_is_in_one() {
    let (mut model, conn) = receiving(1);
    model.on_ready(model.conn_id(conn), Readiness::READABLE);
    canary("lane-stands", model, |model| model.run = List::EMPTY);
}

#[test]
fn a_queue_of_operations_that_is_linked_one_way_only() {
    let (model, conn) = receiving(2);
    canary("op-list", model, |model| {
        let last = model.conns[receive(conn)].ops.iter(&model.ops).last().unwrap();
        model.ops[last].link = Link::UNLINKED;
    });
}

#[test]
fn an_operation_in_the_lane_of_another_connection() {
    let (mut model, conn) = receiving(1);
    let other = model.open(Kind::Stream).unwrap().index();
    canary("op-lane", model, |model| {
        let ops = core::mem::replace(&mut model.conns[receive(conn)].ops, List::EMPTY);
        model.conns[receive(other)].ops = ops;
    });
}

#[test]
fn more_operations_in_a_lane_than_the_limit() {
    let (model, _) = receiving(2);
    canary("lane-limit", model, |model| model.limits.lane_ops_max = NonZeroU32::MIN);
}

#[test]
fn an_operation_in_a_lane_that_has_ended() {
    let (model, conn) = receiving(1);
    canary("ended-empty", model, |model| model.conns[receive(conn)].end = Some(End::EndOfStream));
}

#[test]
fn an_operation_in_a_lane_that_is_tainted() {
    let (model, conn) = receiving(1);
    canary("tainted-empty", model, |model| model.conns[receive(conn)].gate = Gate::Tainted);
}

#[test]
fn an_operation_on_a_connection_that_closes() {
    let (model, conn) = receiving(1);
    canary("closing-empty", model, |model| model.conns[conn].phase = Phase::Closing { reset: false });
}

#[test]
fn a_connection_that_closes_and_waits_for_nothing() {
    let (mut model, conn) = receiving(0);
    model.close(model.conn_id(conn)).unwrap();
    canary("closing-place", model, |model| model.displace(receive(conn)));
}

#[test]
fn a_connection_in_the_making_that_nobody_asked_for() {
    let (model, conn) = receiving(0);
    canary("connecting-op", model, |model| model.conns[conn].phase = Phase::Connecting { known: true });
}

#[test]
fn an_operation_on_a_connection_that_lingers() {
    let (model, conn) = receiving(1);
    canary("lingering-empty", model, |model| {
        model.conns[conn].phase = Phase::Lingering { fin: Fin::Sent };
    });
}

#[test]
fn a_connection_that_flushes_with_nothing_to_send() {
    let (model, conn) = receiving(0);
    canary("flushing-sends", model, |model| {
        model.conns[conn].phase = Phase::Flushing;
    });
}

#[test]
fn a_connection_that_is_open_and_has_its_end_timed() {
    let (model, conn) = receiving(0);
    canary("end-timer", model, |model| {
        model.conns[conn].end_timer = Some(model.timers.arm(Tick(1), Owner::Conn(conn).into()));
    });
}

#[test]
fn a_connection_that_lingers_for_ever() {
    let (mut model, conn) = receiving(0);
    let id = model.conn_id(conn);
    submit(&mut model, id, Close::linger(Duration::from_secs(1)));
    canary("linger-timer", model, |model| {
        let timer = model.conns[conn].end_timer.take().unwrap();
        model.timers.cancel(timer);
    });
}

#[test]
fn a_lane_that_could_go_on_and_stands_nowhere() {
    let (model, conn) = receiving(1);
    canary("runnable-stands", model, |model| model.conns[receive(conn)].belief = Belief::Ready);
}

#[test]
fn a_queue_of_completions_with_a_loop_in_it() {
    let mut model = model();
    let post = own(&mut model, Post::new());
    canary("completion-list", model, |model| model.ended.push_back(&mut model.ops, post));
}

#[test]
fn an_operation_that_ended_with_its_timer_armed() {
    let mut model = model();
    let post = own(&mut model, Post::new());
    canary("completion-ended", model, |model| {
        model.ops[post].timer = Some(model.timers.arm(Tick(1), Owner::Op(post).into()));
    });
}

#[test]
fn a_queue_of_sleeps_with_a_loop_in_it() {
    let mut model = model();
    let sleep = own(&mut model, Sleep::new(Duration::from_secs(1)));
    canary("sleep-list", model, |model| model.sleeping.push_back(&mut model.ops, sleep));
}

#[test]
fn a_sleep_that_has_something_to_do() {
    let mut model = model();
    let sleep = own(&mut model, Sleep::new(Duration::from_secs(1)));
    canary("sleep-queued", model, |model| model.ops[sleep].stage = Stage::Queued(Work::Post));
}

#[test]
fn a_connection_closed_by_another_operation() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Close::now());
    let post = own(&mut model, Post::new());
    canary("closer", model, |model| model.conns[conn.index()].closer = post);
}

#[test]
fn an_operation_that_is_nowhere() {
    let (model, conn) = receiving(1);
    canary("op-count", model, |model| model.conns[receive(conn)].ops = List::EMPTY);
}

#[test]
fn a_gauge_that_is_off_by_one() {
    let (model, _) = receiving(1);
    canary("queued-count", model, |model| model.queued.send += 1);
}

#[test]
fn a_buffer_held_by_a_receive_that_waits_for_an_event() {
    let (mut model, conn) = receiving(0);
    let id = model.conn_id(conn);
    let op = submit(&mut model, id, Recv::pooled()).index();
    canary("lease-in-use", model, |model| {
        let lease = model.pools[0].lend().unwrap();
        model.load(op, lease);
    });
}

#[test]
fn a_buffer_of_no_operation() {
    canary("cargo-count", model(), |model| {
        model.cargos.load(Cargo::space(vec![0; 8].into()));
    });
}

#[test]
fn a_timer_of_somebody_else() {
    let mut model = model();
    let sleep = own(&mut model, Sleep::new(Duration::from_secs(1)));
    canary("timer-owner", model, |model| {
        model.ops[sleep].timer = Some(model.timers.arm(Tick(1), Owner::Conn(sleep).into()));
    });
}

/// A listener that has no descriptor to accept with.
fn short_of_descriptors() -> (Model<()>, u32) {
    let mut model = model();
    let listener = model.open(Kind::Listener).unwrap();
    submit(&mut model, listener, Accept::one());
    model.on_ready(listener, Readiness::READABLE);
    let short = SystemError::from_kind(SystemErrorKind::DescriptorsExhausted);
    round(&mut model, Outcome::Exhausted(short));
    (model, listener.index())
}

#[test]
fn a_connection_that_was_accepted_and_that_nobody_is_told_of() {
    canary("accepted-told", model(), |model| model.stats.accepted += 1);
}

/// Refused with everything given back, before anything is kept of it.
#[test]
fn k7_an_operation_with_more_bytes_than_can_be_counted_is_refused() {
    let (mut model, conn) = receiving(0);
    let (id, whole) = (model.conn_id(conn), bytes::Bytes::from(vec![0; 1 << 30]));
    let parts = || core::iter::repeat_n(whole.clone(), 5).map(Buffer::from).collect::<Parts>();
    for send in [Send::new(parts()), Send::new(parts()).first(10), Send::new(parts()).skip(1 << 20)] {
        let refused = model.submit(id, send, (), || Instant::ZERO).unwrap_err();
        assert_eq!(refused.kind, SubmitErrorKind::TooLarge);
        assert_eq!(refused.buffer.chunks().map(<[u8]>::len).sum::<usize>(), 5 << 30);
    }
    assert_eq!((model.ops(), model.stats().counters.refused, model.check()), (0, 3, Ok(())));
}

#[test]
fn a_lane_whose_pause_is_not_counted() {
    let (model, _) = short_of_descriptors();
    canary("pausing-count", model, |model| model.backing_off = 0);
}

#[test]
fn a_lane_that_pauses_for_a_descriptor_and_stands_in_no_list() {
    let (model, _) = short_of_descriptors();
    canary("lane-stands", model, |model| model.short_served = List::EMPTY);
}

#[test]
fn a_lane_that_pauses_among_those_who_had_nothing_and_had_something() {
    let (model, _) = short_of_descriptors();
    canary("lane-place", model, |model| core::mem::swap(&mut model.short, &mut model.short_served));
}

#[test]
fn a_timer_of_nobody() {
    canary("timer-count", model(), |model| {
        model.timers.arm(Tick(1), Owner::Op(0).into());
    });
}

#[test]
fn a_lane_that_waits_for_a_buffer_that_is_free() {
    let (mut model, conn) = receiving(0);
    let lease = model.pools[0].lend().unwrap();
    let id = model.conn_id(conn);
    submit(&mut model, id, Recv::pooled());
    model.on_ready(id, Readiness::READABLE);
    round(&mut model, Outcome::Interrupted);
    canary("parked-in-vain", model, |model| {
        let parked = core::mem::replace(&mut model.pools[0].parked, List::EMPTY);
        model.pools[0].take_back(lease.end());
        model.pools[0].parked = parked;
    });
}
