//! Timers: O(1) arm and cancel, and the *exact* next deadline (T1).
//!
//! # Implementation
//!
//! A burst trie over ticks. A node has 64 slots, one per value of a six-bit digit of the tick; a slot holds
//! nothing, a list of timers, or a node for the next digit. A list is burst into a node only when it comes to
//! the front, is longer than `SCAN_MAX`, and the minimum within it is asked for. So
//!
//! * arming walks down at most `LEVELS` nodes and appends to a list,
//! * cancelling unlinks from a list,
//! * the minimum is found by following lowest set bits, then scanning at most `SCAN_MAX` timers,
//! * a timer moves at most `LEVELS` times in its life, whatever is armed and cancelled around it.
//!
//! The root is on the lowest level that has room for every tick armed so far: three levels do for the first
//! four minutes, four for the first four hours. A node that has become empty is kept for a while, up to
//! `IDLE_MAX` of them: where deadlines are put off again and again, the next one goes where the last one was,
//! and nothing is burst anew.
//!
//! The price: the one call that finds a long list at the front moves all of it, at about 20 ns a timer, and
//! once more for each level that it stays together. A million deadlines that fall into one second cost the
//! turn that first looks at them some 20 ms. And a timer that is left alone in the nodes of a burst list
//! keeps them: up to `LEVELS` − 1 nodes of 280 bytes.
//!
//! A timing wheel has the first two, but knows only the *slot* of its minimum and wakes early to find out; a
//! heap has the third, but costs more the more timers there are. Nothing here depends on the current time: a
//! deadline in the past is simply the smallest one.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::slab::{NIL, Slab};
use crate::time::Tick;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough digits for every tick that an [`Instant`](crate::Instant) can name: 8 × 6 bits ≥ 2⁶⁴ ns in ms.
const LEVELS: u8 = 8;
/// How long a list may be to be scanned for its minimum instead of being burst.
const SCAN_MAX: usize = 16;
/// How many nodes with nothing in them are kept.
const IDLE_MAX: u32 = 16;

/// Names an armed timer, until it has fired or was cancelled. Not generational: whoever arms a timer holds
/// the only copy and forgets it with the timer.
///
/// No number is 0, so that an `Option` of it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId(NonZeroU32);

impl TimerId {
    fn of(index: u32) -> TimerId {
        TimerId(NonZeroU32::MIN.saturating_add(index))
    }

    fn index(self) -> u32 {
        self.0.get() - 1
    }

    /// As a number that is 0 for none.
    #[inline]
    pub(crate) fn to_word(timer: Option<TimerId>) -> u32 {
        timer.map_or(0, |timer| timer.0.get())
    }

    /// The one that [`to_word`](TimerId::to_word) made a number of.
    #[inline]
    pub(crate) fn from_word(word: u32) -> Option<TimerId> {
        NonZeroU32::new(word).map(TimerId)
    }
}

/// A set of armed timers, each with a value that says whose it is. See the [module](self).
#[derive(Debug)]
pub struct Timers<T> {
    /// Armed timers, and vacant places, whose `node` is [`NIL`] and whose `next` is the next vacant one. Not
    /// a [`Slab`]: nobody asks for a generation, which would make each a third larger.
    entries: Vec<Entry<T>>,
    vacant: u32,
    armed: u32,
    nodes: Slab<Node>,
    root: u32,
    /// Empty nodes, the root not counted.
    idle: u32,
}

#[derive(Debug)]
struct Entry<T> {
    at: Tick,
    /// Neighbours in the circular list of the slot. The first entry's `prev` is the last.
    prev: u32,
    next: u32,
    node: u32,
    owner: T,
}

#[derive(Debug)]
struct Node {
    slots: [Slot; SLOTS],
    occupied: u64,
    parent: u32,
    /// In which slot of its parent it is.
    place: u8,
    /// 0 for the nodes whose slots are single ticks.
    level: u8,
}

/// What a slot of a node holds, packed: nothing, a child node, or the first timer of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot(u32);

enum Content {
    Empty,
    Child(u32),
    List(u32),
}

impl Slot {
    const EMPTY: Slot = Slot(NIL);
    const CHILD: u32 = 1 << 31;

    fn child(node: u32) -> Slot {
        debug_assert!(node < Slot::CHILD - 1);
        Slot(node + Slot::CHILD)
    }

    fn list(head: u32) -> Slot {
        assert!(head < Slot::CHILD, "fewer than 2^31 timers");
        Slot(head)
    }

    fn content(self) -> Content {
        match self.0 {
            NIL => Content::Empty,
            child if child & Slot::CHILD != 0 => Content::Child(child & !Slot::CHILD),
            head => Content::List(head),
        }
    }
}

impl Node {
    fn new(level: u8) -> Node {
        Node { slots: [Slot::EMPTY; SLOTS], occupied: 0, parent: NIL, place: 0, level }
    }

    /// Whether a tick is beyond what there is room for in it, if it is the root.
    fn ends_before(&self, at: Tick) -> bool {
        at.0 >> ((u32::from(self.level) + 1) * DIGIT_BITS) != 0
    }

    fn digit(&self, at: Tick) -> usize {
        digit(at, self.level)
    }

    fn set(&mut self, slot: usize, value: Slot) {
        self.slots[slot] = value;
        self.occupied |= 1 << slot;
    }

    fn clear(&mut self, slot: usize) {
        self.slots[slot] = Slot::EMPTY;
        self.occupied &= !(1 << slot);
    }
}

fn digit(at: Tick, level: u8) -> usize {
    // Masked to six bits before the cast, which can therefore not truncate.
    usize::try_from((at.0 >> (u32::from(level) * DIGIT_BITS)) & (SLOTS as u64 - 1)).unwrap_or(0)
}

impl<T: Copy> Timers<T> {
    /// What an armed timer takes, beside its share of the nodes.
    pub const ENTRY_BYTES: usize = size_of::<Entry<T>>();

    /// No timers.
    pub fn new() -> Timers<T> {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::new(0)).index();
        Timers { entries: Vec::new(), vacant: NIL, armed: 0, nodes, root, idle: 0 }
    }

    /// How many timers are armed.
    pub const fn len(&self) -> u32 {
        self.armed
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.armed == 0
    }

    /// Arms a timer. Ticks that no instant can name count as the last one that can.
    pub fn arm(&mut self, at: Tick, owner: T) -> TimerId {
        let at = at.min(Tick((1 << (u32::from(LEVELS) * DIGIT_BITS)) - 1));
        let index = self.insert(Entry { at, prev: NIL, next: NIL, node: NIL, owner });
        if self.nodes[self.root].ends_before(at) {
            self.raise(at);
        }
        let mut node = self.root;
        loop {
            let home = &self.nodes[node];
            let Content::Child(child) = home.slots[home.digit(at)].content() else { break };
            node = child;
        }
        self.append(node, index);
        TimerId::of(index)
    }

    /// Raises the root to where there is room for a tick.
    #[cold]
    fn raise(&mut self, at: Tick) {
        while self.nodes[self.root].ends_before(at) {
            let level = self.nodes[self.root].level + 1;
            if self.nodes[self.root].occupied == 0 {
                self.nodes[self.root].level = level;
                continue;
            }
            let root = self.nodes.insert(Node::new(level)).index();
            self.nodes[root].set(0, Slot::child(self.root));
            self.nodes[self.root].parent = root;
            self.root = root;
        }
    }

    /// Disarms a timer and gives its value back.
    ///
    /// # Panics
    ///
    /// When the timer has fired or was cancelled before: see [`TimerId`].
    pub fn cancel(&mut self, timer: TimerId) -> T {
        let index = timer.index();
        self.unlink(index);
        let vacant = core::mem::replace(&mut self.vacant, index);
        self.armed -= 1;
        let entry = self.at_mut(index);
        (entry.node, entry.next) = (NIL, vacant);
        entry.owner
    }

    /// When a timer fires, and whose it is.
    pub fn get(&self, timer: TimerId) -> Option<(Tick, &T)> {
        let entry = self.entries.get(timer.index() as usize).filter(|entry| entry.node != NIL)?;
        Some((entry.at, &entry.owner))
    }

    /// The earliest deadline, exactly.
    pub fn earliest(&mut self) -> Option<Tick> {
        self.first().map(|index| self.at(index).at)
    }

    /// The earliest timer and whose it is, if it is due at `now`.
    pub fn peek_due(&mut self, now: Tick) -> Option<(TimerId, &T)> {
        let index = self.first().filter(|index| self.at(*index).at <= now)?;
        Some((TimerId::of(index), &self.at(index).owner))
    }

    /// Takes the earliest timer that is due at `now`; of those of one tick, the one armed first.
    pub fn pop_due(&mut self, now: Tick) -> Option<T> {
        let index = self.first().filter(|index| self.at(*index).at <= now)?;
        Some(self.cancel(TimerId::of(index)))
    }

    /// Whether there is room for another timer, and memory, if it takes more. A node may still have to be
    /// made.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        self.vacant != NIL || self.make_room()
    }

    /// Whether there is memory for so many timers more.
    pub fn has_room_for(&mut self, count: usize) -> bool {
        self.entries.try_reserve(count).is_ok()
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> bool {
        self.entries.try_reserve(1).is_ok() || self.entries.try_reserve_exact(1).is_ok()
    }

    /// Puts an entry in a vacant place.
    fn insert(&mut self, entry: Entry<T>) -> u32 {
        self.armed += 1;
        let index = self.vacant;
        if index == NIL {
            self.entries.push(entry);
            return u32::try_from(self.entries.len() - 1).expect("fewer than 2^31 timers");
        }
        let place = self.at_mut(index);
        let vacant = core::mem::replace(place, entry).next;
        self.vacant = vacant;
        index
    }

    fn at(&self, index: u32) -> &Entry<T> {
        &self.entries[index as usize]
    }

    fn at_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }

    /// The earliest timer, bursting long lists on the way to it.
    fn first(&mut self) -> Option<u32> {
        if self.armed == 0 {
            return None;
        }
        let mut node = self.root;
        loop {
            let Node { slots, occupied, level, .. } = &self.nodes[node];
            if *occupied == 0 {
                debug_assert_ne!(node, self.root, "the armed are somewhere");
                self.prune(node);
                node = self.root;
                continue;
            }
            let slot = occupied.trailing_zeros() as usize;
            match slots[slot].content() {
                Content::Child(child) => node = child,
                Content::List(head) if *level == 0 => return Some(head),
                Content::List(head) => match self.scan(head) {
                    Some(first) => return Some(first),
                    None => node = self.burst(node, slot, head),
                },
                Content::Empty => unreachable!("an occupied slot holds something"),
            }
        }
    }

    /// The earliest timer of a list, if the list is short.
    fn scan(&self, head: u32) -> Option<u32> {
        let mut first = head;
        let mut index = self.at(head).next;
        for _ in 1..SCAN_MAX {
            if index == head {
                return Some(first);
            }
            if self.at(index).at < self.at(first).at {
                first = index;
            }
            index = self.at(index).next;
        }
        (index == head).then_some(first)
    }

    /// Spreads a list over a node of its own, in order.
    #[cold]
    fn burst(&mut self, node: u32, slot: usize, head: u32) -> u32 {
        let level = self.nodes[node].level - 1;
        let place = u8::try_from(slot).unwrap_or(0);
        let child = self.nodes.insert(Node { parent: node, place, ..Node::new(level) }).index();
        self.idle += 1;
        self.nodes[node].set(slot, Slot::child(child));
        let last = self.at(head).prev;
        let mut index = head;
        loop {
            let next = self.at(index).next;
            self.append(child, index);
            if index == last {
                return child;
            }
            index = next;
        }
    }

    /// Appends an unlinked timer to the list of its slot in `node`.
    fn append(&mut self, node: u32, index: u32) {
        let at = self.at(index).at;
        let home = &mut self.nodes[node];
        let slot = home.digit(at);
        let (prev, next) = match home.slots[slot].content() {
            Content::List(head) => (self.entries[head as usize].prev, head),
            Content::Empty => {
                self.idle -= u32::from(home.occupied == 0 && node != self.root);
                home.set(slot, Slot::list(index));
                (index, index)
            }
            Content::Child(_) => unreachable!("a timer goes to the deepest node of its path"),
        };
        let entry = self.at_mut(index);
        (entry.prev, entry.next, entry.node) = (prev, next, node);
        self.at_mut(prev).next = index;
        self.at_mut(next).prev = index;
    }

    fn unlink(&mut self, index: u32) {
        let &Entry { at, prev, next, node, .. } = self.at(index);
        assert!(node != NIL, "the timer is armed");
        let slot = self.nodes[node].digit(at);
        if next == index {
            let home = &mut self.nodes[node];
            home.clear(slot);
            if home.occupied == 0 && node != self.root {
                self.idle += 1;
                if self.idle > IDLE_MAX {
                    self.prune(node);
                }
            }
            return;
        }
        self.at_mut(prev).next = next;
        self.at_mut(next).prev = prev;
        let slot = &mut self.nodes[node].slots[slot];
        if *slot == Slot::list(index) {
            *slot = Slot::list(next);
        }
    }

    /// Frees an empty node, and those above it that hold nothing else.
    fn prune(&mut self, mut node: u32) {
        while node != self.root && self.nodes[node].occupied == 0 {
            let Node { parent, place, .. } = self.nodes.remove_at(node);
            self.nodes[parent].clear(usize::from(place));
            node = parent;
        }
        self.idle -= 1;
    }
}

impl<T: Copy> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    /// A step of a linear congruential generator: enough to scatter ticks.
    fn scatter(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 16
    }

    /// Against a sorted map: arm, cancel and fire in every mixture, near and far, and always the exact
    /// minimum.
    #[test]
    fn agrees_with_a_sorted_map() {
        let mut state = 1;
        let mut timers = Timers::new();
        let mut naive: BTreeMap<(Tick, u32), TimerId> = BTreeMap::new();
        let mut now = 0;
        for serial in 0..60_000 {
            match scatter(&mut state) % 8 {
                0..=3 => {
                    let span = 1 << (scatter(&mut state) % 40);
                    let at = Tick(now + scatter(&mut state) % span);
                    naive.insert((at, serial), timers.arm(at, serial));
                }
                4..=5 if !naive.is_empty() => {
                    let nth = usize::try_from(scatter(&mut state)).unwrap() % naive.len();
                    let (&key, &timer) = naive.iter().nth(nth).unwrap();
                    naive.remove(&key);
                    assert_eq!(timers.cancel(timer), key.1);
                }
                6 => {
                    now += scatter(&mut state) % (1 << (scatter(&mut state) % 20));
                    while let Some(owner) = timers.pop_due(Tick(now)) {
                        let key = *naive.iter().find(|((_, serial), _)| *serial == owner).unwrap().0;
                        assert_eq!(Some(key.0), naive.keys().next().map(|(at, _)| *at), "earliest first");
                        naive.remove(&key);
                    }
                }
                _ => {}
            }
            assert_eq!(timers.earliest(), naive.keys().next().map(|(at, _)| *at));
            assert_eq!(timers.len() as usize, naive.len());
            timers.check_nodes();
        }
        let root = &timers.nodes[timers.root];
        assert_eq!(root.level, 6, "the root has room for the latest, and no more");
    }

    impl<T: Copy> Timers<T> {
        /// Every node is where it says it is, and as few as agreed are empty.
        fn check_nodes(&self) {
            let (mut reached, mut idle, mut path) = (0, 0, alloc::vec![self.root]);
            while let Some(index) = path.pop() {
                reached += 1;
                let node = &self.nodes[index];
                idle += u32::from(node.occupied == 0 && index != self.root);
                for (place, slot) in node.slots.iter().enumerate() {
                    assert_eq!(node.occupied & (1 << place) != 0, *slot != Slot::EMPTY);
                    if let Content::Child(child) = slot.content() {
                        let Node { parent, place: said, level, .. } = self.nodes[child];
                        assert_eq!((parent, usize::from(said), level), (index, place, node.level - 1));
                        path.push(child);
                    }
                }
            }
            assert_eq!(reached, self.nodes.len(), "no node is lost");
            assert_eq!(idle, self.idle);
            assert!(idle <= IDLE_MAX);
        }
    }

    /// Deadlines that are put off again and again: the nodes that the last ones were in serve for the next.
    #[test]
    fn what_is_put_off_again_and_again_is_not_burst_anew() {
        let mut timers = Timers::new();
        for now in 0..1_000 {
            let armed: Vec<TimerId> = (0..50).map(|owner| timers.arm(Tick(now + 60_000), owner)).collect();
            assert_eq!(timers.earliest(), Some(Tick(now + 60_000)));
            for timer in armed {
                timers.cancel(timer);
            }
            timers.check_nodes();
        }
        let made: u32 = timers.nodes.iter().map(|(key, _)| key.generation().get()).sum();
        assert!(made < 100, "{made} nodes made in 1000 rounds");
    }

    #[test]
    fn timers_of_one_tick_fire_in_the_order_they_were_armed() {
        let mut timers = Timers::new();
        for owner in 0..100 {
            timers.arm(Tick(5_000 + owner % 2), owner);
        }
        let fired: Vec<u64> = core::iter::from_fn(|| timers.pop_due(Tick(6_000))).collect();
        let even_then_odd: Vec<u64> = (0..100).step_by(2).chain((1..100).step_by(2)).collect();
        assert_eq!(fired, even_then_odd);
        timers.check_nodes();
    }

    #[test]
    fn the_ends_of_time_can_be_armed() {
        let mut timers = Timers::new();
        timers.arm(Tick(u64::MAX), 'z');
        timers.arm(Tick(0), 'a');
        assert_eq!((timers.pop_due(Tick(0)), timers.pop_due(Tick(1 << 44))), (Some('a'), None));
    }
}
