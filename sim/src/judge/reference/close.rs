//! Closing: at once, after the queued sends, or after the peer has ended too; one connection, or all (K2).

use std::time::Duration;

use aio_model::{CloseReason, Deadline, Direction, Instant, Kind, LaneEnd, OpError};

use super::{Conn, Fin, LaneName, Linger, Manner, Op, Phase, Reference, Rule, Work};

impl Reference {
    /// Closes a connection at once, unless it ends because of a shutdown. Returns whether it does.
    pub fn close(&mut self, conn: super::Id, reason: CloseReason) -> bool {
        let Ok(state) = self.users_conn(conn) else { return false };
        let ends = matches!(state.phase, Phase::Flushing { .. } | Phase::Lingering { .. });
        if matches!(state.phase, Phase::Closing { .. }) || ends && state.closers.is_empty() {
            return false;
        }
        self.abort(conn.index, reason);
        true
    }

    /// Closes a connection at once, unless it is being closed. Returns whether it does.
    pub fn close_if_open(&mut self, conn: super::Id) -> bool {
        let is_open = self.users_conn(conn).is_ok_and(|conn| conn.phase == Phase::Open);
        is_open && self.close(conn, CloseReason::Requested)
    }

    /// Closes everything, at once or as peers take it, and accepts nothing any more.
    pub fn shut_down(&mut self, flush_for: Option<Duration>, clock: Instant) {
        let until = flush_for.map(|span| self.resolve(Some(Deadline::Within(span)), clock));
        self.shut_down = true;
        for sleep in std::mem::take(&mut self.sleeping) {
            self.complete(sleep, Err(OpError::Closed(CloseReason::ShutDown)));
        }
        let conns: Vec<u32> = self.conns.keys().copied().collect();
        for conn in conns {
            match (self.conns[&conn].phase, until) {
                (Phase::Open, Some(until)) => {
                    self.flush(conn, CloseReason::ShutDown, Linger::ToTheEnd, until, self.now);
                }
                (Phase::Flushing { .. } | Phase::Lingering { .. }, Some(until)) => self.end_by(conn, until),
                (_, _) => self.abort(conn, CloseReason::ShutDown),
            }
        }
    }

    /// A close was accepted: it completes when the connection is gone.
    /// The first one says how; of one that follows, only the deadline counts.
    pub(super) fn begin_close(&mut self, conn: u32, op: Op, deadline: Instant, now: Instant) {
        let Work::Close { manner, reason } = op.work else { unreachable!("it is a close") };
        self.conn_mut(conn).closers.push(op);
        let phase = self.conns[&conn].phase;
        match manner {
            _ if matches!(phase, Phase::Closing { .. }) => {}
            Manner::Flush | Manner::Linger { .. } if phase != Phase::Open => self.end_by(conn, deadline),
            Manner::Now => self.abort(conn, reason),
            Manner::Abort => self.close_now(conn, reason, self.conns[&conn].kind == Kind::Stream),
            // K2: what is queued is sent first.
            _ if !self.keeps(Rule::K2) => self.abort(conn, reason),
            Manner::Flush => self.flush(conn, reason, Linger::No, deadline, now),
            Manner::Linger { ms } => self.flush(conn, reason, Linger::For { ms }, deadline, now),
        }
    }

    /// Ends the receives; the sends go on until `deadline`, and what comes is thrown away.
    fn flush(&mut self, conn: u32, reason: CloseReason, linger: Linger, deadline: Instant, now: Instant) {
        let linger = if self.conns[&conn].kind == Kind::Stream { linger } else { Linger::No };
        self.end_idle(conn);
        self.conn_mut(conn).phase = Phase::Flushing { reason, linger };
        self.end_by(conn, deadline);
        self.put_off(conn, now);
        let receives = LaneName::receive(conn);
        self.step_aside(receives);
        self.complete_all(receives, |_| Err(OpError::Closed(reason)));
        self.settle(conn);
    }

    /// No sends are left. What is broken or over does not linger.
    pub(super) fn flushed(&mut self, conn: u32) {
        let state = &self.conns[&conn];
        let Phase::Flushing { reason, linger } = state.phase else { unreachable!("it flushes") };
        let alive = state.lanes.iter().all(|lane| lane.end.is_none() && !lane.tainted);
        let fin_sent = state.lane(Direction::Send).fin_sent;
        if linger == Linger::No || !alive {
            return self.abort(conn, reason);
        }
        let fin = if fin_sent { Fin::Sent } else { Fin::Due };
        self.conn_mut(conn).phase = Phase::Lingering { reason, linger, fin };
        if fin_sent {
            self.put_off(conn, self.now);
        }
        self.settle(conn);
    }

    /// K2: the peer has taken something, or it is told that no more will come: a lingering close waits as
    /// long again.
    pub(super) fn put_off(&mut self, conn: u32, now: Instant) {
        let (Phase::Flushing { linger: Linger::For { ms }, .. }
        | Phase::Lingering { linger: Linger::For { ms }, .. }) = self.conns[&conn].phase
        else {
            return;
        };
        let Some(alarm) = self.alarm(now + Duration::from_millis(ms.into())) else { return };
        let ends = &mut self.conn_mut(conn).ends;
        if ends.is_none_or(|ends| alarm.is_later_than(ends)) {
            *ends = Some(alarm);
        }
    }

    /// Ends everything of a connection; its descriptor is next in line to be closed, if the system knows it.
    pub(super) fn abort(&mut self, conn: u32, reason: CloseReason) {
        self.close_now(conn, reason, self.is_broken_off(&self.conns[&conn]));
    }

    /// K2: what was sent ends in the middle of something, and nothing will follow.
    fn is_broken_off(&self, conn: &Conn) -> bool {
        let send = conn.lane(Direction::Send);
        let broken = matches!(send.end, Some(LaneEnd::Fault(_)));
        conn.kind == Kind::Stream
            && (broken || send.tainted || send.ops.iter().any(|op| self.is_partly_sent(op)))
    }

    /// The connections that a program which goes away now leaves to be reset.
    pub fn conns_to_reset(&self) -> Vec<super::Id> {
        let to_reset = self.conns.values().filter(|conn| match conn.phase {
            Phase::Closing { reset } => reset,
            _ => self.is_broken_off(conn),
        });
        to_reset.map(|conn| conn.id).collect()
    }

    fn close_now(&mut self, conn: u32, reason: CloseReason, reset: bool) {
        self.end_idle(conn);
        let phase = self.conns[&conn].phase;
        if let Phase::Closing { .. } = phase {
            return;
        }
        let state = self.conn_mut(conn);
        state.phase = Phase::Closing { reset };
        state.ends = None;
        state.closers.iter_mut().for_each(|closer| closer.deadline = None);
        for lane in LaneName::both(conn) {
            // The receive lane makes the last call. Who stands in line for one, stands in line for another.
            if lane.direction == Direction::Send || !self.line.contains(&lane) {
                self.step_aside(lane);
            }
            // C1: whatever was accepted completes.
            if self.keeps(Rule::C1) {
                self.complete_all(lane, |_| Err(OpError::Closed(reason)));
            } else {
                self.lane_mut(lane).ops.clear();
            }
        }
        if phase == (Phase::Connecting { known: false }) {
            self.forget(conn);
        } else {
            self.settle(conn);
        }
    }
}
