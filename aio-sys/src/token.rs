//! What an event carries: which connection it is about, generation included (K1).

use aio_model::Key;
use mio::Token;

/// The token of the waker: no connection has it.
pub(crate) const WAKE: Token = Token(usize::MAX);

/// The token of a connection. `None` if its index does not fit; on 64-bit systems every index does.
pub(crate) fn pack(key: Key) -> Option<Token> {
    let token = Layout::HERE.pack(key.index(), key.generation().get())?;
    usize::try_from(token).ok().map(Token)
}

/// The slab index in a token.
pub(crate) fn index(token: Token) -> u32 {
    Layout::HERE.index(token.0 as u64)
}

/// How index (low) and generation (high) share a token.
///
/// With 64 bits both fit. With 32 bits the index has 20, for a million connections, and the generation its
/// lowest 12: an event that is late by an exact multiple of 4096 generations passes for a new one, and causes
/// an attempt that would block. Readiness is only ever a hint, so that is all it causes.
#[derive(Clone, Copy)]
struct Layout {
    index_bits: u32,
    generation_bits: u32,
}

impl Layout {
    const WIDE: Layout = Layout { index_bits: 32, generation_bits: 32 };
    const NARROW: Layout = Layout { index_bits: 20, generation_bits: 12 };
    const HERE: Layout = if usize::BITS >= 64 { Layout::WIDE } else { Layout::NARROW };

    const fn pack(self, index: u32, generation: u32) -> Option<u64> {
        // The highest index is the waker's.
        if index as u64 >= mask(self.index_bits) {
            return None;
        }
        Some(((generation as u64 & mask(self.generation_bits)) << self.index_bits) | index as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to at most 32 bits")]
    const fn index(self, token: u64) -> u32 {
        (token & mask(self.index_bits)) as u32
    }
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_tokens_lose_nothing() {
        let layout = Layout::WIDE;
        for index in [0, 1, 77, u32::MAX - 1] {
            for generation in [1, 2, 4097, u32::MAX] {
                let token = layout.pack(index, generation).unwrap();
                assert_eq!((layout.index(token), token >> 32), (index, u64::from(generation)));
                assert_ne!(token, u64::MAX, "the waker's");
            }
        }
        assert_eq!(layout.pack(u32::MAX, 1), None);
    }

    #[test]
    fn narrow_tokens_keep_the_index_and_the_low_bits_of_the_generation() {
        let layout = Layout::NARROW;
        let index_max = (1 << 20) - 2;
        for index in [0, 1, 77, index_max] {
            for generation in [1, 2, 4095, 4096] {
                let token = layout.pack(index, generation).unwrap();
                assert_eq!((layout.index(token), token >> 20), (index, u64::from(generation % 4096)));
                assert!(token < u64::from(u32::MAX), "32 bits, and not the waker's");
                assert_ne!(layout.pack(index, generation + 1), Some(token));
                assert_eq!(layout.pack(index, generation + 4096), Some(token));
            }
        }
        assert_eq!(layout.pack(index_max + 1, 1), None);
    }
}
