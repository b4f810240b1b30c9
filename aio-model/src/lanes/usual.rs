//! What is usual: a lane with one operation, or none, where nothing is out of the ordinary. It is looked up
//! once.

use super::Lanes;
use crate::conn::Conn;
use crate::id::{ConnId, Serial};
use crate::lane::{Bits, Direction, LaneId, Moved};
use crate::op::{CloneContext, LaneOp, Op};
use crate::queue::{QueueEntry, RunQueue};
use crate::system::Rearm;
use crate::time::Instant;
use crate::transfer::Transfer;

impl<C> Lanes<C> {
    /// The lane whose turn it is, if nothing about it is out of the ordinary.
    #[inline(always)]
    pub(crate) fn front(&mut self) -> Option<Front<'_, C>> {
        let entry = self.run.front()?;
        let round = self.usual_round;
        match self.conns.at_mut(entry.lane.conn()) {
            Some((key, conn)) if conn.lane(entry.lane.direction()).is_usual_at(entry.ticket, round) => {
                Some(Front { entry, id: ConnId::new(key, self.realm), conn, run: &mut self.run })
            }
            _ => None,
        }
    }

    /// A lane of an open stream that is empty, and where nothing is out of the ordinary.
    #[inline(always)]
    pub(crate) fn empty_lane(&mut self, id: ConnId, direction: Direction) -> Option<EmptyLane<'_, C>> {
        let conn = self.conns.get_mut(id.key())?;
        let lane = conn.lane(direction);
        let keeps = conn.extra().is_some_and(|extra| !extra.ended[direction as usize].is_empty());
        let usual =
            lane.head.is_none() && !lane.has(Bits::UNUSUAL_TO_SUBMIT) && !keeps && self.run.has_space();
        if !usual {
            return None;
        }
        let id = LaneId::new(id.index(), direction);
        Some(EmptyLane { id, conn, run: &mut self.run, ticket: &mut self.ticket })
    }
}

/// A lane whose turn it is, and where nothing is out of the ordinary but for its operation, perhaps.
pub(crate) struct Front<'a, C> {
    pub(crate) entry: QueueEntry,
    pub(crate) id: ConnId,
    pub(crate) conn: &'a mut Conn<C>,
    run: &'a mut RunQueue,
}

impl<C> Front<'_, C> {
    /// What the operation at the head of the lane has to do.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Option<LaneOp> {
        self.conn.lane(self.entry.lane.direction()).head.as_ref().map(|op| op.kind)
    }

    /// Bytes were moved, and with them the operation at the head, which is the only one, has done what it was
    /// to do: it is taken out, and the lane leaves the run queue.
    #[inline(always)]
    pub(crate) fn take_done(self, direction: Direction, moved: Moved, rearm: Rearm, now: Instant) -> Op<C> {
        self.conn.last_progress = now;
        let lane = self.conn.lane_mut(direction);
        lane.on_transfer(moved, rearm);
        lane.clear(Bits::QUEUED);
        self.run.left();
        self.run.pass();
        lane.head.take().expect("an operation is at the head")
    }
}

/// What a receive that goes on does.
impl<C> Front<'_, C> {
    /// A copy of the context of the operation at the head, and the number of that.
    #[inline(always)]
    pub(crate) fn clone_head(&self, clone: CloneContext<C>) -> (C, Serial) {
        let head = self.conn.lane(self.entry.lane.direction()).head.as_ref();
        let Op { context, serial, .. } = head.expect("an operation is at the head");
        (clone(context), *serial)
    }

    /// Bytes were received, and the operation goes on, with another lease out. The lane leaves the run queue
    /// if that has proved that there are no more. Returns whether it did not.
    #[inline(always)]
    pub(crate) fn receive_one(self, moved: Moved, rearm: Rearm, now: Instant) -> bool {
        self.conn.leases_out += 1;
        self.conn.last_progress = now;
        let lane = self.conn.lane_mut(Direction::Receive);
        lane.on_transfer(moved, rearm);
        if !lane.is_ready() {
            lane.clear(Bits::QUEUED);
            self.run.left();
            self.run.pass();
        }
        lane.is_ready()
    }
}

/// An empty lane of an open stream, where nothing is out of the ordinary.
pub(crate) struct EmptyLane<'a, C> {
    pub(crate) id: LaneId,
    pub(crate) conn: &'a mut Conn<C>,
    run: &'a mut RunQueue,
    ticket: &'a mut u32,
}

impl<C> EmptyLane<'_, C> {
    /// Puts an operation at its head.
    #[inline(always)]
    pub(crate) fn put(self, op: Op<C>, mut transfer: Transfer) {
        // There is nothing to be dropped of what was there.
        match self.id.direction() {
            Direction::Send => {
                transfer.begin();
                core::mem::forget(core::mem::replace(&mut self.conn.send, transfer));
            }
            Direction::Receive => core::mem::forget(transfer),
        }
        let lane = self.conn.lane_mut(self.id.direction());
        core::mem::forget(lane.head.replace(op));
        if lane.is_ready() {
            let ticket = *self.ticket;
            *self.ticket = ticket.wrapping_add(1);
            lane.enter_run(ticket);
            self.run.push_into_space(QueueEntry { lane: self.id, ticket });
        }
    }
}
