//! The invariants: what is true of a model between any two calls, in one readable place.
//!
//! [`Model::check`] looks at everything, so it costs as much as there is; the simulator calls it after every
//! step. Each check has a name, and names the rule of the contract that would break with what it guards. That each
//! can fail is shown by its canary: a sound model, broken in one place.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::conn::{Conn, Phase};
use crate::lane::{Direction, Gate, LaneId, Place};
use crate::model::Model;
use crate::op::{Stage, Work};
use crate::owner::Owner;
use crate::slab::NIL;

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

type Checked = Result<(), Violation>;

/// `rule` holds, as far as `check` can tell, if `holds`; otherwise `what` was found.
fn ensure(holds: bool, rule: &'static str, check: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { rule, check, what: what() }) }
}

impl<C> Model<C> {
    /// Checks every invariant.
    ///
    /// # Errors
    ///
    /// The first one that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.check_limits()?;
        self.check_places()?;
        self.check_lanes()?;
        self.check_ops()?;
        self.check_buffers()?;
        self.check_timers()?;
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

    /// Every lane is in the list that its place names, and in no other.
    fn check_places(&self) -> Checked {
        let mut found: Vec<[Place; 2]> = vec![[Place::Idle; 2]; self.conns.index_bound() as usize];
        let parked =
            (0..).zip(&self.pools).map(|(id, pool)| (Place::Parked(crate::PoolId::new(id)), pool.parked));
        let lists = [(Place::Running, self.run), (Place::Held, self.held)].into_iter().chain(parked);
        for (place, list) in lists {
            ensure(list.is_whole(&self.conns), "K6", "lane-list", || format!("{place:?} lanes: {list:?}"))?;
            for lane in list.iter(&self.conns).map(LaneId::from_index) {
                let found =
                    &mut found[lane.conn() as usize][usize::from(lane.direction() == Direction::Send)];
                ensure(*found == Place::Idle, "K6", "lane-once", || {
                    format!("{lane:?} stands in the lists {found:?} and {place:?}")
                })?;
                *found = place;
            }
        }
        for (key, conn) in self.conns.iter() {
            for (lane, found) in conn.lanes.iter().zip(found[key.index() as usize]) {
                let place = if let Place::BackingOff(_) = lane.place { Place::Idle } else { lane.place };
                ensure(place == found, "K6", "lane-place", || {
                    format!("{key:?} is {place:?} but stands in the list {found:?}")
                })?;
            }
        }
        Ok(())
    }

    fn check_lanes(&self) -> Checked {
        for (key, conn) in self.conns.iter() {
            for direction in [Direction::Receive, Direction::Send] {
                let ops = &self.conns[LaneId::new(key.index(), direction)].ops;
                ensure(ops.is_whole(&self.ops), "C3", "op-list", || {
                    format!("{key:?} {direction:?} queues {ops:?}")
                })?;
                for index in ops.iter(&self.ops) {
                    let op = &self.ops[index];
                    let mine = op.is_queued() && op.conn == key && op.work().direction() == Some(direction);
                    ensure(mine, "C1", "op-lane", || {
                        format!("{key:?} {direction:?} queues operation {index} of another")
                    })?;
                }
                let checked = self.check_lane(conn, direction);
                checked.map_err(|v| Violation { what: format!("{key:?} {direction:?}: {}", v.what), ..v })?;
            }
        }
        Ok(())
    }

    fn check_lane(&self, conn: &Conn, direction: Direction) -> Checked {
        let lane = &conn.lanes[direction as usize];
        let (ops, limit) = (lane.ops.len(), self.limits.lane_ops_max.get());
        ensure(ops <= limit, "C6", "lane-limit", || format!("{ops} operations in a lane"))?;
        ensure(lane.end.is_none() || ops == 0, "K4", "ended-empty", || {
            format!("{:?}, yet {ops} operations", lane.end)
        })?;
        ensure(lane.gate != Gate::Tainted || ops == 0, "C5", "tainted-empty", || {
            format!("tainted, yet {ops} operations")
        })?;
        match conn.phase {
            Phase::Closing => {
                let stands = if direction == Direction::Receive { Place::Running } else { Place::Idle };
                ensure(ops == 0, "K2", "closing-empty", || format!("closing with {ops} operations"))?;
                return ensure(lane.place == stands, "K2", "closing-place", || {
                    format!("closing, yet {:?}", lane.place)
                });
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
    fn check_ops(&self) -> Checked {
        ensure(self.ended.is_whole(&self.ops), "C1", "completion-list", || {
            format!("completions {:?}", self.ended)
        })?;
        for index in self.ended.iter(&self.ops) {
            let op = &self.ops[index];
            let ended = matches!(op.stage, Stage::Ended { .. }) && op.timer.is_none();
            ensure(ended, "C1", "completion-ended", || {
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
        let mut queued = self.sleeping.len();
        for (key, conn) in self.conns.iter() {
            queued += conn.lanes.iter().map(|lane| lane.ops.len()).sum::<u32>();
            if conn.closer != NIL {
                queued += 1;
                let closes = self.ops.at(conn.closer).is_some_and(|op| {
                    matches!(op.stage, Stage::Queued(Work::Close { .. })) && op.conn == key
                });
                ensure(closes, "K2", "closer", || format!("{key:?} is closed by operation {}", conn.closer))?;
            }
        }
        let (ops, ended) = (self.ops.len(), self.ended.len());
        ensure(ops == queued + ended, "C1", "op-count", || {
            format!("{ops} operations, {queued} queued and {ended} ended")
        })?;
        let counted = self.queued.total();
        ensure(counted == queued, "C1", "queued-count", || format!("{counted} counted, {queued} queued"))
    }

    /// A pooled receive holds a buffer only while it is about to fill it, and no operation left one behind.
    fn check_buffers(&self) -> Checked {
        for (key, op) in self.ops.iter() {
            let Stage::Queued(Work::RecvPooled { .. }) = op.stage else { continue };
            let lane = &self.conns[LaneId::new(op.conn.index(), Direction::Receive)];
            let may_hold = lane.place == Place::Running && lane.ops.front() == Some(key.index());
            ensure(op.cargo.is_none() || may_hold, "B2", "lease-in-use", || {
                format!("operation {key:?} holds a buffer it can not fill")
            })?;
        }
        let (loaded, carried) =
            (self.cargos.len(), self.ops.iter().filter(|(_, op)| op.cargo.is_some()).count());
        ensure(loaded == carried, "B1", "cargo-count", || {
            format!("{loaded} buffers with operations, {carried} operations with one")
        })
    }

    fn check_timers(&self) -> Checked {
        let ops = self.ops.iter().filter_map(|(key, op)| Some((op.timer?, Owner::Op(key.index()))));
        let conns =
            self.conns.iter().filter_map(|(key, conn)| Some((conn.end_timer?, Owner::Conn(key.index()))));
        let lanes = self.conns.iter().flat_map(|(key, conn)| {
            let directions = [Direction::Receive, Direction::Send].into_iter();
            let lanes = directions.map(move |direction| LaneId::new(key.index(), direction));
            lanes.zip(&conn.lanes).filter_map(|(id, lane)| match lane.place {
                Place::BackingOff(timer) => Some((timer, Owner::Lane(id))),
                _ => None,
            })
        });
        let mut count = 0;
        for (timer, owner) in ops.chain(conns).chain(lanes) {
            count += 1;
            let found = self.timers.get(timer).map(|(_, owner)| Owner::from(*owner));
            ensure(found == Some(owner), "T1", "timer-owner", || {
                format!("the timer of {owner:?} is that of {found:?}")
            })?;
        }
        ensure(self.timers.len() == count, "T1", "timer-count", || {
            format!("{} timers for {count} owners", self.timers.len())
        })
    }

    fn check_pools(&self) -> Checked {
        for pool in &self.pools {
            let (parked, lent, most) = (pool.parked.len(), pool.outstanding(), pool.size().buffers_max);
            ensure(parked == 0 || lent == most, "B3", "parked-in-vain", || {
                format!("{parked} wait while {lent} of {most} buffers are lent")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod canaries;
