//! What states there are, and what leads from one to another: seen, not claimed.
//!
//! Scripts are played, and what every step did to every connection, lane, operation and deadline is written
//! down. The tables in the documentation of `aio-model` are these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use aio_model::{ConnId, ConnInfo, Kind, OpInfo, Outcome};

use super::draw;
use super::player::Player;
use super::step::{ScriptOp, ScriptStep};
use crate::world::choice::Choice;

/// A state machine of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// An operation, from its submission until its completion is taken.
    Operation,
    /// The deadline of an operation.
    Deadline,
    /// The buffer of a pooled receive.
    Buffer,
    /// A connection or listener.
    Connection,
    /// A direction of a connection, or a listener's accepts.
    Lane,
}

/// From where to where, and what for.
type Transitions = BTreeMap<(String, String), BTreeSet<String>>;

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Observed {
    machines: BTreeMap<Machine, Transitions>,
}

/// Steps of a script: enough to get anywhere.
const STEPS: usize = 300;

/// What is not there yet, or not any more.
const NOTHING: &str = "—";

/// Names one thing of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    machine: Machine,
    conn: ConnId,
    /// An operation's key, or a lane's number.
    number: u64,
}

/// Plays that many scripts, always the same ones, and tells what was seen.
pub fn observe(scripts: u64) -> Observed {
    let mut observed = Observed::default();
    for seed in 0..scripts {
        let mut choice = Choice::seeded(seed);
        let mut player = Player::new(&draw::setup(&mut choice), |_| 1);
        let mut before = states(&player);
        for _ in 0..STEPS {
            before = observed.step(&mut player, &draw::step(&mut choice), &before);
        }
    }
    observed
}

impl Observed {
    /// Takes a step, and writes down what it changed.
    fn step(&mut self, player: &mut Player, step: &ScriptStep, before: &States) -> States {
        player.forget_call();
        // Whether the model is right is judged elsewhere.
        let _ = player.step(step);
        let after = states(player);
        let subjects: BTreeSet<Subject> = before.keys().chain(after.keys()).copied().collect();
        for subject in subjects {
            let [from, to] =
                [before, &after].map(|states| states.get(&subject).map_or(NOTHING, String::as_str));
            if from != to {
                let cause = cause(player, step, subject, (from, to));
                let transitions = self.machines.entry(subject.machine).or_default();
                transitions.entry((from.to_owned(), to.to_owned())).or_default().insert(cause);
            }
        }
        after
    }

    /// The machine as a diagram, and as a table of what leads from where to where.
    pub fn page(&self, machine: Machine) -> String {
        let mut page = String::from("```text\n");
        let transitions = &self.machines[&machine];
        let states: BTreeSet<&str> = transitions.keys().map(|(from, _)| from.as_str()).collect();
        let width = states.iter().map(|state| state.chars().count()).max().unwrap_or(0);
        for state in &states {
            let to: Vec<&str> =
                transitions.keys().filter(|(from, _)| from == state).map(|(_, to)| to.as_str()).collect();
            let _ = writeln!(page, "{state:>width$} ──▶ {}", to.join(", "));
        }
        page.push_str("```\n\n| from | to | when |\n|---|---|---|\n");
        for ((from, to), causes) in transitions {
            let _ = writeln!(page, "| {from} | {to} | {} |", in_groups(causes));
        }
        page
    }
}

/// Causes that begin alike, together.
fn in_groups(causes: &BTreeSet<String>) -> String {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for cause in causes {
        let (group, one) = cause.split_once(": ").unwrap_or((cause, ""));
        groups.entry(group).or_default().push(one);
    }
    let texts = groups.into_iter().map(|(group, ones)| match ones[..] {
        [""] => group.to_owned(),
        _ => format!("{group}: {}", ones.join(", ")),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// The state of everything there is.
type States = BTreeMap<Subject, String>;

fn states(player: &Player) -> States {
    let mut states = BTreeMap::new();
    for (conn, info) in player.model().conns() {
        let ConnInfo { receive, send, kind, phase, .. } = info;
        let mut put = |machine, number, state| states.insert(Subject { machine, conn, number }, state);
        put(Machine::Connection, 0, format!("{phase:?}"));
        put(Machine::Lane, 0, format!("{:?}", receive.place));
        if kind == Kind::Stream {
            put(Machine::Lane, 1, format!("{:?}", send.place));
        }
    }
    for (op, info) in player.model().ops_info() {
        let OpInfo { conn, ended, due, lease, .. } = info;
        let number = op.number();
        let mut put =
            |machine, state: &str| states.insert(Subject { machine, conn, number }, state.to_owned());
        put(Machine::Operation, if ended { "Ended" } else { "Queued" });
        let deadline = match (ended, due) {
            (true, _) => NOTHING,
            (false, Some(_)) => "Armed",
            (false, None) => "None",
        };
        put(Machine::Deadline, deadline);
        if player.is_pooled(op) {
            let buffer = match (ended, lease) {
                (false, false) => "Awaited",
                (false, true) => "Lent",
                (true, true) => "Delivered",
                (true, false) => NOTHING,
            };
            put(Machine::Buffer, buffer);
        }
    }
    states
}

/// What the step was, as far as the subject is concerned.
fn cause(player: &Player, step: &ScriptStep, subject: Subject, transition: (&str, &str)) -> String {
    let elsewhere = player.last_call().is_some_and(|(conn, ..)| conn != subject.conn);
    match transition {
        (_, "Parked") => return "its pool has no buffer".into(),
        (_, "Held") => return "no connection or credit is free".into(),
        ("Parked" | "Awaited", "Running" | "Lent") if elsewhere => return "a lease is returned".into(),
        ("Held", _) if elsewhere || matches!(step, ScriptStep::Take | ScriptStep::Open { .. }) => {
            return "a connection or credit becomes free".into();
        }
        _ => {}
    }
    let what = match (step, player.last_call()) {
        (ScriptStep::Attempt(_), Some((_, call, outcome))) => {
            let elsewhere = if elsewhere { "elsewhere, " } else { "" };
            return format!("{elsewhere}{call}: {}", outcome_name(call, outcome));
        }
        (ScriptStep::Attempt(_), None) => "attempt",
        (ScriptStep::Submit { what, .. }, _) => submitted(what),
        (ScriptStep::Event { .. }, _) => "event",
        (ScriptStep::Expire, _) => "its time has come",
        (ScriptStep::Take, _) => "its completion is taken",
        (ScriptStep::Open { adopted: true, .. }, _) => "`adopt`",
        (ScriptStep::Open { .. }, _) => "`adopt`, refused by the system",
        (ScriptStep::Cancel(_), _) => "`cancel`",
        (ScriptStep::CancelAll(_), _) => "`cancel_all`",
        (ScriptStep::SetDeadline { .. }, _) => "`set_deadline`",
        (ScriptStep::Resume(_), _) => "`resume`",
        (ScriptStep::Close { .. }, _) => "`close`",
        (ScriptStep::GiveBack(_), _) => "a lease is returned",
        (ScriptStep::ShutDown { flush_ms: None, .. }, _) => "`shut_down`",
        (ScriptStep::ShutDown { .. }, _) => "`shut_down_by`",
        (ScriptStep::Round | ScriptStep::Turn { .. } | ScriptStep::Time { .. } | ScriptStep::Drop(_), _) => {
            "?"
        }
    };
    what.into()
}

fn submitted(what: &ScriptOp) -> &'static str {
    match what {
        ScriptOp::Recv(_) | ScriptOp::RecvShared | ScriptOp::Scatter { exact: false, .. } => {
            "submit: `Recv::into`"
        }
        ScriptOp::RecvExact(_) | ScriptOp::RecvLease(_) | ScriptOp::Scatter { .. } => "submit: `Recv::exact`",
        ScriptOp::RecvPooled(_) => "submit: `Recv::pooled`",
        ScriptOp::RecvMany(_) => "submit: `Recv::many`",
        ScriptOp::Send { .. } | ScriptOp::Gather { .. } | ScriptOp::SendLease(_) => "submit: `Send`",
        ScriptOp::AcceptOne => "submit: `Accept::one`",
        ScriptOp::AcceptMany => "submit: `Accept::many`",
        ScriptOp::Connect | ScriptOp::ConnectThere => "submit: `Connect`",
        ScriptOp::Wait { .. } => "submit: `Wait`",
        ScriptOp::Shutdown => "submit: `Shutdown`",
        ScriptOp::CloseNow => "submit: `Close::now`",
        ScriptOp::CloseAbort => "submit: `Close::abort`",
        ScriptOp::CloseFlush => "submit: `Close::flush`",
        ScriptOp::CloseLinger(_) => "submit: `Close::linger`",
        ScriptOp::Sleep | ScriptOp::SleepThere => "submit: `Sleep`",
        ScriptOp::Post(_) | ScriptOp::PostThere => "submit: `Post`",
    }
}

fn outcome_name(call: &str, outcome: Outcome) -> &'static str {
    let transfers = matches!(call, "receive" | "send" | "discard");
    match outcome {
        Outcome::Done if transfers => "nonsense",
        Outcome::Transferred(_) | Outcome::Partial(_) if !transfers => "nonsense",
        Outcome::Transferred(0) => "0 bytes",
        Outcome::Transferred(_) | Outcome::Partial(_) => "bytes",
        Outcome::Done => "done",
        Outcome::WouldBlock => "would block",
        Outcome::Interrupted => "interrupted",
        Outcome::Exhausted(_) => "exhausted",
        Outcome::Refused(_) => "refused",
        Outcome::Failed(_) => "failed",
    }
}
