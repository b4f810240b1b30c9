//! How much one wait should take in, by what came of the ones before.

use crate::engine::MANY;

/// Receives for all events that a wait takes in come before the first answer; what they bring is to stay in
/// the cache for that long. A second-level cache has room for so many bytes.
const CACHE_BYTES: usize = 1 << 20;

/// With so much from each, as many as are taken in would fill it.
const BULK_BYTES: usize = CACHE_BYTES / MANY;

/// What the receives since the last wait have brought.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    receives: usize,
    bytes: usize,
    bulk: bool,
}

impl Intake {
    pub(crate) fn on_receive(&mut self, bytes: usize) {
        self.receives += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether connections bring so much that the next wait should take in few of them. What was last found
    /// out holds until there is something to go by.
    pub(crate) fn is_bulk(&mut self) -> bool {
        if self.receives > 0 {
            let bulk = self.bytes >= self.receives * BULK_BYTES;
            *self = Intake { receives: 0, bytes: 0, bulk };
        }
        self.bulk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(intake: &mut Intake, receives: &[usize]) -> bool {
        receives.iter().for_each(|&bytes| intake.on_receive(bytes));
        intake.is_bulk()
    }

    #[test]
    fn the_average_since_the_last_wait_decides_and_holds_while_nothing_comes() {
        let mut intake = Intake::default();
        assert!(!bulk(&mut intake, &[]));
        assert!(!bulk(&mut intake, &[BULK_BYTES - 1]));
        assert!(bulk(&mut intake, &[BULK_BYTES]));
        assert!(bulk(&mut intake, &[]));
        assert!(bulk(&mut intake, &[1, 2 * BULK_BYTES]));
        assert!(!bulk(&mut intake, &[1, 1, 2 * BULK_BYTES]));
        assert!(!bulk(&mut intake, &[]));
    }
}
