//! What several tests of the model need.

use std::sync::{Arc, Mutex, Weak};

use aio_model::{Home, Returned};

/// Dropped leases, until a test returns one.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<Vec<Returned>>);

/// The way to a shelf, for as long as it is there: what lies on a shelf and kept it would never be freed.
struct Way(Weak<Shelf>);

impl Home for Way {
    fn return_buffer(&self, buffer: Returned) {
        if let Some(shelf) = self.0.upgrade() {
            shelf.0.lock().unwrap().push(buffer);
        }
    }
}

impl Shelf {
    /// What leases are returned through.
    pub(crate) fn home(self: &Arc<Shelf>) -> Arc<dyn Home> {
        Arc::new(Way(Arc::downgrade(self)))
    }

    /// The lease that was dropped last.
    pub(crate) fn pop(&self) -> Option<Returned> {
        self.0.lock().unwrap().pop()
    }
}
