//! What can be seen from outside: connections, operations and counts are what the account says (C2, C6, K1).

use aio_model::{
    ConnId, ConnInfo, ConnPhase, Counters, Instant, Kind, LaneEnd, LaneInfo, LanePlace, Model, OpInfo,
    PoolId, Queued, Stats, SystemError,
};

use super::{Conn, End, Op, Oracle, Phase, RECEIVE, SEND, Task, due_tick};

impl Oracle {
    /// Looks at all that can be seen of the model, in every fourth turn: what is wrong there seldom comes
    /// right again.
    pub(crate) fn on_seen_now_and_then<C>(&mut self, model: &Model<C>) {
        if self.turns.is_multiple_of(4) {
            self.on_seen(model);
        }
    }

    /// Looks at all that can be seen of the model.
    pub(crate) fn on_seen<C>(&mut self, model: &Model<C>) {
        self.judge_conns(model);
        self.judge_ops(model);
        self.judge_stats(&model.stats());
    }

    fn judge_conns<C>(&mut self, model: &Model<C>) {
        let wrong = self.wrong_conn(model);
        self.ensure(wrong.is_none(), "K1", "conn-seen", || {
            let (id, info) = wrong.expect("one is");
            format!("of {id} there is to be seen {info:?}, and it is not so")
        });
    }

    fn wrong_conn<C>(&self, model: &Model<C>) -> Option<(ConnId, Option<ConnInfo>)> {
        // Both in the order of their places.
        let mut accounts = self.conns.iter().peekable();
        for (id, info) in model.conns() {
            let right = match accounts.next_if(|(known, _)| **known == id) {
                Some((_, conn)) => self.conn_is_right(conn, &info),
                // A connect that is yet to be tried.
                None => info.phase == ConnPhase::Connecting,
            };
            if !right {
                return Some((id, Some(info)));
            }
        }
        accounts.next().map(|(id, _)| (*id, None))
    }

    fn conn_is_right(&self, conn: &Conn, info: &ConnInfo) -> bool {
        let phase = match conn.phase {
            Phase::Connecting { .. } => ConnPhase::Connecting,
            Phase::Open => ConnPhase::Open,
            Phase::Flushing { .. } => ConnPhase::Flushing,
            Phase::Lingering { .. } => ConnPhase::Lingering,
            Phase::Closing { .. } => ConnPhase::Closing,
        };
        let age = self.now.saturating_since(conn.opened_at);
        let pool = PoolId::new(u16::try_from(conn.pool).unwrap_or(u16::MAX));
        let of_conn = (info.kind, info.phase, info.pool, info.age);
        of_conn == (conn.kind, phase, pool, age)
            && (info.last_progress, info.idle) == (conn.last_progress, conn.idle)
            && self.lane_is_right(conn, RECEIVE, &info.receive)
            && self.lane_is_right(conn, SEND, &info.send)
    }

    fn lane_is_right(&self, conn: &Conn, index: usize, info: &LaneInfo) -> bool {
        let lane = &conn.lanes[index];
        // Of what is about to be closed, the number of the error is not kept.
        let forgets = index == RECEIVE && matches!(conn.phase, Phase::Closing { .. });
        let end = lane.end.map(|end| match end {
            End::EndOfStream => LaneEnd::EndOfStream,
            End::Fault(error) if forgets => LaneEnd::Fault(SystemError::from_kind(error.kind())),
            End::Fault(error) => LaneEnd::Fault(error),
        });
        let of_lane = (info.ops as usize, info.bytes, info.ready, info.tainted, info.shut, info.end);
        of_lane == (lane.queue.len(), lane.bytes, lane.ready, lane.tainted, lane.fin, end)
            && info.queued_bytes == if index == SEND { self.bytes_to_send(conn) as u64 } else { 0 }
            && self.place_is_right(conn, index, info.place)
    }

    fn place_is_right(&self, conn: &Conn, index: usize, place: LanePlace) -> bool {
        let lane = &conn.lanes[index];
        let head = lane.queue.front().map(|head| self.ops[head].task);
        if lane.pause.is_some() {
            return place == LanePlace::BackingOff;
        }
        let stands = match (conn.phase, head) {
            (Phase::Closing { .. }, _) => index == RECEIVE,
            (Phase::Flushing { .. } | Phase::Lingering { .. }, None) => {
                index == RECEIVE && conn.has_own_call()
            }
            (_, Some(Task::Shutdown)) => true,
            (_, Some(_)) => lane.ready,
            (_, None) => false,
        };
        match place {
            LanePlace::Idle => !stands,
            LanePlace::Running => stands,
            LanePlace::Parked => stands && head.is_some_and(|head| head.pool().is_some()),
            LanePlace::LeasesOut => stands && self.has_all_leases_out(lane),
            LanePlace::Held => stands && conn.kind == Kind::Listener && head.is_some(),
            _ => false,
        }
    }

    fn judge_ops<C>(&mut self, model: &Model<C>) {
        let wrong = self.ops.iter().find_map(|(_, op)| {
            let info = model.op_info(op.id).ok();
            let right = info.is_some_and(|info| self.op_is_right(op, &info));
            (!right).then(|| format!("of operation {} there is to be seen {info:?}, and it is {op:?}", op.id))
        });
        self.ensure(wrong.is_none(), "C2", "op-seen", || wrong.expect("one is"));
    }

    fn op_is_right(&self, op: &Op, info: &OpInfo) -> bool {
        let ended = op.verdict.is_some();
        let first = self.conns.get(&op.conn).and_then(|conn| conn.closers.first());
        let due = match op.task {
            Task::Close { .. } => first.and_then(|first| self.ops.get(first)).and_then(|first| first.due),
            _ => op.due,
        };
        let due = due.filter(|_| !ended);
        let put_off = op.task.lane().zip(op.renewal).zip(self.conns.get(&op.conn));
        let put_off = put_off.and_then(|((lane, span), conn)| due_tick(conn.lanes[lane].progress + span));
        let due = due.map(|(tick, nth)| (tick.max(put_off.unwrap_or(0)), nth));
        let due = due.map(|(tick, _)| Instant::from_nanos(tick.saturating_mul(1_000_000)));
        let conn = self.conns.get(&op.conn);
        let of_op = (info.ended, info.bytes, info.due);
        let lease = match op.task {
            // By the model's own word, while it waits.
            Task::RecvPooled { .. } | Task::RecvMany { .. } => !ended || info.lease == (op.moved > 0),
            _ => info.lease == op.lease.is_some(),
        };
        // A connect that was never tried has a connection that nobody heard of.
        let at = info.conn == op.conn || op.task == Task::Connect;
        let lane = op.task.lane().and_then(|lane| Some((conn?, lane)));
        let place = match lane {
            Some((conn, lane)) if !ended => {
                let front = conn.lanes[lane].queue.front().and_then(|head| self.ops.get(head));
                match (front.is_some_and(|front| front.id == op.id), info.place) {
                    (true, Some(place)) => self.place_is_right(conn, lane, place),
                    (front, place) => !front && place.is_none(),
                }
            }
            _ => info.place.is_none() || op.task == Task::Connect,
        };
        of_op == (ended, op.moved, due) && lease && at && place
    }

    /// The operations that have not ended, by what they do.
    fn queued(&self) -> Queued {
        let mut queued = Queued::default();
        for op in self.ops.values().filter(|op| op.verdict.is_none()) {
            *match op.task {
                Task::Recv | Task::RecvExact => &mut queued.recv,
                Task::RecvPooled { .. } | Task::RecvOwnPool | Task::RecvMany { .. } => {
                    &mut queued.recv_pooled
                }
                Task::Send { .. } => &mut queued.send,
                Task::AcceptOne | Task::AcceptMany => &mut queued.accept,
                Task::Connect => &mut queued.connect,
                Task::Wait(_) => &mut queued.wait,
                Task::Shutdown => &mut queued.shutdown,
                Task::Close { .. } => &mut queued.close,
                Task::Sleep => &mut queued.sleep,
                Task::Post => &mut queued.post,
            } += 1;
        }
        queued
    }

    fn judge_stats(&mut self, stats: &Stats) {
        let gauges = (stats.connections as usize, stats.credits, stats.queued);
        let queued = self.queued();
        let ended = self.ops.len() - queued.total() as usize + self.accepted as usize;
        let lanes = || self.conns.values().flat_map(|conn| &conn.lanes);
        let backing_off = lanes().filter(|lane| lane.pause.is_some()).count();
        let refused = self.refusals.iter().filter(|(until, _)| until.is_some()).count();
        let timers = self.due().count() + backing_off + refused;
        let expected = (self.places(), self.credits(), queued);
        let found = (stats.completions as usize, stats.lanes_backing_off as usize, stats.timers as usize);
        let found = found == (ended, backing_off, timers) && stats.pools_refused as usize == refused;
        let right = gauges == expected && found;
        self.ensure(right, "C6", "gauges-seen", || {
            format!("{stats:?}, not {expected:?}; {ended} completions, {backing_off} pauses, {timers} timers")
        });
        // What is not seen from here, or stands in a sum that is checked elsewhere.
        let mut counters = self.counted;
        let Counters { closed, parked, events_spurious, .. } = stats.counters;
        (counters.closed, counters.parked, counters.events_spurious) = (closed, parked, events_spurious);
        self.ensure(counters == stats.counters, "C6", "counters-seen", || {
            format!("{:?}, not {counters:?}", stats.counters)
        });
    }
}
