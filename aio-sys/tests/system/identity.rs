//! No id, no event and no descriptor number ever stands for another connection (K1).

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use aio_model::{Outcome, Readiness, Syscall, System, SystemErrorKind};

use crate::rig::{EVENTS_MAX, Rig, failure};

#[test]
fn an_unknown_id_fails_every_call() {
    let mut rig = Rig::new();
    let conn = rig.ids.open();
    assert_eq!(failure(rig.recv(conn, &mut [0; 8])), SystemErrorKind::InvalidInput);
    assert_eq!(failure(rig.send(conn, b"nobody")), SystemErrorKind::InvalidInput);
    assert_eq!(failure(rig.os.perform(Syscall::ShutdownWrite { conn })), SystemErrorKind::InvalidInput);
    rig.close(conn);
}

#[test]
fn a_stale_id_touches_nothing_of_its_successor() {
    let mut rig = Rig::new();
    let (old, _) = rig.pair();
    rig.close(old);
    let new = rig.ids.reopen(old);
    let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
    rig.os.adopt(new, ours.into()).unwrap();
    peer.write_all(b"new").unwrap();
    assert_eq!(failure(rig.recv(old, &mut [0; 8])), SystemErrorKind::InvalidInput);
    rig.close(old);
    assert_eq!(rig.recv(new, &mut [0; 3]), Outcome::Transferred(3));
}

#[test]
fn a_reused_descriptor_has_none_of_the_old_events() {
    let mut rig = Rig::new();
    let (listener, address) = rig.listen();
    let mut conn = rig.ids.open();
    let mut reused = false;
    // Other tests take descriptors too, so not every round gets the same number again.
    for _ in 0..50 {
        let mut peer = TcpStream::connect(address).unwrap();
        let _quiet = TcpStream::connect(address).unwrap();
        let outcome = rig.persist(listener, Readiness::READABLE, |rig| rig.accept(listener, conn));
        assert_eq!(outcome, Outcome::Done);
        let number = rig.os.descriptor(conn).unwrap().as_raw_fd();
        // Bytes are waiting and an event is on its way when the connection is closed.
        peer.write_all(b"too late").unwrap();
        rig.close(conn);

        let old = conn;
        conn = rig.ids.reopen(old);
        let outcome = rig.persist(listener, Readiness::READABLE, |rig| rig.accept(listener, conn));
        assert_eq!(outcome, Outcome::Done);
        reused |= rig.os.descriptor(conn).unwrap().as_raw_fd() == number;
        for (id, ready) in rig.at_hand() {
            assert_ne!(id, old, "{ready:?} of the closed connection");
            assert!(id != conn || !ready.intersects(Readiness::READABLE), "{ready:?} of the new one");
        }
        assert_eq!(rig.recv(conn, &mut [0; 8]), Outcome::WouldBlock);
        rig.close(conn);
        conn = rig.ids.reopen(conn);
    }
    assert_eq!(rig.os.stale_events(), 0);
    assert!(reused, "no descriptor was reused");
}

#[test]
fn what_others_hold_of_a_closed_connection_is_not_reported() {
    let mut rig = Rig::new();
    // A clone that its maker kept.
    let (ours, adopted_peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let adopted_clone = ours.try_clone().unwrap();
    let adopted = rig.adopt(ours);
    // And one that was made of a connection accepted here.
    let (accepted, accepted_peer) = rig.accepted();
    let accepted_clone = rig.os.descriptor(accepted).unwrap().try_clone_to_owned().unwrap();
    rig.drain();
    rig.close(adopted);
    rig.close(accepted);

    (&adopted_peer).write_all(b"anyone?").unwrap();
    (&accepted_peer).write_all(b"anyone?").unwrap();
    drop((adopted_peer, accepted_peer));
    let until = rig.os.now() + Duration::from_millis(20);
    let now = rig.os.wait(Some(until), EVENTS_MAX, |conn, ready| panic!("{conn} is {ready:?}")).unwrap();
    assert!(now >= until, "nothing was there to wake for");
    assert_eq!(rig.os.stale_events(), 0);
    drop((adopted_clone, accepted_clone));
}
