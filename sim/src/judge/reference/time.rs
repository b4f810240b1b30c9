//! Time, and what falls due in it: looked for, not kept in order.

use aio_model::{CloseReason, Deadline, Instant, LanePlace, OpError};

use super::turn::SystemBelow;
use super::{Buffer, Done, Id, LaneName, Phase, Reference, Rule, Work};

/// Something falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alarm {
    /// In milliseconds.
    at_ms: u64,
    /// The how many-th deadline it is that was ever set: of those that fall due together, the first comes
    /// first.
    nth: u64,
}

/// What falls due.
#[derive(Debug, Clone, Copy)]
enum Due {
    Op(Id),
    Pause(LaneName),
    /// The time that a connection has for flushing and lingering, unless the peer takes something.
    End(u32),
    /// The deadline of a close.
    Close(u32),
    /// A connection may be idle.
    Idle(u32),
}

const MS: u64 = 1_000_000;

impl Alarm {
    pub(super) fn at(self) -> Instant {
        Instant::from_nanos(self.at_ms.saturating_mul(MS))
    }

    pub(super) fn is_later_than(self, other: Alarm) -> bool {
        self.at_ms > other.at_ms
    }
}

impl Reference {
    /// T3: time that seems to go back stands still.
    pub(super) fn on_time(&mut self, now: Instant) {
        self.now = if self.keeps(Rule::T3) { self.now.max(now) } else { now };
    }

    /// When a deadline comes, by the clock.
    pub(super) fn resolve(&self, deadline: Option<Deadline>, clock: Instant) -> Instant {
        match deadline {
            None => Instant::MAX,
            Some(Deadline::At(at)) => at,
            Some(Deadline::Within(span) | Deadline::Progress(span)) => clock.max(self.now) + span,
        }
    }

    /// T1: to the millisecond, and never early.
    pub(super) fn alarm(&mut self, at: Instant) -> Option<Alarm> {
        if at == Instant::MAX {
            return None;
        }
        let at_ms = if self.keeps(Rule::T1) { at.as_nanos().div_ceil(MS) } else { at.as_nanos() / MS };
        Some(self.alarm_in_ms(at_ms))
    }

    fn alarm_in_ms(&mut self, at_ms: u64) -> Alarm {
        self.alarms += 1;
        Alarm { at_ms, nth: self.alarms }
    }

    /// K5: a lane pauses for 1 ms, and for twice as long each time in a row, up to about a second; if it
    /// connects, up to 32 ms.
    pub(super) fn pause(&mut self, name: LaneName) {
        self.step_aside(name);
        let lane = self.lane_mut(name);
        let connects = lane.ops.front().is_some_and(|head| head.work == Work::Connect);
        let span = 1 << lane.shortages.min(if connects { 5 } else { 10 });
        lane.shortages += 1;
        // Only time is waited for: whether there is anything, nobody has seen.
        if !self.wants_attempt(name) {
            self.lane_mut(name).ready = true;
        }
        let alarm = self.alarm_in_ms(self.now.as_nanos().div_ceil(MS) + span);
        self.lane_mut(name).pause = Some(alarm);
    }

    /// Flushing or lingering ends at `deadline`, if not before: it becomes that of the close, if there is
    /// one.
    pub(super) fn end_by(&mut self, conn: u32, deadline: Instant) {
        let Some(alarm) = self.alarm(deadline) else { return };
        let state = self.conn_mut(conn);
        let ends = match state.closers.first_mut() {
            Some(closer) => &mut closer.deadline,
            None => &mut state.ends,
        };
        if ends.is_none_or(|ends| alarm.at_ms < ends.at_ms) {
            *ends = Some(alarm);
        }
    }

    /// Everything that falls due, in order.
    fn agenda(&self) -> Vec<(Alarm, Due)> {
        let mut agenda = vec![];
        let mut note = |alarm: Option<Alarm>, due| agenda.extend(alarm.map(|alarm| (alarm, due)));
        self.sleeping.iter().for_each(|op| note(op.deadline, Due::Op(op.id)));
        for conn in self.conns.values() {
            note(conn.ends, Due::End(conn.id.index));
            note(conn.idle_alarm, Due::Idle(conn.id.index));
            note(conn.closers.first().and_then(|closer| closer.deadline), Due::Close(conn.id.index));
        }
        for (name, lane) in self.lanes() {
            note(lane.pause, Due::Pause(name));
            lane.ops.iter().for_each(|op| note(op.deadline, Due::Op(op.id)));
        }
        agenda.sort_by_key(|(alarm, _)| *alarm);
        agenda
    }

    /// When the next thing falls due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda().first().map(|(alarm, _)| alarm.at())
    }

    /// How many things fall due.
    pub(super) fn timers(&self) -> usize {
        self.agenda().len()
    }

    /// Ends what has fallen due, one after the other: as much of it as the attempts have left of their calls,
    /// or half a turn's if that is more (K6). What is left then is for the next turns, which do not sleep.
    pub(super) fn expire(&mut self, left: u32, world: &mut impl SystemBelow) {
        let now_ms = self.now.as_nanos() / MS;
        let room = left.max(self.plan.limits.turn_attempts_max.get().div_ceil(2));
        let room = if self.keeps(Rule::K6) { room } else { u32::MAX };
        for _ in 0..room {
            let Some(due) = self.next_expired(now_ms) else { break };
            self.expire_one(due, world);
        }
        self.overdue = self.next_expired(now_ms).is_some();
    }

    fn next_expired(&self, now_ms: u64) -> Option<Due> {
        self.agenda().first().filter(|(alarm, _)| alarm.at_ms <= now_ms).map(|(_, due)| *due)
    }

    fn expire_one(&mut self, due: Due, world: &mut impl SystemBelow) {
        match due {
            Due::Op(op) => {
                let in_lane = self.find_in_lane(op);
                // It is not due any more, whatever the last attempt comes to.
                if let Some((name, at)) = in_lane {
                    self.lane_mut(name).ops[at].deadline = None;
                    if self.renew(op) {
                        return;
                    }
                    if at == 0 {
                        self.attempt_last(name, world);
                    }
                }
                let has_ended = in_lane.is_some() && self.find_in_lane(op).is_none();
                if !has_ended && !self.renew(op) {
                    self.end_early(op, OpError::Deadline);
                }
            }
            Due::Idle(conn) => self.look_for_idle(conn, world),
            Due::Pause(lane) => {
                self.step_aside(lane);
                self.settle(lane.conn);
            }
            Due::End(conn) => {
                self.conn_mut(conn).ends = None;
                self.attempt_last_of(conn, world);
                // K2: what has been taken by that puts it off.
                if self.conns[&conn].ends.is_none() {
                    self.on_close_timeout(conn);
                }
            }
            Due::Close(conn) => {
                self.conn_mut(conn).closers.iter_mut().for_each(|closer| closer.deadline = None);
                self.attempt_last_of(conn, world);
                self.on_close_timeout(conn);
            }
        }
    }

    fn attempt_last_of(&mut self, conn: u32, world: &mut impl SystemBelow) {
        match self.conns[&conn].phase {
            Phase::Flushing { .. } => self.attempt_last(LaneName::send(conn), world),
            Phase::Lingering { .. } => self.attempt_last(LaneName::receive(conn), world),
            _ => {}
        }
    }

    fn on_close_timeout(&mut self, conn: u32) {
        if let Phase::Flushing { reason, .. } | Phase::Lingering { reason, .. } = self.conns[&conn].phase {
            self.abort(conn, reason);
        }
    }

    /// T2: what is next in a lane is tried once more before its deadline ends it, for nobody may have looked;
    /// even while the lane pauses, but not if it waits for a buffer or a place.
    pub(super) fn attempt_last(&mut self, name: LaneName, world: &mut impl SystemBelow) {
        let waits = [LanePlace::Parked, LanePlace::Held, LanePlace::LeasesOut].contains(&self.place(name));
        if waits || !self.keeps(Rule::T2) {
            return;
        }
        let head = self.lane(name).ops.front();
        let lacks = head.is_some_and(|head| match (head.work, head.work.pool()) {
            _ if head.has_all_leases_out() => true,
            (_, Some(pool)) if head.buffer == Buffer::None => {
                self.pools[&pool].lent == self.pools[&pool].size.buffers_max
            }
            (work @ Work::Accept { .. }, _) => self.lacks_place(work),
            _ => false,
        });
        if lacks || !self.equip(name) {
            return;
        }
        if self.place(name) == LanePlace::BackingOff {
            self.step_aside(name);
        }
        self.attempt(name, world);
    }

    /// Ends a queued operation before it is done: its deadline came, or it was cancelled.
    pub(super) fn end_early(&mut self, op: Id, error: OpError) {
        if let Some(at) = self.sleeping.iter().position(|sleep| sleep.id == op) {
            let sleep = self.sleeping.remove(at);
            let elapsed = error == OpError::Deadline;
            return self.complete(sleep, if elapsed { Ok(Done::Elapsed) } else { Err(error) });
        }
        let (name, at) = self.find_in_lane(op).expect("it is queued");
        let op = self.lane_mut(name).ops.remove(at).expect("it is there");
        let (connect, cut) = (op.work == Work::Connect, self.is_partly_sent(&op));
        self.complete(op, Err(error));
        if connect {
            return self.abort(name.conn, CloseReason::Requested);
        }
        // C5: after part of a send nothing follows, until the user says so.
        if cut && self.keeps(Rule::C5) {
            self.lane_mut(name).tainted = true;
            self.complete_all(name, |_| Err(OpError::Tainted));
        }
        if at == 0 && !self.still_waits(name) {
            self.step_aside(name);
        }
        self.settle(name.conn);
    }

    /// What a lane waited for, its head did. A buffer is as good for the next one, if it is of the right
    /// pool, and so is a place, if it is still lacking; then the lane keeps its place in line (B3, K6).
    fn still_waits(&self, name: LaneName) -> bool {
        let Some(head) = self.lane(name).ops.front() else { return false };
        let parked = self.pools.iter().find(|(_, pool)| pool.parked.contains(&name)).map(|(pool, _)| *pool);
        match parked {
            Some(pool) => head.work.pool() == Some(pool),
            None if self.place(name) == LanePlace::LeasesOut => false,
            None if self.place(name) == LanePlace::Held => self.lacks_place(head.work),
            None => true,
        }
    }
}
