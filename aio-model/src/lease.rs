//! Leases: buffers lent by a pool, which find their way home by themselves (B1, B4).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use bytes::Bytes;

use crate::id::{PoolId, Serial};

/// A buffer lent by a pool, holding what was received into it.
///
/// It dereferences to the received bytes. Send it as it is, turn it into [`Bytes`], or drop it, on any
/// thread: dropping gives the buffer back to its pool, where it goes to the connection that has waited
/// longest.
pub struct Lease {
    /// Always there, until [`Drop`] takes it out.
    loan: Option<Place>,
}

/// Where a loan lives: a box that memory can be refused for, which `Box::new` does not let happen.
type Place = Box<[Loan; 1]>;

/// As much memory has to be left when a pool has taken a buffer: the rest of the program lives on it, and not
/// all of it survives a refusal.
const HEADROOM_BYTES: usize = 64 * 1024;

/// The buffer of a lease, without the duty to go home. It stays in its box for its whole life, so that
/// lending allocates nothing.
struct Loan {
    bytes: Box<[u8]>,
    /// How much of `bytes` is filled.
    len: usize,
    pool: PoolId,
    home: Arc<dyn Home>,
    /// The operation that counts it until it is home.
    counted: Option<CountedBy>,
}

/// The operation that counts a lease: one that may have a number of them out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CountedBy {
    /// The number of its lane.
    pub(crate) lane: u32,
    pub(crate) serial: Serial,
}

/// Where the leases of a proactor go when they are dropped: a mailbox that the proactor empties into
/// [`Model::give_back`](crate::Model::give_back).
pub trait Home: Send + Sync {
    /// Takes a buffer in. Called from any thread, by a `drop`: must not panic, and should not block for long.
    fn return_buffer(&self, buffer: Returned);

    /// A pool is about to take memory for another buffer, of that many bytes. Makes room for it to come home
    /// to one day, and returns whether it did: if not, the pool does without, and asks again after a while.
    fn make_room(&self, pool: PoolId, bytes: usize) -> bool {
        let _ = (pool, bytes);
        true
    }
}

/// A buffer on its way back to its pool. Dropped instead of given back, it frees its memory and is lost to
/// the pool; that is right only when the pool itself is gone.
pub struct Returned(Place);

impl Returned {
    /// The pool that it belongs to.
    pub fn pool(&self) -> PoolId {
        self.0[0].pool
    }

    /// How many bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.0[0].bytes.len()
    }

    /// Where its bytes lie.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn address(&self) -> usize {
        self.0[0].bytes.as_ptr().addr()
    }

    /// A new buffer, at home; none if there is no memory for it.
    pub(crate) fn allocate(size: usize, pool: PoolId, home: Arc<dyn Home>) -> Option<Returned> {
        let (mut bytes, mut place, mut headroom) = (Vec::new(), Vec::new(), Vec::<u8>::new());
        bytes.try_reserve_exact(size).ok()?;
        place.try_reserve_exact(1).ok()?;
        headroom.try_reserve_exact(HEADROOM_BYTES).ok()?;
        // Or else the compiler sees that nobody uses it, and does not ask for it.
        drop(core::hint::black_box(headroom));
        bytes.resize(size, 0);
        place.push(Loan { bytes: bytes.into_boxed_slice(), len: 0, pool, home, counted: None });
        place.into_boxed_slice().try_into().ok().map(Returned)
    }

    /// Whether it belongs to this home.
    pub(crate) fn belongs_to(&self, home: &Arc<dyn Home>) -> bool {
        Arc::ptr_eq(&self.0[0].home, home)
    }

    /// Whether an operation counts it.
    #[inline(always)]
    pub(crate) fn is_counted(&self) -> bool {
        self.0[0].counted.is_some()
    }

    /// The operation that counts it, which does so no more.
    pub(crate) fn take_counted(&mut self) -> Option<CountedBy> {
        self.0[0].counted.take()
    }

    /// Lends it, empty.
    pub(crate) fn lend(mut self) -> Lease {
        self.0[0].len = 0;
        Lease { loan: Some(self.0) }
    }
}

impl fmt::Debug for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Returned({} bytes of {:?})", self.capacity(), self.pool())
    }
}

impl Lease {
    fn loan(&self) -> &Loan {
        let [loan] = &**self.loan.as_ref().expect("a lease has its loan until it is dropped");
        loan
    }

    fn loan_mut(&mut self) -> &mut Loan {
        let [loan] = &mut **self.loan.as_mut().expect("a lease has its loan until it is dropped");
        loan
    }

    /// How many bytes the buffer can hold.
    pub fn capacity(&self) -> usize {
        self.loan().bytes.len()
    }

    /// The pool that lent it, of the proactor that received into it.
    pub fn pool(&self) -> PoolId {
        self.loan().pool
    }

    /// Whether it belongs to this home.
    #[inline]
    pub(crate) fn belongs_to(&self, home: &Arc<dyn Home>) -> bool {
        Arc::ptr_eq(&self.loan().home, home)
    }

    /// Cuts the bytes down to the first `len`; does nothing if there are no more than that.
    pub fn truncate(&mut self, len: usize) {
        let loan = self.loan_mut();
        loan.len = loan.len.min(len);
    }

    /// All of the buffer, to receive into.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.loan_mut().bytes
    }

    /// Says how much of the buffer is filled.
    pub(crate) fn fill(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.loan_mut().len = len;
    }

    /// An operation counts it until it is home.
    #[inline]
    pub(crate) fn count(&mut self, by: CountedBy) {
        self.loan_mut().counted = Some(by);
    }

    /// Ends the lease in place, without the way home.
    #[inline(always)]
    pub(crate) fn end(mut self) -> Returned {
        Returned(self.loan.take().expect("a lease has its loan until it is dropped"))
    }
}

impl Drop for Lease {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(loan) = self.loan.take() {
            go_home(loan);
        }
    }
}

#[inline(never)]
fn go_home(loan: Place) {
    let home = Arc::clone(&loan[0].home);
    home.return_buffer(Returned(loan));
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let loan = self.loan();
        &loan.bytes[..loan.len]
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        let loan = self.loan_mut();
        &mut loan.bytes[..loan.len]
    }
}

impl AsRef<[u8]> for Lease {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// Without copying: the buffer goes home when the last of the shared bytes is dropped.
impl From<Lease> for Bytes {
    fn from(lease: Lease) -> Bytes {
        Bytes::from_owner(lease)
    }
}

/// Shows the length, never the bytes.
impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} of {} bytes)", self.len(), self.capacity())
    }
}
