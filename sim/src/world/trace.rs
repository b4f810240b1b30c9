//! The trace: everything that crossed the border, as plain data, and a fingerprint of it.
//!
//! Two runs with the same fingerprint did the same. Comparing them is how determinism is checked, and a trace
//! that is kept is how a failure is read.

use std::hash::{Hash, Hasher};

use aio_model::{ConnId, Direction, Instant, Outcome, Readiness, SystemError};

use crate::world::faults::Fault;
use crate::world::link::Change;
use crate::world::peer::{Act, PeerId};
use crate::world::socket::SocketId;
use crate::world::wrong_call::WrongCall;

/// What a system call asked for, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Receive up to that many bytes.
    Recv(usize),
    /// Send that many bytes.
    Send(usize),
    /// Receive some, and throw it away.
    Discard,
    /// Say whether a receive, or a send, would not block.
    Poll(Direction),
    /// Say what a receive would find.
    Peek,
    /// Accept, as this connection.
    Accept(ConnId),
    /// Connect, or say how far that has come.
    Connect,
    /// Shut down for sending.
    ShutdownWrite,
    /// Close.
    Close {
        /// By a reset.
        reset: bool,
    },
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceEntry {
    /// A system call was made, and answered.
    Called {
        /// On which connection.
        conn: ConnId,
        /// What was asked.
        call: Call,
        /// What was answered.
        outcome: Outcome,
    },
    /// A socket was handed over to be known as a connection.
    Adopted {
        /// As which connection.
        conn: ConnId,
        /// Which socket.
        socket: SocketId,
        /// Its descriptor.
        descriptor: u32,
        /// Why it was refused, if it was.
        refused: Option<SystemError>,
    },
    /// Somebody began to wait.
    Waits {
        /// Until when.
        until: Option<Instant>,
    },
    /// An event was delivered.
    Event {
        /// About which connection.
        conn: ConnId,
        /// What it says.
        readiness: Readiness,
    },
    /// A wait returned.
    Woke {
        /// What time it said it was.
        now: Instant,
    },
    /// Somebody read the clock.
    Read {
        /// What it said.
        now: Instant,
    },
    /// A socket changed.
    Changed {
        /// Which.
        socket: SocketId,
        /// How.
        change: Change,
    },
    /// A peer acted, on its own or by hand.
    Acted {
        /// What it did.
        act: Act,
    },
    /// A peer wrote real bytes.
    Wrote {
        /// Which.
        peer: PeerId,
        /// How many its kernel took.
        count: usize,
    },
    /// A peer read.
    PeerRead {
        /// Which.
        peer: PeerId,
        /// How many bytes there were.
        count: usize,
    },
    /// A peer connected.
    Connected {
        /// Which.
        peer: PeerId,
        /// To which socket: a listener, or the other end itself.
        to: SocketId,
    },
    /// A peer was connected to, and is at the other end of a connection now.
    Answered {
        /// Which.
        peer: PeerId,
    },
    /// A fault struck; what it did to whom follows.
    Struck(Fault),
    /// The system under test broke a rule.
    Violated(WrongCall),
}

/// The fingerprint of everything so far, and the entries themselves while they are wanted.
#[derive(Debug)]
pub(crate) struct Trace {
    fingerprint: Fingerprint,
    /// `None`: nobody wants them.
    entries: Option<Vec<TraceEntry>>,
}

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace { fingerprint: Fingerprint::new(), entries: None }
    }

    /// Keeps the entries from now on, or throws them away.
    pub(crate) fn keep(&mut self, keep: bool) {
        self.entries = keep.then(Vec::new);
    }

    pub(crate) fn record(&mut self, entry: TraceEntry) {
        entry.hash(&mut self.fingerprint);
        if let Some(entries) = &mut self.entries {
            entries.push(entry);
        }
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint.finish()
    }

    pub(crate) fn take(&mut self) -> Vec<TraceEntry> {
        self.entries.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// By hand, since the model's own types do not all hash.
impl Hash for TraceEntry {
    fn hash<H: Hasher>(&self, to: &mut H) {
        std::mem::discriminant(self).hash(to);
        match self {
            TraceEntry::Called { conn, call, outcome } => {
                (conn, call).hash(to);
                hash_outcome(*outcome, to);
            }
            TraceEntry::Adopted { conn, socket, descriptor, refused } => {
                (conn, socket, descriptor, refused).hash(to);
            }
            TraceEntry::Waits { until } => until.hash(to),
            TraceEntry::Event { conn, readiness } => {
                conn.hash(to);
                hash_readiness(*readiness, to);
            }
            TraceEntry::Woke { now } | TraceEntry::Read { now } => now.hash(to),
            TraceEntry::Changed { socket, change } => (socket, change).hash(to),
            TraceEntry::Acted { act } => act.hash(to),
            TraceEntry::Wrote { peer, count } | TraceEntry::PeerRead { peer, count } => {
                (peer, count).hash(to);
            }
            TraceEntry::Connected { peer, to: socket } => (peer, socket).hash(to),
            TraceEntry::Answered { peer } => peer.hash(to),
            TraceEntry::Struck(fault) => fault.hash(to),
            TraceEntry::Violated(violation) => violation.hash(to),
        }
    }
}

fn hash_outcome<H: Hasher>(outcome: Outcome, to: &mut H) {
    let (number, count, error) = match outcome {
        Outcome::Transferred(count) => (0, count, None),
        Outcome::Done => (1, 0, None),
        Outcome::WouldBlock => (2, 0, None),
        Outcome::Interrupted => (3, 0, None),
        Outcome::Exhausted(error) => (4, 0, Some(error)),
        Outcome::Failed(error) => (5, 0, Some(error)),
        Outcome::Partial(count) => (6, count, None),
        Outcome::Refused(error) => (7, 0, Some(error)),
    };
    (number, count, error).hash(to);
}

fn hash_readiness<H: Hasher>(readiness: Readiness, to: &mut H) {
    let flags = [
        Readiness::READABLE,
        Readiness::WRITABLE,
        Readiness::READ_CLOSED,
        Readiness::WRITE_CLOSED,
        Readiness::ERROR,
    ];
    let bits = flags.iter().fold(0_u8, |bits, &flag| bits << 1 | u8::from(readiness.intersects(flag)));
    bits.hash(to);
}

/// FNV-1a over whole numbers. Every number counts as 64 bits and is not read through memory, so that the
/// fingerprint does not depend on the width of a pointer or the order of bytes.
#[derive(Debug)]
struct Fingerprint(u64);

impl Fingerprint {
    fn new() -> Fingerprint {
        Fingerprint(0xCBF2_9CE4_8422_2325)
    }

    fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3);
        // Multiplication carries only upwards; bring the upper half down again.
        self.0 ^= self.0 >> 32;
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.word(u64::from(byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.word(number.unsigned_abs() as u64);
    }

    fn write_i32(&mut self, number: i32) {
        self.word(u64::from(number.unsigned_abs()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_traces_apart() {
        let entries = [
            TraceEntry::Waits { until: None },
            TraceEntry::Waits { until: Some(Instant::ZERO) },
            TraceEntry::Woke { now: Instant::ZERO },
            TraceEntry::Read { now: Instant::ZERO },
            TraceEntry::Changed { socket: SocketId::new(1), change: Change::Arrival },
            TraceEntry::Changed { socket: SocketId::new(2), change: Change::Arrival },
            TraceEntry::Changed { socket: SocketId::new(2), change: Change::Dead },
        ];
        let mut seen = std::collections::BTreeSet::new();
        for first in &entries {
            for second in &entries {
                let mut trace = Trace::new();
                trace.record(first.clone());
                trace.record(second.clone());
                assert!(seen.insert(trace.fingerprint()), "{first:?}, {second:?}");
            }
        }
    }

    #[test]
    fn entries_are_kept_only_while_they_are_wanted() {
        let mut trace = Trace::new();
        let entry = TraceEntry::Woke { now: Instant::ZERO };
        trace.record(entry.clone());
        assert!(trace.take().is_empty());
        trace.keep(true);
        trace.record(entry.clone());
        assert_eq!((trace.take(), trace.take()), (vec![entry], vec![]));
    }
}
