//! A system under test: calls in few words, and events collected until something is true.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aio_model::testing::Ids;
use aio_model::{ConnId, Instant, Outcome, Readiness, Syscall, System, SystemErrorKind};
use aio_sys::{Os, Socket};

pub(crate) const EVENTS_MAX: std::num::NonZeroU32 = aio_model::Limits::DEFAULT.turn_events_max;

pub(crate) struct Rig {
    pub(crate) os: Os,
    pub(crate) ids: Ids,
    ready: HashMap<ConnId, Readiness>,
}

impl Rig {
    pub(crate) fn new() -> Rig {
        Rig { os: Os::new().unwrap(), ids: Ids::default(), ready: HashMap::new() }
    }

    pub(crate) fn adopt(&mut self, socket: impl Into<Socket>) -> ConnId {
        let conn = self.ids.open();
        self.os.adopt(conn, socket.into()).unwrap();
        conn
    }

    /// A listener and its address.
    pub(crate) fn listen(&mut self) -> (ConnId, SocketAddr) {
        let listener = self.adopt(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        (listener, self.address(listener))
    }

    /// The address of a listener of TCP.
    pub(crate) fn address(&mut self, listener: ConnId) -> SocketAddr {
        self.os.local_addr(listener).unwrap().as_internet().unwrap()
    }

    /// An accepted TCP connection and its peer.
    pub(crate) fn accepted(&mut self) -> (ConnId, TcpStream) {
        let (listener, address) = self.listen();
        let peer = TcpStream::connect(address).unwrap();
        self.await_ready(listener, Readiness::READABLE);
        let conn = self.ids.open();
        assert_eq!(self.accept(listener, conn), Outcome::Done);
        self.close(listener);
        (conn, peer)
    }

    /// An adopted Unix stream and its peer.
    pub(crate) fn pair(&mut self) -> (ConnId, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        (self.adopt(ours), peer)
    }

    pub(crate) fn recv(&mut self, conn: ConnId, buffer: &mut [u8]) -> Outcome {
        self.os.perform(Syscall::Recv { conn, buffer })
    }

    pub(crate) fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Outcome {
        self.os.perform(Syscall::Send { conn, bytes })
    }

    pub(crate) fn accept(&mut self, listener: ConnId, conn: ConnId) -> Outcome {
        self.os.perform(Syscall::Accept { listener, conn })
    }

    pub(crate) fn close(&mut self, conn: ConnId) {
        assert_eq!(self.os.perform(Syscall::Close { conn, reset: false }), Outcome::Done);
    }

    /// Tries a call until it does not block, waiting for an event whenever it does.
    pub(crate) fn persist(
        &mut self,
        conn: ConnId,
        wanted: Readiness,
        mut call: impl FnMut(&mut Rig) -> Outcome,
    ) -> Outcome {
        loop {
            match call(self) {
                Outcome::WouldBlock => self.await_ready(conn, wanted),
                outcome => return outcome,
            }
        }
    }

    /// Waits until `conn` has been reported as any of `wanted`, and forgets what it was reported as.
    pub(crate) fn await_ready(&mut self, conn: ConnId, wanted: Readiness) {
        let patience = self.os.now() + Duration::from_secs(10);
        while !self.ready.get(&conn).is_some_and(|ready| ready.intersects(wanted)) {
            let now = self.collect(patience);
            assert!(now < patience, "no {wanted:?} of {conn}, only {:?}", self.ready);
        }
        self.ready.remove(&conn);
    }

    /// Takes the events at hand, without sleeping. Those on their way through the kernel may be missing.
    pub(crate) fn drain(&mut self) {
        while !self.at_hand().is_empty() {}
        self.ready.clear();
    }

    /// The events at hand, without sleeping.
    pub(crate) fn at_hand(&mut self) -> Vec<(ConnId, Readiness)> {
        let mut events = Vec::new();
        self.os
            .wait(Some(Instant::ZERO), EVENTS_MAX, |conn, readiness| events.push((conn, readiness)))
            .unwrap();
        events
    }

    fn collect(&mut self, until: Instant) -> Instant {
        let Rig { os, ready, .. } = self;
        let collect = |conn, readiness| *ready.entry(conn).or_default() |= readiness;
        os.wait(Some(until), EVENTS_MAX, collect).unwrap()
    }
}

/// The kind of error that an outcome failed with.
pub(crate) fn failure(outcome: Outcome) -> SystemErrorKind {
    match outcome {
        Outcome::Failed(error) | Outcome::Refused(error) => error.kind(),
        other => panic!("{other:?} is no failure"),
    }
}
