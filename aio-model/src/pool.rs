//! The lending pool: buffers that a receive takes only when there is something to read (B2, B3).
//!
//! A buffer is at home (`free`) or lent. Buffers are made when first needed, up to the pool's limit, and then
//! reused. While none is free, readable lanes queue here, and a buffer that comes home goes straight to the
//! one that has waited longest: *free and waiting at the same time* does not exist.
//!
//! Memory for a buffer may be refused. The pool is then as one at its limit, and asks again after a pause, as long as
//! any other (K5): what it gets goes to the lane that has waited longest, too.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::lease::{Home, Lease, Returned};
use crate::list::List;
use crate::timers::TimerId;

/// Names a pool of a proactor, in the order in which they were configured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoolId(u16);

impl PoolId {
    /// The pool that a receive takes from unless it says otherwise.
    pub const DEFAULT: PoolId = PoolId(0);

    /// The pool configured as the `index`-th, counted from 0.
    pub const fn new(index: u16) -> PoolId {
        PoolId(index)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pool{}", self.0)
    }
}

/// How many buffers of which size a pool lends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// How many buffers may exist at once.
    pub buffers_max: u32,
    /// How many bytes each holds.
    pub buffer_bytes: usize,
}

pub(crate) struct Pool {
    id: PoolId,
    size: PoolSize,
    home: Arc<dyn Home>,
    /// The buffers at home. The last one in is the first one out: it is the one in the cache.
    free: Vec<Returned>,
    /// The buffers in existence.
    made: u32,
    /// The lanes that wait for a buffer.
    pub(crate) parked: List,
    /// Memory for another buffer was refused: when it is asked for again.
    pub(crate) retry: Option<TimerId>,
    /// How often in a row it was.
    pub(crate) refusals: u8,
}

impl Pool {
    pub(crate) fn new(id: PoolId, size: PoolSize, home: Arc<dyn Home>) -> Pool {
        Pool { id, size, home, free: Vec::new(), made: 0, parked: List::EMPTY, retry: None, refusals: 0 }
    }

    /// Lends a buffer, if one is free or may still be made.
    #[inline]
    pub(crate) fn lend(&mut self) -> Option<Lease> {
        self.free.pop().or_else(|| self.make()).map(Returned::lend)
    }

    /// Makes a buffer, if another may be made, and if there is memory for it. Once that was refused it is as if there
    /// were no more to be made, until it is time to ask again.
    #[cold]
    #[inline(never)]
    pub(crate) fn make(&mut self) -> Option<Returned> {
        if self.made >= self.size.buffers_max || self.retry.is_some() {
            return None;
        }
        let buffer = self.allocate();
        self.refusals = if buffer.is_some() { 0 } else { self.refusals.saturating_add(1) };
        self.made += u32::from(buffer.is_some());
        buffer
    }

    fn allocate(&mut self) -> Option<Returned> {
        let bytes = self.size.buffer_bytes;
        if !self.home.make_room(self.id, bytes) {
            return None;
        }
        // For all of them to be taken back one day.
        self.free.try_reserve(self.made as usize + 1 - self.free.len()).ok()?;
        Returned::allocate(bytes, self.id, Arc::clone(&self.home))
    }

    /// Whether memory for a buffer was refused just now, and nobody has seen to it that it is asked for again.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusals > 0 && self.retry.is_none() && self.made < self.size.buffers_max
    }

    /// Takes a buffer back that nobody waits for.
    pub(crate) fn take_back(&mut self, buffer: Returned) {
        debug_assert!(self.parked.is_empty(), "a waiting lane comes before the free list");
        self.free.push(buffer);
    }

    pub(crate) fn owns(&self, buffer: &Returned) -> bool {
        buffer.belongs_to(&self.home) && buffer.pool() == self.id
    }

    /// How many buffers are lent: all that exist and are not at home.
    pub(crate) fn outstanding(&self) -> u32 {
        self.made - self.free_len()
    }

    pub(crate) fn free_len(&self) -> u32 {
        u32::try_from(self.free.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn size(&self) -> PoolSize {
        self.size
    }
}
