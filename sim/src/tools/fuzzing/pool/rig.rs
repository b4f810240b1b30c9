//! Plays a script on the model and on the account, and compares them after every step.

use std::num::NonZeroU32;
use std::sync::Arc;

use aio_model::testing::Shelf;
use aio_model::{
    Buffer, Completion, Config, ConnId, Done, Instant, Kind, Lease, Limits, Model, OpError, OpId, Operation,
    Outcome, PoolId, PoolSize, Readiness, Rearm, Recv, SubmitErrorKind, Syscall,
};

use super::naive::{Answer, Call, Ended, How, Naive, Op, Rules};
use crate::tools::fuzzing::Verdict;

const LANES: usize = 5;

struct Rig {
    model: Model<u32>,
    shelf: Arc<Shelf>,
    naive: Naive,
    conns: [ConnId; LANES],
    /// The operations that were accepted and have not been found to have ended.
    ids: Vec<(u32, OpId)>,
    /// The leases in the user's hands: pool, what they hold, and themselves.
    held: Vec<(usize, u8, Lease)>,
    /// Which operation was given which bytes.
    stamps: Vec<(u32, u8)>,
    serial: u32,
    stamp: u8,
}

pub(super) fn play(rules: Rules, bytes: &[u8]) -> Verdict {
    let Some((setup, steps)) = bytes.split_at_checked(2) else { return Ok(()) };
    let size = |byte: u8| (1 + u32::from(byte) % 4, 1 + usize::from(byte >> 2) % 8);
    let mut rig = Rig::new(rules, [size(setup[0]), size(setup[1])]);
    for step in steps.chunks_exact(2) {
        rig.step(step[0] % 16, usize::from(step[1]))?;
        rig.compare()?;
    }
    rig.end()
}

impl Rig {
    fn new(rules: Rules, pools: [(u32, usize); 2]) -> Rig {
        let shelf = Arc::new(Shelf::default());
        let home = shelf.home();
        let sizes = pools.map(|(buffers_max, buffer_bytes)| PoolSize { buffers_max, buffer_bytes });
        // One call for each lane in turn: the account knows no other order.
        let limits = Limits { lane_attempts_max: NonZeroU32::MIN, ..Limits::DEFAULT };
        let config = Config { limits, pools: sizes.to_vec(), realm: 1, rearm: Rearm::OnArrival };
        let mut model = Model::new(config, &home);
        let conns = std::array::from_fn(|_| model.open(Kind::Stream).expect("there is room"));
        Rig {
            model,
            shelf,
            naive: Naive::new(rules, LANES, &pools),
            conns,
            ids: vec![],
            held: vec![],
            stamps: vec![],
            serial: 0,
            stamp: 0,
        }
    }

    fn step(&mut self, kind: u8, arg: usize) -> Verdict {
        let lane = arg % LANES;
        match kind {
            0..=2 => {
                let pool = arg / LANES % 2;
                let op = Op { serial: 0, pool, pooled: true, holds: false };
                let source = PoolId::new(u16::from(pool == 1));
                self.submit(lane, Recv::pooled_from(source), op)
            }
            3 if !self.held.is_empty() => {
                let (pool, stamp, lease) = self.held.swap_remove(arg / LANES % self.held.len());
                ensure!(lease.iter().all(|byte| *byte == stamp), "a lease holds another's bytes");
                self.submit(lane, Recv::into(lease), Op { serial: 0, pool, pooled: false, holds: true })
            }
            4 | 5 => {
                self.model.on_ready(self.conns[lane], Readiness::READABLE);
                self.naive.ready(lane);
                Ok(())
            }
            6..=8 => self.attempt(arg),
            9 => self.cancel(arg),
            10 if arg < 64 => {
                ensure!(self.model.close(self.conns[lane]).is_ok(), "lane {lane} can not be closed");
                self.naive.close(lane);
                Ok(())
            }
            11 | 12 => self.take(),
            13 if !self.held.is_empty() => {
                let (_, stamp, lease) = self.held.swap_remove(arg % self.held.len());
                ensure!(lease.iter().all(|byte| *byte == stamp), "a lease holds another's bytes");
                Ok(())
            }
            14 | 15 => {
                self.fetch(arg);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn submit(&mut self, lane: usize, recv: impl Operation<u32>, op: Op) -> Verdict {
        let serial = self.serial;
        self.serial += 1;
        let closing = self.naive.lanes[lane].closing;
        match self.model.submit(self.conns[lane], recv, serial, || Instant::ZERO) {
            Ok(id) => {
                ensure!(!closing, "a receive on a connection that closes");
                self.ids.push((serial, id));
                self.naive.submit(lane, Op { serial, ..op });
            }
            Err(refused) => {
                ensure!(closing && refused.kind == SubmitErrorKind::Closing, "refused: {:?}", refused.kind);
            }
        }
        Ok(())
    }

    fn attempt(&mut self, arg: usize) -> Verdict {
        let call = self.naive.next_call();
        let answer = match (call, arg % 8) {
            (Some(Call::Recv { room, .. }), 0..=4) => {
                let count = 1 + arg / 8 % room;
                Answer::Bytes { count, drained: count < room && arg % 8 < 3 }
            }
            (_, 5) => Answer::WouldBlock,
            (_, 6) => Answer::Interrupted,
            _ => Answer::EndOfStream,
        };
        self.stamp = self.stamp.wrapping_add(1);
        let (stamp, mut asked) = (self.stamp, None);
        self.model.begin_round();
        self.model.attempt(|call| {
            let (conn, room) =
                (call.conn(), if let Syscall::Recv { buffer, .. } = &call { buffer.len() } else { 0 });
            asked = Some((conn, room));
            let Syscall::Recv { buffer, .. } = call else { return Outcome::Done };
            match answer {
                Answer::Bytes { count, drained } => {
                    let count = count.min(room);
                    buffer[..count].fill(stamp);
                    if drained || count == room {
                        Outcome::Transferred(count)
                    } else {
                        Outcome::Partial(count)
                    }
                }
                Answer::EndOfStream => Outcome::Transferred(0),
                Answer::WouldBlock => Outcome::WouldBlock,
                Answer::Interrupted => Outcome::Interrupted,
            }
        });
        let expected = call.map(|call| match call {
            Call::Recv { lane, room } => (self.conns[lane], room),
            Call::Close { lane } => (self.conns[lane], 0),
        });
        ensure!(asked == expected, "the call is {asked:?}, not {call:?}");
        match call {
            Some(Call::Recv { lane, .. }) => {
                if let Answer::Bytes { .. } = answer {
                    self.stamps.push((self.naive.lanes[lane].ops[0].serial, stamp));
                }
                self.naive.answered(lane, answer);
            }
            Some(Call::Close { lane }) => {
                self.naive.closed(lane);
                self.conns[lane] = self.model.open(Kind::Stream).map_err(|error| error.to_string())?;
            }
            None => {}
        }
        Ok(())
    }

    fn cancel(&mut self, arg: usize) -> Verdict {
        let Some(&(serial, id)) = self.ids.get(arg % self.ids.len().max(1)) else { return Ok(()) };
        let find =
            |lane: usize| Some((lane, self.naive.lanes[lane].ops.iter().position(|op| op.serial == serial)?));
        let queued = (0..LANES).find_map(find);
        let cancelled = self.model.cancel(id);
        ensure!(cancelled.is_ok() == queued.is_some(), "cancelling {serial} at {queued:?}: {cancelled:?}");
        if let Some((lane, nth)) = queued {
            self.naive.cancel(lane, nth);
        }
        Ok(())
    }

    fn take(&mut self) -> Verdict {
        let expected = self.naive.ended.pop_front();
        let Some(completion) = self.model.next_completion() else {
            ensure!(expected.is_none(), "no completion for {expected:?}");
            return Ok(());
        };
        let Completion { context: serial, bytes, result, buffer, .. } = completion;
        let how = match result {
            Ok(Done::Received { end_of_stream: false }) => How::Received,
            Ok(Done::Received { end_of_stream: true }) => How::EndOfStream,
            Err(OpError::Cancelled) => How::Cancelled,
            Err(OpError::Closed(_)) => How::Closed,
            other => return Err(format!("a receive ended with {other:?}")),
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        // Which pool a lease is from shows when it goes home.
        let pool = expected.map_or(0, |expected| expected.pool);
        let found = Ended { serial, bytes, how, pool, keeps: matches!(buffer, Buffer::Lease(_)) };
        ensure!(Some(found) == expected, "completed {found:?}, not {expected:?}");
        self.ids.retain(|(other, _)| *other != serial);
        let at = self.stamps.iter().position(|(other, _)| *other == serial);
        let stamp = at.map_or(0, |at| self.stamps.swap_remove(at).1);
        if let Buffer::Lease(lease) = buffer {
            let whole = lease.len() == bytes && lease.iter().all(|byte| *byte == stamp);
            ensure!(whole, "{serial} received {:?}, not {bytes} times {stamp}", &lease[..]);
            self.held.push((pool, stamp, lease));
        }
        Ok(())
    }

    /// Lets a dropped lease come home, any of them.
    fn fetch(&mut self, arg: usize) {
        if let Some(nth) = arg.checked_rem(self.shelf.len()) {
            let buffer = self.shelf.take(nth);
            let pool = usize::from(buffer.pool() != PoolId::DEFAULT);
            self.model.give_back(buffer);
            self.naive.give_back(pool);
        }
    }

    fn compare(&self) -> Verdict {
        self.model.check().map_err(|violation| violation.to_string())?;
        let found = (self.model.outstanding(), self.model.has_parked(), self.model.completions() as usize);
        let expected = (self.naive.lent(), self.naive.has_parked(), self.naive.ended.len());
        ensure!(found == expected, "lent, parked, ended: {found:?}, not {expected:?}");
        let over = self.naive.pools.iter().find(|pool| pool.lent > pool.buffers_max);
        ensure!(over.is_none(), "more is lent than there is");
        Ok(())
    }

    /// Closes everything; every buffer comes home.
    fn end(mut self) -> Verdict {
        for lane in 0..LANES {
            ensure!(self.model.close(self.conns[lane]).is_ok(), "lane {lane} can not be closed");
            self.naive.close(lane);
        }
        while !self.naive.ended.is_empty() {
            self.take()?;
        }
        self.held.clear();
        for _ in 0..self.naive.lent() {
            self.fetch(0);
        }
        self.compare()?;
        ensure!(self.model.outstanding() == 0, "{} never came home", self.model.outstanding());
        Ok(())
    }
}
