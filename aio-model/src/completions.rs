//! Credits, and completions on their way to the user, in the order in which their operations ended.
//!
//! During a turn, a completion goes straight into the user's batch, if it has room. Those that it has no room
//! for stay where their operations were, and here it is noted where that is. So completing can neither fail
//! nor allocate (C6).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::completion::Completion;
use crate::lane::LaneId;

/// Where a completion waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a lane; or, after those, at the connection of a receive lane, which is closed.
    Lane(LaneId),
    /// At the proactor's own operations.
    Own(u32),
}

/// A [`Place`] in four bytes: the highest bit tells which it is.
#[derive(Debug, Clone, Copy)]
struct Packed(u32);

const OWN: u32 = 1 << 31;

impl From<Place> for Packed {
    fn from(place: Place) -> Packed {
        Packed(match place {
            Place::Lane(lane) => lane.index(),
            Place::Own(index) => OWN | index,
        })
    }
}

impl From<Packed> for Place {
    fn from(Packed(word): Packed) -> Place {
        if word & OWN == 0 { Place::Lane(LaneId::from_index(word)) } else { Place::Own(word & !OWN) }
    }
}

/// The credits in use, the batch that is being filled, and what waits.
pub(crate) struct Completions<C> {
    ops_max: u32,
    /// Operations that are queued, or whose completion was not taken.
    credits: u32,
    /// As many credits can be taken without looking whether there is memory, or a limit.
    usual_max: u32,
    /// The user's batch, during a turn; otherwise one without any room.
    batch: Vec<Completion<C>>,
    /// How many were put into the batch. Their credits are free at the end of the turn.
    delivered: u32,
    waiting: VecDeque<Packed>,
}

impl<C> Completions<C> {
    pub(crate) fn new(ops_max: u32) -> Completions<C> {
        Completions {
            ops_max,
            credits: 0,
            usual_max: 0,
            batch: Vec::new(),
            delivered: 0,
            waiting: VecDeque::new(),
        }
    }

    /// The credits in use.
    #[inline]
    pub(crate) fn credits(&self) -> u32 {
        self.credits
    }

    #[inline]
    pub(crate) fn has_credit(&self) -> bool {
        self.credits < self.ops_max
    }

    /// How many completions wait to be taken.
    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// How many completions there is room to note.
    pub(crate) fn room(&self) -> usize {
        self.waiting.capacity()
    }

    /// Where they wait, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.waiting.iter().map(|packed| Place::from(*packed))
    }

    /// Whether a credit can be taken that is neither the last one nor one that memory has to be asked for.
    #[inline]
    pub(crate) fn has_usual_credit(&self) -> bool {
        self.credits < self.usual_max
    }

    /// Whether there is memory to note one more completion that waits, beside those of all credits in use.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        (self.credits as usize) < self.waiting.capacity() || self.grow()
    }

    #[cold]
    fn grow(&mut self) -> bool {
        // Beyond those that wait there is to be room for all credits in use, and one more.
        let credits = self.credits as usize + 1;
        let (waiting, most) = (self.waiting.len(), self.ops_max as usize);
        let more = (credits + credits / 16 + 16).min(most.max(credits)) - waiting.min(credits);
        let grown = self.waiting.try_reserve_exact(more).is_ok()
            || self.waiting.try_reserve_exact(credits - waiting.min(credits)).is_ok();
        self.usual_max = u32::try_from(self.waiting.capacity()).unwrap_or(u32::MAX).min(self.ops_max - 1);
        grown
    }

    /// Takes a credit, which there is. Returns whether it was the last.
    #[inline]
    pub(crate) fn take_credit(&mut self) -> bool {
        self.credits += 1;
        self.credits == self.ops_max
    }

    /// Whether the batch has room for a completion, and it would be out of order for none.
    #[inline]
    pub(crate) fn goes_to_batch(&self) -> bool {
        self.batch.len() < self.batch.capacity() && self.waiting.is_empty()
    }

    /// Whether the batch has room for a completion.
    #[inline]
    pub(crate) fn batch_has_room(&self) -> bool {
        self.batch.len() < self.batch.capacity()
    }

    /// Puts a completion into the batch, which has room for it.
    #[inline(always)]
    pub(crate) fn put(&mut self, completion: Completion<C>) {
        self.delivered += 1;
        self.batch.push(completion);
    }

    /// Notes where a completion waits that the batch has no room for.
    pub(crate) fn note(&mut self, place: Place) {
        debug_assert!(self.waiting.len() < self.waiting.capacity(), "room is made with each credit");
        self.waiting.push_back(place.into());
    }

    /// Where the completion is that has waited longest: it is taken now.
    pub(crate) fn next(&mut self) -> Option<Place> {
        self.waiting.pop_front().map(Place::from)
    }

    /// From now on completions go into that batch; and what they did go into comes back.
    pub(crate) fn swap_batch(&mut self, batch: &mut Vec<Completion<C>>) {
        core::mem::swap(&mut self.batch, batch);
    }

    /// So many completions were taken; and those that went into the batch were, too: their credits are free.
    /// Returns whether there was none before.
    #[inline]
    pub(crate) fn free_credits(&mut self, taken: u32) -> bool {
        let had_none = self.credits == self.ops_max;
        let freed = taken + core::mem::take(&mut self.delivered);
        self.credits -= freed;
        had_none && freed > 0
    }
}

/// For those who break a model to see whether that is noticed.
#[cfg(test)]
impl<C> Completions<C> {
    pub(crate) fn count_wrong(&mut self, credits: u32) {
        self.credits = self.credits.wrapping_add(credits);
    }

    pub(crate) fn move_first(&mut self, place: Place) {
        if let Some(first) = self.waiting.front_mut() {
            *first = place.into();
        }
    }

    pub(crate) fn forget_room(&mut self) {
        self.waiting = VecDeque::new();
    }
}
