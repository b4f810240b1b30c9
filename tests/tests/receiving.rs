//! Receives: what comes, comes once, in order, into the buffer that was meant for it, or into one that is
//! lent; and what does not come in time is not waited for.

use std::time::Duration;

use aio::{
    Buffer, Deadline, Done, Instant, Limit, OpError, OpIdError, Proactor, Recv, Send, SubmitErrorKind,
};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::Family;

const BYTES: Result<Done, OpError> = Ok(Done::Received { end_of_stream: false });
const END: Result<Done, OpError> = Ok(Done::Received { end_of_stream: true });

/// What a buffer is full of before a receive.
const UNTOUCHED: u8 = 0xEE;

/// What deadlines are rounded up to.
const TICK: Duration = Duration::from_millis(1);

/// The end of the tick that an instant lies in: what is rounded down from there is early by nearly all of it.
fn last_of_tick(at: Instant) -> Instant {
    let tick = u64::try_from(TICK.as_nanos()).unwrap();
    Instant::from_nanos(at.as_nanos() / tick * tick + tick - 1)
}

fn ledger() -> Ledger<usize> {
    Ledger::new(Proactor::<()>::builder())
}

#[test]
fn an_echo_goes_through_one_buffer_of_the_users() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 1).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(1));
        let (mut buffer, mut context) = (vec![0; 4096], 0);
        for size in [1, 7, 4095, 4096, 4097, 30_000] {
            peer.say(size);
            let mut echoed = 0;
            while echoed < size {
                buffer.fill(UNTOUCHED);
                context += 2;
                ledger.submit(conn, Recv::into(buffer), context);
                let done = ledger.completion();
                assert_eq!(done.result, BYTES);
                assert!(bytes.matches(done.received()), "{family:?}: byte {echoed} of {size}");
                let count = done.received().len();
                assert!(done.buffer.as_slice()[count..].iter().all(|byte| *byte == UNTOUCHED));
                ledger.submit(conn, Send::new(done.buffer).first(count), context + 1);
                let sent = ledger.completion();
                assert_eq!((sent.result, sent.bytes), (Ok(Done::Sent), count as u64));
                buffer = sent.buffer.into_vec().unwrap();
                echoed += count;
            }
            assert_eq!(echoed, size);
            peer.hear(size);
        }
        let stats = ledger.finish();
        assert_eq!((stats.bytes_received, stats.bytes_sent), (peer.heard(), peer.heard()));
    }
}

#[test]
fn an_exact_receive_waits_for_its_last_byte() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(1));
        for (context, size) in [100, 50, 10, 10].into_iter().enumerate() {
            ledger.submit(conn, Recv::exact(vec![UNTOUCHED; size]), context);
        }
        ledger.submit(conn, Recv::into(vec![UNTOUCHED; 10]), 4);
        peer.say(40);
        ledger.until("the first part", |ledger| ledger.aio.stats().counters.bytes_received == 40);
        ledger.until_stuck();
        assert!(ledger.is_settled() && ledger.aio.stats().credits == 5, "a part is not enough");
        // The rest, all of the next, and a part of the one after that.
        peer.say(60 + 50 + 7);
        peer.fall_silent();
        let expected =
            [(BYTES, 100), (BYTES, 50), (Err(OpError::UnexpectedEof), 7), (Err(OpError::UnexpectedEof), 0)];
        for (context, (result, count)) in expected.into_iter().enumerate() {
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, result, count), "{family:?}");
            assert!(bytes.matches(done.received()));
            assert!(done.buffer.as_slice()[done.received().len()..].iter().all(|byte| *byte == UNTOUCHED));
        }
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (4, END), "to others the end is no failure");
        ledger.finish();
    }
}

#[test]
fn a_receive_without_room_is_refused() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let conn = ledger.adopt(ours);
        let empty = SubmitErrorKind::EmptyBuffer;
        assert_eq!(ledger.refused(conn, Recv::into(Vec::new()), 0), empty);
        assert_eq!(ledger.refused(conn, Recv::into(Vec::with_capacity(64)), 1), empty, "its length counts");
        assert_eq!(ledger.refused(conn, Recv::exact(Vec::new()), 2), empty);
        assert_eq!(ledger.refused(conn, Recv::into(Buffer::None), 3), empty);
        assert_eq!(ledger.refused(conn, Recv::into("static"), 4), SubmitErrorKind::NotWritable);
        // It leaves no trace: the next has its byte, and is the only one to end.
        ledger.submit(conn, Recv::into(vec![0]), 5);
        peer.say(1);
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (5, BYTES));
        assert!(Bytes::new(1).matches(done.received()));
        assert_eq!(ledger.finish().refused, 5);
    }
}

#[test]
fn a_full_queue_refuses_another_receive_until_one_has_ended() {
    for family in Family::ALL {
        let mut ledger = Ledger::new(Proactor::<()>::builder().lane_ops_max(1));
        let ((ours, mut peer), mut bytes) = (family.pair(1, 2).unwrap(), Bytes::new(1));
        let conn = ledger.adopt(ours);
        for context in 0..3 {
            ledger.submit(conn, Recv::exact(vec![0; 8]), context);
            let busy = SubmitErrorKind::Busy(Limit::LaneOps);
            assert_eq!(ledger.refused(conn, Recv::into(vec![0; 8]), 3), busy);
            peer.say(8);
            let done = ledger.completion();
            assert_eq!((done.context, done.result, done.bytes), (context, BYTES, 8));
            assert!(bytes.matches(done.received()));
        }
        ledger.finish();
    }
}

#[test]
fn a_pooled_receive_holds_a_buffer_only_while_there_are_bytes_in_it() {
    for family in Family::ALL {
        let mut ledger = Ledger::new(Proactor::<()>::builder().pool(4, 1000));
        let ((ours, mut peer), mut bytes) = (family.pair(1, 2).unwrap(), Bytes::new(1));
        let conn = ledger.adopt(ours);
        let mut leases = Vec::new();
        let mut received = 0;
        ledger.submit(conn, Recv::pooled(), 0);
        ledger.until_stuck();
        assert_eq!(ledger.aio.stats().leases, 0, "idle, it holds none");
        peer.say(2500);
        while received < 2500 {
            let done = ledger.completion();
            assert_eq!((done.context, done.result), (leases.len(), BYTES));
            assert!(bytes.matches(done.received()), "{family:?}: after byte {received}");
            received += done.received().len();
            leases.push(done.buffer);
            assert_eq!(ledger.aio.stats().leases as usize, leases.len());
            ledger.submit(conn, Recv::pooled(), leases.len());
        }
        ledger.until_stuck();
        assert_eq!(
            (received, ledger.aio.stats().leases as usize),
            (2500, leases.len()),
            "the next one waits without"
        );
        let mut again = Bytes::new(1);
        assert!(leases.iter().all(|lease| again.matches(lease.as_slice())), "the bytes stay as they were");
        leases.clear();
        assert_eq!(ledger.aio.stats().leases, 0);
        peer.fall_silent();
        let done = ledger.completion();
        assert_eq!((done.result, done.bytes), (END, 0));
        ledger.finish();
    }
}

/// Two receives that time out, one that does not; the first to be submitted need not be the first to end.
#[test]
fn receives_end_at_their_deadlines_and_never_before() {
    let orders = [(20, 40), (40, 20)];
    for (family, (first, second)) in Family::ALL.into_iter().flat_map(|f| orders.map(|order| (f, order))) {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let conn = ledger.adopt(ours);
        let start = ledger.aio.now();
        let mut deadlines = [(first, 0), (second, 1)].map(|(ms, context)| {
            let at = last_of_tick(start + Duration::from_millis(ms));
            ledger.submit(conn, Recv::into(vec![UNTOUCHED; 8]).deadline(at), context);
            (at, context)
        });
        deadlines.sort_unstable();
        ledger.submit(conn, Recv::into(vec![0; 8]), 2);
        for (at, context) in deadlines {
            let mut began = start;
            ledger.until("the deadline", |ledger| {
                let ended = !ledger.is_settled();
                assert!(ended || began < at + TICK, "{family:?}: a turn after the deadline did not end it");
                began = ledger.aio.now();
                ended
            });
            let early = at.saturating_since(ledger.aio.now());
            assert_eq!(early, Duration::ZERO, "{family:?}: too early");
            let done = ledger.completion();
            assert_eq!(
                (done.context, done.result, done.bytes),
                (context, Err(OpError::Deadline), 0),
                "{family:?}"
            );
            assert_eq!(done.buffer.as_slice(), [UNTOUCHED; 8]);
        }
        ledger.until_stuck();
        assert!(ledger.is_settled() && ledger.aio.stats().credits == 1, "what has no deadline stays");
        peer.say(8);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (2, BYTES, 8));
        assert!(Bytes::new(1).matches(done.received()));
        assert_eq!(ledger.finish().expired, 2);
    }
}

#[test]
fn the_part_that_came_before_a_deadline_is_not_lost() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(1));
        let op = ledger.submit(conn, Recv::exact(vec![UNTOUCHED; 100]), 0);
        ledger.submit(conn, Recv::exact(vec![UNTOUCHED; 50]), 1);
        peer.say(40);
        ledger.until("a part", |ledger| ledger.aio.stats().counters.bytes_received == 40);
        ledger.aio.set_deadline(op, Some(Deadline::Within(Duration::from_millis(10)))).unwrap();
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (0, Err(OpError::Deadline), 40), "{family:?}");
        assert!(bytes.matches(done.received()));
        peer.say(50);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (1, BYTES, 50), "the stream has no gap");
        assert!(bytes.matches(done.received()));
        assert_eq!(ledger.aio.set_deadline(op, None), Err(OpIdError::Stale));
        ledger.finish();
    }
}

#[test]
fn a_deadline_that_is_taken_back_does_not_come() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let conn = ledger.adopt(ours);
        let span = Duration::from_millis(10);
        let patient = ledger.submit(conn, Recv::into(vec![0; 8]).within(span), 0);
        ledger.submit(conn, Recv::into(vec![0; 8]).within(span), 1);
        ledger.aio.set_deadline(patient, None).unwrap();
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (1, Err(OpError::Deadline)), "{family:?}");
        let last = ledger.aio.now() + 2 * span;
        ledger.submit(conn, Recv::into(vec![0; 8]).deadline(last), 2);
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (2, Err(OpError::Deadline)));
        peer.say(8);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (0, BYTES, 8));
        assert!(Bytes::new(1).matches(done.received()));
        ledger.finish();
    }
}

#[test]
fn what_is_at_hand_is_received_even_if_its_time_has_passed() {
    for family in Family::ALL {
        let (mut ledger, (ours, mut peer)) = (ledger(), family.pair(1, 2).unwrap());
        let (conn, mut bytes) = (ledger.adopt(ours), Bytes::new(1));
        peer.say(9);
        // Once the first byte is here, the others are.
        ledger.submit(conn, Recv::into(vec![0]), 0);
        let done = ledger.completion();
        assert!(done.result == BYTES && bytes.matches(done.received()));
        ledger.submit(conn, Recv::exact(vec![0; 8]).deadline(Instant::ZERO), 1);
        ledger.submit(conn, Recv::exact(vec![0; 8]).within(Duration::ZERO), 2);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (1, BYTES, 8), "{family:?}");
        assert!(bytes.matches(done.received()));
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (2, Err(OpError::Deadline), 0));
        ledger.finish();
    }
}
