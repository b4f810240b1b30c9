//! Pools that have fewer buffers than there are connections with something to read: who waits, waits in line,
//! and whatever ends the waiting, no buffer is lost. Leases that are returned from other threads, with more
//! than one pool.

use std::time::{Duration, Instant};

use aio::{
    Buffer, CloseReason, ConnId, Deadline, Done, OpError, PoolId, Proactor, Recv, Send, SystemErrorKind,
};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::{Family, Peer};

const BYTES: Result<Done, OpError> = Ok(Done::Received { end_of_stream: false });
const END: Result<Done, OpError> = Ok(Done::Received { end_of_stream: true });

/// What the buffer of the pools here holds.
const LEASE: usize = 64;

/// A buffer of one pool is returned while a connection waits for one of another: the proactor must still be
/// woken when that one comes.
#[test]
fn a_buffer_of_another_pool_does_not_hide_the_one_that_is_waited_for() {
    let mut ledger = Ledger::new(Proactor::<()>::builder().pool(1, LEASE).pool(1, LEASE));
    let mut pair = || {
        let (ours, mut peer) = Family::Unix.pair(1, 2).unwrap();
        peer.say(1);
        (ledger.adopt(ours), peer)
    };
    let ((first, _a), (second, _b), (third, _c)) = (pair(), pair(), pair());
    ledger.submit(first, Recv::pooled_from(PoolId::new(0)), "first");
    ledger.submit(second, Recv::pooled_from(PoolId::new(1)), "second");
    let (one, other) = (ledger.completion(), ledger.completion());
    let (wanted, unwanted) = if one.context == "first" { (one, other) } else { (other, one) };
    ledger.submit(third, Recv::pooled_from(PoolId::new(0)), "third");
    ledger.until("its place in line", |ledger| ledger.aio.stats().counters.parked == 1);
    assert!(matches!((&wanted.buffer, &unwanted.buffer), (Buffer::Lease(_), Buffer::Lease(_))));
    drop(unwanted);
    let start = Instant::now();
    let thread = std::thread::spawn(move || {
        // Long enough for the proactor to be asleep, which is when it matters; earlier it is no harder.
        std::thread::sleep(Duration::from_millis(100));
        drop(wanted);
    });
    let done = ledger.completion();
    assert_eq!((done.context, done.result, done.bytes), ("third", BYTES, 1));
    assert!(start.elapsed() < Duration::from_secs(5), "woken, not timed out");
    thread.join().unwrap();
    drop(done);
    ledger.finish();
}

/// Connections with something to read, one after the other in the line for the only buffer, which the first
/// has got: its lease.
fn in_line(family: Family, count: usize, says: usize) -> (Ledger<usize>, Vec<ConnId>, Vec<Peer>, Buffer) {
    let mut ledger = Ledger::new(Proactor::<()>::builder().pool(1, LEASE));
    let (mut conns, mut peers, mut lease) = (Vec::new(), Vec::new(), Buffer::None);
    for nth in 0..count {
        let (ours, mut peer) = family.pair(nth as u64, 100 + nth as u64).unwrap();
        peer.say(says);
        conns.push(ledger.adopt(ours));
        peers.push(peer);
        ledger.submit(conns[nth], Recv::pooled(), nth);
        if nth == 0 {
            let done = ledger.completion();
            assert_eq!((done.context, done.result), (0, BYTES));
            assert!(Bytes::new(0).matches(done.received()));
            lease = done.buffer;
        }
        ledger.until("its place in line", |ledger| ledger.aio.stats().counters.parked == nth as u64);
    }
    ledger.until_stuck();
    assert!(ledger.is_settled() && ledger.aio.stats().leases == 1, "there is one buffer, and it is lent");
    (ledger, conns, peers, lease)
}

#[test]
fn ten_connections_share_one_buffer_in_turn() {
    for family in Family::ALL {
        const SAYS: usize = 2 * LEASE + 32;
        let (mut ledger, conns, mut peers, lease) = in_line(family, 10, SAYS);
        let mut streams: Vec<_> = (0..10).map(Bytes::new).collect();
        // The first lease was looked at already.
        assert!(streams[0].matches(lease.as_slice()));
        let mut received = [0; 10];
        received[0] = lease.len();
        drop(lease);
        ledger.submit(conns[0], Recv::pooled(), 0);
        // Round and round: who has been served goes to the end of the line.
        for turn in 1..30 {
            let nth = turn % 10;
            let done = ledger.completion();
            assert_eq!(
                (done.context, done.conn, done.result),
                (nth, conns[nth], BYTES),
                "{family:?}: {turn}"
            );
            assert!(streams[nth].matches(done.received()));
            received[nth] += done.received().len();
            ledger.until_stuck();
            assert!(ledger.is_settled() && ledger.aio.stats().leases == 1, "nobody gets it while it is lent");
            drop(done);
            ledger.submit(conns[nth], Recv::pooled(), nth);
        }
        assert_eq!(received, [SAYS; 10], "each has got all");
        ledger.until_stuck();
        assert_eq!(ledger.aio.stats().leases, 0, "there is nothing to read, so nobody holds it");
        peers.iter_mut().for_each(Peer::fall_silent);
        let mut ended: Vec<_> = (0..10).map(|_| ledger.completion()).collect();
        ended.sort_unstable_by_key(|done| done.context);
        assert!(ended.iter().zip(0..).all(|(done, nth)| (done.context, done.result) == (nth, END)));
        ledger.finish();
    }
}

/// What happens to a connection that waits in line for a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The peer says no more.
    End,
    /// The peer throws the connection away.
    Reset,
    /// It is closed by this side.
    Close,
    /// Its receive is cancelled.
    Cancel,
    /// Its receive has a deadline.
    Deadline,
}

const FATES: [Fate; 5] = [Fate::End, Fate::Reset, Fate::Close, Fate::Cancel, Fate::Deadline];

/// The first has the buffer, the second meets its fate, the third is next.
fn meet_fate_in_line(family: Family, fate: Fate, says: usize) {
    let (mut ledger, conns, mut peers, lease) = in_line(family, 1, LEASE);
    let mut ops = Vec::new();
    for nth in [1, 2] {
        let (ours, mut peer) = family.pair(nth as u64, 100).unwrap();
        peer.say(if nth == 1 { says } else { LEASE });
        peers.push(peer);
        let conn = ledger.adopt(ours);
        ops.push((conn, ledger.submit(conn, Recv::pooled(), nth)));
        ledger.until("its place in line", |ledger| ledger.aio.stats().counters.parked == nth as u64);
    }
    let (fated, op) = ops[0];
    let third = peers.pop();
    let peer = peers.pop().unwrap();
    let at_once = match fate {
        Fate::End => {
            drop(peer);
            None
        }
        Fate::Reset => {
            peer.reset();
            None
        }
        Fate::Close => {
            assert!(ledger.aio.close(fated));
            Some(OpError::Closed(CloseReason::Requested))
        }
        Fate::Cancel => {
            ledger.aio.cancel(op).unwrap();
            Some(OpError::Cancelled)
        }
        Fate::Deadline => {
            ledger.aio.set_deadline(op, Some(Deadline::Within(Duration::from_millis(5)))).unwrap();
            Some(OpError::Deadline)
        }
    };
    if let Some(error) = at_once {
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (1, Err(error), 0), "it need not wait for that");
    }
    ledger.until_stuck();
    assert!(ledger.is_settled() && ledger.aio.stats().leases == 1, "the others still wait");
    // A send needs no buffer of the pool.
    ledger.submit(conns[0], Send::new(Bytes::new(100).take(9)), 9);
    assert_eq!(ledger.completion().result, Ok(Done::Sent));
    peers[0].hear(9);

    drop(lease);
    if at_once.is_none() {
        // Only TCP has resets, and one behind an end of stream comes too late to matter.
        let reset = family.is_tcp() && fate == Fate::Reset;
        read_to_the_end(&mut ledger, fated, says, reset);
    }
    let done = ledger.completion();
    assert_eq!((done.context, done.result, done.bytes), (2, BYTES, LEASE as u64), "{family:?}, {fate:?}");
    assert!(Bytes::new(2).matches(done.received()));
    drop((done, third));
    ledger.until_stuck();
    assert_eq!(ledger.aio.stats().leases, 0, "{family:?}, {fate:?}: no buffer is lost");
    ledger.finish();
}

/// What the second gets when it is its turn: what its peer had said, then the end. A reset may swallow the
/// bytes.
fn read_to_the_end(ledger: &mut Ledger<usize>, conn: ConnId, says: usize, reset: bool) {
    let mut done = ledger.completion();
    assert_eq!(done.context, 1, "it was the first to wait");
    if done.bytes > 0 {
        assert_eq!((done.result, done.bytes), (BYTES, says as u64));
        assert!(Bytes::new(1).matches(done.received()));
        // The lease is still held, so the third waits until this one has seen its end.
        ledger.submit(conn, Recv::into(vec![0; 8]), 1);
        done = ledger.completion();
        assert_eq!(done.context, 1);
    } else {
        assert!(reset, "no byte is lost but by a reset");
    }
    match done.result {
        END => assert!(!reset),
        Err(OpError::System(error)) => assert!(reset && error.kind() == SystemErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_ends_the_waiting_for_a_buffer_the_next_in_line_gets_it() {
    for (family, fate) in Family::ALL.into_iter().flat_map(|family| FATES.map(|fate| (family, fate))) {
        for says in [10, LEASE] {
            meet_fate_in_line(family, fate, says);
        }
    }
}

/// An end of stream is something to read, too; but what is no bytes needs no buffer.
#[test]
fn who_waits_for_a_buffer_and_only_finds_the_end_leaves_the_line() {
    for family in Family::ALL {
        let (mut ledger, _conns, mut peers, lease) = in_line(family, 1, LEASE);
        for nth in [1, 2] {
            let (ours, mut peer) = family.pair(nth as u64, 100).unwrap();
            if nth == 1 {
                peer.fall_silent();
            } else {
                peer.say(LEASE);
            }
            peers.push(peer);
            let conn = ledger.adopt(ours);
            ledger.submit(conn, Recv::pooled(), nth);
            ledger.until("its place in line", |ledger| ledger.aio.stats().counters.parked == nth as u64);
        }
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (1, END, 0));
        ledger.until_stuck();
        assert!(ledger.is_settled() && ledger.aio.stats().leases == 1, "the other still waits");
        drop(lease);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (2, BYTES, LEASE as u64));
        drop(done);
        ledger.finish();
    }
}

/// As README and `Proactor` have it: neither the peer's end nor its reset ends a receive that waits for a
/// buffer, a deadline does, and sends are told of a reset meanwhile.
#[test]
fn b3_a_receive_that_waits_for_a_buffer_is_not_told_of_an_end_behind_bytes() {
    let (mut ledger, conns, mut peers, lease) = in_line(Family::Tcp, 4, 5);
    peers[1].fall_silent();
    peers.remove(2).reset();
    ledger.until_stuck();
    assert!(ledger.is_settled(), "neither is told");
    ledger.submit(conns[2], Send::new("x"), 20);
    let done = ledger.completion();
    let reset = matches!(done.result, Err(OpError::System(error)) if error.kind() == SystemErrorKind::ConnectionReset);
    assert!(done.context == 20 && reset, "{done:?}");
    ledger.submit(conns[3], Recv::pooled().within(Duration::from_millis(5)), 30);
    let done = ledger.completion();
    assert_eq!((done.context, done.result), (30, Err(OpError::Deadline)));
    drop(lease);
    // One after the other: what had arrived comes first.
    for nth in 1..4 {
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (nth, BYTES, 5));
    }
    ledger.submit(conns[1], Recv::pooled(), 1);
    let done = ledger.completion();
    assert_eq!((done.context, done.result), (1, END));
    drop(done);
    ledger.finish();
}
