//! How a failing tape is made simple enough to be read.

use crate::check::tape::Tape;
use crate::judge::episode::Report;

/// Makes a tape simpler, as long as the same rule stays broken.
///
/// Simpler is what has fewer [events](Tape::events), or else fewer choices, or else smaller ones. Passes over
/// the tape leave actions out, alone and together with a number that counts them, zero stretches of it, cut
/// them out, and lower what is left, each from large steps to small ones; until a round of them changes
/// nothing, or about `steps_max` steps were taken in trying. Steps and not seconds, so that the same tape
/// becomes the same short one on a machine that is busy.
pub fn shrink(tape: &Tape, steps_max: u64) -> (Tape, Report) {
    let setup = tape.setup;
    let play = |choices| Tape { setup, choices }.run();
    let report = play(tape.choices.clone());
    let Some(rule) = report.broken.as_ref().map(|broken| broken.rule) else { return (tape.clone(), report) };
    let best = played(&report);
    let mut shrinker = Shrinker { play, rule, steps_left: steps_max, best, report };
    while !shrinker.is_tired() && shrinker.round() {}
    (Tape { setup, choices: shrinker.best }, shrinker.report)
}

/// What was played, which is not always what was on the tape: what is out of bounds, or was never asked for,
/// is gone. What a tape that has run out chooses need not be on it.
fn played(report: &Report) -> Vec<u64> {
    let len = report.tape.iter().rposition(|choice| *choice > 0).map_or(0, |last| last + 1);
    report.tape[..len].to_vec()
}

/// What it costs to begin and to end an episode, in steps.
const STEPS_TO_BEGIN: u64 = 50;

struct Shrinker<P> {
    /// Plays an episode.
    play: P,
    rule: &'static str,
    steps_left: u64,
    best: Vec<u64>,
    /// What comes of the best.
    report: Report,
}

impl<P: Fn(Vec<u64>) -> Report> Shrinker<P> {
    fn is_tired(&self) -> bool {
        self.steps_left == 0
    }

    /// Whether any pass changed anything.
    fn round(&mut self) -> bool {
        let before = self.best.clone();
        self.leave_out_actions(Shrinker::leave_out);
        self.walk(|best, stretch| best[stretch].fill(0));
        self.leave_out_actions(Shrinker::leave_out_counted);
        self.walk(|best, stretch| drop(best.drain(stretch)));
        self.lower();
        self.best != before
    }

    /// Takes a candidate if it breaks the same rule, and is simpler.
    fn take(&mut self, choices: Vec<u64>) -> bool {
        if self.is_tired() || choices == self.best {
            return false;
        }
        let report = (self.play)(choices);
        self.steps_left = self.steps_left.saturating_sub(STEPS_TO_BEGIN + report.steps);
        if report.broken.as_ref().is_none_or(|broken| broken.rule != self.rule) {
            return false;
        }
        let played = played(&report);
        let is_simpler = measure(&played) < measure(&self.best);
        if is_simpler {
            (self.best, self.report) = (played, report);
        }
        is_simpler
    }

    /// Leaves actions out by `leave`, as many in a row as can be: in powers of two, so that what happens in
    /// every fourth turn can go on happening.
    fn leave_out_actions(&mut self, leave: fn(&mut Shrinker<P>, usize, usize) -> bool) {
        let mut count = (self.report.actions.len() + 1).next_power_of_two() / 2;
        while count > 0 {
            let mut first = 0;
            while first < self.report.actions.len() && !self.is_tired() {
                if !leave(self, first, count) {
                    first += count;
                }
            }
            count /= 2;
        }
    }

    /// The best without so many actions from the `first` on, with all that is chosen in them.
    fn without(&self, first: usize, count: usize) -> Vec<u64> {
        let len = self.best.len();
        let at = |action: usize| self.report.actions.get(action).map_or(len, |at| len.min(*at));
        let mut candidate = self.best.clone();
        candidate.drain(at(first)..at(first + count));
        candidate
    }

    fn leave_out(&mut self, first: usize, count: usize) -> bool {
        let candidate = self.without(first, count);
        self.take(candidate)
    }

    /// Leaves actions out, and lowers a number of the plan by as many: it may say before which action
    /// something is.
    fn leave_out_counted(&mut self, first: usize, count: usize) -> bool {
        let candidate = self.without(first, count);
        let plan = self.report.actions.first().map_or(0, |begin| self.best.len().min(*begin));
        let less = count as u64;
        (0..plan).filter(|at| candidate[*at] >= less).any(|at| {
            let mut candidate = candidate.clone();
            candidate[at] -= less;
            self.take(candidate)
        })
    }

    /// Changes stretches of the tape, from half of it down to single numbers.
    fn walk(&mut self, change: impl Fn(&mut Vec<u64>, std::ops::Range<usize>)) {
        let mut len = self.best.len().div_ceil(2);
        while len > 0 {
            let mut at = 0;
            while at < self.best.len() && !self.is_tired() {
                let mut candidate = self.best.clone();
                change(&mut candidate, at..(at + len).min(self.best.len()));
                if !self.take(candidate) {
                    at += len;
                }
            }
            len /= 2;
        }
    }

    /// Lowers each number as far as it goes. One that is lowered may ask for fewer after it.
    fn lower(&mut self) {
        let mut at = 0;
        while at < self.best.len() && !self.is_tired() {
            for fewer in 1..=3 {
                let mut candidate = self.best.clone();
                candidate[at] = 0;
                candidate.drain(at + 1..(at + 1 + fewer).min(self.best.len()));
                if self.best[at] > 0 && self.take(candidate) {
                    break;
                }
            }
            let mut low = 0;
            while at < self.best.len() && self.best[at] > low + 1 && !self.is_tired() {
                let middle = low + (self.best[at] - low) / 2;
                let mut candidate = self.best.clone();
                candidate[at] = middle;
                if !self.take(candidate) {
                    low = middle;
                }
            }
            at += 1;
        }
    }
}

/// What is compared to tell which of two tapes is simpler.
fn measure(choices: &[u64]) -> (usize, usize, &[u64]) {
    (choices.iter().filter(|choice| **choice > 0).count(), choices.len(), choices)
}

#[cfg(test)]
mod tests {
    use aio_model::Violation;

    use super::*;
    use crate::judge::probes::Probes;

    /// An episode that goes wrong, and how, as `judge` has it; its plan is one choice, its actions are four
    /// each.
    fn report(tape: Vec<u64>, judge: fn(&[u64]) -> Option<&'static str>) -> Report {
        let broken = judge(&tape).map(|rule| Violation { rule, check: "a-check", what: String::new() });
        let actions = (1..tape.len()).step_by(4).collect();
        Report { steps: 0, fingerprint: 0, broken, tape, actions, probes: Probes::default() }
    }

    fn shrunk(tape: Vec<u64>, judge: fn(&[u64]) -> Option<&'static str>) -> Vec<u64> {
        let play = move |choices| report(choices, judge);
        let report = play(tape);
        let rule = report.broken.as_ref().expect("it fails").rule;
        let mut shrinker = Shrinker { play, rule, steps_left: u64::MAX, best: played(&report), report };
        while shrinker.round() {}
        assert_eq!(shrinker.report.tape, shrinker.best, "the report is that of the tape");
        shrinker.best
    }

    fn noise(len: u64) -> Vec<u64> {
        (0..len).map(|at| crate::world::choice::mix(at) % 1000).collect()
    }

    #[test]
    fn what_does_not_matter_is_gone_and_what_does_is_as_small_as_can_be() {
        let judge = |tape: &[u64]| {
            let high = tape.iter().position(|choice| *choice >= 370)?;
            tape[high + 1..].iter().any(|choice| *choice >= 5).then_some("a rule")
        };
        assert_eq!(shrunk(noise(500), judge), [370, 5]);
    }

    #[test]
    fn another_rule_is_another_failure() {
        let judge = |tape: &[u64]| match tape.iter().filter(|choice| **choice > 99).count() {
            0 => None,
            1..=3 => Some("another rule"),
            _ => Some("a rule"),
        };
        assert_eq!(shrunk(noise(100), judge), [100; 4]);
    }

    /// A number that says how many follow is lowered together with them.
    #[test]
    fn a_choice_is_left_out_with_those_that_it_asks_for() {
        let judge = |tape: &[u64]| {
            let mut at = 0;
            while let Some(&follow) = tape.get(at) {
                if follow == 9 {
                    return Some("a rule");
                }
                at += 1 + usize::try_from(follow % 4).unwrap();
            }
            None
        };
        assert_eq!(shrunk(vec![3, 7, 7, 7, 2, 5, 5, 0, 0, 9], judge), [9]);
    }

    /// A number of the plan that says before which action something happens is lowered with those left out
    /// before it.
    #[test]
    fn actions_are_left_out_together_with_the_number_that_counts_them() {
        let judge = |tape: &[u64]| {
            let at = 1 + 4 * usize::try_from(*tape.first()?).ok()?;
            (tape.get(at) == Some(&9)).then_some("a rule")
        };
        let mut tape = vec![7; 4 * 40];
        (tape[0], tape[1 + 4 * 21]) = (21, 9);
        assert_eq!(shrunk(tape, judge), [0, 9]);
    }
}
