//! Accept.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};

use aio_model::{Address, Outcome, Readiness, System, SystemErrorKind};
use aio_sys::Socket;

use crate::rig::{Rig, failure};

#[test]
fn connections_are_accepted_until_there_are_none() {
    let mut rig = Rig::new();
    let (listener, address) = rig.listen();
    let unused = rig.ids.open();
    assert_eq!(rig.accept(listener, unused), Outcome::WouldBlock);
    for _ in 0..3 {
        let mut peers = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        for peer in &mut peers {
            let conn = rig.ids.open();
            let outcome = rig.persist(listener, Readiness::READABLE, |rig| rig.accept(listener, conn));
            assert_eq!(outcome, Outcome::Done);
            assert_eq!(rig.os.peer_addr(conn), Ok(peer.local_addr().unwrap().into()));
            assert_eq!(rig.os.local_addr(conn), Ok(address.into()));
            peer.write_all(b"hello").unwrap();
            rig.await_ready(conn, Readiness::READABLE);
            assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(5));
        }
        assert_eq!(rig.accept(listener, unused), Outcome::WouldBlock);
    }
    // After any outcome but success the name is free.
    assert_eq!(failure(rig.recv(unused, &mut [0; 8])), SystemErrorKind::InvalidInput);
}

#[test]
fn an_accepted_connection_is_reported_as_it_is() {
    let mut rig = Rig::new();
    let (listener, address) = rig.listen();
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(b"early").unwrap();
    rig.await_ready(listener, Readiness::READABLE);
    let conn = rig.ids.open();
    assert_eq!(rig.accept(listener, conn), Outcome::Done);
    rig.await_ready(conn, Readiness::READABLE);
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(5));
}

#[test]
fn accepted_connections_are_closed_on_exec_and_have_the_option() {
    let mut rig = Rig::new();
    for nodelay in [false, true] {
        let socket = Socket::from(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).nodelay(nodelay);
        let listener = rig.adopt(socket);
        let _peer = TcpStream::connect(rig.address(listener)).unwrap();
        rig.await_ready(listener, Readiness::READABLE);
        let conn = rig.ids.open();
        assert_eq!(rig.accept(listener, conn), Outcome::Done);
        let fd = rig.os.descriptor(conn).unwrap();
        assert_eq!(socket2::SockRef::from(&fd).tcp_nodelay().unwrap(), nodelay);
        assert_eq!(rustix::io::fcntl_getfd(fd).unwrap(), rustix::io::FdFlags::CLOEXEC);
    }
}

#[test]
fn unix_listeners_accept_too() {
    let mut rig = Rig::new();
    let path = std::env::temp_dir().join(format!("aio-sys-listener-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = rig.adopt(Socket::from(UnixListener::bind(&path).unwrap()).nodelay(true));
    let mut peer = UnixStream::connect(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    rig.await_ready(listener, Readiness::READABLE);
    let conn = rig.ids.open();
    assert_eq!(rig.accept(listener, conn), Outcome::Done);
    assert_eq!(rig.send(conn, b"hello"), Outcome::Transferred(5));
    peer.read_exact(&mut [0; 5]).unwrap();
    assert_eq!(rig.os.local_addr(listener), Ok(path.into()));
    assert_eq!(rig.os.peer_addr(conn), Ok(Address::unix([])));
}

#[test]
fn a_connection_that_can_not_be_entered_is_closed() {
    let mut rig = Rig::new();
    let (taken, mut taken_peer) = rig.pair();
    let (listener, address) = rig.listen();
    let mut peer = TcpStream::connect(address).unwrap();
    rig.await_ready(listener, Readiness::READABLE);
    assert_eq!(failure(rig.accept(listener, taken)), SystemErrorKind::InvalidInput);
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    // And the socket that had the name still has it.
    assert_eq!(rig.send(taken, b"mine"), Outcome::Transferred(4));
    taken_peer.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn what_does_not_listen_does_not_accept() {
    let mut rig = Rig::new();
    let (stream, _peer) = rig.accepted();
    let conn = rig.ids.open();
    assert_eq!(failure(rig.accept(stream, conn)), SystemErrorKind::InvalidInput);
    assert_eq!(failure(rig.accept(conn, conn)), SystemErrorKind::InvalidInput);
}

#[test]
fn a_listener_that_ends_fails_its_accepts() {
    let mut rig = Rig::new();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let clone = OwnedFd::from(socket.try_clone().unwrap());
    let listener = rig.adopt(socket);
    // On Linux this ends listening. Elsewhere it is refused, and accepting goes on.
    let ended = rustix::net::shutdown(&clone, rustix::net::Shutdown::Both).is_ok();
    let conn = rig.ids.open();
    match rig.accept(listener, conn) {
        Outcome::Failed(error) if ended => assert_eq!(error.kind(), SystemErrorKind::InvalidInput),
        Outcome::WouldBlock => {}
        other => panic!("{other:?}"),
    }
}
