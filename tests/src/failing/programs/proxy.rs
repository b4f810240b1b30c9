//! A proxy: what comes in at one end goes out at the other, ends of streams included.

use std::collections::HashMap;

use aio::{Accept, Address, Close, Completion, ConnId, Connect, Done, Recv, Send, Shutdown};

use super::{Program, Stage, has_bytes, is_end};
use crate::failing::peer::PeerStep::{FallSilent, Hear, HearEnd, Say};
use crate::pair::Family;

const ACCEPT: usize = 0;
const READ: usize = 1;
const WRITE: usize = 2;
const END: usize = 3;
const CLOSE: usize = 4;
/// The connects: the number of the caller is added.
const CONNECT: usize = 10;

/// A proxy to one upstream.
#[derive(Debug)]
pub struct Proxy {
    upstream: Address,
    callers: Vec<ConnId>,
    other: HashMap<ConnId, ConnId>,
    ends: HashMap<ConnId, bool>,
}

impl Proxy {
    /// A proxy to there.
    pub fn to(upstream: Address) -> Proxy {
        Proxy { upstream, callers: Vec::new(), other: HashMap::new(), ends: HashMap::new() }
    }

    /// Accepts from there on.
    pub fn serve(stage: &mut Stage, listener: ConnId) {
        stage.submit(listener, Accept::many(), ACCEPT);
    }

    fn close_both(&mut self, stage: &mut Stage, conn: ConnId) {
        stage.ledger.aio.close(conn);
        self.other.get(&conn).map(|other| stage.ledger.aio.close(*other));
    }

    fn connected(&mut self, stage: &mut Stage, caller: ConnId, upstream: ConnId) {
        self.other.insert(caller, upstream);
        self.other.insert(upstream, caller);
        let both = [caller, upstream].map(|conn| stage.submit(conn, Recv::pooled(), READ));
        if both.contains(&None) {
            self.close_both(stage, caller);
        }
    }

    /// The peer of `conn` has heard the end of what the other said. When both have, it is over.
    fn ended(&mut self, stage: &mut Stage, conn: ConnId) {
        self.ends.insert(conn, true);
        let other = self.other[&conn];
        if self.ends.contains_key(&other) {
            stage.submit(conn, Close::now(), CLOSE);
            stage.submit(other, Close::now(), CLOSE);
        }
    }
}

impl Program for Proxy {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        let conn = done.conn;
        match (done.context, done.result) {
            (ACCEPT, Ok(Done::Accepted(caller))) => {
                let number = CONNECT + self.callers.len();
                self.callers.push(caller);
                let own = stage.ledger.aio.own();
                stage.submit(own, Connect::to(self.upstream.clone()).nodelay(true), number);
            }
            (CONNECT.., Ok(_)) => self.connected(stage, self.callers[done.context - CONNECT], conn),
            (CONNECT.., Err(_)) => {
                stage.ledger.aio.close(self.callers[done.context - CONNECT]);
            }
            (READ, _) if has_bytes(&done) => {
                stage.submit(self.other[&conn], Send::new(done.buffer), WRITE);
            }
            (READ, _) if is_end(&done) => {
                stage.submit(self.other[&conn], Shutdown::write(), END);
            }
            (WRITE, Ok(_)) => {
                stage.submit(self.other[&conn], Recv::pooled(), READ);
            }
            (END, Ok(_)) => self.ended(stage, conn),
            (CLOSE, _) => {}
            (_, _) => self.close_both(stage, conn),
        }
    }
}

/// Two callers and what they are connected to, over Unix on one side and TCP on the other. Either caller may
/// get either upstream peer, so both say the same.
pub(super) fn begin(stage: &mut Stage) -> Box<dyn Program> {
    let listener = stage.listen(Family::Unix);
    for _ in 0..2 {
        stage.call_in((1, 2), &[Say(3000), Hear(700), FallSilent, HearEnd]);
    }
    let upstream =
        stage.callee(Family::Tcp, (2, 1), &[Hear(3000), Say(700), HearEnd, Say(10_000), FallSilent]);
    listener.into_iter().for_each(|listener| Proxy::serve(stage, listener));
    Box::new(Proxy::to(upstream))
}
