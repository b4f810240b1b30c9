//! Making listeners, and the addresses of what they accept.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use aio_model::{Address, ConnId, Listen, Outcome, Readiness, System, SystemErrorKind};
use aio_sys::Socket;
use socket2::SockRef;

use crate::rig::{Rig, failure};

fn v4() -> Listen {
    Listen::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}

/// A directory of a test's own; removed when it ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("aio-sys-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Rig {
    fn listen_as(&mut self, listen: &Listen) -> ConnId {
        let socket = self.os.listen(listen).unwrap();
        self.adopt(socket)
    }

    fn refusal(&mut self, listen: &Listen) -> SystemErrorKind {
        self.os.listen(listen).unwrap_err().kind()
    }

    fn accept_one(&mut self, listener: ConnId) -> ConnId {
        let conn = self.ids.open();
        let outcome = self.persist(listener, Readiness::READABLE, |rig| rig.accept(listener, conn));
        assert_eq!(outcome, Outcome::Done);
        conn
    }
}

/// Whether this host has IPv6.
fn has_v6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        eprintln!("SKIPPED: no IPv6");
    }
    has
}

#[test]
fn both_ends_are_called_by_the_same_addresses() {
    let mut rig = Rig::new();
    let mut hosts = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    hosts.extend(has_v6().then(|| SocketAddr::from((Ipv6Addr::LOCALHOST, 0))));
    for host in hosts {
        for keeps in [true, false] {
            let listener = rig.listen_as(&Listen::on(host).keep_peer_addr(keeps));
            let address = rig.address(listener);
            assert!(address.ip() == host.ip() && address.port() != 0);
            let peer = TcpStream::connect(address).unwrap();
            let conn = rig.accept_one(listener);
            assert_eq!(rig.os.local_addr(conn), Ok(address.into()));
            assert_eq!(rig.os.peer_addr(conn), Ok(peer.local_addr().unwrap().into()));
            assert_eq!(rig.os.peer_addr(listener).unwrap_err().kind(), SystemErrorKind::NotConnected);
            rig.close(conn);
            assert_eq!(rig.os.peer_addr(conn).unwrap_err().kind(), SystemErrorKind::InvalidInput);
        }
    }
}

#[test]
fn a_peer_that_was_accepted_has_its_address_after_it_has_reset_the_connection() {
    let mut rig = Rig::new();
    for (keeps, resets_first) in [(true, false), (true, true), (false, false)] {
        let listener = rig.listen_as(&v4().keep_peer_addr(keeps));
        let peer = TcpStream::connect(rig.address(listener)).unwrap();
        let address = Address::from(peer.local_addr().unwrap());
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        let mut peer = Some(peer);
        if resets_first {
            rig.await_ready(listener, Readiness::READABLE);
            peer = None;
        }
        let conn = rig.accept_one(listener);
        drop(peer);
        let outcome = rig.persist(conn, Readiness::READABLE, |rig| rig.recv(conn, &mut [0; 8]));
        assert_eq!(failure(outcome), SystemErrorKind::ConnectionReset);
        if keeps {
            assert_eq!(rig.os.peer_addr(conn), Ok(address));
        } else {
            assert_eq!(rig.os.peer_addr(conn).unwrap_err().kind(), SystemErrorKind::NotConnected);
        }
    }
}

#[test]
fn an_adopted_listener_keeps_addresses_if_it_is_asked_to() {
    let mut rig = Rig::new();
    for keeps in [true, false] {
        let socket = Socket::from(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).keep_peer_addr(keeps);
        let listener = rig.adopt(socket);
        let peer = TcpStream::connect(rig.address(listener)).unwrap();
        let address = Address::from(peer.local_addr().unwrap());
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        let conn = rig.accept_one(listener);
        drop(peer);
        rig.persist(conn, Readiness::READABLE, |rig| rig.recv(conn, &mut [0; 8]));
        assert_eq!(rig.os.peer_addr(conn).ok(), keeps.then_some(address));
    }
}

#[test]
fn what_is_accepted_has_the_options() {
    let mut rig = Rig::new();
    let listener = rig.listen_as(&v4().keepalive(Duration::from_secs(77)).nodelay(true));
    let plain = rig.listen_as(&v4().reuse_addr(false));
    for (listener, is_set) in [(listener, true), (plain, false)] {
        let _peer = TcpStream::connect(rig.address(listener)).unwrap();
        let conn = rig.accept_one(listener);
        let fd = rig.os.descriptor(conn).unwrap();
        let socket = SockRef::from(&fd);
        assert_eq!((socket.keepalive().unwrap(), socket.tcp_nodelay().unwrap()), (is_set, is_set));
        let fd = rig.os.descriptor(listener).unwrap();
        assert_eq!(SockRef::from(&fd).reuse_address().unwrap(), is_set);
        assert_eq!(rustix::io::fcntl_getfd(fd).unwrap(), rustix::io::FdFlags::CLOEXEC);
    }
}

#[test]
fn a_port_is_shared_by_those_who_all_say_so() {
    let mut rig = Rig::new();
    let first = rig.listen_as(&v4().reuse_port(true));
    let address = rig.address(first);
    let second = rig.os.listen(&Listen::on(address).reuse_port(true)).unwrap();
    assert_eq!(rig.refusal(&Listen::on(address)), SystemErrorKind::AddressInUse);
    drop(second);
    rig.close(first);
    drop(rig.os.listen(&Listen::on(address)).unwrap());
}

#[test]
fn a_v6_listener_takes_v4_or_leaves_it() {
    if !has_v6() {
        return;
    }
    let mut rig = Rig::new();
    for v6only in [true, false] {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let listener = rig.listen_as(&Listen::on(any).v6only(v6only));
        let port = rig.address(listener).port();
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(peer) => {
                assert!(!v6only);
                let conn = rig.accept_one(listener);
                let told = rig.os.peer_addr(conn).unwrap().as_internet().unwrap();
                assert_eq!(told.ip().to_canonical(), Ipv4Addr::LOCALHOST);
                assert_eq!(told.port(), peer.local_addr().unwrap().port());
            }
            Err(_) => assert!(v6only),
        }
    }
}

#[test]
fn a_full_backlog_takes_no_more() {
    let folder = Folder::new("backlog");
    let mut rig = Rig::new();
    let path = folder.file("socket");
    let _listener = rig.listen_as(&Listen::on(path.as_path()).backlog(1));
    // Linux lets one more wait than it was asked to.
    let connected = (0..8).map_while(|_| {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.connect(&socket2::SockAddr::unix(&path).unwrap()).ok().map(|()| socket)
    });
    let connected: Vec<_> = connected.collect();
    assert!((1..=2).contains(&connected.len()), "{connected:?}");
}

#[test]
fn addresses_that_can_not_be_had_are_told_apart() {
    let mut rig = Rig::new();
    let (taken, address) = rig.listen();
    assert_eq!(rig.refusal(&Listen::on(address)), SystemErrorKind::AddressInUse);
    rig.close(taken);
    // An address of TEST-NET-1: no machine has it.
    let other = SocketAddr::from(([192, 0, 2, 1], 0));
    assert_eq!(rig.refusal(&Listen::on(other)), SystemErrorKind::AddressNotAvailable);
    assert_eq!(rig.refusal(&v4().backlog(0)), SystemErrorKind::InvalidInput);
    match rig.os.listen(&Listen::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))) {
        Err(error) if error.kind() == SystemErrorKind::AddressInUse => {}
        Err(error) => assert_eq!(error.kind(), SystemErrorKind::PermissionDenied),
        Ok(_) => eprintln!("SKIPPED: ports below 1024 are free to use"),
    }
}

#[test]
fn paths_that_can_not_be_had_are_told_apart() {
    let folder = Folder::new("paths");
    let mut rig = Rig::new();
    let [long, missing, locked] =
        [&"x".repeat(200), "missing/socket", "locked"].map(|name| folder.file(name));
    assert_eq!(rig.refusal(&Listen::on(long)), SystemErrorKind::NameTooLong);
    assert_eq!(rig.refusal(&Listen::on(missing)), SystemErrorKind::NotFound);
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, Permissions::from_mode(0o500)).unwrap();
    match rig.os.listen(&Listen::on(locked.join("socket"))) {
        Err(error) => assert_eq!(error.kind(), SystemErrorKind::PermissionDenied),
        Ok(_) => eprintln!("SKIPPED: the superuser may write anywhere"),
    }
}

#[test]
fn only_the_path_of_a_socket_that_nobody_listens_on_is_removed() {
    let folder = Folder::new("stale");
    let mut rig = Rig::new();
    let path = folder.file("socket");
    let listen = Listen::on(path.as_path());
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(rig.refusal(&listen), SystemErrorKind::AddressInUse, "unless it is asked to");
    let listener = rig.listen_as(&listen.clone().unlink_stale(true));
    assert_eq!(rig.os.local_addr(listener), Ok(path.clone().into()));
    assert_eq!(rig.refusal(&listen.clone().unlink_stale(true)), SystemErrorKind::AddressInUse);
    let _peer = UnixStream::connect(&path).unwrap();
    rig.accept_one(listener);
    rig.close(listener);
    assert!(path.exists(), "closing leaves it");
    fs::remove_file(&path).unwrap();

    // Not what is no socket, nor the way to a socket, nor one of another kind that somebody has.
    let others = ["file", "folder", "link", "datagrams"].map(|name| folder.file(name));
    let [file, directory, link, datagrams] = &others;
    File::create(file).unwrap();
    fs::create_dir(directory).unwrap();
    std::os::unix::fs::symlink(&path, link).unwrap();
    let _held = UnixDatagram::bind(datagrams).unwrap();
    for other in &others {
        let listen = Listen::on(other.as_path()).unlink_stale(true);
        assert_eq!(rig.refusal(&listen), SystemErrorKind::AddressInUse, "{other:?}");
        assert!(other.symlink_metadata().is_ok(), "{other:?}");
    }
}

#[test]
fn a_full_listener_is_not_stale() {
    let folder = Folder::new("full");
    let mut rig = Rig::new();
    let path = folder.file("socket");
    let listener = rig.listen_as(&Listen::on(path.as_path()).backlog(1));
    let _waiting: Vec<_> = (0..2).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let listen = Listen::on(path.as_path()).unlink_stale(true);
    assert_eq!(rig.refusal(&listen), SystemErrorKind::AddressInUse);
    rig.accept_one(listener);
}

#[test]
fn unix_peers_have_their_names_for_as_long_as_the_connection() {
    let folder = Folder::new("names");
    let mut rig = Rig::new();
    let path = folder.file("socket");
    let listener = rig.listen_as(&Listen::on(path.as_path()).nodelay(true).keepalive(Duration::from_secs(9)));
    let named = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let name = folder.file("peer");
    named.bind(&socket2::SockAddr::unix(&name).unwrap()).unwrap();
    named.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    let conn = rig.accept_one(listener);
    let unnamed = UnixStream::connect(&path).unwrap();
    let other = rig.accept_one(listener);
    for is_open in [true, false] {
        assert_eq!(rig.os.peer_addr(conn), Ok(name.clone().into()), "{is_open}");
        assert_eq!(rig.os.peer_addr(other), Ok(Address::unix([])), "{is_open}");
        assert_eq!(rig.os.local_addr(conn), Ok(path.clone().into()));
        let _ = SockRef::from(&named).shutdown(std::net::Shutdown::Both);
    }
    drop((named, unnamed));
    assert_eq!(rig.os.peer_addr(conn), Ok(name.into()));
    assert_eq!(rig.os.peer_addr(other), Ok(Address::unix([])));
}

#[test]
fn what_listens_is_reachable_once_it_is_adopted() {
    let mut rig = Rig::new();
    let listener = rig.listen_as(&v4());
    let mut peer = TcpStream::connect(rig.address(listener)).unwrap();
    let conn = rig.accept_one(listener);
    assert_eq!(rig.send(conn, b"hello"), Outcome::Transferred(5));
    let mut bytes = [0; 5];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}
