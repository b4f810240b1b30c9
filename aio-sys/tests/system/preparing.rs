//! Sockets that were prepared before they are connected.

use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use aio_model::testing::target;
use aio_model::{Address, ConnId, Connect, Outcome, Readiness, Syscall, System, SystemErrorKind, UserSocket};
use aio_sys::{PrepareErrorKind, PreparedSocket, Socket};
use socket2::{Domain, SockRef, Type};

use crate::rig::{Rig, failure};

fn stream(domain: Domain) -> socket2::Socket {
    socket2::Socket::new(domain, Type::STREAM, None).unwrap()
}

fn bound() -> (socket2::Socket, SocketAddr) {
    let socket = stream(Domain::IPV4);
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Connects under a new id, and waits for the outcome.
fn connect(rig: &mut Rig, connect: Connect) -> (ConnId, Outcome) {
    let (conn, target) = (rig.ids.open(), target(connect));
    loop {
        let outcome = rig.os.perform(Syscall::Connect { conn, target: &target });
        if outcome != Outcome::WouldBlock {
            return (conn, outcome);
        }
        rig.await_ready(conn, Readiness::WRITABLE | Readiness::WRITE_CLOSED | Readiness::ERROR);
    }
}

#[test]
fn a_prepared_socket_is_connected_with_its_options() {
    let mut rig = Rig::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for nodelay in [true, false] {
        let (socket, local) = bound();
        socket.set_keepalive(true).unwrap();
        socket.set_linger(Some(Duration::from_secs(3))).unwrap();
        let socket = Socket::from(socket).nodelay(nodelay);
        let prepared = PreparedSocket::new(socket, listener.local_addr().unwrap()).unwrap();
        let (conn, outcome) = connect(&mut rig, prepared.connect());
        assert_eq!(outcome, Outcome::Done);
        assert!(prepared.take().is_none(), "it is the system's now");
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!((from, rig.os.local_addr(conn)), (local, Ok(local.into())));
        let fd = rig.os.descriptor(conn).unwrap();
        let socket = SockRef::from(&fd);
        assert!(socket.keepalive().unwrap() && socket.linger().unwrap().is_some());
        assert_eq!((socket.tcp_nodelay().unwrap(), socket.nonblocking().unwrap()), (nodelay, true));
        assert_eq!(rustix::io::fcntl_getfd(fd).unwrap(), rustix::io::FdFlags::CLOEXEC);
        assert_eq!(rig.send(conn, b"hello"), Outcome::Transferred(5));
        peer.read_exact(&mut [0; 5]).unwrap();
        rig.close(conn);
    }
}

#[test]
fn what_can_not_be_connected_is_told_by_its_name_and_comes_back() {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 9));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let long = Address::unix(vec![b'x'; 200]);
    let path = Address::from(Path::new("/x"));
    let udp: OwnedFd = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().into();
    let unix: OwnedFd = stream(Domain::UNIX).into();
    let pair: OwnedFd = UnixStream::pair().unwrap().0.into();
    let refused: [(OwnedFd, Address, _); 9] = [
        (std::fs::File::open("/").unwrap().into(), v4.into(), Err(PrepareErrorKind::NoStream)),
        (udp, v4.into(), Err(PrepareErrorKind::NoStream)),
        (stream(Domain::IPV4).into(), v6.into(), Err(PrepareErrorKind::OtherFamily)),
        (stream(Domain::IPV4).into(), path.clone(), Err(PrepareErrorKind::OtherFamily)),
        (unix, v4.into(), Err(PrepareErrorKind::OtherFamily)),
        (connected.into(), v4.into(), Err(PrepareErrorKind::Connected)),
        (listener.into(), v4.into(), Err(PrepareErrorKind::Listens)),
        (pair, path, Err(PrepareErrorKind::Connected)),
        (stream(Domain::UNIX).into(), long, Ok(SystemErrorKind::NameTooLong)),
    ];
    for (fd, address, expected) in refused {
        let number = fd.as_raw_fd();
        let error = PreparedSocket::new(fd, address.clone()).unwrap_err();
        let told = match error.kind {
            PrepareErrorKind::System(error) => Ok(error.kind()),
            kind => Err(kind),
        };
        assert_eq!(told, expected, "{address}");
        assert_eq!(OwnedFd::from(error.socket).as_raw_fd(), number);
    }
}

#[test]
fn a_prepared_socket_is_connected_once() {
    let mut rig = Rig::new();
    let prepared =
        PreparedSocket::new(stream(Domain::IPV4), SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).unwrap();
    let asked = prepared.connect();
    let socket = prepared.take().unwrap();
    for _ in 0..2 {
        assert_eq!(failure(connect(&mut rig, asked.clone()).1), SystemErrorKind::InvalidInput);
    }
    // Nor is what another system may know.
    let other = Connect::with(UserSocket::new(std::sync::Arc::new(7)), SocketAddr::from(([127, 0, 0, 1], 9)));
    assert_eq!(failure(connect(&mut rig, other).1), SystemErrorKind::InvalidInput);
    drop(socket);
}

#[test]
fn a_prepared_socket_fails_as_any_other_and_is_closed() {
    let mut rig = Rig::new();
    let (socket, address) = bound();
    socket.set_linger(Some(Duration::from_secs(60))).unwrap();
    let itself = PreparedSocket::new(socket, address).unwrap();
    let (_held, nobody) = bound();
    let refused = PreparedSocket::new(stream(Domain::IPV4), nobody).unwrap();
    let (bound_twice, _) = bound();
    let bound_twice = PreparedSocket::new(bound_twice, nobody).unwrap();
    let elsewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let missing = PreparedSocket::new(stream(Domain::UNIX), Path::new("/missing/socket")).unwrap();
    let cases = [
        (&itself, itself.connect(), SystemErrorKind::SelfConnected),
        (&refused, refused.connect(), SystemErrorKind::ConnectionRefused),
        (&bound_twice, bound_twice.connect().from(elsewhere), SystemErrorKind::InvalidInput),
        (&missing, missing.connect(), SystemErrorKind::NotFound),
        (&missing, missing.connect().from(elsewhere), SystemErrorKind::InvalidInput),
    ];
    for (prepared, asked, expected) in cases {
        let (conn, outcome) = connect(&mut rig, asked);
        assert_eq!(failure(outcome), expected);
        assert!(prepared.take().is_none() && rig.os.descriptor(conn).is_none());
    }
}

#[test]
fn a_prepared_socket_waits_for_room_in_the_queue_of_a_unix_listener() {
    let mut rig = Rig::new();
    let path = std::env::temp_dir().join(format!("aio-sys-preparing-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = stream(Domain::UNIX);
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let listener = UnixListener::from(OwnedFd::from(socket));
    let _waiting = UnixStream::connect(&path).unwrap();
    let prepared = PreparedSocket::new(stream(Domain::UNIX), path.as_path()).unwrap();
    let (conn, target) = (rig.ids.open(), target(prepared.connect()));
    for _ in 0..3 {
        let outcome = rig.os.perform(Syscall::Connect { conn, target: &target });
        assert!(matches!(outcome, Outcome::Exhausted(_)), "{outcome:?}");
    }
    listener.accept().unwrap();
    assert_eq!(rig.os.perform(Syscall::Connect { conn, target: &target }), Outcome::Done);
    assert_eq!(rig.os.peer_addr(conn), Ok(path.clone().into()));
    std::fs::remove_file(&path).unwrap();
}
