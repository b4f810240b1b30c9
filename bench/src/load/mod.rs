//! The load: one thread, any number of connections, and as little work of its own as possible.
//!
//! It is a *closed loop*: a connection sends its next message when an earlier one has come back, so the
//! server is as busy as the number of connections and the depth make it. Every byte that comes back is
//! compared with the one that was sent. A process of its own ([`child`]) holds the connections to one server,
//! told by lines what to do.

pub mod child;
mod drive;
mod pattern;

pub use drive::{Load, LoadTally, Until, latencies};
pub use pattern::{Pattern, StreamPlace};

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes in a message.
    pub message: usize,
    /// Messages under way on each active connection.
    pub depth: usize,
    /// How many connections are active at once; the others are idle.
    pub active: usize,
}
