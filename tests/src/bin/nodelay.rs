//! What it costs to send a header and its body apart, over loopback: with `TCP_NODELAY`, without it, and
//! without it but as one send of two parts.
//!
//! ```text
//! cargo run --release -p tests --bin nodelay
//! ```
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use aio::{Buffer, Completion, ConnId, Connect, Done, Operation, Parts, Proactor, Recv, Send, Socket};

const HEADER: usize = 16;
const BODY: usize = 100;

/// Takes requests of one connection, and answers each with a byte.
fn serve(listener: TcpListener, nodelay: bool) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    drop(listener);
    let mut aio: Proactor<()> = Proactor::new()?;
    let conn = aio.adopt(Socket::from(stream).nodelay(nodelay))?;
    let mut request = vec![0; HEADER + BODY];
    loop {
        let done = one(&mut aio, conn, Recv::exact(request))?;
        if !matches!(done.result, Ok(Done::Received { end_of_stream: false })) {
            return Ok(());
        }
        request = done.buffer.into_vec().expect("a vector comes back as one");
        one(&mut aio, conn, Send::new(vec![0]))?;
    }
}

/// Submits an operation, and waits until it has ended.
fn one(aio: &mut Proactor<()>, conn: ConnId, op: impl Operation<()>) -> io::Result<Completion<()>> {
    aio.submit(conn, op, ())?;
    completions(aio, 1).map(|mut done| done.remove(0))
}

fn completions(aio: &mut Proactor<()>, count: usize) -> io::Result<Vec<Completion<()>>> {
    let mut batch = Vec::with_capacity(4);
    while batch.len() < count {
        aio.turn(&mut batch, None)?;
    }
    Ok(batch)
}

/// How long a request takes until it is answered: the median of `count`.
fn measure(nodelay: bool, apart: bool, count: usize) -> io::Result<Duration> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve(listener, nodelay));
    let mut aio: Proactor<()> = Proactor::new()?;
    let own = aio.own();
    let conn = one(&mut aio, own, Connect::to(address).nodelay(nodelay))?.conn;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        if apart {
            aio.submit(conn, Send::new(vec![0; HEADER]), ())?;
            aio.submit(conn, Send::new(vec![0; BODY]), ())?;
        } else {
            let parts = [vec![0; HEADER], vec![0; BODY]].map(Buffer::from);
            aio.submit(conn, Send::new(Parts::from_iter(parts)), ())?;
        }
        aio.submit(conn, Recv::exact(vec![0]), ())?;
        completions(&mut aio, if apart { 3 } else { 2 })?;
        times.push(began.elapsed().as_secs_f64());
    }
    drop(aio);
    server.join().expect("the server does not panic")?;
    Ok(Duration::from_secs_f64(plot::stats::median(times).unwrap_or(0.0)))
}

fn main() -> io::Result<()> {
    for (nodelay, apart, count) in
        [(false, true, 101), (true, true, 10_001), (false, false, 10_001), (true, false, 10_001)]
    {
        let sends = if apart { "two sends" } else { "one send of two parts" };
        let option = if nodelay { "with TCP_NODELAY" } else { "without" };
        let median = measure(nodelay, apart, count)?;
        println!("{sends}, {option}: {median:.1?} a request (median of {count})");
    }
    Ok(())
}
