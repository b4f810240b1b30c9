//! The operations that are of no connection: sleeps, and posts, which end as they are submitted.

use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::completion::{CloseReason, Done, OpError};
use crate::extra::EndedOp;
use crate::id::Serial;
use crate::slab::Slab;
use crate::timers::TimerId;

/// An operation of the proactor itself.
#[derive(Debug)]
pub(crate) struct OwnOp<C> {
    pub(crate) serial: Serial,
    context: C,
    state: State,
}

#[derive(Debug)]
enum State {
    Sleeps(Option<TimerId>),
    Ended { result: Result<Done, OpError>, buffer: Buffer },
}

/// The proactor's own operations.
#[derive(Debug)]
pub(crate) struct Own<C> {
    ops: Slab<OwnOp<C>>,
    sleeping: u32,
}

impl<C> Own<C> {
    pub(crate) fn new() -> Own<C> {
        Own { ops: Slab::new(), sleeping: 0 }
    }

    /// Makes it as old as if every place had been used so many times more.
    pub(crate) fn age(&mut self, uses: u32) {
        self.ops.age(uses);
    }

    /// Whether there is memory for another one.
    pub(crate) fn has_room(&mut self) -> bool {
        self.ops.has_room()
    }

    /// The operations that sleep.
    pub(crate) fn sleeping(&self) -> u32 {
        self.sleeping
    }

    /// All of them, ended ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &OwnOp<C>)> {
        self.ops.iter().map(|(key, op)| (key.index(), op))
    }

    /// The operation at an index, if there is one.
    pub(crate) fn at(&self, index: u32) -> Option<&OwnOp<C>> {
        self.ops.at(index)
    }

    /// A sleep begins, whose timer is yet to be set.
    pub(crate) fn sleep(&mut self, serial: Serial, context: C) -> u32 {
        self.sleeping += 1;
        self.ops.insert(OwnOp { serial, context, state: State::Sleeps(None) }).index()
    }

    /// Keeps a post, which has ended, until its completion is taken.
    pub(crate) fn post(&mut self, serial: Serial, context: C, buffer: Buffer) -> u32 {
        let state = State::Ended { result: Ok(Done::Posted), buffer };
        self.ops.insert(OwnOp { serial, context, state }).index()
    }

    /// The timer of a sleep.
    pub(crate) fn timer(&self, index: u32) -> Option<TimerId> {
        self.ops[index].timer()
    }

    /// Sets the timer of a sleep, or forgets it.
    pub(crate) fn set_timer(&mut self, index: u32, timer: Option<TimerId>) {
        if let State::Sleeps(current) = &mut self.ops[index].state {
            *current = timer;
        }
    }

    /// A sleep ends. Its timer is its caller's to disarm.
    pub(crate) fn end(&mut self, index: u32, result: Result<Done, OpError>) -> Option<TimerId> {
        let ended = State::Ended { result, buffer: Buffer::None };
        match core::mem::replace(&mut self.ops[index].state, ended) {
            State::Sleeps(timer) => {
                self.sleeping -= 1;
                timer
            }
            State::Ended { .. } => unreachable!("a sleep ends once"),
        }
    }

    /// The sleeps, in the order in which they were submitted.
    pub(crate) fn sleeps(&self) -> Vec<u32> {
        let sleeps = self.iter().filter(|(_, op)| op.sleeps());
        let mut sleeps: Vec<(Serial, u32)> = sleeps.map(|(index, op)| (op.serial, index)).collect();
        sleeps.sort_unstable();
        sleeps.into_iter().map(|(_, index)| index).collect()
    }

    /// Takes an operation that has ended out.
    pub(crate) fn take(&mut self, index: u32) -> EndedOp<C> {
        let OwnOp { serial, context, state } = self.ops.remove_at(index);
        let (result, buffer) = match state {
            State::Ended { result, buffer } => (result, buffer),
            State::Sleeps(_) => (Err(OpError::Closed(CloseReason::ShutDown)), Buffer::None),
        };
        EndedOp { serial, context, buffer, moved: 0, result, more: false }
    }
}

impl<C> OwnOp<C> {
    pub(crate) fn context(&self) -> &C {
        &self.context
    }

    /// Whether it sleeps.
    pub(crate) fn sleeps(&self) -> bool {
        matches!(self.state, State::Sleeps(_))
    }

    /// The timer of a sleep.
    pub(crate) fn timer(&self) -> Option<TimerId> {
        match self.state {
            State::Sleeps(timer) => timer,
            State::Ended { .. } => None,
        }
    }

    /// Whether it holds a lease.
    pub(crate) fn holds_lease(&self) -> bool {
        matches!(self.state, State::Ended { buffer: Buffer::Lease(_), .. })
    }
}

/// For those who break a model to see whether that is noticed.
#[cfg(test)]
impl<C> Own<C> {
    pub(crate) fn count_wrong(&mut self, sleeping: u32) {
        self.sleeping = self.sleeping.wrapping_add(sleeping);
    }
}
