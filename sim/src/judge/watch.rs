//! A system that tells the oracle what passes through it.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    Address, ConnId, Instant, Kind, Listen, Outcome, Readiness, Rearm, Syscall, System, SystemError,
};

use crate::judge::asking::context_of;
use crate::judge::oracle::Oracle;
use crate::judge::probes::Probes;
use crate::world::net::SimSocket;
use crate::world::os::{SimOs, SimWaker};
use crate::world::pieces;

/// The simulated system, watched during one turn.
#[derive(Debug)]
pub(crate) struct Watched<'a> {
    /// The system.
    pub(crate) os: &'a mut SimOs,
    /// Who watches.
    pub(crate) oracle: &'a mut Oracle,
    /// Who counts.
    pub(crate) probes: &'a mut Probes,
    /// Until when the user would have the turn wait.
    pub(crate) asked: Option<Instant>,
}

impl Watched<'_> {
    /// Tells the oracle whether the peer has sent the end that a receive found.
    fn judge_end(&mut self, conn: ConnId, outcome: Outcome) {
        if outcome == Outcome::Transferred(0) {
            let ended = self.os.net().peer_ended(conn);
            self.oracle.on_no_more(conn, ended);
        }
    }
}

impl Watched<'_> {
    /// Has a call answered that moves nothing.
    fn look(&mut self, call: Syscall<'_>) -> Outcome {
        let (conn, polled) = match call {
            Syscall::Poll { conn, direction } => (conn, Some(direction)),
            _ => (call.conn(), None),
        };
        let outcome = self.os.perform(call);
        match polled {
            Some(direction) => {
                self.probes.answered(9, 0, outcome);
                self.oracle.on_poll(conn, direction, outcome);
            }
            None => {
                self.probes.answered(10, 1, outcome);
                self.oracle.on_peek(conn, outcome);
                self.judge_end(conn, outcome);
            }
        }
        outcome
    }
}

impl System for Watched<'_> {
    type Socket = SimSocket;
    type Waker = SimWaker;

    fn rearm(&self) -> Rearm {
        self.os.rearm()
    }

    fn waker(&self) -> SimWaker {
        self.os.waker()
    }

    fn now(&mut self) -> Instant {
        let now = self.os.now();
        self.oracle.on_time(now);
        now
    }

    fn kind(&mut self, socket: &SimSocket) -> Result<Kind, SystemError> {
        self.os.kind(socket)
    }

    fn adopt(&mut self, conn: ConnId, socket: SimSocket) -> Result<(), (SystemError, SimSocket)> {
        self.os.adopt(conn, socket)
    }

    fn listen(&mut self, listen: &Listen) -> Result<SimSocket, SystemError> {
        self.os.listen(listen)
    }

    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.os.local_addr(conn)
    }

    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.os.peer_addr(conn)
    }

    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        match call {
            Syscall::Recv { conn, buffer } => {
                let outcome = self.os.perform(Syscall::Recv { conn, buffer: &mut *buffer });
                self.probes.answered(0, buffer.len(), outcome);
                self.oracle.on_recv(conn, buffer.len(), outcome);
                self.judge_end(conn, outcome);
                outcome
            }
            Syscall::RecvVectored { conn, ref slices } => {
                let lent = slices.len();
                let outcome = self.os.perform(call);
                self.probes.answered(1, lent, outcome);
                self.oracle.on_recv(conn, lent, outcome);
                self.judge_end(conn, outcome);
                outcome
            }
            Syscall::Discard { conn } => {
                let outcome = self.os.perform(call);
                self.probes.answered(2, usize::MAX, outcome);
                self.oracle.on_discard(conn, outcome);
                outcome
            }
            Syscall::Poll { .. } | Syscall::Peek { .. } => self.look(call),
            Syscall::Connect { conn, target } => {
                let outcome = self.os.perform(call);
                let serial = self.os.net().peer_of(conn).map(crate::world::peer::PeerId::serial);
                self.probes.answered(6, 0, outcome);
                self.oracle.on_connect(conn, context_of(target.address()), serial, outcome);
                outcome
            }
            Syscall::Send { conn, bytes } => {
                let outcome = self.os.perform(call);
                self.probes.answered(3, bytes.len(), outcome);
                self.oracle.on_send(conn, bytes, outcome);
                outcome
            }
            Syscall::SendVectored { conn, slices } => {
                let outcome = self.os.perform(call);
                let bytes = pieces::join(slices.iter());
                self.probes.answered(4, bytes.len(), outcome);
                let sends = self.oracle.on_send(conn, &bytes, outcome);
                self.probes.sent_together(&sends, outcome);
                outcome
            }
            Syscall::Accept { listener, conn } => {
                let outcome = self.os.perform(call);
                let serial = self.os.net().peer_of(conn).map(crate::world::peer::PeerId::serial);
                self.probes.answered(5, 0, outcome);
                self.oracle.on_accept(listener, conn, serial, outcome);
                outcome
            }
            Syscall::ShutdownWrite { conn } => {
                let outcome = self.os.perform(call);
                self.probes.answered(7, 0, outcome);
                self.oracle.on_shutdown(conn, outcome);
                outcome
            }
            Syscall::Close { conn, reset } => {
                let outcome = self.os.perform(call);
                self.probes.answered(8, 0, outcome);
                self.oracle.on_close(conn, reset);
                outcome
            }
        }
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        self.oracle.on_wait(until, self.asked);
        self.oracle.on_events_max(events_max);
        let oracle = &mut *self.oracle;
        let now = self.os.wait(until, events_max, |conn, readiness| {
            oracle.on_event(conn, readiness);
            on_ready(conn, readiness);
        })?;
        self.oracle.on_time(now);
        Ok(now)
    }

    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        let before = self.os.net().now();
        let now = self.wait(until, events_max, on_ready)?;
        // Polling is sleeping with open eyes: all that tells them apart is how long it took.
        let slept = self.os.net().now().saturating_since(before) >= spin;
        self.oracle.on_spin(spin, slept);
        Ok((now, slept))
    }
}
