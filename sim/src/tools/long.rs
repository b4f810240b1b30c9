//! The commands that take long: campaigns, and walks through everything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sim::EngineKind;
use sim::campaign::{Shard, Threads};
use sim::episode::Setup;
use sim::exhaust::{PAIRS, Walk, walk};
use sim::probes::Probes;
use sim::summary::{Summary, hits_due, rate};

use super::{Engine, SHRINK_STEPS, random_seed, report};

#[derive(Debug, Args)]
pub(crate) struct CampaignOptions {
    /// Duration in minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,

    /// Number of threads [default: number of cores]
    #[arg(long)]
    jobs: Option<usize>,

    /// Seed of all random choices [default: random]
    #[arg(long)]
    seed: Option<u64>,

    /// The share of this machine, as `i/n` with i from 0 to n - 1; all machines use the same seed
    #[arg(long, default_value = "0/1", value_parser = parse_shard)]
    shard: Shard,

    /// Readiness engine [default: each in turn]
    #[arg(long)]
    engine: Option<Engine>,

    /// Folder for the progress; a campaign with the same seed and shard continues from it
    #[arg(long, default_value = "target/campaigns")]
    state: PathBuf,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((index, of)) if index < of => Ok(Shard { index, of }),
        _ => Err("a shard is i/n, with i from 0 to n - 1".into()),
    }
}

pub(crate) fn campaign(options: &CampaignOptions) -> io::Result<bool> {
    let seed = options.seed.unwrap_or_else(random_seed);
    let setup = Setup { engine: options.engine.map(EngineKind::from), ..Setup::default() };
    let jobs = threads_of(options.jobs);
    let Shard { index, of } = options.shard;
    let state = options.state.join(format!("{seed}-{index}-of-{of}"));
    let begin = fs::read_to_string(&state).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    if !options.json {
        println!("seed {seed}, shard {index}/{of}, from its episode {begin} on, {jobs} threads");
    }
    let threads = Threads::new(seed, setup, options.shard, begin);
    let (start, span) = (Instant::now(), Duration::from_secs(60 * options.minutes));
    let bar = ProgressBar::new(span.as_secs());
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {elapsed_precise} {msg}").map_err(io::Error::other)?,
    );
    threads.run(jobs, |threads| {
        let tally = threads.tally();
        bar.set_position(start.elapsed().as_secs());
        let missed = tally.probes.missed(1).len();
        bar.set_message(format!(
            "{:.1} M steps/s, {} M steps, {} violations, {missed} probes to go",
            rate(tally.steps, start.elapsed()) / 1e6,
            tally.steps / 1_000_000,
            threads.failures().len()
        ));
        if start.elapsed() >= span {
            threads.stop();
        }
    });
    bar.finish_and_clear();
    let (tally, failures) = (threads.tally(), threads.failures());
    let mut summary = Summary::new(seed, &tally, start.elapsed(), failures.len());
    summary.shard = Some(format!("{index}/{of}"));
    if !options.json {
        println!("{}, {} violations", in_words(&summary), summary.violations);
    }
    match failures.first() {
        Some(failure) => summary.failure = Some(report(failure, setup, SHRINK_STEPS)?),
        None => keep(&state, threads.next())?,
    }
    if options.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    Ok(summary.failure.is_none() && (options.json || report_probes(&tally.probes, tally.steps)))
}

/// What was run, how fast, and the hash by which it is known again.
pub(crate) fn in_words(summary: &Summary) -> String {
    let Summary { episodes, steps, steps_per_s, trace_hash, .. } = summary;
    let rate = steps_per_s / 1e6;
    format!("{episodes} episodes, {steps} steps, {rate:.2} million steps/s, trace hash {trace_hash}")
}

/// Writes down how far a campaign has come.
fn keep(state: &Path, next: u64) -> io::Result<()> {
    if let Some(folder) = state.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(state, format!("{next}\n"))
}

/// On how many threads: as many as there are cores, unless given.
fn threads_of(jobs: Option<usize>) -> usize {
    jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
}

/// Tells how often each probe was hit, and whether all that matter were, often enough.
pub(crate) fn report_probes(probes: &Probes, steps: u64) -> bool {
    for (name, count) in probes.by_name() {
        println!("{count:>12} {name}");
    }
    let least = hits_due(steps);
    let missed = probes.missed(least);
    for (name, count) in &missed {
        println!("MISSED: {name}: {count} times, not {least}");
    }
    for name in probes.unknown() {
        println!("not in sim/probes.txt: {name}");
    }
    println!("{} probes missed", missed.len());
    missed.is_empty()
}

#[derive(Debug, Args)]
pub(crate) struct ExhaustOptions {
    /// Number of events in a sequence
    #[arg(long, default_value_t = 6)]
    depth: usize,

    /// Number of threads [default: number of cores]
    #[arg(long)]
    jobs: Option<usize>,
}

pub(crate) fn exhaust(options: &ExhaustOptions) -> io::Result<bool> {
    let jobs = threads_of(options.jobs);
    let pairs = PAIRS.iter().flat_map(|pair| EngineKind::ALL.iter().map(move |engine| (*engine, *pair)));
    let (spaces, next): (Vec<_>, _) = (pairs.collect(), AtomicUsize::new(0));
    let (start, all) = (Instant::now(), Mutex::new(Vec::<Walk>::new()));
    println!("{:40} {:>10} {:>12} {:>10}", "engine, operations", "states", "runs", "time");
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(&(engine, pair)) = spaces.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begin = Instant::now();
                    let walk = walk(engine, pair, options.depth);
                    let (name, seconds) = (format!("{engine:?} {:?}, {:?}", pair.0, pair.1), begin.elapsed());
                    println!(
                        "{name:40} {:>10} {:>12} {:>8.1} s",
                        walk.states,
                        walk.runs,
                        seconds.as_secs_f64()
                    );
                    all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(walk);
                }
            });
        }
    });
    let walks = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let states: u64 = walks.iter().map(|walk| walk.states).sum();
    let runs: u64 = walks.iter().map(|walk| walk.runs).sum();
    println!("{states} states, {runs} runs, {:.1} s", start.elapsed().as_secs_f64());
    for (moves, broken) in walks.iter().filter_map(|walk| walk.broken.as_ref()) {
        println!("{broken:?}\nafter {moves:?}");
    }
    Ok(walks.iter().all(|walk| walk.broken.is_none()))
}
