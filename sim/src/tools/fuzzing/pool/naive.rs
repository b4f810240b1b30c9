//! The account: lanes, pools, and who waits where, in plain queues.
//!
//! Lanes are served in turn, one call each. A lane whose receive needs a buffer while none is left waits at
//! its pool; a buffer that comes home goes to one that waits there, which then queues to be served again.

use std::collections::VecDeque;

/// How the account decides. There is one right way.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    /// Which of the lanes that wait for a buffer is next.
    pub(super) next: fn(&mut VecDeque<usize>) -> Option<usize>,
    /// How many buffers there are beyond the limit.
    pub(super) spare: u32,
    /// Whether a receive that finds nothing keeps its buffer.
    pub(super) keeps_unused: bool,
}

impl Rules {
    pub(super) const RIGHT: Rules = Rules { next: VecDeque::pop_front, spare: 0, keeps_unused: false };
}

pub(super) struct Naive {
    rules: Rules,
    pub(super) lanes: Vec<Lane>,
    pub(super) pools: Vec<Pool>,
    /// The lanes to be served, in turn.
    run: VecDeque<usize>,
    /// What has ended and was not taken.
    pub(super) ended: VecDeque<Ended>,
}

#[derive(Default)]
pub(super) struct Lane {
    pub(super) ops: VecDeque<Op>,
    place: Place,
    ready: bool,
    pub(super) closing: bool,
    /// The end of the stream came.
    over: bool,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Place {
    #[default]
    Idle,
    Running,
    Parked(usize),
}

pub(super) struct Pool {
    pub(super) buffers_max: u32,
    pub(super) buffer_bytes: usize,
    pub(super) lent: u32,
    parked: VecDeque<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub(super) serial: u32,
    /// Which pool the buffer is from.
    pub(super) pool: usize,
    /// Whether it takes its buffer when there is something to read, or came with a lease of the user's.
    pub(super) pooled: bool,
    /// Whether it has its buffer.
    pub(super) holds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ended {
    pub(super) serial: u32,
    pub(super) bytes: usize,
    pub(super) how: How,
    pub(super) pool: usize,
    /// Whether its buffer goes to the user.
    pub(super) keeps: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    Received,
    EndOfStream,
    Cancelled,
    Closed,
}

/// The next call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Call {
    Recv { lane: usize, room: usize },
    Close { lane: usize },
}

/// The answer to a receive.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// That many bytes; if `drained`, no more are there.
    Bytes {
        count: usize,
        drained: bool,
    },
    EndOfStream,
    WouldBlock,
    Interrupted,
}

impl Naive {
    pub(super) fn new(rules: Rules, lanes: usize, pools: &[(u32, usize)]) -> Naive {
        let pool = |&(buffers_max, buffer_bytes): &(u32, usize)| Pool {
            buffers_max: buffers_max + rules.spare,
            buffer_bytes,
            lent: 0,
            parked: VecDeque::new(),
        };
        Naive {
            rules,
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            pools: pools.iter().map(pool).collect(),
            run: VecDeque::new(),
            ended: VecDeque::new(),
        }
    }

    pub(super) fn submit(&mut self, lane: usize, op: Op) {
        self.lanes[lane].ops.push_back(op);
        if self.lanes[lane].over {
            self.end(lane, 0, 0, How::EndOfStream);
        }
        self.settle(lane);
    }

    pub(super) fn ready(&mut self, lane: usize) {
        if !self.lanes[lane].closing {
            self.lanes[lane].ready = true;
            self.settle(lane);
        }
    }

    pub(super) fn cancel(&mut self, lane: usize, nth: usize) {
        self.end(lane, nth, 0, How::Cancelled);
        if let (0, Place::Parked(pool)) = (nth, self.lanes[lane].place) {
            let same = self.lanes[lane].ops.front().is_some_and(|op| op.pooled && op.pool == pool);
            if !same {
                self.leave(lane);
            }
        }
        self.settle(lane);
    }

    pub(super) fn close(&mut self, lane: usize) {
        if self.lanes[lane].closing {
            return;
        }
        self.lanes[lane].closing = true;
        // Who stands in line to receive, stands in line to be closed.
        let stands = self.lanes[lane].place == Place::Running;
        if !stands {
            self.leave(lane);
        }
        self.end_all(lane, How::Closed);
        if !stands {
            self.lanes[lane].place = Place::Running;
            self.run.push_back(lane);
        }
    }

    /// A buffer came home.
    pub(super) fn give_back(&mut self, pool: usize) {
        match (self.rules.next)(&mut self.pools[pool].parked) {
            None => self.pools[pool].lent -= 1,
            Some(lane) => {
                self.lanes[lane].ops[0].holds = true;
                self.lanes[lane].place = Place::Idle;
                self.settle(lane);
            }
        }
    }

    /// Which call is next. Lanes for which no buffer is left step aside.
    pub(super) fn next_call(&mut self) -> Option<Call> {
        loop {
            let lane = *self.run.front()?;
            if self.lanes[lane].closing {
                return Some(Call::Close { lane });
            }
            let op = &mut self.lanes[lane].ops[0];
            let pool = &mut self.pools[op.pool];
            if op.holds || pool.lent < pool.buffers_max {
                pool.lent += u32::from(!op.holds);
                op.holds = true;
                return Some(Call::Recv { lane, room: pool.buffer_bytes });
            }
            let wanted = op.pool;
            self.leave(lane);
            self.lanes[lane].place = Place::Parked(wanted);
            self.pools[wanted].parked.push_back(lane);
        }
    }

    pub(super) fn answered(&mut self, lane: usize, answer: Answer) {
        match answer {
            Answer::Bytes { count, drained } => {
                self.lanes[lane].ready &= !drained;
                self.end(lane, 0, count, How::Received);
            }
            Answer::EndOfStream => {
                self.lanes[lane].over = true;
                self.end_all(lane, How::EndOfStream);
            }
            Answer::WouldBlock => {
                self.lanes[lane].ready = false;
                let op = &mut self.lanes[lane].ops[0];
                if op.pooled && !self.rules.keeps_unused {
                    op.holds = false;
                    let pool = op.pool;
                    self.give_back(pool);
                }
            }
            Answer::Interrupted => {}
        }
        self.settle(lane);
        if self.run.front() == Some(&lane) {
            self.run.rotate_left(1);
        }
    }

    /// The descriptor is closed; another connection takes the lane.
    pub(super) fn closed(&mut self, lane: usize) {
        self.leave(lane);
        self.lanes[lane] = Lane::default();
    }

    fn end(&mut self, lane: usize, nth: usize, bytes: usize, how: How) {
        let op = self.lanes[lane].ops.remove(nth).expect("it is queued");
        let keeps = !op.pooled || bytes > 0;
        self.ended.push_back(Ended { serial: op.serial, bytes, how, pool: op.pool, keeps });
        if op.holds && !keeps {
            self.give_back(op.pool);
        }
    }

    fn end_all(&mut self, lane: usize, how: How) {
        while !self.lanes[lane].ops.is_empty() {
            self.end(lane, 0, 0, how);
        }
    }

    fn settle(&mut self, lane: usize) {
        let Lane { ops, place, ready, closing, .. } = &self.lanes[lane];
        match (*ready && !ops.is_empty(), *place) {
            _ if *closing => {}
            (true, Place::Idle) => {
                self.lanes[lane].place = Place::Running;
                self.run.push_back(lane);
            }
            (false, _) => self.leave(lane),
            (true, _) => {}
        }
    }

    fn leave(&mut self, lane: usize) {
        match std::mem::take(&mut self.lanes[lane].place) {
            Place::Idle => {}
            Place::Running => self.run.retain(|other| *other != lane),
            Place::Parked(pool) => self.pools[pool].parked.retain(|other| *other != lane),
        }
    }

    pub(super) fn has_parked(&self) -> bool {
        self.pools.iter().any(|pool| !pool.parked.is_empty())
    }

    pub(super) fn lent(&self) -> u32 {
        self.pools.iter().map(|pool| pool.lent).sum()
    }
}
