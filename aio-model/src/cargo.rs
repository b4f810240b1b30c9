//! Cargo: the bytes that an operation carries, apart from the operation.
//!
//! Most operations of a server with many connections wait for something to read, and carry nothing yet: kept apart,
//! a buffer takes no room in them. Cargo is loaded when the operation is submitted with a buffer, or when a lane is
//! lent one, and unloaded into its completion.

use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::ops::{Index, IndexMut};

use crate::buffer::Buffer;
use crate::lease::Lease;

/// A buffer, which part of it is to be moved, and how much of that has been.
#[derive(Debug, Default)]
pub(crate) struct Cargo {
    pub(crate) buffer: Buffer,
    /// Where in the buffer the first byte to send is; 0 for a receive.
    pub(crate) start: usize,
    /// Where behind the last byte is: of a receive, how much space there is.
    pub(crate) end: usize,
    /// Bytes moved so far.
    pub(crate) moved: usize,
}

impl Cargo {
    /// A buffer to receive into, all of it.
    pub(crate) fn space(buffer: Buffer) -> Cargo {
        let end = buffer.capacity();
        Cargo { buffer, start: 0, end, moved: 0 }
    }

    /// What a pooled receive brought.
    #[inline]
    pub(crate) fn received(lease: Lease, count: usize) -> Cargo {
        Cargo { buffer: Buffer::Lease(lease), start: 0, end: count, moved: count }
    }

    /// How many bytes are left to be moved.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.end - self.start - self.moved
    }
}

/// Names loaded cargo, until it is unloaded. Only its operation has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CargoId(NonZeroU32);

impl CargoId {
    fn place(self) -> usize {
        (self.0.get() - 1) as usize
    }
}

/// The cargo of all operations.
#[derive(Debug)]
pub(crate) struct Cargos {
    /// Some of the places are vacant: there the cargo is empty.
    places: Vec<Cargo>,
    vacant: Vec<CargoId>,
}

impl Cargos {
    pub(crate) const EMPTY: Cargos = Cargos { places: Vec::new(), vacant: Vec::new() };

    /// Loads cargo. Allocates only when no place is vacant.
    #[inline]
    pub(crate) fn load(&mut self, cargo: Cargo) -> CargoId {
        let id = self.vacant.pop().unwrap_or_else(|| self.grow());
        let place = &mut self[id];
        debug_assert!(place.buffer.is_none(), "a vacant place has no buffer");
        // An assignment would drop what is not there: a call for nothing, each time.
        core::mem::forget(core::mem::replace(place, cargo));
        id
    }

    /// Whether there is room for another cargo, and memory, if it takes more: the next one then allocates nothing, nor
    /// does unloading it.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        !self.vacant.is_empty() || self.make_room()
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self) -> bool {
        let (count, vacant) = (self.places.len() + 1, self.vacant.len());
        let places = self.places.try_reserve(1).is_ok() || self.places.try_reserve_exact(1).is_ok();
        places && self.vacant.try_reserve(count - vacant).is_ok()
    }

    #[cold]
    fn grow(&mut self) -> CargoId {
        self.places.push(Cargo::default());
        let id = u32::try_from(self.places.len()).ok().and_then(NonZeroU32::new);
        CargoId(id.expect("as many as there are operations at the most"))
    }

    /// Unloads cargo: the buffer, and how many bytes of it were moved.
    #[inline]
    pub(crate) fn unload(&mut self, id: CargoId) -> (Buffer, usize) {
        self.vacant.push(id);
        let Cargo { buffer, moved, .. } = &mut self[id];
        (core::mem::take(buffer), *moved)
    }

    /// How much is loaded.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }
}

impl Index<CargoId> for Cargos {
    type Output = Cargo;

    #[inline]
    fn index(&self, id: CargoId) -> &Cargo {
        &self.places[id.place()]
    }
}

impl IndexMut<CargoId> for Cargos {
    #[inline]
    fn index_mut(&mut self, id: CargoId) -> &mut Cargo {
        &mut self.places[id.place()]
    }
}
