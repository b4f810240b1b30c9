//! The turn: one bounded pass of the loop.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{Direction, Instant, Outcome, Readiness, SystemError};

use super::{Completion, Id, LaneName, Reference, Rule};

/// The system below.
pub trait SystemBelow {
    /// What time it is.
    fn now(&self) -> Instant;

    /// Waits for events, `events_max` of them at most, until `until` at the latest, and says what happened
    /// and what time it is then.
    ///
    /// # Errors
    ///
    /// When it can not wait.
    fn wait(
        &mut self,
        until: Option<Instant>,
        events_max: NonZeroU32,
    ) -> Result<(Instant, Vec<(Id, Readiness)>), SystemError>;

    /// Makes a system call, and says what came of it and which bytes a receive brought.
    fn perform(&mut self, call: Call) -> (Outcome, Vec<u8>);
}

/// A system call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are those of `aio_model::Syscall`")]
pub enum Call {
    Recv { conn: Id, space: usize, parts: bool },
    Discard { conn: Id },
    Poll { conn: Id, direction: Direction },
    Peek { conn: Id },
    Send { conn: Id, bytes: Vec<u8>, parts: bool },
    Accept { listener: Id, conn: Id },
    Connect { conn: Id },
    ShutdownWrite { conn: Id },
    Close { conn: Id, reset: bool },
}

impl Reference {
    /// Takes a turn, and hands over up to `room` completions; says whether there is anything left to come.
    ///
    /// # Errors
    ///
    /// When the system can not wait; nothing else has happened.
    pub fn turn(
        &mut self,
        world: &mut impl SystemBelow,
        timeout: Option<Duration>,
        room: usize,
    ) -> Result<(Vec<Completion>, bool), SystemError> {
        for by in std::mem::take(&mut self.homeward) {
            self.return_buffer(by);
        }
        let parked = self.pools.values().any(|pool| !pool.parked.is_empty());
        self.awaits_lease = parked || !self.all_out.is_empty();
        let until = timeout.map(|span| match span {
            Duration::ZERO => Instant::ZERO,
            span => world.now() + span,
        });
        self.wait(world, until)?;
        // What waited comes first, as much of it as there is room for; behind it what is completed now.
        self.room = room;
        self.batch = (0..room).map_while(|_| self.take()).collect();
        // T2: bytes that can be moved come first, then deadlines.
        let left = self.attempt_all(world);
        self.expire(left, world);
        // C6: their credits are free when the turn is over.
        self.room = 0;
        let batch = std::mem::take(&mut self.batch);
        self.credits -= batch.len();
        self.release_held();
        let goes_on = !batch.is_empty() || !self.is_drained();
        Ok((batch, goes_on))
    }

    /// With something to do it does not wait, and asks for events every other turn only. Otherwise it sleeps
    /// until something falls due.
    fn wait(&mut self, world: &mut impl SystemBelow, until: Option<Instant>) -> Result<(), SystemError> {
        let attempts = !self.line.is_empty() || self.has_hinted();
        let busy = attempts || !self.ended.is_empty() || self.overdue || self.is_drained();
        if busy && self.asked {
            self.asked = false;
            self.on_time(world.now());
            return Ok(());
        }
        self.asked = true;
        let until = if busy { Some(Instant::ZERO) } else { self.next_due().into_iter().chain(until).min() };
        let (now, events) = world.wait(until, self.plan.limits.turn_events_max)?;
        for (conn, readiness) in events {
            self.on_ready(conn, readiness);
        }
        self.on_time(now);
        Ok(())
    }

    /// An event says that a connection is worth an attempt. One for a connection that is gone reaches nobody
    /// (K1).
    fn on_ready(&mut self, id: Id, readiness: Readiness) {
        let known = |at: Id| if self.keeps(Rule::K1) { at == id } else { at.index == id.index };
        if !self.conns.get(&id.index).is_some_and(|conn| known(conn.id)) {
            return;
        }
        let conn = self.conn_mut(id.index);
        let wakes = [readiness.wakes_receive(), readiness.wakes_send()];
        for (lane, wakes) in conn.lanes.iter_mut().zip(wakes) {
            lane.ready |= wakes;
            lane.end_hinted |= wakes && readiness.hints_end();
        }
        self.settle(id.index);
        if readiness.hints_end() {
            self.hint(LaneName::receive(id.index));
        }
    }

    /// K6: each lane in line is served once, with so many calls at most, until so many bytes went through,
    /// and all together with so many calls. Then it goes to the back. Says how many calls are left.
    fn attempt_all(&mut self, world: &mut impl SystemBelow) -> u32 {
        let mut left = self.plan.limits.turn_attempts_max.get();
        let limits = &self.plan.limits;
        let most = (limits.lane_attempts_max.get(), limits.lane_transfer_max.get() as usize);
        let (share, bytes) = if self.keeps(Rule::K6) { most } else { (u32::MAX, usize::MAX) };
        self.up = self.line.iter().copied().collect();
        let (mut served, mut calls) = (None, 0);
        while left > 0 {
            if let Some(lane) = self.next_hinted() {
                left -= 1;
                self.peek(lane, world);
                continue;
            }
            let Some(lane) = self.line.front().copied().filter(|lane| self.up.contains(lane)) else {
                break;
            };
            if served != Some(lane) {
                (served, calls, self.moved) = (Some(lane), 0, 0);
            }
            if !self.equip(lane) {
                continue;
            }
            (left, calls) = (left - 1, calls + 1);
            self.attempt(lane, world);
            let stays = self.line.front() == Some(&lane) && self.up.contains(&lane);
            if !stays {
                served = None;
            } else if left == 0 || calls == share || self.moved >= bytes {
                self.line.pop_front();
                self.stand_last(lane);
                self.up.retain(|other| *other != lane);
            }
        }
        self.up.clear();
        left
    }

    /// Takes the completion that has waited longest. The last one of a connection that is gone frees its
    /// place.
    fn take(&mut self) -> Option<Completion> {
        let done = self.ended.pop_front()?;
        if let Some(waiting) = self.gone.get_mut(&done.conn.index) {
            *waiting -= 1;
            if *waiting == 0 {
                self.gone.remove(&done.conn.index);
                self.conn_places.leave(done.conn.index);
            }
        }
        Some(done)
    }

    fn is_drained(&self) -> bool {
        self.shut_down && self.conns.is_empty() && self.credits == 0
    }
}
