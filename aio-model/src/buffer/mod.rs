//! Buffers: what an operation carries, at any moment in exactly one place (B1).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::lease::Lease;

mod parts;
mod slices;

pub use parts::{Parts, SLICES_MAX, SlicesMut};
pub use slices::Slices;
pub(crate) use slices::{SlicePosition, SlicesBehind};

/// The bytes of an operation. It moves: user → operation → completion → user, and nobody else keeps any of
/// it.
#[derive(Default)]
#[non_exhaustive]
pub enum Buffer {
    /// No buffer.
    #[default]
    None,
    /// A vector of the user's. A receive fills it from its front, up to its length (not its capacity).
    Vec(Vec<u8>),
    /// A boxed slice of the user's.
    Boxed(Box<[u8]>),
    /// Shared bytes: to send, not to receive into.
    Bytes(Bytes),
    /// Bytes that live for ever: to send.
    Static(&'static [u8]),
    /// A buffer lent by the pool; its length is what was received.
    Lease(Lease),
    /// Several buffers, one after the other: to send them in one go, a header and a shared body without a
    /// copy; or to receive into them.
    Parts(Parts),
}

impl Buffer {
    /// The bytes. Of a lease, those that were received; of several parts, none, as they do not lie in one
    /// piece: see [`chunks`](Buffer::chunks).
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Buffer::None | Buffer::Parts(_) => &[],
            Buffer::Vec(bytes) => bytes,
            Buffer::Boxed(bytes) => bytes,
            Buffer::Bytes(bytes) => bytes,
            Buffer::Static(bytes) => bytes,
            Buffer::Lease(lease) => lease,
        }
    }

    /// The bytes, piece by piece: one piece, unless there are several parts.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.parts().iter().map(Buffer::as_slice)
    }

    /// The buffers that it consists of: itself, unless it has parts.
    pub(crate) fn parts(&self) -> &[Buffer] {
        match self {
            Buffer::Parts(parts) => parts.as_slice(),
            whole => core::slice::from_ref(whole),
        }
    }

    /// Whether there are more than can be counted. Memory has not as many, but shared bytes may stand among
    /// the parts any number of times.
    #[inline]
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, Buffer::Parts(parts) if parts.is_too_large())
    }

    /// How many bytes there are. Several parts that have more than `usize::MAX` together count as so many;
    /// they are not sent: see [`TooLarge`](crate::SubmitErrorKind::TooLarge).
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Buffer::Parts(parts) => parts.len_bytes(),
            whole => whole.as_slice().len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a receive can write into it.
    pub(crate) fn is_writable(&self) -> bool {
        match self {
            Buffer::Vec(_) | Buffer::Boxed(_) | Buffer::Lease(_) => true,
            Buffer::Parts(parts) => parts.as_slice().iter().all(Buffer::is_writable),
            Buffer::None | Buffer::Bytes(_) | Buffer::Static(_) => false,
        }
    }

    /// All that a receive can write into, in one piece: of a lease its whole capacity, of several parts none.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        match self {
            Buffer::Vec(bytes) => bytes,
            Buffer::Boxed(bytes) => bytes,
            Buffer::Lease(lease) => lease.space(),
            Buffer::None | Buffer::Bytes(_) | Buffer::Static(_) | Buffer::Parts(_) => &mut [],
        }
    }

    /// Whether there is no buffer.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Buffer::None)
    }

    /// How much can be received into it.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Buffer::Vec(bytes) => bytes.len(),
            Buffer::Boxed(bytes) => bytes.len(),
            Buffer::Lease(lease) => lease.capacity(),
            Buffer::Parts(parts) => parts.capacity(),
            Buffer::None | Buffer::Bytes(_) | Buffer::Static(_) => 0,
        }
    }

    /// Says how many bytes were received into it: only a lease remembers.
    pub(crate) fn fill(&mut self, count: usize) {
        match self {
            Buffer::Lease(lease) => lease.fill(count),
            Buffer::Parts(parts) => parts.fill(count),
            Buffer::None | Buffer::Vec(_) | Buffer::Boxed(_) | Buffer::Bytes(_) | Buffer::Static(_) => {}
        }
    }

    /// Turns the buffer into shared bytes, without copying unless it has several parts. A lease goes home
    /// when the last of them is dropped.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Buffer::None => Bytes::new(),
            Buffer::Vec(bytes) => bytes.into(),
            Buffer::Boxed(bytes) => bytes.into(),
            Buffer::Bytes(bytes) => bytes,
            Buffer::Static(bytes) => Bytes::from_static(bytes),
            Buffer::Lease(lease) => lease.into(),
            Buffer::Parts(parts) => parts.as_slice().iter().flat_map(Buffer::as_slice).copied().collect(),
        }
    }

    /// The vector, if it is one; otherwise the buffer as it was.
    ///
    /// # Errors
    ///
    /// The buffer itself, when it is not a vector.
    pub fn into_vec(self) -> Result<Vec<u8>, Buffer> {
        match self {
            Buffer::Vec(bytes) => Ok(bytes),
            other => Err(other),
        }
    }
}

/// Shows the kind and the length, never the bytes: they are the user's secrets.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Buffer::None => return f.write_str("None"),
            Buffer::Vec(_) => "Vec",
            Buffer::Boxed(_) => "Boxed",
            Buffer::Bytes(_) => "Bytes",
            Buffer::Static(_) => "Static",
            Buffer::Lease(_) => "Lease",
            Buffer::Parts(_) => "Parts",
        };
        write!(f, "{kind}({} bytes)", self.len())
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident,)*) => {
        $(impl From<$type> for Buffer {
            fn from(bytes: $type) -> Buffer {
                Buffer::$variant(bytes)
            }
        })*
    };
}

from! {
    Vec<u8> => Vec,
    Box<[u8]> => Boxed,
    Bytes => Bytes,
    &'static [u8] => Static,
    Lease => Lease,
    Parts => Parts,
}

impl<const N: usize> From<&'static [u8; N]> for Buffer {
    fn from(bytes: &'static [u8; N]) -> Buffer {
        Buffer::Static(bytes)
    }
}

impl From<&'static str> for Buffer {
    fn from(text: &'static str) -> Buffer {
        Buffer::Static(text.as_bytes())
    }
}
