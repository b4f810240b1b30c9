//! Memory that the system refuses: peers choose how much a growing pool takes, and must not choose when the
//! program dies. In a child of its own, whose address space is limited.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use aio::{Accept, Done, Proactor, Recv, Send};
use rustix::process::{Resource, Rlimit, setrlimit};
use tests::echo::listen;
use tests::turns::PATIENCE;

const PEERS: usize = 300;
const BUFFER_BYTES: usize = 1024 * 1024;
/// A fraction of what all peers want, with what the allocator has in hand.
const ROOM_BYTES: u64 = 32 * 1024 * 1024;

/// Lets this process take so much more address space, and no more.
fn leave(bytes: u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    let limit = Some(kib * 1024 + bytes);
    setrlimit(Resource::As, Rlimit { current: limit, maximum: limit }).unwrap();
}

#[test]
#[ignore = "it is run by another test, in a process of its own"]
fn child() {
    let mut aio: Proactor<usize> = Proactor::<usize>::builder().pool(100_000, BUFFER_BYTES).build().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(listener).unwrap();
    aio.submit(listener, Accept::many(), 0).unwrap();
    let mut peers: Vec<TcpStream> = Vec::with_capacity(PEERS);
    let (mut batch, mut kept) = (Vec::with_capacity(2 * PEERS), Vec::with_capacity(PEERS));
    leave(ROOM_BYTES);
    for _ in 0..PEERS {
        let mut peer = TcpStream::connect(address).unwrap();
        peer.write_all(b"hello").unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peers.push(peer);
    }
    // Everybody says something, and the program keeps what it hears.
    let end = aio.now() + Duration::from_secs(2);
    while aio.now() < end {
        aio.turn(&mut batch, Some(Duration::from_millis(20))).unwrap();
        for done in batch.drain(..) {
            match done.result {
                Ok(Done::Accepted(conn)) => drop(aio.submit(conn, Recv::pooled(), 1).unwrap()),
                Ok(Done::Received { .. }) => kept.push((done.conn, done.buffer)),
                other => panic!("{other:?}"),
            }
        }
    }
    let stats = aio.stats();
    println!("child: {} heard, {} refused", kept.len(), stats.counters.buffers_refused);
    assert!(kept.len() < PEERS && !kept.is_empty(), "memory was refused");
    assert!(stats.counters.buffers_refused > 0 && stats.lanes_parked as usize == PEERS - kept.len());
    assert_eq!(stats.pools_refused, 1);
    assert!(stats.counters.turns < 5_000, "it does not spin: {stats:?}");
    // It is answered: the waiting lane gets the returned buffer.
    let mut answered = 0;
    while answered < PEERS {
        for (conn, buffer) in kept.drain(..) {
            aio.submit(conn, Send::new(buffer), 2).unwrap();
        }
        aio.turn(&mut batch, Some(PATIENCE)).unwrap();
        for done in batch.drain(..) {
            match done.result {
                Ok(Done::Sent) => answered += 1,
                Ok(Done::Received { .. }) => kept.push((done.conn, done.buffer)),
                other => panic!("{other:?}"),
            }
        }
    }
    for peer in &mut peers {
        peer.read_exact(&mut [0; 5]).unwrap();
    }
    println!("child: all served");
}

#[test]
fn b3_a_pool_that_memory_is_refused_goes_on_with_what_it_has() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("child: all served"), "{output:?}");
}
