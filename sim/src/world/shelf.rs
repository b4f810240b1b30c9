//! Where dropped leases wait until they are returned to their pool.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aio_model::{Home, PoolId, Returned};

/// Dropped leases, in the order in which they were dropped.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    leases: Mutex<Vec<Returned>>,
    memory: Mutex<Memory>,
}

/// The memory for buffers of pools.
#[derive(Debug, Default)]
struct Memory {
    /// There is none to be had.
    refused: bool,
    /// Which pools asked for a buffer's, and whether they got it.
    asked: Vec<(PoolId, bool)>,
}

/// The way to a shelf, for as long as it is there: what lies on a shelf and kept it would never be freed.
struct Way(Weak<Shelf>);

impl Home for Way {
    fn return_buffer(&self, buffer: Returned) {
        if let Some(shelf) = self.0.upgrade() {
            shelf.lock().push(buffer);
        }
    }

    fn make_room(&self, pool: PoolId, _: usize) -> bool {
        self.0.upgrade().is_none_or(|shelf| {
            let mut memory = shelf.memory();
            let granted = !memory.refused;
            memory.asked.push((pool, granted));
            granted
        })
    }
}

impl Shelf {
    /// What leases are returned through.
    pub(crate) fn home(self: &Arc<Shelf>) -> Arc<dyn Home> {
        Arc::new(Way(Arc::downgrade(self)))
    }

    /// A push can not leave the vector half-changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Vec<Returned>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has memory for buffers be refused from now on, or not.
    pub(crate) fn refuse_memory(&self, refused: bool) {
        self.memory().refused = refused;
    }

    /// Which pools asked for a buffer's memory since this was last asked, and whether they got it.
    pub(crate) fn take_asked(&self) -> Vec<(PoolId, bool)> {
        std::mem::take(&mut self.memory().asked)
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
