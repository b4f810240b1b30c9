//! Traffic: how what was sent gets to the other end, how long that takes, and whom it wakes.

use std::time::Duration;

use crate::world::faults::Fault;
use crate::world::link::{Change, Family, Link, News, Side};
use crate::world::socket::{Endpoint, SocketId, What};
use crate::world::state::{Connection, Due, World};
use crate::world::timing;
use crate::world::trace::TraceEntry;

impl World {
    /// A new connection with two free ends, and its serial number.
    pub(crate) fn lay_link(&mut self) -> u32 {
        let capacity = [self.draw_capacity(), self.draw_capacity()];
        let serial = u32::try_from(self.connections.len()).expect("fewer than 2³² connections in a run");
        let mut link = Link::new(capacity);
        link.family = self.family;
        self.connections.push(Connection { link, holders: [None; 2] });
        serial
    }

    /// Everything that is due happens.
    pub(crate) fn run_due(&mut self) {
        while let Some(due) = self.agenda.take_due(self.clock.now()) {
            match due {
                Due::Flow(end) => {
                    self.link_mut(end).sent_by_mut(end.side).flow_at = None;
                    self.flow_now(end);
                }
                Due::Release(listener) => self.release(listener),
                Due::Act(act) => self.act(act),
                Due::Handshake { end, answer, verdict } => self.shake_hands(end, answer, verdict),
            }
        }
    }

    /// Something was sent from `end`, or received from it: what can flow does, now or later.
    pub(crate) fn flow(&mut self, end: Endpoint) {
        let link = self.link(end);
        if !link.can_flow(end.side) || link.sent_by(end.side).flow_at.is_some() {
            return;
        }
        if self.dice.strikes(Fault::Stall) {
            self.flow_within(end, timing::STALL_MAX);
        } else if self.dice.strikes(Fault::Latency) {
            self.flow_within(end, timing::LATENCY_MAX);
        } else {
            self.flow_now(end);
        }
    }

    /// What `end` sent flows on after a while, unless that is planned already.
    pub(crate) fn flow_within(&mut self, end: Endpoint, max: Duration) {
        let at = self.clock.now() + self.dice.span(max);
        let pipe = self.link_mut(end).sent_by_mut(end.side);
        if pipe.flow_at.is_none() {
            pipe.flow_at = Some(at);
            self.agenda.plan(at, Due::Flow(end));
        }
    }

    /// What is on its way from `end`, or the answer to its connect, is there now.
    pub(crate) fn hurry(&mut self, end: Endpoint) {
        let now = self.clock.now();
        self.agenda.hurry(now, |due| match due {
            Due::Flow(from) | Due::Handshake { end: from, .. } => *from == end,
            Due::Release(_) | Due::Act(_) => false,
        });
        self.run_due();
    }

    fn flow_now(&mut self, end: Endpoint) {
        let in_flight = self.link(end).sent_by(end.side).in_flight();
        let bytes_max = if in_flight > 1 && self.dice.strikes(Fault::Segments) {
            1 + self.dice.choice.index(in_flight - 1)
        } else {
            usize::MAX
        };
        self.change(end, |link, news| link.flow(end.side, bytes_max, news));
        if self.link(end).can_flow(end.side) {
            self.flow_within(end, timing::SEGMENT_GAP_MAX);
        }
    }

    /// Does something to a connection, and tells the engines what changed.
    pub(crate) fn change<R>(&mut self, end: Endpoint, act: impl FnOnce(&mut Link, &mut News) -> R) -> R {
        let mut news = News::new();
        let result = act(self.link_mut(end), &mut news);
        for (side, change) in news {
            if let Some(socket) = self.connections[end.link as usize].holders[side as usize] {
                self.announce(socket, change);
            }
        }
        result
    }

    /// Tells the engine that watches a socket, if one does, that it changed.
    pub(crate) fn announce(&mut self, socket: SocketId, change: Change) {
        self.note(TraceEntry::Changed { socket, change });
        if let Some(registration) = self.socket(socket).registration {
            let engine = &mut self.pollers[registration.poller].engine;
            engine.on_change(socket, change, self.clock.now(), &mut self.dice);
        }
    }

    /// Hides the connections that wait at a listener, for a while.
    pub(crate) fn hold(&mut self, listener: SocketId) {
        if let Some(socket) = &mut self.sockets[listener.index()]
            && let What::Listener(waiting) = &mut socket.what
        {
            waiting.hold();
            let at = self.clock.now() + self.dice.span(timing::HOLD_MAX);
            self.agenda.plan(at, Due::Release(listener));
        }
    }

    /// Lets hidden connections arrive again. The listener may have been closed meanwhile.
    fn release(&mut self, listener: SocketId) {
        let change = match &mut self.sockets[listener.index()] {
            Some(socket) => socket.listener_mut().and_then(|waiting| waiting.release()),
            None => None,
        };
        if let Some(change) = change {
            self.announce(listener, change);
        }
    }

    /// Closes a descriptor, and what it was the last one of.
    pub(crate) fn destroy(&mut self, socket: SocketId) {
        let id = socket;
        let Some(socket) = self.sockets[socket.index()].take() else { return };
        self.descriptors.give_back(socket.descriptor);
        match socket.what {
            What::Stream(end) => {
                self.connections[end.link as usize].holders[end.side as usize] = None;
                self.close_end(end);
            }
            What::Listener(listener) => {
                self.addresses.on_closed(id);
                for link in listener.into_backlog() {
                    self.reset_end(Endpoint { link, side: Side::Server });
                }
            }
        }
    }

    /// Has the close of a stream reset the connection, as `SO_LINGER` of zero seconds does. Not of a Unix
    /// socket.
    pub(crate) fn reset_on_close(&mut self, socket: SocketId) {
        if let Some(end) = self.socket(socket).stream()
            && self.link(end).family == Family::Tcp
        {
            self.reset_end(end);
        }
    }

    /// Closes one end of a connection.
    pub(crate) fn close_end(&mut self, end: Endpoint) {
        self.change(end, |link, news| link.close(end.side, news));
        self.flow(end);
    }

    /// Resets a connection from one end.
    pub(crate) fn reset_end(&mut self, end: Endpoint) {
        let discards = self.dice.strikes(Fault::ResetDiscards);
        self.change(end, |link, news| link.reset(end.side, discards, news));
    }
}
