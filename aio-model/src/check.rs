//! The invariants: what is true of a model between any two calls, in one readable place.
//!
//! [`Model::check`] looks at everything, so it costs as much as there is; the simulator calls it after every
//! step. Each check has a name, and names the rule of the contract that would break with what it guards. That
//! each can fail is shown by its canary: a sound model, broken in one place.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::completions::Place;
use crate::conn::{Conn, Phase};
use crate::deadlines::Owner;
use crate::extra::QueuedOp;
use crate::id::ConnId;
use crate::lane::{Bits, Direction, Lane, LaneId, WaitsFor, Want};
use crate::model::{Model, ModelView};
use crate::op::{LaneOp, Op};
use crate::pool::Pool;
use crate::system::Kind;
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
    /// Lanes that say that they stand in a queue.
    placed: u32,
    /// Operations that are queued.
    queued: u32,
    /// Completions that wait to be taken.
    ended: u32,
    timers: u32,
    pausing: u32,
    /// Lanes that wait for one of their leases.
    leases_awaited: u32,
    /// Connections that are not gone.
    live: u32,
}

impl<C> Model<C> {
    /// Checks every invariant.
    ///
    /// # Errors
    ///
    /// The first one that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        self.view().check().map_err(|violation| *violation)
    }
}

impl<C> ModelView<'_, C> {
    fn check(&self) -> Checked {
        let mut found = Found::default();
        self.check_limits()?;
        let standing = self.check_queues()?;
        for (id, conn) in self.lanes.iter() {
            self.check_conn(id, conn, &mut found)?;
        }
        let (live, counted) = (found.live, self.lanes.live());
        ensure(live == counted, "C6", "conns-live", || format!("{counted} counted, {live} are not gone"))?;
        let placed = found.placed;
        ensure(placed == standing, "K6", "lane-stands", || {
            format!("{placed} lanes say that they stand in a queue, {standing} do")
        })?;
        let (accepted, told) = (self.metrics.counters().accepted, self.metrics.accepts_told());
        ensure(accepted == told, "C1", "accepted-told", || format!("{accepted} accepted, {told} told of"))?;
        let (counted, pausing) = (self.lanes.pausing(), found.pausing);
        ensure(counted == pausing, "K5", "pausing-count", || format!("{counted} counted, {pausing} pause"))?;
        let (counted, awaited) = (self.lanes.leases_awaited(), found.leases_awaited);
        ensure(counted == awaited, "B3", "leases-awaited", || {
            format!("{counted} counted, {awaited} wait for one of their leases")
        })?;
        self.check_own(&mut found)?;
        self.check_ops(&found)?;
        self.check_pools(&mut found)?;
        let (timers, owners) = (self.deadlines.len(), found.timers);
        ensure(timers == owners, "T1", "timer-count", || format!("{timers} timers for {owners} owners"))
    }

    fn check_limits(&self) -> Checked {
        let (conns, ops) = (self.lanes.live(), self.completions.credits());
        ensure(ops <= self.limits.ops_max.get(), "C6", "ops-limit", || format!("{ops} operations"))?;
        ensure(conns <= self.limits.connections_max.get(), "C6", "conns-limit", || {
            format!("{conns} connections")
        })?;
        let (opened, closed) = (self.metrics.counters().opened, self.metrics.counters().closed);
        ensure(opened == closed + u64::from(conns), "C6", "conns-counted", || {
            format!("{conns} connections, {opened} opened, {closed} closed")
        })?;
        let room = self.completions.room();
        ensure(room >= ops as usize, "C6", "completion-room", || format!("{ops} operations, room for {room}"))
    }

    /// As many entries of a queue count as it says. Returns how many lanes stand in queues.
    fn check_queues(&self) -> Result<u32, Box<Violation>> {
        let mut standing = 0;
        for (name, said, lanes) in self.lanes.queues() {
            let count = u32::try_from(lanes.count()).unwrap_or(u32::MAX);
            ensure(said == count, "K6", "lane-queue", || {
                format!("{said} lanes {name} counted, {count} found")
            })?;
            standing += count;
        }
        Ok(standing)
    }

    fn check_conn(&self, id: ConnId, conn: &Conn<C>, found: &mut Found) -> Checked {
        found.live += u32::from(conn.phase() != Phase::Gone);
        for direction in Direction::BOTH {
            let checked = self.check_lane(id, conn, direction, found);
            checked.map_err(|mut violation| {
                violation.what = format!("{id} {direction:?}: {}", violation.what);
                violation
            })?;
        }
        self.check_timer(conn.end_timer, || Owner::End(id.index()), found)?;
        self.check_timer(conn.idle_timer, || Owner::Idle(id.index()), found)?;
        self.check_progress(id, conn)?;
        if let Some(closing) = conn.closing() {
            let (phase, ended) = (conn.phase(), closing.ended);
            let count = u32::try_from(closing.closers().count()).unwrap_or(u32::MAX);
            *if ended { &mut found.ended } else { &mut found.queued } += count;
            let closes =
                ended == (phase == Phase::Gone) && (ended || phase.is_ending() || phase.is_closing());
            ensure(closes, "K2", "closer", || format!("{id} is {phase:?}, with a close, ended = {ended}"))?;
            self.check_timer(closing.timer, || Owner::Close(id.index()), found)?;
        }
        self.check_end_timer(id, conn)
    }

    /// What is put off by progress is a queued operation with a deadline; and a connection that may be idle
    /// has a timer for that, as long as it is open.
    fn check_progress(&self, id: ConnId, conn: &Conn<C>) -> Checked {
        let renewals = conn.extra().into_iter().flat_map(|extra| &extra.renewals);
        for renewal in renewals {
            let ops = Direction::BOTH.into_iter().flat_map(|direction| conn.queued_ops(direction));
            let is_due =
                ops.filter(|(op, _)| op.timer().is_some()).any(|(op, _)| op.serial == renewal.serial);
            ensure(is_due, "T1", "renewal-op", || {
                format!("{renewal:?} of {id} is of no operation that is due")
            })?;
        }
        let lies_apart = conn.extra().is_some_and(|extra| !extra.renewals.is_empty());
        let seen_to = conn.lanes.iter().all(|lane| lane.has(Bits::APART) == lies_apart);
        ensure(seen_to || conn.kind == Kind::Listener, "T1", "renewal-seen-to", || {
            format!("{id} has deadlines that are put off: {lies_apart}, which its lanes do not know")
        })?;
        let watched = conn.kind == Kind::Stream && conn.phase() == Phase::Open;
        let span = conn.idle_span().filter(|_| watched);
        let due = span.is_some_and(|span| self.now + span < Instant::MAX);
        let right = conn.idle_timer.is_some() == due || span.is_some() && !due;
        ensure(right, "T1", "idle-timer", || {
            format!("{id} may be idle for {span:?}, with the timer {:?}", conn.idle_timer)
        })
    }

    /// What flushes or lingers for a span ends in time, whatever its peer does; nothing else is to end by
    /// itself.
    fn check_end_timer(&self, id: ConnId, conn: &Conn<C>) -> Checked {
        let timed = conn.end_timer.is_some();
        if !conn.phase().is_ending() {
            return ensure(!timed, "K2", "end-timer", || format!("{id} is to end by itself"));
        }
        let Some(span) = self.ending(id.index()).span else { return Ok(()) };
        ensure(timed || self.now + span == Instant::MAX, "K2", "linger-timer", || {
            format!("{id} waits for its peer for ever")
        })
    }

    fn check_lane(&self, id: ConnId, conn: &Conn<C>, direction: Direction, found: &mut Found) -> Checked {
        let lane_id = LaneId::new(id.index(), direction);
        let lane = conn.lane(direction);
        self.check_lane_ops(lane_id, conn, direction, found)?;
        self.check_ended(conn, direction, found)?;
        self.check_state(conn, direction)?;
        match lane.wait() {
            WaitsFor::Nothing | WaitsFor::Outcome => found.placed += u32::from(lane.has(Bits::QUEUED)),
            WaitsFor::Lease => found.leases_awaited += 1,
            WaitsFor::Buffer | WaitsFor::Place => found.placed += 1,
            WaitsFor::Pause(want) => {
                found.pausing += 1;
                found.placed += u32::from(want != Want::Time);
                self.check_timer(lane.pause_timer(), || Owner::Pause(lane_id), found)?;
            }
        }
        let twice = lane.has(Bits::QUEUED) && lane.wait() != WaitsFor::Nothing;
        ensure(!twice, "K6", "lane-place", || format!("runs, and waits for {:?}", lane.wait()))?;
        self.check_grant(lane)?;
        self.check_accept(lane, conn.phase())?;
        self.check_leases_out(conn, direction)
    }

    /// Who goes on receiving has no more leases out than it may, and waits for one only if it has as many;
    /// and nobody else has any.
    fn check_leases_out(&self, conn: &Conn<C>, direction: Direction) -> Checked {
        let (lane, out) = (conn.lane(direction), conn.leases_out);
        let most = match (direction, lane.next_kind()) {
            (Direction::Send, _) => None,
            (_, Some(LaneOp::RecvMany(_, leases_max))) => Some(leases_max.get()),
            (_, _) => Some(0),
        };
        let bounded = most.is_none_or(|most| out <= most);
        ensure(bounded, "B3", "leases-out", || format!("{out} leases are out, of {most:?}"))?;
        let in_vain = lane.wait() == WaitsFor::Lease && most.is_none_or(|most| out < most || most == 0);
        ensure(!in_vain, "B3", "lease-awaited", || format!("waits for a lease with {out} out of {most:?}"))
    }

    fn check_lane_ops(&self, id: LaneId, conn: &Conn<C>, direction: Direction, found: &mut Found) -> Checked {
        let lane = conn.lane(direction);
        let behind = conn.extra().map_or(0, |extra| extra.behind[direction as usize].len());
        ensure(lane.has(Bits::MORE) == (behind > 0), "C3", "op-more", || {
            format!("{behind} behind the head")
        })?;
        ensure(behind == 0 || lane.next().is_some(), "C3", "op-head", || format!("{behind} behind no head"))?;
        let mut last = None;
        for (op, transfer) in conn.queued_ops(direction) {
            let Op { serial, kind, .. } = op;
            ensure(last < Some(*serial), "C3", "op-order", || format!("{serial:?} stands behind {last:?}"))?;
            last = Some(*serial);
            let fits = match kind {
                LaneOp::Recv { .. }
                | LaneOp::RecvPooled(_)
                | LaneOp::RecvMany(..)
                | LaneOp::Accept { .. } => direction == Direction::Receive,
                LaneOp::Send | LaneOp::Connect | LaneOp::Shutdown => direction == Direction::Send,
                LaneOp::Wait => true,
                LaneOp::Ended(_) => false,
            };
            ensure(fits, "C1", "op-lane", || format!("{kind} is queued here"))?;
            let carries = matches!(kind, LaneOp::Recv { .. } | LaneOp::Send);
            ensure(carries == transfer.is_some(), "B1", "op-buffer", || {
                format!("{kind} carries a buffer: {}", transfer.is_some())
            })?;
            self.check_timer(op.timer(), || Owner::Op(id), found)?;
            found.queued += 1;
        }
        Ok(())
    }

    /// There is room for the completions of all that is queued, where they can not stay in the lane.
    fn check_ended(&self, conn: &Conn<C>, direction: Direction, found: &mut Found) -> Checked {
        let lane = conn.lane(direction);
        let ended_head = lane.head.as_ref().is_some_and(Op::is_ended);
        ensure(lane.has(Bits::ENDED_HEAD) == ended_head, "C1", "completion-ended", || {
            format!("the operation at the head has ended: {ended_head}")
        })?;
        found.ended += u32::from(ended_head);
        let Some(extra) = conn.extra() else { return Ok(()) };
        let (ended, queued) = (&extra.ended[direction as usize], conn.queued(direction) as usize);
        found.ended += u32::try_from(ended.len()).unwrap_or(u32::MAX);
        let needed = if ended.is_empty() && queued <= 1 { 0 } else { queued };
        let room = ended.capacity() - ended.len();
        let in_one_place = !ended_head || ended.is_empty();
        ensure(room >= needed && in_one_place, "C6", "lane-room", || {
            format!("{queued} queued, {} ended, room for {room}", ended.len())
        })
    }

    /// What is queued behind the head of a send lane has as many bytes as are counted.
    fn check_bytes_behind(&self, conn: &Conn<C>, direction: Direction) -> Checked {
        let counted = conn.extra().map_or(0, |extra| extra.bytes_behind);
        let behind = conn.extra().into_iter().flat_map(|extra| &extra.behind[Direction::Send as usize]);
        let bytes: usize = behind.map(QueuedOp::bytes_to_send).sum();
        ensure(direction == Direction::Receive || counted == bytes, "C6", "bytes-behind", || {
            format!("{bytes} bytes are queued behind the head, not {counted}")
        })
    }

    fn check_state(&self, conn: &Conn<C>, direction: Direction) -> Checked {
        let lane = conn.lane(direction);
        let (ops, limit) = (conn.queued(direction), self.limits.lane_ops_max.get());
        if ops > 0 {
            let end = lane.end();
            ensure(ops <= limit, "C6", "lane-limit", || format!("{ops} operations in a lane"))?;
            self.check_bytes_behind(conn, direction)?;
            ensure(end.is_none(), "K4", "ended-empty", || format!("{end:?}, yet {ops} operations"))?;
            ensure(!lane.has(Bits::TAINTED), "C5", "tainted-empty", || {
                format!("tainted, yet {ops} operations")
            })?;
        }
        let phase = conn.phase();
        let runs = lane.has(Bits::QUEUED);
        let stands = runs || lane.wait() != WaitsFor::Nothing;
        match phase {
            Phase::Closing | Phase::ClosingReset => {
                let as_it_should = if direction == Direction::Receive { runs } else { !stands };
                ensure(ops == 0, "K2", "closing-empty", || format!("closing with {ops} operations"))?;
                return ensure(as_it_should, "K2", "closing-place", || format!("closing, yet runs = {runs}"));
            }
            Phase::Gone => {
                return ensure(ops == 0 && !stands, "K2", "gone-empty", || {
                    format!("gone with {ops} operations")
                });
            }
            Phase::Connecting | Phase::ConnectingKnown => {
                let connects = u32::from(direction == Direction::Send);
                ensure(ops == connects, "C1", "connecting-op", || {
                    format!("connecting with {ops} operations")
                })?;
            }
            Phase::LingeringFinDue | Phase::LingeringFinTried | Phase::LingeringFinSent => {
                ensure(ops == 0, "K2", "lingering-empty", || format!("lingering with {ops} operations"))?;
            }
            Phase::Flushing => {
                let flushing = (direction == Direction::Send) != (ops == 0);
                ensure(flushing, "K2", "flushing-sends", || format!("flushing with {ops} operations"))?;
            }
            Phase::Open => {}
        }
        let runnable = conn.is_runnable(direction);
        ensure(stands == runnable || lane.wait() == WaitsFor::Outcome, "K6", "runnable-stands", || {
            format!("stands = {stands} with {ops} operations and ready = {}", lane.is_ready())
        })
    }

    /// A pooled receive holds a buffer only while it is about to fill it.
    fn check_grant(&self, lane: &Lane<C>) -> Checked {
        let may_hold = lane.next_kind().and_then(LaneOp::pool).is_some() && lane.has(Bits::QUEUED);
        ensure(may_hold || !lane.has(Bits::GRANTED), "B2", "lease-in-use", || {
            String::from("a buffer is set aside for it that it can not fill")
        })
    }

    /// Who accepts, and only he, stands in the run queue; who can not for want of a place, and only he, is
    /// held.
    fn check_accept(&self, lane: &Lane<C>, phase: Phase) -> Checked {
        let Some(LaneOp::Accept { many }) = lane.next_kind().filter(|_| phase == Phase::Open) else {
            return ensure(lane.wait() != WaitsFor::Place, "K6", "held-accept", || {
                String::from("held, yet accepts nothing")
            });
        };
        let may = self.lanes.may_accept(many);
        let right = !(lane.has(Bits::QUEUED) && !may || lane.wait() == WaitsFor::Place && may);
        ensure(right, "K6", "held-in-vain", || format!("may accept = {may}, and waits for {:?}", lane.wait()))
    }

    /// The proactor's own operations.
    fn check_own(&self, found: &mut Found) -> Checked {
        let mut sleeping = 0;
        for (index, op) in self.own.iter() {
            self.check_timer(op.timer(), || Owner::Sleep(index), found)?;
            sleeping += u32::from(op.sleeps());
            found.ended += u32::from(!op.sleeps());
        }
        found.queued += sleeping;
        let counted = self.own.sleeping();
        ensure(counted == sleeping, "T1", "sleep-count", || format!("{counted} counted, {sleeping} sleep"))
    }

    /// Every operation is in one place: queued, or among the completions.
    fn check_ops(&self, found: &Found) -> Checked {
        let (ended, waiting) = (found.ended, self.completions.waiting());
        ensure(ended == waiting, "C1", "completion-count", || format!("{waiting} wait, {ended} have ended"))?;
        for place in self.completions.places() {
            let ended = match place {
                Place::Own(index) => self.own.at(index).is_some_and(|op| !op.sleeps()),
                Place::Lane(id) => {
                    self.lanes.at(id.conn()).is_some_and(|conn| conn.has_ended(id.direction()))
                }
            };
            ensure(ended, "C1", "completion-place", || format!("nothing has ended at {place:?}"))?;
        }
        let (ops, queued) = (self.completions.credits(), found.queued);
        ensure(ops == queued + ended, "C1", "op-count", || {
            format!("{ops} operations, {queued} queued and {ended} ended")
        })?;
        let counted = self.metrics.queued().total();
        ensure(counted == queued, "C1", "queued-count", || format!("{counted} counted, {queued} queued"))
    }

    fn check_timer(
        &self,
        timer: Option<TimerId>,
        owner: impl FnOnce() -> Owner,
        found: &mut Found,
    ) -> Checked {
        let Some(timer) = timer else { return Ok(()) };
        found.timers += 1;
        let (owner, armed) = (owner(), self.deadlines.owner_of(timer));
        ensure(armed == Some(owner), "T1", "timer-owner", || {
            format!("the timer of {owner:?} is that of {armed:?}")
        })
    }

    /// Of a pool's leases there are not too many in queued sends.
    fn check_leases_in_sends(&self, pool: &Pool) -> Checked {
        let (found, most) = (self.leases_in_sends(pool), pool.sending_max());
        ensure(found <= most, "B3", "leases-in-sends", || {
            format!("{found} leases are in sends, and {most} may be")
        })
    }

    fn check_pools(&self, found: &mut Found) -> Checked {
        for pool in self.pools.iter() {
            self.check_timer(pool.retry(), || Owner::Pool(pool.id()), found)?;
            let (free, refused) = (pool.free_len(), pool.retry().is_some());
            let (parked, lent, most) =
                (self.lanes.parked(pool.id()), pool.outstanding(), pool.size().buffers_max);
            ensure(parked == 0 || free == 0 && (lent == most || refused), "B3", "parked-in-vain", || {
                format!("{parked} wait while {lent} of {most} buffers are lent")
            })?;
            self.check_leases_in_sends(pool)?;
            let holds = |conn: &Conn<C>| {
                let lane = conn.lane(Direction::Receive);
                lane.has(Bits::GRANTED) && lane.next_kind().and_then(LaneOp::pool) == Some(pool.id())
            };
            let holders = self.lanes.iter().filter(|(_, conn)| holds(conn)).count();
            let granted = pool.granted();
            ensure(granted as usize == holders, "B1", "granted-count", || {
                format!("{granted} buffers set aside for {holders} lanes")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod canaries;
