//! The words: what goes in and what comes out, as plain values.

use aio_model::{
    CloseReason, Deadline, Direction, Limits, OpError, PoolId, PoolSize, Rearm, SubmitErrorKind,
};

use super::Buffer;

/// A rule of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract says what each promises")]
#[rustfmt::skip]
pub enum Rule {
    C1, C2, C3, C4, C5, C6, C7,
    T1, T2, T3,
    B1, B2, B3, B4,
    K1, K2, K3, K4, K5, K6, K7,
}

impl Rule {
    /// All of them.
    #[rustfmt::skip]
    pub const ALL: [Rule; 21] = [
        Rule::C1, Rule::C2, Rule::C3, Rule::C4, Rule::C5, Rule::C6, Rule::C7,
        Rule::T1, Rule::T2, Rule::T3,
        Rule::B1, Rule::B2, Rule::B3, Rule::B4,
        Rule::K1, Rule::K2, Rule::K3, Rule::K4, Rule::K5, Rule::K6, Rule::K7,
    ];
}

/// What is to be built.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What it may hold and do.
    pub limits: Limits,
    /// Its pools.
    pub pools: Vec<PoolSize>,
    /// When the system reports readiness again.
    pub rearm: Rearm,
    /// What its ids are told from others by.
    pub proactor_id: u32,
}

/// Names a connection or an operation: a place, and the how many-th it is that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Whose it is.
    pub proactor_id: u32,
    /// The place.
    pub index: u32,
    /// Counted from 1.
    pub generation: u32,
}

/// Places that are numbered, and taken by one after the other: the one that was left last, first.
#[derive(Debug, Default)]
pub(super) struct Places {
    vacant: Vec<u32>,
    /// How often each was taken.
    taken: Vec<u32>,
}

/// What an operation has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the operations of `aio_model`")]
pub enum Work {
    Recv {
        exact: bool,
    },
    /// From the connection's own pool, unless it says from which.
    RecvPooled {
        pool: Option<PoolId>,
    },
    RecvMany {
        pool: Option<PoolId>,
        leases_max: u8,
    },
    Send {
        start: usize,
        end: usize,
    },
    Accept {
        many: bool,
    },
    Connect,
    Shutdown,
    Wait(Direction),
    Close {
        manner: Manner,
        reason: CloseReason,
    },
    Sleep,
    Post,
}

/// How to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::Close`")]
pub enum Manner {
    Now,
    Abort,
    Flush,
    Linger { ms: u32 },
}

/// What is submitted.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to do.
    pub work: Work,
    /// With which bytes.
    pub buffer: Buffer,
    /// Until when; of a sleep, when it is over.
    pub deadline: Option<Deadline>,
}

/// What comes back of what was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub kind: SubmitErrorKind,
    /// What was to ride on it.
    pub context: u32,
    /// Its bytes.
    pub buffer: Buffer,
}

/// What comes back of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::Completion`")]
pub struct Completion {
    pub context: u32,
    pub conn: Id,
    pub op: Id,
    pub buffer: Buffer,
    pub bytes: usize,
    pub result: Result<Done, OpError>,
    pub more: bool,
}

/// What an operation that succeeded did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::Done`")]
pub enum Done {
    Received { end_of_stream: bool },
    Sent,
    Accepted(Id),
    Connected,
    ShutDown,
    Ready,
    Closed,
    Elapsed,
    Posted,
}

impl Places {
    /// K1: a place that is taken again has another name.
    pub(super) fn take(&mut self, proactor_id: u32) -> Id {
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.taken.push(0);
            u32::try_from(self.taken.len() - 1).expect("few places")
        });
        let generation = &mut self.taken[index as usize];
        *generation += 1;
        Id { proactor_id, index, generation: *generation }
    }

    pub(super) fn leave(&mut self, index: u32) {
        self.vacant.push(index);
    }
}

impl Work {
    /// Whether it receives into buffers of a pool.
    pub(super) fn is_pooled(self) -> bool {
        matches!(self, Work::RecvPooled { .. } | Work::RecvMany { .. })
    }

    /// The pool that it receives from, once that is known.
    pub(super) fn pool(self) -> Option<PoolId> {
        match self {
            Work::RecvPooled { pool } | Work::RecvMany { pool, .. } => pool,
            _ => None,
        }
    }

    /// The lane that it queues in.
    pub(super) fn direction(self) -> Option<Direction> {
        match self {
            Work::Recv { .. } | Work::Accept { .. } => Some(Direction::Receive),
            Work::RecvPooled { .. } | Work::RecvMany { .. } => Some(Direction::Receive),
            Work::Send { .. } | Work::Shutdown | Work::Connect => Some(Direction::Send),
            Work::Wait(direction) => Some(direction),
            Work::Close { .. } | Work::Sleep | Work::Post => None,
        }
    }
}
