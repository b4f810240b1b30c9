//! By hand: what comes on the first connection is written to all the others.

use std::io::{self, ErrorKind, Read};

use mio::{Events, Interest, Poll, Token};

use super::mio_conn::EchoConn;
use super::{ListenAddress, ServeOptions};

const LISTENER: Token = Token(usize::MAX);

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let mut listener = mio::net::TcpListener::from_std(listen.open()?);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    // A subscriber that has gone leaves its place empty: the load's subscribers stay.
    let mut conns: Vec<Option<EchoConn>> = Vec::new();
    let mut buffer = vec![0; options.buffer];
    loop {
        match poll.poll(&mut events, None) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        for event in &events {
            let nth = event.token().0;
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut conns);
            } else if nth == 0 {
                publish(&mut conns, &mut buffer);
            } else {
                attend(&mut conns[nth], event.is_readable(), &mut buffer);
            }
        }
    }
}

fn accept(poll: &Poll, listener: &mio::net::TcpListener, conns: &mut Vec<Option<EchoConn>>) {
    while let Ok((mut stream, _)) = listener.accept() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        if poll.registry().register(&mut stream, Token(conns.len()), interest).is_ok() {
            conns.push(Some(EchoConn::new(stream)));
        }
    }
}

/// Reads what the publisher sends, and writes it to everybody else.
fn publish(conns: &mut [Option<EchoConn>], buffer: &mut [u8]) {
    let Some((publisher, others)) = conns.split_first_mut() else { return };
    while let Some(EchoConn { stream, .. }) = publisher {
        let count = match stream.read(buffer) {
            Ok(0) => 0,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        if count == 0 {
            *publisher = None;
            return;
        }
        for other in &mut *others {
            if other.as_mut().is_some_and(|conn| conn.send_in_turn(&buffer[..count]).is_err()) {
                *other = None;
            }
        }
    }
}

/// Sends what is left to a subscriber, and notices when it goes.
fn attend(place: &mut Option<EchoConn>, readable: bool, buffer: &mut [u8]) {
    let Some(conn) = place else { return };
    let mut gone = conn.flush().is_err();
    while readable && !gone {
        match conn.stream.read(buffer) {
            Ok(0) => gone = true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => gone = error.kind() != ErrorKind::Interrupted,
        }
    }
    if gone {
        *place = None;
    }
}
