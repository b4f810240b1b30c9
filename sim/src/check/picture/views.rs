//! What there was to see at one step: the model, the kernel, and what the contract expects of both.

use std::collections::BTreeMap;

use aio_model::{ConnId, ConnInfo, Direction, LaneInfo, PoolId};
use serde::Serialize;

use crate::judge::observer::Scene;
use crate::judge::oracle::{LaneAccount, Oracle};
use crate::world::link::Condition;
use crate::world::net::Net;

/// Everything as it was after a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct View {
    /// How much there is of everything.
    pub(crate) gauges: GaugesView,
    /// Each connection that anybody knows of.
    pub(crate) conns: BTreeMap<ConnId, ConnView>,
    /// The model in its own words.
    pub(crate) model: String,
}

/// How much there is of everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct GaugesView {
    connections: u32,
    credits: u32,
    queued: u32,
    completions: u32,
    leases: u32,
    user_leases: usize,
    runnable: u32,
    parked: u32,
    held: u32,
    timers: u32,
    turns: u64,
}

/// A connection, as each of those who know of it sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConnView {
    /// What is not of a lane.
    pub(crate) head: RunView,
    /// The receive lane, and the send lane.
    pub(crate) lanes: [LaneView; 2],
}

/// What is not of a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RunView {
    /// The phase that the model says it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The phase that the contract says it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<PeerView>,
}

/// How the far end sees the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PeerView {
    readable: usize,
    sent: u64,
    received: u64,
    ended: bool,
    reset: bool,
    closed: bool,
}

/// One direction of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct LaneView {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<LaneModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<LaneContract>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<LaneKernel>,
}

/// What the model believes of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LaneModel {
    ops: u32,
    bytes: u64,
    ready: bool,
    place: String,
    tainted: bool,
    shut: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

/// What the contract expects of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LaneContract {
    queue: Vec<u64>,
    ready: bool,
    tainted: bool,
    shut: bool,
    exhausted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    passed_over: usize,
}

/// What is the case in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct LaneKernel {
    /// A call would not block.
    ready: bool,
    /// An event that says so is on its way.
    owed: bool,
}

impl View {
    /// Looks at everything. A model whose lists may be in disorder is not asked to walk them.
    pub(crate) fn of(scene: &Scene<'_>) -> View {
        let model = scene.model;
        let sound = model.check().is_ok();
        let mut view = View {
            gauges: GaugesView::of(scene),
            conns: BTreeMap::new(),
            model: if sound { without_ages(&format!("{model:#?}")) } else { format!("{model:?}") },
        };
        for (id, info) in model.conns() {
            view.conns.insert(id, ConnView::of(id, &info, scene.net));
        }
        view.judge(scene.oracle);
        view
    }

    /// Brings what the contract expects up to date, and nothing else.
    pub(crate) fn judge(&mut self, oracle: &Oracle) {
        for conn in self.conns.values_mut() {
            conn.head.contract = None;
            conn.lanes.iter_mut().for_each(|lane| lane.contract = None);
        }
        for (id, account) in oracle.conn_accounts() {
            let conn = self.conns.entry(id).or_default();
            conn.head.contract = Some(account.phase);
            for (view, lane) in conn.lanes.iter_mut().zip(account.lanes) {
                view.contract = Some(lane.into());
            }
        }
        self.conns.retain(|_, conn| conn.head.model.is_some() || conn.head.contract.is_some());
    }
}

/// Drops how old each connection is: as time passes every line would change, and say nothing new.
fn without_ages(text: &str) -> String {
    let line = |line: &str| match line.strip_suffix(" old,").and_then(|line| line.rsplit_once(", ")) {
        Some((line, _)) => format!("{line},\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

impl GaugesView {
    fn of(scene: &Scene<'_>) -> GaugesView {
        let stats = scene.model.stats();
        GaugesView {
            connections: stats.connections,
            credits: stats.credits,
            queued: stats.queued.total(),
            completions: stats.completions,
            leases: stats.leases,
            user_leases: scene.user_leases,
            runnable: stats.lanes_runnable,
            parked: stats.lanes_parked,
            held: stats.lanes_held,
            timers: stats.timers,
            turns: stats.counters.turns,
        }
    }
}

impl ConnView {
    fn of(id: ConnId, info: &ConnInfo, net: &Net) -> ConnView {
        let peer = net.peer_of(id).map(|peer| net.peer_state(peer));
        let head = RunView {
            model: Some(format!("{:?}", info.phase)),
            contract: None,
            pool: (info.pool != PoolId::DEFAULT).then(|| format!("{:?}", info.pool)),
            peer: peer.map(|peer| PeerView {
                readable: peer.readable,
                sent: peer.sent,
                received: peer.received,
                ended: peer.ended,
                reset: peer.reset,
                closed: peer.closed,
            }),
        };
        let condition = net.condition(id);
        let lanes = [
            (&info.receive, Direction::Receive, condition.map(Condition::receives)),
            (&info.send, Direction::Send, condition.map(Condition::sends)),
        ];
        let lanes = lanes.map(|(lane, direction, ready)| LaneView {
            model: Some(lane.into()),
            contract: None,
            kernel: ready.map(|ready| LaneKernel { ready, owed: net.edge_debt(id, direction) }),
        });
        ConnView { head, lanes }
    }
}

impl From<&LaneInfo> for LaneModel {
    fn from(lane: &LaneInfo) -> LaneModel {
        LaneModel {
            ops: lane.ops,
            bytes: lane.bytes,
            ready: lane.ready,
            place: format!("{:?}", lane.place),
            tainted: lane.tainted,
            shut: lane.shut,
            end: lane.end.map(|end| format!("{end:?}")),
        }
    }
}

impl From<LaneAccount> for LaneContract {
    fn from(lane: LaneAccount) -> LaneContract {
        let LaneAccount { queue, ready, tainted, shut, exhausted, end, passed_over } = lane;
        LaneContract { queue, ready, tainted, shut, exhausted, end, passed_over }
    }
}
