//! Receives that stop short although more is at hand: nothing may be left lying in the kernel.

use std::io::{IoSlice, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aio::{Done, Proactor, Recv, Socket};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// Receives until `count` bytes have come, each receive with room for more.
fn receive(socket: impl Into<Socket>, count: u64) -> Vec<u8> {
    let mut aio: Proactor<()> = Proactor::new().unwrap();
    let conn = aio.adopt(socket).unwrap();
    let (mut batch, mut received) = (Vec::new(), Vec::new());
    aio.submit(conn, Recv::pooled(), ()).unwrap();
    while (received.len() as u64) < count {
        aio.turn(&mut batch, Some(Duration::from_secs(5))).unwrap();
        assert!(!batch.is_empty() || aio.stats().counters.waits < 20, "the rest does not come: {received:?}");
        for done in batch.drain(..) {
            assert_eq!(done.result, Ok(Done::Received { end_of_stream: false }));
            received.extend_from_slice(done.received());
            aio.submit(conn, Recv::pooled(), ()).unwrap();
        }
    }
    received
}

#[test]
fn behind_a_message_that_carried_a_descriptor() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let descriptors = [theirs.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let abc = [IoSlice::new(b"abc")];
    assert_eq!(rustix::net::sendmsg(&theirs, &abc, &mut ancillary, SendFlags::empty()), Ok(3));
    theirs.write_all(b"def").unwrap();
    assert_eq!(receive(ours, 6), b"abcdef");
}

#[test]
fn at_the_mark_of_urgent_data() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    theirs.set_nodelay(true).unwrap();
    let (ours, _) = listener.accept().unwrap();
    theirs.write_all(b"abc").unwrap();
    assert_eq!(rustix::net::send(&theirs, b"!", SendFlags::OOB), Ok(1));
    theirs.write_all(b"def").unwrap();
    assert_eq!(receive(ours, 6), b"abcdef", "the urgent byte is not a part of the stream");
}
