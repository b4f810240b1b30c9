//! Operations come and go: those at the head of a lane, those behind it, and those that have ended and
//! whose completions are not taken.

use super::Lanes;
use crate::completion::Done;
use crate::deadlines::Deadlines;
use crate::extra::{Carried, EndedOp, QueuedOp};
use crate::id::{PoolId, Serial};
use crate::lane::{Bits, Direction, LaneId, WaitsFor};
use crate::op::{LaneOp, Op};
use crate::timers::TimerId;
use crate::transfer::Transfer;

/// Which operation of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    Head,
    /// So many before it stand behind the head.
    Behind(usize),
}

/// An operation that was taken out of its lane.
pub(crate) struct Taken<C> {
    pub(crate) op: Op<C>,
    pub(crate) load: Carried,
    /// The pool that a buffer was set aside in for it.
    pub(crate) granted: Option<PoolId>,
}

impl<C> Lanes<C> {
    /// Where a queued operation stands in a lane.
    pub(crate) fn find(&self, id: LaneId, serial: Serial) -> Option<Position> {
        let conn = self.conns.at(id.conn())?;
        if conn.lane(id.direction()).next().is_some_and(|op| op.serial == serial) {
            return Some(Position::Head);
        }
        let behind = &conn.extra()?.behind[id.direction() as usize];
        behind.binary_search_by_key(&serial, |queued| queued.op.serial).ok().map(Position::Behind)
    }

    /// Where the operation stands in a lane that a timer is of.
    pub(crate) fn find_timer(&self, id: LaneId, timer: TimerId) -> Option<Position> {
        let conn = self.conns.at(id.conn())?;
        if conn.lane(id.direction()).head.as_ref().is_some_and(|op| op.timer() == Some(timer)) {
            return Some(Position::Head);
        }
        let mut behind = conn.extra()?.behind[id.direction() as usize].iter();
        behind.position(|queued| queued.op.timer() == Some(timer)).map(Position::Behind)
    }

    /// The operation at a position, and what it carries.
    pub(crate) fn op(&self, id: LaneId, position: Position) -> (&Op<C>, Option<&Transfer>) {
        let conn = &self.conns[id.conn()];
        match position {
            Position::Head => {
                let op = conn.lane(id.direction()).next().expect("an operation is at the head");
                (op, conn.transfer(id.direction()))
            }
            Position::Behind(index) => {
                let extra = conn.extra().expect("an operation is behind the head");
                let queued = &extra.behind[id.direction() as usize][index];
                (&queued.op, queued.load.transfer())
            }
        }
    }

    fn op_mut(&mut self, id: LaneId, position: Position) -> &mut Op<C> {
        let conn = &mut self.conns[id.conn()];
        let op = match position {
            Position::Head => conn.lane_mut(id.direction()).head.as_mut(),
            Position::Behind(index) => {
                conn.extra_mut().map(|extra| &mut extra.behind[id.direction() as usize][index].op)
            }
        };
        op.expect("the operation is in its lane")
    }

    /// Whether there is what lies apart of a connection, or memory for it.
    pub(crate) fn has_extra(&mut self, conn: u32) -> bool {
        let state = &mut self.conns[conn];
        if state.extra.is_none() {
            state.extra = self.spares.take();
        }
        self.conns[conn].extra.is_some()
    }

    /// Whether there is memory to queue another operation in a lane, and to keep the completions of all that
    /// are.
    pub(crate) fn has_room_for_op(&mut self, id: LaneId, carries: bool) -> bool {
        let state = &self.conns[id.conn()];
        let lane = state.lane(id.direction());
        let carries = carries && id.direction() == Direction::Receive;
        let alone = lane.head.is_none()
            && state.extra().is_none_or(|extra| extra.ended[id.direction() as usize].is_empty());
        if alone && !carries {
            return true;
        }
        let queued = state.queued(id.direction()) as usize;
        let waits = usize::from(lane.has(Bits::ENDED_HEAD));
        let has_room = self.has_extra(id.conn())
            && self.conns[id.conn()].extra_mut().is_some_and(|extra| {
                let index = id.direction() as usize;
                (alone || extra.ended[index].try_reserve(queued + 1 + waits).is_ok())
                    && (queued == 0 || extra.behind[index].try_reserve(1).is_ok())
            });
        if !has_room {
            self.tidy(id.conn());
        }
        has_room
    }

    /// Whether there is memory to keep a completion of a lane that comes with something, and those of all
    /// that are queued.
    #[cold]
    pub(crate) fn has_room_for_completion(&mut self, id: LaneId) -> bool {
        let queued = self.conns[id.conn()].queued(id.direction()) as usize;
        let has_room = self.has_extra(id.conn())
            && self.conns[id.conn()]
                .extra_mut()
                .is_some_and(|extra| extra.ended[id.direction() as usize].try_reserve(queued + 1).is_ok());
        if !has_room {
            self.tidy(id.conn());
        }
        has_room
    }

    /// Puts an operation at the back of a lane, for which [there is room](Lanes::has_room_for_op).
    pub(crate) fn push(&mut self, id: LaneId, op: Op<C>, mut load: Carried, deadlines: &mut Deadlines) {
        if let Carried::Transfer(transfer) = &mut load {
            transfer.begin();
        }
        self.move_ended_head(id);
        let conn = &mut self.conns[id.conn()];
        let direction = id.direction();
        if op.kind == LaneOp::Shutdown {
            conn.lane_mut(direction).set(Bits::SHUTTING);
        }
        if conn.lane(direction).head.is_none() {
            conn.put_load(direction, load);
            conn.lane_mut(direction).head = Some(op);
        } else {
            let extra = conn.extra_mut().expect("room was made");
            let queued = QueuedOp { op, load };
            extra.bytes_behind += queued.bytes_to_send();
            extra.behind[direction as usize].push_back(queued);
            conn.lane_mut(direction).set(Bits::MORE);
        }
        self.reschedule(id, deadlines);
    }

    /// Makes room at the head of a lane, if an operation that has ended is there.
    fn move_ended_head(&mut self, id: LaneId) {
        if self.lane(id).has(Bits::ENDED_HEAD)
            && let Some(ended) = self.take_ended_head(id)
        {
            let extra = self.conns[id.conn()].extra_mut().expect("room was made");
            extra.ended[id.direction() as usize].push_back(ended);
        }
    }

    /// Takes an operation out of its lane, and with it its timer. The next one moves up.
    pub(crate) fn take(&mut self, id: LaneId, position: Position, deadlines: &mut Deadlines) -> Taken<C> {
        let direction = id.direction();
        let taken = match position {
            Position::Head => {
                self.leave_with_head(id, deadlines);
                let conn = &mut self.conns[id.conn()];
                let load = conn.take_load(direction);
                let lane = conn.lane_mut(direction);
                let op = lane.head.take().expect("an operation is at the head");
                if op.kind == LaneOp::Shutdown {
                    lane.clear(Bits::SHUTTING);
                }
                let granted = op.kind.pool().filter(|_| lane.has(Bits::GRANTED));
                lane.clear(Bits::GRANTED);
                if let LaneOp::RecvMany(..) = op.kind {
                    conn.leases_out = 0;
                }
                if op.kind == LaneOp::Connect
                    && let Some(extra) = conn.extra_mut()
                {
                    extra.target = None;
                }
                self.move_up(id);
                Taken { op, load, granted }
            }
            Position::Behind(index) => {
                let extra = self.conns[id.conn()].extra_mut().expect("an operation is behind the head");
                let behind = &mut extra.behind[direction as usize];
                let queued = behind.remove(index).expect("there are as many");
                extra.bytes_behind -= queued.bytes_to_send();
                let QueuedOp { op, load } = queued;
                let more = !behind.is_empty();
                let lane = self.conns[id.conn()].lane_mut(direction);
                lane.put(Bits::MORE, more);
                if op.kind == LaneOp::Shutdown {
                    lane.clear(Bits::SHUTTING);
                }
                Taken { op, load, granted: None }
            }
        };
        deadlines.cancel(taken.op.timer());
        if self.conns[id.conn()].extra().is_some_and(|extra| !extra.renewals.is_empty()) {
            self.set_renewal(id.conn(), taken.op.serial, None);
        }
        self.reschedule(id, deadlines);
        taken
    }

    /// The first of the operations behind the head moves up to it.
    fn move_up(&mut self, id: LaneId) {
        let (conn, direction) = (&mut self.conns[id.conn()], id.direction());
        if !conn.lane(direction).has(Bits::MORE) {
            return;
        }
        let extra = conn.extra_mut().expect("operations are behind the head");
        let behind = &mut extra.behind[direction as usize];
        let Some(queued) = behind.pop_front() else { return };
        extra.bytes_behind -= queued.bytes_to_send();
        let QueuedOp { op, load } = queued;
        let more = !behind.is_empty();
        conn.put_load(direction, load);
        let lane = conn.lane_mut(direction);
        lane.head = Some(op);
        lane.put(Bits::MORE, more);
    }

    /// What a lane waits for, it waits for on behalf of its head, which is about to go. If the next operation
    /// wants the same, the lane keeps its place in the line (B3, K6).
    fn leave_with_head(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        let conn = &self.conns[id.conn()];
        let behind = conn.extra().and_then(|extra| extra.behind[id.direction() as usize].front());
        let (lane, next) = (conn.lane(id.direction()), behind.map(|queued| queued.op.kind));
        let stays = match (lane.wait(), next) {
            (WaitsFor::Buffer, Some(next)) => lane.next_kind().and_then(LaneOp::pool) == next.pool(),
            (WaitsFor::Place, Some(LaneOp::Accept { many })) => !self.may_accept(many),
            (WaitsFor::Buffer | WaitsFor::Place | WaitsFor::Lease, _) => false,
            (WaitsFor::Nothing | WaitsFor::Pause(_) | WaitsFor::Outcome, _) => true,
        };
        if !stays {
            self.leave(id, deadlines);
        }
    }

    /// Replaces the timer of an operation.
    pub(crate) fn set_timer(&mut self, id: LaneId, position: Position, timer: Option<TimerId>) {
        self.op_mut(id, position).set_timer(timer);
    }

    /// Keeps a completion of a lane until it is taken: in the lane itself, if it can, or else where
    /// [room was made](Lanes::has_room_for_op) for it.
    pub(crate) fn keep(&mut self, id: LaneId, ended: EndedOp<C>) {
        let (conn, direction) = (&mut self.conns[id.conn()], id.direction());
        let first = conn.extra().is_none_or(|extra| extra.ended[direction as usize].is_empty());
        let fits = !matches!(ended.result, Ok(Done::Accepted(_)))
            && !ended.more
            && (ended.buffer.is_none() || direction == Direction::Send || conn.extra.is_some());
        if first && fits && conn.lane(direction).head.is_none() {
            let EndedOp { serial, context, buffer, moved, result, .. } = ended;
            if !buffer.is_none() {
                conn.put_load(direction, Carried::Transfer(Transfer::over(buffer, moved)));
            }
            let lane = conn.lane_mut(direction);
            lane.head = Some(Op::ended(serial, context, result));
            lane.set(Bits::ENDED_HEAD);
            return;
        }
        let extra = conn.extra_mut().expect("room was made");
        extra.ended[direction as usize].push_back(ended);
    }

    /// Takes the completion of a lane that has waited longest.
    pub(crate) fn take_ended(&mut self, id: LaneId) -> Option<EndedOp<C>> {
        let kept = self.conns[id.conn()].extra_mut();
        let kept = kept.and_then(|extra| extra.ended[id.direction() as usize].pop_front());
        kept.or_else(|| if self.lane(id).has(Bits::ENDED_HEAD) { self.take_ended_head(id) } else { None })
    }

    fn take_ended_head(&mut self, id: LaneId) -> Option<EndedOp<C>> {
        let (conn, direction) = (&mut self.conns[id.conn()], id.direction());
        let transfer = conn.take_load(direction).into_transfer();
        let lane = conn.lane_mut(direction);
        lane.clear(Bits::ENDED_HEAD);
        let op = lane.head.take()?;
        let result = op.result()?;
        let Op { serial, context, .. } = op;
        let moved = transfer.moved();
        Some(EndedOp { serial, context, buffer: transfer.into_buffer(), moved, result, more: false })
    }
}
