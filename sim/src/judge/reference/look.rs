//! What can be seen from outside.

use std::time::Duration;

use aio_model::{ConnPhase, Instant, Kind, LaneEnd, LanePlace, PoolId, SystemError};

use super::{Buffer, Conn, Direction, Id, Lane, LaneName, Op, Phase, Reference, Work};

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::ConnInfo`")]
pub struct ConnLook {
    pub id: Id,
    pub kind: Kind,
    pub phase: ConnPhase,
    pub age: Duration,
    pub pool: PoolId,
    pub last_progress: Instant,
    pub idle: Option<Duration>,
    pub receive: LaneLook,
    pub send: LaneLook,
}

/// A lane.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::LaneInfo`")]
pub struct LaneLook {
    pub ops: usize,
    pub queued_bytes: usize,
    pub bytes: u64,
    pub ready: bool,
    pub place: LanePlace,
    pub tainted: bool,
    pub shut: bool,
    pub end: Option<LaneEnd>,
}

/// An operation, or a completion that waits to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::OpInfo`")]
pub struct OpLook {
    pub id: Id,
    pub conn: Id,
    pub ended: bool,
    pub bytes: usize,
    pub due: Option<Instant>,
    pub lease: bool,
    pub place: Option<LanePlace>,
}

/// How much there is of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::Stats`")]
pub struct Gauges {
    pub connections: usize,
    pub ops: usize,
    pub completions: usize,
    /// Buffers that are lent, but for those that were dropped.
    pub leases: usize,
    pub lanes_parked: usize,
    pub lanes_held: usize,
    pub lanes_backing_off: usize,
    pub lanes_runnable: usize,
    pub timers: usize,
    /// How often a dropped lease has woken the loop.
    pub wakes: u32,
}

impl Lane {
    /// The bytes of its sends that are yet to be sent.
    pub(super) fn bytes_to_send(&self) -> usize {
        let left = |op: &Op| match op.work {
            Work::Send { start, end } => end - start - op.bytes,
            _ => 0,
        };
        self.ops.iter().map(left).sum()
    }

    /// Whether a FIN was sent, or will be.
    pub(super) fn is_shut(&self) -> bool {
        self.fin_sent || self.ops.iter().any(|op| op.work == Work::Shutdown)
    }
}

impl Reference {
    /// Every connection, by its place.
    pub fn conns(&self) -> Vec<ConnLook> {
        self.conns.values().map(|conn| self.conn_look(conn)).collect()
    }

    fn conn_look(&self, conn: &Conn) -> ConnLook {
        let phase = match conn.phase {
            Phase::Connecting { .. } => ConnPhase::Connecting,
            Phase::Open => ConnPhase::Open,
            Phase::Flushing { .. } => ConnPhase::Flushing,
            Phase::Lingering { .. } => ConnPhase::Lingering,
            Phase::Closing { .. } => ConnPhase::Closing,
        };
        let [receive, send] = LaneName::both(conn.id.index).map(|name| (name, self.lane(name)));
        let look = |(name, lane): (LaneName, &Lane)| LaneLook {
            ops: lane.ops.len(),
            queued_bytes: lane.bytes_to_send(),
            bytes: lane.bytes,
            ready: lane.ready,
            place: self.place(name),
            tainted: lane.tainted,
            shut: lane.is_shut(),
            end: match lane.end {
                Some(LaneEnd::Fault(error))
                    if name.direction == Direction::Receive && phase == ConnPhase::Closing =>
                {
                    Some(LaneEnd::Fault(SystemError::from_kind(error.kind())))
                }
                end => end,
            },
        };
        ConnLook {
            id: conn.id,
            kind: conn.kind,
            phase,
            age: self.now.saturating_since(conn.opened_at),
            pool: conn.pool,
            last_progress: conn.last_progress,
            idle: conn.idle,
            receive: look(receive),
            send: look(send),
        }
    }

    /// Every operation and every completion that was not taken, by its place.
    pub fn ops(&self) -> Vec<OpLook> {
        let queued = |op: &Op, place| OpLook {
            id: op.id,
            conn: op.conn,
            ended: false,
            bytes: op.bytes,
            due: self.due(op),
            lease: matches!(op.buffer, Buffer::Lease { .. }),
            place,
        };
        let mut looks: Vec<OpLook> = self.sleeping.iter().map(|op| queued(op, None)).collect();
        for conn in self.conns.values() {
            let due = conn.closers.first().and_then(|closer| closer.deadline).map(|alarm| alarm.at());
            looks.extend(conn.closers.iter().map(|op| OpLook { due, ..queued(op, None) }));
        }
        for (name, lane) in self.lanes() {
            // Where a lane stands is where its head stands.
            let places = std::iter::once(Some(self.place(name))).chain(std::iter::repeat(None));
            looks.extend(lane.ops.iter().zip(places).map(|(op, place)| queued(op, place)));
        }
        looks.extend(self.ended.iter().map(|done| OpLook {
            id: done.op,
            conn: done.conn,
            ended: true,
            bytes: done.bytes,
            due: None,
            lease: matches!(done.buffer, Buffer::Lease { .. }),
            place: None,
        }));
        looks.sort_by_key(|look| (look.id, look.ended));
        looks
    }

    /// When an operation falls due, as far as progress has put that off by now.
    fn due(&self, op: &Op) -> Option<Instant> {
        let due = op.deadline?.at();
        let put_off = self.put_off_until(op.id).map(|until| {
            let ms = until.as_nanos().div_ceil(1_000_000);
            Instant::from_nanos(ms.saturating_mul(1_000_000))
        });
        Some(put_off.map_or(due, |put_off| put_off.max(due)))
    }

    /// How much there is of everything.
    pub fn gauges(&self) -> Gauges {
        let leases = self.pools.values().map(|pool| pool.lent as usize).sum::<usize>();
        Gauges {
            connections: self.conns.len(),
            ops: self.credits,
            completions: self.ended.len(),
            leases: leases - self.homeward.len(),
            lanes_parked: self.pools.values().map(|pool| pool.parked.len()).sum(),
            lanes_held: self.held.len(),
            lanes_backing_off: self.lanes().filter(|(_, lane)| lane.pause.is_some()).count(),
            lanes_runnable: self.line.len(),
            timers: self.timers(),
            wakes: self.wakes,
        }
    }
}
