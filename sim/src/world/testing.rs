//! What the tests of several rooms need.

use aio_model::testing::{Ids, target};
use aio_model::{ConnId, Connect, Instant, Limits, Outcome, Readiness, Syscall, System};

use crate::world::engine::EngineKind;
use crate::world::net::{Net, SimSocket};
use crate::world::os::SimOs;
use crate::world::peer::PeerId;

/// A system under test that is driven by hand.
pub(crate) struct Rig {
    pub(crate) net: Net,
    pub(crate) os: SimOs,
    pub(crate) ids: Ids,
}

impl Rig {
    pub(crate) fn new(net: Net, engine: EngineKind) -> Rig {
        Rig { os: SimOs::new(net.clone(), engine), net, ids: Ids::default() }
    }

    /// A quiet system, and one adopted connection whose registration has been reported.
    pub(crate) fn connected(engine: EngineKind) -> (Rig, PeerId, ConnId) {
        let mut rig = Rig::new(Net::calm(), engine);
        let (peer, socket) = rig.net.pair().expect("there are descriptors");
        let conn = rig.adopt(socket);
        rig.poll();
        (rig, peer, conn)
    }

    pub(crate) fn adopt(&mut self, socket: SimSocket) -> ConnId {
        let conn = self.ids.open();
        self.os.adopt(conn, socket).map_err(|(error, _)| error).expect("it is adopted");
        conn
    }

    pub(crate) fn recv(&mut self, conn: ConnId, bytes_max: usize) -> Result<Vec<u8>, Outcome> {
        let mut buffer = vec![0; bytes_max];
        match self.os.perform(Syscall::Recv { conn, buffer: &mut buffer }) {
            Outcome::Transferred(count) => Ok(buffer[..count].to_vec()),
            other => Err(other),
        }
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Outcome {
        self.os.perform(Syscall::Send { conn, bytes })
    }

    pub(crate) fn accept(&mut self, listener: ConnId) -> (ConnId, Outcome) {
        let conn = self.ids.open();
        (conn, self.os.perform(Syscall::Accept { listener, conn }))
    }

    /// Asks again whether a connection is there.
    pub(crate) fn connect_again(&mut self, conn: ConnId, connect: Connect) -> Outcome {
        self.os.perform(Syscall::Connect { conn, target: &target(connect) })
    }

    pub(crate) fn os_shutdown(&mut self, conn: ConnId) {
        assert_eq!(self.os.perform(Syscall::ShutdownWrite { conn }), Outcome::Done);
    }

    pub(crate) fn close(&mut self, conn: ConnId) -> Outcome {
        self.os.perform(Syscall::Close { conn, reset: false })
    }

    /// The events at hand.
    pub(crate) fn poll(&mut self) -> Vec<(ConnId, Readiness)> {
        self.wait(Some(Instant::ZERO)).1
    }

    pub(crate) fn wait(&mut self, until: Option<Instant>) -> (Instant, Vec<(ConnId, Readiness)>) {
        let mut events = Vec::new();
        let now = self
            .os
            .wait(until, Limits::DEFAULT.turn_events_max, |conn, readiness| events.push((conn, readiness)));
        (now.expect("a simulated wait does not fail"), events)
    }
}

/// Connects under a new id.
pub(crate) fn connect(rig: &mut Rig, connect: Connect) -> (ConnId, Outcome) {
    let conn = rig.ids.open();
    (conn, rig.connect_again(conn, connect))
}
