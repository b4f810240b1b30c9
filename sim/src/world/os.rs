//! The simulated operating system, as the model knows it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aio_model::{
    Address, ConnId, Instant, Kind, Listen, Outcome, Readiness, Rearm, Syscall, System, SystemError, Wake,
};

use crate::world::engine::EngineKind;
use crate::world::net::{Net, SimSocket};
use crate::world::socket::Registration;

/// A [`System`] that is a part of a simulated one. Several may share a [`Net`]: the shards of a service.
///
/// Dropped, it closes what it has adopted, as the descriptors of a process close when it ends.
#[derive(Debug)]
pub struct SimOs {
    net: Net,
    poller: usize,
    engine: EngineKind,
    waker: SimWaker,
}

impl SimOs {
    /// A system with a readiness engine of its own.
    pub fn new(net: Net, engine: EngineKind) -> SimOs {
        let poller = net.world_mut().add_poller(engine);
        let waker = SimWaker(Arc::clone(&net.world().pollers[poller].waker));
        SimOs { net, poller, engine, waker }
    }

    /// The network that it is a part of.
    pub fn net(&self) -> &Net {
        &self.net
    }
}

impl Drop for SimOs {
    fn drop(&mut self) {
        let mut world = self.net.world_mut();
        let open: Vec<ConnId> = world.pollers[self.poller].names.open().map(|(conn, _)| conn).collect();
        for conn in open {
            world.perform(self.poller, Syscall::Close { conn, reset: false });
        }
    }
}

impl System for SimOs {
    type Socket = SimSocket;
    type Waker = SimWaker;

    fn rearm(&self) -> Rearm {
        self.engine.rearm()
    }

    fn waker(&self) -> SimWaker {
        self.waker.clone()
    }

    fn now(&mut self) -> Instant {
        self.net.world_mut().read_clock()
    }

    fn kind(&mut self, socket: &SimSocket) -> Result<Kind, SystemError> {
        Ok(socket.kind())
    }

    fn adopt(&mut self, conn: ConnId, socket: SimSocket) -> Result<(), (SystemError, SimSocket)> {
        let adopted = self.net.world_mut().adopt(Registration { poller: self.poller, conn }, socket.id());
        adopted.map_err(|error| (error, socket))
    }

    fn listen(&mut self, listen: &Listen) -> Result<SimSocket, SystemError> {
        self.net.listen_on(listen)
    }

    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.net.world().local_addr(self.poller, conn)
    }

    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.net.world().peer_addr(self.poller, conn)
    }

    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        self.net.world_mut().perform(self.poller, call)
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        // Apart from the callbacks, so that they may look at the network.
        let (now, batch) = self.net.world_mut().wait(self.poller, until, events_max);
        batch.into_iter().for_each(|(conn, readiness)| on_ready(conn, readiness));
        Ok(now)
    }
}

/// Wakes the wait of a [`SimOs`].
#[derive(Debug, Clone)]
pub struct SimWaker(Arc<AtomicBool>);

impl Wake for SimWaker {
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
}
