//! The steps of a script, and how proptest makes them: operations and connections are named by how long ago
//! they came, so that a script stays one when a step is left out.

use std::fmt;
use std::time::Duration;

use aio_model::{Deadline, Instant};
use proptest::prelude::*;

/// A whole script.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// A line for each step, whichever way it is asked for.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.setup)?;
        self.steps.iter().enumerate().try_for_each(|(nth, step)| writeln!(f, "{nth}: {step:?}"))
    }
}

/// Limits, all of them small, and two pools.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) connections: u32,
    pub(crate) ops: u32,
    pub(crate) lane_ops: u32,
    pub(crate) turn_events: u32,
    pub(crate) turn_attempts: u32,
    pub(crate) lane_attempts: u32,
    pub(crate) lane_transfer: u32,
    pub(crate) lane_bytes: u32,
    /// How many buffers of how many bytes.
    pub(crate) pools: [(u32, usize); 2],
    pub(crate) rearms_on_would_block: bool,
    /// What is there before the first step: as many streams as there is place for, and perhaps a listener
    /// before them.
    pub(crate) streams: usize,
    pub(crate) listens: bool,
}

/// The how many-th from the end, of all there ever were.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick(pub(crate) usize);

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Adopt {
        listener: bool,
        system_takes_it: bool,
    },
    Submit {
        conn: Pick,
        what: What,
        due: Due,
    },
    Turn(Pass),
    Cancel(Pick),
    CancelAll(Pick),
    SetDeadline {
        op: Pick,
        due: Due,
    },
    Resume(Pick),
    SetLaneBytesMax {
        conn: Pick,
        bytes_max: u32,
    },
    SetPool {
        conn: Pick,
        pool: u16,
    },
    CloseIfOpen(Pick),
    Close {
        conn: Pick,
        code: Option<u32>,
    },
    /// 0 is never.
    SetIdle {
        conn: Pick,
        with: Option<Pick>,
        ms: u64,
    },
    /// The user drops a lease.
    Drop(Pick),
    /// The user turns a lease into shared bytes.
    Share(Pick),
    ShutDown {
        flush_ms: Option<u64>,
    },
}

/// What happens in a turn.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    /// Since the step before.
    pub(crate) passes: Passing,
    pub(crate) timeout_ms: Option<u64>,
    /// While it waits, if it does.
    pub(crate) waits: Passing,
    pub(crate) wait_fails: bool,
    pub(crate) events: Vec<(Pick, u8)>,
    /// To the calls it makes, in turn, and again from the first.
    pub(crate) answers: Vec<Answer>,
    /// For how many completions there is room.
    pub(crate) room: usize,
}

/// A step of the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Passing {
    Forward(Duration),
    Back(Duration),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// It happened, to all bytes.
    All,
    /// To so many of them, modulo how many there are.
    Some(usize),
    /// To so many, which proves nothing.
    Partial(usize),
    Zero,
    WouldBlock,
    Interrupted,
    Exhausted,
    NoDescriptor,
    Refused,
    Failed,
    /// To more bytes than there are.
    TooMany,
    /// What is no answer to such a call.
    Nonsense,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Recv {
        len: usize,
        exact: bool,
    },
    RecvPooled(Option<u16>),
    RecvMany {
        pool: Option<u16>,
        leases_max: u8,
    },
    RecvLease {
        held: Pick,
        exact: bool,
    },
    RecvShared,
    /// Into a buffer of each length, and into a lease after them, if there is one.
    Scatter {
        lens: Vec<usize>,
        lease: Option<Pick>,
        exact: bool,
    },
    ScatterThin,
    /// All but the first and the last so many bytes.
    Send {
        len: usize,
        skip: usize,
        cut: usize,
    },
    Gather {
        lens: Vec<usize>,
        lease: Option<Pick>,
        skip: usize,
        cut: usize,
    },
    /// In more slices than one call takes.
    GatherThin,
    SendHeld(Pick),
    Accept {
        many: bool,
    },
    Connect,
    Shutdown,
    Wait {
        sends: bool,
    },
    Close(How, Option<u32>),
    Sleep,
    Post(usize),
    /// What is of no connection, on one.
    Misplaced,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    Now,
    Abort,
    Flush,
    Linger(u32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Due {
    Never,
    Within(Duration),
    Progress(Duration),
    At(Instant),
}

impl Due {
    pub(crate) fn deadline(self) -> Option<Deadline> {
        match self {
            Due::Never => None,
            Due::Within(span) => Some(Deadline::Within(span)),
            Due::Progress(span) => Some(Deadline::Progress(span)),
            Due::At(at) => Some(Deadline::At(at)),
        }
    }
}

pub(crate) fn script(steps_max: usize) -> impl Strategy<Value = Script> {
    (setup(), prop::collection::vec(step(), 1..steps_max)).prop_map(|(setup, steps)| Script { setup, steps })
}

fn setup() -> impl Strategy<Value = Setup> {
    let pool = || (1..3_u32, 1..9_usize);
    let bytes = prop_oneof![1 => Just(1_u32), 3 => 2..40_u32, 2 => Just(1 << 20)];
    let limits = (2..7_u32, 1..24_u32, 1..6_u32, 1..9_u32, 1..9_u32, 1..5_u32, bytes.clone(), bytes);
    (limits, [pool(), pool()], any::<bool>(), 0..5_usize, any::<bool>()).prop_map(
        |(limits, pools, rearms_on_would_block, streams, listens)| {
            let (
                connections,
                ops,
                lane_ops,
                turn_events,
                turn_attempts,
                lane_attempts,
                lane_transfer,
                lane_bytes,
            ) = limits;
            Setup {
                connections,
                ops,
                lane_ops,
                turn_events,
                turn_attempts,
                lane_attempts,
                lane_transfer,
                lane_bytes,
                pools,
                rearms_on_would_block,
                streams,
                listens,
            }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        160 => pass().prop_map(Step::Turn),
        160 => (pick(), what(), due()).prop_map(|(conn, what, due)| Step::Submit { conn, what, due }),
        10 => (prop::bool::weighted(0.3), prop::bool::weighted(0.9))
            .prop_map(|(listener, system_takes_it)| Step::Adopt { listener, system_takes_it }),
        15 => pick().prop_map(Step::Cancel),
        3 => pick().prop_map(Step::CancelAll),
        10 => (pick(), due()).prop_map(|(op, due)| Step::SetDeadline { op, due }),
        16 => pick().prop_map(Step::Resume),
        4 => (pick(), 0..3_u16).prop_map(|(conn, pool)| Step::SetPool { conn, pool }),
        3 => (pick(), 0..30_u32).prop_map(|(conn, bytes_max)| Step::SetLaneBytesMax { conn, bytes_max }),
        5 => (pick(), code()).prop_map(|(conn, code)| Step::Close { conn, code }),
        3 => pick().prop_map(Step::CloseIfOpen),
        5 => (pick(), prop::option::weighted(0.4, pick()), 0..9_u64)
            .prop_map(|(conn, with, ms)| Step::SetIdle { conn, with, ms }),
        20 => pick().prop_map(Step::Drop),
        4 => pick().prop_map(Step::Share),
        1 => prop::option::of(0..20_u64).prop_map(|flush_ms| Step::ShutDown { flush_ms }),
    ]
}

/// Mostly one of the latest.
fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![4 => 0..2_usize, 4 => 0..5_usize, 1 => 0..64_usize].prop_map(Pick)
}

fn code() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(1..100_u32)
}

fn pass() -> impl Strategy<Value = Pass> {
    let events = prop::collection::vec((pick(), readiness()), 0..6);
    let answers = prop::collection::vec(answer(), 1..5);
    let timeout_ms = prop_oneof![Just(None), (0..10_u64).prop_map(Some)];
    let room = prop_oneof![4 => Just(64_usize), 1 => 0..4_usize];
    (passing(), timeout_ms, passing(), prop::bool::weighted(0.01), events, answers, room).prop_map(
        |(passes, timeout_ms, waits, wait_fails, events, answers, room)| Pass {
            passes,
            timeout_ms,
            waits,
            wait_fails,
            events,
            answers,
            room,
        },
    )
}

/// The bits of a readiness: mostly that something arrived, or that there is room.
fn readiness() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(1_u8), 1 => Just(2_u8), 2 => Just(3_u8), 2 => 0..32_u8]
}

fn passing() -> impl Strategy<Value = Passing> {
    prop_oneof![
        30 => Just(Passing::Forward(Duration::ZERO)),
        30 => (0..4_000_000_u64).prop_map(|nanos| Passing::Forward(Duration::from_nanos(nanos))),
        10 => (0..8_u64).prop_map(|ms| Passing::Forward(Duration::from_millis(ms))),
        1 => (1..9_u64).prop_map(|hours| Passing::Forward(Duration::from_secs(3600 * hours))),
        6 => (0..9_000_000_u64).prop_map(|nanos| Passing::Back(Duration::from_nanos(nanos))),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        30 => Just(Answer::All),
        20 => (1..9_usize).prop_map(Answer::Some),
        6 => (1..9_usize).prop_map(Answer::Partial),
        5 => Just(Answer::Zero),
        20 => Just(Answer::WouldBlock),
        6 => Just(Answer::Interrupted),
        8 => Just(Answer::Exhausted),
        6 => Just(Answer::NoDescriptor),
        6 => Just(Answer::Refused),
        5 => Just(Answer::Failed),
        1 => Just(Answer::TooMany),
        1 => Just(Answer::Nonsense),
    ]
}

fn due() -> impl Strategy<Value = Due> {
    prop_oneof![
        24 => Just(Due::Never),
        6 => (0..12_000_000_u64).prop_map(|nanos| Due::Within(Duration::from_nanos(nanos))),
        4 => (0..12_u64).prop_map(|ms| Due::Within(Duration::from_millis(ms))),
        5 => (0..12_u64).prop_map(|ms| Due::Progress(Duration::from_millis(ms))),
        2 => (0..40_u64).prop_map(|ms| Due::At(Instant::from_nanos(ms * 1_000_000))),
        1 => Just(Due::Within(Duration::MAX)),
        1 => Just(Due::At(Instant::from_nanos(u64::MAX - 1))),
        1 => (1..9_u64).prop_map(|hours| Due::Within(Duration::from_secs(3600 * hours))),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let len = || 0..12_usize;
    let lens = || prop::collection::vec(0..6_usize, 0..4);
    let lease = || prop::option::weighted(0.3, pick());
    let little = || prop_oneof![3 => Just(0_usize), 1 => 0..4_usize];
    let how =
        prop_oneof![Just(How::Now), Just(How::Abort), Just(How::Flush), (0..10_u32).prop_map(How::Linger)];
    prop_oneof![
        7 => (len(), any::<bool>()).prop_map(|(len, exact)| What::Recv { len, exact }),
        20 => prop_oneof![4 => Just(None), 4 => Just(Some(0_u16)), 2 => Just(Some(1)), 1 => Just(Some(2))].prop_map(What::RecvPooled),
        5 => (prop::option::of(0..3_u16), 0..4_u8).prop_map(|(pool, leases_max)| What::RecvMany { pool, leases_max }),
        1 => (pick(), any::<bool>()).prop_map(|(held, exact)| What::RecvLease { held, exact }),
        1 => Just(What::RecvShared),
        3 => (lens(), lease(), any::<bool>())
            .prop_map(|(lens, lease, exact)| What::Scatter { lens, lease, exact }),
        16 => (len(), little(), little()).prop_map(|(len, skip, cut)| What::Send { len, skip, cut }),
        4 => (lens(), lease(), little(), little())
            .prop_map(|(lens, lease, skip, cut)| What::Gather { lens, lease, skip, cut }),
        2 => pick().prop_map(What::SendHeld),
        7 => any::<bool>().prop_map(|many| What::Accept { many }),
        5 => Just(What::Connect),
        2 => Just(What::Shutdown),
        3 => any::<bool>().prop_map(|sends| What::Wait { sends }),
        3 => (how, code()).prop_map(|(how, code)| What::Close(how, code)),
        2 => Just(What::Sleep),
        1 => (0..5_usize).prop_map(What::Post),
        1 => Just(What::Misplaced),
        1 => prop::bool::weighted(0.1).prop_map(|thin| if thin { What::GatherThin } else { What::Connect }),
        1 => prop::bool::weighted(0.1).prop_map(|thin| if thin { What::ScatterThin } else { What::Sleep }),
    ]
}
