//! Without the feature `tracing` nobody listens: in place of [`traced`](crate::traced), of which nothing is
//! left when it is compiled.

use aio_model::{Completion, ConnId, OpId, SubmitErrorKind, SystemError};

/// Nobody listens.
#[inline(always)]
pub(crate) const fn is_on() -> bool {
    false
}

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listeners {
    /// Nobody.
    None,
}

/// The spans of no connections.
#[derive(Debug, Default)]
pub(crate) struct Spans(());

#[allow(clippy::unused_self, reason = "as with the feature")]
impl Spans {
    #[inline(always)]
    pub(crate) fn listeners(&self) -> Listeners {
        Listeners::None
    }

    #[inline(always)]
    pub(crate) fn tell(&mut self) {}

    pub(crate) fn warn_of_shortage(&self, _: ConnId, _: SystemError) {}

    pub(crate) fn on_submitted(&mut self, _: ConnId, _: Result<OpId, SubmitErrorKind>) {}

    pub(crate) fn on_completed<C>(&self, _: &Completion<C>) {}

    #[inline(always)]
    pub(crate) fn watch<'a, S>(&'a mut self, system: &'a mut S, _: Listeners) -> &'a mut S {
        system
    }
}
