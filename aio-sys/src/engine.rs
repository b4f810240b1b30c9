//! mio: registration, re-arming, waiting.
//!
//! A descriptor is registered once, edge-triggered, in every direction it will ever need. After that epoll
//! and kqueue report whatever is new by themselves. mio's other engines are [one-shot](platform::ONE_SHOT):
//! they report a direction once, and again only after [`rearm`](Engine::rearm).

use std::io;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use aio_model::{Key, Readiness, Rearm, SystemError, SystemErrorKind};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::errno;
use crate::platform;
use crate::token;
use crate::waker::OsWaker;

/// The most events that there is memory for, whatever the limit says: 12 KiB with epoll.
const EVENTS_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    waker: OsWaker,
}

impl Engine {
    pub(crate) const REARM: Rearm = if platform::ONE_SHOT { Rearm::OnWouldBlock } else { Rearm::OnArrival };

    pub(crate) fn new() -> io::Result<Engine> {
        let poll = Poll::new()?;
        let waker = OsWaker::new(poll.registry())?;
        Ok(Engine { poll, events: Events::with_capacity(1), waker })
    }

    pub(crate) fn waker(&self) -> &OsWaker {
        &self.waker
    }

    /// Has `fd` reported under `key`, beginning with its current state.
    pub(crate) fn register(&self, fd: impl AsFd, key: Key, interest: Interest) -> Result<(), SystemError> {
        let token = token::pack(key).ok_or(SystemError::from_kind(SystemErrorKind::OutOfMemory))?;
        let fd = fd.as_fd().as_raw_fd();
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), token, interest)
            .map_err(|error| errno::from_io(&error))
    }

    /// Has `fd` reported again, in the directions of `interest`.
    pub(crate) fn rearm(&self, fd: impl AsFd, key: Key, interest: Interest) -> Result<(), SystemError> {
        let token = token::pack(key).ok_or(SystemError::from_kind(SystemErrorKind::OutOfMemory))?;
        let raw = fd.as_fd().as_raw_fd();
        match self.poll.registry().reregister(&mut SourceFd(&raw), token, interest) {
            Ok(()) => Ok(()),
            // poll(2) goes on reporting a hang-up or an error as long as it lasts, so mio over poll(2) has
            // deregistered a descriptor that has one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.register(fd, key, interest),
            Err(error) => Err(errno::from_io(&error)),
        }
    }

    /// Has `fd` reported no more.
    pub(crate) fn deregister(&self, fd: impl AsFd) {
        // All that can go wrong is that it is not registered any more, which is what was asked for.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd.as_fd().as_raw_fd()));
    }

    /// Sleeps until there is an event, for `timeout`, or until woken, and reports events at hand,
    /// `events_max` at most, and whether there are urgent data. Those that it leaves come with the next
    /// waits, in the order in which they happened. Returns whether there was anything: an event, a wake, or
    /// an interruption.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        events_max: NonZeroU32,
        mut on_event: impl FnMut(Token, Readiness, bool),
    ) -> Result<bool, SystemError> {
        let mut woken = self.waker.lower();
        let timeout = if woken { Some(Duration::ZERO) } else { timeout };
        let events_max = usize::try_from(events_max.get()).unwrap_or(usize::MAX).min(EVENTS_MAX);
        if self.events.capacity() != events_max {
            self.events = Events::with_capacity(events_max);
        }
        let waited = self.poll.poll(&mut self.events, timeout);
        woken |= self.waker.lower();
        match waited {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(errno::from_io(&error)),
        }
        for event in self.events.iter().filter(|event| event.token() != token::WAKE) {
            on_event(event.token(), readiness(event), event.is_priority());
        }
        Ok(woken || !self.events.is_empty())
    }
}

fn readiness(event: &Event) -> Readiness {
    let bits = [
        (event.is_readable() || event.is_priority(), Readiness::READABLE),
        (event.is_writable(), Readiness::WRITABLE),
        (event.is_read_closed(), Readiness::READ_CLOSED),
        (event.is_write_closed(), Readiness::WRITE_CLOSED),
        (event.is_error(), Readiness::ERROR),
    ];
    bits.into_iter().filter(|(set, _)| *set).fold(Readiness::NONE, |all, (_, bit)| all | bit)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use aio_model::testing::Ids;

    use super::*;

    const SOME: NonZeroU32 = NonZeroU32::new(8).unwrap();

    #[test]
    fn rearming_registers_anew_what_the_engine_has_let_go_of() {
        let mut engine = Engine::new().unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let key = Ids::default().open().key();
        engine.register(&socket, key, Interest::WRITABLE).unwrap();
        engine.deregister(&socket);
        engine.rearm(&socket, key, Interest::WRITABLE).unwrap();
        let mut events = Vec::new();
        engine.wait(None, SOME, |token, readiness, _| events.push((Some(token), readiness))).unwrap();
        assert_eq!(events, [(token::pack(key), Readiness::WRITABLE)]);
    }

    #[test]
    fn what_a_wait_has_no_room_for_comes_with_the_next_ones() {
        for most in [1, 2, 64] {
            let (mut engine, mut ids) = (Engine::new().unwrap(), Ids::default());
            let sockets: Vec<_> =
                (0..=2 * most).map(|_| (ids.open().key(), UnixStream::pair().unwrap())).collect();
            for (key, (socket, _)) in &sockets {
                engine.register(socket, *key, Interest::WRITABLE).unwrap();
            }
            let (mut tokens, mut waits) = (Vec::new(), 0);
            while tokens.len() < sockets.len() {
                waits += 1;
                let events_max = NonZeroU32::new(most).unwrap();
                engine.wait(None, events_max, |token, _, _| tokens.push(token)).unwrap();
            }
            // Over poll(2) a wait takes in all there is.
            assert_eq!(waits, if platform::ONE_SHOT { 1 } else { 3 }, "{most} at once");
            tokens.sort_unstable();
            tokens.dedup();
            assert_eq!(tokens.len(), sockets.len(), "each once");
        }
    }
}
