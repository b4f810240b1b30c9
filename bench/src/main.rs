//! The command line of the benchmarks.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use aio_bench::compare::report::Comparison;
use aio_bench::compare::run::{self, Effort};
use aio_bench::compare::scenario::{self, LoadScenario, Measure, SCENARIOS};
use aio_bench::compare::{picture, table};
use aio_bench::figures::{self, baseline, lockstep};
use aio_bench::peers::{self, BASELINE, ListenAddress, ServeOptions, Service};
use aio_bench::{load, micro, process};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

#[derive(Debug, Parser)]
#[command(name = "aio-bench", about = "Compares echo servers, and counts what an echo costs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Load servers in turn, and compare them with an epoll loop written by hand
    Compare(Compare),
    /// Count instructions, system calls, allocations and bytes
    Figures(Figures),
    /// Run one of the servers
    Serve(Serve),
    /// Run a load, which takes commands on standard input
    #[command(hide = true)]
    Load {
        /// Core to run on
        #[arg(long)]
        core: Option<usize>,
    },
    /// Run the body of a micro-benchmark, for a tool that counts instructions
    #[command(hide = true)]
    Micro {
        /// Name of the micro-benchmark
        #[arg(long)]
        row: String,
        /// Least number of operations
        #[arg(long)]
        ops: u64,
    },
    /// Run a server and its clients in one thread
    #[command(hide = true)]
    Lockstep {
        /// Name of the server
        #[arg(long)]
        peer: String,
        /// Number of echoes of each client
        #[arg(long)]
        rounds: usize,
    },
}

#[derive(Debug, Args)]
struct Figures {
    /// Fail if a figure differs from this file by more than 2 %
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Write the figures to a file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Compare {
    /// Only these scenarios; `compare --list` names them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    scenario: Vec<String>,
    /// Only these servers, and the baseline; `compare --list` names them
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    peers: Vec<String>,
    /// Number of slices of each server
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Length of a slice in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..))]
    slice: u64,
    /// Write all results to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the results as an HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// List scenarios and servers
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Args)]
struct Serve {
    /// Name of the server
    #[arg(long)]
    peer: String,
    /// The service that it offers
    #[arg(long, default_value = "echo")]
    service: Service,
    /// Address to listen on; with port 0 the system chooses one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Size of a receive buffer in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 16 * 1024)]
    buffer: usize,
    /// Address that a proxy connects to
    #[arg(long, value_name = "ADDR")]
    upstream: Option<SocketAddr>,
    /// Core to run on
    #[arg(long)]
    core: Option<usize>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Compare(options) => compare(&options),
        Command::Serve(options) => serve(&options),
        Command::Figures(options) => count(&options),
        Command::Lockstep { peer, rounds } => {
            lockstep::run(&peer, rounds).map(|calls| println!("client calls: {calls}"))
        }
        Command::Micro { row, ops } => micro::run(&row, ops).map(|ops| println!("operations: {ops}")),
        Command::Load { core } => process::begin_as_child(core).and_then(|()| load::child::run()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aio-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Serve) -> io::Result<()> {
    let peer = peers::find(&options.peer).ok_or_else(|| unknown("server", &options.peer))?;
    if !peer.services.contains(&options.service) {
        return Err(io::Error::other(format!("{} has no such service", peer.name)));
    }
    // Who is started by hand is not a child of ours, and stays where it is.
    if options.core.is_some() {
        process::begin_as_child(options.core)?;
    }
    let Serve { service, buffer, upstream, .. } = *options;
    (peer.serve)(&ListenAddress { address: options.listen }, &ServeOptions { service, buffer, upstream })
}

fn compare(options: &Compare) -> io::Result<()> {
    if options.list {
        return list();
    }
    let scenarios = chosen(&options.scenario)?;
    if let Some(name) = options.peers.iter().find(|name| peers::find(name).is_none()) {
        return Err(unknown("server", name));
    }
    process::pin(process::LOAD_CORE)?;
    let program = std::env::current_exe()?;
    let effort = Effort { rounds: options.rounds.into(), slice_ms: options.slice };
    let bar = progress(&scenarios, options, effort);
    let mut report = Comparison {
        baseline: BASELINE.to_owned(),
        rounds: effort.rounds,
        slice_ms: effort.slice_ms,
        scenarios: Vec::new(),
    };
    for scenario in scenarios {
        let peers = run::peers_of(scenario, &options.peers);
        report.scenarios.push(run::scenario(&program, scenario, &peers, effort, &bar)?);
    }
    bar.finish_and_clear();
    print!("{}", table::of(&report));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &options.html {
        std::fs::write(path, picture::of(&report))?;
    }
    Ok(())
}

fn count(options: &Figures) -> io::Result<()> {
    let bar = bar(figures::STEPS);
    let found = figures::measure(&std::env::current_exe()?, &bar)?;
    bar.finish_and_clear();
    let line = |(name, value): (&String, &f64)| vec![name.clone(), format!("{value:.3}")];
    print!("{}", table::aligned(&found.figures.iter().map(line).collect::<Vec<_>>()));
    if let Some(path) = &options.write {
        std::fs::write(path, serde_json::to_string_pretty(&found)? + "\n")?;
    }
    let Some(path) = &options.check else { return Ok(()) };
    let then: baseline::Figures = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    if then.rustc != found.rustc {
        println!("{} made the baseline, {} this program: their instructions", then.rustc, found.rustc);
        println!("are not comparable, so their ratio to the baseline loop's is");
    }
    let wrong = baseline::check(&found, &then);
    if wrong.is_empty() {
        println!("all as in {}", path.display());
        return Ok(());
    }
    let again = "cargo run --release --manifest-path bench/Cargo.toml --no-default-features -- figures";
    let (wrong, path) = (wrong.join("\n  "), path.display());
    Err(io::Error::other(format!("not as in {path}:\n  {wrong}\nIf that is meant: {again} --write {path}")))
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} left  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn progress(scenarios: &[&LoadScenario], options: &Compare, effort: Effort) -> ProgressBar {
    let slices = |scenario: &&LoadScenario| {
        let peers = run::peers_of(scenario, &options.peers).len() as u64;
        peers * if scenario.measure == Measure::Speed { effort.rounds as u64 + 1 } else { 1 }
    };
    bar(scenarios.iter().map(slices).sum())
}

fn chosen(names: &[String]) -> io::Result<Vec<&'static LoadScenario>> {
    if names.is_empty() {
        return Ok(SCENARIOS.iter().collect());
    }
    names.iter().map(|name| scenario::find(name).ok_or_else(|| unknown("scenario", name))).collect()
}

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::other(format!("no {what} `{name}`: `compare --list` names them"))
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "scenarios")?;
    for scenario in SCENARIOS {
        writeln!(out, "  {:<12} {}", scenario.name, scenario.about())?;
    }
    writeln!(out, "servers")?;
    for peer in peers::PEERS {
        writeln!(out, "  {:<12} {}", peer.name, peer.about)?;
    }
    Ok(())
}
