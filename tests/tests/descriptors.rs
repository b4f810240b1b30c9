//! Descriptors in every state and of every kind: duplicates that others hold, children that inherit nothing,
//! sockets that are over before they are adopted, and what is no stream at all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use aio::{Accept, Close, ConnId, Connect, Done, OpError, Proactor, Recv, Send, SystemErrorKind};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use socket2::{Domain, Socket, Type};
use tests::turns::{PATIENCE, complete};

const BYTES: Result<Done, OpError> = Ok(Done::Received { end_of_stream: false });
const END: Result<Done, OpError> = Ok(Done::Received { end_of_stream: true });

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, peer)
}

/// A connection that was accepted, and its peer.
fn accepted(aio: &mut Proactor<u8>) -> (ConnId, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let listener = aio.adopt(listener).unwrap();
    aio.submit(listener, Accept::one(), 0).unwrap();
    match complete(aio, 1)[0].result {
        Ok(Done::Accepted(conn)) => (conn, peer),
        other => panic!("{other:?}"),
    }
}

fn close(aio: &mut Proactor<u8>, conn: ConnId) {
    aio.submit(conn, Close::now(), 0).unwrap();
    assert_eq!(complete(aio, 1)[0].result, Ok(Done::Closed));
}

/// Whatever somebody else does with an open file that was this proactor's: nothing is heard of it, and
/// nothing spins.
fn is_quiet(aio: &mut Proactor<u8>, mut happens: impl FnMut()) {
    // What has been reported of the other connections is not what is asked for.
    let nap = Duration::from_millis(5);
    aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
    let before = (aio.system().stale_events(), aio.stats().counters);
    for _ in 0..4 {
        happens();
        let start = aio.now();
        aio.turn(&mut Vec::new(), Some(nap)).unwrap();
        assert!(aio.now() >= start + nap, "it was woken");
    }
    let after = (aio.system().stale_events(), aio.stats().counters);
    assert_eq!(
        (after.0, after.1.events, after.1.events_stale),
        (before.0, before.1.events, before.1.events_stale)
    );
    assert_eq!(after.1.attempts, before.1.attempts, "there is nothing to try");
}

#[test]
fn a_duplicate_that_somebody_else_holds_is_not_heard_of_after_the_close() {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let (ours, mut peer) = tcp();
    let mut elsewhere = ours.try_clone().unwrap();
    let conn = aio.adopt(ours).unwrap();
    close(&mut aio, conn);
    is_quiet(&mut aio, || peer.write_all(b"hello").unwrap());
    // Who holds it can use it; the peer has not heard of a close.
    elsewhere.set_nonblocking(false).unwrap();
    elsewhere.read_exact(&mut [0; 20]).unwrap();
    elsewhere.write_all(b"there").unwrap();
    peer.read_exact(&mut [0; 5]).unwrap();

    // One that was made of a connection that was accepted.
    let (conn, mut peer) = accepted(&mut aio);
    let elsewhere = aio.system_mut().descriptor(conn).unwrap().try_clone_to_owned().unwrap();
    close(&mut aio, conn);
    is_quiet(&mut aio, || peer.write_all(b"hello").unwrap());
    drop(elsewhere);
    is_quiet(&mut aio, || ());
}

/// The canary of the one before: an open file that is not closed is heard of.
#[test]
#[should_panic(expected = "it was woken")]
fn a_connection_that_is_open_is_heard_of() {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let (ours, mut peer) = tcp();
    let _conn = aio.adopt(ours).unwrap();
    is_quiet(&mut aio, || peer.write_all(b"hello").unwrap());
}

#[test]
fn a_child_that_holds_a_connection_is_not_heard_of_after_the_close() {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let (conn, mut peer) = accepted(&mut aio);
    let inherited = aio.system_mut().descriptor(conn).unwrap().try_clone_to_owned().unwrap();
    // It has the connection as its standard output, and waits for a line to say there.
    let mut child = Command::new("sh")
        .args(["-c", "read line; echo \"$line\""])
        .stdin(Stdio::piped())
        .stdout(Stdio::from(inherited))
        .spawn()
        .unwrap();
    close(&mut aio, conn);
    is_quiet(&mut aio, || peer.write_all(b"hello").unwrap());
    child.stdin.take().unwrap().write_all(b"still here\n").unwrap();
    assert!(child.wait().unwrap().success());
    let mut said = [0; 11];
    peer.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"still here\n");
    is_quiet(&mut aio, || ());
}

/// What a program that is started now has open.
fn inherited() -> Vec<String> {
    let listed = Command::new("ls").args(["-l", "/proc/self/fd"]).stdin(Stdio::null()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let targets = listed.lines().filter_map(|line| line.split_once(" -> "));
    targets.map(|(_, target)| target.to_owned()).filter(|target| target.contains(':')).collect()
}

#[test]
fn a_program_that_is_started_inherits_nothing() {
    // Whatever the tests themselves were started with.
    let before = inherited();
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let (_accepted, _peer) = accepted(&mut aio);
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    aio.submit(aio.own(), Connect::to(upstream.local_addr().unwrap()), 1).unwrap();
    assert_eq!(complete(&mut aio, 1)[0].result, Ok(Done::Connected));
    let (ours, _other) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&ours, rustix::io::FdFlags::empty()).unwrap();
    let name = std::fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap();
    assert!(inherited().contains(&name.to_str().unwrap().to_owned()), "the canary: before it was adopted");
    aio.adopt(ours).unwrap();
    // Its output and errors are pipes, new for each.
    let new = |target: &String| !before.contains(target) && !target.starts_with("pipe:");
    assert_eq!(inherited().into_iter().filter(new).collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn a_listener_and_a_stream_that_block_do_not() {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let (ours, mut peer) = tcp();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    assert!(!fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
    let (conn, listener) = (aio.adopt(ours).unwrap(), aio.adopt(listener).unwrap());
    aio.submit(listener, Accept::one(), 1).unwrap();
    aio.submit(conn, Recv::exact(vec![0; 2]), 2).unwrap();
    peer.write_all(b"x").unwrap();
    // It would wait for the second byte, which never comes if this does not return.
    while aio.stats().counters.bytes_received == 0 {
        aio.turn(&mut Vec::new(), Some(PATIENCE)).unwrap();
    }
    peer.write_all(b"y").unwrap();
    let done = complete(&mut aio, 1).remove(0);
    assert_eq!((done.context, done.received()), (2, b"xy".as_slice()));
}

/// What comes of a receive and of a send on a socket that is adopted as it is, both submitted at once.
fn receive_and_send(socket: impl Into<aio::Socket>) -> [Result<Done, OpError>; 2] {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let conn = aio.adopt(socket).unwrap();
    aio.submit(conn, Recv::into(vec![0; 8]), 0).unwrap();
    aio.submit(conn, Send::new("anybody?"), 1).unwrap();
    let mut done = complete(&mut aio, 2);
    done.sort_unstable_by_key(|done| done.context);
    close(&mut aio, conn);
    aio.shut_down();
    while aio.turn(&mut Vec::new(), Some(PATIENCE)).unwrap() {}
    assert_eq!((aio.stats().credits, aio.stats().connections, aio.stats().leases), (0, 0, 0));
    [done[0].result, done[1].result]
}

fn failure(result: Result<Done, OpError>) -> SystemErrorKind {
    match result {
        Err(OpError::System(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_shut_down_before_it_is_adopted_says_so_at_once() {
    // The peer says no more, and has said something before.
    let (ours, mut peer) = tcp();
    peer.write_all(b"last").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive_and_send(ours), [BYTES, Ok(Done::Sent)]);
    let (ours, peer) = tcp();
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive_and_send(ours), [END, Ok(Done::Sent)]);

    // This side was shut.
    let (ours, mut peer) = tcp();
    ours.shutdown(Shutdown::Write).unwrap();
    peer.write_all(b"still").unwrap();
    let [received, sent] = receive_and_send(ours);
    assert_eq!((received, failure(sent)), (BYTES, SystemErrorKind::BrokenPipe));
    let (ours, _peer) = tcp();
    ours.shutdown(Shutdown::Both).unwrap();
    let [received, sent] = receive_and_send(ours);
    assert_eq!((received, failure(sent)), (END, SystemErrorKind::BrokenPipe));

    // The peer has gone.
    let (ours, peer) = UnixStream::pair().unwrap();
    drop(peer);
    let [received, sent] = receive_and_send(ours);
    assert_eq!((received, failure(sent)), (END, SystemErrorKind::BrokenPipe));
}

#[test]
fn what_is_in_error_before_it_is_adopted_says_so_at_once() {
    // Thrown away by the peer: who asks first is told of the reset, the other that there is nobody.
    let (ours, peer) = tcp();
    Socket::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
    let results = receive_and_send(ours);
    let told = results.map(|result| match result {
        END => None,
        other => Some(failure(other)),
    });
    assert!(told.contains(&Some(SystemErrorKind::ConnectionReset)), "{results:?}");
    assert!(
        matches!(told[1], Some(SystemErrorKind::ConnectionReset | SystemErrorKind::BrokenPipe)),
        "{results:?}"
    );

    // Never connected.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let [received, sent] = receive_and_send(socket).map(failure);
    assert_eq!(received, SystemErrorKind::NotConnected);
    assert_eq!(sent, SystemErrorKind::BrokenPipe);

    // A connect by the program itself that is refused.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    let _under_way = socket.connect(&nobody.into());
    let results = receive_and_send(socket);
    let refused = |result| matches!(result, Err(OpError::System(error)) if error.kind() == SystemErrorKind::ConnectionRefused);
    assert!(results.into_iter().any(refused), "{results:?}");
}

#[test]
fn what_is_no_stream_comes_back_as_it_was() {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let mut refused = |fd: OwnedFd| {
        let flags = fcntl_getfl(&fd).unwrap();
        let error = aio.adopt(fd).unwrap_err();
        let error_kind = error.error.kind();
        let fd = OwnedFd::from(error.socket);
        assert_eq!(fcntl_getfl(&fd).unwrap(), flags, "blocking as it was");
        (error_kind, fd)
    };
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagrams.connect(datagrams.local_addr().unwrap()).unwrap();
    let (kind, fd) = refused(datagrams.into());
    assert_eq!(kind, std::io::ErrorKind::Unsupported);
    let datagrams = UdpSocket::from(fd);
    datagrams.send(b"to itself").unwrap();
    assert_eq!(datagrams.recv(&mut [0; 16]).unwrap(), 9);

    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
    let (ours, peer) = socketpair(family, SocketType::SEQPACKET, flags, None).unwrap();
    let (kind, fd) = refused(ours);
    assert_eq!(kind, std::io::ErrorKind::Unsupported);
    rustix::io::write(&fd, b"a packet").unwrap();
    assert_eq!(rustix::io::read(&peer, &mut [0; 16]).unwrap(), 8);

    let (reader, writer) = std::io::pipe().unwrap();
    let (reader, writer) = (refused(reader.into()).1, refused(writer.into()).1);
    rustix::io::write(&writer, b"through a pipe").unwrap();
    assert_eq!(rustix::io::read(&reader, &mut [0; 16]).unwrap(), 14);

    let file = refused(std::fs::File::open("/proc/self/exe").unwrap().into()).1;
    assert_eq!(rustix::io::read(file.as_fd(), &mut [0; 16]).unwrap(), 16);
    assert_eq!((aio.stats().connections, aio.stats().counters.opened), (0, 0));
}
