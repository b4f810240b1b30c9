//! Peers that come in crowds: to vanish, or to talk garbage.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use socket2::SockRef;
use tests::bytes::Bytes;

use crate::guarded_server::{GuardedServer, behave};

#[test]
fn ten_thousand_who_connect_and_vanish_leave_nothing_behind() {
    const VISITS: u64 = 10_000;
    let server = GuardedServer::open();
    let behaved: Vec<_> = (0..4).map(|_| behave(server.address, 50)).collect();
    for visit in 0..VISITS {
        let stream = TcpStream::connect(server.address).unwrap();
        if visit % 2 == 0 {
            // Its end is a reset.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
    behaved.into_iter().for_each(|peer| peer.join().unwrap());
    // A connection after them is served, and by then all of them were: they stood before it in the queue.
    behave(server.address, 1).join().unwrap();
    let account = server.close();
    assert_eq!(account.answered, 4 * 50 + 1, "{account:?}");
    // A kernel may take those that were reset out of the queue.
    assert!((VISITS / 2..=VISITS).contains(&(account.accepted - 5)), "{account:?}");
    println!("{VISITS} visits: {account:?}");
}

#[test]
fn garbage_is_refused_and_harms_nobody() {
    const PEERS: u64 = 300;
    let server = GuardedServer::open();
    let behaved: Vec<_> = (0..4).map(|_| behave(server.address, 50)).collect();
    for seed in 0..PEERS {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The end comes while it is still talking, or when it listens.
        let said = stream.write_all(&Bytes::new(seed).take(64 << 10));
        let heard = said.and_then(|()| stream.read(&mut [0]));
        let ended = match heard {
            Ok(count) => count == 0,
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            }
        };
        assert!(ended, "the answer to garbage");
    }
    behaved.into_iter().for_each(|peer| peer.join().unwrap());
    let account = server.close();
    assert_eq!((account.garbage, account.answered), (PEERS, 4 * 50), "{account:?}");
    println!("{PEERS} talked garbage: {account:?}");
}
