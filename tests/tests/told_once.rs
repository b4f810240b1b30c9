//! The kernel tells an error once, to whichever call comes first. The other direction is told it too, behind
//! the bytes that are there: an end of stream after it is no end (K4). But an end that the peer sent stays
//! one.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use aio::{Buffer, ConnId, Done, OpError, Parts, Proactor, Recv, Send, SystemErrorKind};
use socket2::{Domain, Socket, Type};
use tests::bytes::Bytes;
use tests::ledger::Ledger;
use tests::pair::Family;
use tests::platform;

const NARROW: usize = 16 * 1024;
const LARGE: usize = 300_000;
const END: Result<Done, OpError> = Ok(Done::Received { end_of_stream: true });

fn ledger() -> Ledger<u32> {
    Ledger::new(Proactor::<()>::builder().pool(1, 4096))
}

fn kind_of(result: Result<Done, OpError>) -> Option<SystemErrorKind> {
    match result {
        Err(OpError::System(error)) => Some(error.kind()),
        _ => None,
    }
}

/// The ways to receive.
fn receives() -> [Recv; 5] {
    let parts = || Parts::from_iter([vec![0; 3], vec![0; 5]].map(Buffer::from));
    [
        Recv::pooled(),
        Recv::into(vec![0; 8]),
        Recv::exact(vec![0; 8]),
        Recv::into(parts()),
        Recv::exact(parts()),
    ]
}

/// A stream whose peer has said so much and reset it, and of which a send has been told.
fn send_told(ledger: &mut Ledger<u32>, said: usize) -> ConnId {
    let (ours, mut peer) = Family::Tcp.pair(1, 2).unwrap();
    let conn = ledger.adopt(ours);
    peer.say(said);
    peer.reset();
    ledger.submit(conn, Send::new("x"), 0);
    let done = ledger.completion();
    assert_eq!(kind_of(done.result), Some(SystemErrorKind::ConnectionReset), "{done:?}");
    conn
}

#[test]
fn k4_a_reset_that_a_send_was_told_of_is_no_end_of_the_stream() {
    for recv in receives() {
        let mut ledger = ledger();
        let conn = send_told(&mut ledger, 0);
        ledger.submit(conn, recv, 1);
        ledger.submit(conn, Recv::pooled(), 2);
        for context in [1, 2] {
            let done = ledger.completion();
            assert_eq!((done.context, done.bytes), (context, 0));
            assert_eq!(kind_of(done.result), Some(SystemErrorKind::ConnectionReset), "{done:?}");
        }
        ledger.submit(conn, Send::new("y"), 3);
        assert_eq!(kind_of(ledger.completion().result), Some(SystemErrorKind::ConnectionReset), "as before");
        ledger.finish();
    }
}

#[test]
fn k4_what_had_arrived_before_the_fault_is_received_first() {
    for recv in receives() {
        let mut ledger = ledger();
        let conn = send_told(&mut ledger, 5);
        ledger.submit(conn, recv, 1);
        ledger.submit(conn, Recv::into(vec![0; 9]), 2);
        let first = ledger.completion();
        assert_eq!(first.bytes, 5, "{first:?}");
        let heard: Vec<u8> = first.buffer.chunks().flatten().copied().take(5).collect();
        assert!(Bytes::new(1).matches(&heard));
        let told = kind_of(first.result);
        assert!(told.is_none_or(|kind| kind == SystemErrorKind::ConnectionReset), "{first:?}");
        drop(first);
        assert_eq!(kind_of(ledger.completion().result), Some(SystemErrorKind::ConnectionReset));
        ledger.finish();
    }
}

/// Whichever lane is told, the other hears of it.
#[test]
fn k4_a_receive_that_waits_all_along_is_told_of_the_reset() {
    for recv in receives() {
        let (mut ledger, (ours, peer)) = (ledger(), Family::Tcp.pair(1, 2).unwrap());
        let conn = ledger.adopt(ours);
        ledger.submit(conn, recv, 1);
        ledger.until_stuck();
        peer.reset();
        // Sends are tried at once, before anybody asks for events.
        ledger.submit(conn, Send::new("x"), 0);
        let mut done = [ledger.completion(), ledger.completion()];
        done.sort_unstable_by_key(|done| done.context);
        let [send, recv] = done.map(|done| kind_of(done.result));
        assert_eq!(recv, Some(SystemErrorKind::ConnectionReset));
        assert!(
            matches!(send, Some(SystemErrorKind::ConnectionReset | SystemErrorKind::BrokenPipe)),
            "{send:?}"
        );
        ledger.finish();
    }
}

#[test]
fn k4_an_end_that_the_peer_sent_before_its_reset_stays_an_end() {
    let (mut ledger, (ours, theirs)) = (ledger(), Family::Tcp.sockets(None).unwrap());
    let conn = ledger.adopt(ours);
    theirs.send(b"all").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    theirs.set_linger(Some(Duration::ZERO)).unwrap();
    drop(theirs);
    ledger.submit(conn, Send::new("x"), 0);
    assert_eq!(kind_of(ledger.completion().result), Some(SystemErrorKind::BrokenPipe));
    ledger.submit(conn, Recv::pooled(), 1);
    ledger.submit(conn, Recv::pooled(), 2);
    assert_eq!(ledger.completion().received(), b"all");
    assert_eq!(ledger.completion().result, END, "the stream is complete");
    ledger.finish();
}

/// A socket whose connect is refused after it was adopted: the listener's queue is full, and then the
/// listener is gone.
fn refused_later(ledger: &mut Ledger<u32>) -> ConnId {
    let listener = Family::Tcp.port().unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address.as_socket().unwrap()).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let error = socket.connect(&address).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::INPROGRESS.raw_os_error()));
    ledger.adopt(socket)
}

#[test]
fn k4_a_connect_that_was_under_way_when_it_was_adopted_is_refused_to_both_lanes() {
    let mut ledger = ledger();
    let conn = refused_later(&mut ledger);
    ledger.submit(conn, Send::new("x"), 0);
    let done = ledger.completion();
    assert_eq!(kind_of(done.result), Some(SystemErrorKind::ConnectionRefused), "{done:?}");
    ledger.submit(conn, Recv::exact(vec![0; 8]), 1);
    let done = ledger.completion();
    assert_eq!(kind_of(done.result), Some(SystemErrorKind::ConnectionRefused), "{done:?}");
    ledger.finish();
}

/// A peer that does not read, until the kernel gives it up; it may have ended its own side before.
fn given_up(ledger: &mut Ledger<u32>, ended: bool) -> Option<(ConnId, Socket)> {
    let (ours, theirs) = Family::Tcp.sockets(Some(NARROW)).unwrap();
    platform::give_up_after(&ours, Duration::from_millis(1))?.unwrap();
    if ended {
        theirs.shutdown(Shutdown::Write).unwrap();
    }
    let conn = ledger.adopt(ours);
    ledger.submit(conn, Send::new(vec![0; LARGE]), 0);
    let done = ledger.completion();
    assert_eq!(kind_of(done.result), Some(SystemErrorKind::TimedOut), "{done:?}");
    Some((conn, theirs))
}

#[test]
fn k4_a_peer_that_the_kernel_gave_up_has_not_ended() {
    for ended in [false, true] {
        let mut ledger = ledger();
        let Some((conn, _theirs)) = given_up(&mut ledger, ended) else {
            return println!("skipped: no such option");
        };
        ledger.submit(conn, Recv::pooled(), 1);
        let done = ledger.completion();
        assert_eq!(kind_of(done.result), Some(SystemErrorKind::TimedOut), "{done:?}");
        ledger.finish();
    }
}
