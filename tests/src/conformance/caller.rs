//! The calls of a system, real or simulated, in few words.

use aio_model::testing::{Ids, slices, slices_mut, target};
use aio_model::{
    Address, Buffer, ConnId, Connect, Instant, Limits, Outcome, Parts, Readiness, Syscall, System, Target,
};

/// A system, and what its calls are made with.
pub(crate) struct Caller<S> {
    pub(crate) system: S,
    ids: Ids,
}

impl<S: System> Caller<S> {
    pub(crate) fn new(system: S) -> Caller<S> {
        Caller { system, ids: Ids::default() }
    }

    /// A new id.
    pub(crate) fn open(&mut self) -> ConnId {
        self.ids.open()
    }

    pub(crate) fn recv(&mut self, conn: ConnId, pieces: &[usize]) -> (Outcome, Vec<u8>) {
        if let &[size] = pieces {
            let mut bytes = vec![0; size];
            let outcome = self.system.perform(Syscall::Recv { conn, buffer: &mut bytes });
            bytes.truncate(count(outcome));
            return (outcome, bytes);
        }
        let mut parts: Parts = pieces.iter().map(|&size| Buffer::from(vec![0; size])).collect();
        let slices = slices_mut(&mut parts);
        let outcome = self.system.perform(Syscall::RecvVectored { conn, slices });
        let bytes = parts.as_slice().iter().flat_map(|part| part.as_slice().iter().copied());
        (outcome, bytes.take(count(outcome)).collect())
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8], pieces: &[usize]) -> Outcome {
        if pieces.len() == 1 {
            return self.system.perform(Syscall::Send { conn, bytes });
        }
        let mut rest = bytes;
        let parts = pieces.iter().map(|&size| {
            let (piece, others) = rest.split_at(size);
            rest = others;
            Buffer::from(piece.to_vec())
        });
        let mut parts: Parts = parts.collect();
        self.system.perform(Syscall::SendVectored { conn, slices: slices(&mut parts) })
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self, address: Address, nodelay: bool) -> (ConnId, Target, Outcome) {
        let (conn, target) = (self.open(), target(Connect::to(address).nodelay(nodelay)));
        let outcome = self.connect_again(conn, &target);
        (conn, target, outcome)
    }

    pub(crate) fn connect_again(&mut self, conn: ConnId, target: &Target) -> Outcome {
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
