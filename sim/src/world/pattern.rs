//! Stream bytes that can be checked anywhere without having been kept.
//!
//! Byte `offset` of what one side of one connection writes is a pure function of the three. A byte that was
//! lost, doubled, swapped or taken from another connection shows at the first or second position.

use crate::world::choice::mix;
use crate::world::link::Side;

/// The byte at `offset` of what `writer` writes on connection `serial`.
pub fn byte_at(serial: u64, writer: Side, offset: u64) -> u8 {
    word_at(stream(serial, writer), offset)[lane(offset)]
}

/// Fills `bytes` with the pattern from `offset` on.
pub fn fill(serial: u64, writer: Side, offset: u64, bytes: &mut [u8]) {
    let (stream, mut at, mut rest) = (stream(serial, writer), offset, bytes);
    while !rest.is_empty() {
        let word = &word_at(stream, at)[lane(at)..];
        let (here, after) = rest.split_at_mut(word.len().min(rest.len()));
        here.copy_from_slice(&word[..here.len()]);
        (at, rest) = (at + word.len() as u64, after);
    }
}

/// The index of the first of `bytes` that is not what the pattern has from `offset` on.
pub fn mismatch(serial: u64, writer: Side, offset: u64, bytes: &[u8]) -> Option<usize> {
    let (stream, mut at, mut rest) = (stream(serial, writer), offset, bytes);
    while !rest.is_empty() {
        let word = &word_at(stream, at)[lane(at)..];
        let (here, after) = rest.split_at(word.len().min(rest.len()));
        if *here != word[..here.len()] {
            let before = bytes.len() - rest.len();
            return here.iter().zip(word).position(|(byte, due)| byte != due).map(|index| before + index);
        }
        (at, rest) = (at + word.len() as u64, after);
    }
    None
}

/// What one side of one connection writes, as a number.
fn stream(serial: u64, writer: Side) -> u64 {
    mix(serial << 1 | writer as u64)
}

/// The eight bytes of the pattern that the one at `offset` is among: they cost as much as one.
fn word_at(stream: u64, offset: u64) -> [u8; 8] {
    mix(stream.wrapping_add(offset / 8)).to_le_bytes()
}

/// Which of the eight bytes it is.
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

    /// Words are cut anywhere, and every byte is compared.
    #[test]
    fn the_pattern_is_that_of_its_single_bytes() {
        for (offset, len) in (0..20).flat_map(|offset| (0..20).map(move |len| (offset, len))) {
            let due: Vec<u8> = (offset..).take(len).map(|at| byte_at(9, Side::Server, at)).collect();
            let mut bytes = vec![0; len];
            fill(9, Side::Server, offset, &mut bytes);
            assert_eq!((&bytes, mismatch(9, Side::Server, offset, &bytes)), (&due, None));
            for wrong in 0..len {
                bytes[wrong] ^= 0x80;
                assert_eq!(mismatch(9, Side::Server, offset, &bytes), Some(wrong));
                bytes[wrong] ^= 0x80;
            }
        }
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
