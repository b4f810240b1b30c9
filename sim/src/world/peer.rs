//! Peers: the far ends of connections, which a test or a workload acts for.

use std::fmt;

use aio_model::{Instant, SystemError};

use crate::world::errno::ECONNREFUSED;
use crate::world::link::Side;
use crate::world::pattern;
use crate::world::socket::{Endpoint, SocketId, What};
use crate::world::state::{Due, World};
use crate::world::timing;
use crate::world::trace::TraceEntry;
use crate::world::wrong_call::WrongCall;

/// Names the far end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(Endpoint);

impl PeerId {
    /// The serial number of the connection: its place in the order of all connections of the run.
    pub fn serial(self) -> u64 {
        u64::from(self.0.link)
    }

    /// Which side of the connection the peer is.
    pub fn side(self) -> Side {
        self.0.side
    }

    pub(crate) fn new(end: Endpoint) -> PeerId {
        PeerId(end)
    }

    pub(crate) fn end(self) -> Endpoint {
        self.0
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{:?}", self.0)
    }
}

/// Something that a peer does. As plain data, so that it can be planned, traced and replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A new peer connects to a listener.
    Connect {
        /// Which listener.
        listener: SocketId,
    },
    /// The peer writes the next bytes of its [pattern](crate::world::pattern), as many as its kernel takes.
    Write {
        /// Which peer.
        peer: PeerId,
        /// How many bytes at most.
        bytes_max: usize,
    },
    /// The peer reads, and checks what it reads.
    Read {
        /// Which peer.
        peer: PeerId,
        /// How many bytes at most.
        bytes_max: usize,
        /// Whose pattern it expects: the other side's, its own if it is echoed, or none.
        expects: Option<Side>,
    },
    /// The peer sends FIN.
    ShutdownWrite {
        /// Which peer.
        peer: PeerId,
    },
    /// The peer resets the connection.
    Reset {
        /// Which peer.
        peer: PeerId,
    },
    /// The peer closes its socket.
    Close {
        /// Which peer.
        peer: PeerId,
    },
    /// For a while nothing that is sent to the peer arrives: it is stalled, or the network is.
    Stall {
        /// Which peer.
        peer: PeerId,
    },
}

/// How a peer sees its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerState {
    /// Bytes that it can read.
    pub readable: usize,
    /// Bytes that it can write.
    pub writable: usize,
    /// It has read all there will ever be: the end of the stream, or a reset.
    pub ended: bool,
    /// The connection was reset, or timed out.
    pub reset: bool,
    /// The error that a read will be told, once, instead of the end.
    pub error: Option<SystemError>,
    /// It has closed its socket.
    pub closed: bool,
    /// All bytes that it has written, ever.
    pub sent: u64,
    /// All bytes that it has read, ever.
    pub received: u64,
}

impl World {
    /// A peer acts now.
    pub(crate) fn act(&mut self, act: Act) {
        self.note(TraceEntry::Acted { act });
        match act {
            Act::Connect { listener } => {
                if let Ok(peer) = self.connect(listener) {
                    self.arrivals.push(peer);
                }
            }
            Act::Write { peer, bytes_max } => {
                self.peer_write_pattern(peer, bytes_max);
            }
            Act::Read { peer, bytes_max, expects } => {
                self.peer_read(peer, bytes_max, expects);
            }
            Act::ShutdownWrite { peer } => {
                if !self.link(peer.0).is_closed(peer.0.side) {
                    // The connection may be dead already; then there is nobody to tell.
                    let _ = self.change(peer.0, |link, news| link.shut(peer.0.side, news));
                    self.flow(peer.0);
                }
            }
            Act::Reset { peer } => {
                if !self.link(peer.0).is_closed(peer.0.side) {
                    self.reset_end(peer.0);
                }
            }
            Act::Close { peer } => {
                if !self.link(peer.0).is_closed(peer.0.side) {
                    self.close_end(peer.0);
                }
            }
            Act::Stall { peer } => self.flow_within(peer.0.far(), timing::STALL_MAX),
        }
    }

    /// Plans for a peer to act.
    pub(crate) fn plan(&mut self, at: Instant, act: Act) {
        self.agenda.plan(at, Due::Act(act));
    }

    /// A new peer connects to a listener. It can write before it is accepted.
    pub(crate) fn connect(&mut self, listener: SocketId) -> Result<PeerId, SystemError> {
        if self.is_full(listener) {
            return Err(ECONNREFUSED);
        }
        let end = Endpoint { link: self.lay_link(), side: Side::Client };
        self.adapt_family(end.link, listener);
        self.name_ends(end.link, None, None, Some(listener));
        self.queue_up(end, listener);
        Ok(PeerId(end))
    }

    /// Whether a listener has no room for another connection to wait, or is not there.
    pub(crate) fn is_full(&self, listener: SocketId) -> bool {
        let socket = self.sockets.get(listener.index()).and_then(Option::as_ref);
        socket.and_then(|socket| socket.listener()).is_none_or(|waiting| waiting.is_full())
    }

    /// A connection, made from `end`, waits at a listener to be accepted.
    pub(crate) fn queue_up(&mut self, end: Endpoint, listener: SocketId) {
        let waiting = self.sockets[listener.index()].as_mut().and_then(|socket| socket.listener_mut());
        let change = waiting.and_then(|waiting| waiting.push(end.link));
        self.note(TraceEntry::Connected { peer: PeerId(end), to: listener });
        if let Some(change) = change {
            self.announce(listener, change);
        }
    }

    /// A connection between a new peer and a new socket. `None` when no descriptor is left.
    pub(crate) fn pair(&mut self) -> Option<(PeerId, SocketId)> {
        let link = self.lay_link();
        let socket = self.create(What::Stream(Endpoint { link, side: Side::Server }))?;
        let peer = PeerId(Endpoint { link, side: Side::Client });
        self.note(TraceEntry::Connected { peer, to: socket });
        Some((peer, socket))
    }

    /// The peer writes; returns how many bytes its kernel took, 0 also when the connection is gone.
    pub(crate) fn peer_write(&mut self, peer: PeerId, bytes: &[u8]) -> usize {
        let end = peer.0;
        if bytes.is_empty() || self.link(end).is_closed(end.side) {
            return 0;
        }
        let count = self.link_mut(end).send(end.side, bytes).unwrap_or(0);
        self.note(TraceEntry::Wrote { peer, count });
        self.flow(end);
        count
    }

    /// The peer writes its pattern on from where it is.
    pub(crate) fn peer_write_pattern(&mut self, peer: PeerId, bytes_max: usize) -> usize {
        let pipe = self.link(peer.0).sent_by(peer.0.side);
        // What finds no room would only be made in vain, but one byte more says that there was too little.
        let mut bytes = vec![0; bytes_max.min(pipe.room() + 1)];
        pattern::fill(peer.serial(), peer.side(), pipe.sent(), &mut bytes);
        self.peer_write(peer, &bytes)
    }

    /// The peer reads what there is, up to `bytes_max`, and checks it against a pattern.
    pub(crate) fn peer_read(&mut self, peer: PeerId, bytes_max: usize, expects: Option<Side>) -> Vec<u8> {
        let end = peer.0;
        if self.link(end).is_closed(end.side) {
            return Vec::new();
        }
        let incoming = self.link(end).sent_by(!end.side);
        let offset = incoming.received();
        let mut bytes = vec![0; bytes_max.min(incoming.arrived())];
        // With nothing to read it learns of the end, or of an error: both are in its state.
        let count = self.link_mut(end).receive(end.side, &mut bytes).unwrap_or(0);
        debug_assert_eq!(count, bytes.len());
        self.note(TraceEntry::PeerRead { peer, count });
        self.flow(end.far());
        let wrong = expects.and_then(|writer| {
            let index = pattern::mismatch(peer.serial(), writer, offset, &bytes)?;
            Some((writer, offset + index as u64))
        });
        if let Some((writer, offset)) = wrong {
            self.violate(WrongCall::WrongByte { serial: peer.serial(), writer, offset });
        }
        bytes
    }

    pub(crate) fn peer_state(&self, peer: PeerId) -> PeerState {
        let end = peer.0;
        let link = self.link(end);
        let (incoming, outgoing) = (link.sent_by(!end.side), link.sent_by(end.side));
        let (reset, closed) = (link.is_dead(end.side), link.is_closed(end.side));
        PeerState {
            readable: incoming.arrived(),
            writable: if reset || closed || outgoing.is_shut() { 0 } else { outgoing.room() },
            ended: incoming.arrived() == 0 && (incoming.has_ended() || reset),
            reset,
            error: link.error_of_receive(end.side),
            closed,
            sent: outgoing.sent(),
            received: incoming.received(),
        }
    }
}
