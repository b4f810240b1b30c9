//! `cargo sim`: runs the simulator, and plays tapes again.

mod long;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand, ValueEnum};
use sim::bugs::{Copy, EVENTS_MAX, Hunt};
use sim::campaign::Campaign;
use sim::episode::{Report, Setup};
use sim::picture::{self, run_recorded};
use sim::shrink::shrink;
use sim::summary::{Failure, Summary};
use sim::tape::{self, Tape};
use sim::{Choice, EngineKind};

/// Runs the model on a simulated operating system, and checks the contract on every step
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
    /// Replay a tape, or every tape in a folder; a single tape prints every step
    Replay {
        /// A tape, or a folder of them
        path: PathBuf,

        /// Write an HTML page that shows the run, instead of printing it
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
    },
    /// Run episodes on all cores for a given time, and report which probes were reached; can be continued
    Campaign(long::CampaignOptions),
    /// Try everything that can happen to one connection with two operations, in every order
    Exhaust(long::ExhaustOptions),
    /// Apply each patch under sim/bugs to a copy of the workspace, and check that the bug is found
    Bugs(BugOptions),
}

#[derive(Debug, Args)]
struct BugOptions {
    /// Only patches whose names contain one of these
    names: Vec<String>,

    /// Number of seeds to search from, for each bug
    #[arg(long, default_value_t = 3)]
    seeds: usize,

    /// Number of steps to search, from each seed
    #[arg(long, default_value_t = 100_000_000)]
    steps: u64,

    /// Do not shorten the tapes: four times as fast
    #[arg(long)]
    no_shrink: bool,

    /// Only check that each patch applies and that the result compiles
    #[arg(long)]
    check: bool,

    /// Also write the table to this file, as JSON, after each bug
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunOptions {
    /// Seed of all random choices [default: random]
    #[arg(long)]
    seed: Option<u64>,

    /// Number of steps to take
    #[arg(long, default_value_t = 10_000_000)]
    steps: u64,

    /// Readiness engine [default: each in turn]
    #[arg(long)]
    engine: Option<Engine>,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,

    /// Do not shorten a failing tape
    #[arg(long)]
    no_shrink: bool,

    /// Print how often each probe was hit, and fail if a required one was not
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

/// How many steps may be taken to make a failing tape short: for 20 seconds or so.
const SHRINK_STEPS: u64 = 50_000_000;

fn main() -> ExitCode {
    // A panic in an episode is caught, reported as a broken rule, and repeated many times to make its tape
    // short.
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
    let tally = campaign.tally();
    let mut summary = Summary::new(seed, tally, start.elapsed(), usize::from(failure.is_some()));
    if !options.json {
        println!("seed {seed}: {}", long::in_words(&summary));
    }
    if let Some(failure) = failure {
        if !options.json {
            println!("found after {:.3} s", summary.seconds);
        }
        let steps_max = if options.no_shrink { 0 } else { SHRINK_STEPS };
        summary.failure = Some(report(&failure, setup, steps_max)?);
    }
    if options.json {
        println!("{}", serde_json::to_string(&summary)?);
    }
    if summary.failure.is_some() || !options.probes {
        return Ok(summary.failure.is_none());
    }
    Ok(if options.json {
        summary.probes_missed == 0
    } else {
        long::report_probes(&tally.probes, tally.steps)
    })
}

/// The only number in here that does not come from a choice: it becomes one, and is printed.
fn random_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs() << 30
}

/// Says what is wrong with an episode, makes its tape short, and keeps it.
fn report(failed: &Report, setup: Setup, steps_max: u64) -> io::Result<Failure> {
    let (short, report) = shrink(&Tape::of(failed, setup), steps_max);
    let Some(broken) = report.broken else {
        return Err(io::Error::other("the tape of an episode that failed does not fail again"));
    };
    let comment = broken.to_string();
    let failing = Failure {
        rule: broken.rule.to_owned(),
        check: broken.check.to_owned(),
        what: broken.what,
        steps: report.steps,
        actions: report.actions.len(),
        choices: short.choices.len(),
        events: short.events(),
        choices_before: failed.tape.len(),
        tape: Path::new("target/tapes").join(format!("{}-{:016x}.tape", broken.rule, failed.fingerprint)),
    };
    let Failure { steps, actions, choices, events, choices_before, tape, .. } = &failing;
    short.save(tape, &comment)?;
    eprintln!("{comment}");
    eprintln!(
        "after {steps} steps and {actions} actions; {choices} choices, {events} of them not the simplest, cut down \
         from {choices_before} choices"
    );
    eprintln!("to see it: cargo sim replay {}", tape.display());
    Ok(failing)
}

fn replay(path: &Path) -> io::Result<bool> {
    if !path.is_dir() {
        let mut tape = Tape::load(path)?;
        tape.setup.verbose = true;
        return Ok(tape.run().broken.is_none());
    }
    let tapes = tape::list(path)?;
    let mut good = true;
    for path in &tapes {
        let verdict = Tape::load(path)?.run().broken.map_or("ok".to_owned(), |broken| broken.to_string());
        good &= verdict == "ok";
        println!("{}: {verdict}", path.display());
    }
    println!("{} tapes played", tapes.len());
    Ok(good)
}

/// Plays a tape, and writes a page that shows what happened.
fn draw(path: &Path, page: &Path) -> io::Result<bool> {
    let Tape { setup, choices } = Tape::load(path)?;
    let (report, recording) = run_recorded(Choice::tape(choices), setup, picture::STEPS_MAX);
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
    if options.check {
        return check(&copy, &patches);
    }
    println!(
        "{:48} {:>7} {:>21} {:>21} {:>31}",
        "", "", "median to find", "worst to find", "of the short tape:"
    );
    println!(
        "{:48} {:>7} {:>10} {:>10} {:>10} {:>10} {:>6} {:>7} {:>8} {:>6}  rule",
        "bug", "found", "time", "steps", "time", "steps", "steps", "actions", "choices", "events"
    );
    let mut hunts: Vec<Hunt> = Vec::new();
    for patch in &patches {
        let hunt = copy.hunt(patch, options.seeds, options.steps, !options.no_shrink)?;
        println!("{}", row(&hunt));
        hunts.push(hunt);
        if let Some(path) = &options.json {
            std::fs::write(path, serde_json::to_string_pretty(&hunts)?)?;
        }
    }
    if !options.no_shrink {
        let short = hunts.iter().filter(|hunt| hunt.is_short()).count();
        println!(
            "{short} of {} tapes have {EVENTS_MAX} events or fewer: choices that are not the simplest",
            hunts.len()
        );
    }
    let found = hunts.iter().filter(|hunt| hunt.is_found()).count();
    println!("{found} of {} bugs found from each of {} seeds", hunts.len(), options.seeds);
    Ok(found == hunts.len())
}

/// Tells which patches do not apply, or make something that does not compile.
fn check(copy: &Copy, patches: &[PathBuf]) -> io::Result<bool> {
    copy.prove_defects_are_found()?;
    let mut defects = 0;
    for patch in patches {
        if let Some(defect) = copy.defect(patch)? {
            println!("{}: {defect}", patch.display());
            defects += 1;
        }
    }
    println!("{} of {} patches apply and compile", patches.len() - defects, patches.len());
    Ok(defects == 0)
}

/// A bug as a row of the table.
fn row(hunt: &Hunt) -> String {
    let (name, found, median, worst) =
        (&hunt.name, format!("{}/{}", hunt.found, hunt.seeds), hunt.median(), hunt.worst());
    let (median_steps, worst_steps) = (hunt.median_steps(), hunt.worst_steps());
    let short = hunt.failing.as_ref().map_or("- not found".to_owned(), |failing| {
        let Failure { rule, check, steps, actions, choices, events, .. } = failing;
        format!("{steps:>6} {actions:>7} {choices:>8} {events:>6}  {rule} ({check})")
    });
    format!(
        "{name:48} {found:>7} {median:>8.3} s {median_steps:>10} {worst:>8.3} s {worst_steps:>10} {short}"
    )
}
