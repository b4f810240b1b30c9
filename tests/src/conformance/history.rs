//! Histories: what was done to a system, and what was seen.

use std::fmt;

use aio_model::Direction;
use aio_model::{Outcome, Readiness, SystemErrorKind};

use crate::pair::Family;

/// Connections are known by the order in which they came up.
pub type Number = usize;

/// Who an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// The listener.
    Listener,
    /// A connection.
    Conn(Number),
}

impl Name {
    /// The number, if it is a connection.
    pub fn conn(self) -> Option<Number> {
        match self {
            Name::Listener => None,
            Name::Conn(number) => Some(number),
        }
    }
}

/// One thing that is done: to the system, or by a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A listener is adopted.
    Listen,
    /// It is closed.
    Unlisten,
    /// A peer connects to it.
    PeerConnect(Number),
    /// An accept; the number is of who has waited longest, or else the next one.
    Accept(Number),
    /// A connected stream is adopted.
    Adopt(Number),
    /// A connect.
    Connect {
        /// What it will be known as.
        conn: Number,
        /// Nobody listens there.
        nobody: bool,
    },
    /// The same connect, asked again.
    ConnectAgain(Number),
    /// A receive into buffers of these sizes.
    Recv(Number, Vec<usize>),
    /// What is at hand is thrown away.
    Discard(Number),
    /// A send from buffers of these sizes.
    Send(Number, Vec<usize>),
    /// The kernel is asked whether an attempt would block.
    Poll(Number, Direction),
    /// A byte is received, and left where it is.
    Peek(Number),
    /// The end is sent.
    Shutdown(Number),
    /// A close.
    Close(Number),
    /// A close with a reset.
    Abort(Number),
    /// The peer writes so many bytes.
    PeerWrite(Number, usize),
    /// The peer reads up to so many bytes.
    PeerRead(Number, usize),
    /// The peer sends the end.
    PeerShutdown(Number),
    /// The peer closes.
    PeerClose(Number),
    /// The peer resets.
    PeerReset(Number),
    /// Events are taken, without sleeping.
    Wait,
    /// Events are taken, after a sleep of a millisecond at most.
    Nap,
    /// Nothing, for so many milliseconds.
    Stall(u64),
    /// Somebody who shares the socket asks for its error.
    AskError(Number),
    /// Somebody who shares the socket makes it blocking.
    Block(Name),
}

impl Deed {
    /// What kind of deed it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Deed::Listen => "listen",
            Deed::Unlisten => "unlisten",
            Deed::PeerConnect(_) => "peer connects",
            Deed::Accept(_) => "accept",
            Deed::Adopt(_) => "adopt",
            Deed::Connect { .. } => "connect",
            Deed::ConnectAgain(_) => "connect, again",
            Deed::Recv(_, pieces) if pieces.len() > 1 => "recv, vectored",
            Deed::Recv(..) => "recv",
            Deed::Discard(_) => "discard",
            Deed::Send(_, pieces) if pieces.len() > 1 => "send, vectored",
            Deed::Send(..) => "send",
            Deed::Poll(_, Direction::Receive) => "poll, to receive",
            Deed::Poll(_, Direction::Send) => "poll, to send",
            Deed::Peek(_) => "peek",
            Deed::Shutdown(_) => "shutdown",
            Deed::Close(_) => "close",
            Deed::Abort(_) => "close, with a reset",
            Deed::PeerWrite(..) => "peer writes",
            Deed::PeerRead(..) => "peer reads",
            Deed::PeerShutdown(_) => "peer shuts down",
            Deed::PeerClose(_) => "peer closes",
            Deed::PeerReset(_) => "peer resets",
            Deed::Wait => "wait",
            Deed::Nap => "wait, asleep",
            Deed::Stall(_) => "stall",
            Deed::AskError(_) => "another asks for the error",
            Deed::Block(Name::Conn(_)) => "another makes it blocking",
            Deed::Block(Name::Listener) => "another makes the listener blocking",
        }
    }
}

/// What a peer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerSaw {
    /// So many bytes went through.
    Bytes(usize),
    /// No more bytes will come.
    End,
    /// It would have blocked.
    Nothing,
    /// It failed.
    Failed(SystemErrorKind),
}

/// What came of a deed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The answer to a call.
    Outcome(Outcome),
    /// What the peer was told.
    Peer(PeerSaw),
    /// The events of a wait.
    Events(Vec<(Name, Readiness)>),
    /// The error that waited to be told, if one did.
    Error(Option<SystemErrorKind>),
    /// Nothing to speak of.
    Nothing,
}

impl Seen {
    /// What kind of thing was seen when `deed` was done.
    pub fn kind(&self, deed: &Deed) -> String {
        let sizes = match deed {
            Deed::Recv(_, pieces) | Deed::Send(_, pieces) => pieces.iter().sum(),
            _ => usize::MAX,
        };
        match self {
            Seen::Outcome(Outcome::Transferred(0)) => "end of stream".to_owned(),
            Seen::Outcome(Outcome::Transferred(count)) if *count < sizes => "some bytes".to_owned(),
            Seen::Outcome(Outcome::Transferred(_)) => "all bytes".to_owned(),
            Seen::Outcome(Outcome::Partial(_)) => "some bytes, perhaps not all".to_owned(),
            Seen::Outcome(Outcome::Failed(error) | Outcome::Exhausted(error)) => {
                format!("{:?}", error.kind())
            }
            Seen::Outcome(other) => format!("{other:?}"),
            Seen::Peer(PeerSaw::Bytes(_)) => "bytes".to_owned(),
            Seen::Peer(PeerSaw::Failed(kind)) => format!("{kind:?}"),
            Seen::Peer(other) => format!("{other:?}"),
            Seen::Events(events) if events.is_empty() => "no event".to_owned(),
            Seen::Events(_) => "events".to_owned(),
            Seen::Error(Some(kind)) => format!("{kind:?}"),
            Seen::Error(None) => "no error".to_owned(),
            Seen::Nothing => "done".to_owned(),
        }
    }
}

/// All that was done to a system, and seen of it.
#[derive(Debug, Clone)]
pub struct History {
    /// What the connections are.
    pub family: Family,
    /// Whether bytes may wait at the end where they were written, while others have arrived.
    pub lags: bool,
    /// Deeds and what was seen, in order.
    pub deeds: Vec<(Deed, Seen)>,
    /// The directions in which the kernel would let something through at the end.
    pub ready: Vec<(Name, Direction)>,
    /// The connections of which an error waits to be told at the end.
    pub errors: Vec<Number>,
    /// The promises that the system itself broke, each with the number of deeds before.
    pub broken: Vec<(usize, String)>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut index = 0;
        // Thousands of the same in a row are what fills a buffer.
        for same in self.deeds.chunk_by(|one, next| one == next) {
            let (deed, seen) = &same[0];
            write!(f, "{index:4}  {deed:?}: {seen:?}")?;
            match same.len() {
                1 => writeln!(f)?,
                times => writeln!(f, ", {times} times")?,
            }
            index += same.len();
        }
        Ok(())
    }
}
