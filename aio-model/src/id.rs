//! Identity: what names a connection or an operation, and never names another one.
//!
//! A connection's id is an index into a slab, the generation of that slab entry, and the *realm*: a number
//! that differs from proactor to proactor. A stale id fails on its generation, an id of another proactor on
//! its realm (K1). An operation's id is a number that no other operation has, where the operation is, and the
//! realm.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::num::{NonZeroU32, NonZeroU64};

/// Where an entry of a slab lives, and which of the entries that lived there in turn it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    index: u32,
    generation: NonZeroU32,
}

impl Key {
    pub(crate) const fn new(index: u32, generation: NonZeroU32) -> Key {
        Key { index, generation }
    }

    /// The index of the entry. Indices are reused, generations of one index are not.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The generation of the entry: how many times its place had been taken, this time included.
    pub const fn generation(self) -> NonZeroU32 {
        self.generation
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index, self.generation)
    }
}

/// Names one connection or listener of one proactor, for ever: an id that outlived its connection is
/// *stale*, every call refuses it, and no event reaches whoever has the place now.
///
/// Ids are plain values: copy them, send them to other threads, use them as keys of your maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId {
    key: Key,
    realm: u32,
}

impl ConnId {
    pub(crate) const fn new(key: Key, realm: u32) -> ConnId {
        ConnId { key, realm }
    }

    /// What stands for the proactor itself, where an operation is of no connection.
    pub(crate) const fn own(realm: u32) -> ConnId {
        ConnId { key: Key::new(u32::MAX, NonZeroU32::MIN), realm }
    }

    /// The slab key behind this id.
    #[inline]
    pub const fn key(self) -> Key {
        self.key
    }

    /// The slab index behind this id: small, dense, and reused after the id has died.
    #[inline]
    pub const fn index(self) -> u32 {
        self.key.index
    }

    /// The number of the proactor that gave this id out.
    #[inline]
    pub const fn realm(self) -> u32 {
        self.realm
    }
}

/// Of the key alone: what a run hashes must not depend on how many proactors came before it.
impl Hash for ConnId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:?}", self.key)
    }
}

/// Names one operation of one proactor, from its submission until its final completion has been taken.
///
/// Later ones compare greater than earlier ones of the same proactor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpId {
    serial: Serial,
    /// Where it is: the id of its lane, or one of the proactor's own.
    place: u32,
    realm: u32,
}

impl OpId {
    #[inline]
    pub(crate) const fn new(serial: Serial, place: u32, realm: u32) -> OpId {
        OpId { serial, place, realm }
    }

    #[inline]
    pub(crate) const fn serial(self) -> Serial {
        self.serial
    }

    #[inline]
    pub(crate) const fn place(self) -> u32 {
        self.place
    }

    /// Its number: how many operations the proactor had accepted, this one included. No two have the same.
    pub fn number(self) -> u64 {
        self.serial.get()
    }

    /// The number of the proactor that gave this id out.
    pub const fn realm(self) -> u32 {
        self.realm
    }
}

/// Of the number alone: what a run hashes must not depend on how many proactors came before it.
impl Hash for OpId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.serial.get().hash(state);
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "o{}", self.serial.get())
    }
}

macro_rules! display_as_debug {
    ($($name:ident),*) => {
        $(impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        })*
    };
}

display_as_debug!(ConnId, OpId);

/// The number of an operation: no other of its proactor has it, ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serial(NonZeroU64);

impl Serial {
    pub(crate) const FIRST: Serial = Serial(NonZeroU64::MIN);

    /// This one; it is the one after it from now on. There are enough for one each nanosecond of 584 years.
    #[inline(always)]
    pub(crate) fn take_next(&mut self) -> Serial {
        let next = Serial(self.0.saturating_add(1));
        core::mem::replace(self, next)
    }

    pub(crate) fn get(self) -> u64 {
        self.0.get()
    }
}

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
