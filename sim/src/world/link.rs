//! A connection: two ends, a pipe each way, and what TCP does to them.
//!
//! Both ends are alike; whether an end belongs to a socket under test or to a scripted peer is no concern of
//! the link. Nothing here is left to chance and nothing takes time: see [`traffic`](crate::world::traffic)
//! for that. The rules are those of Linux:
//!
//! * An error is reported once, by whatever call comes first. After it a receive sees the end of the stream,
//!   and a send EPIPE.
//! * What had arrived before a reset can still be received, unless the reset is said to discard it.
//! * A reset after the end of the stream is EPIPE to a send, and not an error to a receive. Once this end was
//!   shut, too, it is a reset again, for a read of `SO_ERROR`: no call reports it.
//! * To close with bytes unread is to reset. Otherwise what was sent is still delivered, then the end.
//! * Bytes that arrive at an end that is closed cause a reset.
//! * What has ended both ways is over: no reset reaches it any more.
//!
//! Unix streams differ where one end closes: nothing is on its way then, the other end hangs up at once, its
//! sends are EPIPE, and what was left unread is an error to its receives only.

use std::ops::Not;

use aio_model::SystemError;

use crate::world::errno::{ECONNRESET, ENOTCONN, EPIPE};
use crate::world::pipe::{Capacity, Pipe};

/// Which end of a connection: the one that connected, or the one that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that connected.
    Client = 0,
    /// The end that was accepted.
    Server = 1,
}

impl Not for Side {
    type Output = Side;

    /// The other side.
    fn not(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// What kind of sockets a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Family {
    /// TCP.
    #[default]
    Tcp,
    /// Unix.
    Unix,
}

/// What happened to a socket, for a readiness engine to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Bytes arrived; at a listener, a connection.
    Arrival,
    /// The end of the stream arrived.
    End,
    /// There is room again for a send that had found too little.
    Room,
    /// The connection is dead.
    Dead,
    /// This end was shut down for sending.
    Shut,
}

/// The state of a socket that readiness is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Condition {
    /// There are bytes, or connections, to be taken.
    pub arrived: bool,
    /// No more bytes will come.
    pub ended: bool,
    /// A send finds room.
    pub room: bool,
    /// No more bytes can be sent.
    pub shut: bool,
    /// An error waits to be reported.
    pub error: bool,
}

impl Condition {
    /// Whether a receive or an accept would not block.
    pub fn receives(self) -> bool {
        self.arrived || self.ended || self.error
    }

    /// Whether a send would not block. A listener's always would.
    pub fn sends(self) -> bool {
        self.room || self.shut || self.error
    }
}

/// Why a call did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotMoved {
    WouldBlock,
    Failed(SystemError),
}

/// What changed, for whom.
pub(crate) type News = Vec<(Side, Change)>;

/// Whether a connection that the system makes is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The other has not answered.
    UnderWay,
    /// It has, and nobody has asked what.
    Answered,
    /// The connection is there; for one that the system did not make, always.
    Made,
}

#[derive(Debug, Default)]
struct End {
    error: Option<SystemError>,
    dead: bool,
    closed: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    ends: [End; 2],
    /// Indexed by the side that sends into it.
    pipes: [Pipe; 2],
    /// Of the client's.
    pub(crate) handshake: Handshake,
    pub(crate) family: Family,
}

impl Link {
    /// A connection; `capacity` is that of the client's and of the server's sending direction.
    pub(crate) fn new(capacity: [Capacity; 2]) -> Link {
        let ends = [End::default(), End::default()];
        let pipes = capacity.map(Pipe::new);
        Link { ends, pipes, handshake: Handshake::Made, family: Family::Tcp }
    }

    /// The direction that `side` sends in.
    pub(crate) fn sent_by(&self, side: Side) -> &Pipe {
        &self.pipes[side as usize]
    }

    /// The direction that `side` sends in.
    pub(crate) fn sent_by_mut(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// Whether this end was closed by its owner.
    pub(crate) fn is_closed(&self, side: Side) -> bool {
        self.ends[side as usize].closed
    }

    /// Whether this end was reset, or timed out.
    pub(crate) fn is_dead(&self, side: Side) -> bool {
        self.ends[side as usize].dead
    }

    /// Whether a flow of what `side` sent would change anything.
    pub(crate) fn can_flow(&self, side: Side) -> bool {
        !self.is_dead(side) && !self.is_dead(!side) && self.sent_by(side).can_flow()
    }

    /// Whether what has arrived at `side` could just as well not have arrived yet.
    pub(crate) fn can_hold_back(&self, side: Side) -> bool {
        !self.is_dead(side) && !self.sent_by(!side).has_ended() && self.sent_by(!side).arrived() > 0
    }

    /// What an engine sees of this end.
    pub(crate) fn condition(&self, side: Side) -> Condition {
        let (end, incoming, outgoing) = (&self.ends[side as usize], self.sent_by(!side), self.sent_by(side));
        if self.handshake == Handshake::UnderWay {
            return Condition::default();
        }
        let shut = outgoing.is_shut() || end.dead;
        Condition {
            arrived: incoming.arrived() > 0,
            ended: incoming.has_ended() || end.dead,
            room: !shut && outgoing.is_writable(),
            shut,
            error: end.error.is_some(),
        }
    }

    /// The error that waits to be reported at `side`, reported.
    pub(crate) fn take_error(&mut self, side: Side) -> Option<SystemError> {
        self.end_mut(side).error.take()
    }

    /// The error that a receive at `side` would be told.
    pub(crate) fn error_of_receive(&self, side: Side) -> Option<SystemError> {
        let incoming = self.sent_by(!side);
        let first = incoming.arrived() > 0 || (incoming.has_ended() && self.family == Family::Tcp);
        self.ends[side as usize].error.filter(|_| !first)
    }

    /// Receives at `side`; 0 is the end of the stream.
    pub(crate) fn receive(&mut self, side: Side, buffer: &mut [u8]) -> Result<usize, NotMoved> {
        let incoming = self.sent_by_mut(!side);
        if incoming.arrived() > 0 {
            return Ok(incoming.receive(buffer));
        }
        let ended = incoming.has_ended();
        if ended && self.family == Family::Tcp {
            return Ok(0);
        }
        let end = self.end_mut(side);
        match end.error.take() {
            Some(error) => Err(NotMoved::Failed(error)),
            None if end.dead || ended => Ok(0),
            None => Err(NotMoved::WouldBlock),
        }
    }

    /// Sends from `side`; never 0.
    pub(crate) fn send(&mut self, side: Side, bytes: &[u8]) -> Result<usize, NotMoved> {
        self.sendable(side)?;
        match self.sent_by_mut(side).send(bytes) {
            0 => Err(NotMoved::WouldBlock),
            count => Ok(count),
        }
    }

    /// Sends only the first `count` bytes, for lack of memory, and nothing more until the next flow.
    pub(crate) fn send_pressed(&mut self, side: Side, bytes: &[u8], count: usize) -> Result<usize, NotMoved> {
        self.sendable(side)?;
        match self.sent_by_mut(side).send_pressed(bytes, count) {
            0 => Err(NotMoved::WouldBlock),
            count => Ok(count),
        }
    }

    fn sendable(&mut self, side: Side) -> Result<(), NotMoved> {
        let over = self.is_dead(side) || self.sent_by(side).is_shut();
        if over && self.family == Family::Unix {
            return Err(NotMoved::Failed(EPIPE));
        }
        match self.end_mut(side).error.take() {
            Some(error) => Err(NotMoved::Failed(error)),
            None if over => Err(NotMoved::Failed(EPIPE)),
            None => Ok(()),
        }
    }

    /// Ends the stream that `side` sends.
    pub(crate) fn shut(&mut self, side: Side, news: &mut News) -> Result<(), SystemError> {
        if self.is_dead(side) && self.family == Family::Tcp {
            return Err(ENOTCONN);
        }
        self.sent_by_mut(side).shut();
        news.push((side, Change::Shut));
        Ok(())
    }

    /// Closes this end for good.
    pub(crate) fn close(&mut self, side: Side, news: &mut News) {
        self.end_mut(side).closed = true;
        if self.family == Family::Unix {
            self.hang_up(side, news);
        } else if self.sent_by(!side).arrived() > 0 {
            self.sent_by_mut(!side).discard();
            self.kill(!side, ECONNRESET, false, news);
        } else if !self.is_dead(side) {
            self.sent_by_mut(side).shut();
        }
    }

    /// What the close of a Unix socket does to the other end: it has all that was sent, and nowhere to send
    /// to.
    fn hang_up(&mut self, side: Side, news: &mut News) {
        if self.is_dead(!side) || self.is_closed(!side) {
            return;
        }
        let unread = self.sent_by(!side).arrived() + self.sent_by(!side).in_flight() > 0;
        self.sent_by_mut(!side).discard();
        if self.sent_by_mut(side).arrive_all() > 0 {
            news.push((!side, Change::Arrival));
        }
        let end = self.end_mut(!side);
        end.dead = true;
        end.error = unread.then_some(ECONNRESET);
        news.push((!side, Change::Dead));
    }

    /// Closes this end for good, and resets the other one.
    pub(crate) fn reset(&mut self, side: Side, discards: bool, news: &mut News) {
        self.end_mut(side).closed = true;
        self.kill(!side, ECONNRESET, discards, news);
    }

    /// Ends the connection under both ends, with `error` at `side`.
    pub(crate) fn sever(&mut self, side: Side, error: SystemError, discards: bool, news: &mut News) {
        self.kill(side, error, discards, news);
        self.kill(!side, ECONNRESET, discards, news);
    }

    /// The connection is dead at `side`: nothing leaves it, and nothing comes any more. What had arrived
    /// stays, unless it is to be discarded.
    fn kill(&mut self, side: Side, error: SystemError, discards: bool, news: &mut News) {
        let over = self.sent_by(side).has_ended() && self.sent_by(!side).has_ended();
        if self.is_dead(side) || self.is_closed(side) || over {
            return;
        }
        let ended = self.sent_by(!side).has_ended() && !self.sent_by(side).is_shut();
        let broken_pipe = ended && error == ECONNRESET;
        let end = self.end_mut(side);
        end.dead = true;
        end.error = Some(if broken_pipe { EPIPE } else { error });
        let incoming = self.sent_by_mut(!side);
        if discards {
            incoming.discard();
        } else {
            incoming.discard_in_flight();
        }
        self.sent_by_mut(side).discard_in_flight();
        news.push((side, Change::Dead));
    }

    /// Lets up to `bytes_max` bytes of what `side` sent arrive, and the end after the last of them.
    pub(crate) fn flow(&mut self, side: Side, bytes_max: usize, news: &mut News) {
        // Not to the dead either: an end of the stream that overtook lost bytes would seem to be a clean one.
        if self.is_dead(side) || self.is_dead(!side) {
            return;
        }
        self.sent_by_mut(side).relieve();
        if self.is_closed(!side) {
            let unwelcome = self.sent_by(side).in_flight() > 0;
            self.sent_by_mut(side).discard();
            if unwelcome {
                self.kill(side, ECONNRESET, false, news);
                return;
            }
        }
        if self.sent_by_mut(side).arrive(bytes_max) > 0 {
            news.push((!side, Change::Arrival));
        }
        if self.sent_by_mut(side).arrive_fin() {
            news.push((!side, Change::End));
        }
        if !self.sent_by(side).is_shut() && self.sent_by_mut(side).announces_room() {
            news.push((side, Change::Room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Side::{Client, Server};
    use super::*;
    use crate::world::errno::ETIMEDOUT;

    fn link() -> Link {
        Link::new([Capacity::of(8); 2])
    }

    fn flow(link: &mut Link, side: Side) -> News {
        let mut news = News::new();
        link.flow(side, usize::MAX, &mut news);
        news
    }

    fn receive(link: &mut Link, side: Side) -> Result<Vec<u8>, NotMoved> {
        let mut buffer = [0; 64];
        link.receive(side, &mut buffer).map(|count| buffer[..count].to_vec())
    }

    fn failed<T>(error: SystemError) -> Result<T, NotMoved> {
        Err(NotMoved::Failed(error))
    }

    #[test]
    fn bytes_then_the_end() {
        let mut link = link();
        assert_eq!(receive(&mut link, Server), Err(NotMoved::WouldBlock));
        assert_eq!(link.send(Client, b"hello"), Ok(5));
        assert_eq!(flow(&mut link, Client), [(Server, Change::Arrival)]);
        let mut news = News::new();
        link.shut(Client, &mut news).unwrap();
        assert_eq!(news, [(Client, Change::Shut)]);
        assert_eq!(flow(&mut link, Client), [(Server, Change::End)]);
        assert_eq!(receive(&mut link, Server), Ok(b"hello".to_vec()));
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
        assert_eq!(link.send(Client, b"x"), failed(EPIPE));
        assert_eq!(link.send(Server, b"still here"), Ok(8), "the other direction goes on");
    }

    #[test]
    fn a_reset_is_told_once_and_then_the_stream_has_ended() {
        let mut link = link();
        link.send(Client, b"abc").unwrap();
        flow(&mut link, Client);
        link.send(Client, b"lost").unwrap();
        let mut news = News::new();
        link.reset(Client, false, &mut news);
        assert_eq!(news, [(Server, Change::Dead)]);
        assert_eq!(receive(&mut link, Server), Ok(b"abc".to_vec()), "what had arrived is kept");
        assert_eq!(receive(&mut link, Server), failed(ECONNRESET));
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
        assert_eq!(link.send(Server, b"x"), failed(EPIPE));
        assert_eq!(link.shut(Server, &mut news), Err(ENOTCONN));
    }

    #[test]
    fn a_reset_can_discard_what_had_arrived() {
        let mut link = link();
        link.send(Client, b"abc").unwrap();
        flow(&mut link, Client);
        link.reset(Client, true, &mut News::new());
        assert_eq!(link.send(Server, b"x"), failed(ECONNRESET), "the first call is told");
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
    }

    #[test]
    fn a_reset_after_the_end_is_a_broken_pipe_to_sends_only() {
        let mut link = link();
        link.close(Client, &mut News::new());
        assert_eq!(flow(&mut link, Client), [(Server, Change::End)]);
        link.send(Server, b"to nobody").unwrap();
        assert_eq!(flow(&mut link, Server), [(Server, Change::Dead)]);
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
        assert_eq!(link.send(Server, b"x"), failed(EPIPE));
    }

    /// As `tests/tests/told_once.rs` has it of Linux.
    #[test]
    fn a_connection_that_is_given_up_after_the_end_is_so_to_sends_only() {
        let mut link = link();
        link.shut(Client, &mut News::new()).unwrap();
        flow(&mut link, Client);
        link.sever(Server, ETIMEDOUT, false, &mut News::new());
        assert_eq!(receive(&mut link, Server), Ok(vec![]), "its peer has ended");
        assert_eq!(link.send(Server, b"x"), failed(ETIMEDOUT));
        assert_eq!(link.send(Server, b"x"), failed(EPIPE));
    }

    #[test]
    fn a_close_delivers_what_was_sent_unless_something_is_unread() {
        let mut link = link();
        let mut news = News::new();
        link.send(Client, b"last words").unwrap();
        link.close(Client, &mut news);
        assert_eq!(flow(&mut link, Client), [(Server, Change::Arrival), (Server, Change::End)]);
        assert!(news.is_empty());
        link.close(Server, &mut news);
        assert!(news.is_empty(), "nobody is left to be told");

        let mut link = Link::new([Capacity::of(8); 2]);
        link.send(Client, b"unread").unwrap();
        flow(&mut link, Client);
        link.close(Server, &mut news);
        assert_eq!(news, [(Client, Change::Dead)]);
        assert_eq!(receive(&mut link, Client), failed(ECONNRESET));
    }

    #[test]
    fn a_reset_overtakes_the_end_and_what_is_before_it() {
        let mut link = link();
        link.send(Client, b"lost").unwrap();
        link.shut(Client, &mut News::new()).unwrap();
        link.reset(Client, false, &mut News::new());
        assert!(!link.can_flow(Client) && flow(&mut link, Client).is_empty());
        assert_eq!(receive(&mut link, Server), failed(ECONNRESET), "not the end of the stream");
    }

    #[test]
    fn what_has_ended_both_ways_is_not_reset() {
        let mut link = link();
        let mut news = News::new();
        link.shut(Client, &mut news).unwrap();
        link.shut(Server, &mut news).unwrap();
        flow(&mut link, Client);
        flow(&mut link, Server);
        news.clear();
        link.reset(Client, false, &mut news);
        assert!(news.is_empty() && !link.condition(Server).error);
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
    }

    #[test]
    fn a_unix_socket_that_closes_hangs_up_on_the_other() {
        let mut link = Link { family: Family::Unix, ..link() };
        let mut news = News::new();
        link.send(Client, b"last words").unwrap();
        link.close(Client, &mut news);
        assert_eq!(news, [(Server, Change::Arrival), (Server, Change::Dead)]);
        let hung_up = Condition { arrived: true, ended: true, room: false, shut: true, error: false };
        assert_eq!(link.condition(Server), hung_up);
        assert_eq!(link.send(Server, b"x"), failed(EPIPE), "at once");
        assert_eq!(link.shut(Server, &mut news), Ok(()));
        assert_eq!(receive(&mut link, Server), Ok(b"last wor".to_vec()));
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
    }

    #[test]
    fn a_reset_while_the_own_end_is_under_way_behind_the_others_is_a_reset_to_any_call() {
        let mut link = link();
        link.shut(Client, &mut News::new()).unwrap();
        flow(&mut link, Client);
        link.shut(Server, &mut News::new()).unwrap();
        link.reset(Client, false, &mut News::new());
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
        assert_eq!((link.take_error(Server), link.take_error(Server)), (Some(ECONNRESET), None));
    }

    #[test]
    fn what_a_unix_socket_leaves_unread_is_an_error_to_receives_only() {
        let mut link = Link { family: Family::Unix, ..link() };
        link.send(Server, b"unread").unwrap();
        link.shut(Client, &mut News::new()).unwrap();
        flow(&mut link, Client);
        link.close(Client, &mut News::new());
        assert_eq!(link.send(Server, b"x"), failed(EPIPE));
        assert_eq!(receive(&mut link, Server), failed(ECONNRESET), "even behind an end");
        assert_eq!(receive(&mut link, Server), Ok(vec![]));
    }

    #[test]
    fn conditions_follow_the_state() {
        let mut link = link();
        assert_eq!(link.condition(Server), Condition { room: true, ..Condition::default() });
        link.send(Client, b"12345678").unwrap();
        assert!(!link.condition(Client).sends());
        flow(&mut link, Client);
        assert!(link.condition(Client).sends() && link.condition(Server).receives());
        link.reset(Client, true, &mut News::new());
        let dead = Condition { arrived: false, ended: true, room: false, shut: true, error: true };
        assert_eq!(link.condition(Server), dead);
    }
}
