//! Programs that accept, and that receive into a pool's buffers.

use std::collections::BTreeMap;

use aio::{Accept, Buffer, Close, Completion, Done, Recv, Send};

use super::{Program, Stage, has_bytes, is_end};
use crate::failing::peer::PeerStep::{FallSilent, Hear, HearEnd, Say};
use crate::ledger::{Readable, Writable};
use crate::pair::Family;

const ACCEPT: usize = 0;
const READ: usize = 1;
const WRITE: usize = 2;
const CLOSE: usize = 3;
const READABLE: usize = 4;
const WRITABLE: usize = 5;

struct Echo;

/// An echo server with three peers, of which each says something three times and hears it.
pub(super) fn echo(stage: &mut Stage, family: Family) -> Box<dyn Program> {
    if let Some(listener) = stage.listen(family) {
        stage.submit(listener, Accept::many(), ACCEPT);
    } else {
        return Box::new(Echo);
    }
    for (seed, bytes) in (0..).zip([1, 1000, 5000]) {
        let round = [Say(bytes), Hear(bytes)];
        let steps: Vec<_> = [round, round, round, [FallSilent, HearEnd]].concat();
        // It hears what it says.
        stage.call_in((seed, seed), &steps);
    }
    Box::new(Echo)
}

impl Program for Echo {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        let conn = done.conn;
        match (done.context, done.result) {
            (ACCEPT, Ok(Done::Accepted(conn))) => {
                stage.submit(conn, Recv::pooled(), READ);
            }
            (READ, _) if has_bytes(&done) => {
                stage.submit(conn, Send::new(done.buffer), WRITE);
            }
            (WRITE, Ok(_)) => {
                stage.submit(conn, Recv::pooled(), READ);
            }
            (_, _) => {
                stage.ledger.aio.close(conn);
            }
        }
    }
}

/// An echo server that waits before each receive, and before each send.
struct Waiting {
    received: BTreeMap<u32, Buffer>,
}

/// Three peers that say something twice and hear it.
pub(super) fn wait(stage: &mut Stage) -> Box<dyn Program> {
    let waiting = Box::new(Waiting { received: BTreeMap::new() });
    let Some(listener) = stage.listen(Family::Tcp) else { return waiting };
    stage.submit(listener, Accept::many(), ACCEPT);
    for (seed, bytes) in (0..).zip([1, 1000, 5000]) {
        let round = [Say(bytes), Hear(bytes)];
        stage.call_in((seed, seed), &[round, round, [FallSilent, HearEnd]].concat());
    }
    waiting
}

impl Program for Waiting {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        let conn = done.conn;
        match (done.context, done.result) {
            (ACCEPT, Ok(Done::Accepted(conn))) => drop(stage.submit(conn, Readable, READABLE)),
            (READABLE, Ok(Done::Ready)) => drop(stage.submit(conn, Recv::pooled(), READ)),
            (READ, _) if has_bytes(&done) => {
                self.received.insert(conn.index(), done.buffer);
                stage.submit(conn, Writable, WRITABLE);
            }
            (WRITABLE, Ok(Done::Ready)) => {
                let buffer = self.received.remove(&conn.index()).expect("it was received");
                stage.submit(conn, Send::new(buffer), WRITE);
            }
            (WRITE, Ok(_)) => drop(stage.submit(conn, Readable, READABLE)),
            (_, _) => {
                self.received.remove(&conn.index());
                stage.ledger.aio.close(conn);
            }
        }
    }
}

/// Closes whatever it accepts.
struct Greet;

/// Five connections, accepted by one operation, and closed.
pub(super) fn greet_many(stage: &mut Stage) -> Box<dyn Program> {
    if let Some(listener) = stage.listen(Family::Tcp) {
        stage.submit(listener, Accept::many(), ACCEPT);
    }
    (0..5).for_each(|_| stage.call_in((0, 0), &[HearEnd]));
    Box::new(Greet)
}

/// Five connections, each accepted by an operation of its own, all queued from the start.
pub(super) fn greet_one(stage: &mut Stage) -> Box<dyn Program> {
    if let Some(listener) = stage.listen(Family::Unix) {
        for nth in 0..5 {
            stage.submit(listener, Accept::one(), 100 + nth);
        }
        // In case that one of them is dropped.
        stage.submit(listener, Accept::one(), ACCEPT);
    }
    (0..5).for_each(|_| stage.call_in((0, 0), &[HearEnd]));
    Box::new(Greet)
}

impl Program for Greet {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        match done.result {
            Ok(Done::Accepted(conn)) => {
                stage.submit(conn, Close::now(), CLOSE);
            }
            Ok(_) => {}
            Err(_) => {
                stage.ledger.aio.close(done.conn);
            }
        }
    }
}

/// Receives to the end of each stream, and adds up.
struct Share {
    received: [u64; 3],
}

/// Three connections that have more to say than the pool's only buffer holds, all at once.
pub(super) fn share(stage: &mut Stage) -> Box<dyn Program> {
    for nth in 0..3 {
        let conn = stage.pair(Family::Tcp, None, &[Say(600), Say(200), FallSilent, HearEnd]);
        conn.map(|conn| stage.submit(conn, Recv::pooled(), nth));
    }
    Box::new(Share { received: [0; 3] })
}

impl Program for Share {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        let nth = done.context % 10;
        if has_bytes(&done) {
            self.received[nth] += done.bytes;
            let conn = done.conn;
            drop(done);
            stage.submit(conn, Recv::pooled(), nth);
        } else if is_end(&done) {
            assert_eq!(self.received[nth], 800, "no byte is lost");
            stage.submit(done.conn, Close::now(), 110 + nth);
        } else {
            stage.ledger.aio.close(done.conn);
        }
    }
}
