//! A slab with generations: O(1) insert, look-up and removal, and keys that are never valid twice.
//!
//! # Implementation
//!
//! A vector of entries with a free list through the vacant ones, last in first out, so that the entry just
//! freed (still in the cache) is the next one used. Every insertion bumps the entry's generation; an entry
//! whose generations are used up is retired, so a key can not come round again. At one reuse every
//! microsecond that retires one entry in 71 minutes.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

use crate::id::Key;

/// "No entry": the end of a free list, a queue, a chain.
pub(crate) const NIL: u32 = u32::MAX;

/// A slab with generations. See the [module](self).
#[derive(Debug)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    /// How many times a place counts as used before it is made: 0, but for [`age`](Slab::age).
    aged: u32,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    slot: Slot<T>,
}

#[derive(Debug)]
enum Slot<T> {
    Vacant { next: u32 },
    Occupied(T),
}

impl<T> Slab<T> {
    /// What an entry takes, its generation included.
    pub const ENTRY_BYTES: usize = size_of::<Entry<T>>();

    /// An empty slab. Allocates nothing.
    pub const fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: NIL, len: 0, aged: 0 }
    }

    /// How many entries are occupied.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether no entry is occupied.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a value in and returns its key. Allocates only when no vacant entry is left.
    ///
    /// # Panics
    ///
    /// When the slab holds 2³² − 1 entries.
    #[inline]
    pub fn insert(&mut self, value: T) -> Key {
        let index = self.free;
        if index == NIL {
            return self.grow(value);
        }
        let entry = &mut self.entries[index as usize];
        let Slot::Vacant { next } = entry.slot else {
            unreachable!("the free list holds vacant entries only")
        };
        self.free = next;
        self.len += 1;
        entry.generation += 1;
        entry.slot = Slot::Occupied(value);
        entry.key(index)
    }

    /// Whether there is room for another value, and memory, if it takes more: the next insertion then
    /// allocates nothing.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        self.free != NIL || self.make_room()
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> bool {
        // Where there is no memory for twice as much there may be for a little more.
        self.entries.try_reserve(1).is_ok() || self.entries.try_reserve_exact(1).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, value: T) -> Key {
        let index = u32::try_from(self.entries.len()).ok().filter(|index| *index != NIL);
        let index = index.expect("a slab holds fewer than 2^32 - 1 entries");
        self.entries.push(Entry { generation: 1 + self.aged, slot: Slot::Occupied(value) });
        self.len += 1;
        self.entries[index as usize].key(index)
    }

    /// The value of `key`, if it is still there.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.index() as usize) {
            Some(Entry { generation, slot: Slot::Occupied(value) })
                if *generation == key.generation().get() =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The value of `key`, if it is still there.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index() as usize) {
            Some(Entry { generation, slot: Slot::Occupied(value) })
                if *generation == key.generation().get() =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The key of the occupied entry at `index`.
    ///
    /// # Panics
    ///
    /// When the entry is vacant: an index without a generation is for those who know that it is occupied.
    #[inline]
    pub fn key_at(&self, index: u32) -> Key {
        match self.entries.get(index as usize) {
            Some(entry @ Entry { slot: Slot::Occupied(_), .. }) => entry.key(index),
            _ => vacant(index),
        }
    }

    /// The value at `index`, with its key.
    #[inline]
    pub(crate) fn entry_mut(&mut self, index: u32) -> (Key, &mut T) {
        match self.entries.get_mut(index as usize) {
            Some(Entry { generation, slot: Slot::Occupied(value) }) => (key(index, *generation), value),
            _ => vacant(index),
        }
    }

    /// The value at `index`, with its key, if the entry is occupied.
    #[inline(always)]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<(Key, &mut T)> {
        match self.entries.get_mut(index as usize)? {
            Entry { generation, slot: Slot::Occupied(value) } => Some((key(index, *generation), value)),
            Entry { slot: Slot::Vacant { .. }, .. } => None,
        }
    }

    /// Takes the value of `key` out, if it is still there.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        Some(self.remove_at(key.index()))
    }

    /// Takes the value at `index` out.
    ///
    /// # Panics
    ///
    /// When the entry is vacant.
    pub fn remove_at(&mut self, index: u32) -> T {
        self.take_at(index).1
    }

    /// [`remove_at`](Slab::remove_at), with the key that it had.
    #[inline]
    pub(crate) fn take_at(&mut self, index: u32) -> (Key, T) {
        let Some(entry @ Entry { slot: Slot::Occupied(_), .. }) = self.entries.get_mut(index as usize) else {
            vacant(index)
        };
        let Slot::Occupied(value) = core::mem::replace(&mut entry.slot, Slot::Vacant { next: self.free })
        else {
            vacant(index)
        };
        // A generation that can not be counted up any more is never used again: the entry is retired.
        if entry.generation != u32::MAX {
            self.free = index;
        }
        self.len -= 1;
        (key(index, entry.generation), value)
    }

    /// Counts every place that is vacant, or yet to be made, as used so many times more: what takes a test
    /// too long to do one by one. One use, at least, is left of each.
    pub(crate) fn age(&mut self, uses: u32) {
        self.aged = self.aged.saturating_add(uses).min(u32::MAX - 1);
        let mut index = self.free;
        while let Some(Entry { generation, slot: Slot::Vacant { next } }) =
            self.entries.get_mut(index as usize)
        {
            *generation = generation.saturating_add(uses).min(u32::MAX - 1);
            index = *next;
        }
    }

    /// The occupied entries in the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0u32..).zip(&self.entries).filter_map(|(index, entry)| match &entry.slot {
            Slot::Occupied(value) => Some((entry.key(index), value)),
            Slot::Vacant { .. } => None,
        })
    }

    /// One past the highest index that was ever in use: the bound for a walk by index.
    pub fn index_bound(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(NIL)
    }

    /// The value at `index`, if the entry is occupied.
    pub fn at(&self, index: u32) -> Option<&T> {
        match self.entries.get(index as usize)? {
            Entry { slot: Slot::Occupied(value), .. } => Some(value),
            Entry { slot: Slot::Vacant { .. }, .. } => None,
        }
    }
}

impl<T> Entry<T> {
    #[inline]
    fn key(&self, index: u32) -> Key {
        key(index, self.generation)
    }
}

#[inline]
fn key(index: u32, generation: u32) -> Key {
    Key::new(index, NonZeroU32::new(generation).expect("generations count from 1"))
}

/// Apart, so that every access is two comparisons and no more.
#[cold]
#[inline(never)]
fn vacant(index: u32) -> ! {
    panic!("entry {index} is vacant")
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

/// Access by index alone, for links inside a structure that never outlive what they point at.
impl<T> Index<u32> for Slab<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        match self.entries.get(index as usize) {
            Some(Entry { slot: Slot::Occupied(value), .. }) => value,
            _ => vacant(index),
        }
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        match self.entries.get_mut(index as usize) {
            Some(Entry { slot: Slot::Occupied(value), .. }) => value,
            _ => vacant(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_value_even_when_the_place_is_reused() {
        let mut slab = Slab::new();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b');
        assert_eq!(new.index(), old.index(), "the freed place is the next one used");
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&'b'));
    }

    #[test]
    fn a_place_whose_generations_are_used_up_is_retired() {
        let mut slab = Slab::new();
        let first = slab.insert(1);
        slab.remove(first);
        slab.entries[0].generation = u32::MAX - 1;
        let last = slab.insert(2);
        assert_eq!((last.index(), last.generation().get()), (0, u32::MAX));
        assert_eq!(slab.remove(last), Some(2));
        assert_eq!(slab.insert(3).index(), 1);
    }
}
