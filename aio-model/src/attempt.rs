//! The attempt: picks the next runnable lane, lends its operation's bytes for exactly one system call, and
//! applies the outcome. An outcome can neither be forgotten nor given twice.

use core::fmt;

use crate::buffer::Buffer;
use crate::cargo::{Cargo, CargoId};
use crate::completion::{CloseReason, Done, OpError};
use crate::conn::{Fin, Phase};
use crate::error::{SystemError, SystemErrorKind};
use crate::id::ConnId;
use crate::lane::{Belief, Direction, End, LaneId, Moved, Place};
use crate::lease::Lease;
use crate::list::Link;
use crate::model::Model;
use crate::op::{Op, Stage, Work};
use crate::pool::PoolId;
use crate::slab::NIL;
use crate::system::{Outcome, Syscall};

/// The most bytes that one call is given: kernels cut longer ones short or refuse them, and a call that was cut
/// short must not be taken for one that found no more.
const CALL_BYTES_MAX: usize = 1 << 30;

/// How much of the current turn is left (K6).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Which round it is. Lanes that came into the run queue since it began, or were served, say so: they stand
    /// behind those that are yet to be served, whoever leaves the queue meanwhile.
    pub(crate) number: RoundNumber,
    /// The lane at the front, when it was looked at last.
    serving: u32,
    /// Attempts for all of them together.
    attempts: u32,
    /// Attempts for the lane at the front.
    lane_attempts: u32,
    /// How much of what has expired may end, whatever the attempts leave of theirs.
    expiries_min: u32,
    /// How much of it has ended.
    expiries: u32,
}

/// Tells the round under way from those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoundNumber(u32);

impl RoundNumber {
    /// Of no round in particular.
    pub(crate) const ANY: RoundNumber = RoundNumber(0);
}

/// Says nothing: between two rounds nothing depends on how many there were.
impl fmt::Debug for RoundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl Round {
    pub(crate) const OVER: Round = Round {
        number: RoundNumber(0),
        serving: NIL,
        attempts: 0,
        lane_attempts: 0,
        expiries_min: 0,
        expiries: 0,
    };

    /// Counts on by so many rounds. Between two rounds only.
    pub(crate) fn age(&mut self, rounds: u32) {
        self.number = RoundNumber(self.number.0.wrapping_add(rounds));
    }

    /// Whether the turn has room for another end of what has expired: it has as many as the attempts have left, and at
    /// least half of a turn's.
    pub(crate) fn has_room_for_expiry(&self) -> bool {
        self.expiries < self.attempts.max(self.expiries_min)
    }

    pub(crate) fn count_expiry(&mut self) {
        self.expiries += 1;
    }
}

impl<C> Model<C> {
    /// Begins the attempts of a turn: every lane that is runnable now is served once, up to its budget, and
    /// all together up to the turn's. What these leave of the turn's budget, and at least half of it, is for what has
    /// [expired](Model::expire).
    pub fn begin_round(&mut self) {
        let attempts = self.limits.turn_attempts_max.get();
        self.round = Round {
            number: RoundNumber(self.round.number.0.wrapping_add(1)),
            serving: NIL,
            attempts,
            lane_attempts: 0,
            expiries_min: attempts.div_ceil(2),
            expiries: 0,
        };
    }

    /// Makes the next attempt of the round, if one is left: `perform` is called once with the call to make, and
    /// what it returns is applied. Returns whether it was.
    pub fn attempt(&mut self, perform: impl FnOnce(Syscall<'_>) -> Outcome) -> bool {
        let lane = loop {
            if self.round.attempts == 0 {
                return false;
            }
            let Some(lane) = self.run.front().map(LaneId::from_index) else {
                return false;
            };
            let (key, conn) = self.conns.entry_mut(lane.conn());
            if self.round.serving != lane.index() || self.round.lane_attempts == 0 {
                let since = Place::Running { since: self.round.number };
                if conn.lanes[lane.direction() as usize].place == since {
                    return false;
                }
                // Whoever was at the front before may have left it because of an outcome or because of the user: what was
                // left of its budget is not this one's.
                self.round.serving = lane.index();
                self.round.lane_attempts = self.limits.lane_attempts_max.get();
            }
            let id = ConnId::new(key, self.realm);
            let Some(head) = conn.lanes[lane.direction() as usize].ops.front() else {
                self.wind_up(lane, perform);
                break lane;
            };
            let op = &self.ops[head];
            match *op.work() {
                Work::RecvPooled { pool } => {
                    if let Some(lease) = self.buffer_for(head, pool) {
                        if !self.cargos.has_room() {
                            self.without_memory(lane, Some(lease));
                            continue;
                        }
                        self.receive_pooled(lane, id, head, lease, perform);
                        break lane;
                    }
                    self.park(lane, pool);
                }
                Work::Send => {
                    let cargo = carried(op);
                    self.send(lane, id, head, cargo, perform);
                    break lane;
                }
                Work::Accept { many } => {
                    if self.may_accept(many.is_some()) {
                        if !(self.conns.has_room() && self.ops.has_room()) {
                            self.without_memory(lane, None);
                            continue;
                        }
                        self.attempt_accept(lane, head, many, perform);
                        return true;
                    }
                    self.hold(lane, false);
                }
                _ => {
                    self.serve(lane, head, perform);
                    break lane;
                }
            }
        };
        self.attempted(lane);
        true
    }

    /// An attempt was made, and its outcome applied.
    #[inline]
    fn attempted(&mut self, lane: LaneId) {
        self.stats.attempts += 1;
        self.round.attempts -= 1;
        self.round.lane_attempts -= 1;
        self.rotate(lane);
    }

    /// An accept. The context is cloned before the call, and a clone that was of no use is dropped when all is done:
    /// should the user's code panic, everything is as it was before the call, or as it is after it (C7).
    fn attempt_accept(
        &mut self,
        lane: LaneId,
        head: u32,
        many: Option<fn(&C) -> C>,
        perform: impl FnOnce(Syscall<'_>) -> Outcome,
    ) {
        // With a single credit in all, the accept's own is the only one to complete with.
        let clone = many.filter(|_| self.has_credit());
        let mut spare = clone.map(|clone| clone(&self.ops[head].context));
        self.accept(lane, head, &mut spare, perform);
        self.settle(lane);
        self.attempted(lane);
    }

    /// The buffer for a pooled receive: the one that it was lent while it waited, or another, if there is one.
    #[inline(always)]
    fn buffer_for(&mut self, op: u32, pool: PoolId) -> Option<Lease> {
        match self.ops[op].cargo.take() {
            None => self.pools[pool.index()].lend(),
            Some(cargo) => self.cargos.unload(cargo).0.into_lease(),
        }
    }

    /// The last attempt for an operation whose deadline has come: at the head of its lane, whatever is believed of the
    /// kernel, unless it waits for a buffer or a place. Nobody may have looked since the kernel became ready: the thread was
    /// busy or stopped, the wait was interrupted or left out, or took in the events of others (T2).
    pub(crate) fn attempt_last(
        &mut self,
        head: u32,
        spare: &mut Option<C>,
        perform: impl FnOnce(Syscall<'_>) -> Outcome,
    ) {
        let Some(lane) = self.waits_for_nothing(head) else { return };
        let lease = match *self.ops[head].work() {
            Work::RecvPooled { pool } => match self.buffer_for(head, pool) {
                None if self.pools[pool.index()].is_refused() => return self.ask_again(pool),
                None => return,
                Some(lease) if !self.cargos.has_room() => return self.give_back(lease.end()),
                lease => lease,
            },
            _ => None,
        };
        if let Place::BackingOff { .. } = self.conns[lane].place {
            self.displace(lane);
        }
        self.stats.attempts += 1;
        let conn = self.conn_id(lane.conn());
        match (lease, self.ops[head].work()) {
            (Some(lease), _) => self.receive_pooled(lane, conn, head, lease, perform),
            (None, Work::Send) => {
                let cargo = carried(&self.ops[head]);
                self.send(lane, conn, head, cargo, perform);
            }
            (None, Work::Accept { .. }) => {
                self.accept(lane, head, spare, perform);
                self.settle(lane);
            }
            (None, _) => self.serve(lane, head, perform),
        }
    }

    /// The lane of an operation, if it is the next there, and waits for neither a buffer nor a place.
    fn waits_for_nothing(&mut self, head: u32) -> Option<LaneId> {
        let op = &self.ops[head];
        let lane = LaneId::new(op.conn.index(), op.work().direction()?);
        if self.conns[lane].ops.front() != Some(head) {
            return None;
        }
        let waits = match (self.conns[lane].place, op.work()) {
            (Place::Parked(_) | Place::Held { .. }, _) => true,
            // What there is no memory for is waited for, too.
            (_, &Work::Accept { many }) => {
                !(self.may_accept(many.is_some()) && self.conns.has_room() && self.ops.has_room())
            }
            _ => false,
        };
        (!waits).then_some(lane)
    }

    /// What the last attempt of an accept that goes on would complete with. Whatever the user's code for that does, nothing
    /// has happened yet (C7).
    pub(crate) fn spare_context(&mut self, head: u32) -> Option<C> {
        let &Work::Accept { many: Some(clone) } = self.ops[head].work() else { return None };
        self.waits_for_nothing(head)?;
        self.has_credit().then(|| clone(&self.ops[head].context))
    }

    /// The last attempt for a connection that flushes or lingers, and whose time is up: for the send that is not done, or
    /// at what the peer has sent, so that a clean end is not missed because nobody looked.
    pub(crate) fn attempt_last_of(&mut self, conn: u32, perform: impl FnOnce(Syscall<'_>) -> Outcome) {
        match self.conns[conn].phase {
            Phase::Flushing => {
                if let Some(head) = self.conns[LaneId::new(conn, Direction::Send)].ops.front() {
                    self.attempt_last(head, &mut None, perform);
                }
            }
            Phase::Lingering { .. } => {
                let lane = LaneId::new(conn, Direction::Receive);
                if let Place::BackingOff { .. } = self.conns[lane].place {
                    self.displace(lane);
                }
                self.stats.attempts += 1;
                self.wind_up(lane, perform);
            }
            Phase::Connecting { .. } | Phase::Open | Phase::Closing { .. } => {}
        }
    }

    /// A pool has no buffer for a lane: it steps aside until one comes home.
    #[cold]
    fn park(&mut self, lane: LaneId, pool: PoolId) {
        self.displace(lane);
        self.conns[lane].place = Place::Parked(pool);
        self.pools[pool.index()].parked.push_back(&mut self.conns, lane.index());
        self.stats.parked += 1;
        if self.pools[pool.index()].is_refused() {
            self.ask_again(pool);
        }
    }

    /// Whether there is a place for a connection, and for its completion.
    pub(crate) fn may_accept(&self, many: bool) -> bool {
        self.has_place() && (!many || self.has_credit() || self.limits.ops_max.get() == 1)
    }

    /// There is no place for what a lane would accept: it steps aside until there is.
    #[cold]
    fn hold(&mut self, lane: LaneId, served: bool) {
        self.displace(lane);
        self.conns[lane].place = Place::Held { served };
        let held = if served { &mut self.held_served } else { &mut self.held };
        held.push_back(&mut self.conns, lane.index());
    }

    /// A lane has accepted a connection. If that took the last place, those who wait for one come before it (K6): it is
    /// held at once, not when it is looked at next, for then it would be held before them.
    fn make_way(&mut self, lane: LaneId) {
        let next = self.conns[lane].ops.front().map(|next| self.ops[next].work());
        if let Some(&Work::Accept { many }) = next
            && !self.may_accept(many.is_some())
        {
            self.hold(lane, true);
        }
    }

    fn serve(&mut self, lane: LaneId, head: u32, perform: impl FnOnce(Syscall<'_>) -> Outcome) {
        match self.ops[head].work() {
            &Work::Recv { exact } => self.receive(lane, head, exact, perform),
            Work::Connect { target } => {
                let conn = self.conn_id(lane.conn());
                let outcome = perform(Syscall::Connect { conn, target });
                return self.connected(lane, head, outcome);
            }
            Work::Shutdown => match perform(Syscall::ShutdownWrite { conn: self.conn_id(lane.conn()) }) {
                Outcome::Done => self.end(head, Ok(Done::ShutDown)),
                other => self.hindered(lane, other),
            },
            Work::RecvPooled { .. } | Work::Send | Work::Accept { .. } => {
                unreachable!("these have calls of their own")
            }
            Work::RecvOwnPool | Work::Close { .. } | Work::Sleep | Work::Post => {
                unreachable!("it queues in no lane")
            }
        }
        self.settle(lane);
    }

    /// The calls of a connection that ends, which are of no operation.
    fn wind_up(&mut self, lane: LaneId, perform: impl FnOnce(Syscall<'_>) -> Outcome) {
        let index = lane.conn();
        let conn = self.conn_id(index);
        match self.conns[index].phase {
            Phase::Lingering { fin: fin @ (Fin::Due | Fin::Tried) } => {
                let outcome = perform(Syscall::ShutdownWrite { conn });
                self.last_fin(lane, fin, outcome);
            }
            Phase::Flushing | Phase::Lingering { .. } => {
                let outcome = perform(Syscall::Discard { conn });
                self.discarded(lane, outcome);
            }
            phase => {
                perform(Syscall::Close { conn, reset: phase == Phase::Closing { reset: true } });
                self.closed(lane);
            }
        }
    }

    /// The FIN of a connection that lingers was answered.
    fn last_fin(&mut self, lane: LaneId, fin: Fin, outcome: Outcome) {
        let index = lane.conn();
        if fin == Fin::Due {
            // The time runs from the first try: however often it takes, there is no more of it.
            self.put_off_end(index, self.now);
        }
        match outcome {
            Outcome::Done => {
                self.conns[index].phase = Phase::Lingering { fin: Fin::Sent };
                self.conns[lane].end_row();
            }
            Outcome::Interrupted | Outcome::Exhausted(_) => {
                self.conns[index].phase = Phase::Lingering { fin: Fin::Tried };
                self.hindered(lane, outcome);
            }
            _ => self.abort(index, self.ending(index).reason),
        }
        self.settle(lane);
    }

    /// What was thrown away, of a connection that flushes or lingers, was answered. At the peer's end there is nothing
    /// left to be thrown away: sends go on, but nothing lingers. An error is one of both directions: it would not be told
    /// to a send again.
    fn discarded(&mut self, lane: LaneId, outcome: Outcome) {
        let index = lane.conn();
        let end = match outcome {
            Outcome::Transferred(1..) | Outcome::Partial(_) => {
                self.conns[lane].end_row();
                self.conns[lane].on_attempt();
                return self.settle(lane);
            }
            Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {
                self.hindered(lane, outcome);
                return self.settle(lane);
            }
            Outcome::Transferred(0) => End::EndOfStream,
            Outcome::Failed(error) | Outcome::Refused(error) => End::Fault(error),
            Outcome::Done => End::Fault(SystemError::from_kind(SystemErrorKind::Other)),
        };
        self.conns[lane].end = Some(end);
        if self.conns[index].phase != Phase::Flushing {
            return self.abort(index, self.ending(index).reason);
        }
        if let End::Fault(_) = end {
            let sends = LaneId::new(index, Direction::Send);
            self.finish(sends, end);
            return self.abort(index, self.ending(index).reason);
        }
        self.settle(lane);
    }

    /// After an attempt: the lane stays at the front while it has work, and budget is left for it and for the
    /// turn; otherwise the next is up. So whoever ends a turn begins none, and nobody is starved by a turn that
    /// is smaller than a lane's share of it.
    fn rotate(&mut self, lane: LaneId) {
        let at_front = self.run.front() == Some(lane.index());
        if at_front && (self.round.lane_attempts == 0 || self.round.attempts == 0) {
            self.run.remove(&mut self.conns, lane.index());
            self.run.push_back(&mut self.conns, lane.index());
            self.conns[lane].place = Place::Running { since: self.round.number };
        }
    }

    /// Receives into a buffer of a pool, which the operation carries only once there is something in it (B2).
    #[inline]
    fn receive_pooled(
        &mut self,
        lane: LaneId,
        conn: ConnId,
        head: u32,
        mut lease: Lease,
        perform: impl FnOnce(Syscall<'_>) -> Outcome,
    ) {
        let lent = lease.capacity().min(CALL_BYTES_MAX);
        let outcome = perform(Syscall::Recv { conn, buffer: &mut lease.space()[..lent] });
        if let Some(moved) = Moved::received(outcome, lent) {
            self.stats.bytes_received += moved.count as u64;
            self.queued.recv_pooled -= 1;
            lease.fill(moved.count);
            let cargo = self.cargos.load(Cargo::received(lease, moved.count));
            self.end_head(lane, head, cargo, moved, Done::Received { end_of_stream: false });
            return;
        }
        match outcome {
            // The next try follows at once.
            Outcome::Interrupted => self.load(head, lease),
            // Until there is one, the buffer is of more use elsewhere.
            _ => self.give_back(lease.end()),
        }
        self.nothing_received(lane, outcome);
        self.settle(lane);
    }

    /// A receive brought no bytes.
    fn nothing_received(&mut self, lane: LaneId, outcome: Outcome) {
        match outcome {
            Outcome::Transferred(0) => {
                let sends = self.conns[LaneId::new(lane.conn(), Direction::Send)].end;
                self.finish(lane, End::of_receives(sends));
            }
            other => self.hindered(lane, other),
        }
    }

    fn receive(
        &mut self,
        lane: LaneId,
        head: u32,
        exact: bool,
        perform: impl FnOnce(Syscall<'_>) -> Outcome,
    ) {
        let (key, state) = self.conns.entry_mut(lane.conn());
        let conn = ConnId::new(key, self.realm);
        let cargo = &mut self.cargos[carried(&self.ops[head])];
        let (filled, left) = (cargo.moved, cargo.left());
        let (lent, outcome) = if let Buffer::Parts(parts) = &mut cargo.buffer {
            let slices = parts.lend_space(filled, CALL_BYTES_MAX);
            (slices.len(), perform(Syscall::RecvVectored { conn, slices }))
        } else {
            let lent = left.min(CALL_BYTES_MAX);
            let buffer = &mut cargo.buffer.space()[filled..filled + lent];
            (lent, perform(Syscall::Recv { conn, buffer }))
        };
        let Some(moved) = Moved::received(outcome, lent) else {
            return self.nothing_received(lane, outcome);
        };
        cargo.moved += moved.count;
        self.stats.bytes_received += moved.count as u64;
        state.lanes[Direction::Receive as usize].on_transfer(moved, self.rearm);
        if !exact || moved.count == left {
            self.end(head, Ok(Done::Received { end_of_stream: false }));
        }
    }

    #[inline]
    fn send(
        &mut self,
        lane: LaneId,
        conn: ConnId,
        head: u32,
        id: CargoId,
        perform: impl FnOnce(Syscall<'_>) -> Outcome,
    ) {
        let cargo = &mut self.cargos[id];
        let (start, left) = (cargo.start + cargo.moved, cargo.left());
        let (lent, outcome) = if let Buffer::Parts(parts) = &mut cargo.buffer {
            let slices = parts.lend(start, cargo.end, CALL_BYTES_MAX);
            (slices.len(), perform(Syscall::SendVectored { conn, slices }))
        } else {
            let lent = left.min(CALL_BYTES_MAX);
            let bytes = &cargo.buffer.as_slice()[start..start + lent];
            (lent, perform(Syscall::Send { conn, bytes }))
        };
        match outcome {
            // No kernel answers so; waiting for an event after it could be for ever.
            Outcome::Transferred(0) => {
                self.finish(lane, End::Fault(SystemError::from_kind(SystemErrorKind::WriteZero)));
            }
            Outcome::Transferred(count) if count <= lent => {
                cargo.moved += count;
                self.stats.bytes_sent += count as u64;
                let moved = Moved { count, short: count < lent };
                if count == left {
                    self.queued.send -= 1;
                    self.end_head(lane, head, id, moved, Done::Sent);
                    return;
                }
                self.conns[lane].on_transfer(moved, self.rearm);
                return self.settle_moved(lane);
            }
            other => self.hindered(lane, other),
        }
        self.settle(lane);
    }

    /// Bytes were moved, and with them the operation at the head of a lane has done what it was to do: it ends,
    /// carrying them.
    #[inline(always)]
    fn end_head(&mut self, lane: LaneId, head: u32, cargo: CargoId, moved: Moved, done: Done) {
        let op = &mut self.ops[head];
        if let Some(timer) = op.timer.take() {
            self.timers.cancel(timer);
        }
        op.cargo = Some(cargo);
        let (_, link) = op.retire(Ok(done), self.ended.next_link());
        let state = &mut self.conns[lane];
        state.on_transfer(moved, self.rearm);
        state.ops.detach(&mut self.ops, head, link);
        self.ended.append(&mut self.ops, head);
        self.settle_inline(lane, true);
    }

    fn accept(
        &mut self,
        lane: LaneId,
        head: u32,
        spare: &mut Option<C>,
        perform: impl FnOnce(Syscall<'_>) -> Outcome,
    ) {
        let listener = self.conn_id(lane.conn());
        let stream = self.new_stream(self.conns[lane.conn()].pool);
        let conn = ConnId::new(self.conns.insert(stream), self.realm);
        match perform(Syscall::Accept { listener, conn }) {
            Outcome::Done => {
                self.conns[lane].end_row();
                self.conns[lane].on_attempt();
                self.stats.accepted += 1;
                self.stats.opened += 1;
                let done = Ok(Done::Accepted(conn));
                match spare.take() {
                    Some(context) => self.post_accepted(head, context, done),
                    None => self.end(head, done),
                }
                self.told += 1;
                self.make_way(lane);
            }
            other => {
                self.conns.remove_at(conn.index());
                self.hindered(lane, other);
            }
        }
    }

    /// A connect was answered.
    fn connected(&mut self, lane: LaneId, head: u32, outcome: Outcome) {
        let index = lane.conn();
        let had_descriptor = self.conns[index].phase == Phase::Connecting { known: true };
        match outcome {
            Outcome::Done => {
                self.conns[index].phase = Phase::Open;
                self.conns[lane].on_attempt();
                self.conns[lane].end_row();
                self.stats.connected += 1;
                self.end(head, Ok(Done::Connected));
            }
            Outcome::WouldBlock => {
                self.conns[index].phase = Phase::Connecting { known: true };
                self.hindered(lane, outcome);
            }
            Outcome::Interrupted => self.hindered(lane, outcome),
            Outcome::Exhausted(_) => {
                self.conns[index].phase = Phase::Connecting { known: false };
                self.hindered(lane, outcome);
                self.settle(lane);
                if had_descriptor {
                    self.on_descriptor_closed();
                }
                return;
            }
            Outcome::Failed(error) | Outcome::Refused(error) => {
                return self.not_connected(lane, head, error, had_descriptor);
            }
            Outcome::Transferred(_) | Outcome::Partial(_) => {
                let error = SystemError::from_kind(SystemErrorKind::Other);
                return self.not_connected(lane, head, error, had_descriptor);
            }
        }
        self.settle(lane);
    }

    /// A connection could not be made, and the system does not know it any more.
    fn not_connected(&mut self, lane: LaneId, head: u32, error: SystemError, had_descriptor: bool) {
        self.conns[lane.conn()].phase = Phase::Connecting { known: false };
        self.end(head, Err(OpError::System(error)));
        self.abort(lane.conn(), CloseReason::Requested);
        if had_descriptor {
            self.on_descriptor_closed();
        }
    }

    /// Posts one of many completions of an accept, into a place that [`may_accept`](Model::may_accept) found free.
    fn post_accepted(&mut self, head: u32, context: C, result: Result<Done, OpError>) {
        let conn = self.ops[head].conn;
        let op = Op {
            context,
            conn,
            link: Link::UNLINKED,
            timer: None,
            cargo: None,
            stage: Stage::Ended { result, of: Some(self.ops.key_at(head)) },
        };
        let index = self.ops.insert(op).index();
        self.ended.push_back(&mut self.ops, index);
    }

    /// An attempt that moved nothing.
    fn hindered(&mut self, lane: LaneId, outcome: Outcome) {
        match outcome {
            Outcome::WouldBlock => {
                let state = &mut self.conns[lane];
                self.stats.would_blocks += 1;
                self.stats.events_spurious += u64::from(state.belief == Belief::Woken);
                state.belief = Belief::Blocked;
                state.end_hinted = false;
                state.row.end_refusals();
            }
            Outcome::Interrupted => {
                self.stats.interrupts += 1;
                self.conns[lane].row.end_refusals();
            }
            Outcome::Exhausted(error) => self.exhausted(lane, error),
            Outcome::Refused(error) => self.refused(lane, error),
            Outcome::Failed(error) => self.finish(lane, End::Fault(error)),
            // More than was lent, or the answer to another call than the one that was made: a system that does so is broken, but its
            // user's connections end with an error, not with a panic.
            Outcome::Done | Outcome::Transferred(_) | Outcome::Partial(_) => {
                self.finish(lane, End::Fault(SystemError::from_kind(SystemErrorKind::Other)));
            }
        }
    }

    /// The lane has come to its end, and all its operations with it (K4).
    pub(crate) fn finish(&mut self, lane: LaneId, end: End) {
        self.conns[lane].end = Some(end);
        self.end_all(lane, |work| end.result(work));
    }

    /// The descriptor is closed: the connection is gone.
    fn closed(&mut self, lane: LaneId) {
        self.displace(lane);
        let closer = self.conns[lane.conn()].closer;
        if closer != NIL {
            self.end(closer, Ok(Done::Closed));
        }
        self.remove_conn(lane.conn());
        self.on_descriptor_closed();
    }
}

/// What an operation that moves bytes carries.
fn carried<C>(op: &Op<C>) -> CargoId {
    op.cargo.expect("a receive or a send was loaded")
}
