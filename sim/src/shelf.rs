//! Where dropped leases wait, until somebody has them come home.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aio_model::{Home, Returned};

/// Dropped leases, in the order in which they were dropped.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<Vec<Returned>>);

/// The way to a shelf, for as long as it is there: what lies on a shelf and kept it would never be freed.
struct Way(Weak<Shelf>);

impl Home for Way {
    fn come_home(&self, buffer: Returned) {
        if let Some(shelf) = self.0.upgrade() {
            shelf.lock().push(buffer);
        }
    }
}

impl Shelf {
    /// Where leases are to come home to.
    pub(crate) fn home(self: &Arc<Shelf>) -> Arc<dyn Home> {
        Arc::new(Way(Arc::downgrade(self)))
    }

    /// A push can not leave the vector half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Vec<Returned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Takes the `nth`; the last one takes its place.
    pub(crate) fn take(&self, nth: usize) -> Returned {
        self.lock().swap_remove(nth)
    }

    /// Takes them all.
    pub(crate) fn take_all(&self) -> Vec<Returned> {
        std::mem::take(&mut *self.lock())
    }
}
