//! The calls of a system, real or simulated, in few words.

use aio_model::{Address, ConnId, Connect, Instant, Limits, Outcome, Readiness, Syscall, System, Target};
use sim::Lender;

/// A system, and what its calls are made with.
pub(crate) struct Caller<S> {
    pub(crate) system: S,
    lender: Lender,
}

impl<S: System> Caller<S> {
    pub(crate) fn new(system: S) -> Caller<S> {
        Caller { system, lender: Lender::new() }
    }

    /// A new id.
    pub(crate) fn open(&mut self) -> ConnId {
        self.lender.open()
    }

    pub(crate) fn recv(&mut self, conn: ConnId, pieces: &[usize]) -> (Outcome, Vec<u8>) {
        if let &[size] = pieces {
            let mut bytes = vec![0; size];
            let outcome = self.system.perform(Syscall::Recv { conn, buffer: &mut bytes });
            bytes.truncate(count(outcome));
            return (outcome, bytes);
        }
        let system = &mut self.system;
        self.lender.scatter(pieces, |slices| system.perform(Syscall::RecvVectored { conn, slices }))
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8], pieces: &[usize]) -> Outcome {
        if pieces.len() == 1 {
            return self.system.perform(Syscall::Send { conn, bytes });
        }
        let system = &mut self.system;
        self.lender.gather(bytes, pieces, |slices| system.perform(Syscall::SendVectored { conn, slices }))
    }

    /// Begins a connection.
    pub(crate) fn dial(&mut self, address: Address, nodelay: bool) -> (ConnId, Target, Outcome) {
        let (conn, target) = self.lender.target(Connect::to(address).nodelay(nodelay));
        let outcome = self.dial_again(conn, &target);
        (conn, target, outcome)
    }

    pub(crate) fn dial_again(&mut self, conn: ConnId, target: &Target) -> Outcome {
        self.system.perform(Syscall::Connect { conn, target })
    }

    /// The events at hand.
    pub(crate) fn events(&mut self, until: Instant) -> Vec<(ConnId, Readiness)> {
        let mut events = Vec::new();
        self.system
            .wait(Some(until), Limits::DEFAULT.turn_events_max, |conn, readiness| {
                events.push((conn, readiness));
            })
            .expect("the engine waits");
        events
    }
}

/// How many bytes went through.
pub(crate) fn count(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Transferred(count) | Outcome::Partial(count) => count,
        _ => 0,
    }
}
