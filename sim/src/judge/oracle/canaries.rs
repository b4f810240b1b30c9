//! The canaries of the oracle: a story in which one thing is wrong, and the one check that must say so.
//!
//! The stories are told to the oracle directly, as if by a user and a system, one of whom is broken. Where a
//! check compares the oracle's account with the model and the network, an episode is led astray. That every
//! check has a canary is checked by `sim/tests/rules`.

mod calls;
mod completions;
mod episodes;
mod expiry;
mod lifecycle;
mod seen;

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::testing::nowhere;
use aio_model::{
    Buffer, CloseReason, Completion, Config, ConnId, Done, Instant, Kind, Limits, Model, OpError, OpId,
    Outcome, PoolSize, Post, Readiness, Rearm, Recv, Sleep, Syscall,
};

use super::{Manner, Oracle, Submission, Task};
use crate::judge::context::Context;

/// Tells an oracle that has heard nothing wrong something that is, and expects that check to say so.
#[track_caller]
fn canary<R>(check: &str, mut story: Story, sabotage: impl FnOnce(&mut Story) -> R) {
    assert_eq!(story.oracle.broken(), None, "nothing is wrong yet");
    sabotage(&mut story);
    assert_eq!(story.oracle.broken().map(|broken| broken.check), Some(check), "{:?}", story.oracle.broken());
}

/// What an oracle is told, and where the names in it come from, which only a model can make.
struct Story {
    oracle: Oracle,
    model: Model<Context>,
    /// What was submitted: by context, the id, where, and the bytes.
    told: Vec<(OpId, ConnId, Vec<u8>)>,
}

/// The serial number of every stream of a story: what its bytes are a function of.
const SERIAL: u64 = 7;
/// The one pool: its buffers, and their size.
const POOL: (u32, usize) = (1, 8);

fn ms(count: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(count)
}

impl Story {
    fn new() -> Story {
        Story::within(|_| {})
    }

    /// A story in which other limits hold than the usual ones.
    fn within(limit: impl FnOnce(&mut Limits)) -> Story {
        let pools = vec![PoolSize { buffers_max: POOL.0, buffer_bytes: POOL.1 }];
        let rearm = Rearm::OnArrival;
        let config = Config { limits: Limits::DEFAULT, pools, realm: 1, rearm };
        let mut limits = Limits::DEFAULT;
        limit(&mut limits);
        let oracle = Oracle::new(limits, vec![POOL], rearm);
        Story { oracle, model: Model::new(config, &nowhere()), told: Vec::new() }
    }

    /// A name that nobody has told of.
    fn stranger(&mut self) -> ConnId {
        self.model.open(Kind::Stream).expect("there is room")
    }

    fn adopt(&mut self, kind: Kind) -> ConnId {
        let conn = self.stranger();
        self.oracle.on_adopted(conn, kind, Some(SERIAL));
        conn
    }

    /// A stream in which nothing has happened yet.
    fn stream() -> (Story, ConnId) {
        let mut story = Story::new();
        let conn = story.adopt(Kind::Stream);
        (story, conn)
    }

    /// The name of an operation.
    fn op_id(&mut self) -> OpId {
        let sleep = Sleep::new(Duration::MAX);
        self.model.submit(self.model.own(), sleep, Context::new(0), || Instant::ZERO).expect("there is room")
    }

    fn submission(&self, conn: ConnId, task: Task, bytes: &[u8]) -> Submission {
        let context = self.told.len() as u64;
        let at = Instant::ZERO;
        Submission {
            conn,
            task,
            context,
            bytes: bytes.to_vec(),
            lease: None,
            lent: 0,
            deadline: None,
            renewal: None,
            at,
        }
    }

    fn accepted(&mut self, submission: Submission) -> u64 {
        let (id, context) = (self.op_id(), submission.context);
        self.told.push((id, submission.conn, submission.bytes.clone()));
        self.oracle.on_submitted(submission, Ok(id));
        context
    }

    fn submit(&mut self, conn: ConnId, task: Task, bytes: &[u8]) -> u64 {
        self.accepted(self.submission(conn, task, bytes))
    }

    /// Submits a receive that may begin at once.
    fn submit_recv(&mut self, conn: ConnId, task: Task) -> u64 {
        let bytes: &[u8] = if matches!(task, Task::Recv | Task::RecvExact) { &[0; 8] } else { &[] };
        self.oracle.on_event(conn, Readiness::READABLE);
        self.submit(conn, task, bytes)
    }

    /// Submits a send of so many bytes.
    fn submit_send(&mut self, conn: ConnId, len: usize) -> u64 {
        self.submit(conn, Task::Send { start: 0, end: len }, &vec![b'x'; len])
    }

    /// Submits what is of no connection.
    fn submit_own(&mut self, task: Task) -> u64 {
        self.submit(self.model.own(), task, &[])
    }

    /// The completion of an operation that moved nothing, with the buffer that it was submitted with.
    fn completion(&mut self, context: u64, result: Result<Done, OpError>) -> Completion<Context> {
        self.model
            .submit(self.model.own(), Post::new(), Context::new(context), || Instant::ZERO)
            .expect("there is room");
        let mut done = self.model.next_completion().expect("it was posted");
        let (op, conn, bytes) = self.told[usize::try_from(context).expect("a few")].clone();
        (done.op, done.conn, done.result) = (op, conn, result);
        done.buffer = if bytes.is_empty() { Buffer::None } else { bytes.into() };
        done
    }

    fn complete(&mut self, context: u64, result: Result<Done, OpError>) {
        let done = self.completion(context, result);
        self.oracle.on_completion(&done);
    }

    /// A buffer of the pool with so many bytes in it.
    fn lease(&mut self, len: usize) -> Buffer {
        let conn = self.stranger();
        self.model.submit(conn, Recv::pooled(), Context::new(0), || Instant::ZERO).expect("there is room");
        self.model.on_ready(conn, Readiness::READABLE);
        self.model.begin_round();
        self.model.attempt(|call| match call {
            Syscall::Recv { buffer, .. } => {
                buffer[..len].fill(b'x');
                Outcome::Transferred(len)
            }
            other => panic!("{other:?} is not a receive"),
        });
        self.model.next_completion().expect("it was received").buffer
    }
}
