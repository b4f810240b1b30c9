//! The invariants: what is true of a model between any two calls, in one readable place.
//!
//! [`Model::check`] looks at everything, so it costs as much as there is; the simulator calls it after every
//! step. Each invariant names the rule of the contract that would break with it.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::buffer::Buffer;
use crate::conn::{Conn, Phase};
use crate::lane::{Direction, LaneId, Place};
use crate::list::{Links, List};
use crate::model::{Model, Owner};
use crate::op::{Stage, Work};
use crate::slab::NIL;

/// An invariant that does not hold: a bug of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule of the contract, such as `"C1"`.
    pub rule: &'static str,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

impl core::error::Error for Violation {}

type Check = Result<(), Violation>;

/// `rule` holds if `holds`; otherwise `what` was found.
fn ensure(holds: bool, rule: &'static str, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Violation { rule, what: what() }) }
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
        self.check_timers()?;
        self.check_pools()
    }

    fn check_limits(&self) -> Check {
        ensure(self.ops.len() <= self.limits.ops_max.get(), "C6", || {
            format!("{} operations", self.ops.len())
        })?;
        let conns = self.conns.len();
        let net = self.stats.opened - self.stats.closed;
        ensure(net == u64::from(conns), "C6", || {
            format!("{conns} connections, {net} opened and not closed")
        })?;
        let queued = self.queued.total();
        let found = self.ops.len() - self.ended.len();
        ensure(queued == found, "C1", || format!("{queued} operations counted, {found} queued"))?;
        ensure(conns <= self.limits.connections_max.get(), "C6", || format!("{conns} connections"))
    }

    /// Every lane is in the list that its place names, and in no other.
    fn check_places(&self) -> Check {
        let mut found: Vec<[Place; 2]> = vec![[Place::Idle; 2]; self.conns.index_bound() as usize];
        let parked =
            (0..).zip(&self.pools).map(|(id, pool)| (Place::Parked(crate::PoolId::new(id)), pool.parked));
        let lists = [(Place::Running, self.run), (Place::Held, self.held)].into_iter().chain(parked);
        for (place, list) in lists {
            check_list(&list, &self.conns, "K6")?;
            for lane in list.iter(&self.conns).map(LaneId::from_index) {
                found[lane.conn() as usize][usize::from(lane.direction() == Direction::Send)] = place;
            }
        }
        for (key, conn) in self.conns.iter() {
            for (lane, found) in conn.lanes.iter().zip(found[key.index() as usize]) {
                let place = if lane.place == Place::BackingOff { Place::Idle } else { lane.place };
                ensure(place == found, "K6", || {
                    format!("{key:?} is {place:?} but stands in the list {found:?}")
                })?;
            }
        }
        Ok(())
    }

    fn check_lanes(&self) -> Check {
        for (key, conn) in self.conns.iter() {
            for direction in [Direction::Receive, Direction::Send] {
                let lane = &self.conns[LaneId::new(key.index(), direction)];
                check_list(&lane.ops, &self.ops, "C3")?;
                for index in lane.ops.iter(&self.ops) {
                    let op = &self.ops[index];
                    let mine = op.is_queued()
                        && op.conn == self.conn_id(key.index())
                        && op.work().direction() == Some(direction);
                    ensure(mine, "C1", || {
                        format!("{key:?} {direction:?} queues operation {index} of another")
                    })?;
                }
                self.check_lane(conn, direction)
                    .map_err(|v| Violation { what: format!("{key:?} {direction:?}: {}", v.what), ..v })?;
            }
        }
        Ok(())
    }

    fn check_lane(&self, conn: &Conn, direction: Direction) -> Check {
        let lane = &conn.lanes[direction as usize];
        let limit = self.limits.lane_ops_max.get();
        ensure(lane.ops.len() <= limit, "C6", || format!("{} operations in a lane", lane.ops.len()))?;
        ensure(lane.end.is_none() || lane.ops.is_empty(), "K4", || {
            format!("{:?}, yet operations", lane.end)
        })?;
        ensure(!lane.tainted || lane.ops.is_empty(), "C5", || "tainted, yet operations".into())?;
        let timer = lane.backoff_timer.is_some() == (lane.place == Place::BackingOff);
        ensure(timer, "K5", || format!("backing-off timer {:?} while {:?}", lane.backoff_timer, lane.place))?;
        match conn.phase {
            Phase::Closing => {
                let stands = if direction == Direction::Receive { Place::Running } else { Place::Idle };
                ensure(lane.ops.is_empty(), "K2", || "operations on a closing connection".into())?;
                return ensure(lane.place == stands, "K2", || format!("closing, yet {:?}", lane.place));
            }
            Phase::Connecting { .. } => {
                let ops = u32::from(direction == Direction::Send);
                ensure(lane.ops.len() == ops, "C1", || {
                    format!("connecting with {} operations", lane.ops.len())
                })?;
            }
            Phase::Lingering { .. } => {
                ensure(lane.ops.is_empty(), "K2", || {
                    format!("lingering with {} operations", lane.ops.len())
                })?;
            }
            Phase::Flushing { .. } => {
                let flushing = (direction == Direction::Send) != lane.ops.is_empty();
                ensure(flushing, "K2", || format!("flushing with {} operations", lane.ops.len()))?;
            }
            Phase::Open => {}
        }
        let idle = lane.place == Place::Idle;
        ensure(idle != conn.is_runnable(direction), "K6", || {
            format!("{:?} with {} operations and ready = {}", lane.place, lane.ops.len(), lane.ready)
        })
    }

    fn check_ops(&self) -> Check {
        check_list(&self.ended, &self.ops, "C1")?;
        let in_lanes: u32 =
            self.conns.iter().flat_map(|(_, conn)| &conn.lanes).map(|lane| lane.ops.len()).sum();
        let closers = self.conns.iter().filter(|(_, conn)| conn.closer != NIL).count();
        check_list(&self.sleeping, &self.ops, "T1")?;
        let queued = u64::from(in_lanes) + u64::from(self.sleeping.len());
        let held = queued + u64::from(self.ended.len()) + closers as u64;
        ensure(u64::from(self.ops.len()) == held, "C1", || {
            format!("{} operations, {held} found", self.ops.len())
        })?;
        for index in self.ended.iter(&self.ops) {
            let op = &self.ops[index];
            let ended = matches!(op.stage, Stage::Ended { .. }) && op.timer.is_none();
            ensure(ended, "C1", || format!("operation {index} is among the completions, but not ended"))?;
        }
        for (key, op) in self.ops.iter() {
            let Stage::Queued(Work::RecvPooled { .. }) = op.stage else { continue };
            let lane = &self.conns[LaneId::new(op.conn.index(), Direction::Receive)];
            let may_hold = lane.place == Place::Running && lane.ops.front() == Some(key.index());
            let holds = matches!(op.buffer, Buffer::Lease(_));
            ensure(!holds || may_hold, "B2", || format!("operation {key:?} holds a buffer it can not fill"))?;
        }
        Ok(())
    }

    fn check_timers(&self) -> Check {
        let ops = self.ops.iter().filter_map(|(key, op)| Some((op.timer?, Owner::Op(key.index()))));
        let conns =
            self.conns.iter().filter_map(|(key, conn)| Some((conn.end_timer?, Owner::Conn(key.index()))));
        let lanes = self.conns.iter().flat_map(|(key, conn)| {
            let directions = [Direction::Receive, Direction::Send].into_iter();
            let lanes = directions.map(move |direction| LaneId::new(key.index(), direction));
            lanes.zip(&conn.lanes).filter_map(|(id, lane)| Some((lane.backoff_timer?, Owner::Lane(id))))
        });
        let mut count = 0;
        for (timer, owner) in ops.chain(conns).chain(lanes) {
            count += 1;
            let found = self.timers.get(timer).map(|(_, owner)| *owner);
            ensure(found == Some(owner), "T1", || format!("the timer of {owner:?} is that of {found:?}"))?;
        }
        ensure(self.timers.len() == count, "T1", || {
            format!("{} timers for {count} owners", self.timers.len())
        })
    }

    fn check_pools(&self) -> Check {
        for pool in &self.pools {
            let (parked, free) = (pool.parked.len(), pool.free_len());
            ensure(parked == 0 || free == 0, "B3", || {
                format!("{parked} wait while {free} buffers are free")
            })?;
            let spare = pool.outstanding() < pool.size().buffers_max;
            ensure(parked == 0 || !spare, "B3", || format!("{parked} wait while buffers may be made"))?;
        }
        Ok(())
    }
}

/// A list is as long as it says, and linked the same way in both directions.
fn check_list(list: &List, nodes: &impl Links, rule: &'static str) -> Check {
    let length = list.iter(nodes).take(list.len() as usize + 1).count();
    ensure(length == list.len() as usize, rule, || format!("a list of {} has {length} entries", list.len()))
}
