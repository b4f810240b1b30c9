//! All connections, and where each of their lanes stands. What is changed of a lane is changed through here:
//! then it enters the run queue, or leaves the queue it is in, by itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::conn::{Conn, Phase};
use crate::deadlines::Deadlines;
use crate::extra::Spares;
use crate::id::{ConnId, PoolId};
use crate::lane::{Bits, End, Lane, LaneId, WaitsFor, Want};
use crate::op::LaneOp;
use crate::queue::{QueueEntry, RunQueue, WaitQueue};
use crate::slab::Slab;
use crate::system::Readiness;

/// What of the given lane counts: who stands where an entry says.
macro_rules! counts {
    ($conns:expr, $stands:expr) => {
        |entry: QueueEntry| {
            let lane = $conns.at(entry.lane.conn()).map(|conn| conn.lane(entry.lane.direction()));
            lane.is_some_and(|lane| lane.ticket() == entry.ticket && $stands(lane))
        }
    };
}

mod conns;
mod ops;
mod progress;
mod queues;
mod usual;

pub(crate) use ops::{Position, Taken};

/// The connections and their lanes.
pub(crate) struct Lanes<C> {
    conns: Slab<Conn<C>>,
    realm: u32,
    /// The connections that are not gone.
    live: u32,
    live_max: u32,
    listeners: u32,
    /// Whether another completion has a place to wait in.
    credit_left: bool,
    /// Whether a lane that accepts many does so with its own credit, because there is only one.
    single_credit: bool,
    /// The lanes with something to attempt, and the connections to close.
    run: RunQueue,
    /// The ticket that is given out next.
    ticket: u32,
    /// The one that was next when the queues were last rid of entries that do not count.
    tidied: u32,
    /// The first ticket that was given out in the round under way: it is not its turn in this one.
    round: u32,
    /// The same, for what is usual; while a lane is to be asked for its end, one that no ticket is before.
    usual_round: u32,
    /// The lane that was served last in it.
    served: Option<QueueEntry>,
    /// The accept lanes in the run queue, and others that have left it.
    accepting: Vec<LaneId>,
    /// The accept lanes that wait for a free connection or credit.
    held: WaitQueue,
    /// The receive lanes that wait for a buffer, for each pool.
    parked: Vec<WaitQueue>,
    /// The lanes that pause for want of a descriptor, and those of them that have had one since the others
    /// came to wait.
    short: [VecDeque<LaneId>; 2],
    /// The lanes that pause, for want of whatever.
    pausing: u32,
    /// The lanes that wait for one of the leases that their head has out.
    leases_awaited: u32,
    spares: Spares<C>,
    /// The lanes that wait for a buffer, and of whose end an event has hinted since they were last asked,
    /// with the ticket that was next then; and others, which do so no more.
    hinted: VecDeque<QueueEntry>,
}

fn runs<C>(lane: &Lane<C>) -> bool {
    lane.has(Bits::QUEUED)
}

fn is_held<C>(lane: &Lane<C>) -> bool {
    lane.wait() == WaitsFor::Place
}

/// Whether a lane waits for a buffer of that pool.
fn is_parked<C>(pool: PoolId) -> impl Fn(&Lane<C>) -> bool {
    move |lane| lane.wait() == WaitsFor::Buffer && lane.next_kind().and_then(LaneOp::pool) == Some(pool)
}

impl<C> Lanes<C> {
    pub(crate) fn new(realm: u32, live_max: u32, ops_max: u32, pools: usize) -> Lanes<C> {
        Lanes {
            conns: Slab::new(),
            realm,
            live: 0,
            live_max,
            listeners: 0,
            credit_left: true,
            single_credit: ops_max == 1,
            run: RunQueue::default(),
            ticket: 0,
            tidied: 0,
            round: 0,
            usual_round: 0,
            served: None,
            accepting: Vec::new(),
            held: WaitQueue::default(),
            parked: (0..pools).map(|_| WaitQueue::default()).collect(),
            short: Default::default(),
            pausing: 0,
            leases_awaited: 0,
            spares: Spares::EMPTY,
            hinted: VecDeque::new(),
        }
    }

    /// Makes it as old as if every place had been used, and that many tickets been given out, so many times
    /// more.
    pub(crate) fn age(&mut self, uses: u32) {
        self.conns.age(uses);
        // No lane has a ticket while that many are given out.
        let parked: u32 = self.parked.iter().map(WaitQueue::len).sum();
        if self.run.len() + self.held.len() + parked == 0 && self.hinted.is_empty() {
            self.tidy_queues();
            self.ticket = self.ticket.wrapping_add(uses);
            self.round = self.ticket;
            self.set_usual_round();
        }
    }

    /// Connections and listeners that are not gone.
    #[inline]
    pub(crate) fn live(&self) -> u32 {
        self.live
    }

    /// Lanes in the run queue.
    #[inline]
    pub(crate) fn running(&self) -> u32 {
        self.run.len()
    }

    /// Accept lanes that wait for a place.
    pub(crate) fn held(&self) -> u32 {
        self.held.len()
    }

    /// Receive lanes that wait for a buffer of a pool.
    #[inline]
    pub(crate) fn parked(&self, pool: PoolId) -> u32 {
        self.parked[pool.index()].len()
    }

    /// Lanes that pause.
    pub(crate) fn pausing(&self) -> u32 {
        self.pausing
    }

    /// Lanes that wait for one of the leases that their head has out.
    pub(crate) fn leases_awaited(&self) -> u32 {
        self.leases_awaited
    }

    /// A connection, gone ones included, by index.
    #[inline]
    pub(crate) fn conn(&self, index: u32) -> &Conn<C> {
        &self.conns[index]
    }

    /// A connection that is not gone, if the id names one.
    #[inline]
    pub(crate) fn get(&self, conn: ConnId) -> Option<&Conn<C>> {
        self.conns.get(conn.key()).filter(|conn| conn.phase() != Phase::Gone)
    }

    /// The id of a connection.
    #[inline]
    pub(crate) fn id(&self, index: u32) -> ConnId {
        ConnId::new(self.conns.key_at(index), self.realm)
    }

    #[inline]
    pub(crate) fn lane(&self, id: LaneId) -> &Lane<C> {
        self.conns[id.conn()].lane(id.direction())
    }

    /// All connections, gone ones included.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &Conn<C>)> {
        self.conns.iter().map(|(key, conn)| (ConnId::new(key, self.realm), conn))
    }

    /// The connection at an index, gone ones included.
    pub(crate) fn at(&self, index: u32) -> Option<&Conn<C>> {
        self.conns.at(index)
    }

    /// One past the highest index of a connection.
    pub(crate) fn index_bound(&self) -> u32 {
        self.conns.index_bound()
    }

    /// The queues: what the lanes in them do, how many there are said to be, and which, in order.
    pub(crate) fn queues(&self) -> impl Iterator<Item = (&'static str, u32, impl Iterator<Item = LaneId>)> {
        let conns = &self.conns;
        let lanes = |entries: &mut dyn Iterator<Item = QueueEntry>, counts: &dyn Fn(QueueEntry) -> bool| {
            entries.filter(|entry| counts(*entry)).map(|entry| entry.lane).collect::<Vec<_>>().into_iter()
        };
        let mut queues = Vec::new();
        queues.push(("running", self.run.len(), lanes(&mut self.run.iter(), &counts!(conns, runs))));
        queues.push(("held", self.held.len(), lanes(&mut self.held.iter(), &counts!(conns, is_held))));
        for (index, parked) in (0..).zip(&self.parked) {
            let counts = counts!(conns, is_parked(PoolId::new(index)));
            queues.push(("parked", parked.len(), lanes(&mut parked.iter(), &counts)));
        }
        for (served, short) in [false, true].into_iter().zip(&self.short) {
            let wants = WaitsFor::Pause(Want::Descriptor { served });
            let lanes = short.iter().copied().filter(|id| self.lane(*id).wait() == wants);
            let count = u32::try_from(short.len()).unwrap_or(u32::MAX);
            queues.push(("short", count, lanes.collect::<Vec<_>>().into_iter()));
        }
        queues.into_iter()
    }

    /// Whether another connection may be opened.
    #[inline]
    pub(crate) fn has_place(&self) -> bool {
        self.live < self.live_max
    }

    /// Whether there is a place for a connection that is accepted, and for its completion.
    pub(crate) fn may_accept(&self, many: bool) -> bool {
        self.has_place() && (!many || self.credit_left || self.single_credit)
    }

    /// Changes a lane, and where it stands with it.
    pub(crate) fn change<R>(
        &mut self,
        id: LaneId,
        deadlines: &mut Deadlines,
        change: impl FnOnce(&mut Lane<C>) -> R,
    ) -> R {
        let result = change(self.conns[id.conn()].lane_mut(id.direction()));
        self.reschedule(id, deadlines);
        result
    }

    /// A lane has come to its end. It has no operations left.
    pub(crate) fn end(&mut self, id: LaneId, end: End, deadlines: &mut Deadlines) {
        self.change(id, deadlines, |lane| lane.set_end(end));
    }

    /// [`end`](Lanes::end), of a connection that is closed at once then: its lane keeps its place for that.
    pub(crate) fn end_before_closing(&mut self, id: LaneId, end: End) {
        self.conns[id.conn()].lane_mut(id.direction()).set_end(end);
    }

    /// A call of a lane is under way: it stands nowhere until the outcome comes.
    pub(crate) fn await_outcome(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        self.leave(id, deadlines);
        self.change(id, deadlines, |lane| lane.set_wait(WaitsFor::Outcome));
    }

    /// The operation at the head of a lane is about to make a call: its id, and what it carries.
    #[inline]
    pub(crate) fn call(&mut self, id: LaneId) -> (ConnId, &mut Conn<C>) {
        let (key, conn) = self.conns.entry_mut(id.conn());
        (ConnId::new(key, self.realm), conn)
    }

    /// Tells what an event said about a connection. Returns whether there is one.
    #[inline]
    pub(crate) fn on_ready(&mut self, conn: ConnId, readiness: Readiness, deadlines: &mut Deadlines) -> bool {
        let known = if conn.realm() == self.realm { self.conns.get_mut(conn.key()) } else { None };
        let Some(state) = known else { return false };
        // Nearly all events tell of bytes to be received, and where there is room for more to be sent that
        // was known before.
        let [receive, send] = &mut state.lanes;
        let usual = readiness.is_of_bytes() && !receive.has(Bits::UNUSUAL_TO_WAKE) && send.is_ready();
        if usual && self.run.has_space() {
            if receive.on_event(readiness) && receive.head.is_some() {
                let entry = QueueEntry { lane: LaneId::receive(conn.index()), ticket: self.ticket };
                self.ticket = entry.ticket.wrapping_add(1);
                receive.enter_run(entry.ticket);
                self.run.push_into_space(entry);
            }
            return true;
        }
        self.on_ready_unusual(conn.index(), readiness, deadlines)
    }

    #[cold]
    #[inline(never)]
    fn on_ready_unusual(&mut self, conn: u32, readiness: Readiness, deadlines: &mut Deadlines) -> bool {
        let state = &mut self.conns[conn];
        if state.phase() == Phase::Gone {
            return false;
        }
        let [receive, send] = &mut state.lanes;
        let receive = readiness.wakes_receive() && receive.on_event(readiness);
        let send = readiness.wakes_send() && send.on_event(readiness);
        if receive {
            self.reschedule(LaneId::receive(conn), deadlines);
        }
        if send {
            self.reschedule(LaneId::send(conn), deadlines);
        }
        if readiness.hints_end() {
            self.hint(LaneId::receive(conn));
        }
        true
    }
}

/// For those who break a model to see whether that is noticed.
#[cfg(test)]
impl<C> Lanes<C> {
    pub(crate) fn conn_mut(&mut self, index: u32) -> &mut Conn<C> {
        &mut self.conns[index]
    }

    pub(crate) fn lane_mut(&mut self, id: LaneId) -> &mut Lane<C> {
        self.conns[id.conn()].lane_mut(id.direction())
    }

    pub(crate) fn run_mut(&mut self) -> &mut RunQueue {
        &mut self.run
    }

    pub(crate) fn held_mut(&mut self) -> &mut WaitQueue {
        &mut self.held
    }

    pub(crate) fn short_mut(&mut self) -> &mut [VecDeque<LaneId>; 2] {
        &mut self.short
    }

    pub(crate) fn count_wrong(&mut self, live: u32, pausing: u32) {
        (self.live, self.pausing) = (self.live.wrapping_add(live), self.pausing.wrapping_add(pausing));
    }

    pub(crate) fn find_places(&mut self, live_max: u32) {
        self.live_max = live_max;
    }
}
