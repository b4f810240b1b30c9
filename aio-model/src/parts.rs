//! Several buffers as one, to be sent in one go without being copied together.

use alloc::vec::Vec;
use core::fmt;

use crate::buffer::Buffer;

/// As many slices as every kernel takes in one call (`IOV_MAX` of Linux, the BSDs and macOS).
pub const SLICES_MAX: usize = 1024;

/// Buffers, one after the other. There may be more of them than one system call takes.
///
/// ```
/// use aio_model::{Buffer, Parts};
///
/// let body = bytes::Bytes::from_static(b"hello");
/// let parts: Parts = [Buffer::from(vec![0, 5]), Buffer::from(body)].into_iter().collect();
/// assert_eq!(Buffer::from(parts).len(), 7);
/// ```
#[derive(Default)]
pub struct Parts {
    /// None of them has parts itself.
    buffers: Vec<Buffer>,
}

impl Parts {
    /// The buffers, in order.
    pub fn as_slice(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The buffers themselves, in order.
    pub fn into_vec(self) -> Vec<Buffer> {
        self.buffers
    }

    /// How many bytes they have together.
    pub(crate) fn len_bytes(&self) -> usize {
        // The same shared bytes may stand here often enough to exceed what memory holds.
        self.buffers.iter().fold(0, |sum: usize, part| sum.saturating_add(part.len()))
    }
}

/// Parts of parts become parts.
impl FromIterator<Buffer> for Parts {
    fn from_iter<I: IntoIterator<Item = Buffer>>(buffers: I) -> Parts {
        let mut parts = Parts::default();
        parts.extend(buffers);
        parts
    }
}

impl Extend<Buffer> for Parts {
    fn extend<I: IntoIterator<Item = Buffer>>(&mut self, buffers: I) {
        for buffer in buffers {
            match buffer {
                Buffer::Parts(parts) => self.buffers.extend(parts.buffers),
                whole => self.buffers.push(whole),
            }
        }
    }
}

impl From<Vec<Buffer>> for Parts {
    fn from(buffers: Vec<Buffer>) -> Parts {
        buffers.into_iter().collect()
    }
}

/// Shows how many there are, never the bytes.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({} of {} bytes)", self.buffers.len(), self.len_bytes())
    }
}

/// What one vectored send is lent: at least one byte and at most 2³⁰, in at most [`SLICES_MAX`] slices, none of
/// them empty.
#[derive(Clone, Copy)]
pub struct Slices<'a> {
    parts: &'a [Buffer],
    /// Bytes of the first part that were sent before.
    skip: usize,
    /// Bytes in all.
    len: usize,
}

impl<'a> Slices<'a> {
    /// As much of bytes `start..end` of `parts` as one call of at most `bytes_max` bytes may take.
    pub(crate) fn lend(parts: &'a [Buffer], start: usize, end: usize, bytes_max: usize) -> Slices<'a> {
        let (mut first, mut skip) = (0, start);
        while skip > 0 && skip >= parts[first].len() {
            skip -= parts[first].len();
            first += 1;
        }
        let (bytes_max, mut len, mut count, mut last) = ((end - start).min(bytes_max), 0, 0, first);
        while len < bytes_max && count < SLICES_MAX {
            let here = parts[last].len() - if last == first { skip } else { 0 };
            len += here.min(bytes_max - len);
            count += usize::from(here > 0);
            last += 1;
        }
        Slices { parts: &parts[first..last], skip, len }
    }

    /// The slices, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let (mut skip, mut left) = (self.skip, self.len);
        let slices = self.parts.iter().map(move |part| {
            let slice = &part.as_slice()[core::mem::take(&mut skip)..];
            let slice = &slice[..slice.len().min(left)];
            left -= slice.len();
            slice
        });
        slices.filter(|slice| !slice.is_empty())
    }

    /// How many bytes they have together.
    pub fn len(self) -> usize {
        self.len
    }

    /// Never.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Slices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slices({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_cut_by_bytes_and_by_count_and_never_empty() {
        let parts: Parts = ["ab", "", "cde", "", "f"].map(Buffer::from).into_iter().collect();
        let lend = |start, end, max| {
            let slices = Slices::lend(parts.as_slice(), start, end, max);
            assert_eq!(slices.iter().map(<[u8]>::len).sum::<usize>(), slices.len());
            slices.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(lend(0, 6, 100), [b"ab".to_vec(), b"cde".to_vec(), b"f".to_vec()]);
        assert_eq!(lend(1, 5, 100), [b"b".to_vec(), b"cde".to_vec()]);
        assert_eq!(lend(2, 6, 2), [b"cd".to_vec()]);
        assert_eq!(lend(5, 6, 100), [b"f".to_vec()]);
        let many: Parts = (0..3000).map(|_| Buffer::from("xy")).collect();
        assert_eq!(Slices::lend(many.as_slice(), 1, 6000, usize::MAX).len(), 2 * SLICES_MAX - 1);
        assert_eq!(Slices::lend(many.as_slice(), 5999, 6000, usize::MAX).iter().collect::<Vec<_>>(), [b"y"]);
    }
}
