//! Progress: what it puts off, and connections that are idle without it (T1).

use std::time::Duration;

use aio_model::{ConnId, Instant, Kind, OpError, SetIdleError};

use super::{Conn, Oracle, Phase, RECEIVE, SEND, Task, due_tick};

impl Oracle {
    /// A lane has made progress.
    pub(super) fn note_progress(&mut self, conn: ConnId, lane: usize) {
        let now = self.now;
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.last_progress = now;
            conn.lanes[lane].progress = now;
        }
    }

    /// Until which millisecond the deadline of an operation is put off, if it is by progress.
    pub(super) fn put_off_until(&self, context: u64) -> Option<u64> {
        let op = self.ops.get(&context)?;
        let (renewal, lane) = (op.renewal?, op.task.lane()?);
        // At the end of time, for ever.
        let until = self.conns.get(&op.conn)?.lanes[lane].progress + renewal;
        let until = due_tick(until).unwrap_or(u64::MAX);
        (until > self.now.as_nanos() / 1_000_000).then_some(until)
    }

    /// `set_idle` was called, at that time, of one connection, or of one of a pair.
    pub fn on_set_idle(
        &mut self,
        conn: ConnId,
        span: Option<Duration>,
        with: Option<ConnId>,
        at: Instant,
        answer: Result<(), SetIdleError>,
    ) {
        let expected = self.may_set_idle(conn, with);
        self.ensure(answer == expected, "T1", "set-idle-answer", || {
            format!("set_idle of {conn}, with {with:?}, says {answer:?}, not {expected:?}")
        });
        if expected.is_err() {
            return;
        }
        let both = [Some((conn, with)), with.map(|with| (with, Some(conn)))];
        for (conn, with) in both.into_iter().flatten() {
            self.end_idle(conn);
            let Some(state) = self.conns.get_mut(&conn) else { continue };
            (state.idle, state.idle_with) = (span, with);
            self.begin_idle(conn, at);
        }
    }

    fn may_set_idle(&self, conn: ConnId, with: Option<ConnId>) -> Result<(), SetIdleError> {
        for conn in [Some(conn), with].into_iter().flatten() {
            let phase = self.conns.get(&conn).map(|conn| conn.phase).ok_or(SetIdleError::Stale)?;
            if phase != Phase::Open {
                return Err(SetIdleError::Closing);
            }
        }
        let is_stream = |conn: &ConnId| self.conns[conn].kind == Kind::Stream;
        match with {
            Some(with) if with == conn || !is_stream(&conn) || !is_stream(&with) => Err(SetIdleError::NoPair),
            _ => Ok(()),
        }
    }

    /// The idle time of a connection begins, if it has one.
    pub(super) fn begin_idle(&mut self, conn: ConnId, from: Instant) {
        let armed = self.armed;
        self.armed += 1;
        let Some(state) = self.conns.get_mut(&conn) else { return };
        state.idle_looked = false;
        state.idle_due = match state.idle.filter(|_| state.kind == Kind::Stream) {
            Some(span) => due_tick(from + span).map(|tick| (tick, armed)),
            None => None,
        };
    }

    /// A connection is idle no more; that whose bytes counted goes on by itself.
    pub(super) fn end_idle(&mut self, conn: ConnId) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let with = state.idle_with.take();
        (state.idle, state.idle_due, state.idle_looked) = (None, None, false);
        let with = with.and_then(|with| self.conns.get_mut(&with));
        if let Some(with) = with.filter(|with| with.idle_with == Some(conn)) {
            with.idle_with = None;
        }
    }

    /// Whether no byte has gone through for as long as that may be.
    pub(super) fn is_idle(&self, conn: ConnId) -> bool {
        let Some(state) = self.conns.get(&conn) else { return false };
        let Some(until) = state.idle.and_then(|span| due_tick(self.progress_of(state) + span)) else {
            return false;
        };
        state.phase == Phase::Open && until <= self.now.as_nanos() / 1_000_000
    }

    fn progress_of(&self, conn: &Conn) -> Instant {
        let with = conn.idle_with.and_then(|with| self.conns.get(&with));
        with.map_or(conn.last_progress, |with| with.last_progress.max(conn.last_progress))
    }

    /// The lane that has a last attempt next, if it has an operation for that.
    pub(super) fn next_look(&self, conn: ConnId) -> Option<(ConnId, usize)> {
        let state = self.conns.get(&conn)?;
        let lane = if state.idle_looked { SEND } else { RECEIVE };
        (self.is_idle(conn) && !state.lanes[lane].queue.is_empty()).then_some((conn, lane))
    }

    /// It was looked whether a connection is idle; `was_idle` before the last attempt of a lane.
    pub(super) fn looked_for_idle(&mut self, conn: ConnId, was_idle: bool) {
        let armed = self.armed;
        let (now, tick) = (self.now, self.now.as_nanos() / 1_000_000);
        let Some(state) = self.conns.get_mut(&conn).filter(|state| state.phase == Phase::Open) else {
            return;
        };
        if was_idle && !state.idle_looked {
            (state.idle_looked, state.idle_due) = (true, Some((tick, armed)));
            self.armed += 1;
            return;
        }
        if !self.is_idle(conn) {
            let from = self.progress_of(&self.conns[&conn]);
            return self.begin_idle(conn, from);
        }
        for lane in [RECEIVE, SEND] {
            let queue = &self.conns[&conn].lanes[lane].queue;
            let count = queue.len();
            let head = queue.front().map(|head| &self.ops[head]);
            let partial = head.is_some_and(|op| matches!(op.task, Task::Send { .. }) && op.moved > 0);
            self.counted.idled += count as u64;
            self.end_lane(conn, lane, |_| Err(OpError::Idle));
            if let Some(lane) = self.lane(conn, lane) {
                lane.tainted |= partial;
            }
        }
        self.begin_idle(conn, now);
    }
}
