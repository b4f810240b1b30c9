//! Connections that are idle: no byte goes through, in either direction, for as long as that may be.
//!
//! A connection with an idle time has one timer, which is armed anew when it fires and not before. So what a
//! byte costs is to write down when it was moved.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::completion::OpError;
use crate::conn::Phase;
use crate::deadlines::Owner;
use crate::error::SetIdleError;
use crate::id::ConnId;
use crate::lane::{Direction, LaneId};
use crate::model::Model;
use crate::system::{Kind, Perform};
use crate::time::Instant;

/// In milliseconds, rounded up; as long as it can be counted.
fn in_millis(span: Duration) -> NonZeroU32 {
    let millis = span.as_nanos().div_ceil(1_000_000);
    NonZeroU32::new(u32::try_from(millis).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

impl<C> Model<C> {
    /// Sets for how long no byte may go through on a connection, in either direction: then every operation
    /// that is queued on it ends with [`OpError::Idle`], after a last attempt for the first of each lane. The
    /// connection stays open, and the time begins anew. `None` ends that.
    ///
    /// The time runs from now, and anew from each byte: those of sends when the kernel takes them. It is
    /// counted in milliseconds, rounded up: one at least, 49 days at most. When the connection is being
    /// closed it has its own time, and is idle no more. On a listener it is set for the connections that it
    /// accepts from now on.
    ///
    /// # Errors
    ///
    /// When the connection is gone or being closed, the id is foreign, or there is no memory for a timer.
    /// Nothing happens then.
    pub fn set_idle(
        &mut self,
        conn: ConnId,
        span: Option<Duration>,
        clock: impl FnOnce() -> Instant,
    ) -> Result<(), SetIdleError> {
        let index = self.open_index(conn)?;
        if span.is_some() && !self.deadlines.has_room() {
            return Err(SetIdleError::Memory);
        }
        self.unpair(index);
        let now = clock().max(self.now);
        self.apply_idle(index, span, None, now);
        Ok(())
    }

    /// [`set_idle`](Model::set_idle), of two connections between which a program forwards: bytes on either
    /// count for both, so both are idle at once. When one of them is gone, the other goes on by itself.
    ///
    /// # Errors
    ///
    /// As [`set_idle`](Model::set_idle) of either; also when they are one, or one is a listener.
    pub fn set_idle_pair(
        &mut self,
        conns: [ConnId; 2],
        span: Duration,
        clock: impl FnOnce() -> Instant,
    ) -> Result<(), SetIdleError> {
        let [first, second] = [self.open_index(conns[0])?, self.open_index(conns[1])?];
        let is_stream = |conn: u32| self.lanes.conn(conn).kind == Kind::Stream;
        if first == second || !is_stream(first) || !is_stream(second) {
            return Err(SetIdleError::NoPair);
        }
        // For two timers; one that there was is free before the next is armed.
        let has_room =
            self.deadlines.has_room_for(2) && self.lanes.has_extra(first) && self.lanes.has_extra(second);
        if !has_room {
            self.lanes.tidy(first);
            self.lanes.tidy(second);
            return Err(SetIdleError::Memory);
        }
        let now = clock().max(self.now);
        // What the former pairs were kept in may be of use for this one: it is tidied when that is there.
        let former = [self.leave_pair(first), self.leave_pair(second)];
        for (conn, with) in [(first, conns[1]), (second, conns[0])] {
            self.apply_idle(conn, Some(span), Some(with), now);
        }
        former.into_iter().flatten().for_each(|conn| self.lanes.tidy(conn));
        Ok(())
    }

    fn open_index(&self, conn: ConnId) -> Result<u32, SetIdleError> {
        let index = self.conn_index(conn)?;
        if self.lanes.conn(index).phase() == Phase::Open { Ok(index) } else { Err(SetIdleError::Closing) }
    }

    /// The connection whose bytes counted for this one, too, goes on by itself.
    fn unpair(&mut self, conn: u32) {
        if let Some(former) = self.leave_pair(conn) {
            self.lanes.tidy(former);
        }
    }

    /// [`unpair`](Model::unpair), but the other one, which is returned, is not tidied.
    fn leave_pair(&mut self, conn: u32) -> Option<u32> {
        let id = self.lanes.id(conn);
        let with = self.lanes.conn(conn).extra().and_then(|extra| extra.idle_with);
        let mutual = |with: &ConnId| {
            let other = self.lanes.get(*with).and_then(|other| other.extra());
            other.is_some_and(|other| other.idle_with == Some(id))
        };
        let former = with.filter(mutual).map(ConnId::index);
        if let Some(former) = former {
            self.lanes.set_idle_with(former, None);
        }
        former
    }

    fn apply_idle(&mut self, conn: u32, span: Option<Duration>, with: Option<ConnId>, now: Instant) {
        let timer = self.lanes.set_idle(conn, span.map(in_millis), with);
        self.deadlines.cancel(timer);
        self.lanes.tidy(conn);
        self.arm_idle(conn, now);
    }

    /// A connection is open from now on that may have an idle time.
    pub(super) fn begin_idle(&mut self, conn: u32) {
        self.arm_idle(conn, self.now);
    }

    /// Begins the idle time of a connection, if it has one.
    fn arm_idle(&mut self, conn: u32, from: Instant) {
        if self.lanes.conn(conn).kind == Kind::Stream
            && let Some(span) = self.lanes.conn(conn).idle_span()
        {
            let timer = self.deadlines.arm(from + span, Owner::Idle(conn));
            self.lanes.set_idle_timer(conn, timer, false);
        }
    }

    /// A connection is being closed: it is idle no more.
    pub(super) fn end_idle(&mut self, conn: u32) {
        self.unpair(conn);
        let timer = self.lanes.set_idle(conn, None, None);
        self.deadlines.cancel(timer);
    }

    /// Whether a connection is idle, by what is known of it.
    fn is_idle(&self, conn: u32) -> Option<bool> {
        let span = self.lanes.conn(conn).idle_span()?;
        Some((self.lanes.last_progress(conn) + span).tick_ceil() <= self.now.tick_floor())
    }

    /// The lane that has a last attempt next, of a connection that is about to be idle.
    fn next_look(&self, conn: u32) -> LaneId {
        if self.lanes.conn(conn).idle_looked { LaneId::send(conn) } else { LaneId::receive(conn) }
    }

    /// What an operation that goes on would complete with, if the last attempt before its connection is idle
    /// completes it.
    pub(super) fn spare_for_last_look(&mut self, conn: u32) -> Option<C> {
        let id = self.next_look(conn);
        let looks = self.is_idle(conn) == Some(true) && self.lanes.lane(id).next().is_some();
        if looks && !self.waits_for_something(id) { self.spare_context(id) } else { None }
    }

    /// A connection may be idle. If it is, its lanes have a last attempt, one after the other, and if nothing
    /// comes of these, all that is queued on it ends.
    pub(super) fn expire_idle(&mut self, conn: u32, spare: &mut Option<C>, perform: impl Perform) {
        let id = self.next_look(conn);
        self.lanes.set_idle_timer(conn, None, false);
        if self.is_idle(conn) == Some(true) {
            if self.lanes.lane(id).next().is_some() {
                self.attempt_last(id, spare, perform);
                self.drop_unused_grant(id);
            }
            if self.lanes.conn(conn).phase() != Phase::Open {
                return;
            }
            if id.direction() == Direction::Receive {
                // The other lane's turn comes at once.
                let timer = self.deadlines.arm_at(self.now.tick_floor(), Owner::Idle(conn));
                return self.lanes.set_idle_timer(conn, Some(timer), true);
            }
        }
        match self.is_idle(conn) {
            Some(true) => {
                self.end_idle_ops(conn);
                self.arm_idle(conn, self.now);
            }
            Some(false) => self.arm_idle(conn, self.lanes.last_progress(conn)),
            None => {}
        }
    }

    fn end_idle_ops(&mut self, conn: u32) {
        for id in [LaneId::receive(conn), LaneId::send(conn)] {
            self.metrics.on_idled(self.lanes.conn(conn).queued(id.direction()));
            let partial = self.is_partial_send(id);
            self.end_all(id, |_| Err(OpError::Idle));
            if partial {
                self.taint(id);
            }
        }
    }
}
