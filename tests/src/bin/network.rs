//! The two ends of a network that `tests/netns/run` spoils: an echo server, and a client whose streams are
//! told from any others. Each says in one line how its connections ended.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use aio::{
    Accept, Buffer, Completion, ConnId, Connect, Done, OpError, OpId, Operation, Proactor, Recv, Send,
    Shutdown,
};
use aio::{Sleep, Socket, SystemErrorKind};
use clap::{Parser, Subcommand};
use tests::bytes::Bytes;

/// Streams over a network that may fail
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    end: End,

    /// Number of connections; the program ends when they have ended
    #[arg(long, global = true, default_value_t = 20)]
    connections: usize,

    /// Deadline of each operation in milliseconds
    #[arg(long, global = true, default_value_t = 30_000)]
    patience_ms: u64,
}

#[derive(Debug, Subcommand)]
enum End {
    /// Run an echo server
    Serve {
        /// Address to listen on
        address: SocketAddr,

        /// Change a byte now and then, which must be noticed
        #[arg(long, hide = true)]
        garble: bool,
    },
    /// Run clients that send, and compare what comes back
    Connect {
        /// Address of the server
        address: SocketAddr,

        /// Number of pieces of 16 KiB that each connection sends, one every 20 ms
        #[arg(long, default_value_t = 200)]
        pieces: u32,
    },
}

const PIECE: usize = 16 << 10;
/// As many bytes come back right, of those that do not.
const GARBLED: u64 = 1 << 20;
const PACE: Duration = Duration::from_millis(20);

/// How connections ended.
#[derive(Debug, Default)]
struct Ends {
    whole: u32,
    expired: u32,
    reset: u32,
    aborted: u32,
    unmade: u32,
    other: u32,
    wrong: u32,
    bytes: u64,
}

impl Ends {
    fn count(&self) -> usize {
        let Ends { whole, expired, reset, aborted, unmade, other, wrong, .. } = self;
        (whole + expired + reset + aborted + unmade + other + wrong) as usize
    }

    fn of(&mut self, error: OpError) -> &mut u32 {
        let system = if let OpError::System(error) = error { Some(error.kind()) } else { None };
        match (error, system) {
            (OpError::Deadline, _) => &mut self.expired,
            (_, Some(SystemErrorKind::ConnectionReset | SystemErrorKind::BrokenPipe)) => &mut self.reset,
            (_, Some(SystemErrorKind::ConnectionAborted)) => &mut self.aborted,
            _ => &mut self.other,
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ends { whole, expired, reset, aborted, unmade, other, wrong, bytes } = self;
        write!(f, "whole={whole} expired={expired} reset={reset} aborted={aborted} unmade={unmade} ")?;
        write!(f, "other={other} wrong={wrong} bytes={bytes}")
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (name, ran) = match options.end {
        End::Serve { address, garble } => ("server", serve(&options, address, garble)),
        End::Connect { address, pieces } => ("client", connect(&options, address, pieces)),
    };
    match ran {
        Ok(ends) => {
            println!("{name}: {ends}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
}

fn serve(options: &Options, address: SocketAddr, garble: bool) -> io::Result<Ends> {
    let patience = Duration::from_millis(options.patience_ms);
    let mut aio: Proactor<Ctx> = Proactor::<Ctx>::builder().pool(8, PIECE).build()?;
    let listener = aio.adopt(Socket::from(TcpListener::bind(address)?).nodelay(true))?;
    aio.submit(listener, Accept::many(), Ctx::Accept)?;
    let (mut ends, mut batch) = (Ends::default(), Vec::with_capacity(256));
    while ends.count() < options.connections {
        aio.turn(&mut batch, None)?;
        for mut done in batch.drain(..) {
            match (done.context, done.result) {
                (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                    aio.submit(conn, Recv::pooled().within(patience), Ctx::Read)?;
                }
                (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                    ends.bytes += done.bytes;
                    if let (true, Buffer::Lease(lease)) = (garble && ends.bytes > GARBLED, &mut done.buffer) {
                        lease[0] ^= 1;
                    }
                    aio.submit(done.conn, Send::new(done.buffer).within(patience), Ctx::Write)?;
                }
                (Ctx::Read, Ok(_)) => {
                    ends.whole += 1;
                    aio.close(done.conn);
                }
                (Ctx::Write, Ok(_)) => {
                    aio.submit(done.conn, Recv::pooled().within(patience), Ctx::Read)?;
                }
                (_, Err(error)) => {
                    *ends.of(error) += 1;
                    aio.close(done.conn);
                }
                (Ctx::Accept, Ok(_)) => {}
            }
        }
    }
    finish(aio)?;
    Ok(ends)
}

/// Shuts a proactor down: nothing may be left of it.
fn finish<C>(mut aio: Proactor<C>) -> io::Result<()> {
    aio.shut_down();
    let mut batch = Vec::with_capacity(256);
    while aio.turn(&mut batch, None)? {
        batch.clear();
    }
    aio.check().map_err(io::Error::other)?;
    match (aio.stats().credits, aio.stats().connections, aio.stats().leases) {
        (0, 0, 0) => Ok(()),
        left => Err(io::Error::other(format!("operations, connections, leases are left: {left:?}"))),
    }
}

/// What the client's operations are for, and the number of their stream.
#[derive(Debug, Clone, Copy)]
enum Of {
    Connect(usize),
    Send(usize),
    Pause(usize),
    Shutdown(usize),
    Receive(usize),
}

struct Stream {
    conn: Option<ConnId>,
    over: bool,
    says: Bytes,
    hears: Bytes,
    unsaid: u32,
    unheard: u64,
}

struct Client {
    aio: Proactor<Of>,
    streams: Vec<Stream>,
    ends: Ends,
    patience: Duration,
}

fn connect(options: &Options, address: SocketAddr, pieces: u32) -> io::Result<Ends> {
    let patience = Duration::from_millis(options.patience_ms);
    let aio = Proactor::<Of>::builder().pool(8, PIECE).build()?;
    let mut client = Client { aio, streams: Vec::new(), ends: Ends::default(), patience };
    for index in 0..options.connections {
        let bytes = Bytes::new(index as u64);
        client.streams.push(Stream {
            conn: None,
            over: false,
            says: bytes.clone(),
            hears: bytes,
            unsaid: pieces,
            unheard: u64::from(pieces) * PIECE as u64,
        });
        let own = client.aio.own();
        client.submit(own, Connect::to(address).nodelay(true).within(patience), Of::Connect(index))?;
    }
    let mut batch = Vec::with_capacity(256);
    while client.ends.count() < options.connections {
        client.aio.turn(&mut batch, None)?;
        for done in batch.drain(..) {
            client.handle(&done)?;
        }
    }
    finish(client.aio)?;
    Ok(client.ends)
}

impl Client {
    fn submit(&mut self, conn: ConnId, op: impl Operation<Of>, context: Of) -> io::Result<OpId> {
        Ok(self.aio.submit(conn, op, context)?)
    }

    fn handle(&mut self, done: &Completion<Of>) -> io::Result<()> {
        let (Of::Connect(index)
        | Of::Send(index)
        | Of::Pause(index)
        | Of::Shutdown(index)
        | Of::Receive(index)) = done.context;
        if self.streams[index].over {
            return Ok(());
        }
        match (done.context, done.result) {
            (Of::Connect(_), Err(_)) => {
                self.ends.unmade += 1;
                self.streams[index].over = true;
            }
            (_, Err(error)) => {
                *self.ends.of(error) += 1;
                self.end(index);
            }
            (Of::Connect(_), Ok(_)) => {
                self.streams[index].conn = Some(done.conn);
                self.send(index)?;
                self.receive(index)?;
            }
            (Of::Send(_), Ok(_)) => {
                let own = self.aio.own();
                self.submit(own, Sleep::new(PACE), Of::Pause(index))?;
            }
            (Of::Pause(_), Ok(_)) => self.send(index)?,
            (Of::Shutdown(_), Ok(_)) => {}
            (Of::Receive(_), Ok(_)) => self.received(index, done)?,
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> io::Result<()> {
        let stream = &mut self.streams[index];
        let Some(conn) = stream.conn else { return Ok(()) };
        if stream.unsaid == 0 {
            self.submit(conn, Shutdown::write(), Of::Shutdown(index))?;
            return Ok(());
        }
        stream.unsaid -= 1;
        let piece = stream.says.take(PIECE);
        self.submit(conn, Send::new(piece).within(self.patience), Of::Send(index))?;
        Ok(())
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let Some(conn) = self.streams[index].conn else { return Ok(()) };
        self.submit(conn, Recv::pooled().within(self.patience), Of::Receive(index))?;
        Ok(())
    }

    fn received(&mut self, index: usize, done: &Completion<Of>) -> io::Result<()> {
        let stream = &mut self.streams[index];
        let bytes = done.received();
        let right = stream.hears.matches(bytes) && bytes.len() as u64 <= stream.unheard;
        let whole = stream.unheard == 0;
        stream.unheard = stream.unheard.saturating_sub(done.bytes);
        self.ends.bytes += done.bytes;
        match (right, bytes.is_empty()) {
            (true, false) => return self.receive(index),
            (true, true) if whole => self.ends.whole += 1,
            _ => self.ends.wrong += 1,
        }
        self.end(index);
        Ok(())
    }

    fn end(&mut self, index: usize) {
        self.streams[index].over = true;
        self.streams[index].conn.take().map(|conn| self.aio.close(conn));
    }
}
