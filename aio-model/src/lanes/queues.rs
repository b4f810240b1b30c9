//! Where a lane stands: in the run queue, in one of those where it waits, or in none; and whose turn it is.

use super::{Lanes, is_held, is_parked, runs};
use crate::conn::Phase;
use crate::deadlines::{Deadlines, Owner};
use crate::id::PoolId;
use crate::lane::{Bits, Lane, LaneId, WaitsFor, Want, is_before};
use crate::lease::{CountedBy, Lease};
use crate::op::LaneOp;
use crate::queue::{Fate, QueueEntry};
use crate::time::Tick;

/// So many tickets after a lane has left a queue, its entry is gone at the latest: before tickets come round,
/// or it would count again for a lane that has the same one by then.
const TICKETS_KEPT: u32 = 1 << 28;

impl<C> Lanes<C> {
    /// Brings where a lane stands in line with its state.
    #[inline(never)]
    pub(super) fn reschedule(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        let conn = &self.conns[id.conn()];
        let lane = conn.lane(id.direction());
        let runnable = conn.is_runnable(id.direction());
        match (lane.wait(), lane.has(Bits::QUEUED)) {
            (WaitsFor::Nothing, false) if runnable => self.enter(id),
            (WaitsFor::Nothing, false) | (WaitsFor::Outcome, _) => {}
            (WaitsFor::Nothing, true) if runnable && self.lacks_place(id) => {
                self.leave_run(id);
                self.hold(id);
            }
            (_, _) if runnable => {}
            (_, _) => self.leave(id, deadlines),
        }
    }

    /// A lane that stands nowhere has something to attempt. An accept that there is no place for is held at
    /// once (K6).
    pub(super) fn enter(&mut self, id: LaneId) {
        if self.lacks_place(id) {
            return self.hold(id);
        }
        if let Some(LaneOp::Accept { .. }) = self.lane(id).next_kind() {
            let lane = self.conns[id.conn()].lane_mut(id.direction());
            if !lane.has(Bits::LISTED) {
                lane.set(Bits::LISTED);
                self.accepting.push(id);
            }
        }
        self.enter_run(id);
    }

    /// Whether a lane is to accept a connection that there is no place for.
    pub(super) fn lacks_place(&self, id: LaneId) -> bool {
        let conn = &self.conns[id.conn()];
        match conn.lane(id.direction()).next_kind() {
            Some(LaneOp::Accept { many }) => conn.phase() == Phase::Open && !self.may_accept(many),
            _ => false,
        }
    }

    fn enter_run(&mut self, id: LaneId) {
        let ticket = self.next_ticket();
        self.conns[id.conn()].lane_mut(id.direction()).enter_run(ticket);
        let conns = &self.conns;
        self.run.push(QueueEntry { lane: id, ticket }, counts!(conns, runs));
    }

    #[inline]
    fn next_ticket(&mut self) -> u32 {
        let ticket = self.ticket;
        self.ticket = ticket.wrapping_add(1);
        ticket
    }

    /// There is no place for what a lane would accept: it steps aside until there is.
    #[cold]
    fn hold(&mut self, id: LaneId) {
        let ticket = self.next_ticket();
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        lane.set_wait(WaitsFor::Place);
        lane.set_ticket(ticket);
        let conns = &self.conns;
        let held = self.held.push(QueueEntry { lane: id, ticket }, counts!(conns, is_held));
        debug_assert!(held, "room was made with the listener");
    }

    /// There is no place left, or no credit: the accepts in the run queue that needed it are held, in the
    /// order in which they stand there; the lane that has taken it, or that is in the middle of its share of
    /// the round, comes last.
    #[cold]
    pub(super) fn hold_all(&mut self, last: Option<LaneId>) {
        let now = self.ticket;
        let mut lanes = core::mem::take(&mut self.accepting);
        lanes.retain(|id| {
            let lane = self.conns[id.conn()].lane_mut(id.direction());
            lane.put(Bits::LISTED, lane.has(Bits::QUEUED));
            lane.has(Bits::LISTED)
        });
        let comes_last = |id: LaneId| {
            let ticket = self.lane(id).ticket();
            Some(id) == last || self.served.is_some_and(|served| served.lane == id && served.ticket == ticket)
        };
        lanes.sort_unstable_by_key(|id| (comes_last(*id), self.lane(*id).ticket().wrapping_sub(now)));
        for id in &lanes {
            if self.lacks_place(*id) {
                self.leave_run(*id);
                self.hold(*id);
            }
        }
        self.accepting = lanes;
    }

    /// A place or a credit has become free: the accepts that waited for one try again, in the order in which
    /// they came.
    #[inline]
    pub(crate) fn release_held(&mut self) {
        if self.held.len() > 0 && self.has_place() {
            self.release_all();
        }
    }

    #[cold]
    fn release_all(&mut self) {
        let mut held = core::mem::take(&mut self.held);
        held.sort_out(|entry| {
            let conns = &self.conns;
            if !counts!(conns, is_held)(entry) {
                return Fate::CountsNoMore;
            }
            match self.lane(entry.lane).next_kind() {
                Some(LaneOp::Accept { many }) if !self.may_accept(many) => Fate::Stays,
                _ => {
                    self.conns[entry.lane.conn()]
                        .lane_mut(entry.lane.direction())
                        .set_wait(WaitsFor::Nothing);
                    self.enter(entry.lane);
                    Fate::Leaves
                }
            }
        });
        self.held = held;
    }

    /// Whether another completion has a place to wait in, from now on.
    #[cold]
    pub(crate) fn set_credit_left(&mut self, left: bool, by: Option<LaneId>) {
        self.credit_left = left;
        if left { self.release_held() } else { self.hold_all(by) }
    }

    /// A pool has no buffer for a lane: it steps aside until one comes home. Returns whether there was memory
    /// for that.
    #[cold]
    pub(crate) fn park(&mut self, id: LaneId, pool: PoolId) -> bool {
        let ticket = self.next_ticket();
        let conns = &self.conns;
        let parked =
            self.parked[pool.index()].push(QueueEntry { lane: id, ticket }, counts!(conns, is_parked(pool)));
        if parked {
            self.leave_run(id);
            let lane = self.conns[id.conn()].lane_mut(id.direction());
            lane.set_wait(WaitsFor::Buffer);
            lane.set_ticket(ticket);
        }
        parked
    }

    /// A lane may have come to wait for a buffer, or for one of its leases, or an event has hinted at its
    /// end: if both is so, it is asked for that, without a buffer. Where there is no memory to note it, it is
    /// not told before it has one.
    pub(crate) fn hint(&mut self, id: LaneId) {
        if self.is_hinted(id) && self.hinted.try_reserve(1).is_ok() {
            self.hinted.push_back(QueueEntry { lane: id, ticket: self.ticket });
            self.set_usual_round();
        }
    }

    /// While a lane is to be asked for its end, nothing is usual: its turn may come first.
    pub(super) fn set_usual_round(&mut self) {
        self.usual_round = if self.hinted.is_empty() { self.round } else { self.tidied };
    }

    fn is_hinted(&self, id: LaneId) -> bool {
        let lane = self.conns.at(id.conn()).map(|conn| conn.lane(id.direction()));
        let waits = |lane: &Lane<C>| matches!(lane.wait(), WaitsFor::Buffer | WaitsFor::Lease);
        lane.is_some_and(|lane| waits(lane) && lane.has(Bits::END_HINTED))
    }

    /// Whether a lane may have to be asked whether it has come to its end.
    #[inline(always)]
    pub(crate) fn has_hinted(&self) -> bool {
        !self.hinted.is_empty()
    }

    /// The lanes that may have to be asked whether they have come to their end.
    pub(crate) fn hinted(&self) -> impl Iterator<Item = LaneId> {
        self.hinted.iter().map(|entry| entry.lane).filter(|id| self.is_hinted(*id))
    }

    /// The next lane that is to be asked whether it has come to its end, if that is so and it came before the
    /// lane whose turn it is: neither those that are asked nor those that run keep the others waiting (K6).
    pub(crate) fn next_hinted(&mut self) -> Option<LaneId> {
        while let Some(&QueueEntry { lane: id, ticket }) = self.hinted.front() {
            let counts = self.is_hinted(id);
            if counts && self.up().is_some_and(|up| is_before(up.ticket, ticket)) {
                return None;
            }
            self.hinted.pop_front();
            self.set_usual_round();
            if counts {
                return Some(id);
            }
        }
        None
    }

    /// The operation at the head of a lane has as many leases out as it may: the lane steps aside until one
    /// is returned.
    #[cold]
    pub(crate) fn await_lease(&mut self, id: LaneId) {
        self.leave_run(id);
        self.conns[id.conn()].lane_mut(id.direction()).set_wait(WaitsFor::Lease);
        self.leases_awaited += 1;
        self.hint(id);
    }

    /// The operation at the head of a receive lane counts another lease, until that is home.
    pub(crate) fn count_lease(&mut self, id: LaneId, lease: &mut Lease) {
        let conn = &mut self.conns[id.conn()];
        let serial = conn.lane(id.direction()).next().expect("an operation is at the head").serial;
        conn.leases_out += 1;
        lease.count(CountedBy { lane: id.index(), serial });
    }

    /// A lease is home that an operation has counted, which perhaps has ended since.
    pub(crate) fn on_counted_home(
        &mut self,
        CountedBy { lane, serial }: CountedBy,
        deadlines: &mut Deadlines,
    ) {
        let id = LaneId::from_index(lane);
        let Some((_, conn)) = self.conns.at_mut(id.conn()) else { return };
        let lane = conn.lane(id.direction());
        if lane.head.as_ref().is_none_or(|head| head.serial != serial || head.is_ended()) {
            return;
        }
        let waits = lane.wait() == WaitsFor::Lease;
        conn.leases_out -= 1;
        if waits {
            self.go_on(id, deadlines);
        }
    }

    /// One of the leases that a lane has waited for is home.
    #[cold]
    fn go_on(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        self.leave(id, deadlines);
        self.reschedule(id, deadlines);
    }

    /// The lane that has waited longest for a buffer of a pool.
    pub(crate) fn first_parked(&mut self, pool: PoolId) -> Option<LaneId> {
        let conns = &self.conns;
        self.parked[pool.index()].front(counts!(conns, is_parked(pool)))
    }

    /// A buffer of its pool is set aside for a lane.
    pub(crate) fn grant(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        if self.lane(id).wait() == WaitsFor::Buffer {
            self.leave(id, deadlines);
        }
        self.change(id, deadlines, |lane| lane.set(Bits::GRANTED));
    }

    /// Pauses a lane, until `at`, and tells how many pauses there have been in a row, this one included.
    pub(crate) fn pause(
        &mut self,
        id: LaneId,
        want: Want,
        exponent_max: u8,
        now: Tick,
        deadlines: &mut Deadlines,
    ) -> u8 {
        self.leave(id, deadlines);
        let makes_no_call = !self.conns[id.conn()].is_runnable(id.direction());
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        if makes_no_call {
            // A last attempt did not get to see whether there is anything: the next one need not wait for an
            // event.
            lane.set(Bits::READY);
        }
        let pause = 1 << lane.row().pauses().min(exponent_max);
        lane.row_mut().pause();
        let row = lane.row().pauses();
        lane.set_wait(WaitsFor::Pause(want));
        lane.set_pause_timer(deadlines.arm_at(Tick(now.0 + pause), Owner::Pause(id)));
        self.pausing += 1;
        if let Want::Descriptor { served } = want {
            self.short[usize::from(served)].push_back(id);
        }
        row
    }

    /// The timer of a lane's pause has fired, and is no more.
    pub(crate) fn on_pause_over(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        self.end_pause(id);
        self.reschedule(id, deadlines);
    }

    fn end_pause(&mut self, id: LaneId) {
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        if let WaitsFor::Pause(want) = lane.wait() {
            lane.set_wait(WaitsFor::Nothing);
            self.pausing -= 1;
            if let Want::Descriptor { served } = want {
                self.short[usize::from(served)].retain(|short| *short != id);
            }
        }
    }

    /// Ends the pause of a lane before its time, if it pauses.
    pub(crate) fn cut_pause(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        if let WaitsFor::Pause(_) = self.lane(id).wait() {
            self.leave(id, deadlines);
        }
    }

    /// A descriptor was closed: the lanes that pause for want of one try again, without a wait.
    pub(crate) fn on_descriptor_closed(&mut self, deadlines: &mut Deadlines) {
        while let Some(id) = self.short.iter().find_map(|short| short.front().copied()) {
            self.leave(id, deadlines);
            self.reschedule(id, deadlines);
        }
    }

    /// Takes a lane out of whatever queue it is in.
    pub(crate) fn leave(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        let lane = self.lane(id);
        match lane.wait() {
            WaitsFor::Nothing if lane.has(Bits::QUEUED) => self.leave_run(id),
            WaitsFor::Nothing | WaitsFor::Outcome => {}
            WaitsFor::Place => {
                self.held.left();
                self.conns[id.conn()].lane_mut(id.direction()).set_wait(WaitsFor::Nothing);
            }
            WaitsFor::Buffer => {
                if let Some(pool) = lane.next_kind().and_then(LaneOp::pool) {
                    self.parked[pool.index()].left();
                }
                self.conns[id.conn()].lane_mut(id.direction()).set_wait(WaitsFor::Nothing);
            }
            WaitsFor::Lease => {
                self.leases_awaited -= 1;
                self.conns[id.conn()].lane_mut(id.direction()).set_wait(WaitsFor::Nothing);
            }
            WaitsFor::Pause(_) => {
                deadlines.cancel(lane.pause_timer());
                self.end_pause(id);
            }
        }
    }

    #[inline]
    fn leave_run(&mut self, id: LaneId) {
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        if lane.has(Bits::QUEUED) {
            lane.clear(Bits::QUEUED);
            self.run.left();
        }
    }

    /// Begins a round: those that stand in the run queue now are up in it.
    pub(crate) fn begin_round(&mut self) {
        self.round = self.ticket;
        self.served = None;
        if self.ticket.wrapping_sub(self.tidied) >= TICKETS_KEPT {
            self.tidy_queues();
        }
        self.set_usual_round();
    }

    /// Removes the entries that do not count from all queues.
    #[cold]
    #[inline(never)]
    pub(super) fn tidy_queues(&mut self) {
        let conns = &self.conns;
        self.run.tidy(counts!(conns, runs));
        self.held.tidy(counts!(conns, is_held));
        for (index, parked) in (0..).zip(&mut self.parked) {
            parked.tidy(counts!(conns, is_parked(PoolId::new(index))));
        }
        self.tidied = self.ticket;
    }

    /// A lane is served.
    pub(crate) fn on_served(&mut self, entry: QueueEntry) {
        self.served = Some(entry);
    }

    /// The lane whose turn it is, if one is left in this round.
    #[inline]
    pub(crate) fn up(&mut self) -> Option<QueueEntry> {
        loop {
            let entry = self.run.front()?;
            let conns = &self.conns;
            if counts!(conns, runs)(entry) {
                return is_before(entry.ticket, self.round).then_some(entry);
            }
            self.run.pass();
        }
    }

    /// A lane has had its share: if it still stands at the front, it goes to the back.
    #[cold]
    #[inline(never)]
    pub(crate) fn rotate(&mut self, QueueEntry { lane: id, ticket }: QueueEntry) {
        let conns = &self.conns;
        if counts!(conns, runs)(QueueEntry { lane: id, ticket }) {
            self.leave_run(id);
            self.enter_run(id);
        }
    }
}
