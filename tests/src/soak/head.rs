//! What a client tells the server first: what the two streams of the connection are to be, and what is to
//! become of it.

use fastrand::Rng;

use super::Side;
use super::chance::Chance;

/// Where a head begins. Whatever begins otherwise is garbage.
const MAGIC: [u8; 8] = *b"aio-soak";

/// The first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether the server sends back what it receives, or a stream of its own.
    pub(super) echo: bool,
    pub(super) fate: StreamFate,
    /// The bytes of both streams are made of it.
    pub(super) seed: u64,
    /// How many bytes the client sends.
    pub(super) up: u64,
    /// How many bytes the server sends.
    pub(super) down: u64,
}

/// What is to become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamFate {
    /// Both streams arrive whole, whatever happens to the operations.
    Whole,
    /// One side breaks it off after so many completions.
    BrokenOff(Side, u8),
    /// The client does what it likes. The bytes that it sends are those of its stream.
    Wild,
}

impl Head {
    pub(super) const BYTES: usize = 8 * 5;

    /// The head of another client.
    pub(super) fn draw(chance: &mut Rng) -> Head {
        let after = chance.u8(..24);
        let fate = match chance.u64(..8) {
            0 => StreamFate::BrokenOff(Side::Client, after),
            1 => StreamFate::BrokenOff(Side::Server, after),
            _ => StreamFate::Whole,
        };
        let echo = chance.one_in(2);
        let up = length(chance);
        let down = if echo { up } else { length(chance) };
        Head { echo, fate, seed: chance.u64(..), up, down }
    }

    /// The seed of what a side sends.
    pub(super) fn seed_of(&self, side: Side) -> u64 {
        match side {
            Side::Server if !self.echo => !self.seed,
            _ => self.seed,
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let (fate, after) = match self.fate {
            StreamFate::Whole => (0, 0),
            StreamFate::BrokenOff(Side::Client, after) => (1, after),
            StreamFate::BrokenOff(Side::Server, after) => (2, after),
            StreamFate::Wild => (3, 0),
        };
        let how = [u8::from(self.echo), fate, after, 0, 0, 0, 0, 0];
        [MAGIC, how, self.seed.to_le_bytes(), self.up.to_le_bytes(), self.down.to_le_bytes()].concat()
    }

    /// The head that these bytes are, if they are one.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Head> {
        let (words, []) = bytes.as_chunks::<8>() else { return None };
        let [MAGIC, how, seed, up, down] = words else { return None };
        let fate = match how[1] {
            0 => StreamFate::Whole,
            1 => StreamFate::BrokenOff(Side::Client, how[2]),
            2 => StreamFate::BrokenOff(Side::Server, how[2]),
            3 => StreamFate::Wild,
            _ => return None,
        };
        let [seed, up, down] = [seed, up, down].map(|word| u64::from_le_bytes(*word));
        Some(Head { echo: how[0] == 1, fate, seed, up, down })
    }
}

/// How long a stream is: some have nothing to say, others more than the sockets hold.
fn length(chance: &mut Rng) -> u64 {
    match chance.u64(..16) {
        0 => 0,
        1..4 => chance.u64(..1 << 20),
        _ => chance.size(32 << 10) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_it_was_written_and_garbage_is_none() {
        let mut chance = Rng::with_seed(1);
        for _ in 0..1000 {
            let head = Head::draw(&mut chance);
            let mut bytes = head.to_bytes();
            assert_eq!(bytes.len(), Head::BYTES);
            assert_eq!(Head::from_bytes(&bytes), Some(head));
            bytes[3] ^= 1;
            assert_eq!(Head::from_bytes(&bytes), None);
        }
        assert_eq!(Head::from_bytes(&[]), None);
    }
}
