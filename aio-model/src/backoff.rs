//! Backing off: what a lane does when the system is short of something, or refuses (K5).
//!
//! ```text
//!            short of something, refused             its time has come; a descriptor is closed
//!   Running ───────────────────────────▶ BackingOff ───────────────────────────────────────▶ Running, Idle
//! ```
//!
//! A lane that lacks a descriptor also stands in a list: a descriptor that is closed ends the pauses of all of these.
//! Those that had one since the others came to wait come after them, as with places for connections.

use crate::completion::OpError;
use crate::error::{SystemError, SystemErrorKind};
use crate::id::ConnId;
use crate::lane::{Belief, End, Lane, LaneId, Place};
use crate::lease::Lease;
use crate::model::Model;
use crate::op::Work;
use crate::owner::Owner;
use crate::pool::PoolId;
use crate::time::Tick;

/// The longest pause of a lane that backs off, as a power of two in milliseconds: about a second.
const PAUSE_EXPONENT_MAX: u8 = 10;

/// The same for a connect, which waits for room in a listener's queue: that may come at any time, without an event.
const CONNECT_PAUSE_EXPONENT_MAX: u8 = 5;

/// How often in a row an accept is refused by the system before it ends with the error.
const REFUSALS_MAX: u8 = 4;

/// The pause that makes a shortage a lasting one: the eighth in a row, an eighth of a second.
const LASTING: u8 = 8;

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

/// How often in a row a lane's calls met a shortage, and how often in a row they were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row(u8);

impl Row {
    pub(crate) const NONE: Row = Row(0);

    /// The bits that count pauses; the others count refusals.
    const PAUSES: u8 = 0b1111;

    fn pauses(self) -> u8 {
        self.0 & Row::PAUSES
    }

    /// Counts another pause.
    fn pause(&mut self) {
        self.0 += u8::from(self.pauses() < PAUSE_EXPONENT_MAX);
    }

    /// Counts another refusal, and returns how many there were in a row.
    fn refuse(&mut self) -> u8 {
        self.0 += Row::PAUSES + 1;
        self.0 >> 4
    }

    /// A call had another answer than a refusal.
    #[inline]
    pub(crate) fn end_refusals(&mut self) {
        self.0 &= Row::PAUSES;
    }
}

impl<C> Model<C> {
    /// The system was short of something for a lane's call.
    #[cold]
    pub(crate) fn exhausted(&mut self, lane: LaneId, error: SystemError) {
        self.stats.exhaustions += 1;
        let state = &mut self.conns[lane];
        state.row.end_refusals();
        let want = match error.kind() {
            SystemErrorKind::DescriptorsExhausted => Want::Descriptor { served: state.row.pauses() == 0 },
            _ => Want::Time,
        };
        self.back_off(lane, want, error);
    }

    /// The system refused a lane's call. An accept is tried a few times more: what refuses one connection, such as a
    /// firewall, may let the next one pass. Then every accept that is queued here ends with the error; those that are
    /// submitted later are tried anew. Everything else fails for good.
    #[cold]
    pub(crate) fn refused(&mut self, lane: LaneId, error: SystemError) {
        let head = self.conns[lane].ops.front().map(|head| self.ops[head].work());
        if !matches!(head, Some(Work::Accept { .. })) {
            return self.finish(lane, End::Fault(error));
        }
        self.stats.accepts_refused += 1;
        if self.conns[lane].row.refuse() < REFUSALS_MAX {
            return self.back_off(lane, Want::Time, error);
        }
        self.conns[lane].row.end_refusals();
        self.end_all(lane, |_| Err(OpError::System(error)));
    }

    /// Pauses a lane, twice as long each time in a row, from 1 ms to about a second.
    fn back_off(&mut self, lane: LaneId, want: Want, error: SystemError) {
        self.displace(lane);
        let head = self.conns[lane].ops.front().map(|head| self.ops[head].work());
        let exponent_max = match head {
            Some(Work::Connect { .. }) => CONNECT_PAUSE_EXPONENT_MAX,
            _ => PAUSE_EXPONENT_MAX,
        };
        let makes_no_call = !self.conns[lane.conn()].is_runnable(lane.direction());
        let state = &mut self.conns[lane];
        if makes_no_call {
            // A last attempt did not get to see whether there is anything: the next one need not wait for an event.
            state.belief = Belief::Ready;
        }
        let pause = 1 << state.row.pauses().min(exponent_max);
        state.row.pause();
        if state.row.pauses() == LASTING {
            self.shortage = Some((self.conn_id(lane.conn()), error));
        }
        let at = Tick(self.now.tick_ceil().0 + pause);
        let timer = self.timers.arm(at, Owner::Lane(lane).into());
        self.conns[lane].place = Place::BackingOff { timer, want };
        self.backing_off += 1;
        match want {
            Want::Time => {}
            Want::Descriptor { served: false } => self.short.push_back(&mut self.conns, lane.index()),
            Want::Descriptor { served: true } => self.short_served.push_back(&mut self.conns, lane.index()),
        }
    }

    /// There is no memory for what a call would bring: it is not made, as if the system were short of it.
    #[cold]
    pub(crate) fn without_memory(&mut self, lane: LaneId, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.give_back(lease.end());
        }
        self.exhausted(lane, SystemError::from_kind(SystemErrorKind::OutOfMemory));
    }

    /// Memory for a buffer of a pool was refused: it is asked for again after a pause.
    pub(crate) fn ask_again(&mut self, id: PoolId) {
        let pool = &mut self.pools[id.index()];
        self.stats.buffers_refused += 1;
        let pause = 1 << (pool.refusals - 1).min(PAUSE_EXPONENT_MAX);
        if pool.refusals == LASTING
            && let Some(lane) = pool.parked.front().map(LaneId::from_index)
        {
            let error = SystemError::from_kind(SystemErrorKind::OutOfMemory);
            self.shortage = Some((self.conn_id(lane.conn()), error));
        }
        let at = Tick(self.now.tick_ceil().0 + pause);
        self.pools[id.index()].retry = Some(self.timers.arm(at, Owner::Pool(id).into()));
    }

    /// It is time to ask for memory again: as many buffers as are waited for.
    pub(crate) fn on_retry(&mut self, id: PoolId) {
        self.pools[id.index()].retry = None;
        while let Some(lane) = self.pools[id.index()].parked.front().map(LaneId::from_index) {
            let Some(buffer) = self.pools[id.index()].make() else {
                if self.pools[id.index()].is_refused() {
                    self.ask_again(id);
                }
                return;
            };
            self.displace(lane);
            let head = self.conns[lane].ops.front().expect("a parked lane has an operation");
            self.load(head, buffer.lend());
            self.come_back(lane);
        }
    }

    /// The pause of a lane is over, and its timer is gone.
    pub(crate) fn end_pause(&mut self, lane: LaneId, want: Want) {
        self.backing_off -= 1;
        match want {
            Want::Time => {}
            Want::Descriptor { served: false } => self.short.remove(&mut self.conns, lane.index()),
            Want::Descriptor { served: true } => self.short_served.remove(&mut self.conns, lane.index()),
        }
    }

    /// The timer of a lane's pause has fired.
    pub(crate) fn on_pause_over(&mut self, lane: LaneId) {
        let Place::BackingOff { want, .. } = self.conns[lane].place else {
            unreachable!("the timer of a pause is cancelled with it");
        };
        self.end_pause(lane, want);
        self.come_back(lane);
    }

    /// A descriptor was closed: the lanes that pause for want of one try again, without a wait.
    #[inline]
    pub(crate) fn on_descriptor_closed(&mut self) {
        while let Some(lane) = self.short.front().or_else(|| self.short_served.front()) {
            let lane = LaneId::from_index(lane);
            self.displace(lane);
            self.settle(lane);
        }
    }

    /// A lane whose calls have met a shortage eight times in a row, and what the system is short of: told once for
    /// each such row, for a log. Of several since the last call, the last one.
    #[inline]
    pub fn take_shortage(&mut self) -> Option<(ConnId, SystemError)> {
        self.shortage.take()
    }
}

impl Lane {
    /// A call did what it was made for: a row of pauses is over.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.row = Row::NONE;
    }
}
