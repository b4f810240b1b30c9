//! Limits: everything that is bounded, in one place. Each works at 1.

use core::num::NonZeroU32;

/// What a proactor may hold at once, and do in one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections and listeners. Accepting pauses at the limit, adopting is refused.
    pub connections_max: NonZeroU32,
    /// Operations that are queued, or whose completion has not been taken: the credits.
    pub ops_max: NonZeroU32,
    /// Operations queued in one lane.
    pub lane_ops_max: NonZeroU32,
    /// Bytes of the sends queued in one lane that are yet to be sent, unless the connection has a limit of
    /// its own. An empty lane takes a send of any size.
    pub lane_bytes_max: NonZeroU32,
    /// Events that one wait takes in. What it leaves comes with the next waits. A turn receives for all of
    /// its events before it sends anything: of a thousand at once, the first answer would have waited for a
    /// thousand receives, and what they brought into the cache would be gone again.
    pub turn_events_max: NonZeroU32,
    /// System calls in one turn. As many deadlines end in it as calls are left, with a last attempt each, and
    /// at least half as many; so a turn makes half as many calls again at the most.
    pub turn_attempts_max: NonZeroU32,
    /// System calls for one lane in one turn; then it goes to the back of the queue.
    pub lane_attempts_max: NonZeroU32,
    /// Bytes for one lane in one turn: with the call that reaches it, it goes to the back of the queue. Sends
    /// that are queued one behind the other go out in one call, as many as have so many bytes together; at 1,
    /// each goes out by itself.
    pub lane_transfer_max: NonZeroU32,
}

const fn count(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => panic!("a limit is at least 1"),
    }
}

impl Limits {
    /// A million connections with two operations each, 4 MiB queued in a lane, turns of 32 events and a
    /// thousand calls, sixteen of them and 256 KiB for one lane.
    pub const DEFAULT: Limits = Limits {
        connections_max: count(1 << 20),
        // A receive and a send for each connection at its limit.
        ops_max: count(2 << 20),
        // Bytes are what bounds a lane.
        lane_ops_max: count(1 << 16),
        lane_bytes_max: count(4 << 20),
        // The system call that asks for them then costs each of them 10 ns.
        turn_events_max: count(32),
        // About 5 ms at 5 µs a call: what a deadline may be late by under full load.
        turn_attempts_max: count(1024),
        lane_attempts_max: count(16),
        // About as much as a socket takes at once.
        lane_transfer_max: count(256 * 1024),
    };

    /// Every limit at 1.
    pub const ONE: Limits = Limits {
        connections_max: count(1),
        ops_max: count(1),
        lane_ops_max: count(1),
        lane_bytes_max: count(1),
        turn_events_max: count(1),
        turn_attempts_max: count(1),
        lane_attempts_max: count(1),
        lane_transfer_max: count(1),
    };
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}
