//! What an idle connection costs: starts an echo server in a process of its own, connects, echoes once over
//! each connection, leaves them idle with a pooled receive (and a deadline) pending, and asks the server what
//! it holds.
//!
//! ```text
//! cargo run --release -p tests --bin idle -- --connections 10000
//! ```

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use aio::{Accept, ConnId, Done, Proactor, Recv, Send, Socket};
use clap::Parser;
use tests::process::resident_bytes;

/// Measures the memory of idle connections.
#[derive(Debug, Parser)]
struct Options {
    /// Number of connections
    #[arg(long, default_value_t = 10_000)]
    connections: u32,

    /// Give each pending receive a deadline of an hour
    #[arg(long)]
    deadline: bool,

    /// Run as the server (the program starts itself so)
    #[arg(long, hide = true)]
    server: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let ran = if options.server { server(&options) } else { client(&options) };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("idle: {error}");
            ExitCode::FAILURE
        }
    }
}

fn client(options: &Options) -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--server").stdin(Stdio::piped()).stdout(Stdio::piped());
    if options.deadline {
        command.arg("--deadline");
    }
    let mut server = command.spawn()?;
    let (mut ask, answers) = match (server.stdin.take(), server.stdout.take()) {
        (Some(stdin), Some(stdout)) => (stdin, BufReader::new(stdout)),
        _ => return Err(io::Error::other("the server has no pipes")),
    };
    let mut answers = answers.lines();
    let mut answer = || answers.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
    let address = answer()?;
    // Whatever the first connection makes the server set up is not the price of an idle one.
    let mut idle = vec![connect(&address)?];
    ask.write_all(b"?")?;
    let before = figures(&answer()?)?;
    for _ in 0..options.connections {
        idle.push(connect(&address)?);
    }
    ask.write_all(b"?")?;
    let [connections, outstanding, resident] = figures(&answer()?)?;
    println!("idle connections       {}", connections - before[0]);
    println!("pool buffers lent      {outstanding}");
    println!("resident bytes before  {}", before[2]);
    println!("resident bytes now     {resident}");
    println!(
        "bytes per connection   {}",
        resident.saturating_sub(before[2]) / u64::from(options.connections.max(1))
    );
    drop((ask, idle));
    server.wait()?;
    Ok(())
}

/// Connects, and echoes a few bytes.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let mut echo = [0; 128];
    stream.write_all(&[7; 128])?;
    stream.read_exact(&mut echo)?;
    Ok(stream)
}

/// Connections, buffers lent, resident bytes.
fn figures(line: &str) -> io::Result<[u64; 3]> {
    let numbers: Vec<u64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    numbers.try_into().map_err(|_| io::Error::other(format!("not three figures: {line:?}")))
}

#[derive(Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
    Ask,
}

fn server(options: &Options) -> io::Result<()> {
    let listener = tests::echo::listen()?;
    println!("{}", listener.local_addr()?);
    let mut aio: Proactor<Ctx> = Proactor::new()?;
    let listener = aio.adopt(Socket::from(listener).nodelay(true))?;
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    let asks = aio.adopt(stdin_stream()?)?;
    aio.submit(asks, Recv::into(vec![0]), Ctx::Ask)?;
    let hour = Duration::from_secs(3600);
    let recv = || if options.deadline { Recv::pooled().within(hour) } else { Recv::pooled() };
    let mut batch = Vec::with_capacity(256);
    while aio.turn(&mut batch, None)? {
        for done in batch.drain(..) {
            match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                    aio.submit(conn, recv(), Ctx::Read)?;
                }
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    aio.submit(done.conn, Send::new(done.buffer), Ctx::Write)?;
                }
                (Ctx::Write, Ok(_)) => {
                    aio.submit(done.conn, recv(), Ctx::Read)?;
                }
                (Ctx::Ask, Ok(Done::Received { end_of_stream: false })) => {
                    report(&mut aio, asks, done.buffer.into_vec().unwrap_or_default())?;
                }
                (Ctx::Ask, _) => aio.shut_down(),
                (_, _) => {
                    aio.close(done.conn);
                }
            }
        }
    }
    Ok(())
}

fn report(aio: &mut Proactor<Ctx>, asks: ConnId, buffer: Vec<u8>) -> io::Result<()> {
    // The listener and the questions are not idle connections.
    let connections = aio.stats().connections - 2;
    println!("{connections} {} {}", aio.stats().leases, resident_bytes()?);
    aio.submit(asks, Recv::into(buffer), Ctx::Ask)?;
    Ok(())
}

/// The questions on standard input as a stream socket, which a pipe is not: a thread passes them on.
fn stdin_stream() -> io::Result<UnixStream> {
    let (receiver, mut sender) = UnixStream::pair()?;
    std::thread::spawn(move || io::copy(&mut io::stdin().lock(), &mut sender));
    Ok(receiver)
}
