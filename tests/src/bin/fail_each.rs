//! Makes every call of every scenario fail in turn, with every error number that it may have, and then two
//! calls at a time, chosen at random; and says what came of it.
//!
//! ```text
//! cargo run --release -p tests --bin fail_each -- --pairs 10000 --seed 7 --json failures.json
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tests::failing::campaign::{Calm, FailureTally, planned, scenario};
use tests::failing::programs::SCENARIOS;
use tests::failing::system::Planned;

/// Makes each system call fail in turn, and checks what the operations end with
#[derive(Debug, Parser)]
struct Options {
    /// Only this scenario
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,

    /// Only this failure; several are injected together: CALL:ERRNO:NTH
    #[arg(long, value_name = "FAILURE", value_parser = parse_planned)]
    fail: Vec<Planned>,

    /// Number of runs with two random failures
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pairs: u32,

    /// Seed of the random choices
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,

    /// Write the table to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn parse_planned(name: &str) -> Result<Planned, String> {
    planned(name).ok_or_else(|| "expected CALL:ERRNO:NTH, such as Recv:ECONNRESET:1".to_owned())
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(tally) if tally.broken.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fail_each: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<FailureTally, String> {
    let scenarios = match &options.scenario {
        None => SCENARIOS.iter().collect(),
        Some(name) => vec![scenario(name).ok_or_else(|| format!("no scenario is called {name}"))?],
    };
    let calms: Vec<Calm> = scenarios
        .into_iter()
        .map(|scenario| Calm::of(scenario).map_err(|broken| format!("{}: {broken}", scenario.name)))
        .collect::<Result<_, _>>()?;
    let mut tally = FailureTally::default();
    if options.fail.is_empty() {
        campaign(&mut tally, &calms, options);
    } else {
        calms.iter().for_each(|calm| tally.run(calm, &options.fail));
    }
    for broken in &tally.broken {
        println!("broken: {broken}");
    }
    println!("{tally}");
    if let Some(path) = &options.json {
        std::fs::write(path, as_json(&tally, options).to_string()).map_err(|error| error.to_string())?;
    }
    Ok(tally)
}

fn campaign(tally: &mut FailureTally, calms: &[Calm], options: &Options) {
    let singles: u64 = calms.iter().flat_map(Calm::faults).map(|(_, made)| u64::from(made)).sum();
    let pairs = options.pairs / u32::try_from(calms.len()).unwrap_or(1);
    let bar = ProgressBar::new(singles + u64::from(pairs) * calms.len() as u64);
    bar.set_style(
        ProgressStyle::with_template("{msg:<12} {bar:40} {pos}/{len} runs, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    for (nth, calm) in (0..).zip(calms) {
        bar.set_message(calm.name());
        tally.singles(calm, u32::MAX, || bar.inc(1));
        tally.pairs(calm, options.seed + nth, pairs, || bar.inc(1));
    }
    bar.finish_and_clear();
}

fn as_json(tally: &FailureTally, options: &Options) -> serde_json::Value {
    let rows: Vec<_> = tally
        .rows()
        .iter()
        .map(|((call, failure), row)| {
            json!({
                "call": format!("{call:?}"), "failure": failure, "effect": row.effect, "runs": row.runs,
                "scenarios": row.scenarios, "broken": row.broken,
            })
        })
        .collect();
    json!({
        "seed": options.seed, "runs": tally.runs, "failures": tally.failures, "broken": tally.broken, "rows": rows,
    })
}
