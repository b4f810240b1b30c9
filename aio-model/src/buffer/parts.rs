//! Several buffers as one, to be sent or received into in one go, without being copied together.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::Buffer;
use super::slices::Slices;

/// As many slices as every kernel takes in one call (`IOV_MAX` of Linux, the BSDs and macOS).
pub const SLICES_MAX: usize = 1024;

/// As many parts as one call looks at: there may be any number of empty ones among them.
const PARTS_MAX: usize = 4 * SLICES_MAX;

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
    /// Apart, so that a [`Buffer`] is no larger than most of them need.
    inner: Box<Inner>,
}

#[derive(Default)]
struct Inner {
    /// None of them has parts itself.
    buffers: Vec<Buffer>,
    /// Where the last call began: the next one goes on from there, without walking all parts again.
    cursor: Cursor,
}

/// A part, and how many bytes are in those before it.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    part: usize,
    before: usize,
}

/// More bytes than this machine can count. In the tests of this crate it is a machine of 32 bits.
const BYTES_MAX: usize = if cfg!(test) { u32::MAX as usize } else { usize::MAX };

/// How long a part is: what it holds, or what it has space for.
type Measure = fn(&Buffer) -> usize;

impl Parts {
    /// The buffers, in order.
    pub fn as_slice(&self) -> &[Buffer] {
        &self.inner.buffers
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Buffer] {
        &mut self.inner.buffers
    }

    /// Whether there is a lease among them.
    pub(crate) fn has_lease(&self) -> bool {
        self.inner.buffers.iter().any(|part| matches!(part, Buffer::Lease(_)))
    }

    /// The buffers themselves, in order.
    pub fn into_vec(self) -> Vec<Buffer> {
        self.inner.buffers
    }

    /// Forgets where the last call began: another operation begins.
    pub(crate) fn rewind(&mut self) {
        self.inner.cursor = Cursor::default();
    }

    /// How many bytes they have together.
    pub(crate) fn len_bytes(&self) -> usize {
        self.sum(Buffer::len)
    }

    /// How many bytes can be received into them together.
    pub(crate) fn capacity(&self) -> usize {
        self.sum(Buffer::capacity)
    }

    fn sum(&self, measure: Measure) -> usize {
        // The same shared bytes may stand here often enough to exceed what memory holds.
        let add = |sum: usize, part| match sum.checked_add(measure(part)) {
            Some(sum) if sum < BYTES_MAX => sum,
            _ => BYTES_MAX,
        };
        self.inner.buffers.iter().fold(0, add)
    }

    /// Whether they have more bytes, or more space, than can be counted.
    pub(crate) fn is_too_large(&self) -> bool {
        self.len_bytes() == BYTES_MAX || self.capacity() == BYTES_MAX
    }

    /// Says how many bytes were received into them, from the first one on.
    pub(crate) fn fill(&mut self, mut count: usize) {
        for part in &mut self.inner.buffers {
            let here = part.capacity().min(count);
            part.fill(here);
            count -= here;
        }
    }

    /// Bytes `start..end`, as much of them as one call of at most `bytes_max` may take.
    pub(crate) fn lend(&mut self, start: usize, end: usize, bytes_max: usize) -> Slices<'_> {
        let Cut { parts, skip, len, count } =
            self.cut(start, end.saturating_sub(start).min(bytes_max), Buffer::len);
        Slices::of_parts(&self.inner.buffers[parts], skip, len, count)
    }

    /// The space from byte `start` on, as much of it as one call of at most `bytes_max` may fill.
    pub(crate) fn lend_space(&mut self, start: usize, bytes_max: usize) -> SlicesMut<'_> {
        let Cut { parts, skip, len, .. } = self.cut(start, bytes_max, Buffer::capacity);
        SlicesMut { parts: &mut self.inner.buffers[parts], skip, len }
    }

    /// Finds the parts from byte `start` on, which there is, that have `bytes_max` bytes together, or as many
    /// of them as a call takes.
    fn cut(&mut self, start: usize, bytes_max: usize, measure: Measure) -> Cut {
        debug_assert!(start >= self.inner.cursor.before, "an operation goes on from where it was");
        let Cursor { part: mut first, mut before } = self.inner.cursor;
        let buffers = &self.inner.buffers;
        while start - before >= measure(&buffers[first]) {
            before += measure(&buffers[first]);
            first += 1;
        }
        self.inner.cursor = Cursor { part: first, before };
        let skip = start - before;
        let (mut last, mut passed, mut len, mut count) = (first, skip, 0, 0);
        for part in buffers[first..].iter().take(PARTS_MAX) {
            if len == bytes_max || count == SLICES_MAX {
                break;
            }
            let here = measure(part) - core::mem::take(&mut passed);
            len += here.min(bytes_max - len);
            count += usize::from(here > 0);
            last += 1;
        }
        Cut { parts: first..last, skip, len, count }
    }
}

/// What a call is lent of the parts: all of these, but for the first `skip` bytes, and up to `len`, in so
/// many slices.
struct Cut {
    parts: Range<usize>,
    skip: usize,
    len: usize,
    count: usize,
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
                Buffer::Parts(parts) => self.inner.buffers.extend(parts.inner.buffers),
                whole => self.inner.buffers.push(whole),
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
        write!(f, "Parts({} of {} bytes)", self.inner.buffers.len(), self.len_bytes())
    }
}

/// What one vectored receive is lent to fill: at least one byte and at most 2³⁰, in at most [`SLICES_MAX`]
/// slices, none of them empty.
pub struct SlicesMut<'a> {
    parts: &'a mut [Buffer],
    /// Bytes of the first part that were filled before.
    skip: usize,
    /// Bytes in all.
    len: usize,
}

impl SlicesMut<'_> {
    /// The slices, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let (mut skip, mut left) = (self.skip, self.len);
        let slices = self.parts.iter_mut().map(move |part| {
            let space = &mut part.space()[core::mem::take(&mut skip)..];
            let here = space.len().min(left);
            left -= here;
            &mut space[..here]
        });
        slices.filter(|slice| !slice.is_empty())
    }

    /// How many bytes they have together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl fmt::Debug for SlicesMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlicesMut({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn lend(parts: &mut Parts, start: usize, end: usize, max: usize) -> Vec<Vec<u8>> {
        let slices = parts.lend(start, end, max);
        assert_eq!(slices.iter().map(<[u8]>::len).sum::<usize>(), slices.len());
        slices.iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn slices_are_cut_by_bytes_and_by_count_and_never_empty() {
        let mut parts: Parts = ["ab", "", "cde", "", "f"].map(Buffer::from).into_iter().collect();
        assert_eq!(lend(&mut parts, 0, 6, 100), [b"ab".to_vec(), b"cde".to_vec(), b"f".to_vec()]);
        assert_eq!(lend(&mut parts, 2, 6, 2), [b"cd".to_vec()]);
        assert_eq!(lend(&mut parts, 5, 6, 100), [b"f".to_vec()]);
        parts.rewind();
        assert_eq!(lend(&mut parts, 1, 5, 100), [b"b".to_vec(), b"cde".to_vec()], "back again");
        let mut many: Parts = (0..3000).map(|_| Buffer::from("xy")).collect();
        assert_eq!(many.lend(1, 6000, usize::MAX).len(), 2 * SLICES_MAX - 1);
        assert_eq!(lend(&mut many, 5999, 6000, usize::MAX), [b"y".to_vec()]);
    }

    #[test]
    fn any_number_of_empty_parts_costs_a_call_no_more_than_a_few() {
        let empty = || Buffer::from("");
        let parts = core::iter::repeat_with(empty).take(100_000);
        let mut parts: Parts = [Buffer::from("a")].into_iter().chain(parts).collect();
        parts.extend([Buffer::from("b")]);
        assert!(parts.lend(0, 2, usize::MAX).parts() <= PARTS_MAX);
        assert_eq!(lend(&mut parts, 0, 2, usize::MAX), [b"a".to_vec()]);
        assert_eq!(lend(&mut parts, 1, 2, usize::MAX), [b"b".to_vec()]);
    }

    /// The tests of this crate count like a machine of 32 bits.
    #[test]
    fn k7_parts_that_have_more_bytes_than_can_be_counted_are_too_large() {
        let whole = bytes::Bytes::from(vec![0; 1 << 30]);
        let parts = |count| core::iter::repeat_n(whole.clone(), count).map(Buffer::from).collect::<Parts>();
        assert_eq!((parts(3).len_bytes(), parts(3).is_too_large()), (3 << 30, false));
        for count in [4, 5, 100] {
            assert_eq!((parts(count).len_bytes(), parts(count).is_too_large()), (u32::MAX as usize, true));
        }
        assert!(Buffer::from(parts(5)).is_too_large() && !Buffer::from(whole).is_too_large());
    }

    #[test]
    fn space_is_filled_from_the_first_part_on() {
        let mut parts: Parts = [vec![0; 2], vec![], vec![0; 3]].map(Buffer::from).into_iter().collect();
        let mut fill = |start: usize, max: usize, byte: u8| {
            let mut space = parts.lend_space(start, max);
            let len = space.len();
            space.iter_mut().for_each(|slice| slice.fill(byte));
            len
        };
        assert_eq!((fill(0, 1, b'a'), fill(1, 3, b'b'), fill(4, 9, b'c')), (1, 3, 1));
        let filled: Vec<&[u8]> = parts.as_slice().iter().map(Buffer::as_slice).collect();
        assert_eq!(filled, [b"ab".as_slice(), b"", b"bbc"]);
    }
}
