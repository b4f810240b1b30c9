//! Completions: what comes back of an operation, on every outcome (C1, C2).

use core::fmt;

use crate::buffer::Buffer;
use crate::error::SystemError;
use crate::id::{ConnId, OpId};

/// The end of an operation, or one connection of an [`Accept::many`](crate::Accept::many).
#[derive(Debug)]
#[non_exhaustive]
pub struct Completion<C> {
    /// The value that was submitted with the operation.
    pub context: C,
    /// The connection that it was submitted on; of a connect the new one; for a sleep or a post the
    /// proactor's own id.
    pub conn: ConnId,
    /// The operation; its id is stale from now on, unless there is [`more`](Completion::more).
    pub op: OpId,
    /// The buffer, the user's again. A pooled receive that moved no bytes has none.
    pub buffer: Buffer,
    /// How many bytes went through, in all attempts together, whatever the result.
    pub bytes: u64,
    /// What became of it.
    pub result: Result<Done, OpError>,
    /// Whether further completions of the same operation follow: only ever of an `Accept::many`.
    pub more: bool,
}

impl<C> Completion<C> {
    /// The bytes that a receive brought, whatever its result. Not those of several parts, which do not lie in
    /// one piece: see [`Buffer::chunks`].
    pub fn received(&self) -> &[u8] {
        let bytes = self.buffer.as_slice();
        let count = usize::try_from(self.bytes).unwrap_or(usize::MAX).min(bytes.len());
        &bytes[..count]
    }
}

/// What an operation that succeeded did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Done {
    /// Bytes were received, or the peer has sent all it ever will.
    Received {
        /// No byte came, and none will.
        end_of_stream: bool,
    },
    /// The kernel took all bytes.
    Sent,
    /// What was waited for would not block: there are bytes, room, an end or an error.
    Ready,
    /// A connection was accepted, and this is its id.
    Accepted(ConnId),
    /// The connection was made, and [`Completion::conn`] is its id.
    Connected,
    /// FIN was sent.
    ShutDown,
    /// The connection is closed; this is its last completion.
    Closed,
    /// The time of a sleep has come.
    Elapsed,
    /// What was posted is here.
    Posted,
}

/// Why an operation failed. [`Completion::bytes`] counts what it had moved before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// Its deadline came first.
    #[error("the deadline passed")]
    Deadline,
    /// No byte went through on its connection for as long as that may be idle.
    #[error("the connection was idle")]
    Idle,
    /// It was cancelled.
    #[error("the operation was cancelled")]
    Cancelled,
    /// Its connection was closed by this side.
    #[error("the connection was closed: {0}")]
    Closed(CloseReason),
    /// A send before it ended after a part of its bytes, so this one was not begun.
    #[error("an earlier send ended after a part of its bytes")]
    Tainted,
    /// The stream ended before an exact receive had all its bytes.
    #[error("the stream ended in the middle of an exact receive")]
    UnexpectedEof,
    /// The operating system said so.
    #[error("{0}")]
    System(SystemError),
}

/// Who closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// `close`, or a [`Close`](crate::Close) operation.
    Requested,
    /// The same, for a reason of the program's own: a number that means something to it.
    Code(u32),
    /// The proactor was shut down.
    ShutDown,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Requested => f.write_str("as requested"),
            CloseReason::Code(code) => write!(f, "for the program's reason {code}"),
            CloseReason::ShutDown => f.write_str("the proactor was shut down"),
        }
    }
}
