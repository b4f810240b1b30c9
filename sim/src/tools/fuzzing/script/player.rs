//! Plays a script: the user, the system and the clock, one step at a time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aio_model::testing::Shelf;
use aio_model::{
    Buffer, Completion, Config, ConnId, ConnInfo, ConnPhase, Deadline, Home, Instant, Kind as Socket, Lease,
    Limits, Model, OpId, Outcome, PoolSize, Post, Readiness, Rearm,
};

use super::answer::ScriptAnswer;
use super::ledger::ScriptLedger;
use super::promise::{Promise, PromiseKind};
use super::step::{Pick, ScriptDue, ScriptOp, ScriptSetup, ScriptStep};
use crate::judge::workload::resolve;
use crate::tools::fuzzing::Verdict;

/// What happens to a completion on its way from the model to the judge, and how often it comes there: once.
pub(super) type Meddle = fn(&mut Completion<u32>) -> usize;

pub(super) struct Player {
    model: Model<u32>,
    shelf: Arc<Shelf>,
    ledger: ScriptLedger,
    clock: Instant,
    /// Every operation there ever was.
    ops: Vec<OpId>,
    /// The leases in the user's hands.
    held: Vec<Lease>,
    buffers_max: u32,
    /// What the last call was to be answered: the last attempts of what expires are, too.
    answer: ScriptAnswer,
    /// The context of the next operation.
    pub(super) serial: u32,
    meddle: Meddle,
}

impl Player {
    pub(super) fn new(setup: &ScriptSetup, meddle: Meddle) -> Player {
        let shelf = Arc::new(Shelf::default());
        let home = shelf.home();
        let at_most = |value: u8, max: u32| NonZeroU32::MIN.saturating_add(u32::from(value) % max);
        let limits = Limits {
            connections_max: at_most(setup.connections, 8),
            ops_max: at_most(setup.ops, 24),
            lane_ops_max: at_most(setup.lane_ops, 6),
            lane_bytes_max: at_most(setup.ops, 32),
            turn_events_max: at_most(setup.lane_attempts, 3),
            turn_attempts_max: at_most(setup.turn_attempts, 8),
            lane_attempts_max: at_most(setup.lane_attempts, 4),
            // From none of another's bytes to all there are.
            lane_transfer_max: at_most(setup.turn_attempts, 64),
        };
        let pools = setup.pools.map(|(buffers, bytes)| PoolSize {
            buffers_max: 1 + u32::from(buffers) % 3,
            // A pool of buffers without bytes is one that every receive is refused from.
            buffer_bytes: usize::from(bytes) % 9,
        });
        let rearm = if setup.rearms_on_would_block { Rearm::OnWouldBlock } else { Rearm::OnArrival };
        let config = Config { limits, pools: pools.to_vec(), realm: 1, rearm };
        let mut player = Player {
            model: Model::new(config, &home),
            shelf,
            ledger: ScriptLedger::default(),
            clock: Instant::ZERO,
            ops: vec![],
            held: vec![],
            buffers_max: pools.iter().map(|pool| pool.buffers_max).sum(),
            answer: ScriptAnswer::WouldBlock,
            serial: 0,
            meddle,
        };
        player.know_foreign_names(&home);
        player.open(false, true);
        player
    }

    /// Names that another model gave out: scripts use them like any other.
    fn know_foreign_names(&mut self, home: &Arc<dyn Home>) {
        let config = Config { limits: Limits::DEFAULT, pools: vec![], realm: 2, rearm: Rearm::OnArrival };
        let mut foreign: Model<u32> = Model::new(config, home);
        self.ledger.names.extend(foreign.open(Socket::Stream));
        self.ops.extend(foreign.submit(foreign.own(), Post::new(), 0, || Instant::ZERO));
    }

    pub(super) fn model(&self) -> &Model<u32> {
        &self.model
    }

    /// The last call that was made: on which connection, what, and its outcome.
    pub(super) fn last_call(&self) -> Option<(ConnId, &'static str, Outcome)> {
        self.ledger.last_call
    }

    pub(super) fn forget_call(&mut self) {
        self.ledger.last_call = None;
    }

    /// Whether an operation is a pooled receive.
    pub(super) fn is_pooled(&self, op: OpId) -> bool {
        let promise = self.ledger.promises.values().find(|promise| promise.op == op);
        promise.is_some_and(|promise| matches!(promise.kind, PromiseKind::Receive { pooled: true, .. }))
    }

    pub(super) fn step(&mut self, step: &ScriptStep) -> Verdict {
        match step {
            ScriptStep::Attempt(answer) => {
                self.attempt(*answer);
            }
            ScriptStep::Submit { conn, what, due } => return self.submit(*conn, what, *due),
            ScriptStep::Event { conn, bits } => {
                let all = [Readiness::READABLE, Readiness::WRITABLE, Readiness::READ_CLOSED];
                let all = all.into_iter().chain([Readiness::WRITE_CLOSED, Readiness::ERROR]).enumerate();
                let set = all.filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, one)| one);
                let readiness = set.fold(Readiness::NONE, |set, one| set | one);
                self.conn(*conn).inspect(|conn| self.model.on_ready(*conn, readiness));
            }
            ScriptStep::Round => self.model.begin_round(),
            ScriptStep::Turn { answers, ms } => {
                self.pass((*ms).into(), false);
                self.model.begin_round();
                for answer in answers {
                    self.attempt(*answer);
                }
                self.expire();
            }
            ScriptStep::Time { ms, back } => self.pass(*ms, *back),
            ScriptStep::Expire => return self.expire_all(),
            ScriptStep::Take => return self.take().map(drop),
            ScriptStep::Open { listener, adopted } => self.open(*listener, *adopted),
            ScriptStep::Cancel(op) => {
                if let Some(op) = self.op(*op)
                    && self.model.cancel(op).is_ok()
                {
                    let promise = self.ledger.promises.values_mut().find(|promise| promise.op == op);
                    let Some(promise) = promise else { return Err(format!("{op} was cancelled twice")) };
                    ensure!(!promise.cancelled, "{op} was cancelled twice");
                    promise.cancelled = true;
                }
            }
            ScriptStep::SetDeadline { op, due } => self.set_deadline(*op, *due),
            ScriptStep::CancelAll(conn) => drop(self.conn(*conn).map(|conn| self.model.cancel_all(conn))),
            ScriptStep::Resume(conn) => {
                // What is to be closed is closed as was decided.
                let closing = |info: ConnInfo| info.phase == ConnPhase::Closing;
                let conn = self.conn(*conn);
                let late = conn.is_some_and(|conn| self.model.conn_info(conn).is_ok_and(closing));
                let resumed = conn.filter(|conn| self.model.resume(*conn).is_ok() && !late);
                resumed.inspect(|conn| self.ledger.resumed(*conn));
            }
            ScriptStep::Close { conn, sure } => {
                let conn = self.conn(*conn).filter(|_| sure.is_sure());
                let _ = conn.map(|conn| self.model.close(conn));
            }
            ScriptStep::Drop(nth) => drop(self.lease(*nth)),
            ScriptStep::GiveBack(nth) => {
                self.give_back(*nth);
            }
            ScriptStep::ShutDown { flush_ms, sure } if sure.is_sure() => {
                self.ledger.shut_down = true;
                match flush_ms.map(|ms| Deadline::Within(Duration::from_millis(ms.into()))) {
                    Some(deadline) => self.model.shut_down_by(deadline, || self.clock),
                    None => self.model.shut_down(),
                }
            }
            ScriptStep::ShutDown { .. } => {}
        }
        Ok(())
    }

    /// What holds between any two steps.
    pub(super) fn check(&mut self) -> Verdict {
        self.model.check().map_err(|violation| violation.to_string())?;
        self.ledger.check()?;
        let (ops, promised) = (self.model.ops() as usize, self.ledger.promises.len());
        // Those beyond what is promised are completions of accepts that go on.
        let posts = ops.checked_sub(promised);
        let fits = posts.is_some_and(|posts| posts <= self.model.completions() as usize);
        ensure!(fits, "{ops} operations, and {promised} are promised");
        let (lent, held) = (self.model.outstanding(), self.held.len());
        ensure!(lent <= self.buffers_max && lent as usize >= held, "{lent} are lent, {held} held");
        Ok(())
    }

    /// Shuts down, lets everything end, and looks at what is left.
    pub(super) fn end(mut self) -> Verdict {
        self.model.shut_down();
        while !self.model.is_drained() {
            self.model.begin_round();
            let mut progress = false;
            while self.attempt(ScriptAnswer::All) {
                progress = true;
            }
            while self.take()? {
                progress = true;
            }
            self.check()?;
            ensure!(progress, "{:?} does not end", self.model);
        }
        self.held.clear();
        while self.give_back(Pick(0)) {}
        self.check()?;
        let left = (self.model.outstanding(), self.model.connections(), self.model.next_deadline());
        ensure!(left == (0, 0, None), "buffers, connections, a deadline are left: {left:?}");
        self.ledger.end()
    }

    fn attempt(&mut self, answer: ScriptAnswer) -> bool {
        self.answer = answer;
        self.model.attempt(|call| self.ledger.perform(call, answer))
    }

    fn open(&mut self, listener: bool, adopted: bool) {
        let kind = if listener { Socket::Listener } else { Socket::Stream };
        if let Ok(conn) = self.model.open(kind) {
            self.ledger.opened(conn);
            if listener {
                self.ledger.listens(conn);
            }
            if !adopted {
                self.model.rollback_open(conn);
                self.ledger.rolled_back(conn);
            }
        }
    }

    fn pass(&mut self, ms: u16, back: bool) {
        let span = Duration::from_millis(ms.into());
        self.clock = if back {
            Instant::ZERO + self.clock.saturating_since(Instant::ZERO + span)
        } else {
            self.clock + span
        };
        self.model.on_time(self.clock);
    }

    /// Ends what has expired, as much of it as the turn has room for.
    fn expire(&mut self) {
        while self.model.expire(|call| self.ledger.perform(call, self.answer)) {}
    }

    /// Ends everything that has expired, in as many turns as it takes. A close that lingers for no time is
    /// due anew with each byte that the system takes, so these may be more than there are timers.
    fn expire_all(&mut self) -> Verdict {
        const TURNS_MAX: u32 = 100_000;
        for _ in 0..TURNS_MAX {
            self.model.begin_round();
            self.expire();
            let (next, now) = (self.model.next_deadline(), self.model.now());
            if next.is_none_or(|next| next > now) {
                return Ok(());
            }
        }
        Err(format!("at {:?}, what is due has not ended", self.model.now()))
    }

    /// Takes a completion, if there is one.
    fn take(&mut self) -> Result<bool, String> {
        let Some(mut completion) = self.model.next_completion() else { return Ok(false) };
        for _ in 0..(self.meddle)(&mut completion) {
            self.ledger.complete(&completion, self.model.now())?;
        }
        let Completion { buffer, op, more, .. } = completion;
        ensure!(more || self.model.cancel(op).is_err(), "{op} has completed, and could be cancelled");
        self.keep(buffer);
        Ok(true)
    }

    fn keep(&mut self, buffer: Buffer) {
        if let Buffer::Lease(lease) = buffer {
            self.held.push(lease);
        }
    }

    fn set_deadline(&mut self, op: Pick, due: ScriptDue) {
        let Some(op) = self.op(op) else { return };
        let deadline = deadline(due);
        if self.model.set_deadline(op, deadline, || self.clock).is_ok() {
            let due = self.resolve(deadline);
            let promises = self.ledger.promises.values_mut();
            promises.filter(|promise| promise.op == op).for_each(|promise| promise.due = due);
        }
    }

    fn submit(&mut self, conn: Pick, what: &ScriptOp, due: ScriptDue) -> Verdict {
        let own = matches!(what, ScriptOp::Sleep | ScriptOp::Post(_) | ScriptOp::Connect);
        let Some(conn) = self.conn(conn).filter(|_| !own).or(own.then_some(self.model.own())) else {
            return Ok(());
        };
        let (request, mut kind) = self.request(what);
        if let PromiseKind::Close { aborts } = &mut kind {
            // What is to be closed is closed as was decided.
            *aborts &= self.model.conn_info(conn).is_ok_and(|info| info.phase != ConnPhase::Closing);
        }
        let sleeps = matches!(kind, PromiseKind::Sleep);
        let deadline = deadline(due).or(sleeps.then_some(Deadline::At(Instant::MAX)));
        let request = match deadline {
            Some(deadline) if !matches!(kind, PromiseKind::Post) => request.with_deadline(deadline),
            _ => request,
        };
        let handed: Vec<u8> = request.buffer().chunks().flatten().copied().collect();
        let (before, serial) = (self.model.ops(), self.serial);
        self.serial += 1;
        match self.model.submit(conn, request, serial, || self.clock) {
            Ok(op) => {
                let due = self.resolve(deadline);
                self.ops.push(op);
                let resumes = self.ledger.resumes(conn);
                let promise = Promise { conn, op, kind, due, cancelled: false, resumes };
                self.ledger.promises.insert(serial, promise);
            }
            Err(refused) => {
                let back: Vec<u8> = refused.buffer.chunks().flatten().copied().collect();
                let whole = back == handed && refused.context == serial && self.model.ops() == before;
                ensure!(whole, "{kind:?} was refused, and not given back");
                self.keep(refused.buffer);
            }
        }
        Ok(())
    }

    fn resolve(&self, deadline: Option<Deadline>) -> Instant {
        resolve(deadline, self.clock.max(self.model.now())).unwrap_or(Instant::MAX)
    }

    fn conn(&self, Pick(nth): Pick) -> Option<ConnId> {
        nth_of(nth, self.ledger.names.len()).map(|nth| self.ledger.names[nth])
    }

    fn op(&self, Pick(nth): Pick) -> Option<OpId> {
        nth_of(nth, self.ops.len()).map(|nth| self.ops[nth])
    }

    pub(super) fn lease(&mut self, Pick(nth): Pick) -> Option<Lease> {
        nth_of(nth, self.held.len()).map(|nth| self.held.swap_remove(nth))
    }

    /// Returns a dropped lease, if there is one.
    fn give_back(&mut self, Pick(nth): Pick) -> bool {
        let Some(nth) = nth_of(nth, self.shelf.len()) else { return false };
        self.model.give_back(self.shelf.take(nth));
        true
    }
}

/// Counted from the latest one, which scripts most often mean.
fn nth_of(nth: u8, len: usize) -> Option<usize> {
    usize::from(nth).checked_rem(len).map(|back| len - 1 - back)
}

fn deadline(due: ScriptDue) -> Option<Deadline> {
    match due {
        ScriptDue::Never => None,
        ScriptDue::Within(ms) => Some(Deadline::Within(Duration::from_millis(ms.into()))),
        // In tenths of a millisecond: most are between two ticks.
        ScriptDue::At(at) => Some(Deadline::At(Instant::from_nanos(u64::from(at) * 100_000))),
    }
}
