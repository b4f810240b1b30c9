//! What the user asks for of operations: submit, cancel, resume, another deadline. Nothing here makes a
//! system call, so all of it is legal anywhere, at any time (C7).

use core::num::{NonZeroU8, NonZeroU32};

use crate::completion::OpError;
use crate::conn::{Conn, Phase};
use crate::deadlines::Owner;
use crate::error::{IdError, Limit, OpIdError, ResumeError, SetPoolError, SubmitError, SubmitErrorKind};
use crate::extra::{Carried, Closer};
use crate::id::{ConnId, OpId, PoolId, Serial};
use crate::lane::{Bits, Direction, LaneId};
use crate::lanes::Position;
use crate::model::Model;
use crate::model::end::{own_index, own_place};
use crate::op::{LaneOp, Manner, Op, OpKind, Operation, Request};
use crate::system::Kind;
use crate::time::{Deadline, Instant};

/// Where a queued operation is.
enum Whereabouts {
    Lane(LaneId, Position),
    Sleep(u32),
}

impl<C> Model<C> {
    /// Accepts an operation, and with it the duty of exactly one final completion (C1), or refuses it and
    /// gives everything back. `clock` is asked only if the operation's deadline is relative.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] with context and buffer; nothing else has happened.
    #[inline]
    pub fn submit(
        &mut self,
        conn: ConnId,
        op: impl Operation<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> Result<OpId, SubmitError<C>> {
        let request = op.into_request();
        let usual = match request.kind {
            OpKind::Send => Some((LaneOp::Send, Direction::Send)),
            OpKind::RecvPooled { pool: None } => {
                Some((LaneOp::RecvPooled(PoolId::DEFAULT), Direction::Receive))
            }
            _ => None,
        };
        if let Some((kind, direction)) = usual
            && self.may_be_usual(conn, direction, &request)
            && let Some(lane) = self.lanes.empty_lane(conn, direction)
        {
            let pool = lane.conn.pool;
            let kind = if direction == Direction::Receive { LaneOp::RecvPooled(pool) } else { kind };
            if direction == Direction::Send || self.pools.lends(pool) {
                let (id, serial) = (lane.id, self.serial.take_next());
                self.metrics.on_submitted(kind);
                self.completions.take_credit();
                let timer = match request.deadline {
                    None => None,
                    Some(deadline) => self.deadlines.arm(deadline.at(self.now, clock), Owner::Op(id)),
                };
                lane.put(Op::new(serial, kind, timer, context), request.transfer);
                return Ok(OpId::new(serial, id.index(), self.realm));
            }
        }
        self.submit_unusual(conn, request, context, clock)
    }

    /// Whether an operation may be put at the head of its lane without further ado, if that is empty: a send,
    /// or a receive from a connection's pool.
    #[inline(always)]
    fn may_be_usual(&mut self, conn: ConnId, direction: Direction, request: &Request<C>) -> bool {
        let (start, end) = request.transfer.range();
        let buffer = request.transfer.buffer();
        let makes_sense = direction == Direction::Receive
            || start < end && end <= buffer.len() && !buffer.is_too_large() && self.pools.may_send(buffer);
        makes_sense
            && conn.realm() == self.realm
            && !self.shut_down
            && self.completions.has_usual_credit()
            && match request.deadline {
                None => true,
                Some(Deadline::Progress(_)) => false,
                Some(_) => self.deadlines.has_room(),
            }
    }

    /// [`submit`](Model::submit), of anything.
    #[cold]
    #[inline(never)]
    fn submit_unusual(
        &mut self,
        conn: ConnId,
        mut request: Request<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> Result<OpId, SubmitError<C>> {
        if conn == self.own() {
            return self.submit_own(request, context, clock);
        }
        let own_pool = match self.admit(conn, &request) {
            Ok(state) => state.pool,
            Err(kind) => return Err(self.refuse(kind, request, context)),
        };
        let kind = match &mut request.kind {
            OpKind::Recv { exact } => LaneOp::Recv { exact: *exact },
            OpKind::RecvPooled { pool } => LaneOp::RecvPooled(pool.unwrap_or(own_pool)),
            OpKind::RecvMany { pool, leases_max, clone } => {
                self.clone_context = Some(*clone);
                LaneOp::RecvMany(pool.unwrap_or(own_pool), NonZeroU8::MIN.saturating_add(*leases_max - 1))
            }
            OpKind::Accept { many } => {
                self.clone_context = many.or(self.clone_context);
                LaneOp::Accept { many: many.is_some() }
            }
            OpKind::Send => LaneOp::Send,
            OpKind::Wait(_) => LaneOp::Wait,
            OpKind::Shutdown => LaneOp::Shutdown,
            OpKind::Close { manner, reason } => {
                let closing = (*manner, *reason);
                return self.submit_close(conn, closing, request, context, clock);
            }
            OpKind::Connect { .. } | OpKind::Sleep | OpKind::Post => {
                unreachable!("not admitted on a connection")
            }
        };
        let direction = request.kind.direction().expect("it is no close");
        let id = LaneId::new(conn.index(), direction);
        let carries = !request.transfer.is_none();
        let renewal = request.deadline.and_then(Deadline::renewal);
        let has_room = self.completions.has_room()
            && (request.deadline.is_none() || self.deadlines.has_room())
            && self.lanes.has_room_for_op(id, carries)
            && (renewal.is_none() || self.lanes.has_room_to_renew(id.conn()));
        if !has_room {
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        if kind == LaneOp::Send && !self.begin_send(request.transfer.buffer_mut()) {
            self.lanes.tidy(id.conn());
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        let at = self.resolve(request.deadline, clock);
        let timer = self.deadlines.arm(at, Owner::Op(id));
        let serial = self.accept_op(kind);
        let load = if carries { Carried::Transfer(request.transfer) } else { Carried::Nothing };
        self.lanes.push(id, Op::new(serial, kind, timer, context), load, &mut self.deadlines);
        if renewal.is_some() && timer.is_some() {
            self.lanes.set_renewal(id.conn(), serial, renewal);
        }
        if let Some(end) = self.lanes.lane(id).end() {
            self.end_all(id, |kind| end.result(kind));
        }
        Ok(OpId::new(serial, id.index(), self.realm))
    }

    /// An operation of a lane is accepted: it has a number and a credit.
    fn accept_op(&mut self, kind: LaneOp) -> Serial {
        self.metrics.on_submitted(kind);
        self.take_credit(None);
        self.serial.take_next()
    }

    /// [`submit`](Model::submit), of a `Close` that was admitted.
    fn submit_close(
        &mut self,
        conn: ConnId,
        (manner, reason): (Manner, crate::completion::CloseReason),
        request: Request<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> Result<OpId, SubmitError<C>> {
        let index = conn.index();
        let has_room = self.completions.has_room()
            && (request.deadline.is_none() || self.deadlines.has_room())
            && self.lanes.has_room_to_close(index);
        if !has_room {
            self.lanes.tidy(index);
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        let lingers = matches!(manner, Manner::Linger(_));
        let is_relative = request.deadline.is_some_and(Deadline::is_relative);
        let now = if lingers || is_relative { clock().max(self.now) } else { self.now };
        let deadline = self.resolve(request.deadline, || now);
        self.metrics.on_close_submitted();
        self.take_credit(None);
        let serial = self.serial.take_next();
        self.lanes.put_closer(index, Closer { serial, context }, manner, reason);
        self.begin_close(index, manner, reason, deadline, now);
        Ok(OpId::new(serial, LaneId::receive(index).index(), self.realm))
    }

    /// [`submit`](Model::submit), of what is of no connection.
    fn submit_own(
        &mut self,
        request: Request<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> Result<OpId, SubmitError<C>> {
        if let Err(kind) = self.admit_own(&request) {
            return Err(self.refuse(kind, request, context));
        }
        let connects = matches!(request.kind, OpKind::Connect { .. });
        let has_room = self.completions.has_room()
            && (request.deadline.is_none() || self.deadlines.has_room())
            && if connects { self.lanes.has_room(Kind::Stream) } else { self.own.has_room() };
        if !has_room {
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        if connects {
            return self.submit_connect(request, context, clock);
        }
        let deadline = self.resolve(request.deadline, clock);
        self.take_credit(None);
        let serial = self.serial.take_next();
        let index = if let OpKind::Post = request.kind {
            self.metrics.on_post_submitted();
            let index = self.own.post(serial, context, request.transfer.into_buffer());
            self.complete_own(index);
            index
        } else {
            let index = self.own.sleep(serial, context);
            self.metrics.on_sleep_submitted();
            let timer = self.deadlines.arm(deadline, Owner::Sleep(index));
            self.own.set_timer(index, timer);
            index
        };
        Ok(OpId::new(serial, own_place(index), self.realm))
    }

    /// [`submit`](Model::submit), of a connect that was admitted.
    fn submit_connect(
        &mut self,
        request: Request<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> Result<OpId, SubmitError<C>> {
        let state = Conn::new(Kind::Stream, Phase::Connecting, PoolId::DEFAULT, self.now);
        let conn = self.lanes.insert(state);
        if !self.lanes.has_extra(conn.index()) {
            self.lanes.remove(conn);
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        let deadline = self.resolve(request.deadline, clock);
        let OpKind::Connect { target } = request.kind else { unreachable!("it is a connect") };
        self.lanes.set_target(conn.index(), target);
        self.metrics.on_opened();
        let serial = self.accept_op(LaneOp::Connect);
        self.lanes.opened(conn, None);
        let id = LaneId::send(conn.index());
        let timer = self.deadlines.arm(deadline, Owner::Op(id));
        let op = Op::new(serial, LaneOp::Connect, timer, context);
        self.lanes.push(id, op, Carried::Nothing, &mut self.deadlines);
        Ok(OpId::new(serial, id.index(), self.realm))
    }

    /// Gives back what came with a request.
    #[cold]
    fn refuse(&mut self, kind: SubmitErrorKind, request: Request<C>, context: C) -> SubmitError<C> {
        self.metrics.on_refused();
        SubmitError { kind, context, buffer: request.transfer.into_buffer() }
    }

    /// Whether a request is acceptable, and then the connection it is for.
    fn admit(&self, conn: ConnId, request: &Request<C>) -> Result<&Conn<C>, SubmitErrorKind> {
        let state = self.users_conn(conn)?;
        if self.shut_down {
            return Err(SubmitErrorKind::ShutDown);
        }
        if state.phase() != Phase::Open && !matches!(request.kind, OpKind::Close { .. }) {
            return Err(SubmitErrorKind::Closing);
        }
        self.admit_kind(state, request)?;
        if let Some(direction) = request.kind.direction() {
            let lane = state.lane(direction);
            if lane.has(Bits::TAINTED) {
                return Err(SubmitErrorKind::Tainted);
            }
            if lane.has(Bits::SHUTTING | Bits::SHUT) {
                return Err(SubmitErrorKind::WriteShutDown);
            }
            if direction == Direction::Receive && state.receives_many() {
                return Err(SubmitErrorKind::ReceivesMany);
            }
            if state.queued(direction) >= self.limits.lane_ops_max.get() {
                return Err(SubmitErrorKind::Busy(Limit::LaneOps));
            }
            if !self.has_room_for_bytes(state, request) {
                return Err(SubmitErrorKind::Busy(Limit::LaneBytes));
            }
        }
        if self.completions.has_credit() { Ok(state) } else { Err(SubmitErrorKind::Busy(Limit::Ops)) }
    }

    /// Whether the bytes of a request can be queued, if it is a send.
    fn has_room_for_bytes(&self, conn: &Conn<C>, request: &Request<C>) -> bool {
        if !matches!(request.kind, OpKind::Send) || conn.queued(Direction::Send) == 0 {
            return true;
        }
        let bytes_max = conn.lane_bytes_max.unwrap_or(self.limits.lane_bytes_max).get() as usize;
        conn.bytes_to_send().saturating_add(request.transfer.left()) <= bytes_max
    }

    /// Whether an operation makes sense in itself, and fits the kind of thing it is submitted on.
    fn admit_kind(&self, conn: &Conn<C>, request: &Request<C>) -> Result<(), SubmitErrorKind> {
        let buffer = request.transfer.buffer();
        let (start, end) = request.transfer.range();
        match (conn.kind, &request.kind) {
            (Kind::Listener, OpKind::Accept { .. } | OpKind::Close { .. })
            | (Kind::Stream, OpKind::Shutdown | OpKind::Wait(_) | OpKind::Close { .. }) => Ok(()),
            (Kind::Stream, OpKind::Recv { .. } | OpKind::Send) if buffer.is_too_large() => {
                Err(SubmitErrorKind::TooLarge)
            }
            (Kind::Stream, OpKind::Recv { .. }) if !buffer.is_writable() && !buffer.is_empty() => {
                Err(SubmitErrorKind::NotWritable)
            }
            (Kind::Stream, OpKind::Recv { .. }) if end == 0 => Err(SubmitErrorKind::EmptyBuffer),
            (Kind::Stream, OpKind::RecvPooled { pool }) => self.admit_pool(pool.unwrap_or(conn.pool), 1),
            (Kind::Stream, OpKind::RecvMany { pool, leases_max, .. }) => {
                self.admit_pool(pool.unwrap_or(conn.pool), *leases_max)
            }
            (Kind::Stream, OpKind::Send) if end > buffer.len() || start > end => {
                Err(SubmitErrorKind::OutOfRange)
            }
            (Kind::Stream, OpKind::Send) if start == end => Err(SubmitErrorKind::EmptyBuffer),
            (Kind::Stream, OpKind::Recv { .. } | OpKind::Send) => Ok(()),
            (Kind::Listener, _)
            | (Kind::Stream, OpKind::Accept { .. } | OpKind::Connect { .. } | OpKind::Sleep | OpKind::Post) => {
                Err(SubmitErrorKind::WrongKind)
            }
        }
    }

    /// Whether a request of no connection is acceptable.
    fn admit_own(&self, request: &Request<C>) -> Result<(), SubmitErrorKind> {
        match request.kind {
            _ if self.shut_down => Err(SubmitErrorKind::ShutDown),
            OpKind::Connect { .. } if !self.lanes.has_place() => {
                Err(SubmitErrorKind::Busy(Limit::Connections))
            }
            OpKind::Sleep | OpKind::Post | OpKind::Connect { .. } if self.completions.has_credit() => Ok(()),
            OpKind::Sleep | OpKind::Post | OpKind::Connect { .. } => Err(SubmitErrorKind::Busy(Limit::Ops)),
            _ => Err(SubmitErrorKind::WrongKind),
        }
    }

    /// Whether so many leases of a pool can be received into.
    fn admit_pool(&self, pool: PoolId, leases_max: u8) -> Result<(), SubmitErrorKind> {
        let size = self.pools.get(pool).ok_or(SubmitErrorKind::NoPool)?.size();
        match leases_max {
            _ if size.buffer_bytes == 0 => Err(SubmitErrorKind::EmptyBuffer),
            // Of a pool without buffers one is waited for, but no number of them.
            2.. if u32::from(leases_max) > size.buffers_max => Err(SubmitErrorKind::LeasesMax),
            0 => Err(SubmitErrorKind::LeasesMax),
            _ => Ok(()),
        }
    }

    /// Lets the pooled receives that are submitted on a connection from now on take from another pool; on a
    /// listener, those of the connections that it accepts from now on, too.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or the id is stale or foreign. Nothing happens then.
    pub fn set_pool(&mut self, conn: ConnId, pool: PoolId) -> Result<(), SetPoolError> {
        let index = self.conn_index(conn)?;
        if self.pools.get(pool).is_none() {
            return Err(SetPoolError::NoPool);
        }
        self.lanes.set_pool(index, pool);
        Ok(())
    }

    /// Gives a connection a bound of its own for the bytes that are queued to be sent, or with `None` the
    /// proactor's again; on a listener, the connections that it accepts from now on, too. What is queued
    /// stays.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign. Nothing happens then.
    pub fn set_lane_bytes_max(&mut self, conn: ConnId, bytes_max: Option<NonZeroU32>) -> Result<(), IdError> {
        let index = self.conn_index(conn)?;
        self.lanes.set_lane_bytes_max(index, bytes_max);
        Ok(())
    }

    /// When a deadline falls due; never, if there is none.
    #[inline]
    pub(super) fn resolve(&self, deadline: Option<Deadline>, clock: impl FnOnce() -> Instant) -> Instant {
        deadline.map_or(Instant::MAX, |deadline| deadline.at(self.now, clock))
    }

    /// Gives a queued operation another deadline, or none.
    ///
    /// # Errors
    ///
    /// When it has ended already, when it is a close, when the id is foreign, or when there is no memory to
    /// put it off. Nothing happens then.
    pub fn set_deadline(
        &mut self,
        op: OpId,
        deadline: Option<Deadline>,
        clock: impl FnOnce() -> Instant,
    ) -> Result<(), OpIdError> {
        let place = self.queued_op(op)?;
        let renewal = deadline.and_then(Deadline::renewal);
        if let Whereabouts::Lane(id, _) = place
            && renewal.is_some()
            && !self.lanes.has_room_to_renew(id.conn())
        {
            return Err(OpIdError::Memory);
        }
        let at = self.resolve(deadline, clock);
        match place {
            Whereabouts::Sleep(index) => {
                self.deadlines.cancel(self.own.timer(index));
                let timer = self.deadlines.arm(at, Owner::Sleep(index));
                self.own.set_timer(index, timer);
            }
            Whereabouts::Lane(id, position) => {
                self.deadlines.cancel(self.lanes.op(id, position).0.timer());
                let timer = self.deadlines.arm(at, Owner::Op(id));
                self.lanes.set_timer(id, position, timer);
                self.lanes.set_renewal(id.conn(), op.serial(), renewal.filter(|_| timer.is_some()));
                self.lanes.tidy(id.conn());
            }
        }
        Ok(())
    }

    /// Where an operation is that is queued and can be taken back.
    fn queued_op(&self, op: OpId) -> Result<Whereabouts, OpIdError> {
        if op.realm() != self.realm {
            return Err(OpIdError::Foreign);
        }
        if let Some(index) = own_index(op.place()) {
            let sleeps = self.own.at(index).is_some_and(|own| own.serial == op.serial() && own.sleeps());
            return if sleeps { Ok(Whereabouts::Sleep(index)) } else { Err(OpIdError::Stale) };
        }
        let id = LaneId::from_index(op.place());
        if let Some(position) = self.lanes.find(id, op.serial()) {
            return Ok(Whereabouts::Lane(id, position));
        }
        let closing = self.lanes.at(id.conn()).and_then(Conn::closing);
        let closes = closing
            .filter(|closing| !closing.ended)
            .is_some_and(|closing| closing.closers().any(|closer| closer.serial == op.serial()));
        if closes { Err(OpIdError::Close) } else { Err(OpIdError::Stale) }
    }

    /// Ends a queued operation with [`OpError::Cancelled`], in whatever state it is. If it is a send that had
    /// moved a part of its bytes, its lane is tainted.
    ///
    /// # Errors
    ///
    /// When it has ended already, when it is a close, or when the id is foreign. Nothing happens then.
    pub fn cancel(&mut self, op: OpId) -> Result<(), OpIdError> {
        let place = self.queued_op(op)?;
        self.metrics.on_cancelled(1);
        match place {
            Whereabouts::Sleep(index) => self.end_sleep(index, Err(OpError::Cancelled)),
            Whereabouts::Lane(id, position) => self.end_early(id, position, OpError::Cancelled),
        }
        Ok(())
    }

    /// Ends every queued operation of a connection with [`OpError::Cancelled`], and returns how many they
    /// were. If a send among them had moved a part of its bytes, the lane is tainted.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign.
    pub fn cancel_all(&mut self, conn: ConnId) -> Result<u32, IdError> {
        let index = self.conn_index(conn)?;
        let mut count = 0;
        for id in Direction::BOTH.map(|direction| LaneId::new(index, direction)) {
            count += self.lanes.conn(index).queued(id.direction());
            let partial = self.is_partial_send(id);
            self.end_all(id, |_| Err(OpError::Cancelled));
            if partial {
                self.taint(id);
            }
        }
        self.on_send_lane_changed(index);
        self.metrics.on_cancelled(count);
        Ok(count)
    }

    /// Allows sends again after one ended with a part of its bytes (C5). The stream stands where
    /// [`Completion::bytes`](crate::Completion::bytes) of that send says: resend the rest, or what the
    /// protocol wants there instead.
    ///
    /// # Errors
    ///
    /// When the lane is not tainted, or the id is stale or foreign. Nothing happens then.
    pub fn resume(&mut self, conn: ConnId) -> Result<(), ResumeError> {
        let id = LaneId::send(self.conn_index(conn)?);
        if !self.lanes.lane(id).has(Bits::TAINTED) {
            return Err(ResumeError::NotTainted);
        }
        self.lanes.change(id, &mut self.deadlines, |lane| lane.clear(Bits::TAINTED));
        Ok(())
    }
}
