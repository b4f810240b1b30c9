//! The bytes that are sent, and how it is seen that the right ones come back.

use fastrand::Rng;

/// The stream repeats after so many bytes: a prime, so that no two connections run in step.
const PERIOD: usize = 65_521;

/// So many bytes can be looked at in one piece, wherever it begins.
const PIECE: usize = 64 * 1024;

/// One endless stream of bytes that looks like chance. Every connection sends from a place of its own, so
/// bytes that are lost, repeated, or of another connection are seen.
#[derive(Debug)]
pub struct Pattern {
    bytes: Vec<u8>,
}

/// A place in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPlace(usize);

impl Pattern {
    /// The stream.
    pub fn new() -> Pattern {
        let mut random = Rng::with_seed(0xA10);
        let mut bytes: Vec<u8> = (0..PERIOD).map(|_| random.u8(..)).collect();
        while bytes.len() < PERIOD + PIECE {
            bytes.extend_from_within(..(PERIOD + PIECE - bytes.len()).min(PERIOD));
        }
        Pattern { bytes }
    }

    /// Where the `nth` connection begins.
    pub fn start(&self, nth: usize) -> StreamPlace {
        StreamPlace(nth.wrapping_mul(7919) % PERIOD)
    }

    /// At most `count` bytes from `place` on; at least one, if `count` is.
    pub fn piece(&self, place: StreamPlace, count: usize) -> &[u8] {
        let end = (place.0 + count).min(self.bytes.len());
        &self.bytes[place.0..end]
    }

    /// Whether these are the bytes from `place` on.
    pub fn is_at(&self, mut place: StreamPlace, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let piece = self.piece(place, bytes.len());
            let (head, tail) = bytes.split_at(piece.len());
            if head != piece {
                return false;
            }
            place = place.after(piece.len());
            bytes = tail;
        }
        true
    }
}

impl Default for Pattern {
    fn default() -> Pattern {
        Pattern::new()
    }
}

impl StreamPlace {
    /// The place `count` bytes further on.
    #[must_use]
    pub fn after(self, count: usize) -> StreamPlace {
        StreamPlace((self.0 + count) % PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_recognized_in_pieces_of_any_size() {
        let pattern = Pattern::new();
        let mut place = pattern.start(3);
        for count in [1, 128, 65_536, 7, 65_521, 4096] {
            let mut sent = Vec::new();
            while sent.len() < count {
                let from = place.after(sent.len());
                sent.extend_from_slice(pattern.piece(from, count - sent.len()));
            }
            assert!(pattern.is_at(place, &sent));
            place = place.after(count);
        }
    }

    #[test]
    fn a_wrong_a_lost_and_a_foreign_byte_are_seen() {
        let pattern = Pattern::new();
        let place = pattern.start(1);
        let sent = pattern.piece(place, 128).to_vec();
        for nth in 0..sent.len() {
            let mut wrong = sent.clone();
            wrong[nth] ^= 1;
            assert!(!pattern.is_at(place, &wrong));
        }
        assert!(!pattern.is_at(place, &sent[1..]), "one byte was lost");
        assert!(!pattern.is_at(pattern.start(2), &sent), "another connection's bytes");
    }
}
