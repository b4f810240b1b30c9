//! `cargo sim`: runs the simulator, and plays tapes again.

mod long;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sim::bugs::Copy;
use sim::campaign::{Campaign, Failure};
use sim::episode::{Setup, run, run_recorded};
use sim::{Choice, EngineKind, picture, tape};

/// A simulated operating system under the proactor's model, with an oracle that knows the contract
#[derive(Debug, Parser)]
#[command(name = "cargo sim")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run episodes from a seed, until enough steps are taken or a rule is broken
    Run(RunOptions),
    /// Play a tape again, or every tape of a folder; one alone prints everything that happens
    Replay {
        /// A tape, or a folder of them
        path: PathBuf,

        /// Instead of printing what happens, write a page that shows it, for any browser
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Run episodes on all cores for as long as wanted, and tell what was reached; can be taken up again
    Campaign(long::CampaignOptions),
    /// Try everything that can happen to one connection with two operations, in every order
    Exhaust(long::ExhaustOptions),
    /// Break the model on purpose, with each patch under sim/bugs, and see whether that is found
    Bugs(BugOptions),
}

#[derive(Debug, Args)]
struct BugOptions {
    /// Only the patches with any of these in their names
    names: Vec<String>,

    /// From how many seeds to look for each
    #[arg(long, default_value_t = 3)]
    seeds: usize,

    /// For how many steps to look from each seed
    #[arg(long, default_value_t = 100_000_000)]
    steps: u64,

    /// Leave the tapes as long as they are: four times as fast
    #[arg(long)]
    no_shrink: bool,
}

#[derive(Debug, Args)]
struct RunOptions {
    /// Where all choices come from; a random one unless given
    #[arg(long)]
    seed: Option<u64>,

    /// How many steps to take
    #[arg(long, default_value_t = 10_000_000)]
    steps: u64,

    /// The readiness engine; every one in turn unless given
    #[arg(long)]
    engine: Option<Engine>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Leave a failing tape as long as it is
    #[arg(long)]
    no_shrink: bool,

    /// Tell how often each probe was hit, and fail if one that matters was not
    #[arg(long)]
    probes: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Engine {
    Epoll,
    Kqueue,
    Poll,
}

impl From<Engine> for EngineKind {
    fn from(engine: Engine) -> EngineKind {
        match engine {
            Engine::Epoll => EngineKind::Epoll,
            Engine::Kqueue => EngineKind::Kqueue,
            Engine::Poll => EngineKind::Poll,
        }
    }
}

/// How long a failing tape may take to be made short.
const SHRINK_TIME: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    // A panic in an episode is caught, reported as a broken rule, and repeated many times to make its tape short.
    std::panic::set_hook(Box::new(|_| {}));
    let done = match Options::parse().command {
        Command::Run(options) => run_seed(&options),
        Command::Replay { path, html: Some(page) } => draw(&path, &page),
        Command::Replay { path, html: None } => replay(&path),
        Command::Campaign(options) => long::campaign(&options),
        Command::Exhaust(options) => long::exhaust(&options),
        Command::Bugs(options) => bugs(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn run_seed(options: &RunOptions) -> io::Result<bool> {
    let seed = options.seed.unwrap_or_else(random_seed);
    let setup = Setup { engine: options.engine.map(EngineKind::from), ..Setup::default() };
    let mut campaign = Campaign::new(seed, setup);
    let start = Instant::now();
    let mut failure = None;
    while campaign.steps() < options.steps && failure.is_none() {
        failure = campaign.next_episode().err();
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = long::rate(campaign.steps(), start);
    if options.json {
        println!(
            "{{\"seed\": {seed}, \"episodes\": {}, \"steps\": {}, \"steps_per_s\": {rate:.0}, \
             \"violations\": {}, \"trace_hash\": \"{:016x}\"}}",
            campaign.tally().episodes,
            campaign.steps(),
            u8::from(failure.is_some()),
            campaign.tally().fingerprint,
        );
    } else {
        println!(
            "seed {seed}: {} episodes, {} steps, {:.2} million steps/s, trace hash {:016x}",
            campaign.tally().episodes,
            campaign.steps(),
            rate / 1e6,
            campaign.tally().fingerprint,
        );
    }
    if failure.is_some() && !options.json {
        println!("found after {seconds:.3} s");
    }
    let time = if options.no_shrink { Duration::ZERO } else { SHRINK_TIME };
    match failure {
        Some(failure) => report(&failure, setup, time),
        None if options.probes => Ok(long::report_probes(&campaign.tally().probes, campaign.steps())),
        None => Ok(true),
    }
}

/// The only number in here that does not come from a choice: it becomes one, and is printed.
fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs() << 30
}

/// Says what is wrong, makes the tape short, and keeps it.
fn report(failure: &Failure, setup: Setup, time: Duration) -> io::Result<bool> {
    let (short, report) = tape::shrink(failure.report.tape.clone(), setup, time);
    let Some(broken) = report.broken else {
        return Err(io::Error::other(format!("seed {} does not fail again", failure.episode_seed)));
    };
    let name = format!("{}-{:016x}.tape", broken.rule, failure.episode_seed);
    let path = Path::new("target/tapes").join(name);
    let comment = broken.to_string();
    tape::save(&path, &comment, &short)?;
    eprintln!("{comment}");
    eprintln!(
        "after {} steps; {} choices, cut down from {}",
        report.steps,
        short.len(),
        failure.report.tape.len()
    );
    eprintln!("to see it: cargo sim replay {}", path.display());
    Ok(false)
}

fn replay(path: &Path) -> io::Result<bool> {
    if !path.is_dir() {
        let setup = Setup { verbose: true, ..Setup::default() };
        let report = run(Choice::tape(tape::load(path)?), setup);
        return Ok(report.broken.is_none());
    }
    let tapes = tape::list(path)?;
    let mut good = true;
    for path in &tapes {
        let report = run(Choice::tape(tape::load(path)?), Setup::default());
        let verdict = report.broken.map_or("ok".to_owned(), |broken| broken.to_string());
        good &= verdict == "ok";
        println!("{}: {verdict}", path.display());
    }
    println!("{} tapes played", tapes.len());
    Ok(good)
}

/// Plays a tape, and writes a page that shows what happened.
fn draw(path: &Path, page: &Path) -> io::Result<bool> {
    let choice = Choice::tape(tape::load(path)?);
    let (report, recording) = run_recorded(choice, Setup::default(), picture::STEPS_MAX);
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let command = format!("cargo sim replay {}", path.display());
    std::fs::write(page, picture::write(&recording, &name, &command))?;
    let verdict = report.broken.as_ref().map_or("ok".to_owned(), ToString::to_string);
    println!("{}: {verdict}", path.display());
    println!("to see it: {}", page.display());
    Ok(report.broken.is_none())
}

fn bugs(options: &BugOptions) -> io::Result<bool> {
    let copy = Copy::new()?;
    let patches = copy.patches(&options.names)?;
    println!("{:48} {:>7} {:>10} {:>10} {:>8}  rule", "bug", "found", "median", "worst", "choices");
    let mut all = true;
    for patch in &patches {
        let hunt = copy.hunt(patch, options.seeds, options.steps, !options.no_shrink)?;
        let (median, worst) = (hunt.median().as_secs_f64(), hunt.worst().as_secs_f64());
        let choices = hunt.choices.map_or("-".to_owned(), |choices| choices.to_string());
        let found = format!("{}/{}", hunt.found, hunt.seeds);
        println!("{:48} {found:>7} {median:>8.3} s {worst:>8.3} s {choices:>8}  {}", hunt.name, hunt.rule);
        all &= hunt.found == hunt.seeds;
    }
    println!("{} bugs{}", patches.len(), if all { ", all found from every seed" } else { ", NOT all found" });
    Ok(all)
}
