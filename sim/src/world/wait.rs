//! Waiting: how time passes, and what a batch of events is made of.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use aio_model::{ConnId, Instant, Readiness};

use crate::world::clock::earlier;
use crate::world::engine::flags;
use crate::world::faults::Fault;
use crate::world::socket::Registration;
use crate::world::state::{World, condition};
use crate::world::timing;
use crate::world::trace::TraceEntry;

/// The events of one wait.
type Batch = Vec<(ConnId, Readiness)>;

impl World {
    /// Sleeps until there is an event, until `until`, or until woken. Never hangs: a sleep that nothing can
    /// end is noted, and returns.
    pub(crate) fn wait(
        &mut self,
        poller: usize,
        until: Option<Instant>,
        events_max: NonZeroU32,
    ) -> (Instant, Batch) {
        let events_max = events_max.get() as usize;
        self.counts.waits += 1;
        self.note(TraceEntry::Waits { until });
        let woken = self.pollers[poller].waker.swap(false, Ordering::AcqRel);
        self.run_due();
        let batch = if self.dice.strikes(Fault::ProcessStopped) {
            let span = self.dice.span(timing::STOP_MAX);
            self.clock.advance_to(self.clock.now() + span);
            self.run_due();
            Batch::new()
        } else if self.dice.strikes(Fault::WaitInterrupted) {
            Batch::new()
        } else {
            let extras = self.extras(poller);
            let events = self.sleep(poller, until, events_max, woken || !extras.is_empty());
            self.compose(poller, events, extras, events_max)
        };
        for &(conn, readiness) in &batch {
            self.note(TraceEntry::Event { conn, readiness });
        }
        self.counts.events += batch.len() as u64;
        self.counts.waits_empty += u64::from(batch.is_empty());
        self.clock.tick(&mut self.dice);
        let now = self.clock.read(&mut self.dice);
        self.note(TraceEntry::Woke { now });
        (now, batch)
    }

    /// Lets time pass until the engine has an event to deliver, or there is another reason to return.
    fn sleep(&mut self, poller: usize, until: Option<Instant>, events_max: usize, awake: bool) -> Batch {
        // The end of time is never reached.
        let until = until.filter(|until| *until < Instant::MAX);
        let mut late = false;
        loop {
            let events = self.collect(poller, events_max);
            let over = until.is_some_and(|until| until <= self.clock.now());
            if awake || over || !events.is_empty() {
                return events;
            }
            let planned = self.agenda.next();
            let held_up = self.pollers[poller].engine.next_due();
            let Some(mut target) = [until, planned, held_up].into_iter().flatten().min() else {
                self.pollers[poller].slept_for_ever = true;
                return events;
            };
            let span = target.saturating_since(self.clock.now());
            if !span.is_zero() && self.dice.strikes(Fault::WaitEarly) {
                // Most simply by a nanosecond, which is just what a deadline must not be mistaken for.
                let early = self.dice.span(span);
                self.clock.advance_to(earlier(target, early));
                return events;
            }
            // Late once, or a run of nothing but late waits would not end.
            if !late && Some(target) == until && self.dice.strikes(Fault::WaitLate) {
                late = true;
                target = target + self.dice.span(timing::LATE_MAX);
            }
            self.clock.advance_to(target);
            self.run_due();
        }
    }

    /// The events that the engine has to deliver now.
    fn collect(&mut self, poller: usize, events_max: usize) -> Batch {
        let (sockets, connections) = (&self.sockets, &self.connections);
        let engine = &mut self.pollers[poller].engine;
        let look = |socket| condition(sockets, connections, socket);
        let events = engine.collect(self.clock.now(), events_max, &mut self.dice, look);
        events
            .into_iter()
            .filter_map(|(socket, readiness)| {
                let Registration { conn, .. } = self.socket(socket).registration?;
                Some((conn, readiness))
            })
            .collect()
    }

    /// The events that nothing has caused: those delivered before, invented ones, and those of the dead.
    fn extras(&mut self, poller: usize) -> Batch {
        let mut extras = std::mem::take(&mut self.pollers[poller].echoes);
        if self.dice.strikes(Fault::EventSpurious) {
            let open: Vec<ConnId> = self.pollers[poller].names.open().map(|(conn, _)| conn).collect();
            extras.extend(self.invent(&open));
        }
        if self.dice.strikes(Fault::EventStale) {
            let closed = self.pollers[poller].names.closed().to_vec();
            extras.extend(self.invent(&closed));
        }
        extras
    }

    /// An event about one of `conns` that says anything at all.
    fn invent(&mut self, conns: &[ConnId]) -> Option<(ConnId, Readiness)> {
        if conns.is_empty() {
            return None;
        }
        let conn = *self.dice.choice.pick(conns);
        let bits = self.dice.choice.within(1..=31);
        Some((conn, flags(std::array::from_fn(|bit| bits >> bit & 1 == 1))))
    }

    /// One batch of what is owed and what is not, with some of it twice. What of the latter is too much
    /// comes with the next wait.
    fn compose(&mut self, poller: usize, mut batch: Batch, mut extras: Batch, events_max: usize) -> Batch {
        for &event in &batch {
            if self.dice.strikes(Fault::EventDuplicated) {
                let later = self.dice.choice.below(2) == 1;
                if later { self.pollers[poller].echoes.push(event) } else { extras.push(event) }
            }
        }
        for event in extras {
            if batch.len() == events_max {
                self.pollers[poller].echoes.push(event);
                continue;
            }
            let at = self.dice.choice.index(batch.len() + 1);
            batch.insert(at, event);
        }
        batch
    }
}
