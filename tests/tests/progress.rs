//! Deadlines that progress puts off, and connections that are idle, on real sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use aio::{Accept, Completion, ConnId, Done, OpError, Proactor, Recv, Send, Socket};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

type Aio = Proactor<&'static str>;

fn connected(aio: &mut Aio) -> (ConnId, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(PATIENCE).unwrap();
    (aio.adopt(Socket::from(listener.accept().unwrap().0)).unwrap(), peer)
}

fn next(aio: &mut Aio) -> Completion<&'static str> {
    let mut batch = Vec::with_capacity(1);
    while batch.is_empty() {
        aio.turn(&mut batch, PATIENCE).unwrap();
        aio.check().unwrap();
    }
    batch.remove(0)
}

/// A peer that takes a little again and again gets all of it, however long that takes; one that stops does
/// not.
#[test]
fn a_slow_reader_that_goes_on_is_not_cut_off_and_one_that_stops_is() {
    for stops in [false, true] {
        let mut aio = Aio::new().unwrap();
        let (conn, mut peer) = connected(&mut aio);
        let span = Duration::from_millis(if stops { 100 } else { 3_000 });
        let bytes = vec![b'x'; 24 << 20];
        let reading = thread::spawn(move || {
            let (mut piece, mut count) = (vec![0; 1 << 20], 0);
            while !stops || count < 4 << 20 {
                match peer.read(&mut piece).unwrap() {
                    0 => break,
                    read => count += read,
                }
            }
            (peer, count)
        });
        let len = bytes.len();
        aio.submit(conn, Send::new(bytes).progress(span), "send").unwrap();
        let done = next(&mut aio);
        if stops {
            assert_eq!(done.result, Err(OpError::Deadline));
            assert!(done.bytes < len as u64);
        } else {
            assert_eq!((done.result, done.bytes), (Ok(Done::Sent), len as u64));
        }
        aio.close(conn);
        aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        drop(aio);
        let (_peer, count) = reading.join().unwrap();
        assert!(stops || count == len);
    }
}

#[test]
fn a_silent_connection_is_idle_and_one_that_talks_is_not() {
    let mut aio = Aio::new().unwrap();
    let (silent, _silent_peer) = connected(&mut aio);
    let (talking, mut peer) = connected(&mut aio);
    let span = Duration::from_millis(300);
    let begun = Instant::now();
    for conn in [silent, talking] {
        aio.set_idle(conn, Some(span)).unwrap();
        aio.submit(conn, Recv::many(2), if conn == silent { "silent" } else { "talking" }).unwrap();
    }
    let mut talks = 0;
    loop {
        let mut batch = Vec::new();
        aio.turn(&mut batch, Some(Duration::from_millis(20))).unwrap();
        peer.write_all(b"x").unwrap();
        let Some(done) = batch.into_iter().find(|done| done.context == "silent" || !done.more) else {
            talks += 1;
            continue;
        };
        assert_eq!((done.context, done.result, done.more), ("silent", Err(OpError::Idle), false));
        break;
    }
    assert!(begun.elapsed() >= span && talks > 0);
    assert!(aio.conn_info(talking).unwrap().last_progress > aio.conn_info(silent).unwrap().last_progress);
}

/// A proxy: whichever side is silent, bytes on the other keep both; and those that a listener accepts
/// inherit.
#[test]
fn bytes_on_one_of_a_pair_keep_the_other() {
    let mut aio = Aio::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(Socket::from(listener)).unwrap();
    aio.set_idle(listener, Some(Duration::from_millis(200))).unwrap();
    aio.submit(listener, Accept::one(), "accept").unwrap();
    let _client = TcpStream::connect(address).unwrap();
    let Ok(Done::Accepted(near)) = next(&mut aio).result else { panic!("nobody came") };
    assert_eq!(aio.conn_info(near).unwrap().idle, Some(Duration::from_millis(200)));
    let (far, mut upstream) = connected(&mut aio);
    let span = Duration::from_millis(400);
    aio.set_idle_pair([near, far], span).unwrap();
    aio.submit(near, Recv::pooled(), "near").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 2 * span {
        upstream.write_all(b"x").unwrap();
        aio.submit(far, Recv::pooled(), "far").unwrap();
        assert_eq!(next(&mut aio).context, "far");
    }
    aio.submit(far, Recv::pooled(), "far").unwrap();
    let mut ended = [next(&mut aio), next(&mut aio)].map(|done| (done.context, done.result));
    ended.sort_unstable_by_key(|ended| ended.0);
    assert_eq!(ended, [("far", Err(OpError::Idle)), ("near", Err(OpError::Idle))]);
}
