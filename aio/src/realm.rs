//! Realms: a number for each proactor, which tells its ids from those of every other one.

use crate::sync::{AtomicU32, Ordering};

/// The numbers that are given out, one after the other. After 2^32 proactors they come round.
pub(crate) struct Realms(AtomicU32);

impl Realms {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Realms {
        Realms(AtomicU32::new(1))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Realms {
        Realms(AtomicU32::new(1))
    }

    /// A number that nobody has.
    pub(crate) fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A number that no other proactor of the program has.
pub(crate) fn next() -> u32 {
    #[cfg(not(loom))]
    static REALMS: Realms = Realms::new();
    #[cfg(loom)]
    loom::lazy_static! {
        static ref REALMS: Realms = Realms::new();
    }
    REALMS.next()
}

#[cfg(all(test, loom))]
mod tests {
    use std::sync::Arc;

    use loom::thread;

    use super::*;

    /// Two threads take a number each, in every order of what they do.
    fn two_numbers(next: fn(&Realms) -> u32) {
        loom::model(move || {
            let realms = Arc::new(Realms::new());
            let other = {
                let realms = Arc::clone(&realms);
                thread::spawn(move || next(&realms))
            };
            assert_ne!(next(&realms), other.join().unwrap());
        });
    }

    #[test]
    fn no_two_proactors_have_one_number() {
        two_numbers(Realms::next);
    }

    #[test]
    #[should_panic(expected = "assertion `left != right` failed")]
    fn a_number_that_is_read_and_then_counted_is_found_out() {
        two_numbers(|realms| {
            let number = realms.0.load(Ordering::SeqCst);
            realms.0.store(number + 1, Ordering::SeqCst);
            number
        });
    }
}
