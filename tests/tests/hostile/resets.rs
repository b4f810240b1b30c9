//! A reset in every state that a connection can be in.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use aio::{Accept, Close, Connect, Done, OpError, Proactor, Recv, Send, SystemErrorKind};
use socket2::{Domain, SockRef, Socket, Type};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::{Family, Peer};
use tests::turns::complete;

const NARROW: usize = 16 << 10;
const LARGE: usize = 1 << 20;

fn ledger() -> Ledger<u32> {
    Ledger::new(Proactor::<()>::builder().pool(1, 4096))
}

fn is_reset(result: Result<Done, OpError>) -> bool {
    let kinds = [SystemErrorKind::ConnectionReset, SystemErrorKind::BrokenPipe];
    matches!(result, Err(OpError::System(error)) if kinds.contains(&error.kind()))
}

/// A connection, and its peer, both ready for a reset while something is under way.
fn narrow(ledger: &mut Ledger<u32>) -> (aio::ConnId, Peer) {
    let (ours, peer) = Family::Tcp.narrow_pair(NARROW, 1, 2).unwrap();
    (ledger.adopt(ours), peer)
}

#[test]
fn before_it_is_accepted() {
    let (mut ledger, listener) = (ledger(), tests::echo::listen().unwrap());
    let address = listener.local_addr().unwrap();
    let listener = ledger.adopt(listener);
    for _ in 0..10 {
        let stream = TcpStream::connect(address).unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    let good = TcpStream::connect(address).unwrap();
    SockRef::from(&good).send(b"here").unwrap();
    // The dead may be accepted, and then their first receive tells; or they are passed over.
    for dead in 0.. {
        ledger.submit(listener, Accept::one(), 0);
        let Ok(Done::Accepted(conn)) = ledger.completion().result else { panic!("accepting goes on") };
        ledger.submit(conn, Recv::pooled(), 1);
        let done = ledger.completion();
        if done.result.is_ok() {
            assert_eq!(done.received(), b"here");
            break;
        }
        assert!(is_reset(done.result) && dead < 10, "{done:?}");
    }
    ledger.finish();
}

#[test]
fn while_it_waits_to_be_read() {
    let mut ledger = ledger();
    let (conn, peer) = narrow(&mut ledger);
    ledger.submit(conn, Recv::pooled(), 0);
    ledger.submit(conn, Recv::exact(vec![0; 10]), 1);
    ledger.until_stuck();
    peer.reset();
    for context in [0, 1] {
        let done = ledger.completion();
        assert_eq!((done.context, done.bytes), (context, 0));
        assert!(is_reset(done.result), "{done:?}");
    }
    ledger.submit(conn, Recv::pooled(), 2);
    assert!(is_reset(ledger.completion().result), "it is for good");
    ledger.submit(conn, Send::new("too late"), 3);
    assert!(is_reset(ledger.completion().result));
    ledger.finish();
}

#[test]
fn behind_bytes_that_were_not_read() {
    let mut ledger = ledger();
    let (conn, mut peer) = narrow(&mut ledger);
    peer.say(100);
    peer.reset();
    // A kernel may throw away what came before a reset. What it does not is received first.
    ledger.submit(conn, Recv::exact(vec![0; 200]), 0);
    let done = ledger.completion();
    assert!(is_reset(done.result) && [0, 100].contains(&done.bytes), "{done:?}");
    assert!(Bytes::new(1).matches(done.received()));
    ledger.finish();
}

#[test]
fn in_the_middle_of_a_send() {
    let mut ledger = ledger();
    let (conn, mut peer) = narrow(&mut ledger);
    ledger.submit(conn, Send::new(Bytes::new(2).take(LARGE)), 0);
    ledger.submit(conn, Send::new("behind it"), 1);
    ledger.submit(conn, Recv::pooled(), 2);
    ledger.until_stuck();
    peer.hear(1000);
    ledger.until_stuck();
    peer.reset();
    let mut results = [None; 3];
    for _ in 0..3 {
        let done = ledger.completion();
        assert!(is_reset(done.result), "{done:?}");
        results[done.context as usize] = Some(done.bytes);
    }
    let [Some(sent), Some(0), Some(0)] = results else { panic!("{results:?}") };
    assert!((1000..LARGE as u64).contains(&sent), "the bytes that went are counted: {sent}");
    ledger.finish();
}

#[test]
fn while_it_waits_for_a_buffer_of_the_pool() {
    let mut ledger = ledger();
    let ((first, mut first_peer), (parked, mut peer)) = (narrow(&mut ledger), narrow(&mut ledger));
    first_peer.say(1);
    ledger.submit(first, Recv::pooled(), 0);
    let lease = ledger.completion().buffer;
    peer.say(10);
    ledger.submit(parked, Recv::pooled(), 1);
    ledger.submit(parked, Recv::pooled(), 2);
    ledger.until("a parked lane", |ledger| ledger.aio.stats().lanes_parked == 1);
    peer.reset();
    ledger.until_stuck();
    assert!(ledger.is_settled() && ledger.aio.stats().lanes_parked == 1, "it has no buffer to be told with");
    drop(lease);
    let (mut ends, mut bytes) = (Vec::new(), 0);
    while ends.len() < 2 {
        let done = ledger.completion();
        bytes += done.bytes;
        ends.push(done.result);
    }
    assert!([0, 10].contains(&bytes) && is_reset(ends[1]), "{bytes}, {ends:?}");
    assert_eq!(ledger.aio.stats().leases, 0);
    ledger.finish();
}

#[test]
fn while_it_flushes() {
    let mut ledger = ledger();
    let (conn, peer) = narrow(&mut ledger);
    ledger.submit(conn, Send::new(Bytes::new(2).take(LARGE)), 0);
    ledger.submit(conn, Close::flush(), 1);
    ledger.until_stuck();
    assert!(ledger.is_settled());
    peer.reset();
    let done = ledger.completion();
    assert!(done.context == 0 && is_reset(done.result), "{done:?}");
    assert!((1..LARGE as u64).contains(&done.bytes), "{done:?}");
    assert_eq!(ledger.completion().result, Ok(Done::Closed));
    ledger.finish();
}

#[test]
fn while_it_lingers() {
    const LONG: Duration = Duration::from_secs(600);
    let (mut ledger, start) = (ledger(), Instant::now());
    let (conn, mut peer) = narrow(&mut ledger);
    ledger.submit(conn, Send::new(Bytes::new(2).take(10)), 0);
    ledger.submit(conn, Close::linger(LONG), 1);
    assert_eq!(ledger.completion().result, Ok(Done::Sent));
    peer.hear(10);
    ledger.until_stuck();
    assert!(ledger.is_settled(), "the peer has not ended its side");
    peer.reset();
    assert_eq!(ledger.completion().result, Ok(Done::Closed));
    assert!(start.elapsed() < LONG, "nobody is left to wait for");
    ledger.finish();
}

/// A listener whose queue is full lets a connect wait; when it goes, what the connect sends again is answered
/// by a reset.
#[test]
fn while_it_connects() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut aio: Proactor<usize> = Proactor::new().unwrap();
    // Some of them fill the queue.
    const CONNECTS: usize = 8;
    for context in 0..CONNECTS {
        aio.submit(aio.own(), Connect::to(address), context).unwrap();
    }
    let mut batch = Vec::with_capacity(CONNECTS);
    while aio.is_busy() || batch.is_empty() {
        aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
    }
    let made = batch.len();
    assert!(batch.iter().all(|done| done.result == Ok(Done::Connected)) && made < CONNECTS, "{batch:?}");
    drop(listener);
    for done in complete(&mut aio, CONNECTS - made) {
        let Err(OpError::System(error)) = done.result else { panic!("{done:?}") };
        let kinds = [SystemErrorKind::ConnectionRefused, SystemErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{done:?}");
    }
    assert_eq!(aio.stats().connections as usize, made, "nothing is left of those that failed");
}
