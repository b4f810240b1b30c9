//! Calls that the system under test must not make.

use aio_model::ConnId;

use crate::world::link::Side;
use crate::world::trace::Call;

/// A call that breaks a rule of the border, or a byte that breaks one of the streams. They are traced, not
/// panicked about: the run goes on as a real system would, and the episode reports each as a `Violation` of
/// the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrongCall {
    /// A call on an id that was never opened here.
    UnknownConn {
        /// The id.
        conn: ConnId,
        /// The call.
        call: Call,
    },
    /// A call on an id that was closed; for a close, a second one.
    ClosedConn {
        /// The id.
        conn: ConnId,
        /// The call.
        call: Call,
    },
    /// An id given to a second socket, or given again after it was closed.
    NameTaken {
        /// The id.
        conn: ConnId,
    },
    /// A receive into, or a send of, no bytes.
    EmptyBuffer {
        /// Where.
        conn: ConnId,
        /// The call.
        call: Call,
    },
    /// A listener that is to receive, send or shut down, or a stream that is to accept.
    WrongKind {
        /// Where.
        conn: ConnId,
        /// The call.
        call: Call,
    },
    /// A send, or a second shutdown, after the end of the stream was sent.
    AfterShutdown {
        /// Where.
        conn: ConnId,
        /// The call.
        call: Call,
    },
    /// A call on a connection that is being made and is not known to be there.
    BeforeConnected {
        /// Where.
        conn: ConnId,
        /// The call.
        call: Call,
    },
    /// A peer received a byte that is not what it was told to expect.
    WrongByte {
        /// The connection's serial number.
        serial: u64,
        /// Whose pattern was expected.
        writer: Side,
        /// The offset in the stream that the peer received.
        offset: u64,
    },
}

impl WrongCall {
    /// The rule of the contract that is broken, and the check at the border that noticed.
    pub(crate) fn check(&self) -> (&'static str, &'static str) {
        match self {
            WrongCall::UnknownConn { .. } => ("K1", "border-known"),
            WrongCall::ClosedConn { .. } => ("K2", "border-open"),
            WrongCall::NameTaken { .. } => ("K1", "border-name-free"),
            WrongCall::EmptyBuffer { .. } => ("K7", "border-not-empty"),
            WrongCall::WrongKind { .. } => ("K1", "border-kind"),
            WrongCall::AfterShutdown { .. } => ("K3", "border-not-shut"),
            WrongCall::BeforeConnected { .. } => ("K1", "border-connected"),
            WrongCall::WrongByte { .. } => ("C4", "border-bytes"),
        }
    }
}

#[cfg(test)]
mod canaries;
