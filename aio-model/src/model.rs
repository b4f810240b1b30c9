//! The model: all state of a proactor, and what the outside may tell and ask it.
//!
//! In: [`open`](Model::open), [`submit`](Model::submit), [`cancel`](Model::cancel), [`close`](Model::close),
//! [`give_back`](Model::give_back) from the user; [`on_ready`](Model::on_ready), [`on_time`](Model::on_time) and
//! the outcomes of [`attempt`](Model::attempt) from the system. Out: the calls that `attempt` asks for, and
//! [`next_completion`](Model::next_completion). [`turn`](crate::turn()) does it all in the right order.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::attempt::Round;
use crate::buffer::Buffer;
use crate::cargo::{Cargo, Cargos};
use crate::completion::{Completion, Done, OpError};
use crate::conn::{Conn, Phase};
use crate::error::{IdError, Limit, OpenError, SystemError};
use crate::id::{ConnId, OpId};
use crate::lane::{Direction, Gate, LaneId, Place};
use crate::lease::{Home, Lease, Returned};
use crate::limits::Limits;
use crate::list::{Link, List};
use crate::op::{Op, Stage, Work};
use crate::owner::{self, Owner, Packed};
use crate::pool::{Pool, PoolId, PoolSize};
use crate::slab::{NIL, Slab};
use crate::spin::{Spin, Spinner};
use crate::stats::{Counters, Queued};
use crate::system::{Kind, Outcome, Readiness, Rearm, Syscall};
use crate::time::{Instant, Tick};
use crate::timers::Timers;

/// What a model is made from.
#[derive(Debug)]
pub struct Config {
    /// What it may hold and do.
    pub limits: Limits,
    /// The pools, [`PoolId::DEFAULT`] first.
    pub pools: Vec<PoolSize>,
    /// A number that no other proactor of the program has: it tells their ids apart.
    pub realm: u32,
    /// What makes the system's engine report readiness again.
    pub rearm: Rearm,
}

/// All state of a proactor. See the module's page for how it is used.
pub struct Model<C> {
    pub(crate) conns: Slab<Conn>,
    pub(crate) ops: Slab<Op<C>>,
    pub(crate) cargos: Cargos,
    pub(crate) timers: Timers<Packed>,
    pub(crate) pools: Vec<Pool>,
    /// The lanes with something to attempt, and the connections to close.
    pub(crate) run: List,
    /// The accept lanes that wait for a free connection or credit.
    pub(crate) held: List,
    /// Those of them that have had one since the others came to wait.
    pub(crate) held_served: List,
    /// The lanes that back off for want of a descriptor.
    pub(crate) short: List,
    /// Those of them that have had one since the others came to wait.
    pub(crate) short_served: List,
    /// The connections accepted that a completion was posted of.
    pub(crate) told: u64,
    /// The lanes that back off, for want of whatever.
    pub(crate) backing_off: u32,
    /// The last shortage that lasts, and was not told.
    pub(crate) shortage: Option<(ConnId, SystemError)>,
    /// The operations that wait for nothing but time.
    pub(crate) sleeping: List,
    /// The operations that have ended, in the order in which they did.
    pub(crate) ended: List,
    pub(crate) round: Round,
    /// More had expired than the last turn had room to end.
    pub(crate) overdue: bool,
    pub(crate) now: Instant,
    pub(crate) limits: Limits,
    pub(crate) rearm: Rearm,
    pub(crate) realm: u32,
    pub(crate) shut_down: bool,
    /// Whether the last turn asked for events.
    pub(crate) waited: bool,
    pub(crate) spinner: Spinner,
    pub(crate) stats: Counters,
    /// The queued operations, by what they do.
    pub(crate) queued: Queued,
}

/// As many connections or operations as indices are made for: far more than memory has room for.
const INDEX_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add((1 << 30) - 1);

const OPS_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(owner::OPS_MAX - 1);

impl<C> Model<C> {
    /// A model with nothing in it. Leases that are dropped go to `home`, whose contents the caller passes to
    /// [`give_back`](Model::give_back).
    pub fn new(config: Config, home: &Arc<dyn Home>) -> Model<C> {
        let Config { mut limits, pools, realm, rearm } = config;
        // A lane's id is its connection's index and a bit, and a timer's has a bit to spare.
        limits.connections_max = limits.connections_max.min(INDEX_MAX);
        limits.ops_max = limits.ops_max.min(OPS_MAX);
        let pools =
            (0..).zip(pools).map(|(index, size)| Pool::new(PoolId::new(index), size, Arc::clone(home)));
        Model {
            conns: Slab::new(),
            ops: Slab::new(),
            cargos: Cargos::EMPTY,
            timers: Timers::new(),
            pools: pools.collect(),
            run: List::EMPTY,
            held: List::EMPTY,
            held_served: List::EMPTY,
            short: List::EMPTY,
            short_served: List::EMPTY,
            told: 0,
            backing_off: 0,
            shortage: None,
            sleeping: List::EMPTY,
            ended: List::EMPTY,
            round: Round::OVER,
            overdue: false,
            now: Instant::ZERO,
            limits,
            rearm,
            realm,
            shut_down: false,
            waited: false,
            spinner: Spinner::new(Spin::Off),
            stats: Counters::default(),
            queued: Queued::default(),
        }
    }

    /// Makes it as old as if every place that is vacant now, or yet to be made, had been used so many times more, and as
    /// many rounds taken: for tests of what happens late in a long life.
    #[doc(hidden)]
    pub fn age(&mut self, uses: u32) {
        self.conns.age(uses);
        self.ops.age(uses);
        // No lane waits for its turn while that many are taken.
        if self.run.is_empty() {
            self.round.age(uses);
        }
    }

    /// Makes room for a connection that the system is about to adopt.
    ///
    /// # Errors
    ///
    /// [`OpenError`] at the limit, or while shutting down.
    pub fn open(&mut self, kind: Kind) -> Result<ConnId, OpenError> {
        if self.shut_down {
            return Err(OpenError::ShutDown);
        }
        if !self.has_place() {
            return Err(OpenError::Busy(Limit::Connections));
        }
        if !self.conns.has_room() {
            return Err(OpenError::Busy(Limit::Memory));
        }
        self.stats.opened += 1;
        let conn = Conn::new(kind, PoolId::DEFAULT, self.now);
        Ok(ConnId::new(self.conns.insert(conn), self.realm))
    }

    /// Takes an [`open`](Model::open) back: the system did not adopt the socket.
    pub fn unopen(&mut self, conn: ConnId) {
        if self.conn_index(conn).is_ok() {
            self.remove_conn(conn.index());
            self.stats.opened -= 1;
            self.stats.closed -= 1;
        }
    }

    /// Has turns poll for events before they sleep, or not, from now on. At first they do not.
    pub fn set_spin(&mut self, spin: Spin) {
        self.spinner = Spinner::new(spin);
    }

    /// Tells what an event said about a connection. Sets flags, nothing more: the work is a turn's (K6).
    #[inline]
    pub fn on_ready(&mut self, conn: ConnId, readiness: Readiness) {
        let known = if conn.realm() == self.realm { self.conns.get_mut(conn.key()) } else { None };
        let Some(Conn { lanes: [receive, send], .. }) = known else {
            self.stats.events_stale += 1;
            return;
        };
        self.stats.events += 1;
        let receive = readiness.wakes_receive() && receive.on_event(readiness);
        let send = readiness.wakes_send() && send.on_event(readiness);
        if receive {
            self.settle(LaneId::new(conn.index(), Direction::Receive));
        }
        if send {
            self.settle(LaneId::new(conn.index(), Direction::Send));
        }
    }

    /// Tells what time it is. Backward steps count as no step (T3).
    pub fn on_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Ends the next of what has expired by the time last told, in the order of deadlines, if the turn's budget has
    /// room for it (K6). The operation at the head of its lane gets a last attempt, for which `perform` is called as by
    /// [`attempt`](Model::attempt), unless it waits for a buffer or a place; if that does not complete it, it ends with
    /// [`Deadline`](OpError::Deadline). Returns whether there was one; what is left then is for the next turns.
    pub fn expire(&mut self, perform: impl FnOnce(Syscall<'_>) -> Outcome) -> bool {
        let now = self.now.tick_floor();
        let due = self.timers.peek_due(now).map(|owner| Owner::from(*owner));
        self.overdue = due.is_some();
        match due {
            Some(owner) if self.round.has_room_for_expiry() => {
                self.expire_owner(now, owner, perform);
                true
            }
            _ => false,
        }
    }

    #[cold]
    fn expire_owner(&mut self, now: Tick, owner: Owner, perform: impl FnOnce(Syscall<'_>) -> Outcome) {
        let mut spare = match owner {
            Owner::Op(index) => self.spare_context(index),
            _ => None,
        };
        // No code of the user's from here on.
        self.round.count_expiry();
        self.timers.pop_due(now);
        match owner {
            Owner::Op(index) => self.expire_op(index, &mut spare, perform),
            Owner::Lane(lane) => self.on_pause_over(lane),
            Owner::Pool(pool) => self.on_retry(pool),
            Owner::Conn(index) => {
                self.conns[index].end_timer = None;
                self.attempt_last_of(index, perform);
                // The peer may have been seen to take something, by that: then it has its time anew.
                if self.conns[index].end_timer.is_none() {
                    self.cut_short(index);
                }
            }
        }
    }

    fn expire_op(&mut self, index: u32, spare: &mut Option<C>, perform: impl FnOnce(Syscall<'_>) -> Outcome) {
        let key = self.ops.key_at(index);
        self.ops[index].timer = None;
        match self.ops[index].work() {
            Work::Sleep => return self.end(index, Ok(Done::Elapsed)),
            Work::Close { .. } => {
                let conn = self.ops[index].conn.index();
                self.attempt_last_of(conn, perform);
                return self.cut_short(conn);
            }
            _ => {}
        }
        self.attempt_last(index, spare, perform);
        if self.ops.get(key).is_some_and(Op::is_queued) {
            self.stats.expired += 1;
            self.end_early(index, OpError::Deadline);
        }
    }

    /// A buffer has come home: lends it to the lane that has waited longest, or keeps it.
    ///
    /// One that belongs to another proactor's pool is dropped: it is lost to that pool, and of no use to this one.
    pub fn give_back(&mut self, buffer: Returned) {
        let Some(pool) = self.pools.get_mut(buffer.pool().index()).filter(|pool| pool.owns(&buffer)) else {
            return;
        };
        let Some(lane) = pool.parked.pop_front(&mut self.conns).map(LaneId::from_index) else {
            pool.take_back(buffer);
            return;
        };
        let head = self.conns[lane].ops.front().expect("a parked lane has an operation");
        self.load(head, buffer.lend());
        self.come_back(lane);
    }

    /// Takes the next completion, in the order in which the operations ended.
    #[inline]
    pub fn next_completion(&mut self) -> Option<Completion<C>> {
        self.ended.front().map(|index| self.complete(index))
    }

    /// Takes the first of the ended operations out, as its completion: consumed, so there is no second one to make
    /// of it (C1).
    #[inline(always)]
    fn complete(&mut self, index: u32) -> Completion<C> {
        let Op { conn, link, cargo, ref stage, .. } = self.ops[index];
        let &Stage::Ended { result, of } = stage else {
            unreachable!("what is among the ended has ended");
        };
        let (key, Op { context, stage, .. }) = self.ops.take_at(index);
        // Ended, it holds nothing to be dropped.
        core::mem::forget(stage);
        self.ended.detach(&mut self.ops, index, link);
        self.stats.completed += u64::from(of.is_none());
        self.release_held();
        let (buffer, moved) = match cargo {
            Some(cargo) => self.cargos.unload(cargo),
            None => (Buffer::None, 0),
        };
        let (conn, op) = (ConnId::new(conn, self.realm), OpId::new(of.unwrap_or(key), self.realm));
        Completion { context, conn, op, buffer, bytes: moved as u64, result, more: of.is_some() }
    }

    /// Puts completions into `batch`, in the order in which the operations ended, until there is none left or the
    /// batch has no more free capacity.
    #[inline]
    pub fn deliver(&mut self, batch: &mut Vec<Completion<C>>) {
        while batch.len() < batch.capacity()
            && let Some(index) = self.ended.front()
        {
            batch.push(self.complete(index));
        }
    }

    /// Whether it was shut down and every completion has been taken.
    pub fn is_drained(&self) -> bool {
        self.shut_down && self.conns.is_empty() && self.ops.is_empty()
    }

    /// Whether a turn has something to do without waiting: an attempt to make, completions to deliver, or an end of what had
    /// expired and was too much for the turn before.
    pub fn is_busy(&self) -> bool {
        !self.run.is_empty() || !self.ended.is_empty() || self.overdue
    }

    /// The next deadline, exactly: how long a turn may sleep if nothing happens.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.earliest().map(|tick| tick.start())
    }

    /// The id that stands for this proactor itself: what is of no connection ([`Sleep`](crate::Sleep),
    /// [`Post`](crate::Post)) is submitted on it, and completes with it.
    pub fn own(&self) -> ConnId {
        ConnId::own(self.realm)
    }

    /// The time last told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Connections and listeners that exist, those being closed included.
    pub fn connections(&self) -> u32 {
        self.conns.len()
    }

    /// Operations that are queued or whose completion has not been taken.
    pub fn ops(&self) -> u32 {
        self.ops.len()
    }

    /// Completions that wait to be taken.
    pub fn completions(&self) -> u32 {
        self.ended.len()
    }

    /// The buffers of all pools that are lent: to operations, completions and the user. A buffer on its way
    /// home counts until it is [given back](Model::give_back).
    pub fn outstanding(&self) -> u32 {
        self.pools.iter().map(Pool::outstanding).fold(0, u32::saturating_add)
    }

    /// Whether a readable connection waits for a buffer.
    pub fn has_parked(&self) -> bool {
        self.pools.iter().any(|pool| !pool.parked.is_empty())
    }

    /// The index of a connection that is the user's.
    pub(crate) fn conn_index(&self, conn: ConnId) -> Result<u32, IdError> {
        self.users_conn(conn).map(|_| conn.index())
    }

    /// A connection that is the user's: one that is still being made is nobody's.
    pub(crate) fn users_conn(&self, conn: ConnId) -> Result<&Conn, IdError> {
        match self.known_conn(conn)? {
            Conn { phase: Phase::Connecting { .. }, .. } => Err(IdError::Stale),
            conn => Ok(conn),
        }
    }

    /// A connection that exists.
    fn known_conn(&self, conn: ConnId) -> Result<&Conn, IdError> {
        if conn.realm() != self.realm {
            return Err(IdError::Foreign);
        }
        self.conns.get(conn.key()).ok_or(IdError::Stale)
    }

    pub(crate) fn op_id(&self, index: u32) -> OpId {
        OpId::new(self.ops.key_at(index), self.realm)
    }

    pub(crate) fn conn_id(&self, index: u32) -> ConnId {
        ConnId::new(self.conns.key_at(index), self.realm)
    }

    /// Brings the place of a lane in line with its state. To be called after every change of either.
    pub(crate) fn settle(&mut self, lane: LaneId) {
        self.settle_inline(lane, false);
    }

    /// [`settle`](Model::settle), after bytes have moved in the lane.
    pub(crate) fn settle_moved(&mut self, lane: LaneId) {
        self.settle_inline(lane, true);
    }

    /// [`settle`](Model::settle), in place: where it is done for every message. `moved` says whether bytes have just
    /// moved in the lane.
    #[inline(always)]
    pub(crate) fn settle_inline(&mut self, lane: LaneId, moved: bool) {
        let conn = &mut self.conns[lane.conn()];
        if conn.phase != Phase::Open {
            self.settle_ending(lane, moved);
            return;
        }
        let state = &mut conn.lanes[lane.direction() as usize];
        match (state.place, state.is_runnable()) {
            (Place::Idle, true) => {
                state.place = Place::Running { since: self.round.number };
                state.link = self.run.next_link();
                self.run.append(&mut self.conns, lane.index());
            }
            (Place::Running { .. }, false) => {
                state.place = Place::Idle;
                let link = core::mem::replace(&mut state.link, Link::UNLINKED);
                self.run.detach(&mut self.conns, lane.index(), link);
            }
            (Place::Idle, false) | (_, true) => {}
            (_, false) => self.displace(lane),
        }
    }

    /// [`settle`](Model::settle), of a connection that is being made, or ends.
    #[cold]
    #[inline(never)]
    fn settle_ending(&mut self, lane: LaneId, moved: bool) {
        let phase = self.conns[lane.conn()].phase;
        if let Phase::Closing { .. } = phase {
            return;
        }
        if phase == Phase::Flushing && moved {
            // The kernel has taken bytes of a send: the peer takes what it is sent.
            self.put_off_end(lane.conn(), self.now);
        }
        let conn = &self.conns[lane.conn()];
        let runnable = conn.is_runnable(lane.direction());
        match (self.conns[lane].place, runnable) {
            (Place::Idle, true) => {
                self.conns[lane].place = Place::Running { since: self.round.number };
                self.run.push_back(&mut self.conns, lane.index());
            }
            (Place::Idle, false) | (_, true) => {}
            (_, false) => self.displace(lane),
        }
        if lane.direction() == Direction::Send && self.conns[lane].ops.is_empty() {
            self.flushed(lane.conn());
        }
    }

    /// The time for flushing or lingering is up.
    fn cut_short(&mut self, conn: u32) {
        if let Phase::Flushing | Phase::Lingering { .. } = self.conns[conn].phase {
            self.abort(conn, self.ending(conn).reason);
        }
    }

    /// What a lane waited for is here, and it is in no list any more: it goes where its state belongs.
    pub(crate) fn come_back(&mut self, lane: LaneId) {
        self.conns[lane].place = Place::Idle;
        self.settle(lane);
    }

    /// Takes a lane out of whatever list it is in.
    pub(crate) fn displace(&mut self, lane: LaneId) {
        let state = &mut self.conns[lane];
        let place = core::mem::replace(&mut state.place, Place::Idle);
        let list = match place {
            Place::Idle => return,
            Place::BackingOff { timer, want } => {
                self.timers.cancel(timer);
                self.end_pause(lane, want);
                return;
            }
            Place::Running { .. } => &mut self.run,
            Place::Held { served: false } => &mut self.held,
            Place::Held { served: true } => &mut self.held_served,
            Place::Parked(pool) => &mut self.pools[pool.index()].parked,
        };
        list.remove(&mut self.conns, lane.index());
    }

    /// Whether another connection may be opened.
    pub(crate) fn has_place(&self) -> bool {
        self.conns.len() < self.limits.connections_max.get()
    }

    /// Whether another completion has a place to wait in.
    pub(crate) fn has_credit(&self) -> bool {
        self.ops.len() < self.limits.ops_max.get()
    }

    /// A connection or a credit has become free: the accept lanes that waited for one try again, unless it is
    /// plain that they would try in vain.
    #[inline]
    pub(crate) fn release_held(&mut self) {
        if self.held_len() == 0 || !self.has_place() {
            return;
        }
        loop {
            let conns = &mut self.conns;
            let next = self.held.pop_front(conns).or_else(|| self.held_served.pop_front(conns));
            let Some(lane) = next.map(LaneId::from_index) else { return };
            self.come_back(lane);
        }
    }

    /// The accept lanes that wait for a free connection or credit.
    pub(crate) fn held_len(&self) -> u32 {
        self.held.len() + self.held_served.len()
    }

    /// Ends a queued operation: out of its lane, its timer off, its completion posted into the place that was
    /// reserved for it when it was accepted.
    pub(crate) fn end(&mut self, index: u32, result: Result<Done, OpError>) {
        let op = &mut self.ops[index];
        if let Some(timer) = op.timer.take() {
            self.timers.cancel(timer);
        }
        let (work, link) = op.retire(result, self.ended.next_link());
        *self.queued.of_mut(&work) -= 1;
        let (conn, mut unused) = (op.conn.index(), None);
        if let (Work::Recv { .. } | Work::RecvPooled { .. }, Some(id)) = (&work, op.cargo) {
            let Cargo { buffer, moved, .. } = &mut self.cargos[id];
            buffer.fill(*moved);
            if matches!(work, Work::RecvPooled { .. }) && *moved == 0 {
                op.cargo = None;
                unused = Some(self.cargos.unload(id).0);
            }
        }
        if let Some(direction) = work.direction() {
            let lane = &mut self.conns[LaneId::new(conn, direction)];
            lane.ops.detach(&mut self.ops, index, link);
            if matches!(work, Work::Shutdown) {
                // One that did not happen shuts nothing down: sends are welcome again.
                lane.gate = if result.is_ok() { Gate::Shut } else { Gate::Open };
            }
        } else if matches!(work, Work::Sleep) {
            self.sleeping.detach(&mut self.ops, index, link);
        }
        self.ended.append(&mut self.ops, index);
        if let Some(Buffer::Lease(lease)) = unused {
            self.give_back(lease.end());
        }
    }

    /// Lends a buffer to a pooled receive.
    pub(crate) fn load(&mut self, op: u32, lease: Lease) {
        self.ops[op].cargo = Some(self.cargos.load(Cargo::space(lease.into())));
    }

    /// Ends every operation of a lane, in order.
    pub(crate) fn end_all(&mut self, lane: LaneId, result: impl Fn(&Work<C>) -> Result<Done, OpError>) {
        while let Some(index) = self.conns[lane].ops.front() {
            let result = result(self.ops[index].work());
            self.end(index, result);
        }
    }

    /// Forgets a connection that has no operations left.
    pub(crate) fn remove_conn(&mut self, index: u32) {
        let conn = self.conns.remove_at(index);
        debug_assert!(conn.lanes.iter().all(|lane| lane.ops.is_empty()));
        debug_assert!(conn.closer == NIL || matches!(conn.phase, Phase::Closing { .. }));
        self.stats.closed += 1;
        self.release_held();
    }
}
