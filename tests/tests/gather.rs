//! Several buffers in one send, over a real socket.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use aio::{Buffer, Done, Parts, Proactor, Send, Socket};
use socket2::SockRef;
use tests::bytes::Bytes;

/// Sends parts, and returns what came.
fn send_parts(
    socket: impl Into<Socket>,
    mut peer: impl Read + std::marker::Send + 'static,
    parts: Parts,
) -> Vec<u8> {
    let mut aio: Proactor<()> = Proactor::new().unwrap();
    let conn = aio.adopt(socket).unwrap();
    let count: usize = parts.as_slice().iter().map(Buffer::len).sum();
    let reader = std::thread::spawn(move || {
        let mut received = vec![0; count];
        peer.read_exact(&mut received).unwrap();
        received
    });
    aio.submit(conn, Send::new(parts), ()).unwrap();
    let mut batch = Vec::new();
    while batch.is_empty() {
        assert!(aio.turn(&mut batch, None).unwrap());
    }
    let done = batch.pop().unwrap();
    assert_eq!((done.result, done.bytes), (Ok(Done::Sent), count as u64));
    assert_eq!(done.buffer.len(), count, "all parts come back");
    reader.join().unwrap()
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, client)
}

#[test]
fn a_header_and_a_body_are_one_send() {
    let (ours, theirs) = tcp_pair();
    let parts: Parts = [Buffer::from("header "), Buffer::from(b"body".to_vec())].into_iter().collect();
    assert_eq!(send_parts(ours, theirs, parts), b"header body");
}

#[test]
fn more_parts_than_a_call_takes_and_more_bytes_than_a_socket_holds() {
    let (mut bytes, mut expected) = (Bytes::new(3), Vec::new());
    let mut part = || {
        let mut part = vec![0; 1000];
        bytes.fill(&mut part);
        expected.extend_from_slice(&part);
        Buffer::from(part)
    };
    let parts: Parts = (0..5000).map(|_| part()).collect();
    let (ours, theirs) = tcp_pair();
    SockRef::from(&ours).set_send_buffer_size(20_000).unwrap();
    assert!(send_parts(ours, theirs, parts) == expected, "5 MB in 5,000 parts come as they were sent");
}

#[test]
fn a_unix_socket_takes_them_too() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let parts: Parts = (0..3000_u32).map(|number| Buffer::from(number.to_le_bytes().to_vec())).collect();
    let expected: Vec<u8> = (0..3000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(send_parts(ours, theirs, parts), expected);
}
