//! What no workload comes to by chance, and what no oracle knows to the last millisecond: scripts, each of
//! one thing.

use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aio_model::testing::nowhere;
use aio_model::timers::Timers;
use aio_model::{
    Accept, Address, Buffer, Config, ConnId, Connect, Instant, Kind, Limits, Model, Operation, Outcome,
    Parts, PoolSize, Post, Readiness, Rearm, Recv, Send, SubmitErrorKind, Syscall, SystemError,
    SystemErrorKind, Tick, Violation,
};

const MS: Duration = Duration::from_millis(1);

fn model() -> Model<u32> {
    let pools = vec![PoolSize { buffers_max: 2, buffer_bytes: 8 }];
    Model::new(Config { limits: Limits::default(), pools, realm: 1, rearm: Rearm::OnArrival }, &nowhere())
}

fn submit(model: &mut Model<u32>, conn: ConnId, op: impl Operation<u32>) {
    model.submit(conn, op, 0, || Instant::ZERO).unwrap();
}

/// Why an operation is refused.
fn refused(model: &mut Model<u32>, conn: ConnId, op: impl Operation<u32>) -> Option<SubmitErrorKind> {
    model.submit(conn, op, 0, || Instant::ZERO).err().map(|refused| refused.kind)
}

#[test]
fn k5_pauses_double_from_a_millisecond_to_a_second_and_begin_again_after_a_success() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Send::new("ab"));
    model.on_time(Instant::ZERO + 3 * MS);
    let exhausted = Outcome::Exhausted(SystemError::from_kind(SystemErrorKind::OutOfMemory));
    let mut pauses = |outcomes: &[Outcome]| -> Vec<u128> {
        let mut pauses = Vec::new();
        for outcome in outcomes {
            model.begin_round();
            assert!(model.attempt(|_| *outcome));
            assert!(!model.attempt(|call| unreachable!("{call:?} without a pause")) || *outcome != exhausted);
            if let Some(until) = model.next_deadline() {
                pauses.push(until.saturating_since(model.now()).as_millis());
                model.on_time(until);
                assert!(model.expire(|call| unreachable!("{call:?} for a pause")));
            }
        }
        pauses
    };
    assert_eq!(pauses(&[exhausted; 13]), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
    assert_eq!(pauses(&[Outcome::Transferred(2)]), [0; 0]);
}

#[test]
fn k5_what_lacks_a_place_is_not_let_go_for_a_credit() {
    let limits = Limits { connections_max: NonZeroU32::MIN, ..Limits::DEFAULT };
    let config = Config { limits, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival };
    let mut model: Model<u32> = Model::new(config, &nowhere());
    let (own, listener) = (model.own(), model.open(Kind::Listener).unwrap());
    submit(&mut model, listener, Accept::one());
    model.on_ready(listener, Readiness::READABLE);
    model.begin_round();
    assert!(!model.attempt(|call| unreachable!("{call:?} without a place")));
    submit(&mut model, own, Post::new());
    assert!(model.next_completion().is_some());
    let stats = model.stats();
    assert_eq!((stats.lanes_held, stats.lanes_runnable, model.is_busy()), (1, 0, false));
}

#[test]
fn k7_what_can_not_be_written_to_is_not_received_into() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    let parts = |last: Buffer| Parts::from(vec![Buffer::from(vec![0; 2]), last]);
    for buffer in
        [Buffer::from("static"), bytes::Bytes::from_static(b"shared").into(), parts("x".into()).into()]
    {
        assert_eq!(refused(&mut model, conn, Recv::into(buffer)), Some(SubmitErrorKind::NotWritable));
    }
    assert_eq!(refused(&mut model, conn, Recv::into(Buffer::None)), Some(SubmitErrorKind::EmptyBuffer));
    assert_eq!(refused(&mut model, conn, Recv::into(parts(vec![0; 1].into()))), None);
}

/// Makes the next call of a round; of those that have to do with bytes.
fn call<R>(model: &mut Model<u32>, outcome: Outcome, look: impl FnOnce(&mut Syscall<'_>) -> R) -> R {
    let mut seen = None;
    model.begin_round();
    assert!(model.attempt(|mut call| {
        seen = Some(look(&mut call));
        outcome
    }));
    model.check().unwrap();
    seen.expect("it was called")
}

/// The bytes of a gathered send.
fn gathered(call: &mut Syscall<'_>) -> Vec<u8> {
    let Syscall::SendVectored { slices, .. } = call else { panic!("{call:?}") };
    slices.iter().collect::<Vec<_>>().concat()
}

#[test]
fn c4_parts_that_were_sent_can_be_sent_again_from_their_first_byte() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    let mut parts: Buffer = Parts::from(vec![Buffer::from("ab"), "cd".into(), "ef".into()]).into();
    for _ in 0..2 {
        submit(&mut model, conn, Send::new(parts));
        assert_eq!(call(&mut model, Outcome::Transferred(3), gathered), b"abcdef");
        model.on_ready(conn, Readiness::WRITABLE);
        assert_eq!(call(&mut model, Outcome::Transferred(3), gathered), b"def");
        parts = model.next_completion().unwrap().buffer;
    }
    // Also from another one.
    submit(&mut model, conn, Send::new(parts).skip(1));
    assert_eq!(call(&mut model, Outcome::Transferred(5), gathered), b"bcdef");
}

#[test]
fn k7_any_number_of_empty_parts_costs_a_call_no_more_than_a_few() {
    for (empty, lent) in [(2000, b"ab".as_slice()), (4094, b"ab"), (4095, b"a"), (9000, b"a")] {
        let mut model = model();
        let conn = model.open(Kind::Stream).unwrap();
        let parts = std::iter::repeat_with(|| Buffer::from("")).take(empty);
        let parts: Parts = [Buffer::from("a")].into_iter().chain(parts).chain([Buffer::from("b")]).collect();
        submit(&mut model, conn, Send::new(parts));
        assert_eq!(call(&mut model, Outcome::WouldBlock, gathered), lent, "{empty} are empty");
    }
}

#[test]
fn k7_a_call_is_lent_no_more_than_it_takes() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    // Zeroed memory that nobody touches is not there.
    let parts: Parts = [16, 1 << 30, 16].map(|bytes| Buffer::from(vec![0; bytes])).into_iter().collect();
    submit(&mut model, conn, Recv::into(parts));
    model.on_ready(conn, Readiness::READABLE);
    let (len, slices) = call(&mut model, Outcome::WouldBlock, |call| {
        let Syscall::RecvVectored { slices, .. } = call else { panic!("{call:?}") };
        (slices.len(), slices.iter_mut().map(|slice| slice.len()).collect::<Vec<_>>())
    });
    assert_eq!((len, slices), (1 << 30, vec![16, (1 << 30) - 16]));
}

#[test]
fn limits_are_no_higher_than_indices_are_made_for() {
    let (connections_max, ops_max) = (NonZeroU32::MAX, NonZeroU32::MAX);
    let limits = Limits { connections_max, ops_max, ..Limits::DEFAULT };
    let config = Config { limits, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival };
    let model: Model<u32> = Model::new(config, &nowhere());
    let Limits { connections_max, ops_max, .. } = *model.limits();
    assert_eq!((connections_max.get(), ops_max.get()), (1 << 28, (1 << 30) - (1 << 16)));
}

#[test]
fn c2_a_lease_among_parts_knows_what_was_received_into_it() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Recv::pooled());
    model.on_ready(conn, Readiness::READABLE);
    call(&mut model, Outcome::Partial(8), |_| ());
    let lease = model.next_completion().unwrap().buffer;
    assert_eq!(lease.len(), 8);
    let parts = vec![Buffer::from(vec![0; 2]), lease, vec![0; 2].into()];
    submit(&mut model, conn, Recv::into(Parts::from(parts)));
    call(&mut model, Outcome::Partial(5), |call| {
        let Syscall::RecvVectored { slices, .. } = call else { panic!("{call:?}") };
        assert_eq!(slices.iter_mut().map(|slice| slice.len()).collect::<Vec<_>>(), [2, 8, 2]);
        slices.iter_mut().for_each(|slice| slice.fill(b'x'));
    });
    let done = model.next_completion().unwrap();
    let lens: Vec<usize> = done.buffer.chunks().map(<[u8]>::len).collect();
    assert_eq!((done.bytes, lens), (5, vec![2, 3, 2]), "vectors are as long as they were");
}

#[test]
fn t1_what_no_clock_comes_to_is_last_among_many_timers() {
    let mut timers = Timers::new();
    timers.arm(Tick(u64::MAX), 0);
    for at in (1..=40).rev() {
        timers.arm(Tick(at), at);
    }
    let fired: Vec<u64> = std::iter::from_fn(|| timers.pop_due(Tick(1 << 47))).collect();
    assert_eq!(fired, (1..=40).collect::<Vec<_>>());
    assert_eq!((timers.len(), timers.pop_due(Tick(u64::MAX))), (1, Some(0)));
}

#[test]
fn a_short_list_of_timers_is_looked_through_and_a_long_one_is_spread() {
    let nodes = |timers: &Timers<u64>| format!("{timers:?}").matches("occupied:").count();
    let mut timers = Timers::new();
    for at in 5_000..5_016 {
        timers.arm(Tick(at), at);
        assert_eq!((timers.earliest(), nodes(&timers)), (Some(Tick(5_000)), 1), "with {at}");
    }
    timers.arm(Tick(5_016), 5_016);
    assert_eq!(nodes(&timers), 1, "not before it is looked for");
    assert_eq!(timers.earliest(), Some(Tick(5_000)));
    assert_eq!(nodes(&timers), 3, "one a digit");
    while timers.pop_due(Tick(5_016)).is_some() {}
    for at in 5_020..5_050 {
        timers.arm(Tick(at), at);
    }
    assert_eq!((timers.len(), timers.earliest(), nodes(&timers)), (30, Some(Tick(5_020)), 3), "still there");
    timers.arm(Tick(4), 4);
    while timers.pop_due(Tick(5_050)).is_some() {}
    timers.arm(Tick(9_000), 9_000);
    assert_eq!(
        (timers.earliest(), nodes(&timers)),
        (Some(Tick(9_000)), 1),
        "what time has passed is not kept"
    );
}

#[test]
fn of_the_nodes_that_deadlines_have_left_only_some_are_kept() {
    let nodes = |timers: &Timers<u64>| format!("{timers:?}").matches("occupied:").count();
    let mut timers = Timers::new();
    // Something near, so that nobody ever comes by what is far.
    let (mut near, mut most) = (timers.arm(Tick(1), 0), 0);
    for far in (0..1_000).rev().map(|nth| 10_000 + nth * 64) {
        timers.cancel(near);
        let armed: Vec<_> = (0..20).map(|at| timers.arm(Tick(far + at), at)).collect();
        assert_eq!(timers.earliest(), Some(Tick(far)));
        near = timers.arm(Tick(1), 0);
        for timer in armed {
            timers.cancel(timer);
        }
        most = most.max(nodes(&timers));
    }
    assert_eq!(most, 19, "sixteen, and those above them");
}

#[test]
fn what_was_reported_twice_is_reported() {
    let both = Readiness::READABLE | Readiness::WRITABLE;
    assert_eq!(both | Readiness::READABLE, both);
}

#[test]
fn an_address_is_asked_for_as_it_was_given() {
    let mut model = model();
    let path = std::path::Path::new("/run/x");
    for address in [Address::from(path), Address::from(path.to_owned())] {
        let own = model.own();
        submit(&mut model, own, Connect::to(address));
        model.begin_round();
        assert!(model.attempt(|call| {
            let Syscall::Connect { target, .. } = call else { panic!("{call:?}") };
            assert_eq!(target.address(), &Address::unix(*b"/run/x"));
            assert_eq!((target.local(), target.nodelay()), (None, false));
            Outcome::Done
        }));
    }
}

#[test]
fn a_violation_says_what_is_broken() {
    let violation = Violation { rule: "C1", check: "op-count", what: "two operations".to_owned() };
    assert_eq!(violation.to_string(), "C1 (op-count): two operations");
}

/// The one way to break a model from outside: a system that panics in the middle of a call.
#[test]
fn an_invariant_that_does_not_hold_is_reported() {
    let mut model = model();
    let listener = model.open(Kind::Listener).unwrap();
    submit(&mut model, listener, Accept::one());
    model.on_ready(listener, Readiness::READABLE);
    model.begin_round();
    assert_eq!(model.check(), Ok(()));
    let attempt = || model.attempt(|call| panic!("a system that can not answer {call:?}"));
    assert!(catch_unwind(AssertUnwindSafe(attempt)).is_err());
    let Violation { rule, check, .. } = model.check().unwrap_err();
    assert_eq!((rule, check), ("C6", "conns-live"), "one connection more than was opened");
}
