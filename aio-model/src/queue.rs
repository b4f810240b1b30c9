//! Queues of lanes. A lane that leaves a queue from its middle leaves its entry behind: that does not count
//! any more, because a lane holds the ticket of the entry that does.

use alloc::collections::VecDeque;

use crate::lane::LaneId;

/// A lane's entry in a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueEntry {
    pub(crate) lane: LaneId,
    pub(crate) ticket: u32,
}

/// The lanes that have something to attempt.
#[derive(Debug, Default)]
pub(crate) struct RunQueue {
    entries: VecDeque<QueueEntry>,
    /// The entries that count.
    len: u32,
}

impl RunQueue {
    /// How many lanes stand in it.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Makes room for that many lanes, so that entering allocates nothing. Returns whether there was memory
    /// for it.
    #[inline]
    pub(crate) fn reserve(&mut self, lanes: usize) -> bool {
        self.entries.capacity() >= lanes || self.grow(lanes)
    }

    #[cold]
    fn grow(&mut self, lanes: usize) -> bool {
        let more = lanes.saturating_sub(self.entries.len());
        // Not twice as much each time: there is one of these for each lane, and most are never used.
        let queue = &mut self.entries;
        queue.try_reserve_exact(more + lanes / 16).is_ok() || queue.try_reserve_exact(more).is_ok()
    }

    /// A lane that does not stand in it enters at the back.
    #[inline]
    pub(crate) fn push(&mut self, entry: QueueEntry, counts: impl Fn(QueueEntry) -> bool) {
        if !self.has_space() {
            self.tidy(counts);
        }
        self.push_into_space(entry);
    }

    /// Whether a lane can enter without further ado.
    #[inline(always)]
    pub(crate) fn has_space(&self) -> bool {
        self.entries.len() < self.entries.capacity()
    }

    /// [`push`](RunQueue::push), where there is space.
    #[inline(always)]
    pub(crate) fn push_into_space(&mut self, entry: QueueEntry) {
        self.entries.push_back(entry);
        self.len += 1;
    }

    /// Removes the entries that do not count.
    #[cold]
    #[inline(never)]
    pub(crate) fn tidy(&mut self, counts: impl Fn(QueueEntry) -> bool) {
        self.entries.retain(|entry| counts(*entry));
    }

    /// The entry at the front, whether it counts or not.
    #[inline(always)]
    pub(crate) fn front(&mut self) -> Option<QueueEntry> {
        self.entries.front().copied()
    }

    /// Is done with the entry at the front.
    #[inline(always)]
    pub(crate) fn pass(&mut self) {
        self.entries.pop_front();
    }

    /// A lane has left it: its entry does not count any more.
    #[inline(always)]
    pub(crate) fn left(&mut self) {
        self.len -= 1;
    }

    /// All entries, in order, whether they count or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = QueueEntry> {
        self.entries.iter().copied()
    }
}

/// What becomes of an entry of a [`WaitQueue`].
pub(crate) enum Fate {
    Stays,
    /// What it waited for is there.
    Leaves,
    /// Its lane had left before.
    CountsNoMore,
}

/// Lanes that wait for something, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    entries: VecDeque<QueueEntry>,
    /// The entries that count.
    len: u32,
}

impl WaitQueue {
    /// How many lanes stand in it.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// A lane that does not stand in it enters at the back. Returns whether there was memory for it.
    pub(crate) fn push(&mut self, entry: QueueEntry, counts: impl Fn(QueueEntry) -> bool) -> bool {
        if self.entries.len() >= 2 * self.len as usize + 16 {
            self.tidy(counts);
        }
        if self.entries.try_reserve(1).is_err() {
            return false;
        }
        self.entries.push_back(entry);
        self.len += 1;
        true
    }

    /// Removes the entries that do not count.
    pub(crate) fn tidy(&mut self, counts: impl Fn(QueueEntry) -> bool) {
        self.entries.retain(|entry| counts(*entry));
    }

    /// Makes room for that many lanes, so that entering allocates nothing. Returns whether there was memory
    /// for it.
    pub(crate) fn reserve(&mut self, lanes: usize) -> bool {
        let most = 2 * lanes + 16;
        self.entries.try_reserve(most.saturating_sub(self.entries.len())).is_ok()
    }

    /// Asks of each entry, in order, what becomes of it.
    pub(crate) fn sort_out(&mut self, mut fate: impl FnMut(QueueEntry) -> Fate) {
        self.entries.retain(|entry| match fate(*entry) {
            Fate::Stays => true,
            Fate::Leaves => {
                self.len -= 1;
                false
            }
            Fate::CountsNoMore => false,
        });
    }

    /// The lane that has waited longest.
    pub(crate) fn front(&mut self, counts: impl Fn(QueueEntry) -> bool) -> Option<LaneId> {
        while let Some(entry) = self.entries.front() {
            if counts(*entry) {
                return Some(entry.lane);
            }
            self.entries.pop_front();
        }
        None
    }

    /// A lane has left it: its entry does not count any more.
    pub(crate) fn left(&mut self) {
        self.len -= 1;
    }

    /// All entries, in order, whether they count or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = QueueEntry> {
        self.entries.iter().copied()
    }
}
