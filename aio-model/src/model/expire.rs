//! What has reached its deadline ends, after a last attempt (T1, T2).

use crate::completion::{Done, OpError};
use crate::conn::Phase;
use crate::deadlines::Owner;
use crate::id::Serial;
use crate::lane::{Bits, Direction, LaneId, WaitsFor};
use crate::lanes::Position;
use crate::model::Model;
use crate::op::LaneOp;
use crate::system::{Outcome, Perform, Syscall};
use crate::time::Tick;
use crate::timers::TimerId;

impl<C> Model<C> {
    /// Ends the next of what has expired by the time last told, in the order of deadlines, if the turn's
    /// budget has room for it (K6). The operation at the head of its lane gets a last attempt, for which
    /// `perform` is called as by [`attempt`](Model::attempt), unless it waits for a buffer or a place; if
    /// that does not complete it, it ends with [`Deadline`](OpError::Deadline). Returns whether there was
    /// one; what is left then is for the next turns.
    pub fn expire(&mut self, perform: impl FnOnce(Syscall<'_>) -> Outcome) -> bool {
        self.expire_by(perform)
    }

    /// [`expire`](Model::expire).
    #[inline]
    pub(crate) fn expire_by(&mut self, perform: impl Perform) -> bool {
        let now = self.now.tick_floor();
        let due = self.deadlines.peek_due(now);
        self.round.set_overdue(due.is_some());
        match due {
            Some((timer, owner)) if self.round.has_room_for_expiry() => {
                self.expire_next(now, timer, owner, perform);
                true
            }
            _ => false,
        }
    }

    #[cold]
    fn expire_next(&mut self, now: Tick, timer: TimerId, owner: Owner, perform: impl Perform) {
        // The last attempt of an accept that goes on completes with this, if it does. Whatever the user's
        // code for that does, nothing has happened yet (C7).
        let mut spare = match owner {
            Owner::Op(id) => self.spare_for_last_attempt(id, timer),
            Owner::Idle(conn) => self.spare_for_last_look(conn),
            _ => None,
        };
        // No code of the user's from here on.
        self.round.count_expiry();
        self.deadlines.pop_due(now);
        match owner {
            Owner::Op(id) => self.expire_op(id, timer, &mut spare, perform),
            Owner::Pause(id) => self.lanes.on_pause_over(id, &mut self.deadlines),
            Owner::Pool(pool) => self.on_retry(pool),
            Owner::Sleep(index) => {
                self.own.set_timer(index, None);
                self.end_sleep(index, Ok(Done::Elapsed));
            }
            Owner::Idle(conn) => self.expire_idle(conn, &mut spare, perform),
            Owner::Close(conn) => {
                if let Some(closing) = self.lanes.closing_mut(conn) {
                    closing.timer = None;
                }
                self.attempt_last_of(conn, perform);
                self.cut_short(conn);
            }
            Owner::End(conn) => {
                self.lanes.set_end_timer(conn, None);
                self.attempt_last_of(conn, perform);
                // The peer may have been seen to take something, by that: then it has its time anew.
                if self.lanes.conn(conn).end_timer.is_none() {
                    self.cut_short(conn);
                }
            }
        }
    }

    fn expire_op(&mut self, id: LaneId, timer: TimerId, spare: &mut Option<C>, perform: impl Perform) {
        let Some(position) = self.lanes.find_timer(id, timer) else { return };
        let serial = self.lanes.op(id, position).0.serial;
        self.lanes.set_timer(id, position, None);
        if self.put_off(id, serial) {
            return;
        }
        if position == Position::Head {
            self.attempt_last(id, spare, perform);
        }
        self.drop_unused_grant(id);
        if let Some(position) = self.lanes.find(id, serial)
            && !self.put_off(id, serial)
        {
            self.metrics.on_expired();
            self.end_early(id, position, OpError::Deadline);
        }
    }

    /// A last attempt that was interrupted has left its lane the buffer, which is of no use to it unless it
    /// is ready.
    pub(super) fn drop_unused_grant(&mut self, id: LaneId) {
        // A connect that has failed has left nothing.
        let Some(lane) = self.lanes.at(id.conn()).map(|conn| conn.lane(id.direction())) else { return };
        if lane.has(Bits::GRANTED)
            && !lane.has(Bits::QUEUED)
            && let Some(pool) = lane.next_kind().and_then(LaneOp::pool)
        {
            self.lanes.change(id, &mut self.deadlines, |lane| lane.clear(Bits::GRANTED));
            self.take_grant_back(pool);
        }
    }

    /// Arms the deadline of an operation anew, if its lane has made progress that puts it off. Returns
    /// whether it did.
    fn put_off(&mut self, id: LaneId, serial: Serial) -> bool {
        let renewed = self.lanes.renewed(id, serial).filter(|at| at.tick_ceil() > self.now.tick_floor());
        if let (Some(at), Some(position)) = (renewed, self.lanes.find(id, serial)) {
            let timer = self.deadlines.arm(at, Owner::Op(id));
            self.lanes.set_timer(id, position, timer);
            if timer.is_none() {
                self.lanes.set_renewal(id.conn(), serial, None);
                self.lanes.tidy(id.conn());
            }
        }
        renewed.is_some()
    }

    /// The last attempt for an operation whose deadline has come: at the head of its lane, whatever is
    /// believed of the kernel, unless it waits for a buffer or a place. Nobody may have looked since the
    /// kernel became ready: the thread was busy or stopped, the wait was interrupted or left out, or took in
    /// the events of others (T2).
    pub(super) fn attempt_last(&mut self, id: LaneId, spare: &mut Option<C>, perform: impl Perform) {
        if self.waits_for_something(id) {
            return;
        }
        let kind = self.lanes.lane(id).next_kind();
        let lease = match kind.and_then(LaneOp::pool) {
            Some(pool) => match self.buffer_for(id, pool) {
                None if self.pools.of(pool).is_refused() => return self.ask_again(pool),
                None => return,
                Some(lease) if !self.has_room_to_complete(id) => return self.give_back_lease(lease),
                lease => lease,
            },
            _ => None,
        };
        self.lanes.cut_pause(id, &mut self.deadlines);
        self.metrics.on_attempt();
        match (lease, kind) {
            (Some(lease), _) => self.receive_pooled(id, lease, spare, perform),
            (_, Some(LaneOp::Send)) => self.send(id, perform),
            (_, Some(LaneOp::Accept { .. })) => self.accept(id, spare, perform),
            (_, Some(LaneOp::Recv { exact })) => self.receive(id, exact, perform),
            (_, Some(LaneOp::Connect)) => self.connect(id, perform),
            (_, Some(LaneOp::Shutdown)) => self.shut_down_write(id, perform),
            (_, Some(LaneOp::Wait)) => self.wait(id, perform),
            (_, Some(LaneOp::RecvPooled(_) | LaneOp::RecvMany(..) | LaneOp::Ended(_)) | None) => {}
        }
    }

    /// Whether a lane waits for a buffer, a place, memory, a lease, or an outcome.
    pub(super) fn waits_for_something(&mut self, id: LaneId) -> bool {
        let (wait, kind) = (self.lanes.lane(id).wait(), self.lanes.lane(id).next_kind());
        match (wait, kind) {
            (WaitsFor::Buffer | WaitsFor::Place | WaitsFor::Outcome | WaitsFor::Lease, _) => true,
            // What there is no memory for is waited for, too.
            (_, Some(LaneOp::Accept { many })) => {
                !(self.lanes.may_accept(many) && self.has_room_to_accept(id, many))
            }
            (_, Some(LaneOp::RecvMany(..))) => {
                self.lanes.conn(id.conn()).has_all_leases_out() || !self.has_room_to_go_on()
            }
            _ => false,
        }
    }

    fn spare_for_last_attempt(&mut self, id: LaneId, timer: TimerId) -> Option<C> {
        let is_head = self.lanes.find_timer(id, timer) == Some(Position::Head);
        let serial = self.lanes.lane(id).next().map(|op| op.serial);
        let renewed = serial.and_then(|serial| self.lanes.renewed(id, serial));
        let is_put_off = renewed.is_some_and(|at| at.tick_ceil() > self.now.tick_floor());
        if !is_head || is_put_off || self.waits_for_something(id) {
            return None;
        }
        self.spare_context(id)
    }

    /// The last attempt for a connection that flushes or lingers, and whose time is up: for the send that is
    /// not done, or at what the peer has sent, so that a clean end is not missed because nobody looked.
    fn attempt_last_of(&mut self, conn: u32, perform: impl Perform) {
        let phase = self.lanes.conn(conn).phase();
        if phase == Phase::Flushing {
            let id = LaneId::send(conn);
            if self.lanes.conn(conn).queued(Direction::Send) > 0 {
                self.attempt_last(id, &mut None, perform);
            }
        } else if phase.is_lingering() {
            let id = LaneId::receive(conn);
            self.lanes.cut_pause(id, &mut self.deadlines);
            self.metrics.on_attempt();
            self.attempt_close_step(id, perform);
        }
    }
}
