//! The calls of a system, real or simulated, in few words.

use std::sync::Arc;

use aio_model::{
    Address, Buffer, Config, ConnId, Connect, Home, Instant, Kind, Limits, Model, Outcome, Parts, Readiness,
    Rearm, Recv, Returned, Send, Slices, SlicesMut, Syscall, System, Target,
};

/// What only a model makes: ids, targets, and slices of several buffers. It belongs to no system.
struct Lender(Model<()>);

struct Nowhere;

impl Home for Nowhere {
    fn come_home(&self, _: Returned) {}
}

impl Lender {
    fn new() -> Lender {
        let home: Arc<dyn Home> = Arc::new(Nowhere);
        let config = Config { limits: Limits::DEFAULT, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival };
        Lender(Model::new(config, &home))
    }

    fn open(&mut self) -> ConnId {
        self.0.open(Kind::Stream).expect("a model has room for a script's connections")
    }

    fn target(&mut self, address: Address, nodelay: bool) -> (ConnId, Target) {
        let own = self.0.own();
        self.0
            .submit(own, Connect::to(address).nodelay(nodelay), (), || Instant::ZERO)
            .expect("a connect is accepted");
        let mut asked = None;
        self.0.begin_round();
        self.0.attempt(|call| {
            if let Syscall::Connect { conn, target } = call {
                asked = Some((conn, target.clone()));
            }
            Outcome::WouldBlock
        });
        asked.expect("a model connects at once")
    }

    /// Lends `bytes`, cut into pieces, for one call.
    fn gather(
        &mut self,
        bytes: &[u8],
        pieces: &[usize],
        call: impl FnOnce(Slices<'_>) -> Outcome,
    ) -> Outcome {
        let conn = self.open();
        let mut rest = bytes;
        let parts = pieces.iter().map(|&size| {
            let (piece, others) = rest.split_at(size);
            rest = others;
            Buffer::from(piece.to_vec())
        });
        let parts: Parts = parts.collect();
        self.0.submit(conn, Send::new(parts), (), || Instant::ZERO).expect("a send is accepted");
        let mut outcome = None;
        self.0.begin_round();
        self.0.attempt(|syscall| {
            let Syscall::SendVectored { slices, .. } = syscall else {
                unreachable!("it was asked to gather")
            };
            let len = slices.len();
            outcome = Some(call(slices));
            Outcome::Transferred(len)
        });
        self.finish(conn);
        outcome.expect("a model sends at once")
    }

    /// Lends space in pieces for one call, and returns what came into them.
    fn scatter(
        &mut self,
        pieces: &[usize],
        call: impl FnOnce(SlicesMut<'_>) -> Outcome,
    ) -> (Outcome, Vec<u8>) {
        let conn = self.open();
        let parts: Parts = pieces.iter().map(|&size| Buffer::from(vec![0; size])).collect();
        self.0.submit(conn, Recv::into(parts), (), || Instant::ZERO).expect("a receive is accepted");
        self.0.on_ready(conn, Readiness::READABLE);
        let mut outcome = None;
        self.0.begin_round();
        self.0.attempt(|syscall| {
            let Syscall::RecvVectored { slices, .. } = syscall else {
                unreachable!("it was asked to scatter")
            };
            *outcome.insert(call(slices))
        });
        if outcome == Some(Outcome::WouldBlock) {
            self.0.cancel_all(conn).expect("it is open");
        }
        let bytes = self.finish(conn);
        (outcome.expect("a model receives when told to"), bytes)
    }

    /// Ends a loan.
    fn finish(&mut self, conn: ConnId) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(done) = self.0.next_completion() {
            let count = usize::try_from(done.bytes).expect("no more than was lent");
            bytes.extend(done.buffer.chunks().flatten().take(count));
        }
        self.0.unopen(conn);
        bytes
    }
}

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
        let (conn, target) = self.lender.target(address, nodelay);
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
            .wait(Some(until), |conn, readiness| events.push((conn, readiness)))
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
