//! Peers that take for ever.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use aio::{Close, Done, OpError, Proactor, Recv, Send};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::Family;
use tests::turns::PATIENCE;

use crate::guarded_server::{GuardedServer, REQUEST_BYTES, behave, pace, request, request_time};

const PEERS: usize = 1000;

/// A byte of a thousand requests every 20 ms, each of which may take 200 ms. Real ones take a second for a
/// byte: `HOSTILE_PACE_MS=1000`.
#[test]
fn a_thousand_who_trickle_are_ended_by_their_deadline_and_hold_nobody_up() {
    let server = GuardedServer::open();
    let behaved: Vec<_> = (0..8).map(|_| behave(server.address, 60)).collect();
    let mut slow: Vec<_> = (0..PEERS).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    slow.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
    let (request, start) = (request(0), Instant::now());
    // The last byte is never said.
    let mut bytes = request[..REQUEST_BYTES - 1].chunks(1);
    while !slow.is_empty() {
        let byte = bytes.next().unwrap_or_default();
        slow.retain_mut(|stream| !is_over(stream) && stream.write_all(byte).is_ok());
        assert!(
            start.elapsed() < PATIENCE + 2 * request_time(),
            "{} of them are still connected",
            slow.len()
        );
        thread::sleep(pace());
    }
    behaved.into_iter().for_each(|peer| peer.join().unwrap());
    let account = server.close();
    assert_eq!((account.expired, account.garbage), (PEERS as u64, 0), "{account:?}");
    assert_eq!(account.answered, 8 * 60, "those who behave are answered: {account:?}");
    println!("{PEERS} ended after {:?}, at most {:?} late: {account:?}", request_time(), account.late_max);
}

/// Whether the other side has ended the connection.
fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        Ok(count) => count == 0,
    }
}

/// It says something, then nothing, and never closes: with deadlines it holds neither memory nor a place for
/// ever.
#[test]
fn a_peer_that_neither_reads_nor_says_anything_is_ended_by_deadlines() {
    const SPAN: Duration = Duration::from_millis(50);
    for family in Family::ALL {
        let mut ledger: Ledger<u32> = Ledger::new(Proactor::<()>::builder().pool(1, 4096));
        let (ours, mut peer) = family.narrow_pair(16 << 10, 1, 2).unwrap();
        let conn = ledger.adopt(ours);
        peer.say(10);
        ledger.submit(conn, Recv::exact(vec![0; 100]).within(SPAN), 0);
        ledger.submit(conn, Send::new(Bytes::new(2).take(1 << 20)).within(2 * SPAN), 1);
        ledger.submit(conn, Send::new("behind it"), 2);
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (0, Err(OpError::Deadline), 10));
        assert!(Bytes::new(1).matches(done.received()));
        let done = ledger.completion();
        assert_eq!((done.context, done.result), (1, Err(OpError::Deadline)), "{family:?}");
        assert!((1..1 << 20).contains(&done.bytes), "{done:?}");
        let done = ledger.completion();
        assert_eq!((done.context, done.result, done.bytes), (2, Err(OpError::Tainted), 0));
        // A farewell is not waited for either.
        ledger.submit(conn, Close::linger(SPAN).within(SPAN), 3);
        assert_eq!(ledger.completion().result, Ok(Done::Closed), "{family:?}");
        ledger.finish();
    }
}
