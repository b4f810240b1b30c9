//! System calls: checked at the border, struck by faults, then answered as Linux would.

use aio_model::{ConnId, Direction, Outcome, SLICES_MAX, Syscall, SystemError};

use crate::world::errno::{
    EBADF, ECONNRESET, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC, ENOSYS, EPERM, ETIMEDOUT,
};
use crate::world::faults::Fault;
use crate::world::link::{Family, Handshake, NotMoved, Side};
use crate::world::names::Known;
use crate::world::pieces;
use crate::world::socket::{Endpoint, Registration, Socket, SocketId, What};
use crate::world::state::{World, condition};
use crate::world::timing;
use crate::world::trace::{Call, TraceEntry};
use crate::world::wrong_call::WrongCall;

/// How much is thrown away at once, as by `aio-sys`.
const DISCARD_BYTES: usize = 16 * 1024;

impl Call {
    /// The call, without its bytes.
    fn of(call: &Syscall<'_>) -> Call {
        match call {
            Syscall::Recv { buffer, .. } => Call::Recv(buffer.len()),
            Syscall::RecvVectored { slices, .. } => Call::Recv(slices.len()),
            Syscall::Discard { .. } => Call::Discard,
            Syscall::Poll { direction, .. } => Call::Poll(*direction),
            Syscall::Peek { .. } => Call::Peek,
            Syscall::Connect { .. } => Call::Connect,
            Syscall::Send { bytes, .. } => Call::Send(bytes.len()),
            Syscall::SendVectored { slices, .. } => Call::Send(slices.len()),
            Syscall::Accept { conn, .. } => Call::Accept(*conn),
            Syscall::ShutdownWrite { .. } => Call::ShutdownWrite,
            Syscall::Close { reset, .. } => Call::Close { reset: *reset },
        }
    }
}

impl World {
    /// Registers a socket; on refusal it stays what it was.
    pub(crate) fn adopt(&mut self, registration: Registration, socket: SocketId) -> Result<(), SystemError> {
        let result = if !self.pollers[registration.poller].names.is_free(registration.conn) {
            self.violate(WrongCall::NameTaken { conn: registration.conn });
            Err(EINVAL)
        } else if self.dice.strikes(Fault::AdoptRefused) {
            Err(*self.dice.choice.pick(&[ENOMEM, ENOSPC]))
        } else {
            self.register(socket, registration);
            Ok(())
        };
        let descriptor = self.socket(socket).descriptor;
        self.note(TraceEntry::Adopted { conn: registration.conn, socket, descriptor, refused: result.err() });
        result
    }

    /// Answers a system call.
    pub(crate) fn perform(&mut self, poller: usize, syscall: Syscall<'_>) -> Outcome {
        self.counts.calls += 1;
        self.clock.tick(&mut self.dice);
        self.run_due();
        let (conn, call) = (syscall.conn(), Call::of(&syscall));
        let outcome = if let Syscall::Connect { target, .. } = syscall {
            self.perform_connect(Registration { poller, conn }, target)
        } else {
            match self.check(poller, conn, call) {
                Ok(socket) => self.answer(socket, syscall),
                // It can not fail, whatever it was given.
                Err(_) if matches!(call, Call::Close { .. }) => Outcome::Done,
                Err(error) => Outcome::Failed(error),
            }
        };
        self.counts.would_blocks += u64::from(outcome == Outcome::WouldBlock);
        self.note(TraceEntry::Called { conn, call, outcome });
        outcome
    }

    /// The border: whether the call makes sense at all.
    fn check(&mut self, poller: usize, conn: ConnId, call: Call) -> Result<SocketId, SystemError> {
        let socket = match self.pollers[poller].names.look_up(conn) {
            Known::Open(socket) => socket,
            Known::Closed => {
                self.violate(WrongCall::ClosedConn { conn, call });
                return Err(EBADF);
            }
            Known::Never => {
                self.violate(WrongCall::UnknownConn { conn, call });
                return Err(EBADF);
            }
        };
        let end = self.socket(socket).stream();
        let fits = match call {
            Call::Recv(_) | Call::Discard | Call::Send(_) | Call::ShutdownWrite => end.is_some(),
            Call::Poll(_) | Call::Peek => end.is_some(),
            Call::Accept(_) => end.is_none(),
            Call::Close { reset } => end.is_some() || !reset,
            Call::Connect => true,
        };
        if !fits {
            self.violate(WrongCall::WrongKind { conn, call });
            return Err(EINVAL);
        }
        let early = end.is_some_and(|end| self.link(end).handshake != Handshake::Made);
        if early && !matches!(call, Call::Close { .. }) {
            self.violate(WrongCall::BeforeConnected { conn, call });
            return Err(EINVAL);
        }
        if matches!(call, Call::Recv(0) | Call::Send(0)) {
            self.violate(WrongCall::EmptyBuffer { conn, call });
            return Err(EINVAL);
        }
        if let Call::Accept(conn) = call
            && !self.pollers[poller].names.is_free(conn)
        {
            self.violate(WrongCall::NameTaken { conn });
            return Err(EINVAL);
        }
        let shut = end.is_some_and(|end| self.link(end).sent_by(end.side).is_shut());
        if shut && matches!(call, Call::Send(_) | Call::ShutdownWrite) {
            self.violate(WrongCall::AfterShutdown { conn, call });
        }
        Ok(socket)
    }

    fn answer(&mut self, socket: SocketId, syscall: Syscall<'_>) -> Outcome {
        match (syscall, self.socket(socket)) {
            (Syscall::Close { conn, reset }, &Socket { registration, .. }) => {
                debug_assert!(registration.is_none_or(|registration| registration.conn == conn));
                if reset {
                    self.reset_on_close(socket);
                }
                match registration {
                    Some(registration) => self.forget(registration, socket),
                    None => self.destroy(socket),
                }
                Outcome::Done
            }
            (Syscall::Accept { conn, .. }, &Socket { registration: Some(registration), .. }) => {
                self.accept(socket, Registration { poller: registration.poller, conn })
            }
            (Syscall::Recv { buffer, .. }, &Socket { what: What::Stream(end), .. }) => {
                self.recv(socket, end, buffer)
            }
            (Syscall::RecvVectored { mut slices, .. }, &Socket { what: What::Stream(end), .. }) => {
                if slices.iter_mut().count() > SLICES_MAX {
                    return Outcome::Failed(EINVAL);
                }
                let mut bytes = vec![0; slices.len()];
                let outcome = self.recv(socket, end, &mut bytes);
                if let Outcome::Transferred(count) | Outcome::Partial(count) = outcome {
                    pieces::spread(&bytes[..count], slices.iter_mut());
                }
                outcome
            }
            (Syscall::Discard { .. }, &Socket { what: What::Stream(end), .. }) => {
                self.recv(socket, end, &mut [0; DISCARD_BYTES])
            }
            (Syscall::Poll { direction, .. }, &Socket { what: What::Stream(end), .. }) => {
                self.poll(socket, end, direction)
            }
            (Syscall::Peek { .. }, &Socket { what: What::Stream(end), .. }) => self.peek(socket, end),
            (Syscall::Send { bytes, .. }, &Socket { what: What::Stream(end), .. }) => {
                self.send(socket, end, bytes)
            }
            (Syscall::SendVectored { slices, .. }, &Socket { what: What::Stream(end), .. }) => {
                if slices.iter().count() > SLICES_MAX {
                    return Outcome::Failed(EINVAL);
                }
                // To the kernel they are one: only the copy into its buffers differs.
                let bytes = pieces::join(slices.iter());
                self.send(socket, end, &bytes)
            }
            (Syscall::ShutdownWrite { .. }, &Socket { what: What::Stream(end), .. }) => self.shutdown(end),
            (_, _) => Outcome::Failed(EINVAL),
        }
    }

    fn recv(&mut self, socket: SocketId, end: Endpoint, buffer: &mut [u8]) -> Outcome {
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        if self.dice.strikes(Fault::RecvExhausted) {
            return self.short_of_memory();
        }
        self.strike_dead(end);
        if self.link(end).sent_by(!end.side).arrived() > 0 && self.dice.strikes(Fault::RecvAtMark) {
            return self.stop_at_mark(socket);
        }
        if self.link(end).can_hold_back(end.side) {
            self.hold_back(end, buffer.len());
        }
        let reach = self.link(end).sent_by(!end.side).arrived().min(buffer.len());
        let partial = reach > 1 && self.dice.strikes(Fault::RecvPartial);
        let stop = if partial { 1 + self.dice.choice.index(reach - 1) } else { buffer.len() };
        match self.link_mut(end).receive(end.side, &mut buffer[..stop]) {
            Ok(count) => {
                // There may be room now for what is in flight.
                self.flow(end.far());
                // On a Unix socket a message may have ended there, for all its system knows.
                let unproven = self.link(end).family == Family::Unix && count < buffer.len();
                let partial = count > 0 && (partial || unproven);
                if partial { Outcome::Partial(count) } else { Outcome::Transferred(count) }
            }
            Err(refusal) => self.refuse(socket, Direction::Receive, refusal),
        }
    }

    fn poll(&mut self, socket: SocketId, end: Endpoint, direction: Direction) -> Outcome {
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        self.strike_dead(end);
        let condition = condition(&self.sockets, &self.connections, socket);
        let ready = match direction {
            Direction::Receive => condition.receives(),
            Direction::Send => condition.sends(),
        };
        let over = condition.shut || condition.error;
        let pressed =
            direction == Direction::Send && ready && !over && self.dice.strikes(Fault::SendWouldBlock);
        if ready && !pressed {
            return Outcome::Done;
        }
        let sent = self.link_mut(end).sent_by_mut(end.side);
        if pressed {
            // What a send may still find room for is too little for a poll.
            sent.send_pressed(&[], 0);
            self.flow_within(end, timing::HOLD_MAX);
        } else if direction == Direction::Send {
            // It asks for an event, as a send would.
            sent.starve();
        }
        self.refuse(socket, direction, NotMoved::WouldBlock)
    }

    fn peek(&mut self, socket: SocketId, end: Endpoint) -> Outcome {
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        if self.dice.strikes(Fault::RecvExhausted) {
            return self.short_of_memory();
        }
        self.strike_dead(end);
        if self.link(end).sent_by(!end.side).arrived() > 0 {
            return Outcome::Transferred(1);
        }
        match self.link_mut(end).receive(end.side, &mut []) {
            Ok(count) => Outcome::Transferred(count),
            Err(refusal) => self.refuse(socket, Direction::Receive, refusal),
        }
    }

    /// Would block, whatever is there: no change will tell of it, so the socket is registered anew.
    fn stop_at_mark(&mut self, socket: SocketId) -> Outcome {
        if let Some(registration) = self.socket(socket).registration {
            let condition = condition(&self.sockets, &self.connections, socket);
            let (now, engine) = (self.clock.now(), &mut self.pollers[registration.poller].engine);
            engine.register_anew(socket, Direction::Receive, condition, now, &mut self.dice);
        }
        Outcome::WouldBlock
    }

    /// Takes some of what has arrived out of a receive's reach. It arrives again, and that is a change.
    fn hold_back(&mut self, end: Endpoint, wanted: usize) {
        let arrived = self.link(end).sent_by(!end.side).arrived();
        let reach = arrived.min(wanted);
        let kept = if self.dice.strikes(Fault::RecvWouldBlock) {
            0
        } else if reach > 1 && self.dice.strikes(Fault::RecvShort) {
            1 + self.dice.choice.index(reach - 1)
        } else {
            return;
        };
        self.link_mut(end).sent_by_mut(!end.side).hold_back(arrived - kept);
        self.flow_within(end.far(), timing::HOLD_MAX);
    }

    fn send(&mut self, socket: SocketId, end: Endpoint, bytes: &[u8]) -> Outcome {
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        if self.dice.strikes(Fault::SendExhausted) {
            return Outcome::Exhausted(ENOBUFS);
        }
        self.strike_dead(end);
        let reach = self.link(end).sent_by(end.side).room().min(bytes.len());
        let pressed = if reach > 0 && self.dice.strikes(Fault::SendWouldBlock) {
            Some(0)
        } else if reach > 1 && self.dice.strikes(Fault::SendShort) {
            Some(1 + self.dice.choice.index(reach - 1))
        } else {
            None
        };
        let sent = match pressed {
            Some(count) => {
                let sent = self.link_mut(end).send_pressed(end.side, bytes, count);
                self.flow_within(end, timing::HOLD_MAX);
                sent
            }
            None => self.link_mut(end).send(end.side, bytes),
        };
        match sent {
            Ok(count) => {
                self.flow(end);
                Outcome::Transferred(count)
            }
            Err(refusal) => self.refuse(socket, Direction::Send, refusal),
        }
    }

    fn refuse(&mut self, socket: SocketId, direction: Direction, refusal: NotMoved) -> Outcome {
        match refusal {
            NotMoved::Failed(error) => Outcome::Failed(error),
            NotMoved::WouldBlock => {
                if let Some(registration) = self.socket(socket).registration {
                    self.pollers[registration.poller].engine.on_would_block(socket, direction);
                }
                Outcome::WouldBlock
            }
        }
    }

    fn accept(&mut self, listener: SocketId, registration: Registration) -> Outcome {
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        if self.dice.strikes(Fault::AcceptRefused) {
            return Outcome::Refused(*self.dice.choice.pick(&[EPERM, ENOSYS]));
        }
        if self.dice.strikes(Fault::AcceptDescriptors) {
            return Outcome::Exhausted(*self.dice.choice.pick(&[EMFILE, ENFILE]));
        }
        if self.dice.strikes(Fault::AcceptMemory) {
            return self.short_of_memory();
        }
        // As on Linux, the descriptor comes first: without one, nobody looks who is waiting.
        if self.descriptors.count() >= self.descriptors.count_max {
            return Outcome::Exhausted(EMFILE);
        }
        let pending = self.socket(listener).listener().map_or(0, |waiting| waiting.pending());
        if pending > 0 && self.dice.strikes(Fault::AcceptWouldBlock) {
            self.hold(listener);
        }
        let Some(link) = self.pop_backlog(listener) else {
            return self.refuse(listener, Direction::Receive, NotMoved::WouldBlock);
        };
        let end = Endpoint { link, side: Side::Server };
        if self.dice.strikes(Fault::AcceptAborted) {
            self.reset_end(end);
            return Outcome::Interrupted;
        }
        if self.dice.strikes(Fault::AcceptRegister) {
            self.close_end(end);
            return Outcome::Exhausted(*self.dice.choice.pick(&[ENOMEM, ENOSPC]));
        }
        self.note_accepted(link, listener);
        let socket = self.create(What::Stream(end)).expect("a descriptor is free");
        self.register(socket, registration);
        Outcome::Done
    }

    fn pop_backlog(&mut self, listener: SocketId) -> Option<u32> {
        self.sockets[listener.index()].as_mut()?.listener_mut()?.pop()
    }

    fn shutdown(&mut self, end: Endpoint) -> Outcome {
        if self.dice.strikes(Fault::Interrupted) {
            return Outcome::Interrupted;
        }
        if self.dice.strikes(Fault::ShutdownExhausted) {
            return self.short_of_memory();
        }
        self.strike_dead(end);
        match self.change(end, |link, news| link.shut(end.side, news)) {
            Ok(()) => {
                self.flow(end);
                Outcome::Done
            }
            Err(error) => Outcome::Failed(error),
        }
    }

    fn short_of_memory(&mut self) -> Outcome {
        Outcome::Exhausted(*self.dice.choice.pick(&[ENOBUFS, ENOMEM]))
    }

    /// Finds out, perhaps, that the connection has been dead for a while.
    fn strike_dead(&mut self, end: Endpoint) {
        let error = if self.dice.strikes(Fault::Reset) {
            ECONNRESET
        } else if self.dice.strikes(Fault::TimedOut) {
            ETIMEDOUT
        } else {
            return;
        };
        let discards = self.dice.strikes(Fault::ResetDiscards);
        self.change(end, |link, news| link.sever(end.side, error, discards, news));
    }
}
