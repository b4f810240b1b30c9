//! The plan of an episode: everything about it that is fixed before it begins, drawn from its choices.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{Instant, Limits, PoolSize, Spin};

use crate::world::choice::{Choice, Odds};
use crate::world::engine::EngineKind;
use crate::world::faults::Faults;
use crate::world::pipe::Capacity;

/// What an episode is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The readiness engine.
    pub(crate) engine: EngineKind,
    /// What may go wrong.
    pub(crate) faults: Faults,
    /// What the proactor may hold and do.
    pub(crate) limits: Limits,
    /// Its pools.
    pub(crate) pools: Vec<PoolSize>,
    /// How many descriptors there may be.
    pub(crate) descriptors_max: u32,
    /// The buffers of the kernels, if they are not as the faults have it.
    pub(crate) capacity: Option<Capacity>,
    /// How many things the user and the peers do before the faults heal.
    pub(crate) actions: u64,
    /// Before which of them the user shuts down, if it does before the end.
    pub(crate) shut_down_at: Option<u64>,
    /// How often the user does something between two steps of a turn.
    pub(crate) interludes: Odds,
    /// How many times each place was used before, and what time it is.
    pub(crate) used: u32,
    pub(crate) start: Instant,
    /// How often the places that are vacant grow older by a power of two, nearly.
    pub(crate) ages: Odds,
    /// How often a crowd of deadlines is armed.
    pub(crate) crowds: Odds,
    /// How the proactor polls before it sleeps.
    pub(crate) spin: Spin,
    /// How often each [`Action`](crate::judge::workload::Action) is taken, in relation to the others.
    pub(crate) weights: Vec<u32>,
    /// The largest buffer of the user's.
    pub(crate) bytes_max: u64,
}

/// More than any episode needs.
const PLENTY: u64 = 64;
const BYTES_PLENTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(1 << 18);

impl Plan {
    /// Draws a plan. `engine` is drawn too, if it is left open; `actions` is how many there may be.
    pub(crate) fn draw(
        choice: &mut Choice,
        engine: Option<EngineKind>,
        actions_max: u64,
        weights: impl Iterator<Item = u32>,
    ) -> Plan {
        let engine = engine.unwrap_or_else(|| *choice.pick(EngineKind::ALL));
        let faults = Faults::swarm(choice);
        let mut limits = draw_limits(choice);
        let pools = (0..=choice.below(2)).map(|_| draw_pool(choice)).collect();
        // One plan in four runs out of descriptors.
        let descriptors_max = if choice.below(4) == 3 { 1 + small(choice, 6) } else { 1 << 20 };
        // A weight of 0 leaves an action out of this episode.
        let weights = weights.map(|weight| weight * *choice.pick(&[4, 4, 1, 2, 8, 0])).collect();
        // Half of them have kernels with little room, so that transfers are cut.
        let capacity = match choice.below(4) {
            0 | 1 => None,
            2 => Some(Capacity { send_bytes_max: 8, recv_bytes_max: 8 }),
            _ => Some(Capacity {
                send_bytes_max: 1 + small(choice, 63) as usize,
                recv_bytes_max: 1 + small(choice, 63) as usize,
            }),
        };
        let bytes_max = *choice.pick(&[16, 1, 100, 5_000]);
        let actions = 1 + choice.magnitude(actions_max);
        // One in four shuts down in the middle of it.
        let shut_down_at = (choice.below(4) == 3).then(|| choice.below(actions));
        // What is drawn last was thought of last: tapes that were kept go on meaning what they did, with 0s
        // put in here.
        let interludes =
            *choice.pick(&[Odds::NEVER, Odds::NEVER, Odds::NEVER, Odds::one_in(20), Odds::one_in(3)]);
        let used = *choice.pick(USED);
        let start = *choice.pick(STARTS);
        let ages = *choice.pick(&[Odds::NEVER, Odds::NEVER, Odds::NEVER, Odds::one_in(20)]);
        let crowds = *choice.pick(&[
            Odds::NEVER,
            Odds::NEVER,
            Odds::NEVER,
            Odds::NEVER,
            Odds::NEVER,
            Odds::NEVER,
            Odds::one_in(100),
            Odds::one_in(30),
        ]);
        let spin = draw_spin(choice, actions);
        draw_odd_limits(choice, &mut limits);
        Plan {
            engine,
            faults,
            limits,
            pools,
            descriptors_max,
            capacity,
            actions,
            shut_down_at,
            interludes,
            used,
            start,
            ages,
            crowds,
            spin,
            weights,
            bytes_max,
        }
    }
}

fn small(choice: &mut Choice, max: u64) -> u32 {
    u32::try_from(choice.within(0..=max)).unwrap_or(u32::MAX)
}

fn draw_pool(choice: &mut Choice) -> PoolSize {
    let buffer_bytes = usize::try_from(1 + choice.magnitude(255)).unwrap_or(1);
    PoolSize { buffers_max: 1 + small(choice, 3), buffer_bytes }
}

/// How many times each place may have been used before: not at all, or almost until a byte, two of them, the
/// sign, or all of the generation are used up.
const USED: &[u32] =
    &[0, 0, 0, 0, (1 << 8) - 3, (1 << 16) - 3, (1 << 24) - 3, (1 << 31) - 3, u32::MAX - 20, u32::MAX - 3];

/// When a run may begin: a while after the origin, so that there is something to step back into, or shortly
/// before as many milliseconds or nanoseconds as some number may hold no more. More than 290 years are left.
const STARTS: &[Instant] = &[
    START,
    START,
    START,
    START,
    before_ms(3 << 12),
    before_ms(1 << 18),
    before_ms(1 << 24),
    before_ms(1 << 30),
    before_ms(1 << 31),
    before_ms(1 << 32),
    before_ms(1 << 36),
    before_ms(1 << 42),
    Instant::from_nanos((1 << 63) - 100_000_000),
];

/// What the clock shows at first.
const START: Instant = Instant::from_nanos(10_000_000_000);

/// A tenth of a second before that many milliseconds after the origin.
const fn before_ms(count: u64) -> Instant {
    Instant::from_nanos((count - 100) * 1_000_000)
}

fn draw_spin(choice: &mut Choice, actions: u64) -> Spin {
    match choice.below(6) {
        // No choice of its own: it changes no outcome.
        0..=2 => [Spin::Off, Spin::Adaptive, Spin::For(Duration::from_micros(20))][(actions % 3) as usize],
        3 => Spin::For(Duration::ZERO),
        4 => Spin::For(Duration::from_nanos(1)),
        _ => Spin::For(Duration::MAX),
    }
}

/// One plan in six has a limit that is as odd, or as high, as any number.
fn draw_odd_limits(choice: &mut Choice, limits: &mut Limits) {
    if choice.below(6) < 5 {
        return;
    }
    let Limits { connections_max, ops_max, lane_ops_max, turn_attempts_max, lane_attempts_max, .. } = limits;
    for limit in [connections_max, ops_max, lane_ops_max, turn_attempts_max, lane_attempts_max] {
        let odd = match choice.below(4) {
            0 => continue,
            1 => small(choice, 40),
            2 => 63 + small(choice, 3),
            _ => u32::MAX - small(choice, 1),
        };
        *limit = NonZeroU32::new(odd).unwrap_or(NonZeroU32::MIN);
    }
}

/// Every limit is 1, a little more, or plenty.
fn draw_limits(choice: &mut Choice) -> Limits {
    let mut limit = || {
        let limit = match choice.below(8) {
            0..=4 => PLENTY,
            5 | 6 => choice.within(2..=5),
            _ => 1,
        };
        u32::try_from(limit).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
    };
    let [connections_max, ops_max, lane_ops_max, turn_attempts_max, lane_attempts_max] =
        [(); 5].map(|()| limit());
    // No choices of their own for the events of a wait, and for the bytes of a lane: moved in a turn, and
    // queued.
    let turn_events_max = lane_attempts_max;
    let (lane_transfer_max, lane_bytes_max) = (bytes_of(turn_attempts_max), bytes_of(lane_ops_max));
    Limits {
        connections_max,
        ops_max,
        lane_ops_max,
        lane_bytes_max,
        turn_events_max,
        turn_attempts_max,
        lane_attempts_max,
        lane_transfer_max,
    }
}

/// A limit of bytes that is small where another limit is: 1, a few, or plenty.
fn bytes_of(limit: NonZeroU32) -> NonZeroU32 {
    if u64::from(limit.get()) < PLENTY { limit.saturating_pow(3) } else { BYTES_PLENTY }
}
