//! Tracing: a span for each connection, events for what happens to it. With no subscriber all of it is one
//! comparison per call.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    Address, Completion, ConnId, Instant, Kind, Listen, OpId, Outcome, Readiness, Rearm, SubmitErrorKind,
    Syscall, System, SystemError,
};
use tracing::{Level, Span, debug_span, enabled, trace, warn};

/// What every span and event is filtered by.
const TARGET: &str = "aio";

/// Whether anybody listens at TRACE.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    enabled!(target: TARGET, Level::TRACE)
}

/// The spans of the connections that were opened while somebody listened.
///
/// A subscriber is code of the user's, and may panic. So what is to be told is written down while the model
/// is between a call and its record, and told when it is not ([`tell`](Spans::tell)).
#[derive(Debug, Default)]
pub(crate) struct Spans {
    open: BTreeMap<ConnId, Span>,
    untold: VecDeque<News>,
}

/// What happened, and was not told yet.
#[derive(Debug)]
enum News {
    Opened(ConnId),
    Closed(ConnId),
    Called { conn: ConnId, name: &'static str, outcome: Outcome },
}

impl Spans {
    /// Who listens now.
    #[inline]
    pub(crate) fn listeners(&self) -> Listeners {
        if is_on() {
            Listeners::Calls
        } else if !self.open.is_empty() || enabled!(target: TARGET, Level::DEBUG) {
            Listeners::Spans
        } else {
            Listeners::None
        }
    }

    /// Tells what was written down. Each is taken out before it is told: a subscriber that panics hears it
    /// once.
    #[inline]
    pub(crate) fn tell(&mut self) {
        if !self.untold.is_empty() {
            self.tell_all();
        }
    }

    #[cold]
    fn tell_all(&mut self) {
        while let Some(news) = self.untold.pop_front() {
            match news {
                News::Opened(conn) => {
                    let span = debug_span!(target: TARGET, "connection", %conn);
                    if !span.is_disabled() {
                        self.open.insert(conn, span);
                    }
                }
                News::Closed(conn) => drop(self.open.remove(&conn)),
                News::Called { conn, name, outcome } => {
                    self.trace(conn, || trace!(target: TARGET, call = name, ?outcome, "attempt"));
                }
            }
        }
    }

    /// The system is short of something, and has been for a while.
    #[cold]
    pub(crate) fn warn_of_shortage(&self, conn: ConnId, error: SystemError) {
        self.open.get(&conn).unwrap_or(&Span::none()).in_scope(|| {
            warn!(
                target: TARGET,
                %conn,
                %error,
                "the system has been short of something for a while; trying on, up to a second apart"
            );
        });
    }

    /// An operation was submitted, or refused.
    #[cold]
    pub(crate) fn on_submitted(&mut self, conn: ConnId, submitted: Result<OpId, SubmitErrorKind>) {
        self.tell();
        self.trace(conn, || match submitted {
            Ok(op) => trace!(target: TARGET, %op, "submitted"),
            Err(reason) => trace!(target: TARGET, %reason, "refused"),
        });
    }

    /// An operation has completed.
    pub(crate) fn on_completed<C>(&self, done: &Completion<C>) {
        self.trace(done.conn, || {
            trace!(target: TARGET, op = %done.op, bytes = done.bytes, result = ?done.result, "completed");
        });
    }

    /// A system whose calls are written down, for these listeners.
    pub(crate) fn watch<'a, S: System>(
        &'a mut self,
        system: &'a mut S,
        listeners: Listeners,
    ) -> Traced<'a, S> {
        Traced { system, spans: self, listeners }
    }

    /// Runs `event` in the span of a connection, if anybody listens at TRACE.
    #[inline]
    fn trace(&self, conn: ConnId, event: impl FnOnce()) {
        if is_on() {
            self.open.get(&conn).unwrap_or(&Span::none()).in_scope(event);
        }
    }
}

/// A system that writes down what it is asked to do.
pub(crate) struct Traced<'a, S> {
    system: &'a mut S,
    spans: &'a mut Spans,
    /// Who would hear of it. Asked before anything is begun: to answer that is code of the user's, too.
    listeners: Listeners,
}

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listeners {
    /// Nobody.
    None,
    /// Somebody to whom the spans of connections matter.
    Spans,
    /// Somebody who hears of each call.
    Calls,
}

impl<S: System> System for Traced<'_, S> {
    type Socket = S::Socket;
    type Waker = S::Waker;

    fn rearm(&self) -> Rearm {
        self.system.rearm()
    }

    fn waker(&self) -> S::Waker {
        self.system.waker()
    }

    fn now(&mut self) -> Instant {
        self.system.now()
    }

    fn kind(&mut self, socket: &S::Socket) -> Result<Kind, SystemError> {
        self.system.kind(socket)
    }

    fn adopt(&mut self, conn: ConnId, socket: S::Socket) -> Result<(), (SystemError, S::Socket)> {
        self.system.adopt(conn, socket)?;
        if self.listeners != Listeners::None {
            self.spans.untold.push_back(News::Opened(conn));
        }
        Ok(())
    }

    fn listen(&mut self, listen: &Listen) -> Result<S::Socket, SystemError> {
        self.system.listen(listen)
    }

    fn local_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.system.local_addr(conn)
    }

    fn peer_addr(&mut self, conn: ConnId) -> Result<Address, SystemError> {
        self.system.peer_addr(conn)
    }

    // Whoever makes a call knows which it is: inlined, there is nothing left to be told apart.
    #[inline(always)]
    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        if self.listeners == Listeners::None { self.system.perform(call) } else { self.perform_traced(call) }
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        self.system.wait(until, events_max, on_ready)
    }

    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        events_max: NonZeroU32,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        self.system.wait_spinning(until, spin, events_max, on_ready)
    }
}

impl<S: System> Traced<'_, S> {
    #[cold]
    fn perform_traced(&mut self, call: Syscall<'_>) -> Outcome {
        let conn = call.conn();
        let (name, opened, closed) = match &call {
            Syscall::Recv { .. } | Syscall::RecvVectored { .. } => ("recv", None, None),
            Syscall::Discard { .. } => ("discard", None, None),
            Syscall::Poll { .. } => ("poll", None, None),
            Syscall::Peek { .. } => ("peek", None, None),
            Syscall::Connect { conn, .. } => ("connect", Some(*conn), None),
            Syscall::Send { .. } | Syscall::SendVectored { .. } => ("send", None, None),
            Syscall::Accept { conn, .. } => ("accept", Some(*conn), None),
            Syscall::ShutdownWrite { .. } => ("shutdown", None, None),
            Syscall::Close { conn, reset: false } => ("close", None, Some(*conn)),
            Syscall::Close { conn, reset: true } => ("reset", None, Some(*conn)),
        };
        let outcome = self.system.perform(call);
        let untold = &mut self.spans.untold;
        if self.listeners == Listeners::Calls {
            untold.push_back(News::Called { conn, name, outcome });
        }
        if let (Some(opened), Outcome::Done) = (opened, outcome) {
            untold.push_back(News::Opened(opened));
        }
        if let Some(closed) = closed {
            untold.push_back(News::Closed(closed));
        }
        outcome
    }
}
