//! The attempt: picks the next runnable lane, lends its operation's bytes for exactly one system call, and
//! applies the outcome. An outcome can neither be forgotten nor given twice.

use crate::buffer::Buffer;
use crate::completion::{Completion, Done};
use crate::conn::Phase;
use crate::error::{SystemError, SystemErrorKind};
use crate::id::{ConnId, OpId};
use crate::lane::{Direction, End, LaneId, Moved};
use crate::lanes::Position;
use crate::lease::{CountedBy, Lease};
use crate::model::Model;
use crate::op::{LaneOp, Op};
use crate::queue::QueueEntry;
use crate::system::{Outcome, Perform, Syscall};
use crate::together::send_together;
use crate::transfer::{CALL_BYTES_MAX, Transfer};

impl<C> Model<C> {
    /// Begins the attempts of a turn: every lane that is runnable now is served once, up to its budget, and
    /// all together up to the turn's. What these leave of the turn's budget, and at least half of it, is for
    /// what has [expired](Model::expire).
    pub fn begin_round(&mut self) {
        self.lanes.begin_round();
        self.round.begin(self.limits.turn_attempts_max.get());
    }

    /// Makes the next attempt of the round, if one is left: `perform` is called once with the call to make,
    /// and what it returns is applied. Returns whether it was.
    pub fn attempt(&mut self, perform: impl FnOnce(Syscall<'_>) -> Outcome) -> bool {
        self.attempt_by(perform)
    }

    /// [`attempt`](Model::attempt). What is usual is done in place: a pooled receive that brings bytes, a
    /// send that is done at once, each the only operation of its lane.
    #[inline(always)]
    pub(crate) fn attempt_by(&mut self, perform: impl Perform) -> bool {
        if self.round.is_used_up() {
            return false;
        }
        if self.completions.goes_to_batch()
            && let Some(front) = self.lanes.front()
        {
            let entry = front.entry;
            match front.kind() {
                Some(LaneOp::RecvPooled(pool)) => {
                    if let Some(mut lease) = self.pools.of(pool).lend_free() {
                        let (conn, space) = (front.id, lease.space());
                        let lent = space.len().min(CALL_BYTES_MAX);
                        let outcome = perform.perform(Syscall::Recv { conn, buffer: &mut space[..lent] });
                        let Some(moved) = Moved::received(outcome, lent) else {
                            return self.nothing_received_usual(entry, lease, outcome);
                        };
                        lease.fill(moved.count);
                        self.metrics.on_received(moved.count);
                        self.metrics.on_ended(LaneOp::RecvPooled(pool));
                        let op = front.take_done(Direction::Receive, moved, self.rearm, self.now);
                        let done = Done::Received { end_of_stream: false };
                        self.put(conn, entry.lane, op, Buffer::Lease(lease), moved.count, done);
                        return true;
                    }
                }
                Some(LaneOp::Send) => {
                    let (conn, transfer) = (front.id, &mut front.conn.send);
                    let left = transfer.left();
                    let (lent, outcome) = transfer.send(conn, perform);
                    let Some(moved) = Moved::sent(outcome, lent).filter(|moved| moved.count == left) else {
                        return self.not_all_sent(entry, lent, outcome);
                    };
                    self.metrics.on_sent(moved.count);
                    self.metrics.on_ended(LaneOp::Send);
                    transfer.advance(left);
                    let (buffer, moved_in_all) = core::mem::replace(transfer, Transfer::NONE).finish(false);
                    let op = front.take_done(Direction::Send, moved, self.rearm, self.now);
                    self.put(conn, entry.lane, op, buffer, moved_in_all, Done::Sent);
                    return true;
                }
                Some(LaneOp::RecvMany(..)) => return self.attempt_many(perform),
                _ => {}
            }
        }
        self.attempt_unusual(perform)
    }

    /// [`attempt_by`](Model::attempt_by), of a receive that goes on: the only operation of its lane.
    #[inline(never)]
    fn attempt_many(&mut self, perform: impl Perform) -> bool {
        let may_go_on = self.completions.has_usual_credit();
        if let (true, Some(clone), Some(front)) = (may_go_on, self.clone_context, self.lanes.front())
            && let Some(LaneOp::RecvMany(pool, _)) = front.kind()
            && !front.conn.has_all_leases_out()
            && let Some(mut lease) = self.pools.of(pool).lend_free()
        {
            let (entry, conn) = (front.entry, front.id);
            // Should the user's code panic, nothing has happened yet but that a buffer goes home (C7).
            let (context, serial) = front.clone_head(clone);
            let space = lease.space();
            let lent = space.len().min(CALL_BYTES_MAX);
            let outcome = perform.perform(Syscall::Recv { conn, buffer: &mut space[..lent] });
            let Some(moved) = Moved::received(outcome, lent) else {
                return self.nothing_received_usual(entry, lease, outcome);
            };
            lease.fill(moved.count);
            lease.count(CountedBy { lane: entry.lane.index(), serial });
            self.metrics.on_received(moved.count);
            self.completions.take_credit();
            let goes_on = front.receive_one(moved, self.rearm, self.now);
            let op = OpId::new(serial, entry.lane.index(), self.realm);
            let (buffer, bytes) = (Buffer::Lease(lease), moved.count as u64);
            let result = Ok(Done::Received { end_of_stream: false });
            self.completions.put(Completion { context, conn, op, buffer, bytes, result, more: true });
            if goes_on {
                self.serve(entry);
                self.round.count_bytes(moved.count);
                self.attempted(entry);
            } else {
                self.metrics.on_attempt();
                self.round.count_usual();
            }
            return true;
        }
        self.attempt_unusual(perform)
    }

    /// Puts the completion of what was usual into the batch: the end of an attempt.
    #[inline(always)]
    fn put(&mut self, conn: ConnId, id: LaneId, op: Op<C>, buffer: Buffer, moved: usize, done: Done) {
        self.metrics.on_attempt();
        self.metrics.on_completed();
        self.round.count_usual();
        self.deadlines.cancel(op.live_timer());
        let Op { serial, context, .. } = op;
        let op = OpId::new(serial, id.index(), self.realm);
        let bytes = moved as u64;
        self.completions.put(Completion { context, conn, op, buffer, bytes, result: Ok(done), more: false });
    }

    #[cold]
    #[inline(never)]
    fn nothing_received_usual(&mut self, entry: QueueEntry, lease: Lease, outcome: Outcome) -> bool {
        self.serve(entry);
        self.nothing_received_pooled(entry.lane, lease, outcome);
        self.attempted(entry);
        true
    }

    #[cold]
    #[inline(never)]
    fn not_all_sent(&mut self, entry: QueueEntry, lent: usize, outcome: Outcome) -> bool {
        self.serve(entry);
        self.sent(entry.lane, lent, outcome);
        self.attempted(entry);
        true
    }

    /// [`attempt`](Model::attempt), of anything.
    #[inline(never)]
    fn attempt_unusual(&mut self, perform: impl Perform) -> bool {
        while !self.round.is_used_up() {
            if let Some(id) = self.lanes.next_hinted() {
                self.metrics.on_attempt();
                self.round.count_usual();
                self.peek(id, perform);
                return true;
            }
            let Some(entry) = self.lanes.up() else { return false };
            self.serve(entry);
            let id = entry.lane;
            match self.lanes.lane(id).next_kind() {
                Some(LaneOp::RecvPooled(pool)) => {
                    let Some(lease) = self.lend(id, pool) else { continue };
                    self.receive_pooled(id, lease, &mut None, perform);
                }
                Some(LaneOp::RecvMany(pool, _)) => {
                    if self.lanes.conn(id.conn()).has_all_leases_out() {
                        self.lanes.await_lease(id);
                        continue;
                    }
                    if !self.has_room_to_go_on() {
                        self.without_memory(id);
                        continue;
                    }
                    let mut spare = self.spare_context(id);
                    let Some(lease) = self.lend(id, pool) else { continue };
                    self.receive_pooled(id, lease, &mut spare, perform);
                }
                Some(LaneOp::Send) => self.send(id, perform),
                Some(LaneOp::Accept { many }) => {
                    if !self.has_room_to_accept(id, many) {
                        self.without_memory(id);
                        continue;
                    }
                    self.attempt_accept(id, perform);
                }
                Some(LaneOp::Recv { exact }) => self.receive(id, exact, perform),
                Some(LaneOp::Connect) => self.connect(id, perform),
                Some(LaneOp::Shutdown) => self.shut_down_write(id, perform),
                Some(LaneOp::Wait) => self.wait(id, perform),
                Some(LaneOp::Ended(_)) | None => self.attempt_close_step(id, perform),
            }
            self.attempted(entry);
            return true;
        }
        false
    }

    /// A lane is served: with a budget of its own, if it was not the one that was served before.
    fn serve(&mut self, entry: QueueEntry) {
        self.lanes.on_served(entry);
        self.round.serve(entry.ticket, &self.limits);
    }

    /// An attempt was made, and its outcome applied. The lane stays at the front while it has work, and
    /// budget is left for it and for the turn; otherwise the next is up. So whoever ends a turn begins none,
    /// and nobody is starved by a turn that is smaller than a lane's share of it.
    #[inline(always)]
    fn attempted(&mut self, entry: QueueEntry) {
        self.metrics.on_attempt();
        if self.round.count() {
            self.lanes.rotate(entry);
        }
    }

    /// Receives into a buffer of a pool, which is lent for longer only if something is in it then (B2).
    /// `spare` is what a receive that goes on completes with.
    pub(super) fn receive_pooled(
        &mut self,
        id: LaneId,
        mut lease: Lease,
        spare: &mut Option<C>,
        perform: impl Perform,
    ) {
        let (conn, space) = (self.lanes.id(id.conn()), lease.space());
        let lent = space.len().min(CALL_BYTES_MAX);
        let outcome = perform.perform(Syscall::Recv { conn, buffer: &mut space[..lent] });
        match Moved::received(outcome, lent) {
            Some(moved) => match spare.take() {
                Some(context) => self.received_one(id, lease, moved, context),
                None => self.end_received(id, lease, moved),
            },
            None => self.nothing_received_pooled(id, lease, outcome),
        }
    }

    #[cold]
    fn nothing_received_pooled(&mut self, id: LaneId, lease: Lease, outcome: Outcome) {
        match outcome {
            // The next try follows at once.
            Outcome::Interrupted => self.keep_lent(id, lease),
            // Until there is one, the buffer is of more use elsewhere.
            _ => self.give_back(lease.end()),
        }
        self.nothing_received(id, outcome);
    }

    /// A receive brought no bytes.
    pub(super) fn nothing_received(&mut self, id: LaneId, outcome: Outcome) {
        match outcome {
            Outcome::Transferred(0) => {
                let sends = self.lanes.lane(LaneId::send(id.conn())).end();
                self.finish_lane(id, End::of_receives(sends));
            }
            other => self.on_no_progress(id, other),
        }
    }

    pub(super) fn receive(&mut self, id: LaneId, exact: bool, perform: impl Perform) {
        let (conn, state) = self.lanes.call(id);
        let transfer = state.receive_mut().expect("a receive into a buffer of the user's has one");
        let left = transfer.left();
        let (lent, outcome) = transfer.receive(conn, perform);
        let Some(moved) = Moved::received(outcome, lent) else {
            return self.nothing_received(id, outcome);
        };
        transfer.advance(moved.count);
        self.metrics.on_received(moved.count);
        self.on_transfer(id, moved);
        if !exact || moved.count == left {
            self.end(id, Position::Head, Ok(Done::Received { end_of_stream: false }));
        }
    }

    /// Sends what is at the head of a lane, and those behind it that can go out together with it.
    pub(super) fn send(&mut self, id: LaneId, perform: impl Perform) {
        let bytes_max = self.limits.lane_transfer_max.get() as usize;
        let (conn, state) = self.lanes.call(id);
        let extra = state.extra.as_deref().map(|[extra]| extra);
        let behind = extra.map(|extra| &extra.behind[id.direction() as usize]);
        let (lent, outcome) = match behind.filter(|behind| !behind.is_empty()) {
            Some(behind) => send_together(&mut state.send, behind, bytes_max, conn, perform),
            None => state.send.send(conn, perform),
        };
        self.sent(id, lent, outcome);
    }

    /// A send was answered.
    fn sent(&mut self, id: LaneId, lent: usize, outcome: Outcome) {
        match (Moved::sent(outcome, lent), outcome) {
            (Some(moved), _) => {
                self.metrics.on_sent(moved.count);
                self.on_transfer(id, moved);
                self.end_sent(id, moved.count);
            }
            // No kernel answers so; waiting for an event after it could be for ever.
            (None, Outcome::Transferred(0)) => {
                self.finish_lane(id, End::Fault(SystemError::from_kind(SystemErrorKind::WriteZero)));
            }
            (None, other) => self.on_no_progress(id, other),
        }
        self.on_send_lane_changed(id.conn());
    }

    /// So many bytes were sent: of the operation at the head, and then of those behind it. Each that is done
    /// ends.
    fn end_sent(&mut self, id: LaneId, mut count: usize) {
        while count > 0 {
            let (_, state) = self.lanes.call(id);
            let left = state.send.left();
            let here = left.min(count);
            state.send.advance(here);
            if here < left {
                return;
            }
            count -= here;
            self.end(id, Position::Head, Ok(Done::Sent));
        }
    }

    /// The calls of a connection that ends, which are of no operation.
    pub(super) fn attempt_close_step(&mut self, id: LaneId, perform: impl Perform) {
        debug_assert!(id.direction() == Direction::Receive, "its receive lane winds a connection up");
        let conn = self.lanes.id(id.conn());
        let phase = self.lanes.conn(id.conn()).phase();
        match phase {
            Phase::LingeringFinDue | Phase::LingeringFinTried => {
                let outcome = perform.perform(Syscall::ShutdownWrite { conn });
                self.last_fin(id, outcome);
            }
            Phase::Flushing | Phase::LingeringFinSent => {
                let outcome = perform.perform(Syscall::Discard { conn });
                self.discarded(id, outcome);
            }
            _ => {
                perform.perform(Syscall::Close { conn, reset: phase == Phase::ClosingReset });
                self.closed(id.conn());
            }
        }
    }
}
