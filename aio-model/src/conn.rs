//! A connection: two lanes, and where it is between being opened and being gone.
//!
//! ```text
//!   connect ─▶ Connecting ── failed, deadline, cancel ──▶ gone, or Closing if there is a descriptor
//!                  │ connected
//!                  ▼     close now, abort; close flush with nothing queued
//! adopt, accept ─▶ Open ───────────────────────────────────────┐
//!                  │ close flush, close linger, shut_down_by   ▼      close call
//!                  ▼                                        Closing ─────────────▶ Gone (the id is stale)
//!              Flushing ── sends done, time up, close now ───▶ ▲
//!                  │ sends done, if it is to linger            │
//!                  ▼                                           │
//!              Lingering ── peer ended, time up, close now ────┘
//! ```
//!
//! While it flushes and while it lingers, the receive lane discards what comes: a peer that writes before it
//! reads would otherwise never get to read. What is gone takes no connection's place any more, but stays
//! until its completions are taken.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::extra::{Carried, Closing, Extra, ExtraBox};
use crate::id::PoolId;
use crate::lane::{Bits, Direction, End, Lane};
use crate::op::{LaneOp, Op};
use crate::system::Kind;
use crate::time::Instant;
use crate::timers::TimerId;
use crate::transfer::Transfer;

/// A connection or listener.
#[derive(Debug)]
pub(crate) struct Conn<C> {
    pub(crate) lanes: [Lane<C>; 2],
    /// The buffer of the operation at the head of the send lane.
    pub(crate) send: Transfer,
    /// What only some have.
    pub(crate) extra: Option<ExtraBox<C>>,
    pub(crate) opened_at: Instant,
    /// When the last byte went through, in whatever direction; before any has, when it was opened.
    pub(crate) last_progress: Instant,
    /// When it may be found to be idle.
    pub(crate) idle_timer: Option<TimerId>,
    /// For how many milliseconds no byte may go through, and of the connections that it accepts.
    pub(crate) idle: Option<NonZeroU32>,
    /// When flushing or lingering ends: for a lingering `Close`, that long after the peer was last seen to
    /// take anything; without a `Close`, as the shutdown of the proactor says. The deadline of a `Close` is
    /// the operation's.
    pub(crate) end_timer: Option<TimerId>,
    /// The bytes that may be queued to be sent, and those of the connections that it accepts, if that is not
    /// as the proactor has it.
    pub(crate) lane_bytes_max: Option<NonZeroU32>,
    /// Where its pooled receives take from, and those of the connections that it accepts.
    pub(crate) pool: PoolId,
    pub(crate) kind: Kind,
    phase: Phase,
    /// The leases that the `Recv::many` at the head of its receive lane has out.
    pub(crate) leases_out: u8,
    /// Its receive lane had its last attempt before the connection is idle; the send lane's comes next.
    pub(crate) idle_looked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being made, and its id is nobody's yet. Its send lane has one operation, the connect. There is
    /// no descriptor.
    Connecting,
    /// The same, and there is a descriptor to be closed.
    ConnectingKnown,
    /// Operations are welcome.
    Open,
    /// No new operations; the queued sends go on, then it lingers or closes. What the peer sends is thrown
    /// away; its receive lane makes the calls for that, and backs off like any other.
    Flushing,
    /// No operations are left; a FIN is to be sent, and what the peer sends is thrown away until it ends too,
    /// or time is up. Its receive lane makes these calls.
    LingeringFinDue,
    /// The same, and sending the FIN has been tried.
    LingeringFinTried,
    /// The same, and the FIN is sent.
    LingeringFinSent,
    /// No operations are left; the descriptor waits to be closed. Its receive lane stands in the run queue
    /// for that.
    Closing,
    /// The same, and closing resets the connection, because the bytes sent so far are not all that belongs
    /// together.
    ClosingReset,
    /// The descriptor is closed; completions wait to be taken.
    Gone,
}

impl Phase {
    pub(crate) fn is_connecting(self) -> bool {
        matches!(self, Phase::Connecting | Phase::ConnectingKnown)
    }

    pub(crate) fn is_lingering(self) -> bool {
        matches!(self, Phase::LingeringFinDue | Phase::LingeringFinTried | Phase::LingeringFinSent)
    }

    /// Whether it flushes or lingers.
    pub(crate) fn is_ending(self) -> bool {
        self == Phase::Flushing || self.is_lingering()
    }

    pub(crate) fn is_closing(self) -> bool {
        matches!(self, Phase::Closing | Phase::ClosingReset)
    }

    /// Whether the diagram above has an arrow from here to there.
    fn leads_to(self, next: Phase) -> bool {
        match next {
            Phase::Connecting | Phase::ConnectingKnown => self.is_connecting(),
            Phase::Open => self.is_connecting(),
            Phase::Flushing => self == Phase::Open,
            Phase::LingeringFinDue | Phase::LingeringFinSent | Phase::LingeringFinTried => self.is_ending(),
            Phase::Closing | Phase::ClosingReset => {
                matches!(self, Phase::Open | Phase::ConnectingKnown) || self.is_ending()
            }
            Phase::Gone => self.is_closing() || self == Phase::Connecting,
        }
    }
}

impl<C> Conn<C> {
    pub(crate) fn new(kind: Kind, phase: Phase, pool: PoolId, now: Instant) -> Conn<C> {
        let barred = kind == Kind::Listener || phase != Phase::Open;
        Conn {
            lanes: Direction::BOTH.map(|direction| Lane::new(direction, barred)),
            send: Transfer::NONE,
            extra: None,
            opened_at: now,
            last_progress: now,
            idle_timer: None,
            idle: None,
            end_timer: None,
            lane_bytes_max: None,
            pool,
            kind,
            phase,
            leases_out: 0,
            idle_looked: false,
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Goes on to another phase.
    pub(crate) fn advance(&mut self, next: Phase) {
        debug_assert!(self.phase.leads_to(next), "{:?} does not lead to {next:?}", self.phase);
        self.phase = next;
        let barred = self.kind == Kind::Listener || next != Phase::Open;
        for lane in &mut self.lanes {
            lane.put(Bits::BARRED, barred);
        }
    }

    /// For those who break a model to see whether that is noticed.
    #[cfg(test)]
    pub(crate) fn force(&mut self, phase: Phase) {
        self.phase = phase;
    }

    #[inline]
    pub(crate) fn lane(&self, direction: Direction) -> &Lane<C> {
        &self.lanes[direction as usize]
    }

    #[inline]
    pub(crate) fn lane_mut(&mut self, direction: Direction) -> &mut Lane<C> {
        &mut self.lanes[direction as usize]
    }

    pub(crate) fn extra(&self) -> Option<&Extra<C>> {
        self.extra.as_deref().map(|[extra]| extra)
    }

    pub(crate) fn extra_mut(&mut self) -> Option<&mut Extra<C>> {
        self.extra.as_deref_mut().map(|[extra]| extra)
    }

    /// For how long no byte may go through.
    pub(crate) fn idle_span(&self) -> Option<Duration> {
        self.idle.map(|millis| Duration::from_millis(u64::from(millis.get())))
    }

    /// Its `Close`, if one was submitted.
    pub(crate) fn closing(&self) -> Option<&Closing<C>> {
        self.extra().and_then(|extra| extra.closing.as_ref())
    }

    /// How many operations are queued in a lane.
    pub(crate) fn queued(&self, direction: Direction) -> u32 {
        let behind = self.extra().map_or(0, |extra| extra.behind[direction as usize].len());
        let next = usize::from(self.lane(direction).next().is_some());
        u32::try_from(next + behind).unwrap_or(u32::MAX)
    }

    /// The bytes of the queued sends that are yet to be sent.
    pub(crate) fn bytes_to_send(&self) -> usize {
        let next = match self.lane(Direction::Send).next_kind() {
            Some(LaneOp::Send) => self.send.left(),
            _ => 0,
        };
        next.saturating_add(self.extra().map_or(0, |extra| extra.bytes_behind))
    }

    /// Whether completions of a lane wait to be taken, or of the receive lane its connection's `Close`.
    pub(crate) fn has_ended(&self, direction: Direction) -> bool {
        let extra = self.extra().is_some_and(|extra| !extra.ended[direction as usize].is_empty());
        let closed = direction == Direction::Receive && self.closing().is_some_and(|closing| closing.ended);
        extra || closed || self.lane(direction).has(Bits::ENDED_HEAD)
    }

    /// The operations queued in a lane, in order, with what they carry.
    pub(crate) fn queued_ops(
        &self,
        direction: Direction,
    ) -> impl Iterator<Item = (&Op<C>, Option<&Transfer>)> {
        let behind = self.extra().into_iter().flat_map(move |extra| &extra.behind[direction as usize]);
        let next = self.lane(direction).next().map(|op| (op, self.transfer(direction)));
        next.into_iter().chain(behind.map(|queued| (&queued.op, queued.load.transfer())))
    }

    /// What the operation at the head of a lane carries, if that is a buffer.
    pub(crate) fn transfer(&self, direction: Direction) -> Option<&Transfer> {
        let transfer = match direction {
            Direction::Send => Some(&self.send),
            Direction::Receive => self.extra().and_then(|extra| extra.receive.transfer()),
        };
        transfer.filter(|transfer| !transfer.is_none())
    }

    /// The buffer of the user's that the operation at the head of the receive lane receives into.
    pub(crate) fn receive_mut(&mut self) -> Option<&mut Transfer> {
        match &mut self.extra_mut()?.receive {
            Carried::Transfer(transfer) => Some(transfer),
            Carried::Nothing => None,
        }
    }

    /// Whether a lane has something to attempt.
    pub(crate) fn is_runnable(&self, direction: Direction) -> bool {
        let lane = self.lane(direction);
        match (self.phase, direction) {
            (Phase::LingeringFinDue | Phase::LingeringFinTried, Direction::Receive) => true,
            (Phase::Flushing | Phase::LingeringFinSent, Direction::Receive) => {
                lane.is_ready() && !lane.has(Bits::OVER)
            }
            (Phase::Closing | Phase::ClosingReset, _) => direction == Direction::Receive,
            (Phase::Gone, _) => false,
            (_, _) => lane.is_runnable(),
        }
    }

    /// Whether the operation at the head of its receive lane has as many leases out as it may.
    pub(crate) fn has_all_leases_out(&self) -> bool {
        match self.lane(Direction::Receive).next_kind() {
            Some(LaneOp::RecvMany(_, leases_max)) => self.leases_out >= leases_max.get(),
            _ => false,
        }
    }

    /// Whether the last operation of its receive lane is a `Recv::many`, which receives all there is.
    pub(crate) fn receives_many(&self) -> bool {
        let behind = self.extra().and_then(|extra| extra.behind[Direction::Receive as usize].back());
        let last = behind.map(|queued| queued.op.kind).or(self.lane(Direction::Receive).next_kind());
        matches!(last, Some(LaneOp::RecvMany(..)))
    }

    /// Whether a send is under way: a part of its bytes was moved.
    pub(crate) fn has_partial_send(&self) -> bool {
        self.lane(Direction::Send).next().is_some() && self.send.moved() > 0
    }

    /// Whether it is to be closed by a reset, if it is closed now.
    pub(crate) fn resets_on_close(&self) -> bool {
        match self.phase() {
            Phase::ClosingReset => true,
            Phase::Closing | Phase::Gone | Phase::Connecting | Phase::ConnectingKnown => false,
            _ => self.is_cut(),
        }
    }

    /// Whether the bytes sent so far end where no operation ends: in the middle of a send that is under way,
    /// that tainted its lane, or that failed. A FIN behind them would tell the peer that it has all of them.
    pub(crate) fn is_cut(&self) -> bool {
        let send = self.lane(Direction::Send);
        let broken = matches!(send.end(), Some(End::Fault(_)));
        let cut = broken || send.has(Bits::TAINTED) || self.has_partial_send();
        cut && self.kind == Kind::Stream
    }

    /// Takes what the operation at the head of a lane carries.
    #[inline]
    pub(crate) fn take_load(&mut self, direction: Direction) -> Carried {
        match direction {
            Direction::Send if self.send.is_none() => Carried::Nothing,
            Direction::Send => Carried::Transfer(core::mem::replace(&mut self.send, Transfer::NONE)),
            Direction::Receive => self
                .extra_mut()
                .map_or(Carried::Nothing, |extra| core::mem::replace(&mut extra.receive, Carried::Nothing)),
        }
    }

    /// Gives the operation at the head of a lane what it carries.
    pub(crate) fn put_load(&mut self, direction: Direction, load: Carried) {
        match (direction, load) {
            (_, Carried::Nothing) => {}
            (Direction::Send, load) => self.send = load.into_transfer(),
            (Direction::Receive, load) => {
                let extra = self.extra_mut().expect("room was made before what is carried came");
                extra.receive = load;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::size_of;

    use crate::slab::Slab;

    /// What most connections of a server take is a connection whose receive waits: with a timer, and the
    /// descriptor's entry, less than 230 bytes.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_is_small() {
        assert_eq!(
            (size_of::<Lane<()>>(), size_of::<Conn<()>>(), Slab::<Conn<()>>::ENTRY_BYTES),
            (32, 176, 184)
        );
        assert_eq!((size_of::<Lane<u64>>(), size_of::<Conn<u64>>()), (40, 192));
    }
}
