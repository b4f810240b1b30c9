//! Turns, until what a test waits for is there.

use std::fmt::Debug;
use std::time::Duration;

use aio::{Completion, Proactor};

/// How long a test waits for anything: for ever, but one that hangs must end.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Takes turns until there are that many completions, and checks the model after each.
///
/// # Panics
///
/// When they are not there after [`PATIENCE`], or the model is broken.
pub fn complete<C: Debug>(aio: &mut Proactor<C>, count: usize) -> Vec<Completion<C>> {
    let mut batch = Vec::with_capacity(count);
    let end = aio.now() + PATIENCE;
    while batch.len() < count {
        assert!(aio.now() < end, "only {batch:?} after {PATIENCE:?}");
        aio.turn(&mut batch, Some(PATIENCE)).expect("the system waits");
        aio.check().expect("the model is whole");
    }
    batch
}

/// Takes turns for so long, and checks the model after each. Returns what completed.
///
/// # Panics
///
/// When the system can not wait, or the model is broken.
pub fn turns_for<C>(aio: &mut Proactor<C>, span: Duration) -> Vec<Completion<C>> {
    let (mut batch, end) = (Vec::new(), aio.now() + span);
    while aio.now() < end {
        let left = end.saturating_since(aio.now());
        aio.turn(&mut batch, Some(left)).expect("the system waits");
        aio.check().expect("the model is whole");
    }
    batch
}
