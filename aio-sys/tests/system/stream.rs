//! Receive, send, shut down, close.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use aio_model::{Outcome, Readiness, Rearm, Syscall, System, SystemErrorKind};

use crate::rig::{Rig, failure};

const END: Readiness = Readiness::READ_CLOSED;

#[test]
fn bytes_go_both_ways() {
    let mut rig = Rig::new();
    let (tcp, tcp_peer) = rig.accepted();
    let (unix, unix_peer) = rig.pair();
    let mut tcp_peer = tcp_peer;
    let mut unix_peer = unix_peer;
    let peers: [(_, &mut dyn ReadWrite); 2] = [(tcp, &mut tcp_peer), (unix, &mut unix_peer)];
    for (conn, peer) in peers {
        let mut buffer = [0; 8];
        assert_eq!(rig.recv(conn, &mut buffer), Outcome::WouldBlock);
        peer.write_all(b"ping").unwrap();
        rig.await_ready(conn, Readiness::READABLE);
        assert_eq!(rig.recv(conn, &mut buffer[..3]), Outcome::Transferred(3));
        let short = if conn == tcp { Outcome::Transferred(1) } else { Outcome::Partial(1) };
        assert_eq!(rig.recv(conn, &mut buffer[3..]), short);
        assert_eq!(&buffer[..4], b"ping");
        assert_eq!(rig.recv(conn, &mut buffer), Outcome::WouldBlock);

        assert_eq!(rig.send(conn, b"pong!"), Outcome::Transferred(5));
        peer.read_exact(&mut buffer[..5]).unwrap();
        assert_eq!(&buffer[..5], b"pong!");
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn readiness_comes_again_after_every_would_block() {
    let mut rig = Rig::new();
    let (conn, mut peer) = rig.accepted();
    for round in 0..10 {
        assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
        peer.write_all(&[round; 3]).unwrap();
        rig.await_ready(conn, Readiness::READABLE);
        assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(3));
    }
}

#[test]
fn an_arrival_is_reported_without_would_block_where_the_engine_says_so() {
    let mut rig = Rig::new();
    if rig.os.rearm() == Rearm::OnWouldBlock {
        return;
    }
    let (conn, mut peer) = rig.accepted();
    for round in 0..10 {
        peer.write_all(&[round; 3]).unwrap();
        rig.await_ready(conn, Readiness::READABLE);
        assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(3));
    }
}

#[test]
fn an_idle_connection_is_quiet() {
    let mut rig = Rig::new();
    let (conn, _peer) = rig.accepted();
    rig.await_ready(conn, Readiness::WRITABLE);
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
    assert_eq!(rig.at_hand(), [], "waiting to receive is no reason to hear of space to send");
}

#[test]
fn both_directions_can_wait_at_once() {
    let mut rig = Rig::new();
    for receive_first in [false, true] {
        let (conn, mut peer) = rig.pair();
        rig.await_ready(conn, Readiness::WRITABLE);
        let mut sent = 0;
        if receive_first {
            assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
        }
        while let Outcome::Transferred(count) = rig.send(conn, &[7; 64 * 1024]) {
            sent += count;
        }
        assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
        if receive_first {
            assert_eq!(rig.send(conn, b"more"), Outcome::WouldBlock);
        }
        peer.write_all(b"ping").unwrap();
        rig.await_ready(conn, Readiness::READABLE);
        peer.read_exact(&mut vec![0; sent]).unwrap();
        rig.await_ready(conn, Readiness::WRITABLE);
        assert_eq!(rig.recv(conn, &mut [0; 4]), Outcome::Transferred(4));
        assert_eq!(rig.send(conn, b"pong"), Outcome::Transferred(4));
    }
}

#[test]
fn a_send_that_found_no_space_is_told_when_there_is() {
    let mut rig = Rig::new();
    let (conn, mut peer) = rig.pair();
    rig.await_ready(conn, Readiness::WRITABLE);
    let chunk = [7; 64 * 1024];
    for _ in 0..3 {
        let mut sent = 0;
        loop {
            match rig.send(conn, &chunk) {
                Outcome::Transferred(count) => sent += count,
                Outcome::WouldBlock => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(sent > 0);
        let mut received = vec![0; sent];
        peer.read_exact(&mut received).unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        rig.await_ready(conn, Readiness::WRITABLE);
    }
}

#[test]
fn the_end_of_stream_is_zero_bytes_for_ever() {
    let mut rig = Rig::new();
    let (conn, mut peer) = rig.accepted();
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
    peer.write_all(b"last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    rig.await_ready(conn, END);
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(4));
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(0));
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(0));
    // The other direction does not care.
    assert_eq!(rig.send(conn, b"ok"), Outcome::Transferred(2));
    peer.read_exact(&mut [0; 2]).unwrap();
}

#[test]
fn a_reset_is_an_error() {
    let mut rig = Rig::new();
    let (conn, peer) = rig.accepted();
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let any = Readiness::READABLE | END | Readiness::WRITE_CLOSED | Readiness::ERROR;
    rig.await_ready(conn, any);
    let outcome = rig.persist(conn, any, |rig| rig.recv(conn, &mut [0; 8]));
    assert_eq!(failure(outcome), SystemErrorKind::ConnectionReset);
    assert_eq!(failure(rig.send(conn, b"more")), SystemErrorKind::BrokenPipe);
    rig.close(conn);
}

#[test]
fn shutting_down_sends_fin_and_ends_sending() {
    let mut rig = Rig::new();
    let (conn, mut peer) = rig.accepted();
    assert_eq!(rig.send(conn, b"bye"), Outcome::Transferred(3));
    assert_eq!(rig.os.perform(Syscall::ShutdownWrite { conn }), Outcome::Done);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"bye");
    assert_eq!(failure(rig.send(conn, b"more")), SystemErrorKind::BrokenPipe);
    // Receiving goes on.
    peer.write_all(b"late").unwrap();
    let outcome = rig.persist(conn, Readiness::READABLE, |rig| rig.recv(conn, &mut [0; 8]));
    assert_eq!(outcome, Outcome::Transferred(4));
}

#[test]
fn a_connection_that_hung_up_is_reported_whenever_an_attempt_would_block() {
    // The peer's end and our own make a hang-up, which mio over poll(2) stops watching by itself.
    let mut rig = Rig::new();
    let (conn, mut peer) = rig.accepted();
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
    assert_eq!(rig.os.perform(Syscall::ShutdownWrite { conn }), Outcome::Done);
    peer.write_all(b"last").unwrap();
    drop(peer);
    rig.await_ready(conn, END);
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(4));
    let outcome = rig.persist(conn, END, |rig| rig.recv(conn, &mut [0; 8]));
    assert_eq!(outcome, Outcome::Transferred(0));
    rig.close(conn);
}

#[test]
fn closing_ends_the_stream_and_the_descriptor() {
    let mut rig = Rig::new();
    for _ in 0..2 {
        let (conn, mut peer) = rig.accepted();
        rig.close(conn);
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
        // A second close is none of anybody's business.
        rig.close(conn);
    }
    assert_eq!(rig.os.stale_events(), 0);
}

#[test]
fn closing_by_a_reset_is_an_error_to_the_peer_behind_what_has_arrived() {
    let mut rig = Rig::new();
    let (conn, mut peer) = rig.accepted();
    assert_eq!(rig.send(conn, b"a part"), Outcome::Transferred(6));
    assert_eq!(rig.os.perform(Syscall::Close { conn, reset: true }), Outcome::Done);
    let mut received = Vec::new();
    let error = peer.read_to_end(&mut received).unwrap_err();
    assert_eq!((error.kind(), received), (std::io::ErrorKind::ConnectionReset, b"a part".to_vec()));
    // Unix sockets have no resets, and what is not there can not be reset.
    let (conn, mut peer) = rig.pair();
    assert_eq!(rig.os.perform(Syscall::Close { conn, reset: true }), Outcome::Done);
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(rig.os.perform(Syscall::Close { conn, reset: true }), Outcome::Done);
}

#[test]
fn dropping_the_system_closes_everything() {
    let mut rig = Rig::new();
    let (_, mut tcp_peer) = rig.accepted();
    let (_, mut unix_peer) = rig.pair();
    drop(rig);
    assert_eq!(tcp_peer.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(unix_peer.read(&mut [0; 8]).unwrap(), 0);
}
