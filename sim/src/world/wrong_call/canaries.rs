//! The canaries of the border: a wrong call, and the one check that must say so.

use std::net::{Ipv4Addr, SocketAddr};

use aio_model::{Connect, Syscall, System};

use crate::world::connecting::Answer;
use crate::world::engine::EngineKind;
use crate::world::link::Side;
use crate::world::testing::{Rig, connect};

/// Lets a system that was used well be used wrongly, and expects that check to say so.
#[track_caller]
fn canary<R>(check: &str, mut rig: Rig, sabotage: impl FnOnce(&mut Rig) -> R) {
    assert_eq!(rig.net.violations(), [], "nothing is wrong yet");
    sabotage(&mut rig);
    assert_eq!(rig.net.violations().last().map(|violation| violation.check().1), Some(check));
}

#[test]
fn a_call_on_an_id_that_names_nothing() {
    let (mut rig, ..) = Rig::connected(EngineKind::Epoll);
    let stranger = rig.ids.open();
    canary("border-known", rig, |rig| rig.send(stranger, b"x"));
}

#[test]
fn a_second_close() {
    let (mut rig, _, conn) = Rig::connected(EngineKind::Epoll);
    rig.close(conn);
    canary("border-open", rig, |rig| rig.close(conn));
}

#[test]
fn two_sockets_with_one_name() {
    let (rig, _, conn) = Rig::connected(EngineKind::Epoll);
    let (_, socket) = rig.net.pair().unwrap();
    canary("border-name-free", rig, |rig| rig.os.adopt(conn, socket));
}

#[test]
fn a_send_of_nothing() {
    let (rig, _, conn) = Rig::connected(EngineKind::Epoll);
    canary("border-not-empty", rig, |rig| rig.send(conn, b""));
}

#[test]
fn an_accept_from_a_stream() {
    let (rig, _, listener) = Rig::connected(EngineKind::Epoll);
    canary("border-kind", rig, |rig| {
        let conn = rig.ids.open();
        rig.os.perform(Syscall::Accept { listener, conn });
    });
}

#[test]
fn a_send_after_the_end_of_the_stream() {
    let (mut rig, _, conn) = Rig::connected(EngineKind::Epoll);
    rig.os_shutdown(conn);
    canary("border-not-shut", rig, |rig| rig.send(conn, b"x"));
}

#[test]
fn a_send_to_a_host_that_has_not_answered() {
    let (mut rig, ..) = Rig::connected(EngineKind::Epoll);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    rig.net.host(address, Answer::Silent);
    let (conn, _) = connect(&mut rig, Connect::to(address));
    canary("border-connected", rig, |rig| rig.send(conn, b"x"));
}

#[test]
fn a_byte_that_was_not_asked_for() {
    let (rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    canary("border-bytes", rig, |rig| {
        rig.send(conn, &[0; 9]);
        rig.net.peer_read_pattern(peer, 9, Side::Server);
    });
}
