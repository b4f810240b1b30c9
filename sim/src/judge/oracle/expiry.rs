//! What a deadline does: in which order, how much of it in a turn, and what comes before (T1, T2, K6).

use aio_model::{ConnId, OpError};

use super::{Conn, Oracle, Phase, RECEIVE, SEND, Task};

/// Something that falls due: in which millisecond, and its place among those of that millisecond.
type Due = (u64, u64);

/// What has expired, while it is being ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiring {
    what: Expired,
    due: Due,
    /// The lane in which one call may be made for it, whatever is known of its readiness.
    lane: Option<(ConnId, usize)>,
    /// Whether that call has to be made.
    must: bool,
    called: bool,
}

#[derive(Debug, Clone, Copy)]
enum Expired {
    /// The deadline of an operation.
    Op(u64),
    /// The pause of a lane.
    Pause(ConnId, usize),
    /// The time for flushing or lingering, unless the peer takes something.
    End(ConnId),
    /// The deadline of a close.
    Close(ConnId, u64),
    /// A connection that may be idle, and whether it was when that was looked at.
    Idle(ConnId, bool),
    /// A pool asks for memory again that it was refused.
    Retry(usize),
}

impl Oracle {
    /// How much of what has expired may end in this turn: what its calls have left of their budget, or half
    /// of a turn's if that is more.
    pub(super) fn expiries_max(&self) -> u32 {
        let most = self.limits.turn_attempts_max.get();
        most.saturating_sub(self.turn.calls).max(most.div_ceil(2))
    }

    /// The step that follows is to end the next of what has expired, if the turn has room for it.
    /// `outstanding` buffers are lent.
    pub fn on_expiry(&mut self, outstanding: usize) {
        if self.turn.expiries >= self.expiries_max() {
            return;
        }
        let now = self.now.as_nanos() / 1_000_000;
        let Some((due, what)) =
            self.agenda().into_iter().filter(|(due, _)| due.0 <= now).min_by_key(|at| at.0)
        else {
            return;
        };
        self.turn.expiries += 1;
        let what = match what {
            Expired::Idle(conn, _) => Expired::Idle(conn, self.is_idle(conn)),
            what => what,
        };
        let lane = self.lane_of(what);
        let must = match what {
            Expired::Idle(conn, _) => lane.is_some_and(|(_, nth)| {
                let head = self.conns[&conn].lanes[nth].queue[0];
                self.has_what_it_takes(head, lane, outstanding)
            }),
            Expired::Op(op) => lane.is_some() && self.has_what_it_takes(op, lane, outstanding),
            Expired::Pause(..) | Expired::Retry(_) => false,
            Expired::End(_) | Expired::Close(..) => lane.is_some(),
        };
        self.turn.expiring = Some(Expiring { what, due, lane, must, called: false });
        self.arm(what, None);
    }

    /// A step of a turn begins. What a pool asks for in it, it asks for before anything else happens.
    pub fn on_step(&mut self) {
        self.turn.armed_first = self.armed;
        self.armed += self.pools.len() as u64;
    }

    /// The user's code panicked before the call was made: the operation is still to be ended.
    pub fn on_panic(&mut self) {
        if let Some(Expiring { what, due, .. }) = self.turn.expiring.take() {
            self.turn.expiries -= 1;
            self.arm(what, Some(due));
        }
    }

    /// Sets when something falls due: never, once it has.
    fn arm(&mut self, what: Expired, due: Option<Due>) {
        match what {
            Expired::Op(op) | Expired::Close(_, op) => {
                if let Some(op) = self.ops.get_mut(&op) {
                    op.due = due;
                }
            }
            Expired::Pause(conn, lane) => {
                if let Some(lane) = self.lane(conn, lane) {
                    lane.pause = due;
                }
            }
            Expired::End(conn) => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.until = due;
                }
            }
            Expired::Idle(conn, _) => {
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.idle_due = due;
                }
            }
            Expired::Retry(pool) => self.refusals[pool].0 = due,
        }
    }

    /// Everything that is going to fall due.
    fn agenda(&self) -> Vec<(Due, Expired)> {
        let ops = self.ops.iter().filter(|(_, op)| op.verdict.is_none());
        let ops = ops.filter_map(|(context, op)| {
            let closes = matches!(op.task, Task::Close { .. });
            let what = if closes { Expired::Close(op.conn, *context) } else { Expired::Op(*context) };
            op.due.map(|due| (due, what))
        });
        let ends = self.conns.iter().filter_map(|(id, conn)| conn.until.map(|due| (due, Expired::End(*id))));
        let idle = self.conns.iter();
        let idle = idle.filter_map(|(id, conn)| conn.idle_due.map(|due| (due, Expired::Idle(*id, false))));
        let pauses = self.conns.iter().flat_map(|(id, conn)| {
            let lanes = conn.lanes.iter().enumerate();
            lanes.filter_map(|(nth, lane)| lane.pause.map(|due| (due, Expired::Pause(*id, nth))))
        });
        let retries = self.refusals.iter().enumerate();
        let retries = retries.filter_map(|(nth, (due, _))| due.map(|due| (due, Expired::Retry(nth))));
        ops.chain(ends).chain(idle).chain(pauses).chain(retries).collect()
    }

    /// The lane whose next operation it is, or the last one of a connection that ends.
    fn lane_of(&self, what: Expired) -> Option<(ConnId, usize)> {
        match what {
            Expired::Op(context) => {
                let op = &self.ops[&context];
                let lane = op.task.lane()?;
                if self.put_off_until(context).is_some() {
                    return None;
                }
                let queue = self.conns.get(&op.conn).map(|conn| &conn.lanes[lane].queue);
                // A connect that nobody has tried has no connection yet.
                let is_head = queue.map_or(op.task == Task::Connect, |queue| queue.front() == Some(&context));
                is_head.then_some((op.conn, lane))
            }
            Expired::Pause(..) | Expired::Retry(_) => None,
            Expired::Idle(conn, _) => self.next_look(conn),
            Expired::End(conn) | Expired::Close(conn, _) => match self.conns[&conn].phase {
                Phase::Flushing { .. } => Some((conn, SEND)),
                _ => Some((conn, RECEIVE)),
            },
        }
    }

    /// Whether there are the buffer and the place that an operation needs.
    fn has_what_it_takes(&self, op: u64, lane: Option<(ConnId, usize)>, outstanding: usize) -> bool {
        let (context, op) = (op, &self.ops[&op]);
        match op.task {
            // With several pools the others' buffers count too: lenient, but never wrong.
            _ if op.has_all_leases_out() => false,
            Task::RecvPooled { pool } | Task::RecvMany { pool: Some(pool), .. } => {
                let holds = lane.and_then(|(conn, lane)| self.conns.get(&conn)?.lanes[lane].holds);
                let refused = self.refusals[pool].0.is_some();
                holds == Some(context) || (outstanding < self.pools[pool].0 as usize && !refused)
            }
            Task::AcceptOne => !self.places_taken(),
            Task::AcceptMany => {
                let most = self.limits.ops_max.get();
                !self.places_taken() && (most == 1 || self.credits() < most)
            }
            _ => true,
        }
    }

    /// A connect that is tried for the first time has a name now.
    pub(super) fn on_name(&mut self, context: u64, conn: ConnId) {
        if let Some(Expiring { what: Expired::Op(op), lane, .. }) = &mut self.turn.expiring
            && *op == context
        {
            *lane = Some((conn, SEND));
        }
    }

    /// Whether a call is the last attempt of what is being ended: one, which needs no reason but that.
    pub(super) fn is_last_attempt(&mut self, conn: ConnId, lane: usize) -> bool {
        match &mut self.turn.expiring {
            Some(expiring) if expiring.lane == Some((conn, lane)) => {
                !std::mem::replace(&mut expiring.called, true)
            }
            _ => false,
        }
    }

    /// The step is over: if the last attempt did not complete it, it has ended.
    pub fn on_expired(&mut self) {
        let Some(Expiring { what, must, called, .. }) = self.turn.expiring.take() else { return };
        // Memory for the buffer may have been refused just now.
        let refused = match what {
            Expired::Op(op) => {
                let pool = self.ops.get(&op).and_then(|op| op.task.pool());
                pool.is_some_and(|pool| self.refusals[pool].0.is_some())
            }
            Expired::Idle(..) => self.refusals.iter().any(|(until, _)| until.is_some()),
            _ => false,
        };
        self.ensure(!must || called || refused, "T2", "last-attempt", || {
            format!("{what:?} expires, and nobody tries a last time")
        });
        match what {
            Expired::Op(context) => {
                let put_off = self.put_off_until(context);
                if self.ops.get(&context).is_none_or(|op| op.verdict.is_some()) {
                    return;
                }
                if let (Some(until), Some(op)) = (put_off, self.ops.get_mut(&context)) {
                    op.due = (until < u64::MAX).then_some((until, self.armed));
                    op.renewal = op.renewal.filter(|_| until < u64::MAX);
                    self.armed += 1;
                } else {
                    let sleeps = self.ops[&context].task == Task::Sleep;
                    self.counted.expired += u64::from(!sleeps);
                    self.end_early(context, OpError::Deadline);
                    self.expired += 1;
                    let expired = self.expired;
                    if let Some(op) = self.ops.get_mut(&context) {
                        op.expired = Some(expired);
                    }
                }
            }
            Expired::Pause(..) | Expired::Retry(_) => {}
            Expired::Idle(conn, was_idle) => self.looked_for_idle(conn, was_idle),
            // Unless it has its time anew, for the peer was seen to take something.
            Expired::End(conn) if self.conns.get(&conn).is_some_and(|conn| conn.until.is_some()) => {}
            Expired::End(conn) | Expired::Close(conn, _) => {
                if let Some(reason) = self.conns.get(&conn).and_then(Conn::ends_for) {
                    self.abort(conn, reason);
                }
            }
        }
    }

    /// The completion of something that its deadline ended is taken: in the order in which the deadlines came
    /// (T1).
    pub(super) fn judge_order(&mut self, expired: Option<u64>) {
        let Some(expired) = expired else { return };
        let before = std::mem::replace(&mut self.expired_taken, expired);
        self.ensure(before < expired, "T1", "deadline-order", || {
            format!("the {expired}th that a deadline ended comes after the {before}th")
        });
    }
}
