//! How connections end: closed at once, after their sends are flushed, or after the peer has ended, too (K2).

use core::time::Duration;

use crate::completion::{CloseReason, OpError};
use crate::conn::Phase;
use crate::deadlines::Owner;
use crate::error::IdError;
use crate::id::ConnId;
use crate::lane::{Bits, Direction, LaneId};
use crate::model::{Model, ModelView};
use crate::op::Manner;
use crate::system::Kind;
use crate::time::{Deadline, Instant};

/// How a connection ends that flushes or lingers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) reason: CloseReason,
    /// Whether it lingers, once it has flushed.
    pub(crate) lingers: bool,
    /// How long it waits for the peer to take anything.
    pub(crate) span: Option<Duration>,
}

impl<C> ModelView<'_, C> {
    /// How a connection flushes or lingers: as its `Close` says; without one it is the proactor that is shut
    /// down.
    pub(crate) fn ending(&self, conn: u32) -> Ending {
        let state = self.lanes.conn(conn);
        let is_stream = state.kind == Kind::Stream;
        match state.closing().map(|closing| (closing.manner, closing.reason)) {
            Some((Manner::Linger(millis), reason)) => {
                Ending { reason, lingers: is_stream, span: Some(Duration::from_millis(millis.into())) }
            }
            Some((_, reason)) => Ending { reason, lingers: false, span: None },
            None => Ending { reason: CloseReason::ShutDown, lingers: is_stream, span: None },
        }
    }
}

impl<C> Model<C> {
    /// Closes a connection or listener at once: every queued operation ends with [`OpError::Closed`], the
    /// descriptor is closed in a coming turn, and then the id is stale. What is flushing or lingering ends at
    /// once, unless it does so because of a [`shut_down_by`](Model::shut_down_by): a user who closes when a
    /// receive fails would otherwise cut off what the shutdown was to let finish. Returns whether that closes
    /// it: not if it is being closed at once already, or left to the shutdown.
    ///
    /// # Errors
    ///
    /// When the id is stale (it *is* closed) or foreign.
    pub fn close(&mut self, conn: ConnId) -> Result<bool, IdError> {
        let index = self.conn_index(conn)?;
        Ok(self.close_because(index, CloseReason::Requested))
    }

    /// [`close`](Model::close), unless the connection flushes or lingers: then that goes on.
    ///
    /// # Errors
    ///
    /// When the id is stale (it *is* closed) or foreign.
    pub fn close_if_open(&mut self, conn: ConnId) -> Result<bool, IdError> {
        let index = self.conn_index(conn)?;
        let is_open = self.lanes.conn(index).phase() == Phase::Open;
        Ok(is_open && self.close_because(index, CloseReason::Requested))
    }

    /// [`close`](Model::close), for a reason of the program's own, which the operations that it ends are
    /// told.
    ///
    /// # Errors
    ///
    /// When the id is stale (it *is* closed) or foreign.
    pub fn close_with(&mut self, conn: ConnId, code: u32) -> Result<bool, IdError> {
        let index = self.conn_index(conn)?;
        Ok(self.close_because(index, CloseReason::Code(code)))
    }

    fn close_because(&mut self, conn: u32, reason: CloseReason) -> bool {
        let state = self.lanes.conn(conn);
        let is_left_to_shut_down = state.phase().is_ending() && state.closing().is_none();
        if state.phase().is_closing() || is_left_to_shut_down {
            return false;
        }
        self.abort(conn, reason);
        true
    }

    /// Closes everything and accepts nothing any more: every operation ends with [`OpError::Closed`].
    pub fn shut_down(&mut self) {
        self.end_everything(None);
    }

    /// [`shut_down`](Model::shut_down), but streams end as by a lingering [`Close`](crate::Close) that has no
    /// span and this deadline: sends that are queued go on, then a FIN is sent, and what peers still send is
    /// thrown away until they have ended their side too, or until `deadline`. A `Close` that was submitted
    /// before goes on as it is, until `deadline` at the latest. Called again, it can only make the end come
    /// sooner.
    pub fn shut_down_by(&mut self, deadline: Deadline, clock: impl FnOnce() -> Instant) {
        let until = self.resolve(Some(deadline), clock);
        self.end_everything(Some(until));
    }

    fn end_everything(&mut self, flush_until: Option<Instant>) {
        self.refuse_all();
        for index in self.own.sleeps() {
            self.end_sleep(index, Err(OpError::Closed(CloseReason::ShutDown)));
        }
        for index in 0..self.lanes.index_bound() {
            let Some(phase) = self.lanes.at(index).map(|conn| conn.phase()) else { continue };
            match flush_until {
                _ if phase == Phase::Gone => {}
                Some(until) if phase == Phase::Open => {
                    self.flush(index, CloseReason::ShutDown, until, self.now);
                }
                Some(until) if phase.is_ending() => self.end_sooner(index, until),
                _ => self.abort(index, CloseReason::ShutDown),
            }
        }
    }

    /// A `Close` operation was accepted. If the connection is being closed already, that goes on as it was
    /// begun, and ends no later than this one says.
    pub(super) fn begin_close(
        &mut self,
        conn: u32,
        manner: Manner,
        reason: CloseReason,
        deadline: Instant,
        now: Instant,
    ) {
        let phase = self.lanes.conn(conn).phase();
        match manner {
            _ if phase.is_closing() => {}
            Manner::Flush | Manner::Linger(_) if phase.is_ending() => self.end_sooner(conn, deadline),
            Manner::Flush | Manner::Linger(_) => self.flush(conn, reason, deadline, now),
            Manner::Now => self.abort(conn, reason),
            Manner::Abort => {
                let reset = self.lanes.conn(conn).kind == Kind::Stream;
                self.close_now(conn, reason, reset);
            }
        }
    }

    pub(super) fn how_it_ends(&self, conn: u32) -> Ending {
        self.view().ending(conn)
    }

    /// Ends the receives of a connection, and lets its queued sends go on until `deadline`.
    fn flush(&mut self, conn: u32, reason: CloseReason, deadline: Instant, now: Instant) {
        let receive = LaneId::receive(conn);
        self.end_idle(conn);
        self.lanes.leave(receive, &mut self.deadlines);
        self.end_all(receive, |_| Err(OpError::Closed(reason)));
        self.lanes.advance(conn, Phase::Flushing, &mut self.deadlines);
        self.end_sooner(conn, deadline);
        self.put_off_end(conn, now);
        self.on_send_lane_changed(conn);
    }

    /// Operations of a send lane have ended: if none is left and the connection flushes, it goes on to linger
    /// or to close.
    pub(super) fn on_send_lane_changed(&mut self, conn: u32) {
        let Some(state) = self.lanes.at(conn) else { return };
        if state.phase() != Phase::Flushing || state.queued(Direction::Send) > 0 {
            return;
        }
        let Ending { reason, lingers, .. } = self.how_it_ends(conn);
        let state = self.lanes.conn(conn);
        let alive = state.lanes.iter().all(|lane| !lane.has(Bits::OVER | Bits::TAINTED));
        if lingers && alive { self.linger(conn) } else { self.abort(conn, reason) }
    }

    /// Sends FIN, unless that has been done, and waits for the peer's.
    fn linger(&mut self, conn: u32) {
        let fin_sent = self.lanes.lane(LaneId::send(conn)).has(Bits::SHUT);
        let phase = if fin_sent { Phase::LingeringFinSent } else { Phase::LingeringFinDue };
        self.lanes.advance(conn, phase, &mut self.deadlines);
        if fin_sent {
            self.put_off_end(conn, self.now);
        }
    }

    /// The kernel has taken bytes of a send: the peer takes what it is sent.
    pub(super) fn on_peer_took(&mut self, conn: u32) {
        if self.lanes.conn(conn).phase() == Phase::Flushing {
            self.put_off_end(conn, self.now);
        }
    }

    /// Begins the span of a lingering `Close` anew, as of `now`: it ends no sooner than it would have.
    pub(super) fn put_off_end(&mut self, conn: u32, now: Instant) {
        let Ending { lingers: true, span: Some(span), .. } = self.how_it_ends(conn) else { return };
        let (end, timer) = (now + span, self.lanes.conn(conn).end_timer);
        let armed = self.deadlines.tick_of(timer);
        if end == Instant::MAX || armed.is_some_and(|at| at >= end.tick_ceil()) {
            return;
        }
        self.deadlines.cancel(timer);
        let timer = self.deadlines.arm(end, Owner::End(conn));
        self.lanes.set_end_timer(conn, timer);
    }

    /// Ends flushing and lingering at `deadline`, unless that ends earlier anyway. It is the deadline of the
    /// `Close`, if there is one.
    fn end_sooner(&mut self, conn: u32, deadline: Instant) {
        let state = self.lanes.conn(conn);
        let (timer, owner) = match state.closing() {
            Some(closing) => (closing.timer, Owner::Close(conn)),
            None => (state.end_timer, Owner::End(conn)),
        };
        let armed = self.deadlines.tick_of(timer);
        if deadline == Instant::MAX || armed.is_some_and(|at| at <= deadline.tick_ceil()) {
            return;
        }
        self.deadlines.cancel(timer);
        let timer = self.deadlines.arm(deadline, owner);
        match self.lanes.closing_mut(conn) {
            Some(closing) => closing.timer = timer,
            None => self.lanes.set_end_timer(conn, timer),
        }
    }

    /// The time for flushing or lingering is up.
    pub(super) fn cut_short(&mut self, conn: u32) {
        if self.lanes.conn(conn).phase().is_ending() {
            self.abort(conn, self.how_it_ends(conn).reason);
        }
    }

    /// Ends everything of a connection and queues its descriptor to be closed: by a reset, if that cuts a
    /// send (K2).
    pub(super) fn abort(&mut self, conn: u32, reason: CloseReason) {
        self.close_now(conn, reason, self.lanes.conn(conn).is_cut());
    }

    fn close_now(&mut self, conn: u32, reason: CloseReason, reset: bool) {
        let phase = self.lanes.conn(conn).phase();
        if phase.is_closing() || phase == Phase::Gone {
            return;
        }
        let deadline = self.lanes.closing_mut(conn).and_then(|closing| closing.timer.take());
        self.deadlines.cancel(deadline);
        self.deadlines.cancel(self.lanes.conn(conn).end_timer);
        self.lanes.set_end_timer(conn, None);
        self.end_idle(conn);
        let [receive, send] = [LaneId::receive(conn), LaneId::send(conn)];
        if phase == Phase::Connecting {
            // There is nothing to close.
            self.end_all(send, |_| Err(OpError::Closed(reason)));
            self.lanes.gone(conn, &mut self.deadlines);
            self.metrics.on_closed();
            return;
        }
        // The receive lane makes the last call. If it stands in the run queue it keeps its place there.
        if !self.lanes.lane(receive).has(Bits::QUEUED) {
            self.lanes.leave(receive, &mut self.deadlines);
        }
        let next = if reset { Phase::ClosingReset } else { Phase::Closing };
        self.lanes.advance(conn, next, &mut self.deadlines);
        self.end_all(receive, |_| Err(OpError::Closed(reason)));
        self.end_all(send, |_| Err(OpError::Closed(reason)));
    }

    /// The connections that are to be closed by a reset, if they are closed now. Who drops a model with its
    /// connections has the system do so first, or their peers take for complete what was cut off.
    pub fn conns_to_reset(&self) -> impl Iterator<Item = ConnId> {
        self.lanes.iter().filter(|(_, conn)| conn.resets_on_close()).map(|(id, _)| id)
    }
}
