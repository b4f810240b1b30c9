//! Whose a timer is.

use crate::lane::LaneId;

/// Whose timer it is. By index: the timer is cancelled before its owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The deadline of an operation.
    Op(u32),
    /// The end of a lane's backing off.
    Lane(LaneId),
    /// The end of a connection's flushing.
    Conn(u32),
}

/// An [`Owner`] in four bytes: a lane's id in 31 bits, or another's index in 30, and above them which it is. There
/// are as few of each as that, for [the limits](crate::Model::new) see to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed(u32);

const LANE: u32 = 1 << 31;
const CONN: u32 = 1 << 30;

impl From<Owner> for Packed {
    fn from(owner: Owner) -> Packed {
        Packed(match owner {
            Owner::Op(index) => index,
            Owner::Lane(lane) => LANE + lane.index(),
            Owner::Conn(index) => CONN + index,
        })
    }
}

impl From<Packed> for Owner {
    fn from(Packed(word): Packed) -> Owner {
        if word & LANE != 0 {
            Owner::Lane(LaneId::from_index(word & !LANE))
        } else if word & CONN != 0 {
            Owner::Conn(word & !CONN)
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
        for index in [0, 1, CONN - 1] {
            let lanes = [Direction::Receive, Direction::Send].map(|way| Owner::Lane(LaneId::new(index, way)));
            for owner in [Owner::Op(index), Owner::Conn(index)].into_iter().chain(lanes) {
                assert_eq!(Owner::from(Packed::from(owner)), owner);
            }
        }
    }
}
