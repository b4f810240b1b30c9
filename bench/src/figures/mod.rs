//! Figures that noise can not touch: instructions, system calls, allocations, bytes.
//!
//! Clients and server share a thread ([`lockstep`]), so every run does the same. Two runs of different length
//! are subtracted, so the start and the end cancel out, and what is left is divided by the echoes between
//! them.

pub mod baseline;
pub mod lockstep;
pub mod tools;

use std::io;
use std::path::Path;

use indicatif::ProgressBar;

use crate::compare::run;
use crate::compare::scenario;
use crate::compare::stats::number;
use crate::micro;
use crate::peers::{self, aio_echo};
use baseline::{Figures, INSTRUCTIONS};
use tools::ROUNDS;

/// Measures everything.
///
/// # Errors
///
/// When a tool is missing or fails.
pub fn measure(program: &Path, bar: &ProgressBar) -> io::Result<Figures> {
    let missing = tools::missing();
    if !missing.is_empty() {
        return Err(io::Error::other(format!("missing: {0}; try: apt-get install {0}", missing.join(" "))));
    }
    let mut found = Figures { rustc: env!("RUSTC_VERSION").to_owned(), ..Figures::default() };
    for peer in lockstep::PEERS {
        let mut put = |name: &str, value| found.figures.insert(format!("{peer}: {name}"), value);
        bar.set_message(format!("{peer}: instructions"));
        put(INSTRUCTIONS, tools::instructions(program, peer, ROUNDS)?);
        bar.inc(1);
        bar.set_message(format!("{peer}: allocations"));
        put("allocations per echo", tools::allocations(program, peer, ROUNDS)?);
        bar.inc(1);
        bar.set_message(format!("{peer}: system calls"));
        for (call, count) in tools::calls(program, peer, ROUNDS)? {
            put(&format!("{call} per echo"), count);
        }
        bar.inc(1);
    }
    for row in micro::ROWS {
        bar.set_message(row.name);
        let name = format!("{}: {}", row.name, baseline::PER_OPERATION);
        found.figures.insert(name, tools::instructions_of_row(program, row.name)?);
        bar.inc(1);
    }
    for (name, bytes) in aio_echo::layout() {
        found.figures.insert(format!("aio: {name}"), number(bytes as u64));
    }
    let idle = scenario::find("idle").ok_or_else(|| io::Error::other("no such scenario"))?;
    for name in ["aio", "aio_deadline"] {
        let Some(peer) = peers::find(name) else { continue };
        let name = format!("{name}: {}", baseline::RESIDENT);
        found.figures.insert(name, resident_bytes(program, idle, peer, bar)?);
    }
    Ok(found)
}

/// How often memory is measured.
const MEMORY_RUNS: usize = 4;

/// Resident bytes per connection: the least of some runs. How many connections a server meets in one turn is
/// a matter of chance, and with it how far the tables of a turn grow, once for all; a table that grows with
/// each connection does so in every run.
fn resident_bytes(
    program: &Path,
    idle: &scenario::LoadScenario,
    peer: &'static peers::ComparedServer,
    bar: &ProgressBar,
) -> io::Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..MEMORY_RUNS {
        let rows = run::memory(program, idle, &[peer], bar)?;
        for bytes in rows.iter().filter_map(|row| row.bytes_per_connection) {
            least = least.min(bytes);
        }
    }
    Ok(least)
}

/// How many steps [`measure`] takes.
pub const STEPS: u64 = 3 * lockstep::PEERS.len() as u64 + micro::ROWS.len() as u64 + 2 * MEMORY_RUNS as u64;
