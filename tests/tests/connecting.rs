//! Connections made from here: on TCP and Unix sockets, and everything that they can fail with.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::Duration;

use aio::{Connect, Done, OpError, Proactor, Recv, Send, SystemErrorKind};
use socket2::{Domain, SockAddr, Socket, Type};
use tests::echo::listen;
use tests::platform;
use tests::turns::{PATIENCE, complete};

/// What comes of one connect.
fn connect(connect: Connect) -> Result<Done, OpError> {
    let mut aio = Proactor::new().unwrap();
    aio.submit(aio.own(), connect, 7).unwrap();
    let done = complete(&mut aio, 1).remove(0);
    assert_eq!((done.context, done.bytes, done.more), (7, 0, false));
    if done.result.is_err() {
        assert!(aio.conn_info(done.conn).is_err(), "nothing is left of it");
        // What was known to the system is closed in the next turn.
        aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        assert_eq!(aio.stats().connections, 0);
    }
    done.result
}

fn failure(connected: Result<Done, OpError>) -> SystemErrorKind {
    match connected {
        Err(OpError::System(error)) => error.kind(),
        other => panic!("{other:?}"),
    }
}

/// A path for a Unix socket that is nobody else's; removed in the end.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Path {
        Path(std::env::temp_dir().join(format!("aio-{}-{name}", std::process::id())))
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends and receives over a connection that is made to `target`, whose other end is `accept`ed.
fn talk<S: Read + Write>(target: Connect, accept: impl FnOnce() -> S + std::marker::Send + 'static) {
    let server = std::thread::spawn(move || {
        let mut stream = accept();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&hello.map(|byte| byte.to_ascii_uppercase())).unwrap();
    });
    let mut aio = Proactor::new().unwrap();
    aio.submit(aio.own(), target.within(PATIENCE), 0).unwrap();
    let done = complete(&mut aio, 1).remove(0);
    assert_eq!(done.result, Ok(Done::Connected));
    aio.submit(done.conn, Send::new("hello"), 1).unwrap();
    aio.submit(done.conn, Recv::exact(vec![0; 5]), 2).unwrap();
    let done = complete(&mut aio, 2);
    assert_eq!((done[0].context, done[0].result, done[0].bytes), (1, Ok(Done::Sent), 5));
    assert_eq!((done[1].context, done[1].received()), (2, b"HELLO".as_slice()));
    server.join().unwrap();
    assert_eq!((aio.stats().counters.connected, aio.stats().connections), (1, 1));
}

#[test]
fn bytes_go_both_ways_over_tcp_and_unix() {
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    talk(Connect::to(address).nodelay(true), move || listener.accept().unwrap().0);

    let path = Path::new("talk");
    let listener = UnixListener::bind(&path.0).unwrap();
    talk(Connect::to(path.0.as_path()), move || listener.accept().unwrap().0);
}

#[test]
fn an_abstract_name_is_an_address() {
    if !platform::HAS_ABSTRACT_NAMES {
        return;
    }
    let name = format!("\0aio-test-{}", std::process::id());
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&name).unwrap()).unwrap();
    listener.listen(1).unwrap();
    let accept = move || {
        std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(listener.accept().unwrap().0))
    };
    talk(Connect::to(aio::Address::unix(name.into_bytes())), accept);
}

#[test]
fn the_source_address_is_the_one_that_was_asked_for() {
    let listener = listen().unwrap();
    let from = SocketAddr::from(([127, 0, 0, 2], 0));
    let target = Connect::to(listener.local_addr().unwrap()).from(from);
    talk(target, move || {
        let (stream, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), from.ip());
        stream
    });
}

#[test]
fn whatever_it_fails_with_is_named_and_nothing_is_left() {
    let nobody = listen().unwrap().local_addr().unwrap();
    assert_eq!(failure(connect(Connect::to(nobody))), SystemErrorKind::ConnectionRefused);

    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 0));
    let from_elsewhere = Connect::to(nobody).from(elsewhere);
    assert_eq!(failure(connect(from_elsewhere)), SystemErrorKind::AddressNotAvailable);
    let other_family = Connect::to(nobody).from("[::1]:0".parse().unwrap());
    assert!(matches!(
        failure(connect(other_family)),
        SystemErrorKind::InvalidInput | SystemErrorKind::Unsupported
    ));

    let path = Path::new("refused");
    assert_eq!(failure(connect(Connect::to(path.0.as_path()))), SystemErrorKind::NotFound);
    drop(UnixListener::bind(&path.0).unwrap());
    assert_eq!(failure(connect(Connect::to(path.0.as_path()))), SystemErrorKind::ConnectionRefused);
    let bound = Connect::to(path.0.as_path()).from(nobody);
    assert_eq!(failure(connect(bound)), SystemErrorKind::InvalidInput);
    let too_long = aio::Address::unix(vec![b'x'; 200]);
    assert_eq!(failure(connect(Connect::to(too_long))), SystemErrorKind::NameTooLong);
    let datagrams = Path::new("datagrams");
    let _datagrams = std::os::unix::net::UnixDatagram::bind(&datagrams.0).unwrap();
    assert_eq!(failure(connect(Connect::to(datagrams.0.as_path()))), SystemErrorKind::Unsupported);
}

#[test]
fn a_socket_that_finds_itself_is_refused() {
    // From a port to the same port: what happens by chance when a connect goes to a local port that nobody
    // listens on.
    let port = listen().unwrap().local_addr().unwrap();
    assert_eq!(failure(connect(Connect::to(port).from(port))), SystemErrorKind::SelfConnected);
}

#[test]
fn a_deadline_ends_a_connect_that_is_not_answered() {
    // When the queue of a listener is full, further connects are not answered.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut aio = Proactor::new().unwrap();
    for context in 0..8 {
        aio.submit(aio.own(), Connect::to(address).within(Duration::from_millis(200)), context).unwrap();
    }
    let cancelled = aio.submit(aio.own(), Connect::to(address), 8).unwrap();
    let done = complete(&mut aio, 8);
    aio.cancel(cancelled).unwrap();
    let late = done.iter().filter(|done| done.result == Err(OpError::Deadline)).count();
    let made = done.iter().filter(|done| done.result == Ok(Done::Connected)).count();
    assert!(late > 0 && made > 0 && late + made == 8, "{done:?}");
    assert_eq!(complete(&mut aio, 1)[0].result, Err(OpError::Cancelled));
    aio.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
    assert_eq!(aio.stats().connections as usize, made, "the descriptors of the others are closed");
}

#[test]
fn a_full_queue_of_a_unix_listener_is_waited_for() {
    let path = Path::new("full");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path.0).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let mut aio = Proactor::new().unwrap();
    for context in 0..4 {
        aio.submit(aio.own(), Connect::to(path.0.as_path()), context).unwrap();
    }
    let mut done = Vec::with_capacity(4);
    while aio.stats().counters.exhaustions == 0 {
        aio.turn(&mut done, Some(PATIENCE)).unwrap();
    }
    assert!(done.len() < 4, "Linux says EAGAIN when the queue is full");
    let accepting =
        std::thread::spawn(move || (0..4).map(|_| listener.accept().unwrap().0).collect::<Vec<_>>());
    while done.len() < 4 {
        aio.turn(&mut done, Some(PATIENCE)).unwrap();
    }
    assert!(done.iter().all(|done| done.result == Ok(Done::Connected)), "{done:?}");
    assert_eq!(accepting.join().unwrap().len(), 4);
}

#[test]
fn a_thousand_connects_at_once_lose_nobody() {
    const COUNT: u32 = 1_000;
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = std::thread::spawn(move || {
        let mut hellos: Vec<u32> = Vec::new();
        for _ in 0..COUNT {
            let mut stream: TcpStream = listener.accept().unwrap().0;
            let mut hello = [0; 4];
            stream.read_exact(&mut hello).unwrap();
            hellos.push(u32::from_be_bytes(hello));
        }
        hellos.sort_unstable();
        hellos
    });
    let mut aio = Proactor::new().unwrap();
    for context in 0..COUNT {
        aio.submit(aio.own(), Connect::to(address), context).unwrap();
    }
    let mut batch = Vec::new();
    let mut sent = 0;
    while sent < COUNT {
        aio.turn(&mut batch, Some(PATIENCE)).unwrap();
        for done in batch.drain(..) {
            match done.result {
                Ok(Done::Connected) => {
                    let hello = done.context.to_be_bytes().to_vec();
                    aio.submit(done.conn, Send::new(hello), done.context).unwrap();
                }
                Ok(Done::Sent) => {
                    sent += 1;
                    aio.close(done.conn);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(accepting.join().unwrap(), (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn c1_a_prepared_socket_comes_back_from_an_operation_that_was_refused_or_never_tried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut aio: Proactor<u8> = Proactor::<()>::builder().connections_max(1).build().unwrap();
    let own = aio.own();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let prepared = aio::PreparedSocket::new(socket, address).unwrap();
    let op = aio.submit(own, prepared.connect(), 1).unwrap();
    let refused = aio.submit(own, prepared.connect(), 2).unwrap_err();
    assert_eq!(refused.kind, aio::SubmitErrorKind::Busy(aio::Limit::Connections));
    aio.cancel(op).unwrap();
    assert_eq!(tests::turns::complete(&mut aio, 1)[0].result, Err(aio::OpError::Cancelled));
    let prepared = aio::PreparedSocket::new(prepared.take().unwrap(), address).unwrap();
    aio.submit(own, prepared.connect(), 3).unwrap();
    let done = tests::turns::complete(&mut aio, 1).remove(0);
    assert_eq!(done.result, Ok(aio::Done::Connected));
    let (_peer, from) = listener.accept().unwrap();
    assert_eq!(aio.local_addr(done.conn), Ok(from.into()));
    assert!(prepared.take().is_none());
}
