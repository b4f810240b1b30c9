//! A transfer: the buffer of an operation, which part of it is to be moved, and how much of that has been.

use crate::buffer::{Buffer, Slices};
use crate::id::ConnId;
use crate::system::{Outcome, Perform, Syscall};

/// The most bytes that one call is given: kernels cut longer ones short or refuse them, and a call that was
/// cut short must not be taken for one that found no more.
pub(crate) const CALL_BYTES_MAX: usize = 1 << 30;

/// The bytes that an operation moves. Without a buffer, none.
#[derive(Debug)]
pub(crate) struct Transfer {
    buffer: Buffer,
    /// Where in the buffer the first byte to send is; 0 for a receive.
    start: usize,
    /// Where behind the last byte is: of a receive, how much space there is.
    end: usize,
    /// Bytes moved so far.
    moved: usize,
}

impl Transfer {
    pub(crate) const NONE: Transfer = Transfer { buffer: Buffer::None, start: 0, end: 0, moved: 0 };

    /// Bytes `start..end` of a buffer, to be sent.
    pub(crate) fn bytes(buffer: Buffer, start: usize, end: usize) -> Transfer {
        Transfer { buffer, start, end, moved: 0 }
    }

    /// A buffer to receive into, all of it.
    pub(crate) fn space(buffer: Buffer) -> Transfer {
        let end = buffer.capacity();
        Transfer { buffer, start: 0, end, moved: 0 }
    }

    /// A buffer of which so much was moved, and nothing more will be.
    pub(crate) fn over(buffer: Buffer, moved: usize) -> Transfer {
        Transfer { buffer, start: 0, end: moved, moved }
    }

    pub(crate) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    pub(crate) fn buffer_mut(&mut self) -> &mut Buffer {
        &mut self.buffer
    }

    pub(crate) fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// Whether there is no buffer.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.buffer.is_none()
    }

    /// The part of the buffer that it is about.
    pub(crate) fn range(&self) -> (usize, usize) {
        (self.start, self.end)
    }

    /// How many bytes were moved.
    #[inline]
    pub(crate) fn moved(&self) -> usize {
        self.moved
    }

    /// How many bytes are left to be moved.
    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.end - self.start - self.moved
    }

    /// It is about to begin.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if let Buffer::Parts(parts) = &mut self.buffer {
            parts.rewind();
        }
    }

    /// So many bytes more were moved.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        self.moved += count;
    }

    /// Has the system send what is left, as much of it as one call takes. Returns how much it was lent, too.
    #[inline(always)]
    pub(crate) fn send(&mut self, conn: ConnId, perform: impl Perform) -> (usize, Outcome) {
        let (from, left) = (self.start + self.moved, self.left());
        if let Buffer::Parts(parts) = &mut self.buffer {
            let slices = parts.lend(from, self.end, CALL_BYTES_MAX);
            return (slices.len(), perform.perform(Syscall::SendVectored { conn, slices }));
        }
        let lent = left.min(CALL_BYTES_MAX);
        (lent, perform.perform(Syscall::Send { conn, bytes: &self.buffer.as_slice()[from..from + lent] }))
    }

    /// What is left, as much of it as one call takes.
    pub(crate) fn lend(&mut self) -> Slices<'_> {
        let (from, left) = (self.start + self.moved, self.left());
        match &mut self.buffer {
            Buffer::Parts(parts) => parts.lend(from, self.end, CALL_BYTES_MAX),
            whole => Slices::of_whole(whole, from, left.min(CALL_BYTES_MAX)),
        }
    }

    /// Has the system receive into the space that is left, as much of it as one call takes. Returns how much
    /// it was lent, too.
    pub(crate) fn receive(&mut self, conn: ConnId, perform: impl Perform) -> (usize, Outcome) {
        let (filled, left) = (self.moved, self.left());
        if let Buffer::Parts(parts) = &mut self.buffer {
            let slices = parts.lend_space(filled, CALL_BYTES_MAX);
            return (slices.len(), perform.perform(Syscall::RecvVectored { conn, slices }));
        }
        let lent = left.min(CALL_BYTES_MAX);
        let buffer = &mut self.buffer.space()[filled..filled + lent];
        (lent, perform.perform(Syscall::Recv { conn, buffer }))
    }

    /// The buffer and how many bytes were moved; of a receive, with that many in it.
    #[inline]
    pub(crate) fn finish(mut self, is_receive: bool) -> (Buffer, usize) {
        if is_receive {
            self.buffer.fill(self.moved);
        }
        (self.buffer, self.moved)
    }
}
