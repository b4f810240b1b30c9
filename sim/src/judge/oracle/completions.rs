//! The user's border: what is submitted, refused, cancelled and closed, and what comes back.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    Buffer, CloseReason, Completion, ConnId, Done, Instant, Kind, Limit, OpError, OpId, PoolId,
    SubmitErrorKind,
};

use super::{Conn, End, Op, Oracle, Phase, RECEIVE, SEND, Task, due_tick};
use crate::judge::context::Context;
use crate::world::pattern;
use crate::world::pieces;

/// A count of bytes as an index into a buffer that is in memory.
pub(super) fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("buffers are in memory")
}

/// What came back of a submission, with everything that was handed over.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub kind: SubmitErrorKind,
    /// The context that came back.
    pub context: u64,
    /// What the buffer that came back holds.
    pub bytes: Vec<u8>,
}

/// A submission, as its user saw it.
#[derive(Debug)]
pub struct Submission {
    /// The connection.
    pub conn: ConnId,
    /// The operation.
    pub task: Task,
    /// The context: a number that no other operation has.
    pub context: u64,
    /// What the buffer holds.
    pub bytes: Vec<u8>,
    /// The pool of the buffer, if it is a lease, and where that lies.
    pub lease: Option<(PoolId, usize)>,
    /// How many buffers that pool had lent, this one included.
    pub lent: u32,
    /// When its deadline is, if it has one.
    pub deadline: Option<Instant>,
    /// So long after the last progress of its lane it is, if that puts it off.
    pub renewal: Option<Duration>,
    /// What time it was for the model: the latest that it was told, or that it read for this.
    pub at: Instant,
}

impl Oracle {
    /// Something was submitted, and accepted or refused.
    pub fn on_submitted(&mut self, submission: Submission, answer: Result<OpId, Refused>) {
        let expected = self.expected_refusal(&submission);
        match answer {
            Err(refused) => {
                self.counted.refused += 1;
                let Refused { kind, context, bytes } = refused;
                let whole = context == submission.context && bytes == submission.bytes;
                self.ensure(whole, "C1", "refusal-whole", || {
                    "a refusal does not give everything back".into()
                });
                self.ensure(expected == Some(kind), "C6", "refusal-right", || {
                    format!(
                        "{:?} on {} is refused with {kind:?}, not {expected:?}",
                        submission.task, submission.conn
                    )
                });
            }
            Ok(id) => {
                self.ensure(expected.is_none(), "C6", "acceptance-right", || {
                    format!(
                        "{:?} on {} is accepted, not refused: {expected:?}",
                        submission.task, submission.conn
                    )
                });
                self.accepted(submission, id);
            }
        }
    }

    /// What the contract says to a submission: `None`, it is accepted.
    fn expected_refusal(&self, submission: &Submission) -> Option<SubmitErrorKind> {
        let busy = self.credits() >= self.limits.ops_max.get();
        if matches!(submission.task, Task::Sleep | Task::Post | Task::Connect) {
            let no_place = submission.task == Task::Connect && self.places_taken();
            return match (self.shut_down, no_place) {
                (true, _) => Some(SubmitErrorKind::ShutDown),
                (false, true) => Some(SubmitErrorKind::Busy(Limit::Connections)),
                (false, false) => busy.then_some(SubmitErrorKind::Busy(Limit::Ops)),
            };
        }
        let Some(conn) = self.conns.get(&submission.conn) else { return Some(SubmitErrorKind::Stale) };
        if self.shut_down {
            return Some(SubmitErrorKind::ShutDown);
        }
        let closes = matches!(submission.task, Task::Close { .. });
        if conn.phase != Phase::Open && !closes {
            return Some(SubmitErrorKind::Closing);
        }
        let accepts = matches!(submission.task, Task::AcceptOne | Task::AcceptMany);
        if !closes && accepts != (conn.kind == Kind::Listener) {
            return Some(SubmitErrorKind::WrongKind);
        }
        match submission.task {
            Task::Recv | Task::RecvExact if submission.bytes.is_empty() => {
                return Some(SubmitErrorKind::EmptyBuffer);
            }
            Task::Send { start, end } if start > end || end > submission.bytes.len() => {
                return Some(SubmitErrorKind::OutOfRange);
            }
            Task::Send { start, end } if start == end => return Some(SubmitErrorKind::EmptyBuffer),
            Task::RecvMany { pool, leases_max } => {
                let buffers_max = self.pools[pool.unwrap_or(conn.pool)].0;
                if leases_max == 0 || u32::from(leases_max) > buffers_max {
                    return Some(SubmitErrorKind::LeasesMax);
                }
            }
            _ => {}
        }
        if let Some(index) = submission.task.lane() {
            let lane = &conn.lanes[index];
            if index == SEND && lane.tainted {
                return Some(SubmitErrorKind::Tainted);
            }
            if index == SEND && lane.fin {
                return Some(SubmitErrorKind::WriteShutDown);
            }
            let last = lane.queue.back().map(|last| self.ops[last].task);
            if let Some(Task::RecvMany { .. }) = last {
                return Some(SubmitErrorKind::ReceivesMany);
            }
            if lane.queue.len() >= self.limits.lane_ops_max.get() as usize {
                return Some(SubmitErrorKind::Busy(Limit::LaneOps));
            }
            if let Task::Send { start, end } = submission.task
                && !lane.queue.is_empty()
                && self.bytes_to_send(conn) + (end - start) > self.lane_bytes_max(conn)
            {
                return Some(SubmitErrorKind::Busy(Limit::LaneBytes));
            }
        }
        busy.then_some(SubmitErrorKind::Busy(Limit::Ops))
    }

    /// How many leases of a pool there may be in queued sends: three quarters, and never all.
    fn sending_max(&self, pool: PoolId) -> u32 {
        let buffers_max = self.pool_index(pool).map(|index| self.pools[index].0);
        buffers_max.map_or(u32::MAX, |buffers_max| buffers_max - buffers_max.div_ceil(4))
    }

    /// Which of the pools it is, if it is one.
    pub(super) fn pool_index(&self, pool: PoolId) -> Option<usize> {
        (0..).map(PoolId::new).zip(0..self.pools.len()).find(|(id, _)| *id == pool).map(|(_, index)| index)
    }

    /// The bytes of the queued sends of a connection that are yet to be sent.
    pub(super) fn bytes_to_send(&self, conn: &Conn) -> usize {
        conn.lanes[SEND].queue.iter().map(|serial| self.rest(*serial).len()).sum()
    }

    fn lane_bytes_max(&self, conn: &Conn) -> usize {
        conn.lane_bytes_max.unwrap_or(self.limits.lane_bytes_max).get() as usize
    }

    fn accepted(&mut self, submission: Submission, id: OpId) {
        let Submission { conn, mut task, context, bytes, lease, lent, deadline, renewal, at } = submission;
        match (&mut task, self.conns.get(&conn)) {
            (Task::RecvOwnPool, Some(state)) => task = Task::RecvPooled { pool: state.pool },
            (Task::RecvMany { pool: pool @ None, .. }, Some(state)) => *pool = Some(state.pool),
            _ => {}
        }
        self.turn.place_free &= task != Task::Connect;
        let due = deadline.and_then(due_tick).map(|tick| (tick, self.armed));
        self.armed += 1;
        self.note_number(id);
        self.counted.submitted += 1;
        self.counted.opened += u64::from(task == Task::Connect);
        let submitted_at = self.now;
        // If its pool has lent many, what it holds is copied, and it goes home (B3).
        let sends = matches!(task, Task::Send { .. });
        let copied = lease.filter(|(pool, _)| sends && lent > self.sending_max(*pool));
        if let Some((_, address)) = copied {
            self.on_home(address);
        }
        let lease = lease.filter(|_| copied.is_none()).map(|(pool, _)| pool);
        self.ops.insert(
            context,
            Op {
                id,
                conn,
                task,
                submitted_at,
                due,
                renewal: renewal.filter(|_| due.is_some()),
                submitted: bytes,
                lease,
                leases_out: 0,
                moved: 0,
                verdict: None,
                expired: None,
            },
        );
        let Some(lane) = task.lane() else {
            return match task {
                Task::Sleep => {}
                Task::Post => self.end(context, Ok(Done::Posted)),
                Task::Close { manner, reason } => self.begin_close(conn, context, manner, reason, at),
                _ => unreachable!("{task:?} queues in a lane"),
            };
        };
        let Some(state) = self.lane(conn, lane) else { return };
        state.queue.push_back(context);
        state.fin |= task == Task::Shutdown;
        if let Some(end) = state.end {
            self.end(context, End::result(end, task));
        }
    }

    /// `cancel` was called.
    pub fn on_cancel(&mut self, context: u64, done: bool) {
        let op = self.ops.get(&context);
        let queued = op.is_some_and(|op| op.verdict.is_none() && op.task.can_change());
        self.ensure(done == queued, "C7", "cancel-answer", || {
            format!("cancel says {done} of operation {context}, queued: {queued}")
        });
        if queued {
            self.counted.cancelled += 1;
            self.end_early(context, OpError::Cancelled);
        }
    }

    /// `set_deadline` was called.
    pub fn on_set_deadline(
        &mut self,
        context: u64,
        deadline: Option<Instant>,
        renewal: Option<Duration>,
        done: bool,
    ) {
        let (armed, due) = (self.armed, deadline.and_then(due_tick));
        self.armed += 1;
        let op = self.ops.get_mut(&context).filter(|op| op.verdict.is_none() && op.task.can_change());
        let queued = op.is_some();
        if let Some(op) = op {
            op.due = due.map(|tick| (tick, armed));
            op.renewal = renewal.filter(|_| due.is_some());
        }
        self.ensure(done == queued, "T1", "set-deadline-answer", || {
            format!("set_deadline says {done} of operation {context}, queued: {queued}")
        });
    }

    /// `cancel_all` was called.
    pub fn on_cancel_all(&mut self, conn: ConnId, count: Option<u32>) {
        let expected = self.conns.get(&conn).map(|conn| conn.lanes.iter().map(|lane| lane.queue.len()).sum());
        self.counted.cancelled += u64::from(count.unwrap_or(0));
        let said = count.map(|count| count as usize);
        self.ensure(said == expected, "C7", "cancel-all-answer", || {
            format!("cancel_all says {said:?}, not {expected:?}")
        });
        for lane in [RECEIVE, SEND] {
            let head = self.lane(conn, lane).and_then(|lane| lane.queue.front().copied());
            let head = head.and_then(|head| self.ops.get(&head));
            let partial = head.is_some_and(|op| matches!(op.task, Task::Send { .. }) && op.moved > 0);
            self.end_lane(conn, lane, |_| Err(OpError::Cancelled));
            if let Some(lane) = self.lane(conn, lane) {
                lane.tainted |= partial;
            }
        }
        self.flushed(conn);
    }

    /// `resume` was called.
    pub fn on_resume(&mut self, conn: ConnId, done: bool) {
        let tainted = self.lane(conn, SEND).is_some_and(|lane| std::mem::take(&mut lane.tainted));
        self.ensure(done == tainted, "C5", "resume-answer", || {
            format!("resume of {conn} says {done}; tainted: {tainted}")
        });
    }

    /// `set_pool` was called.
    pub fn on_set_pool(&mut self, conn: ConnId, pool: usize, done: bool) {
        let known = self.knows(conn);
        self.ensure(done == (known && pool < self.pools.len()), "B2", "set-pool-answer", || {
            format!("set_pool of {conn} says {done}; there: {known}")
        });
        if let (true, Some(conn)) = (done, self.conns.get_mut(&conn)) {
            conn.pool = pool;
        }
    }

    /// `set_lane_bytes_max` was called.
    pub fn on_set_lane_bytes_max(&mut self, conn: ConnId, bytes_max: Option<NonZeroU32>, done: bool) {
        let known = self.knows(conn);
        self.ensure(done == known, "C6", "set-lane-bytes-answer", || {
            format!("set_lane_bytes_max of {conn} says {done}; there: {known}")
        });
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.lane_bytes_max = bytes_max;
        }
    }

    /// `close` was called, or `close_with` a code.
    pub fn on_close_called(&mut self, conn: ConnId, reason: CloseReason, done: bool) {
        let closes = |conn: &Conn| match conn.phase {
            Phase::Open | Phase::Connecting { .. } => true,
            // What a shutdown lets finish is left to it.
            Phase::Flushing { .. } | Phase::Lingering { .. } => !conn.closers.is_empty(),
            Phase::Closing { .. } => false,
        };
        self.judge_close(conn, reason, done, closes);
    }

    /// `close_if_open` was called.
    pub fn on_close_if_open(&mut self, conn: ConnId, done: bool) {
        self.judge_close(conn, CloseReason::Requested, done, |conn| conn.phase == Phase::Open);
    }

    fn judge_close(
        &mut self,
        conn: ConnId,
        reason: CloseReason,
        done: bool,
        closes: impl FnOnce(&Conn) -> bool,
    ) {
        let expected = self.knows(conn) && self.conns.get(&conn).is_some_and(closes);
        self.ensure(done == expected, "K2", "close-answer", || {
            format!("close of {conn} says {done}, not {expected}")
        });
        if expected {
            self.abort(conn, reason);
        }
    }

    /// A completion was taken (C1, C2, C3).
    pub fn on_completion(&mut self, done: &Completion<Context>) {
        let Some(op) = self.ops.get(&done.context.number()) else {
            self.breaks("C1", "one-final", || {
                format!("a second completion of operation {}: {done:?}", done.context.number())
            });
            return;
        };
        // A connect that was never tried has a connection that nobody heard of.
        let unborn = op.task == Task::Connect && done.result.is_err();
        let same = op.id == done.op && (op.conn == done.conn || unborn);
        let expected = (op.id, op.conn);
        self.ensure(same, "C2", "whose-completion", || {
            format!("a completion of {} on {}, not of {expected:?}", done.op, done.conn)
        });
        if done.more {
            return self.more(done);
        }
        let Some(op) = self.ops.remove(&done.context.number()) else { return };
        self.counted.completed += 1;
        let Some(verdict) = &op.verdict else {
            let (rule, check) = match done.result {
                Err(OpError::Deadline) => ("T1", "deadline-not-early"),
                Err(OpError::Tainted) => ("C5", "taint-with-reason"),
                _ => ("C1", "final-after-end"),
            };
            self.breaks(rule, check, || {
                format!("{:?} completes with {:?}, but has not ended", op.task, done.result)
            });
            return;
        };
        let (rule, check) = check_of(verdict.result, done.result);
        self.ensure(verdict.result == done.result, rule, check, || {
            format!(
                "{:?} on {} completes with {:?}, not {:?}",
                op.task, done.conn, done.result, verdict.result
            )
        });
        self.judge_order(op.expired);
        self.ensure(done.bytes == op.moved, "C2", "byte-count", || {
            format!("{:?} on {} reports {} bytes; {} were moved", op.task, done.conn, done.bytes, op.moved)
        });
        if let (Some(stamp), Some(lane)) = (verdict.stamp, op.task.lane())
            && let Some(lane) = self.lane(op.conn, lane)
        {
            let before = std::mem::replace(&mut lane.taken, stamp);
            self.ensure(before < stamp, "C3", "lane-order", || {
                format!("{:?} on {} completes out of order", op.task, done.conn)
            });
        }
        self.judge_buffer(&op, done);
    }

    /// One of many completions of a receive that goes on: of bytes that it has brought, and that no other
    /// told of.
    fn more_received(&mut self, done: &Completion<Context>) {
        let (op, lane) = (self.ops.get(&done.context.number()), self.conns.get_mut(&done.conn));
        let pool = op.and_then(|op| op.task.pool());
        let next = lane.and_then(|conn| conn.lanes[RECEIVE].received.pop_front());
        // A connection that is gone has forgotten what it had received.
        let count = next.or((!self.knows(done.conn)).then(|| index(done.bytes)));
        let right = match (&done.buffer, pool) {
            (Buffer::Lease(lease), Some(pool)) => {
                count == Some(lease.len())
                    && done.bytes == lease.len() as u64
                    && lease.capacity() == self.pools[pool].1
            }
            _ => false,
        };
        self.ensure(right, "C3", "receive-order", || {
            format!("a receive that goes on brings {:?}, not {count:?} bytes", done.buffer)
        });
        self.lease_of.insert(done.buffer.as_slice().as_ptr().addr(), done.context.number());
        self.judge_bytes(done.conn, done.buffer.as_slice());
    }

    /// One of many completions of an accept or a receive.
    fn more(&mut self, done: &Completion<Context>) {
        self.accepted = self.accepted.saturating_sub(1);
        if let Ok(Done::Received { end_of_stream: false }) = done.result {
            return self.more_received(done);
        }
        let next = self.lane(done.conn, RECEIVE).and_then(|lane| lane.accepted.pop_front());
        // A listener that is gone has forgotten what it had accepted; its connections are still known.
        let as_expected = match (done.result, next) {
            (Ok(Done::Accepted(conn)), Some(next)) => conn == next,
            (Ok(Done::Accepted(_)), None) => !self.knows(done.conn),
            (_, _) => false,
        };
        self.ensure(as_expected, "C3", "accept-order", || {
            format!("an accept yields {:?}, not {next:?}", done.result)
        });
    }

    /// The buffer is the one that was submitted, with what was received in its front and the rest untouched.
    fn judge_buffer(&mut self, op: &Op, done: &Completion<Context>) {
        let count = index(op.moved);
        if let Some(pool) = op.task.pool() {
            let right = match &done.buffer {
                Buffer::None => count == 0,
                Buffer::Lease(lease) => {
                    count > 0 && lease.len() == count && lease.capacity() == self.pools[pool].1
                }
                _ => false,
            };
            self.ensure(right, "B1", "pooled-buffer", || {
                format!("a pooled receive of {count} bytes brings {:?}", done.buffer)
            });
            return self.judge_bytes(op.conn, done.buffer.as_slice());
        }
        let is_lease = matches!(done.buffer, Buffer::Lease(_));
        self.ensure(is_lease == op.lease.is_some(), "B4", "lease-comes-back", || {
            format!("{:?} was given a lease: {:?}, and brings {:?}", op.task, op.lease, done.buffer)
        });
        let bytes = pieces::join(done.buffer.chunks());
        let untouched = if op.task.is_recv() { count.min(bytes.len()) } else { 0 };
        let same = bytes.len() == op.submitted.len() && bytes[untouched..] == op.submitted[untouched..];
        self.ensure(same, "B1", "same-buffer", || {
            format!("{:?} brings back another buffer than it was given", op.task)
        });
        if op.task.is_recv() && same {
            self.judge_bytes(op.conn, &bytes[..untouched]);
        }
    }

    /// Received bytes are a gap-free prefix of what the peer sent (C4).
    fn judge_bytes(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (offset, far) = (conn.reported, conn.far);
        conn.reported += bytes.len() as u64;
        let Some(serial) = conn.serial else { return };
        let wrong = pattern::mismatch(serial, far, offset, bytes);
        self.ensure(wrong.is_none(), "C4", "gap-free-prefix", || {
            format!("{id} received a wrong byte at offset {offset} + {wrong:?}")
        });
    }
}

/// The rule that a wrong result breaks, and the check for it.
fn check_of(due: Result<Done, OpError>, result: Result<Done, OpError>) -> (&'static str, &'static str) {
    match result {
        Err(OpError::Deadline) if due.is_ok() => ("T2", "success-first"),
        Err(OpError::Deadline) => ("T1", "deadline-result"),
        Err(OpError::Tainted) => ("C5", "taint-result"),
        Err(OpError::Closed(_)) | Ok(Done::Closed) => ("K2", "close-result"),
        Err(OpError::UnexpectedEof | OpError::System(_)) | Ok(Done::Received { end_of_stream: true }) => {
            ("K4", "end-result")
        }
        _ => ("C2", "result"),
    }
}
