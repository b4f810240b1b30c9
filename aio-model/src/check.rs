//! The invariants: what is true of a model between any two calls, in one readable place.
//!
//! [`Model::check`] looks at everything, so it costs as much as there is; the simulator calls it after every
//! step. Each check has a name, and names the rule of the contract that would break with what it guards. That each
//! can fail is shown by its canary: a sound model, broken in one place.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::attempt::RoundNumber;
use crate::backoff::Want;
use crate::conn::{Conn, Phase};
use crate::id::Key;
use crate::lane::{Direction, Gate, Lane, LaneId, Place};
use crate::list::List;
use crate::model::Model;
use crate::op::{Op, Stage, Work};
use crate::owner::Owner;
use crate::slab::NIL;
use crate::time::Instant;
use crate::timers::TimerId;

/// An invariant that does not hold: a bug of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule of the contract, such as `"C1"`.
    pub rule: &'static str,
    /// The check that failed, such as `"op-count"`: no other has that name.
    pub check: &'static str,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule, self.check, self.what)
    }
}

impl core::error::Error for Violation {}

/// Boxed, so that what is checked after every step, and holds, costs no more than a register.
type Checked = Result<(), Box<Violation>>;

/// `rule` holds, as far as `check` can tell, if `holds`; otherwise `what` was found.
#[inline]
fn ensure(holds: bool, rule: &'static str, check: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { violated(rule, check, what) }
}

/// Apart, so that what holds is not in its way.
#[cold]
fn violated(rule: &'static str, check: &'static str, what: impl FnOnce() -> String) -> Checked {
    Err(Box::new(Violation { rule, check, what: what() }))
}

/// What was found on the way, to be compared with what there should be.
#[derive(Default)]
struct Found {
    /// Lanes that stand in a list.
    standing: u32,
    /// Lanes that say they do.
    placed: u32,
    queued: u32,
    /// Operations that carry a buffer.
    carried: usize,
    timers: u32,
    backing_off: u32,
}

impl<C> Model<C> {
    /// Checks every invariant.
    ///
    /// # Errors
    ///
    /// The first one that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_all().map_err(|violation| *violation)
    }

    fn check_all(&self) -> Checked {
        let mut found = Found::default();
        self.check_limits()?;
        self.check_lists(&mut found)?;
        for (key, conn) in self.conns.iter() {
            self.check_conn(key, conn, &mut found)?;
        }
        let Found { standing, placed, .. } = found;
        ensure(placed == standing, "K6", "lane-stands", || {
            format!("{placed} lanes say that they stand in a list, {standing} do")
        })?;
        let (accepted, told) = (self.stats.accepted, self.told);
        ensure(accepted == told, "C1", "accepted-told", || format!("{accepted} accepted, {told} told of"))?;
        let (counted, pausing) = (self.backing_off, found.backing_off);
        ensure(counted == pausing, "K5", "pausing-count", || format!("{counted} counted, {pausing} pause"))?;
        for (key, op) in self.ops.iter() {
            self.check_cargo(key, op, &mut found)?;
            self.check_timer(op.timer, || Owner::Op(key.index()), &mut found)?;
        }
        self.check_ops(&found)?;
        let (loaded, carried) = (self.cargos.len(), found.carried);
        ensure(loaded == carried, "B1", "cargo-count", || {
            format!("{loaded} buffers with operations, {carried} operations with one")
        })?;
        for (id, pool) in (0..).zip(&self.pools) {
            self.check_timer(pool.retry, || Owner::Pool(crate::PoolId::new(id)), &mut found)?;
        }
        let (timers, owners) = (self.timers.len(), found.timers);
        ensure(timers == owners, "T1", "timer-count", || format!("{timers} timers for {owners} owners"))?;
        self.check_pools()
    }

    fn check_limits(&self) -> Checked {
        let (conns, ops) = (self.conns.len(), self.ops.len());
        ensure(ops <= self.limits.ops_max.get(), "C6", "ops-limit", || format!("{ops} operations"))?;
        ensure(conns <= self.limits.connections_max.get(), "C6", "conns-limit", || {
            format!("{conns} connections")
        })?;
        let (opened, closed) = (self.stats.opened, self.stats.closed);
        ensure(opened == closed + u64::from(conns), "C6", "conns-counted", || {
            format!("{conns} connections, {opened} opened, {closed} closed")
        })
    }

    /// Every lane in a list says that it stands there, so it stands in no other. Whether all that say so do is then a
    /// matter of counting.
    fn check_lists(&self, found: &mut Found) -> Checked {
        let parked =
            (0..).zip(&self.pools).map(|(id, pool)| (Place::Parked(crate::PoolId::new(id)), pool.parked));
        let held = |served| (Place::Held { served }, if served { self.held_served } else { self.held });
        let running = (Place::Running { since: RoundNumber::ANY }, self.run);
        let lists = [running, held(false), held(true)].into_iter().chain(parked);
        for (place, list) in lists {
            let stands = |said| {
                said == place
                    || (matches!(place, Place::Running { .. }) && matches!(said, Place::Running { .. }))
            };
            self.check_list(list, stands, &place, found)?;
        }
        for (served, list) in [(false, self.short), (true, self.short_served)] {
            let wants = Want::Descriptor { served };
            let stands = |said| matches!(said, Place::BackingOff { want, .. } if want == wants);
            self.check_list(list, stands, &wants, found)?;
        }
        Ok(())
    }

    fn check_list(
        &self,
        list: List,
        stands: impl Fn(Place) -> bool,
        name: &dyn fmt::Debug,
        found: &mut Found,
    ) -> Checked {
        ensure(list.is_whole(&self.conns), "K6", "lane-list", || format!("{name:?} lanes: {list:?}"))?;
        for lane in list.iter(&self.conns).map(LaneId::from_index) {
            let said = self.conns[lane].place;
            ensure(stands(said), "K6", "lane-place", || {
                format!("{lane:?} is {said:?} but stands in the list {name:?}")
            })?;
        }
        found.standing += list.len();
        Ok(())
    }

    fn check_conn(&self, key: Key, conn: &Conn, found: &mut Found) -> Checked {
        self.check_lane(key, conn, Direction::Receive, found)?;
        self.check_lane(key, conn, Direction::Send, found)?;
        self.check_timer(conn.end_timer, || Owner::Conn(key.index()), found)?;
        if conn.closer != NIL {
            found.queued += 1;
            let closer = self.ops.at(conn.closer);
            let closer = closer.filter(|op| matches!(op.stage, Stage::Queued(Work::Close { .. })));
            ensure(closer.map(|op| op.conn) == Some(key), "K2", "closer", || {
                format!("{key:?} is closed by operation {}", conn.closer)
            })?;
        }
        self.check_end_timer(key, conn)
    }

    /// What flushes or lingers for a span ends in time, whatever its peer does; nothing else is to end by itself.
    fn check_end_timer(&self, key: Key, conn: &Conn) -> Checked {
        let timed = conn.end_timer.is_some();
        if !matches!(conn.phase, Phase::Flushing | Phase::Lingering { .. }) {
            return ensure(!timed, "K2", "end-timer", || format!("{key:?} is to end by itself"));
        }
        let Some(span) = self.ending(key.index()).span else { return Ok(()) };
        ensure(timed || self.now + span == Instant::MAX, "K2", "linger-timer", || {
            format!("{key:?} waits for its peer for ever")
        })
    }

    fn check_lane(&self, key: Key, conn: &Conn, direction: Direction, found: &mut Found) -> Checked {
        let lane = &conn.lanes[direction as usize];
        self.check_queue(key, lane, direction)?;
        let checked = self.check_state(conn, direction);
        checked.map_err(|mut violation| {
            violation.what = format!("{key:?} {direction:?}: {}", violation.what);
            violation
        })?;
        found.queued += lane.ops.len();
        match lane.place {
            Place::Idle => Ok(()),
            Place::BackingOff { timer, want } => {
                found.backing_off += 1;
                found.placed += u32::from(want != Want::Time);
                let owner = || Owner::Lane(LaneId::new(key.index(), direction));
                self.check_timer(Some(timer), owner, found)
            }
            Place::Running { .. } | Place::Parked(_) | Place::Held { .. } => {
                found.placed += 1;
                Ok(())
            }
        }
    }

    fn check_queue(&self, conn: Key, lane: &Lane, direction: Direction) -> Checked {
        ensure(lane.ops.is_whole(&self.ops), "C3", "op-list", || {
            format!("{conn:?} {direction:?} queues {:?}", lane.ops)
        })?;
        for index in lane.ops.iter(&self.ops) {
            let op = &self.ops[index];
            let queued = op.is_queued().then(|| (op.conn, op.work().direction()));
            ensure(queued == Some((conn, Some(direction))), "C1", "op-lane", || {
                format!("{conn:?} {direction:?} queues operation {index} of another")
            })?;
        }
        Ok(())
    }

    fn check_state(&self, conn: &Conn, direction: Direction) -> Checked {
        let lane = &conn.lanes[direction as usize];
        let (ops, limit) = (lane.ops.len(), self.limits.lane_ops_max.get());
        if ops > 0 {
            let end = lane.end;
            ensure(ops <= limit, "C6", "lane-limit", || format!("{ops} operations in a lane"))?;
            ensure(end.is_none(), "K4", "ended-empty", || format!("{end:?}, yet {ops} operations"))?;
            ensure(lane.gate != Gate::Tainted, "C5", "tainted-empty", || {
                format!("tainted, yet {ops} operations")
            })?;
        }
        match conn.phase {
            Phase::Closing { .. } => {
                let stands = match direction {
                    Direction::Receive => matches!(lane.place, Place::Running { .. }),
                    Direction::Send => lane.place == Place::Idle,
                };
                ensure(ops == 0, "K2", "closing-empty", || format!("closing with {ops} operations"))?;
                return ensure(stands, "K2", "closing-place", || format!("closing, yet {:?}", lane.place));
            }
            Phase::Connecting { .. } => {
                let connects = u32::from(direction == Direction::Send);
                ensure(ops == connects, "C1", "connecting-op", || {
                    format!("connecting with {ops} operations")
                })?;
            }
            Phase::Lingering { .. } => {
                ensure(ops == 0, "K2", "lingering-empty", || format!("lingering with {ops} operations"))?;
            }
            Phase::Flushing => {
                let flushing = (direction == Direction::Send) != (ops == 0);
                ensure(flushing, "K2", "flushing-sends", || format!("flushing with {ops} operations"))?;
            }
            Phase::Open => {}
        }
        let idle = lane.place == Place::Idle;
        ensure(idle != conn.is_runnable(direction), "K6", "runnable-stands", || {
            format!("{:?} with {ops} operations and ready = {}", lane.place, lane.is_ready())
        })
    }

    /// Every operation is in one place: a lane, the sleeping, its connection (a close), or the completions.
    fn check_ops(&self, found: &Found) -> Checked {
        ensure(self.ended.is_whole(&self.ops), "C1", "completion-list", || {
            format!("completions {:?}", self.ended)
        })?;
        for index in self.ended.iter(&self.ops) {
            let op = &self.ops[index];
            let (ended, timer) = (matches!(op.stage, Stage::Ended { .. }), op.timer);
            ensure((ended, timer) == (true, None), "C1", "completion-ended", || {
                format!("operation {index} is among the completions, but not ended")
            })?;
        }
        ensure(self.sleeping.is_whole(&self.ops), "T1", "sleep-list", || {
            format!("sleeping {:?}", self.sleeping)
        })?;
        for index in self.sleeping.iter(&self.ops) {
            let sleeps = matches!(self.ops[index].stage, Stage::Queued(Work::Sleep));
            ensure(sleeps, "T1", "sleep-queued", || format!("operation {index} is among the sleeping"))?;
        }
        let queued = self.sleeping.len() + found.queued;
        let (ops, ended) = (self.ops.len(), self.ended.len());
        ensure(ops == queued + ended, "C1", "op-count", || {
            format!("{ops} operations, {queued} queued and {ended} ended")
        })?;
        let counted = self.queued.total();
        ensure(counted == queued, "C1", "queued-count", || format!("{counted} counted, {queued} queued"))
    }

    /// A pooled receive holds a buffer only while it is about to fill it.
    fn check_cargo(&self, key: Key, op: &Op<C>, found: &mut Found) -> Checked {
        if op.cargo.is_none() {
            return Ok(());
        }
        found.carried += 1;
        let Stage::Queued(Work::RecvPooled { .. }) = op.stage else { return Ok(()) };
        let lane = &self.conns[LaneId::new(op.conn.index(), Direction::Receive)];
        let may_hold = matches!(lane.place, Place::Running { .. }) && lane.ops.front() == Some(key.index());
        ensure(may_hold, "B2", "lease-in-use", || format!("operation {key:?} holds a buffer it can not fill"))
    }

    fn check_timer(
        &self,
        timer: Option<TimerId>,
        owner: impl FnOnce() -> Owner,
        found: &mut Found,
    ) -> Checked {
        let Some(timer) = timer else { return Ok(()) };
        found.timers += 1;
        let (owner, armed) = (owner(), self.timers.get(timer).map(|(_, owner)| Owner::from(*owner)));
        ensure(armed == Some(owner), "T1", "timer-owner", || {
            format!("the timer of {owner:?} is that of {armed:?}")
        })
    }

    fn check_pools(&self) -> Checked {
        for pool in &self.pools {
            let (free, refused) = (pool.free_len(), pool.retry.is_some());
            let (parked, lent, most) = (pool.parked.len(), pool.outstanding(), pool.size().buffers_max);
            ensure(parked == 0 || free == 0 && (lent == most || refused), "B3", "parked-in-vain", || {
                format!("{parked} wait while {lent} of {most} buffers are lent")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod canaries;
