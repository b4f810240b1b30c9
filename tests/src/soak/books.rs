//! The books: every operation that was accepted has an entry, and exactly one final completion strikes it
//! out.

use std::collections::HashMap;

use aio::{Completion, ConnId, Done, OpId};

/// How many violations are told in words; the rest is counted.
const TOLD_MAX: usize = 20;

/// Operations without their completion, and what was not as it should be.
#[derive(Debug, Default)]
pub(super) struct Books {
    entries: HashMap<OpId, ConnId>,
    open_of: HashMap<ConnId, u32>,
    pub(super) opened: u64,
    pub(super) ended: u64,
    pub(super) violations: u64,
    /// The first of them.
    pub(super) told: Vec<String>,
}

impl Books {
    /// An operation was accepted.
    pub(super) fn open(&mut self, op: OpId, conn: ConnId) {
        self.opened += 1;
        *self.open_of.entry(conn).or_default() += 1;
        if self.entries.insert(op, conn).is_some() {
            self.violation(|| format!("{op} is the id of two operations at once"));
        }
    }

    /// A completion came.
    pub(super) fn strike<C>(&mut self, done: &Completion<C>) {
        let Some(conn) = self.entries.get(&done.op).copied() else {
            return self
                .violation(|| format!("{} completed, and is not under way: {:?}", done.op, done.result));
        };
        let connects = done.result == Ok(Done::Connected);
        if conn != done.conn && !connects && done.result.is_ok() {
            self.violation(|| format!("{} of {conn} completed as one of {}", done.op, done.conn));
        }
        if done.more {
            return;
        }
        self.ended += 1;
        self.entries.remove(&done.op);
        let open = self.open_of.get_mut(&conn).map_or(0, |open| {
            *open -= 1;
            *open
        });
        if open == 0 {
            self.open_of.remove(&conn);
        } else if done.result == Ok(Done::Closed) {
            self.violation(|| format!("{conn} is closed with {open} operations under way"));
        }
    }

    /// How many have no completion yet.
    pub(super) fn open_now(&self) -> usize {
        self.entries.len()
    }

    /// Something is not as it should be.
    pub(super) fn violation(&mut self, what: impl FnOnce() -> String) {
        self.violations += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(what());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aio::{Close, Post, Proactor, Recv};

    use super::*;

    fn posted(aio: &mut Proactor<u8>) -> Completion<u8> {
        aio.submit(aio.own(), Post::new(), 0).unwrap();
        crate::turns::complete(aio, 1).remove(0)
    }

    #[test]
    fn one_completion_strikes_an_entry_out() {
        let (mut aio, mut books) = (Proactor::new().unwrap(), Books::default());
        let op = aio.submit(aio.own(), Post::new(), 0).unwrap();
        books.open(op, aio.own());
        books.strike(&crate::turns::complete(&mut aio, 1)[0]);
        assert_eq!((books.open_now(), books.opened, books.ended, books.violations), (0, 1, 1, 0));
    }

    #[test]
    fn a_second_completion_and_one_of_nothing_are_violations() {
        let (mut aio, mut books) = (Proactor::new().unwrap(), Books::default());
        let done = posted(&mut aio);
        books.strike(&done);
        assert_eq!(books.violations, 1);
        books.open(done.op, done.conn);
        books.strike(&done);
        books.strike(&done);
        assert_eq!(books.violations, 2);
        books.open(done.op, done.conn);
        books.open(done.op, done.conn);
        assert_eq!(books.violations, 3);
    }

    #[test]
    fn an_end_before_the_others_is_a_violation() {
        let (mut aio, mut books) = (Proactor::new().unwrap(), Books::default());
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let conn = aio.adopt(ours).unwrap();
        books.open(aio.submit(conn, Recv::pooled().within(Duration::MAX), 0).unwrap(), conn);
        books.open(aio.submit(conn, Close::now(), 1).unwrap(), conn);
        let ends = crate::turns::complete(&mut aio, 2);
        assert_eq!(ends[1].result, Ok(Done::Closed));
        ends.iter().rev().for_each(|done| books.strike(done));
        assert_eq!(books.violations, 1, "{:?}", books.told);
    }
}
