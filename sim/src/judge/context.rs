//! What rides on the operations of an episode: a number, and code of the user's that may panic.

use std::cell::Cell;

/// A context. Cloning and dropping it is code of the user's: when it is asked to, it panics.
#[derive(Debug, PartialEq, Eq)]
pub struct Context(u64);

/// The payload of a panic on purpose.
#[derive(Debug)]
pub(crate) struct OnPurpose;

thread_local! {
    /// The next clone panics.
    static FRAGILE: Cell<bool> = const { Cell::new(false) };
}

impl Context {
    /// The context with this number.
    pub const fn new(number: u64) -> Context {
        Context(number)
    }

    /// Its number.
    pub const fn number(&self) -> u64 {
        self.0
    }

    /// Has the next clone panic, or not.
    pub(crate) fn set_fragile(fragile: bool) {
        FRAGILE.set(fragile);
    }
}

impl Clone for Context {
    fn clone(&self) -> Context {
        if FRAGILE.replace(false) {
            // Not by way of the panic hook: nobody wants to read of it.
            std::panic::resume_unwind(Box::new(OnPurpose));
        }
        Context(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_panics_when_it_is_asked_to_and_once() {
        let context = Context::new(7);
        Context::set_fragile(true);
        let panic = std::panic::catch_unwind(|| context.clone()).unwrap_err();
        assert!(panic.is::<OnPurpose>());
        assert_eq!(context.clone(), Context::new(7));
    }
}
