//! By hand: two connections side by side, what is read from one is written to the other.

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::mio_conn::{EchoConn, EchoFate};
use super::{ListenAddress, ServeOptions};

const LISTENER: Token = Token(usize::MAX);

/// The client's side and the upstream's: tokens 2n and 2n + 1.
type Pair = [EchoConn; 2];

/// Serves, for ever.
pub(super) fn serve(listen: &ListenAddress, options: &ServeOptions) -> io::Result<()> {
    let upstream = options.upstream()?;
    let mut listener = mio::net::TcpListener::from_std(listen.open()?);
    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1024));
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    // The place of a pair that has gone stays empty: the load's connections stay.
    let mut pairs: Vec<Option<Pair>> = Vec::new();
    let mut buffer = vec![0; options.buffer];
    loop {
        match poll.poll(&mut events, None) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    pairs.push(Some(join(&poll, pairs.len(), client, upstream)?));
                }
                continue;
            }
            let place = &mut pairs[event.token().0 / 2];
            if place.as_mut().is_some_and(|pair| pass(pair, event, &mut buffer) == EchoFate::Close) {
                *place = None;
            }
        }
    }
}

/// Connects to the upstream. It blocks, which is not what is measured.
fn join(poll: &Poll, nth: usize, client: TcpStream, upstream: SocketAddr) -> io::Result<Pair> {
    let upstream = std::net::TcpStream::connect(upstream)?;
    upstream.set_nodelay(true)?;
    upstream.set_nonblocking(true)?;
    let mut pair = [client, TcpStream::from_std(upstream)].map(EchoConn::new);
    for (side, conn) in pair.iter_mut().enumerate() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut conn.stream, Token(2 * nth + side), interest)?;
    }
    Ok(pair)
}

fn pass(pair: &mut Pair, event: &Event, buffer: &mut [u8]) -> EchoFate {
    let [client, upstream] = pair;
    let (this, other) =
        if event.token().0.is_multiple_of(2) { (client, upstream) } else { (upstream, client) };
    if this.unsent.is_some() {
        match this.flush() {
            // What the other one had to say has waited for that.
            Ok(true) if pump(other, this, buffer, true) == EchoFate::Close => return EchoFate::Close,
            Ok(_) => {}
            Err(_) => return EchoFate::Close,
        }
    }
    if event.is_readable() && other.unsent.is_none() {
        return pump(this, other, buffer, event.is_read_closed());
    }
    EchoFate::Keep
}

fn pump(from: &mut EchoConn, to: &mut EchoConn, buffer: &mut [u8], ends: bool) -> EchoFate {
    loop {
        let count = match from.stream.read(buffer) {
            Ok(0) => return EchoFate::Close,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return EchoFate::Keep,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return EchoFate::Close,
        };
        match to.send(&buffer[..count]) {
            Ok(true) if count == buffer.len() || ends => {}
            Ok(_) => return EchoFate::Keep,
            Err(_) => return EchoFate::Close,
        }
    }
}
