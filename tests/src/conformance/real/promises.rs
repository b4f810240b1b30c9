//! Promises: readiness that is not yet known must be reported; and the state at the end.

use std::io::{self, ErrorKind};
use std::time::Duration;

use aio_model::Direction;
use aio_model::{Instant, Readiness, System};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;

use crate::conformance::history::{Deed, History, Name, Seen};

use super::Player;

impl Player<'_> {
    pub(super) fn broke(&mut self, what: String) {
        self.history.broken.push((self.history.deeds.len(), what));
    }

    pub(super) fn wait(&mut self, until: Instant) -> Vec<(Name, Readiness)> {
        let mut events = self.caller.events(until);
        (self.ear)(&mut events);
        let mut named = Vec::new();
        for (id, readiness) in events {
            let listener = self.listener.as_mut().filter(|(listener, ..)| *listener == id);
            let conn = self.conns.iter().position(|conn| conn.id == Some(id));
            let (name, known) = match (listener, conn) {
                (Some((_, _, known)), _) => (Name::Listener, Some(known)),
                (None, Some(conn)) => (Name::Conn(conn), self.conns[conn].readiness.as_mut()),
                (None, None) => {
                    self.broke(format!("an event of {id}, which is not open"));
                    continue;
                }
            };
            named.push((name, readiness));
            known.into_iter().for_each(|known| known.on_event(readiness));
        }
        named
    }

    /// Who is ready, and not known to be, must be reported. Looked at after each wait.
    pub(super) fn keep_promises(&mut self) -> io::Result<()> {
        if !matches!(self.history.deeds.last(), Some((Deed::Wait | Deed::Nap, _))) {
            return Ok(());
        }
        let patience = self.caller.system.now() + self.patience;
        while let Some((name, direction)) = self.owed()? {
            if self.caller.system.now() >= patience {
                self.broke(format!("{name:?} is ready to {direction:?}, and no event says so"));
                break;
            }
            let events = self.wait(patience);
            self.history.deeds.push((Deed::Wait, Seen::Events(events)));
        }
        Ok(())
    }

    /// A direction in which the kernel is ready, and the model would not know.
    fn owed(&mut self) -> io::Result<Option<(Name, Direction)>> {
        let ready = ready(&self.flags()?);
        let knows = |&(name, direction): &(Name, Direction)| {
            let known = match name {
                Name::Listener => self.listener.as_ref().map(|(_, _, known)| known),
                Name::Conn(conn) => self.conns[conn].readiness.as_ref(),
            };
            known.is_some_and(|known| known.is_ready(direction))
        };
        Ok(ready.into_iter().find(|lane| !knows(lane)))
    }

    /// What the kernel says of the listener and every open connection.
    fn flags(&mut self) -> io::Result<Vec<(Name, PollFlags)>> {
        let listener = self.listener.as_ref().map(|(id, ..)| (Name::Listener, *id));
        let conns = self.conns.iter().enumerate();
        let conns = conns.filter_map(|(number, conn)| Some((Name::Conn(number), conn.id?)));
        let system = &mut self.caller.system;
        let asked = listener.into_iter().chain(conns).map(|(name, id)| {
            let fd = system.descriptor(id).ok_or(ErrorKind::NotFound)?;
            let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::OUT | PollFlags::RDHUP)];
            // A signal ends it without an answer, although it does not sleep.
            retry_on_intr(|| poll(&mut fds, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })))?;
            Ok((name, fds[0].revents()))
        });
        asked.collect()
    }

    /// The last waits, and what is the case then. No port is left occupied by what lingers.
    pub(super) fn finish(mut self) -> io::Result<History> {
        // A wait may return early for no reason, as mio's over poll(2) does after a registration.
        for _ in 0..2 {
            let events = self.wait(Instant::ZERO);
            self.history.deeds.push((Deed::Wait, Seen::Events(events)));
            self.keep_promises()?;
        }
        let flags = self.flags()?;
        self.history.ready = ready(&flags);
        let errors = flags.iter().filter(|(_, flags)| flags.contains(PollFlags::ERR));
        self.history.errors = errors.filter_map(|(name, _)| name.conn()).collect();
        if self.script.family.is_tcp() {
            for conn in &self.conns {
                conn.peer.iter().try_for_each(|peer| peer.set_linger(Some(Duration::ZERO)))?;
            }
        }
        Ok(self.history)
    }
}

/// The directions in which the kernel would let something through.
fn ready(flags: &[(Name, PollFlags)]) -> Vec<(Name, Direction)> {
    let over = PollFlags::HUP | PollFlags::ERR;
    let receive = (Direction::Receive, over | PollFlags::IN | PollFlags::RDHUP);
    let directions = [receive, (Direction::Send, over | PollFlags::OUT)];
    let lanes = flags.iter().flat_map(|&(name, flags)| {
        let ready = directions.into_iter().filter(move |(_, any)| flags.intersects(*any));
        ready.map(move |(direction, _)| (name, direction))
    });
    lanes.collect()
}
