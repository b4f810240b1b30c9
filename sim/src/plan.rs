//! The plan of an episode: everything about it that is fixed before it begins, drawn from its choices.

use std::num::NonZeroU32;

use aio_model::{Limits, PoolSize};

use crate::choice::Choice;
use crate::engine::EngineKind;
use crate::faults::Faults;
use crate::pipe::Capacity;

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
    /// How often each [`Action`](crate::workload::Action) is taken, in relation to the others.
    pub(crate) weights: Vec<u32>,
    /// The largest buffer of the user's.
    pub(crate) bytes_max: u64,
}

/// More than any episode needs.
const PLENTY: u64 = 64;

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
        let limits = draw_limits(choice);
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
        Plan {
            engine,
            faults,
            limits,
            pools,
            descriptors_max,
            capacity,
            actions,
            shut_down_at,
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
    Limits {
        connections_max: limit(),
        ops_max: limit(),
        lane_ops_max: limit(),
        turn_attempts_max: limit(),
        lane_attempts_max: limit(),
    }
}
