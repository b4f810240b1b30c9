//! Guesses: what is assumed about what nobody has seen, and other ways to explain a history when that fails.
//!
//! At each question the follower takes the likely answer first. If that does not lead to where the kernel
//! went, it tries again with one answer against the odds, then with two, and so on. Every way is a run of the
//! simulator, so whatever succeeds is something that it can do: more guesses find more of what is allowed,
//! and allow nothing more.

use std::cell::Cell;
use std::collections::VecDeque;

/// The answers of one attempt.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    /// The numbers of the questions with an answer against the odds, in order.
    against: Vec<usize>,
    asked: Cell<usize>,
}

impl Guesses {
    /// A question: whether what is likely is the case.
    pub(super) fn likely(&self) -> bool {
        let question = self.asked.replace(self.asked.get() + 1);
        !self.against.contains(&question)
    }

    /// The same, and one more answer against the odds, at a later question.
    fn further(&self) -> impl Iterator<Item = Guesses> {
        let first = self.against.last().map_or(0, |last| last + 1);
        (first..self.asked.get()).map(|question| {
            let against = self.against.iter().copied().chain([question]).collect();
            Guesses { against, asked: Cell::new(0) }
        })
    }
}

/// Makes up to so many attempts, those with fewer answers against the odds first: what the first that leads
/// there has found, and how many it took.
///
/// # Errors
///
/// What went wrong with the likely answers.
pub(super) fn search<T, E>(
    attempts_max: usize,
    mut attempt: impl FnMut(&Guesses) -> Result<T, E>,
) -> Result<(T, usize), E> {
    let mut queue = VecDeque::from([Guesses::default()]);
    let mut first = None;
    for count in 1..=attempts_max {
        let Some(guesses) = queue.pop_front() else { break };
        match attempt(&guesses) {
            Ok(found) => return Ok((found, count)),
            Err(error) => first = first.or(Some(error)),
        }
        queue.extend(guesses.further());
    }
    Err(first.expect("there was an attempt"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three questions, one of which is only asked if the first has an unlikely answer.
    fn answers(guesses: &Guesses) -> Vec<bool> {
        let first = guesses.likely();
        let second = first || guesses.likely();
        vec![first, second, guesses.likely()]
    }

    #[test]
    fn what_is_likely_comes_first_and_every_way_comes_once() {
        let mut seen = Vec::new();
        let error = search(100, |guesses| -> Result<(), usize> {
            seen.push(answers(guesses));
            Err(seen.len())
        });
        let expected = [
            [true, true, true],
            [false, true, true],
            [true, true, false],
            [false, false, true],
            [false, true, false],
            [false, false, false],
        ];
        assert_eq!((error, seen), (Err(1), expected.map(Vec::from).to_vec()));
    }

    #[test]
    fn the_first_way_that_leads_there_is_taken_and_no_more_are_tried_than_allowed() {
        let reach = |attempts_max| {
            search(attempts_max, |guesses| {
                let answers = answers(guesses);
                if answers == [false, false, true] { Ok(answers) } else { Err(()) }
            })
        };
        assert_eq!((reach(3), reach(4)), (Err(()), Ok((vec![false, false, true], 4))));
    }
}
