//! The echo server against real peers: every byte comes back, whoever else vanishes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use aio::Proactor;
use socket2::SockRef;
use tests::bytes::Bytes;
use tests::echo::EchoServer;

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
fn a_hundred_mebibytes_through_one_connection_come_back_identical() {
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
    let report = server.stop().unwrap();
    assert_eq!((report.connections, report.outstanding), (208, 0));
    assert_eq!(report.stats.opened, report.stats.closed);
}
