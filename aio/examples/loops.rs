//! Several loops, one port: an echo server on as many threads as wanted, each with a proactor and a listener
//! of its own.
//!
//! ```text
//! cargo run --release -p aio --example loops -- 127.0.0.1:8110 4
//! ```
//!
//! The listeners share the port by `SO_REUSEPORT`, and the kernel deals new connections out to them. So no
//! loop wakes for a connection that another one accepts, none waits for a lock, and a connection stays with
//! the loop that accepted it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aio::{Accept, Address, ConnId, Done, Listen, Proactor, Recv, Send};

#[derive(Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
}

/// How long a peer may take nothing of an echo. The echo is in a buffer of the pool: without a deadline,
/// peers that never read would keep all of them for ever.
const SEND_MAX: Duration = Duration::from_secs(30);

/// A proactor and its listener for each loop, all on one port: if that is 0, on the one that the system chose
/// for the first.
fn loops_on(address: SocketAddr, loops: NonZeroUsize) -> io::Result<(Address, Vec<Loop>)> {
    let (mut aio, listener) = listen(address.into())?;
    let local = aio.local_addr(listener)?;
    let others = (1..loops.get()).map(|_| listen(local.clone()));
    let loops: io::Result<_> = std::iter::once(Ok((aio, listener))).chain(others).collect();
    Ok((local, loops?))
}

/// What a thread serves.
type Loop = (Proactor<Ctx>, ConnId);

/// A listener that lets others listen on its port. All of them have to say so, and belong to the same user.
fn listen(address: Address) -> io::Result<Loop> {
    let mut aio = Proactor::new()?;
    let listener = aio.listen(&Listen::on(address).reuse_port(true).nodelay(true))?;
    Ok((aio, listener))
}

fn serve((mut aio, listener): Loop) -> io::Result<()> {
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    let mut batch = Vec::with_capacity(256);
    while aio.turn(&mut batch, None)? {
        for done in batch.drain(..) {
            let (conn, next) = match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                    (conn, aio.submit(conn, Recv::pooled(), Ctx::Read))
                }
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    let send = Send::new(done.buffer).within(SEND_MAX);
                    (done.conn, aio.submit(done.conn, send, Ctx::Write))
                }
                (Ctx::Write, Ok(_)) => (done.conn, aio.submit(done.conn, Recv::pooled(), Ctx::Read)),
                // Nobody new will come.
                (Ctx::Accept, Err(error)) => return Err(error.into()),
                _ => {
                    aio.close(done.conn);
                    continue;
                }
            };
            if next.is_err() {
                aio.close_if_open(conn);
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
    let (local, all) = loops_on(address, loops)?;
    println!("{loops} loops listen on {local}");
    let (ended, ends) = mpsc::channel();
    for one in all {
        let ended = ended.clone();
        thread::spawn(move || ended.send(serve(one)));
    }
    drop(ended);
    // The first that fails ends them all, whichever it is.
    ends.into_iter().collect::<io::Result<()>>()?;
    Ok(())
}
