//! Several loops, one port: an echo server on as many threads as wanted, each with a proactor and a listener of its own.
//!
//! ```text
//! cargo run --release -p aio --example loops -- 127.0.0.1:8110 4
//! ```
//!
//! The listeners share the port by `SO_REUSEPORT`, and the kernel deals new connections out to them. So no loop wakes for
//! a connection that another one accepts, none waits for a lock, and a connection stays with the loop that accepted it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::thread;

use aio::{Accept, Done, Proactor, Recv, Send, Socket};

#[derive(Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
}

/// A listener that lets others listen on its port. All of them have to say so, and belong to the same user.
fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(Socket::from(socket).nodelay(true))
}

fn serve(listener: Socket) -> io::Result<()> {
    let mut aio: Proactor<Ctx> = Proactor::new()?;
    let listener = aio.adopt(listener)?;
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    let mut batch = Vec::with_capacity(256);
    while aio.turn(&mut batch, None)? {
        for done in batch.drain(..) {
            let (conn, next) = match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                    (conn, aio.submit(conn, Recv::pooled(), Ctx::Read))
                }
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    (done.conn, aio.submit(done.conn, Send::new(done.buffer), Ctx::Write))
                }
                (Ctx::Write, Ok(_)) => (done.conn, aio.submit(done.conn, Recv::pooled(), Ctx::Read)),
                _ => {
                    aio.close(done.conn);
                    continue;
                }
            };
            if next.is_err() {
                aio.close(conn);
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loops: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:8110").parse()?;
    let loops: NonZeroUsize = arguments.next().as_deref().unwrap_or("2").parse()?;
    // All of them before anybody is served: one that can not be made is told at once.
    let listeners: Vec<Socket> = (0..loops.get()).map(|_| listen(address)).collect::<io::Result<_>>()?;
    println!("{loops} loops listen on {address}");
    let threads: Vec<_> =
        listeners.into_iter().map(|listener| thread::spawn(move || serve(listener))).collect();
    for thread in threads {
        thread.join().expect("no loop panics")?;
    }
    Ok(())
}
