//! An epoll loop as one would write it by hand: the baseline.
//!
//! Edge-triggered, registered once; what is read goes into one buffer for all connections and is written at
//! once; a short read says that nothing is left, so no call ends in EAGAIN. Memory is taken only for what the
//! kernel does not take.

use std::io::{self, ErrorKind, Read};
use std::net::TcpListener;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::mio_conn::{EchoConn, EchoFate};
use super::{ListenAddress, ServeOptions, Service, mio_broadcast, mio_proxy};

const LISTENER: Token = Token(usize::MAX);

/// An echo server that is stepped.
#[derive(Debug)]
pub struct Echo {
    poll: Poll,
    events: Events,
    listener: mio::net::TcpListener,
    conns: Vec<Option<EchoConn>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

/// Serves, for ever.
///
/// # Errors
///
/// When epoll fails.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    match options.service {
        Service::Echo => {}
        Service::Broadcast => return mio_broadcast::serve(listen, options),
        Service::Proxy => return mio_proxy::serve(listen, options),
    }
    let mut echo = Echo::new(listen.open()?, options.buffer)?;
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
            if echo(conn, event, buffer) == EchoFate::Close {
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
    conns: &mut Vec<Option<EchoConn>>,
    free: &mut Vec<usize>,
) {
    while let Ok((mut stream, _)) = listener.accept() {
        let nth = free.pop().unwrap_or_else(|| {
            conns.push(None);
            conns.len() - 1
        });
        let interest = Interest::READABLE | Interest::WRITABLE;
        if poll.registry().register(&mut stream, Token(nth), interest).is_ok() {
            conns[nth] = Some(EchoConn::new(stream));
        } else {
            free.push(nth);
        }
    }
}

/// Flushes, then reads and sends back until nothing is left.
#[inline]
fn echo(conn: &mut EchoConn, event: &Event, buffer: &mut [u8]) -> EchoFate {
    if conn.unsent.is_some() {
        match conn.flush() {
            Ok(true) => {}
            Ok(false) => return EchoFate::Keep,
            Err(_) => return EchoFate::Close,
        }
    } else if !event.is_readable() {
        return EchoFate::Keep;
    }
    loop {
        let count = match conn.stream.read(buffer) {
            Ok(0) => return EchoFate::Close,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return EchoFate::Keep,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return EchoFate::Close,
        };
        match conn.send(&buffer[..count]) {
            Ok(true) => {}
            Ok(false) => return EchoFate::Keep,
            Err(_) => return EchoFate::Close,
        }
        // A peer that has closed may have done so after these bytes: its end is still to be read.
        if count < buffer.len() && !event.is_read_closed() {
            return EchoFate::Keep;
        }
    }
}
