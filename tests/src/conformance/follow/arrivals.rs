//! Arrivals: what is on its way in the simulator, and when it is there.
//!
//! Nobody sees when bytes arrive, only what comes of it. What was lost to a reset had not, what was received
//! before it had: so where that matters, the history is asked what comes next.

use aio_model::{Direction, Outcome, Readiness, SystemErrorKind};
use sim::Fault;

use crate::conformance::caller::count;
use crate::conformance::history::{Deed, Name, Number, PeerSaw, Seen};

use super::{DISCARD_BYTES, Follower};

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// A call is told of a reset.
    reset: bool,
    /// A receive is told of the end.
    ended: bool,
    /// An event tells of an error.
    error: bool,
    /// How many bytes are received until there are no more, if that is seen.
    received: Option<usize>,
}

impl Follower<'_> {
    /// What has arrived at this end, and what is on its way.
    pub(super) fn incoming(&self, conn: Number) -> (usize, usize) {
        self.conns[conn].peer.map(|peer| self.net.outgoing(peer)).unwrap_or_default()
    }

    /// Lets so many of the bytes that are on their way arrive; with the last of them comes the end.
    pub(super) fn arrive(&self, conn: Number, bytes: usize) {
        let Some(peer) = self.conns[conn].peer else { return };
        let (_, in_flight) = self.incoming(conn);
        match bytes {
            0 => return,
            _ if bytes >= in_flight => self.steer(&[], &[]),
            _ => self.steer(&[Fault::Segments], &[bytes - 1]),
        }
        self.net.hurry(peer, Direction::Send);
        self.steer(&[], &[]);
    }

    /// How many bytes are on their way from this end.
    pub(super) fn outgoing(&self, conn: Number) -> usize {
        self.conns[conn].peer.map_or(0, |peer| self.net.incoming(peer).1)
    }

    /// Lets through what is held up on its way from this end: there is room, or an answer.
    pub(super) fn relieve(&self, conn: Number) {
        self.conns[conn].peer.into_iter().for_each(|peer| self.net.hurry(peer, Direction::Receive));
    }

    /// If there is no room for what is sent from this end, makes room, by letting through as little as can
    /// be.
    pub(super) fn make_room(&self, conn: Number) {
        if !self.has_room(conn) {
            self.deliver(conn, 1);
        }
    }

    pub(super) fn has_room(&self, conn: Number) -> bool {
        self.conns[conn].id.and_then(|id| self.net.condition(id)).is_some_and(|now| now.room)
    }

    /// Lets so many of the bytes that are on their way from this end through; with the last of them goes the
    /// end.
    pub(super) fn deliver(&self, conn: Number, bytes: usize) {
        if (1..self.outgoing(conn)).contains(&bytes) {
            self.steer(&[Fault::Segments], &[bytes - 1]);
        }
        if bytes > 0 {
            self.relieve(conn);
        }
        self.steer(&[], &[]);
    }

    /// Lets through all that was sent from this end, but the end, if it was sent, stays behind with the last
    /// byte.
    pub(super) fn relieve_bytes(&self, conn: Number) {
        let in_flight = self.outgoing(conn);
        match in_flight {
            _ if !self.conns[conn].shut => self.relieve(conn),
            0 | 1 => {}
            _ => self.deliver(conn, in_flight - 1),
        }
    }

    /// How many bytes the peer is going to read before it finds no more.
    pub(super) fn heard(&self, conn: Number) -> usize {
        let reads = self.history.deeds[self.at..].iter().filter_map(|(deed, seen)| match (deed, seen) {
            (Deed::PeerRead(of, _), Seen::Peer(saw)) if *of == conn => Some(*saw),
            _ => None,
        });
        let bytes = reads.map_while(|saw| match saw {
            PeerSaw::Bytes(count) => Some(count),
            _ => None,
        });
        bytes.sum()
    }

    /// Whether the peer is going to read an end that no error came before.
    pub(super) fn hears_end(&self, conn: Number) -> bool {
        let told = self.history.deeds[self.at..].iter().find_map(|(deed, seen)| match (deed, seen) {
            (Deed::PeerRead(of, _) | Deed::PeerWrite(of, _), Seen::Peer(saw)) if *of == conn => match saw {
                PeerSaw::Bytes(_) | PeerSaw::Nothing => None,
                saw => Some(*saw),
            },
            _ => None,
        });
        told == Some(PeerSaw::End)
    }

    /// The peer is about to close: what was sent to it has arrived. The end as well, or it could be a reset.
    pub(super) fn relieve_before_reset(&self, conn: Number) {
        let fate = self.fate(conn, self.at);
        let unread = self.net.peer_state(self.peer(conn)).readable > 0;
        match fate {
            Fate { reset: true, .. } => self.relieve_bytes(conn),
            // The end came, so whatever causes a reset is still on its way.
            Fate { ended: true, error: true, .. } if self.history.lags && !unread => {}
            // It may as well be on its way still.
            _ if self.outgoing(conn) > 0 && !self.guesses.likely() => {}
            _ => self.relieve(conn),
        }
    }

    /// A reset may be about to throw away what has not arrived: lets arrive what will turn out to have.
    pub(super) fn arrive_before_reset(&self, conn: Number) {
        let (arrived, in_flight) = self.incoming(conn);
        let fate = self.fate(conn, self.at);
        let wanted =
            fate.received.map_or(in_flight, |received| received.saturating_sub(arrived).min(in_flight));
        // The end did not come, or it would have been no reset; unless there was a reset later.
        let reset = fate.reset
            && !fate.ended
            && (!(self.conns[conn].ended || in_flight > 0) || self.guesses.likely());
        let kept = usize::from(self.conns[conn].ended && reset && wanted == in_flight);
        let whole = wanted == in_flight && !reset;
        self.arrive(conn, if whole { usize::MAX } else { wanted.saturating_sub(kept) });
    }

    /// The end is about to be sent, which would come with the last byte. If that comes and the end does not,
    /// lets the bytes arrive before.
    pub(super) fn arrive_before_end(&self, conn: Number) {
        let (arrived, in_flight) = self.incoming(conn);
        let fate = self.fate(conn, self.at);
        if self.conns[conn].ended {
            return;
        }
        let all = fate.reset && fate.received == Some(arrived + in_flight);
        if all || (in_flight > 0 && !self.guesses.likely()) {
            self.arrive(conn, usize::MAX);
        }
    }

    /// The most bytes that can have arrived by now: those that are received until a receive finds fewer than
    /// it has space for. Such a receive empties the queue, so what it does not find arrived later, or was
    /// lost to a reset. No call need have reported that reset.
    pub(super) fn arrived_max(&self, conn: Number) -> usize {
        let mut bytes = 0;
        for (deed, seen) in &self.history.deeds[self.at..] {
            let space = match deed {
                Deed::Recv(of, pieces) if *of == conn => pieces.iter().sum(),
                Deed::Discard(of) if *of == conn => DISCARD_BYTES,
                Deed::Peek(of) | Deed::Poll(of, Direction::Receive) if *of == conn && !finds(seen) => 1,
                _ => continue,
            };
            match *seen {
                Seen::Outcome(Outcome::Interrupted | Outcome::Exhausted(_)) => {}
                Seen::Outcome(outcome) => {
                    bytes += count(outcome);
                    if count(outcome) < space {
                        return bytes;
                    }
                }
                _ => {}
            }
        }
        usize::MAX
    }

    /// What will turn out to have arrived before a deed, if nothing arrives after it.
    fn fate(&self, conn: Number, at: usize) -> Fate {
        let mut fate = Fate::default();
        let (mut bytes, mut over, mut told) = (0, false, false);
        let error = |&(name, readiness): &(Name, Readiness)| {
            name == Name::Conn(conn) && readiness.intersects(Readiness::ERROR)
        };
        for (deed, seen) in &self.history.deeds[at..] {
            if let Seen::Events(events) = seen {
                fate.error |= events.iter().any(error);
                // What has ended both ways is not reset any more.
                fate.reset |= self.conns[conn].shut && fate.error;
            }
            if let (Deed::AskError(of), Seen::Error(Some(kind))) = (deed, seen)
                && *of == conn
            {
                fate.error = true;
                told |= !over && *kind == SystemErrorKind::ConnectionReset;
                fate.reset |= told || self.conns[conn].shut;
            }
            let (of, space) = match deed {
                Deed::Recv(of, pieces) => (*of, pieces.iter().sum()),
                Deed::Discard(of) => (*of, DISCARD_BYTES),
                Deed::Peek(of) | Deed::Poll(of, Direction::Receive) if !finds(seen) => (*of, 1),
                Deed::Send(of, _) | Deed::Shutdown(of) => (*of, 0),
                _ => continue,
            };
            match *seen {
                Seen::Outcome(_) if of != conn || over => {}
                Seen::Outcome(Outcome::Failed(error)) => {
                    told |= error.kind() == SystemErrorKind::ConnectionReset;
                    fate.reset |= told;
                    if space > 0 {
                        fate.received = fate.received.or(fate.reset.then_some(bytes));
                        over = true;
                    }
                }
                // What was reset has ended, too, and what had not arrived by then never will.
                Seen::Outcome(Outcome::Transferred(0)) => {
                    fate.received = fate.received.or(told.then_some(bytes));
                    (fate.ended, over) = (!told, true);
                }
                Seen::Outcome(outcome) if space > 0 => {
                    bytes += count(outcome);
                    fate.received = fate.received.or((count(outcome) < space).then_some(bytes));
                }
                _ => {}
            }
        }
        fate
    }
}

/// Whether a call that takes nothing has found that there is something.
fn finds(seen: &Seen) -> bool {
    matches!(seen, Seen::Outcome(Outcome::Done | Outcome::Transferred(1..)))
}
