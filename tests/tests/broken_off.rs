//! Broken off is not complete: whatever cuts a send in the middle resets the connection when it closes, so
//! that the peer never takes a part for the whole (K2). A clean end stays a clean end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aio::{Close, CloseReason, ConnId, Done, OpError, OpId, Proactor, Recv, Send};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::{Family, Peer};

const NARROW: usize = 16 * 1024;

/// More than a narrow stream takes before the peer reads, on any kernel.
const LARGE: usize = 300_000;

fn ledger() -> Ledger<usize> {
    Ledger::new(Proactor::<()>::builder())
}

/// A connection in the middle of a send, its peer, the send, and how much of it was sent.
fn in_the_middle(ledger: &mut Ledger<usize>, family: Family) -> (ConnId, Peer, OpId, u64) {
    let (ours, peer) = family.narrow_pair(NARROW, 1, 2).unwrap();
    let conn = ledger.adopt(ours);
    let send = ledger.submit(conn, Send::new(Bytes::new(2).take(LARGE)), 0);
    ledger.until_stuck();
    let sent = ledger.aio.op_info(send).unwrap().bytes;
    assert!((1..LARGE as u64).contains(&sent), "{sent}");
    (conn, peer, send, sent)
}

#[test]
fn k2_a_close_in_the_middle_of_a_send_resets() {
    type Cut = fn(&mut Ledger<usize>, ConnId, OpId);
    let cuts: [Cut; 8] = [
        |ledger, conn, _| assert!(ledger.aio.close(conn)),
        |ledger, conn, _| assert!(ledger.aio.close_with(conn, 7)),
        |ledger, conn, _| {
            ledger.submit(conn, Close::now(), 1);
        },
        |ledger, conn, _| {
            ledger.submit(conn, Close::flush().within(Duration::from_millis(20)), 1);
        },
        |ledger, conn, _| {
            ledger.submit(conn, Close::linger(Duration::from_secs(9)).within(Duration::from_millis(20)), 1);
        },
        |ledger, conn, send| {
            ledger.aio.cancel(send).unwrap();
            ledger.submit(conn, Close::flush(), 1);
        },
        |ledger, conn, _| {
            ledger.aio.cancel_all(conn).unwrap();
            ledger.submit(conn, Close::linger(Duration::from_secs(9)), 1);
        },
        |ledger, conn, send| {
            ledger.aio.set_deadline(send, Some(aio::Deadline::Within(Duration::from_millis(20)))).unwrap();
            let done = ledger.completion();
            assert_eq!(done.result, Err(OpError::Deadline));
            ledger.aio.close(conn);
        },
    ];
    for family in Family::ALL {
        for cut in cuts {
            let mut ledger = ledger();
            let (conn, mut peer, send, sent) = in_the_middle(&mut ledger, family);
            cut(&mut ledger, conn, send);
            ledger.until("the connection is gone", |ledger| ledger.aio.stats().connections == 0);
            peer.hear_break(family, sent);
            ledger.completions();
            ledger.finish();
        }
    }
}

#[test]
fn k2_a_shutdown_in_the_middle_of_a_send_resets() {
    for family in Family::ALL {
        for span in [None, Some(Duration::from_millis(20))] {
            let mut ledger = ledger();
            let (_, mut peer, _, sent) = in_the_middle(&mut ledger, family);
            match span {
                None => ledger.aio.shut_down(),
                Some(span) => ledger.aio.shut_down_within(span),
            }
            ledger.drain();
            ledger.completions();
            ledger.finished();
            peer.hear_break(family, sent);
        }
    }
}

#[test]
fn k2_a_proactor_that_is_dropped_in_the_middle_of_a_send_resets() {
    for unwinds in [false, true] {
        let (ours, mut peer) = Family::Tcp.narrow_pair(NARROW, 1, 2).unwrap();
        let (whole, mut other) = Family::Tcp.pair(1, 2).unwrap();
        let mut aio: Proactor<u32> = Proactor::new().unwrap();
        let (conn, whole) = (aio.adopt(ours).unwrap(), aio.adopt(whole).unwrap());
        aio.submit(conn, Send::new(Bytes::new(2).take(LARGE)), 0).unwrap();
        aio.submit(whole, Send::new(Bytes::new(2).take(100)), 1).unwrap();
        let mut batch = Vec::new();
        while batch.is_empty() {
            aio.turn(&mut batch, None).unwrap();
        }
        // What was not begun is not cut.
        aio.submit(whole, Send::new("never begun"), 2).unwrap();
        if unwinds {
            let unwound = catch_unwind(AssertUnwindSafe(move || {
                let _aio = aio;
                panic!("a panic of the program's own, on purpose");
            }));
            assert!(unwound.is_err());
        } else {
            drop(aio);
        }
        peer.hear_break(Family::Tcp, LARGE as u64);
        assert_eq!(other.hear_all(4096).unwrap(), 100, "what is whole ends well");
    }
}

#[test]
fn k2_what_is_whole_or_resumed_ends_with_a_fin() {
    for family in Family::ALL {
        let mut ledger = ledger();
        let (conn, mut peer, send, _) = in_the_middle(&mut ledger, family);
        ledger.aio.cancel(send).unwrap();
        let done = ledger.completion();
        assert_eq!(done.result, Err(OpError::Cancelled));
        ledger.aio.resume(conn).unwrap();
        // From here on it is the user's to know what the stream means. Queued sends that were not begun are
        // no cut.
        ledger.submit(conn, Send::new(vec![1; 5]), 1);
        ledger.submit(conn, Close::now(), 2);
        assert_eq!(ledger.completion().bytes, 0);
        assert_eq!(ledger.completion().result, Ok(Done::Closed));
        assert_eq!(peer.hear_all(4096).unwrap(), done.bytes, "{family:?}");
        ledger.finish();
    }
}

#[test]
fn k2_a_close_that_aborts_resets_whatever_was_sent() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let conn = ledger.adopt(ours);
        ledger.submit(conn, Send::new(Bytes::new(2).take(100)), 0);
        assert_eq!(ledger.completion().result, Ok(Done::Sent));
        peer.hear(100);
        ledger.submit(conn, Recv::pooled(), 1);
        ledger.submit(conn, Close::abort().code(3), 2);
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (1, Err(OpError::Closed(CloseReason::Code(3)))));
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (2, Ok(Done::Closed)));
        peer.hear_break(family, 100);
        ledger.finish();
    }
    let (mut ledger, listener) = (ledger(), tests::echo::listen().unwrap());
    let listener = ledger.adopt(listener);
    ledger.submit(listener, Close::abort(), 0);
    assert_eq!(ledger.completion().result, Ok(Done::Closed), "a listener is just closed");
    ledger.finish();
}

/// A duplicate keeps the connection whole for as long as it is there; its close is the one that resets.
#[test]
fn k2_a_duplicate_puts_a_reset_off() {
    let (mut ledger, (ours, mut peer)) = (ledger(), Family::Tcp.narrow_pair(NARROW, 1, 2).unwrap());
    let duplicate = ours.try_clone().unwrap();
    let conn = ledger.adopt(ours);
    ledger.submit(conn, Close::abort(), 0);
    assert_eq!(ledger.completion().result, Ok(Done::Closed));
    duplicate.send(&Bytes::new(2).take(10)).unwrap();
    drop(duplicate);
    peer.hear_break(Family::Tcp, 10);
    ledger.finish();
}
