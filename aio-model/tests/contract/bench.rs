//! A hand-driven model: the test plays the operating system, one call at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aio_model::testing::Shelf;
use aio_model::{
    Completion, Config, ConnId, Direction, Instant, Kind, Limits, Model, OpId, Operation, Outcome, PoolSize,
    Readiness, Rearm, SubmitError, Syscall,
};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) struct Bench {
    pub(crate) model: Model<&'static str>,
    shelf: Arc<Shelf>,
    pub(crate) now: Instant,
}

/// What a call asked for, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Recv(ConnId, usize),
    /// Where from, into how many slices, how many bytes.
    RecvVectored(ConnId, usize, usize),
    Discard(ConnId),
    Poll(ConnId, Direction),
    Peek(ConnId),
    Send(ConnId, usize),
    /// Where to, in how many slices, how many bytes.
    SendVectored(ConnId, usize, usize),
    Accept(ConnId),
    /// As whom.
    Connect(ConnId),
    Shutdown(ConnId),
    Close(ConnId),
    /// A close by a reset.
    Reset(ConnId),
}

/// What [`Bench::ended`] tells of an operation.
pub(crate) fn ended(context: &'static str, bytes: u64, result: &str) -> (&'static str, u64, String) {
    (context, bytes, result.to_owned())
}

pub(crate) fn limits() -> Limits {
    Limits { lane_attempts_max: NonZeroU32::new(4).unwrap(), ..Limits::DEFAULT }
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench::with(limits(), 2)
    }

    /// Another proactor than the usual one.
    pub(crate) fn foreign() -> Bench {
        Bench::make(limits(), &[(2, 8)], 2)
    }

    /// A model whose one pool has `buffers` buffers of 8 bytes.
    pub(crate) fn with(limits: Limits, buffers: u32) -> Bench {
        Bench::make(limits, &[(buffers, 8)], 1)
    }

    /// A model with these pools: how many buffers, of how many bytes.
    pub(crate) fn with_pools(pools: &[(u32, usize)]) -> Bench {
        Bench::make(limits(), pools, 1)
    }

    fn make(limits: Limits, pools: &[(u32, usize)], realm: u32) -> Bench {
        let shelf = Arc::new(Shelf::default());
        let pools =
            pools.iter().map(|&(buffers_max, buffer_bytes)| PoolSize { buffers_max, buffer_bytes }).collect();
        let config = Config { limits, pools, realm, rearm: Rearm::OnArrival };
        Bench { model: Model::new(config, &shelf.home()), shelf, now: Instant::ZERO }
    }

    /// Has memory for buffers of pools be refused from now on, or not.
    pub(crate) fn refuse_memory(&self, refused: bool) {
        self.shelf.refuse_memory(refused);
    }

    pub(crate) fn stream(&mut self) -> ConnId {
        self.model.open(Kind::Stream).unwrap()
    }

    pub(crate) fn listener(&mut self) -> ConnId {
        self.model.open(Kind::Listener).unwrap()
    }

    pub(crate) fn submit(
        &mut self,
        conn: ConnId,
        op: impl Operation<&'static str>,
        context: &'static str,
    ) -> OpId {
        self.try_submit(conn, op, context).unwrap()
    }

    pub(crate) fn try_submit(
        &mut self,
        conn: ConnId,
        op: impl Operation<&'static str>,
        context: &'static str,
    ) -> Result<OpId, SubmitError<&'static str>> {
        let now = self.now;
        let submitted = self.model.submit(conn, op, context, || now);
        self.model.check().unwrap();
        submitted
    }

    pub(crate) fn readable(&mut self, conn: ConnId) {
        self.model.on_ready(conn, Readiness::READABLE);
        self.model.check().unwrap();
    }

    /// Lets time pass and takes a round in which the calls are answered by `outcomes`, in order. Bytes
    /// received count up from 1. Ends when the round does; every outcome must have been asked for.
    pub(crate) fn round(&mut self, passed: Duration, outcomes: &[Outcome]) -> Vec<Asked> {
        self.now = self.now + passed;
        self.model.on_time(self.now);
        self.model.begin_round();
        let outcomes = RefCell::new(outcomes.iter().copied().collect::<VecDeque<_>>());
        let mut asked = Vec::new();
        while self.model.attempt(|call| {
            let (ask, outcome) = answer(call, &mut outcomes.borrow_mut());
            asked.push(ask);
            outcome
        }) {
            self.model.check().unwrap();
        }
        // A last attempt that the test says nothing of is in vain.
        while self.model.expire(|call| {
            let mut outcomes = outcomes.borrow_mut();
            if outcomes.is_empty() {
                outcomes.push_back(Outcome::WouldBlock);
            }
            let (ask, outcome) = answer(call, &mut outcomes);
            asked.push(ask);
            outcome
        }) {
            self.model.check().unwrap();
        }
        assert_eq!(outcomes.into_inner(), [], "outcomes that nobody asked for, after {asked:?}");
        self.fetch();
        self.model.check().unwrap();
        asked
    }

    /// Gives the buffers on this one's shelf to `other`, whose they are not.
    pub(crate) fn hand_over(&mut self, other: &mut Bench) -> usize {
        let buffers = self.shelf.take_all();
        let count = buffers.len();
        buffers.into_iter().for_each(|buffer| other.model.give_back(buffer));
        other.model.check().unwrap();
        count
    }

    pub(crate) fn fetch(&mut self) {
        let returned = self.shelf.take_all();
        for buffer in returned {
            self.model.give_back(buffer);
        }
    }

    pub(crate) fn completions(&mut self) -> Vec<Completion<&'static str>> {
        std::iter::from_fn(|| self.model.next_completion()).collect()
    }

    /// What ended, as context, bytes, and result in short.
    pub(crate) fn ended(&mut self) -> Vec<(&'static str, u64, String)> {
        let done = self.completions();
        let short = done.into_iter().map(|done| {
            let result = match done.result {
                Ok(done) => format!("{done:?}"),
                Err(error) => format!("{error:?}"),
            };
            (done.context, done.bytes, result)
        });
        let short = short.collect();
        self.fetch();
        self.model.check().unwrap();
        short
    }
}

fn answer(call: Syscall<'_>, outcomes: &mut VecDeque<Outcome>) -> (Asked, Outcome) {
    let mut next = || outcomes.pop_front().expect("the test scripted an outcome");
    match call {
        Syscall::Recv { conn, buffer } => {
            let outcome = next();
            if let Outcome::Transferred(count) | Outcome::Partial(count) = outcome {
                (1..=u8::MAX).cycle().zip(&mut buffer[..count]).for_each(|(value, byte)| *byte = value);
            }
            (Asked::Recv(conn, buffer.len()), outcome)
        }
        Syscall::RecvVectored { conn, mut slices } => {
            let outcome = next();
            if let Outcome::Transferred(count) | Outcome::Partial(count) = outcome {
                let space = slices.iter_mut().flatten().take(count);
                (1..=u8::MAX).cycle().zip(space).for_each(|(value, byte)| *byte = value);
            }
            (Asked::RecvVectored(conn, slices.iter_mut().count(), slices.len()), outcome)
        }
        Syscall::Discard { conn } => (Asked::Discard(conn), next()),
        Syscall::Poll { conn, direction } => (Asked::Poll(conn, direction), next()),
        Syscall::Peek { conn } => (Asked::Peek(conn), next()),
        Syscall::Connect { conn, .. } => (Asked::Connect(conn), next()),
        Syscall::Send { conn, bytes } => (Asked::Send(conn, bytes.len()), next()),
        Syscall::SendVectored { conn, slices } => {
            (Asked::SendVectored(conn, slices.iter().count(), slices.len()), next())
        }
        Syscall::Accept { listener, .. } => (Asked::Accept(listener), next()),
        Syscall::ShutdownWrite { conn } => (Asked::Shutdown(conn), next()),
        Syscall::Close { conn, reset: false } => (Asked::Close(conn), Outcome::Done),
        Syscall::Close { conn, reset: true } => (Asked::Reset(conn), Outcome::Done),
    }
}
