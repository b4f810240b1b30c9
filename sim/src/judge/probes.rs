//! Probes: which of the things that matter have happened, and how often.
//!
//! A simulator that never gets somewhere finds nothing there. So what calls are answered, what operations end
//! with, what is refused, what users do to lanes in which place, and each fault, is counted; `sim/probes.txt`
//! names what a campaign must reach, and one that does not reach all of it has failed, however many steps it
//! took.

use std::collections::BTreeMap;

use aio_model::{CloseReason, Completion, Done, LanePlace, Limit, OpError, Outcome, SubmitErrorKind};

use crate::judge::context::Context;
use crate::judge::oracle::Task;
use crate::world::faults::Fault;

/// How often each thing happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probes {
    /// Group after group, each a table of what by how.
    counts: Vec<u64>,
}

/// A table of things that may happen: what, and how.
struct Group {
    name: &'static str,
    rows: &'static [&'static str],
    columns: &'static [&'static str],
}

/// What is asked of the system, and the answers.
const CALL: usize = 0;
/// What is submitted, and what it ends with; and the same, of those that had moved bytes.
const END: usize = 1;
const END_WITH_BYTES: usize = 2;
/// What is submitted, and why it is refused.
const REFUSE: usize = 3;
/// What a user does to an operation, and where its lane stands.
const TOUCH: usize = 4;
/// Sends that go out in one call, and how far that comes.
const TOGETHER: usize = 5;

const TASKS: &[&str] = &[
    "recv",
    "recv exact",
    "recv pooled",
    "send",
    "accept one",
    "accept many",
    "connect",
    "shutdown",
    "close",
    "sleep",
    "post",
    "recv many",
    "wait",
];

const RESULTS: &[&str] = &[
    "success",
    "end of stream",
    "more",
    "deadline",
    "cancelled",
    "closed",
    "closed with a code",
    "shut down",
    "tainted",
    "unexpected end",
    "error",
    "idle",
];

const GROUPS: [Group; 6] = [
    Group {
        name: "call",
        rows: &[
            "recv",
            "recv vectored",
            "discard",
            "send",
            "send vectored",
            "accept",
            "connect",
            "shutdown",
            "close",
            "poll",
            "peek",
        ],
        columns: &[
            "whole",
            "short",
            "partial",
            "0 bytes",
            "done",
            "would block",
            "interrupted",
            "exhausted",
            "failed",
            "refused",
        ],
    },
    Group { name: "end", rows: TASKS, columns: RESULTS },
    Group { name: "end with bytes", rows: TASKS, columns: RESULTS },
    Group {
        name: "refuse",
        rows: TASKS,
        columns: &[
            "no connection free",
            "no operation free",
            "lane full",
            "stale",
            "closing",
            "tainted",
            "write side shut down",
            "empty buffer",
            "out of range",
            "wrong kind",
            "shut down",
            "other",
            "lane full of bytes",
            "leases",
            "behind a receive that goes on",
        ],
    },
    Group {
        name: "touch",
        rows: &["cancel", "set deadline", "close"],
        columns: &["idle", "running", "parked", "held", "backing off", "behind another", "all leases out"],
    },
    Group {
        name: "together",
        rows: &["two sends", "more sends"],
        columns: &["all", "into the first", "between two", "into a later one", "nothing"],
    },
];

/// Where a group begins.
const fn start(group: usize) -> usize {
    let (mut start, mut before) = (0, 0);
    while before < group {
        start += GROUPS[before].rows.len() * GROUPS[before].columns.len();
        before += 1;
    }
    start
}

const FAULTS: usize = start(GROUPS.len());

impl Default for Probes {
    fn default() -> Probes {
        Probes { counts: vec![0; FAULTS + Fault::ALL.len()] }
    }
}

/// What every campaign must reach, a name a line.
const WANTED: &str = include_str!("../../probes.txt");

impl Probes {
    fn hit(&mut self, group: usize, row: usize, column: usize) {
        self.counts[start(group) + row * GROUPS[group].columns.len() + column] += 1;
    }

    /// A fault struck so often.
    pub(crate) fn struck(&mut self, fault: Fault, times: u64) {
        self.counts[FAULTS + fault as usize] += times;
    }

    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Probes) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
    }

    /// How often each thing happened, by name; those that did not are left out.
    pub fn by_name(&self) -> BTreeMap<String, u64> {
        let tables = GROUPS.iter().flat_map(|Group { name, rows, columns }| {
            let cells = rows.iter().flat_map(move |row| columns.iter().map(move |column| (row, column)));
            cells.map(move |(row, column)| format!("{name} {row}: {column}"))
        });
        let faults = Fault::ALL.iter().map(|fault| format!("fault {fault:?}"));
        let named = tables.chain(faults).zip(&self.counts);
        named.filter(|(_, count)| **count > 0).map(|(name, count)| (name, *count)).collect()
    }

    /// What must be reached and was reached fewer times than `least`, and how often it was.
    pub fn missed(&self, least: u64) -> Vec<(&'static str, u64)> {
        let counts = self.by_name();
        let wanted = WANTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let counted = wanted.map(|name| (name, counts.get(name).copied().unwrap_or(0)));
        counted.filter(|(_, count)| *count < least).collect()
    }

    /// What happened although nobody asked for it: new to `sim/probes.txt`.
    pub fn unknown(&self) -> Vec<String> {
        let names = self.by_name().into_keys();
        names.filter(|name| !WANTED.lines().any(|line| line.trim_start_matches("# rare: ") == name)).collect()
    }

    pub(crate) fn ended(&mut self, task: Task, done: &Completion<Context>) {
        let result = match done.result {
            Ok(_) if done.more => 2,
            Ok(Done::Received { end_of_stream: true }) => 1,
            Ok(_) => 0,
            Err(OpError::Deadline) => 3,
            Err(OpError::Cancelled) => 4,
            Err(OpError::Closed(CloseReason::Requested)) => 5,
            Err(OpError::Closed(CloseReason::Code(_))) => 6,
            Err(OpError::Closed(_)) => 7,
            Err(OpError::Tainted) => 8,
            Err(OpError::UnexpectedEof) => 9,
            Err(OpError::Idle) => 11,
            Err(_) => 10,
        };
        self.hit(if done.bytes > 0 { END_WITH_BYTES } else { END }, row(task), result);
    }

    pub(crate) fn refused(&mut self, task: Task, kind: SubmitErrorKind) {
        let column = match kind {
            SubmitErrorKind::Busy(Limit::Connections) => 0,
            SubmitErrorKind::Busy(Limit::Ops) => 1,
            SubmitErrorKind::Busy(Limit::LaneBytes) => 12,
            SubmitErrorKind::Busy(_) => 2,
            SubmitErrorKind::Stale => 3,
            SubmitErrorKind::Closing => 4,
            SubmitErrorKind::Tainted => 5,
            SubmitErrorKind::WriteShutDown => 6,
            SubmitErrorKind::EmptyBuffer => 7,
            SubmitErrorKind::OutOfRange => 8,
            SubmitErrorKind::WrongKind => 9,
            SubmitErrorKind::ShutDown => 10,
            SubmitErrorKind::LeasesMax => 13,
            SubmitErrorKind::ReceivesMany => 14,
            _ => 11,
        };
        self.hit(REFUSE, row(task), column);
    }

    /// A user cancelled (0), moved the deadline of (1), or closed the connection of (2) an operation.
    pub(crate) fn touched(&mut self, verb: usize, place: Option<LanePlace>) {
        let column = match place {
            Some(LanePlace::Idle) => 0,
            Some(LanePlace::Running) => 1,
            Some(LanePlace::Parked) => 2,
            Some(LanePlace::Held) => 3,
            Some(LanePlace::BackingOff) => 4,
            Some(LanePlace::LeasesOut) => 6,
            _ => 5,
        };
        self.hit(TOUCH, verb, column);
    }

    /// Sends with so many bytes left went out in one call.
    pub(crate) fn sent_together(&mut self, sends: &[usize], outcome: Outcome) {
        let row = match sends.len() {
            0 | 1 => return,
            2 => 0,
            _ => 1,
        };
        let ends = sends.iter().scan(0, |end, len| {
            *end += len;
            Some(*end)
        });
        let column = match outcome {
            Outcome::Transferred(count) if count == sends.iter().sum::<usize>() => 0,
            Outcome::Transferred(count) if count < sends[0] => 1,
            Outcome::Transferred(count) if ends.into_iter().any(|end| end == count) => 2,
            Outcome::Transferred(_) => 3,
            _ => 4,
        };
        self.hit(TOGETHER, row, column);
    }

    /// A call was answered, by its row in the table.
    pub(crate) fn answered(&mut self, row: usize, lent: usize, outcome: Outcome) {
        let column = match outcome {
            Outcome::Transferred(0) => 3,
            Outcome::Transferred(count) if count < lent => 1,
            Outcome::Transferred(_) => 0,
            Outcome::Partial(_) => 2,
            Outcome::Done => 4,
            Outcome::WouldBlock => 5,
            Outcome::Interrupted => 6,
            Outcome::Exhausted(_) => 7,
            Outcome::Failed(_) => 8,
            Outcome::Refused(_) => 9,
        };
        self.hit(CALL, row, column);
    }
}

/// The row of a task in the tables.
fn row(task: Task) -> usize {
    match task {
        Task::Recv => 0,
        Task::RecvExact => 1,
        Task::RecvPooled { .. } | Task::RecvOwnPool => 2,
        Task::Send { .. } => 3,
        Task::AcceptOne => 4,
        Task::AcceptMany => 5,
        Task::Connect => 6,
        Task::Shutdown => 7,
        Task::Close { .. } => 8,
        Task::Sleep => 9,
        Task::Post => 10,
        Task::RecvMany { .. } => 11,
        Task::Wait(_) => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_found_under_its_name() {
        let mut probes = Probes::default();
        probes.refused(Task::Post, SubmitErrorKind::Busy(Limit::Ops));
        probes.answered(8, 0, Outcome::Done);
        probes.struck(Fault::Stall, 7);
        let expected = [("call close: done", 1), ("fault Stall", 7), ("refuse post: no operation free", 1)];
        let expected: BTreeMap<String, u64> = expected.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(probes.by_name(), expected);
        probes.add(&probes.clone());
        assert_eq!(probes.by_name()["fault Stall"], 14);
    }

    #[test]
    fn what_was_not_reached_is_missed() {
        let nothing = Probes::default();
        let wanted = WANTED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        assert!(wanted > 100 && nothing.missed(1).len() == wanted);
        let mut some = Probes::default();
        some.answered(8, 0, Outcome::Done);
        assert_eq!(some.missed(1).len(), wanted - 1);
        assert_eq!(some.missed(2).len(), wanted);
    }

    /// A name that is spelled wrong would never be reached, or never be missed.
    #[test]
    fn what_is_wanted_can_happen() {
        let all = Probes { counts: vec![1; Probes::default().counts.len()] }.by_name();
        for line in WANTED.lines().map(|line| line.trim_start_matches("# rare: ")) {
            assert!(line.is_empty() || line.starts_with('#') || all.contains_key(line), "{line:?}");
        }
    }
}
