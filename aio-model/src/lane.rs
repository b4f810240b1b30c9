//! The lane: one direction of a connection, or a listener's accepts. One type, whichever it is, so that the
//! directions can not drift apart.
//!
//! A lane is a FIFO of operations and what is believed of the kernel: *ready*, an attempt may succeed, or
//! not. Only an outcome makes it not ready. An event makes it ready again, or a last attempt that moved all
//! it was asked to, for none may follow that. Where a lane *stands* follows:
//!
//! ```text
//!                      operations, and ready
//!        ┌──────┐ ─────────────────────────▶ ┌─────────┐ ── attempt ─┐
//!   ────▶│ Idle │                            │ Running │ ◀───────────┘
//!        └──────┘ ◀───────────────────────── └─────────┘
//!                   none left, or not ready   │   │   ▲
//!                                             ▼   ▼   │ buffer granted, place free, time up
//!                                  Parked · Held · BackingOff
//! ```
//!
//! Parked: the pool has no buffer. Held: connections or credits are at their limit. `BackingOff`: the system
//! ran out of something that comes back without an event, or refused.
//!
//! The operation at the head lies in the lane itself, those behind it in [`Extra`](crate::extra::Extra). All
//! that is out of the ordinary is a bit of one word, so that the usual case is one comparison.

use crate::completion::{Done, OpError};
pub(crate) use crate::direction::Direction;
use crate::error::{SystemError, SystemErrorKind};
use crate::op::{LaneOp, Op};
use crate::system::{Outcome, Readiness, Rearm};
use crate::timers::TimerId;

/// Names a lane: the index of its connection, and the direction in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneId(u32);

impl LaneId {
    #[inline]
    pub(crate) fn new(conn: u32, direction: Direction) -> LaneId {
        LaneId(conn << 1 | u32::from(direction == Direction::Send))
    }

    pub(crate) fn receive(conn: u32) -> LaneId {
        LaneId(conn << 1)
    }

    pub(crate) fn send(conn: u32) -> LaneId {
        LaneId(conn << 1 | 1)
    }

    pub(crate) fn from_index(index: u32) -> LaneId {
        LaneId(index)
    }

    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) fn conn(self) -> u32 {
        self.0 >> 1
    }

    #[inline]
    pub(crate) fn direction(self) -> Direction {
        if self.0 & 1 == 0 { Direction::Receive } else { Direction::Send }
    }
}

/// The state of a lane, but for its operations: single bits, and in three of them what it waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits(u16);

impl Bits {
    /// An attempt may succeed. Without it an attempt would block: an outcome said so, and an event is due.
    pub(crate) const READY: Bits = Bits(1);
    /// It is ready because of an event that no attempt has been made for yet.
    pub(crate) const WOKEN: Bits = Bits(1 << 1);
    /// An event hinted at an end of stream or an error: a short transfer then proves nothing.
    pub(crate) const END_HINTED: Bits = Bits(1 << 2);
    /// It stands in the run queue.
    pub(crate) const QUEUED: Bits = Bits(1 << 3);
    /// Operations are queued behind the head.
    pub(crate) const MORE: Bits = Bits(1 << 4);
    /// The operation at the head has ended, and its completion waits there to be taken.
    pub(crate) const ENDED_HEAD: Bits = Bits(1 << 5);
    /// A buffer of the pool that its head receives from is set aside for it.
    pub(crate) const GRANTED: Bits = Bits(1 << 6);
    /// A send ended after a part of its bytes, and the user has not resumed the lane (C5).
    pub(crate) const TAINTED: Bits = Bits(1 << 7);
    /// A shutdown is in the queue, as its last operation.
    pub(crate) const SHUTTING: Bits = Bits(1 << 8);
    /// FIN was sent.
    pub(crate) const SHUT: Bits = Bits(1 << 9);
    /// Nothing more can come of this direction (K4).
    pub(crate) const OVER: Bits = Bits(1 << 10);
    /// Its connection is no stream that is open.
    pub(crate) const BARRED: Bits = Bits(1 << 11);
    /// It is in the list of listeners that stand in the run queue.
    pub(crate) const LISTED: Bits = Bits(1 << 12);
    /// The same bit, of a lane of a stream, which is in no such list: something about an operation of its
    /// connection lies apart, and is to be seen to with each attempt.
    pub(crate) const APART: Bits = Bits::LISTED;
    const WAIT: Bits = Bits(0b111 << Bits::WAIT_SHIFT);
    const WAIT_SHIFT: u32 = 13;
    const NONE: Bits = Bits(0);

    /// What keeps a submission from being just put at the head of its lane.
    pub(crate) const UNUSUAL_TO_SUBMIT: Bits = Bits(
        Bits::MORE.0
            | Bits::ENDED_HEAD.0
            | Bits::TAINTED.0
            | Bits::SHUTTING.0
            | Bits::SHUT.0
            | Bits::OVER.0
            | Bits::BARRED.0
            | Bits::WAIT.0,
    );
    /// What keeps the completion of the head from being all there is to do.
    pub(crate) const UNUSUAL_TO_ATTEMPT: Bits = Bits(
        Bits::MORE.0
            | Bits::ENDED_HEAD.0
            | Bits::GRANTED.0
            | Bits::SHUTTING.0
            | Bits::OVER.0
            | Bits::BARRED.0
            | Bits::APART.0
            | Bits::WAIT.0,
    );
    /// What keeps an event from just making the lane run.
    pub(crate) const UNUSUAL_TO_WAKE: Bits =
        Bits(Bits::BARRED.0 | Bits::ENDED_HEAD.0 | Bits::OVER.0 | Bits::WAIT.0);

    /// Whether any of `others` is set.
    #[inline]
    pub(crate) fn any(self, others: Bits) -> bool {
        self.0 & others.0 != 0
    }
}

impl core::ops::BitOr for Bits {
    type Output = Bits;

    fn bitor(self, other: Bits) -> Bits {
        Bits(self.0 | other.0)
    }
}

/// What a lane waits for, other than an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    Nothing,
    /// A buffer of the pool that its head receives from.
    Buffer,
    /// A free connection or credit.
    Place,
    /// The end of its pause.
    Pause(Want),
    /// The outcome of a call that is under way.
    Outcome,
    /// One of the leases that its head has out.
    Lease,
}

/// What a lane that backs off waits for, besides the end of its pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nothing.
    Time,
    /// A descriptor.
    Descriptor {
        /// Whether it had one since its last pause: those that had none come first.
        served: bool,
    },
}

/// One direction of a connection. Its fields are changed by the methods below, and those by
/// [`Lanes`](crate::lanes::Lanes) alone, which then brings where it stands in line with it.
#[derive(Debug)]
pub(crate) struct Lane<C> {
    bits: Bits,
    /// How often in a row the system was short of something, or refused.
    row: Row,
    /// The kind of the error that it ended with; none after an end of stream.
    error: Option<SystemErrorKind>,
    /// In a queue, its ticket there; while it pauses, the timer of that; once it has ended, the number of the
    /// error.
    word: u32,
    /// Bytes that went through, ever.
    bytes: u64,
    /// The operation that is next, or that has ended and whose completion is not taken.
    pub(crate) head: Option<Op<C>>,
}

/// What a call moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    /// How many bytes.
    pub(crate) count: usize,
    /// Whether there was room for more, or more to be sent.
    pub(crate) short: bool,
}

impl Moved {
    /// What a receive moved into that much space; none if it moved nothing, or says what can not be.
    #[inline]
    pub(crate) fn received(outcome: Outcome, space: usize) -> Option<Moved> {
        let (count, short) = match outcome {
            Outcome::Transferred(count) => (count, count < space),
            Outcome::Partial(count) => (count, false),
            _ => return None,
        };
        (1..=space).contains(&count).then_some(Moved { count, short })
    }

    /// What a send moved of so many bytes; none if it moved nothing, or says what can not be.
    #[inline]
    pub(crate) fn sent(outcome: Outcome, lent: usize) -> Option<Moved> {
        match outcome {
            Outcome::Transferred(count) if (1..=lent).contains(&count) => {
                Some(Moved { count, short: count < lent })
            }
            _ => None,
        }
    }
}

/// What a lane ended with. Sticky: every operation from now on ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The peer has sent all it ever will.
    EndOfStream,
    /// An error of the system.
    Fault(SystemError),
}

impl<C> Lane<C> {
    pub(crate) fn new(direction: Direction, barred: bool) -> Lane<C> {
        // A send is worth a try at once. A receive waits for the event that the registration will cause.
        let ready = if direction == Direction::Send { Bits::READY } else { Bits::NONE };
        Lane {
            bits: if barred { ready | Bits::BARRED } else { ready },
            row: Row::NONE,
            error: None,
            word: 0,
            bytes: 0,
            head: None,
        }
    }

    #[inline]
    pub(crate) fn bits(&self) -> Bits {
        self.bits
    }

    #[inline]
    pub(crate) fn has(&self, bits: Bits) -> bool {
        self.bits.any(bits)
    }

    #[inline]
    pub(crate) fn set(&mut self, bits: Bits) {
        self.bits.0 |= bits.0;
    }

    #[inline]
    pub(crate) fn clear(&mut self, bits: Bits) {
        self.bits.0 &= !bits.0;
    }

    #[inline]
    pub(crate) fn put(&mut self, bits: Bits, value: bool) {
        if value { self.set(bits) } else { self.clear(bits) }
    }

    /// Whether an attempt may succeed.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.has(Bits::READY)
    }

    /// Bytes that went through, ever.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The operation that is next.
    #[inline]
    pub(crate) fn next(&self) -> Option<&Op<C>> {
        self.head.as_ref().filter(|op| !op.is_ended())
    }

    /// What the next operation has to do.
    #[inline]
    pub(crate) fn next_kind(&self) -> Option<LaneOp> {
        self.next().map(|op| op.kind)
    }

    /// Whether there is something to attempt. A shutdown is its lane's last operation; once it is the only
    /// one, it needs no room in the kernel's buffers.
    #[inline]
    pub(crate) fn is_runnable(&self) -> bool {
        let shuts_down = self.has(Bits::SHUTTING) && !self.has(Bits::MORE);
        (self.is_ready() || shuts_down) && self.next().is_some() && !self.has(Bits::OVER)
    }

    /// What it waits for, other than an event.
    pub(crate) fn wait(&self) -> WaitsFor {
        match (self.bits.0 & Bits::WAIT.0) >> Bits::WAIT_SHIFT {
            0 => WaitsFor::Nothing,
            1 => WaitsFor::Buffer,
            2 => WaitsFor::Place,
            3 => WaitsFor::Pause(Want::Time),
            4 => WaitsFor::Pause(Want::Descriptor { served: false }),
            5 => WaitsFor::Pause(Want::Descriptor { served: true }),
            6 => WaitsFor::Outcome,
            _ => WaitsFor::Lease,
        }
    }

    pub(crate) fn set_wait(&mut self, wait: WaitsFor) {
        let before = self.wait();
        debug_assert!(
            (before == WaitsFor::Nothing) != (wait == WaitsFor::Nothing),
            "a lane waits for one thing at a time: {before:?}, then {wait:?}"
        );
        let number: u16 = match wait {
            WaitsFor::Nothing => 0,
            WaitsFor::Buffer => 1,
            WaitsFor::Place => 2,
            WaitsFor::Pause(Want::Time) => 3,
            WaitsFor::Pause(Want::Descriptor { served: false }) => 4,
            WaitsFor::Pause(Want::Descriptor { served: true }) => 5,
            WaitsFor::Outcome => 6,
            WaitsFor::Lease => 7,
        };
        self.bits.0 = self.bits.0 & !Bits::WAIT.0 | number << Bits::WAIT_SHIFT;
    }

    /// It enters the run queue.
    #[inline(always)]
    pub(crate) fn enter_run(&mut self, ticket: u32) {
        debug_assert!(!self.has(Bits::QUEUED | Bits::WAIT), "a lane stands in one queue at a time");
        self.set(Bits::QUEUED);
        self.word = ticket;
    }

    /// Whether it stands in the run queue with that ticket, its turn is in the round that begins with the
    /// other, and nothing about it is out of the ordinary.
    #[inline(always)]
    pub(crate) fn is_usual_at(&self, ticket: u32, round: u32) -> bool {
        let usual = self.bits.0 & (Bits::UNUSUAL_TO_ATTEMPT.0 | Bits::QUEUED.0) == Bits::QUEUED.0;
        usual && self.word == ticket && is_before(ticket, round)
    }

    /// Its ticket in the queue that it stands in.
    #[inline]
    pub(crate) fn ticket(&self) -> u32 {
        self.word
    }

    #[inline]
    pub(crate) fn set_ticket(&mut self, ticket: u32) {
        self.word = ticket;
    }

    /// The timer of its pause.
    pub(crate) fn pause_timer(&self) -> Option<TimerId> {
        match self.wait() {
            WaitsFor::Pause(_) => TimerId::from_word(self.word),
            _ => None,
        }
    }

    pub(crate) fn set_pause_timer(&mut self, timer: TimerId) {
        self.word = TimerId::to_word(Some(timer));
    }

    /// What it has come to its end with. Of a connection that is about to be closed, and has its lane in the
    /// run queue for that, the number of the error is not known any more.
    pub(crate) fn end(&self) -> Option<End> {
        if !self.has(Bits::OVER) {
            return None;
        }
        let stands = self.has(Bits::QUEUED) || self.wait() != WaitsFor::Nothing;
        let word = if stands { 0 } else { self.word };
        Some(self.error.map_or(End::EndOfStream, |kind| End::Fault(SystemError::from_word(kind, word))))
    }

    /// It has come to its end. Where it still stands in a queue, its connection is about to be closed.
    pub(crate) fn set_end(&mut self, end: End) {
        debug_assert!(!self.has(Bits::OVER), "a lane ends once");
        self.set(Bits::OVER);
        let (error, word) = match end {
            End::EndOfStream => (None, 0),
            End::Fault(error) => (Some(error.kind()), error.to_word()),
        };
        self.error = error;
        if !self.has(Bits::QUEUED) && self.wait() == WaitsFor::Nothing {
            self.word = word;
        }
    }

    /// An event said that an attempt may succeed. Returns whether that is news.
    #[inline]
    pub(crate) fn on_event(&mut self, readiness: Readiness) -> bool {
        if readiness.hints_end() {
            self.set(Bits::END_HINTED);
        }
        let is_news = !self.is_ready();
        if is_news {
            self.set(Bits::READY | Bits::WOKEN);
        }
        is_news
    }

    /// Bytes went through. If they were fewer than there was room for, and the engine reports arrivals, that
    /// proves that there is no more, unless an end may be waiting behind the bytes.
    #[inline]
    pub(crate) fn on_transfer(&mut self, moved: Moved, rearm: Rearm) {
        let drained = moved.short && rearm == Rearm::OnArrival && !self.has(Bits::END_HINTED);
        self.on_success();
        if drained {
            self.clear(Bits::READY);
        }
        self.bytes += moved.count as u64;
    }

    /// An attempt succeeded: a row of pauses is over; no event is any more the reason to make one, and if it
    /// was a last attempt, made without any, none may follow.
    #[inline]
    pub(crate) fn on_success(&mut self) {
        self.clear(Bits::WOKEN);
        self.set(Bits::READY);
        self.row = Row::NONE;
    }

    /// A call did what it was made for: a row of pauses is over.
    pub(crate) fn end_row(&mut self) {
        self.row = Row::NONE;
    }

    /// An attempt would have blocked. Returns whether an event had been the reason for it.
    #[inline]
    pub(crate) fn on_would_block(&mut self) -> bool {
        let woken = self.has(Bits::WOKEN);
        self.clear(Bits::READY | Bits::WOKEN | Bits::END_HINTED);
        self.row.end_refusals();
        woken
    }

    /// An attempt was interrupted.
    pub(crate) fn on_interrupt(&mut self) {
        self.row.end_refusals();
    }

    /// How often in a row the system was short of something, or refused.
    pub(crate) fn row_mut(&mut self) -> &mut Row {
        &mut self.row
    }

    /// For those who look at all there is.
    pub(crate) fn row(&self) -> Row {
        self.row
    }
}

impl End {
    /// What the receives of a connection end with when no more bytes come, given how its sends have ended.
    ///
    /// A kernel tells an error once, to whichever call comes first. After it was told to a send, a receive
    /// finds an end of stream that the peer never sent. EPIPE and ENOTCONN are no such news: they are the
    /// state of the socket, and the end behind them may be the peer's own.
    pub(crate) fn of_receives(sends: Option<End>) -> End {
        match sends {
            Some(End::Fault(error))
                if !matches!(error.kind(), SystemErrorKind::BrokenPipe | SystemErrorKind::NotConnected) =>
            {
                End::Fault(error)
            }
            _ => End::EndOfStream,
        }
    }

    /// What an operation ends with in a lane that has ended like this.
    pub(crate) fn result(self, kind: LaneOp) -> Result<Done, OpError> {
        match (self, kind) {
            (End::EndOfStream, LaneOp::Recv { exact: true }) => Err(OpError::UnexpectedEof),
            // A receive would not block.
            (End::EndOfStream, LaneOp::Wait) => Ok(Done::Ready),
            (End::EndOfStream, _) => Ok(Done::Received { end_of_stream: true }),
            (End::Fault(error), _) => Err(OpError::System(error)),
        }
    }
}

/// Whether a ticket was given out before another. Tickets come round, but none is kept while half of them are
/// given out.
#[inline(always)]
pub(crate) fn is_before(ticket: u32, other: u32) -> bool {
    other.wrapping_sub(ticket).wrapping_sub(1) < u32::MAX / 2
}

/// The longest pause of a lane that backs off, as a power of two in milliseconds: about a second.
pub(crate) const PAUSE_EXPONENT_MAX: u8 = 10;

/// How often in a row a lane's calls met a shortage, and how often in a row they were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row(u8);

impl Row {
    pub(crate) const NONE: Row = Row(0);

    /// The bits that count pauses; the others count refusals.
    const PAUSES: u8 = 0b1111;

    pub(crate) fn pauses(self) -> u8 {
        self.0 & Row::PAUSES
    }

    /// Counts another pause.
    pub(crate) fn pause(&mut self) {
        self.0 += u8::from(self.pauses() < PAUSE_EXPONENT_MAX);
    }

    /// Counts another refusal, and returns how many there were in a row.
    pub(crate) fn refuse(&mut self) -> u8 {
        self.0 += Row::PAUSES + 1;
        self.0 >> 4
    }

    /// A call had another answer than a refusal.
    #[inline]
    pub(crate) fn end_refusals(&mut self) {
        self.0 &= Row::PAUSES;
    }
}

impl core::fmt::Debug for Bits {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = [
            "ready",
            "woken",
            "end_hinted",
            "queued",
            "more",
            "ended_head",
            "granted",
            "tainted",
            "shutting",
            "shut",
            "over",
            "barred",
            "listed or apart",
        ];
        let set = names.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        f.debug_set().entries(set.map(|(_, name)| name)).entry(&(self.0 >> Bits::WAIT_SHIFT)).finish()
    }
}
