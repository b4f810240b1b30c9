//! Tracing: a span for each connection, events for what happens to it. With no subscriber all of it is one
//! comparison per call.

use std::collections::BTreeMap;
use std::time::Duration;

use aio_model::{ConnId, Instant, Kind, Outcome, Readiness, Rearm, Syscall, System, SystemError};
use tracing::{Level, Span, debug_span, enabled, trace, warn};

/// What every span and event is filtered by.
pub(crate) const TARGET: &str = "aio";

/// Whether anybody listens at TRACE.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    enabled!(target: TARGET, Level::TRACE)
}

/// The spans of the connections that were opened while somebody listened.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    open: BTreeMap<ConnId, Span>,
}

impl Spans {
    pub(crate) fn open(&mut self, conn: ConnId) {
        let span = debug_span!(target: TARGET, "connection", %conn);
        if !span.is_disabled() {
            self.open.insert(conn, span);
        }
    }

    fn close(&mut self, conn: ConnId) {
        if !self.open.is_empty() {
            self.open.remove(&conn);
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

    /// Runs `event` in the span of a connection, if anybody listens at TRACE.
    #[inline]
    pub(crate) fn trace(&self, conn: ConnId, event: impl FnOnce()) {
        if is_on() {
            self.open.get(&conn).unwrap_or(&Span::none()).in_scope(event);
        }
    }
}

/// A system that reports what it is asked to do.
pub(crate) struct Traced<'a, S> {
    pub(crate) system: &'a mut S,
    pub(crate) spans: &'a mut Spans,
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
        self.spans.open(conn);
        Ok(())
    }

    // Whoever makes a call knows which it is: inlined, there is nothing left to be told apart.
    #[inline(always)]
    fn perform(&mut self, call: Syscall<'_>) -> Outcome {
        if let Syscall::Recv { .. }
        | Syscall::RecvVectored { .. }
        | Syscall::Send { .. }
        | Syscall::SendVectored { .. } = call
        {
            // The hot calls, on the shortest path.
            if !is_on() {
                return self.system.perform(call);
            }
        }
        self.perform_traced(call)
    }

    fn wait(
        &mut self,
        until: Option<Instant>,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<Instant, SystemError> {
        self.system.wait(until, on_ready)
    }

    fn wait_spinning(
        &mut self,
        until: Option<Instant>,
        spin: Duration,
        on_ready: impl FnMut(ConnId, Readiness),
    ) -> Result<(Instant, bool), SystemError> {
        self.system.wait_spinning(until, spin, on_ready)
    }
}

impl<S: System> Traced<'_, S> {
    #[cold]
    fn perform_traced(&mut self, call: Syscall<'_>) -> Outcome {
        let conn = call.conn();
        let (name, opened, closed) = match &call {
            Syscall::Recv { .. } | Syscall::RecvVectored { .. } => ("recv", None, None),
            Syscall::Discard { .. } => ("discard", None, None),
            Syscall::Connect { conn, .. } => ("connect", Some(*conn), None),
            Syscall::Send { .. } | Syscall::SendVectored { .. } => ("send", None, None),
            Syscall::Accept { conn, .. } => ("accept", Some(*conn), None),
            Syscall::ShutdownWrite { .. } => ("shutdown", None, None),
            Syscall::Close { conn, reset: false } => ("close", None, Some(*conn)),
            Syscall::Close { conn, reset: true } => ("reset", None, Some(*conn)),
        };
        let outcome = self.system.perform(call);
        self.spans.trace(conn, || trace!(target: TARGET, call = name, ?outcome, "attempt"));
        if let (Some(opened), Outcome::Done) = (opened, outcome) {
            self.spans.open(opened);
        }
        if let Some(closed) = closed {
            self.spans.close(closed);
        }
        outcome
    }
}
