//! All timers, and whose each of them is.

use crate::id::PoolId;
use crate::lane::LaneId;
use crate::time::{Instant, Tick};
use crate::timers::{TimerId, Timers};

/// Whose a timer is. By index: the timer is cancelled before its owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The deadline of an operation of that lane.
    Op(LaneId),
    /// The end of a lane's pause.
    Pause(LaneId),
    /// The end of a connection's flushing or lingering, which is of no operation.
    End(u32),
    /// The deadline of the `Close` of a connection.
    Close(u32),
    /// When a connection may be found to be idle.
    Idle(u32),
    /// A sleep.
    Sleep(u32),
    /// The pause of a pool that memory was refused.
    Pool(PoolId),
}

/// An [`Owner`] in four bytes: which it is in two bits, and a lane's id or an index in 30. The last indices
/// of sleeps are the pools'. There are as few of each as that, for [the limits](crate::Model::new) see to it.
#[derive(Debug, Clone, Copy)]
struct Packed(u32);

const INDEX_BITS: u32 = 30;
const POOLS: u32 = (1 << INDEX_BITS) - (1 << 16);

/// As many connections, and as many sleeps, as there are numbers for.
pub(crate) const CONNS_MAX: u32 = 1 << (INDEX_BITS - 2);
pub(crate) const SLEEPS_MAX: u32 = POOLS;

impl From<Owner> for Packed {
    fn from(owner: Owner) -> Packed {
        let (tag, index) = match owner {
            Owner::Op(lane) => (0, lane.index()),
            Owner::Pause(lane) => (1, lane.index()),
            Owner::End(conn) => (2, conn << 2),
            Owner::Close(conn) => (2, conn << 2 | 1),
            Owner::Idle(conn) => (2, conn << 2 | 2),
            Owner::Sleep(index) => (3, index),
            Owner::Pool(pool) => (3, POOLS + u32::from(pool.number())),
        };
        Packed(tag << INDEX_BITS | index)
    }
}

impl From<Packed> for Owner {
    fn from(Packed(word): Packed) -> Owner {
        let index = word & ((1 << INDEX_BITS) - 1);
        match word >> INDEX_BITS {
            0 => Owner::Op(LaneId::from_index(index)),
            1 => Owner::Pause(LaneId::from_index(index)),
            2 => match index & 3 {
                0 => Owner::End(index >> 2),
                1 => Owner::Close(index >> 2),
                _ => Owner::Idle(index >> 2),
            },
            _ => match index.checked_sub(POOLS) {
                Some(pool) => Owner::Pool(PoolId::new(u16::try_from(pool).unwrap_or(u16::MAX))),
                None => Owner::Sleep(index),
            },
        }
    }
}

/// The timers of everything that is to happen by itself.
#[derive(Debug)]
pub(crate) struct Deadlines {
    timers: Timers<Packed>,
}

impl Deadlines {
    /// What an armed timer takes.
    pub(crate) const TIMER_BYTES: usize = Timers::<Packed>::ENTRY_BYTES;

    pub(crate) fn new() -> Deadlines {
        Deadlines { timers: Timers::new() }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> u32 {
        self.timers.len()
    }

    /// Whether there is memory for another timer.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        self.timers.has_room()
    }

    /// Whether there is memory for so many timers more.
    pub(crate) fn has_room_for(&mut self, count: usize) -> bool {
        self.timers.has_room_for(count)
    }

    /// Arms a timer, if it is ever to fire.
    #[inline]
    pub(crate) fn arm(&mut self, at: Instant, owner: Owner) -> Option<TimerId> {
        (at < Instant::MAX).then(|| self.timers.arm(at.tick_ceil(), owner.into()))
    }

    /// Arms the timer of a pause.
    pub(crate) fn arm_at(&mut self, at: Tick, owner: Owner) -> TimerId {
        self.timers.arm(at, owner.into())
    }

    /// Disarms a timer, if there is one.
    #[inline]
    pub(crate) fn cancel(&mut self, timer: Option<TimerId>) {
        if let Some(timer) = timer {
            self.timers.cancel(timer);
        }
    }

    /// When a timer fires.
    pub(crate) fn tick_of(&self, timer: Option<TimerId>) -> Option<Tick> {
        timer.and_then(|timer| self.timers.get(timer)).map(|(tick, _)| tick)
    }

    /// Whose an armed timer is.
    pub(crate) fn owner_of(&self, timer: TimerId) -> Option<Owner> {
        self.timers.get(timer).map(|(_, owner)| Owner::from(*owner))
    }

    /// The earliest deadline, exactly.
    pub(crate) fn earliest(&mut self) -> Option<Instant> {
        self.timers.earliest().map(Tick::start)
    }

    /// The earliest timer and whose it is, if it is due.
    pub(crate) fn peek_due(&mut self, now: Tick) -> Option<(TimerId, Owner)> {
        self.timers.peek_due(now).map(|(timer, owner)| (timer, Owner::from(*owner)))
    }

    /// Takes the earliest timer, if it is due.
    pub(crate) fn pop_due(&mut self, now: Tick) {
        self.timers.pop_due(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Direction;

    #[test]
    fn the_highest_indices_of_each_come_back() {
        let back = |owner| Owner::from(Packed::from(owner));
        for owner in [0, 1, u16::MAX].map(|pool| Owner::Pool(PoolId::new(pool))) {
            assert_eq!(back(owner), owner);
        }
        assert_eq!(back(Owner::Sleep(SLEEPS_MAX - 1)), Owner::Sleep(SLEEPS_MAX - 1));
        for index in [0, 1, CONNS_MAX - 1] {
            for lane in Direction::BOTH.map(|direction| LaneId::new(index, direction)) {
                assert_eq!(
                    (back(Owner::Op(lane)), back(Owner::Pause(lane))),
                    (Owner::Op(lane), Owner::Pause(lane))
                );
            }
            for owner in [Owner::End(index), Owner::Close(index), Owner::Idle(index)] {
                assert_eq!(back(owner), owner);
            }
        }
    }
}
