//! Plays a script on both, and compares them after every step.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use aio::Proactor;
use aio_model::{
    Buffer, CloseReason, Completion, ConnId, Direction, Kind, Limits, OpId, PoolId, PoolSize, Post,
    Readiness, Rearm,
};
use sim::fuzzing::Verdict;
use sim::reference::{self, Manner, Plan, Reference, Request, Rule, Work};

use super::plain::{self, plain_op};
use super::step::{Answer, How, Pass, Passing, Pick, Script, Setup, Step, What};
use super::world::{Os, Scripted, Waker, pass, plain};

/// A buffer that the user has, as each of the two knows it.
type Held = (Buffer, reference::Buffer);

struct Player {
    aio: Proactor<u32, Os>,
    reference: Reference,
    /// What is below the reference.
    world: Scripted,
    /// Every connection there ever was, and two that are none.
    conns: Vec<ConnId>,
    ops: Vec<OpId>,
    held: Vec<Held>,
    /// The context of the next operation.
    serial: u32,
    /// What was seen, if somebody wants to know.
    seen: Option<BTreeSet<String>>,
}

/// Plays a script on the proactor and on a reference that lacks at most one rule.
pub(crate) fn play(script: &Script, without: Option<Rule>) -> Verdict {
    Player::new(&script.setup, without).play(script)
}

/// Plays a script, and tells what was seen: answers, calls, results, and where things stood.
pub(crate) fn watch(script: &Script) -> BTreeSet<String> {
    let mut player = Player { seen: Some(BTreeSet::new()), ..Player::new(&script.setup, None) };
    player.play(script).expect("the proactor does what the reference says");
    player.seen.unwrap_or_default()
}

fn compare<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Verdict {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}

impl Player {
    fn play(&mut self, script: &Script) -> Verdict {
        let Setup { streams, listens, .. } = script.setup;
        let mut sockets = listens.then_some(true).into_iter().chain(std::iter::repeat_n(false, streams));
        sockets.try_for_each(|listener| self.adopt(listener, true))?;
        for (nth, step) in script.steps.iter().enumerate() {
            self.step(step).and_then(|()| self.look()).map_err(|what| format!("step {nth}: {what}"))?;
        }
        self.end().map_err(|what| format!("after the last step: {what}"))
    }

    /// Something was seen: it is remembered by the words of it, without ids and numbers.
    fn see(&mut self, what: &str, thing: &impl Debug) {
        if let Some(seen) = &mut self.seen {
            let text = format!("{thing:?}").replace("Id {", "0");
            let name = text.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or_default();
            let words = name.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let parts = if text.contains("parts: true") { " in parts" } else { "" };
            seen.insert(format!("{what}: {}{parts}", words.join(" ")));
        }
    }

    fn new(setup: &Setup, without: Option<Rule>) -> Player {
        let Setup { connections, ops, lane_ops, turn_events, turn_attempts, .. } = *setup;
        let Setup { lane_attempts, lane_transfer, lane_bytes, pools, .. } = *setup;
        let mut builder = Proactor::<u32>::builder()
            .connections_max(connections)
            .ops_max(ops)
            .lane_ops_max(lane_ops)
            .turn_events_max(turn_events)
            .turn_attempts_max(turn_attempts)
            .lane_attempts_max(lane_attempts)
            .lane_transfer_max(lane_transfer)
            .lane_bytes_max(lane_bytes);
        for (buffers_max, buffer_bytes) in pools {
            builder = builder.pool(buffers_max, buffer_bytes);
        }
        let rearm = if setup.rearms_on_would_block { Rearm::OnWouldBlock } else { Rearm::OnArrival };
        let os = || Os {
            scripted: Scripted::default(),
            rearm,
            takes_socket: true,
            known: vec![],
            waker: Waker::default(),
        };
        let aio = builder.build_on(os()).expect("the limits are at least 1");
        let limit = |limit: u32| limit.try_into().expect("it is at least 1");
        let limits = Limits {
            connections_max: limit(connections),
            ops_max: limit(ops),
            lane_ops_max: limit(lane_ops),
            turn_events_max: limit(turn_events),
            turn_attempts_max: limit(turn_attempts),
            lane_attempts_max: limit(lane_attempts),
            lane_transfer_max: limit(lane_transfer),
            lane_bytes_max: limit(lane_bytes),
        };
        let pools = pools.map(|(buffers_max, buffer_bytes)| PoolSize { buffers_max, buffer_bytes });
        let plan = Plan { limits, pools: pools.to_vec(), rearm, proactor_id: aio.own().realm() };
        // Names that another proactor gave out, to be used like any other.
        let mut other: Proactor<u32, Os> = Proactor::on(os()).expect("the defaults are sound");
        let conns = vec![other.adopt(Kind::Stream).expect("there is room"), aio.own()];
        let ops = vec![other.submit(other.own(), Post::new(), 0).expect("there is room")];
        let reference = Reference::new(plan, without);
        Player { aio, reference, world: Scripted::default(), conns, ops, held: vec![], serial: 0, seen: None }
    }

    fn set_lane_bytes_max(&mut self, conn: ConnId, bytes_max: Option<NonZeroU32>) -> Verdict {
        let found = self.aio.set_lane_bytes_max(conn, bytes_max);
        self.see("set_lane_bytes_max", &found);
        compare("set_lane_bytes_max", &found, &self.reference.set_lane_bytes_max(plain(conn), bytes_max))
    }

    fn close(&mut self, conn: ConnId, code: Option<u32>) -> Verdict {
        let (found, reason) = match code {
            None => (self.aio.close(conn), CloseReason::Requested),
            Some(code) => (self.aio.close_with(conn, code), CloseReason::Code(code)),
        };
        compare("close", &found, &self.reference.close(plain(conn), reason))
    }

    fn step(&mut self, step: &Step) -> Verdict {
        match step {
            Step::Adopt { listener, system_takes_it } => self.adopt(*listener, *system_takes_it),
            Step::Submit { conn, what, due } => {
                let mut work = self.request(what);
                work.0.deadline = due.deadline();
                let own = matches!(what, What::Connect | What::Sleep | What::Post(_));
                let conn = if own { self.aio.own() } else { self.conn(*conn) };
                self.submit(conn, work)
            }
            Step::Turn(pass) => self.turn(pass).map(drop),
            Step::Cancel(op) => {
                let op = self.op(*op);
                let found = self.aio.cancel(op);
                self.see("cancel", &found);
                compare("cancel", &found, &self.reference.cancel(plain_op(op)))
            }
            Step::CancelAll(conn) => {
                let conn = self.conn(*conn);
                let found = self.aio.cancel_all(conn).map(|count| count as usize);
                self.see("cancel_all", &found);
                compare("cancel_all", &found, &self.reference.cancel_all(plain(conn)))
            }
            Step::SetDeadline { op, due } => {
                let (op, deadline) = (self.op(*op), due.deadline());
                let found = self.aio.set_deadline(op, deadline);
                self.see("set_deadline", &found);
                let expected = self.reference.set_deadline(plain_op(op), deadline, self.world.clock);
                compare("set_deadline", &found, &expected)
            }
            Step::Resume(conn) => {
                let conn = self.conn(*conn);
                let found = self.aio.resume(conn);
                self.see("resume", &found);
                compare("resume", &found, &self.reference.resume(plain(conn)))
            }
            Step::SetLaneBytesMax { conn, bytes_max } => {
                self.set_lane_bytes_max(self.conn(*conn), NonZeroU32::new(*bytes_max))
            }
            Step::SetPool { conn, pool } => {
                let (conn, pool) = (self.conn(*conn), PoolId::new(*pool));
                let found = self.aio.set_pool(conn, pool);
                self.see("set_pool", &found);
                compare("set_pool", &found, &self.reference.set_pool(plain(conn), pool))
            }
            Step::SetIdle { conn, with, ms } => self.set_idle(*conn, *with, *ms),
            Step::CloseIfOpen(conn) => {
                let conn = self.conn(*conn);
                let found = self.aio.close_if_open(conn);
                compare("close_if_open", &found, &self.reference.close_if_open(plain(conn)))
            }
            Step::Close { conn, code } => self.close(self.conn(*conn), *code),
            Step::Drop(held) => {
                let (_, like) = self.take(*held);
                self.reference.drop_buffer(&like);
                Ok(())
            }
            Step::Share(held) => {
                let held = match self.take(*held) {
                    (Buffer::Lease(lease), like) => (Buffer::Bytes(lease.into()), like.into_shared()),
                    other => other,
                };
                self.hold(held);
                Ok(())
            }
            Step::ShutDown { flush_ms } => {
                self.shut_down(flush_ms.map(Duration::from_millis));
                Ok(())
            }
        }
    }

    fn set_idle(&mut self, conn: Pick, with: Option<Pick>, ms: u64) -> Verdict {
        let span = (ms > 0).then(|| Duration::from_millis(ms));
        let (conn, with) = (self.conn(conn), with.filter(|_| ms > 0).map(|with| self.conn(with)));
        let found = match (with, span) {
            (Some(with), Some(span)) => self.aio.set_idle_pair([conn, with], span),
            _ => self.aio.set_idle(conn, span),
        };
        self.see("set_idle", &found);
        let expected = self.reference.set_idle(plain(conn), with.map(plain), span, self.world.clock);
        compare("set_idle", &found, &expected)
    }

    fn shut_down(&mut self, flush: Option<Duration>) {
        match flush {
            None => self.aio.shut_down(),
            Some(span) => self.aio.shut_down_within(span),
        }
        self.reference.shut_down(flush, self.world.clock);
    }

    fn adopt(&mut self, listener: bool, system_takes_it: bool) -> Verdict {
        let kind = if listener { Kind::Listener } else { Kind::Stream };
        self.aio.system_mut().takes_socket = system_takes_it;
        let found = self.aio.adopt(kind);
        let expected = self.reference.adopt(kind, system_takes_it);
        match (&found, &expected) {
            (Ok(found), Ok(Some(expected))) => compare("adopt", &plain(*found), expected)?,
            (Err(found), Err(expected)) => compare("adopt", &found.error.to_string(), &expected.to_string())?,
            (Err(found), Ok(None)) => compare("adopt", &found.error.raw_os_error(), &Some(12))?,
            _ => return Err(format!("adopt: {found:?}, not {expected:?}")),
        }
        self.conns.extend(found);
        Ok(())
    }

    fn submit(&mut self, conn: ConnId, (request, buffer): (Request, Buffer)) -> Verdict {
        self.serial += 1;
        let operation = plain::operation(&request, buffer);
        let found = self.aio.submit(conn, operation, self.serial);
        let expected = self.reference.submit(plain(conn), request, self.serial, self.world.clock);
        match (found, expected) {
            (Ok(found), Ok(expected)) => {
                self.ops.push(found);
                compare("submit", &plain_op(found), &expected)
            }
            (Err(found), Err(expected)) => {
                self.see("refused", &found.kind);
                let refused = (found.kind, found.context);
                compare("submit", &refused, &(expected.kind, expected.context))?;
                if !plain::same(&found.buffer, &expected.buffer) {
                    return Err(format!("refused with {:?}, not {:?}", found.buffer, expected.buffer));
                }
                self.hold((found.buffer, expected.buffer));
                Ok(())
            }
            (found, expected) => Err(format!("submit: {found:?}, not {expected:?}")),
        }
    }

    /// Returns whether there is anything left to come.
    fn turn(&mut self, turn: &Pass) -> Result<bool, String> {
        let events = turn.events.iter().map(|(conn, bits)| (self.conn(*conn), readiness(*bits))).collect();
        self.world.events = events;
        self.world.waits = Some(turn.waits);
        self.world.wait_fails = turn.wait_fails;
        pass(&mut self.world.clock, turn.passes);
        self.world.begin(&turn.answers);
        self.aio.system_mut().scripted = self.world.clone();
        let timeout = turn.timeout_ms.map(Duration::from_millis);
        let mut batch: Vec<Completion<u32>> = Vec::with_capacity(turn.room);
        // A batch without capacity gets some, more than there are completions here.
        let room = if turn.room == 0 { usize::MAX } else { batch.capacity() };
        let found = self.aio.turn(&mut batch, timeout);
        let expected = self.reference.turn(&mut self.world, timeout, room);
        let below = self.aio.system_mut();
        self.conns.append(&mut below.known);
        for (found, expected) in below.scripted.asked.iter().zip(&self.world.asked) {
            compare("asked the system", found, expected)?;
        }
        let asked = (below.scripted.asked.len(), below.scripted.asked.last());
        compare("system calls", &asked, &(self.world.asked.len(), self.world.asked.last()))?;
        if self.seen.is_some() {
            let whole = self.world.asked.clone();
            whole.iter().for_each(|asked| self.see("asked", asked));
        }
        let (expected, goes_on) = match expected {
            Ok(expected) => expected,
            Err(_) => return compare("turn", &found.is_err(), &true).map(|()| true),
        };
        compare("turn", &found.ok(), &Some(goes_on))?;
        for (done, expected) in batch.iter().zip(&expected) {
            plain::completion(done, expected)?;
            self.see("completed", &expected.result);
        }
        compare("completions", &batch.len(), &expected.len())?;
        for (done, expected) in batch.into_iter().zip(expected) {
            self.hold((done.buffer, expected.buffer));
        }
        Ok(goes_on)
    }

    /// The user keeps what holds a lease, and drops the rest.
    fn hold(&mut self, held: Held) {
        if !held.1.leases().is_empty() {
            self.held.push(held);
        }
    }

    /// Everything that can be seen is the same.
    fn look(&mut self) -> Verdict {
        self.aio.check().map_err(|broken| broken.to_string())?;
        let (found, expected) = (plain::conns(&self.aio), self.reference.conns());
        for (found, expected) in found.iter().zip(&expected) {
            compare("connection", found, expected)?;
            self.see("connection", &found.phase);
            self.see("receives", &found.receive.place);
            self.see("sends", &found.send.place);
        }
        compare("connections", &found.len(), &expected.len())?;
        let (found, expected) = (plain::ops(&self.aio), self.reference.ops());
        for (found, expected) in found.iter().zip(&expected) {
            compare("operation", found, expected)?;
        }
        compare("operations", &found.len(), &expected.len())?;
        let found = self.aio.conns().filter(|(_, info)| info.resets_on_close);
        let found: Vec<_> = found.map(|(conn, _)| plain(conn)).collect();
        compare("to be reset if dropped", &found, &self.reference.conns_to_reset())?;
        compare("gauges", &plain::gauges(&self.aio), &self.reference.gauges())
    }

    /// Whatever was left undone, a shutdown ends it; and when the leases are dropped, none is lent.
    fn end(&mut self) -> Verdict {
        self.shut_down(None);
        let forward = Passing::Forward(Duration::from_secs(1));
        let turn = Pass {
            passes: forward,
            timeout_ms: Some(0),
            waits: forward,
            wait_fails: false,
            events: vec![],
            answers: vec![Answer::All],
            room: 64,
        };
        let mut turns = 0;
        while self.turn(&turn)? {
            self.look()?;
            turns += 1;
            compare("is still not over", &(turns > 100), &false)?;
        }
        for (buffer, like) in std::mem::take(&mut self.held) {
            drop(buffer);
            self.reference.drop_buffer(&like);
        }
        self.look()?;
        compare("outstanding in the end", &self.aio.stats().leases, &0)
    }

    fn conn(&self, pick: Pick) -> ConnId {
        self.conns[self.conns.len() - 1 - pick.0 % self.conns.len()]
    }

    fn op(&self, pick: Pick) -> OpId {
        self.ops[self.ops.len() - 1 - pick.0 % self.ops.len()]
    }

    /// A buffer that the user has, or none.
    fn take(&mut self, pick: Pick) -> Held {
        match self.held.len() {
            0 => (Buffer::None, reference::Buffer::None),
            len => self.held.remove(len - 1 - pick.0 % len),
        }
    }

    fn request(&mut self, what: &What) -> (Request, Buffer) {
        let (work, held) = match what {
            What::Recv { len, exact } => (Work::Recv { exact: *exact }, own(vec![0; *len])),
            What::RecvPooled(pool) => (Work::RecvPooled { pool: pool.map(PoolId::new) }, nothing()),
            What::RecvMany { pool, leases_max } => {
                (Work::RecvMany { pool: pool.map(PoolId::new), leases_max: *leases_max }, nothing())
            }
            What::RecvLease { held, exact } => (Work::Recv { exact: *exact }, self.take(*held)),
            What::RecvShared => (Work::Recv { exact: false }, shared(b"shared".to_vec())),
            What::Scatter { lens, lease, exact } => {
                let spaces = lens.iter().map(|len| own(vec![0; *len])).collect();
                (Work::Recv { exact: *exact }, self.parts(spaces, *lease))
            }
            What::ScatterThin => (Work::Recv { exact: true }, thin(|_| own(vec![0]))),
            What::Send { len, skip, cut } => send(own(self.pattern(*len)), *skip, *cut),
            What::Gather { lens, lease, skip, cut } => {
                let kinds = [own, shared].into_iter().cycle();
                let pieces = lens.iter().zip(kinds).map(|(len, kind)| kind(self.pattern(*len))).collect();
                send(self.parts(pieces, *lease), *skip, *cut)
            }
            What::GatherThin => send(thin(|nth| own(vec![nth])), 1, 1),
            What::SendHeld(held) => send(self.take(*held), 0, 0),
            What::Accept { many } => (Work::Accept { many: *many }, nothing()),
            What::Connect => (Work::Connect, nothing()),
            What::Shutdown => (Work::Shutdown, nothing()),
            What::Wait { sends } => {
                (Work::Wait(if *sends { Direction::Send } else { Direction::Receive }), nothing())
            }
            What::Close(how, code) => {
                let manner = match *how {
                    How::Now => Manner::Now,
                    How::Abort => Manner::Abort,
                    How::Flush => Manner::Flush,
                    How::Linger(ms) => Manner::Linger { ms },
                };
                let reason = code.map_or(CloseReason::Requested, CloseReason::Code);
                (Work::Close { manner, reason }, nothing())
            }
            What::Sleep | What::Misplaced => (Work::Sleep, nothing()),
            What::Post(len) => (Work::Post, own(self.pattern(*len))),
        };
        (Request { work, buffer: held.1, deadline: None }, held.0)
    }

    /// Several buffers as one, and a lease at their end, if there is one and it is wanted.
    fn parts(&mut self, mut pieces: Vec<Held>, lease: Option<Pick>) -> Held {
        if let Some(pick) = lease {
            match self.take(pick) {
                whole @ (Buffer::Lease(_) | Buffer::Bytes(_), _) => pieces.push(whole),
                other => self.hold(other),
            }
        }
        let (found, like) = pieces.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        (Buffer::Parts(found.into()), reference::Buffer::Parts(like))
    }

    /// Bytes that tell whose they are.
    fn pattern(&self, len: usize) -> Vec<u8> {
        (0..len).map(|offset| (self.serial as usize * 31 + offset).to_le_bytes()[0]).collect()
    }
}

fn both(like: reference::Buffer) -> Held {
    (plain::buffer(&like), like)
}

fn nothing() -> Held {
    both(reference::Buffer::None)
}

fn own(bytes: Vec<u8>) -> Held {
    both(reference::Buffer::Own(bytes))
}

fn shared(bytes: Vec<u8>) -> Held {
    both(reference::Buffer::Shared(bytes, None))
}

/// More parts than a call takes slices.
fn thin(part: impl Fn(u8) -> Held) -> Held {
    both(reference::Buffer::Parts((0..=255).cycle().take(1100).map(|nth| part(nth).1).collect()))
}

/// Sends all of it but the first and the last so many bytes.
fn send(held: Held, skip: usize, cut: usize) -> (Work, Held) {
    let end = held.1.bytes().len().saturating_sub(cut);
    (Work::Send { start: skip, end }, held)
}

fn readiness(bits: u8) -> Readiness {
    let all = [
        Readiness::READABLE,
        Readiness::WRITABLE,
        Readiness::READ_CLOSED,
        Readiness::WRITE_CLOSED,
        Readiness::ERROR,
    ];
    let set = all.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    set.fold(Readiness::NONE, |sum, (_, one)| sum | one)
}
