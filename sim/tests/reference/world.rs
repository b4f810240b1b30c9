//! The scripted system, twice: once below the proactor, once below the reference. Both give the same answers
//! to the same calls, and write down what they were asked.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aio_model::{
    ConnId, Instant, Kind, Outcome, Readiness, Rearm, Syscall, System, SystemError, SystemErrorKind, Wake,
};
use sim::reference::{Call, Id, SystemBelow};

use super::step::{Answer, Passing};

/// What it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Wait { until: Option<Instant> },
    EventsMax(NonZeroU32),
    Perform(Call),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) clock: Instant,
    pub(crate) waits: Option<Passing>,
    pub(crate) wait_fails: bool,
    /// In the names of the proactor, and in plain ones.
    pub(crate) events: Vec<(ConnId, Readiness)>,
    pub(crate) answers: Vec<Answer>,
    answered: usize,
    /// How much each connection has received.
    received: BTreeMap<Id, usize>,
    pub(crate) asked: Vec<Asked>,
}

const ERROR: SystemError = SystemError::new(SystemErrorKind::ConnectionReset, 104);
const NO_DESCRIPTOR: SystemError = SystemError::from_kind(SystemErrorKind::DescriptorsExhausted);
const REFUSAL: SystemError = SystemError::from_kind(SystemErrorKind::PermissionDenied);
const SHORTAGE: SystemError = SystemError::new(SystemErrorKind::OutOfMemory, 12);

/// An id of the proactor's, in plain words.
pub(crate) fn plain(conn: ConnId) -> Id {
    Id { proactor_id: conn.realm(), index: conn.index(), generation: conn.key().generation().get() }
}

pub(crate) fn pass(clock: &mut Instant, passing: Passing) {
    *clock = match passing {
        Passing::Forward(span) => *clock + span,
        Passing::Back(span) => Instant::from_nanos(
            clock.as_nanos().saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        ),
    };
}

impl Scripted {
    /// A turn begins: with these answers.
    pub(crate) fn begin(&mut self, answers: &[Answer]) {
        self.answers = answers.to_vec();
        self.answered = 0;
        self.asked.clear();
    }

    fn sleep(&mut self, until: Option<Instant>, events_max: NonZeroU32) -> Result<Instant, SystemError> {
        self.asked.extend([Asked::Wait { until }, Asked::EventsMax(events_max)]);
        if self.wait_fails {
            return Err(ERROR);
        }
        if let Some(passing) = self.waits {
            pass(&mut self.clock, passing);
        }
        Ok(self.clock)
    }

    fn answer(&mut self, call: Call) -> (Outcome, Vec<u8>) {
        let answer = self.answers[self.answered % self.answers.len()];
        self.answered += 1;
        let outcome = match &call {
            Call::Recv { space, .. } => transfer(answer, *space),
            Call::Send { bytes, .. } => transfer(answer, bytes.len()),
            Call::Discard { .. } => transfer(answer, 100),
            Call::Peek { .. } => transfer(answer, 1),
            _ => happen(answer),
        };
        let bytes = match (outcome, &call) {
            (Outcome::Transferred(count) | Outcome::Partial(count), Call::Recv { conn, space, .. })
                if count <= *space =>
            {
                self.arrive(*conn, count)
            }
            _ => vec![],
        };
        self.asked.push(Asked::Perform(call));
        (outcome, bytes)
    }

    /// The next bytes of a stream: each tells which one it is.
    fn arrive(&mut self, conn: Id, count: usize) -> Vec<u8> {
        let start = self.received.entry(conn).or_default();
        let seed = conn.index as usize * 31 + conn.generation as usize * 17;
        let bytes = (*start..*start + count).map(|offset| (seed + offset * 7).to_le_bytes()[0]).collect();
        *start += count;
        bytes
    }
}

fn transfer(answer: Answer, lent: usize) -> Outcome {
    match answer {
        Answer::All => Outcome::Transferred(lent),
        Answer::Some(count) => Outcome::Transferred(1 + count % lent.max(1)),
        Answer::Partial(count) => Outcome::Partial(1 + count % lent.max(1)),
        Answer::Zero => Outcome::Transferred(0),
        Answer::TooMany => Outcome::Transferred(lent + 1),
        Answer::Nonsense => Outcome::Done,
        other => hinder(other),
    }
}

fn happen(answer: Answer) -> Outcome {
    match answer {
        Answer::All | Answer::Some(_) | Answer::Partial(_) | Answer::Zero => Outcome::Done,
        Answer::TooMany => Outcome::Partial(1),
        Answer::Nonsense => Outcome::Transferred(1),
        other => hinder(other),
    }
}

fn hinder(answer: Answer) -> Outcome {
    match answer {
        Answer::WouldBlock => Outcome::WouldBlock,
        Answer::Interrupted => Outcome::Interrupted,
        Answer::Exhausted => Outcome::Exhausted(SHORTAGE),
        Answer::NoDescriptor => Outcome::Exhausted(NO_DESCRIPTOR),
        Answer::Refused => Outcome::Refused(REFUSAL),
        _ => Outcome::Failed(ERROR),
    }
}

/// Below the reference.
impl SystemBelow for Scripted {
    fn now(&self) -> Instant {
        self.clock
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
    ) -> Result<(Instant, Vec<(Id, Readiness)>), SystemError> {
        let now = self.sleep(until, events_max)?;
        Ok((now, self.events.iter().map(|(conn, readiness)| (plain(*conn), *readiness)).collect()))
    }

    fn perform(&mut self, call: Call) -> (Outcome, Vec<u8>) {
        self.answer(call)
    }
}

/// Below the proactor.
#[derive(Debug)]
pub(crate) struct Os {
    pub(crate) scripted: Scripted,
    pub(crate) rearm: Rearm,
    /// Whether the next socket is adopted.
    pub(crate) takes_socket: bool,
    /// Every connection that it was made to know since it was last asked.
    pub(crate) known: Vec<ConnId>,
    pub(crate) waker: Waker,
}

/// Counts how often it woke the loop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waker(pub(crate) Arc<AtomicU32>);

impl Wake for Waker {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl System for Os {
    type Socket = Kind;
    type Waker = Waker;

    fn rearm(&self) -> Rearm {
        self.rearm
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn now(&mut self) -> Instant {
        self.scripted.clock
    }

    fn kind(&mut self, socket: &Kind) -> Result<Kind, SystemError> {
        Ok(*socket)
    }

    fn adopt(&mut self, conn: ConnId, socket: Kind) -> Result<(), (SystemError, Kind)> {
        if !self.takes_socket {
            return Err((SHORTAGE, socket));
        }
        self.known.push(conn);
        Ok(())
    }

    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        let conn = plain(call.conn());
        match call {
            Syscall::Recv { buffer, .. } => {
                let (outcome, bytes) =
                    self.scripted.answer(Call::Recv { conn, space: buffer.len(), parts: false });
                buffer[..bytes.len()].copy_from_slice(&bytes);
                outcome
            }
            Syscall::RecvVectored { mut slices, .. } => {
                let space = slices.len();
                let (outcome, bytes) = self.scripted.answer(Call::Recv { conn, space, parts: true });
                let mut bytes = bytes.into_iter();
                slices.iter_mut().flatten().zip(&mut bytes).for_each(|(to, from)| *to = from);
                outcome
            }
            Syscall::Discard { .. } => self.scripted.answer(Call::Discard { conn }).0,
            Syscall::Poll { direction, .. } => self.scripted.answer(Call::Poll { conn, direction }).0,
            Syscall::Peek { .. } => self.scripted.answer(Call::Peek { conn }).0,
            Syscall::Send { bytes, .. } => {
                self.scripted.answer(Call::Send { conn, bytes: bytes.to_vec(), parts: false }).0
            }
            Syscall::SendVectored { slices, .. } => {
                let bytes = slices.iter().flatten().copied().collect();
                self.scripted.answer(Call::Send { conn, bytes, parts: true }).0
            }
            Syscall::Accept { conn: new, .. } => {
                self.known.push(new);
                self.scripted.answer(Call::Accept { listener: conn, conn: plain(new) }).0
            }
            Syscall::Connect { conn: new, .. } => {
                self.known.push(new);
                self.scripted.answer(Call::Connect { conn }).0
            }
            Syscall::ShutdownWrite { .. } => self.scripted.answer(Call::ShutdownWrite { conn }).0,
            Syscall::Close { reset, .. } => self.scripted.answer(Call::Close { conn, reset }).0,
        }
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        mut on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        let now = self.scripted.sleep(until, events_max)?;
        self.scripted.events.iter().for_each(|(conn, readiness)| on_ready(*conn, *readiness));
        Ok(now)
    }
}
