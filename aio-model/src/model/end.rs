//! Operations end, and their completions are taken.

use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::completion::{CloseReason, Completion, Done, OpError};
use crate::completions::Place;
use crate::extra::{Closer, EndedOp};
use crate::id::{ConnId, OpId};
use crate::lane::{Bits, Direction, End, LaneId, Moved};
use crate::lanes::{Position, Taken};
use crate::lease::Lease;
use crate::model::Model;
use crate::op::{LaneOp, Op};

impl<C> Model<C> {
    /// Ends an operation of a lane, with what it carries.
    pub(super) fn end(&mut self, id: LaneId, position: Position, result: Result<Done, OpError>) {
        let mut taken = self.lanes.take(id, position, &mut self.deadlines);
        let load = core::mem::replace(&mut taken.load, crate::extra::Carried::Nothing);
        let is_receive = id.direction() == Direction::Receive;
        let (buffer, moved) = load.into_transfer().finish(is_receive);
        self.finish(id, taken, buffer, moved, result);
    }

    /// An operation was taken out of its lane, and this is what became of it.
    fn finish(
        &mut self,
        id: LaneId,
        taken: Taken<C>,
        buffer: Buffer,
        moved: usize,
        result: Result<Done, OpError>,
    ) {
        let Taken { op: Op { serial, kind, context, .. }, granted, .. } = taken;
        self.metrics.on_ended(kind);
        if kind == LaneOp::Shutdown && result.is_ok() {
            self.lanes.change(id, &mut self.deadlines, |lane| lane.set(Bits::SHUT));
        }
        self.complete(id, EndedOp { serial, context, buffer, moved, result, more: false });
        if let Some(pool) = granted {
            self.take_grant_back(pool);
        }
    }

    /// The receive at the head of a lane has brought bytes, in a buffer of its pool.
    pub(super) fn end_received(&mut self, id: LaneId, mut lease: Lease, moved: Moved) {
        lease.fill(moved.count);
        self.metrics.on_received(moved.count);
        self.on_transfer(id, moved);
        let taken = self.lanes.take(id, Position::Head, &mut self.deadlines);
        let done = Ok(Done::Received { end_of_stream: false });
        self.finish(id, taken, Buffer::Lease(lease), moved.count, done);
    }

    /// The receive at the head of a lane has brought bytes, in a buffer of its pool, and goes on.
    pub(super) fn received_one(&mut self, id: LaneId, mut lease: Lease, moved: Moved, context: C) {
        lease.fill(moved.count);
        self.metrics.on_received(moved.count);
        self.on_transfer(id, moved);
        self.take_credit(None);
        self.lanes.count_lease(id, &mut lease);
        let serial = self.lanes.op(id, Position::Head).0.serial;
        let (buffer, result) = (Buffer::Lease(lease), Ok(Done::Received { end_of_stream: false }));
        self.complete(id, EndedOp { serial, context, buffer, moved: moved.count, result, more: true });
    }

    /// Has a completion go into the batch, or else keeps it.
    pub(super) fn complete(&mut self, id: LaneId, ended: EndedOp<C>) {
        if self.completions.goes_to_batch() {
            let completion = self.completion(self.lanes.id(id.conn()), id.index(), ended);
            self.completions.put(completion);
        } else {
            self.lanes.keep(id, ended);
            self.completions.note(Place::Lane(id));
        }
        self.lanes.tidy(id.conn());
    }

    /// The completion of an operation, which is taken with it: consumed, so there is no second one to make of
    /// it (C1).
    fn completion(&mut self, conn: ConnId, place: u32, ended: EndedOp<C>) -> Completion<C> {
        let EndedOp { serial, context, buffer, moved, result, more } = ended;
        if !more {
            self.metrics.on_completed();
        }
        let op = OpId::new(serial, place, self.realm);
        Completion { context, conn, op, buffer, bytes: moved as u64, result, more }
    }

    /// Ends every operation of a lane, in order.
    pub(super) fn end_all(&mut self, id: LaneId, result: impl Fn(LaneOp) -> Result<Done, OpError>) {
        while let Some(kind) = self.lanes.lane(id).next_kind() {
            self.end(id, Position::Head, result(kind));
        }
    }

    /// A lane has come to its end, and all its operations with it (K4).
    pub(super) fn finish_lane(&mut self, id: LaneId, end: End) {
        self.end_all(id, |kind| end.result(kind));
        self.lanes.end(id, end, &mut self.deadlines);
    }

    /// Ends a queued operation before it is complete: its deadline came, or it was cancelled.
    pub(super) fn end_early(&mut self, id: LaneId, position: Position, error: OpError) {
        let kind = self.lanes.op(id, position).0.kind;
        let partial = position == Position::Head && self.is_partial_send(id);
        self.end(id, position, Err(error));
        if kind == LaneOp::Connect {
            return self.abort(id.conn(), CloseReason::Requested);
        }
        if partial {
            self.taint(id);
        }
        self.on_send_lane_changed(id.conn());
    }

    /// A send has ended after a part of its bytes: the sends behind it end, too (C5).
    pub(super) fn taint(&mut self, id: LaneId) {
        self.end_all(id, |_| Err(OpError::Tainted));
        self.lanes.change(id, &mut self.deadlines, |lane| lane.set(Bits::TAINTED));
    }

    /// Whether the operation at the head of a lane is a send, of which a part was moved.
    pub(super) fn is_partial_send(&self, id: LaneId) -> bool {
        id.direction() == Direction::Send && self.lanes.conn(id.conn()).has_partial_send()
    }

    /// Bytes went through.
    pub(super) fn on_transfer(&mut self, id: LaneId, moved: Moved) {
        let rearm = self.rearm;
        self.round.count_bytes(moved.count);
        self.lanes.change(id, &mut self.deadlines, |lane| lane.on_transfer(moved, rearm));
        self.lanes.note_progress(id, self.now);
        if id.direction() == Direction::Send {
            self.on_peer_took(id.conn());
        }
    }

    /// Takes the next completion, in the order in which the operations ended.
    #[inline]
    pub fn next_completion(&mut self) -> Option<Completion<C>> {
        let completion = self.take_next()?;
        self.free_credits(1);
        Some(completion)
    }

    fn take_next(&mut self) -> Option<Completion<C>> {
        let place = self.completions.next()?;
        let (conn, number, ended) = match place {
            Place::Own(index) => (self.own(), own_place(index), self.own.take(index)),
            Place::Lane(id) => {
                let conn = self.lanes.id(id.conn());
                let ended = self.lanes.take_ended(id).or_else(|| self.take_closed(id.conn()));
                let ended = ended.expect("a completion waits where it was noted");
                self.lanes.tidy(id.conn());
                (conn, id.index(), ended)
            }
        };
        Some(self.completion(conn, number, ended))
    }

    fn take_closed(&mut self, conn: u32) -> Option<EndedOp<C>> {
        let Closer { serial, context } = self.lanes.take_closer(conn)?;
        Some(EndedOp {
            serial,
            context,
            buffer: Buffer::None,
            moved: 0,
            result: Ok(Done::Closed),
            more: false,
        })
    }

    /// Credits are free again: so many, and those of what was put into the batch.
    pub(super) fn free_credits(&mut self, taken: u32) {
        if self.completions.free_credits(taken) {
            self.lanes.set_credit_left(true, None);
        }
    }

    /// Takes a credit, which there is; `by` the lane of an accept.
    pub(super) fn take_credit(&mut self, by: Option<LaneId>) {
        if self.completions.take_credit() {
            self.lanes.set_credit_left(false, by);
        }
    }

    /// Puts completions into `batch`, in the order in which the operations ended, until there is none left or
    /// the batch has no more free capacity.
    #[inline]
    pub fn deliver(&mut self, batch: &mut Vec<Completion<C>>) {
        self.swap_batch(batch);
        self.deliver_waiting();
        self.swap_batch(batch);
        self.on_taken();
    }

    /// What was put into the batch is taken: the credits are free.
    #[inline]
    pub(crate) fn on_taken(&mut self) {
        self.free_credits(0);
    }

    /// Puts those completions into the batch that wait, as far as it has room.
    #[inline]
    pub(crate) fn deliver_waiting(&mut self) {
        while self.completions.batch_has_room()
            && let Some(completion) = self.take_next()
        {
            self.completions.put(completion);
        }
    }

    /// The descriptor of a connection is closed. If there was a `Close`, or several, they have the last
    /// completions.
    pub(super) fn end_closed(&mut self, conn: u32) {
        let id = LaneId::receive(conn);
        let count = self.lanes.conn(conn).closing().map_or(0, |closing| closing.closers().count());
        for _ in 0..count {
            self.metrics.on_close_ended();
            if self.completions.goes_to_batch() {
                if let Some(ended) = self.take_closed(conn) {
                    let completion = self.completion(self.lanes.id(conn), id.index(), ended);
                    self.completions.put(completion);
                }
            } else {
                if let Some(closing) = self.lanes.closing_mut(conn) {
                    closing.ended = true;
                }
                self.completions.note(Place::Lane(id));
            }
        }
    }

    /// A sleep ends.
    pub(super) fn end_sleep(&mut self, index: u32, result: Result<Done, OpError>) {
        let timer = self.own.end(index, result);
        self.deadlines.cancel(timer);
        self.metrics.on_sleep_ended();
        self.complete_own(index);
    }

    /// One of the proactor's own operations has ended.
    pub(super) fn complete_own(&mut self, index: u32) {
        if self.completions.goes_to_batch() {
            let ended = self.own.take(index);
            let completion = self.completion(self.own(), own_place(index), ended);
            self.completions.put(completion);
        } else {
            self.completions.note(Place::Own(index));
        }
    }
}

/// The bit of an operation's place that says that it is one of the proactor's own.
const OWN: u32 = 1 << 31;

/// The place of one of the proactor's own operations.
pub(crate) fn own_place(index: u32) -> u32 {
    OWN | index
}

/// The index of an operation that is the proactor's own, of its place.
pub(crate) fn own_index(place: u32) -> Option<u32> {
    (place & OWN != 0).then_some(place & !OWN)
}
