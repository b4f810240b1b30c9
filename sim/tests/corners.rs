//! What no workload comes to by chance, and what no oracle knows to the last millisecond: scripts, each of one thing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aio_model::{
    Address, Buffer, Config, ConnId, Connect, Home, Instant, Kind, Limits, Model, Operation, Outcome,
    PoolSize, Rearm, Recv, Returned, Send, SubmitErrorKind, Syscall, SystemError, SystemErrorKind, Violation,
};

const MS: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Shelf(Mutex<Vec<Returned>>);

impl Home for Shelf {
    fn come_home(&self, buffer: Returned) {
        self.0.lock().unwrap().push(buffer);
    }
}

fn model() -> Model<u32> {
    let home: Arc<dyn Home> = Arc::new(Shelf::default());
    let pools = vec![PoolSize { buffers_max: 2, buffer_bytes: 8 }];
    Model::new(Config { limits: Limits::default(), pools, realm: 1, rearm: Rearm::OnArrival }, &home)
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
                model.expire();
            }
        }
        pauses
    };
    assert_eq!(pauses(&[exhausted; 13]), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
    assert_eq!(pauses(&[Outcome::Transferred(2)]), [0; 0]);
}

#[test]
fn k7_what_can_not_be_written_to_is_not_received_into() {
    let mut model = model();
    let conn = model.open(Kind::Stream).unwrap();
    let parts = |last: Buffer| aio_model::Parts::from(vec![Buffer::from(vec![0; 2]), last]);
    for buffer in
        [Buffer::from("static"), bytes::Bytes::from_static(b"shared").into(), parts("x".into()).into()]
    {
        assert_eq!(refused(&mut model, conn, Recv::into(buffer)), Some(SubmitErrorKind::NotWritable));
    }
    assert_eq!(refused(&mut model, conn, Recv::into(Buffer::None)), Some(SubmitErrorKind::EmptyBuffer));
    assert_eq!(refused(&mut model, conn, Recv::into(parts(vec![0; 1].into()))), None);
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
