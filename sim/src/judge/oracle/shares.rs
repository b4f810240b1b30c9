//! Shares, bounded from below: who can go on gets all attempts that it is due (K6).

use aio_model::ConnId;

use super::{Conn, Oracle, Phase, RECEIVE, SEND, Short, Task};

impl Oracle {
    /// The wait is over, and the round of attempts begins: each lane that can go on now is due its share.
    pub fn on_round(&mut self, outstanding: u32) {
        let refused = self.refusals.iter().zip(0..).filter(|((until, _), _)| until.is_some());
        let memory = refused.fold(0, |memory, (_, pool)| memory | 1 << pool);
        self.turn.short = Short { memory, ..Short::default() };
        self.note_short(outstanding);
        self.turn.untried = self.unborn().collect();
        let short = self.turn.short;
        let (ops, pools) = (&self.ops, &self.pools);
        for (_, conn) in self.conns.iter_mut() {
            let (phase, kind, own_call) = (conn.phase, conn.kind, conn.has_own_call());
            for (index, lane) in conn.lanes.iter_mut().enumerate() {
                let head = lane.queue.front().map(|head| ops[head].task);
                let all_leases_out = lane.queue.front().is_some_and(|head| ops[head].has_all_leases_out());
                let able = match (phase, head) {
                    (Phase::Closing { .. }, _) => index == RECEIVE,
                    (Phase::Flushing { .. } | Phase::Lingering { .. }, None) if index == RECEIVE => own_call,
                    (_, Some(Task::Shutdown)) => true,
                    (_, Some(head)) => lane.ready && !short.lacks(head, pools) && !all_leases_out,
                    (_, None) => false,
                };
                debug_assert!(kind == aio_model::Kind::Stream || index == RECEIVE || !able);
                // A pause ends when its timer has fired, which is after the attempts.
                lane.due = able && lane.pause.is_none();
            }
        }
    }

    /// Notes what there is none of.
    pub(super) fn note_short(&mut self, outstanding: u32) {
        let (places, credits) = (self.places_taken(), self.credits() >= self.limits.ops_max.get());
        let short = &mut self.turn.short;
        short.places |= places;
        short.credits |= credits && self.limits.ops_max.get() > 1;
        short.buffers = short.buffers.max(outstanding);
    }

    /// No attempt is left to be made: each lane that was due one has had it, or the turn has no more. Of
    /// those that were served, only the last may have been cut off in the middle of its share.
    pub fn on_round_over(&mut self) {
        let (short, budget) = (self.turn.short, self.limits.lane_attempts_max.get());
        let bytes_max = u64::from(self.limits.lane_transfer_max.get());
        let exhausted = self.turn.calls >= self.limits.turn_attempts_max.get();
        let mut cut_off = 0;
        let mut slighted = None;
        for (id, conn) in self.conns.iter() {
            for index in [RECEIVE, SEND] {
                let share = self.turn.by_lane.get(&(*id, index)).copied().unwrap_or_default();
                let calls = share.calls;
                if calls >= budget
                    || share.bytes >= bytes_max
                    || !self.is_still_due(conn, index, short)
                    || (calls == 0 && exhausted)
                {
                    continue;
                }
                cut_off += 1;
                if !exhausted || cut_off > 1 {
                    slighted = slighted.or(Some((*id, index, calls)));
                }
            }
        }
        self.ensure(slighted.is_none(), "K6", "lane-share", || {
            let (id, lane, calls) = slighted.expect("one is");
            format!("lane {lane} of {id} could go on, and made {calls} of its {budget} attempts")
        });
        let untried = std::mem::take(&mut self.turn.untried);
        let untried = untried.into_iter().find(|context| self.unborn().any(|unborn| unborn == *context));
        self.ensure(untried.is_none() || exhausted, "K6", "connect-share", || {
            format!("the connect {untried:?} is not tried, and the turn had attempts left")
        });
    }

    fn is_still_due(&self, conn: &Conn, index: usize, short: Short) -> bool {
        let lane = &conn.lanes[index];
        let head = lane.queue.front().map(|head| self.ops[head].task);
        lane.due && head.is_none_or(|head| !short.lacks(head, &self.pools))
    }

    /// The operation at the front of a lane was taken out of it by the user: who comes after it may have to
    /// wait for something else, or stands where it did.
    pub(super) fn front_left(&mut self, conn: ConnId, lane: usize) {
        if let Some(lane) = self.lane(conn, lane) {
            lane.due = false;
        }
    }
}

impl Short {
    /// Whether who is to do this may have had to wait.
    fn lacks(self, task: Task, pools: &[(u32, usize)]) -> bool {
        match task {
            // With several pools the buffers of the others count too: the check may miss a violation, and
            // never reports a false one.
            Task::AcceptOne => self.places,
            Task::AcceptMany => self.places || self.credits,
            _ => {
                task.pool().is_some_and(|pool| self.buffers >= pools[pool].0 || self.memory >> pool & 1 == 1)
            }
        }
    }
}
