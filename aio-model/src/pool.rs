//! The lending pool: buffers that a receive takes only when there is something to read (B2, B3).
//!
//! A buffer is at home (`free`) or lent. Buffers are made when first needed, up to the pool's limit, and then
//! reused. While none is free, readable lanes queue here, and a buffer that comes home goes straight to the
//! one that has waited longest: *free and waiting at the same time* does not exist.
//!
//! Memory for a buffer may be refused. The pool is then as one at its limit, and asks again after a pause, as
//! long as any other (K5): what it gets goes to the lane that has waited longest, too.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::id::PoolId;
use crate::lease::{Home, Lease, Returned};
use crate::timers::TimerId;

/// How many buffers of which size a pool lends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// How many buffers may exist at once.
    pub buffers_max: u32,
    /// How many bytes each holds.
    pub buffer_bytes: usize,
}

/// A pool.
pub(crate) struct Pool {
    id: PoolId,
    size: PoolSize,
    home: Arc<dyn Home>,
    /// The buffers at home. The last one in is the first one out: it is the one in the cache.
    free: Vec<Returned>,
    /// How many of these are set aside for lanes that have waited.
    granted: u32,
    /// As many may be in queued sends.
    sending_max: u32,
    /// The buffers in existence.
    made: u32,
    /// Memory for another buffer was refused: when it is asked for again.
    retry: Option<TimerId>,
    /// How often in a row it was.
    refusals: u8,
}

/// The pools, in the order in which they were configured.
pub(crate) struct Pools(Vec<Pool>);

impl Pools {
    pub(crate) fn new(sizes: Vec<PoolSize>, home: &Arc<dyn Home>) -> Pools {
        let pools = (0..).zip(sizes).map(|(index, size)| Pool {
            id: PoolId::new(index),
            size,
            home: Arc::clone(home),
            free: Vec::new(),
            granted: 0,
            sending_max: size.buffers_max - size.buffers_max.div_ceil(4),
            made: 0,
            retry: None,
            refusals: 0,
        });
        Pools(pools.collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.0.iter()
    }

    #[inline]
    pub(crate) fn get(&self, pool: PoolId) -> Option<&Pool> {
        self.0.get(pool.index())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, pool: PoolId) -> Option<&mut Pool> {
        self.0.get_mut(pool.index())
    }

    /// Whether there is such a pool, and its buffers are large enough for anything.
    #[inline]
    pub(crate) fn lends(&self, pool: PoolId) -> bool {
        self.get(pool).is_some_and(|pool| pool.size.buffer_bytes > 0)
    }

    /// The pool of a receive that was accepted: there is one.
    #[inline]
    pub(crate) fn of(&mut self, pool: PoolId) -> &mut Pool {
        &mut self.0[pool.index()]
    }

    /// Whether what a buffer holds may be sent as it is: no lease is in it, or only one of a pool that has
    /// lent few.
    #[inline(always)]
    pub(crate) fn may_send(&self, buffer: &Buffer) -> bool {
        match buffer {
            Buffer::Lease(lease) => self.get(lease.pool()).is_none_or(Pool::may_send),
            Buffer::Parts(parts) => !parts.has_lease(),
            _ => true,
        }
    }

    /// Whether a lease may be sent as it is: another proactor's, or one of a pool that has lent few.
    pub(crate) fn may_send_lease(&self, lease: &Lease) -> bool {
        self.get(lease.pool()).is_none_or(|pool| !pool.has_lent(lease) || pool.may_send())
    }

    /// The buffers of all pools that are lent.
    pub(crate) fn outstanding(&self) -> u32 {
        self.0.iter().map(Pool::outstanding).fold(0, u32::saturating_add)
    }
}

impl Pool {
    pub(crate) fn id(&self) -> PoolId {
        self.id
    }

    /// Lends a buffer, if one is free or may still be made.
    pub(crate) fn lend(&mut self) -> Option<Lease> {
        self.lend_free().or_else(|| self.make().map(Returned::lend))
    }

    /// Lends a buffer, if one is free.
    #[inline(always)]
    pub(crate) fn lend_free(&mut self) -> Option<Lease> {
        if self.free.len() > self.granted as usize { self.free.pop().map(Returned::lend) } else { None }
    }

    /// Lends a buffer that was set aside.
    pub(crate) fn lend_granted(&mut self) -> Option<Lease> {
        self.granted -= 1;
        self.free.pop().map(Returned::lend)
    }

    /// Makes a buffer, if another may be made, and if there is memory for it. Once that was refused it is as
    /// if there were no more to be made, until it is time to ask again.
    #[cold]
    #[inline(never)]
    fn make(&mut self) -> Option<Returned> {
        if self.made >= self.size.buffers_max || self.retry.is_some() {
            return None;
        }
        let buffer = self.allocate();
        self.refusals = if buffer.is_some() { 0 } else { self.refusals.saturating_add(1) };
        self.made += u32::from(buffer.is_some());
        buffer
    }

    /// Makes a buffer for those who wait, if it may. Returns whether it did.
    pub(crate) fn make_another(&mut self) -> bool {
        let made = self.make();
        let is_made = made.is_some();
        self.free.extend(made);
        is_made
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

    /// Whether memory for a buffer was refused just now, and nobody has seen to it that it is asked for
    /// again.
    pub(crate) fn is_refused(&self) -> bool {
        self.refusals > 0 && self.retry.is_none() && self.made < self.size.buffers_max
    }

    /// How often in a row memory was refused.
    pub(crate) fn refusals(&self) -> u8 {
        self.refusals
    }

    /// The timer until memory is asked for again.
    pub(crate) fn retry(&self) -> Option<TimerId> {
        self.retry
    }

    /// Memory is asked for again when that timer fires; or it is time now.
    pub(crate) fn set_retry(&mut self, timer: Option<TimerId>) {
        self.retry = timer;
    }

    /// Takes a buffer back.
    #[inline]
    pub(crate) fn take_back(&mut self, buffer: Returned) {
        self.free.push(buffer);
    }

    /// Sets one of the free buffers aside for a lane.
    pub(crate) fn grant(&mut self) {
        self.granted += 1;
    }

    /// A buffer that was set aside is as free as the others.
    pub(crate) fn take_grant_back(&mut self) {
        self.granted -= 1;
    }

    /// Whether a buffer that names this pool is one of its own.
    #[inline(always)]
    pub(crate) fn owns(&self, buffer: &Returned) -> bool {
        buffer.belongs_to(&self.home)
    }

    /// Whether one of its leases may be sent as it is: so many may be lent then, that one included. All that
    /// are in sends were among them, so there are never more. What peers that take nothing are sent leaves
    /// buffers to receive into.
    #[inline(always)]
    fn may_send(&self) -> bool {
        // `outstanding() <= sending_max`, in fewer steps.
        (self.made + self.granted) as usize <= self.sending_max as usize + self.free.len()
    }

    /// As many buffers may be in queued sends: three quarters, and never all.
    pub(crate) fn sending_max(&self) -> u32 {
        self.sending_max
    }

    /// Whether it has lent this.
    pub(crate) fn has_lent(&self, lease: &Lease) -> bool {
        lease.belongs_to(&self.home) && lease.pool() == self.id
    }

    /// How many buffers are lent, or set aside: all that exist and are not free.
    pub(crate) fn outstanding(&self) -> u32 {
        self.made - self.free_len()
    }

    /// How many buffers are free.
    pub(crate) fn free_len(&self) -> u32 {
        u32::try_from(self.free.len()).unwrap_or(u32::MAX) - self.granted
    }

    /// How many buffers are set aside.
    pub(crate) fn granted(&self) -> u32 {
        self.granted
    }

    pub(crate) fn size(&self) -> PoolSize {
        self.size
    }
}
