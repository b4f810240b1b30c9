//! Buffers: lent to a receive that may be about to fill one, and set aside for those that have waited (B1,
//! B2, B3).

use alloc::vec::Vec;

use crate::buffer::Buffer;
use crate::deadlines::Owner;
use crate::error::{SystemError, SystemErrorKind};
use crate::id::PoolId;
use crate::lane::{Bits, LaneId, PAUSE_EXPONENT_MAX};
use crate::lease::{Lease, Returned};
use crate::model::Model;
use crate::model::no_progress::LASTING;
use crate::time::Tick;

impl<C> Model<C> {
    /// A buffer for the pooled receive at the head of a lane, if there is one, and memory for what it
    /// completes with. If not, the lane steps aside.
    pub(super) fn lend(&mut self, id: LaneId, pool: PoolId) -> Option<Lease> {
        let Some(lease) = self.buffer_for(id, pool) else {
            self.park(id, pool);
            return None;
        };
        if !self.has_room_to_complete(id) {
            self.give_back(lease.end());
            self.without_memory(id);
            return None;
        }
        Some(lease)
    }

    /// Whether a completion that brings something has a place to go to.
    pub(super) fn has_room_to_complete(&mut self, id: LaneId) -> bool {
        self.completions.goes_to_batch() || self.lanes.has_room_for_completion(id)
    }

    /// The buffer for a pooled receive: the one that was set aside for it, or another, if there is one.
    pub(super) fn buffer_for(&mut self, id: LaneId, pool: PoolId) -> Option<Lease> {
        if !self.lanes.lane(id).has(Bits::GRANTED) {
            return self.pools.of(pool).lend();
        }
        self.lanes.change(id, &mut self.deadlines, |lane| lane.clear(Bits::GRANTED));
        self.pools.of(pool).lend_granted()
    }

    /// A receive keeps the buffer that it was lent: the next try follows at once.
    pub(super) fn keep_lent(&mut self, id: LaneId, lease: Lease) {
        let buffer = lease.end();
        let pool = self.pools.of(buffer.pool());
        pool.take_back(buffer);
        pool.grant();
        self.lanes.grant(id, &mut self.deadlines);
    }

    /// A pool has no buffer for a lane: it steps aside until one comes home.
    #[cold]
    fn park(&mut self, id: LaneId, pool: PoolId) {
        if !self.lanes.park(id, pool) {
            return self.without_memory(id);
        }
        self.metrics.on_parked();
        self.lanes.hint(id);
        if self.pools.of(pool).is_refused() {
            self.ask_again(pool);
        }
    }

    /// A send is about to carry a buffer. Its leases stay in it if their pool has lent few enough; what the
    /// others hold is copied, and they go home. Returns whether there was memory for that. If not, the buffer
    /// has all its bytes, some of them perhaps as copies.
    #[cold]
    pub(super) fn begin_send(&mut self, buffer: &mut Buffer) -> bool {
        let parts = match buffer {
            Buffer::Parts(parts) => parts.as_mut_slice(),
            whole => core::slice::from_mut(whole),
        };
        for part in parts {
            let Buffer::Lease(lease) = &*part else { continue };
            if self.pools.may_send_lease(lease) {
                continue;
            }
            let mut copy = Vec::new();
            if copy.try_reserve_exact(lease.len()).is_err() {
                return false;
            }
            copy.extend_from_slice(lease);
            if let Buffer::Lease(lease) = core::mem::replace(part, Buffer::Vec(copy)) {
                self.give_back_lease(lease);
            }
        }
        true
    }

    /// A buffer has come home: lends it to the lane that has waited longest, or keeps it.
    ///
    /// One that belongs to another proactor's pool is dropped: it is lost to that pool, and of no use to this
    /// one.
    #[inline]
    pub fn give_back(&mut self, mut buffer: Returned) {
        let id = buffer.pool();
        let Some(pool) = self.pools.get_mut(id).filter(|pool| pool.owns(&buffer)) else {
            return;
        };
        let counted = if buffer.is_counted() { buffer.take_counted() } else { None };
        pool.take_back(buffer);
        if self.lanes.parked(id) > 0 {
            self.grant_next(id);
        }
        if let Some(counted) = counted {
            self.lanes.on_counted_home(counted, &mut self.deadlines);
        }
    }

    /// [`give_back`](Model::give_back), of a lease: it does not go home by itself then.
    #[inline]
    pub fn give_back_lease(&mut self, lease: Lease) {
        self.give_back(lease.end());
    }

    /// A buffer that was set aside is not used: it goes to the lane that has waited longest.
    pub(super) fn take_grant_back(&mut self, pool: PoolId) {
        self.pools.of(pool).take_grant_back();
        self.grant_next(pool);
    }

    /// Sets a free buffer aside for the lane that has waited longest, if there is one.
    #[cold]
    fn grant_next(&mut self, pool: PoolId) {
        if let Some(id) = self.lanes.first_parked(pool) {
            self.pools.of(pool).grant();
            self.lanes.grant(id, &mut self.deadlines);
        }
    }

    /// Memory for a buffer of a pool was refused: it is asked for again after a pause.
    pub(super) fn ask_again(&mut self, id: PoolId) {
        self.metrics.on_buffer_refused();
        let refusals = self.pools.of(id).refusals();
        if refusals == LASTING
            && let Some(lane) = self.lanes.first_parked(id)
        {
            let error = SystemError::from_kind(SystemErrorKind::OutOfMemory);
            self.metrics.on_shortage(self.lanes.id(lane.conn()), error);
        }
        let pause = 1 << (refusals - 1).min(PAUSE_EXPONENT_MAX);
        let at = Tick(self.now.tick_ceil().0 + pause);
        let timer = self.deadlines.arm_at(at, Owner::Pool(id));
        self.pools.of(id).set_retry(Some(timer));
    }

    /// It is time to ask for memory again: as many buffers as are waited for.
    pub(super) fn on_retry(&mut self, id: PoolId) {
        self.pools.of(id).set_retry(None);
        while self.lanes.parked(id) > 0 {
            if !self.pools.of(id).make_another() {
                if self.pools.of(id).is_refused() {
                    self.ask_again(id);
                }
                return;
            }
            self.grant_next(id);
        }
    }
}
