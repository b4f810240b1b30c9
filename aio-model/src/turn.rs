//! The turn: one bounded pass of the loop, the same code on every operating system and in the simulator.

use alloc::vec::Vec;

use crate::completion::Completion;
use crate::error::SystemError;
use crate::model::{Model, WaitPlan};
use crate::system::{On, System};
use crate::time::Instant;

/// A turn under way, one [`step`](Turn::step) at a time: for those who look at the model between steps.
/// Everyone else calls [`turn`].
///
/// 1. Wait for events until the next deadline, but not if something is to be done at once.
///    [Polling](crate::Spin) for a while comes before sleeping, if it pays.
/// 2. Make attempts, each lane up to its budget, all lanes up to the turn's.
/// 3. End what has reached its deadline, each with a last attempt: after the attempts, so that bytes that can
///    be moved count first (T2). As many as these have left of the turn's attempts, and at least half of a
///    turn's.
///
/// A turn that has attempts to make, completions to deliver, or deadlines that the last one left, skips the
/// wait, but not twice in a row: a batch of sends goes out without a system call to ask for events first, and
/// a user who always has something to send does not shut the world out.
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

/// Takes one turn, waiting until `until` at the latest (`None`: as long as it takes). Completions go into
/// `batch`, as many as it has free capacity for, in the order in which their operations ended; the others
/// wait for the next turns, or for [`next_completion`](Model::next_completion). Their credits are free when
/// the turn is over.
///
/// # Errors
///
/// When the readiness engine fails. The model is as it was; another turn may be tried.
pub fn turn<C, S: System>(
    model: &mut Model<C>,
    system: &mut S,
    until: Option<Instant>,
    batch: &mut Vec<Completion<C>>,
) -> Result<(), SystemError> {
    let turn = Turn::begin(model, until);
    turn.poll_events(model, system)?;
    let filling = Filling::begin(model, batch);
    while filling.model.attempt_by(On(system)) {}
    while filling.model.expire_by(On(system)) {}
    Ok(())
}

/// Completions go into the user's batch, until this is dropped: also by a panic of the user's code.
struct Filling<'a, C> {
    model: &'a mut Model<C>,
    batch: &'a mut Vec<Completion<C>>,
}

impl<'a, C> Filling<'a, C> {
    fn begin(model: &'a mut Model<C>, batch: &'a mut Vec<Completion<C>>) -> Filling<'a, C> {
        model.swap_batch(batch);
        model.deliver_waiting();
        Filling { model, batch }
    }
}

impl<C> Drop for Filling<'_, C> {
    fn drop(&mut self) {
        self.model.swap_batch(self.batch);
        self.model.on_taken();
    }
}

impl Turn {
    /// Begins a turn.
    pub fn begin<C>(model: &mut Model<C>, until: Option<Instant>) -> Turn {
        model.on_turn();
        Turn { stage: TurnStage::Wait, until }
    }

    /// What the next step does.
    pub fn stage(&self) -> TurnStage {
        self.stage
    }

    /// Takes one step: the wait, one attempt, or one end of what has expired. Returns whether there is
    /// another.
    ///
    /// # Errors
    ///
    /// When the wait fails; the turn is over then.
    pub fn step<C, S: System>(&mut self, model: &mut Model<C>, system: &mut S) -> Result<bool, SystemError> {
        match self.stage {
            TurnStage::Wait => {
                self.stage = TurnStage::Over;
                self.poll_events(model, system)?;
                self.stage = TurnStage::Attempt;
            }
            TurnStage::Attempt => {
                if !model.attempt_by(On(system)) {
                    self.stage = TurnStage::Expire;
                }
            }
            TurnStage::Expire => {
                if !model.expire_by(On(system)) {
                    self.stage = TurnStage::Over;
                }
            }
            TurnStage::Over => return Ok(false),
        }
        Ok(true)
    }

    /// Waits, and begins the round of attempts.
    fn poll_events<C, S: System>(&self, model: &mut Model<C>, system: &mut S) -> Result<(), SystemError> {
        let now = self.wait(model, system)?;
        model.on_time(now);
        model.begin_round();
        Ok(())
    }

    fn wait<C, S: System>(&self, model: &mut Model<C>, system: &mut S) -> Result<Instant, SystemError> {
        let events_max = model.limits().turn_events_max;
        let deadline = match model.plan_wait() {
            WaitPlan::Skip => return Ok(system.now()),
            WaitPlan::Poll => {
                return system.wait(Some(Instant::ZERO), events_max, |conn, readiness| {
                    model.on_ready(conn, readiness);
                });
            }
            WaitPlan::Sleep { deadline } => deadline,
        };
        let until = match (deadline, self.until) {
            (Some(deadline), Some(until)) => Some(deadline.min(until)),
            (deadline, until) => deadline.or(until),
        };
        let (spin, mut events) = (model.spin_window(), 0);
        let (now, slept) = system.wait_spinning(until, spin, events_max, |conn, readiness| {
            events += 1;
            model.on_ready(conn, readiness);
        })?;
        model.on_waited(now, events, slept);
        Ok(now)
    }
}
