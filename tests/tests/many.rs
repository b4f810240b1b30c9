//! Receives that go on, on real sockets: one submission for a whole stream.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aio::{
    Buffer, Completion, ConnId, Done, LanePlace, OpError, Proactor, Recv, Send, Socket, SystemErrorKind,
};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));
const BYTES: usize = 16 << 20;

/// A connection of the proactor's, and its peer.
fn connected(aio: &mut Proactor<&'static str>) -> (ConnId, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(PATIENCE).unwrap();
    let (socket, _) = listener.accept().unwrap();
    (aio.adopt(Socket::from(socket)).unwrap(), peer)
}

fn proactor() -> Proactor<&'static str> {
    Proactor::<&'static str>::builder().pool(16, 4096).build().unwrap()
}

fn byte(at: usize) -> u8 {
    (at % 251).to_le_bytes()[0]
}

/// The next completion.
fn next(
    aio: &mut Proactor<&'static str>,
    batch: &mut Vec<Completion<&'static str>>,
) -> Completion<&'static str> {
    while batch.is_empty() {
        aio.turn(batch, PATIENCE).unwrap();
    }
    batch.remove(0)
}

#[test]
fn an_echo_receives_a_whole_stream_with_one_submission() {
    for leases_max in [1, 2, 7] {
        let mut aio = proactor();
        let (conn, mut peer) = connected(&mut aio);
        let peer = thread::spawn(move || {
            let mut writer = peer.try_clone().unwrap();
            let writes = thread::spawn(move || {
                let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
                writer.write_all(&bytes).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).unwrap();
            writes.join().unwrap();
            assert!(bytes.len() == BYTES && bytes.iter().enumerate().all(|(at, found)| *found == byte(at)));
        });
        aio.submit(conn, Recv::many(leases_max), "many").unwrap();
        let mut batch = Vec::new();
        let (mut received, mut out, mut sends) = (0, 0, 0);
        loop {
            let done = next(&mut aio, &mut batch);
            match (done.context, done.result) {
                ("many", Ok(Done::Received { end_of_stream: false })) => {
                    assert!(done.more, "it goes on");
                    received += done.buffer.len();
                    out += 1;
                    assert!(out <= leases_max, "{out} leases are out");
                    aio.submit(conn, Send::new(done.buffer), "send").unwrap();
                    sends += 1;
                }
                ("many", Ok(Done::Received { end_of_stream: true })) => break,
                ("send", Ok(Done::Sent)) => {
                    out -= 1;
                    aio.give_back(done.buffer);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, BYTES);
        assert_eq!(aio.stats().counters.submitted - sends, 1, "one submission receives all of it");
        // What is still to be sent is, and then the peer sees the end.
        aio.submit(conn, aio::Close::flush(), "close").unwrap();
        while !matches!(next(&mut aio, &mut batch).result, Ok(Done::Closed)) {}
        peer.join().unwrap();
    }
}

/// A turn that sleeps is woken by the lease that its connection waits for, on whatever thread it is dropped.
#[test]
fn a_lease_that_is_dropped_on_another_thread_lets_the_receive_go_on() {
    let mut aio = proactor();
    let (conn, mut peer) = connected(&mut aio);
    let (leases, dropped) = mpsc::channel::<Buffer>();
    let dropping = thread::spawn(move || dropped.iter().map(drop).count());
    aio.submit(conn, Recv::many(1), "many").unwrap();
    let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
    let writes = thread::spawn(move || peer.write_all(&bytes).map(|()| peer).unwrap());
    let (mut batch, mut received) = (Vec::new(), 0);
    while received < BYTES {
        let done = next(&mut aio, &mut batch);
        let fits = done.buffer.as_slice().iter().enumerate().all(|(at, found)| *found == byte(received + at));
        assert!(fits && done.more);
        received += done.buffer.len();
        leases.send(done.buffer).unwrap();
    }
    drop((leases, writes.join().unwrap()));
    assert!(dropping.join().unwrap() >= BYTES / 4096);
}

#[test]
fn whatever_ends_it_comes_once_while_it_waits_for_its_lease_too() {
    for waits in [false, true] {
        for end in ["cancel", "close", "deadline", "end of stream", "reset"] {
            let mut aio = proactor();
            let (conn, mut peer) = connected(&mut aio);
            let op = aio.submit(conn, Recv::many(1), "many").unwrap();
            let mut batch = Vec::new();
            let mut held = None;
            if waits {
                peer.write_all(&[b'x'; 5000]).unwrap();
                held = Some(next(&mut aio, &mut batch).buffer);
                while aio.conn_info(conn).unwrap().receive.place != LanePlace::LeasesOut {
                    aio.turn(&mut batch, PATIENCE).unwrap();
                }
            }
            match end {
                "cancel" => aio.cancel(op).unwrap(),
                "close" => assert!(aio.close(conn)),
                "deadline" => {
                    aio.set_deadline(op, Some(aio::Deadline::Within(Duration::from_millis(1)))).unwrap();
                }
                "end of stream" => peer.shutdown(Shutdown::Write).unwrap(),
                _ => {
                    let linger = socket2::SockRef::from(&peer);
                    linger.set_linger(Some(Duration::ZERO)).unwrap();
                    drop(peer);
                }
            }
            if matches!(end, "end of stream" | "reset") {
                // What came before comes first, and needs a lease.
                held = None;
            }
            let last = loop {
                let done = next(&mut aio, &mut batch);
                if !done.more {
                    break done;
                }
            };
            match (end, last.result) {
                ("cancel", Err(OpError::Cancelled))
                | ("close", Err(OpError::Closed(_)))
                | ("deadline", Err(OpError::Deadline))
                | ("end of stream", Ok(Done::Received { end_of_stream: true })) => {}
                ("reset", Err(OpError::System(error))) => {
                    assert_eq!(error.kind(), SystemErrorKind::ConnectionReset);
                }
                (_, result) => panic!("{end}: {result:?}"),
            }
            assert_eq!((last.context, last.bytes), ("many", 0));
            drop((held, last));
            aio.close(conn);
            aio.shut_down();
            while aio.turn(&mut batch, PATIENCE).unwrap() {
                assert!(batch.drain(..).all(|done| done.context != "many"), "it ends once");
            }
            assert_eq!(aio.stats().leases, 0);
        }
    }
}
