//! Help for tests of what is used by a model, or uses one: ids and calls without a model, and homes for
//! leases. **Unstable**: it is here with the feature `testing` only, and may change in any release.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::buffer::{Parts, Slices, SlicesMut};
use crate::connect::Target;
use crate::id::{ConnId, Key, PoolId};
use crate::lease::{Home, Returned};
use crate::noun::Connect;
use crate::op::{OpKind, Operation, Request};
use crate::transfer::CALL_BYTES_MAX;

/// The number of the proactor that all ids of [`Ids`] are of.
const PROACTOR: u32 = 1;

/// Gives out the ids of connections as a model does, for tests that drive a
/// [`System`](crate::System) by hand.
///
/// ```
/// use aio_model::testing::Ids;
///
/// let mut ids = Ids::default();
/// let first = ids.open();
/// assert_ne!(first, ids.open());
/// let again = ids.reopen(first);
/// assert!(again != first && again.index() == first.index());
/// ```
#[derive(Debug, Default)]
pub struct Ids {
    next: u32,
}

impl Ids {
    /// The id of a connection with an index that no other has had.
    pub fn open(&mut self) -> ConnId {
        let index = self.next;
        self.next += 1;
        ConnId::new(Key::new(index, NonZeroU32::MIN), PROACTOR)
    }

    /// The id of the next connection that has the index of `conn`, which was closed.
    pub fn reopen(&mut self, conn: ConnId) -> ConnId {
        let generation = conn.key().generation().saturating_add(1);
        ConnId::new(Key::new(conn.index(), generation), PROACTOR)
    }
}

/// What a [`Syscall::Connect`](crate::Syscall::Connect) asks for when this operation is attempted.
///
/// # Panics
///
/// Never: a connect has a target.
pub fn target(connect: Connect) -> Target {
    let request: Request<()> = connect.into_request();
    let OpKind::Connect { target } = request.kind else { unreachable!("it is a connect") };
    *target
}

/// What one vectored send is lent of these buffers, from the first byte on.
///
/// # Panics
///
/// When they have no bytes.
pub fn slices(parts: &mut Parts) -> Slices<'_> {
    parts.lend(0, usize::MAX, CALL_BYTES_MAX)
}

/// What one vectored receive is lent of these buffers, from the first byte on.
///
/// # Panics
///
/// When they have no space.
pub fn slices_mut(parts: &mut Parts) -> SlicesMut<'_> {
    parts.lend_space(0, CALL_BYTES_MAX)
}

/// Where the bytes of a buffer lie that is on its way home: where those of its lease did.
pub fn address(buffer: &Returned) -> usize {
    buffer.address()
}

struct Nowhere;

impl Home for Nowhere {
    fn return_buffer(&self, _: Returned) {}
}

/// A home that frees the memory of every lease: the pool does not get it back.
pub fn nowhere() -> Arc<dyn Home> {
    Arc::new(Nowhere)
}

/// Keeps dropped leases, in the order in which they were dropped, until the test returns them.
#[derive(Debug, Default)]
pub struct Shelf {
    leases: Mutex<Vec<Returned>>,
    memory: Mutex<Memory>,
}

/// The memory for buffers of pools.
#[derive(Debug, Default)]
struct Memory {
    refused: bool,
    /// Which pools asked for a buffer's memory, and whether they got it.
    asked: Vec<(PoolId, bool)>,
}

/// Refers to a shelf without keeping it: a buffer on the shelf has its home, and would keep both for ever.
struct ShelfHome(alloc::sync::Weak<Shelf>);

impl Home for ShelfHome {
    fn return_buffer(&self, buffer: Returned) {
        if let Some(shelf) = self.0.upgrade() {
            lock(&shelf.leases).push(buffer);
        }
    }

    fn make_room(&self, pool: PoolId, _: usize) -> bool {
        self.0.upgrade().is_none_or(|shelf| {
            let mut memory = lock(&shelf.memory);
            let granted = !memory.refused;
            memory.asked.push((pool, granted));
            granted
        })
    }
}

/// A change of one value can not be left half-done, so a poisoned lock is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// The home of the leases that are to end here.
    pub fn home(self: &Arc<Shelf>) -> Arc<dyn Home> {
        Arc::new(ShelfHome(Arc::downgrade(self)))
    }

    /// Sets whether memory for another buffer is refused from now on.
    pub fn refuse_memory(&self, refused: bool) {
        lock(&self.memory).refused = refused;
    }

    /// Which pools asked for the memory of a buffer since the last call, and whether they got it.
    pub fn take_asked(&self) -> Vec<(PoolId, bool)> {
        core::mem::take(&mut lock(&self.memory).asked)
    }

    /// How many leases are here.
    pub fn len(&self) -> usize {
        lock(&self.leases).len()
    }

    /// Whether no lease is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the `nth` lease, counted from 0; the last one takes its place.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    pub fn take(&self, nth: usize) -> Returned {
        lock(&self.leases).swap_remove(nth)
    }

    /// Takes the lease that was dropped last.
    pub fn pop(&self) -> Option<Returned> {
        lock(&self.leases).pop()
    }

    /// Takes all leases.
    pub fn take_all(&self) -> Vec<Returned> {
        core::mem::take(&mut *lock(&self.leases))
    }
}
