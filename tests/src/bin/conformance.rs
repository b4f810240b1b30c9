//! Plays random scripts on real sockets, and has the simulator follow: whatever the kernel does, the
//! simulator must be able to do.
//!
//! ```text
//! cargo run --release -p tests --bin conformance -- --scripts 100000
//! ```
//!
//! With `RUSTFLAGS="--cfg mio_unsupported_force_poll_poll"` it is about poll(2) instead of epoll.

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use tests::conformance::{Case, Hosts, Script, ScriptTally, campaign, shrink};
use tests::pair::Family;

/// Compares the simulated system with the real one
#[derive(Debug, Parser)]
struct Options {
    /// Number of scripts of each family
    #[arg(long, default_value_t = 100_000)]
    scripts: u64,

    /// Seed of the first script; each next script has the next seed [default: random]
    #[arg(long)]
    seed: Option<u64>,

    /// Family of sockets [default: all that this host has]
    #[arg(long)]
    family: Option<FamilyOption>,

    /// Number of differences after which to stop
    #[arg(long, default_value_t = 1)]
    differences: usize,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FamilyOption {
    Tcp,
    Tcp6,
    Unix,
}

/// A script that differs.
struct Found {
    seed: u64,
    family: Family,
    what: String,
    /// As short as it could be made.
    script: Script,
    history: String,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> io::Result<usize> {
    let families = match options.family {
        Some(FamilyOption::Tcp) => vec![Family::Tcp],
        Some(FamilyOption::Tcp6) => vec![Family::Tcp6],
        Some(FamilyOption::Unix) => vec![Family::Unix],
        None => vec![Family::Tcp, Family::Tcp6, Family::Unix],
    };
    let seed = options.seed.unwrap_or_else(random_seed);
    let begin = Instant::now();
    let mut tallies = Vec::new();
    let mut found = Vec::new();
    for family in families {
        if let Some(lack) = family.lack() {
            eprintln!("conformance: {family:?}: skipped, this host has none: {lack}");
            continue;
        }
        let tally = compare(family, seed, options, &mut found)?;
        tallies.push((family, tally));
    }
    let engine = format!("{:?}", campaign::engine()?).to_lowercase();
    if options.json {
        println!("{}", json(seed, &engine, &tallies, &found));
    } else {
        tallies.iter().for_each(|(family, tally)| table(*family, &engine, tally));
        found.iter().for_each(tell);
        let scripts: u64 = tallies.iter().map(|(_, tally)| tally.scripts).sum();
        println!(
            "{engine}, seed {seed}: {scripts} scripts, {} differences, {:.0} s",
            found.len(),
            begin.elapsed().as_secs_f64()
        );
    }
    Ok(found.len())
}

fn compare(family: Family, seed: u64, options: &Options, found: &mut Vec<Found>) -> io::Result<ScriptTally> {
    let bar = if options.json { ProgressBar::hidden() } else { ProgressBar::new(options.scripts) };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}");
    bar.set_style(style.map_err(io::Error::other)?);
    bar.set_message(format!("{family:?}"));
    let hosts = Hosts::new(family)?;
    let mut tally = ScriptTally::default();
    for number in 0..options.scripts {
        let seed = seed.wrapping_add(number);
        let script = Script::of_seed(seed, family);
        let case = Case::run(&script, &hosts)?;
        tally.add(&case);
        bar.inc(1);
        if let Some(difference) = &case.difference {
            let (script, shorter) = shrink(&script, &hosts)?;
            let shorter = shorter.as_ref().unwrap_or(&case);
            let what = shorter.difference.as_ref().unwrap_or(difference).to_string();
            found.push(Found { seed, family, what, script, history: shorter.history.to_string() });
            if found.len() >= options.differences {
                break;
            }
        }
    }
    bar.finish_and_clear();
    Ok(tally)
}

fn table(family: Family, engine: &str, tally: &ScriptTally) {
    println!("{family:?} on {engine}: {} scripts, {} deeds", tally.scripts, tally.deeds);
    for ((deed, seen), count) in &tally.seen {
        println!("  {deed:16} {seen:28} {count:>12}");
    }
    let extras = tally.extras;
    println!("  directions told of: {}, of them not owed in the simulator: {}", extras.told, extras.unowed);
    println!(
        "  scripts with something unlikely in them: {}, explained in at most {} attempts\n",
        tally.odd, tally.attempts_max
    );
}

fn tell(found: &Found) {
    println!("a difference, on {:?} sockets: {}", found.family, found.what);
    println!("{:#?}", found.script);
    print!("{}", found.history);
    let family = format!("{:?}", found.family).to_lowercase();
    println!(
        "to see it again: cargo run --release -p tests --bin conformance -- --family {family} --seed {} --scripts 1\n",
        found.seed
    );
}

fn json(seed: u64, engine: &str, tallies: &[(Family, ScriptTally)], found: &[Found]) -> serde_json::Value {
    let families = tallies.iter().map(|(family, tally)| {
        let seen = tally
            .seen
            .iter()
            .map(|((deed, seen), count)| serde_json::json!({ "deed": deed, "seen": seen, "count": count }));
        serde_json::json!({
            "family": format!("{family:?}").to_lowercase(),
            "scripts": tally.scripts,
            "deeds": tally.deeds,
            "seen": seen.collect::<Vec<_>>(),
            "told": tally.extras.told,
            "told_unowed": tally.extras.unowed,
            "odd": tally.odd,
            "attempts_max": tally.attempts_max,
        })
    });
    let differences = found.iter().map(|found| {
        serde_json::json!({
            "family": format!("{:?}", found.family).to_lowercase(),
            "seed": found.seed,
            "what": found.what,
            "script": format!("{:?}", found.script),
        })
    });
    serde_json::json!({
        "engine": engine,
        "seed": seed,
        "families": families.collect::<Vec<_>>(),
        "differences": differences.collect::<Vec<_>>(),
    })
}

/// Printed, so that what it leads to can be seen again.
fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs() << 30
}
