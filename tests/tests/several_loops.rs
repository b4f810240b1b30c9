//! Several loops on one port, each with a listener of its own (`SO_REUSEPORT`).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use aio::Proactor;
use tests::echo::{EchoServer, listen, listen_beside};
use tests::platform::SHARED_PORTS_ARE_BALANCED;

const CLIENTS: usize = 400;

fn loops(count: usize) -> Vec<EchoServer> {
    let first = listen_beside(0).unwrap();
    let port = first.local_addr().unwrap().port();
    let others = (1..count).map(|_| listen_beside(port).unwrap());
    std::iter::once(first)
        .chain(others)
        .map(|listener| EchoServer::on(listener, Proactor::<()>::builder()).unwrap())
        .collect()
}

/// Each connects, all are connected at once, and each is answered with what it said.
fn all_are_answered(address: SocketAddr) {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (nth, client) in clients.iter_mut().enumerate() {
        client.write_all(&nth.to_le_bytes()).unwrap();
    }
    for (nth, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; size_of::<usize>()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(usize::from_le_bytes(answer), nth);
    }
}

#[test]
fn every_connection_is_served_by_one_loop_and_every_loop_serves_some() {
    let loops = loops(3);
    all_are_answered(loops[0].address());
    let accepted: Vec<u64> = loops.into_iter().map(|echo| echo.stop().unwrap().connections).collect();
    assert_eq!(accepted.iter().sum::<u64>(), CLIENTS as u64, "each by one: {accepted:?}");
    // Dealt out by a hash: that one of three gets less than a twelfth of 400 does not happen.
    if SHARED_PORTS_ARE_BALANCED {
        assert!(accepted.iter().all(|&count| count > CLIENTS as u64 / 12), "{accepted:?}");
    }
}

#[test]
fn the_others_go_on_when_a_loop_ends() {
    let mut loops = loops(3);
    let address = loops[0].address();
    loops.pop().unwrap().stop().unwrap();
    all_are_answered(address);
    let accepted = loops.into_iter().map(|echo| echo.stop().unwrap().connections);
    assert_eq!(accepted.sum::<u64>(), CLIENTS as u64);
}

#[test]
fn a_listener_that_does_not_say_so_has_its_port_alone() {
    let alone = listen().unwrap();
    let error = listen_beside(alone.local_addr().unwrap().port()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}
