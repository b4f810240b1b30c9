//! One side of the soak: a proactor on a thread, and its connections.

mod unrest;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use aio::{Accept, Buffer, Close, Completion, ConnId, Counters, Done, Limit, OpError};
use aio::{OpId, Operation, Proactor, Recv, Request, Sleep, SubmitErrorKind};
use fastrand::Rng;
use serde::Serialize;

use super::chance::Chance;
use super::conn::{Crowd, Next, RECEIVE, SEND, SoakConn};
use super::control::{Control, SoakPhase};
use super::head::Head;
use super::{Sabotage, Side};
use crate::ledger::{Entries, EntryKind, Held, LedgerEntry};

/// How often a party looks around.
const TICK: Duration = Duration::from_millis(20);

/// How long a head may take: for ever, but a connection that never says anything must go.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ctx {
    Tick,
    Accept,
    Connect,
    Head,
    Receive,
    Send,
    Shutdown,
    Pause(ConnId, usize),
    Close,
}

impl Ctx {
    /// What an operation with this context is.
    fn kind(self) -> EntryKind {
        match self {
            Ctx::Accept => EntryKind::Accept,
            Ctx::Connect => EntryKind::Connect,
            Ctx::Head | Ctx::Receive => EntryKind::Receive,
            Ctx::Send | Ctx::Shutdown => EntryKind::Send,
            Ctx::Tick | Ctx::Pause(..) | Ctx::Close => EntryKind::Unqueued,
        }
    }
}

/// What was not as it should be: how often, and the first of it in words.
#[derive(Debug, Default)]
struct Violations {
    count: u64,
    told: Vec<String>,
}

impl Violations {
    const TOLD_MAX: usize = 20;

    fn add(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.told.len() < Violations::TOLD_MAX {
            self.told.push(what());
        }
    }

    fn check(&mut self, result: Result<(), String>) {
        if let Err(wrong) = result {
            self.add(|| wrong);
        }
    }
}

/// Where the clients connect to.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    pub(super) tcp: SocketAddr,
    pub(super) unix: PathBuf,
}

/// A party at work.
pub(super) struct Party {
    side: Side,
    aio: Proactor<Ctx>,
    control: Arc<Control>,
    entries: Entries<Ctx>,
    violations: Violations,
    crowd: Crowd,
    chance: Rng,
    tally: PartyTally,
    /// As many connections as the client holds.
    target: usize,
    connecting: usize,
    pause_max_us: u64,
    addresses: Addresses,
    /// Leases that are held for a while, so that the pool runs short.
    held: VecDeque<Buffer>,
    held_max: usize,
    /// To where leases are dropped on another thread.
    porter: mpsc::Sender<Buffer>,
    porter_thread: JoinHandle<()>,
    sabotage: Option<Sabotage>,
    loot: Loot,
}

/// What a sabotaged party keeps.
#[derive(Default)]
struct Loot {
    buffers: Vec<Buffer>,
    files: Vec<File>,
    memory: Vec<Vec<u8>>,
}

/// What a party did.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct PartyTally {
    /// Connections that were accepted, or made.
    pub connections: u64,
    /// Connections whose streams both arrived whole.
    pub whole: u64,
    /// Connections that this side broke off.
    pub broken_off: u64,
    /// Connections that ended as the other side's doing.
    pub lost: u64,
    /// Connections that did not begin with a head.
    pub garbage: u64,
    /// Connects that failed or were refused.
    pub connects_failed: u64,
    /// Bytes that were received, and were the right ones.
    pub bytes_verified: u64,
    /// Sends that were taken up again after a part of their bytes.
    pub resumed: u64,
}

/// What a party leaves behind.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) tally: PartyTally,
    pub(super) counters: Counters,
    pub(super) opened: u64,
    pub(super) ended: u64,
    pub(super) open: usize,
    pub(super) violations: u64,
    pub(super) told: Vec<String>,
    /// Operations, connections, and leases that the proactor knows of after its shutdown.
    pub(super) left: (u32, u32, u32),
}

impl Party {
    pub(super) fn new(
        side: Side,
        aio: Proactor<Ctx>,
        plan: &super::SoakPlan,
        control: Arc<Control>,
        addresses: Addresses,
    ) -> Party {
        let (porter, leases) = mpsc::channel::<Buffer>();
        let porter_thread = std::thread::spawn(move || leases.into_iter().for_each(drop));
        Party {
            side,
            aio,
            control,
            entries: Entries::default(),
            violations: Violations::default(),
            crowd: Crowd::default(),
            chance: Rng::with_seed(plan.seed.wrapping_add(side as u64)),
            tally: PartyTally::default(),
            target: plan.connections as usize,
            connecting: 0,
            pause_max_us: u64::try_from(plan.pause_max().as_micros()).unwrap_or(u64::MAX).max(1),
            addresses,
            held: VecDeque::new(),
            held_max: plan.pool_buffers() as usize / 2,
            porter,
            porter_thread,
            sabotage: plan.sabotage.filter(|_| side == Side::Server),
            loot: Loot::default(),
        }
    }

    /// Accepts connections from a listener, until the end.
    pub(super) fn accept_from(&mut self, listener: impl Into<aio::Socket>) -> io::Result<()> {
        let listener = self.aio.adopt(listener)?;
        self.submit(listener, Accept::many(), Ctx::Accept);
        Ok(())
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) -> io::Result<Account> {
        self.submit(self.aio.own(), Sleep::new(TICK), Ctx::Tick);
        let mut batch = Vec::with_capacity(256);
        while self.aio.turn(&mut batch, None)? {
            for done in batch.drain(..) {
                if self.sabotage != Some(Sabotage::Operations) || !self.is_withheld(&done) {
                    self.handle(done);
                }
            }
        }
        if let Err(violation) = self.aio.check() {
            self.violations.add(|| violation.to_string());
        }
        drop((self.loot, self.held, self.porter));
        self.porter_thread.join().expect("the porter does not panic");
        let left = (self.aio.stats().credits, self.aio.stats().connections, self.aio.stats().leases);
        Ok(Account {
            tally: self.tally,
            counters: self.aio.stats().counters,
            opened: self.entries.opened,
            ended: self.entries.ended,
            open: self.entries.open_now(),
            violations: self.violations.count,
            told: self.violations.told,
            left,
        })
    }

    /// Whether a sabotaged party overlooks a completion.
    fn is_withheld(&mut self, done: &Completion<Ctx>) -> bool {
        matches!(done.context, Ctx::Receive | Ctx::Send) && self.chance.one_in(200)
    }

    fn submit(&mut self, conn: ConnId, op: impl Operation<Ctx>, context: Ctx) -> Option<OpId> {
        let request = op.into_request();
        let held = Held::of(request.buffer());
        match self.aio.submit(conn, request, context) {
            Ok(op) => {
                let entry = LedgerEntry { conn, context, kind: context.kind(), held };
                self.violations.check(self.entries.open(op, entry));
                Some(op)
            }
            Err(error) => {
                let full = error.kind == SubmitErrorKind::Busy(Limit::Connections);
                if !full && self.control.phase() != SoakPhase::Stop {
                    self.violations.add(|| format!("{context:?} on {conn} was refused: {}", error.kind));
                }
                None
            }
        }
    }

    fn handle(&mut self, mut done: Completion<Ctx>) {
        let matching = self.entries.complete(&done);
        self.violations.check(matching.map_err(|wrong| format!("{wrong}: {done:?}")));
        match (done.context, done.result) {
            (Ctx::Tick, Ok(_)) => self.tick(),
            (Ctx::Accept, Ok(Done::Accepted(conn))) => self.accepted(conn),
            (Ctx::Connect, result) => self.connected(done.conn, result),
            (Ctx::Head, _) => self.heard_head(&done),
            (Ctx::Receive, _) => self.received(&mut done),
            (Ctx::Send | Ctx::Shutdown, _) => self.sent(&mut done),
            (Ctx::Pause(conn, direction), _) => {
                let paused = self.crowd.get_mut(conn).and_then(|conn| conn.pauses[direction].take());
                if paused == Some(done.op) {
                    self.go(conn, direction);
                }
            }
            (Ctx::Tick | Ctx::Accept | Ctx::Close, _) => {}
        }
    }

    fn accepted(&mut self, conn: ConnId) {
        self.tally.connections += 1;
        self.submit(conn, Recv::exact(vec![0; Head::BYTES]).within(HEAD_PATIENCE), Ctx::Head);
        match self.sabotage {
            Some(Sabotage::Descriptors) => self.loot.files.extend(File::open("/dev/null")),
            Some(Sabotage::Memory) => self.loot.memory.push(vec![1; 256 << 10]),
            _ => {}
        }
    }

    fn heard_head(&mut self, done: &Completion<Ctx>) {
        match Head::from_bytes(done.received()) {
            Some(mut head) if done.result.is_ok() => {
                if self.sabotage == Some(Sabotage::Bytes) && self.chance.one_in(20) {
                    head.seed ^= 1;
                }
                self.begin(done.conn, SoakConn::new(head, self.side));
            }
            _ => {
                self.tally.garbage += 1;
                self.close(done.conn);
            }
        }
    }

    fn connected(&mut self, conn: ConnId, result: Result<Done, OpError>) {
        self.connecting -= 1;
        if result.is_ok() {
            self.tally.connections += 1;
            let head = Head::draw(&mut self.chance);
            self.begin(conn, SoakConn::new(head, self.side));
        } else {
            self.tally.connects_failed += 1;
        }
    }

    fn begin(&mut self, id: ConnId, conn: SoakConn) {
        self.crowd.insert(id, conn);
        self.go(id, RECEIVE);
        self.go(id, SEND);
    }

    /// Submits what comes next in a direction.
    fn go(&mut self, id: ConnId, direction: usize) {
        let Some(conn) = self.crowd.get_mut(id) else { return };
        if conn.pauses[direction].is_some() {
            return;
        }
        let next: Option<(Request<Ctx>, Ctx)> = match direction {
            RECEIVE => conn.receive(&mut self.chance).map(|request| (request, Ctx::Receive)),
            _ => conn.send(&mut self.chance),
        };
        let Some((request, context)) = next else { return };
        let op = self.submit(id, request, context);
        if let Some(conn) = self.crowd.get_mut(id) {
            conn.ops[direction] = op;
        }
    }

    fn received(&mut self, done: &mut Completion<Ctx>) {
        if let Some(conn) = self.crowd.get_mut(done.conn) {
            conn.ops[RECEIVE] = None;
            conn.events += 1;
            let next = conn.received(done);
            self.tally.bytes_verified += if next.is_ok() { done.bytes } else { 0 };
            self.then(done.conn, RECEIVE, next);
        }
        self.hold(std::mem::take(&mut done.buffer));
    }

    fn sent(&mut self, done: &mut Completion<Ctx>) {
        let Some(conn) = self.crowd.get_mut(done.conn) else { return };
        conn.ops[SEND] = None;
        conn.events += 1;
        let next = match done.context {
            Ctx::Shutdown => conn.shut_down(done.result),
            _ => conn.sent(done),
        };
        self.then(done.conn, SEND, next);
    }

    /// Does what is to be done after a completion.
    fn then(&mut self, id: ConnId, direction: usize, next: Result<Next, String>) {
        let Some(conn) = self.crowd.get_mut(id) else { return };
        if conn.is_doomed() {
            self.tally.broken_off += 1;
            return self.part(id);
        }
        match next {
            Ok(Next::Go) => self.go_soon(id, direction),
            Ok(Next::Other) => self.go_soon(id, 1 - direction),
            Ok(Next::Rest) => {}
            Ok(Next::Resume) => {
                self.tally.resumed += 1;
                if let Err(error) = self.aio.resume(id) {
                    self.violations.add(|| format!("{id} can not be resumed: {error}"));
                }
                self.go_soon(id, direction);
            }
            Ok(Next::Part) => {
                self.tally.lost += 1;
                self.part(id);
            }
            // Whatever is cut off by the stop has not come to rest, which is told as such.
            Err(_) if self.control.phase() == SoakPhase::Stop => drop(self.crowd.remove(id)),
            Err(wrong) => {
                let head = self.crowd.get_mut(id).map(|conn| conn.head);
                self.violations.add(|| format!("{id}, {head:?}: {wrong}"));
                self.part(id);
            }
        }
        if self.crowd.get_mut(id).is_some_and(|conn| conn.is_over()) {
            self.tally.whole += 1;
            self.part(id);
        }
    }

    /// Goes on at once, or after a pause.
    fn go_soon(&mut self, id: ConnId, direction: usize) {
        let one_in = if direction == SEND { 2 } else { 8 };
        if self.control.phase() != SoakPhase::Run || !self.chance.one_in(one_in) {
            return self.go(id, direction);
        }
        let span = Duration::from_micros(self.chance.u64(..self.pause_max_us));
        let pause = self.submit(self.aio.own(), Sleep::new(span), Ctx::Pause(id, direction));
        if let Some(conn) = self.crowd.get_mut(id) {
            conn.pauses[direction] = pause;
        }
    }

    /// Closes a connection, in any manner.
    fn part(&mut self, id: ConnId) {
        let Some(conn) = self.crowd.remove(id) else { return };
        for pause in conn.pauses.into_iter().flatten() {
            // It may have elapsed in this very turn.
            let _ = self.aio.cancel(pause);
        }
        self.close(id);
    }

    fn close(&mut self, id: ConnId) {
        let span = Duration::from_millis(self.chance.size(200) as u64);
        let close = match self.chance.u64(..4) {
            0 => {
                self.aio.close(id);
                return;
            }
            1 => Close::now().code(7),
            2 => Close::flush().within(span),
            _ => Close::linger(span).within(span),
        };
        self.submit(id, close, Ctx::Close);
    }
}
