//! What the user asks for, and why it may be refused.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    Deadline, Direction, IdError, Instant, Kind, Limit, OpError, OpIdError, OpenError, PoolId, ResumeError,
    SetIdleError, SetPoolError, SubmitErrorKind,
};

use super::idle::renewal_of;
use super::{Buffer, Conn, Done, Id, LaneName, Op, Phase, Reference, Refused, Request, Rule, Work};

impl Reference {
    /// What stands for the proactor itself.
    pub fn own(&self) -> Id {
        Id { proactor_id: self.plan.proactor_id, index: u32::MAX, generation: 1 }
    }

    /// A socket is to be adopted: whether the system will is known.
    ///
    /// # Errors
    ///
    /// When there is no place for it. If the system will not have it, there is none either.
    pub fn adopt(&mut self, kind: Kind, system_takes_it: bool) -> Result<Option<Id>, OpenError> {
        if self.shut_down {
            return Err(OpenError::ShutDown);
        }
        if !self.has_place() {
            return Err(OpenError::Busy(Limit::Connections));
        }
        let id = self.open(kind, PoolId::DEFAULT);
        self.hold_all(None);
        if system_takes_it {
            return Ok(Some(id));
        }
        self.forget(id.index);
        Ok(None)
    }

    /// A new connection, in a place.
    pub(super) fn open(&mut self, kind: Kind, pool: PoolId) -> Id {
        let id = self.conn_places.take(self.plan.proactor_id);
        self.conns.insert(id.index, Conn::new(id, kind, pool, self.now));
        id
    }

    /// Accepts an operation, or gives everything back (C1).
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing has happened.
    pub fn submit(
        &mut self,
        conn: Id,
        request: Request,
        context: u32,
        clock: Instant,
    ) -> Result<Id, Refused> {
        let own = conn == self.own();
        let admitted = if own { self.admit_own(&request) } else { self.admit(conn, &request) };
        let Request { mut work, buffer, deadline } = request;
        if let Err(kind) = admitted {
            return Err(Refused { kind, context, buffer });
        }
        let buffer = if let Work::Send { .. } = work { self.copy_surplus_leases(buffer) } else { buffer };
        let renewal = renewal_of(deadline);
        let deadline = self.resolve(deadline, clock);
        self.accepted += 1;
        self.credits += 1;
        let id = Id { proactor_id: self.plan.proactor_id, index: self.accepted, generation: 1 };
        self.hold_all(None);
        if let Work::RecvPooled { pool: pool @ None } | Work::RecvMany { pool: pool @ None, .. } = &mut work {
            *pool = Some(self.conns[&conn.index].pool);
        }
        let mut op = Op { id, context, conn, work, buffer, bytes: 0, leases_out: 0, deadline: None, renewal };
        if !matches!(work, Work::Close { .. }) {
            op.deadline = self.alarm(deadline);
            op.renewal = op.renewal.filter(|_| op.deadline.is_some());
        }
        match (work, work.direction()) {
            (Work::Post, _) => self.complete(op, Ok(Done::Posted)),
            (Work::Sleep, _) => self.sleeping.push(op),
            (Work::Connect, _) => {
                op.conn = self.open(Kind::Stream, PoolId::DEFAULT);
                let conn = op.conn.index;
                self.conn_mut(conn).phase = Phase::Connecting { known: false };
                self.hold_all(None);
                self.enqueue(LaneName::send(conn), op);
            }
            (_, Some(direction)) => self.enqueue(LaneName { conn: conn.index, direction }, op),
            (_, None) => self.begin_close(conn.index, op, deadline, clock.max(self.now)),
        }
        Ok(id)
    }

    /// B3: three quarters of a pool's buffers may be in queued sends, and never all. Where more are lent,
    /// what a lease holds is copied, and it goes home at once.
    fn copy_surplus_leases(&mut self, mut buffer: Buffer) -> Buffer {
        for part in buffer.parts_mut() {
            let Buffer::Lease { by, bytes, .. } = part else { continue };
            let (by, home) = (*by, &self.pools[&by.pool]);
            let share = home.size.buffers_max - home.size.buffers_max.div_ceil(4);
            if home.lent > share && self.keeps(Rule::B3) {
                *part = Buffer::Own(std::mem::take(bytes));
                self.return_buffer(by);
            }
        }
        buffer
    }

    fn enqueue(&mut self, name: LaneName, op: Op) {
        let overtakes = op.work == Work::Shutdown && !self.keeps(Rule::K3);
        let lane = self.lane_mut(name);
        // K3: a shutdown takes its place in line like any send.
        let at = if overtakes { 0 } else { lane.ops.len() };
        lane.ops.insert(at, op);
        // K4: what a lane has ended with, every operation ends with from then on.
        if let Some(end) = lane.end {
            self.complete_all(name, |work| super::attempt::result_of(end, *work));
        }
        self.settle(name.conn);
    }

    fn admit_own(&self, request: &Request) -> Result<(), SubmitErrorKind> {
        match request.work {
            _ if self.shut_down => Err(SubmitErrorKind::ShutDown),
            Work::Connect if !self.has_place() => Err(SubmitErrorKind::Busy(Limit::Connections)),
            Work::Connect | Work::Sleep | Work::Post if !self.has_credit() => {
                Err(SubmitErrorKind::Busy(Limit::Ops))
            }
            Work::Connect | Work::Sleep | Work::Post => Ok(()),
            _ => Err(SubmitErrorKind::WrongKind),
        }
    }

    fn admit(&self, conn: Id, request: &Request) -> Result<(), SubmitErrorKind> {
        let conn = self.users_conn(conn)?;
        if self.shut_down {
            return Err(SubmitErrorKind::ShutDown);
        }
        if conn.phase != Phase::Open && !matches!(request.work, Work::Close { .. }) {
            return Err(SubmitErrorKind::Closing);
        }
        self.admit_work(conn, request)?;
        let direction = request.work.direction();
        let lane = direction.map(|direction| conn.lane(direction));
        match lane.filter(|_| direction == Some(Direction::Send)) {
            Some(send) if send.tainted => return Err(SubmitErrorKind::Tainted),
            Some(send) if send.is_shut() => return Err(SubmitErrorKind::WriteShutDown),
            _ => {}
        }
        let last = lane.and_then(|lane| lane.ops.back()).map(|last| last.work);
        if direction == Some(Direction::Receive) && matches!(last, Some(Work::RecvMany { .. })) {
            return Err(SubmitErrorKind::ReceivesMany);
        }
        // C6: what there is no room for is refused, not dropped and not waited with.
        let lane_ops_max = self.plan.limits.lane_ops_max.get() as usize;
        if lane.is_some_and(|lane| lane.ops.len() >= lane_ops_max) && self.keeps(Rule::C6) {
            return Err(SubmitErrorKind::Busy(Limit::LaneOps));
        }
        if let (Work::Send { start, end }, Some(lane)) = (request.work, lane)
            && self.keeps(Rule::C6)
        {
            let bytes_max = conn.lane_bytes_max.unwrap_or(self.plan.limits.lane_bytes_max).get() as usize;
            if !lane.ops.is_empty() && lane.bytes_to_send() + (end - start) > bytes_max {
                return Err(SubmitErrorKind::Busy(Limit::LaneBytes));
            }
        }
        if self.has_credit() { Ok(()) } else { Err(SubmitErrorKind::Busy(Limit::Ops)) }
    }

    /// Whether it makes sense, on such a connection.
    fn admit_work(&self, conn: &Conn, request: &Request) -> Result<(), SubmitErrorKind> {
        let Request { work, buffer, .. } = request;
        match (conn.kind, *work) {
            (_, Work::Close { .. }) | (Kind::Listener, Work::Accept { .. }) => return Ok(()),
            (
                Kind::Stream,
                Work::Recv { .. }
                | Work::RecvPooled { .. }
                | Work::RecvMany { .. }
                | Work::Send { .. }
                | Work::Wait(_)
                | Work::Shutdown,
            ) => {}
            _ => return Err(SubmitErrorKind::WrongKind),
        }
        let empty = match *work {
            Work::Recv { .. } if !buffer.is_writable() && !buffer.bytes().is_empty() => {
                return Err(SubmitErrorKind::NotWritable);
            }
            Work::Recv { .. } => buffer.space() == 0,
            Work::RecvPooled { pool } | Work::RecvMany { pool, .. }
                if !self.pools.contains_key(&pool.unwrap_or(conn.pool)) =>
            {
                return Err(SubmitErrorKind::NoPool);
            }
            Work::RecvMany { pool, leases_max } => {
                let buffers_max = self.pools[&pool.unwrap_or(conn.pool)].size.buffers_max;
                if leases_max == 0 || u32::from(leases_max) > buffers_max {
                    return Err(SubmitErrorKind::LeasesMax);
                }
                false
            }
            Work::Send { start, end } if start > end || end > buffer.bytes().len() => {
                return Err(SubmitErrorKind::OutOfRange);
            }
            Work::Send { start, end } => start == end,
            _ => false,
        };
        // K7: what can not be done is an error at once.
        if empty && self.keeps(Rule::K7) { Err(SubmitErrorKind::EmptyBuffer) } else { Ok(()) }
    }

    /// A connection that the user may name: one that is being made has no owner yet (K1).
    pub(super) fn users_conn(&self, conn: Id) -> Result<&Conn, IdError> {
        if conn.proactor_id != self.plan.proactor_id {
            return Err(IdError::Foreign);
        }
        let found = self.conns.get(&conn.index).filter(|found| found.id == conn);
        found.filter(|found| !matches!(found.phase, Phase::Connecting { .. })).ok_or(IdError::Stale)
    }

    /// Finds an operation that is queued in a lane.
    pub(super) fn find_in_lane(&self, op: Id) -> Option<(LaneName, usize)> {
        self.lanes()
            .find_map(|(name, lane)| Some((name, lane.ops.iter().position(|queued| queued.id == op)?)))
    }

    /// Whether an operation is queued and may be taken back or changed.
    fn is_queued(&self, op: Id) -> Result<(), OpIdError> {
        if op.proactor_id != self.plan.proactor_id {
            return Err(OpIdError::Foreign);
        }
        if self.conns.values().any(|conn| conn.closers.iter().any(|closer| closer.id == op)) {
            return Err(OpIdError::Close);
        }
        let sleeps = self.sleeping.iter().any(|sleep| sleep.id == op);
        if sleeps || self.find_in_lane(op).is_some() { Ok(()) } else { Err(OpIdError::Stale) }
    }

    /// Ends an operation.
    ///
    /// # Errors
    ///
    /// When it has ended, or can not be taken back.
    pub fn cancel(&mut self, op: Id) -> Result<(), OpIdError> {
        self.is_queued(op)?;
        // C7: anywhere, at any time.
        if !self.keeps(Rule::C7) && !self.ended.is_empty() {
            return Err(OpIdError::Stale);
        }
        self.end_early(op, OpError::Cancelled);
        Ok(())
    }

    /// Ends all operations of a connection, and says how many they were.
    ///
    /// # Errors
    ///
    /// When it is gone.
    pub fn cancel_all(&mut self, conn: Id) -> Result<usize, IdError> {
        self.users_conn(conn)?;
        let both = LaneName::both(conn.index);
        let count = both.iter().map(|lane| self.lane(*lane).ops.len()).sum();
        let cut = self.lane(both[1]).ops.front().is_some_and(|op| self.is_partly_sent(op));
        both.into_iter().for_each(|lane| self.complete_all(lane, |_| Err(OpError::Cancelled)));
        self.lane_mut(both[1]).tainted |= cut && self.keeps(Rule::C5);
        self.settle(conn.index);
        Ok(count)
    }

    /// Whether an operation, if it ended now, would leave a part of its bytes in the stream.
    pub(super) fn is_partly_sent(&self, op: &Op) -> bool {
        matches!(op.work, Work::Send { .. }) && op.bytes > 0
    }

    /// Gives an operation another deadline, or none.
    ///
    /// # Errors
    ///
    /// When it has ended, or can not be changed.
    pub fn set_deadline(
        &mut self,
        op: Id,
        deadline: Option<Deadline>,
        clock: Instant,
    ) -> Result<(), OpIdError> {
        self.is_queued(op)?;
        let alarm = self.alarm(self.resolve(deadline, clock));
        let sleep = self.sleeping.iter().position(|sleep| sleep.id == op);
        match (sleep, self.find_in_lane(op)) {
            (Some(at), _) => self.sleeping[at].deadline = alarm,
            (None, Some((lane, at))) => {
                let op = &mut self.lane_mut(lane).ops[at];
                (op.deadline, op.renewal) = (alarm, renewal_of(deadline).filter(|_| alarm.is_some()));
            }
            (None, None) => unreachable!("it is queued"),
        }
        Ok(())
    }

    /// Allows sends again (C5).
    ///
    /// # Errors
    ///
    /// When they were allowed all along, or the connection is gone.
    pub fn resume(&mut self, conn: Id) -> Result<(), ResumeError> {
        self.users_conn(conn)?;
        let tainted = std::mem::take(&mut self.lane_mut(LaneName::send(conn.index)).tainted);
        if tainted { Ok(()) } else { Err(ResumeError::NotTainted) }
    }

    /// Bounds the bytes that may be queued to be sent.
    ///
    /// # Errors
    ///
    /// When there is no such connection.
    pub fn set_lane_bytes_max(&mut self, conn: Id, bytes_max: Option<NonZeroU32>) -> Result<(), IdError> {
        self.users_conn(conn)?;
        self.conn_mut(conn.index).lane_bytes_max = bytes_max;
        Ok(())
    }

    /// Lets a connection's pooled receives take from another pool.
    ///
    /// # Errors
    ///
    /// When there is no such connection or pool.
    pub fn set_pool(&mut self, conn: Id, pool: PoolId) -> Result<(), SetPoolError> {
        self.users_conn(conn)?;
        if !self.pools.contains_key(&pool) {
            return Err(SetPoolError::NoPool);
        }
        self.conn_mut(conn.index).pool = pool;
        Ok(())
    }

    /// Sets for how long no byte may go through, of one connection, or of a pair.
    ///
    /// # Errors
    ///
    /// When one of them is gone or being closed, or two are no pair.
    pub fn set_idle(
        &mut self,
        conn: Id,
        with: Option<Id>,
        span: Option<Duration>,
        clock: Instant,
    ) -> Result<(), SetIdleError> {
        for conn in [Some(conn), with].into_iter().flatten() {
            if self.users_conn(conn)?.phase != Phase::Open {
                return Err(SetIdleError::Closing);
            }
        }
        let is_stream = |conn: Id| self.conns[&conn.index].kind == Kind::Stream;
        if let Some(with) = with
            && (with == conn || !is_stream(conn) || !is_stream(with))
        {
            return Err(SetIdleError::NoPair);
        }
        let now = clock.max(self.now);
        let both = [Some((conn, with)), with.map(|with| (with, Some(conn)))];
        for (conn, with) in both.into_iter().flatten() {
            self.end_idle(conn.index);
            let state = self.conn_mut(conn.index);
            let millis = span.map(|span| span.as_nanos().div_ceil(1_000_000).clamp(1, u32::MAX.into()));
            state.idle = millis.map(|millis| Duration::from_millis(u64::try_from(millis).expect("few")));
            state.idle_with = with;
            self.begin_idle(conn.index, now);
        }
        Ok(())
    }

    /// The user drops a buffer; the leases in it are on their way home (B4).
    pub fn drop_buffer(&mut self, buffer: &Buffer) {
        for by in buffer.leases() {
            if self.keeps(Rule::B4) {
                self.homeward.push(by);
                self.wakes += u32::from(std::mem::take(&mut self.awaits_lease));
            }
        }
    }
}
