//! The soak: a server and its clients, each a proactor, and hostile peers, for a given time.
//! Every byte and every completion is accounted for, and nothing may grow.

mod chance;
mod chart;
mod conn;
mod control;
mod head;
mod hostile;
mod party;
mod report;
mod trend;

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use aio::{Builder, Socket};

use crate::process;
use control::{Control, SoakPhase};
pub use party::PartyTally;
use party::{Account, Addresses, Party};
pub use report::{Sample, SoakCheck, SoakReport};
pub use trend::Trend;

/// How long what was begun may take to end: for ever, but a soak that hangs must end.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long nothing at all may happen meanwhile. The kernel's own timers may stop a stream for a second or
/// two.
const STANDSTILL: Duration = Duration::from_secs(8);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct SoakPlan {
    /// Where all choices come from. The threads' timing is the system's, so no two runs are the same.
    pub seed: u64,
    /// How long to go on.
    pub span: Duration,
    /// How many connections the clients hold.
    pub connections: u32,
    /// What to break, to see that it is noticed.
    pub sabotage: Option<Sabotage>,
}

/// What the server can be made to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// It keeps leases.
    Leases,
    /// It keeps descriptors.
    Descriptors,
    /// It keeps memory.
    Memory,
    /// It overlooks completions.
    Operations,
    /// It expects other bytes than were sent.
    Bytes,
}

/// The two sides of every connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Server => Side::Client,
            Side::Client => Side::Server,
        }
    }
}

impl SoakPlan {
    /// So few buffers that connections must wait for one now and then.
    fn pool_buffers(&self) -> u32 {
        (self.connections / 16).max(4)
    }

    /// How often samples are taken: each second, or forty times.
    fn interval(&self) -> Duration {
        (self.span / 40).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }

    /// How long a connection may pause: so often within the warm-up that it makes no difference after.
    fn pause_max(&self) -> Duration {
        (self.span / 20).min(Duration::from_secs(4))
    }

    fn builder(&self) -> Builder {
        Builder::new().pool(self.pool_buffers(), 8 << 10)
    }
}

/// Runs a soak, and tells of each sample.
///
/// # Errors
///
/// When the system gives no socket or no figures of this process, or a proactor fails.
///
/// # Panics
///
/// When a thread does.
pub fn run(plan: &SoakPlan, mut on_sample: impl FnMut(&Sample)) -> io::Result<SoakReport> {
    let before = process::descriptors()?;
    let control = Arc::new(Control::default());
    let (server, addresses) = server(plan, &control)?;
    let client =
        Party::new(Side::Client, plan.builder().build()?, plan, Arc::clone(&control), addresses.clone());
    let server = thread::spawn(|| server.run());
    let client = thread::spawn(|| client.run());
    let hostile = {
        let (seed, control, addresses) = (plan.seed, Arc::clone(&control), addresses.clone());
        thread::spawn(move || hostile::run(seed, &control, &addresses))
    };
    let mut watch = Watch::new(&control);
    while watch.start.elapsed() < plan.span {
        thread::sleep(plan.interval());
        on_sample(watch.sample()?);
    }
    control.set_phase(SoakPhase::Drain);
    let hostile_peers = hostile.join().expect("the hostile peer does not panic");
    let settled = watch.settle()?;
    control.set_phase(SoakPhase::Stop);
    let accounts = [server, client].map(|party| party.join().expect("a party does not panic"));
    let [server, client] = accounts;
    let accounts: [Account; 2] = [server?, client?];
    std::fs::remove_file(&addresses.unix)?;
    let after = process::descriptors()?;
    Ok(report::judge(plan, watch.samples, &accounts, hostile_peers, settled, (before, after)))
}

/// The server, and where it listens.
fn server(plan: &SoakPlan, control: &Arc<Control>) -> io::Result<(Party, Addresses)> {
    let tcp = listen()?;
    let unix = std::env::temp_dir().join(format!("aio-soak-{}", std::process::id()));
    // Left behind by a process that was killed.
    let _ = std::fs::remove_file(&unix);
    let unix_listener = UnixListener::bind(&unix)?;
    let addresses = Addresses { tcp: local_address(&tcp)?, unix };
    // A few less than there are clients: the others wait in line.
    let aio = plan.builder().connections_max(plan.connections - plan.connections / 16 + 2).build()?;
    let mut party = Party::new(Side::Server, aio, plan, Arc::clone(control), addresses.clone());
    party.accept_from(Socket::from(tcp).nodelay(true))?;
    party.accept_from(unix_listener)?;
    Ok((party, addresses))
}

/// A listener whose connections take little at once, so that sends are cut in pieces.
fn listen() -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_recv_buffer_size(32 << 10)?;
    socket.set_send_buffer_size(32 << 10)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    Ok(socket)
}

fn local_address(socket: &socket2::Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// The one who watches.
struct Watch<'a> {
    control: &'a Control,
    start: Instant,
    samples: Vec<Sample>,
    /// When the last sample was taken, and how many completions there had been.
    last: (Instant, u64),
}

impl Watch<'_> {
    fn new(control: &Control) -> Watch<'_> {
        let start = Instant::now();
        Watch { control, start, samples: Vec::new(), last: (start, 0) }
    }

    fn sample(&mut self) -> io::Result<&Sample> {
        let [server, client] = [Side::Server, Side::Client].map(|side| self.control.stats(side));
        let (now, completed) = (Instant::now(), server.counters.completed + client.counters.completed);
        let span = now.duration_since(self.last.0).as_secs_f64().max(1e-3);
        let completions = completed.saturating_sub(self.last.1);
        self.last = (now, completed);
        self.samples.push(Sample {
            seconds: now.duration_since(self.start).as_secs_f64(),
            resident_bytes: process::resident_bytes()?,
            descriptors: process::descriptors()?,
            leases: server.leases + client.leases,
            credits: server.credits + client.credits,
            connections: server.connections + client.connections,
            timers: server.timers + client.timers,
            parked: server.lanes_parked + client.lanes_parked,
            completions_per_s: completions as f64 / span,
        });
        Ok(self.samples.last().expect("one was put in"))
    }

    /// Waits until both sides hold what they held before the first connection, and no more: whether they do.
    fn settle(&mut self) -> io::Result<bool> {
        let start = Instant::now();
        let mut last = (start, 0);
        loop {
            thread::sleep(Duration::from_millis(100));
            let [server, client] = [Side::Server, Side::Client].map(|side| self.control.stats(side));
            // The server has two listeners, with an accept each; and both sides have a tick.
            let server_rests = (server.connections, server.credits, server.leases) == (2, 3, 0);
            let client_rests = (client.connections, client.credits, client.leases) == (0, 1, 0);
            let [moved, and_moved] = [server, client].map(|side| side.counters).map(|counters| {
                counters.bytes_received + counters.bytes_sent + counters.opened + counters.closed
            });
            if moved + and_moved != last.1 {
                last = (Instant::now(), moved + and_moved);
            }
            let hangs = last.0.elapsed() > STANDSTILL || start.elapsed() > PATIENCE;
            if server_rests && client_rests || hangs {
                self.sample()?;
                return Ok(server_rests && client_rests);
            }
        }
    }
}
