//! Several loops on one port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::program::{LOOPS, Program};

/// How many sockets of IPv4 listen on a port; none where the kernel does not tell.
fn listening(port: u16) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let on_port = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == "0A"
    };
    Some(table.lines().skip(1).filter(on_port).count())
}

#[test]
fn the_loops_listen_on_the_one_port_that_is_printed() {
    let loops = Program::start(LOOPS, &["127.0.0.1:0", "4"]).ok().unwrap();
    assert!(loops.line.starts_with("4 loops listen on 127.0.0.1:"), "{}", loops.line);
    let address: SocketAddr = loops.address().parse().unwrap();
    assert_ne!(address.port(), 0, "{}", loops.line);
    if let Some(count) = listening(address.port()) {
        assert_eq!(count, 4);
    }
    // More than one loop has something to do, whichever they are.
    let mut clients: Vec<_> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (nth, client) in (0..).zip(&mut clients) {
        client.write_all(&[nth]).unwrap();
    }
    for (nth, client) in (0..).zip(&mut clients) {
        let mut echo = [0];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, [nth]);
    }
}

#[test]
fn a_port_that_is_taken_is_told() {
    let alone = tests::echo::listen().unwrap();
    let address = alone.local_addr().unwrap().to_string();
    let ended = Program::start(LOOPS, &[&address, "2"]).err().unwrap();
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.errors.starts_with("loops: "), "{}", ended.errors);
}
