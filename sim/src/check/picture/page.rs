//! The page: a recording as JSON, each step as what has changed since the one before, within a template.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aio_model::{ConnId, Kind};
use serde::Serialize;

use super::record::{Op, PROACTOR, RecordedStep, Recording, Sort};
use super::rules::rule;
use super::views::{ConnView, GaugesView, LaneView, RunView, View};
use super::words::{Mark, ResultClass, Whose};
use crate::judge::plan::Plan;
use crate::judge::workload::Action;
use crate::world::faults::Fault;

/// A page that shows `recording`. `name` is what the tape is called, `command` what plays it again.
pub fn write(recording: &Recording, name: &str, command: &str) -> String {
    let page = Page::of(recording, name, command);
    let data = serde_json::to_string(&page).expect("plain data with text for keys");
    let scripts = [
        include_str!("data.js"),
        include_str!("timeline.js"),
        include_str!("panel.js"),
        include_str!("page.js"),
    ];
    let title = match &recording.broken {
        Some((_, broken)) => format!("{} broken: {name}", broken.rule),
        None => format!("all rules held: {name}"),
    };
    // The data last: nothing that it contains is taken for a place to fill.
    include_str!("page.html")
        .replace("{{title}}", &text(&title))
        .replace("{{style}}", include_str!("page.css"))
        .replace("{{script}}", &scripts.join("\n"))
        .replace("{{data}}", &inline(&data))
}

/// JSON within a script element: nothing in it looks like the element's end, or like a comment.
fn inline(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Text within HTML.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('{', "&#123;")
}

#[derive(Serialize)]
struct Page<'a> {
    name: &'a str,
    command: &'a str,
    plan: PlanData,
    /// How many steps were taken before the first one here.
    dropped: usize,
    broken: Option<BrokenData>,
    conns: Vec<ConnData>,
    ops: Vec<OpData<'a>>,
    steps: Vec<StepData<'a>>,
}

#[derive(Serialize)]
struct PlanData {
    engine: String,
    limits: Vec<(&'static str, u32)>,
    /// Of each pool, how many buffers, and their size.
    pools: Vec<(u32, usize)>,
    descriptors: u32,
    actions: u64,
    shut_down_at: Option<u64>,
    bytes_max: u64,
    /// Name, times in a million, and how often it struck.
    faults: Vec<(String, u32, u64)>,
    left_out: Vec<String>,
}

#[derive(Serialize)]
struct BrokenData {
    step: usize,
    rule: &'static str,
    check: &'static str,
    name: String,
    promise: String,
    what: String,
}

#[derive(Serialize)]
struct ConnData {
    id: String,
    listener: bool,
    from: usize,
    to: usize,
}

#[derive(Serialize)]
struct OpData<'a> {
    context: u64,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<usize>,
    task: &'a str,
    from: usize,
    /// When it ended, or the last step.
    end: usize,
    /// When its completion was taken, or the last step.
    taken: usize,
    /// It was not taken; or did not even end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    untaken: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    open: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<ResultClass>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    due: &'a [(usize, Option<u64>)],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    moved: &'a [(usize, u64)],
}

#[derive(Serialize)]
struct StepData<'a> {
    n: u64,
    t: f64,
    sort: &'static str,
    text: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    marks: Vec<MarkData<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ops: &'a [u64],
    #[serde(skip_serializing_if = "Option::is_none")]
    gauges: Option<&'a GaugesView>,
    /// The connections that changed, and what of them did; nothing: it is gone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    conns: BTreeMap<String, Option<ConnChange<'a>>>,
    /// What has changed in the model's own words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model: Vec<Hunk<'a>>,
}

#[derive(Serialize)]
struct MarkData<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    conn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// 1 for the receive lane, 2 for the send lane, 3 for both.
    #[serde(skip_serializing_if = "Option::is_none")]
    lanes: Option<u8>,
    text: Cow<'a, str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    faults: &'a [String],
}

#[derive(Serialize)]
struct ConnChange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<&'a RunView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receive: Option<&'a LaneView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send: Option<&'a LaneView>,
}

impl<'a> Page<'a> {
    fn of(recording: &'a Recording, name: &'a str, command: &'a str) -> Page<'a> {
        let last = (recording.dropped + recording.steps.len()).saturating_sub(1);
        let (mut before, own) = (None, recording.own.to_string());
        let steps = recording.steps.iter().map(|step| {
            let data = step_data(recording, step, before);
            before = Some(&step.view);
            data
        });
        let lived = |conn: &&ConnData| conn.to >= recording.dropped;
        let conns = recording.conns.iter().map(|(id, life)| ConnData {
            id: id.to_string(),
            listener: life.kind == Some(Kind::Listener),
            from: life.from,
            to: life.to,
        });
        let ops = recording.ops.iter().map(|(context, op)| op_data(recording, *context, op, last));
        Page {
            name,
            command,
            plan: plan_data(&recording.plan, &recording.struck),
            dropped: recording.dropped,
            broken: recording.broken.as_ref().map(|(step, broken)| {
                let (name, promise) = rule(broken.rule);
                BrokenData {
                    step: *step,
                    rule: broken.rule,
                    check: broken.check,
                    name,
                    promise,
                    what: broken.what.replace(&own, PROACTOR),
                }
            }),
            steps: steps.collect(),
            conns: conns.filter(|conn| lived(&conn)).collect(),
            ops: ops.filter(|op| op.taken >= recording.dropped).collect(),
        }
    }
}

fn plan_data(plan: &Plan, struck: &[(Fault, u64)]) -> PlanData {
    let limits = plan.limits;
    let faults = struck
        .iter()
        .map(|&(fault, times)| (format!("{fault:?}"), plan.faults.odds(fault).as_per_million(), times));
    let left_out = Action::ALL.iter().zip(&plan.weights).filter(|(_, weight)| **weight == 0);
    PlanData {
        engine: format!("{:?}", plan.engine).to_lowercase(),
        limits: vec![
            ("connections", limits.connections_max.get()),
            ("operations", limits.ops_max.get()),
            ("operations in a lane", limits.lane_ops_max.get()),
            ("bytes queued in a lane", limits.lane_bytes_max.get()),
            ("events in a wait", limits.turn_events_max.get()),
            ("calls in a turn", limits.turn_attempts_max.get()),
            ("calls of a lane in a turn", limits.lane_attempts_max.get()),
            ("bytes of a lane in a turn", limits.lane_transfer_max.get()),
        ],
        pools: plan.pools.iter().map(|pool| (pool.buffers_max, pool.buffer_bytes)).collect(),
        descriptors: plan.descriptors_max,
        actions: plan.actions,
        shut_down_at: plan.shut_down_at,
        bytes_max: plan.bytes_max,
        faults: faults.filter(|(_, odds, _)| *odds > 0).collect(),
        left_out: left_out.map(|(action, _)| format!("{action:?}")).collect(),
    }
}

fn op_data<'a>(recording: &Recording, context: u64, op: &'a Op, last: usize) -> OpData<'a> {
    OpData {
        context,
        id: &op.id,
        conn: (op.conn != recording.own).then(|| op.conn.to_string()),
        lane: op.lane,
        task: &op.task,
        from: op.from,
        end: op.ended.unwrap_or(last),
        taken: op.taken.unwrap_or(last),
        untaken: op.taken.is_none(),
        open: op.ended.is_none(),
        ending: op.result.as_ref().map(|(ending, _)| *ending),
        result: op.result.as_ref().map(|(_, words)| words.as_str()),
        due: &op.due,
        moved: &op.moved,
    }
}

fn step_data<'a>(recording: &Recording, step: &'a RecordedStep, before: Option<&'a View>) -> StepData<'a> {
    let view = &step.view;
    StepData {
        n: step.number,
        t: step.at_ms,
        sort: match step.sort {
            Sort::User => "user",
            Sort::Phase => "phase",
            Sort::Turn => "turn",
            Sort::Wait => "wait",
            Sort::Call => "call",
            Sort::World => "world",
            Sort::Model => "model",
            Sort::Check => "check",
        },
        text: step_text(recording, step),
        marks: step.marks.iter().map(|mark| mark_data(recording, mark)).collect(),
        ops: &step.ops,
        gauges: before.is_none_or(|before| before.gauges != view.gauges).then_some(&view.gauges),
        conns: changes(before.map(|before| &before.conns), &view.conns),
        model: hunks(before.map_or("", |before| &before.model), &view.model),
    }
}

/// What a peer did says whose peer it is, once that is known.
fn mark_text<'a>(recording: &Recording, mark: &'a Mark) -> Cow<'a, str> {
    match (mark.whose, recording.whose(mark.whose)) {
        (Whose::Peer(_), Some(conn)) if mark.text.starts_with("the peer") => {
            mark.text.replacen("the peer", &format!("the peer of {conn}"), 1).into()
        }
        (Whose::Peer(_) | Whose::Socket(_), Some(conn)) => format!("{} ({conn})", mark.text).into(),
        _ => mark.text.as_str().into(),
    }
}

/// A step that is told by one of its marks says what that one says.
fn step_text<'a>(recording: &Recording, step: &'a RecordedStep) -> Cow<'a, str> {
    let told = step.marks.iter().find(|mark| mark.text == step.text);
    told.map_or(step.text.as_str().into(), |mark| mark_text(recording, mark))
}

fn mark_data<'a>(recording: &Recording, mark: &'a Mark) -> MarkData<'a> {
    let lanes = u8::from(mark.lanes[0]) | u8::from(mark.lanes[1]) << 1;
    MarkData {
        kind: mark.kind,
        conn: recording.whose(mark.whose).map(|conn| conn.to_string()),
        outcome: mark.outcome,
        lanes: (lanes > 0).then_some(lanes),
        text: mark_text(recording, mark),
        faults: &mark.faults,
    }
}

type Conns = BTreeMap<ConnId, ConnView>;

fn changes<'a>(before: Option<&'a Conns>, after: &'a Conns) -> BTreeMap<String, Option<ConnChange<'a>>> {
    let mut changes = BTreeMap::new();
    for (id, now) in after {
        let old = before.and_then(|before| before.get(id));
        if old == Some(now) {
            continue;
        }
        let lane = |lane: usize| {
            old.is_none_or(|old| old.lanes[lane] != now.lanes[lane]).then_some(&now.lanes[lane])
        };
        let head = old.is_none_or(|old| old.head != now.head).then_some(&now.head);
        changes.insert(id.to_string(), Some(ConnChange { head, receive: lane(0), send: lane(1) }));
    }
    for id in before.into_iter().flat_map(BTreeMap::keys).filter(|id| !after.contains_key(id)) {
        changes.insert(id.to_string(), None);
    }
    changes
}

/// A piece of a text that changes: how many lines to keep before it, how many to take out, what to put in.
type Hunk<'a> = (usize, usize, Vec<&'a str>);

/// How far apart lines that are the same are looked for, after some that are not.
const REACH: usize = 60;

/// What turns one text into another, line by line. Not the least that would, but little, and quickly found.
pub(super) fn hunks<'a>(before: &str, after: &'a str) -> Vec<Hunk<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let (mut old, mut new) = (old.as_slice(), new.as_slice());
    let mut hunks = Vec::new();
    loop {
        let keep = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        (old, new) = (&old[keep..], &new[keep..]);
        if old.is_empty() && new.is_empty() {
            return hunks;
        }
        let (out, put) = next_same(old, new);
        hunks.push((keep, out, new[..put].to_vec()));
        (old, new) = (&old[out..], &new[put..]);
    }
}

/// How many lines to leave out of each text until they go on with the same line: all, if that is too far
/// away.
fn next_same(old: &[&str], new: &[&str]) -> (usize, usize) {
    let pairs = (1..=REACH).flat_map(|both| (0..=both).map(move |out| (out, both - out)));
    let same = |(out, put): &(usize, usize)| old.get(*out).is_some_and(|line| new.get(*put) == Some(line));
    pairs.into_iter().find(same).unwrap_or((old.len(), new.len()))
}
