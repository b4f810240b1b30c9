//! Pooled receives against a naive account of who waits for which buffer.

mod naive;
mod rig;

use super::Verdict;
use naive::Rules;

/// Every two bytes submit, cancel, answer a call, take a completion, drop a lease, or let one come home, in
/// any order. Buffers are lent up to the pool's limit and no further, the lane that waits longest is served
/// first, and what a lease holds is nobody else's.
///
/// # Errors
///
/// Where the model differs from the account.
pub fn pool(bytes: &[u8]) -> Verdict {
    rig::play(Rules::RIGHT, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fuzzing::property::{holds, rejects};
    use std::collections::VecDeque;

    #[test]
    fn buffers_go_to_who_waits_longest() {
        holds(pool, 400);
    }

    #[test]
    fn wrong_rules_are_rejected() {
        let unfair = Rules { next: VecDeque::pop_back, ..Rules::RIGHT };
        let generous = Rules { spare: 1, ..Rules::RIGHT };
        let hoarding = Rules { keeps_unused: true, ..Rules::RIGHT };
        rejects(|bytes| rig::play(unfair, bytes), 400);
        rejects(|bytes| rig::play(generous, bytes), 400);
        rejects(|bytes| rig::play(hoarding, bytes), 400);
    }
}
