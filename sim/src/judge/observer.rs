//! Who wants to see an episode step by step: it is told what happens, and changes nothing.

use std::fmt::Debug;

use aio_model::{Completion, Model};

use crate::judge::context::Context;
use crate::judge::oracle::Oracle;
use crate::world::net::Net;
use crate::world::trace::TraceEntry;

/// Where to look: everything of an episode that a step may have changed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// How many steps were taken.
    pub(crate) steps: u64,
    /// The model.
    pub(crate) model: &'a Model<Context>,
    /// Who keeps the contract.
    pub(crate) oracle: &'a Oracle,
    /// The network, and the kernels in it.
    pub(crate) net: &'a Net,
    /// The leases that the user holds.
    pub(crate) user_leases: usize,
}

/// Observes an episode. `entries` is what was traced since the call before.
pub(crate) trait Observer: Debug {
    /// The user does something, or has just done it, in the words of a verbose replay.
    fn note(&mut self, scene: &Scene<'_>, entries: &[TraceEntry], text: &str);

    /// A step was taken: the loop's, or one that was not noted.
    fn step(&mut self, scene: &Scene<'_>, entries: &[TraceEntry]);

    /// A turn is over, and was judged.
    fn rest(&mut self, scene: &Scene<'_>, entries: &[TraceEntry]);

    /// The completion that was just noted.
    fn completed(&mut self, done: &Completion<Context>);

    /// A panic ended the episode. The model is not looked at: it may be in any state.
    fn panicked(&mut self, entries: &[TraceEntry], oracle: &Oracle);

    /// The episode is over.
    fn over(&mut self, net: &Net, oracle: &Oracle);
}
