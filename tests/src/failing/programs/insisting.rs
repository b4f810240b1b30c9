//! A program that does not believe an error: it tries again in the lane that had it.

use std::collections::HashSet;

use aio::{Close, Completion, OpError, Recv, Send};

use super::{Program, Stage, is_end};
use crate::bytes::Bytes;
use crate::failing::peer::PeerStep::{FallSilent, Hear, HearEnd, Say};
use crate::failing::stage::seeds;
use crate::ledger::EntryKind;
use crate::pair::Family;

const RECV: usize = 100;
const SEND: usize = 101;
const END: usize = 102;
const CLOSE: usize = 103;
const AGAIN: usize = 4;

const PIECE: usize = 100;

/// Two receives and two sends, and a receive of the end.
struct Insists {
    heard: Bytes,
    failed: HashSet<EntryKind>,
}

/// Whatever fails for good is asked for once more, and must fail with the same error, although the socket is
/// as well as ever: errors stay (K4). The stage records operations that end otherwise after an error of their
/// lane.
pub(super) fn begin(stage: &mut Stage) -> Box<dyn Program> {
    let steps = [Say(PIECE), Hear(PIECE), Say(PIECE), Hear(PIECE), FallSilent, HearEnd];
    if let Some(conn) = stage.pair(Family::Tcp, None, &steps) {
        let mut said = Bytes::new(seeds(0).1);
        for _ in 0..2 {
            stage.submit(conn, Recv::exact(vec![0; PIECE]), RECV);
            stage.submit(conn, Send::new(said.take(PIECE)), SEND);
        }
        stage.submit(conn, Recv::into(vec![0; PIECE]), END);
    }
    Box::new(Insists { heard: Bytes::new(seeds(0).0), failed: HashSet::new() })
}

impl Insists {
    /// The lane of an operation has failed, and this is the first that is heard of it: once more.
    fn insist(&mut self, stage: &mut Stage, done: &Completion<usize>) {
        let kind = if done.context == SEND { EntryKind::Send } else { EntryKind::Receive };
        if !self.failed.insert(kind) {
            return;
        }
        match kind {
            EntryKind::Send => stage.submit(done.conn, Send::new(vec![0; PIECE]), AGAIN),
            _ => stage.submit(done.conn, Recv::into(vec![0; PIECE]), AGAIN),
        };
    }
}

impl Program for Insists {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        match (done.context, done.result) {
            (END, _) if is_end(&done) => {
                stage.submit(done.conn, Close::now(), CLOSE);
            }
            (RECV, Ok(_)) => assert!(self.heard.matches(done.received()), "other bytes"),
            (SEND | CLOSE, Ok(_)) => {}
            (RECV | SEND | END, Err(OpError::System(_))) => self.insist(stage, &done),
            (_, _) => {
                stage.ledger.aio.close(done.conn);
            }
        }
    }
}
