//! Sends that go out together: what is left of the one at the head of a lane, and those behind it, in one
//! call.

use alloc::collections::VecDeque;

use crate::buffer::{SLICES_MAX, SlicePosition, SlicesBehind};
use crate::extra::QueuedOp;
use crate::id::ConnId;
use crate::system::{Outcome, Perform, Syscall};
use crate::transfer::{CALL_BYTES_MAX, Transfer};

/// Has the system send what is left of `head`, and of the sends queued behind it as many as fit into
/// `bytes_max` with all of their bytes: a send that does not is not begun, so that it can still be taken
/// back. Returns how much the system was lent, too.
pub(crate) fn send_together<C>(
    head: &mut Transfer,
    behind: &VecDeque<QueuedOp<C>>,
    bytes_max: usize,
    conn: ConnId,
    perform: impl Perform,
) -> (usize, Outcome) {
    let left = head.left();
    let first = head.lend();
    let all_of_head = first.len() == left;
    let bytes_max = if all_of_head { bytes_max.min(CALL_BYTES_MAX) } else { 0 };
    let (count, bytes) = fitting(behind, bytes_max.saturating_sub(left), SLICES_MAX - first.first_count());
    if count == 0 {
        return head.send(conn, perform);
    }
    let behind = SendsBehind { behind, count };
    let slices = first.and(&behind, bytes);
    (slices.len(), perform.perform(Syscall::SendVectored { conn, slices }))
}

/// How many sends of a queue fit into that many bytes and slices, and how many bytes they have together. Each
/// part of a buffer counts as a slice.
fn fitting<C>(behind: &VecDeque<QueuedOp<C>>, bytes_max: usize, slices_max: usize) -> (usize, usize) {
    let (mut count, mut bytes, mut slices) = (0, 0, 0);
    for transfer in behind.iter().map_while(send_of) {
        slices += transfer.buffer().parts().len();
        if slices > slices_max || transfer.left() > bytes_max - bytes {
            break;
        }
        bytes += transfer.left();
        count += 1;
    }
    (count, bytes)
}

/// What an operation sends, if it is a send: nothing else in that lane carries anything.
fn send_of<C>(queued: &QueuedOp<C>) -> Option<&Transfer> {
    queued.load.transfer()
}

/// The first `count` of the operations behind the head of a lane, all of them sends.
struct SendsBehind<'a, C> {
    behind: &'a VecDeque<QueuedOp<C>>,
    count: usize,
}

impl<C> SlicesBehind for SendsBehind<'_, C> {
    fn next_slice(&self, at: &mut SlicePosition) -> Option<&[u8]> {
        while at.entry < self.count {
            let transfer = self.behind.get(at.entry).and_then(send_of)?;
            let (start, end) = transfer.range();
            if let Some(part) = transfer.buffer().parts().get(at.part) {
                let (bytes, before) = (part.as_slice(), at.before);
                (at.part, at.before) = (at.part + 1, before + bytes.len());
                let from = start.saturating_sub(before).min(bytes.len());
                let to = end.saturating_sub(before).min(bytes.len());
                return Some(&bytes[from..to]);
            }
            *at = SlicePosition { entry: at.entry + 1, ..SlicePosition::default() };
        }
        None
    }
}
