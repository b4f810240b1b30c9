//! What there is to know about one connection, for those who look: monitoring, logs, tests.

use core::fmt;
use core::time::Duration;

use crate::buffer::Buffer;
use crate::cargo::Cargo;
use crate::conn::Phase;
use crate::error::IdError;
use crate::id::{ConnId, OpId};
use crate::lane::{End as LaneEnd, Gate, Lane, LaneId, Place};
use crate::model::Model;
use crate::op::{Op, Work};
use crate::pool::PoolId;
use crate::slab::NIL;
use crate::system::Kind;
use crate::time::Instant;

/// A connection or listener, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnInfo {
    /// Whether it is a stream or a listener.
    pub kind: Kind,
    /// Where it is between being opened and being gone.
    pub phase: ConnPhase,
    /// How long ago it was opened.
    pub age: Duration,
    /// The pool that its receives take from.
    pub pool: PoolId,
    /// Its receives, or a listener's accepts.
    pub receive: LaneInfo,
    /// Its sends.
    pub send: LaneInfo,
}

/// Where a connection is between being opened and being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ConnPhase {
    /// It is being made; its id is nobody's yet.
    Connecting,
    /// Operations are welcome.
    Open,
    /// It closes when its queued sends are done.
    Flushing,
    /// It closes when the peer has ended too.
    Lingering,
    /// Its descriptor waits to be closed.
    Closing,
}

/// One direction of a connection, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneInfo {
    /// Queued operations.
    pub ops: u32,
    /// Bytes that went through, ever.
    pub bytes: u64,
    /// Whether an attempt may succeed, as far as outcomes and events tell.
    pub ready: bool,
    /// Where it stands.
    pub place: LanePlace,
    /// A send ended after a part of its bytes, and the lane was not resumed.
    pub tainted: bool,
    /// A FIN was sent, or will be after the queued sends.
    pub shut: bool,
    /// What it has come to its end with, if it has: every operation ends with it from then on.
    pub end: Option<LaneEnd>,
}

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LanePlace {
    /// Nothing is queued, or an event is awaited.
    Idle,
    /// In the run queue.
    Running,
    /// In the queue of its pool, for a buffer.
    Parked,
    /// Waits for a free connection or credit to accept with.
    Held,
    /// Pauses, because the system ran out of something, or refused.
    BackingOff,
}

/// An operation, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpInfo {
    /// The connection that it is of.
    pub conn: ConnId,
    /// Whether it has ended, and its completion waits to be taken.
    pub ended: bool,
    /// Bytes that went through so far.
    pub bytes: u64,
    /// When its deadline falls due, rounded up to the millisecond, if it has one and has not ended.
    pub due: Option<Instant>,
    /// Whether it holds a lease: one that it was submitted with, or one that it took because there was something to
    /// read.
    pub lease: bool,
    /// Where its lane stands, if it is at the front of one: what it waits for.
    pub place: Option<LanePlace>,
}

impl<C> Model<C> {
    /// Every operation, and every completion that was not taken.
    pub fn ops_info(&self) -> impl Iterator<Item = (OpId, OpInfo)> {
        self.ops.iter().map(|(key, op)| (OpId::new(key, self.realm), self.op_info_of(key.index(), op)))
    }

    /// What there is to know about an operation.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign.
    pub fn op_info(&self, op: OpId) -> Result<OpInfo, IdError> {
        if op.realm() != self.realm {
            return Err(IdError::Foreign);
        }
        let state = self.ops.get(op.key()).ok_or(IdError::Stale)?;
        Ok(self.op_info_of(op.index(), state))
    }

    /// How many bytes an operation has moved.
    pub(crate) fn moved(&self, op: &Op<C>) -> usize {
        op.cargo.map_or(0, |cargo| self.cargos[cargo].moved)
    }

    fn op_info_of(&self, index: u32, op: &Op<C>) -> OpInfo {
        let due = op.timer.and_then(|timer| self.timers.get(timer)).map(|(tick, _)| tick.start());
        let lane = if op.is_queued() { op.work().direction() } else { None };
        let lane = lane.map(|direction| &self.conns[LaneId::new(op.conn.index(), direction)]);
        let at_front = lane.filter(|lane| lane.ops.front() == Some(index));
        OpInfo {
            conn: ConnId::new(op.conn, self.realm),
            ended: !op.is_queued(),
            bytes: self.moved(op) as u64,
            due,
            lease: op.cargo.is_some_and(|cargo| matches!(self.cargos[cargo].buffer, Buffer::Lease(_))),
            place: at_front.map(|lane| lane.place.into()),
        }
    }

    /// What there is to know about a connection.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign.
    pub fn conn_info(&self, conn: ConnId) -> Result<ConnInfo, IdError> {
        self.conn_index(conn).map(|index| self.info_at(index))
    }

    /// Every connection and listener, those being made or closed included.
    pub fn conns(&self) -> impl Iterator<Item = (ConnId, ConnInfo)> {
        self.conns.iter().map(|(key, _)| (ConnId::new(key, self.realm), self.info_at(key.index())))
    }

    fn info_at(&self, index: u32) -> ConnInfo {
        let conn = &self.conns[index];
        let [receive, send] = &conn.lanes;
        ConnInfo {
            kind: conn.kind,
            phase: conn.phase.into(),
            age: self.now.saturating_since(conn.opened_at),
            pool: conn.pool,
            receive: receive.into(),
            send: send.into(),
        }
    }
}

impl From<Phase> for ConnPhase {
    fn from(phase: Phase) -> ConnPhase {
        match phase {
            Phase::Connecting { .. } => ConnPhase::Connecting,
            Phase::Open => ConnPhase::Open,
            Phase::Flushing => ConnPhase::Flushing,
            Phase::Lingering { .. } => ConnPhase::Lingering,
            Phase::Closing { .. } => ConnPhase::Closing,
        }
    }
}

impl From<Place> for LanePlace {
    fn from(place: Place) -> LanePlace {
        match place {
            Place::Idle => LanePlace::Idle,
            Place::Running { .. } => LanePlace::Running,
            Place::Parked(_) => LanePlace::Parked,
            Place::Held { .. } => LanePlace::Held,
            Place::BackingOff { .. } => LanePlace::BackingOff,
        }
    }
}

impl From<&Lane> for LaneInfo {
    fn from(lane: &Lane) -> LaneInfo {
        LaneInfo {
            ops: lane.ops.len(),
            bytes: lane.bytes,
            ready: lane.is_ready(),
            place: lane.place.into(),
            tainted: lane.gate == Gate::Tainted,
            shut: matches!(lane.gate, Gate::Shutting | Gate::Shut),
            end: lane.end,
        }
    }
}

/// `{:?}` is a summary: how much of everything there is. `{:#?}` shows every connection, too, with all that is
/// queued on it.
impl<C> fmt::Debug for Model<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = f.alternate();
        let mut summary = f.debug_struct("Model");
        summary
            .field("now", &self.now)
            .field("connections", &self.conns.len())
            .field("ops", &self.ops.len())
            .field("completions", &self.ended.len())
            .field("runnable", &self.run.len())
            .field("held", &self.held_len())
            .field("sleeping", &self.sleeping.len())
            .field("timers", &self.timers.len())
            .field("leases", &self.outstanding())
            .field("shut_down", &self.shut_down);
        if whole {
            summary.field("conns", &Conns(self));
        }
        summary.finish_non_exhaustive()
    }
}

/// All connections of a model, one line each, and one for each operation.
struct Conns<'a, C>(&'a Model<C>);

impl<C> fmt::Debug for Conns<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.0;
        let mut lines = f.debug_list();
        for (id, info) in model.conns() {
            let ConnInfo { kind, phase, age, receive, send, .. } = info;
            lines.entry(&format_args!("{id}: {kind:?}, {phase:?}, {age:?} old"));
            let conn = &model.conns[id.index()];
            if conn.closer != NIL {
                lines.entry(&QueuedOp { model, index: conn.closer });
            }
            for (name, info, lane) in [("receive", receive, &conn.lanes[0]), ("send", send, &conn.lanes[1])] {
                lines.entry(&format_args!("  {name}: {info}"));
                for index in lane.ops.iter(&model.ops) {
                    lines.entry(&QueuedOp { model, index });
                }
            }
        }
        for index in model.sleeping.iter(&model.ops) {
            lines.entry(&QueuedOp { model, index });
        }
        lines.finish()
    }
}

/// What is out of the ordinary, in words.
impl fmt::Display for LaneInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readiness = if self.ready { "ready" } else { "not ready" };
        write!(f, "{:?}, {readiness}, {} queued, {} bytes", self.place, self.ops, self.bytes)?;
        let marks = [(self.tainted, "tainted"), (self.shut, "shut")];
        marks.iter().filter(|(set, _)| *set).try_for_each(|(_, mark)| write!(f, ", {mark}"))?;
        self.end.map_or(Ok(()), |end| write!(f, ", ended with {end:?}"))
    }
}

/// A queued operation.
struct QueuedOp<'a, C> {
    model: &'a Model<C>,
    index: u32,
}

impl<C> fmt::Debug for QueuedOp<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueuedOp { model, index } = *self;
        let op = &model.ops[index];
        write!(f, "    {}: {:?}", model.op_id(index), op.work())?;
        match (op.work(), op.cargo.map(|cargo| &model.cargos[cargo])) {
            (Work::Recv { .. }, Some(Cargo { end, .. })) => write!(f, "({end})")?,
            (Work::Send, Some(Cargo { start, end, .. })) => write!(f, "({start}..{end})")?,
            (_, _) => {}
        }
        write!(f, ", {} bytes moved", model.moved(op))?;
        let due = op.timer.and_then(|timer| model.timers.get(timer));
        due.map_or(Ok(()), |(tick, _)| write!(f, ", deadline {:?}", tick.start()))
    }
}

impl<C: fmt::Debug> Model<C> {
    /// All of the state between two turns, as text: two models with the same text do the same from then on. It is
    /// long, and meant for those who explore what a model can do; counters are left out, since nothing depends on
    /// them.
    pub fn dump(&self) -> alloc::string::String {
        let Model {
            conns,
            ops,
            cargos,
            timers,
            run,
            held,
            held_served,
            short,
            short_served,
            sleeping,
            ended,
            now,
            shut_down,
            waited,
            ..
        } = self;
        let pools = self
            .pools
            .iter()
            .map(|pool| (pool.parked, pool.free_len(), pool.outstanding(), pool.retry, pool.refusals));
        let pools: alloc::vec::Vec<_> = pools.collect();
        let lists = (run, held, held_served, short, short_served, sleeping, ended, pools);
        alloc::format!("{:?}", (conns, ops, cargos, timers, lists, now, shut_down, waited))
    }
}
