//! The oracle: what the contract says must happen, kept beside the model and compared with what does.
//!
//! It is a second, naive account of every connection and operation, fed only by what crosses the borders:
//! what the user submits, the system calls and their outcomes, the events, and the completions. It shares no
//! code with the model. `calls` judges the system's border, `completions` the user's, `lifecycle` how
//! connections begin and end, `expiry` what deadlines do, `rest` what must be true whenever nothing is under
//! way. A rule of the contract that is broken is reported under its name.

mod calls;
#[cfg(test)]
mod canaries;
mod completions;
mod expiry;
mod idle;
mod lifecycle;
mod look;
mod rest;
mod rows;
mod seen;
mod shares;

pub use completions::{Refused, Submission};
pub(crate) use look::{LaneAccount, OpAccount};

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    CloseReason, ConnId, Counters, Direction, Done, Instant, Key, Kind, Limits, OpError, OpId, PoolId, Rearm,
    Spin, SystemError, Violation,
};

use self::rows::Rows;
use crate::world::link::Side;

fn violation(rule: &'static str, check: &'static str, what: String) -> Violation {
    Violation { rule, check, what }
}

/// The second account. See the [module](self).
#[derive(Debug)]
pub struct Oracle {
    limits: Limits,
    rearm: Rearm,
    /// Of each pool, the buffers that may exist and their size.
    pools: Vec<(u32, usize)>,
    /// Of each pool, until which millisecond it does not ask for memory that was refused, and how often in a
    /// row it was.
    refusals: Vec<(Option<(u64, u64)>, u32)>,
    conns: Rows<ConnId, Conn>,
    ops: Rows<u64, Op>,
    /// Completions of accepts and receives that go on: they hold credits until they are taken.
    accepted: u32,
    /// Where the leases lie that a receive that goes on has out, and which receive that is.
    lease_of: BTreeMap<usize, u64>,
    /// Of each place for a connection, the generation of the last one that had it.
    generations: Vec<u32>,
    /// The last operation that was accepted.
    last_op: Option<OpId>,
    /// What has happened, as it is counted.
    counted: Counters,
    /// The latest time that anybody told; steps back count as none.
    now: Instant,
    /// Counts everything that is armed with a deadline, so that those of one tick keep their order.
    armed: u64,
    /// As many lanes as there ever were at once.
    lanes_max: usize,
    shut_down: bool,
    /// Turns taken.
    turns: u64,
    /// The last of them that asked for events.
    asked: u64,
    turn: TurnCounts,
    /// How the proactor was told to poll, and how often in a row it polled for nothing.
    pub(crate) spin: Spin,
    spun_in_vain: u32,
    /// How many operations a deadline has ended, and the last of them whose completion was taken.
    expired: u64,
    expired_taken: u64,
    broken: Option<Violation>,
}

#[derive(Debug, Default)]
struct TurnCounts {
    steps: u32,
    /// Calls for those who are ready; last attempts are not among them.
    calls: u32,
    /// How much of what has expired was ended, and what is being ended.
    expiries: u32,
    expiring: Option<expiry::Expiring>,
    /// What is armed before anything else in the step under way comes there among what is armed.
    armed_first: u64,
    /// There was room for a connection from the beginning of the turn, and none was opened in it: an accept
    /// had no other to lose the place to.
    place_free: bool,
    by_lane: Rows<(ConnId, usize), Share>,
    /// Connects that were yet to be tried when the round of attempts began, and have not ended since.
    untried: Vec<u64>,
    /// Of places, of credits, or of buffers there was none left, at some time since then.
    short: Short,
    /// To whom buffers were lent, of which pool, and since which turn they had waited.
    lent: Vec<(ConnId, usize, u64)>,
}

/// What a lane has had of a turn.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    calls: u32,
    bytes: u64,
}

/// What there was none of.
#[derive(Debug, Clone, Copy, Default)]
struct Short {
    places: bool,
    credits: bool,
    /// As many buffers were lent as the smallest pool that was empty may have.
    buffers: u32,
    /// The pools that memory was refused, a bit for each.
    memory: u64,
}

#[derive(Debug)]
struct Conn {
    kind: Kind,
    /// The connection's serial number in the network: what its bytes are a function of.
    serial: Option<u64>,
    /// Which side of it the peer is.
    far: Side,
    /// The pool that its receives take from.
    pool: usize,
    /// The bytes that may be queued to be sent, if it has a limit of its own.
    lane_bytes_max: Option<NonZeroU32>,
    lanes: [Lane; 2],
    phase: Phase,
    /// The closes that complete when it is gone. The deadline of the first is the strictest of all.
    closers: Vec<u64>,
    /// Until when it flushes or lingers: the span of a lingering close, or without a close what the shutdown
    /// said. The deadline of a close is that operation's.
    until: Option<(u64, u64)>,
    opened_at: Instant,
    /// When the last byte went through, or a connection was accepted.
    last_progress: Instant,
    /// For how long no byte may go through.
    idle: Option<Duration>,
    /// When that is looked at next.
    idle_due: Option<(u64, u64)>,
    /// The receive lane had its last attempt before the connection is idle.
    idle_looked: bool,
    /// The connection whose bytes count, too.
    idle_with: Option<ConnId>,
    /// Bytes that completions have reported as received.
    reported: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Whether the system knows it: there is something to be closed.
    Connecting {
        known: bool,
    },
    Open,
    Flushing {
        reason: CloseReason,
        linger: Linger,
    },
    Lingering {
        reason: CloseReason,
        linger: Linger,
        fin: Fin,
    },
    /// Whether by a reset.
    Closing {
        reset: bool,
    },
}

/// Whether a connection lingers when its sends are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linger {
    Not,
    /// For that many milliseconds after the peer took anything.
    For(u32),
    /// Until the shutdown's deadline.
    ToTheEnd,
}

/// The FIN of a connection that lingers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    Due,
    /// Due, and not for the first time.
    Tried,
    Sent,
}

impl Conn {
    fn new(kind: Kind, serial: Option<u64>) -> Conn {
        let lanes = [Lane::default(), Lane { ready: true, ..Lane::default() }];
        let (phase, far) = (Phase::Open, Side::Client);
        Conn {
            kind,
            serial,
            far,
            pool: 0,
            lane_bytes_max: None,
            lanes,
            phase,
            closers: vec![],
            until: None,
            opened_at: Instant::ZERO,
            last_progress: Instant::ZERO,
            idle: None,
            idle_due: None,
            idle_looked: false,
            idle_with: None,
            reported: 0,
        }
    }

    /// Why it flushes or lingers, if it does.
    fn ends_for(&self) -> Option<CloseReason> {
        match self.phase {
            Phase::Flushing { reason, .. } | Phase::Lingering { reason, .. } => Some(reason),
            Phase::Connecting { .. } | Phase::Open | Phase::Closing { .. } => None,
        }
    }

    /// Whether it is to send the FIN of a close.
    fn has_fin_due(&self) -> bool {
        matches!(self.phase, Phase::Lingering { fin: Fin::Due | Fin::Tried, .. })
    }

    /// Whether its receive lane has a call to make that is of no operation: a FIN that is due, or, while it
    /// flushes or lingers, a discard. That needs to be ready.
    fn has_own_call(&self) -> bool {
        let lane = &self.lanes[RECEIVE];
        self.has_fin_due() || (self.ends_for().is_some() && lane.end.is_none() && lane.ready)
    }
}

/// A lane as the contract sees it.
#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<u64>,
    /// An attempt may succeed, as far as outcomes and events tell.
    ready: bool,
    end_hinted: bool,
    end: Option<End>,
    /// Bytes that went through, ever.
    bytes: u64,
    /// When they last did, or a connection was accepted.
    progress: Instant,
    tainted: bool,
    fin: bool,
    /// Until which millisecond it pauses, if the system was short of something, and no call was made since;
    /// and the place of that among what falls due in that millisecond.
    pause: Option<(u64, u64)>,
    /// How often in a row it was, or the system refused.
    shortages: u32,
    /// How often in a row the system refused.
    refusals: u32,
    /// It pauses for want of a descriptor; and one was closed since.
    wants_descriptor: bool,
    freed: bool,
    /// Since the round of attempts of this turn began there was something to attempt, and nothing to wait
    /// for.
    due: bool,
    /// Turns in a row in which it could have gone on, and was not served.
    turns_passed_over: usize,
    /// The receive that waits for a buffer, and since which turn.
    parked: Option<(u64, u64)>,
    /// Since which turn the lane has waited for one: a receive takes over the place of the one before it
    /// (B3).
    in_line: Option<u64>,
    /// The pooled receive that has a buffer.
    holds: Option<u64>,
    /// Since the end of which turn it waits for a place for a connection, by the model's own word.
    held: Option<u64>,
    /// Which operations accepted since then, and in which turns, although this lane could have done so
    /// instead.
    outrun: Vec<(u64, u64)>,
    /// How many operations have ended in order.
    ended: u64,
    /// The stamp of the last of them whose completion was taken.
    taken: u64,
    /// Connections accepted whose completions were not taken yet.
    accepted: VecDeque<ConnId>,
    /// The bytes that a receive which goes on has brought, whose completions were not taken yet.
    received: VecDeque<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    EndOfStream,
    Fault(SystemError),
}

/// An operation as it was submitted, and what became of it.
#[derive(Debug)]
struct Op {
    id: OpId,
    conn: ConnId,
    task: Task,
    submitted_at: Instant,
    /// When its deadline falls due, in milliseconds, and its place among those of that millisecond.
    due: Option<(u64, u64)>,
    /// So long after the last progress of its lane, if that puts it off.
    renewal: Option<Duration>,
    /// What the buffer held when it was submitted.
    submitted: Vec<u8>,
    /// It carries a lease of the user's, of that pool.
    lease: Option<PoolId>,
    /// The leases that it has out, if it goes on.
    leases_out: u32,
    moved: u64,
    /// How it must complete, once it has ended.
    verdict: Option<Verdict>,
    /// If its deadline ended it: as the how many-th.
    expired: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    result: Result<Done, OpError>,
    /// Its place in the order of its lane, unless a deadline or a cancel took it out of that.
    stamp: Option<u64>,
}

/// What an operation has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Receive any bytes into the user's buffer.
    Recv,
    /// Receive until the user's buffer is full.
    RecvExact,
    /// Receive any bytes into a buffer of this pool.
    RecvPooled {
        /// The index of the pool.
        pool: usize,
    },
    /// Receive any bytes into a buffer of the connection's own pool.
    RecvOwnPool,
    /// Receive any bytes into buffers of this pool, or of the connection's own, one after the other, with as
    /// many out as that.
    RecvMany {
        /// The index of the pool.
        pool: Option<usize>,
        /// How many.
        leases_max: u8,
    },
    /// Send this part of the user's buffer.
    Send {
        /// The first byte.
        start: usize,
        /// One past the last byte.
        end: usize,
    },
    /// Wait until a receive or a send would not block.
    Wait(Direction),
    /// Accept one connection.
    AcceptOne,
    /// Accept one connection after the other.
    AcceptMany,
    /// Make a connection.
    Connect,
    /// Shut down for sending.
    Shutdown,
    /// Close.
    Close {
        /// When.
        manner: Manner,
        /// Why.
        reason: CloseReason,
    },
    /// Wait for a point in time.
    Sleep,
    /// Complete at once.
    Post,
}

/// When a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// At once.
    Now,
    /// At once, and by a reset.
    Abort,
    /// After the queued sends.
    Flush,
    /// When then the peer has ended too, or at the latest that many milliseconds later.
    Linger(u32),
}

const RECEIVE: usize = 0;
const SEND: usize = 1;

impl Task {
    /// The lane that it queues in; a close queues in none.
    fn lane(self) -> Option<usize> {
        match self {
            Task::AcceptOne | Task::AcceptMany | Task::Wait(Direction::Receive) => Some(RECEIVE),
            Task::Wait(Direction::Send) => Some(SEND),
            _ if self.is_recv() => Some(RECEIVE),
            Task::Send { .. } | Task::Connect | Task::Shutdown => Some(SEND),
            _ => None,
        }
    }

    /// Whether it can be cancelled and given another deadline: all but a close.
    fn can_change(self) -> bool {
        !matches!(self, Task::Close { .. })
    }

    /// Whether it may have to wait for something else than an event: a buffer, a place, a credit.
    fn may_wait(self) -> bool {
        self.pool().is_some() || matches!(self, Task::AcceptOne | Task::AcceptMany)
    }

    fn is_recv(self) -> bool {
        matches!(self, Task::Recv | Task::RecvExact | Task::RecvOwnPool | Task::RecvMany { .. })
            || self.pool().is_some()
    }

    /// The pool that it receives from, if that is known.
    fn pool(self) -> Option<usize> {
        match self {
            Task::RecvPooled { pool } => Some(pool),
            Task::RecvMany { pool, .. } => pool,
            _ => None,
        }
    }
}

/// The millisecond in which something with this deadline may end: rounded up.
fn due_tick(at: Instant) -> Option<u64> {
    (at < Instant::MAX).then(|| at.as_nanos().div_ceil(1_000_000))
}

impl Oracle {
    /// An account of nothing yet.
    pub fn new(limits: Limits, pools: Vec<(u32, usize)>, rearm: Rearm) -> Oracle {
        Oracle {
            limits,
            rearm,
            refusals: vec![(None, 0); pools.len()],
            pools,
            conns: Rows::default(),
            ops: Rows::default(),
            accepted: 0,
            generations: Vec::new(),
            last_op: None,
            counted: Counters::default(),
            lease_of: BTreeMap::new(),
            now: Instant::ZERO,
            armed: 0,
            lanes_max: 0,
            shut_down: false,
            turns: 0,
            asked: 0,
            turn: TurnCounts::default(),
            spin: Spin::Off,
            spun_in_vain: 0,
            expired: 0,
            expired_taken: 0,
            broken: None,
        }
    }

    /// The first rule that was broken, if any was.
    pub fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }

    /// Reports a broken rule. Only the first counts: what follows may be its consequence.
    pub fn breaks(&mut self, rule: &'static str, check: &'static str, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(violation(rule, check, what()));
        }
    }

    /// `rule` holds, as far as `check` can tell, if `holds`.
    fn ensure(
        &mut self,
        holds: bool,
        rule: &'static str,
        check: &'static str,
        what: impl FnOnce() -> String,
    ) {
        if !holds {
            self.breaks(rule, check, what);
        }
    }

    /// A socket was adopted.
    pub fn on_adopted(&mut self, conn: ConnId, kind: Kind, serial: Option<u64>) {
        self.turn.place_free = false;
        let known = self.conns.contains_key(&conn);
        self.ensure(!known, "K1", "new-id", || format!("{conn} names two connections at once"));
        self.note_generation(conn.key());
        self.counted.opened += 1;
        let opened_at = self.now;
        let last_progress = opened_at;
        self.conns.insert(conn, Conn { opened_at, last_progress, ..Conn::new(kind, serial) });
    }

    /// The system refused a socket. It had a place meanwhile; if that was the last one, accepts were held for
    /// it, and go on after those that had been behind them.
    pub fn on_adopt_refused(&mut self) {
        self.turn.short.places |= self.places() + 1 >= self.limits.connections_max.get() as usize;
    }

    /// Judges that an id is not one that was used up before: of those in one place, each is later than the
    /// last.
    fn note_generation(&mut self, key: Key) {
        let (place, generation) = (key.index() as usize, key.generation().get());
        let generations = &mut self.generations;
        if generations.len() <= place {
            generations.resize(place + 1, 0);
        }
        let before = std::mem::replace(&mut generations[place], generation);
        self.ensure(before < generation, "K1", "ids-go-on", || {
            format!("{key:?} is new, and its place was in use as generation {before} before")
        });
    }

    /// Judges that an operation is later than all before it.
    fn note_number(&mut self, id: OpId) {
        let before = self.last_op.replace(id);
        self.ensure(before < Some(id), "K1", "ops-go-on", || format!("{id} came after {before:?}"));
    }

    /// Whether a connection exists, as far as the user can know.
    pub fn knows(&self, conn: ConnId) -> bool {
        self.conns.contains_key(&conn)
    }

    /// What an operation has to do, until its final completion is taken.
    pub fn task_of(&self, context: u64) -> Option<Task> {
        self.ops.get(&context).map(|op| op.task)
    }

    /// The operations whose final completion was not taken.
    pub fn ops(&self) -> usize {
        self.ops.len()
    }

    /// Credits in use: operations, and completions of accepts that go on.
    fn credits(&self) -> u32 {
        u32::try_from(self.ops.len()).unwrap_or(u32::MAX).saturating_add(self.accepted)
    }

    /// Whether the operation at the front of a lane has as many leases out as it may.
    fn has_all_leases_out(&self, lane: &Lane) -> bool {
        lane.queue.front().is_some_and(|head| self.ops[head].has_all_leases_out())
    }

    /// A buffer that lies there is home.
    pub fn on_home(&mut self, address: usize) {
        let op = self.lease_of.remove(&address).and_then(|context| self.ops.get_mut(&context));
        if let Some(op) = op {
            op.leases_out -= 1;
        }
    }

    fn lane(&mut self, conn: ConnId, lane: usize) -> Option<&mut Lane> {
        Some(&mut self.conns.get_mut(&conn)?.lanes[lane])
    }

    /// An operation has ended: from now on its completion must say so.
    fn end(&mut self, serial: u64, result: Result<Done, OpError>) {
        let Some(op) = self.ops.get_mut(&serial) else { return };
        let in_order = !matches!(result, Err(OpError::Deadline | OpError::Cancelled));
        let mut stamp = None;
        if let Some(lane) = op.task.lane()
            && let Some(conn) = self.conns.get_mut(&op.conn)
        {
            let lane = &mut conn.lanes[lane];
            lane.queue.retain(|queued| *queued != serial);
            if lane.queue.is_empty() {
                // What is submitted next is a try of the user's own.
                lane.pause = None;
                lane.due = false;
                // And begins at the back of the line.
                lane.turns_passed_over = 0;
                lane.held = None;
                lane.outrun.clear();
            }
            if op.task == Task::Shutdown {
                // One that did not happen shuts nothing down.
                lane.fin = result == Ok(Done::ShutDown);
            }
            if in_order {
                lane.ended += 1;
                stamp = Some(lane.ended);
            }
        }
        op.verdict = Some(Verdict { result, stamp });
    }

    /// Every operation of a lane has ended.
    fn end_lane(&mut self, conn: ConnId, lane: usize, result: impl Fn(Task) -> Result<Done, OpError>) {
        while let Some(serial) = self.lane(conn, lane).and_then(|lane| lane.queue.front().copied()) {
            let Some(task) = self.ops.get(&serial).map(|op| op.task) else { return };
            self.end(serial, result(task));
        }
    }

    /// A lane has come to its end (K4).
    fn finish(&mut self, conn: ConnId, lane: usize, end: End) {
        if let Some(lane) = self.lane(conn, lane) {
            lane.end = Some(end);
        }
        self.end_lane(conn, lane, |task| end.result(task));
    }

    /// An operation ends before its time (C5).
    fn end_early(&mut self, serial: u64, error: OpError) {
        let Some(op) = self.ops.get(&serial) else { return };
        let (conn, task, moved) = (op.conn, op.task, op.moved);
        if task == Task::Connect {
            return self.end_connect(serial, error);
        }
        let Some(lane) = task.lane() else {
            let elapsed = task == Task::Sleep && error == OpError::Deadline;
            return self.end(serial, if elapsed { Ok(Done::Elapsed) } else { Err(error) });
        };
        if task.may_wait() && self.lane(conn, lane).is_some_and(|lane| lane.queue.front() == Some(&serial)) {
            self.front_left(conn, lane);
        }
        self.end(serial, Err(error));
        if matches!(task, Task::Send { .. }) && moved > 0 {
            self.end_lane(conn, lane, |_| Err(OpError::Tainted));
            if let Some(lane) = self.lane(conn, lane) {
                lane.tainted = true;
            }
        }
        self.flushed(conn);
    }

    /// Everything of a connection ends, and its descriptor is to be closed (K2): by a reset if that breaks
    /// off a send.
    fn abort(&mut self, conn: ConnId, reason: CloseReason) {
        self.close_now(conn, reason, self.is_broken_off(conn));
    }

    /// Whether a send of a connection was begun and will not be completed.
    fn is_broken_off(&self, conn: ConnId) -> bool {
        let Some(Conn { kind: Kind::Stream, lanes, .. }) = self.conns.get(&conn) else { return false };
        let send = &lanes[SEND];
        let begun = send.queue.iter().filter_map(|op| self.ops.get(op)).any(|op| op.moved > 0);
        begun || send.tainted || matches!(send.end, Some(End::Fault(_)))
    }

    fn close_now(&mut self, conn: ConnId, reason: CloseReason, reset: bool) {
        self.end_idle(conn);
        let (before, closer) = match self.conns.get_mut(&conn) {
            None | Some(Conn { phase: Phase::Closing { .. }, .. }) => return,
            Some(conn) => {
                conn.until = None;
                (std::mem::replace(&mut conn.phase, Phase::Closing { reset }), conn.closers.first().copied())
            }
        };
        if let Some(closer) = closer.and_then(|closer| self.ops.get_mut(&closer)) {
            closer.due = None;
        }
        for lane in [RECEIVE, SEND] {
            self.end_lane(conn, lane, |_| Err(OpError::Closed(reason)));
            // A close is never short of anything.
            if let Some(lane) = self.lane(conn, lane) {
                lane.pause = None;
                lane.due = false;
            }
        }
        if before == (Phase::Connecting { known: false }) {
            // The system never heard of it: there is nothing to close.
            self.conns.remove(&conn);
        }
    }
}

impl Op {
    /// Whether it has as many leases out as it may.
    fn has_all_leases_out(&self) -> bool {
        match self.task {
            Task::RecvMany { leases_max, .. } => self.leases_out >= u32::from(leases_max),
            _ => false,
        }
    }
}

impl Lane {
    /// Whether it pauses, at that time.
    fn pauses(&self, now: Instant) -> bool {
        self.pause.is_some_and(|(until, _)| now.as_nanos() / 1_000_000 < until)
    }

    /// The system was short of something: a pause of 1 ms, and of twice as long each time in a row, up to
    /// about a second; up to 32 ms for a connect (K5).
    fn fall_short(&mut self, now: Instant, connects: bool, armed: u64) {
        let span = 1 << self.shortages.min(if connects { 5 } else { 10 });
        self.shortages += 1;
        self.pause = Some((now.as_nanos().div_ceil(1_000_000) + span, armed));
    }
}

impl End {
    fn result(self, task: Task) -> Result<Done, OpError> {
        match (self, task) {
            (End::Fault(error), _) => Err(OpError::System(error)),
            (End::EndOfStream, Task::RecvExact) => Err(OpError::UnexpectedEof),
            // A receive would not block.
            (End::EndOfStream, Task::Wait(_)) => Ok(Done::Ready),
            (End::EndOfStream, _) => Ok(Done::Received { end_of_stream: true }),
        }
    }
}
