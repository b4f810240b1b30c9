//! Descriptor 0 is one like any other: the readiness queue, a listener, an accepted and a made connection
//! have it in turn, and an echo goes through. Alone in its process, whose standard input it closes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::{self, JoinHandle};

use aio::{Accept, ConnId, Connect, Done, Proactor, Recv, Send};
use tests::bytes::Bytes;
use tests::turns::{PATIENCE, complete};

const BYTES: usize = 1000;

/// Has the next descriptor be 0.
fn free() {
    nix::unistd::close(0).expect("it was open");
}

fn number(aio: &mut Proactor<u8>, conn: ConnId) -> Option<i32> {
    aio.system_mut().descriptor(conn).map(|fd| fd.as_raw_fd())
}

/// Says something, and hears it.
fn talk(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&Bytes::new(1).take(BYTES)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert!(heard.len() == BYTES && Bytes::new(1).matches(&heard));
}

fn caller(address: SocketAddr) -> JoinHandle<()> {
    thread::spawn(move || talk(TcpStream::connect(address).unwrap()))
}

/// Receives all, sends it back, closes: with every completion that there is to be.
fn echo(aio: &mut Proactor<u8>, conn: ConnId) {
    aio.submit(conn, Recv::exact(vec![0; BYTES]), 1).unwrap();
    let done = complete(aio, 1).remove(0);
    assert_eq!((done.context, done.bytes), (1, BYTES as u64));
    aio.submit(conn, Send::new(done.buffer), 2).unwrap();
    aio.submit(conn, Recv::pooled(), 3).unwrap();
    let mut done = complete(aio, 2);
    done.sort_unstable_by_key(|done| done.context);
    assert_eq!(done[0].result, Ok(Done::Sent));
    assert_eq!(done[1].result, Ok(Done::Received { end_of_stream: true }));
    aio.submit(conn, aio::Close::now(), 4).unwrap();
    assert_eq!(complete(aio, 1)[0].result, Ok(Done::Closed));
}

fn accept(aio: &mut Proactor<u8>, listener: ConnId) -> ConnId {
    aio.submit(listener, Accept::one(), 0).unwrap();
    match complete(aio, 1)[0].result {
        Ok(Done::Accepted(conn)) => conn,
        other => panic!("{other:?}"),
    }
}

fn main() {
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = aio.adopt(socket).unwrap();

    // An accepted connection; the client has taken its descriptor before.
    let stream = TcpStream::connect(address).unwrap();
    free();
    let accepted = accept(&mut aio, listener);
    assert_eq!(number(&mut aio, accepted), Some(0));
    let peer = thread::spawn(move || talk(stream));
    echo(&mut aio, accepted);
    peer.join().unwrap();

    // Closing gave it back: a connection that is made has it next.
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(upstream.as_raw_fd(), 0, "it was closed");
    let elsewhere = upstream.try_clone().unwrap();
    drop(upstream);
    aio.submit(aio.own(), Connect::to(elsewhere.local_addr().unwrap()), 0).unwrap();
    let made = complete(&mut aio, 1).remove(0);
    assert_eq!((made.result, number(&mut aio, made.conn)), (Ok(Done::Connected), Some(0)));
    let peer = thread::spawn(move || talk(elsewhere.accept().unwrap().0));
    echo(&mut aio, made.conn);
    peer.join().unwrap();

    // A listener.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(socket.as_raw_fd(), 0);
    let address = socket.local_addr().unwrap();
    let zeroth = aio.adopt(socket).unwrap();
    let peer = caller(address);
    let accepted = accept(&mut aio, zeroth);
    echo(&mut aio, accepted);
    peer.join().unwrap();
    drop(aio);

    // The readiness queue itself, or its waker.
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_ne!(socket.as_raw_fd(), 0, "it was free, and is taken");
    let address = socket.local_addr().unwrap();
    let listener = aio.adopt(socket).unwrap();
    let peer = caller(address);
    let accepted = accept(&mut aio, listener);
    echo(&mut aio, accepted);
    peer.join().unwrap();
    println!("descriptor 0 as connection, listener and readiness queue: ok");
}
