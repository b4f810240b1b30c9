//! Connects that are under way, asked again.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use aio_model::testing::target;
use aio_model::{ConnId, Connect, Outcome, Readiness, Syscall, System, SystemErrorKind, Target};
use socket2::{Domain, Socket, Type};

use crate::rig::{Rig, failure};

/// A listener whose queue is full: it does not answer, for now.
fn full_listener() -> (Socket, SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let waiting = (0..8).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _under_way = socket.connect(&address.into());
        socket
    });
    let waiting = waiting.collect();
    (listener, address, waiting)
}

/// A connect that is under way.
struct Connecting {
    rig: Rig,
    conn: ConnId,
    target: Target,
}

impl Connecting {
    fn begin(address: SocketAddr) -> (Connecting, Outcome) {
        let mut rig = Rig::new();
        let (conn, target) = (rig.ids.open(), target(Connect::to(address)));
        let mut connecting = Connecting { rig, conn, target };
        let outcome = connecting.ask();
        (connecting, outcome)
    }

    /// Asks whether it is connected, whether or not there was an event.
    fn ask(&mut self) -> Outcome {
        self.rig.os.perform(Syscall::Connect { conn: self.conn, target: &self.target })
    }

    /// Asks after each event, until there is an answer.
    fn persist(&mut self) -> Outcome {
        loop {
            self.rig.await_ready(self.conn, Readiness::WRITABLE | Readiness::WRITE_CLOSED | Readiness::ERROR);
            match self.ask() {
                Outcome::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

#[test]
fn a_connect_that_is_under_way_is_so_however_often_it_is_asked() {
    let (listener, address, waiting) = full_listener();
    let (mut connecting, outcome) = Connecting::begin(address);
    assert_eq!(outcome, Outcome::WouldBlock);
    for _ in 0..3 {
        assert_eq!(connecting.ask(), Outcome::WouldBlock);
    }
    drop(waiting);
    // Its next SYN finds room; those before it have gone.
    let accepting = std::thread::spawn(move || -> TcpStream {
        loop {
            let (stream, peer) = listener.accept().unwrap();
            let stream = TcpStream::from(stream);
            let greets = (&stream).write_all(b"hello").is_ok();
            if greets && peer.as_socket().is_some() && !has_gone(&stream) {
                return stream;
            }
        }
    });
    assert_eq!(connecting.persist(), Outcome::Done);
    let Connecting { mut rig, conn, .. } = connecting;
    assert_eq!(rig.os.peer_addr(conn), Ok(address.into()));
    let outcome = rig.persist(conn, Readiness::READABLE, |rig| rig.recv(conn, &mut [0; 8]));
    assert_eq!(outcome, Outcome::Transferred(5));
    accepting.join().unwrap();
}

/// Whether the other end was closed.
fn has_gone(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    !matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[test]
fn a_connect_that_is_under_way_fails_when_the_listener_has_gone() {
    let (listener, address, waiting) = full_listener();
    let (mut connecting, outcome) = Connecting::begin(address);
    assert_eq!(outcome, Outcome::WouldBlock);
    drop((listener, waiting));
    assert_eq!(failure(connecting.persist()), SystemErrorKind::ConnectionRefused);
    let Connecting { mut rig, conn, .. } = connecting;
    assert_eq!(failure(rig.send(conn, b"nobody")), SystemErrorKind::InvalidInput, "it is not known any more");
}
