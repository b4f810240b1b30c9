//! How the system under test makes connections, and who answers.

use aio_model::{Address, Direction, Outcome, SystemError, SystemErrorKind, Target};

use crate::world::errno::{
    EAGAIN, ECONNREFUSED, EHOSTUNREACH, EINVAL, EMFILE, ENOMEM, ENOSPC, ETIMEDOUT, SELF_CONNECTED,
};
use crate::world::faults::Fault;
use crate::world::link::{Change, Handshake, Side};
use crate::world::names::Known;
use crate::world::peer::PeerId;
use crate::world::socket::{Endpoint, Registration, SocketId, What};
use crate::world::state::{Due, World};
use crate::world::timing;
use crate::world::trace::TraceEntry;
use crate::world::wrong_call::WrongCall;

/// What comes of connecting to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A new [peer](PeerId) is at the other end.
    Accepts,
    /// ECONNREFUSED.
    Refuses,
    /// EHOSTUNREACH.
    Unreachable,
    /// Nothing, until the kernel gives up: ETIMEDOUT.
    Silent,
    /// The connection waits at this listener to be accepted, if there is room.
    Listener(SocketId),
}

impl World {
    /// What an address answers: as it was told, or else the one who listens there, or else what all others
    /// answer.
    fn answer_of(&mut self, address: &Address) -> Answer {
        let host = self.hosts.iter().rev().find(|(known, _)| known == address);
        if let Some((_, answer)) = host {
            return *answer;
        }
        self.listener_at(address).map_or(self.answer_default, Answer::Listener)
    }

    /// Connects, or tells how far it has come.
    pub(crate) fn perform_connect(&mut self, registration: Registration, target: &Target) -> Outcome {
        match self.pollers[registration.poller].names.look_up(registration.conn) {
            Known::Open(socket) => self.ask(registration, socket),
            Known::Never => self.begin(registration, target).unwrap_or_else(Outcome::Failed),
            Known::Closed => {
                self.violate(WrongCall::NameTaken { conn: registration.conn });
                Outcome::Failed(EINVAL)
            }
        }
    }

    fn begin(&mut self, registration: Registration, target: &Target) -> Result<Outcome, SystemError> {
        if target.socket().is_some() {
            // There are no options here that a user could have set.
            return Err(SystemError::from_kind(SystemErrorKind::Unsupported));
        }
        if self.dice.strikes(Fault::Interrupted) {
            return Ok(Outcome::Interrupted);
        }
        if self.descriptors.count() >= self.descriptors.count_max {
            return Err(EMFILE);
        }
        if self.dice.strikes(Fault::ConnectFull) {
            return Ok(Outcome::Exhausted(EAGAIN));
        }
        if self.dice.strikes(Fault::AdoptRefused) {
            return Err(*self.dice.choice.pick(&[ENOMEM, ENOSPC]));
        }
        let answer = self.answer_of(target.address());
        let verdict = self.verdict(answer);
        if let Answer::Listener(listener) = answer
            && verdict.is_ok()
            && self.is_full(listener)
        {
            return Ok(Outcome::Exhausted(EAGAIN));
        }
        let silent = answer == Answer::Silent;
        let takes_time = silent || self.dice.strikes(Fault::ConnectDelayed);
        if !takes_time {
            verdict?;
        }
        let end = Endpoint { link: self.lay_link(), side: Side::Client };
        if let Answer::Listener(listener) = answer {
            self.adapt_family(end.link, listener);
        }
        self.name_ends(end.link, target.local(), Some(target.address()), None);
        if takes_time {
            self.link_mut(end).handshake = Handshake::UnderWay;
        }
        let socket = self.create(What::Stream(end)).ok_or(EMFILE)?;
        self.register(socket, registration);
        if !takes_time {
            self.establish(end, answer);
            return Ok(Outcome::Done);
        }
        let patience = if silent { timing::SILENCE } else { self.dice.span(timing::LATENCY_MAX) };
        let at = self.clock.now() + patience;
        self.agenda.plan(at, Due::Handshake { end, answer, verdict });
        Ok(Outcome::WouldBlock)
    }

    fn verdict(&mut self, answer: Answer) -> Result<(), SystemError> {
        if self.dice.strikes(Fault::ConnectRefused) {
            return Err(ECONNREFUSED);
        }
        if self.dice.strikes(Fault::ConnectUnreachable) {
            return Err(*self.dice.choice.pick(&[EHOSTUNREACH, ETIMEDOUT]));
        }
        if self.dice.strikes(Fault::ConnectSelf) {
            return Err(SELF_CONNECTED);
        }
        match answer {
            Answer::Accepts | Answer::Listener(_) => Ok(()),
            Answer::Refuses => Err(ECONNREFUSED),
            Answer::Unreachable => Err(EHOSTUNREACH),
            Answer::Silent => Err(ETIMEDOUT),
        }
    }

    /// The other end is there.
    fn establish(&mut self, end: Endpoint, answer: Answer) {
        match answer {
            Answer::Listener(listener) if !self.is_full(listener) => self.queue_up(end, listener),
            // The listener has gone, or has filled up: its kernel resets what it had welcomed.
            Answer::Listener(_) => self.reset_end(end.far()),
            _ => {
                let peer = PeerId::new(end.far());
                self.arrivals.push(peer);
                self.note(TraceEntry::Answered { peer });
            }
        }
    }

    /// The answer has come.
    pub(crate) fn shake_hands(&mut self, end: Endpoint, answer: Answer, verdict: Result<(), SystemError>) {
        if self.link(end).is_closed(end.side) {
            return;
        }
        self.change(end, |link, news| {
            link.handshake = Handshake::Answered;
            match verdict {
                Ok(()) => news.push((end.side, Change::Room)),
                Err(error) => link.sever(end.side, error, false, news),
            }
        });
        if verdict.is_ok() {
            self.establish(end, answer);
        }
    }

    /// How far a connection has come.
    fn ask(&mut self, registration: Registration, socket: SocketId) -> Outcome {
        let end = self.socket(socket).stream().filter(|end| self.link(*end).handshake != Handshake::Made);
        let Some(end) = end else {
            self.violate(WrongCall::NameTaken { conn: registration.conn });
            return Outcome::Failed(EINVAL);
        };
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        if self.link(end).handshake == Handshake::UnderWay {
            self.pollers[registration.poller].engine.on_would_block(socket, Direction::Send);
            return Outcome::WouldBlock;
        }
        match self.link_mut(end).take_error(end.side) {
            None => {
                self.link_mut(end).handshake = Handshake::Made;
                Outcome::Done
            }
            Some(error) => {
                self.forget(registration, socket);
                Outcome::Failed(error)
            }
        }
    }

    /// Closes a socket, and forgets its name.
    pub(crate) fn forget(&mut self, registration: Registration, socket: SocketId) {
        let Registration { poller, conn } = registration;
        self.pollers[poller].engine.deregister(socket);
        self.pollers[poller].names.remove(conn);
        self.destroy(socket);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use aio_model::{Connect, Outcome, Readiness};

    use super::*;
    use crate::world::engine::EngineKind;
    use crate::world::net::Net;
    use crate::world::testing::{Rig, connect};

    fn address() -> Address {
        SocketAddr::from(([10, 0, 0, 1], 80)).into()
    }

    #[test]
    fn who_answers_at_once_is_connected_at_once() {
        let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
        rig.net.host(address(), Answer::Accepts);
        let (conn, outcome) = connect(&mut rig, Connect::to(address()));
        assert_eq!(outcome, Outcome::Done);
        let [peer] = rig.net.take_arrivals()[..] else { panic!("one peer") };
        assert_eq!(rig.net.peer_write(peer, b"hi"), 2);
        assert_eq!(rig.recv(conn, 9), Ok(b"hi".to_vec()));
        assert_eq!(rig.send(conn, b"ho"), Outcome::Transferred(2));
        assert_eq!(rig.net.peer_read(peer), b"ho");
    }

    #[test]
    fn nobody_listens_unless_somebody_does() {
        let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
        assert_eq!(connect(&mut rig, Connect::to(address())).1, Outcome::Failed(ECONNREFUSED));
        rig.net.host(address(), Answer::Unreachable);
        assert_eq!(connect(&mut rig, Connect::to(address())).1, Outcome::Failed(EHOSTUNREACH));
        assert_eq!(rig.net.descriptors(), 0);
    }

    #[test]
    fn a_silent_host_is_given_up_by_the_kernel() {
        for engine in EngineKind::ALL {
            let mut rig = Rig::new(Net::calm(), *engine);
            rig.net.host(address(), Answer::Silent);
            let asked = Connect::to(address());
            let began = rig.net.now();
            let (conn, outcome) = connect(&mut rig, asked.clone());
            assert_eq!(outcome, Outcome::WouldBlock);
            assert_eq!(rig.poll(), [], "{engine:?}: nothing is the case yet");
            assert_eq!(rig.connect_again(conn, asked.clone()), Outcome::WouldBlock);
            let (now, events) = rig.wait(None);
            assert_eq!(now, began + timing::SILENCE);
            assert!(events.iter().any(|(_, readiness)| readiness.wakes_send()), "{engine:?}: {events:?}");
            assert_eq!(rig.connect_again(conn, asked), Outcome::Failed(ETIMEDOUT));
            assert_eq!((rig.net.descriptors(), rig.net.violations_count()), (0, 0));
        }
    }

    #[test]
    fn an_answer_that_takes_time_is_an_event() {
        for engine in EngineKind::ALL {
            let mut rig = Rig::new(Net::calm(), *engine);
            let mut faults = crate::world::faults::Faults::NONE;
            faults.set(Fault::ConnectDelayed, crate::world::choice::Odds::ALWAYS);
            rig.net.set_faults(faults);
            rig.net.host(address(), Answer::Accepts);
            let (conn, outcome) = connect(&mut rig, Connect::to(address()));
            assert_eq!((outcome, rig.net.take_arrivals().len()), (Outcome::WouldBlock, 0));
            let began = rig.net.now();
            let (now, events) = rig.wait(Some(began + Duration::from_secs(9)));
            assert!(now <= began + timing::LATENCY_MAX);
            assert_eq!(events, [(conn, Readiness::WRITABLE)], "{engine:?}");
            assert_eq!(rig.connect_again(conn, Connect::to(address())), Outcome::Done);
            assert_eq!(rig.net.take_arrivals().len(), 1);
        }
    }

    #[test]
    fn a_listener_of_the_same_world_can_be_connected_to() {
        let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
        let socket = rig.net.listen(1).unwrap();
        rig.net.host(address(), Answer::Listener(socket.id()));
        let listener = rig.adopt(socket);
        let (client, outcome) = connect(&mut rig, Connect::to(address()));
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(
            connect(&mut rig, Connect::to(address())).1,
            Outcome::Exhausted(EAGAIN),
            "its queue is full"
        );
        let (server, outcome) = rig.accept(listener);
        assert_eq!(outcome, Outcome::Done);
        assert_eq!(rig.send(client, b"hello"), Outcome::Transferred(5));
        assert_eq!(rig.recv(server, 9), Ok(b"hello".to_vec()));
    }

    #[test]
    fn what_is_not_connected_yet_is_not_to_be_used() {
        let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
        rig.net.host(address(), Answer::Silent);
        let (conn, _) = connect(&mut rig, Connect::to(address()));
        rig.send(conn, b"x");
        let violation = rig.net.violations().pop();
        assert!(matches!(violation, Some(WrongCall::BeforeConnected { .. })), "{violation:?}");
        assert_eq!(rig.close(conn), Outcome::Done);
        assert_eq!(rig.net.descriptors(), 0);
    }
}
