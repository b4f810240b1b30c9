//! Clients that send and never read: everyone else is served all the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use aio::{Accept, Done, Proactor, Recv, Send, Socket};

#[derive(Debug, Clone, Copy)]
enum Ctx {
    Accept,
    Read,
    Write,
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Connects a client that sends until the server takes nothing more of it, and reads nothing.
fn stuck_client(address: std::net::SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while client.write(&[b'x'; 1 << 14]).is_ok() {}
    client
}

#[test]
fn an_echo_is_served_while_more_clients_are_stuck_than_there_are_buffers() {
    for buffers in [1, 2, 8] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = thread::spawn(move || {
            let stuck: Vec<_> =
                (0..buffers + 2).map(|_| thread::spawn(move || stuck_client(address))).collect();
            let stuck: Vec<_> = stuck.into_iter().map(|client| client.join().unwrap()).collect();
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(b"hello").unwrap();
            let mut echo = [0; 5];
            client.read_exact(&mut echo).expect("it is served");
            assert_eq!(&echo, b"hello");
            stuck
        });
        let mut aio = Proactor::<Ctx>::builder().pool(buffers, 4096).build().unwrap();
        let listener = aio.adopt(Socket::from(listener)).unwrap();
        aio.submit(listener, Accept::many(), Ctx::Accept).unwrap();
        let mut batch = Vec::new();
        while !clients.is_finished() {
            aio.turn(&mut batch, Some(Duration::from_millis(20))).unwrap();
            for done in batch.drain(..) {
                let next = match (done.context, done.result) {
                    (Ctx::Accept, Ok(Done::Accepted(conn))) => aio.submit(conn, Recv::pooled(), Ctx::Read),
                    (Ctx::Read, Ok(Done::Received { end_of_stream: false })) => {
                        aio.submit(done.conn, Send::new(done.buffer), Ctx::Write)
                    }
                    (Ctx::Write, Ok(_)) => aio.submit(done.conn, Recv::pooled(), Ctx::Read),
                    _ => {
                        aio.close(done.conn);
                        continue;
                    }
                };
                next.unwrap();
            }
            let holders = aio.lease_holders();
            assert!(holders.sends < buffers, "{holders:?}");
        }
        drop(clients.join().unwrap());
    }
}
