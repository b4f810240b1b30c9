//! Graceful ends, on real sockets: they read what comes, or a peer that writes before it reads would wait for
//! ever.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aio::{Close, CloseReason, ConnId, Done, OpError, Proactor, Recv, Send, Socket};
use socket2::{Domain, Socket as RawSocket, Type};
use tests::turns::{PATIENCE, complete};

const MIB: usize = 1 << 20;

/// Two connected sockets, TCP or Unix.
fn pair(unix: bool) -> (Socket, RawSocket) {
    if unix {
        let (ours, peer) = UnixStream::pair().unwrap();
        return (ours.into(), peer.into());
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = RawSocket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    peer.connect(&listener.local_addr().unwrap().into()).unwrap();
    (listener.accept().unwrap().0.into(), peer)
}

/// A peer that says all it wants to say before it listens. Returns what it heard, to the end.
fn says_first(mut peer: RawSocket, bytes: usize) -> JoinHandle<io::Result<usize>> {
    thread::spawn(move || {
        let chunk = vec![7; MIB];
        (0..bytes / MIB).try_for_each(|_| peer.write_all(&chunk))?;
        peer.shutdown(Shutdown::Write)?;
        let mut heard = 0;
        let mut buffer = vec![0; MIB];
        loop {
            match peer.read(&mut buffer)? {
                0 => return Ok(heard),
                count => heard += count,
            }
        }
    })
}

#[derive(Debug, Clone, Copy)]
enum End {
    Linger,
    Flush,
    ShutDown,
    /// A lingering close, and then the proactor is shut down.
    LingerAndShutDown,
}

fn begin(aio: &mut Proactor<&'static str>, conn: ConnId, end: End) {
    match end {
        End::Linger | End::LingerAndShutDown => {
            aio.submit(conn, Close::linger(Duration::from_secs(2)), "close").unwrap();
        }
        End::Flush => {
            aio.submit(conn, Close::flush(), "close").unwrap();
        }
        End::ShutDown => {}
    }
    if let End::ShutDown | End::LingerAndShutDown = end {
        aio.shut_down_within(PATIENCE);
    }
}

#[test]
fn k2_what_flushes_reads_so_that_a_peer_that_writes_first_gets_to_read() {
    for unix in [false, true] {
        for end in [End::Linger, End::Flush, End::ShutDown, End::LingerAndShutDown] {
            let (ours, peer) = pair(unix);
            let peer = says_first(peer, 64 * MIB);
            let mut aio: Proactor<&str> = Proactor::new().unwrap();
            let conn = aio.adopt(ours).unwrap();
            aio.submit(conn, Send::new(vec![1; 32 * MIB]), "send").unwrap();
            begin(&mut aio, conn, end);
            let closes = !matches!(end, End::ShutDown);
            let done = complete(&mut aio, 1 + usize::from(closes));
            assert_eq!((done[0].result, done[0].bytes), (Ok(Done::Sent), 32 << 20), "{end:?}, unix: {unix}");
            let mut batch = Vec::new();
            while aio.stats().connections > 0 {
                aio.turn(&mut batch, Some(PATIENCE)).unwrap();
            }
            let heard = peer.join().unwrap();
            // One that only flushes may close before it has read all: then a reset may overtake what it sent.
            if !matches!(end, End::Flush) {
                assert_eq!(heard.expect("no reset"), 32 * MIB, "{end:?}, unix: {unix}");
            }
            assert_eq!(aio.stats().counters.bytes_received, 0);
        }
    }
}

/// An answer that the kernel has taken already, and a peer that is still sending: if the connection were
/// closed at once, a reset would overtake the answer.
#[test]
fn k2_a_shut_down_that_may_take_a_while_lets_peers_read_the_last_answer() {
    const ANSWER: usize = 100_000;
    for end in [End::ShutDown, End::LingerAndShutDown] {
        let (ours, mut peer) = pair(false);
        let mut aio: Proactor<&str> = Proactor::new().unwrap();
        let conn = aio.adopt(ours).unwrap();
        let told = Arc::new(Barrier::new(2));
        let waits = Arc::clone(&told);
        let peer = thread::spawn(move || {
            peer.write_all(b"a question")?;
            waits.wait();
            (0..16).try_for_each(|_| peer.write_all(&[7; 4096]))?;
            peer.shutdown(Shutdown::Write)?;
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).map(|_| answer.len())
        });
        aio.submit(conn, Recv::exact(vec![0; 10]), "recv").unwrap();
        complete(&mut aio, 1);
        aio.submit(conn, Send::new(vec![1; ANSWER]), "send").unwrap();
        begin(&mut aio, conn, end);
        let mut batch = Vec::new();
        while aio.stats().queued.send > 0 {
            aio.turn(&mut batch, Some(PATIENCE)).unwrap();
        }
        told.wait();
        while aio.turn(&mut batch, Some(PATIENCE)).unwrap() {}
        assert_eq!(peer.join().unwrap().expect("no reset"), ANSWER, "{end:?}");
    }
}

/// It trickles bytes for as long as it may, and takes none.
fn trickles(mut peer: RawSocket, over: Arc<AtomicBool>) -> JoinHandle<()> {
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) && peer.write_all(&[7]).is_ok() {
            thread::sleep(Duration::from_millis(2));
        }
    })
}

#[test]
fn k2_bytes_of_a_peer_that_takes_none_hold_no_close_open() {
    const SPAN: Duration = Duration::from_millis(200);
    for unix in [false, true] {
        // While it flushes, and once it has sent all.
        for bytes in [32 * MIB, 1] {
            let (ours, peer) = pair(unix);
            let over = Arc::new(AtomicBool::new(false));
            let peer = trickles(peer, Arc::clone(&over));
            let mut aio: Proactor<&str> = Proactor::new().unwrap();
            let conn = aio.adopt(ours).unwrap();
            aio.submit(conn, Send::new(vec![1; bytes]), "send").unwrap();
            let began = aio.now();
            aio.submit(conn, Close::linger(SPAN), "close").unwrap();
            let done = complete(&mut aio, 2);
            assert!(aio.now().saturating_since(began) >= SPAN, "not before its time");
            let all = if bytes == 1 { Ok(Done::Sent) } else { Err(OpError::Closed(CloseReason::Requested)) };
            assert_eq!((done[0].context, done[0].result), ("send", all));
            assert_eq!((done[1].context, done[1].result), ("close", Ok(Done::Closed)));
            over.store(true, Ordering::Relaxed);
            peer.join().unwrap();
        }
    }
}

/// A peer that takes some now and then is waited for, for longer than the span of the close; but not for
/// longer than its deadline.
#[test]
fn k2_a_peer_that_goes_on_taking_is_waited_for_until_the_deadline() {
    const SPAN: Duration = Duration::from_millis(400);
    const LIMIT: Duration = Duration::from_millis(1_500);
    for capped in [false, true] {
        let (ours, mut peer) = pair(true);
        let mut aio: Proactor<&str> = Proactor::new().unwrap();
        let conn = aio.adopt(ours).unwrap();
        let reader = thread::spawn(move || {
            let (mut heard, mut buffer) = (0, vec![0; 64 << 10]);
            // Without an end of it, about 2.4 seconds.
            while let Ok(count @ 1..) = peer.read(&mut buffer) {
                heard += count;
                thread::sleep(Duration::from_millis(50));
            }
            heard
        });
        let bytes = 3 * MIB;
        aio.submit(conn, Send::new(vec![1; bytes]), "send").unwrap();
        let began = aio.now();
        let close = Close::linger(SPAN);
        aio.submit(conn, if capped { close.within(LIMIT) } else { close }, "close").unwrap();
        let done = complete(&mut aio, 2);
        let took = aio.now().saturating_since(began);
        if capped {
            assert_eq!(done[0].result, Err(OpError::Closed(CloseReason::Requested)), "{took:?}");
            assert!(done[0].bytes > 0 && took >= LIMIT, "{took:?}");
        } else {
            assert_eq!((done[0].result, done[0].bytes), (Ok(Done::Sent), 3 << 20), "{took:?}");
            assert!(took > SPAN, "{took:?}");
            assert_eq!(reader.join().unwrap(), bytes);
        }
    }
}
