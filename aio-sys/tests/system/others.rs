//! What others may have done to a socket, or may do to it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use aio_model::{Outcome, Readiness};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::rig::Rig;

/// TCP in several streams: a `SOCK_STREAM` of the internet, and not TCP. None where the kernel has no such
/// thing.
fn mptcp() -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::from(262)));
    socket.inspect_err(|error| eprintln!("SKIPPED: no MPTCP here: {error}")).ok()
}

#[test]
fn a_short_receive_proves_nothing_of_a_protocol_that_is_not_known() {
    let (Some(listener), Some(peer)) = (mptcp(), mptcp()) else { return };
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut rig = Rig::new();
    let listener = rig.adopt(listener);
    peer.connect(&address).unwrap();
    rig.await_ready(listener, Readiness::READABLE);
    let accepted = rig.ids.open();
    assert_eq!(rig.accept(listener, accepted), Outcome::Done);
    let mut clone = peer.try_clone().unwrap();
    let adopted = rig.adopt(peer);
    clone.write_all(b"five!").unwrap();
    rig.await_ready(accepted, Readiness::READABLE);
    assert_eq!(rig.recv(accepted, &mut [0; 8]), Outcome::Partial(5));
    assert_eq!(rig.send(accepted, b"four"), Outcome::Transferred(4));
    let outcome = rig.persist(adopted, Readiness::READABLE, |rig| rig.recv(adopted, &mut [0; 8]));
    assert_eq!(outcome, Outcome::Partial(4));
}

#[test]
fn what_is_accepted_and_handed_out_has_no_time_limit() {
    let mut rig = Rig::new();
    let (conn, _peer) = rig.accepted();
    let descriptor = rig.os.descriptor(conn).unwrap();
    assert_eq!(SockRef::from(&descriptor).read_timeout().unwrap(), None);
    // Who sets one itself keeps it.
    let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = TcpStream::connect(ours.local_addr().unwrap()).unwrap();
    let limit = Some(std::time::Duration::from_secs(7));
    stream.set_read_timeout(limit).unwrap();
    let conn = rig.adopt(stream);
    for _ in 0..2 {
        let descriptor = rig.os.descriptor(conn).unwrap();
        assert_eq!(SockRef::from(&descriptor).read_timeout().unwrap(), limit);
    }
}
