//! Counters: what a model has done so far.

/// What has happened since the start; a snapshot is a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Turns taken.
    pub turns: u64,
    /// Turns that waited or polled for events; the others had sends to make first.
    pub waits: u64,
    /// System calls attempted.
    pub attempts: u64,
    /// Attempts that would have blocked.
    pub would_blocks: u64,
    /// Attempts that were interrupted.
    pub interrupts: u64,
    /// Attempts for which the system was short of something.
    pub exhaustions: u64,
    /// Events for connections that live.
    pub events: u64,
    /// Events for connections that are gone: dropped.
    pub events_stale: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections and listeners opened, accepted or adopted.
    pub opened: u64,
    /// Connections and listeners closed.
    pub closed: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Operations accepted.
    pub submitted: u64,
    /// Operations refused.
    pub refused: u64,
    /// Operations ended by their deadline.
    pub expired: u64,
    /// Operations cancelled.
    pub cancelled: u64,
    /// Times a readable lane found the pool empty.
    pub parked: u64,
}
