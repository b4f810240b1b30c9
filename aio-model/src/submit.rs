//! What the user asks for: submit, cancel, resume, close. Nothing here makes a system call, so all of it is
//! legal anywhere, at any time (C7).

use core::time::Duration;

use crate::buffer::Buffer;
use crate::cargo::Cargo;
use crate::completion::{CloseReason, Done, OpError};
use crate::conn::{Conn, Fin, Phase};
use crate::error::{IdError, Limit, OpIdError, ResumeError, SetPoolError, SubmitError, SubmitErrorKind};
use crate::id::{ConnId, Key, OpId};
use crate::lane::{Direction, End, Gate, LaneId, Place};
use crate::list::Link;
use crate::model::Model;
use crate::op::{Manner, Op, Operation, Request, Stage, Work};
use crate::owner::Owner;
use crate::pool::PoolId;
use crate::slab::NIL;
use crate::system::Kind;
use crate::time::{Deadline, Instant};

/// How a connection ends that flushes or lingers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) reason: CloseReason,
    /// Whether it lingers, once it has flushed.
    pub(crate) lingers: bool,
    /// How long it waits for the peer to take anything.
    pub(crate) span: Option<Duration>,
}

impl<C> Model<C> {
    /// Accepts an operation, and with it the duty of exactly one final completion (C1), or refuses it and gives
    /// everything back. `clock` is asked only if the operation's deadline is relative.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] with context and buffer; nothing else has happened.
    pub fn submit(
        &mut self,
        conn: ConnId,
        op: impl Operation<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> Result<OpId, SubmitError<C>> {
        let mut request = op.into_request();
        if conn == self.own() {
            return self.submit_own(request, context, clock);
        }
        let direction = request.work.direction();
        let admitted = self.admit(conn, &request).map(|admitted| {
            let link = direction.map_or(Link::UNLINKED, |at| admitted.lanes[at as usize].ops.next_link());
            (admitted.pool, link)
        });
        let (pool, link) = match admitted {
            Ok(admitted) => admitted,
            Err(kind) => return Err(self.refuse(kind, request, context)),
        };
        if let Work::RecvOwnPool = request.work {
            request.work = Work::RecvPooled { pool };
        }
        if !self.has_memory(&request) {
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        let Some(direction) = direction else {
            return Ok(self.submit_close(conn, request, context, clock));
        };
        let deadline = self.resolve(request.deadline, clock);
        let shuts = matches!(request.work, Work::Shutdown);
        let key = self.insert(request, context, conn.key(), link);
        let lane = LaneId::new(conn.index(), direction);
        self.arm(key.index(), deadline);
        self.enqueue(lane, key.index(), shuts);
        Ok(OpId::new(key, self.realm))
    }

    /// [`submit`](Model::submit), of a `Close` that was admitted.
    fn submit_close(
        &mut self,
        conn: ConnId,
        request: Request<C>,
        context: C,
        clock: impl FnOnce() -> Instant,
    ) -> OpId {
        let lingers = matches!(request.work, Work::Close { manner: Manner::Linger(_), .. });
        let is_relative = matches!(request.deadline, Some(Deadline::Within(_)));
        let now = if lingers || is_relative { clock().max(self.now) } else { self.now };
        let deadline = self.resolve(request.deadline, || now);
        let key = self.insert(request, context, conn.key(), Link::UNLINKED);
        self.begin_close(conn.index(), key.index(), deadline, now);
        OpId::new(key, self.realm)
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
        let connects = matches!(request.work, Work::Connect { .. });
        if !self.has_memory(&request) || connects && !self.conns.has_room() {
            return Err(self.refuse(SubmitErrorKind::Busy(Limit::Memory), request, context));
        }
        let deadline = self.resolve(request.deadline, clock);
        let key = self.insert(request, context, self.own().key(), Link::UNLINKED);
        self.begin_own(key.index(), deadline);
        Ok(OpId::new(key, self.realm))
    }

    /// Whether there is memory for what is kept of a request.
    #[inline]
    fn has_memory(&mut self, request: &Request<C>) -> bool {
        self.ops.has_room()
            && (request.cargo.buffer.is_none() || self.cargos.has_room())
            && (request.deadline.is_none() || self.timers.has_room())
    }

    /// Gives back what came with a request.
    #[cold]
    fn refuse(&mut self, kind: SubmitErrorKind, request: Request<C>, context: C) -> SubmitError<C> {
        self.stats.refused += 1;
        SubmitError { kind, context, buffer: request.cargo.buffer }
    }

    /// Makes an admitted request an operation.
    #[inline(always)]
    fn insert(&mut self, request: Request<C>, context: C, conn: Key, link: Link) -> Key {
        let Request { work, mut cargo, .. } = request;
        self.stats.submitted += 1;
        *self.queued.of_mut(&work) += 1;
        let cargo = if cargo.buffer.is_none() {
            core::mem::forget(cargo);
            None
        } else {
            if let Buffer::Parts(parts) = &mut cargo.buffer {
                parts.rewind();
            }
            Some(self.cargos.load(cargo))
        };
        self.ops.insert(Op { context, conn, link, timer: None, cargo, stage: Stage::Queued(work) })
    }

    /// Whether a request is acceptable, and then the connection it is for.
    // Whoever submits knows what: inlined, next to nothing is left to be asked.
    #[inline(always)]
    fn admit(&self, conn: ConnId, request: &Request<C>) -> Result<&Conn, SubmitErrorKind> {
        let conn = self.users_conn(conn)?;
        match conn.phase {
            _ if self.shut_down => return Err(SubmitErrorKind::ShutDown),
            Phase::Open => {}
            Phase::Connecting { .. } | Phase::Flushing | Phase::Lingering { .. } | Phase::Closing { .. } => {
                return Err(SubmitErrorKind::Closing);
            }
        }
        self.admit_work(conn, request)?;
        if let Some(direction) = request.work.direction() {
            let lane = &conn.lanes[direction as usize];
            match lane.gate {
                Gate::Open => {}
                Gate::Tainted => return Err(SubmitErrorKind::Tainted),
                Gate::Shutting | Gate::Shut => return Err(SubmitErrorKind::WriteShutDown),
            }
            if lane.ops.len() >= self.limits.lane_ops_max.get() {
                return Err(SubmitErrorKind::Busy(Limit::LaneOps));
            }
        }
        if !self.has_credit() {
            return Err(SubmitErrorKind::Busy(Limit::Ops));
        }
        Ok(conn)
    }

    /// Whether a request of no connection is acceptable.
    fn admit_own(&self, request: &Request<C>) -> Result<(), SubmitErrorKind> {
        match request.work {
            _ if self.shut_down => Err(SubmitErrorKind::ShutDown),
            Work::Connect { .. } if !self.has_place() => Err(SubmitErrorKind::Busy(Limit::Connections)),
            Work::Sleep | Work::Post | Work::Connect { .. } if self.has_credit() => Ok(()),
            Work::Sleep | Work::Post | Work::Connect { .. } => Err(SubmitErrorKind::Busy(Limit::Ops)),
            _ => Err(SubmitErrorKind::WrongKind),
        }
    }

    /// A connect, a sleep or a post was accepted.
    fn begin_own(&mut self, index: u32, deadline: Instant) {
        match self.ops[index].work() {
            Work::Post => self.end(index, Ok(Done::Posted)),
            Work::Connect { .. } => {
                let conn =
                    Conn { phase: Phase::Connecting { known: false }, ..self.new_stream(PoolId::DEFAULT) };
                let key = self.conns.insert(conn);
                self.stats.opened += 1;
                self.ops[index].conn = key;
                self.arm(index, deadline);
                self.enqueue(LaneId::new(key.index(), Direction::Send), index, false);
            }
            _ => {
                self.sleeping.push_back(&mut self.ops, index);
                self.arm(index, deadline);
            }
        }
    }

    /// A connection that is about to be accepted or made.
    pub(crate) fn new_stream(&self, pool: PoolId) -> Conn {
        Conn::new(Kind::Stream, pool, self.now)
    }

    /// Whether an operation makes sense in itself, and fits the kind of thing it is submitted on.
    #[inline(always)]
    fn admit_work(&self, conn: &Conn, request: &Request<C>) -> Result<(), SubmitErrorKind> {
        match (conn.kind, &request.work) {
            (Kind::Listener, Work::Accept { .. } | Work::Close { .. })
            | (Kind::Stream, Work::Shutdown | Work::Close { .. }) => Ok(()),
            (Kind::Stream, Work::Recv { .. } | Work::Send) if request.cargo.buffer.is_too_large() => {
                Err(SubmitErrorKind::TooLarge)
            }
            (Kind::Stream, Work::Recv { .. }) => match &request.cargo.buffer {
                buffer if !buffer.is_writable() && !buffer.is_empty() => Err(SubmitErrorKind::NotWritable),
                _ if request.cargo.end == 0 => Err(SubmitErrorKind::EmptyBuffer),
                _ => Ok(()),
            },
            (Kind::Stream, Work::RecvPooled { pool }) => self.admit_pool(*pool),
            (Kind::Stream, Work::RecvOwnPool) => self.admit_pool(conn.pool),
            (Kind::Stream, Work::Send) => match &request.cargo {
                Cargo { buffer, start, end, .. } if *end > buffer.len() || start > end => {
                    Err(SubmitErrorKind::OutOfRange)
                }
                Cargo { start, end, .. } if start == end => Err(SubmitErrorKind::EmptyBuffer),
                _ => Ok(()),
            },
            (Kind::Listener, _)
            | (Kind::Stream, Work::Accept { .. } | Work::Connect { .. } | Work::Sleep | Work::Post) => {
                Err(SubmitErrorKind::WrongKind)
            }
        }
    }

    /// Whether a pool can be received from.
    #[inline]
    fn admit_pool(&self, pool: PoolId) -> Result<(), SubmitErrorKind> {
        let pool = self.pools.get(pool.index()).ok_or(SubmitErrorKind::NoPool)?;
        if pool.size().buffer_bytes == 0 { Err(SubmitErrorKind::EmptyBuffer) } else { Ok(()) }
    }

    /// Lets the pooled receives that are submitted on a connection from now on take from another pool; on a
    /// listener, those of the connections that it accepts from now on, too.
    ///
    /// # Errors
    ///
    /// When there is no such pool, or the id is stale or foreign. Nothing happens then.
    pub fn set_pool(&mut self, conn: ConnId, pool: PoolId) -> Result<(), SetPoolError> {
        let index = self.conn_index(conn)?;
        if pool.index() >= self.pools.len() {
            return Err(SetPoolError::NoPool);
        }
        self.conns[index].pool = pool;
        Ok(())
    }

    /// Puts an operation, whose link has been set, at the back of a lane.
    #[inline(always)]
    fn enqueue(&mut self, lane: LaneId, index: u32, shuts: bool) {
        let state = &mut self.conns[lane];
        state.ops.append(&mut self.ops, index);
        if shuts {
            state.gate = Gate::Shutting;
        }
        if let Some(end) = state.end {
            self.end_all(lane, |work| end.result(work));
        }
        self.settle_inline(lane, false);
    }

    /// When a deadline falls due; never, if there is none.
    fn resolve(&self, deadline: Option<Deadline>, clock: impl FnOnce() -> Instant) -> Instant {
        match deadline {
            None => Instant::MAX,
            Some(Deadline::At(at)) => at,
            // A clock that stepped back must not make the deadline come sooner (T3).
            Some(Deadline::Within(span)) => clock().max(self.now) + span,
        }
    }

    /// Arms the timer of an operation, if it is ever to fire.
    #[inline]
    fn arm(&mut self, index: u32, deadline: Instant) {
        if deadline < Instant::MAX {
            self.ops[index].timer = Some(self.timers.arm(deadline.tick_ceil(), Owner::Op(index).into()));
        }
    }

    /// Gives a queued operation another deadline, or none.
    ///
    /// # Errors
    ///
    /// When it has ended already, when it is a close, or when the id is foreign. Nothing happens then.
    pub fn set_deadline(
        &mut self,
        op: OpId,
        deadline: Option<Deadline>,
        clock: impl FnOnce() -> Instant,
    ) -> Result<(), OpIdError> {
        let index = self.queued(op)?;
        let deadline = self.resolve(deadline, clock);
        if let Some(timer) = self.ops[index].timer.take() {
            self.timers.cancel(timer);
        }
        self.arm(index, deadline);
        Ok(())
    }

    /// The index of an operation that is queued and can be taken back.
    fn queued(&self, op: OpId) -> Result<u32, OpIdError> {
        if op.realm() != self.realm {
            return Err(OpIdError::Foreign);
        }
        match self.ops.get(op.key()).map(|op| &op.stage) {
            None | Some(Stage::Ended { .. }) => Err(OpIdError::Stale),
            Some(Stage::Queued(Work::Close { .. })) => Err(OpIdError::Close),
            Some(Stage::Queued(_)) => Ok(op.index()),
        }
    }

    /// Ends a queued operation with [`OpError::Cancelled`], in whatever state it is. If it is a send that had
    /// moved a part of its bytes, its lane is tainted.
    ///
    /// # Errors
    ///
    /// When it has ended already, when it is a close, or when the id is foreign. Nothing happens then.
    pub fn cancel(&mut self, op: OpId) -> Result<(), OpIdError> {
        let index = self.queued(op)?;
        self.stats.cancelled += 1;
        self.end_early(index, OpError::Cancelled);
        Ok(())
    }

    /// Ends every queued operation of a connection with [`OpError::Cancelled`], and returns how many they were.
    /// If a send among them had moved a part of its bytes, the lane is tainted.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign.
    pub fn cancel_all(&mut self, conn: ConnId) -> Result<u32, IdError> {
        let index = self.conn_index(conn)?;
        let mut count = 0;
        for direction in [Direction::Receive, Direction::Send] {
            let lane = LaneId::new(index, direction);
            count += self.conns[lane].ops.len();
            let partial = self.head_is_partial_send(lane);
            self.end_all(lane, |_| Err(OpError::Cancelled));
            if partial {
                self.conns[lane].gate = Gate::Tainted;
            }
            self.settle(lane);
        }
        self.stats.cancelled += u64::from(count);
        Ok(count)
    }

    /// Allows sends again after one ended with a part of its bytes (C5). The stream stands where
    /// [`Completion::bytes`](crate::Completion::bytes) of that send says: resend the rest, or what the protocol
    /// wants there instead.
    ///
    /// # Errors
    ///
    /// When the lane is not tainted, or the id is stale or foreign. Nothing happens then.
    pub fn resume(&mut self, conn: ConnId) -> Result<(), ResumeError> {
        let index = self.conn_index(conn)?;
        let lane = &mut self.conns[LaneId::new(index, Direction::Send)];
        if lane.gate != Gate::Tainted {
            return Err(ResumeError::NotTainted);
        }
        lane.gate = Gate::Open;
        Ok(())
    }

    /// Closes a connection or listener at once: every queued operation ends with [`OpError::Closed`], the
    /// descriptor is closed in a coming turn, and then the id is stale. Closing what is being closed is fine; what
    /// is flushing or lingering ends at once, unless it does so because of a [`shut_down_by`](Model::shut_down_by): a user
    /// who closes when a receive fails would otherwise cut off what the shutdown was to let finish.
    ///
    /// # Errors
    ///
    /// When the id is stale (it *is* closed) or foreign.
    pub fn close(&mut self, conn: ConnId) -> Result<(), IdError> {
        let index = self.conn_index(conn)?;
        self.close_because(index, CloseReason::Requested);
        Ok(())
    }

    /// [`close`](Model::close), for a reason of the program's own, which the operations that it ends are told.
    ///
    /// # Errors
    ///
    /// When the id is stale (it *is* closed) or foreign.
    pub fn close_with(&mut self, conn: ConnId, code: u32) -> Result<(), IdError> {
        let index = self.conn_index(conn)?;
        self.close_because(index, CloseReason::Code(code));
        Ok(())
    }

    fn close_because(&mut self, conn: u32, reason: CloseReason) {
        let Conn { phase, closer, .. } = self.conns[conn];
        match phase {
            Phase::Flushing | Phase::Lingering { .. } if closer == NIL => {}
            _ => self.abort(conn, reason),
        }
    }

    /// Closes everything and accepts nothing any more: every operation ends with [`OpError::Closed`].
    pub fn shut_down(&mut self) {
        self.end_everything(None);
    }

    /// [`shut_down`](Model::shut_down), but streams end as by a lingering [`Close`](crate::Close) that has no span and this
    /// deadline: sends that are queued go on, then a FIN is sent, and what peers still send is thrown away until they
    /// have ended their side too, or until `deadline`. A `Close` that was submitted before goes on as it is, until
    /// `deadline` at the latest. Called again, it can only make the end come sooner.
    pub fn shut_down_by(&mut self, deadline: Deadline, clock: impl FnOnce() -> Instant) {
        let until = self.resolve(Some(deadline), clock);
        self.end_everything(Some(until));
    }

    fn end_everything(&mut self, flush_until: Option<Instant>) {
        self.shut_down = true;
        while let Some(index) = self.sleeping.front() {
            self.end(index, Err(OpError::Closed(CloseReason::ShutDown)));
        }
        for index in 0..self.conns.index_bound() {
            let Some(conn) = self.conns.at(index) else { continue };
            match (conn.phase, flush_until) {
                (Phase::Open, Some(until)) => self.flush(index, CloseReason::ShutDown, until, self.now),
                (Phase::Flushing | Phase::Lingering { .. }, Some(until)) => {
                    self.end_sooner(index, until);
                }
                (_, _) => self.abort(index, CloseReason::ShutDown),
            }
        }
    }

    /// A `Close` operation was accepted.
    fn begin_close(&mut self, conn: u32, op: u32, deadline: Instant, now: Instant) {
        self.conns[conn].closer = op;
        match *self.ops[op].work() {
            Work::Close { manner: Manner::Flush | Manner::Linger(_), reason } => {
                self.flush(conn, reason, deadline, now);
            }
            Work::Close { manner: Manner::Now, reason } => self.abort(conn, reason),
            Work::Close { manner: Manner::Abort, reason } => {
                let reset = self.conns[conn].kind == Kind::Stream;
                self.close_now(conn, reason, reset);
            }
            _ => unreachable!("a close is begun"),
        }
    }

    /// How a connection flushes or lingers: as its `Close` says; without one it is the proactor that is shut down.
    pub(crate) fn ending(&self, conn: u32) -> Ending {
        let Conn { closer, kind, .. } = self.conns[conn];
        let is_stream = kind == Kind::Stream;
        match self.ops.at(closer).map(Op::work) {
            Some(&Work::Close { manner: Manner::Linger(millis), reason }) => {
                Ending { reason, lingers: is_stream, span: Some(Duration::from_millis(millis.into())) }
            }
            Some(&Work::Close { reason, .. }) => Ending { reason, lingers: false, span: None },
            _ => Ending { reason: CloseReason::ShutDown, lingers: is_stream, span: None },
        }
    }

    /// Ends the receives of a connection, and lets its queued sends go on until `deadline`.
    fn flush(&mut self, conn: u32, reason: CloseReason, deadline: Instant, now: Instant) {
        self.conns[conn].phase = Phase::Flushing;
        self.end_sooner(conn, deadline);
        self.put_off_end(conn, now);
        let [receive, send] = [Direction::Receive, Direction::Send].map(|lane| LaneId::new(conn, lane));
        self.displace(receive);
        self.end_all(receive, |_| Err(OpError::Closed(reason)));
        self.settle(receive);
        self.settle(send);
    }

    /// No sends are left: if the connection flushes, it goes on to linger or to close.
    pub(crate) fn flushed(&mut self, conn: u32) {
        if self.conns[conn].phase != Phase::Flushing {
            return;
        }
        let Ending { reason, lingers, .. } = self.ending(conn);
        let [receive, send] = &self.conns[conn].lanes;
        let alive = receive.end.is_none() && send.end.is_none() && send.gate != Gate::Tainted;
        if lingers && alive { self.linger(conn) } else { self.abort(conn, reason) }
    }

    /// Sends FIN, unless that has been done, and waits for the peer's.
    fn linger(&mut self, conn: u32) {
        let fin_sent = self.conns[conn].lanes[Direction::Send as usize].gate == Gate::Shut;
        self.conns[conn].phase = Phase::Lingering { fin: if fin_sent { Fin::Sent } else { Fin::Due } };
        if fin_sent {
            self.put_off_end(conn, self.now);
        }
        self.settle(LaneId::new(conn, Direction::Receive));
    }

    /// Begins the span of a lingering `Close` anew, as of `now`: it ends no sooner than it would have.
    pub(crate) fn put_off_end(&mut self, conn: u32, now: Instant) {
        let Ending { lingers: true, span: Some(span), .. } = self.ending(conn) else { return };
        let (end, timer) = (now + span, self.conns[conn].end_timer);
        let tick = end.tick_ceil();
        let armed = timer.and_then(|timer| self.timers.get(timer)).map(|(at, _)| at);
        if end == Instant::MAX || armed.is_some_and(|at| at >= tick) {
            return;
        }
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
        self.conns[conn].end_timer = Some(self.timers.arm(tick, Owner::Conn(conn).into()));
    }

    /// Ends flushing and lingering at `deadline`, unless that ends earlier anyway. It is the deadline of the `Close`, if
    /// there is one.
    fn end_sooner(&mut self, conn: u32, deadline: Instant) {
        let Conn { closer, end_timer, .. } = self.conns[conn];
        let (timer, owner) = match self.ops.at(closer) {
            Some(closer_op) => (closer_op.timer, Owner::Op(closer)),
            None => (end_timer, Owner::Conn(conn)),
        };
        let tick = deadline.tick_ceil();
        let armed = timer.and_then(|timer| self.timers.get(timer)).map(|(at, _)| at);
        if deadline == Instant::MAX || armed.is_some_and(|at| at <= tick) {
            return;
        }
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
        let timer = Some(self.timers.arm(tick, owner.into()));
        match owner {
            Owner::Op(op) => self.ops[op].timer = timer,
            _ => self.conns[conn].end_timer = timer,
        }
    }

    /// Ends everything of a connection and queues its descriptor to be closed: by a reset, if that cuts a send (K2).
    pub(crate) fn abort(&mut self, conn: u32, reason: CloseReason) {
        self.close_now(conn, reason, self.is_cut(conn));
    }

    fn close_now(&mut self, conn: u32, reason: CloseReason, reset: bool) {
        let known = match self.conns[conn].phase {
            Phase::Closing { .. } => return,
            Phase::Connecting { known } => known,
            _ => true,
        };
        let conn_state = &mut self.conns[conn];
        conn_state.phase = Phase::Closing { reset };
        let deadline = match conn_state.closer {
            NIL => None,
            closer => self.ops[closer].timer.take(),
        };
        for timer in [conn_state.end_timer.take(), deadline].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        let [receive, send] = [Direction::Receive, Direction::Send].map(|lane| LaneId::new(conn, lane));
        // The receive lane makes the last call. If it stands in the run queue it keeps its place there.
        let stands = known && matches!(self.conns[receive].place, Place::Running { .. });
        if !stands {
            self.displace(receive);
        }
        self.end_all(receive, |_| Err(OpError::Closed(reason)));
        self.displace(send);
        self.end_all(send, |_| Err(OpError::Closed(reason)));
        if !known {
            // There is nothing to close.
            self.remove_conn(conn);
        } else if !stands {
            self.conns[receive].place = Place::Running { since: self.round.number };
            self.run.push_back(&mut self.conns, receive.index());
        }
    }

    /// Ends a queued operation before it is complete: its deadline came, or it was cancelled.
    pub(crate) fn end_early(&mut self, index: u32, error: OpError) {
        let op = &self.ops[index];
        let Some(direction) = op.work().direction() else {
            // A sleep is in no lane; a close has no deadline of its own and can not be cancelled.
            self.end(index, Err(error));
            return;
        };
        if matches!(op.work(), Work::Connect { .. }) {
            let conn = op.conn.index();
            self.end(index, Err(error));
            self.abort(conn, CloseReason::Requested);
            return;
        }
        let lane = LaneId::new(op.conn.index(), direction);
        let was_head = self.conns[lane].ops.front() == Some(index);
        let partial = was_head && self.head_is_partial_send(lane);
        self.end(index, Err(error));
        if partial {
            self.end_all(lane, |_| Err(OpError::Tainted));
            self.conns[lane].gate = Gate::Tainted;
        }
        if was_head && !self.waits_on(lane) {
            self.displace(lane);
        }
        self.settle(lane);
    }

    /// Whether a lane whose head has gone still waits for the right thing. What it waited for, it waited for on
    /// behalf of its head; if the next operation wants the same, the lane keeps its place in the line (B3, K6).
    fn waits_on(&self, lane: LaneId) -> bool {
        let head = self.conns[lane].ops.front().map(|index| self.ops[index].work());
        match (self.conns[lane].place, head) {
            (Place::Parked(pool), Some(Work::RecvPooled { pool: wanted })) => pool == *wanted,
            (Place::Held { .. }, Some(Work::Accept { many })) => !self.may_accept(many.is_some()),
            (Place::Parked(_) | Place::Held { .. }, _) => false,
            (Place::Idle | Place::Running { .. } | Place::BackingOff { .. }, _) => true,
        }
    }

    fn head_is_partial_send(&self, lane: LaneId) -> bool {
        let head = self.conns[lane].ops.front().and_then(|index| self.ops.at(index));
        head.is_some_and(|op| matches!(op.stage, Stage::Queued(Work::Send)) && self.moved(op) > 0)
    }

    /// Whether the bytes sent so far end where no operation ends: in the middle of a send that is under way, that
    /// tainted its lane, or that failed. A FIN behind them would tell the peer that it has all of them.
    fn is_cut(&self, conn: u32) -> bool {
        let lane = LaneId::new(conn, Direction::Send);
        let state = &self.conns[lane];
        let broken = matches!(state.end, Some(End::Fault(_)));
        let cut = broken || state.gate == Gate::Tainted || self.head_is_partial_send(lane);
        cut && self.conns[conn].kind == Kind::Stream
    }

    /// The connections that are to be closed by a reset, if they are closed now. Who drops a model with its
    /// connections has the system do so first, or their peers take for complete what was cut off.
    pub fn conns_to_reset(&self) -> impl Iterator<Item = ConnId> {
        let conns = self.conns.iter().filter(|(key, conn)| match conn.phase {
            Phase::Closing { reset } => reset,
            Phase::Connecting { .. } => false,
            Phase::Open | Phase::Flushing | Phase::Lingering { .. } => self.is_cut(key.index()),
        });
        conns.map(|(key, _)| ConnId::new(key, self.realm))
    }
}
