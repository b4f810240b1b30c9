//! What a vectored send is lent: a part of one buffer's bytes, and all of those of others behind it.

use core::fmt;

use super::Buffer;

/// What one vectored send is lent: at least one byte and at most 2³⁰, in at most
/// [`SLICES_MAX`](super::SLICES_MAX) slices, none of them empty.
#[derive(Clone, Copy)]
pub struct Slices<'a> {
    first: FirstSlices<'a>,
    /// What comes after these, of other operations.
    behind: Option<&'a dyn SlicesBehind>,
    /// Bytes in all.
    len: usize,
}

/// Slices of one buffer's parts.
#[derive(Clone, Copy)]
struct FirstSlices<'a> {
    parts: &'a [Buffer],
    /// Bytes of the first part that were sent before.
    skip: usize,
    /// Bytes in all.
    len: usize,
    /// How many slices they are.
    count: usize,
}

/// Slices that come one after the other, where they are: in a queue of whatever kind.
pub(crate) trait SlicesBehind {
    /// The next one, which may be empty, and how to go on from it; `None` behind the last.
    fn next_slice(&self, at: &mut SlicePosition) -> Option<&[u8]>;
}

/// Where in a queue a slice is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SlicePosition {
    /// Of which entry.
    pub(crate) entry: usize,
    /// Which part of its buffer.
    pub(crate) part: usize,
    /// Bytes in the parts before that.
    pub(crate) before: usize,
}

impl<'a> Slices<'a> {
    /// Of these parts `len` bytes behind the first `skip`, in `count` slices.
    pub(super) fn of_parts(parts: &'a [Buffer], skip: usize, len: usize, count: usize) -> Slices<'a> {
        Slices { first: FirstSlices { parts, skip, len, count }, behind: None, len }
    }

    /// Of a buffer in one piece `len` bytes behind the first `skip`.
    pub(crate) fn of_whole(buffer: &'a Buffer, skip: usize, len: usize) -> Slices<'a> {
        Slices::of_parts(core::slice::from_ref(buffer), skip, len, 1)
    }

    /// These, and `len` bytes behind them.
    pub(crate) fn and(self, behind: &'a dyn SlicesBehind, len: usize) -> Slices<'a> {
        Slices { behind: Some(behind), len: self.len + len, ..self }
    }

    /// How many slices there are of the first buffer.
    pub(crate) fn first_count(self) -> usize {
        self.first.count
    }

    /// How many parts the slices are looked for in.
    #[cfg(test)]
    pub(super) fn parts(self) -> usize {
        self.first.parts.len()
    }

    /// The slices, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let (mut skip, mut left) = (self.first.skip, self.first.len);
        let first = self.first.parts.iter().map(move |part| {
            let slice = &part.as_slice()[core::mem::take(&mut skip)..];
            let slice = &slice[..slice.len().min(left)];
            left -= slice.len();
            slice
        });
        let mut at = SlicePosition::default();
        let behind = core::iter::from_fn(move || self.behind?.next_slice(&mut at));
        first.chain(behind).filter(|slice| !slice.is_empty())
    }

    /// How many bytes they have together.
    pub fn len(self) -> usize {
        self.len
    }

    /// Never.
    pub fn is_empty(self) -> bool {
        false
    }
}

impl fmt::Debug for Slices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slices({} bytes)", self.len)
    }
}
