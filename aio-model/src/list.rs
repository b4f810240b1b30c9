//! Intrusive FIFO queues: doubly linked lists of slab indices whose links live in the entries themselves.
//!
//! Nothing is allocated to queue something, and anything can leave from the middle in O(1). An entry with one
//! link is in at most one list at a time.

use crate::slab::NIL;

/// The neighbours of an entry in the list it is in. What is before the first says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    pub(crate) const UNLINKED: Link = Link { prev: NIL, next: NIL };
}

/// Where the links of a list's entries are kept.
pub(crate) trait Links {
    fn link(&self, index: u32) -> &Link;
    fn link_mut(&mut self, index: u32) -> &mut Link;
}

/// A FIFO queue of indices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: List = List { head: NIL, tail: NIL, len: 0 };

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    #[inline]
    pub(crate) fn push_back(&mut self, nodes: &mut impl Links, index: u32) {
        *nodes.link_mut(index) = self.next_link();
        self.append(nodes, index);
    }

    /// The link of the next entry, for whoever has it at hand: to be set before [`append`](List::append).
    #[inline]
    pub(crate) fn next_link(&self) -> Link {
        Link { prev: self.tail, next: NIL }
    }

    /// Puts an entry at the back whose link has been set.
    #[inline]
    pub(crate) fn append(&mut self, nodes: &mut impl Links, index: u32) {
        match self.tail {
            NIL => self.head = index,
            tail => nodes.link_mut(tail).next = index,
        }
        self.tail = index;
        self.len += 1;
    }

    pub(crate) fn pop_front(&mut self, nodes: &mut impl Links) -> Option<u32> {
        let index = self.front()?;
        self.remove(nodes, index);
        Some(index)
    }

    /// Takes an entry of *this* list out of it.
    #[inline]
    pub(crate) fn remove(&mut self, nodes: &mut impl Links, index: u32) {
        let link = core::mem::replace(nodes.link_mut(index), Link::UNLINKED);
        self.detach(nodes, index, link);
    }

    /// Takes the entry of *this* list out that had that link, which is of no meaning any more.
    ///
    /// Most are the first, and nobody reads the `prev` of the first: the next one need not be looked up to be told.
    #[inline]
    pub(crate) fn detach(&mut self, nodes: &mut impl Links, index: u32, Link { prev, next }: Link) {
        self.len -= 1;
        if self.head == index {
            self.head = next;
            if next == NIL {
                self.tail = NIL;
            }
            return;
        }
        nodes.link_mut(prev).next = next;
        match next {
            NIL => self.tail = prev,
            next => nodes.link_mut(next).prev = prev,
        }
    }

    /// The entries from the front to the back.
    pub(crate) fn iter<'a, L: Links>(&self, nodes: &'a L) -> impl Iterator<Item = u32> + use<'a, L> {
        core::iter::successors(self.front(), move |index| {
            let next = nodes.link(*index).next;
            (next != NIL).then_some(next)
        })
    }

    /// Whether it is as long as it says, and linked the same way in both directions.
    pub(crate) fn is_whole(&self, nodes: &impl Links) -> bool {
        let (mut before, mut index, mut count) = (NIL, self.head, 0);
        while index != NIL && count <= self.len {
            let Link { prev, next } = *nodes.link(index);
            if prev != before && index != self.head {
                return false;
            }
            (before, index, count) = (index, next, count + 1);
        }
        (before, count) == (self.tail, self.len)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::VecDeque;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    use super::*;

    /// Entries, each with its one link.
    struct Entries(Vec<Link>);

    impl Links for Entries {
        fn link(&self, index: u32) -> &Link {
            &self.0[index as usize]
        }

        fn link_mut(&mut self, index: u32) -> &mut Link {
            &mut self.0[index as usize]
        }
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// To the back of a list, out of whichever it is in.
        Push {
            list: usize,
            entry: u32,
        },
        Pop {
            list: usize,
        },
        Remove {
            entry: u32,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..3_usize, 0..8_u32).prop_map(|(list, entry)| Step::Push { list, entry }),
            1 => (0..3_usize).prop_map(|list| Step::Pop { list }),
            1 => (0..8_u32).prop_map(|entry| Step::Remove { entry }),
        ]
    }

    /// Takes an entry out of the list that it is in.
    fn remove(lists: &mut [List; 3], entries: &mut Entries, queues: &mut [VecDeque<u32>; 3], entry: u32) {
        for (list, queue) in lists.iter_mut().zip(queues) {
            if queue.contains(&entry) {
                list.remove(entries, entry);
                queue.retain(|other| *other != entry);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lists_over_the_same_entries_do_what_queues_do(steps in prop::collection::vec(step(), 0..100)) {
            let (mut lists, mut entries) = ([List::EMPTY; 3], Entries(alloc::vec![Link::UNLINKED; 8]));
            let mut queues: [VecDeque<u32>; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Push { list, entry } => {
                        remove(&mut lists, &mut entries, &mut queues, entry);
                        lists[list].push_back(&mut entries, entry);
                        queues[list].push_back(entry);
                    }
                    Step::Pop { list } => {
                        prop_assert_eq!(lists[list].pop_front(&mut entries), queues[list].pop_front());
                    }
                    Step::Remove { entry } => remove(&mut lists, &mut entries, &mut queues, entry),
                }
                for (list, queue) in lists.iter().zip(&queues) {
                    prop_assert!(list.is_whole(&entries));
                    prop_assert!(list.iter(&entries).eq(queue.iter().copied()));
                    prop_assert_eq!(list.front(), queue.front().copied());
                    prop_assert_eq!((list.len() as usize, list.is_empty()), (queue.len(), queue.is_empty()));
                }
            }
        }
    }
}
