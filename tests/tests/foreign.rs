//! What belongs to another proactor: its ids are refused by every call, and its buffers, which may be used
//! like any, go home to it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aio::{
    Accept, AddrError, Buffer, Builder, Close, ConnId, Connect, Done, IdError, OpId, OpIdError, Parts,
    PoolId, Post, Proactor, Recv, ResumeError, Send, SetPoolError, Shutdown, Sleep, SubmitError,
    SubmitErrorKind, System, SystemErrorKind,
};
use tests::turns::complete;

fn proactor() -> Proactor<u8> {
    Builder::new().pool(1, 64).build().unwrap()
}

fn stream(aio: &mut Proactor<u8>) -> (ConnId, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (aio.adopt(ours).unwrap(), peer)
}

/// A buffer that a proactor has received into.
fn received(aio: &mut Proactor<u8>, conn: ConnId, peer: &mut UnixStream) -> Buffer {
    peer.write_all(b"lent").unwrap();
    aio.submit(conn, Recv::pooled(), 1).unwrap();
    let done = complete(aio, 1).remove(0);
    assert_eq!(done.received(), b"lent");
    done.buffer
}

#[test]
fn k1_no_call_takes_an_id_of_another_proactor() {
    let (mut aio, mut other) = (proactor(), proactor());
    let ((mine, mut my_peer), (foreign, _peer)) = (stream(&mut aio), stream(&mut other));
    assert_eq!(mine.index(), foreign.index(), "but for whose they are, they are the same");
    let my_op: OpId = aio.submit(mine, Recv::pooled(), 1).unwrap();
    let op: OpId = other.submit(foreign, Recv::pooled(), 1).unwrap();
    for id in [foreign, other.own()] {
        let refusals: [SubmitError<u8>; 8] = [
            aio.submit(id, Recv::pooled(), 7).unwrap_err(),
            aio.submit(id, Send::new("x"), 7).unwrap_err(),
            aio.submit(id, Accept::one(), 7).unwrap_err(),
            aio.submit(id, Shutdown::write(), 7).unwrap_err(),
            aio.submit(id, Close::now(), 7).unwrap_err(),
            aio.submit(id, Connect::to("127.0.0.1:1".parse::<std::net::SocketAddr>().unwrap()), 7)
                .unwrap_err(),
            aio.submit(id, Sleep::new(Duration::ZERO), 7).unwrap_err(),
            aio.submit(id, Post::new(), 7).unwrap_err(),
        ];
        for refused in refusals {
            assert_eq!((refused.kind, refused.context), (SubmitErrorKind::Foreign, 7));
        }
        assert_eq!(aio.submit(id, Accept::many(), 7).unwrap_err().kind, SubmitErrorKind::Foreign);
        assert_eq!(aio.cancel_all(id), Err(IdError::Foreign));
        assert_eq!(aio.conn_info(id), Err(IdError::Foreign));
        assert_eq!(aio.resume(id), Err(ResumeError::Foreign));
        assert_eq!(aio.set_pool(id, PoolId::DEFAULT), Err(SetPoolError::Foreign));
        assert!(!aio.close(id));
        assert!(!aio.close_with(id, 7));
        assert_eq!(aio.local_addr(id), Err(AddrError::Foreign));
        assert_eq!(aio.peer_addr(id), Err(AddrError::Foreign));
        let unknown = aio.system_mut().local_addr(id).unwrap_err();
        assert_eq!(unknown.kind(), SystemErrorKind::InvalidInput);
        assert_eq!(aio.system_mut().peer_addr(id), Err(unknown));
        assert!(aio.system_mut().descriptor(id).is_none());
        aio.check().unwrap();
    }
    assert_eq!(aio.cancel(op), Err(OpIdError::Foreign));
    assert_eq!(aio.set_deadline(op, None), Err(OpIdError::Foreign));
    assert_eq!(aio.op_info(op), Err(IdError::Foreign));
    // Both are as they were.
    assert_eq!(
        (aio.stats().credits, other.stats().credits, aio.stats().connections, other.stats().connections),
        (1, 1, 1, 1)
    );
    assert!(aio.op_info(my_op).is_ok() && other.op_info(op).is_ok());
    my_peer.write_all(b"mine").unwrap();
    assert_eq!(complete(&mut aio, 1)[0].received(), b"mine");
}

#[test]
fn b1_a_buffer_of_another_proactor_is_used_like_any_and_goes_home_to_it() {
    let (mut aio, mut other) = (proactor(), proactor());
    let ((mine, mut my_peer), (theirs, mut their_peer)) = (stream(&mut aio), stream(&mut other));
    // Sent; sent among parts; received into; refused; cut short by a close.
    for way in 0..5 {
        let lease = received(&mut other, theirs, &mut their_peer);
        assert_eq!((aio.stats().leases, other.stats().leases), (0, 1), "way {way}");
        let done = match way {
            0 => {
                aio.submit(mine, Send::new(lease), 2).unwrap();
                complete(&mut aio, 1)
            }
            1 => {
                let parts: Parts = [Buffer::from("head"), lease].into_iter().collect();
                aio.submit(mine, Send::new(parts), 2).unwrap();
                complete(&mut aio, 1)
            }
            2 => {
                my_peer.write_all(b"word").unwrap();
                aio.submit(mine, Recv::into(lease), 2).unwrap();
                let done = complete(&mut aio, 1);
                assert_eq!(done[0].received(), b"word");
                done
            }
            3 => {
                let refused = aio.submit(aio.own(), Send::new(lease), 2).unwrap_err();
                assert_eq!(refused.kind, SubmitErrorKind::WrongKind);
                assert_eq!(other.stats().leases, 1, "it came back");
                drop(refused);
                Vec::new()
            }
            _ => {
                aio.submit(mine, Recv::exact(lease), 2).unwrap();
                aio.close(mine);
                let done = complete(&mut aio, 1);
                assert!(done[0].result.is_err());
                done
            }
        };
        assert_eq!(aio.stats().leases, 0, "way {way}");
        drop(done);
        // It had but one: who waits for it gets it.
        other.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap();
        assert_eq!((aio.stats().leases, other.stats().leases), (0, 0), "way {way}");
        aio.check().unwrap();
        other.check().unwrap();
    }
    my_peer.read_exact(&mut [0; 12]).unwrap();
}

#[test]
fn b3_a_lane_that_is_parked_gets_no_buffer_of_another_proactor() {
    let (mut aio, mut other) = (proactor(), proactor());
    let ((mine, mut my_peer), (theirs, mut their_peer)) = (stream(&mut aio), stream(&mut other));
    let (parked, mut parked_peer) = stream(&mut aio);
    let (my_lease, lease) =
        (received(&mut aio, mine, &mut my_peer), received(&mut other, theirs, &mut their_peer));
    parked_peer.write_all(b"there").unwrap();
    aio.submit(parked, Recv::pooled(), 5).unwrap();
    let mut batch = Vec::new();
    while aio.stats().lanes_parked == 0 {
        aio.turn(&mut batch, None).unwrap();
    }
    drop(lease);
    assert!(!aio.turn(&mut batch, Some(Duration::ZERO)).unwrap() || batch.is_empty());
    assert!(aio.stats().lanes_parked > 0 && batch.is_empty(), "it is of no use here");
    drop(my_lease);
    let done = complete(&mut aio, 1);
    assert_eq!((done[0].context, done[0].result), (5, Ok(Done::Received { end_of_stream: false })));
    assert_eq!((aio.stats().leases, other.stats().leases), (1, 0));
}
