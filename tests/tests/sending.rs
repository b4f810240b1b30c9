//! Sends: what was reported as sent is what the peer hears, to the byte, however slowly it reads, and
//! whatever ends them.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use aio::{
    Buffer, Close, CloseReason, ConnId, Done, Limit, OpError, Parts, Proactor, Recv, ResumeError, Send,
    Shutdown, SubmitErrorKind,
};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::Family;

/// Few, so that a send that is larger ends in the middle.
const NARROW: usize = 16 * 1024;

/// More than a narrow stream takes before the peer reads, on any kernel.
const LARGE: usize = 1_200_000;

fn ledger() -> Ledger<usize> {
    Ledger::new(Proactor::<()>::builder())
}

#[test]
fn an_empty_send_is_refused() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        let nothing = [
            Send::new(Vec::new()),
            Send::new(Vec::with_capacity(64)),
            Send::new(""),
            Send::new(Buffer::None),
            Send::new(Parts::default()),
            Send::new(vec![7; 9]).first(0),
            Send::new(vec![7; 9]).skip(9),
            Send::new(vec![7; 9]).skip(4).first(4),
        ];
        let count = nothing.len();
        for (context, send) in nothing.into_iter().enumerate() {
            assert_eq!(ledger.refused(conn, send, context), SubmitErrorKind::EmptyBuffer, "{context}");
        }
        assert_eq!(ledger.refused(conn, Send::new("abc").first(4), count), SubmitErrorKind::OutOfRange);
        // It leaves no trace: the peer hears what is sent next, and nothing before it.
        ledger.submit(conn, Send::new(bytes.take(9)), 99);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (99, Ok(Done::Sent), 9));
        peer.hear(9);
        assert_eq!(ledger.finish().refused, count as u64 + 1);
        assert_eq!(peer.hear_all(64).unwrap(), 9, "{family:?}: nor after it");
    }
}

#[test]
fn a_large_send_to_a_slow_reader_is_one_completion_with_every_byte() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let conn = ledger.adopt(ours);
        ledger.submit(conn, Send::new(Bytes::new(2).take(LARGE)), 7);
        ledger.until_stuck();
        assert!(ledger.is_settled(), "the kernel has no room for it");
        let reader = thread::spawn(move || peer.hear_all(1000).unwrap());
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (7, Ok(Done::Sent), LARGE as u64));
        let stats = ledger.finish();
        assert!(stats.attempts > 10, "{family:?}: {stats:?}");
        assert_eq!(reader.join().unwrap(), LARGE as u64);
    }
}

#[test]
fn a_full_queue_refuses_another_send_until_one_has_ended() {
    for family in Family::ALL {
        let mut ledger = Ledger::new(Proactor::<()>::builder().lane_ops_max(1));
        let (ours, mut peer) = family.narrow_pair(NARROW, 1, 2).unwrap();
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        for context in 0..3 {
            ledger.submit(conn, Send::new(bytes.take(100_000)), context);
            ledger.until_stuck();
            let busy = SubmitErrorKind::Busy(Limit::LaneOps);
            assert_eq!(ledger.refused(conn, Send::new("another"), 3), busy);
            assert_eq!(ledger.refused(conn, Shutdown::write(), 4), busy, "it queues where sends do");
            let reader = thread::spawn(move || {
                peer.hear(100_000);
                peer
            });
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, Ok(Done::Sent), 100_000));
            peer = reader.join().unwrap();
        }
        ledger.finish();
        assert_eq!(peer.hear_all(64).unwrap(), 300_000, "{family:?}");
    }
}

/// Queues as many sends of all sizes as there is room for, to a peer that does not read, and closes in their
/// midst. Says how many bytes were reported as sent.
fn close_amid_sends(ledger: &mut Ledger<usize>, conn: ConnId) -> u64 {
    let mut bytes = Bytes::new(2);
    let mut count = 0;
    for context in 0..200 {
        let piece = bytes.take(context * 7919 % 20_000 + 1);
        ledger.submit(conn, Send::new(piece), context);
        count += 1;
    }
    assert_eq!(ledger.refused(conn, Send::new("one too many"), count), SubmitErrorKind::Busy(Limit::LaneOps));
    ledger.until_stuck();
    ledger.submit(conn, Close::now(), count);
    assert_eq!(ledger.refused(conn, Send::new("too late"), 0), SubmitErrorKind::Closing);
    let (mut heard, mut cut) = (Vec::new(), false);
    for context in 0..count {
        let done = ledger.completion();
        assert_eq!(done.context, context, "in the order of submission");
        let whole = done.bytes == done.buffer.len() as u64;
        let expected = if whole { Ok(Done::Sent) } else { Err(OpError::Closed(CloseReason::Requested)) };
        assert_eq!(done.result, expected, "{done:?}");
        assert!(!cut || done.bytes == 0, "nothing is sent behind what was cut");
        cut |= !whole;
        heard.extend_from_slice(&done.buffer.as_slice()[..usize::try_from(done.bytes).unwrap()]);
    }
    assert!(cut && !heard.is_empty(), "the close came in the midst of them");
    assert!(Bytes::new(2).matches(&heard), "what is reported as sent is one gap-free prefix");
    let done = ledger.completion();
    assert_eq!((done.context, done.result), (count, Ok(Done::Closed)));
    assert_eq!(ledger.refused(conn, Send::new("far too late"), 0), SubmitErrorKind::Stale);
    heard.len() as u64
}

#[test]
fn a_close_amid_many_sends_ends_each_once_and_the_peer_hears_what_was_reported() {
    for family in Family::ALL {
        let mut ledger = Ledger::new(Proactor::<()>::builder().lane_ops_max(200));
        let (ours, mut peer) = family.narrow_pair(NARROW, 1, 2).unwrap();
        let conn = ledger.adopt(ours);
        let reported = close_amid_sends(&mut ledger, conn);
        assert_eq!(ledger.finish().bytes_sent, reported);
        peer.hear_break(family, reported);
    }
}

/// The kernel resets a stream that is closed with bytes unread, and throws away what was not delivered.
#[test]
fn a_close_that_resets_lets_through_nothing_but_a_prefix() {
    for family in Family::ALL {
        let mut ledger = Ledger::new(Proactor::<()>::builder().lane_ops_max(200));
        let (ours, mut peer) = family.narrow_pair(NARROW, 1, 2).unwrap();
        peer.say(10);
        let conn = ledger.adopt(ours);
        let reported = close_amid_sends(&mut ledger, conn);
        ledger.finish();
        let end = peer.hear_all(4096);
        assert!(end.as_ref().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true));
        assert!(peer.heard() <= reported, "{family:?}: {end:?}");
    }
}

/// Sends with deadlines to a peer that does not read, until one ends with a part of its bytes. Returns what
/// is left to send, and how many bytes went through.
fn send_until_tainted(ledger: &mut Ledger<usize>, conn: ConnId) -> (Vec<(Buffer, usize)>, u64) {
    let (mut bytes, mut sent) = (Bytes::new(2), 0);
    let span = Duration::from_millis(20);
    // Each fits, until one comes that can not.
    for context in 0..5 {
        ledger.submit(conn, Send::new(bytes.take(500)).within(span), context);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (context, Ok(Done::Sent), 500));
        sent += done.bytes;
    }
    let start = ledger.aio.now();
    let at = start + span;
    ledger.submit(conn, Send::new(bytes.take(LARGE)).deadline(at), 5);
    ledger.submit(conn, Send::new(bytes.take(3000)), 6);
    ledger.submit(conn, Send::new("in vain").deadline(start + span / 2), 7);
    ledger.submit(conn, Send::new(bytes.take(10)).within(Duration::from_secs(60)), 8);
    // It had moved nothing, so its deadline harms nobody.
    let done = ledger.completion();
    assert_eq!((done.context, done.result, done.bytes), (7, Err(OpError::Deadline), 0));
    let done = ledger.completion();
    assert!(ledger.aio.now() >= at, "never early");
    assert_eq!((done.context, done.result), (5, Err(OpError::Deadline)));
    assert!((1..LARGE as u64).contains(&done.bytes), "a part: {done:?}");
    sent += done.bytes;
    let mut left = vec![(done.buffer, usize::try_from(done.bytes).unwrap())];
    for context in [6, 8] {
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (context, Err(OpError::Tainted)));
        left.push((done.buffer, 0));
    }
    (left, sent)
}

fn resume_after_taint(family: Family) {
    let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
    let conn = ledger.adopt(ours);
    let (left, sent) = send_until_tainted(&mut ledger, conn);
    assert_eq!(ledger.refused(conn, Send::new("no"), 9), SubmitErrorKind::Tainted);
    assert_eq!(ledger.refused(conn, Shutdown::write(), 9), SubmitErrorKind::Tainted);
    // The other direction has no part in it.
    peer.say(5);
    ledger.submit(conn, Recv::exact(vec![0; 5]), 10);
    let done = ledger.completion();
    assert!(done.context == 10 && Bytes::new(1).matches(done.received()));

    ledger.aio.resume(conn).unwrap();
    assert_eq!(ledger.aio.resume(conn), Err(ResumeError::NotTainted));
    let total = 5 * 500 + LARGE as u64 + 3000 + 10;
    let rest: Vec<_> = left.iter().map(|(buffer, skip)| (buffer.len() - skip) as u64).collect();
    for (context, (buffer, skip)) in left.into_iter().enumerate() {
        ledger.submit(conn, Send::new(buffer).skip(skip), 20 + context);
    }
    ledger.submit(conn, Shutdown::write(), 23);
    let reader = thread::spawn(move || peer.hear_all(4096).unwrap());
    for (context, &count) in rest.iter().enumerate() {
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (20 + context, Ok(Done::Sent), count));
    }
    let done = ledger.completion();
    assert_eq!((done.context, done.result), (23, Ok(Done::ShutDown)));
    assert_eq!(reader.join().unwrap(), total, "{family:?}: a stream without gaps or repeats");
    assert_eq!(sent + rest.iter().sum::<u64>(), total);
    let stats = ledger.finish();
    assert_eq!((stats.bytes_sent, stats.expired), (total, 2));
}

#[test]
fn a_send_cut_by_its_deadline_taints_the_lane_until_the_rest_is_sent() {
    Family::ALL.into_iter().for_each(resume_after_taint);
}

#[test]
fn a_cancel_cuts_a_send_like_a_deadline_does() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        let first = ledger.submit(conn, Send::new(bytes.take(LARGE)), 0);
        let waiting = ledger.submit(conn, Send::new("never"), 1);
        ledger.submit(conn, Send::new("nor this"), 2);
        ledger.until_stuck();
        ledger.aio.cancel(waiting).unwrap();
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (1, Err(OpError::Cancelled), 0));
        ledger.aio.cancel(first).unwrap();
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (0, Err(OpError::Cancelled)));
        assert!((1..LARGE as u64).contains(&done.bytes), "a part: {done:?}");
        let sent = done.bytes;
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (2, Err(OpError::Tainted)));
        assert_eq!(ledger.refused(conn, Send::new("no"), 3), SubmitErrorKind::Tainted);
        ledger.submit(conn, Close::flush(), 4);
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (4, Ok(Done::Closed)), "a close needs no resuming");
        ledger.finish();
        peer.hear_break(family, sent);
    }
}

/// What a send of several parts reports is counted over all of them.
#[test]
fn a_send_of_parts_that_is_cut_reports_bytes_across_them() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.narrow_pair(NARROW, 1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        let parts: Parts = (0..1200).map(|nth| Buffer::from(bytes.take(nth + 400))).collect();
        let total: usize = parts.as_slice().iter().map(Buffer::len).sum();
        ledger.submit(conn, Send::new(parts).within(Duration::from_millis(20)), 0);
        let done = ledger.completion();
        assert_eq!(done.result, Err(OpError::Deadline));
        assert!(done.bytes > 0 && done.bytes < total as u64, "a part: {done:?}");
        ledger.aio.resume(conn).unwrap();
        let skip = usize::try_from(done.bytes).unwrap();
        ledger.submit(conn, Send::new(done.buffer).skip(skip), 1);
        let reader = thread::spawn(move || peer.hear_all(10_000).unwrap());
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (1, Ok(Done::Sent), (total - skip) as u64));
        ledger.finish();
        assert_eq!(reader.join().unwrap(), total as u64, "{family:?}");
    }
}

#[test]
fn what_fits_is_sent_even_if_its_time_has_passed() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(2));
        for context in 0..3 {
            ledger.submit(conn, Send::new(bytes.take(100)).within(Duration::ZERO), context);
        }
        for context in 0..3 {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, Ok(Done::Sent), 100));
        }
        peer.hear(300);
        assert_eq!(ledger.finish().expired, 0, "{family:?}");
    }
}
