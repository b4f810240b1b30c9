//! The proactor once more, as plainly as it can be said: what the contract promises, and nothing for speed.
//!
//! Queues are queues, and everything else is searched for: what a lane wants to do and where it stands, what
//! falls due next, how many of anything there are. An operation is a value that moves from its lane to the
//! completions. It shares no code with the model, only the words. `cargo test -p sim --test reference` gives
//! `aio::Proactor` and this the same calls, the same answers of a system and the same clock, and compares,
//! after every call, what came of it, the system calls that it made, and all that can be seen of connections
//! and operations.
//!
//! Where the contract leaves an order open, this one says which it is: lanes are served in the order in which
//! they came to have something to do; of deadlines in one millisecond, the one set first comes first; a
//! shutdown goes through the connections by the numbers of their places.
//!
//! A rule stands where it is kept, under its name. Each has a place that asks `keeps`: there a test can
//! switch it off, and without any one of them the comparison must fail.

mod attempt;
mod buffer;
mod close;
mod idle;
mod look;
mod submit;
mod time;
mod turn;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{CloseReason, Direction, Instant, Kind, LaneEnd, LanePlace, OpError, PoolId, PoolSize};

pub use buffer::{Buffer, LentBy};
pub use look::{ConnLook, Gauges, LaneLook, OpLook};
pub use turn::{Call, SystemBelow};
pub use words::{Completion, Done, Id, Manner, Plan, Refused, Request, Rule, Work};

use time::Alarm;
use words::Places;

/// The proactor. See the [module](self).
#[derive(Debug)]
pub struct Reference {
    plan: Plan,
    /// The rule that it does not keep.
    without: Option<Rule>,
    now: Instant,
    shut_down: bool,
    /// Whether the last turn asked for events.
    asked: bool,
    /// The last turn had no room to end all that had expired.
    overdue: bool,
    conns: BTreeMap<u32, Conn>,
    conn_places: Places,
    /// The connections that are gone, but whose places are not free: how many of their completions wait to be
    /// taken.
    gone: BTreeMap<u32, usize>,
    /// Operations that are queued, or whose completion was not taken.
    credits: usize,
    /// How many operations were ever accepted.
    accepted: u32,
    pools: BTreeMap<PoolId, Pool>,
    /// The lanes that have something to attempt.
    line: VecDeque<LaneName>,
    /// Which number those in line had when they last came to stand at its end, and the next number.
    numbers: BTreeMap<LaneName, u64>,
    next_number: u64,
    /// Those of them that are yet to be served in this turn.
    up: Vec<LaneName>,
    /// The bytes that went through in the lane which is being served.
    moved: usize,
    /// The accepting lanes that wait for a connection's place or a credit.
    held: VecDeque<LaneName>,
    /// The lanes that pause for want of a descriptor; and those of them that had one since the others came to
    /// wait.
    short: VecDeque<LaneName>,
    short_served: VecDeque<LaneName>,
    sleeping: Vec<Op>,
    ended: VecDeque<Completion>,
    /// The completions that the turn under way hands over, and how many there may be.
    batch: Vec<Completion>,
    room: usize,
    /// The leases that were dropped since the last turn.
    homeward: Vec<LentBy>,
    /// The lanes that wait for one of the leases which their receive has out.
    all_out: Vec<LaneName>,
    /// Lanes that came to wait for a buffer behind a hint at their end, or that such a hint was given; each
    /// with the number that was next then.
    hinted: VecDeque<(LaneName, u64)>,
    /// The next lease that is dropped is to wake the loop.
    awaits_lease: bool,
    /// How often it was woken.
    wakes: u32,
    /// How many deadlines were ever set.
    alarms: u64,
}

#[derive(Debug)]
struct Pool {
    size: PoolSize,
    lent: u32,
    /// The lanes that wait for a buffer.
    parked: VecDeque<LaneName>,
}

#[derive(Debug)]
struct Conn {
    id: Id,
    kind: Kind,
    phase: Phase,
    pool: PoolId,
    /// The bytes that may be queued to be sent, if it has a limit of its own.
    lane_bytes_max: Option<NonZeroU32>,
    opened_at: Instant,
    /// When the last byte went through, or a connection was accepted.
    last_progress: Instant,
    /// For how long no byte may go through, when that is looked at, whether the receives had a last attempt,
    /// and whose bytes count, too.
    idle: Option<Duration>,
    idle_alarm: Option<Alarm>,
    idle_looked: bool,
    idle_with: Option<Id>,
    /// What it receives or accepts, and what it sends.
    lanes: [Lane; 2],
    /// The closes that complete when it is gone. The deadline of the first is the strictest of all.
    closers: Vec<Op>,
    /// When flushing or lingering ends: the span of a lingering close, or as a shutdown says where there is
    /// no close. The deadline of a close is its own.
    ends: Option<Alarm>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Whether the system has heard of it.
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
    Closing {
        reset: bool,
    },
}

/// Whether a connection lingers once its sends are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Linger {
    No,
    /// For so long after the peer took anything.
    For {
        ms: u32,
    },
    /// Until the end that the shutdown set.
    ToTheEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    Due,
    /// Due, and not for the first time.
    Tried,
    Sent,
}

/// A connection's place, and a direction of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LaneName {
    conn: u32,
    direction: Direction,
}

#[derive(Debug, Default)]
struct Lane {
    ops: VecDeque<Op>,
    /// An attempt may succeed.
    ready: bool,
    /// There may be more behind the bytes.
    end_hinted: bool,
    tainted: bool,
    fin_sent: bool,
    end: Option<LaneEnd>,
    bytes: u64,
    /// When bytes last went through, or a connection was accepted.
    progress: Instant,
    /// How often in a row the system was short of something, and until when the lane pauses for that.
    shortages: u32,
    pause: Option<Alarm>,
    /// How often in a row the system refused.
    refusals: u32,
}

#[derive(Debug)]
struct Op {
    id: Id,
    context: u32,
    conn: Id,
    work: Work,
    buffer: Buffer,
    bytes: usize,
    /// The leases that it has out, if it goes on.
    leases_out: usize,
    deadline: Option<Alarm>,
    /// The deadline is so long after the last progress of the lane.
    renewal: Option<Duration>,
}

impl Reference {
    /// A proactor that keeps every rule, or all but one.
    pub fn new(plan: Plan, without: Option<Rule>) -> Reference {
        let pools = plan.pools.iter().map(|size| Pool { size: *size, lent: 0, parked: VecDeque::new() });
        Reference {
            pools: (0..).map(PoolId::new).zip(pools).collect(),
            plan,
            without,
            now: Instant::ZERO,
            shut_down: false,
            asked: false,
            overdue: false,
            conns: BTreeMap::new(),
            conn_places: Places::default(),
            gone: BTreeMap::new(),
            credits: 0,
            accepted: 0,
            line: VecDeque::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            up: vec![],
            moved: 0,
            held: VecDeque::new(),
            short: VecDeque::new(),
            short_served: VecDeque::new(),
            sleeping: vec![],
            ended: VecDeque::new(),
            batch: vec![],
            room: 0,
            homeward: vec![],
            all_out: vec![],
            hinted: VecDeque::new(),
            awaits_lease: false,
            wakes: 0,
            alarms: 0,
        }
    }

    /// Whether it keeps a rule.
    fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether another connection may exist.
    fn has_place(&self) -> bool {
        self.conns.len() < self.plan.limits.connections_max.get() as usize
    }

    /// C6: an operation that was accepted has a place until its completion is taken.
    fn has_credit(&self) -> bool {
        self.credits < self.plan.limits.ops_max.get() as usize
    }

    fn lane(&self, name: LaneName) -> &Lane {
        &self.conns[&name.conn].lanes[name.direction as usize]
    }

    fn lane_mut(&mut self, name: LaneName) -> &mut Lane {
        &mut self.conn_mut(name.conn).lanes[name.direction as usize]
    }

    /// Every lane there is.
    fn lanes(&self) -> impl Iterator<Item = (LaneName, &Lane)> {
        let names = self.conns.keys().flat_map(|conn| LaneName::both(*conn));
        names.map(|name| (name, self.lane(name)))
    }

    fn conn_mut(&mut self, conn: u32) -> &mut Conn {
        self.conns.get_mut(&conn).expect("the connection exists")
    }

    fn pool_mut(&mut self, pool: PoolId) -> &mut Pool {
        self.pools.get_mut(&pool).expect("the pool exists")
    }

    /// Where a lane stands.
    fn place(&self, lane: LaneName) -> LanePlace {
        if self.line.contains(&lane) {
            LanePlace::Running
        } else if self.held.contains(&lane) {
            LanePlace::Held
        } else if self.pools.values().any(|pool| pool.parked.contains(&lane)) {
            LanePlace::Parked
        } else if self.all_out.contains(&lane) {
            LanePlace::LeasesOut
        } else if self.lane(lane).pause.is_some() {
            LanePlace::BackingOff
        } else {
            LanePlace::Idle
        }
    }

    /// Whether there is something to attempt.
    fn wants_attempt(&self, name: LaneName) -> bool {
        let lane = self.lane(name);
        match (self.conns[&name.conn].phase, name.direction) {
            (Phase::Closing { .. }, direction) => direction == Direction::Receive,
            (Phase::Lingering { fin: Fin::Due | Fin::Tried, .. }, Direction::Receive) => true,
            // What comes is thrown away, until it ends.
            (Phase::Flushing { .. } | Phase::Lingering { .. }, Direction::Receive) => {
                lane.ready && lane.end.is_none()
            }
            // A FIN needs no room: with nothing left before it, it is not waited with (K3).
            _ => !lane.ops.is_empty() && (lane.ready || lane.ops[0].work == Work::Shutdown),
        }
    }

    /// Something about a connection has changed: its lanes stand where that puts them, and if it flushes and
    /// no send is left, it goes on.
    fn settle(&mut self, conn: u32) {
        LaneName::both(conn).into_iter().for_each(|lane| self.stand(lane));
        let flushed = |conn: &Conn| {
            matches!(conn.phase, Phase::Flushing { .. }) && conn.lane(Direction::Send).ops.is_empty()
        };
        if self.conns.get(&conn).is_some_and(flushed) {
            self.flushed(conn);
        }
    }

    fn stand(&mut self, lane: LaneName) {
        if !self.conns.contains_key(&lane.conn) {
            return;
        }
        match (self.place(lane), self.wants_attempt(lane)) {
            // K6: who can not go on for want of a place waits for one at once, in the order in which they
            // came.
            (LanePlace::Idle | LanePlace::Running, true) if self.lane_lacks_place(lane) => {
                self.step_aside(lane);
                self.held.push_back(lane);
            }
            (LanePlace::Idle, true) => self.stand_last(lane),
            (_, false) => self.step_aside(lane),
            (_, true) => {}
        }
    }

    /// A lane comes to stand at the end of the line.
    fn stand_last(&mut self, lane: LaneName) {
        self.line.push_back(lane);
        self.numbers.insert(lane, self.next_number);
        self.next_number += 1;
    }

    /// Takes a lane out of wherever it stands.
    fn step_aside(&mut self, lane: LaneName) {
        self.line.retain(|other| *other != lane);
        self.up.retain(|other| *other != lane);
        self.held.retain(|other| *other != lane);
        self.short.retain(|other| *other != lane);
        self.short_served.retain(|other| *other != lane);
        self.all_out.retain(|other| *other != lane);
        self.pools.values_mut().for_each(|pool| pool.parked.retain(|other| *other != lane));
        self.lane_mut(lane).pause = None;
    }

    /// Ends an operation that was in no lane, or was taken out of it: its completion waits to be taken.
    fn complete(&mut self, op: Op, result: Result<Done, OpError>) {
        let Op { id, context, conn, work, mut buffer, bytes, .. } = op;
        let pooled = work.is_pooled();
        if pooled || matches!(work, Work::Recv { .. }) {
            buffer.fill(bytes);
        }
        // B1: a pooled receive that brought nothing has no buffer to hand over; it goes home.
        let unused = if pooled && bytes == 0 && self.keeps(Rule::B1) {
            std::mem::replace(&mut buffer, Buffer::None)
        } else {
            Buffer::None
        };
        // C2: what had moved counts, whatever the end.
        let bytes = if result.is_ok() || self.keeps(Rule::C2) { bytes } else { 0 };
        self.hand_over(Completion { context, conn, op: id, buffer, bytes, result, more: false });
        unused.leases().into_iter().for_each(|by| self.return_buffer(by));
    }

    /// A completion goes into the batch of the turn under way, if that has room, or waits.
    fn hand_over(&mut self, done: Completion) {
        if self.ended.is_empty() && self.batch.len() < self.room {
            self.batch.push(done);
        } else {
            self.ended.push_back(done);
        }
    }

    /// Ends the operation at the head of a lane.
    fn complete_head(&mut self, lane: LaneName, result: Result<Done, OpError>) {
        let head = self.lane_mut(lane).ops.pop_front().expect("the lane has operations");
        self.lane_mut(lane).fin_sent |= head.work == Work::Shutdown && result.is_ok();
        self.complete(head, result);
    }

    /// Ends every operation of a lane, in order.
    fn complete_all(&mut self, lane: LaneName, result: impl Fn(&Work) -> Result<Done, OpError>) {
        // C3: first in, first out.
        if !self.keeps(Rule::C3) {
            self.lane_mut(lane).ops.make_contiguous().reverse();
        }
        while let Some(head) = self.lane(lane).ops.front() {
            let result = result(&head.work);
            self.complete_head(lane, result);
        }
    }

    /// A buffer is back: it goes to the lane that has waited longest (B3), or into its pool.
    fn return_buffer(&mut self, LentBy { pool, counted }: LentBy) {
        let in_order = self.keeps(Rule::B3);
        let home = self.pool_mut(pool);
        let first = if in_order { home.parked.pop_front() } else { home.parked.pop_back() };
        match first {
            None => home.lent -= 1,
            Some(lane) => {
                let buffer = Buffer::lease(pool, home.size.buffer_bytes);
                self.lane_mut(lane).ops[0].buffer = buffer;
                self.stand(lane);
            }
        }
        // Who had it out may have another one.
        if let Some((name, at)) = counted.and_then(|op| self.find_in_lane(op)) {
            self.lane_mut(name).ops[at].leases_out -= 1;
            if self.all_out.contains(&name) {
                self.step_aside(name);
                self.stand(name);
            }
        }
    }

    /// A place for a connection or a completion is free: the accepts that waited for one try again, unless
    /// there still is no connection to be had.
    fn release_held(&mut self) {
        for lane in std::mem::take(&mut self.held) {
            if self.lane_lacks_place(lane) {
                self.held.push_back(lane);
            } else {
                self.stand(lane);
            }
        }
    }

    /// A place or a credit was taken: the accepts in line that lack one now wait for it, in the order in
    /// which they stand there; the one that has taken it comes last (K6).
    fn hold_all(&mut self, last: Option<LaneName>) {
        let lacking = self.line.iter().copied().filter(|lane| self.lane_lacks_place(*lane));
        let (mut lanes, served): (Vec<_>, Vec<_>) = lacking.partition(|lane| Some(*lane) != last);
        lanes.extend(served);
        for lane in lanes {
            self.step_aside(lane);
            self.held.push_back(lane);
        }
    }

    /// A descriptor was closed: lanes that pause for want of one try again (K5).
    fn descriptor_closed(&mut self) {
        while let Some(&lane) = self.short.front().or_else(|| self.short_served.front()) {
            self.step_aside(lane);
            self.stand(lane);
        }
    }

    /// Forgets a connection.
    fn forget(&mut self, conn: u32) {
        LaneName::both(conn).into_iter().for_each(|lane| self.step_aside(lane));
        let gone = self.conns.remove(&conn).expect("the connection exists");
        match self.ended.iter().filter(|done| done.conn == gone.id).count() {
            0 => self.conn_places.leave(conn),
            waiting => drop(self.gone.insert(conn, waiting)),
        }
        self.release_held();
    }
}

impl Conn {
    fn new(id: Id, kind: Kind, pool: PoolId, now: Instant) -> Conn {
        // A send is worth a try at once; what can be received, an event will tell.
        let lanes = [Lane::default(), Lane { ready: true, ..Lane::default() }];
        Conn {
            id,
            kind,
            phase: Phase::Open,
            pool,
            lane_bytes_max: None,
            opened_at: now,
            last_progress: now,
            idle: None,
            idle_alarm: None,
            idle_looked: false,
            idle_with: None,
            lanes,
            closers: vec![],
            ends: None,
        }
    }

    fn lane(&self, direction: Direction) -> &Lane {
        &self.lanes[direction as usize]
    }
}

impl LaneName {
    fn receive(conn: u32) -> LaneName {
        LaneName { conn, direction: Direction::Receive }
    }

    fn send(conn: u32) -> LaneName {
        LaneName { conn, direction: Direction::Send }
    }

    fn both(conn: u32) -> [LaneName; 2] {
        [LaneName::receive(conn), LaneName::send(conn)]
    }
}
