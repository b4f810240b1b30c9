//! What can be adopted, and what adopting does.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

use aio_model::{Kind, Outcome, Readiness, System, SystemErrorKind};
use aio_sys::Socket;

use crate::rig::{Rig, failure};

#[test]
fn kinds_are_told_apart() {
    let mut rig = Rig::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (unix, _) = UnixStream::pair().unwrap();
    let path = std::env::temp_dir().join(format!("aio-sys-kinds-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let unix_listener = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(rig.os.kind(&listener.into()), Ok(Kind::Listener));
    assert_eq!(rig.os.kind(&stream.into()), Ok(Kind::Stream));
    assert_eq!(rig.os.kind(&unix.into()), Ok(Kind::Stream));
    assert_eq!(rig.os.kind(&unix_listener.into()), Ok(Kind::Listener));

    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(1).unwrap();
    assert_eq!(rig.os.kind(&socket.into()), Ok(Kind::Listener));
}

#[test]
fn anything_else_is_refused_and_comes_back() {
    let mut rig = Rig::new();
    let others: [OwnedFd; 4] = [
        UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into(),
        UnixDatagram::unbound().unwrap().into(),
        File::open("/dev/null").unwrap().into(),
        std::io::pipe().unwrap().0.into(),
    ];
    for fd in others {
        let number = fd.as_raw_fd();
        let socket = Socket::from(fd);
        assert_eq!(rig.os.kind(&socket).unwrap_err().kind(), SystemErrorKind::Unsupported);
        let conn = rig.ids.open();
        let (error, socket) = rig.os.adopt(conn, socket).unwrap_err();
        assert_eq!(error.kind(), SystemErrorKind::Unsupported);
        let fd = OwnedFd::from(socket);
        assert_eq!(fd.as_raw_fd(), number);
        rustix::io::fcntl_getfd(&fd).unwrap();
        assert_eq!(failure(rig.send(conn, b"nobody")), SystemErrorKind::InvalidInput);
    }
}

#[test]
fn the_current_state_is_reported() {
    let mut rig = Rig::new();
    let (ours, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"early").unwrap();
    let conn = rig.adopt(ours);
    let events = rig.at_hand();
    assert!(events.iter().any(|(id, ready)| *id == conn && ready.intersects(Readiness::READABLE)));
    assert!(events.iter().any(|(id, ready)| *id == conn && ready.intersects(Readiness::WRITABLE)));

    let (ours, peer) = UnixStream::pair().unwrap();
    drop(peer);
    let conn = rig.adopt(ours);
    rig.await_ready(conn, Readiness::READ_CLOSED);
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::Transferred(0));
}

#[test]
fn a_listener_with_a_connection_waiting_is_reported() {
    let mut rig = Rig::new();
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _peer = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let listener = rig.adopt(socket);
    rig.await_ready(listener, Readiness::READABLE);
    let conn = rig.ids.open();
    assert_eq!(rig.accept(listener, conn), Outcome::Done);
}

#[test]
fn a_blocking_descriptor_becomes_non_blocking_and_closed_on_exec() {
    let mut rig = Rig::new();
    let (ours, _peer) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
    let conn = rig.adopt(ours);
    assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
    let fd = rig.os.descriptor(conn).unwrap();
    assert_eq!(rustix::io::fcntl_getfd(fd).unwrap(), rustix::io::FdFlags::CLOEXEC);
}

#[test]
fn nodelay_is_set_on_tcp_and_ignored_elsewhere() {
    let mut rig = Rig::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for nodelay in [false, true] {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let conn = rig.adopt(Socket::from(stream).nodelay(nodelay));
        let fd = rig.os.descriptor(conn).unwrap();
        assert_eq!(socket2::SockRef::from(&fd).tcp_nodelay().unwrap(), nodelay);
    }
    let (ours, _peer) = UnixStream::pair().unwrap();
    rig.adopt(Socket::from(ours).nodelay(true));
}

#[test]
fn an_id_in_use_is_refused() {
    let mut rig = Rig::new();
    let (taken, mut peer) = rig.pair();
    let (ours, _other) = UnixStream::pair().unwrap();
    let number = ours.as_raw_fd();
    let (error, socket) = rig.os.adopt(taken, ours.into()).unwrap_err();
    assert_eq!(error.kind(), SystemErrorKind::InvalidInput);
    assert_eq!(OwnedFd::from(socket).as_raw_fd(), number);
    peer.write_all(b"mine").unwrap();
    assert_eq!(rig.recv(taken, &mut [0; 4]), Outcome::Transferred(4));
}

#[test]
fn the_unknown_has_no_addresses() {
    let mut rig = Rig::new();
    let conn = rig.ids.open();
    assert_eq!(rig.os.local_addr(conn).unwrap_err().kind(), SystemErrorKind::InvalidInput);
    assert_eq!(rig.os.peer_addr(conn).unwrap_err().kind(), SystemErrorKind::InvalidInput);
    assert!(rig.os.descriptor(conn).is_none());
    let (listener, _) = rig.listen();
    assert_eq!(rig.os.peer_addr(listener).unwrap_err().kind(), SystemErrorKind::NotConnected);
}
