//! The recorder: everything that a picture of a run is drawn from, as plain data.
//!
//! An episode fills it only when a picture is wanted. It is told what the user does, in the words that a
//! verbose replay prints, and it looks: at the model, at the kernels and peers, and at what the contract
//! expects, after each step. What happened to an operation it reads from the oracle's account.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use aio_model::{Completion, ConnId, Kind, Violation};

use super::views::View;
use super::words::{Mark, ResultClass, Whose, marks, result, task};
use crate::judge::context::Context;
use crate::judge::episode::{Episode, Report, Setup};
use crate::judge::observer::{Observer, Scene};
use crate::judge::oracle::{OpAccount, Oracle};
use crate::judge::plan::Plan;
use crate::world::choice::Choice;
use crate::world::faults::Fault;
use crate::world::net::Net;
use crate::world::socket::SocketId;
use crate::world::trace::TraceEntry;

/// A run, as it was recorded.
#[derive(Debug)]
pub struct Recording {
    pub(crate) plan: Plan,
    /// How often each fault struck.
    pub(crate) struck: Vec<(Fault, u64)>,
    /// The steps that were kept, the last ones.
    pub(crate) steps: VecDeque<RecordedStep>,
    /// How many were taken before those.
    pub(crate) dropped: usize,
    pub(crate) ops: BTreeMap<u64, Op>,
    pub(crate) conns: BTreeMap<ConnId, Life>,
    /// Which connection a socket, or a link, became.
    pub(crate) sockets: BTreeMap<SocketId, ConnId>,
    pub(crate) links: BTreeMap<u64, ConnId>,
    /// What stands for the proactor itself.
    pub(crate) own: ConnId,
    /// The rule that was broken, and the step in which it was.
    pub(crate) broken: Option<(usize, Violation)>,
}

/// What a page calls the proactor where an id stands for it.
pub(crate) const PROACTOR: &str = "the proactor";

/// What a step mostly is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Something that the user does.
    User,
    /// The run enters another part.
    Phase,
    /// A turn begins.
    Turn,
    /// The loop waits, or reads the clock.
    Wait,
    /// The loop makes a system call.
    Call,
    /// The peers or the network do something.
    World,
    /// The model goes on by itself: deadlines, places in lists.
    Model,
    /// A check of what must hold when a turn is over, or a panic.
    Check,
}

/// One step, and what there was to see after it.
#[derive(Debug)]
pub(crate) struct RecordedStep {
    /// How many steps the simulator had counted.
    pub(crate) number: u64,
    pub(crate) at_ms: f64,
    pub(crate) sort: Sort,
    pub(crate) text: String,
    pub(crate) marks: Vec<Mark>,
    /// The operations that it is about.
    pub(crate) ops: Vec<u64>,
    pub(crate) view: View,
}

/// An operation, from its submission until its completion was taken. Steps are counted from the first of the
/// run.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) id: String,
    pub(crate) conn: ConnId,
    pub(crate) lane: Option<usize>,
    pub(crate) task: String,
    pub(crate) from: usize,
    /// When it ended, as the contract has it.
    pub(crate) ended: Option<usize>,
    /// When its final completion was taken.
    pub(crate) taken: Option<usize>,
    /// What became of it: as the completion says, or until that was taken as the contract has it.
    pub(crate) result: Option<(ResultClass, String)>,
    /// Its deadline, whenever that changed, in milliseconds.
    pub(crate) due: Vec<(usize, Option<u64>)>,
    /// The bytes that it had moved, whenever that changed.
    pub(crate) moved: Vec<(usize, u64)>,
}

/// When a connection was there.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) kind: Option<Kind>,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Fills a [`Recording`] while an episode runs.
#[derive(Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    steps_max: usize,
}

/// Runs an episode, and records its last `steps_max` steps for a picture.
pub fn run_recorded(choice: Choice, setup: Setup, steps_max: usize) -> (Report, Recording) {
    record(Episode::new(choice, setup), steps_max)
}

pub(crate) fn record(mut episode: Episode, steps_max: usize) -> (Report, Recording) {
    let recorder = Recorder::new(episode.plan.clone(), episode.model.own(), steps_max);
    let recorder = Rc::new(RefCell::new(recorder));
    episode.set_observer(Rc::<RefCell<Recorder>>::clone(&recorder));
    let report = episode.play();
    let recorder = Rc::into_inner(recorder).expect("the episode is over, and has let go of it");
    (report, recorder.into_inner().recording)
}

impl Recorder {
    /// A recorder that keeps the last `steps_max` steps.
    pub(crate) fn new(plan: Plan, own: ConnId, steps_max: usize) -> Recorder {
        let recording = Recording {
            plan,
            struck: Vec::new(),
            steps: VecDeque::new(),
            dropped: 0,
            ops: BTreeMap::new(),
            conns: BTreeMap::new(),
            sockets: BTreeMap::new(),
            links: BTreeMap::new(),
            own,
            broken: None,
        };
        Recorder { recording, steps_max }
    }

    /// The step that is being recorded.
    fn at(&self) -> usize {
        (self.recording.dropped + self.recording.steps.len()).saturating_sub(1)
    }

    fn push(&mut self, scene: &Scene<'_>, entries: &[TraceEntry], sort: Sort, text: &str) {
        let (marks, view) = (marks(entries), View::of(scene));
        let own = self.recording.own.to_string();
        let text = if text.is_empty() { headline(sort, &marks) } else { text.replace(&own, PROACTOR) };
        // Exact for a hundred days, and nobody reads nanoseconds after that.
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        let at_ms = scene.net.now().as_nanos() as f64 / 1e6;
        let step = RecordedStep { number: scene.steps, at_ms, sort, text, marks, ops: Vec::new(), view };
        self.recording.steps.push_back(step);
        if self.recording.steps.len() > self.steps_max {
            self.recording.steps.pop_front();
            self.recording.dropped += 1;
        }
        self.recording.meet(scene, self.at());
        self.follow(scene.oracle);
    }

    /// The last step has changed something more.
    fn refresh(&mut self, scene: &Scene<'_>, view: View) {
        if let Some(last) = self.recording.steps.back_mut() {
            last.view = view;
            last.number = scene.steps;
        }
        self.recording.meet(scene, self.at());
        self.settle(scene.oracle);
    }

    /// The last step is over: what the oracle made of it counts for it.
    fn settle(&mut self, oracle: &Oracle) {
        if let Some(last) = self.recording.steps.back_mut() {
            last.view.judge(oracle);
        }
        self.follow(oracle);
        if self.recording.broken.is_none() {
            self.recording.broken = oracle.broken().map(|broken| (self.at(), broken.clone()));
        }
    }

    /// What has become of the operations.
    fn follow(&mut self, oracle: &Oracle) {
        let at = self.at();
        let mut about = Vec::new();
        let ops = &mut self.recording.ops;
        let mut missing: Vec<u64> =
            ops.iter().filter(|(_, op)| op.taken.is_none()).map(|(context, _)| *context).collect();
        for account in oracle.op_accounts() {
            missing.retain(|context| *context != account.context);
            let op = ops.entry(account.context).or_insert_with(|| Op::new(&account, at));
            if op.from == at
                && let Some(step) = self.recording.steps.back_mut()
            {
                step.text = submitted(&account, self.recording.own);
            }
            if op.follow(&account, at) {
                about.push(account.context);
            }
        }
        for context in missing {
            if let Some(op) = ops.get_mut(&context) {
                op.taken = Some(at);
                op.ended.get_or_insert(at);
                about.push(context);
            }
        }
        if let Some(step) = self.recording.steps.back_mut() {
            about.retain(|context| !step.ops.contains(context));
            step.ops.extend(about);
        }
    }
}

/// What an episode calls is cold: most have no observer.
impl Observer for Recorder {
    #[cold]
    fn note(&mut self, scene: &Scene<'_>, entries: &[TraceEntry], text: &str) {
        self.settle(scene.oracle);
        let sort = match text {
            _ if text.starts_with("a turn") => Sort::Turn,
            _ if text.starts_with("the faults heal") || text.starts_with("shuts down") => Sort::Phase,
            _ => Sort::User,
        };
        self.push(scene, entries, sort, &readable(text));
    }

    #[cold]
    fn step(&mut self, scene: &Scene<'_>, entries: &[TraceEntry]) {
        let last = self.recording.steps.back();
        if entries.is_empty() {
            let view = View::of(scene);
            if last.is_some_and(|last| last.sort == Sort::User || last.view == view) {
                return self.refresh(scene, view);
            }
        }
        let sort = sort_of(entries);
        self.push(scene, entries, sort, "");
        self.settle(scene.oracle);
    }

    /// Only a broken rule is worth a step.
    #[cold]
    fn rest(&mut self, scene: &Scene<'_>, entries: &[TraceEntry]) {
        if self.recording.broken.is_none() && scene.oracle.broken().is_some() {
            let text = "the turn is over: what must hold whenever nothing is under way is checked";
            self.push(scene, entries, Sort::Check, text);
        }
        self.settle(scene.oracle);
    }

    #[cold]
    fn completed(&mut self, done: &Completion<Context>) {
        let said = (ResultClass::of(&done.result), result(&done.result));
        let on = if done.conn == self.recording.own { String::new() } else { format!(" on {}", done.conn) };
        let (op, bytes, more) =
            (done.context.number(), done.bytes, if done.more { ", and goes on" } else { "" });
        let task = match self.recording.ops.get_mut(&op) {
            None => format!("{}{on}, which the user does not wait for", done.op),
            Some(op) => {
                if !done.more {
                    op.result = Some(said.clone());
                }
                format!("{}{on}", op.task)
            }
        };
        if let Some(step) = self.recording.steps.back_mut() {
            step.text = format!(
                "takes the completion of #{op} {task}: {}, {bytes} bytes, buffer {:?}{more}",
                said.1, done.buffer
            );
            step.ops.push(op);
        }
    }

    fn panicked(&mut self, entries: &[TraceEntry], oracle: &Oracle) {
        if let Some(last) = self.recording.steps.back() {
            let (number, at_ms, view) = (last.number, last.at_ms, last.view.clone());
            let (marks, text) = (marks(entries), "a panic".to_owned());
            let step = RecordedStep { number, at_ms, sort: Sort::Check, text, marks, ops: Vec::new(), view };
            self.recording.steps.push_back(step);
        }
        self.settle(oracle);
    }

    fn over(&mut self, net: &Net, oracle: &Oracle) {
        self.settle(oracle);
        self.recording.struck = Fault::ALL.iter().map(|&fault| (fault, net.struck(fault))).collect();
    }
}

impl Op {
    fn new(account: &OpAccount<'_>, at: usize) -> Op {
        Op {
            id: account.id.to_string(),
            conn: account.conn,
            lane: account.lane,
            task: task(account),
            from: at,
            ended: None,
            taken: None,
            result: None,
            due: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Takes down what has changed; returns whether anything has.
    fn follow(&mut self, account: &OpAccount<'_>, at: usize) -> bool {
        let mut changed = self.from == at;
        if self.due.last().map_or(account.due.is_some(), |(_, due)| *due != account.due) {
            self.due.push((at, account.due));
            changed = true;
        }
        if self.moved.last().map_or(0, |(_, moved)| *moved) != account.moved {
            self.moved.push((at, account.moved));
            changed = true;
        }
        if let (None, Some(verdict)) = (self.ended, account.verdict) {
            self.ended = Some(at);
            self.result.get_or_insert((ResultClass::of(verdict), result(verdict)));
            changed = true;
        }
        changed
    }
}

impl Recording {
    /// Learns which connections there are, and which sockets and links are theirs.
    fn meet(&mut self, scene: &Scene<'_>, at: usize) {
        for (id, info) in scene.model.conns() {
            let life = self.conns.entry(id).or_insert(Life { kind: Some(info.kind), from: at, to: at });
            life.to = at;
            if let Some(peer) = scene.net.peer_of(id) {
                self.links.insert(peer.serial(), id);
            }
            if let Some(socket) = scene.net.world().find(id) {
                self.sockets.insert(socket, id);
            }
        }
    }

    /// The connection that something is about.
    pub(crate) fn whose(&self, whose: Whose) -> Option<ConnId> {
        match whose {
            Whose::Conn(conn) => Some(conn),
            Whose::Socket(socket) => self.sockets.get(&socket).copied(),
            Whose::Peer(peer) => self.links.get(&peer.serial()).copied(),
            Whose::Link(serial) => self.links.get(&serial).copied(),
            Whose::Nobody => None,
        }
    }
}

/// A submission that was accepted.
fn submitted(account: &OpAccount<'_>, own: ConnId) -> String {
    let OpAccount { context, id, conn, .. } = account;
    let on = if *conn == own { String::new() } else { format!(" on {conn}") };
    let due = account
        .due
        .map_or("no deadline".to_owned(), |due| format!("due at {:?}", Duration::from_millis(due)));
    format!("submits #{context} {}{on}: accepted as {id}, {due}", task(account))
}

/// What was noted, for people: without what only a debugger prints.
fn readable(text: &str) -> String {
    if let (Some((what, _)), Some((_, refusal))) =
        (text.split_once(" as "), text.split_once("Err(SubmitError { kind: "))
    {
        let kind = refusal.split_once(", context").map_or(refusal, |(kind, _)| kind);
        return format!("{what}: refused with {kind}");
    }
    let text = text.replace("a turn until Some(0ns)", "a turn that does not wait");
    let mut text = text.replace("a turn until None", "a turn that waits for as long as it takes");
    text = text.replace("Some(18446744073.709551615s)", "the end of time");
    while let Some((before, rest)) = text.split_once("Some(") {
        let (inner, after) = rest.split_once(')').unwrap_or((rest, ""));
        text = format!("{before}{inner}{after}");
    }
    text
}

fn sort_of(entries: &[TraceEntry]) -> Sort {
    let has = |wanted: fn(&TraceEntry) -> bool| entries.iter().any(wanted);
    if has(|entry| matches!(entry, TraceEntry::Called { .. })) {
        Sort::Call
    } else if has(|entry| matches!(entry, TraceEntry::Waits { .. } | TraceEntry::Read { .. })) {
        Sort::Wait
    } else if entries.is_empty() {
        Sort::Model
    } else {
        Sort::World
    }
}

/// What a step is, that nobody has said anything of.
fn headline(sort: Sort, marks: &[Mark]) -> String {
    let told = |kind: &str| marks.iter().find(|mark| mark.kind == kind).map(|mark| mark.text.as_str());
    match sort {
        Sort::Call => told("call").unwrap_or("a system call").to_owned(),
        Sort::Wait => {
            let events: Vec<&str> =
                marks.iter().filter(|mark| mark.kind == "event").map(|mark| mark.text.as_str()).collect();
            match (told("wait"), events.len()) {
                (None, _) => "does not wait, there is something to do".to_owned(),
                (Some(waits), 0) => format!("{waits}: no event"),
                (Some(waits), 1..=3) => format!("{waits}: {}", events.join("; ")),
                (Some(waits), count) => format!("{waits}: {count} events"),
            }
        }
        Sort::Model => "no system call: the model goes on by itself".to_owned(),
        _ => {
            // Rather what a peer did than what came of it.
            let act = marks.iter().find(|mark| matches!(mark.kind, "act" | "end" | "connected"));
            act.or(marks.first()).map_or("something happens", |mark| mark.text.as_str()).to_owned()
        }
    }
}
