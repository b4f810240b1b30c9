//! Bytes that can be told from any others: a pseudo-random stream, different for each seed.

/// An endless stream of bytes, the same for the same seed.
#[derive(Debug, Clone)]
pub struct Bytes {
    state: u64,
}

impl Bytes {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Bytes {
        Bytes { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    fn next_word(&mut self) -> [u8; 8] {
        // xorshift64: never zero, and long enough not to repeat.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.to_le_bytes()
    }

    /// Writes the next bytes of the stream. The length must be a multiple of 8, so that pieces fit together.
    pub fn fill(&mut self, into: &mut [u8]) {
        for chunk in into.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.next_word());
        }
    }

    /// Whether these are the next bytes of the stream.
    pub fn matches(&mut self, bytes: &[u8]) -> bool {
        bytes.chunks_exact(8).all(|chunk| self.next_word() == chunk)
    }
}
