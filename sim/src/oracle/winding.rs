//! The beginning and the end of a connection: connects, flushing, lingering, shutting down.

use aio_model::{CloseReason, ConnId, Done, Instant, Kind, OpError, Outcome};

use super::{Conn, Lane, Oracle, Phase, RECEIVE, SEND, Task, due_tick};
use crate::link::Side;

impl Oracle {
    /// Connections that exist, and connects whose connection is yet to be begun: each holds a place.
    pub(super) fn places(&self) -> usize {
        self.conns.len() + self.unborn().count()
    }

    /// Whether there is no room for another connection.
    pub(super) fn places_taken(&self) -> bool {
        self.places() >= self.limits.connections_max.get() as usize
    }

    /// The connects that nobody has tried yet.
    pub(super) fn unborn(&self) -> impl Iterator<Item = u64> {
        let unborn = |(_, op): &(&u64, &super::Op)| {
            op.task == Task::Connect && op.verdict.is_none() && !self.conns.contains_key(&op.conn)
        };
        self.ops.iter().filter(unborn).map(|(context, _)| *context)
    }

    /// The connect of `context`, as `conn`, was answered. `serial` is the connection's in the network, once it is
    /// there.
    pub fn on_connect(&mut self, conn: ConnId, context: u64, serial: Option<u64>, outcome: Outcome) {
        let is_new = !self.conns.contains_key(&conn);
        if is_new && self.unborn().any(|unborn| unborn == context) {
            let mut lanes = [Lane::default(), Lane { ready: true, ..Lane::default() }];
            lanes[SEND].queue.push_back(context);
            let phase = Phase::Connecting { known: false };
            self.conns
                .insert(conn, Conn { phase, far: Side::Server, lanes, ..Conn::new(Kind::Stream, None) });
            self.note_generation(0, conn.key());
            if let Some(op) = self.ops.get_mut(&context) {
                op.conn = conn;
            }
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
                }
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
        self.hindered(conn, SEND, outcome);
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

    /// A connection is to close when its queued sends are done, or later.
    pub(super) fn flush(
        &mut self,
        conn: ConnId,
        reason: CloseReason,
        linger: Option<u32>,
        until: Option<(u64, u64)>,
    ) {
        if let Some(Conn { phase, kind, .. }) = self.conns.get_mut(&conn) {
            let linger = linger.filter(|_| *kind == Kind::Stream);
            *phase = Phase::Flushing { reason, linger, until };
        }
        self.end_lane(conn, RECEIVE, |_| Err(OpError::Closed(reason)));
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
        match linger {
            Some(millis) if whole && !self.shut_down => {
                let until = if fin_sent { self.due_in(millis) } else { None };
                let fin_due = (!fin_sent).then_some(millis);
                if let Some(state) = self.conns.get_mut(&conn) {
                    state.phase = Phase::Lingering { reason, fin_due, until };
                }
            }
            _ => self.abort(conn, reason),
        }
    }

    /// When something falls due that is armed now, for that many milliseconds.
    fn due_in(&mut self, millis: u32) -> Option<(u64, u64)> {
        self.armed += 1;
        let at = self.now + std::time::Duration::from_millis(millis.into());
        due_tick(at).map(|tick| (tick, self.armed - 1))
    }

    /// The FIN of a connection that lingers was answered; `false` if it does not linger.
    pub(super) fn on_last_fin(&mut self, conn: ConnId, outcome: Outcome) -> bool {
        let Some(Conn { phase: Phase::Lingering { reason, fin_due, .. }, .. }) = self.conns.get(&conn) else {
            return false;
        };
        let (reason, fin_due) = (*reason, *fin_due);
        self.count_call(conn, RECEIVE, "a FIN");
        self.judge_pause(conn, RECEIVE, "a FIN");
        let Some(millis) = fin_due else {
            self.breaks("K2", "one-fin", || format!("{conn} sends a second FIN"));
            return true;
        };
        let due = self.due_in(millis);
        if let Some(Conn { phase: Phase::Lingering { fin_due, until, .. }, lanes, .. }) =
            self.conns.get_mut(&conn)
        {
            // A try before this one, or a shutdown that came in between, has set an earlier end.
            *until = [*until, due].into_iter().flatten().min_by_key(|(tick, _)| *tick);
            if outcome == Outcome::Done {
                *fin_due = None;
                lanes[RECEIVE].shortages = 0;
                // The FIN needed no readiness; throwing away does.
                lanes[RECEIVE].due &= lanes[RECEIVE].ready;
            }
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Interrupted | Outcome::Exhausted(_) => self.hindered(conn, RECEIVE, outcome),
            _ => self.abort(conn, reason),
        }
        true
    }

    /// What was thrown away was answered.
    pub fn on_discard(&mut self, conn: ConnId, outcome: Outcome) {
        self.count_call(conn, RECEIVE, "a discard");
        self.judge_pause(conn, RECEIVE, "a discard");
        let Some(Conn { phase: Phase::Lingering { reason, fin_due: None, .. }, lanes, .. }) =
            self.conns.get(&conn)
        else {
            return self.breaks("C4", "discard-lingers", || {
                format!("{conn} throws bytes away, and does not linger")
            });
        };
        let (reason, ready) = (*reason, lanes[RECEIVE].ready);
        match outcome {
            Outcome::Transferred(1..) | Outcome::Partial(_) => {
                if let Some(lane) = self.lane(conn, RECEIVE) {
                    lane.shortages = 0;
                }
            }
            Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {
                self.hindered(conn, RECEIVE, outcome);
            }
            _ => self.abort(conn, reason),
        }
        self.ensure(ready, "K6", "discard-when-ready", || {
            format!("a needless discard on {conn}: it is not ready")
        });
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
                    let due = due_tick(until).map(|tick| (tick, self.armed));
                    self.armed += 1;
                    self.flush(conn, reason, None, due);
                }
                (Some(until), Phase::Flushing { .. } | Phase::Lingering { .. }) => {
                    self.end_sooner(conn, due_tick(until));
                }
                (_, _) => self.abort(conn, reason),
            }
        }
    }

    /// Flushing or lingering ends at `tick`, unless it ends earlier anyway.
    fn end_sooner(&mut self, conn: ConnId, tick: Option<u64>) {
        let armed = self.armed;
        self.armed += 1;
        let Some(Conn { phase: Phase::Flushing { until, .. } | Phase::Lingering { until, .. }, .. }) =
            self.conns.get_mut(&conn)
        else {
            return;
        };
        match (tick, *until) {
            (None, _) => {}
            (Some(tick), Some((before, _))) if before <= tick => {}
            (Some(tick), _) => *until = Some((tick, armed)),
        }
    }
}
