//! Progress: deadlines that are put off by it, and connections that are idle without it.

use core::num::NonZeroU32;
use core::time::Duration;

use super::Lanes;
use crate::extra::Renewal;
use crate::id::{ConnId, Serial};
use crate::lane::{Bits, LaneId};
use crate::system::Kind;
use crate::time::Instant;
use crate::timers::TimerId;

impl<C> Lanes<C> {
    /// Whether there is memory to put the deadline of another operation off.
    pub(crate) fn has_room_to_renew(&mut self, conn: u32) -> bool {
        let has_room = self.has_extra(conn)
            && self.conns[conn].extra_mut().is_some_and(|extra| extra.renewals.try_reserve(1).is_ok());
        if !has_room {
            self.tidy(conn);
        }
        has_room
    }

    /// Has the deadline of an operation be put off, for which [there is room](Lanes::has_room_to_renew), or
    /// not any more.
    pub(crate) fn set_renewal(&mut self, conn: u32, serial: Serial, span: Option<Duration>) {
        let state = &mut self.conns[conn];
        let Some(extra) = state.extra_mut() else { return };
        extra.renewals.retain(|renewal| renewal.serial != serial);
        extra.renewals.extend(span.map(|span| Renewal { serial, span }));
        let lies_apart = !extra.renewals.is_empty();
        if state.kind == Kind::Stream {
            state.lanes.iter_mut().for_each(|lane| lane.put(Bits::APART, lies_apart));
        }
    }

    /// Until when the deadline of an operation is put off, if it is by progress.
    pub(crate) fn renewed(&self, id: LaneId, serial: Serial) -> Option<Instant> {
        let extra = self.conns.at(id.conn())?.extra()?;
        let renewal = extra.renewals.iter().find(|renewal| renewal.serial == serial)?;
        Some(extra.progress[id.direction() as usize] + renewal.span)
    }

    /// A lane has made progress.
    #[inline]
    pub(crate) fn note_progress(&mut self, id: LaneId, now: Instant) {
        let conn = &mut self.conns[id.conn()];
        conn.last_progress = now;
        if let Some(extra) = conn.extra_mut()
            && !extra.renewals.is_empty()
        {
            extra.progress[id.direction() as usize] = now;
        }
    }

    /// Sets for how long no byte of a connection may go through, and the other one whose bytes count, too,
    /// for which [there is room](Lanes::has_extra). Returns the timer that there was.
    pub(crate) fn set_idle(
        &mut self,
        conn: u32,
        idle: Option<NonZeroU32>,
        with: Option<ConnId>,
    ) -> Option<TimerId> {
        let state = &mut self.conns[conn];
        state.idle = idle;
        state.idle_looked = false;
        if let Some(extra) = state.extra_mut() {
            extra.idle_with = with;
        }
        state.idle_timer.take()
    }

    /// Sets the other connection whose bytes count for this one, too.
    pub(crate) fn set_idle_with(&mut self, conn: u32, with: Option<ConnId>) {
        if let Some(extra) = self.conns[conn].extra_mut() {
            extra.idle_with = with;
        }
    }

    /// Sets the timer of when a connection may be found to be idle.
    pub(crate) fn set_idle_timer(&mut self, conn: u32, timer: Option<TimerId>, looked: bool) {
        let state = &mut self.conns[conn];
        (state.idle_timer, state.idle_looked) = (timer, looked);
    }

    /// When the last byte went through, of a connection or of the one whose bytes count for it, too.
    pub(crate) fn last_progress(&self, conn: u32) -> Instant {
        let state = &self.conns[conn];
        let with = state.extra().and_then(|extra| extra.idle_with).and_then(|with| self.get(with));
        with.map_or(state.last_progress, |with| with.last_progress.max(state.last_progress))
    }
}
