//! Bytes that can be told from any others: a pseudo-random stream, different for each seed.

use fastrand::Rng;

/// An endless stream of bytes, the same for the same seed, in pieces of any length.
#[derive(Debug, Clone)]
pub struct Bytes {
    random: Rng,
    /// The word that a piece ended in the middle of: its last `left` bytes come next.
    word: [u8; 8],
    left: usize,
}

impl Bytes {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Bytes {
        Bytes { random: Rng::with_seed(seed), word: [0; 8], left: 0 }
    }

    fn next_word(&mut self) -> [u8; 8] {
        self.random.u64(..).to_le_bytes()
    }

    /// The next bytes, as many as are asked for, of the word that was begun.
    fn rest_of_word(&mut self, count_max: usize) -> &[u8] {
        let start = self.word.len() - self.left;
        let count = self.left.min(count_max);
        self.left -= count;
        &self.word[start..start + count]
    }

    fn begin_word(&mut self) {
        self.word = self.next_word();
        self.left = self.word.len();
    }

    /// Writes the next bytes of the stream.
    pub fn fill(&mut self, into: &mut [u8]) {
        let (head, rest) = into.split_at_mut(self.left.min(into.len()));
        head.copy_from_slice(self.rest_of_word(head.len()));
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next_word());
        }
        let tail = words.into_remainder();
        if !tail.is_empty() {
            self.begin_word();
            tail.copy_from_slice(self.rest_of_word(tail.len()));
        }
    }

    /// The next bytes of the stream.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }

    /// Whether these are the next bytes of the stream.
    pub fn matches(&mut self, bytes: &[u8]) -> bool {
        let (head, rest) = bytes.split_at(self.left.min(bytes.len()));
        if self.rest_of_word(head.len()) != head {
            return false;
        }
        let mut words = rest.chunks_exact(8);
        let same = words.all(|word| self.next_word() == word);
        let tail = words.remainder();
        if !same || tail.is_empty() {
            return same;
        }
        self.begin_word();
        self.rest_of_word(tail.len()) == tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let whole = Bytes::new(7).take(1000);
        for piece in [1, 3, 7, 8, 9, 64, 999, 1000] {
            let (mut filled, mut matched) = (Bytes::new(7), Bytes::new(7));
            for expected in whole.chunks(piece) {
                assert_eq!(filled.take(expected.len()), expected);
                assert!(matched.matches(expected));
            }
        }
    }

    #[test]
    fn a_single_wrong_byte_is_seen_wherever_it_is() {
        let whole = Bytes::new(7).take(29);
        for position in 0..whole.len() {
            for begun in 0..=position {
                let mut wrong = whole.clone();
                wrong[position] ^= 1;
                let mut bytes = Bytes::new(7);
                assert!(bytes.matches(&wrong[..begun]));
                assert!(!bytes.matches(&wrong[begun..]), "byte {position}, in a piece from {begun}");
            }
        }
    }
}
