//! Listeners that have addresses, from outside.

use std::net::SocketAddr;

use aio_model::{Address, ConnId, Connect, Listen, Outcome, System, SystemErrorKind};

use crate::world::engine::EngineKind;
use crate::world::errno::{EADDRINUSE, ECONNREFUSED, EMFILE, ENAMETOOLONG, ENOTCONN};
use crate::world::listening::PORT_MIN;
use crate::world::net::Net;
use crate::world::testing::{Rig, connect};

fn rig() -> Rig {
    Rig::new(Net::calm(), EngineKind::Epoll)
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn on(address: &str) -> Listen {
    Listen::on(at(address))
}

impl Rig {
    fn listen(&mut self, listen: &Listen) -> ConnId {
        let socket = self.os.listen(listen).expect("the address is free");
        self.adopt(socket)
    }

    fn refusal(&mut self, listen: &Listen) -> Option<aio_model::SystemError> {
        self.os.listen(listen).err()
    }

    /// Connects, accepts, and returns both ends.
    fn join(&mut self, listener: ConnId, to: Connect) -> [ConnId; 2] {
        let (client, outcome) = connect(self, to);
        assert_eq!(outcome, Outcome::Done);
        let (server, outcome) = self.accept(listener);
        assert_eq!(outcome, Outcome::Done);
        [client, server]
    }
}

#[test]
fn who_connects_to_an_address_is_accepted_by_the_listener_on_it() {
    let mut rig = rig();
    for (listen, to) in
        [("10.0.0.1:80", "10.0.0.1:80"), ("0.0.0.0:81", "10.0.0.1:81"), ("[::]:82", "10.0.0.1:82")]
    {
        let listener = rig.listen(&on(listen));
        assert_eq!(rig.os.local_addr(listener), Ok(at(listen).into()));
        assert_eq!(rig.os.peer_addr(listener), Err(ENOTCONN));
        let [client, server] = rig.join(listener, Connect::to(at(to)).from(at("10.0.0.9:0")));
        let name = rig.os.local_addr(client).unwrap();
        assert!(
            name.as_internet().is_some_and(|name| name.ip() == at("10.0.0.9:0").ip() && name.port() != 0)
        );
        assert_eq!(rig.os.peer_addr(client), Ok(at(to).into()));
        assert_eq!((rig.os.local_addr(server), rig.os.peer_addr(server)), (Ok(at(to).into()), Ok(name)));
        assert_eq!(rig.send(client, b"hello"), Outcome::Transferred(5));
        assert_eq!(rig.recv(server, 9), Ok(b"hello".to_vec()));
        rig.close(listener);
        assert_eq!(connect(&mut rig, Connect::to(at(to))).1, Outcome::Failed(ECONNREFUSED));
    }
    assert_eq!(rig.net.violations(), []);
}

#[test]
fn an_address_has_one_listener_unless_all_share_it() {
    let mut rig = rig();
    let first = rig.listen(&on("10.0.0.1:80"));
    for taken in ["10.0.0.1:80", "0.0.0.0:80", "[::]:80"] {
        assert_eq!(rig.refusal(&on(taken)), Some(EADDRINUSE), "{taken}");
        assert_eq!(rig.refusal(&on(taken).reuse_port(true)), Some(EADDRINUSE), "{taken}");
    }
    let others = [on("10.0.0.2:80"), on("10.0.0.1:81"), on("[::]:80").v6only(true)];
    let others = others.map(|listen| rig.listen(&listen));
    rig.close(first);
    for other in others {
        rig.close(other);
    }

    let shared = on("10.0.0.1:80").reuse_port(true);
    let listeners = [(); 2].map(|()| rig.listen(&shared));
    assert_eq!(rig.refusal(&on("10.0.0.1:80")), Some(EADDRINUSE));
    assert_eq!(connect(&mut rig, Connect::to(at("10.0.0.1:80"))).1, Outcome::Done);
    let accepted = listeners.into_iter().filter(|listener| rig.accept(*listener).1 == Outcome::Done);
    assert_eq!(accepted.count(), 1);
}

#[test]
fn port_0_is_a_port_that_is_free() {
    let mut rig = rig();
    rig.listen(&on(&format!("127.0.0.1:{PORT_MIN}")));
    let mut ports: Vec<_> = (0..3)
        .map(|_| {
            let listener = rig.listen(&on("127.0.0.1:0").reuse_port(true));
            rig.os.local_addr(listener).unwrap().as_internet().unwrap().port()
        })
        .collect();
    ports.dedup();
    assert_eq!((ports.len(), ports.contains(&PORT_MIN), ports.contains(&0)), (3, false, false));
}

#[test]
fn a_path_stays_and_is_stale_when_its_listener_is_closed() {
    let mut rig = rig();
    let path = Address::unix(*b"/run/echo");
    let listen = Listen::on(path.clone());
    let listener = rig.listen(&listen);
    assert_eq!(rig.refusal(&listen.clone().unlink_stale(true)), Some(EADDRINUSE), "somebody listens");
    let [client, server] = rig.join(listener, Connect::to(path.clone()));
    assert_eq!(rig.os.local_addr(server), Ok(path.clone()));
    assert_eq!(rig.os.peer_addr(client), Ok(path.clone()));
    assert_eq!(rig.os.peer_addr(server), Ok(Address::unix([])));
    rig.close(client);
    assert_eq!(rig.os.peer_addr(server), Ok(Address::unix([])), "a Unix socket knows its peer to the end");

    rig.close(listener);
    assert_eq!(connect(&mut rig, Connect::to(path)).1, Outcome::Failed(ECONNREFUSED));
    assert_eq!(rig.refusal(&listen), Some(EADDRINUSE), "unless it is asked to");
    let again = rig.listen(&listen.clone().unlink_stale(true));
    rig.close(again);
    assert!(rig.net.unlink(b"/run/echo") && !rig.net.unlink(b"/run/echo"));
    let again = rig.listen(&listen);
    rig.close(again);

    // An abstract name goes with its socket.
    for _ in 0..2 {
        let listener = rig.listen(&Listen::on(Address::unix(*b"\0echo")));
        rig.close(listener);
    }
    assert_eq!(rig.refusal(&Listen::on(Address::unix([b'x'; 108]))), Some(ENAMETOOLONG));
}

#[test]
fn a_peer_that_has_reset_the_connection_is_known_if_it_was_kept() {
    for keeps in [true, false] {
        let mut rig = rig();
        let listener = rig.listen(&on("10.0.0.1:80").keep_peer_addr(keeps));
        let [client, server] = rig.join(listener, Connect::to(at("10.0.0.1:80")));
        let name = rig.os.local_addr(client);
        assert_eq!(rig.os.peer_addr(server), name);
        rig.os.perform(aio_model::Syscall::Close { conn: client, reset: true });
        assert_eq!(rig.os.peer_addr(server), if keeps { name } else { Err(ENOTCONN) });
        rig.close(server);
        assert_eq!(rig.os.peer_addr(server).unwrap_err().kind(), SystemErrorKind::InvalidInput);
        assert_eq!(rig.os.local_addr(server).unwrap_err().kind(), SystemErrorKind::InvalidInput);
    }
}

#[test]
fn a_listener_takes_a_descriptor_and_no_more_than_its_backlog() {
    let mut rig = rig();
    rig.net.set_descriptors_max(0);
    assert_eq!(rig.refusal(&on("10.0.0.1:80")), Some(EMFILE));
    rig.net.set_descriptors_max(9);
    let invalid = rig.refusal(&on("10.0.0.1:80").backlog(0)).unwrap();
    assert_eq!((invalid.kind(), rig.net.descriptors()), (SystemErrorKind::InvalidInput, 0));
    let socket = rig.net.listen_on(&on("10.0.0.1:80").backlog(1)).unwrap();
    rig.net.connect(socket.id()).unwrap();
    assert_eq!(rig.net.connect(socket.id()), Err(ECONNREFUSED));
    drop(socket);
    drop(rig.net.listen_on(&on("10.0.0.1:80")).expect("what was dropped is closed"));
}
