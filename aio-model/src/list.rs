//! Intrusive FIFO queues: doubly linked lists of slab indices whose links live in the entries themselves.
//!
//! Nothing is allocated to queue something, and anything can leave from the middle in O(1). An entry with one
//! link is in at most one list at a time.

use crate::slab::NIL;

/// The neighbours of an entry in the list it is in.
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
        self.detach(nodes, link);
    }

    /// Takes the entry of *this* list out that had that link, which is of no meaning any more.
    #[inline]
    pub(crate) fn detach(&mut self, nodes: &mut impl Links, Link { prev, next }: Link) {
        match prev {
            NIL => self.head = next,
            prev => nodes.link_mut(prev).next = next,
        }
        match next {
            NIL => self.tail = prev,
            next => nodes.link_mut(next).prev = prev,
        }
        self.len -= 1;
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
        let (mut before, mut count) = (NIL, 0);
        for index in self.iter(nodes).take(self.len as usize + 1) {
            if nodes.link(index).prev != before {
                return false;
            }
            (before, count) = (index, count + 1);
        }
        (before, count) == (self.tail, self.len)
    }
}
