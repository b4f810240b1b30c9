//! The model: all state of a proactor, and what the outside may tell and ask it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;

mod attempt;
mod close;
mod control;
mod end;
mod expire;
mod idle;
mod lend;
mod no_progress;
mod round;
mod submit;

pub use control::Begun;
pub(crate) use end::{own_index, own_place};

use crate::completion::Completion;
use crate::completions::Completions;
use crate::conn::{Conn, Phase};
use crate::deadlines::{CONNS_MAX, Deadlines, SLEEPS_MAX};
use crate::error::{IdError, Limit, OpenError, SystemError};
use crate::id::{ConnId, PoolId, Serial};
use crate::lanes::Lanes;
use crate::lease::Home;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::op::CloneContext;
use crate::own::Own;
use crate::pool::{PoolSize, Pools};
use crate::spin::{Spin, Spinner, Waited};
use crate::system::{Kind, Readiness, Rearm};
use crate::time::Instant;

use round::Round;

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

/// All state of a proactor.
///
/// What comes in from the user are verbs: [`open`](Model::open), [`submit`](Model::submit),
/// [`cancel`](Model::cancel), [`close`](Model::close), [`give_back`](Model::give_back). What comes in from
/// the system begins with `on_`: [`on_ready`](Model::on_ready), [`on_time`](Model::on_time). What goes out is
/// asked for: the next call by [`attempt`](Model::attempt) and [`expire`](Model::expire), whose outcome is
/// given at once, the next completion by [`next_completion`](Model::next_completion), the next deadline by
/// [`next_deadline`](Model::next_deadline).
///
/// The order is that of a [`turn`](crate::turn()): `on_ready` for each event and then `on_time`;
/// [`begin_round`](Model::begin_round); `attempt` until it returns false; `expire` until it returns false;
/// then the completions are taken. The user's verbs may come at any time between two of these calls.
///
/// Each part of the state is private to the module that owns it, and changed by the verbs of that alone:
/// connections and where their lanes stand (`lanes`), timers (`deadlines`), buffers (`pool`), credits and
/// what waits to be taken (`completions`), the operations of no connection (`own`), what is left of a turn
/// (`round`), and what is counted (`metrics`). The modules below
/// this one compose these verbs.
pub struct Model<C> {
    lanes: Lanes<C>,
    deadlines: Deadlines,
    pools: Pools,
    completions: Completions<C>,
    own: Own<C>,
    round: Round,
    /// The number of the next operation.
    serial: Serial,
    now: Instant,
    limits: Limits,
    rearm: Rearm,
    realm: u32,
    /// How a context is copied, once an operation was submitted that needs it.
    clone_context: Option<CloneContext<C>>,
    shut_down: bool,
    /// Whether the last turn asked for events.
    waited: bool,
    spinner: Spinner,
    metrics: Metrics,
}

const fn limit(most: u32) -> NonZeroU32 {
    match NonZeroU32::new(most) {
        Some(most) => most,
        None => NonZeroU32::MIN,
    }
}

impl<C> Model<C> {
    /// A model with nothing in it. Leases that are dropped go to `home`, whose contents the caller passes to
    /// [`give_back`](Model::give_back).
    pub fn new(config: Config, home: &Arc<dyn Home>) -> Model<C> {
        let Config { mut limits, pools, realm, rearm } = config;
        limits.connections_max = limits.connections_max.min(limit(CONNS_MAX));
        limits.ops_max = limits.ops_max.min(limit(SLEEPS_MAX));
        let (live_max, ops_max) = (limits.connections_max.get(), limits.ops_max.get());
        Model {
            lanes: Lanes::new(realm, live_max, ops_max, pools.len()),
            deadlines: Deadlines::new(),
            pools: Pools::new(pools, home),
            completions: Completions::new(ops_max),
            own: Own::new(),
            round: Round::OVER,
            serial: Serial::FIRST,
            now: Instant::ZERO,
            limits,
            rearm,
            realm,
            clone_context: None,
            shut_down: false,
            waited: false,
            spinner: Spinner::new(Spin::Off),
            metrics: Metrics::default(),
        }
    }

    /// Makes it as old as if every place that is vacant now, or yet to be made, had been used so many times
    /// more, and as many lanes had entered a queue: for tests of what happens late in a long life.
    #[doc(hidden)]
    pub fn age(&mut self, uses: u32) {
        self.lanes.age(uses);
        self.own.age(uses);
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
        if !self.lanes.has_place() {
            return Err(OpenError::Busy(Limit::Connections));
        }
        if !self.lanes.has_room(kind) {
            return Err(OpenError::Busy(Limit::Memory));
        }
        self.metrics.on_opened();
        let conn = self.lanes.insert(Conn::new(kind, Phase::Open, PoolId::DEFAULT, self.now));
        self.lanes.opened(conn, None);
        Ok(conn)
    }

    /// Takes an [`open`](Model::open) back: the system did not adopt the socket.
    pub fn rollback_open(&mut self, conn: ConnId) {
        if let Ok(index) = self.conn_index(conn) {
            self.lanes.rolled_back(index);
            self.metrics.on_open_rolled_back();
        }
    }

    /// Has turns poll for events before they sleep, or not, from now on. At first they do not.
    pub fn set_spin(&mut self, spin: Spin) {
        self.spinner = Spinner::new(spin);
    }

    /// Tells what an event said about a connection. Sets flags, nothing more: the work is a turn's (K6).
    #[inline]
    pub fn on_ready(&mut self, conn: ConnId, readiness: Readiness) {
        if self.lanes.on_ready(conn, readiness, &mut self.deadlines) {
            self.metrics.on_event();
        } else {
            self.metrics.on_stale_event();
        }
    }

    /// Tells what time it is. Backward steps count as no step (T3).
    pub fn on_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Whether it was shut down and every completion has been taken.
    pub fn is_drained(&self) -> bool {
        self.shut_down && self.lanes.live() == 0 && self.completions.credits() == 0
    }

    /// Whether a turn has something to do without waiting: an attempt to make, completions to deliver, or an
    /// end of what had expired and was too much for the turn before.
    pub fn is_busy(&self) -> bool {
        self.lanes.running() > 0
            || self.lanes.has_hinted()
            || self.completions.waiting() > 0
            || self.round.is_overdue()
    }

    /// The next deadline, exactly: how long a turn may sleep if nothing happens.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.deadlines.earliest()
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
        self.lanes.live()
    }

    /// Operations that are queued or whose completion has not been taken.
    pub fn ops(&self) -> u32 {
        self.completions.credits()
    }

    /// Completions that wait to be taken.
    pub fn completions(&self) -> u32 {
        self.completions.waiting()
    }

    /// The buffers of all pools that are lent: to operations, completions and the user. A buffer on its way
    /// home counts until it is [given back](Model::give_back).
    pub fn outstanding(&self) -> u32 {
        self.pools.outstanding()
    }

    /// The buffers of a pool that are lent, as [`outstanding`](Model::outstanding) counts them.
    pub fn lent(&self, pool: PoolId) -> u32 {
        self.pools.get(pool).map_or(0, |pool| pool.outstanding())
    }

    /// Whether a readable connection waits for a buffer to be returned: any of its pool, or one of the leases
    /// that its `Recv::many` has out.
    pub fn has_parked(&self) -> bool {
        self.lanes.leases_awaited() > 0 || self.pools.iter().any(|pool| self.lanes.parked(pool.id()) > 0)
    }

    /// A lane whose calls have met a shortage eight times in a row, and what the system is short of: told
    /// once for each such row, for a log. Of several since the last call, the last one.
    #[inline]
    pub fn take_shortage(&mut self) -> Option<(ConnId, SystemError)> {
        self.metrics.take_shortage()
    }

    // For a turn.

    /// A turn begins.
    pub(crate) fn on_turn(&mut self) {
        self.metrics.on_turn();
    }

    /// Whether the turn asks for events at all, and if so, whether it may sleep until there are some.
    pub(crate) fn plan_wait(&mut self) -> WaitPlan {
        let busy = self.is_busy() || self.is_drained();
        if busy && self.waited {
            self.waited = false;
            return WaitPlan::Skip;
        }
        self.waited = true;
        self.metrics.on_wait();
        if busy { WaitPlan::Poll } else { WaitPlan::Sleep { deadline: self.deadlines.earliest() } }
    }

    /// How long a wait polls before it sleeps.
    pub(crate) fn spin_window(&self) -> core::time::Duration {
        self.spinner.window()
    }

    /// A wait that could sleep has ended.
    pub(crate) fn on_waited(&mut self, now: Instant, events: u32, slept: bool) {
        let gap = now.saturating_since(self.now);
        self.spinner.on_wait(Waited { gap, events, slept });
    }

    /// From now on completions go into that batch, after those that wait; what they did go into comes back.
    pub(crate) fn swap_batch(&mut self, batch: &mut Vec<Completion<C>>) {
        self.completions.swap_batch(batch);
    }

    /// Nothing is opened or submitted from now on.
    fn refuse_all(&mut self) {
        self.shut_down = true;
    }

    // Who is who.

    /// The index of a connection that is the user's.
    fn conn_index(&self, conn: ConnId) -> Result<u32, IdError> {
        self.users_conn(conn).map(|_| conn.index())
    }

    /// A connection that is the user's: one that is still being made is nobody's.
    fn users_conn(&self, conn: ConnId) -> Result<&Conn<C>, IdError> {
        if conn.realm() != self.realm {
            return Err(IdError::Foreign);
        }
        self.lanes.get(conn).filter(|conn| !conn.phase().is_connecting()).ok_or(IdError::Stale)
    }
}

/// What a turn asks the system for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitPlan {
    /// Nothing: there is something to do, and events were asked for in the last turn.
    Skip,
    /// What events there are.
    Poll,
    /// Events, when there are any, or to come back at a deadline.
    Sleep { deadline: Option<Instant> },
}

/// What those look at who only look.
impl<C> Model<C> {
    pub(crate) fn view(&self) -> ModelView<'_, C> {
        let Model { lanes, deadlines, pools, completions, own, metrics, .. } = self;
        let Model { limits, realm, shut_down, waited, .. } = *self;
        let now = self.now;
        ModelView {
            lanes,
            deadlines,
            pools,
            completions,
            own,
            limits,
            metrics,
            realm,
            now,
            shut_down,
            waited,
        }
    }
}

/// All of a model that is looked at by [`check`](Model::check), [`stats`](Model::stats) and their like.
pub(crate) struct ModelView<'a, C> {
    pub(crate) lanes: &'a Lanes<C>,
    pub(crate) deadlines: &'a Deadlines,
    pub(crate) pools: &'a Pools,
    pub(crate) completions: &'a Completions<C>,
    pub(crate) own: &'a Own<C>,
    pub(crate) limits: Limits,
    pub(crate) metrics: &'a Metrics,
    pub(crate) realm: u32,
    pub(crate) now: Instant,
    pub(crate) shut_down: bool,
    pub(crate) waited: bool,
}

impl<C> Clone for ModelView<'_, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for ModelView<'_, C> {}

/// For those who break a model to see whether that is noticed.
#[cfg(test)]
pub(crate) struct Innards<'a, C> {
    pub(crate) lanes: &'a mut Lanes<C>,
    pub(crate) deadlines: &'a mut Deadlines,
    pub(crate) pools: &'a mut Pools,
    pub(crate) completions: &'a mut Completions<C>,
    pub(crate) own: &'a mut Own<C>,
    pub(crate) limits: &'a mut Limits,
    pub(crate) counters: &'a mut crate::metrics::Counters,
    pub(crate) queued: &'a mut crate::metrics::Queued,
}

#[cfg(test)]
impl<C> Model<C> {
    pub(crate) fn innards(&mut self) -> Innards<'_, C> {
        let Model { lanes, deadlines, pools, completions, own, limits, metrics, .. } = self;
        let (counters, queued) = metrics.innards();
        Innards { lanes, deadlines, pools, completions, own, limits, counters, queued }
    }
}
