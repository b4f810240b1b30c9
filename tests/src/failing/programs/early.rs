//! Programs whose operations end early: by a deadline, a cancel, a close.

use std::time::Duration;

use aio::{Buffer, Close, Completion, ConnId, Connect, Instant, OpError, OpId, Post, Recv, Send, Sleep};

use super::{Program, Stage};
use crate::bytes::Bytes;
use crate::failing::peer::PeerStep::{Cue, FallSilent, HearEnd, Say};
use crate::failing::stage::seeds;
use crate::pair::Family;

const RECV: usize = 0;
const SEND: usize = 1;
const BEHIND: usize = 2;
const REST: usize = 3;
const AGAIN: usize = 104;
const AFTER: usize = 105;
const CLOSE: usize = 106;
const SLEEP: usize = 107;
const CANCELLED: usize = 108;
const EXPIRED: usize = 109;
const POST: usize = 110;

const NARROW: usize = 16 * 1024;
/// More than a narrow stream takes before the peer reads.
const LARGE: usize = 300_000;
/// More than one call of a narrow stream takes.
const SLOW: usize = 50_000;
const SOON: Duration = Duration::from_millis(3);
const NEVER: Duration = Duration::from_secs(600);

/// A receive that nothing comes for, and a send that is stuck with another behind it, all of which end early.
/// Then they go on: the rest of the stuck send is sent, then the other one, and what the peer hears has no
/// gap.
struct Early {
    cancels: Vec<OpId>,
    ended: u32,
    stuck: Option<(Buffer, usize)>,
    behind: Option<Buffer>,
}

fn begin(stage: &mut Stage, deadline: Option<Duration>) -> Box<dyn Program> {
    let steps = [Cue(1), Say(100), FallSilent, HearEnd];
    let own = stage.ledger.aio.own();
    let conn = stage.pair(Family::Tcp, Some(NARROW), &steps);
    let mut early = Early { cancels: Vec::new(), ended: 0, stuck: None, behind: None };
    let Some(conn) = conn else { return Box::new(early) };
    let mut bytes = Bytes::new(seeds(0).1);
    let within = deadline.unwrap_or(NEVER);
    let ops = [
        stage.submit(conn, Recv::exact(vec![0; 100]).within(within), RECV),
        stage.submit(conn, Send::new(bytes.take(LARGE)).within(within), SEND),
        stage.submit(conn, Send::new(bytes.take(50)).within(within), BEHIND),
    ];
    if deadline.is_none() {
        early.cancels = ops.into_iter().flatten().collect();
    }
    stage.submit(own, Sleep::new(SOON), SLEEP);
    Box::new(early)
}

/// By a deadline.
pub(super) fn deadlines(stage: &mut Stage) -> Box<dyn Program> {
    begin(stage, Some(SOON))
}

/// By a cancel.
pub(super) fn cancels(stage: &mut Stage) -> Box<dyn Program> {
    begin(stage, None)
}

impl Early {
    /// One of the three has ended early; once all have, the peer is told to talk.
    fn ended(&mut self, stage: &mut Stage, conn: ConnId) {
        self.ended += 1;
        if self.ended == 3 {
            stage.submit(conn, Recv::exact(vec![0; 100]), AGAIN);
            stage.cue();
        }
    }

    fn go_on(&mut self, stage: &mut Stage, conn: ConnId) {
        if let (Some((stuck, sent)), Some(behind)) = (self.stuck.take(), self.behind.take()) {
            // Not tainted if it ended before its first byte.
            assert_eq!(stage.ledger.aio.resume(conn).is_ok(), sent > 0);
            stage.submit(conn, Send::new(stuck).skip(sent), REST);
            stage.submit(conn, Send::new(behind), AFTER);
            stage.submit(conn, Close::flush().within(NEVER), CLOSE);
        }
    }
}

impl Program for Early {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        let early = matches!(done.result, Err(OpError::Deadline | OpError::Cancelled | OpError::Tainted));
        let conn = done.conn;
        match (done.context, done.result) {
            // A failure may have ended them.
            (SLEEP, _) => self.cancels.drain(..).for_each(|op| stage.ledger.aio.cancel(op).unwrap_or(())),
            (RECV, Err(_)) if early => self.ended(stage, conn),
            (SEND, Err(_)) if early => {
                self.stuck = Some((done.buffer, usize::try_from(done.bytes).expect("few")));
                self.ended(stage, conn);
            }
            (BEHIND, Err(_)) if early => {
                self.behind = Some(done.buffer);
                self.ended(stage, conn);
            }
            (AGAIN, Ok(_)) => self.go_on(stage, conn),
            (REST | AFTER | CLOSE, Ok(_)) => {}
            (_, _) => {
                stage.ledger.aio.close(conn);
            }
        }
    }
}

/// One connection flushes, one lingers.
struct Closes;

/// A large send that a close flushes, and one that a close flushes and then waits for the peer, who still
/// talks.
pub(super) fn closes(stage: &mut Stage) -> Box<dyn Program> {
    let plans: [(&[_], Close); 3] = [
        (&[HearEnd], Close::flush().within(NEVER)),
        (&[Say(5000), HearEnd, Say(3000), FallSilent], Close::linger(NEVER).within(NEVER)),
        (&[FallSilent, HearEnd], Close::linger(NEVER).within(NEVER)),
    ];
    for (nth, (steps, close)) in plans.into_iter().enumerate() {
        let family = Family::ALL[(nth + 1) % 2];
        let Some(conn) = stage.pair(family, Some(NARROW), steps) else { continue };
        let mut bytes = Bytes::new(seeds(nth).1);
        stage.submit(conn, Send::new(bytes.take(SLOW)), 110 + nth);
        stage.submit(conn, Send::new(bytes.take(SLOW)), 120 + nth);
        stage.submit(conn, close, 130 + nth);
        if nth > 0 {
            stage.lingers(conn);
        }
    }
    Box::new(Closes)
}

impl Program for Closes {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        if done.result.is_err() {
            stage.ledger.aio.close(done.conn);
        }
    }
}

/// Two connects that are under way when they are given up.
struct GivesUp {
    cancelled: Option<OpId>,
}

/// One by a cancel, in the turn in which it was begun, one by a deadline that has passed before. Nobody ever
/// answers them, and what there is of them is closed (K2), before the proactor is gone.
pub(super) fn connects(stage: &mut Stage) -> Box<dyn Program> {
    let target = stage.deaf(Family::Tcp);
    let own = stage.ledger.aio.own();
    let cancelled = stage.submit(own, Connect::to(target.clone()), CANCELLED);
    stage.submit(own, Connect::to(target).deadline(Instant::ZERO), EXPIRED);
    stage.submit(own, Post::new(), POST);
    Box::new(GivesUp { cancelled })
}

impl Program for GivesUp {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        if done.context == POST {
            // A failure may have ended it.
            let cancelled = self.cancelled.take().map(|op| stage.ledger.aio.cancel(op));
            cancelled.map(Result::unwrap_or_default);
        }
    }
}
