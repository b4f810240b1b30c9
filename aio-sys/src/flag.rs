//! The flag beside mio's waker: whether a wake is on its way.

use crate::sync::{AtomicBool, Ordering};

/// Up while a wake is on its way that no wait has taken notice of.
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn new() -> Flag {
        Flag(AtomicBool::new(false))
    }

    /// Raises it. Returns whether it was down: who raised it makes the system call that wakes.
    pub(crate) fn raise(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Lowers it: what was done before it was raised is seen from now on. Returns whether it was up.
    pub(crate) fn lower(&self) -> bool {
        self.0.load(Ordering::Acquire) && self.0.swap(false, Ordering::AcqRel)
    }

    /// The system call of who raised it has failed: the next one is to try again.
    pub(crate) fn give_up(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod tests {
    use std::sync::Arc;

    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    use super::*;

    /// What mio's waker is made of, an eventfd: a count, and who sleeps until it is not 0.
    #[derive(Default)]
    struct Eventfd {
        count: Mutex<usize>,
        changed: Condvar,
    }

    impl Eventfd {
        fn write(&self) {
            *self.count.lock().unwrap() += 1;
            self.changed.notify_one();
        }

        /// Sleeps until somebody wrote, and takes that away. A sleep that nothing ends is what loom reports
        /// as a deadlock.
        fn read(&self) -> usize {
            let mut count = self.count.lock().unwrap();
            while *count == 0 {
                count = self.changed.wait(count).unwrap();
            }
            std::mem::take(&mut count)
        }
    }

    struct Shared {
        flag: Flag,
        eventfd: Eventfd,
        posts: AtomicUsize,
        writes: AtomicUsize,
    }

    /// A thread posts and wakes, twice; another waits, as `Engine::wait` does, until it has seen both posts.
    fn two_wakes(lower: fn(&Flag) -> bool, raise: fn(&Flag) -> bool) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(move || {
            let shared = Arc::new(Shared {
                flag: Flag::new(),
                eventfd: Eventfd::default(),
                posts: AtomicUsize::new(0),
                writes: AtomicUsize::new(0),
            });
            let poster = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for _ in 0..2 {
                        shared.posts.fetch_add(1, Ordering::Relaxed);
                        if raise(&shared.flag) {
                            shared.writes.fetch_add(1, Ordering::Relaxed);
                            shared.eventfd.write();
                        }
                    }
                })
            };
            let mut waits = 0;
            while shared.posts.load(Ordering::Relaxed) < 2 {
                waits += 1;
                if !lower(&shared.flag) {
                    shared.eventfd.read();
                    lower(&shared.flag);
                }
            }
            poster.join().unwrap();
            assert!(
                shared.writes.load(Ordering::Relaxed) <= waits + 1,
                "at most one call for each wait, and one"
            );
        });
    }

    #[test]
    fn no_wake_is_lost_and_wakes_share_a_call() {
        two_wakes(Flag::lower, Flag::raise);
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn a_flag_that_stays_up_is_found_out() {
        // Who wakes next takes it that a call is on its way.
        two_wakes(|flag| flag.0.load(Ordering::SeqCst) && false, Flag::raise);
    }

    #[test]
    #[should_panic(expected = "at most one call")]
    fn a_call_for_every_wake_is_found_out() {
        two_wakes(Flag::lower, |flag| {
            flag.raise();
            true
        });
    }
}
