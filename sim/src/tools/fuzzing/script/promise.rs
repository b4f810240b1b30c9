//! What an accepted operation promises, and whether a completion keeps it.

use aio_model::{Buffer, Completion, ConnId, Done, Instant, OpError, OpId};

use crate::tools::fuzzing::Verdict;

pub(super) struct Promise {
    pub(super) conn: ConnId,
    pub(super) op: OpId,
    pub(super) kind: PromiseKind,
    pub(super) due: Instant,
    /// A cancel of this operation succeeded.
    pub(super) cancelled: bool,
    /// How often its connection had been resumed when it was submitted.
    pub(super) resumes: u32,
}

#[derive(Debug, Clone)]
pub(super) enum PromiseKind {
    Receive {
        exact: bool,
        pooled: bool,
        /// It goes on after each receive.
        many: bool,
        room: usize,
    },
    /// The bytes that go on the wire.
    Send(Vec<u8>),
    Accept {
        many: bool,
    },
    Connect,
    Shutdown,
    Wait {
        /// For room, or else for bytes.
        sends: bool,
    },
    Close {
        /// By a reset.
        aborts: bool,
    },
    Sleep,
    Post,
}

impl Promise {
    /// Whether the result is one that this operation may end with, having moved that many bytes.
    pub(super) fn judge(&self, completion: &Completion<u32>, now: Instant) -> Verdict {
        let Completion { conn, op, bytes, result, more, buffer, .. } = completion;
        let named = *op == self.op && (*conn == self.conn || matches!(self.kind, PromiseKind::Connect));
        ensure!(named, "{:?} completes as {conn} {op}", self.kind);
        let repeats =
            matches!((&self.kind, result), (PromiseKind::Accept { many: true }, Ok(Done::Accepted(_))))
                || matches!(
                    (&self.kind, result),
                    (PromiseKind::Receive { many: true, .. }, Ok(Done::Received { end_of_stream: false }))
                );
        ensure!(!more || repeats, "{:?} is to go on after {result:?}", self.kind);
        let fits = match (&self.kind, result) {
            (PromiseKind::Receive { exact: true, room, .. }, Ok(Done::Received { end_of_stream: false })) => {
                *bytes == *room as u64
            }
            (PromiseKind::Receive { .. }, Ok(Done::Received { end_of_stream: false })) => *bytes > 0,
            (PromiseKind::Receive { exact: false, .. }, Ok(Done::Received { end_of_stream: true })) => {
                *bytes == 0
            }
            (PromiseKind::Receive { exact: true, room, .. }, Err(OpError::UnexpectedEof)) => {
                *bytes < *room as u64
            }
            (PromiseKind::Send(range), Ok(Done::Sent)) => *bytes == range.len() as u64,
            (PromiseKind::Send(_), Err(OpError::Tainted)) => *bytes == 0,
            (PromiseKind::Send(range), Err(_)) => *bytes < range.len() as u64,
            (PromiseKind::Accept { .. }, Ok(Done::Accepted(_)))
            | (PromiseKind::Connect, Ok(Done::Connected))
            | (PromiseKind::Shutdown, Ok(Done::ShutDown))
            | (PromiseKind::Wait { .. }, Ok(Done::Ready))
            | (PromiseKind::Close { .. }, Ok(Done::Closed))
            | (PromiseKind::Sleep, Ok(Done::Elapsed))
            | (PromiseKind::Post, Ok(Done::Posted)) => *bytes == 0,
            // Nothing moves the bytes of an exact receive back out of its buffer, whatever it ends with.
            (PromiseKind::Receive { exact: true, room, .. }, Err(_)) => *bytes < *room as u64,
            (PromiseKind::Post | PromiseKind::Close { .. }, Err(_)) | (_, Ok(_)) => false,
            (PromiseKind::Sleep, Err(OpError::Deadline)) | (_, Err(OpError::UnexpectedEof)) => false,
            (PromiseKind::Shutdown | PromiseKind::Wait { sends: true }, Err(OpError::Tainted)) => *bytes == 0,
            (_, Err(OpError::Tainted)) => false,
            (_, Err(_)) => *bytes == 0,
        };
        ensure!(fits, "{:?} ended with {result:?} after {bytes} bytes", self.kind);
        let timely = match result {
            Err(OpError::Deadline) | Ok(Done::Elapsed) => now >= self.due,
            _ => true,
        };
        ensure!(timely, "{:?} was due at {:?}, and ended at {now:?}", self.kind, self.due);
        // What an accept had accepted before it was cancelled still comes.
        let obeys = !self.cancelled || *more || matches!(result, Err(OpError::Cancelled));
        ensure!(obeys, "{:?} was cancelled, and ended with {result:?}", self.kind);
        if let PromiseKind::Receive { pooled: true, .. } = self.kind {
            let holds = matches!(buffer, Buffer::Lease(_));
            ensure!(holds == (*bytes > 0), "a pooled receive of {bytes} bytes comes with {buffer:?}");
        }
        Ok(())
    }
}
