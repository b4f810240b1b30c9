//! Waking a wait from another thread.

use std::io;
use std::sync::Arc;

use aio_model::Wake;
use mio::Registry;

use crate::flag::Flag;
use crate::token;

/// Wakes the [`wait`](aio_model::System::wait) of the [`Os`](crate::Os) that it comes from, from any thread.
///
/// Cheap to clone. Wakes coalesce: one wait returns for all that came before it. Harmless once the `Os` is
/// gone.
///
/// # Implementation
///
/// A flag beside mio's waker. It saves the system call when a wake is already on its way, and it is what a
/// wait looks at before it sleeps: mio over poll(2) may take back a wake that comes while a descriptor is
/// being registered.
///
/// The wake that raises the flag makes the call. The wait lowers the flag before it sleeps, and does not
/// sleep if it was up; and again after it has slept, so that whatever was posted before a wake is seen by
/// the caller of the wait. A wake that finds the flag up needs no call: the one that raised it has made it,
/// or will.
#[derive(Debug, Clone)]
pub struct OsWaker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waker: mio::Waker,
    flag: Flag,
}

impl OsWaker {
    pub(crate) fn new(registry: &Registry) -> io::Result<OsWaker> {
        let waker = mio::Waker::new(registry, token::WAKE)?;
        Ok(OsWaker { shared: Arc::new(Shared { waker, flag: Flag::new() }) })
    }

    /// Lowers the flag. Whether it was up.
    pub(crate) fn lower(&self) -> bool {
        self.shared.flag.lower()
    }
}

impl Wake for OsWaker {
    fn wake(&self) {
        if !self.shared.flag.raise() {
            return;
        }
        while let Err(error) = self.shared.waker.wake() {
            if error.kind() != io::ErrorKind::Interrupted {
                // It can not fail while the descriptor lives. Should it, the next wake must try again.
                self.shared.flag.give_up();
                return;
            }
        }
    }
}
