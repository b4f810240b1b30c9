//! Programs that connect, send and receive in one go: everything is queued at once.

use std::collections::HashMap;

use aio::{Buffer, Close, Completion, ConnId, Connect, Done, Parts, Recv, Send, Shutdown};

use super::{Program, Stage, is_end};
use crate::bytes::Bytes;
use crate::failing::peer::PeerStep::{FallSilent, Hear, HearEnd, Say};
use crate::failing::stage::seeds;
use crate::pair::Family;

const CONNECT: usize = 100;
const SEND: usize = 101;
const SHUTDOWN: usize = 102;
const RECV_EXACT: usize = 103;
const RECV: usize = 4;
const CLOSE: usize = 105;

const ASKED: usize = 2000;
const ANSWERED: usize = 1500;

struct Call {
    heard: Bytes,
}

/// Connects, asks, says that it asks no more, and hears the answer to its end.
pub(super) fn call(stage: &mut Stage, family: Family) -> Box<dyn Program> {
    let target = stage.callee(family, seeds(0), &[Hear(ASKED), HearEnd, Say(ANSWERED), Say(500), FallSilent]);
    let own = stage.ledger.aio.own();
    stage.submit(own, Connect::to(target).nodelay(true), CONNECT);
    Box::new(Call { heard: Bytes::new(seeds(0).0) })
}

impl Program for Call {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        let conn = done.conn;
        match (done.context, done.result) {
            (CONNECT, Ok(Done::Connected)) => {
                stage.submit(conn, Send::new(Bytes::new(seeds(0).1).take(ASKED)), SEND);
                stage.submit(conn, Shutdown::write(), SHUTDOWN);
                stage.submit(conn, Recv::exact(vec![0; ANSWERED]), RECV_EXACT);
                stage.submit(conn, Recv::into(vec![0; 300]), RECV);
            }
            (RECV, _) if is_end(&done) => {
                stage.submit(conn, Close::now(), CLOSE);
            }
            (RECV_EXACT | RECV, Ok(_)) => {
                assert!(self.heard.matches(done.received()), "other bytes");
                if done.context == RECV {
                    stage.submit(conn, Recv::into(vec![0; 300]), RECV);
                }
            }
            (SEND | SHUTDOWN | CLOSE, Ok(_)) => {}
            (_, _) => {
                stage.ledger.aio.close(conn);
            }
        }
    }
}

/// Sends and receives several parts at once.
struct InParts {
    heard: HashMap<ConnId, Bytes>,
}

const PARTS: [usize; 3] = [10, 700, 290];

fn buffers(mut part: impl FnMut(usize) -> Vec<u8>) -> Parts {
    PARTS.iter().map(|len| Buffer::from(part(*len))).collect()
}

/// Gathers and scatters on TCP and on Unix sockets.
pub(super) fn parts(stage: &mut Stage) -> Box<dyn Program> {
    let mut heard = HashMap::new();
    for (nth, family) in Family::ALL.into_iter().enumerate() {
        let steps = [Say(400), Hear(1000), Say(600), Hear(1000), Say(1000), FallSilent, HearEnd];
        let Some(conn) = stage.pair(family, None, &steps) else { continue };
        heard.insert(conn, Bytes::new(seeds(nth).0));
        let mut sent = Bytes::new(seeds(nth).1);
        for context in [SEND, SEND + 10] {
            stage.submit(conn, Send::new(buffers(|len| sent.take(len))), context);
        }
        for context in [RECV_EXACT, RECV_EXACT + 10] {
            stage.submit(conn, Recv::exact(buffers(|len| vec![0; len])), context);
        }
        stage.submit(conn, Recv::into(buffers(|len| vec![0; len])), RECV);
    }
    Box::new(InParts { heard })
}

impl Program for InParts {
    fn on(&mut self, stage: &mut Stage, done: Completion<usize>) {
        match (done.context, done.result) {
            (RECV, _) if is_end(&done) => {
                stage.submit(done.conn, Close::now(), CLOSE);
            }
            (_, Ok(Done::Received { .. })) => {
                let heard = self.heard.get_mut(&done.conn).expect("it has a peer");
                assert!(done.buffer.chunks().all(|chunk| heard.matches(chunk)), "other bytes");
            }
            (_, Ok(_)) => {}
            (_, Err(_)) => {
                stage.ledger.aio.close(done.conn);
            }
        }
    }
}
