//! What there is to know about one connection, for those who look: monitoring, logs, tests.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;

use crate::buffer::Buffer;
use crate::conn::{Conn, Phase};
use crate::error::IdError;
use crate::extra::{Closer, QueuedOp};
use crate::id::{ConnId, OpId, PoolId, Serial};
use crate::lane::{Bits, Direction, End as LaneEnd, Lane, LaneId, WaitsFor};
use crate::model::{Model, ModelView, own_index, own_place};
use crate::op::{LaneOp, Op};
use crate::own::OwnOp;
use crate::system::Kind;
use crate::time::{Instant, Tick};
use crate::timers::TimerId;
use crate::transfer::Transfer;

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
    /// When the last byte went through, in whatever direction; before any has, when it was opened.
    pub last_progress: Instant,
    /// For how long no byte may go through: see [`set_idle`](Model::set_idle).
    pub idle: Option<Duration>,
    /// Whether it is reset, if it is closed at once: the peer must not take for complete what was cut off in
    /// the middle of a send.
    pub resets_on_close: bool,
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
    /// Bytes of the queued sends that are yet to be sent; of receives and accepts none.
    pub queued_bytes: u64,
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
    /// What it has come to its end with, if it has: every operation ends with it from then on. Of the
    /// receives of a connection that is [closing](ConnPhase::Closing) the number of the error is not told any
    /// more.
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
    /// Its `Recv::many` has as many leases out as it may: it waits for one of them.
    LeasesOut,
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
    /// Whether it holds a lease: one that it was submitted with, or one that it took because there was
    /// something to read.
    pub lease: bool,
    /// Where its lane stands, if it is at the front of one: what it waits for.
    pub place: Option<LanePlace>,
}

impl<C> Model<C> {
    /// Every operation, and every completion that was not taken.
    pub fn ops_info(&self) -> impl Iterator<Item = (OpId, OpInfo)> {
        let view = self.view();
        let (own, realm) = (view.own, view.realm);
        let of_conns = view.lanes.iter().flat_map(move |(id, conn)| view.ops_of(id, conn));
        of_conns.chain(own.iter().map(move |(index, op)| {
            (OpId::new(op.serial, own_place(index), realm), self.view().own_info(op))
        }))
    }

    /// What there is to know about an operation.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign.
    pub fn op_info(&self, op: OpId) -> Result<OpInfo, IdError> {
        let view = self.view();
        if op.realm() != view.realm {
            return Err(IdError::Foreign);
        }
        let found = match own_index(op.place()) {
            Some(index) => {
                let own = view.own.at(index).filter(|own| own.serial == op.serial());
                own.map(|own| view.own_info(own))
            }
            None => {
                let id = LaneId::from_index(op.place());
                let conn = view.lanes.at(id.conn()).map(|conn| (view.lanes.id(id.conn()), conn));
                // An accept that goes on is told of, not the connections that it has accepted.
                let mut infos = conn.into_iter().flat_map(move |(id, conn)| view.ops_of(id, conn));
                let matching = infos.by_ref().filter(|(id, _)| *id == op).map(|(_, info)| info);
                matching.reduce(|first, next| if first.ended { next } else { first })
            }
        };
        found.ok_or(IdError::Stale)
    }

    /// What there is to know about a connection.
    ///
    /// # Errors
    ///
    /// When the id is stale or foreign.
    pub fn conn_info(&self, conn: ConnId) -> Result<ConnInfo, IdError> {
        let view = self.view();
        if conn.realm() != view.realm {
            return Err(IdError::Foreign);
        }
        let state = view.lanes.get(conn).filter(|conn| !conn.phase().is_connecting());
        state.map(|state| view.conn_info(state)).ok_or(IdError::Stale)
    }

    /// Every connection and listener, those being made or closed included.
    pub fn conns(&self) -> impl Iterator<Item = (ConnId, ConnInfo)> {
        let live = self.view().lanes.iter().filter(|(_, conn)| conn.phase() != Phase::Gone);
        live.map(|(id, conn)| (id, self.view().conn_info(conn)))
    }
}

impl<'a, C> ModelView<'a, C> {
    fn conn_info(&self, conn: &Conn<C>) -> ConnInfo {
        let lane = |direction| {
            let lane = conn.lane(direction);
            LaneInfo {
                ops: conn.queued(direction),
                queued_bytes: if direction == Direction::Send { conn.bytes_to_send() as u64 } else { 0 },
                bytes: lane.bytes(),
                ready: lane.is_ready(),
                place: lane.into(),
                tainted: lane.has(Bits::TAINTED),
                shut: lane.has(Bits::SHUTTING | Bits::SHUT),
                end: lane.end(),
            }
        };
        ConnInfo {
            kind: conn.kind,
            phase: conn.phase().into(),
            age: self.now.saturating_since(conn.opened_at),
            pool: conn.pool,
            last_progress: conn.last_progress,
            idle: conn.idle_span(),
            resets_on_close: conn.resets_on_close(),
            receive: lane(Direction::Receive),
            send: lane(Direction::Send),
        }
    }

    /// The operations of a connection, and those of its completions that were not taken.
    fn ops_of(self, conn: ConnId, state: &'a Conn<C>) -> impl Iterator<Item = (OpId, OpInfo)> + use<'a, C> {
        let realm = self.realm;
        let of_lanes = Direction::BOTH.into_iter().flat_map(move |direction| {
            let place = LaneId::new(conn.index(), direction).index();
            let id = move |serial| OpId::new(serial, place, realm);
            let index = direction as usize;
            let ended = state.extra().into_iter().flat_map(move |extra| &extra.ended[index]);
            let behind = state.extra().into_iter().flat_map(move |extra| &extra.behind[index]);
            let ended =
                ended.map(move |ended| (id(ended.serial), ended_info(conn, ended.moved, &ended.buffer)));
            let head = state.lane(direction).head.as_ref();
            let head = head.map(move |op| (id(op.serial), self.head_info(conn, state, direction, op)));
            let behind = behind.map(move |queued| {
                let due = self.due_of(state, direction, &queued.op);
                (id(queued.op.serial), OpInfo { due, ..self.behind_info(conn, queued) })
            });
            ended.chain(head).chain(behind)
        });
        let closers = state.closing().into_iter().flat_map(move |closing| {
            let due = self.due(closing.timer);
            closing.closers().map(move |closer| {
                let id = OpId::new(closer.serial, LaneId::receive(conn.index()).index(), realm);
                (id, OpInfo { conn, ended: closing.ended, bytes: 0, due, lease: false, place: None })
            })
        });
        of_lanes.chain(closers)
    }

    fn head_info(&self, conn: ConnId, state: &Conn<C>, direction: Direction, op: &Op<C>) -> OpInfo {
        let (transfer, lane) = (state.transfer(direction), state.lane(direction));
        let due = self.due_of(state, direction, op);
        let holds = transfer.is_some_and(|transfer| matches!(transfer.buffer(), Buffer::Lease(_)));
        OpInfo {
            conn,
            ended: op.is_ended(),
            bytes: transfer.map_or(0, |transfer| transfer.moved() as u64),
            due,
            lease: holds || lane.has(Bits::GRANTED),
            place: (!op.is_ended()).then(|| lane.into()),
        }
    }

    fn behind_info(&self, conn: ConnId, queued: &QueuedOp<C>) -> OpInfo {
        let buffer = queued.load.transfer().map(Transfer::buffer);
        let lease = matches!(buffer, Some(Buffer::Lease(_)));
        OpInfo { conn, ended: false, bytes: 0, due: self.due(queued.op.timer()), lease, place: None }
    }

    fn own_info(&self, op: &OwnOp<C>) -> OpInfo {
        OpInfo {
            conn: ConnId::own(self.realm),
            ended: !op.sleeps(),
            bytes: 0,
            due: self.due(op.timer()),
            lease: op.holds_lease(),
            place: None,
        }
    }

    /// When the deadline of an operation falls due, as far as progress has put it off by now.
    fn due_of(&self, conn: &Conn<C>, direction: Direction, op: &Op<C>) -> Option<Instant> {
        let due = self.due(op.timer())?;
        let put_off = conn.extra().and_then(|extra| {
            let renewal = extra.renewals.iter().find(|renewal| renewal.serial == op.serial)?;
            Some((extra.progress[direction as usize] + renewal.span).tick_ceil().start())
        });
        Some(put_off.map_or(due, |put_off| put_off.max(due)))
    }

    fn due(&self, timer: Option<TimerId>) -> Option<Instant> {
        self.deadlines.tick_of(timer).map(Tick::start)
    }
}

fn ended_info(conn: ConnId, moved: usize, buffer: &Buffer) -> OpInfo {
    let lease = matches!(buffer, Buffer::Lease(_));
    OpInfo { conn, ended: true, bytes: moved as u64, due: None, lease, place: None }
}

impl From<Phase> for ConnPhase {
    fn from(phase: Phase) -> ConnPhase {
        match phase {
            Phase::Connecting | Phase::ConnectingKnown => ConnPhase::Connecting,
            Phase::Open => ConnPhase::Open,
            Phase::Flushing => ConnPhase::Flushing,
            Phase::LingeringFinDue | Phase::LingeringFinTried | Phase::LingeringFinSent => {
                ConnPhase::Lingering
            }
            Phase::Closing | Phase::ClosingReset | Phase::Gone => ConnPhase::Closing,
        }
    }
}

impl<C> From<&Lane<C>> for LanePlace {
    fn from(lane: &Lane<C>) -> LanePlace {
        match lane.wait() {
            WaitsFor::Nothing if lane.has(Bits::QUEUED) => LanePlace::Running,
            WaitsFor::Nothing | WaitsFor::Outcome => LanePlace::Idle,
            WaitsFor::Buffer => LanePlace::Parked,
            WaitsFor::Lease => LanePlace::LeasesOut,
            WaitsFor::Place => LanePlace::Held,
            WaitsFor::Pause(_) => LanePlace::BackingOff,
        }
    }
}

/// `{:?}` is a summary: how much of everything there is. `{:#?}` shows every connection, too, with all that
/// is queued on it.
impl<C> fmt::Debug for Model<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = f.alternate();
        let view = self.view();
        let mut summary = f.debug_struct("Model");
        summary
            .field("now", &view.now)
            .field("connections", &view.lanes.live())
            .field("ops", &view.completions.credits())
            .field("completions", &view.completions.waiting())
            .field("runnable", &view.lanes.running())
            .field("held", &view.lanes.held())
            .field("sleeping", &view.own.sleeping())
            .field("timers", &view.deadlines.len())
            .field("leases", &view.pools.outstanding())
            .field("shut_down", &view.shut_down);
        if whole {
            summary.field("conns", &Conns(view));
        }
        summary.finish_non_exhaustive()
    }
}

/// All connections of a model, one line each, and one for each operation.
struct Conns<'a, C>(ModelView<'a, C>);

impl<C> fmt::Debug for Conns<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = &self.0;
        let mut lines = f.debug_list();
        for (id, conn) in view.lanes.iter().filter(|(_, conn)| conn.phase() != Phase::Gone) {
            let ConnInfo { kind, phase, age, receive, send, .. } = view.conn_info(conn);
            lines.entry(&format_args!("{id}: {kind:?}, {phase:?}, {age:?} old"));
            if let Some(closing) = conn.closing() {
                let due = view.due(closing.timer);
                for Closer { serial, .. } in closing.closers() {
                    lines.entry(&ShownOp { serial: *serial, what: &closing.manner, transfer: None, due });
                }
            }
            for (name, info, direction) in
                [("receive", receive, Direction::Receive), ("send", send, Direction::Send)]
            {
                lines.entry(&format_args!("  {name}: {info}"));
                for (op, transfer) in conn.queued_ops(direction) {
                    let what = describe(conn, op, transfer);
                    let due = view.due(op.timer());
                    lines.entry(&ShownOp { serial: op.serial, what: &what, transfer, due });
                }
            }
        }
        for (_, op) in view.own.iter().filter(|(_, op)| op.sleeps()) {
            let due = view.due(op.timer());
            lines.entry(&ShownOp { serial: op.serial, what: &"sleep", transfer: None, due });
        }
        lines.finish()
    }
}

/// What is out of the ordinary, in words.
impl fmt::Display for LaneInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readiness = if self.ready { "ready" } else { "not ready" };
        write!(f, "{:?}, {readiness}, {} queued, {} bytes", self.place, self.ops, self.bytes)?;
        if self.queued_bytes > 0 {
            write!(f, ", {} bytes queued", self.queued_bytes)?;
        }
        let marks = [(self.tainted, "tainted"), (self.shut, "shut")];
        marks.iter().filter(|(set, _)| *set).try_for_each(|(_, mark)| write!(f, ", {mark}"))?;
        self.end.map_or(Ok(()), |end| write!(f, ", ended with {end:?}"))
    }
}

/// What an operation of a lane does, and with how much.
fn describe<C>(conn: &Conn<C>, op: &Op<C>, transfer: Option<&Transfer>) -> String {
    let target = conn.extra().and_then(|extra| extra.target.as_deref());
    match (op.kind, transfer.map(Transfer::range), target) {
        (LaneOp::Connect, _, Some(target)) => format!("connect({})", target.address()),
        (LaneOp::Send, Some((start, end)), _) => format!("send({start}..{end})"),
        (kind, Some((_, end)), _) => format!("{kind}({end})"),
        (kind, None, _) => format!("{kind}"),
    }
}

/// A queued operation.
struct ShownOp<'a> {
    serial: Serial,
    what: &'a dyn fmt::Display,
    transfer: Option<&'a Transfer>,
    due: Option<Instant>,
}

impl fmt::Debug for ShownOp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ShownOp { serial, what, transfer, due } = *self;
        write!(f, "    o{}: {what}", serial.get())?;
        write!(f, ", {} bytes moved", transfer.map_or(0, Transfer::moved))?;
        due.map_or(Ok(()), |due| write!(f, ", deadline {due:?}"))
    }
}

impl<C: fmt::Debug> Model<C> {
    /// All of the state between two turns, as text: two models with the same text do the same from then on.
    /// It is long, and meant for those who explore what a model can do; counters and the numbers of
    /// operations are left out, since nothing depends on them.
    pub fn dump(&self) -> String {
        let ModelView { lanes, deadlines, pools, completions, own, now, shut_down, waited, .. } = self.view();
        let mut text = String::new();
        for (id, conn) in lanes.iter() {
            let lanes = conn.lanes.each_ref().map(|lane| {
                let op = lane
                    .head
                    .as_ref()
                    .map(|op| (op.kind, op.result(), &op.context, deadlines.tick_of(op.timer())));
                let pause = deadlines.tick_of(lane.pause_timer());
                (lane.bits(), lane.row(), lane.bytes(), lane.end(), op, pause)
            });
            let extra = conn.extra().map(|extra| {
                let behind = extra.behind.each_ref().map(|behind| {
                    let ops = behind.iter().map(|queued| {
                        let QueuedOp { op, load } = queued;
                        (op.kind, &op.context, deadlines.tick_of(op.timer()), load.transfer())
                    });
                    ops.collect::<Vec<_>>()
                });
                let ended = extra.ended.each_ref().map(|ended| {
                    let ended = ended
                        .iter()
                        .map(|ended| (&ended.context, &ended.buffer, ended.moved, ended.result, ended.more));
                    ended.collect::<Vec<_>>()
                });
                let closing = extra.closing.as_ref().map(|closing| {
                    (
                        closing.closers().map(|closer| &closer.context).collect::<Vec<_>>(),
                        closing.manner,
                        closing.reason,
                        deadlines.tick_of(closing.timer),
                        closing.ended,
                    )
                });
                let renewals: Vec<_> = extra.renewals.iter().map(|renewal| renewal.span).collect();
                let progress = (renewals, extra.progress, extra.idle_with);
                (behind, ended, extra.receive.transfer(), extra.target.as_deref(), closing, progress)
            });
            let end = (deadlines.tick_of(conn.end_timer), deadlines.tick_of(conn.idle_timer), conn.idle);
            let progress = (conn.last_progress, conn.idle_looked);
            let conn = (conn.kind, conn.phase(), conn.pool, conn.leases_out, end, progress, &conn.send);
            let _ = writeln!(text, "{id}: {lanes:?} {extra:?} {conn:?}");
        }
        for (index, op) in own.iter() {
            let _ =
                writeln!(text, "{index}: {:?}", (op.context(), op.sleeps(), deadlines.tick_of(op.timer())));
        }
        let _ = writeln!(
            text,
            "{:?}",
            lanes.queues().map(|(name, _, lanes)| (name, lanes.collect::<Vec<_>>())).collect::<Vec<_>>()
        );
        let _ = writeln!(text, "{:?}", lanes.hinted().collect::<Vec<_>>());
        for pool in pools.iter() {
            let state = (
                pool.free_len(),
                pool.granted(),
                pool.outstanding(),
                pool.refusals(),
                deadlines.tick_of(pool.retry()),
            );
            let _ = writeln!(text, "{state:?}");
        }
        let waiting: Vec<_> = completions.places().collect();
        let _ = writeln!(text, "{:?}", (deadlines, waiting, now, shut_down, waited));
        text
    }
}
