//! Progress: what it puts off, and connections that are idle without it.

use std::time::Duration;

use aio_model::{Deadline, Instant, Kind, OpError};

use super::turn::SystemBelow;
use super::{Id, LaneName, Phase, Reference};

/// How long after the last progress of its lane a deadline is, if that puts it off.
pub(super) fn renewal_of(deadline: Option<Deadline>) -> Option<Duration> {
    match deadline {
        Some(Deadline::Progress(span)) => Some(span),
        _ => None,
    }
}

impl Reference {
    pub(super) fn note_progress(&mut self, name: LaneName) {
        let now = self.now;
        self.conn_mut(name.conn).last_progress = now;
        self.lane_mut(name).progress = now;
    }

    /// When an operation is due, if progress has put that off.
    pub(super) fn put_off_until(&self, op: Id) -> Option<Instant> {
        let (name, at) = self.find_in_lane(op)?;
        let lane = self.lane(name);
        Some(lane.progress + lane.ops[at].renewal?)
    }

    /// T1: whether progress has put an operation's deadline off.
    pub(super) fn renew(&mut self, op: Id) -> bool {
        let later = self.put_off_until(op).filter(|until| self.is_to_come(*until));
        let Some(until) = later else { return false };
        let (name, at) = self.find_in_lane(op).expect("it is queued");
        // It would not have been, in a lane that holds no buffer for it then.
        if self.lane(name).ops[0].id == op && !self.lane(name).ready {
            self.return_unused(name);
        }
        let alarm = self.alarm(until);
        let op = &mut self.lane_mut(name).ops[at];
        (op.deadline, op.renewal) = (alarm, op.renewal.filter(|_| alarm.is_some()));
        true
    }

    fn is_to_come(&self, at: Instant) -> bool {
        at.as_nanos().div_ceil(1_000_000) > self.now.as_nanos() / 1_000_000
    }

    pub(super) fn begin_idle(&mut self, conn: u32, from: Instant) {
        let state = self.conn_mut(conn);
        state.idle_looked = false;
        let span = state.idle.filter(|_| state.kind == Kind::Stream);
        let alarm = span.and_then(|span| self.alarm(from + span));
        self.conn_mut(conn).idle_alarm = alarm;
    }

    pub(super) fn end_idle(&mut self, conn: u32) {
        let state = self.conn_mut(conn);
        let id = state.id;
        (state.idle, state.idle_alarm, state.idle_looked) = (None, None, false);
        let with = state.idle_with.take();
        let with = with.and_then(|with| self.conns.get_mut(&with.index).filter(|state| state.id == with));
        if let Some(with) = with.filter(|with| with.idle_with == Some(id)) {
            with.idle_with = None;
        }
    }

    fn is_idle(&self, conn: u32) -> bool {
        let state = &self.conns[&conn];
        let with =
            state.idle_with.and_then(|with| self.conns.get(&with.index).filter(|state| state.id == with));
        let last = with.map_or(state.last_progress, |with| with.last_progress.max(state.last_progress));
        state.phase == Phase::Open && state.idle.is_some_and(|span| !self.is_to_come(last + span))
    }

    /// T1: if a connection is idle, its lanes have a last attempt each, and then all that is queued ends.
    pub(super) fn look_for_idle(&mut self, conn: u32, world: &mut impl SystemBelow) {
        let looked = std::mem::take(&mut self.conn_mut(conn).idle_looked);
        self.conn_mut(conn).idle_alarm = None;
        if self.is_idle(conn) {
            let name = if looked { LaneName::send(conn) } else { LaneName::receive(conn) };
            if !self.lane(name).ops.is_empty() {
                self.attempt_last(name, world);
                if self.conns.contains_key(&conn) && !self.lane(name).ready {
                    self.return_unused(name);
                }
            }
            if self.conns.get(&conn).is_none_or(|state| state.phase != Phase::Open) {
                return;
            }
            if !looked {
                let alarm = self.alarm(Instant::from_nanos(self.now.as_nanos() / 1_000_000 * 1_000_000));
                let state = self.conn_mut(conn);
                (state.idle_looked, state.idle_alarm) = (true, alarm);
                return;
            }
        }
        if !self.is_idle(conn) {
            let state = &self.conns[&conn];
            let with =
                state.idle_with.and_then(|with| self.conns.get(&with.index).filter(|state| state.id == with));
            let last = with.map_or(state.last_progress, |with| with.last_progress.max(state.last_progress));
            return self.begin_idle(conn, last);
        }
        for name in LaneName::both(conn) {
            let cut = self.lane(name).ops.front().is_some_and(|op| self.is_partly_sent(op));
            self.complete_all(name, |_| Err(OpError::Idle));
            self.lane_mut(name).tainted |= cut;
        }
        self.settle(conn);
        self.begin_idle(conn, self.now);
    }
}
