//! The judge: what was promised, what was on the wire, and what came back.
//!
//! It knows nothing of lanes and their order. An operation's bytes are found on the wire: what a direction of
//! a connection moved, in order, is what its operations report to have moved, in the order in which they
//! complete.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aio_model::{Completion, ConnId, Done, Instant, OpError, Outcome, SLICES_MAX, Syscall};

use super::answer::ScriptAnswer;
use super::promise::{Promise, PromiseKind};
use crate::tools::fuzzing::Verdict;

#[derive(Default)]
pub(super) struct ScriptLedger {
    /// The operations whose last completion has not been taken, by their contexts.
    pub(super) promises: BTreeMap<u32, Promise>,
    /// Every connection there ever was, in the order in which they were opened.
    pub(super) names: Vec<ConnId>,
    conns: BTreeMap<ConnId, Account>,
    /// The last call, and its outcome.
    pub(super) last_call: Option<(ConnId, &'static str, Outcome)>,
    /// The proactor was shut down.
    pub(super) shut_down: bool,
    /// What the system was asked that it should not have been.
    broken: Option<String>,
}

/// What the system knows of a connection.
#[derive(Default)]
struct Account {
    received: Wire,
    sent: Wire,
    /// The connections that were accepted, and of which the user was not told.
    accepted: VecDeque<ConnId>,
    /// No more calls may be made to receive or accept, or to send.
    ended: [bool; 2],
    /// What came was thrown away, until that failed: the sends are told.
    discard_failed: bool,
    closed: bool,
    /// It is under way: the user does not know its id yet.
    connecting: bool,
    /// The completion of its close was taken.
    over: bool,
    /// The end of the stream was received before a send was told of an error: it is the peer's own.
    peer_ended: bool,
    /// Whether it was closed by a reset.
    reset: bool,
    /// A send was told of an error.
    told: bool,
    /// It was asked for that.
    aborts: bool,
    /// A send or a shutdown ended with an error of the system: none can follow.
    broken: bool,
    listens: bool,
    /// How often its send lane was resumed.
    resumes: u32,
    /// How often it had been when the last send that was cut short was submitted: a later send may only
    /// follow it on the wire if it was submitted after another.
    tainted: Option<u32>,
}

/// What a direction moved, and how much of it completions have accounted for.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    taken: usize,
}

/// What is thrown away at once.
const DISCARD_BYTES: usize = 100;

const RECEIVE: usize = 0;
const SEND: usize = 1;

impl ScriptLedger {
    pub(super) fn opened(&mut self, conn: ConnId) {
        self.names.push(conn);
        self.conns.insert(conn, Account::default());
    }

    /// The system did not adopt it.
    pub(super) fn rolled_back(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// It is a listener.
    pub(super) fn listens(&mut self, conn: ConnId) {
        self.conns.entry(conn).or_default().listens = true;
    }

    /// The user resumed the send lane.
    pub(super) fn resumed(&mut self, conn: ConnId) {
        self.conns.entry(conn).or_default().resumes += 1;
    }

    /// How often the send lane was resumed.
    pub(super) fn resumes(&self, conn: ConnId) -> u32 {
        self.conns.get(&conn).map_or(0, |account| account.resumes)
    }

    /// Answers a call, and notes what it did.
    pub(super) fn perform(&mut self, call: Syscall<'_>, answer: ScriptAnswer) -> Outcome {
        let (conn, name) = (call.conn(), name(&call));
        let outcome = self.answer(call, answer);
        self.last_call = Some((conn, name, outcome));
        outcome
    }

    fn answer(&mut self, call: Syscall<'_>, answer: ScriptAnswer) -> Outcome {
        let conn = call.conn();
        if let Syscall::Connect { .. } = call {
            return self.connect(conn, answer);
        }
        if self.conns.get(&conn).is_none_or(|account| account.closed) {
            self.broken = Some(format!("a call on {conn}, which is not open: {call:?}"));
        }
        if matches!(call, Syscall::Discard { .. }) && !self.is_to_end(conn) {
            self.broken = Some(format!("what comes for {conn} is thrown away, and nobody closed it"));
        }
        let account = self.conns.entry(conn).or_default();
        let (direction, outcome, goes_on) = match call {
            Syscall::Recv { buffer, .. } => account.receive(buffer, answer),
            Syscall::RecvVectored { mut slices, .. } => {
                if slices.iter_mut().count() > SLICES_MAX || slices.iter_mut().any(|slice| slice.is_empty()) {
                    self.broken = Some(format!("{slices:?} are too many, or one is empty"));
                }
                let mut bytes = vec![0; slices.len()];
                let answered = account.receive(&mut bytes, answer);
                slices.iter_mut().flatten().zip(bytes).for_each(|(to, from)| *to = from);
                answered
            }
            Syscall::Discard { .. } => {
                let outcome = answer.to_transfer(DISCARD_BYTES);
                let some = matches!(outcome, Outcome::Transferred(1..) | Outcome::Partial(_));
                let goes_on = some || hinders(outcome);
                account.discard_failed = !goes_on && outcome != Outcome::Transferred(0);
                (RECEIVE, outcome, goes_on)
            }
            Syscall::Poll { direction, .. } => {
                let outcome = answer.to_control();
                (direction as usize, outcome, outcome == Outcome::Done || hinders(outcome))
            }
            Syscall::Peek { .. } => {
                let outcome = answer.to_transfer(1);
                account.peer_ended |= outcome == Outcome::Transferred(0);
                (RECEIVE, outcome, outcome == Outcome::Transferred(1) || hinders(outcome))
            }
            Syscall::Connect { .. } => unreachable!("it is answered before"),
            Syscall::Send { bytes, .. } => account.send(bytes, answer),
            Syscall::SendVectored { slices, .. } => {
                let list: Vec<&[u8]> = slices.iter().collect();
                if list.len() > SLICES_MAX || list.iter().any(|slice| slice.is_empty()) {
                    self.broken = Some(format!("{} slices, or an empty one", list.len()));
                }
                account.send(&list.concat(), answer)
            }
            Syscall::ShutdownWrite { .. } => {
                let outcome = answer.to_control();
                (SEND, outcome, hinders(outcome))
            }
            Syscall::Close { reset, .. } => {
                (account.closed, account.reset) = (true, reset);
                return Outcome::Done;
            }
            Syscall::Accept { conn: new, .. } => {
                let outcome = answer.to_accept();
                if outcome == Outcome::Done {
                    account.accepted.push_back(new);
                    self.opened(new);
                }
                let refused = matches!(outcome, Outcome::Refused(_));
                (RECEIVE, outcome, outcome == Outcome::Done || refused || hinders(outcome))
            }
        };
        self.note_end(conn, direction, goes_on);
        outcome
    }

    /// Whether a connection is to be closed, or everything.
    fn is_to_end(&self, conn: ConnId) -> bool {
        let closes =
            |promise: &Promise| promise.conn == conn && matches!(promise.kind, PromiseKind::Close { .. });
        self.shut_down || self.promises.values().any(closes)
    }

    /// A connection is known once it is there or under way, and forgotten when it fails.
    fn connect(&mut self, conn: ConnId, answer: ScriptAnswer) -> Outcome {
        if self.conns.get(&conn).is_some_and(|account| !account.connecting) {
            self.broken = Some(format!("{conn} is to connect, and is there"));
        }
        let outcome = answer.to_control();
        match outcome {
            Outcome::Done | Outcome::WouldBlock => {
                if !self.conns.contains_key(&conn) {
                    self.opened(conn);
                }
                self.conns.entry(conn).or_default().connecting = outcome == Outcome::WouldBlock;
            }
            Outcome::Interrupted => {}
            _ => drop(self.conns.remove(&conn)),
        }
        outcome
    }

    /// After an end or an error, a direction gets no more calls.
    fn note_end(&mut self, conn: ConnId, direction: usize, goes_on: bool) {
        let Some(account) = self.conns.get_mut(&conn) else { return };
        if account.ended[direction] {
            self.broken = Some(format!("another call on {conn} after its end"));
        }
        account.ended[direction] = !goes_on;
    }

    /// The calls so far were in order.
    pub(super) fn check(&self) -> Verdict {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// The user takes a completion.
    pub(super) fn complete(&mut self, completion: &Completion<u32>, now: Instant) -> Verdict {
        let Completion { context, conn, result, bytes, more, .. } = completion;
        let promise = self.promises.get(context);
        let Some(promise) = promise else { return Err(format!("{context} completes, and did before")) };
        promise.judge(completion, now)?;
        let (kind, resumes) = (promise.kind.clone(), promise.resumes);
        if !more {
            self.promises.remove(context);
        }
        let Some(account) = self.conns.get_mut(conn) else { return Ok(()) };
        let closes = matches!(kind, PromiseKind::Close { .. });
        ensure!(closes || !account.over, "{context} completes after the close of {conn}");
        let count = usize::try_from(*bytes).unwrap_or(usize::MAX);
        match &kind {
            PromiseKind::Receive { .. } => {
                let told: Vec<u8> = completion.buffer.chunks().flatten().copied().take(count).collect();
                account.received.take(&told, count)?;
                let ends = matches!(
                    result,
                    Ok(Done::Received { end_of_stream: true }) | Err(OpError::UnexpectedEof)
                );
                ensure!(
                    !ends || account.peer_ended,
                    "{context} ended with {result:?} after a send had failed"
                );
            }
            PromiseKind::Send(range) => {
                account.sent.take(&range[..count], count)?;
                let tainted = account.tainted.is_some_and(|tainted| resumes <= tainted);
                let reason = tainted || !matches!(result, Err(OpError::Tainted));
                ensure!(reason, "{context} is said to be tainted, and nothing was cut short before it");
                ensure!(count == 0 || !tainted, "{context} was sent behind one that was cut short");
                if (1..range.len()).contains(&count) {
                    account.tainted = Some(resumes);
                }
            }
            PromiseKind::Accept { .. } => {
                if let Ok(Done::Accepted(new)) = result {
                    let first = account.accepted.pop_front();
                    ensure!(first == Some(*new), "{conn} accepted {first:?}, the completion says {new}");
                }
            }
            PromiseKind::Close { aborts } => {
                ensure!(account.closed, "{conn} is said to be closed, and is not");
                account.over = true;
                account.aborts |= *aborts;
            }
            PromiseKind::Shutdown => {
                let shut = account.ended[SEND] || result.is_err();
                ensure!(shut, "{conn} is said to be shut down, and is not");
            }
            PromiseKind::Connect => {
                ensure!(!account.connecting || result.is_err(), "{conn} is said to be there");
            }
            PromiseKind::Wait { .. } | PromiseKind::Sleep | PromiseKind::Post => {}
        }
        if let Err(OpError::System(_) | OpError::UnexpectedEof) = result {
            let sends = matches!(
                kind,
                PromiseKind::Send(_) | PromiseKind::Shutdown | PromiseKind::Wait { sends: true }
            );
            account.broken |= sends;
            let ended = account.ended[usize::from(sends)] || (sends && account.discard_failed);
            ensure!(ended, "{context} ended with {result:?}, which nobody said");
        }
        Ok(())
    }

    /// Nothing is left: every promise was kept, every byte accounted for, every connection closed.
    pub(super) fn end(&self) -> Verdict {
        let open: BTreeSet<_> =
            self.conns.iter().filter(|(_, account)| !account.closed).map(|at| at.0).collect();
        ensure!(open.is_empty(), "{open:?} were never closed");
        let promised = self.promises.keys().collect::<Vec<_>>();
        ensure!(promised.is_empty(), "{promised:?} never completed");
        for (conn, account) in &self.conns {
            for wire in [&account.received, &account.sent] {
                let (moved, taken) = (wire.bytes.len(), wire.taken);
                ensure!(moved == taken, "{conn} moved {moved} bytes, and its completions tell of {taken}");
            }
            ensure!(account.accepted.is_empty(), "nobody was told of {:?}", account.accepted);
            let cut = account.tainted.is_some_and(|tainted| account.resumes <= tainted);
            let due = (account.aborts || account.broken || cut) && !account.listens;
            let reset = account.reset;
            ensure!(
                reset == due,
                "{conn} was reset: {reset}; a send was broken off, or that was asked: {due}"
            );
        }
        Ok(())
    }
}

impl Account {
    /// The direction, the outcome, and whether more calls may follow.
    fn receive(&mut self, buffer: &mut [u8], answer: ScriptAnswer) -> (usize, Outcome, bool) {
        let outcome = answer.to_transfer(buffer.len());
        self.peer_ended |= outcome == Outcome::Transferred(0) && !self.told;
        let moved = match outcome {
            Outcome::Transferred(count) | Outcome::Partial(count) if count <= buffer.len() => count,
            _ => 0,
        };
        for byte in &mut buffer[..moved] {
            *byte = stream_byte(self.received.bytes.len());
            self.received.bytes.push(*byte);
        }
        (RECEIVE, outcome, moved > 0 || hinders(outcome))
    }

    fn send(&mut self, bytes: &[u8], answer: ScriptAnswer) -> (usize, Outcome, bool) {
        let outcome = answer.to_transfer(bytes.len());
        self.told |= matches!(outcome, Outcome::Failed(_));
        let moved = match outcome {
            Outcome::Transferred(count) if count <= bytes.len() => count,
            _ => 0,
        };
        self.sent.bytes.extend_from_slice(&bytes[..moved]);
        (SEND, outcome, moved > 0 || hinders(outcome))
    }
}

fn name(call: &Syscall<'_>) -> &'static str {
    match call {
        Syscall::Recv { .. } | Syscall::RecvVectored { .. } => "receive",
        Syscall::Discard { .. } => "discard",
        Syscall::Poll { .. } => "poll",
        Syscall::Peek { .. } => "peek",
        Syscall::Send { .. } | Syscall::SendVectored { .. } => "send",
        Syscall::Accept { .. } => "accept",
        Syscall::Connect { .. } => "connect",
        Syscall::ShutdownWrite { .. } => "shutdown",
        Syscall::Close { .. } => "close",
    }
}

/// Nothing happened, and it may later.
fn hinders(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_))
}

impl Wire {
    /// A completion tells of the next `count` bytes.
    fn take(&mut self, told: &[u8], count: usize) -> Verdict {
        let next = self.bytes.get(self.taken..self.taken + count);
        ensure!(next == Some(told), "after {} bytes the wire had {next:?}, not {told:?}", self.taken);
        self.taken += count;
        Ok(())
    }
}

/// The byte at an offset of what peers send.
fn stream_byte(offset: usize) -> u8 {
    (offset % 251).to_le_bytes()[0]
}
