//! What happened, in few words: for bars, marks and the log.

use aio_model::{ConnId, Direction, Done, Instant, OpError, Outcome, Readiness};
use serde::Serialize;

use crate::judge::oracle::{Manner, OpAccount, Task};
use crate::world::link::Change;
use crate::world::peer::{Act, PeerId};
use crate::world::socket::SocketId;
use crate::world::trace::{Call, TraceEntry};
use crate::world::wrong_call::WrongCall;

/// Whose doing something is, before it is known which connection that became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Conn(ConnId),
    Socket(SocketId),
    Peer(PeerId),
    Link(u64),
    Nobody,
}

/// One thing that happened within a step.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// What kind of thing.
    pub(crate) kind: &'static str,
    /// How it went, for a call.
    pub(crate) outcome: Option<&'static str>,
    pub(crate) whose: Whose,
    /// The lanes that it is about: the receive lane, and the send lane.
    pub(crate) lanes: [bool; 2],
    pub(crate) text: String,
    /// The faults that made it so.
    pub(crate) faults: Vec<String>,
}

/// How an operation ended: what its bar is coloured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultClass {
    Ok,
    Deadline,
    Cancelled,
    Closed,
    Tainted,
    Error,
}

impl ResultClass {
    pub(crate) fn of(result: &Result<Done, OpError>) -> ResultClass {
        match result {
            Ok(_) => ResultClass::Ok,
            Err(OpError::Deadline) => ResultClass::Deadline,
            Err(OpError::Cancelled) => ResultClass::Cancelled,
            Err(OpError::Closed(_)) => ResultClass::Closed,
            Err(OpError::Tainted) => ResultClass::Tainted,
            Err(_) => ResultClass::Error,
        }
    }
}

/// What an operation has to do.
pub(crate) fn task(op: &OpAccount<'_>) -> String {
    match op.task {
        Task::Recv => format!("recv {}", op.bytes),
        Task::RecvExact => format!("recv_exact {}", op.bytes),
        Task::RecvPooled { pool } => format!("recv_pooled from pool{pool}"),
        Task::RecvOwnPool => "recv_pooled".into(),
        Task::RecvMany { leases_max, pool: None } => format!("recv_many {leases_max}"),
        Task::RecvMany { leases_max, pool: Some(pool) } => format!("recv_many {leases_max} from pool{pool}"),
        Task::Send { start: 0, end } => format!("send {end}"),
        Task::Send { start, end } => format!("send {start}..{end}"),
        Task::AcceptOne => "accept_one".into(),
        Task::AcceptMany => "accept_many".into(),
        Task::Connect => "connect".into(),
        Task::Wait(Direction::Receive) => "wait to receive".into(),
        Task::Wait(Direction::Send) => "wait to send".into(),
        Task::Shutdown => "shutdown".into(),
        Task::Close { manner: Manner::Now, .. } => "close".into(),
        Task::Close { manner: Manner::Abort, .. } => "close_abort".into(),
        Task::Close { manner: Manner::Flush, .. } => "close_flush".into(),
        Task::Close { manner: Manner::Linger(millis), .. } => format!("close_linger {millis} ms"),
        Task::Sleep => "sleep".into(),
        Task::Post => "post".into(),
    }
}

/// What became of an operation.
pub(crate) fn result(result: &Result<Done, OpError>) -> String {
    match result {
        Ok(Done::Received { end_of_stream: true }) => "end of stream".into(),
        Ok(Done::Received { end_of_stream: false }) => "received".into(),
        Ok(Done::Accepted(conn)) => format!("accepted {conn}"),
        Ok(done) => format!("{done:?}").to_lowercase(),
        Err(error) => format!("{error:?}"),
    }
}

/// Marks, with every fault beside what it did.
pub(crate) fn marks(entries: &[TraceEntry]) -> Vec<Mark> {
    let (mut marks, mut faults) = (Vec::<Mark>::new(), Vec::new());
    for entry in entries {
        if let TraceEntry::Struck(fault) = entry {
            faults.push(format!("{fault:?}"));
            continue;
        }
        marks.push(Mark { faults: std::mem::take(&mut faults), ..mark(entry) });
    }
    if !faults.is_empty() {
        marks.push(Mark { faults, ..plain("fault", Whose::Nobody, String::new()) });
    }
    marks
}

fn plain(kind: &'static str, whose: Whose, text: String) -> Mark {
    Mark { kind, outcome: None, whose, lanes: [false; 2], text, faults: Vec::new() }
}

fn mark(entry: &TraceEntry) -> Mark {
    match *entry {
        TraceEntry::Called { conn, call, outcome } => called(conn, call, outcome),
        TraceEntry::Event { conn, readiness } => {
            let lanes = [readiness.wakes_receive(), readiness.wakes_send()];
            let text = format!("event on {conn}: {}", flags(readiness));
            Mark { lanes, ..plain("event", Whose::Conn(conn), text) }
        }
        TraceEntry::Adopted { conn, socket, descriptor, refused } => {
            let text = refused
                .map_or(format!("{socket:?} is known as {conn}, descriptor {descriptor}"), |e| {
                    format!("{socket:?} can not be registered as {conn}: {e:?}")
                });
            let outcome = Some(if refused.is_some() { "failed" } else { "done" });
            Mark { outcome, ..plain("adopt", Whose::Conn(conn), text) }
        }
        TraceEntry::Waits { until } => plain("wait", Whose::Nobody, format!("waits {}", until_words(until))),
        TraceEntry::Woke { now } => plain("woke", Whose::Nobody, format!("is told that it is {now:?}")),
        TraceEntry::Read { now } => plain("clock", Whose::Nobody, format!("reads the clock: {now:?}")),
        TraceEntry::Changed { socket, change } => {
            let lanes = match change {
                Change::Arrival | Change::End => [true, false],
                Change::Room | Change::Shut => [false, true],
                Change::Dead => [true, true],
            };
            let text = match change {
                Change::Arrival => "something has arrived",
                Change::End => "the peer's end has arrived",
                Change::Room => "there is room to send again",
                Change::Dead => "the connection is dead",
                Change::Shut => "shut down for sending",
            };
            let text = format!("the kernel, at {socket:?}: {text}");
            Mark { lanes, ..plain("change", Whose::Socket(socket), text) }
        }
        TraceEntry::Acted { act } => acted(act),
        TraceEntry::Wrote { peer, count } => {
            plain("wrote", Whose::Peer(peer), format!("the peer's kernel takes {count} bytes"))
        }
        TraceEntry::PeerRead { peer, count } => {
            plain("read", Whose::Peer(peer), format!("the peer reads {count} bytes"))
        }
        TraceEntry::Connected { peer, to } => {
            plain("connected", Whose::Peer(peer), format!("a peer connects to {to:?}"))
        }
        TraceEntry::Answered { peer } => {
            plain("connected", Whose::Peer(peer), "the other side of the connect answers".into())
        }
        TraceEntry::Struck(fault) => plain("fault", Whose::Nobody, format!("{fault:?}")),
        TraceEntry::Violated(violation) => {
            plain("violation", culprit(violation), format!("a wrong call: {violation:?}"))
        }
    }
}

fn called(conn: ConnId, call: Call, outcome: Outcome) -> Mark {
    let (lanes, asked) = match call {
        Call::Recv(bytes) => ([true, false], format!("recv of up to {bytes} on {conn}")),
        Call::Discard => ([true, false], format!("discard on {conn}")),
        Call::Poll(Direction::Receive) => ([true, false], format!("poll of receives on {conn}")),
        Call::Poll(Direction::Send) => ([false, true], format!("poll of sends on {conn}")),
        Call::Peek => ([true, false], format!("peek on {conn}")),
        Call::Accept(new) => ([true, false], format!("accept on {conn} as {new}")),
        Call::Send(bytes) => ([false, true], format!("send of {bytes} on {conn}")),
        Call::Connect => ([false, true], format!("connect of {conn}")),
        Call::ShutdownWrite => ([false, true], format!("shutdown of {conn}")),
        Call::Close { reset: false } => ([true, true], format!("close of {conn}")),
        Call::Close { reset: true } => ([true, true], format!("close of {conn} by a reset")),
    };
    let (class, answer) = match outcome {
        Outcome::Transferred(0) => ("done", "end of stream".into()),
        Outcome::Transferred(count) => ("moved", format!("{count} bytes")),
        Outcome::Partial(count) => ("moved", format!("{count} bytes, and perhaps more")),
        Outcome::Done => ("done", "done".into()),
        Outcome::WouldBlock => ("block", "would block".into()),
        Outcome::Interrupted => ("again", "interrupted".into()),
        Outcome::Exhausted(error) => ("again", format!("exhausted, {error:?}")),
        Outcome::Refused(error) => ("again", format!("refused, {error:?}")),
        Outcome::Failed(error) => ("failed", format!("failed, {error:?}")),
    };
    let text = format!("{asked}: {answer}");
    Mark { outcome: Some(class), lanes, ..plain("call", Whose::Conn(conn), text) }
}

fn acted(act: Act) -> Mark {
    let (kind, whose, text) = match act {
        Act::Connect { listener } => ("act", Whose::Socket(listener), "a peer connects".into()),
        Act::Write { peer, bytes_max } => {
            ("act", Whose::Peer(peer), format!("the peer writes up to {bytes_max} bytes"))
        }
        Act::Read { peer, bytes_max, .. } => {
            ("act", Whose::Peer(peer), format!("the peer reads up to {bytes_max} bytes"))
        }
        Act::ShutdownWrite { peer } => ("end", Whose::Peer(peer), "the peer sends FIN".into()),
        Act::Reset { peer } => ("end", Whose::Peer(peer), "the peer resets the connection".into()),
        Act::Close { peer } => ("end", Whose::Peer(peer), "the peer closes its socket".into()),
        Act::Stall { peer } => ("act", Whose::Peer(peer), "nothing reaches the peer for a while".into()),
    };
    plain(kind, whose, text)
}

fn culprit(violation: WrongCall) -> Whose {
    match violation {
        WrongCall::UnknownConn { conn, .. }
        | WrongCall::ClosedConn { conn, .. }
        | WrongCall::NameTaken { conn }
        | WrongCall::EmptyBuffer { conn, .. }
        | WrongCall::WrongKind { conn, .. }
        | WrongCall::AfterShutdown { conn, .. }
        | WrongCall::BeforeConnected { conn, .. } => Whose::Conn(conn),
        WrongCall::WrongByte { serial, .. } => Whose::Link(serial),
    }
}

fn flags(readiness: Readiness) -> String {
    format!("{readiness:?}").to_lowercase().replace('_', " ").replace('|', ", ")
}

/// Until when somebody waits.
pub(crate) fn until_words(until: Option<Instant>) -> String {
    match until {
        None => "for as long as it takes".into(),
        Some(Instant::ZERO) => "for nothing, only to ask for events".into(),
        Some(until) => format!("until {until:?} at the latest"),
    }
}
