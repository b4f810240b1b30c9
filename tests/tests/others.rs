//! What others may change: every holder of a clone of a descriptor shares its flags and options. None of it
//! makes a call wait.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aio::{Accept, Buffer, Close, Done, Parts, Proactor, Recv, Send, Sleep};
use socket2::SockRef;
use tests::pair::Family;
use tests::turns::complete;

/// More than any call takes, and less than what the calls would wait for here.
const NO_WAIT: Duration = Duration::from_secs(2);

/// Runs `test` in a thread of its own, because one that waits in a system call can not be ended.
fn ends(test: impl FnOnce() + std::marker::Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = ended.send(());
    });
    match end.recv_timeout(Duration::from_secs(30)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("a call waits"),
        _ => thread.join().unwrap(),
    }
}

/// Two buffers of so many bytes each, or one of as many as both.
fn buffer(in_parts: bool, half: usize) -> Buffer {
    if in_parts {
        let parts: Parts = [vec![7; half], vec![7; half]].map(Buffer::from).into_iter().collect();
        Buffer::from(parts)
    } else {
        Buffer::from(vec![7; 2 * half])
    }
}

#[test]
fn k6_no_receive_and_no_send_waits_on_a_descriptor_that_was_set_blocking() {
    for (family, in_parts) in Family::ALL.into_iter().flat_map(|family| [(family, false), (family, true)]) {
        ends(move || {
            let (ours, mut peer) = family.sockets(Some(4096)).unwrap();
            let clone = ours.try_clone().unwrap();
            let mut aio: Proactor<&str> = Proactor::new().unwrap();
            let conn = aio.adopt(OwnedFd::from(ours)).unwrap();
            clone.set_nonblocking(false).unwrap();
            peer.write_all(b"all of it!").unwrap();
            // The first finds what it wants, the second nothing; and nobody takes what is sent.
            aio.submit(conn, Recv::exact(buffer(in_parts, 5)), "some").unwrap();
            aio.submit(conn, Recv::exact(buffer(in_parts, 5)), "none").unwrap();
            aio.submit(conn, Send::new(buffer(in_parts, 4_000_000)), "send").unwrap();
            let own = aio.own();
            aio.submit(own, Sleep::new(Duration::from_millis(200)), "sleep").unwrap();
            let done = complete(&mut aio, 2);
            assert_eq!(done.iter().map(|done| done.context).collect::<Vec<_>>(), ["some", "sleep"]);
        });
    }
}

#[test]
fn k2_a_lingering_close_does_not_wait_on_a_descriptor_that_was_set_blocking() {
    ends(|| {
        let (ours, mut peer) = Family::Tcp.sockets(None).unwrap();
        peer.write_all(b"thrown away, and looked for more").unwrap();
        let clone = ours.try_clone().unwrap();
        let mut aio: Proactor<&str> = Proactor::new().unwrap();
        let conn = aio.adopt(OwnedFd::from(ours)).unwrap();
        aio.submit(conn, Close::linger(Duration::from_millis(50)), "close").unwrap();
        clone.set_nonblocking(false).unwrap();
        assert_eq!(complete(&mut aio, 1)[0].result, Ok(Done::Closed));
    });
}

type Connect = Box<dyn Fn() -> OwnedFd + std::marker::Send>;

/// Listeners, and how to connect to each.
fn listeners(name: &str) -> [(OwnedFd, Connect); 2] {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let name = format!("aio-others-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let unix = UnixListener::bind(&path).unwrap();
    [
        (tcp.into(), Box::new(move || TcpStream::connect(address).unwrap().into())),
        (unix.into(), Box::new(move || UnixStream::connect(&path).unwrap().into())),
    ]
}

#[test]
fn k5_no_accept_waits_on_a_listener_that_was_set_blocking() {
    for (listener, connect) in listeners("set") {
        ends(move || {
            let clone = socket2::Socket::from(listener.try_clone().unwrap());
            let mut aio: Proactor<&str> = Proactor::new().unwrap();
            let listener = aio.adopt(listener).unwrap();
            let own = aio.own();
            aio.submit(listener, Accept::many(), "accept").unwrap();
            for _ in 0..5 {
                clone.set_nonblocking(false).unwrap();
                let _peers = [connect(), connect()];
                aio.submit(own, Sleep::new(Duration::from_millis(200)), "sleep").unwrap();
                let done = complete(&mut aio, 3);
                let done = done.iter().map(|done| done.context).collect::<Vec<_>>();
                assert_eq!(done, ["accept", "accept", "sleep"]);
            }
        });
    }
}

/// Between the call that sets the flag and the accept there is time for somebody else. An accept waits then,
/// but not for long.
#[test]
fn k5_an_accept_hardly_waits_on_a_listener_that_is_set_blocking_again_and_again() {
    for (listener, connect) in listeners("again") {
        ends(move || {
            let clone = socket2::Socket::from(listener.try_clone().unwrap());
            let mut aio: Proactor<&str> = Proactor::new().unwrap();
            let listener = aio.adopt(listener).unwrap();
            aio.submit(listener, Accept::many(), "accept").unwrap();
            let over = Arc::new(AtomicBool::new(false));
            let other = {
                let over = Arc::clone(&over);
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        clone.set_nonblocking(false).unwrap();
                    }
                })
            };
            for _ in 0..200 {
                let _peer = connect();
                complete(&mut aio, 1);
            }
            over.store(true, Ordering::Relaxed);
            other.join().unwrap();
        });
    }
}

/// Who sets `SO_LINGER`, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    ListenerBefore,
    ListenerAfter,
    Accepted,
    Adopted,
}

const EVERYWHERE: [Set; 4] = [Set::ListenerBefore, Set::ListenerAfter, Set::Accepted, Set::Adopted];

/// A stream with that `SO_LINGER`, and bytes that its peer does not read.
fn unheard(set: Set, linger: Duration) -> (Proactor<&'static str>, aio::ConnId, socket2::Socket) {
    let lingers = |fd: BorrowedFd<'_>| SockRef::from(&fd).set_linger(Some(linger)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let peer = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    peer.set_recv_buffer_size(4096).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut aio: Proactor<&str> = Proactor::new().unwrap();
    let conn = if set == Set::Adopted {
        peer.connect(&address).unwrap();
        let stream = listener.accept().unwrap().0;
        lingers(stream.as_fd());
        aio.adopt(stream).unwrap()
    } else {
        let clone = listener.try_clone().unwrap();
        if set == Set::ListenerBefore {
            lingers(clone.as_fd());
        }
        let listener = aio.adopt(listener).unwrap();
        if set == Set::ListenerAfter {
            lingers(clone.as_fd());
        }
        peer.connect(&address).unwrap();
        aio.submit(listener, Accept::one(), "accept").unwrap();
        let Ok(Done::Accepted(conn)) = complete(&mut aio, 1).remove(0).result else { panic!("not accepted") };
        aio.close(listener);
        conn
    };
    if set == Set::Accepted {
        lingers(aio.system_mut().descriptor(conn).unwrap());
    }
    aio.submit(conn, Send::new(vec![7; 100_000]), "send").unwrap();
    aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
    (aio, conn, peer)
}

#[test]
fn k2_a_close_does_not_wait_whatever_so_linger_says() {
    for set in EVERYWHERE {
        let (mut aio, conn, _peer) = unheard(set, Duration::from_secs(3));
        aio.submit(conn, Close::now(), "close").unwrap();
        let began = Instant::now();
        while complete(&mut aio, 1)[0].context != "close" {}
        assert!(began.elapsed() < NO_WAIT, "{set:?}: {:?}", began.elapsed());
    }
}

#[test]
fn k2_a_dropped_proactor_does_not_wait_whatever_so_linger_says() {
    for set in EVERYWHERE {
        let (aio, _, _peer) = unheard(set, Duration::from_secs(3));
        let began = Instant::now();
        drop(aio);
        assert!(began.elapsed() < NO_WAIT, "{set:?}: {:?}", began.elapsed());
    }
}

#[test]
fn k2_an_so_linger_of_zero_still_resets() {
    for set in EVERYWHERE {
        let (mut aio, conn, mut peer) = unheard(set, Duration::ZERO);
        aio.close(conn);
        while aio.stats().connections > 0 {
            aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        }
        let error = peer.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{set:?}");
    }
}
