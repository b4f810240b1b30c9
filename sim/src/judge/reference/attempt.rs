//! One attempt: what the operation at the head of a lane asks the system for, and what it makes of the
//! answer.

use aio_model::{
    Kind, LaneEnd, LanePlace, OpError, Outcome, Rearm, SLICES_MAX, SystemError, SystemErrorKind,
};

use super::turn::{Call, SystemBelow};
use super::{Buffer, Completion, Conn, Done, Fin, Id, LaneName, Op, Phase, Reference, Rule, Work};

/// What an operation ends with in a lane that has ended: the end of a stream is a success, unless more was
/// asked for (K4).
pub(super) fn result_of(end: LaneEnd, work: Work) -> Result<Done, OpError> {
    match (end, work) {
        (LaneEnd::EndOfStream, Work::Recv { exact: true }) => Err(OpError::UnexpectedEof),
        (LaneEnd::EndOfStream, Work::Wait(_)) => Ok(Done::Ready),
        (LaneEnd::EndOfStream, _) => Ok(Done::Received { end_of_stream: true }),
        (LaneEnd::Fault(error), _) => Err(OpError::System(error)),
        _ => unreachable!("a lane ends in one of two ways"),
    }
}

fn fault(kind: SystemErrorKind) -> LaneEnd {
    LaneEnd::Fault(SystemError::from_kind(kind))
}

impl Op {
    /// Whether it has as many leases out as it may.
    pub(super) fn has_all_leases_out(&self) -> bool {
        match self.work {
            Work::RecvMany { leases_max, .. } => self.leases_out == usize::from(leases_max),
            _ => false,
        }
    }
}

impl Reference {
    /// Whether the lane can make its call. If not, it steps aside to where it waits for what it lacks.
    pub(super) fn equip(&mut self, name: LaneName) -> bool {
        let Some(head) = self.lane(name).ops.front() else { return true };
        if head.has_all_leases_out() {
            self.step_aside(name);
            self.all_out.push(name);
            self.hint(name);
            return false;
        }
        match head.work.pool() {
            // B2: a buffer is lent when there is something to read, and not before.
            Some(pool) if head.buffer == Buffer::None => {
                let home = self.pool_mut(pool);
                if home.lent < home.size.buffers_max {
                    home.lent += 1;
                    let lease = Buffer::lease(pool, home.size.buffer_bytes);
                    self.lane_mut(name).ops[0].buffer = lease;
                    return true;
                }
                self.step_aside(name);
                self.pool_mut(pool).parked.push_back(name);
                self.hint(name);
                false
            }
            _ => true,
        }
    }

    /// K5: whether there is no place for the connection that an accept would bring; or none for the
    /// completion (C6), unless the accept's own will do.
    pub(super) fn lacks_place(&self, work: Work) -> bool {
        let own_will_do = work != (Work::Accept { many: true }) || self.plan.limits.ops_max.get() == 1;
        !(self.has_place() && (own_will_do || self.has_credit()))
    }

    /// Whether a lane is to accept a connection that there is no place for.
    pub(super) fn lane_lacks_place(&self, name: LaneName) -> bool {
        let open = self.conns[&name.conn].phase == Phase::Open;
        let head = self.lane(name).ops.front().map(|head| head.work);
        open && head.is_some_and(|work| matches!(work, Work::Accept { .. }) && self.lacks_place(work))
    }

    pub(super) fn attempt(&mut self, name: LaneName, world: &mut impl SystemBelow) {
        let conn = self.conns[&name.conn].id;
        match self.lane(name).ops.front().map(|head| head.work) {
            None => self.attempt_close_step(name, conn, world),
            Some(Work::Recv { exact }) => self.receive(name, conn, exact, world),
            Some(Work::RecvPooled { .. } | Work::RecvMany { .. }) => self.receive(name, conn, false, world),
            Some(Work::Send { start, end }) => self.send(name, conn, start, end, world),
            Some(Work::Accept { many }) => self.accept(name, conn, many, world),
            Some(Work::Connect) => self.connect(name, conn, world),
            Some(Work::Shutdown) => match world.perform(Call::ShutdownWrite { conn }).0 {
                Outcome::Done => self.complete_head(name, Ok(Done::ShutDown)),
                other => self.on_no_progress(name, other),
            },
            Some(Work::Wait(direction)) => match world.perform(Call::Poll { conn, direction }).0 {
                Outcome::Done => {
                    let lane = self.lane_mut(name);
                    (lane.shortages, lane.refusals, lane.ready) = (0, 0, true);
                    self.complete_head(name, Ok(Done::Ready));
                }
                other => self.on_no_progress(name, other),
            },
            Some(Work::Close { .. } | Work::Sleep | Work::Post) => unreachable!("it queues in no lane"),
        }
        self.settle(name.conn);
    }

    /// B3: a lane that waits for a buffer, and of whose end an event has hinted, is asked for that without a
    /// buffer.
    pub(super) fn hint(&mut self, name: LaneName) {
        if self.is_hinted(name) {
            self.hinted.push_back((name, self.next_number));
        }
    }

    fn is_hinted(&self, name: LaneName) -> bool {
        let known = self.conns.contains_key(&name.conn);
        let waits = known && [LanePlace::Parked, LanePlace::LeasesOut].contains(&self.place(name));
        waits && self.lane(name).end_hinted
    }

    /// The next lane that is to be asked whether it has come to its end, unless the one whose turn it is came
    /// to stand in line before (K6).
    pub(super) fn next_hinted(&mut self) -> Option<LaneName> {
        while let Some(&(name, number)) = self.hinted.front() {
            let counts = self.is_hinted(name);
            let up = self.line.front().filter(|lane| self.up.contains(lane));
            if counts && up.is_some_and(|up| self.numbers[up] < number) {
                return None;
            }
            self.hinted.pop_front();
            if counts {
                return Some(name);
            }
        }
        None
    }

    /// Whether a lane may have to be asked for that.
    pub(super) fn has_hinted(&self) -> bool {
        !self.hinted.is_empty()
    }

    pub(super) fn peek(&mut self, name: LaneName, world: &mut impl SystemBelow) {
        match world.perform(Call::Peek { conn: self.conns[&name.conn].id }).0 {
            Outcome::Transferred(1) => {}
            Outcome::Transferred(0) => self.end(name, self.behind(name.conn)),
            Outcome::Interrupted => self.hint(name),
            other => self.on_no_progress(name, other),
        }
        self.settle(name.conn);
    }

    fn receive(&mut self, name: LaneName, conn: Id, exact: bool, world: &mut impl SystemBelow) {
        let head = &self.lane(name).ops[0];
        let (filled, parts, left) = (head.bytes, head.buffer.is_parts(), head.buffer.space() - head.bytes);
        let space = head.buffer.in_one_call(filled, Buffer::space);
        let (outcome, received) = world.perform(Call::Recv { conn, space, parts });
        match outcome {
            Outcome::Transferred(0) => self.end(name, self.behind(name.conn)),
            Outcome::Transferred(count) | Outcome::Partial(count) if (1..=space).contains(&count) => {
                self.lane_mut(name).ops[0].buffer.put(filled, &received);
                self.transferred(name, count, outcome == Outcome::Transferred(count) && count < space);
                self.lane_mut(name).ops[0].bytes += count;
                if matches!(self.lane(name).ops[0].work, Work::RecvMany { .. }) && self.has_credit() {
                    return self.complete_one_receive(name);
                }
                if !exact || count == left {
                    self.complete_head(name, Ok(Done::Received { end_of_stream: false }));
                }
            }
            other => self.on_no_progress(name, other),
        }
    }

    /// K4: what is behind the last byte that can be received. What a send was told is told nobody else by the
    /// system.
    fn behind(&self, conn: u32) -> LaneEnd {
        match self.lane(LaneName::send(conn)).end {
            Some(LaneEnd::Fault(error)) => match error.kind() {
                SystemErrorKind::BrokenPipe | SystemErrorKind::NotConnected => LaneEnd::EndOfStream,
                _ => LaneEnd::Fault(error),
            },
            _ => LaneEnd::EndOfStream,
        }
    }

    fn send(&mut self, name: LaneName, conn: Id, start: usize, end: usize, world: &mut impl SystemBelow) {
        let head = &self.lane(name).ops[0];
        // C4: it goes on where it stopped.
        let from = if self.keeps(Rule::C4) { start + head.bytes } else { start };
        let (parts, left) = (head.buffer.is_parts(), end - start - head.bytes);
        let len = head.buffer.in_one_call(from, |part| part.bytes().len()).min(end - from);
        let bytes = head.buffer.bytes()[from..from + len].to_vec();
        let first = head.buffer.in_slices(from, len);
        let behind = if len == left { self.fitting(name, first, len) } else { vec![] };
        let parts = parts || !behind.is_empty();
        let bytes: Vec<u8> = bytes.into_iter().chain(behind.concat()).collect();
        let len = bytes.len();
        match world.perform(Call::Send { conn, bytes, parts }).0 {
            Outcome::Transferred(0) => self.end(name, fault(SystemErrorKind::WriteZero)),
            Outcome::Transferred(count) if count <= len => {
                self.transferred(name, count, count < len);
                let lens = [left].into_iter().chain(behind.iter().map(Vec::len));
                self.divide(name, count, lens);
            }
            other => self.on_no_progress(name, other),
        }
    }

    /// The bytes of the sends behind the head that go out together with it: those that fit into a lane's
    /// share of bytes, and a call's of slices, as a whole.
    fn fitting(&self, name: LaneName, mut slices: usize, mut len: usize) -> Vec<Vec<u8>> {
        let bytes_max = self.plan.limits.lane_transfer_max.get() as usize;
        let mut fitting = vec![];
        for op in self.lane(name).ops.iter().skip(1) {
            let Work::Send { start, end } = op.work else { break };
            slices += op.buffer.parts();
            len += end - start;
            if slices > SLICES_MAX || len > bytes_max {
                break;
            }
            fitting.push(op.buffer.bytes()[start..end].to_vec());
        }
        fitting
    }

    /// Bytes were sent: of the first in line first, and then of the others, each of which had so many left.
    fn divide(&mut self, name: LaneName, mut count: usize, lens: impl Iterator<Item = usize>) {
        for left in lens {
            let here = left.min(count);
            count -= here;
            if here > 0 {
                self.lane_mut(name).ops[0].bytes += here;
            }
            if here < left {
                break;
            }
            self.complete_head(name, Ok(Done::Sent));
        }
    }

    fn accept(&mut self, name: LaneName, listener: Id, many: bool, world: &mut impl SystemBelow) {
        let Conn { pool, lane_bytes_max, idle, .. } = self.conns[&name.conn];
        let conn = self.open(Kind::Stream, pool);
        let state = self.conn_mut(conn.index);
        (state.lane_bytes_max, state.idle) = (lane_bytes_max, idle);
        match world.perform(Call::Accept { listener, conn }).0 {
            Outcome::Done => {
                let lane = self.lane_mut(name);
                (lane.shortages, lane.refusals, lane.ready) = (0, 0, true);
                self.note_progress(name);
                self.begin_idle(conn.index, self.now);
                if many && self.has_credit() {
                    self.complete_one_of_many(name, Ok(Done::Accepted(conn)));
                } else {
                    self.complete_head(name, Ok(Done::Accepted(conn)));
                }
                // K6: who has had the last place waits behind those who had none.
                self.hold_all(Some(name));
            }
            other => {
                self.conns.remove(&conn.index);
                self.conn_places.leave(conn.index);
                self.on_no_progress(name, other);
            }
        }
    }

    /// An accept goes on: its completion waits in a place of its own.
    fn complete_one_of_many(&mut self, name: LaneName, result: Result<Done, OpError>) {
        self.credits += 1;
        let Op { id, context, conn, .. } = self.lane(name).ops[0];
        let buffer = Buffer::None;
        self.hand_over(Completion { context, conn, op: id, buffer, bytes: 0, result, more: true });
    }

    /// A receive goes on: its completion waits in a place of its own, with a lease that is out until it is
    /// home.
    fn complete_one_receive(&mut self, name: LaneName) {
        self.credits += 1;
        let Op { id, context, conn, buffer, bytes, leases_out, .. } = &mut self.lane_mut(name).ops[0];
        *leases_out += 1;
        let (op, context, conn) = (*id, *context, *conn);
        let (mut buffer, bytes) = (std::mem::take(buffer), std::mem::take(bytes));
        buffer.fill(bytes);
        if let Buffer::Lease { by, .. } = &mut buffer {
            by.counted = Some(op);
        }
        let result = Ok(Done::Received { end_of_stream: false });
        self.hand_over(Completion { context, conn, op, buffer, bytes, result, more: true });
        self.hold_all(None);
    }

    fn connect(&mut self, name: LaneName, conn: Id, world: &mut impl SystemBelow) {
        let outcome = world.perform(Call::Connect { conn }).0;
        let had_descriptor = self.conns[&name.conn].phase == Phase::Connecting { known: true };
        let phase = match outcome {
            Outcome::Done => Phase::Open,
            Outcome::WouldBlock => Phase::Connecting { known: true },
            Outcome::Interrupted => self.conns[&name.conn].phase,
            _ => Phase::Connecting { known: false },
        };
        self.conn_mut(name.conn).phase = phase;
        let error = match outcome {
            Outcome::Done => {
                self.lane_mut(name).shortages = 0;
                self.lane_mut(name).ready = true;
                return self.complete_head(name, Ok(Done::Connected));
            }
            Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {
                self.on_no_progress(name, outcome);
                if had_descriptor && matches!(outcome, Outcome::Exhausted(_)) {
                    self.descriptor_closed();
                }
                return;
            }
            Outcome::Failed(error) | Outcome::Refused(error) => error,
            _ => SystemError::from_kind(SystemErrorKind::Other),
        };
        self.complete_head(name, Err(OpError::System(error)));
        self.abort(name.conn, aio_model::CloseReason::Requested);
        if had_descriptor {
            self.descriptor_closed();
        }
    }

    /// The calls of a connection that ends, which are of no operation.
    fn attempt_close_step(&mut self, name: LaneName, conn: Id, world: &mut impl SystemBelow) {
        match self.conns[&name.conn].phase {
            Phase::Lingering { reason, linger, fin: fin @ (Fin::Due | Fin::Tried) } => {
                let outcome = world.perform(Call::ShutdownWrite { conn }).0;
                // K2: from the first try on, it has so long and no longer.
                if fin == Fin::Due {
                    self.put_off(name.conn, self.now);
                }
                let fin = if outcome == Outcome::Done { Fin::Sent } else { Fin::Tried };
                self.conn_mut(name.conn).phase = Phase::Lingering { reason, linger, fin };
                match outcome {
                    Outcome::Done => self.lane_mut(name).shortages = 0,
                    Outcome::Interrupted | Outcome::Exhausted(_) => self.on_no_progress(name, outcome),
                    _ => self.abort(name.conn, reason),
                }
            }
            Phase::Flushing { reason, .. } | Phase::Lingering { reason, .. } => {
                match world.perform(Call::Discard { conn }).0 {
                    Outcome::Transferred(1..) | Outcome::Partial(_) => {
                        let lane = self.lane_mut(name);
                        (lane.shortages, lane.ready) = (0, true);
                    }
                    Outcome::Transferred(0) => self.end(name, LaneEnd::EndOfStream),
                    other => self.on_no_progress(name, other),
                }
                let end = self.lane(name).end;
                match end {
                    None => {}
                    Some(_) if !matches!(self.conns[&name.conn].phase, Phase::Flushing { .. }) => {
                        self.abort(name.conn, reason);
                    }
                    Some(LaneEnd::EndOfStream) => {}
                    // The sends would not be told any more what is wrong.
                    Some(error) => {
                        let sends = LaneName::send(name.conn);
                        self.end(sends, error);
                        self.abort(name.conn, reason);
                    }
                }
            }
            phase => {
                world.perform(Call::Close { conn, reset: phase == Phase::Closing { reset: true } });
                for closer in std::mem::take(&mut self.conn_mut(name.conn).closers) {
                    self.complete(closer, Ok(Done::Closed));
                }
                self.forget(name.conn);
                self.descriptor_closed();
            }
        }
    }

    /// Bytes went through. Fewer than there was room for are all there were, if new ones are going to be
    /// reported, and unless something else may be behind them.
    fn transferred(&mut self, name: LaneName, count: usize, short: bool) {
        let rearms = self.plan.rearm == Rearm::OnArrival;
        let lane = self.lane_mut(name);
        lane.bytes += count as u64;
        lane.shortages = 0;
        lane.ready = !(short && rearms && !lane.end_hinted);
        self.moved += count;
        self.note_progress(name);
        self.put_off(name.conn, self.now);
    }

    /// Nothing went through.
    fn on_no_progress(&mut self, name: LaneName, outcome: Outcome) {
        match outcome {
            Outcome::WouldBlock => {
                let lane = self.lane_mut(name);
                (lane.ready, lane.end_hinted) = (false, false);
                lane.refusals = 0;
                if self.keeps(Rule::B2) {
                    self.return_unused(name);
                }
            }
            Outcome::Interrupted => self.lane_mut(name).refusals = 0,
            Outcome::Exhausted(error) => {
                self.return_unused(name);
                self.lane_mut(name).refusals = 0;
                if self.keeps(Rule::K5) {
                    let served = self.lane(name).shortages == 0;
                    self.pause(name);
                    if error.kind() == SystemErrorKind::DescriptorsExhausted {
                        let line = if served { &mut self.short_served } else { &mut self.short };
                        line.push_back(name);
                    }
                }
            }
            // K5: an accept is tried four times in a row; then all that are queued are told.
            Outcome::Refused(error) if self.accepts(name) => {
                let refusals = self.lane(name).refusals + 1;
                self.lane_mut(name).refusals = refusals % 4;
                if refusals < 4 {
                    self.pause(name);
                } else {
                    self.complete_all(name, |_| Err(OpError::System(error)));
                }
            }
            Outcome::Failed(error) | Outcome::Refused(error) => self.end(name, LaneEnd::Fault(error)),
            // K7: what makes no sense is an error of the connection's, and of nobody else.
            _ => self.end(name, fault(SystemErrorKind::Other)),
        }
    }

    fn accepts(&self, name: LaneName) -> bool {
        self.lane(name).ops.front().is_some_and(|head| matches!(head.work, Work::Accept { .. }))
    }

    /// B2: a buffer that nothing was received into goes home.
    pub(super) fn return_unused(&mut self, name: LaneName) {
        let Some(head) = self.lane_mut(name).ops.front_mut() else { return };
        if let (true, Buffer::Lease { by, .. }) = (head.work.is_pooled(), head.buffer.clone()) {
            head.buffer = Buffer::None;
            self.return_buffer(by);
        }
    }

    /// K4: nothing more can come of this direction, and everything queued is told.
    fn end(&mut self, name: LaneName, end: LaneEnd) {
        if self.keeps(Rule::K4) {
            self.lane_mut(name).end = Some(end);
        }
        self.complete_all(name, |work| result_of(end, *work));
    }
}
