//! What must be true when a turn is over.

use std::collections::BTreeSet;

use aio_model::{ConnId, Direction, Kind, LanePlace, Model, Violation};

use super::{Conn, Lane, Oracle, Phase, RECEIVE, SEND, Task, violation};
use crate::world::net::Net;

impl Oracle {
    /// Everything that is armed: deadlines of operations, and ends of flushing and lingering.
    pub(super) fn due(&self) -> impl Iterator<Item = (u64, u64)> {
        let ops = self.ops.values().filter(|op| op.verdict.is_none()).filter_map(|op| op.due);
        let conns = self.conns.values();
        ops.chain(conns.flat_map(|conn| [conn.until, conn.idle_due].into_iter().flatten()))
    }

    /// The turn is over: of two in a row one has looked outside (K6).
    pub fn on_turn_over(&mut self) {
        let unasked = self.turns - self.asked;
        self.ensure(unasked <= 1, "K6", "events-asked-for", || {
            format!("{unasked} turns in a row asked for no events")
        });
    }

    /// The counts and clocks agree, and every lane that can go on will.
    pub fn on_rest<C>(&mut self, model: &Model<C>, net: &Net, leases: usize) {
        let (clock, now) = (model.now(), self.now);
        self.ensure(clock == now, "T3", "clock-clamped", || {
            format!("the model's clock shows {clock:?}; the latest that it was told is {now:?}")
        });
        let counts = (model.connections() as usize, model.ops());
        let expected = (self.places(), self.credits());
        self.ensure(counts == expected, "C1", "credit-count", || {
            format!("connections and credits {counts:?}, not {expected:?}")
        });
        self.judge_broken_off(model);
        let ended = self.ops.values().filter(|op| op.verdict.is_some()).count();
        let (kept, expected) = (model.completions() as usize, ended + self.accepted as usize);
        self.ensure(kept >= expected, "C1", "completion-kept", || {
            format!("{kept} completions wait to be taken; {expected} have ended")
        });
        self.judge_fairness(model.outstanding() as usize);
        self.judge_parking(model);
        self.note_held(model);
        if model.is_busy() {
            return;
        }
        let unborn = self.unborn().next();
        self.ensure(unborn.is_none(), "K6", "connect-tried", || {
            format!("the connect {unborn:?} is not tried")
        });
        let outstanding = model.outstanding() as usize;
        let carried = self.ops.values().filter(|op| op.lease.is_some()).count();
        self.ensure(outstanding == leases + carried, "B2", "leases-in-use", || {
            format!("{outstanding} buffers are lent; the user has {leases}, sends carry {carried}, nobody receives")
        });
        let stuck = self.conns.iter().find_map(|(conn, state)| {
            let stuck = |lane| self.stuck(*conn, state, lane, net, outstanding);
            stuck(RECEIVE).or_else(|| stuck(SEND))
        });
        if let Some(Violation { rule, check, what }) = stuck {
            self.breaks(rule, check, || what);
        }
    }

    /// A proactor that is dropped now has its system reset what that breaks off (K2).
    fn judge_broken_off<C>(&mut self, model: &Model<C>) {
        let due = self.conns.iter().filter(|(id, conn)| match conn.phase {
            Phase::Closing { reset } => reset,
            _ => self.is_broken_off(**id),
        });
        let due: BTreeSet<ConnId> = due.map(|(id, _)| *id).collect();
        let found: BTreeSet<ConnId> = model.conns_to_reset().collect();
        self.ensure(found == due, "K2", "drop-resets", || {
            format!("a drop would reset {found:?}; a send is broken off on {due:?}")
        });
    }

    /// Whether a lane waits for something else than an event: a buffer, a place, a credit, or time.
    fn waits(&self, lane: &Lane, head: Task, outstanding: usize) -> bool {
        let places_taken = self.places_taken();
        let credits_taken = self.credits() >= self.limits.ops_max.get() && self.limits.ops_max.get() > 1;
        let waits = match head {
            // With several pools the others' buffers count too: lenient, but never wrong.
            Task::AcceptOne => places_taken,
            Task::AcceptMany => places_taken || credits_taken,
            _ => head.pool().is_some_and(|pool| {
                outstanding >= self.pools[pool].0 as usize || self.refusals[pool].0.is_some()
            }),
        };
        waits || self.has_all_leases_out(lane) || lane.pause.is_some()
    }

    /// Nobody who can go on is passed over for longer than it takes to serve all others (K6).
    fn judge_fairness(&mut self, outstanding: usize) {
        self.lanes_max = self.lanes_max.max(2 * self.places());
        let mut passed_over = Vec::new();
        for (id, conn) in self.conns.iter() {
            for (index, lane) in conn.lanes.iter().enumerate() {
                let head = lane.queue.front().map(|head| self.ops[head].task);
                let served = self.turn.by_lane.contains_key(&(*id, index));
                // A place that became free in this very turn may be taken by the user before the next.
                let accepts = matches!(head, Some(Task::AcceptOne | Task::AcceptMany));
                let placed = self.turn.place_free || !accepts;
                let could = match head {
                    Some(head) => lane.ready && !self.waits(lane, head, outstanding),
                    None => index == RECEIVE && conn.has_own_call() && !lane.pauses(self.now),
                };
                // What came in the middle of the turn is served in the next.
                passed_over.push((*id, index, placed && lane.due && could && !served));
            }
        }
        for (id, index, passed) in passed_over {
            let Some(lane) = self.lane(id, index) else { continue };
            lane.turns_passed_over = if passed { lane.turns_passed_over + 1 } else { 0 };
            let (turns, lanes) = (lane.turns_passed_over, self.lanes_max);
            self.ensure(turns <= lanes + 1, "K6", "passed-over", || {
                format!("{id} was passed over in {turns} turns; there were never more than {lanes} lanes")
            });
        }
    }

    /// Notes which lanes wait for a buffer, by the model's own word, and since when. Who has waited all the
    /// time saw no buffer go to somebody who has waited for a shorter one (B3).
    fn judge_parking<C>(&mut self, model: &Model<C>) {
        let lent = std::mem::take(&mut self.turn.lent);
        let mut passed_over = None;
        for (id, conn) in self.conns.iter_mut() {
            let lane = &mut conn.lanes[RECEIVE];
            let head = lane.queue.front().copied();
            let info = head.and_then(|head| model.op_info(self.ops[&head].id).ok());
            lane.holds = head.filter(|_| info.is_some_and(|info| info.lease));
            let parked = head.filter(|_| info.is_some_and(|info| info.place == Some(LanePlace::Parked)));
            let before = lane.parked.filter(|(of, _)| parked == Some(*of));
            lane.parked = before.or(parked.map(|head| (head, self.turns)));
            lane.in_line = parked.map(|_| lane.in_line.unwrap_or(self.turns));
            if let Some((head, since)) = before {
                let later = |(_, pool, waited): &&(_, usize, u64)| {
                    self.ops[&head].task.pool() == Some(*pool) && since < *waited
                };
                passed_over = passed_over.or(lent.iter().find(later).map(|(other, ..)| (*id, *other)));
            }
        }
        self.ensure(passed_over.is_none(), "B3", "parked-in-line", || {
            format!(
                "one waits for a buffer, and another has had one since, which came later: {passed_over:?}"
            )
        });
    }

    /// Notes which listeners wait for a place, by the model's own word, and since when.
    fn note_held<C>(&mut self, model: &Model<C>) {
        for (_, conn) in self.conns.iter_mut().filter(|(_, conn)| conn.kind == Kind::Listener) {
            let lane = &mut conn.lanes[RECEIVE];
            let head = lane.queue.front().and_then(|head| model.op_info(self.ops[head].id).ok());
            if head.is_some_and(|info| info.place == Some(LanePlace::Held)) {
                lane.held = lane.held.or(Some(self.turns));
            }
        }
    }

    /// An operation receives into a buffer of a pool. If it did not have one before, it was lent one in this
    /// turn.
    pub(super) fn note_lent(&mut self, conn: ConnId, pool: usize, receive: u64) {
        let turns = self.turns;
        let Some(lane) = self.lane(conn, RECEIVE) else { return };
        let waited = lane.in_line.take().unwrap_or(turns);
        lane.parked = None;
        if lane.holds.replace(receive) != Some(receive) {
            self.turn.lent.push((conn, pool, waited));
        }
    }

    /// Why a lane will never go on, if it will not.
    fn stuck(
        &self,
        id: ConnId,
        conn: &Conn,
        lane: usize,
        net: &Net,
        outstanding: usize,
    ) -> Option<Violation> {
        if let Phase::Closing { .. } = conn.phase {
            let what = format!("{id} is to be closed, and nothing is left to do");
            return Some(violation("K2", "close-goes-on", what));
        }
        let state = &conn.lanes[lane];
        if conn.ends_for().is_some() && lane == RECEIVE {
            if state.pauses(self.now) {
                return None;
            }
            let unseen = net.condition(id)?.receives() && !net.edge_debt(id, Direction::Receive);
            let waits = state.end.is_none() && !conn.has_own_call() && unseen;
            let what = || format!("{id} is {:?}, and what comes is not thrown away", conn.phase);
            return (conn.has_own_call() || waits).then(|| violation("K2", "linger-goes-on", what()));
        }
        let head = &self.ops[state.queue.front()?].task;
        if head.pool().is_some() && state.end_hinted && state.pause.is_none() {
            // An end that is all there is needs no buffer.
            let condition = net.condition(id)?;
            let told = condition.arrived || !(condition.ended || condition.error);
            if !told && !net.edge_debt(id, Direction::Receive) {
                let what =
                    format!("{head:?} on {id} waits for a buffer, and is not told that its peer has ended");
                return Some(violation("B3", "end-without-buffer", what));
            }
        }
        if self.waits(state, *head, outstanding) {
            return None;
        }
        if state.ready || *head == Task::Shutdown {
            let what = format!("{head:?} on {id} could go on, but nobody tries");
            return Some(match head {
                _ if state.freed => violation("K5", "freed-descriptor-used", what),
                _ if head.pool().is_some() => violation("B3", "parked-goes-on", what),
                _ => violation("K6", "ready-goes-on", what),
            });
        }
        let condition = net.condition(id)?;
        let (direction, kernel_ready) = match lane {
            RECEIVE => (Direction::Receive, condition.receives()),
            _ => (Direction::Send, condition.sends()),
        };
        if kernel_ready && !net.edge_debt(id, direction) {
            let what = format!("{head:?} on {id} waits for an event that will not come");
            return Some(violation("C6", "event-owed", what));
        }
        None
    }

    /// Everything that could end has ended: what is left could not.
    pub fn on_settled(&mut self, net: &Net) {
        let left = self
            .ops
            .iter()
            .find(|(_, op)| op.verdict.is_none())
            .map(|(context, op)| (*context, op.task, op.conn));
        let debt = left.map(|(_, _, conn)| (net.condition(conn), self.conns.get(&conn).map(|c| &c.lanes)));
        let what = format!("{left:?} never ends: {debt:?}");
        self.ensure(left.is_none(), "C1", "everything-ends", || what);
    }
}
