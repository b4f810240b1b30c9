//! A server and its clients in one thread: the same in every run.
//!
//! All clients send, the server takes turns until all have been answered, and so on. Nothing depends on who
//! is faster, so every turn finds what it found in the last run. The clients use `readv` and `writev`, which
//! no server here calls for an echo, so that their system calls are told from the server's.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, TcpStream};

use rustix::io::{Errno, readv, writev};
use rustix::process::{WaitOptions, wait};

use crate::load::{Pattern, StreamPlace};
use crate::peers::aio_echo::{self, EchoMode};
use crate::peers::{self, mio_raw};

/// Clients at once.
pub const CLIENTS: usize = 50;
/// Bytes in a message.
const MESSAGE: usize = 128;
/// Bytes in the server's receive buffers.
const BUFFER: usize = 16 * 1024;
/// No server needs as many turns for one round.
const TURNS_MAX: usize = 100;

/// The servers whose figures are kept.
pub const PEERS: [&str; 5] = [peers::BASELINE, "aio", "aio_dropping", "aio_deadline", "aio_many"];

/// A server that wastes an allocation and a call that fails on each echo: it must be seen.
pub const CANARY: &str = "canary";

/// The system calls that clients make.
pub const CLIENT_CALLS: [&str; 2] = ["readv", "writev"];

/// A server, and one turn of it at a time.
enum Server {
    Mio(mio_raw::Echo),
    Aio(Box<aio_echo::AioEcho>),
    Canary(mio_raw::Echo),
}

impl Server {
    fn turn(&mut self) -> io::Result<()> {
        match self {
            Server::Mio(echo) => echo.turn(None),
            Server::Aio(echo) => echo.turn(None).map(drop),
            Server::Canary(echo) => {
                echo.turn(None)?;
                for _ in 0..CLIENTS {
                    drop(std::hint::black_box(Box::new(1_u8)));
                    // There is no child to wait for.
                    let _ = std::hint::black_box(wait(WaitOptions::NOHANG));
                }
                Ok(())
            }
        }
    }
}

struct Client {
    socket: TcpStream,
    place: StreamPlace,
    answered: bool,
}

/// Lets every client of a server echo `rounds` times. Returns how many calls the clients have made.
///
/// # Errors
///
/// When there is no such server, or it does not answer, or wrongly.
pub fn run(peer: &str, rounds: usize) -> io::Result<u64> {
    let listener = peers::listener(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    let mut server = match peer {
        peers::BASELINE => Server::Mio(mio_raw::Echo::new(listener, BUFFER)?),
        "aio" => Server::Aio(Box::new(aio_echo::AioEcho::new(listener, BUFFER, EchoMode::default())?)),
        "aio_dropping" => Server::Aio(Box::new(aio_echo::AioEcho::new(listener, BUFFER, EchoMode::DROPS)?)),
        "aio_many" => Server::Aio(Box::new(aio_echo::AioEcho::new(listener, BUFFER, EchoMode::MANY)?)),
        "aio_deadline" => {
            Server::Aio(Box::new(aio_echo::AioEcho::new(listener, BUFFER, EchoMode::DEADLINE)?))
        }
        CANARY => Server::Canary(mio_raw::Echo::new(listener, BUFFER)?),
        _ => return Err(io::Error::other(format!("{peer} can not be stepped"))),
    };
    let pattern = Pattern::new();
    let mut clients = Vec::with_capacity(CLIENTS);
    for nth in 0..CLIENTS {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        clients.push(Client { socket, place: pattern.start(nth), answered: true });
    }
    let mut calls = 0;
    for _ in 0..rounds {
        calls += round(&mut server, &mut clients, &pattern)?;
    }
    Ok(calls)
}

fn round(server: &mut Server, clients: &mut [Client], pattern: &Pattern) -> io::Result<u64> {
    let mut calls = 0;
    for client in &mut *clients {
        let message = pattern.piece(client.place, MESSAGE);
        calls += 1;
        if writev(&client.socket, &[IoSlice::new(message)])? != MESSAGE {
            return Err(io::Error::other("a message did not fit into an empty socket"));
        }
        client.answered = false;
    }
    for _ in 0..TURNS_MAX {
        server.turn()?;
        for client in clients.iter_mut().filter(|client| !client.answered) {
            calls += 1;
            client.receive(pattern)?;
        }
        if clients.iter().all(|client| client.answered) {
            return Ok(calls);
        }
    }
    Err(io::Error::other("the server takes turns and does not answer"))
}

impl Client {
    fn receive(&mut self, pattern: &Pattern) -> io::Result<()> {
        let mut echo = [0; MESSAGE + 1];
        match readv(&self.socket, &mut [IoSliceMut::new(&mut echo)]) {
            Ok(MESSAGE) if pattern.is_at(self.place, &echo[..MESSAGE]) => {
                self.place = self.place.after(MESSAGE);
                self.answered = true;
                Ok(())
            }
            Ok(count) => Err(io::Error::other(format!("{count} bytes came back, not those that were sent"))),
            Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_answers_in_the_same_way_every_time() {
        for peer in PEERS {
            let calls = run(peer, 20).unwrap();
            // At least a write and a read a message; and a second run makes the very same calls.
            assert!(calls >= 20 * 2 * CLIENTS as u64, "{peer}: {calls}");
            assert_eq!(run(peer, 20).unwrap(), calls, "{peer}");
        }
        assert!(run("nobody", 1).is_err());
    }
}
