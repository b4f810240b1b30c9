//! The turn: one bounded pass of the loop, the same code on every operating system and in the simulator.

use crate::error::SystemError;
use crate::model::Model;
use crate::spin::Waited;
use crate::system::System;
use crate::time::Instant;

/// A turn under way, one [`step`](Turn::step) at a time: for those who look at the model between steps. Everyone
/// else calls [`turn`].
///
/// 1. Wait for events until the next deadline, but not if something is to be done at once. [Polling](crate::Spin)
///    for a while comes before sleeping, if it pays.
/// 2. Make attempts, each lane up to its budget, all lanes up to the turn's.
/// 3. End what has reached its deadline, each with a last attempt: after the attempts, so that bytes that can be moved
///    count first (T2). As many as these have left of the turn's attempts, and at least half of a turn's.
///
/// A turn that has attempts to make, completions to deliver, or deadlines that the last one left, skips the wait, but not twice in a row: a batch of
/// sends goes out without a system call to ask for events first, and a user who always has something to send
/// does not shut the world out.
#[derive(Debug)]
#[must_use = "step it until it is over"]
pub struct Turn {
    stage: TurnStage,
    until: Option<Instant>,
}

/// What the next [`step`](Turn::step) of a turn does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TurnStage {
    /// It waits for events, or only looks at the clock.
    Wait,
    /// It makes an attempt, if one is left.
    Attempt,
    /// It ends the next of what has reached its deadline, if one is left.
    Expire,
    /// Nothing: the turn is over.
    Over,
}

/// Takes one turn, waiting until `until` at the latest (`None`: as long as it takes).
///
/// # Errors
///
/// When the readiness engine fails. The model is as it was; another turn may be tried.
pub fn turn<C, S: System>(
    model: &mut Model<C>,
    system: &mut S,
    until: Option<Instant>,
) -> Result<(), SystemError> {
    let turn = Turn::begin(model, until);
    turn.take_in(model, system)?;
    while model.attempt(|call| system.perform(call)) {}
    while model.expire(|call| system.perform(call)) {}
    Ok(())
}

impl Turn {
    /// Begins a turn.
    pub fn begin<C>(model: &mut Model<C>, until: Option<Instant>) -> Turn {
        model.stats.turns += 1;
        Turn { stage: TurnStage::Wait, until }
    }

    /// What the next step does.
    pub fn stage(&self) -> TurnStage {
        self.stage
    }

    /// Takes one step: the wait, one attempt, or one end of what has expired. Returns whether there is another.
    ///
    /// # Errors
    ///
    /// When the wait fails; the turn is over then.
    pub fn step<C, S: System>(&mut self, model: &mut Model<C>, system: &mut S) -> Result<bool, SystemError> {
        match self.stage {
            TurnStage::Wait => {
                self.stage = TurnStage::Over;
                self.take_in(model, system)?;
                self.stage = TurnStage::Attempt;
            }
            TurnStage::Attempt => {
                if !model.attempt(|call| system.perform(call)) {
                    self.stage = TurnStage::Expire;
                }
            }
            TurnStage::Expire => {
                if !model.expire(|call| system.perform(call)) {
                    self.stage = TurnStage::Over;
                }
            }
            TurnStage::Over => return Ok(false),
        }
        Ok(true)
    }

    /// Waits, and begins the round of attempts.
    fn take_in<C, S: System>(&self, model: &mut Model<C>, system: &mut S) -> Result<(), SystemError> {
        let now = self.wait(model, system)?;
        model.on_time(now);
        model.begin_round();
        Ok(())
    }

    fn wait<C, S: System>(&self, model: &mut Model<C>, system: &mut S) -> Result<Instant, SystemError> {
        let busy = model.is_busy() || model.is_drained();
        if busy && model.waited {
            model.waited = false;
            return Ok(system.now());
        }
        model.waited = true;
        model.stats.waits += 1;
        if busy {
            return system.wait(Some(Instant::ZERO), |conn, readiness| model.on_ready(conn, readiness));
        }
        let until = match (model.next_deadline(), self.until) {
            (Some(deadline), Some(until)) => Some(deadline.min(until)),
            (deadline, until) => deadline.or(until),
        };
        let (before, spin, mut events) = (model.now(), model.spinner.window(), 0);
        let (now, slept) = system.wait_spinning(until, spin, |conn, readiness| {
            events += 1;
            model.on_ready(conn, readiness);
        })?;
        let gap = now.saturating_since(before);
        model.spinner.on_wait(Waited { gap, events, slept });
        Ok(now)
    }
}
