//! What peers do, and what is arranged for the system under test.

use aio_model::{Syscall, System};
use sim::{Act, Fault, Net, PeerId};

use crate::conformance::history::{Deed, Number, PeerSaw};

use super::{Conn, Followed, Follower};

impl Follower<'_> {
    /// What is done to one end and has no answer.
    pub(super) fn arrange(&mut self, deed: &Deed) {
        match *deed {
            Deed::Listen => {
                let socket = self.net.listen(1 << 20).expect("there are descriptors");
                let (id, listener) = (socket.id(), self.caller.open());
                self.caller.system.adopt(listener, socket).expect("nothing is refused");
                self.listener = Some((listener, id));
            }
            Deed::Unlisten => {
                if let Some((conn, _)) = self.listener.take() {
                    self.caller.system.perform(Syscall::Close { conn, reset: false });
                }
                let waiting = self.conns.iter_mut().filter(|conn| conn.id.is_none());
                waiting.for_each(|conn| conn.closed = true);
            }
            Deed::PeerConnect(_) => {
                let (_, listener) = self.listener.expect("there is a listener");
                let peer = self.net.connect(listener).expect("there is room");
                self.conns.push(Conn::new(None, Some(peer)));
            }
            Deed::Adopt(_) => {
                let (peer, socket) = self.net.pair().expect("there are descriptors");
                let id = self.caller.open();
                self.caller.system.adopt(id, socket).expect("nothing is refused");
                self.conns.push(Conn::new(Some(id), Some(peer)));
            }
            Deed::PeerShutdown(conn) => {
                self.arrive_before_end(conn);
                self.steer(&[Fault::Latency], &[]);
                self.net.peer_shutdown(self.peer(conn));
                self.conns[conn].ended = true;
            }
            Deed::PeerReset(conn) if self.history.family.is_tcp() => {
                self.relieve_before_reset(conn);
                self.arrive_before_reset(conn);
                self.steer(&[], &[]);
                self.net.peer_reset(self.peer(conn));
            }
            Deed::PeerClose(conn) | Deed::PeerReset(conn) => {
                let peer = self.peer(conn);
                self.relieve_before_reset(conn);
                if self.net.peer_state(peer).readable > 0 {
                    self.arrive_before_reset(conn);
                }
                self.arrive_before_end(conn);
                self.steer(&[Fault::Latency], &[]);
                self.net.peer_close(peer);
                self.conns[conn].ended = true;
            }
            _ => unreachable!("{deed:?} has an answer"),
        }
    }

    pub(super) fn peer_write(&mut self, conn: Number, saw: PeerSaw) -> Followed {
        let peer = self.peer(conn);
        if matches!(saw, PeerSaw::End | PeerSaw::Failed(_)) {
            self.arrive(conn, usize::MAX);
        }
        // Whether it is held up on its way to where it is unwelcome is not to be seen.
        let arrives = self.conns[conn].closed && (!self.history.lags || self.guesses.likely());
        self.steer(if arrives { &[] } else { &[Fault::Latency] }, &[]);
        let wrote = |bytes| self.net.peer_write(peer, &vec![0; bytes]);
        match saw {
            PeerSaw::Bytes(count) => peer_agrees(wrote(count) == count, &self.net, peer),
            PeerSaw::Nothing => peer_agrees(!self.net.peer_state(peer).reset, &self.net, peer),
            PeerSaw::End | PeerSaw::Failed(_) => peer_agrees(wrote(1) == 0, &self.net, peer),
        }
    }

    pub(super) fn peer_read(&mut self, conn: Number, saw: PeerSaw) -> Followed {
        let peer = self.peer(conn);
        match saw {
            PeerSaw::Bytes(count) => {
                self.deliver(conn, count.saturating_sub(self.net.peer_state(peer).readable));
            }
            PeerSaw::End => self.relieve(conn),
            PeerSaw::Nothing | PeerSaw::Failed(_) => {}
        }
        if self.conns[conn].closed && matches!(saw, PeerSaw::End | PeerSaw::Failed(_)) {
            self.arrive(conn, usize::MAX);
        }
        // The room that is left behind may be too little for an event.
        self.simulate_wait(Some(conn));
        let state = self.net.peer_state(peer);
        let agrees = match saw {
            PeerSaw::Bytes(count) => {
                self.net.act(Act::Read { peer, bytes_max: count, expects: None });
                self.net.peer_state(peer).received == state.received + count as u64
            }
            PeerSaw::End => state.ended && state.error.is_none(),
            // What has arrived comes first; and it is told once.
            PeerSaw::Failed(kind) => {
                self.net.act(Act::Read { peer, bytes_max: 1, expects: None });
                state.readable == 0 && state.error.is_some_and(|error| error.kind() == kind)
            }
            PeerSaw::Nothing => state.readable == 0 && !state.ended,
        };
        peer_agrees(agrees, &self.net, peer)
    }
}

fn peer_agrees(agrees: bool, net: &Net, peer: PeerId) -> Followed {
    if agrees { Ok(()) } else { Err(format!("in the simulator the peer is {:?}", net.peer_state(peer))) }
}
