//! Stream bytes that can be checked anywhere without having been kept.
//!
//! Byte `offset` of what one side of one connection writes is a pure function of the three. A byte that was
//! lost, doubled, swapped or taken from another connection shows at the first or second position.

use crate::choice::mix;
use crate::link::Side;

/// The byte at `offset` of what `writer` writes on connection `serial`.
pub fn byte_at(serial: u64, writer: Side, offset: u64) -> u8 {
    word_at(serial, writer, offset / 8).to_le_bytes()[lane(offset)]
}

/// Fills `bytes` with the pattern from `offset` on.
pub fn fill(serial: u64, writer: Side, offset: u64, bytes: &mut [u8]) {
    for (at, byte) in (offset..).zip(bytes) {
        *byte = byte_at(serial, writer, at);
    }
}

/// The index of the first of `bytes` that is not what the pattern has from `offset` on.
pub fn mismatch(serial: u64, writer: Side, offset: u64, bytes: &[u8]) -> Option<usize> {
    (offset..).zip(bytes).position(|(at, &byte)| byte != byte_at(serial, writer, at))
}

/// Eight bytes of the pattern at once.
fn word_at(serial: u64, writer: Side, word: u64) -> u64 {
    mix(mix(serial << 1 | writer as u64).wrapping_add(word))
}

fn lane(offset: u64) -> usize {
    usize::from(offset.to_le_bytes()[0] % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_checked_from_any_offset() {
        let mut bytes = [0; 100];
        fill(3, Side::Client, 1_000_003, &mut bytes);
        assert_eq!(mismatch(3, Side::Client, 1_000_003, &bytes), None);
        assert_eq!(mismatch(3, Side::Client, 1_000_010, &bytes[7..]), None);
        bytes[41] ^= 1;
        assert_eq!(mismatch(3, Side::Client, 1_000_003, &bytes), Some(41));
    }

    #[test]
    fn shifts_and_strangers_show_at_once() {
        let mut bytes = [0; 64];
        fill(1, Side::Client, 0, &mut bytes);
        let strangers =
            [(1, Side::Client, 1), (1, Side::Client, 8), (1, Side::Server, 0), (2, Side::Client, 0)];
        for (serial, writer, offset) in strangers {
            assert!(mismatch(serial, writer, offset, &bytes).is_some_and(|at| at < 4));
        }
    }
}
