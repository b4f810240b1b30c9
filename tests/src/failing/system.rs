//! The system that fails on demand: all it does not make fail is done by the operating system.

use std::collections::{HashMap, HashSet};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::time::Duration;

use aio::system::{Kind, Outcome, Readiness, Rearm, Syscall, System};
use aio::{Address, ConnId, Direction, Instant, Listen, Os, Socket, SystemError};

use super::fault::{Call, CallFailure, CallFault, DROUGHT, Effect};

/// The call that is to fail: the n-th of its kind, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Which one.
    pub nth: u32,
    /// How.
    pub fault: CallFault,
    /// What is expected to come of it: the fault's effect, unless the judge is on trial.
    pub expected: Effect,
}

impl Planned {
    /// The n-th call of the fault's kind fails so.
    pub fn new(nth: u32, fault: CallFault) -> Planned {
        Planned { nth, fault, expected: fault.effect }
    }
}

/// A call that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Injected {
    /// Which one.
    pub planned: Planned,
    /// The connection or listener that the call was about, if there was one.
    pub conn: Option<ConnId>,
}

/// What a broken system does that no system may: each must be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treason {
    /// After an EAGAIN that it made up, no event.
    NoEventAfterEagain,
    /// A send that moved nothing is said to have moved all.
    SwallowsSend,
    /// A byte of a receive is another.
    ChangesByte,
    /// With each connection that is accepted, another descriptor is opened and kept.
    LeaksDescriptor,
    /// Failures of receives have another number than was planned.
    OtherErrno,
    /// The listener is reported again and again.
    StormOfEvents,
    /// A failure of a send also fails the next receive.
    FailsTwice,
    /// A socket that is not adopted does not come back: another one does.
    KeepsSocket,
}

/// The operating system, of which planned calls fail.
#[derive(Debug)]
pub struct Failing {
    os: Os,
    plan: Vec<Planned>,
    made: [u32; Call::ALL.len()],
    injected: Vec<Injected>,
    /// The events that made-up EAGAINs promised.
    owed: Vec<(ConnId, Readiness)>,
    /// The ends that events have told of. A made-up EAGAIN has the model forget them, so the event after it
    /// tells of them again, as the kernel's would.
    ends: HashMap<ConnId, Readiness>,
    /// Whatever was ever reported, closed or not.
    known: HashSet<ConnId>,
    /// Connections that are under way.
    connecting: HashSet<ConnId>,
    /// What all calls of a kind fail with, and until when.
    drought: Option<(CallFault, std::time::Instant)>,
    /// How far the clock has jumped.
    ahead: Duration,
    treason: Option<Treason>,
    leaked: Vec<OwnedFd>,
    fails_next: Option<SystemError>,
    listener: Option<ConnId>,
}

impl Failing {
    /// A system of which those calls fail.
    ///
    /// # Errors
    ///
    /// When the operating system gives no readiness queue.
    pub fn new(plan: &[Planned]) -> io::Result<Failing> {
        Ok(Failing {
            os: Os::new()?,
            plan: plan.to_vec(),
            made: [0; Call::ALL.len()],
            injected: Vec::new(),
            owed: Vec::new(),
            ends: HashMap::new(),
            known: HashSet::new(),
            connecting: HashSet::new(),
            drought: None,
            ahead: Duration::ZERO,
            treason: None,
            leaked: Vec::new(),
            fails_next: None,
            listener: None,
        })
    }

    /// The same, but broken in a way that must be noticed.
    #[must_use]
    pub fn betraying(mut self, treason: Option<Treason>) -> Failing {
        self.treason = treason;
        self
    }

    /// The calls that have failed.
    pub fn injected(&self) -> &[Injected] {
        &self.injected
    }

    /// How many calls of a kind were made, failed ones included.
    pub fn made(&self, call: Call) -> u32 {
        self.made[call as usize]
    }

    /// The descriptors that treason kept.
    pub fn take_leaked(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.leaked)
    }

    /// Counts a call, and says how it is to fail, if it is.
    fn strike(&mut self, call: Call, conn: Option<ConnId>) -> Option<CallFault> {
        if let Some((dry, end)) = self.drought.filter(|(dry, _)| dry.call == call) {
            if std::time::Instant::now() < end {
                return Some(dry);
            }
            self.drought = None;
        }
        self.made[call as usize] += 1;
        let nth = self.made[call as usize];
        let planned = *self.plan.iter().find(|planned| planned.fault.call == call && planned.nth == nth)?;
        self.injected.push(Injected { planned, conn });
        if matches!(planned.fault.failure, CallFailure::Drought(_)) {
            self.drought = Some((planned.fault, std::time::Instant::now() + DROUGHT));
        }
        Some(planned.fault)
    }

    fn call_of(&self, call: &Syscall<'_>) -> Option<Call> {
        Some(match call {
            Syscall::Recv { .. } => Call::Recv,
            Syscall::RecvVectored { .. } => Call::RecvVectored,
            Syscall::Discard { .. } => Call::Discard,
            Syscall::Poll { direction: Direction::Receive, .. } => Call::PollReceive,
            Syscall::Poll { direction: Direction::Send, .. } => Call::PollSend,
            Syscall::Peek { .. } => Call::Peek,
            Syscall::Send { .. } => Call::Send,
            Syscall::SendVectored { .. } => Call::SendVectored,
            Syscall::Accept { .. } => Call::Accept,
            Syscall::Connect { conn, .. } if self.connecting.contains(conn) => Call::ConnectFinish,
            Syscall::Connect { .. } => Call::Connect,
            Syscall::ShutdownWrite { .. } => Call::Shutdown,
            // It can not fail.
            Syscall::Close { .. } => return None,
        })
    }

    /// Fails a call without making it.
    fn fail(&mut self, call: Call, conn: ConnId, fault: CallFault) -> Outcome {
        let outcome = fault.outcome();
        if outcome == Outcome::WouldBlock && self.treason != Some(Treason::NoEventAfterEagain) {
            let direction = match call {
                Call::Send | Call::SendVectored | Call::PollSend => Readiness::WRITABLE,
                _ => Readiness::READABLE,
            };
            self.owe(conn, direction);
        }
        if call == Call::ConnectFinish && matches!(outcome, Outcome::Failed(_)) {
            self.forget(conn);
        }
        match (self.treason, outcome, call) {
            (Some(Treason::OtherErrno), Outcome::Failed(error), Call::Recv) => {
                Outcome::Failed(SystemError::new(error.kind(), error.code().map_or(1, |code| code + 1)))
            }
            (Some(Treason::FailsTwice), Outcome::Failed(error), Call::Send) => {
                self.fails_next = Some(error);
                outcome
            }
            _ => outcome,
        }
    }

    /// Makes a call with the first byte only. That it was short says nothing of what is at hand; a send that
    /// is cut is followed by an event, as one that found too little space.
    fn short(&mut self, call: Syscall<'_>) -> Outcome {
        match call {
            Syscall::Recv { conn, buffer } => {
                let more = buffer.len() > 1;
                match self.os.perform(Syscall::Recv { conn, buffer: &mut buffer[..1] }) {
                    Outcome::Transferred(1) if more => Outcome::Partial(1),
                    outcome => outcome,
                }
            }
            Syscall::Send { conn, bytes } => {
                self.owe(conn, Readiness::WRITABLE);
                self.os.perform(Syscall::Send { conn, bytes: &bytes[..1] })
            }
            call => self.os.perform(call),
        }
    }

    fn owe(&mut self, conn: ConnId, direction: Readiness) {
        let ends = self.ends.get(&conn).copied().unwrap_or_default();
        self.owed.push((conn, direction | ends));
    }

    /// Closes what the system does not know any more after a failure.
    fn forget(&mut self, conn: ConnId) {
        self.connecting.remove(&conn);
        self.os.perform(Syscall::Close { conn, reset: false });
    }

    /// What comes after a call that was made: registration, which may fail in turn.
    fn made_call(&mut self, call: Call, conn: ConnId, outcome: Outcome) -> Outcome {
        let register = match (call, outcome) {
            (Call::Accept, Outcome::Done) => Call::AcceptRegister,
            (Call::Connect, Outcome::Done | Outcome::WouldBlock) => Call::ConnectRegister,
            _ => return outcome,
        };
        if let Some(fault) = self.strike(register, Some(conn)) {
            self.forget(conn);
            return fault.outcome();
        }
        outcome
    }

    fn commit(&mut self, call: Syscall<'_>) -> Outcome {
        match (self.treason, call) {
            (Some(Treason::SwallowsSend), Syscall::Send { bytes, .. }) => Outcome::Transferred(bytes.len()),
            (Some(Treason::ChangesByte), Syscall::Recv { conn, buffer }) => {
                let outcome = self.os.perform(Syscall::Recv { conn, buffer: &mut *buffer });
                buffer[0] ^= 1;
                outcome
            }
            (Some(Treason::LeaksDescriptor), Syscall::Accept { listener, conn }) => {
                let outcome = self.os.perform(Syscall::Accept { listener, conn });
                self.leaked.extend(std::fs::File::open("/dev/null").map(OwnedFd::from));
                outcome
            }
            (Some(Treason::FailsTwice), Syscall::Recv { conn, buffer }) => match self.fails_next.take() {
                Some(error) => Outcome::Failed(error),
                None => self.os.perform(Syscall::Recv { conn, buffer }),
            },
            (_, call) => self.os.perform(call),
        }
    }

    fn read_clock(&mut self, now: Instant) -> Instant {
        match self.strike(Call::Clock, None).map(|fault| fault.failure) {
            Some(CallFailure::StepBack) => return Instant::ZERO,
            Some(CallFailure::Jump) => self.ahead += Duration::from_secs(3600),
            _ => {}
        }
        now + self.ahead
    }
}

impl System for Failing {
    type Socket = Socket;
    type Waker = <Os as System>::Waker;

    fn rearm(&self) -> Rearm {
        self.os.rearm()
    }

    fn waker(&self) -> Self::Waker {
        self.os.waker()
    }

    fn now(&mut self) -> Instant {
        let now = self.os.now();
        self.read_clock(now)
    }

    fn kind(&mut self, socket: &Socket) -> Result<Kind, SystemError> {
        match self.strike(Call::Kind, None).and_then(|fault| fault.error()) {
            Some(error) => Err(error),
            None => self.os.kind(socket),
        }
    }

    fn adopt(&mut self, conn: ConnId, socket: Socket) -> Result<(), (SystemError, Socket)> {
        if let Some(error) = self.strike(Call::Adopt, Some(conn)).and_then(|fault| fault.error()) {
            return match (self.treason, std::net::UdpSocket::bind("127.0.0.1:0")) {
                (Some(Treason::KeepsSocket), Ok(other)) => Err((error, OwnedFd::from(other).into())),
                _ => Err((error, socket)),
            };
        }
        if socket.kind() == Ok(Kind::Listener) {
            self.listener = Some(conn);
        }
        self.os.adopt(conn, socket)
    }

    fn listen(&mut self, listen: &Listen) -> Result<Socket, SystemError> {
        self.os.listen(listen)
    }

    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.os.local_addr(conn)
    }

    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.os.peer_addr(conn)
    }

    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        let Some(kind) = self.call_of(&call) else { return self.os.perform(call) };
        let (about, conn) = match &call {
            Syscall::Accept { listener, conn } => (*listener, *conn),
            other => (other.conn(), other.conn()),
        };
        match self.strike(kind, Some(about)) {
            Some(fault) if fault.failure == CallFailure::Short => return self.short(call),
            Some(fault) => return self.fail(kind, about, fault),
            None => {}
        }
        let outcome = self.commit(call);
        let outcome = self.made_call(kind, conn, outcome);
        match (kind, outcome) {
            (Call::Connect | Call::ConnectFinish, Outcome::WouldBlock) => drop(self.connecting.insert(conn)),
            (Call::Connect | Call::ConnectFinish, Outcome::Interrupted) => {}
            (Call::Connect | Call::ConnectFinish, _) => drop(self.connecting.remove(&conn)),
            _ => {}
        }
        outcome
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        let fault = self.strike(Call::Wait, None);
        match fault.map(|fault| (fault.failure, fault.effect)) {
            Some((CallFailure::Errno(_), Effect::Passes)) => return Ok(self.now()),
            Some((CallFailure::Errno(errno), _)) => return Err(super::fault::error(errno)),
            Some((CallFailure::Spurious, _)) => {
                let known: Vec<ConnId> = self.known.iter().copied().collect();
                known.into_iter().for_each(|conn| self.owe(conn, Readiness::READABLE | Readiness::WRITABLE));
            }
            _ => {}
        }
        if let (Some(Treason::StormOfEvents), Some(listener)) = (self.treason, self.listener) {
            self.owed.push((listener, Readiness::READABLE));
        }
        let until = if self.owed.is_empty() {
            until.map(|until| Instant::ZERO + until.saturating_since(Instant::ZERO + self.ahead))
        } else {
            Some(Instant::ZERO)
        };
        for (conn, readiness) in self.owed.drain(..) {
            on_ready(conn, readiness);
        }
        let late = fault.is_some_and(|fault| fault.failure == CallFailure::Late);
        let Failing { os, ends, owed, known, .. } = self;
        let now = os.wait(until, events_max, |conn, readiness| {
            known.insert(conn);
            for end in [Readiness::READ_CLOSED, Readiness::WRITE_CLOSED, Readiness::ERROR] {
                if readiness.intersects(end) {
                    *ends.entry(conn).or_default() |= end;
                }
            }
            if late {
                owed.push((conn, readiness));
            } else {
                on_ready(conn, readiness);
            }
        })?;
        Ok(self.read_clock(now))
    }
}
