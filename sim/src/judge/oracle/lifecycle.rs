//! The beginning and the end of a connection: connects, flushing, lingering, shutting down.

use aio_model::{CloseReason, ConnId, Done, Instant, Kind, OpError, Outcome};

use super::{Conn, End, Fin, Lane, Linger, Manner, Oracle, Phase, RECEIVE, SEND, Task, due_tick};
use crate::world::link::Side;

impl Oracle {
    /// Connections that exist, and connects whose connection is yet to be begun: each holds a place.
    pub(super) fn places(&self) -> usize {
        self.conns.len() + self.unborn().count()
    }

    /// Whether there is no room for another connection.
    pub(super) fn places_taken(&self) -> bool {
        let most = self.limits.connections_max.get() as usize;
        self.conns.len() + self.ops.len() >= most && self.places() >= most
    }

    /// The connects that nobody has tried yet.
    pub(super) fn unborn(&self) -> impl Iterator<Item = u64> {
        let unborn = |(_, op): &(&u64, &super::Op)| {
            op.task == Task::Connect && op.verdict.is_none() && !self.conns.contains_key(&op.conn)
        };
        self.ops.iter().filter(unborn).map(|(context, _)| *context)
    }

    /// The connect of `context`, as `conn`, was answered. `serial` is the connection's in the network, once
    /// it is there.
    pub fn on_connect(&mut self, conn: ConnId, context: u64, serial: Option<u64>, outcome: Outcome) {
        let is_new = !self.conns.contains_key(&conn);
        if is_new && self.unborn().any(|unborn| unborn == context) {
            let mut lanes = [Lane::default(), Lane { ready: true, ..Lane::default() }];
            lanes[SEND].queue.push_back(context);
            let phase = Phase::Connecting { known: false };
            let opened_at = self.ops[&context].submitted_at;
            self.conns.insert(
                conn,
                Conn {
                    phase,
                    far: Side::Server,
                    lanes,
                    opened_at,
                    last_progress: opened_at,
                    ..Conn::new(Kind::Stream, None)
                },
            );
            self.note_generation(conn.key());
            if let Some(op) = self.ops.get_mut(&context) {
                op.conn = conn;
            }
            self.on_name(context, conn);
        }
        let Some((found, task)) = self.called(conn, SEND, "a connect") else { return };
        let right = found == context && task == Task::Connect;
        self.ensure(right, "C3", "connect-in-turn", || {
            format!("a connect as {conn}, whose turn is {task:?} of {found}")
        });
        let was_known =
            self.conns.get(&conn).is_some_and(|conn| conn.phase == (Phase::Connecting { known: true }));
        let known = match outcome {
            Outcome::Done => {
                if let Some(state) = self.conns.get_mut(&conn) {
                    state.phase = Phase::Open;
                    state.serial = serial;
                    state.lanes[SEND].shortages = 0;
                    state.lanes[SEND].ready = true;
                }
                self.counted.connected += 1;
                return self.end(context, Ok(Done::Connected));
            }
            Outcome::Failed(error) | Outcome::Refused(error) => {
                self.end(context, Err(OpError::System(error)));
                self.conns.remove(&conn);
                if was_known {
                    self.descriptor_closed();
                }
                return;
            }
            Outcome::WouldBlock => Some(true),
            Outcome::Exhausted(_) => Some(false),
            _ => None,
        };
        self.on_no_progress(conn, SEND, outcome);
        if let (Some(known), Some(state)) = (known, self.conns.get_mut(&conn)) {
            state.phase = Phase::Connecting { known };
            if was_known && !known {
                self.descriptor_closed();
            }
        }
    }

    /// A connect ended before its time: what there is of the connection is closed.
    pub(super) fn end_connect(&mut self, context: u64, error: OpError) {
        let conn = self.ops.get(&context).map(|op| op.conn);
        self.end(context, Err(error));
        if let Some(conn) = conn {
            self.abort(conn, CloseReason::Requested);
        }
    }

    /// A close was accepted, when that was the time.
    pub(super) fn begin_close(
        &mut self,
        conn: ConnId,
        context: u64,
        manner: Manner,
        reason: CloseReason,
        at: Instant,
    ) {
        let Some(state) = self.conns.get_mut(&conn) else { return };
        state.closers.push(context);
        let (phase, is_first) = (state.phase, state.closers.len() == 1);
        // While it flushes or lingers, the first one has the strictest deadline of all; behind that, none.
        let due = match self.ops.get_mut(&context) {
            Some(op) if !is_first || matches!(phase, Phase::Closing { .. }) => op.due.take(),
            _ => None,
        };
        match manner {
            _ if matches!(phase, Phase::Closing { .. }) => {}
            Manner::Flush | Manner::Linger(_) if phase != Phase::Open => {
                self.end_sooner(conn, due.map(|(tick, _)| tick));
            }
            Manner::Now => self.abort(conn, reason),
            Manner::Abort => {
                let stream = self.conns.get(&conn).is_some_and(|conn| conn.kind == Kind::Stream);
                self.close_now(conn, reason, stream);
            }
            Manner::Flush => self.flush(conn, reason, Linger::Not, at),
            Manner::Linger(millis) => self.flush(conn, reason, Linger::For(millis), at),
        }
    }

    /// A connection is to close when its queued sends are done, or later.
    fn flush(&mut self, conn: ConnId, reason: CloseReason, linger: Linger, at: Instant) {
        self.end_idle(conn);
        if let Some(Conn { phase, kind, .. }) = self.conns.get_mut(&conn) {
            let linger = if *kind == Kind::Stream { linger } else { Linger::Not };
            *phase = Phase::Flushing { reason, linger };
        }
        self.put_off(conn, at);
        self.end_lane(conn, RECEIVE, |_| Err(OpError::Closed(reason)));
        if let Some(lane) = self.lane(conn, RECEIVE) {
            // What comes is thrown away from now on, and that does not wait for anything.
            (lane.pause, lane.parked, lane.in_line) = (None, None, None);
        }
        self.flushed(conn);
    }

    /// A connection that flushes and has nothing left to send goes on to linger, or closes (K2).
    pub(super) fn flushed(&mut self, conn: ConnId) {
        let Some(Conn { phase: Phase::Flushing { reason, linger, .. }, lanes, .. }) = self.conns.get(&conn)
        else {
            return;
        };
        if !lanes[SEND].queue.is_empty() {
            return;
        }
        let (reason, linger, fin_sent) = (*reason, *linger, lanes[SEND].fin);
        let whole = lanes.iter().all(|lane| lane.end.is_none() && !lane.tainted);
        if linger == Linger::Not || !whole {
            return self.abort(conn, reason);
        }
        let fin = if fin_sent { Fin::Sent } else { Fin::Due };
        if let Some(state) = self.conns.get_mut(&conn) {
            state.phase = Phase::Lingering { reason, linger, fin };
        }
        if fin_sent {
            self.put_off(conn, self.now);
        }
    }

    /// The peer of a connection that is to linger for a span has taken something, or is told of the end: the
    /// span begins anew.
    pub(super) fn put_off(&mut self, conn: ConnId, at: Instant) {
        let armed = self.armed;
        self.armed += 1;
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let (Phase::Flushing { linger: Linger::For(millis), .. }
        | Phase::Lingering { linger: Linger::For(millis), .. }) = state.phase
        else {
            return;
        };
        let Some(tick) = due_tick(at + std::time::Duration::from_millis(millis.into())) else { return };
        if state.until.is_none_or(|(before, _)| before < tick) {
            state.until = Some((tick, armed));
        }
    }

    /// The FIN of a connection that lingers was answered; `false` if it does not linger.
    pub(super) fn on_last_fin(&mut self, conn: ConnId, outcome: Outcome) -> bool {
        let Some(Conn { phase: Phase::Lingering { reason, fin, .. }, .. }) = self.conns.get(&conn) else {
            return false;
        };
        let (reason, before) = (*reason, *fin);
        let last = self.count_call(conn, RECEIVE, "a FIN");
        self.judge_pause(conn, RECEIVE, "a FIN", last);
        match before {
            Fin::Sent => {
                self.breaks("K2", "one-fin", || format!("{conn} sends a second FIN"));
                return true;
            }
            Fin::Due => self.put_off(conn, self.now),
            Fin::Tried => {}
        }
        if let Some(Conn { phase: Phase::Lingering { fin, .. }, lanes, .. }) = self.conns.get_mut(&conn) {
            *fin = if outcome == Outcome::Done { Fin::Sent } else { Fin::Tried };
            if outcome == Outcome::Done {
                lanes[RECEIVE].shortages = 0;
                // The FIN needed no readiness; throwing away does.
                lanes[RECEIVE].due &= lanes[RECEIVE].ready;
            }
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Interrupted | Outcome::Exhausted(_) => self.on_no_progress(conn, RECEIVE, outcome),
            _ => self.abort(conn, reason),
        }
        true
    }

    /// What was thrown away was answered.
    pub fn on_discard(&mut self, conn: ConnId, outcome: Outcome) {
        let last = self.count_call(conn, RECEIVE, "a discard");
        self.judge_pause(conn, RECEIVE, "a discard", last);
        let (phase, reason) = self.conns.get(&conn).map_or((Phase::Open, None), |conn| {
            let over = conn.lanes[RECEIVE].end.is_some();
            (conn.phase, conn.ends_for().filter(|_| !over))
        });
        let fin_due = matches!(phase, Phase::Lingering { fin: Fin::Due | Fin::Tried, .. });
        let Some(reason) = reason.filter(|_| !fin_due) else {
            return self.breaks("C4", "discard-ends", || {
                format!("{conn} throws bytes away, and is {phase:?}, or its peer has ended")
            });
        };
        let ready = self.lane(conn, RECEIVE).is_some_and(|lane| lane.ready);
        self.ensure(ready || last, "K6", "discard-when-ready", || {
            format!("a needless discard on {conn}: it is not ready")
        });
        let end = match outcome {
            Outcome::Transferred(1..) | Outcome::Partial(_) => {
                if let Some(lane) = self.lane(conn, RECEIVE) {
                    (lane.shortages, lane.ready) = (0, true);
                }
                return;
            }
            Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {
                return self.on_no_progress(conn, RECEIVE, outcome);
            }
            Outcome::Failed(error) => End::Fault(error),
            _ => End::EndOfStream,
        };
        if let Some(lane) = self.lane(conn, RECEIVE) {
            (lane.end, lane.due) = (Some(end), false);
        }
        match (phase, end) {
            (Phase::Flushing { .. }, End::EndOfStream) => {}
            // What is wrong is told once: the sends would not hear of it any more.
            (Phase::Flushing { .. }, End::Fault(_)) => {
                self.finish(conn, SEND, end);
                self.flushed(conn);
            }
            _ => self.abort(conn, reason),
        }
    }

    /// `shut_down` was called, or `shut_down_by` that time.
    pub fn on_shut_down(&mut self, until: Option<Instant>) {
        self.shut_down = true;
        let ends = |task| task == Task::Sleep || task == Task::Connect;
        let own = self.ops.iter().filter(|(_, op)| ends(op.task) && op.verdict.is_none());
        let own: Vec<u64> = own.map(|(context, _)| *context).collect();
        let reason = CloseReason::ShutDown;
        for context in own {
            match self.ops[&context].task {
                Task::Connect => self.end_connect(context, OpError::Closed(reason)),
                _ => self.end(context, Err(OpError::Closed(reason))),
            }
        }
        let conns: Vec<(ConnId, Phase)> = self.conns.iter().map(|(id, conn)| (*id, conn.phase)).collect();
        for (conn, phase) in conns {
            match (until, phase) {
                (Some(until), Phase::Open) => {
                    self.end_sooner(conn, due_tick(until));
                    self.flush(conn, reason, Linger::ToTheEnd, self.now);
                }
                (Some(until), Phase::Flushing { .. } | Phase::Lingering { .. }) => {
                    self.end_sooner(conn, due_tick(until));
                }
                (_, _) => self.abort(conn, reason),
            }
        }
    }

    /// Flushing or lingering ends at `tick`, unless it ends earlier anyway: a close has no more time than
    /// that.
    fn end_sooner(&mut self, conn: ConnId, tick: Option<u64>) {
        let armed = self.armed;
        self.armed += 1;
        let Some(state) = self.conns.get_mut(&conn) else { return };
        let closer = state.closers.first().and_then(|closer| self.ops.get_mut(closer));
        let until = closer.map_or(&mut state.until, |closer| &mut closer.due);
        match (tick, *until) {
            (None, _) => {}
            (Some(tick), Some((before, _))) if before <= tick => {}
            (Some(tick), _) => *until = Some((tick, armed)),
        }
    }
}
