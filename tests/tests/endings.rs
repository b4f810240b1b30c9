//! Endings: a half-close from either side, a close, and a shutdown that lets the sends finish or does not.

use std::io::Write;
use std::thread;
use std::time::Duration;

use aio::{
    Accept, Close, CloseReason, ConnId, Done, OpError, Proactor, Recv, Send, Shutdown, Sleep, SubmitErrorKind,
};
use tests::bytes::Bytes;
use tests::echo::listen;
use tests::ledger::Ledger;
use tests::pair::Family;

const BYTES: Result<Done, OpError> = Ok(Done::Received { end_of_stream: false });
const END: Result<Done, OpError> = Ok(Done::Received { end_of_stream: true });
const SHUT_DOWN: Result<Done, OpError> = Err(OpError::Closed(CloseReason::ShutDown));

const NARROW: usize = 16 * 1024;

/// More than a narrow stream takes before the peer reads, on any kernel.
const LARGE: usize = 300_000;

fn ledger() -> Ledger<usize> {
    Ledger::new(Proactor::<()>::builder())
}

#[test]
fn a_peer_that_falls_silent_still_hears() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let conn = ledger.adopt(ours);
        peer.say(100);
        peer.fall_silent();
        ledger.submit(conn, Recv::exact(vec![0; 100]), 0);
        ledger.submit(conn, Recv::into(vec![0; 100]), 1);
        ledger.submit(conn, Recv::pooled(), 2);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (0, BYTES, 100));
        assert!(Bytes::new(1).matches(done.received()));
        for context in [1, 2] {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, END, 0), "{family:?}");
        }
        ledger.submit(conn, Recv::into(vec![0; 100]), 3);
        assert_eq!(ledger.completion().result, END, "an end is for good");
        let reader = thread::spawn(move || peer.hear_all(4096).unwrap());
        let mut bytes = Bytes::new(2);
        for context in 4..8 {
            ledger.submit(conn, Send::new(bytes.take(LARGE)), context);
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, Ok(Done::Sent), LARGE as u64));
        }
        ledger.submit(conn, Close::now(), 8);
        assert_eq!(ledger.completion().result, Ok(Done::Closed));
        assert_eq!(reader.join().unwrap(), 4 * LARGE as u64, "{family:?}");
        ledger.finish();
    }
}

#[test]
fn a_write_side_shut_down_behind_its_sends_leaves_the_other_open() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        ledger.submit(conn, Send::new(bytes.take(LARGE)), 0);
        ledger.submit(conn, Send::new(bytes.take(5)), 1);
        ledger.submit(conn, Shutdown::write(), 2);
        let shut = SubmitErrorKind::WriteShutDown;
        assert_eq!(ledger.refused(conn, Send::new("behind it"), 3), shut);
        assert_eq!(ledger.refused(conn, Shutdown::write(), 3), shut, "once is enough");
        ledger.until_stuck();
        assert!(ledger.is_settled(), "it waits for the sends before it");
        let reader = thread::spawn(move || (peer.hear_all(4096).unwrap(), peer));
        let expected = [(Ok(Done::Sent), LARGE), (Ok(Done::Sent), 5), (Ok(Done::ShutDown), 0)];
        for (context, (result, count)) in expected.into_iter().enumerate() {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, result, count as u64));
        }
        let (heard, mut peer) = reader.join().unwrap();
        assert_eq!(heard, LARGE as u64 + 5, "{family:?}: and then the stream ends");
        assert_eq!(ledger.refused(conn, Send::new("after it"), 3), shut);
        let mut heard = Bytes::new(1);
        for context in 4..8 {
            peer.say(1000);
            ledger.submit(conn, Recv::exact(vec![0; 1000]), context);
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, BYTES, 1000));
            assert!(heard.matches(done.received()));
        }
        peer.fall_silent();
        ledger.submit(conn, Recv::pooled(), 8);
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (8, END));
        ledger.finish();
    }
}

#[test]
fn a_close_that_flushes_sends_all_and_receives_no_more() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        for context in 0..3 {
            ledger.submit(conn, Send::new(bytes.take(LARGE)), context);
        }
        ledger.submit(conn, Recv::pooled(), 3);
        ledger.submit(conn, Close::flush().within(Duration::from_secs(60)), 4);
        let done = ledger.completion();
        let closed = Err(OpError::Closed(CloseReason::Requested));
        assert_eq!((done.context, done.result, done.bytes), (3, closed, 0));
        let reader = thread::spawn(move || peer.hear_all(4096).unwrap());
        for context in 0..3 {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, Ok(Done::Sent), LARGE as u64));
        }
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (4, Ok(Done::Closed)), "the last of all");
        assert_eq!(reader.join().unwrap(), 3 * LARGE as u64, "{family:?}");
        ledger.finish();
    }
}

/// The peer throws the connection away in the midst of a send and a receive: both directions end, each for
/// good.
#[test]
fn a_reset_reaches_every_operation() {
    let (mut ledger, (ours, mut peer)) = (ledger(), Family::Tcp.narrow_pair(NARROW, 1, 2).unwrap());
    let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
    ledger.submit(conn, Recv::exact(vec![0; 100]), 0);
    ledger.submit(conn, Recv::pooled(), 1);
    for context in 2..5 {
        ledger.submit(conn, Send::new(bytes.take(LARGE)), context);
    }
    peer.say(40);
    ledger.until("a part of either", |ledger| ledger.aio.stats().counters.bytes_received == 40);
    ledger.until_stuck();
    peer.reset();
    let mut moved = [0; 5];
    for _ in 0..5 {
        let done = ledger.completion();
        assert!(matches!(done.result, Err(OpError::System(_))), "{done:?}");
        moved[done.context] = done.bytes;
    }
    assert_eq!((moved[0], moved[1], moved[3], moved[4]), (40, 0, 0, 0));
    assert!((1..LARGE as u64).contains(&moved[2]), "{moved:?}");
    // Nothing to resume, and nothing more to come: what is submitted now ends like the others.
    assert!(ledger.aio.resume(conn).is_err());
    ledger.submit(conn, Send::new("anybody?"), 5);
    ledger.submit(conn, Recv::pooled(), 6);
    for context in [5, 6] {
        let done = ledger.completion();
        assert_eq!((done.context, done.bytes), (context, 0));
        assert!(matches!(done.result, Err(OpError::System(_))), "{done:?}");
    }
    ledger.finish();
}

/// Has a connection send, to a peer that has not read yet, and everything else that a shutdown ends at once.
fn busy_with(ledger: &mut Ledger<usize>, conn: ConnId) {
    let mut bytes = Bytes::new(2);
    for context in 0..3 {
        ledger.submit(conn, Send::new(bytes.take(LARGE)), context);
    }
    let listener = ledger.adopt(listen().unwrap());
    ledger.submit(listener, Accept::many(), 10);
    ledger.submit(ledger.aio.own(), Sleep::new(Duration::from_secs(3600)), 11);
    ledger.submit(conn, Recv::pooled(), 12);
    ledger.until_stuck();
    assert!(ledger.is_settled());
}

/// What neither waits for a shutdown's deadline nor is welcome until then.
fn ended_at_once(ledger: &mut Ledger<usize>, conn: ConnId) {
    let mut ended: Vec<_> = (0..3).map(|_| ledger.completion()).collect();
    ended.sort_unstable_by_key(|done| done.context);
    for (done, context) in ended.iter().zip([10, 11, 12]) {
        assert_eq!((done.context, done.result, done.bytes), (context, SHUT_DOWN, 0));
    }
    assert_eq!(ledger.refused(conn, Send::new("no"), 20), SubmitErrorKind::ShutDown);
    assert_eq!(ledger.refused(conn, Recv::pooled(), 21), SubmitErrorKind::ShutDown);
    let (ours, mut peer) = Family::Unix.pair(1, 2).unwrap();
    let error = ledger.aio.adopt(ours).unwrap_err();
    let mut ours = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(error.socket));
    ours.write_all(&Bytes::new(2).take(8)).unwrap();
    peer.hear(8);
}

#[test]
fn a_shutdown_waits_for_a_reader_who_is_slow() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let conn = ledger.adopt(ours);
        busy_with(&mut ledger, conn);
        let until = ledger.aio.now() + Duration::from_secs(3600);
        ledger.aio.shut_down_within(Duration::from_secs(3600));
        ended_at_once(&mut ledger, conn);
        ledger.aio.close(conn);
        ledger.until_stuck();
        assert!(ledger.is_settled(), "the sends go on, also when the program closes in reply");
        let reader = thread::spawn(move || peer.hear_all(1000).unwrap());
        for context in 0..3 {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, Ok(Done::Sent), LARGE as u64));
        }
        ledger.drain();
        assert!(ledger.aio.now() < until, "it ends when all is sent");
        assert_eq!(reader.join().unwrap(), 3 * LARGE as u64, "{family:?}");
        ledger.finished();
    }
}

#[test]
fn a_shutdown_waits_no_longer_than_it_may_for_a_reader_who_never_reads() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let conn = ledger.adopt(ours);
        busy_with(&mut ledger, conn);
        let span = Duration::from_millis(100);
        let until = ledger.aio.now() + span;
        ledger.aio.shut_down_within(span);
        ended_at_once(&mut ledger, conn);
        let first = ledger.completion();
        assert!(ledger.aio.now() >= until, "{family:?}: cut off early");
        assert_eq!((first.context, first.result), (0, SHUT_DOWN));
        assert!((1..LARGE as u64).contains(&first.bytes), "a part: {first:?}");
        for context in [1, 2] {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, SHUT_DOWN, 0));
        }
        ledger.drain();
        assert_eq!(ledger.finished().bytes_sent, first.bytes);
        peer.hear_break(family, first.bytes);
    }
}

/// A second shutdown can only make the end come sooner.
#[test]
fn a_shutdown_that_can_not_wait_cuts_short_one_that_does() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let conn = ledger.adopt(ours);
        busy_with(&mut ledger, conn);
        ledger.aio.shut_down_within(Duration::from_secs(3600));
        ended_at_once(&mut ledger, conn);
        ledger.aio.shut_down();
        ledger.drain();
        let mut sent = 0;
        for context in 0..3 {
            let done = ledger.completion();
            assert_eq!((done.context, done.result), (context, SHUT_DOWN));
            sent += done.bytes;
        }
        assert_eq!(ledger.finished().bytes_sent, sent);
        peer.hear_break(family, sent);
    }
}
