//! The account as plain data, for those who draw it beside the model's.

use std::collections::BTreeMap;

use aio_model::{ConnId, Done, OpError, OpId};

use super::{Conn, Lane, Op, Oracle, Phase, Task};

/// A connection as the contract sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnAccount {
    /// Where it is between being opened and being gone.
    pub(crate) phase: &'static str,
    /// Its receive lane, and its send lane.
    pub(crate) lanes: [LaneAccount; 2],
}

/// A lane as the contract sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneAccount {
    /// The contexts of the operations that have not ended, in order.
    pub(crate) queue: Vec<u64>,
    /// An attempt may succeed, as far as outcomes and events tell.
    pub(crate) ready: bool,
    /// A send ended after a part of its bytes.
    pub(crate) tainted: bool,
    /// A shutdown was submitted.
    pub(crate) shut: bool,
    /// The system was exhausted, and no call was made since.
    pub(crate) exhausted: bool,
    /// What it has come to its end with.
    pub(crate) end: Option<String>,
    /// Turns in a row in which it could have gone on, and was not served.
    pub(crate) passed_over: usize,
}

/// An operation whose completion was not taken, as the contract sees it.
#[derive(Debug)]
pub(crate) struct OpAccount<'a> {
    /// What tells it apart from all others of the run.
    pub(crate) context: u64,
    /// Its id.
    pub(crate) id: OpId,
    /// Where it was submitted.
    pub(crate) conn: ConnId,
    /// What it has to do.
    pub(crate) task: Task,
    /// The lane that it queues in, if it does.
    pub(crate) lane: Option<usize>,
    /// How many bytes its buffer holds.
    pub(crate) bytes: usize,
    /// The millisecond in which its deadline falls due.
    pub(crate) due: Option<u64>,
    /// Bytes moved so far.
    pub(crate) moved: u64,
    /// How it must complete, once it has ended.
    pub(crate) verdict: Option<&'a Result<Done, OpError>>,
}

impl Oracle {
    /// Every connection that must exist.
    pub(crate) fn conn_accounts(&self) -> BTreeMap<ConnId, ConnAccount> {
        self.conns.iter().map(|(id, conn)| (*id, account(conn))).collect()
    }

    /// Every operation whose final completion was not taken.
    pub(crate) fn op_accounts(&self) -> impl Iterator<Item = OpAccount<'_>> {
        self.ops.iter().map(|(context, op)| {
            let Op { id, conn, task, due, submitted, moved, verdict, .. } = op;
            OpAccount {
                context: *context,
                id: *id,
                conn: *conn,
                task: *task,
                lane: task.lane(),
                bytes: submitted.len(),
                due: due.map(|(tick, _)| tick),
                moved: *moved,
                verdict: verdict.as_ref().map(|verdict| &verdict.result),
            }
        })
    }
}

fn account(conn: &Conn) -> ConnAccount {
    let phase = match conn.phase {
        Phase::Connecting { .. } => "Connecting",
        Phase::Open => "Open",
        Phase::Flushing { .. } => "Flushing",
        Phase::Lingering { .. } => "Lingering",
        Phase::Closing { .. } => "Closing",
    };
    ConnAccount { phase, lanes: [lane_account(&conn.lanes[0]), lane_account(&conn.lanes[1])] }
}

fn lane_account(lane: &Lane) -> LaneAccount {
    LaneAccount {
        queue: lane.queue.iter().copied().collect(),
        ready: lane.ready,
        tainted: lane.tainted,
        shut: lane.fin,
        exhausted: lane.pause.is_some(),
        end: lane.end.map(|end| format!("{end:?}")),
        passed_over: lane.turns_passed_over,
    }
}
