//! The echo server against real peers: every byte comes back, also when other peers vanish.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use aio::{Accept, Close, Completion, ConnId, Done, Proactor, Recv, Send};
use socket2::SockRef;
use tests::bytes::Bytes;
use tests::echo::{EchoServer, listen};
use tests::ledger::Ledger;
use tests::pair::Peer;

const MIB: usize = 1 << 20;

fn server() -> EchoServer {
    EchoServer::start(Proactor::<()>::builder()).unwrap()
}

/// Sends a piece, receives it back, and so on.
fn ping_pong(address: SocketAddr, seed: u64, total: usize, piece: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut sent, mut received) = (Bytes::new(seed), Bytes::new(seed));
    let mut buffer = vec![0; piece];
    for _ in 0..total / piece {
        sent.fill(&mut buffer);
        stream.write_all(&buffer)?;
        buffer.fill(0);
        stream.read_exact(&mut buffer)?;
        assert!(received.matches(&buffer), "the bytes of connection {seed} come back as they were");
    }
    Ok(())
}

#[test]
fn a_hundred_mebibytes_through_one_connection_return_identical() {
    let server = server();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        let (mut bytes, mut piece) = (Bytes::new(1), vec![0; 64 * 1024]);
        for _ in 0..100 * MIB / piece.len() {
            bytes.fill(&mut piece);
            stream.write_all(&piece).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let (mut bytes, mut piece, mut total) = (Bytes::new(1), vec![0; 64 * 1024], 0);
    while total < 100 * MIB {
        reader.read_exact(&mut piece).unwrap();
        assert!(bytes.matches(&piece), "within the 64 KiB after byte {total}");
        total += piece.len();
    }
    assert_eq!(reader.read(&mut piece).unwrap(), 0, "and not a byte more");
    writer.join().unwrap();
    let report = server.stop().unwrap();
    assert_eq!((report.bytes, report.outstanding), (100 * MIB as u64, 0));
}

#[test]
fn a_single_byte_comes_back_again_and_again() {
    let server = server();
    ping_pong(server.address(), 1, 500, 1).unwrap();
    let report = server.stop().unwrap();
    assert_eq!((report.bytes, report.outstanding), (500, 0));
}

#[test]
fn a_thousand_connections_get_their_own_bytes_back() {
    let server = server();
    let address = server.address();
    let client = |seed| {
        let thread = thread::Builder::new().stack_size(128 * 1024);
        thread.spawn(move || ping_pong(address, seed, MIB, 32 * 1024).unwrap()).unwrap()
    };
    let clients: Vec<_> = (0..1000).map(client).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let report = server.stop().unwrap();
    assert_eq!((report.connections, report.bytes), (1000, 1000 * MIB as u64));
    assert_eq!(
        (report.stats.opened, report.stats.closed),
        (1002, 1002),
        "each connection, the listener, the stop"
    );
    assert_eq!(report.outstanding, 0);
}

#[test]
fn a_peer_that_resets_in_the_middle_disturbs_no_other() {
    let server = server();
    let address = server.address();
    let steady: Vec<_> = (0..8)
        .map(|seed| thread::spawn(move || ping_pong(address, seed, 4 * MIB, 8 * 1024).unwrap()))
        .collect();
    for seed in 0..200 {
        let mut stream = TcpStream::connect(address).unwrap();
        let mut piece = vec![0; 256 * 1024];
        Bytes::new(seed).fill(&mut piece);
        stream.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        // More than the buffers hold, so the server is in the middle of something when the reset comes.
        let _ = stream.write(&piece);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    }
    steady.into_iter().for_each(|client| client.join().unwrap());
    // Who is served now stood behind all of them in the queue.
    ping_pong(address, 200, 1024, 1024).unwrap();
    let report = server.stop().unwrap();
    assert_eq!((report.connections, report.outstanding), (209, 0));
    assert_eq!(report.stats.opened, report.stats.closed);
}

/// What an operation is for: the step that is taken on the connection of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ctx {
    Accept,
    Read { seed: u64, nth: u64 },
    Write { seed: u64, nth: u64 },
    Close { seed: u64 },
}

/// An echo server that knows its clients, and each byte that they are to send.
struct Known {
    ledger: Ledger<Ctx>,
    seeds: HashMap<u16, u64>,
    conns: HashMap<u64, (ConnId, Bytes, u64)>,
    closed: usize,
}

impl Known {
    fn handle(&mut self, done: Completion<Ctx>) {
        match (done.context, done.result) {
            (Ctx::Accept, Ok(Done::Accepted(conn))) => {
                assert!(done.more);
                let port = self.ledger.aio.peer_addr(conn).unwrap().as_internet().unwrap().port();
                let seed = self.seeds.remove(&port).expect("each client is accepted once");
                self.conns.insert(seed, (conn, Bytes::new(seed), 0));
                self.ledger.submit(conn, Recv::pooled(), Ctx::Read { seed, nth: 0 });
            }
            (Ctx::Read { seed, nth }, Ok(Done::Received { end_of_stream: false })) => {
                let (conn, bytes, _) = self.conns.get_mut(&seed).unwrap();
                assert!(done.conn == *conn && bytes.matches(done.received()), "message {nth} of {seed}");
                self.ledger.submit(done.conn, Send::new(done.buffer), Ctx::Write { seed, nth });
            }
            (Ctx::Write { seed, nth }, Ok(Done::Sent)) => {
                assert_eq!(done.bytes, done.buffer.len() as u64);
                self.conns.get_mut(&seed).unwrap().2 += done.bytes;
                self.ledger.submit(done.conn, Recv::pooled(), Ctx::Read { seed, nth: nth + 1 });
            }
            (Ctx::Read { seed, .. }, Ok(Done::Received { end_of_stream: true })) => {
                self.ledger.submit(done.conn, Close::now(), Ctx::Close { seed });
            }
            (Ctx::Close { seed }, Ok(Done::Closed)) => {
                assert_eq!(self.conns[&seed].0, done.conn);
                self.closed += 1;
            }
            _ => panic!("{done:?}"),
        }
    }
}

#[test]
fn of_two_hundred_connections_at_once_every_operation_is_accounted_for() {
    const SIZES: [usize; 5] = [1, 40_000, 300, 16_384, 7];
    let mut ledger = Ledger::new(Proactor::<()>::builder().pool(20, 4096));
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let (mut seeds, mut clients) = (HashMap::new(), Vec::new());
    for seed in 0..200 {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        seeds.insert(stream.local_addr().unwrap().port(), seed);
        clients.push(Peer::new(stream.into(), seed, seed).unwrap());
    }
    let talk = thread::spawn(move || {
        for size in SIZES {
            clients.iter_mut().for_each(|client| client.say(size));
            clients.iter_mut().for_each(|client| client.hear(size));
        }
        clients.iter_mut().for_each(Peer::fall_silent);
        clients.iter_mut().map(|client| client.hear_all(64).unwrap()).collect::<Vec<_>>()
    });
    let listener = ledger.adopt(listener);
    ledger.submit(listener, Accept::many(), Ctx::Accept);
    let mut known = Known { ledger, seeds, conns: HashMap::new(), closed: 0 };
    while known.closed < 200 {
        let done = known.ledger.completion();
        known.handle(done);
    }
    let total = SIZES.iter().sum::<usize>() as u64;
    assert!(talk.join().unwrap().into_iter().all(|heard| heard == total));
    assert!(known.seeds.is_empty() && known.conns.values().all(|(_, _, sent)| *sent == total));
    let stats = known.ledger.finish();
    assert_eq!((stats.bytes_received, stats.bytes_sent), (200 * total, 200 * total));
    assert_eq!((stats.accepted, stats.closed), (200, 201));
}
