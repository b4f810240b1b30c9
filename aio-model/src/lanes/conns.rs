//! Connections come and go.

use core::num::NonZeroU32;

use super::Lanes;
use crate::completion::CloseReason;
use crate::conn::{Conn, Phase};
use crate::deadlines::Deadlines;
use crate::extra::{Closer, Closing, Extra};
use crate::id::{ConnId, PoolId};
use crate::lane::{Bits, Direction, LaneId};
use crate::op::Manner;
use crate::system::Kind;
use crate::timers::TimerId;

impl<C> Lanes<C> {
    /// Whether there is memory for another connection. Entering a queue then takes none.
    pub(crate) fn has_room(&mut self, kind: Kind) -> bool {
        // Some entries that do not count may stand between those that do.
        let lanes = 2 * (self.conns.len() as usize + 1) + 64;
        let listens = kind == Kind::Listener;
        let listeners = self.listeners as usize + 1;
        self.conns.has_room()
            && self.run.reserve(lanes)
            && (!listens || self.held.reserve(listeners) && self.accepting.try_reserve(listeners).is_ok())
    }

    /// Gives a connection an id. It takes no place until it is [`opened`](Lanes::opened).
    pub(crate) fn insert(&mut self, conn: Conn<C>) -> ConnId {
        ConnId::new(self.conns.insert(conn), self.realm)
    }

    /// A connection that was given an id exists from now on. If it came from that listener and has taken the
    /// last place, those who wait for one come before it (K6).
    pub(crate) fn opened(&mut self, conn: ConnId, from: Option<LaneId>) {
        self.live += 1;
        self.listeners += u32::from(self.conns[conn.index()].kind == Kind::Listener);
        if !self.has_place() {
            self.hold_all(from);
        }
    }

    /// Takes the id of a connection back that was never opened.
    pub(crate) fn remove(&mut self, conn: ConnId) {
        self.conns.remove_at(conn.index());
    }

    /// Takes an [`opened`](Lanes::opened) back, and the id with it.
    pub(crate) fn rolled_back(&mut self, conn: u32) {
        let state = self.conns.remove_at(conn);
        self.live -= 1;
        self.listeners -= u32::from(state.kind == Kind::Listener);
        self.release_held();
    }

    /// The descriptor of a connection is closed, or there was none: it takes no place any more.
    pub(crate) fn gone(&mut self, conn: u32, deadlines: &mut Deadlines) {
        for direction in Direction::BOTH {
            self.leave(LaneId::new(conn, direction), deadlines);
        }
        let state = &mut self.conns[conn];
        debug_assert!(state.end_timer.is_none(), "no timer outlives what it is of");
        state.advance(Phase::Gone);
        self.live -= 1;
        self.listeners -= u32::from(state.kind == Kind::Listener);
        if state.lane(Direction::Receive).has(Bits::LISTED) {
            self.accepting.retain(|lane| lane.conn() != conn);
            self.conns[conn].lane_mut(Direction::Receive).clear(Bits::LISTED);
        }
        self.tidy(conn);
        self.release_held();
    }

    /// Gives back what a connection does not need any more: what lies apart, if it is empty, and the
    /// connection itself, if it is gone and its completions are taken.
    pub(crate) fn tidy(&mut self, conn: u32) {
        let state = &mut self.conns[conn];
        if state.extra().is_some_and(Extra::is_empty)
            && let Some(extra) = state.extra.take()
        {
            self.spares.keep(extra);
        }
        let state = &self.conns[conn];
        let is_empty = state.extra.is_none() && state.lanes.iter().all(|lane| lane.head.is_none());
        if state.phase() == Phase::Gone && is_empty {
            self.conns.remove_at(conn);
        }
    }

    /// A connection goes on to another phase.
    pub(crate) fn advance(&mut self, conn: u32, next: Phase, deadlines: &mut Deadlines) {
        self.conns[conn].advance(next);
        for direction in Direction::BOTH {
            self.reschedule(LaneId::new(conn, direction), deadlines);
        }
    }

    /// Sets the pool of a connection.
    pub(crate) fn set_pool(&mut self, conn: u32, pool: PoolId) {
        self.conns[conn].pool = pool;
    }

    /// Sets the bytes that may be queued on a connection to be sent.
    pub(crate) fn set_lane_bytes_max(&mut self, conn: u32, bytes_max: Option<NonZeroU32>) {
        self.conns[conn].lane_bytes_max = bytes_max;
    }

    /// Sets the timer of the end of a connection that flushes or lingers.
    pub(crate) fn set_end_timer(&mut self, conn: u32, timer: Option<TimerId>) {
        self.conns[conn].end_timer = timer;
    }

    /// The `Close` of a connection.
    pub(crate) fn closing_mut(&mut self, conn: u32) -> Option<&mut Closing<C>> {
        self.conns[conn].extra_mut().and_then(|extra| extra.closing.as_mut())
    }

    /// Whether there is memory for another `Close` of a connection.
    pub(crate) fn has_room_to_close(&mut self, conn: u32) -> bool {
        self.has_extra(conn)
            && self.closing_mut(conn).is_none_or(|closing| closing.others.try_reserve(1).is_ok())
    }

    /// A `Close` of a connection, for which [there is room](Lanes::has_room_to_close). The first one says how
    /// it is closed.
    pub(crate) fn put_closer(&mut self, conn: u32, closer: Closer<C>, manner: Manner, reason: CloseReason) {
        let extra = self.conns[conn].extra_mut().expect("room was made");
        match &mut extra.closing {
            Some(closing) => closing.others.push_back(closer),
            None => extra.closing = Some(Closing::new(closer, manner, reason)),
        }
    }

    /// Takes the `Close` of a connection out.
    pub(crate) fn take_closer(&mut self, conn: u32) -> Option<Closer<C>> {
        let extra = self.conns[conn].extra_mut()?;
        let closing = extra.closing.as_mut()?;
        match closing.others.pop_front() {
            Some(next) => Some(core::mem::replace(&mut closing.first, next)),
            None => extra.closing.take().map(|closing| closing.first),
        }
    }

    /// Keeps where a connect goes to.
    pub(crate) fn set_target(&mut self, conn: u32, target: alloc::boxed::Box<crate::connect::Target>) {
        let extra = self.conns[conn].extra_mut().expect("room was made");
        extra.target = Some(target);
    }
}
