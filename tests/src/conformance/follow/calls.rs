//! The calls of the system under test, each steered to the answer that the kernel gave.

use aio_model::{Address, Direction, Outcome, Syscall, System, SystemErrorKind};
use sim::Fault;

use crate::conformance::history::{Deed, Number};

use super::{Conn, DISCARD_BYTES, Followed, Follower, nobody, same};

impl Follower<'_> {
    /// Connections are made, or accepted.
    pub(super) fn make(&mut self, deed: &Deed, seen: Outcome) -> Followed {
        match *deed {
            Deed::Accept(conn) => {
                let (listener, _) = self.listener.expect("there is a listener");
                let id = self.caller.open();
                match seen {
                    Outcome::WouldBlock => self.steer(&[Fault::AcceptWouldBlock], &[]),
                    Outcome::Interrupted => self.steer(&[Fault::Interrupted], &[]),
                    _ => {}
                }
                let answer = self.caller.system.perform(Syscall::Accept { listener, conn: id });
                if answer == Outcome::Done {
                    self.conns[conn].id = Some(id);
                }
                same(seen, answer)
            }
            Deed::Connect { nobody: is_nobody, .. } => {
                if seen == Outcome::WouldBlock {
                    self.steer(&[Fault::ConnectDelayed], &[]);
                }
                let address = if is_nobody { nobody() } else { somebody() };
                let (id, target, answer) = self.caller.connect(address, true);
                let known = matches!(answer, Outcome::Done | Outcome::WouldBlock);
                let conn = Conn { target: Some(target), ..Conn::new(known.then_some(id), None) };
                self.conns.push(conn);
                self.on_connect(self.conns.len() - 1, seen, answer)
            }
            Deed::ConnectAgain(conn) => {
                let id = self.id(conn);
                if seen != Outcome::WouldBlock {
                    self.relieve(conn);
                }
                let target = self.conns[conn].target.clone().expect("it was connected to");
                let answer = self.caller.connect_again(id, &target);
                if !matches!(answer, Outcome::Done | Outcome::WouldBlock) {
                    self.conns[conn].id = None;
                }
                self.on_connect(conn, seen, answer)
            }
            _ => unreachable!("{deed:?} makes no connection"),
        }
    }

    fn on_connect(&mut self, conn: Number, seen: Outcome, answer: Outcome) -> Followed {
        self.conns[conn].peer = self.conns[conn].id.and_then(|id| self.net.peer_of(id));
        same(seen, answer)
    }

    /// Somebody else asks for the error.
    pub(super) fn ask_error(&mut self, conn: Number, seen: Option<SystemErrorKind>) -> Followed {
        let told = self.net.take_error(self.id(conn)).map(|error| error.kind());
        if told == seen { Ok(()) } else { Err(format!("the error was {seen:?}, in the simulator {told:?}")) }
    }

    /// Before a receive of up to `bytes_max` bytes: lets arrive what it is going to find, and holds back the
    /// rest.
    fn before_receive(&self, conn: Number, bytes_max: usize, seen: Outcome) {
        let (arrived, _) = self.incoming(conn);
        match seen {
            Outcome::Transferred(0) => self.arrive(conn, usize::MAX),
            Outcome::Transferred(count) | Outcome::Partial(count) => {
                self.arrive(conn, count.saturating_sub(arrived));
                if count < bytes_max && count < arrived {
                    self.steer(&[Fault::RecvShort], &[count - 1]);
                }
            }
            Outcome::WouldBlock if arrived > 0 => self.steer(&[Fault::RecvWouldBlock], &[]),
            Outcome::Interrupted => self.steer(&[Fault::Interrupted], &[]),
            _ => {}
        }
    }

    pub(super) fn recv(&mut self, conn: Number, pieces: &[usize], seen: Outcome) -> Followed {
        self.before_receive(conn, pieces.iter().sum(), seen);
        let (answer, _) = self.caller.recv(self.id(conn), pieces);
        same(seen, answer)
    }

    pub(super) fn discard(&mut self, conn: Number, seen: Outcome) -> Followed {
        self.before_receive(conn, DISCARD_BYTES, seen);
        let id = self.id(conn);
        same(seen, self.caller.system.perform(Syscall::Discard { conn: id }))
    }

    pub(super) fn poll(&mut self, conn: Number, direction: Direction, seen: Outcome) -> Followed {
        match (seen, direction) {
            (Outcome::Done, Direction::Receive) => self.find_something(conn),
            (Outcome::Done, Direction::Send) => {
                // It sends nothing itself, but what there is room for now may be on its way.
                if !self.has_room(conn) {
                    self.before_send(conn);
                }
                self.find_room(conn);
            }
            (Outcome::WouldBlock, Direction::Send) => self.steer(&[Fault::SendWouldBlock], &[]),
            (Outcome::Interrupted, _) => self.steer(&[Fault::Interrupted], &[]),
            _ => {}
        }
        let id = self.id(conn);
        same(seen, self.caller.system.perform(Syscall::Poll { conn: id, direction }))
    }

    pub(super) fn peek(&mut self, conn: Number, seen: Outcome) -> Followed {
        self.before_receive(conn, 1, seen);
        let id = self.id(conn);
        same(seen, self.caller.system.perform(Syscall::Peek { conn: id }))
    }

    /// A receive would not block: lets arrive as little as can be of what it would find.
    fn find_something(&self, conn: Number) {
        let finds = || self.net.condition(self.id(conn)).is_some_and(|now| now.receives());
        if !finds() && (self.arrived_max(conn) > 0 || self.conns[conn].ended) {
            self.arrive(conn, 1);
        }
        if !finds() {
            self.arrive_before_reset(conn);
            self.relieve(conn);
        }
    }

    /// What this end sends may make a peer that has closed reset the connection.
    fn before_send(&self, conn: Number) {
        if self.net.peer_state(self.peer(conn)).closed {
            self.arrive_before_reset(conn);
        }
    }

    /// If the kernel has room, the pressure is off. That may be too little room for an event.
    fn find_room(&mut self, conn: Number) {
        self.make_room(conn);
        self.simulate_wait(Some(conn));
    }

    pub(super) fn send(&mut self, conn: Number, pieces: &[usize], seen: Outcome) -> Followed {
        let id = self.id(conn);
        let bytes_max: usize = pieces.iter().sum();
        self.before_send(conn);
        match seen {
            Outcome::Transferred(count) => {
                self.find_room(conn);
                if self.history.lags {
                    self.steer(&[Fault::Latency], &[]);
                }
                if count < bytes_max {
                    self.steer(&[Fault::SendShort], &[count.saturating_sub(1)]);
                }
            }
            Outcome::WouldBlock => self.steer(&[Fault::SendWouldBlock], &[]),
            Outcome::Interrupted => self.steer(&[Fault::Interrupted], &[]),
            _ => {}
        }
        same(seen, self.caller.send(id, &vec![0; bytes_max], pieces))
    }

    pub(super) fn shutdown(&mut self, conn: Number, seen: Outcome) -> Followed {
        self.conns[conn].shut |= seen == Outcome::Done;
        self.steer(&[Fault::Latency], &[]);
        let conn = self.id(conn);
        same(seen, self.caller.system.perform(Syscall::ShutdownWrite { conn }))
    }

    pub(super) fn close(&mut self, conn: Number, reset: bool, seen: Outcome) -> Followed {
        let id = self.id(conn);
        if self.incoming(conn).1 == 0 || self.guesses.likely() {
            self.arrive(conn, usize::MAX);
        }
        // The rest may be on its way for long; and if this is a reset, it is lost.
        if self.history.lags {
            self.deliver(conn, self.heard(conn).saturating_sub(self.net.incoming(self.peer(conn)).0));
            if self.conns[conn].shut && self.outgoing(conn) == 0 && self.hears_end(conn) {
                self.relieve(conn);
            }
        } else {
            self.relieve(conn);
        }
        (self.conns[conn].id, self.conns[conn].closed) = (None, true);
        same(seen, self.caller.system.perform(Syscall::Close { conn: id, reset }))
    }
}

/// Where a peer answers.
fn somebody() -> Address {
    Address::unix(*b"somebody")
}
