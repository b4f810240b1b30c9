//! Gathered sends against the concatenation of their parts.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use aio_model::testing::nowhere;
use aio_model::{
    Buffer, Completion, Config, ConnId, Done, Instant, Kind, Limits, Model, OpError, Outcome, Parts,
    Readiness, Rearm, SLICES_MAX, Send, SubmitErrorKind, Syscall,
};
use bytes::Bytes;

use super::Verdict;

/// Every four bytes add parts, send a range of them, answer a call, or cancel. The bytes on the wire are
/// those of the ranges, one after the other, in calls of at most `SLICES_MAX` slices, none empty, and of no
/// more calls than that takes: ranges that fit into one as a whole go out together.
///
/// # Errors
///
/// What was on the wire instead, or came back to the user.
pub fn slices(bytes: &[u8]) -> Verdict {
    judge(|_| {}, bytes)
}

/// As many parts as need three calls, and a few more.
const PARTS_MAX: usize = 2 * SLICES_MAX + 64;

/// What goes out together has no more bytes.
const LANE_BYTES: usize = Limits::DEFAULT.lane_transfer_max.get() as usize;

/// Where parts are cut from: no two places within 251 bytes look the same.
static PATTERN: [u8; 512] = {
    let (mut pattern, mut at) = ([0; 512], 0);
    while at < pattern.len() {
        // Less than 251, so it fits.
        pattern[at] = (at % 251).to_le_bytes()[0];
        at += 1;
    }
    pattern
};

/// What a call was given, as a list of slices that a test may meddle with.
type Gathered<'a> = Vec<&'a [u8]>;

/// A send that is queued.
struct Queued {
    serial: u32,
    parts: usize,
    bytes: Vec<u8>,
    /// How many of the bytes are on the wire.
    sent: usize,
}

struct Wire<T> {
    model: Model<u32>,
    conn: ConnId,
    meddle: T,
    /// The parts of the next send, and all their bytes.
    parts: Vec<Buffer>,
    naive: Vec<u8>,
    queued: VecDeque<Queued>,
    /// How the sends ended that have.
    ended: VecDeque<(u32, usize, Result<Done, OpError>)>,
    serial: u32,
}

fn judge(meddle: impl FnMut(&mut Gathered<'_>), bytes: &[u8]) -> Verdict {
    let mut wire = Wire::new(meddle);
    for step in bytes.chunks_exact(4) {
        let amount = usize::from(u16::from_le_bytes([step[1], step[2]]));
        match step[0] % 8 {
            0..=2 => wire.add(amount, step[3]),
            3 | 4 => wire.send(amount, usize::from(step[3]))?,
            5 => wire.attempt(amount, Outcome::Transferred(0))?,
            6 => {
                let outcomes = [Outcome::WouldBlock, Outcome::Interrupted];
                wire.attempt(0, outcomes[usize::from(step[3]) % 2])?;
            }
            _ => wire.cancel()?,
        }
        wire.take()?;
    }
    while !wire.queued.is_empty() {
        wire.attempt(0, Outcome::Transferred(0))?;
        wire.take()?;
    }
    Ok(())
}

impl<T: FnMut(&mut Gathered<'_>)> Wire<T> {
    fn new(meddle: T) -> Wire<T> {
        let limits = Limits { lane_ops_max: NonZeroU32::MAX, ..Limits::DEFAULT };
        let config = Config { limits, pools: vec![], realm: 1, rearm: Rearm::OnArrival };
        let mut model = Model::new(config, &nowhere());
        let conn = model.open(Kind::Stream).expect("there is room");
        Wire {
            model,
            conn,
            meddle,
            parts: vec![],
            naive: vec![],
            queued: VecDeque::new(),
            ended: VecDeque::new(),
            serial: 0,
        }
    }

    /// Adds `count` parts of one size and kind.
    fn add(&mut self, count: usize, how: u8) {
        let len = usize::from(how >> 3);
        for _ in 0..(count % (PARTS_MAX / 2)).min(PARTS_MAX - self.parts.len()) {
            let at = self.naive.len() % 251;
            let bytes = &PATTERN[at..at + len];
            self.naive.extend_from_slice(bytes);
            self.parts.push(match how & 7 {
                0 => bytes.to_vec().into(),
                1 => bytes.to_vec().into_boxed_slice().into(),
                2 => Bytes::from_static(bytes).into(),
                // Parts of parts become parts.
                3 => Parts::from_iter([Buffer::from(&bytes[..len / 2]), (&bytes[len / 2..]).into()]).into(),
                _ => bytes.into(),
            });
        }
    }

    /// Sends the parts without the first `skip` and the last `cut` bytes, about.
    fn send(&mut self, skip: usize, cut: usize) -> Verdict {
        let (parts, naive) = (std::mem::take(&mut self.parts), std::mem::take(&mut self.naive));
        let (start, end) = (skip % (naive.len() + 2), (naive.len() + 1).saturating_sub(cut));
        let expected = match () {
            () if end > naive.len() || start > end => Err(SubmitErrorKind::OutOfRange),
            () if start == end => Err(SubmitErrorKind::EmptyBuffer),
            () => Ok(()),
        };
        let parts = Parts::from(parts);
        let count = parts.as_slice().len();
        let send = Send::new(parts).skip(start).first(end);
        let submitted = self.model.submit(self.conn, send, self.serial, || Instant::ZERO);
        self.check()?;
        let answer = submitted.as_ref().map(|_| ()).map_err(|refused| refused.kind);
        ensure!(answer == expected, "{start}..{end} of {} bytes: {answer:?}", naive.len());
        if let Err(refused) = submitted {
            let back = refused.buffer.chunks().collect::<Gathered<'_>>().concat();
            ensure!(back == naive, "a refused send gives back other bytes");
        } else {
            let bytes = naive[start..end].to_vec();
            self.queued.push_back(Queued { serial: self.serial, parts: count, bytes, sent: 0 });
        }
        self.serial += 1;
        Ok(())
    }

    /// Makes the next call, if there is one. A transfer takes all that is lent, or `amount` modulo that.
    fn attempt(&mut self, amount: usize, outcome: Outcome) -> Verdict {
        self.model.on_ready(self.conn, Readiness::WRITABLE);
        self.model.begin_round();
        let (queued, meddle) = (&mut self.queued, &mut self.meddle);
        let (mut verdict, mut count) = (Ok(()), 0);
        let attempted = self.model.attempt(|call| {
            let Syscall::SendVectored { slices, .. } = call else {
                verdict = Err(format!("several parts were given to {call:?}"));
                return Outcome::WouldBlock;
            };
            let mut gathered: Gathered<'_> = slices.iter().collect();
            meddle(&mut gathered);
            let lent = slices.len();
            verdict = judge_call(queued, &gathered, lent);
            match outcome {
                Outcome::Transferred(_) => {
                    count = if amount == 0 { lent } else { 1 + amount % lent };
                    Outcome::Transferred(count)
                }
                _ => outcome,
            }
        });
        verdict?;
        ensure!(attempted != self.queued.is_empty(), "{} are queued: {attempted}", self.queued.len());
        while count > 0
            && let Some(head) = self.queued.front_mut()
        {
            let here = count.min(head.bytes.len() - head.sent);
            (head.sent, count) = (head.sent + here, count - here);
            if head.sent == head.bytes.len() {
                self.ended.push_back((head.serial, head.sent, Ok(Done::Sent)));
                self.queued.pop_front();
            }
        }
        self.check()
    }

    /// Cancels all sends, and goes on behind them.
    fn cancel(&mut self) -> Verdict {
        let tainted = self.queued.front().is_some_and(|head| head.sent > 0);
        let count = self.model.cancel_all(self.conn).map(|count| count as usize);
        ensure!(count == Ok(self.queued.len()), "cancelled {count:?} of {}", self.queued.len());
        for Queued { serial, sent, .. } in self.queued.drain(..) {
            self.ended.push_back((serial, sent, Err(OpError::Cancelled)));
        }
        let resumed = self.model.resume(self.conn);
        ensure!(resumed.is_ok() == tainted, "tainted is {tainted}, resuming says {resumed:?}");
        self.check()
    }

    /// Takes the completions: what ended, in order, with all the bytes that went through.
    fn take(&mut self) -> Verdict {
        while let Some(Completion { context, bytes, result, .. }) = self.model.next_completion() {
            let expected = self.ended.pop_front();
            let found = (context, usize::try_from(bytes).unwrap_or(usize::MAX), result);
            ensure!(Some(found) == expected, "completed {found:?}, not {expected:?}");
        }
        ensure!(self.ended.is_empty(), "no completion for {:?}", self.ended);
        Ok(())
    }

    fn check(&self) -> Verdict {
        self.model.check().map_err(|violation| violation.to_string())
    }
}

fn judge_call(queued: &VecDeque<Queued>, gathered: &Gathered<'_>, lent: usize) -> Verdict {
    let Some(Queued { serial, bytes, sent, .. }) = queued.front() else {
        return Err("a call for nothing".into());
    };
    let left = &bytes[*sent..];
    let (count, bytes) = (gathered.len(), gathered.concat());
    ensure!(count <= SLICES_MAX, "send {serial}: {count} slices in a call");
    ensure!(gathered.iter().all(|slice| !slice.is_empty()), "send {serial}: an empty slice");
    ensure!(bytes.len() == lent, "send {serial}: {} bytes of {lent}", bytes.len());
    if bytes.len() < left.len() {
        ensure!(left.starts_with(&bytes), "send {serial}: other bytes after the first {sent}");
        ensure!(count == SLICES_MAX, "send {serial}: only {count} slices, {lent} of {} bytes", left.len());
        return Ok(());
    }
    // Ranges end in the middle of a part: how many slices the first one has is seen when its bytes are over.
    let ends = gathered.iter().scan(0, |end, slice| {
        *end += slice.len();
        Some(*end)
    });
    let mut slices = ends.into_iter().take_while(|end| *end <= left.len()).count();
    let mut expected = left.to_vec();
    for send in queued.iter().skip(1) {
        slices += send.parts;
        if slices > SLICES_MAX || expected.len() + send.bytes.len() > LANE_BYTES {
            break;
        }
        expected.extend(&send.bytes);
    }
    ensure!(bytes == expected, "send {serial}: {lent} bytes in a call, not these {}", expected.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::fuzzing::property::{holds, rejects};

    #[test]
    fn the_wire_carries_the_range_and_nothing_else() {
        holds(slices, 60);
    }

    #[test]
    fn a_wrong_cut_is_rejected() {
        let swap = |gathered: &mut Gathered<'_>| gathered.reverse();
        let pad = |gathered: &mut Gathered<'_>| gathered.push(&[]);
        let lose = |gathered: &mut Gathered<'_>| gathered.truncate(gathered.len() - 1);
        let split = |gathered: &mut Gathered<'_>| {
            if let Some(last) = gathered.pop() {
                let (head, tail) = last.split_at(last.len() / 2);
                gathered.extend([head, tail].into_iter().filter(|half| !half.is_empty()));
            }
        };
        rejects(|bytes| judge(swap, bytes), 60);
        rejects(|bytes| judge(pad, bytes), 60);
        rejects(|bytes| judge(lose, bytes), 60);
        rejects(|bytes| judge(split, bytes), 60);
    }
}
