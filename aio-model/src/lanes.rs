//! All connections, and where each of their lanes stands. What is changed of a lane is changed through here:
//! then it enters the run queue, or leaves the queue it is in, by itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::completion::Done;
use crate::conn::{Conn, Phase};
use crate::deadlines::{Deadlines, Owner};
use crate::extra::{Carried, Closing, EndedOp, Extra, QueuedOp, Spares};
use crate::id::ConnId;
use crate::lane::{Bits, Direction, End, Lane, LaneId, Moved, Wait, Want, is_before};
use crate::op::{LaneOp, Op, Serial};
use crate::pool::PoolId;
use crate::queue::{Fate, QueueEntry, RunQueue, WaitQueue};
use crate::slab::Slab;
use crate::system::{Kind, Readiness, Rearm};
use crate::time::Tick;
use crate::timers::TimerId;
use crate::transfer::Transfer;

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
    /// The first ticket that was given out in the round under way: it is not its turn in this one.
    round: u32,
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
    spares: Spares<C>,
}

/// Which operation of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    Head,
    /// So many before it stand behind the head.
    Behind(usize),
}

/// An operation that was taken out of its lane.
pub(crate) struct Taken<C> {
    pub(crate) op: Op<C>,
    pub(crate) load: Carried<C>,
    /// The pool that a buffer was set aside in for it.
    pub(crate) granted: Option<PoolId>,
}

/// What of the given lane counts: who stands where an entry says.
macro_rules! counts {
    ($conns:expr, $stands:expr) => {
        |entry: QueueEntry| {
            let lane = $conns.at(entry.lane.conn()).map(|conn| conn.lane(entry.lane.direction()));
            lane.is_some_and(|lane| lane.ticket() == entry.ticket && $stands(lane))
        }
    };
}

fn runs<C>(lane: &Lane<C>) -> bool {
    lane.has(Bits::QUEUED)
}

fn is_held<C>(lane: &Lane<C>) -> bool {
    lane.wait() == Wait::Place
}

/// Whether a lane waits for a buffer of that pool.
fn is_parked<C>(pool: PoolId) -> impl Fn(&Lane<C>) -> bool {
    move |lane| lane.wait() == Wait::Buffer && lane.next_kind() == Some(LaneOp::RecvPooled(pool))
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
            round: 0,
            accepting: Vec::new(),
            held: WaitQueue::default(),
            parked: (0..pools).map(|_| WaitQueue::default()).collect(),
            short: Default::default(),
            pausing: 0,
            spares: Spares::EMPTY,
        }
    }

    /// Makes it as old as if every place had been used, and that many tickets been given out, so many times
    /// more.
    pub(crate) fn age(&mut self, uses: u32) {
        self.conns.age(uses);
        // No lane has a ticket while that many are given out.
        if self.held.len() == 0
            && self.parked.iter().all(|queue| queue.len() == 0)
            && self.run.clear_if_empty()
        {
            self.ticket = self.ticket.wrapping_add(uses);
            self.round = self.ticket;
        }
    }

    // What there is.

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
            let wants = Wait::Pause(Want::Descriptor { served });
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

    /// Where a queued operation stands in a lane.
    pub(crate) fn find(&self, id: LaneId, serial: Serial) -> Option<Position> {
        let conn = self.conns.at(id.conn())?;
        if conn.lane(id.direction()).next().is_some_and(|op| op.serial == serial) {
            return Some(Position::Head);
        }
        let behind = &conn.extra()?.behind[id.direction() as usize];
        behind.binary_search_by_key(&serial, |queued| queued.op.serial).ok().map(Position::Behind)
    }

    /// Where the operation stands in a lane that a timer is of.
    pub(crate) fn find_timer(&self, id: LaneId, timer: TimerId) -> Option<Position> {
        let conn = self.conns.at(id.conn())?;
        if conn.lane(id.direction()).head.as_ref().is_some_and(|op| op.timer() == Some(timer)) {
            return Some(Position::Head);
        }
        let mut behind = conn.extra()?.behind[id.direction() as usize].iter();
        behind.position(|queued| queued.op.timer() == Some(timer)).map(Position::Behind)
    }

    /// The operation at a position, and what it carries.
    pub(crate) fn op(&self, id: LaneId, position: Position) -> (&Op<C>, Option<&Transfer>) {
        let conn = &self.conns[id.conn()];
        match position {
            Position::Head => {
                let op = conn.lane(id.direction()).next().expect("an operation is at the head");
                (op, conn.transfer(id.direction()))
            }
            Position::Behind(index) => {
                let extra = conn.extra().expect("an operation is behind the head");
                let queued = &extra.behind[id.direction() as usize][index];
                (&queued.op, queued.load.transfer())
            }
        }
    }

    fn op_mut(&mut self, id: LaneId, position: Position) -> &mut Op<C> {
        let conn = &mut self.conns[id.conn()];
        let op = match position {
            Position::Head => conn.lane_mut(id.direction()).head.as_mut(),
            Position::Behind(index) => {
                conn.extra_mut().map(|extra| &mut extra.behind[id.direction() as usize][index].op)
            }
        };
        op.expect("the operation is in its lane")
    }

    // Connections come and go.

    /// Whether there is memory for another connection. Entering a queue then takes none.
    pub(crate) fn has_room(&mut self, kind: Kind) -> bool {
        // Some entries that do not count may stand between those that do.
        let lanes = 2 * (self.conns.len() as usize + 1) + 64;
        let listens = kind == Kind::Listener;
        let listeners = self.listeners as usize + 1;
        self.conns.has_room()
            && self.run.reserve(lanes)
            && (!listens || self.held.reserve(listeners) && self.accepting.try_reserve(listeners).is_ok())
    }

    /// Gives a connection an id. It takes no place until it is [`opened`](Lanes::opened).
    pub(crate) fn insert(&mut self, conn: Conn<C>) -> ConnId {
        ConnId::new(self.conns.insert(conn), self.realm)
    }

    /// A connection that was given an id exists from now on. If it came from that listener and has taken the
    /// last place, those who wait for one come before it (K6).
    pub(crate) fn opened(&mut self, conn: ConnId, from: Option<LaneId>) {
        self.live += 1;
        self.listeners += u32::from(self.conns[conn.index()].kind == Kind::Listener);
        if !self.has_place() {
            self.hold_all(from);
        }
    }

    /// Takes the id of a connection back that was never opened.
    pub(crate) fn remove(&mut self, conn: ConnId) {
        self.conns.remove_at(conn.index());
    }

    /// Takes an [`opened`](Lanes::opened) back, and the id with it.
    pub(crate) fn rolled_back(&mut self, conn: u32) {
        let state = self.conns.remove_at(conn);
        self.live -= 1;
        self.listeners -= u32::from(state.kind == Kind::Listener);
        self.release_held();
    }

    /// The descriptor of a connection is closed, or there was none: it takes no place any more.
    pub(crate) fn gone(&mut self, conn: u32, deadlines: &mut Deadlines) {
        for direction in Direction::BOTH {
            self.leave(LaneId::new(conn, direction), deadlines);
        }
        let state = &mut self.conns[conn];
        debug_assert!(state.end_timer.is_none(), "no timer outlives what it is of");
        state.advance(Phase::Gone);
        self.live -= 1;
        self.listeners -= u32::from(state.kind == Kind::Listener);
        if state.lane(Direction::Receive).has(Bits::LISTED) {
            self.accepting.retain(|lane| lane.conn() != conn);
            self.conns[conn].lane_mut(Direction::Receive).clear(Bits::LISTED);
        }
        self.tidy(conn);
        self.release_held();
    }

    /// Gives back what a connection does not need any more: what lies apart, if it is empty, and the
    /// connection itself, if it is gone and its completions are taken.
    pub(crate) fn tidy(&mut self, conn: u32) {
        let state = &mut self.conns[conn];
        if state.extra().is_some_and(Extra::is_empty)
            && let Some(extra) = state.extra.take()
        {
            self.spares.keep(extra);
        }
        let state = &self.conns[conn];
        let is_empty = state.extra.is_none() && state.lanes.iter().all(|lane| lane.head.is_none());
        if state.phase() == Phase::Gone && is_empty {
            self.conns.remove_at(conn);
        }
    }

    /// A connection goes on to another phase.
    pub(crate) fn advance(&mut self, conn: u32, next: Phase, deadlines: &mut Deadlines) {
        self.conns[conn].advance(next);
        for direction in Direction::BOTH {
            self.reschedule(LaneId::new(conn, direction), deadlines);
        }
    }

    /// Sets the pool of a connection.
    pub(crate) fn set_pool(&mut self, conn: u32, pool: PoolId) {
        self.conns[conn].pool = pool;
    }

    /// Sets the timer of the end of a connection that flushes or lingers.
    pub(crate) fn set_end_timer(&mut self, conn: u32, timer: Option<TimerId>) {
        self.conns[conn].end_timer = timer;
    }

    /// The `Close` of a connection.
    pub(crate) fn closing_mut(&mut self, conn: u32) -> Option<&mut Closing<C>> {
        self.conns[conn].extra_mut().and_then(|extra| extra.closing.as_mut())
    }

    /// Keeps the `Close` of a connection, which there is [room](Lanes::has_extra) for.
    pub(crate) fn set_closing(&mut self, conn: u32, closing: Closing<C>) {
        let extra = self.conns[conn].extra_mut().expect("room was made");
        extra.closing = Some(closing);
    }

    /// Takes the `Close` of a connection out.
    pub(crate) fn take_closing(&mut self, conn: u32) -> Option<Closing<C>> {
        self.conns[conn].extra_mut().and_then(|extra| extra.closing.take())
    }

    /// Keeps where a connect goes to.
    pub(crate) fn set_target(&mut self, conn: u32, target: alloc::boxed::Box<crate::connect::Target>) {
        let extra = self.conns[conn].extra_mut().expect("room was made");
        extra.target = Some(target);
    }

    // Operations come and go.

    /// Whether there is what lies apart of a connection, or memory for it.
    pub(crate) fn has_extra(&mut self, conn: u32) -> bool {
        let state = &mut self.conns[conn];
        if state.extra.is_none() {
            state.extra = self.spares.take();
        }
        self.conns[conn].extra.is_some()
    }

    /// Whether there is memory to queue another operation in a lane, and to keep the completions of all that
    /// are.
    pub(crate) fn has_room_for_op(&mut self, id: LaneId, carries: bool) -> bool {
        let state = &self.conns[id.conn()];
        let lane = state.lane(id.direction());
        let carries = carries && id.direction() == Direction::Receive;
        let alone = lane.head.is_none()
            && state.extra().is_none_or(|extra| extra.ended[id.direction() as usize].is_empty());
        if alone && !carries {
            return true;
        }
        let queued = state.queued(id.direction()) as usize;
        let waits = usize::from(lane.has(Bits::ENDED_HEAD));
        let has_room = self.has_extra(id.conn())
            && self.conns[id.conn()].extra_mut().is_some_and(|extra| {
                let index = id.direction() as usize;
                (alone || extra.ended[index].try_reserve(queued + 1 + waits).is_ok())
                    && (queued == 0 || extra.behind[index].try_reserve(1).is_ok())
            });
        if !has_room {
            self.tidy(id.conn());
        }
        has_room
    }

    /// Whether there is memory to keep a completion of a lane that comes with something, and those of all
    /// that are queued.
    #[cold]
    pub(crate) fn has_room_for_completion(&mut self, id: LaneId) -> bool {
        let queued = self.conns[id.conn()].queued(id.direction()) as usize;
        let has_room = self.has_extra(id.conn())
            && self.conns[id.conn()]
                .extra_mut()
                .is_some_and(|extra| extra.ended[id.direction() as usize].try_reserve(queued + 1).is_ok());
        if !has_room {
            self.tidy(id.conn());
        }
        has_room
    }

    /// Puts an operation at the back of a lane, for which [there is room](Lanes::has_room_for_op).
    pub(crate) fn push(&mut self, id: LaneId, op: Op<C>, mut load: Carried<C>, deadlines: &mut Deadlines) {
        if let Carried::Transfer(transfer) = &mut load {
            transfer.begin();
        }
        self.move_ended_head(id);
        let conn = &mut self.conns[id.conn()];
        let direction = id.direction();
        if op.kind == LaneOp::Shutdown {
            conn.lane_mut(direction).set(Bits::SHUTTING);
        }
        if conn.lane(direction).head.is_none() {
            conn.put_load(direction, load);
            conn.lane_mut(direction).head = Some(op);
        } else {
            let extra = conn.extra_mut().expect("room was made");
            extra.behind[direction as usize].push_back(QueuedOp { op, load });
            conn.lane_mut(direction).set(Bits::MORE);
        }
        self.reschedule(id, deadlines);
    }

    /// Makes room at the head of a lane, if an operation that has ended is there.
    fn move_ended_head(&mut self, id: LaneId) {
        if self.lane(id).has(Bits::ENDED_HEAD)
            && let Some(ended) = self.take_ended_head(id)
        {
            let extra = self.conns[id.conn()].extra_mut().expect("room was made");
            extra.ended[id.direction() as usize].push_back(ended);
        }
    }

    /// Takes an operation out of its lane, and with it its timer. The next one moves up.
    pub(crate) fn take(&mut self, id: LaneId, position: Position, deadlines: &mut Deadlines) -> Taken<C> {
        let direction = id.direction();
        let taken = match position {
            Position::Head => {
                self.leave_with_head(id, deadlines);
                let conn = &mut self.conns[id.conn()];
                let load = conn.take_load(direction);
                let lane = conn.lane_mut(direction);
                let op = lane.head.take().expect("an operation is at the head");
                if op.kind == LaneOp::Shutdown {
                    lane.clear(Bits::SHUTTING);
                }
                let granted = match op.kind {
                    LaneOp::RecvPooled(pool) if lane.has(Bits::GRANTED) => Some(pool),
                    _ => None,
                };
                lane.clear(Bits::GRANTED);
                if op.kind == LaneOp::Connect
                    && let Some(extra) = conn.extra_mut()
                {
                    extra.target = None;
                }
                self.move_up(id);
                Taken { op, load, granted }
            }
            Position::Behind(index) => {
                let extra = self.conns[id.conn()].extra_mut().expect("an operation is behind the head");
                let behind = &mut extra.behind[direction as usize];
                let QueuedOp { op, load } = behind.remove(index).expect("there are as many");
                let more = !behind.is_empty();
                let lane = self.conns[id.conn()].lane_mut(direction);
                lane.put(Bits::MORE, more);
                if op.kind == LaneOp::Shutdown {
                    lane.clear(Bits::SHUTTING);
                }
                Taken { op, load, granted: None }
            }
        };
        deadlines.cancel(taken.op.timer());
        self.reschedule(id, deadlines);
        taken
    }

    /// The first of the operations behind the head moves up to it.
    fn move_up(&mut self, id: LaneId) {
        let (conn, direction) = (&mut self.conns[id.conn()], id.direction());
        if !conn.lane(direction).has(Bits::MORE) {
            return;
        }
        let extra = conn.extra_mut().expect("operations are behind the head");
        let behind = &mut extra.behind[direction as usize];
        let Some(QueuedOp { op, load }) = behind.pop_front() else { return };
        let more = !behind.is_empty();
        conn.put_load(direction, load);
        let lane = conn.lane_mut(direction);
        lane.head = Some(op);
        lane.put(Bits::MORE, more);
    }

    /// What a lane waits for, it waits for on behalf of its head, which is about to go. If the next operation
    /// wants the same, the lane keeps its place in the line (B3, K6).
    fn leave_with_head(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        let conn = &self.conns[id.conn()];
        let behind = conn.extra().and_then(|extra| extra.behind[id.direction() as usize].front());
        let (lane, next) = (conn.lane(id.direction()), behind.map(|queued| queued.op.kind));
        let stays = match (lane.wait(), next) {
            (Wait::Buffer, Some(LaneOp::RecvPooled(_))) => lane.next_kind() == next,
            (Wait::Place, Some(LaneOp::Accept { many })) => !self.may_accept(many),
            (Wait::Buffer | Wait::Place, _) => false,
            (Wait::Nothing | Wait::Pause(_) | Wait::Outcome, _) => true,
        };
        if !stays {
            self.leave(id, deadlines);
        }
    }

    /// Replaces the timer of an operation.
    pub(crate) fn set_timer(&mut self, id: LaneId, position: Position, timer: Option<TimerId>) {
        self.op_mut(id, position).set_timer(timer);
    }

    /// Keeps a completion of a lane until it is taken: in the lane itself, if it can, or else where
    /// [room was made](Lanes::has_room_for_op) for it.
    pub(crate) fn keep(&mut self, id: LaneId, ended: EndedOp<C>) {
        let (conn, direction) = (&mut self.conns[id.conn()], id.direction());
        let first = conn.extra().is_none_or(|extra| extra.ended[direction as usize].is_empty());
        let fits = !matches!(ended.result, Ok(Done::Accepted(_)))
            && !ended.more
            && (ended.buffer.is_none() || direction == Direction::Send || conn.extra.is_some());
        if first && fits && conn.lane(direction).head.is_none() {
            let EndedOp { serial, context, buffer, moved, result, .. } = ended;
            if !buffer.is_none() {
                conn.put_load(direction, Carried::Transfer(Transfer::over(buffer, moved)));
            }
            let lane = conn.lane_mut(direction);
            lane.head = Some(Op::ended(serial, context, result));
            lane.set(Bits::ENDED_HEAD);
            return;
        }
        let extra = conn.extra_mut().expect("room was made");
        extra.ended[direction as usize].push_back(ended);
    }

    /// Takes the completion of a lane that has waited longest.
    pub(crate) fn take_ended(&mut self, id: LaneId) -> Option<EndedOp<C>> {
        let kept = self.conns[id.conn()].extra_mut();
        let kept = kept.and_then(|extra| extra.ended[id.direction() as usize].pop_front());
        kept.or_else(|| if self.lane(id).has(Bits::ENDED_HEAD) { self.take_ended_head(id) } else { None })
    }

    fn take_ended_head(&mut self, id: LaneId) -> Option<EndedOp<C>> {
        let (conn, direction) = (&mut self.conns[id.conn()], id.direction());
        let transfer = conn.take_load(direction).into_transfer();
        let lane = conn.lane_mut(direction);
        lane.clear(Bits::ENDED_HEAD);
        let op = lane.head.take()?;
        let result = op.result()?;
        let Op { serial, context, .. } = op;
        let moved = transfer.moved();
        Some(EndedOp { serial, context, buffer: transfer.into_buffer(), moved, result, more: false })
    }

    // What a lane learns.

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
        self.change(id, deadlines, |lane| lane.set_wait(Wait::Outcome));
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
        true
    }

    // Where a lane stands.

    /// Brings where a lane stands in line with its state.
    #[inline(never)]
    fn reschedule(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        let conn = &self.conns[id.conn()];
        let lane = conn.lane(id.direction());
        let runnable = conn.is_runnable(id.direction());
        match (lane.wait(), lane.has(Bits::QUEUED)) {
            (Wait::Nothing, false) if runnable => self.enter(id),
            (Wait::Nothing, false) | (Wait::Outcome, _) => {}
            (Wait::Nothing, true) if runnable && self.lacks_place(id) => {
                self.leave_run(id);
                self.hold(id);
            }
            (_, _) if runnable => {}
            (_, _) => self.leave(id, deadlines),
        }
    }

    /// A lane that stands nowhere has something to attempt. An accept that there is no place for is held at
    /// once (K6).
    fn enter(&mut self, id: LaneId) {
        if self.lacks_place(id) {
            return self.hold(id);
        }
        if let Some(LaneOp::Accept { .. }) = self.lane(id).next_kind() {
            let lane = self.conns[id.conn()].lane_mut(id.direction());
            if !lane.has(Bits::LISTED) {
                lane.set(Bits::LISTED);
                self.accepting.push(id);
            }
        }
        self.enter_run(id);
    }

    /// Whether a lane is to accept a connection that there is no place for.
    fn lacks_place(&self, id: LaneId) -> bool {
        let conn = &self.conns[id.conn()];
        match conn.lane(id.direction()).next_kind() {
            Some(LaneOp::Accept { many }) => conn.phase() == Phase::Open && !self.may_accept(many),
            _ => false,
        }
    }

    fn enter_run(&mut self, id: LaneId) {
        let ticket = self.next_ticket();
        self.conns[id.conn()].lane_mut(id.direction()).enter_run(ticket);
        let conns = &self.conns;
        self.run.push(QueueEntry { lane: id, ticket }, counts!(conns, runs));
    }

    #[inline]
    fn next_ticket(&mut self) -> u32 {
        let ticket = self.ticket;
        self.ticket = ticket.wrapping_add(1);
        ticket
    }

    /// There is no place for what a lane would accept: it steps aside until there is.
    #[cold]
    fn hold(&mut self, id: LaneId) {
        let ticket = self.next_ticket();
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        lane.set_wait(Wait::Place);
        lane.set_ticket(ticket);
        let conns = &self.conns;
        let held = self.held.push(QueueEntry { lane: id, ticket }, counts!(conns, is_held));
        debug_assert!(held, "room was made with the listener");
    }

    /// There is no place left, or no credit: the accepts in the run queue that needed it are held, in the
    /// order in which they stand there; the lane that has taken it comes last.
    #[cold]
    fn hold_all(&mut self, last: Option<LaneId>) {
        let now = self.ticket;
        let mut lanes = core::mem::take(&mut self.accepting);
        lanes.retain(|id| {
            let lane = self.conns[id.conn()].lane_mut(id.direction());
            lane.put(Bits::LISTED, lane.has(Bits::QUEUED));
            lane.has(Bits::LISTED)
        });
        lanes.sort_unstable_by_key(|id| (Some(*id) == last, self.lane(*id).ticket().wrapping_sub(now)));
        for id in &lanes {
            if self.lacks_place(*id) {
                self.leave_run(*id);
                self.hold(*id);
            }
        }
        self.accepting = lanes;
    }

    /// A place or a credit has become free: the accepts that waited for one try again, in the order in which
    /// they came.
    #[inline]
    pub(crate) fn release_held(&mut self) {
        if self.held.len() > 0 && self.has_place() {
            self.release_all();
        }
    }

    #[cold]
    fn release_all(&mut self) {
        let mut held = core::mem::take(&mut self.held);
        held.sort_out(|entry| {
            let conns = &self.conns;
            if !counts!(conns, is_held)(entry) {
                return Fate::CountsNoMore;
            }
            match self.lane(entry.lane).next_kind() {
                Some(LaneOp::Accept { many }) if !self.may_accept(many) => Fate::Stays,
                _ => {
                    self.conns[entry.lane.conn()].lane_mut(entry.lane.direction()).set_wait(Wait::Nothing);
                    self.enter(entry.lane);
                    Fate::Leaves
                }
            }
        });
        self.held = held;
    }

    /// Whether another completion has a place to wait in, from now on.
    #[cold]
    pub(crate) fn set_credit_left(&mut self, left: bool, by: Option<LaneId>) {
        self.credit_left = left;
        if left { self.release_held() } else { self.hold_all(by) }
    }

    /// A pool has no buffer for a lane: it steps aside until one comes home. Returns whether there was memory
    /// for that.
    #[cold]
    pub(crate) fn park(&mut self, id: LaneId, pool: PoolId) -> bool {
        let ticket = self.next_ticket();
        let conns = &self.conns;
        let parked =
            self.parked[pool.index()].push(QueueEntry { lane: id, ticket }, counts!(conns, is_parked(pool)));
        if parked {
            self.leave_run(id);
            let lane = self.conns[id.conn()].lane_mut(id.direction());
            lane.set_wait(Wait::Buffer);
            lane.set_ticket(ticket);
        }
        parked
    }

    /// The lane that has waited longest for a buffer of a pool.
    pub(crate) fn first_parked(&mut self, pool: PoolId) -> Option<LaneId> {
        let conns = &self.conns;
        self.parked[pool.index()].front(counts!(conns, is_parked(pool)))
    }

    /// A buffer of its pool is set aside for a lane.
    pub(crate) fn grant(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        if self.lane(id).wait() == Wait::Buffer {
            self.leave(id, deadlines);
        }
        self.change(id, deadlines, |lane| lane.set(Bits::GRANTED));
    }

    /// Pauses a lane, until `at`, and tells how many pauses there have been in a row, this one included.
    pub(crate) fn pause(
        &mut self,
        id: LaneId,
        want: Want,
        exponent_max: u8,
        now: Tick,
        deadlines: &mut Deadlines,
    ) -> u8 {
        self.leave(id, deadlines);
        let makes_no_call = !self.conns[id.conn()].is_runnable(id.direction());
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        if makes_no_call {
            // A last attempt did not get to see whether there is anything: the next one need not wait for an
            // event.
            lane.set(Bits::READY);
        }
        let pause = 1 << lane.row().pauses().min(exponent_max);
        lane.row_mut().pause();
        let row = lane.row().pauses();
        lane.set_wait(Wait::Pause(want));
        lane.set_pause_timer(deadlines.arm_at(Tick(now.0 + pause), Owner::Pause(id)));
        self.pausing += 1;
        if let Want::Descriptor { served } = want {
            self.short[usize::from(served)].push_back(id);
        }
        row
    }

    /// The timer of a lane's pause has fired, and is no more.
    pub(crate) fn on_pause_over(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        self.end_pause(id);
        self.reschedule(id, deadlines);
    }

    fn end_pause(&mut self, id: LaneId) {
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        if let Wait::Pause(want) = lane.wait() {
            lane.set_wait(Wait::Nothing);
            self.pausing -= 1;
            if let Want::Descriptor { served } = want {
                self.short[usize::from(served)].retain(|short| *short != id);
            }
        }
    }

    /// Ends the pause of a lane before its time, if it pauses.
    pub(crate) fn cut_pause(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        if let Wait::Pause(_) = self.lane(id).wait() {
            self.leave(id, deadlines);
        }
    }

    /// A descriptor was closed: the lanes that pause for want of one try again, without a wait.
    pub(crate) fn on_descriptor_closed(&mut self, deadlines: &mut Deadlines) {
        while let Some(id) = self.short.iter().find_map(|short| short.front().copied()) {
            self.leave(id, deadlines);
            self.reschedule(id, deadlines);
        }
    }

    /// Takes a lane out of whatever queue it is in.
    pub(crate) fn leave(&mut self, id: LaneId, deadlines: &mut Deadlines) {
        let lane = self.lane(id);
        match lane.wait() {
            Wait::Nothing if lane.has(Bits::QUEUED) => self.leave_run(id),
            Wait::Nothing | Wait::Outcome => {}
            Wait::Place => {
                self.held.left();
                self.conns[id.conn()].lane_mut(id.direction()).set_wait(Wait::Nothing);
            }
            Wait::Buffer => {
                if let Some(LaneOp::RecvPooled(pool)) = lane.next_kind() {
                    self.parked[pool.index()].left();
                }
                self.conns[id.conn()].lane_mut(id.direction()).set_wait(Wait::Nothing);
            }
            Wait::Pause(_) => {
                deadlines.cancel(lane.pause_timer());
                self.end_pause(id);
            }
        }
    }

    #[inline]
    fn leave_run(&mut self, id: LaneId) {
        let lane = self.conns[id.conn()].lane_mut(id.direction());
        if lane.has(Bits::QUEUED) {
            lane.clear(Bits::QUEUED);
            self.run.left();
        }
    }

    // Rounds.

    /// Begins a round: those that stand in the run queue now are up in it.
    pub(crate) fn begin_round(&mut self) {
        self.round = self.ticket;
    }

    /// The lane whose turn it is, if one is left in this round.
    #[inline]
    pub(crate) fn up(&mut self) -> Option<QueueEntry> {
        loop {
            let entry = self.run.front()?;
            let conns = &self.conns;
            if counts!(conns, runs)(entry) {
                return is_before(entry.ticket, self.round).then_some(entry);
            }
            self.run.pass();
        }
    }

    /// A lane has had its share: if it still stands at the front, it goes to the back.
    #[cold]
    #[inline(never)]
    pub(crate) fn rotate(&mut self, QueueEntry { lane: id, ticket }: QueueEntry) {
        let conns = &self.conns;
        if counts!(conns, runs)(QueueEntry { lane: id, ticket }) {
            self.leave_run(id);
            self.enter_run(id);
        }
    }

    /// The lane whose turn it is, if nothing about it is out of the ordinary.
    #[inline(always)]
    pub(crate) fn front(&mut self) -> Option<Front<'_, C>> {
        let entry = self.run.front()?;
        let round = self.round;
        match self.conns.at_mut(entry.lane.conn()) {
            Some((key, conn)) if conn.lane(entry.lane.direction()).is_usual_at(entry.ticket, round) => {
                Some(Front { entry, id: ConnId::new(key, self.realm), conn, run: &mut self.run })
            }
            _ => None,
        }
    }

    /// A lane of an open stream that is empty, and where nothing is out of the ordinary.
    #[inline(always)]
    pub(crate) fn empty_lane(&mut self, id: ConnId, direction: Direction) -> Option<EmptyLane<'_, C>> {
        let conn = self.conns.get_mut(id.key())?;
        let lane = conn.lane(direction);
        let keeps = conn.extra().is_some_and(|extra| !extra.ended[direction as usize].is_empty());
        let usual =
            lane.head.is_none() && !lane.has(Bits::UNUSUAL_TO_SUBMIT) && !keeps && self.run.has_space();
        if !usual {
            return None;
        }
        let id = LaneId::new(id.index(), direction);
        Some(EmptyLane { id, conn, run: &mut self.run, ticket: &mut self.ticket })
    }
}

/// A lane whose turn it is, and where nothing is out of the ordinary but for its operation, perhaps.
pub(crate) struct Front<'a, C> {
    pub(crate) entry: QueueEntry,
    pub(crate) id: ConnId,
    pub(crate) conn: &'a mut Conn<C>,
    run: &'a mut RunQueue,
}

impl<C> Front<'_, C> {
    /// What the operation at the head of the lane has to do.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Option<LaneOp> {
        self.conn.lane(self.entry.lane.direction()).head.as_ref().map(|op| op.kind)
    }

    /// Bytes were moved, and with them the operation at the head, which is the only one, has done what it was
    /// to do: it is taken out, and the lane leaves the run queue.
    #[inline(always)]
    pub(crate) fn take_done(self, direction: Direction, moved: Moved, rearm: Rearm) -> Op<C> {
        let lane = self.conn.lane_mut(direction);
        lane.on_transfer(moved, rearm);
        lane.clear(Bits::QUEUED);
        self.run.left();
        self.run.pass();
        lane.head.take().expect("an operation is at the head")
    }
}

/// An empty lane of an open stream, where nothing is out of the ordinary.
pub(crate) struct EmptyLane<'a, C> {
    pub(crate) id: LaneId,
    pub(crate) conn: &'a mut Conn<C>,
    run: &'a mut RunQueue,
    ticket: &'a mut u32,
}

impl<C> EmptyLane<'_, C> {
    /// Puts an operation at its head.
    #[inline(always)]
    pub(crate) fn put(self, op: Op<C>, mut transfer: Transfer) {
        // There is nothing to be dropped of what was there.
        match self.id.direction() {
            Direction::Send => {
                transfer.begin();
                core::mem::forget(core::mem::replace(&mut self.conn.send, transfer));
            }
            Direction::Receive => core::mem::forget(transfer),
        }
        let lane = self.conn.lane_mut(self.id.direction());
        core::mem::forget(lane.head.replace(op));
        if lane.is_ready() {
            let ticket = *self.ticket;
            *self.ticket = ticket.wrapping_add(1);
            lane.enter_run(ticket);
            self.run.push_into_space(QueueEntry { lane: self.id, ticket });
        }
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
