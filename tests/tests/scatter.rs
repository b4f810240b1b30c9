//! Receives into several buffers, and closes that linger, on real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aio::{Buffer, Close, ConnId, Done, Parts, Proactor, Recv, Send, Socket};
use tests::turns::{PATIENCE, complete};

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, peer)
}

fn scattered(ours: impl Into<Socket>, mut peer: impl Write + std::marker::Send + 'static, lengths: &[usize]) {
    let total: usize = lengths.iter().sum();
    let bytes: Vec<u8> = (0..=250).cycle().take(total).collect();
    let sent = bytes.clone();
    let writer = std::thread::spawn(move || {
        peer.write_all(&sent).unwrap();
        peer
    });
    let mut aio = Proactor::new().unwrap();
    let conn = aio.adopt(ours.into()).unwrap();
    let parts: Parts = lengths.iter().map(|len| Buffer::from(vec![0; *len])).collect();
    aio.submit(conn, Recv::exact(parts), ()).unwrap();
    let done = complete(&mut aio, 1).remove(0);
    assert_eq!((done.result, done.bytes), (Ok(Done::Received { end_of_stream: false }), total as u64));
    let Buffer::Parts(parts) = done.buffer else { panic!("{:?}", done.buffer) };
    assert_eq!(parts.as_slice().iter().map(Buffer::len).collect::<Vec<_>>(), lengths);
    assert_eq!(parts.as_slice().iter().flat_map(Buffer::as_slice).copied().collect::<Vec<u8>>(), bytes);
    writer.join().unwrap();
}

#[test]
fn parts_are_filled_in_order_few_or_many() {
    for lengths in
        [vec![4, 1_000_000], vec![1; 8], vec![1; 9], vec![3; 1024], vec![3; 5_000], vec![0, 7, 0, 9]]
    {
        let (ours, peer) = tcp();
        scattered(ours, peer, &lengths);
        let (ours, peer) = UnixStream::pair().unwrap();
        scattered(ours, peer, &lengths);
    }
}

/// An answer to a peer that is still sending: it must read all of it, and then the end, not a reset.
#[test]
fn who_lingers_is_heard_to_the_end() {
    const ANSWER: usize = 200_000;
    for round in 0..20 {
        let (ours, peer) = tcp();
        let mut writer = peer.try_clone().unwrap();
        let talker = std::thread::spawn(move || {
            // Until the other end has had enough: much more than is read.
            let talked = (0..2_000).try_for_each(|_| writer.write_all(&[1; 1024]));
            let _ = writer.shutdown(std::net::Shutdown::Write);
            talked
        });
        let mut reader = peer;
        let listener = std::thread::spawn(move || {
            let mut answer = Vec::new();
            reader.read_to_end(&mut answer).map(|_| answer)
        });
        let mut aio: Proactor<&str> = Proactor::new().unwrap();
        let conn: ConnId = aio.adopt(ours).unwrap();
        aio.submit(conn, Recv::exact(vec![0; 10]), "recv").unwrap();
        complete(&mut aio, 1);
        aio.submit(conn, Send::new(vec![round; ANSWER]), "send").unwrap();
        aio.submit(conn, Close::linger(PATIENCE), "close").unwrap();
        let done = complete(&mut aio, 2);
        assert_eq!((done[0].context, done[0].bytes), ("send", ANSWER as u64));
        assert_eq!((done[1].context, done[1].result), ("close", Ok(Done::Closed)));
        talker.join().unwrap().expect("the peer could say all it wanted");
        assert_eq!(listener.join().unwrap().expect("no reset"), vec![round; ANSWER]);
        assert_eq!(aio.stats().connections, 0);
    }
}

/// A peer that never ends is not waited for longer than was said.
#[test]
fn lingering_ends_with_its_time() {
    let (ours, _peer) = tcp();
    let mut aio: Proactor<&str> = Proactor::new().unwrap();
    let conn = aio.adopt(ours).unwrap();
    let began = aio.now();
    let span = Duration::from_millis(50);
    aio.submit(conn, Close::linger(span), "close").unwrap();
    assert_eq!(complete(&mut aio, 1)[0].result, Ok(Done::Closed));
    assert!(aio.now().saturating_since(began) >= span);
}
