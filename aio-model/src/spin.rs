//! Spinning: polling for events a little while before sleeping, when that has paid lately.
//!
//! To sleep and be woken costs more than to serve a request, on both sides: where one peer waits for the
//! answer before it asks again, a proactor that polls for some microseconds answers three times as many
//! requests. Where nothing comes it only burns the processor, and where much comes at once there is no sleep
//! to be spared. So [`Spin::Adaptive`] keeps an account.
//!
//! ```text
//!             enough waits in a row that ended soon, with few events
//!   ┌──────────┐ ─────────────────────────────────────────────▶ ┌──────────┐
//!   │ Watching │                                                 │ Spinning │ ◀─ an event: credit
//!   └──────────┘ ◀───────────────────────────────────────────── └──────────┘ ─┘ polled in vain: what it cost
//!                 the credit is used up; twice as many next time
//! ```
//!
//! All of it is arithmetic on what the waits were like; the polling itself is the system's
//! ([`wait_spinning`](crate::System::wait_spinning)).

use core::time::Duration;

/// Whether to poll for events a while before sleeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Spin {
    /// Sleep at once.
    #[default]
    Off,
    /// Poll for up to 50 µs while that pays: while events come within that time, and few at once. An idle
    /// proactor stops after half a millisecond, and sleeps from then on.
    Adaptive,
    /// Poll for so long before each sleep, whether it pays or not: for a thread with a processor of its own.
    For(Duration),
}

/// How long an adaptive wait polls: somewhat less than it costs the two sides to be woken.
const WINDOW_US: u32 = 50;
/// A sleep that an event ended so soon may be one that polling would have spared: waking takes its part of
/// it.
const NEAR: Duration = Duration::from_micros(200);
/// As many events at once say that sleeping gathers work that polling would pick up one by one.
const FEW: u32 = 4;
/// What an event that was seen while polling earns: less than a sleep costs the processor.
const GAIN_US: u32 = 10;
/// What may be lost on finding out whether it pays, and what may be lost at the most once it does not any
/// more.
const TRIAL_US: u32 = 4 * WINDOW_US;
const CREDIT_MAX_US: u32 = 10 * WINDOW_US;
/// How many waits in a row must look as if it would pay: at first, and after any number of vain trials.
const STREAK_MIN: u32 = 8;
const STREAK_MAX: u32 = 1024;

/// What a wait was like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    /// How long after the turn before it ended.
    pub(crate) gap: Duration,
    /// The events that it brought.
    pub(crate) events: u32,
    /// Whether the system slept.
    pub(crate) slept: bool,
}

/// Decides how long the next wait polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spinner {
    spin: Spin,
    state: State,
    /// How many waits in a row it takes to try again.
    streak_needed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Sleeping, and counting the waits in a row that ended soon.
    Watching { streak: u32 },
    /// Polling, as long as there is credit.
    Spinning { credit_us: u32 },
}

impl Spinner {
    pub(crate) const fn new(spin: Spin) -> Spinner {
        Spinner { spin, state: State::Watching { streak: 0 }, streak_needed: STREAK_MIN }
    }

    /// For how long the next wait polls before it sleeps.
    pub(crate) fn window(&self) -> Duration {
        match (self.spin, self.state) {
            (Spin::Off, _) | (Spin::Adaptive, State::Watching { .. }) => Duration::ZERO,
            (Spin::Adaptive, State::Spinning { .. }) => Duration::from_micros(WINDOW_US.into()),
            (Spin::For(span), _) => span,
        }
    }

    /// Learns what a wait was like that could have slept.
    pub(crate) fn on_wait(&mut self, waited: Waited) {
        if self.spin != Spin::Adaptive {
            return;
        }
        let few = (1..=FEW).contains(&waited.events);
        self.state = match self.state {
            State::Watching { streak } if few && waited.gap <= NEAR => {
                if streak + 1 < self.streak_needed {
                    State::Watching { streak: streak + 1 }
                } else {
                    State::Spinning { credit_us: TRIAL_US }
                }
            }
            State::Watching { .. } => State::Watching { streak: 0 },
            State::Spinning { credit_us } if !waited.slept && few => self.earn(credit_us),
            // Woken by another thread: it says nothing about the peers.
            State::Spinning { credit_us } if !waited.slept && waited.events == 0 => {
                State::Spinning { credit_us }
            }
            State::Spinning { credit_us } => self.pay(credit_us),
        };
    }

    fn earn(&mut self, credit_us: u32) -> State {
        let credit_us = (credit_us + GAIN_US).min(CREDIT_MAX_US);
        if credit_us == CREDIT_MAX_US {
            self.streak_needed = STREAK_MIN;
        }
        State::Spinning { credit_us }
    }

    fn pay(&mut self, credit_us: u32) -> State {
        match credit_us.checked_sub(WINDOW_US) {
            Some(credit_us) if credit_us > 0 => State::Spinning { credit_us },
            _ => {
                self.streak_needed = (self.streak_needed * 2).min(STREAK_MAX);
                State::Watching { streak: 0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Waited = Waited { gap: Duration::from_micros(80), events: 1, slept: true };
    const HIT: Waited = Waited { gap: Duration::from_micros(15), events: 1, slept: false };
    const IDLE: Waited = Waited { gap: Duration::from_secs(1), events: 0, slept: true };
    const CROWD: Waited = Waited { gap: Duration::from_micros(60), events: 20, slept: true };

    fn after(spinner: &mut Spinner, waits: impl IntoIterator<Item = Waited>) -> bool {
        waits.into_iter().for_each(|waited| spinner.on_wait(waited));
        !spinner.window().is_zero()
    }

    #[test]
    fn one_peer_that_waits_for_its_answers_is_polled_for() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        assert!(!after(&mut spinner, [ECHO; STREAK_MIN as usize - 1]));
        assert!(after(&mut spinner, [ECHO]));
        assert!(after(&mut spinner, [HIT; 1000]));
    }

    #[test]
    fn idle_crowded_and_sparse_proactors_sleep() {
        let sparse = Waited { gap: NEAR + Duration::from_nanos(1), events: 1, slept: true };
        for waited in [IDLE, CROWD, sparse] {
            assert!(!after(&mut Spinner::new(Spin::Adaptive), [waited; 1000]));
        }
    }

    #[test]
    fn what_stops_paying_ends_within_its_credit() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        assert!(after(&mut spinner, [ECHO; STREAK_MIN as usize]));
        assert!(after(&mut spinner, [HIT; 1000]));
        let mut vain_us = 0;
        while !spinner.window().is_zero() {
            vain_us += WINDOW_US;
            spinner.on_wait(IDLE);
        }
        assert_eq!(vain_us, CREDIT_MAX_US);
    }

    #[test]
    fn trials_in_vain_become_rare() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        let mut trials = 0;
        for _ in 0..100_000 {
            // Sleeps always look as if polling would have spared them, and it never does.
            let spins = !spinner.window().is_zero();
            trials += u32::from(spins);
            spinner.on_wait(ECHO);
        }
        assert!(trials < 100_000 / 200, "{trials} of 100,000 waits polled in vain");
        assert_eq!(spinner.streak_needed, STREAK_MAX);
    }

    #[test]
    fn a_wake_from_another_thread_is_no_verdict() {
        let mut spinner = Spinner::new(Spin::Adaptive);
        assert!(after(&mut spinner, [ECHO; STREAK_MIN as usize]));
        assert!(after(&mut spinner, [Waited { events: 0, ..HIT }; 1000]));
    }

    #[test]
    fn what_is_fixed_does_not_learn() {
        let span = Duration::from_micros(7);
        for (spin, window) in [(Spin::Off, Duration::ZERO), (Spin::For(span), span)] {
            let mut spinner = Spinner::new(spin);
            for waited in [ECHO, HIT, IDLE, CROWD].repeat(20) {
                spinner.on_wait(waited);
                assert_eq!(spinner.window(), window);
            }
        }
    }
}
