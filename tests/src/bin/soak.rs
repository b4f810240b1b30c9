//! A server and its clients, each on a proactor, and hostile peers, for as long as wanted: every byte and
//! completion is checked, and memory, descriptors, leases and credits must not grow.
//!
//! ```text
//! cargo run --release -p tests --bin soak -- --minutes 30 --connections 2000 --json soak.json --svg soak.svg
//! ```

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tests::soak::{Sabotage, SoakPlan, SoakReport, run};

/// Runs random traffic, and fails if memory, descriptors, leases or credits grow
#[derive(Debug, Parser)]
struct Options {
    /// Duration in minutes
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    minutes: f64,

    /// Number of connections of the clients; each takes two descriptors
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(16..))]
    connections: u32,

    /// Seed of all random choices [default: the time]
    #[arg(long)]
    seed: Option<u64>,

    /// Write all results to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a diagram of the gauges
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Make the server do something wrong, which must be noticed
    #[arg(long, alias = "leak", value_name = "WHAT", hide = true)]
    sabotage: Option<Sabotage>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match soak(&options) {
        Ok(report) => {
            println!("{report}");
            if report.pass {
                return ExitCode::SUCCESS;
            }
            println!(
                "again: cargo run --release -p tests --bin soak -- --minutes {} --connections {} --seed {}",
                options.minutes, options.connections, report.seed
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::from(2)
        }
    }
}

fn soak(options: &Options) -> io::Result<SoakReport> {
    let span = Duration::try_from_secs_f64(options.minutes * 60.0).map_err(io::Error::other)?;
    let seed = options.seed.map_or_else(seed_of_the_clock, Ok)?;
    let plan = SoakPlan { seed, span, connections: options.connections, sabotage: options.sabotage };
    let bar = ProgressBar::new(span.as_secs());
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {elapsed_precise} {msg}").map_err(io::Error::other)?,
    );
    let report = run(&plan, |sample| {
        bar.set_position(Duration::from_secs_f64(sample.seconds).as_secs());
        bar.set_message(format!(
            "{} connections, {:.0} completions/s, {} MiB, {} leases",
            sample.connections,
            sample.completions_per_s,
            sample.resident_bytes >> 20,
            sample.leases
        ));
    })?;
    bar.finish_and_clear();
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(file) = &options.svg {
        std::fs::write(file, report.to_svg())?;
    }
    Ok(report)
}

fn seed_of_the_clock() -> io::Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(since.as_secs())
}
