//! Runs the servers against each other.

use std::io;
use std::path::Path;

use indicatif::ProgressBar;

use super::report::{Found, ServerRow, Slice, Speed};
use super::scenario::{LoadScenario, Measure};
use super::stats::number;
use crate::load::child::{LoadChild, Order};
use crate::peers::child::ServerChild;
use crate::peers::{self, BASELINE, ComparedServer, PEERS, ServeOptions, Service};
use crate::process::{LOAD_CORE, SERVER_CORE};

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds; each server has one slice in each.
    pub rounds: usize,
    /// The length of a slice.
    pub slice_ms: u64,
}

/// A server with the load that is its own.
struct Pair {
    peer: &'static ComparedServer,
    server: ServerChild,
    load: LoadChild,
}

/// The peers of a scenario: those asked for that can do it, and the baseline.
pub fn peers_of(scenario: &LoadScenario, wanted: &[String]) -> Vec<&'static ComparedServer> {
    let is_wanted = |peer: &ComparedServer| {
        peer.name == BASELINE
            || if wanted.is_empty() {
                peer.common || scenario.measure == Measure::Memory
            } else {
                wanted.iter().any(|name| name == peer.name)
            }
    };
    PEERS.iter().filter(|peer| is_wanted(peer) && peer.services.contains(&scenario.service)).collect()
}

/// Runs one scenario.
///
/// # Errors
///
/// When a server or a load fails: the peer's name, and what happened.
pub fn scenario(
    program: &Path,
    scenario: &LoadScenario,
    peers: &[&'static ComparedServer],
    effort: Effort,
    bar: &ProgressBar,
) -> io::Result<Found> {
    let mut rows = match scenario.measure {
        Measure::Speed => speed(program, scenario, peers, effort, bar)?,
        Measure::Memory => memory(program, scenario, peers, bar)?,
    };
    rows.sort_by(|a, b| a.cost().total_cmp(&b.cost()));
    Ok(Found { scenario: scenario.name.to_owned(), rows })
}

/// All servers are alive at once and are loaded in turn, in another order in each round: what the machine
/// does meanwhile hits all of them alike.
fn speed(
    program: &Path,
    scenario: &LoadScenario,
    peers: &[&'static ComparedServer],
    effort: Effort,
    bar: &ProgressBar,
) -> io::Result<Vec<ServerRow>> {
    let upstream = Upstream::of(program, scenario)?;
    let mut pairs = Vec::new();
    for peer in peers {
        bar.set_message(format!("{}: {} starts", scenario.name, peer.name));
        pairs.push(
            Pair::start(program, scenario, peer, upstream.as_ref()).map_err(|error| blame(peer, &error))?,
        );
    }
    let mut slices: Vec<Vec<Slice>> = pairs.iter().map(|_| Vec::new()).collect();
    // The first round warms everything up.
    for round in 0..=effort.rounds {
        for turn in 0..pairs.len() {
            let nth = (turn + round) % pairs.len();
            let pair = &mut pairs[nth];
            bar.set_message(format!("{}: {}", scenario.name, pair.peer.name));
            let slice = pair.slice(scenario, effort.slice_ms).map_err(|error| blame(pair.peer, &error))?;
            if round > 0 {
                slices[nth].push(slice);
            }
            bar.inc(1);
        }
    }
    let baseline = pairs.iter().position(|pair| pair.peer.name == BASELINE).unwrap_or(0);
    Ok(pairs
        .iter()
        .zip(&slices)
        .map(|(pair, own)| ServerRow {
            peer: pair.peer.name.to_owned(),
            speed: Speed::of(own, &slices[baseline]),
            bytes_per_connection: None,
        })
        .collect())
}

/// Connects a crowd, lets each connection echo once, and looks at what the server has grown by.
///
/// # Errors
///
/// Like [`scenario`].
pub fn memory(
    program: &Path,
    scenario: &LoadScenario,
    peers: &[&'static ComparedServer],
    bar: &ProgressBar,
) -> io::Result<Vec<ServerRow>> {
    // What is needed once for all is there after these.
    const FIRST: usize = 100;
    let mut rows = Vec::new();
    for peer in peers {
        bar.set_message(format!("{}: {}", scenario.name, peer.name));
        let found = (|| {
            let few = LoadScenario { connections: FIRST, active: FIRST, ..*scenario };
            let mut pair = Pair::start(program, &few, peer, None)?;
            pair.greet(scenario.message)?;
            let before = pair.resident_settled()?;
            pair.connect(scenario.connections)?;
            pair.greet(scenario.message)?;
            let after = pair.resident_settled()?;
            Ok((number(after) - number(before)) / number(scenario.connections as u64))
        })();
        let bytes = found.map_err(|error: io::Error| blame(peer, &error))?;
        rows.push(ServerRow { peer: peer.name.to_owned(), speed: None, bytes_per_connection: Some(bytes) });
        bar.inc(1);
    }
    Ok(rows)
}

fn blame(peer: &ComparedServer, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", peer.name))
}

/// What proxies connect to: the baseline's echo, on the core of the load.
struct Upstream(ServerChild);

impl Upstream {
    fn of(program: &Path, scenario: &LoadScenario) -> io::Result<Option<Upstream>> {
        if scenario.service != Service::Proxy {
            return Ok(None);
        }
        let echo = peers::find(BASELINE).ok_or_else(|| io::Error::other("no baseline"))?;
        let options = ServeOptions { service: Service::Echo, ..options(scenario, None) };
        ServerChild::spawn(program, echo, &options, LOAD_CORE).map(|server| Some(Upstream(server)))
    }
}

fn options(scenario: &LoadScenario, upstream: Option<&Upstream>) -> ServeOptions {
    ServeOptions {
        service: scenario.service,
        buffer: scenario.buffer,
        upstream: upstream.map(|upstream| upstream.0.address()),
    }
}

impl Pair {
    fn start(
        program: &Path,
        scenario: &LoadScenario,
        peer: &'static ComparedServer,
        upstream: Option<&Upstream>,
    ) -> io::Result<Pair> {
        let server = ServerChild::spawn(program, peer, &options(scenario, upstream), SERVER_CORE)?;
        let mut pair = Pair { peer, server, load: LoadChild::spawn(program)? };
        pair.connect(scenario.connections)?;
        Ok(pair)
    }

    /// Connects, and waits until the server has nothing more to do.
    fn connect(&mut self, count: usize) -> io::Result<()> {
        self.load.tell(&Order::Connect { target: self.server.address(), count })?;
        self.server.cpu_settled().map(drop)
    }

    /// Lets each connection echo once.
    fn greet(&mut self, message: usize) -> io::Result<()> {
        self.load.tell(&Order::Greet { message }).map(drop)
    }

    fn resident_settled(&self) -> io::Result<u64> {
        self.server.cpu_settled()?;
        self.server.resident_bytes()
    }

    fn slice(&mut self, scenario: &LoadScenario, millis: u64) -> io::Result<Slice> {
        let LoadScenario { message, depth, active, .. } = *scenario;
        let order = match scenario.service {
            Service::Broadcast => Order::Broadcast { message, millis },
            Service::Echo | Service::Proxy => Order::Echo { message, depth, active, millis },
        };
        let before = self.server.cpu_settled()?;
        let answer = self.load.tell(&order)?;
        let after = self.server.cpu_settled()?;
        Ok(Slice { answer, cpu_nanos: after - before })
    }
}
