//! Loans: what only a model makes, for tests that have none.

use std::sync::Arc;

use aio_model::{
    Buffer, Config, ConnId, Connect, Home, Instant, Kind, Limits, Model, Outcome, Parts, Readiness, Rearm,
    Recv, Returned, Send, Slices, SlicesMut, Syscall, Target,
};

/// What only a model makes, for tests that drive a system by hand: ids, targets, and slices of several
/// buffers. It belongs to no system.
///
/// ```
/// use aio_model::{Outcome, Syscall, System};
/// use sim::{EngineKind, Lender, Net, SimOs};
///
/// let (net, mut lender) = (Net::calm(), Lender::new());
/// let mut os = SimOs::new(net.clone(), EngineKind::Epoll);
/// let (peer, socket) = net.pair()?;
/// let conn = lender.open();
/// os.adopt(conn, socket).map_err(|(error, _)| error)?;
/// assert_eq!(os.perform(Syscall::Send { conn, bytes: b"hello" }), Outcome::Transferred(5));
/// assert_eq!(net.peer_read(peer), b"hello");
/// # Ok::<(), aio_model::SystemError>(())
/// ```
#[derive(Debug)]
pub struct Lender(Model<()>);

/// Where leases go that nobody wants back.
pub(crate) struct Nowhere;

impl Home for Nowhere {
    fn return_buffer(&self, _: Returned) {}
}

impl Default for Lender {
    fn default() -> Lender {
        Lender::new()
    }
}

impl Lender {
    /// One that has lent nothing yet.
    pub fn new() -> Lender {
        let home: Arc<dyn Home> = Arc::new(Nowhere);
        let config = Config { limits: Limits::DEFAULT, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival };
        Lender(Model::new(config, &home))
    }

    /// A new id.
    ///
    /// # Panics
    ///
    /// When as many are open as a model has room for.
    pub fn open(&mut self) -> ConnId {
        self.0.open(Kind::Stream).expect("a model has room")
    }

    /// The id that has the place of `conn` after it.
    ///
    /// # Panics
    ///
    /// As [`open`](Lender::open).
    pub fn reopen(&mut self, conn: ConnId) -> ConnId {
        self.0.rollback_open(conn);
        self.open()
    }

    /// A new id, and the target of a connect.
    ///
    /// # Panics
    ///
    /// When as many are being made as a model has room for.
    pub fn target(&mut self, connect: Connect) -> (ConnId, Target) {
        let own = self.0.own();
        self.0.submit(own, connect, (), || Instant::ZERO).expect("a connect is accepted");
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

    /// Lends `bytes`, cut into pieces of these sizes, for one call: what came of it.
    ///
    /// # Panics
    ///
    /// When there are fewer bytes than that, or a single piece.
    pub fn gather(
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

    /// Lends space in pieces of these sizes for one call: what came of it, and into them.
    ///
    /// # Panics
    ///
    /// When there is a single piece.
    pub fn scatter(
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
        self.0.rollback_open(conn);
        bytes
    }
}
