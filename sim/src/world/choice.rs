//! The one source of everything that a run leaves to chance.
//!
//! A run is a pure function of its choices. Each is a number below a bound, and each is recorded, so that the
//! record of any run is a tape from which the very same run can be played again, cut down, or varied. All
//! that differs is where the numbers come from: a seed, a tape, or the bytes of a fuzzer. Enumerating *every*
//! run needs no source of its own: it is [`successor`](Choice::successor), over tapes.
//!
//! 0 is the simplest choice everywhere: no fault, the first alternative, the order as it was, the smallest
//! amount. A tape that has run out goes on with 0s, so shortening a tape and lowering its numbers makes runs
//! simpler, and that is all that a shrinker needs to know.

use std::ops::RangeInclusive;

/// How likely something is. In steps of one in a million, so that swarms can be as wild as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Odds(u32);

impl Odds {
    const UNIT: u32 = 1_000_000;

    /// It never happens.
    pub const NEVER: Odds = Odds(0);
    /// It always happens.
    pub const ALWAYS: Odds = Odds(Odds::UNIT);

    /// That many times in a million; always, from a million on.
    pub const fn per_million(times: u32) -> Odds {
        if times < Odds::UNIT { Odds(times) } else { Odds::ALWAYS }
    }

    /// That many times in a thousand; always, from a thousand on.
    pub const fn per_mille(times: u32) -> Odds {
        Odds::per_million(times.saturating_mul(1000))
    }

    /// Once in `n` times; always for 0 and 1.
    pub const fn one_in(n: u32) -> Odds {
        if n < 2 { Odds::ALWAYS } else { Odds(Odds::UNIT / n) }
    }

    /// The odds, as a number of times in a million.
    pub const fn as_per_million(self) -> u32 {
        self.0
    }
}

/// One recorded choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// What was chosen: less than `bound`.
    pub value: u64,
    /// How many alternatives there were: at least 2, since what leaves no choice is not drawn.
    pub bound: u64,
}

/// The source of all chance in a run, which is a pure function of what is drawn from it.
///
/// Every choice is recorded. 0 is the simplest one everywhere, and a tape that has run out goes on with 0s.
///
/// ```
/// use sim::Choice;
///
/// let mut chance = Choice::seeded(7);
/// let dice: Vec<u64> = (0..5).map(|_| 1 + chance.below(6)).collect();
/// let mut again = Choice::tape(chance.to_tape());
/// assert_eq!(dice, (0..5).map(|_| 1 + again.below(6)).collect::<Vec<_>>());
/// ```
#[derive(Debug, Clone)]
pub struct Choice {
    source: Source,
    draws: Vec<Draw>,
}

#[derive(Debug, Clone)]
enum Source {
    Seed(SplitMix64),
    Tape { values: Vec<u64>, next: usize },
    Bytes { bytes: Vec<u8>, next: usize },
}

/// As many choices as most runs make, so that their record seldom has to move.
const DRAWS_USUAL: usize = 2048;

impl Choice {
    /// Choices from a seed: the same ones for the same seed, on every machine and in every version.
    pub fn seeded(seed: u64) -> Choice {
        Choice::from_source(Source::Seed(SplitMix64 { state: seed }))
    }

    /// Choices from a tape. A number that is out of bounds is taken modulo its bound; after the end come 0s.
    pub fn tape(values: impl Into<Vec<u64>>) -> Choice {
        Choice::from_source(Source::Tape { values: values.into(), next: 0 })
    }

    /// Choices from a fuzzer's bytes: each takes as few of them as its bound allows, and odds are honoured as
    /// well as one byte can. After the end come 0s.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Choice {
        Choice::from_source(Source::Bytes { bytes: bytes.into(), next: 0 })
    }

    /// Always the simplest choice: nothing goes wrong and nothing is special.
    pub fn simplest() -> Choice {
        Choice::tape([])
    }

    fn from_source(source: Source) -> Choice {
        Choice { source, draws: Vec::with_capacity(DRAWS_USUAL) }
    }

    /// A number less than `bound`. A bound of 0 or 1 leaves no choice: it is 0, and is not recorded.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound < 2 {
            return 0;
        }
        let value = match &mut self.source {
            Source::Seed(random) => random.below(bound),
            Source::Tape { .. } | Source::Bytes { .. } => self.source.next_value(bound) % bound,
        };
        self.record(value, bound)
    }

    /// A number in `range`, most simply its start.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        let alternatives = end.saturating_sub(start).saturating_add(1);
        start + self.below(alternatives)
    }

    /// An index less than `len`, and 0 if that is 0.
    pub fn index(&mut self, len: usize) -> usize {
        to_index(self.below(len as u64))
    }

    /// A number up to `max`, small ones and large ones alike: every count of digits is equally likely.
    pub fn magnitude(&mut self, max: u64) -> u64 {
        let digits = self.below(u64::from(u64::BITS - max.leading_zeros()) + 1);
        if digits == 0 {
            return 0;
        }
        let start = 1 << (digits - 1);
        let end = max.min(start | (start - 1));
        self.within(start..=end)
    }

    /// Whether something with these odds happens; most simply, it does not. What is certain is not drawn.
    pub fn chance(&mut self, odds: Odds) -> bool {
        if odds == Odds::NEVER || odds == Odds::ALWAYS {
            return odds == Odds::ALWAYS;
        }
        let happens = match &mut self.source {
            Source::Seed(random) => random.below(u64::from(Odds::UNIT)) < u64::from(odds.0),
            Source::Tape { .. } => self.source.next_value(2) % 2 == 1,
            // The highest bytes are the hits, at least one of them, and never 0.
            Source::Bytes { .. } => {
                let hits = (u64::from(odds.0) * 256).div_ceil(u64::from(Odds::UNIT)).min(255);
                self.source.next_value(256) >= 256 - hits
            }
        };
        self.record(u64::from(happens), 2) == 1
    }

    /// One of `items`, most simply the first.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// The index of one of `weights`, in proportion to them; never that of a 0, as long as another is there.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        if total == 0 {
            return 0;
        }
        let len = weights.len();
        let chosen = match &mut self.source {
            Source::Seed(random) => {
                let mut left = random.below(total);
                let hit = weights.iter().position(|&weight| {
                    let here = left < u64::from(weight);
                    left = left.saturating_sub(u64::from(weight));
                    here
                });
                hit.unwrap_or(0)
            }
            // One that weighs nothing stands for the next that does.
            Source::Tape { .. } | Source::Bytes { .. } => {
                let wanted = to_index(self.source.next_value(len as u64)) % len;
                let chosen = (0..len).map(|step| (wanted + step) % len).find(|&index| weights[index] > 0);
                chosen.unwrap_or(0)
            }
        };
        to_index(self.record(chosen as u64, len as u64))
    }

    /// Puts `items` into some order, most simply the one they have.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for first in 0..items.len() {
            let chosen = first + self.index(items.len() - first);
            items.swap(first, chosen);
        }
    }

    /// Every choice made so far.
    pub fn draws(&self) -> &[Draw] {
        &self.draws
    }

    /// The tape that plays this run again.
    pub fn to_tape(&self) -> Vec<u64> {
        self.draws.iter().map(|draw| draw.value).collect()
    }

    /// The tape that follows this one in the enumeration of all runs, or `None` after the last one. Begin
    /// with [`simplest`](Choice::simplest); every run must end after finitely many choices.
    pub fn successor(&self) -> Option<Vec<u64>> {
        let last = self.draws.iter().rposition(|draw| draw.value + 1 < draw.bound)?;
        let mut tape: Vec<u64> = self.draws[..=last].iter().map(|draw| draw.value).collect();
        tape[last] += 1;
        Some(tape)
    }

    fn record(&mut self, value: u64, bound: u64) -> u64 {
        self.draws.push(Draw { value, bound });
        value
    }
}

impl Source {
    /// The next number of a tape, or as many bytes as a number less than `bound` needs.
    fn next_value(&mut self, bound: u64) -> u64 {
        match self {
            Source::Seed(random) => random.next(),
            Source::Tape { values, next } => {
                *next += 1;
                values.get(*next - 1).copied().unwrap_or(0)
            }
            Source::Bytes { bytes, next } => {
                let width = (u64::BITS - (bound - 1).leading_zeros()).div_ceil(8) as usize;
                let start = (*next).min(bytes.len());
                let end = (start + width).min(bytes.len());
                *next = end;
                bytes[start..end].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
        }
    }
}

/// Indices come from lengths, so they fit.
fn to_index(value: u64) -> usize {
    usize::try_from(value).expect("an index into something that is in memory")
}

/// A generator of Steele, Lea and Flood's: one addition, then a mix. Small, fast, and fixed by its constants.
#[derive(Debug, Clone)]
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Scales by a widening product. The bias is at most `bound` in 2⁶⁴: nobody lives to see it.
    fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half of 128 bits")
    }
}

/// The finalizer of `SplitMix64`: spreads each bit over all of them, and is a bijection.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = SplitMix64 { state: 1_234_567 };
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expected, std::array::from_fn(|_| random.next()));
    }

    /// Makes a bit of every kind of choice, and says what came of it.
    fn consult(choice: &mut Choice) -> Vec<u64> {
        let mut items = [1, 2, 3, 4, 5];
        choice.shuffle(&mut items);
        let mut seen = items.to_vec();
        seen.push(choice.below(1 << 40));
        seen.push(choice.magnitude(1 << 20));
        seen.push(u64::from(choice.chance(Odds::one_in(3))));
        seen.push(choice.weighted(&[0, 3, 1]) as u64);
        seen.push(*choice.pick(&[7, 8, 9]));
        seen.push(choice.within(10..=12));
        seen
    }

    #[test]
    fn the_record_of_a_run_replays_it() {
        for seed in 0..200 {
            let mut first = Choice::seeded(seed);
            let seen = consult(&mut first);
            let mut second = Choice::tape(first.to_tape());
            assert_eq!(seen, consult(&mut second));
            assert_eq!(first.draws(), second.draws());
        }
    }

    #[test]
    fn a_tape_that_ran_out_chooses_what_is_simplest() {
        for mut choice in [Choice::simplest(), Choice::bytes([])] {
            assert_eq!(consult(&mut choice), [1, 2, 3, 4, 5, 0, 0, 0, 1, 7, 10]);
        }
    }

    #[test]
    fn any_tape_and_any_bytes_stay_in_bounds() {
        for seed in 0..200 {
            let mut noise = Choice::seeded(seed);
            let tape: Vec<u64> = (0..20).map(|_| noise.below(u64::MAX)).collect();
            let bytes: Vec<u8> = tape.iter().flat_map(|value| value.to_le_bytes()).collect();
            for mut choice in [Choice::tape(tape), Choice::bytes(bytes)] {
                consult(&mut choice);
                assert!(choice.draws().iter().all(|draw| draw.value < draw.bound));
            }
        }
    }

    #[test]
    fn what_leaves_no_choice_is_not_recorded() {
        let mut choice = Choice::seeded(1);
        assert_eq!((choice.below(0), choice.below(1), choice.within(5..=5)), (0, 0, 5));
        assert!(choice.chance(Odds::ALWAYS) && !choice.chance(Odds::NEVER));
        assert!(choice.draws().is_empty());
    }

    #[test]
    fn odds_are_honoured() {
        let mut choice = Choice::seeded(3);
        let hits = (0..100_000).filter(|_| choice.chance(Odds::per_mille(50))).count();
        assert!((4_700..5_300).contains(&hits), "{hits} of 100 000 at 5 %");
        let mut counts = [0; 3];
        (0..40_000).for_each(|_| counts[choice.weighted(&[1, 0, 3])] += 1);
        assert!(counts[1] == 0 && (9_500..10_500).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn magnitudes_reach_both_ends() {
        let mut choice = Choice::seeded(5);
        let seen: Vec<u64> = (0..10_000).map(|_| choice.magnitude(1000)).collect();
        assert!(seen.contains(&0) && seen.contains(&1) && seen.contains(&1000));
        assert!(seen.iter().all(|&value| value <= 1000));
        assert!((0..1000).all(|_| choice.magnitude(0) == 0));
        choice.magnitude(u64::MAX);
    }

    #[test]
    fn successors_enumerate_every_run_once() {
        let run = |choice: &mut Choice| {
            let first = choice.below(3);
            (first, if first == 1 { choice.below(2) } else { 9 })
        };
        let mut seen = Vec::new();
        let mut next = Some(Vec::new());
        while let Some(tape) = next {
            let mut choice = Choice::tape(tape);
            seen.push(run(&mut choice));
            next = choice.successor();
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (2, 9)]);
    }
}
