//! The system's border: every call must have a reason, and lend what the contract says; every outcome counts.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    ConnId, Direction, Done, Instant, Kind, OpError, Outcome, PoolId, Readiness, Rearm, Spin, SystemErrorKind,
};

use super::{Conn, End, Fin, Oracle, Phase, RECEIVE, SEND, Task};

/// How long an adaptive proactor polls, and how often in a row without anything coming of it.
const SPIN_MAX: Duration = Duration::from_micros(50);
const SPINS_IN_VAIN_MAX: u32 = 10;

/// What is behind the last byte: what a send was told, which is told once, unless it only says that nothing
/// can be sent.
fn behind(sends: Option<End>) -> End {
    use SystemErrorKind::{BrokenPipe, NotConnected};
    match sends {
        Some(End::Fault(error)) if ![BrokenPipe, NotConnected].contains(&error.kind()) => End::Fault(error),
        _ => End::EndOfStream,
    }
}

impl Oracle {
    /// A receive found no more bytes, and the peer has sent an end, or it has not: then nobody is to be told
    /// of one (K4).
    pub fn on_no_more(&mut self, conn: ConnId, peer_ended: bool) {
        let told = self.conns.get(&conn).and_then(|conn| conn.lanes[RECEIVE].end);
        self.ensure(peer_ended || told != Some(End::EndOfStream), "K4", "end-was-sent", || {
            format!("the receives of {conn} end as if its peer had, which has not")
        });
    }

    /// A turn begins.
    pub fn on_turn(&mut self) {
        let place_free = !self.places_taken();
        self.turns += 1;
        self.counted.turns += 1;
        self.turn = super::TurnCounts { place_free, ..super::TurnCounts::default() };
    }

    /// The user did something in the middle of the turn, which ends with so many buffers lent.
    pub fn on_interlude(&mut self, outstanding: u32) {
        self.note_short(outstanding);
    }

    /// A step of a turn was taken, and it is not over: its attempts, as many ends of what has expired as it
    /// has room for, and three steps more is what it may take (K6).
    pub fn on_turn_step(&mut self, outstanding: u32) {
        self.note_short(outstanding);
        self.turn.steps += 1;
        let most = self.turn.calls.saturating_add(self.expiries_max()).saturating_add(3);
        let steps = self.turn.steps;
        self.ensure(steps <= most, "K6", "turn-ends", || {
            format!("a turn goes on after {steps} steps; {most} are enough")
        });
    }

    /// Somebody said what time it is.
    pub fn on_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// A wait takes in `events_max` events at most.
    pub fn on_events_max(&mut self, events_max: NonZeroU32) {
        let limit = self.limits.turn_events_max;
        self.ensure(events_max == limit, "K6", "events-in-a-wait", || {
            format!("a wait takes in {events_max} events, at a limit of {limit}")
        });
    }

    /// The loop waits until `until` at the latest; its caller would have it wait until `asked`.
    pub fn on_wait(&mut self, until: Option<Instant>, asked: Option<Instant>) {
        self.asked = self.turns;
        self.counted.waits += 1;
        let begin = |tick: u64| Instant::from_nanos(tick.saturating_mul(1_000_000));
        let deadlines = || self.due().map(|(tick, _)| begin(tick));
        let lanes = || self.conns.values().flat_map(|conn| &conn.lanes);
        let pausing = || lanes().filter(|lane| lane.pauses(self.now)).filter_map(|lane| lane.pause);
        let pauses = || pausing().map(|(until, _)| begin(until));
        let refused = || self.refusals.iter().filter_map(|(until, _)| *until).map(|(until, _)| begin(until));
        let pauses = || pauses().chain(refused());
        let earliest = deadlines().chain(asked).min();
        let late = earliest.is_some_and(|earliest| until.is_none_or(|until| until > earliest));
        let polls = until == Some(Instant::ZERO);
        let overslept = pauses().find(|end| until.is_none_or(|until| until > *end));
        let exact = || until.is_none_or(|until| deadlines().chain(pauses()).any(|due| due == until));
        let reason = polls || until == asked || exact();
        self.ensure(!late, "T1", "wakes-in-time", || format!("waits until {until:?}, past {earliest:?}"));
        self.ensure(overslept.is_none(), "K5", "pause-ends", || {
            format!("waits until {until:?}, past the end of a pause at {overslept:?}")
        });
        self.ensure(reason, "T1", "waits-with-reason", || {
            format!("waits until {until:?}, for which there is no reason")
        });
        if polls {
            return;
        }
        let due = |conn: &Conn| match conn.phase {
            Phase::Closing { .. } => true,
            // Unless the system was short of something for it (K5).
            Phase::Lingering { fin: Fin::Due | Fin::Tried, .. } => !conn.lanes[RECEIVE].pauses(self.now),
            _ => false,
        };
        let sleepy = self.conns.iter().find(|(_, conn)| due(conn)).map(|(conn, _)| *conn);
        self.ensure(sleepy.is_none(), "K2", "no-sleep-before-close", || {
            format!("sleeps while {sleepy:?} is to be closed")
        });
    }

    /// The loop polled for `spin` at the most before it slept, if it did sleep (K6).
    pub fn on_spin(&mut self, spin: Duration, slept: bool) {
        let as_asked = match self.spin {
            Spin::Off => spin.is_zero(),
            Spin::For(span) => spin == span,
            _ => spin <= SPIN_MAX,
        };
        self.ensure(as_asked, "K6", "spins-as-asked", || format!("polls for {spin:?} before it sleeps"));
        self.spun_in_vain = if slept && !spin.is_zero() { self.spun_in_vain + 1 } else { 0 };
        let stops = self.spun_in_vain <= SPINS_IN_VAIN_MAX || self.spin != Spin::Adaptive;
        let times = self.spun_in_vain;
        self.ensure(stops, "K6", "spins-if-it-pays", || format!("polled in vain {times} times in a row"));
    }

    /// A pool asked for the memory of another buffer, and got it or not. Refused, it does not ask again
    /// before a pause is over: a millisecond, and twice as long each time in a row, up to about a second
    /// (K5).
    pub fn on_asked(&mut self, pool: PoolId, granted: bool) {
        let Some(index) = self.pool_index(pool) else { return };
        let now = self.now.as_nanos();
        let (until, times) = self.refusals[index];
        let too_soon = until.is_some_and(|(until, _)| now / 1_000_000 < until);
        // Whatever else is armed in this step is armed after it.
        let pause = (now.div_ceil(1_000_000) + (1 << times.min(10)), self.turn.armed_first);
        self.turn.armed_first += 1;
        self.turn.short.memory |= u64::from(!granted) << index;
        self.counted.buffers_refused += u64::from(!granted);
        self.refusals[index] = if granted { (None, 0) } else { (Some(pause), times + 1) };
        self.ensure(!too_soon, "K5", "memory-too-soon", || {
            format!("{pool:?} asks for memory that was just refused")
        });
    }

    /// An event is delivered.
    pub fn on_event(&mut self, conn: ConnId, readiness: Readiness) {
        let Some(conn) = self.conns.get_mut(&conn) else {
            self.counted.events_stale += 1;
            return;
        };
        self.counted.events += 1;
        let ends = [Readiness::READ_CLOSED, Readiness::WRITE_CLOSED, Readiness::ERROR];
        let ends = ends.into_iter().any(|end| readiness.intersects(end));
        for (lane, wakes) in conn.lanes.iter_mut().zip([Readiness::READABLE, Readiness::WRITABLE]) {
            if ends || readiness.intersects(wakes) {
                lane.ready = true;
                lane.end_hinted |= ends;
            }
        }
    }

    /// Judges that a turn is bounded, and each lane's part of it (K6). Returns whether it is a last attempt,
    /// which the bounds of what has expired are for.
    pub(super) fn count_call(&mut self, conn: ConnId, lane: usize, call: &str) -> bool {
        let last = self.is_last_attempt(conn, lane);
        let mut share = self.turn.by_lane.get(&(conn, lane)).copied().unwrap_or_default();
        let (calls, moved) = (share.calls + u32::from(!last), share.bytes);
        share.calls = calls;
        self.turn.calls += u32::from(!last);
        self.counted.attempts += 1;
        self.turn.by_lane.insert((conn, lane), share);
        let bytes_max = u64::from(self.limits.lane_transfer_max.get());
        self.ensure(last || moved < bytes_max, "K6", "lane-bytes", || {
            format!("{call} for a lane that has had {moved} bytes in this turn; {bytes_max} are its share")
        });
        let budget = self.limits.lane_attempts_max.get();
        self.ensure(calls <= budget, "K6", "lane-budget", || {
            format!("{call} is call {calls} for one lane in a turn; {budget} are allowed")
        });
        self.judge_turn_budget();
        if let Some(state) = self.lane(conn, lane) {
            state.turns_passed_over = 0;
            state.held = None;
            state.outrun.clear();
        }
        last
    }

    fn judge_turn_budget(&mut self) {
        let (all, budget) = (self.turn.calls, self.limits.turn_attempts_max.get());
        self.ensure(all <= budget, "K6", "turn-budget", || {
            format!("{all} calls in a turn; {budget} are allowed")
        });
    }

    /// Judges that a call is made at all, and returns the operation that it must be for.
    pub(super) fn called(&mut self, conn: ConnId, lane: usize, call: &str) -> Option<(u64, Task)> {
        let last = self.count_call(conn, lane, call);
        let Some(state) = self.conns.get(&conn) else {
            self.breaks("K1", "call-on-known", || format!("{call} on {conn}, which does not exist"));
            return None;
        };
        if let Phase::Closing { .. } = state.phase {
            self.breaks("K2", "call-after-close", || format!("{call} on {conn}, which is closed"));
            return None;
        }
        let state = &state.lanes[lane];
        let Some(serial) = state.queue.front().copied() else {
            self.breaks("K6", "call-for-op", || format!("{call} on {conn}, where nothing is queued"));
            return None;
        };
        // A shutdown needs no room in the kernel's buffers, and a last attempt no reason.
        let ready = state.ready || last || self.ops.get(&serial).is_some_and(|op| op.task == Task::Shutdown);
        self.judge_pause(conn, lane, call, last);
        self.ensure(ready, "K6", "call-when-ready", || {
            format!("a needless {call} on {conn}: it is not ready")
        });
        Some((serial, self.ops.get(&serial)?.task))
    }

    /// Judges that a call which the system was short of something for is not made again before the pause is
    /// over (K5), unless it is the last attempt.
    pub(super) fn judge_pause(&mut self, conn: ConnId, lane: usize, call: &str, last: bool) {
        let now = self.now;
        let Some(state) = self.lane(conn, lane) else { return };
        let too_soon = state.pauses(now) && !last;
        state.pause = None;
        (state.wants_descriptor, state.freed) = (false, false);
        self.ensure(!too_soon, "K5", "call-too-soon", || {
            format!("{call} on {conn} spins while the system is exhausted")
        });
    }

    /// An attempt that moved nothing.
    pub(super) fn on_no_progress(&mut self, conn: ConnId, lane: usize, outcome: Outcome) {
        let (now, armed) = (self.now, self.armed);
        let head = self.conns.get(&conn).and_then(|conn| conn.lanes[lane].queue.front().copied());
        let task = head.and_then(|head| self.ops.get(&head)).map(|op| op.task);
        // The end of what is sent needs no room.
        let is_end = task == Some(Task::Shutdown)
            || (lane == RECEIVE && self.conns.get(&conn).is_some_and(Conn::has_fin_due));
        let accepts = matches!(task, Some(Task::AcceptOne | Task::AcceptMany));
        let counted = &mut self.counted;
        match outcome {
            Outcome::WouldBlock => counted.would_blocks += 1,
            Outcome::Interrupted => counted.interrupts += 1,
            Outcome::Exhausted(_) => counted.exhaustions += 1,
            Outcome::Refused(_) => counted.accepts_refused += u64::from(accepts),
            _ => {}
        }
        let Some(state) = self.lane(conn, lane) else { return };
        if !matches!(outcome, Outcome::Refused(_)) {
            state.refusals = 0;
        }
        match outcome {
            Outcome::WouldBlock => {
                state.ready = false;
                state.due = false;
                state.end_hinted = false;
                state.holds = None;
            }
            Outcome::Exhausted(error) => {
                state.fall_short(now, task == Some(Task::Connect), armed);
                // Even if it was not before: the system did not get to see whether there is anything.
                state.ready |= !is_end;
                state.wants_descriptor = error.kind() == SystemErrorKind::DescriptorsExhausted;
                state.due = false;
                state.holds = None;
                self.armed += 1;
            }
            // It is tried four times; then nobody who accepts here is kept waiting (K5).
            Outcome::Refused(error) if accepts => {
                state.refusals += 1;
                state.due = false;
                if state.refusals < 4 {
                    state.fall_short(now, false, armed);
                    state.ready = true;
                    self.armed += 1;
                    return;
                }
                state.refusals = 0;
                self.end_lane(conn, lane, |_| Err(OpError::System(error)));
            }
            Outcome::Failed(error) | Outcome::Refused(error) => self.finish(conn, lane, End::Fault(error)),
            Outcome::Interrupted | Outcome::Done | Outcome::Transferred(_) | Outcome::Partial(_) => {}
        }
    }

    /// Bytes moved, and a short transfer may prove that the lane is drained.
    fn transferred(&mut self, conn: ConnId, lane: usize, count: usize, lent: usize) {
        let drains = self.rearm == Rearm::OnArrival;
        if let Some(state) = self.lane(conn, lane) {
            state.ready = !(drains && count < lent && !state.end_hinted);
            state.due &= state.ready;
            state.shortages = 0;
            state.bytes += count as u64;
        }
        self.note_progress(conn, lane);
        match lane {
            RECEIVE => self.counted.bytes_received += count as u64,
            _ => self.counted.bytes_sent += count as u64,
        }
        if let Some(lane) = self.turn.by_lane.get_mut(&(conn, lane)) {
            lane.bytes += count as u64;
        }
    }

    /// Bytes moved for an operation.
    fn moved(&mut self, serial: u64, count: usize) {
        if let Some(op) = self.ops.get_mut(&serial) {
            op.moved += count as u64;
        }
    }

    /// A receive of up to `lent` bytes was answered.
    pub fn on_recv(&mut self, conn: ConnId, lent: usize, outcome: Outcome) {
        let Some((serial, task)) = self.called(conn, RECEIVE, "a receive") else { return };
        self.ensure(task.is_recv(), "C3", "recv-in-turn", || {
            format!("a receive on {conn}, whose turn is {task:?}")
        });
        if let Some(pool) = task.pool() {
            self.note_lent(conn, pool, serial);
        }
        let all_out = self.ops.get(&serial).is_some_and(super::Op::has_all_leases_out);
        self.ensure(!all_out, "B3", "leases-max", || {
            format!("a receive on {conn}, which has as many leases out as it may: {task:?}")
        });
        let Some(op) = self.ops.get(&serial) else { return };
        let space = task.pool().map_or(op.submitted.len(), |pool| self.pools[pool].1);
        let left = space - super::completions::index(op.moved);
        self.ensure(lent == left, "C2", "recv-space", || {
            format!("a receive into {lent} bytes on {conn}, where {left} are free")
        });
        match outcome {
            Outcome::Transferred(0) => {
                let sends = self.conns.get(&conn).and_then(|conn| conn.lanes[SEND].end);
                self.finish(conn, RECEIVE, behind(sends));
            }
            Outcome::Transferred(count) | Outcome::Partial(count) => {
                // A partial receive proves nothing: as if it had been whole.
                let lent = if outcome == Outcome::Partial(count) { count } else { lent };
                self.transferred(conn, RECEIVE, count, lent);
                if let Task::RecvMany { .. } = task
                    && self.credits() < self.limits.ops_max.get()
                {
                    return self.received_one(conn, serial, count);
                }
                self.moved(serial, count);
                if task != Task::RecvExact || count == left {
                    self.end(serial, Ok(Done::Received { end_of_stream: false }));
                }
            }
            other => self.on_no_progress(conn, RECEIVE, other),
        }
    }

    /// A receive that goes on has brought bytes, and there is a credit for a completion that is not its last.
    fn received_one(&mut self, conn: ConnId, serial: u64, count: usize) {
        self.accepted += 1;
        let Some(op) = self.ops.get_mut(&serial) else { return };
        op.leases_out += 1;
        let all_out = op.has_all_leases_out();
        if let Some(lane) = self.lane(conn, RECEIVE) {
            lane.received.push_back(count);
            lane.holds = None;
            lane.due &= !all_out;
        }
    }

    /// A wait asked whether a receive, or a send, would not block.
    pub fn on_poll(&mut self, conn: ConnId, direction: Direction, outcome: Outcome) {
        let lane = if direction == Direction::Receive { RECEIVE } else { SEND };
        let Some((serial, task)) = self.called(conn, lane, "a poll") else { return };
        self.ensure(task == Task::Wait(direction), "C3", "wait-in-turn", || {
            format!("a poll on {conn}, whose turn is {task:?}")
        });
        if outcome == Outcome::Done {
            if let Some(state) = self.lane(conn, lane) {
                (state.shortages, state.ready) = (0, true);
            }
            self.end(serial, Ok(Done::Ready));
        } else {
            self.on_no_progress(conn, lane, outcome);
        }
        self.flushed(conn);
    }

    /// A lane that waits for a buffer was asked what it would find (B3).
    pub fn on_peek(&mut self, conn: ConnId, outcome: Outcome) {
        self.turn.calls += 1;
        self.counted.attempts += 1;
        self.judge_turn_budget();
        let waits = self.conns.get(&conn).is_some_and(|conn| {
            let lane = &conn.lanes[RECEIVE];
            let head = lane.queue.front().map(|head| self.ops[head].task);
            let hinted = lane.ready && lane.end_hinted && lane.pause.is_none();
            hinted && conn.phase == Phase::Open && head.is_some_and(|head| head.pool().is_some())
        });
        self.ensure(waits, "B3", "peek-with-reason", || {
            format!("a peek on {conn}, which waits for no buffer, or of whose end nothing is known")
        });
        match outcome {
            Outcome::Transferred(0) => {
                let sends = self.conns.get(&conn).and_then(|conn| conn.lanes[SEND].end);
                self.finish(conn, RECEIVE, behind(sends));
            }
            Outcome::Transferred(_) => {}
            other => self.on_no_progress(conn, RECEIVE, other),
        }
    }

    /// A send of `bytes` was answered. Returns how many bytes were left of each of the sends that went out
    /// with it.
    pub fn on_send(&mut self, conn: ConnId, bytes: &[u8], outcome: Outcome) -> Vec<usize> {
        let Some((_, task)) = self.called(conn, SEND, "a send") else { return vec![] };
        let Task::Send { .. } = task else {
            self.breaks("C3", "send-in-turn", || format!("a send on {conn}, whose turn is {task:?}"));
            return vec![];
        };
        let together = self.sent_together(conn);
        let due: Vec<&[u8]> = together.iter().map(|(serial, _)| self.rest(*serial)).collect();
        let as_submitted = due.concat() == bytes;
        self.ensure(as_submitted, "C4", "send-bytes", || {
            format!("{conn} sends other bytes than those whose turn it is")
        });
        match outcome {
            Outcome::Transferred(count) => {
                self.transferred(conn, SEND, count, bytes.len());
                self.put_off(conn, self.now);
                let mut left = count;
                for &(serial, rest) in &together {
                    self.moved(serial, rest.min(left));
                    if rest > left {
                        break;
                    }
                    left -= rest;
                    self.end(serial, Ok(Done::Sent));
                }
            }
            other => self.on_no_progress(conn, SEND, other),
        }
        self.flushed(conn);
        together.into_iter().map(|(_, rest)| rest).collect()
    }

    /// The sends that go out in the next call of a lane, and how many bytes are left of each: the first one,
    /// and of those behind it as many as have all their bytes among those of a lane's share (C4). What does
    /// not fit is not begun: it can still be taken back without a taint.
    fn sent_together(&self, conn: ConnId) -> Vec<(u64, usize)> {
        let Some(state) = self.conns.get(&conn) else { return vec![] };
        let bytes_max = self.limits.lane_transfer_max.get() as usize;
        let sends = state.lanes[SEND].queue.iter().copied();
        let sends = sends.take_while(|serial| matches!(self.ops[serial].task, Task::Send { .. }));
        let mut bytes = 0;
        let mut together = vec![];
        for serial in sends {
            let rest = self.rest(serial).len();
            bytes += rest;
            if !together.is_empty() && bytes > bytes_max {
                break;
            }
            together.push((serial, rest));
        }
        together
    }

    /// What is left to be sent of a send.
    pub(super) fn rest(&self, serial: u64) -> &[u8] {
        let op = &self.ops[&serial];
        match op.task {
            Task::Send { start, end } => &op.submitted[start + super::completions::index(op.moved)..end],
            _ => &[],
        }
    }

    /// An accept, as `new`, was answered.
    pub fn on_accept(&mut self, listener: ConnId, new: ConnId, serial: Option<u64>, outcome: Outcome) {
        let full = self.places_taken();
        self.ensure(!full, "C6", "accept-place", || {
            format!("accepts from {listener} with connections at their limit")
        });
        let Some((op, task)) = self.called(listener, RECEIVE, "an accept") else { return };
        if outcome != Outcome::Done {
            return self.on_no_progress(listener, RECEIVE, outcome);
        }
        if let Some(lane) = self.lane(listener, RECEIVE) {
            lane.ready = true;
        }
        if let Task::AcceptMany = task {
            self.judge_places(listener, op);
        }
        if let Some(lane) = self.lane(listener, RECEIVE) {
            (lane.shortages, lane.refusals) = (0, 0);
        }
        self.counted.accepted += 1;
        let inherited = self.conns.get(&listener);
        let inherited = inherited.map_or((0, None, None), |conn| (conn.pool, conn.lane_bytes_max, conn.idle));
        self.note_progress(listener, RECEIVE);
        self.on_adopted(new, Kind::Stream, serial);
        if let Some(state) = self.conns.get_mut(&new) {
            (state.pool, state.lane_bytes_max, state.idle) = inherited;
        }
        self.begin_idle(new, self.now);
        match task {
            Task::AcceptOne => self.end(op, Ok(Done::Accepted(new))),
            // With a single credit in all, there is none for a completion that is not final.
            Task::AcceptMany if self.limits.ops_max.get() == 1 => self.end(op, Ok(Done::Accepted(new))),
            Task::AcceptMany => {
                if let Some(lane) = self.lane(listener, RECEIVE) {
                    lane.accepted.push_back(new);
                }
                self.accepted += 1;
                let (credits, limit) = (self.credits(), self.limits.ops_max.get());
                self.ensure(credits <= limit, "C6", "accept-credit", || {
                    format!("{credits} credits in use; there are {limit}")
                });
            }
            other => self.breaks("C3", "accept-in-turn", || {
                format!("an accept on {listener}, whose turn is {other:?}")
            }),
        }
    }

    /// Judges that nobody who accepts many takes place after place before others who wait for one (K6): who
    /// took one, or several in a turn, stands behind them from then on. An accept that is submitted anew is a
    /// new one in the line.
    fn judge_places(&mut self, taker: ConnId, op: u64) {
        let (now, turn) = (self.now, self.turns);
        let (credits, most) = (self.credits(), self.limits.ops_max.get());
        let mut outrun = None;
        for (id, conn) in self.conns.iter_mut().filter(|(id, _)| **id != taker) {
            let lane = &mut conn.lanes[RECEIVE];
            let could = match lane.queue.front().and_then(|head| self.ops.get(head)).map(|head| head.task) {
                Some(Task::AcceptOne) => true,
                Some(Task::AcceptMany) => most == 1 || credits < most,
                _ => false,
            };
            let waited = lane.held.is_some_and(|since| since < turn);
            if could && waited && lane.ready && !lane.pauses(now) && !lane.outrun.contains(&(op, turn)) {
                lane.outrun.push((op, turn));
                let turns = lane.outrun.iter().filter(|(other, _)| *other == op).count();
                outrun = outrun.or((turns > 1).then_some(*id));
            }
        }
        self.ensure(outrun.is_none(), "K6", "places-in-turn", || {
            format!("{taker} accepts again, and {outrun:?} waits for a place")
        });
    }

    /// A shutdown was answered.
    pub fn on_shutdown(&mut self, conn: ConnId, outcome: Outcome) {
        if self.on_last_fin(conn, outcome) {
            return;
        }
        let Some((serial, task)) = self.called(conn, SEND, "a shutdown") else { return };
        self.ensure(task == Task::Shutdown, "K3", "shutdown-in-turn", || {
            format!("a shutdown on {conn}, whose turn is {task:?}")
        });
        match outcome {
            Outcome::Done => self.end(serial, Ok(Done::ShutDown)),
            other => self.on_no_progress(conn, SEND, other),
        }
        self.flushed(conn);
    }

    /// A close was made.
    pub fn on_close(&mut self, conn: ConnId, reset: bool) {
        self.turn.calls += 1;
        self.counted.attempts += 1;
        let Some(state) = self.conns.remove(&conn) else {
            self.breaks("K2", "closed-once", || format!("{conn} is closed twice, or was never there"));
            return;
        };
        let Phase::Closing { reset: due } = state.phase else {
            return self
                .breaks("K2", "close-asked-for", || format!("{conn} is closed, and nobody asked for it"));
        };
        self.ensure(reset == due, "K2", "broken-off-is-reset", || {
            format!(
                "{conn} is closed, by a reset: {reset}; a send was broken off, or that was asked for: {due}"
            )
        });
        for closer in state.closers {
            self.end(closer, Ok(Done::Closed));
        }
        self.descriptor_closed();
    }

    /// A descriptor is free: lanes that pause for want of one pause no more (K5).
    pub(super) fn descriptor_closed(&mut self) {
        let lanes = self.conns.iter_mut().flat_map(|(_, conn)| &mut conn.lanes);
        for lane in lanes.filter(|lane| lane.wants_descriptor && lane.pause.is_some()) {
            lane.pause = None;
            lane.freed = true;
        }
    }
}
