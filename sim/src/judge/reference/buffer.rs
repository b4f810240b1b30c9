//! What carries bytes: by what can be done with it, and with the bytes themselves.

use aio_model::{PoolId, SLICES_MAX};

use super::Id;

/// Whose a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LentBy {
    /// The pool that it goes home to.
    pub pool: PoolId,
    /// The receive that goes on and has it out.
    pub counted: Option<Id>,
}

/// A buffer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Buffer {
    /// None.
    #[default]
    None,
    /// The user's own, to receive into or to send.
    Own(Vec<u8>),
    /// Shared bytes, to send only; and whose they are, if they were a lease.
    Shared(Vec<u8>, Option<LentBy>),
    /// Lent by a pool.
    Lease {
        /// Which one, and to whom.
        by: LentBy,
        /// How many bytes there is space for.
        space: usize,
        /// What was received.
        bytes: Vec<u8>,
    },
    /// Several, none of which has parts itself.
    Parts(Vec<Buffer>),
}

impl Buffer {
    /// A lease of a pool, with nothing in it.
    pub(super) fn lease(pool: PoolId, space: usize) -> Buffer {
        Buffer::Lease { by: LentBy { pool, counted: None }, space, bytes: vec![] }
    }

    /// The bytes that a send finds in it.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Buffer::None => vec![],
            Buffer::Own(bytes) | Buffer::Shared(bytes, _) | Buffer::Lease { bytes, .. } => bytes.clone(),
            Buffer::Parts(parts) => parts.iter().flat_map(Buffer::bytes).collect(),
        }
    }

    /// How much a receive can put into it.
    pub fn space(&self) -> usize {
        match self {
            Buffer::None | Buffer::Shared(..) => 0,
            Buffer::Own(bytes) => bytes.len(),
            Buffer::Lease { space, .. } => *space,
            Buffer::Parts(parts) => parts.iter().map(Buffer::space).sum(),
        }
    }

    /// Whether all of it can be received into.
    pub(super) fn is_writable(&self) -> bool {
        match self {
            Buffer::None | Buffer::Shared(..) => false,
            Buffer::Own(_) | Buffer::Lease { .. } => true,
            Buffer::Parts(parts) => parts.iter().all(Buffer::is_writable),
        }
    }

    pub(super) fn is_parts(&self) -> bool {
        matches!(self, Buffer::Parts(_))
    }

    /// How many bytes one call may take from byte `start` on: all, but not in more slices than a kernel
    /// takes.
    pub(super) fn in_one_call(&self, start: usize, measure: impl Fn(&Buffer) -> usize) -> usize {
        let Buffer::Parts(parts) = self else { return measure(self) - start };
        let mut skip = start;
        let slices = parts.iter().map(|part| {
            let here = measure(part);
            let skipped = skip.min(here);
            skip -= skipped;
            here - skipped
        });
        slices.filter(|len| *len > 0).take(SLICES_MAX).sum()
    }

    /// In how many pieces it lies.
    pub(super) fn parts(&self) -> usize {
        if let Buffer::Parts(parts) = self { parts.len() } else { 1 }
    }

    /// In how many slices `len` bytes lie from byte `start` on.
    pub(super) fn in_slices(&self, start: usize, len: usize) -> usize {
        let Buffer::Parts(parts) = self else { return 1 };
        let mut at = 0;
        let pieces = parts.iter().map(|part| {
            let from = at;
            at += part.bytes().len();
            from..at
        });
        pieces.filter(|piece| piece.start.max(start) < piece.end.min(start + len)).count()
    }

    /// Puts received bytes into it, from byte `start` on.
    pub(super) fn put(&mut self, start: usize, received: &[u8]) {
        match self {
            Buffer::None | Buffer::Shared(..) => {}
            Buffer::Own(bytes) => bytes[start..start + received.len()].copy_from_slice(received),
            Buffer::Lease { bytes, .. } => {
                bytes.resize(bytes.len().max(start + received.len()), 0);
                bytes[start..start + received.len()].copy_from_slice(received);
            }
            Buffer::Parts(parts) => {
                let (mut skip, mut rest) = (start, received);
                for part in parts {
                    let here = part.space();
                    let (first, after) = rest.split_at(rest.len().min(here.saturating_sub(skip)));
                    if !first.is_empty() {
                        part.put(skip, first);
                    }
                    (skip, rest) = (skip.saturating_sub(here), after);
                }
            }
        }
    }

    /// A receive has ended with that many bytes: leases hold so many and no more.
    pub(super) fn fill(&mut self, count: usize) {
        match self {
            Buffer::None | Buffer::Own(_) | Buffer::Shared(..) => {}
            Buffer::Lease { bytes, .. } => bytes.truncate(count),
            Buffer::Parts(parts) => {
                let mut left = count;
                for part in parts {
                    let here = part.space().min(left);
                    part.fill(here);
                    left -= here;
                }
            }
        }
    }

    /// Shared bytes instead of a lease, which goes home with them.
    #[must_use]
    pub fn into_shared(self) -> Buffer {
        match self {
            Buffer::Lease { by, bytes, .. } => Buffer::Shared(bytes, Some(by)),
            other => other,
        }
    }

    /// The buffers that it consists of.
    pub(super) fn parts_mut(&mut self) -> &mut [Buffer] {
        match self {
            Buffer::Parts(parts) => parts,
            whole => std::slice::from_mut(whole),
        }
    }

    /// The leases in it.
    pub fn leases(&self) -> Vec<LentBy> {
        match self {
            Buffer::None | Buffer::Own(_) | Buffer::Shared(_, None) => vec![],
            Buffer::Shared(_, Some(by)) | Buffer::Lease { by, .. } => vec![*by],
            Buffer::Parts(parts) => parts.iter().flat_map(Buffer::leases).collect(),
        }
    }
}
