//! Closing: at once, after the queued sends, or after the peer has ended too; one connection, or all (K2).

use std::time::Duration;

use aio_model::{CloseReason, Deadline, Instant, Kind, LaneEnd, OpError};

use super::{Conn, LaneName, Manner, Op, Phase, Reference, Rule, Work};
use crate::Direction;

impl Reference {
    /// Closes a connection at once, unless it flushes because of a shutdown. Returns whether it was there.
    pub fn close(&mut self, conn: super::Id, reason: CloseReason) -> bool {
        let Ok(state) = self.users_conn(conn) else { return false };
        if !matches!(state.phase, Phase::Flushing { reason: CloseReason::ShutDown, .. }) {
            self.abort(conn.index, reason);
        }
        true
    }

    /// Closes everything, at once or when the queued sends are done, and accepts nothing any more.
    pub fn shut_down(&mut self, flush_for: Option<Duration>, clock: Instant) {
        let until = flush_for.map(|span| self.resolve(Some(Deadline::Within(span)), clock));
        self.shut_down = true;
        for sleep in std::mem::take(&mut self.sleeping) {
            self.complete(sleep, Err(OpError::Closed(CloseReason::ShutDown)));
        }
        let conns: Vec<u32> = self.conns.keys().copied().collect();
        for conn in conns {
            match (self.conns[&conn].phase, until) {
                (Phase::Open, Some(until)) => self.flush(conn, CloseReason::ShutDown, None, until),
                (Phase::Flushing { .. } | Phase::Lingering { .. }, Some(until)) => self.end_by(conn, until),
                (_, _) => self.abort(conn, CloseReason::ShutDown),
            }
        }
    }

    /// A close was accepted: it completes when the connection is gone.
    pub(super) fn begin_close(&mut self, conn: u32, op: Op, deadline: Instant) {
        let Work::Close { manner, reason } = op.work else { unreachable!("it is a close") };
        self.conn_mut(conn).closer = Some(op);
        match manner {
            Manner::Now => self.abort(conn, reason),
            Manner::Abort => self.close_now(conn, reason, self.conns[&conn].kind == Kind::Stream),
            // K2: what is queued is sent first.
            _ if !self.keeps(Rule::K2) => self.abort(conn, reason),
            Manner::Flush => self.flush(conn, reason, None, deadline),
            Manner::Linger { ms } => self.flush(conn, reason, Some(ms), deadline),
        }
    }

    /// Ends the receives; the sends go on until `deadline`.
    fn flush(&mut self, conn: u32, reason: CloseReason, linger_ms: Option<u32>, deadline: Instant) {
        let linger_ms = linger_ms.filter(|_| self.conns[&conn].kind == Kind::Stream);
        self.conn_mut(conn).phase = Phase::Flushing { reason, linger_ms };
        self.end_by(conn, deadline);
        let receives = LaneName::receive(conn);
        self.step_aside(receives);
        self.complete_all(receives, |_| Err(OpError::Closed(reason)));
        self.settle(conn);
    }

    /// No sends are left. What is broken, or shut down, does not linger.
    pub(super) fn flushed(&mut self, conn: u32) {
        let state = &self.conns[&conn];
        let Phase::Flushing { reason, linger_ms } = state.phase else { unreachable!("it flushes") };
        let alive = state.lanes.iter().all(|lane| lane.end.is_none() && !lane.tainted);
        let fin_sent = state.lane(Direction::Send).fin_sent;
        let Some(ms) = linger_ms.filter(|_| alive && !self.shut_down) else {
            return self.abort(conn, reason);
        };
        self.conn_mut(conn).ends = None;
        self.conn_mut(conn).phase = Phase::Lingering { reason, fin_due: (!fin_sent).then_some(ms) };
        if fin_sent {
            self.linger_for(conn, ms);
        }
        self.settle(conn);
    }

    /// Lingering lasts that long from now.
    pub(super) fn linger_for(&mut self, conn: u32, ms: u32) {
        self.end_by(conn, self.now + Duration::from_millis(ms.into()));
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
            && (broken || send.tainted || send.ops.iter().any(|op| self.is_cut_short(op)))
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
        let phase = self.conns[&conn].phase;
        if let Phase::Closing { .. } = phase {
            return;
        }
        self.conn_mut(conn).phase = Phase::Closing { reset };
        self.conn_mut(conn).ends = None;
        for lane in LaneName::both(conn) {
            self.step_aside(lane);
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
