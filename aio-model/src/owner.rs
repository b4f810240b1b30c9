//! Whose a timer is.

use crate::lane::LaneId;
use crate::pool::PoolId;

/// Whose timer it is. By index: the timer is cancelled before its owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The deadline of an operation.
    Op(u32),
    /// The end of a lane's backing off.
    Lane(LaneId),
    /// The end of a connection's flushing.
    Conn(u32),
    /// The pause of a pool that memory was refused.
    Pool(PoolId),
}

/// An [`Owner`] in four bytes: a lane's id in 31 bits, or another's index in 30, and above them which it is; the last
/// indices of operations are the pools'. There are as few of each as that, for [the limits](crate::Model::new) see to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed(u32);

const LANE: u32 = 1 << 31;
const CONN: u32 = 1 << 30;
const POOL: u32 = CONN - (1 << 16);

/// As many operations as there are numbers for.
pub(crate) const OPS_MAX: u32 = POOL;

impl From<Owner> for Packed {
    fn from(owner: Owner) -> Packed {
        Packed(match owner {
            Owner::Op(index) => index,
            Owner::Lane(lane) => LANE + lane.index(),
            Owner::Conn(index) => CONN + index,
            Owner::Pool(pool) => POOL + u32::from(pool.number()),
        })
    }
}

impl From<Packed> for Owner {
    fn from(Packed(word): Packed) -> Owner {
        if word & LANE != 0 {
            Owner::Lane(LaneId::from_index(word & !LANE))
        } else if word & CONN != 0 {
            Owner::Conn(word & !CONN)
        } else if let Some(pool) = word.checked_sub(POOL) {
            Owner::Pool(PoolId::new(u16::try_from(pool).unwrap_or(u16::MAX)))
        } else {
            Owner::Op(word)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Direction;

    #[test]
    fn the_highest_indices_of_each_come_back() {
        for owner in [0, 1, u16::MAX].map(|pool| Owner::Pool(PoolId::new(pool))) {
            assert_eq!(Owner::from(Packed::from(owner)), owner);
        }
        assert_eq!(Owner::from(Packed::from(Owner::Op(OPS_MAX - 1))), Owner::Op(OPS_MAX - 1));
        for index in [0, 1, CONN - 1] {
            let lanes = [Direction::Receive, Direction::Send].map(|way| Owner::Lane(LaneId::new(index, way)));
            for owner in [Owner::Conn(index)].into_iter().chain(lanes) {
                assert_eq!(Owner::from(Packed::from(owner)), owner);
            }
        }
    }
}
