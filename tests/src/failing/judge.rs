//! One run of a scenario with a plan of failures, and whether what came of it is what should have.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::fault::{Call, Effect};
use super::peer::PeerEnding;
use super::programs::FailureScenario;
use super::stage::{LaneError, Stage};
use super::system::{Failing, Injected, Planned, Treason};
use crate::ledger::EntryKind;
use crate::process::descriptors;
use crate::turns::PATIENCE;

/// What must hold, and did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// It comes to an end.
    NoHang,
    /// Nothing panics, and the account of the operations is right.
    NoPanic,
    /// Waiting does not spin: turns and calls are bounded.
    NoSpin,
    /// No peer hears anything but a prefix of what was sent to it.
    Bytes,
    /// A failure that passes is not seen by anybody.
    Passes,
    /// The operations of the lane that failed end with the error, and no others do.
    RightError,
    /// No more peers suffer than have to.
    Harm,
    /// A socket that is refused comes back.
    GivenBack,
    /// A turn that fails says so, and no other does.
    TurnFails,
    /// All descriptors are closed: those of connections when the last completion has come, all others at the
    /// end.
    Descriptors,
}

/// A check that failed.
#[derive(Debug)]
pub struct Broken {
    /// Which.
    pub check: Check,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.check, self.detail)
    }
}

/// What a run was like.
#[derive(Debug)]
pub struct Played {
    /// What the program was told and the peers heard.
    pub facts: Vec<String>,
    /// The calls that failed: fewer than planned if the run has not so many.
    pub injected: Vec<Injected>,
    /// How many calls of each kind there were.
    pub made: [u32; Call::ALL.len()],
    turns: u64,
    attempts: u64,
    elapsed: Duration,
}

fn ensure(check: Check, holds: bool, detail: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { check, detail: detail() }) }
}

/// Plays a scenario with those failures, and holds what is seen against the run in which nothing failed, if
/// that is known.
///
/// # Errors
///
/// The first check that does not hold.
pub fn play(scenario: &FailureScenario, plan: &[Planned], calm: Option<&Played>) -> Result<Played, Broken> {
    play_on(scenario, plan, calm, None, PATIENCE)
}

/// [`play`], on a system that may be broken, with so much patience.
///
/// # Errors
///
/// The first check that does not hold.
pub fn play_on(
    scenario: &FailureScenario,
    plan: &[Planned],
    calm: Option<&Played>,
    treason: Option<Treason>,
    patience: Duration,
) -> Result<Played, Broken> {
    let before = count_descriptors()?;
    // What a broken system keeps, it keeps until the descriptors have been counted.
    let mut leaked = Vec::new();
    let run = AssertUnwindSafe(|| run(scenario, plan, calm, treason, patience, &mut leaked));
    let played = catch_unwind(run)
        .unwrap_or_else(|panic| Err(Broken { check: Check::NoPanic, detail: message(panic.as_ref()) }))?;
    let after = count_descriptors()?;
    ensure(Check::Descriptors, after == before, || format!("{before} before, {after} after"))?;
    Ok(played)
}

fn count_descriptors() -> Result<usize, Broken> {
    descriptors().map_err(|error| Broken { check: Check::Descriptors, detail: error.to_string() })
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn run(
    scenario: &FailureScenario,
    plan: &[Planned],
    calm: Option<&Played>,
    treason: Option<Treason>,
    patience: Duration,
    leaked: &mut Vec<std::os::fd::OwnedFd>,
) -> Result<Played, Broken> {
    let start = Instant::now();
    let system = Failing::new(plan).expect("a readiness queue").betraying(treason);
    let mut stage = Stage::new((scenario.builder)(), system);
    let before = count_descriptors()?;
    let mut program = (scenario.begin)(&mut stage);
    let ended = stage.play(program.as_mut(), patience);
    leaked.extend(stage.ledger.aio.system_mut().take_leaked());
    ended.map_err(|detail| Broken { check: Check::NoHang, detail })?;
    // All are closed by now; what is not would be, when the system is dropped, and nobody would know.
    let (after, expected) = (count_descriptors()?, before + stage.descriptors());
    ensure(Check::Descriptors, after == expected, || format!("{after} when all is closed, not {expected}"))?;
    let system = stage.ledger.aio.system();
    let stats = stage.ledger.aio.stats().counters;
    let played = Played {
        facts: stage.facts(),
        injected: system.injected().to_vec(),
        made: Call::ALL.map(|call| system.made(call)),
        turns: stats.turns,
        attempts: stats.attempts,
        elapsed: start.elapsed(),
    };
    judge(scenario, &stage, &played, calm)?;
    stage.close();
    Ok(played)
}

fn judge(
    scenario: &FailureScenario,
    stage: &Stage,
    played: &Played,
    calm: Option<&Played>,
) -> Result<(), Broken> {
    let wrong = stage.peers().iter().position(super::peer::ScenarioPeer::is_wrong);
    ensure(Check::Bytes, wrong.is_none(), || format!("what the peer {wrong:?} heard"))?;
    let injected: Vec<Injected> = played.injected.iter().map(|injected| seen_at(stage, *injected)).collect();
    right_errors(stage, &injected)?;
    harm(scenario, stage, &injected)?;
    refusals(stage, &injected)?;
    let Some(calm) = calm else {
        let whole = stage.peers().iter().all(|peer| peer.ending() == Some(PeerEnding::Whole));
        return ensure(Check::Passes, whole, || format!("nothing failed, but {:?}", played.facts));
    };
    let millis = u64::try_from(played.elapsed.as_millis()).unwrap_or(u64::MAX);
    // A turn for each millisecond that a pause or a nap may have taken, and some for each failure.
    let turns_max = 2 * calm.turns + millis + 50;
    let attempts_max = 2 * calm.attempts + 50;
    ensure(Check::NoSpin, played.turns <= turns_max && played.attempts <= attempts_max, || {
        format!(
            "{} turns, {} attempts in {millis} ms; {} and {} if nothing fails",
            played.turns, played.attempts, calm.turns, calm.attempts
        )
    })?;
    let passes =
        |injected: &Injected| matches!(injected.planned.expected, Effect::Passes | Effect::FailsTurn);
    let same = !injected.iter().all(passes) || played.facts == calm.facts;
    ensure(Check::Passes, same, || format!("{:?} instead of {:?}", played.facts, calm.facts))
}

/// The FIN of a connection that lingers belongs to no operation: if it fails for good nothing reports it, and
/// the connection does not linger.
fn seen_at(stage: &Stage, mut injected: Injected) -> Injected {
    let fault = injected.planned.fault;
    let lingers = injected.conn.is_some_and(|conn| stage.lingered(conn));
    if fault.call == Call::Shutdown && lingers && injected.planned.expected == Effect::Ends {
        injected.planned.expected = Effect::CutsShort;
    }
    injected
}

/// The lane that a failure is to end.
fn lane_error(injected: &Injected) -> Option<LaneError> {
    let kind = match injected.planned.fault.call {
        Call::Recv | Call::RecvVectored | Call::PollReceive | Call::Peek => EntryKind::Receive,
        Call::Send | Call::SendVectored | Call::PollSend | Call::Shutdown => EntryKind::Send,
        Call::Accept => EntryKind::Accept,
        Call::Connect | Call::ConnectFinish | Call::ConnectRegister => EntryKind::Connect,
        _ => return None,
    };
    let error = injected.planned.fault.error()?;
    let ends = injected.planned.expected == Effect::Ends;
    Some(LaneError { conn: injected.conn?, kind, error }).filter(|_| ends)
}

/// What the sends of a connection end with whose discard failed, if there are any left: it flushes then, and
/// does not linger yet.
fn lane_error_of_discard(injected: &Injected) -> Option<LaneError> {
    let fault = injected.planned.fault;
    let told = fault.call == Call::Discard && injected.planned.expected == Effect::CutsShort;
    Some(LaneError { conn: injected.conn?, kind: EntryKind::Send, error: fault.error()? }).filter(|_| told)
}

fn right_errors(stage: &Stage, injected: &[Injected]) -> Result<(), Broken> {
    let due: Vec<LaneError> = injected.iter().filter_map(lane_error).collect();
    let errors = stage.errors();
    let untold = due.iter().find(|error| !errors.contains(error));
    ensure(Check::RightError, untold.is_none(), || format!("{untold:?} is not among {errors:?}"))?;
    let may_be: Vec<LaneError> = injected.iter().filter_map(lane_error_of_discard).collect();
    let unexplained = errors.iter().find(|error| !due.contains(error) && !may_be.contains(error));
    ensure(Check::RightError, unexplained.is_none(), || format!("{unexplained:?} was none of {due:?}"))?;
    let odd = stage.odd();
    ensure(Check::RightError, odd.is_empty(), || format!("{odd:?}"))
}

/// Peers that did not come to the end of what they do: none if no connection was to suffer.
fn harm(scenario: &FailureScenario, stage: &Stage, injected: &[Injected]) -> Result<(), Broken> {
    let cut = stage.peers().iter().filter(|peer| peer.ending() != Some(PeerEnding::Whole)).count();
    let harm = |injected: &Injected| match (injected.planned.expected, injected.planned.fault.call) {
        (Effect::Passes | Effect::FailsTurn, _) => 0,
        // Without its listener nobody is served; and who knows what a jump of an hour ends.
        (Effect::Expires, _) | (Effect::Ends, Call::Accept) | (Effect::GivesBack, _) => usize::MAX,
        (_, _) => scenario.suffering_max,
    };
    let cut_max = injected.iter().map(harm).fold(0, usize::saturating_add);
    ensure(Check::Harm, cut <= cut_max, || format!("{cut} peers were cut short, not at most {cut_max}"))
}

fn refusals(stage: &Stage, injected: &[Injected]) -> Result<(), Broken> {
    let of = |effect| injected.iter().filter(move |injected| injected.planned.expected == effect);
    let codes = |effect| -> Vec<Option<i32>> {
        of(effect).map(|injected| injected.planned.fault.error().and_then(|error| error.code())).collect()
    };
    let whole = stage.given_back().iter().all(|back| back.whole);
    let back: Vec<_> = stage.given_back().iter().map(|back| back.error.raw_os_error()).collect();
    ensure(Check::GivenBack, whole && back == codes(Effect::GivesBack), || {
        format!("{:?}", stage.given_back())
    })?;
    let failed: Vec<_> = stage.failed_turns().iter().map(std::io::Error::raw_os_error).collect();
    ensure(Check::TurnFails, failed == codes(Effect::FailsTurn), || format!("{:?}", stage.failed_turns()))
}
