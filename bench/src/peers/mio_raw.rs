//! An epoll loop as one would write it by hand: the baseline.
//!
//! Edge-triggered, registered once; what is read goes into one buffer for all connections and is written at once; a short
//! read says that nothing is left, so no call ends in EAGAIN. Memory is taken only for what the kernel does not take.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::{Door, Options};

const LISTENER: Token = Token(usize::MAX);

/// An echo server that is stepped.
#[derive(Debug)]
pub struct Echo {
    poll: Poll,
    events: Events,
    listener: mio::net::TcpListener,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Conn {
    stream: TcpStream,
    /// What is to be sent before more is read.
    unsent: Option<Box<Unsent>>,
}

#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// Whether to go on with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Close,
}

/// Serves, for ever.
///
/// # Errors
///
/// When epoll fails.
pub(super) fn serve(door: &Door, options: &Options) -> io::Result<()> {
    let mut echo = Echo::new(door.open()?, options.buffer)?;
    loop {
        echo.turn(None)?;
    }
}

impl Echo {
    /// A server on a listener.
    ///
    /// # Errors
    ///
    /// When the system gives no epoll descriptor.
    pub fn new(listener: TcpListener, buffer: usize) -> io::Result<Echo> {
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Echo {
            poll,
            events: Events::with_capacity(1024),
            listener,
            conns: Vec::new(),
            free: Vec::new(),
            buffer: vec![0; buffer],
        })
    }

    /// Waits for events, and handles all that come.
    ///
    /// # Errors
    ///
    /// When epoll fails.
    #[inline(never)]
    pub fn turn(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let Echo { poll, events, listener, conns, free, buffer } = self;
        match poll.poll(events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for event in &*events {
            if event.token() == LISTENER {
                accept(poll, listener, conns, free);
                continue;
            }
            let nth = event.token().0;
            let Some(conn) = &mut conns[nth] else { continue };
            if conn.serve(event, buffer) == Fate::Close {
                conns[nth] = None;
                free.push(nth);
            }
        }
        Ok(())
    }
}

fn accept(
    poll: &Poll,
    listener: &mio::net::TcpListener,
    conns: &mut Vec<Option<Conn>>,
    free: &mut Vec<usize>,
) {
    while let Ok((mut stream, _)) = listener.accept() {
        let nth = free.pop().unwrap_or_else(|| {
            conns.push(None);
            conns.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        if poll.registry().register(&mut stream, Token(nth), interest).is_ok() {
            conns[nth] = Some(Conn { stream, unsent: None });
        } else {
            free.push(nth);
        }
    }
}

impl Conn {
    fn serve(&mut self, event: &Event, buffer: &mut [u8]) -> Fate {
        if self.unsent.is_some() {
            match self.flush() {
                Ok(true) => {}
                Ok(false) => return Fate::Keep,
                Err(_) => return Fate::Close,
            }
        } else if !event.is_readable() {
            return Fate::Keep;
        }
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Fate::Close,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Keep,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Fate::Close,
            };
            match self.send(&buffer[..count]) {
                Ok(true) => {}
                Ok(false) => return Fate::Keep,
                Err(_) => return Fate::Close,
            }
            // Whoever has closed may have done so after these bytes: its end is still to be read.
            if count < buffer.len() && !event.is_read_closed() {
                return Fate::Keep;
            }
        }
    }

    /// Sends, and keeps what the kernel does not take. Returns whether it took everything.
    fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent = Some(Box::new(Unsent { bytes: bytes[sent..].to_vec(), sent: 0 }));
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<bool> {
        let Some(unsent) = &mut self.unsent else { return Ok(true) };
        while unsent.sent < unsent.bytes.len() {
            match self.stream.write(&unsent.bytes[unsent.sent..]) {
                Ok(count) => unsent.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = None;
        Ok(true)
    }
}
