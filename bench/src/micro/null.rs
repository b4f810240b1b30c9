//! A system that costs next to nothing: what is measured on it is the library.

use std::num::NonZeroU32;
use std::time::Duration;

use aio::system::{Kind, Outcome, Readiness, Rearm, Syscall, System, Wake};
use aio::{ConnId, Instant, Os, SystemError};

/// Bytes of a message that comes.
pub const MESSAGE: usize = 128;

/// Answers every call at once. On each connection a message is there when it is opened, unless the peers are
/// silent, and another one as soon as it was received; what is sent is taken whole.
///
/// Its clock stands still until [it is told](Null::pass), so no deadline comes by itself; asking it is free,
/// where the real one costs some 20 ns.
#[derive(Debug, Default)]
pub struct Null {
    /// Of each connection as much as the real system keeps.
    table: Vec<[u8; Os::CONN_BYTES]>,
    silent: bool,
    arrived: Vec<ConnId>,
    now: Instant,
    /// The receives that it has answered.
    pub receives: u64,
    /// The sends that it has answered.
    pub sends: u64,
}

impl Null {
    /// On whose connections nothing ever comes.
    pub fn silent() -> Null {
        Null { silent: true, ..Null::default() }
    }

    /// Lets time pass.
    pub fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }
}

/// Nobody sleeps here.
#[derive(Debug)]
pub struct NullWaker;

impl Wake for NullWaker {
    fn wake(&self) {}
}

impl System for Null {
    type Socket = ();
    type Waker = NullWaker;

    fn rearm(&self) -> Rearm {
        Rearm::OnArrival
    }

    fn waker(&self) -> NullWaker {
        NullWaker
    }

    fn now(&mut self) -> Instant {
        self.now
    }

    fn kind(&mut self, (): &()) -> Result<Kind, SystemError> {
        Ok(Kind::Stream)
    }

    fn adopt(&mut self, conn: ConnId, (): ()) -> Result<(), (SystemError, ())> {
        let index = conn.index() as usize;
        if self.table.len() <= index {
            self.table.resize(index + 1, [0; Os::CONN_BYTES]);
        }
        // Written, so that it is in memory.
        self.table[index] = [1; Os::CONN_BYTES];
        if !self.silent {
            self.arrived.push(conn);
        }
        Ok(())
    }

    #[inline(always)]
    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        match call {
            Syscall::Recv { conn, buffer } if !self.silent => {
                self.receives += 1;
                self.arrived.push(conn);
                Outcome::Transferred(buffer.len().min(MESSAGE))
            }
            Syscall::Recv { .. } => Outcome::WouldBlock,
            Syscall::Send { bytes, .. } => {
                self.sends += 1;
                Outcome::Transferred(bytes.len())
            }
            Syscall::Close { .. } => Outcome::Done,
            call => unreachable!("nothing here makes this call: {call:?}"),
        }
    }

    fn wait(
        &mut self,
        _until: Option<Instant>,
        _events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        self.arrived.drain(..).for_each(|conn| on_ready(conn, Readiness::READABLE));
        Ok(self.now)
    }
}
