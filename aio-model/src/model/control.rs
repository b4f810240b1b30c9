//! The calls that lend no bytes, each in two halves: what prepares it, and what is made of its outcome.

use crate::buffer::Buffer;
use crate::completion::{CloseReason, Done, OpError};
use crate::conn::{Conn, Phase};
use crate::error::{SystemError, SystemErrorKind};
use crate::extra::EndedOp;
use crate::id::ConnId;
use crate::lane::{End, LaneId, WaitsFor};
use crate::lanes::Position;
use crate::model::Model;
use crate::op::{CloneContext, LaneOp};
use crate::system::{Kind, Outcome, Perform, Syscall};

/// A call that lends no bytes, and that was begun: its outcome is to be [applied](Model::apply) once, in
/// whatever order.
#[derive(Debug)]
#[must_use = "its lane waits for the outcome"]
#[doc(hidden)]
pub struct Begun<C> {
    id: LaneId,
    kind: BegunKind<C>,
}

#[derive(Debug)]
enum BegunKind<C> {
    Accept { conn: ConnId, spare: Option<C> },
    Connect,
    Shutdown,
}

impl<C> Model<C> {
    // Accept.

    /// Whether there is memory for a connection, and for what tells of it.
    pub(super) fn has_room_to_accept(&mut self, id: LaneId, many: bool) -> bool {
        self.lanes.has_room(Kind::Stream)
            && (self.lanes.conn(id.conn()).idle.is_none() || self.deadlines.has_room())
            && (!many || self.has_room_to_go_on())
            && self.has_room_to_complete(id)
    }

    /// Whether there is memory to note a completion after which its operation goes on, if there is a credit
    /// for it.
    pub(super) fn has_room_to_go_on(&mut self) -> bool {
        !self.completions.has_credit() || self.completions.has_room()
    }

    /// An accept. The context is cloned before the call, and a clone that was of no use is dropped when all
    /// is done: should the user's code panic, everything is as it was before the call, or as it is after it
    /// (C7).
    pub(super) fn attempt_accept(&mut self, id: LaneId, perform: impl Perform) {
        let mut spare = self.spare_context(id);
        self.accept(id, &mut spare, perform);
    }

    /// What an operation that goes on would complete with. Where there is no credit for that, it has only its
    /// own to complete with.
    pub(super) fn spare_context(&self, id: LaneId) -> Option<C> {
        let clone = self.clone_of(id).filter(|_| self.completions.has_credit())?;
        self.lanes.lane(id).next().map(|op| clone(&op.context))
    }

    /// How the context of the operation at the head of a lane is copied, if it goes on.
    fn clone_of(&self, id: LaneId) -> Option<CloneContext<C>> {
        match self.lanes.lane(id).next_kind()? {
            LaneOp::Accept { many: true } | LaneOp::RecvMany(..) => self.clone_context,
            _ => None,
        }
    }

    pub(super) fn accept(&mut self, id: LaneId, spare: &mut Option<C>, perform: impl Perform) {
        let conn = self.prepare_accept(id);
        let listener = self.lanes.id(id.conn());
        let outcome = perform.perform(Syscall::Accept { listener, conn });
        self.apply_accept(id, conn, spare, outcome);
    }

    /// The connection that is to be accepted has its id.
    fn prepare_accept(&mut self, id: LaneId) -> ConnId {
        let Conn { pool, lane_bytes_max, idle, .. } = *self.lanes.conn(id.conn());
        let mut conn = Conn::new(Kind::Stream, Phase::Open, pool, self.now);
        (conn.lane_bytes_max, conn.idle) = (lane_bytes_max, idle);
        self.lanes.insert(conn)
    }

    fn apply_accept(&mut self, id: LaneId, conn: ConnId, spare: &mut Option<C>, outcome: Outcome) {
        if outcome != Outcome::Done {
            self.lanes.remove(conn);
            return self.on_no_progress(id, outcome);
        }
        self.metrics.on_accepted();
        self.open_accepted(id, conn, spare.is_some());
        self.accepted(id, conn, spare.take());
    }

    /// A connection that is accepted takes a place, and its completion a credit, if the accept goes on.
    fn open_accepted(&mut self, id: LaneId, conn: ConnId, goes_on: bool) {
        self.metrics.on_opened();
        self.lanes.opened(conn, Some(id));
        if goes_on {
            self.take_credit(Some(id));
        }
    }

    /// A connection was accepted.
    fn accepted(&mut self, id: LaneId, conn: ConnId, spare: Option<C>) {
        self.lanes.change(id, &mut self.deadlines, |lane| lane.on_success());
        self.lanes.note_progress(id, self.now);
        self.begin_idle(conn.index());
        self.metrics.on_accept_told();
        let done = Ok(Done::Accepted(conn));
        match (spare, self.lanes.lane(id).next().map(|op| op.serial)) {
            (Some(context), Some(serial)) => {
                let (buffer, moved) = (Buffer::None, 0);
                self.complete(id, EndedOp { serial, context, buffer, moved, result: done, more: true });
            }
            _ => self.end(id, Position::Head, done),
        }
    }

    // Connect.

    pub(super) fn connect(&mut self, id: LaneId, perform: impl Perform) {
        let (conn, state) = self.lanes.call(id);
        let target = state.extra().and_then(|extra| extra.target.as_deref());
        let target = target.expect("a connect has a target");
        let outcome = perform.perform(Syscall::Connect { conn, target });
        self.apply_connect(id, outcome);
    }

    fn apply_connect(&mut self, id: LaneId, outcome: Outcome) {
        let index = id.conn();
        let had_descriptor = self.lanes.conn(index).phase() == Phase::ConnectingKnown;
        match outcome {
            Outcome::Done => {
                self.lanes.advance(index, Phase::Open, &mut self.deadlines);
                self.lanes.change(id, &mut self.deadlines, |lane| lane.on_success());
                self.metrics.on_connected();
                self.end(id, Position::Head, Ok(Done::Connected));
            }
            Outcome::WouldBlock => {
                self.lanes.advance(index, Phase::ConnectingKnown, &mut self.deadlines);
                self.on_no_progress(id, outcome);
            }
            Outcome::Interrupted => self.on_no_progress(id, outcome),
            Outcome::Exhausted(_) => {
                self.lanes.advance(index, Phase::Connecting, &mut self.deadlines);
                self.on_no_progress(id, outcome);
                if had_descriptor {
                    self.lanes.on_descriptor_closed(&mut self.deadlines);
                }
            }
            Outcome::Failed(error) | Outcome::Refused(error) => self.not_connected(id, error, had_descriptor),
            Outcome::Transferred(_) | Outcome::Partial(_) => {
                self.not_connected(id, SystemError::from_kind(SystemErrorKind::Other), had_descriptor);
            }
        }
    }

    /// A connection could not be made, and the system does not know it any more.
    fn not_connected(&mut self, id: LaneId, error: SystemError, had_descriptor: bool) {
        self.lanes.advance(id.conn(), Phase::Connecting, &mut self.deadlines);
        self.end(id, Position::Head, Err(OpError::System(error)));
        self.abort(id.conn(), CloseReason::Requested);
        if had_descriptor {
            self.lanes.on_descriptor_closed(&mut self.deadlines);
        }
    }

    // Shutdown.

    pub(super) fn shut_down_write(&mut self, id: LaneId, perform: impl Perform) {
        let outcome = perform.perform(Syscall::ShutdownWrite { conn: self.lanes.id(id.conn()) });
        self.apply_shut_down_write(id, outcome);
    }

    fn apply_shut_down_write(&mut self, id: LaneId, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.end(id, Position::Head, Ok(Done::ShutDown)),
            other => self.on_no_progress(id, other),
        }
        self.on_send_lane_changed(id.conn());
    }

    // Wait.

    pub(super) fn wait(&mut self, id: LaneId, perform: impl Perform) {
        let (conn, direction) = (self.lanes.id(id.conn()), id.direction());
        match perform.perform(Syscall::Poll { conn, direction }) {
            Outcome::Done => {
                self.lanes.change(id, &mut self.deadlines, |lane| lane.on_success());
                self.end(id, Position::Head, Ok(Done::Ready));
            }
            other => self.on_no_progress(id, other),
        }
        self.on_send_lane_changed(id.conn());
    }

    /// Asks what a lane would find that waits for a buffer, and of whose end an event has hinted: an end or
    /// an error that is all there is ends its operations.
    pub(super) fn peek(&mut self, id: LaneId, perform: impl Perform) {
        match perform.perform(Syscall::Peek { conn: self.lanes.id(id.conn()) }) {
            Outcome::Transferred(1) => {}
            // The next try follows at once.
            Outcome::Interrupted => {
                self.metrics.on_interrupt();
                self.lanes.hint(id);
            }
            outcome => self.nothing_received(id, outcome),
        }
    }

    // What a connection that ends is wound up with.

    /// The FIN of a connection that lingers was answered.
    pub(super) fn last_fin(&mut self, id: LaneId, outcome: Outcome) {
        let index = id.conn();
        if self.lanes.conn(index).phase() == Phase::LingeringFinDue {
            // The time runs from the first try: however often it takes, there is no more of it.
            self.put_off_end(index, self.now);
        }
        match outcome {
            Outcome::Done => {
                self.lanes.change(id, &mut self.deadlines, |lane| lane.end_row());
                self.lanes.advance(index, Phase::LingeringFinSent, &mut self.deadlines);
            }
            Outcome::Interrupted | Outcome::Exhausted(_) => {
                self.lanes.advance(index, Phase::LingeringFinTried, &mut self.deadlines);
                self.on_no_progress(id, outcome);
            }
            _ => self.abort(index, self.how_it_ends(index).reason),
        }
    }

    /// What was thrown away, of a connection that flushes or lingers, was answered. At the peer's end there
    /// is nothing left to be thrown away: sends go on, but nothing lingers. An error is one of both
    /// directions: it would not be told to a send again.
    pub(super) fn discarded(&mut self, id: LaneId, outcome: Outcome) {
        let index = id.conn();
        let end = match outcome {
            Outcome::Transferred(1..) | Outcome::Partial(_) => {
                return self.lanes.change(id, &mut self.deadlines, |lane| lane.on_success());
            }
            Outcome::WouldBlock | Outcome::Interrupted | Outcome::Exhausted(_) => {
                return self.on_no_progress(id, outcome);
            }
            Outcome::Transferred(0) => End::EndOfStream,
            Outcome::Failed(error) | Outcome::Refused(error) => End::Fault(error),
            Outcome::Done => End::Fault(SystemError::from_kind(SystemErrorKind::Other)),
        };
        let flushes = self.lanes.conn(index).phase() == Phase::Flushing;
        if flushes && end == End::EndOfStream {
            return self.lanes.end(id, end, &mut self.deadlines);
        }
        self.lanes.end_before_closing(id, end);
        if flushes {
            self.finish_lane(LaneId::send(index), end);
        }
        self.abort(index, self.how_it_ends(index).reason);
    }

    /// The descriptor is closed: the connection is gone.
    pub(super) fn closed(&mut self, conn: u32) {
        self.end_closed(conn);
        self.metrics.on_closed();
        self.lanes.gone(conn, &mut self.deadlines);
        self.lanes.on_descriptor_closed(&mut self.deadlines);
    }

    // The halves apart.

    /// Begins the call of the lane that is up, if it is an accept, a connect or a shutdown: for engines whose
    /// outcomes come later. `begin` is given the call. None if no such lane is up.
    ///
    /// What an accept brings has its place, and its completion a credit, from here on. No operation of the
    /// lane may be taken back until the outcome is there: that comes with the engine which needs it.
    #[doc(hidden)]
    pub fn begin(&mut self, begin: impl FnOnce(Syscall<'_>)) -> Option<Begun<C>> {
        let id = self.lanes.up()?.lane;
        let kind = match self.lanes.lane(id).next_kind()? {
            LaneOp::Accept { many } => {
                if !self.has_room_to_accept(id, many) {
                    return None;
                }
                let spare = self.spare_context(id);
                let conn = self.prepare_accept(id);
                self.open_accepted(id, conn, spare.is_some());
                begin(Syscall::Accept { listener: self.lanes.id(id.conn()), conn });
                BegunKind::Accept { conn, spare }
            }
            LaneOp::Connect => {
                let (conn, state) = self.lanes.call(id);
                let target = state.extra().and_then(|extra| extra.target.as_deref())?;
                begin(Syscall::Connect { conn, target });
                BegunKind::Connect
            }
            LaneOp::Shutdown => {
                begin(Syscall::ShutdownWrite { conn: self.lanes.id(id.conn()) });
                BegunKind::Shutdown
            }
            LaneOp::Recv { .. } | LaneOp::RecvPooled(_) | LaneOp::RecvMany(..) => return None,
            LaneOp::Send | LaneOp::Wait | LaneOp::Ended(_) => return None,
        };
        self.metrics.on_attempt();
        self.lanes.await_outcome(id, &mut self.deadlines);
        Some(Begun { id, kind })
    }

    /// Applies the outcome of a call that was [begun](Model::begin).
    #[doc(hidden)]
    pub fn apply(&mut self, begun: Begun<C>, outcome: Outcome) {
        let Begun { id, kind } = begun;
        debug_assert!(self.lanes.lane(id).wait() == WaitsFor::Outcome, "an outcome is applied once");
        self.lanes.change(id, &mut self.deadlines, |lane| lane.set_wait(WaitsFor::Nothing));
        match kind {
            BegunKind::Accept { conn, spare } if outcome == Outcome::Done => {
                self.metrics.on_accepted();
                self.accepted(id, conn, spare);
            }
            BegunKind::Accept { conn, spare } => {
                self.metrics.on_open_rolled_back();
                self.lanes.rolled_back(conn.index());
                if spare.is_some() {
                    self.free_credits(1);
                }
                self.on_no_progress(id, outcome);
            }
            BegunKind::Connect => self.apply_connect(id, outcome),
            BegunKind::Shutdown => self.apply_shut_down_write(id, outcome),
        }
    }
}
