//! Everything that a program can do wrong: each gets its own error or does nothing, and what was handed over
//! comes back.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aio::{
    Accept, Buffer, BuildError, Builder, Close, ConnId, Done, IdError, OpIdError, PoolId, Proactor, Recv,
    ResumeError, Send, SetPoolError, Shutdown, Sleep, SubmitErrorKind,
};

fn stream(aio: &mut Proactor<u8>) -> (ConnId, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (aio.adopt(ours).unwrap(), peer)
}

fn turn(aio: &mut Proactor<u8>) -> Vec<aio::Completion<u8>> {
    let mut batch = Vec::new();
    aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
    aio.check().unwrap();
    batch
}

#[test]
fn a_builder_names_the_limit_that_is_zero() {
    type Set = fn(Builder, u32) -> Builder;
    let limits: [(&str, Set); 7] = [
        ("connections_max", Builder::connections_max),
        ("ops_max", Builder::ops_max),
        ("lane_ops_max", Builder::lane_ops_max),
        ("turn_attempts_max", Builder::turn_attempts_max),
        ("lane_attempts_max", Builder::lane_attempts_max),
        ("lane_transfer_max", Builder::lane_transfer_max),
        ("lane_bytes_max", Builder::lane_bytes_max),
    ];
    for (name, set) in limits {
        match set(Builder::new(), 0).build::<u8>() {
            Err(BuildError::Zero(zero)) => assert_eq!(zero, name),
            other => panic!("{name}: {other:?}"),
        }
        let mut least: Proactor<u8> = set(Builder::new(), 1).build().unwrap();
        assert!(least.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap(), "{name} works at 1");
    }
    for (buffers, bytes, name) in [(0, 1, "pool: buffers_max"), (1, 0, "pool: buffer_bytes")] {
        match Builder::new().pool(buffers, bytes).build::<u8>() {
            Err(BuildError::Zero(zero)) => assert_eq!(zero, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let large = Builder::new().pool(1, (1 << 30) + 1).build::<u8>();
    assert!(matches!(large, Err(BuildError::BufferTooLarge(_))), "{large:?}");
    let many = (0..=1 << 16).fold(Builder::new(), |builder, _| builder.pool(1, 1)).build::<u8>();
    assert!(matches!(many, Err(BuildError::TooManyPools(65_537))), "{many:?}");
}

#[test]
fn what_can_not_be_adopted_comes_back() {
    let mut aio: Proactor<u8> = Builder::new().connections_max(1).build().unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, number) = (datagrams.local_addr().unwrap(), datagrams.as_fd().as_raw_fd());
    let error = aio.adopt(OwnedFd::from(datagrams)).unwrap_err();
    assert_eq!(error.error.kind(), std::io::ErrorKind::Unsupported);
    let back = UdpSocket::from(OwnedFd::from(error.socket));
    assert_eq!((back.local_addr().unwrap(), back.as_fd().as_raw_fd()), (address, number));

    let file = std::fs::File::open("/dev/null").unwrap();
    let error = aio.adopt(OwnedFd::from(file)).unwrap_err();
    assert_eq!(error.error.raw_os_error(), Some(rustix::io::Errno::NOTSOCK.raw_os_error()), "not a socket");

    let (_conn, _peer) = stream(&mut aio);
    let (ours, _other) = UnixStream::pair().unwrap();
    let error = aio.adopt(ours).unwrap_err();
    assert_eq!(error.error.kind(), std::io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("connections_max"), "{error}");
    aio.shut_down();
    let error = aio.adopt(error.socket).unwrap_err();
    assert!(error.to_string().contains("shutting down"), "{error}");
}

#[test]
fn stale_and_foreign_ids_are_told_apart_and_harm_nobody() {
    let (mut aio, mut other): (Proactor<u8>, Proactor<u8>) =
        (Proactor::new().unwrap(), Proactor::new().unwrap());
    let ((stale, _), (foreign, _)) = (stream(&mut aio), stream(&mut other));
    assert!(aio.close(stale));
    assert!(!aio.close(stale), "it is being closed");
    turn(&mut aio);
    assert!(!aio.close(stale), "closed already");
    // Somebody else has the place now.
    let (live, _peer) = stream(&mut aio);
    assert_eq!(live.index(), stale.index());
    for (conn, submit, id, resume, pool) in [
        (stale, SubmitErrorKind::Stale, IdError::Stale, ResumeError::Stale, SetPoolError::Stale),
        (foreign, SubmitErrorKind::Foreign, IdError::Foreign, ResumeError::Foreign, SetPoolError::Foreign),
    ] {
        let refused = aio.submit(conn, Send::new(vec![7; 3]), 9).unwrap_err();
        assert_eq!((refused.kind, refused.context), (submit, 9));
        assert!(matches!(refused.buffer, Buffer::Vec(bytes) if bytes == [7; 3]));
        assert_eq!(aio.cancel_all(conn), Err(id));
        assert_eq!(aio.conn_info(conn), Err(id));
        assert_eq!(aio.resume(conn), Err(resume));
        assert_eq!(aio.set_pool(conn, PoolId::DEFAULT), Err(pool));
        assert!(!aio.close(conn));
        assert!(!aio.close_with(conn, 3));
    }
    aio.submit(live, Recv::pooled(), 1).unwrap();
    assert_eq!(aio.cancel_all(live), Ok(1), "it is as it was");
    // Another proactor's own id is foreign, too.
    let own = other.own();
    assert_eq!(aio.submit(own, Sleep::new(Duration::MAX), 2).unwrap_err().kind, SubmitErrorKind::Foreign);
}

#[test]
fn what_has_ended_is_cancelled_once() {
    let (mut aio, mut other): (Proactor<u8>, Proactor<u8>) =
        (Proactor::new().unwrap(), Proactor::new().unwrap());
    let (conn, _peer) = stream(&mut aio);
    let op = aio.submit(conn, Recv::pooled(), 1).unwrap();
    assert_eq!(aio.cancel(op), Ok(()));
    assert_eq!(aio.cancel(op), Err(OpIdError::Stale), "twice");
    assert_eq!(aio.set_deadline(op, None), Err(OpIdError::Stale));
    assert_eq!(turn(&mut aio).len(), 1, "one completion");
    assert_eq!(aio.cancel(op), Err(OpIdError::Stale), "taken");
    assert_eq!(aio.op_info(op), Err(IdError::Stale));
    let foreign = other.submit(other.own(), Sleep::new(Duration::MAX), 1).unwrap();
    assert_eq!(aio.cancel(foreign), Err(OpIdError::Foreign));
    let close = aio.submit(conn, Close::now(), 2).unwrap();
    assert_eq!(aio.cancel(close), Err(OpIdError::Close));
    assert_eq!(aio.set_deadline(close, None), Err(OpIdError::Close));
    let refused = aio.submit(conn, Recv::pooled(), 3).unwrap_err();
    assert_eq!((refused.kind, refused.context), (SubmitErrorKind::Closing, 3));
    aio.submit(conn, Close::flush(), 4).expect("a second close");
    let done = turn(&mut aio);
    let done: Vec<_> = done.into_iter().map(|done| (done.context, done.result)).collect();
    assert_eq!(done, [(2, Ok(Done::Closed)), (4, Ok(Done::Closed))]);
}

#[test]
fn operations_that_make_no_sense_are_refused_each_for_its_reason() {
    use SubmitErrorKind as Kind;
    let mut aio: Proactor<u8> = Proactor::new().unwrap();
    let (conn, _peer) = stream(&mut aio);
    let listener = aio.adopt(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let own = aio.own();
    let refusals = [
        (aio.submit(listener, Recv::pooled(), 0), Kind::WrongKind),
        (aio.submit(listener, Send::new("x"), 0), Kind::WrongKind),
        (aio.submit(listener, Shutdown::write(), 0), Kind::WrongKind),
        (aio.submit(conn, Accept::one(), 0), Kind::WrongKind),
        (aio.submit(conn, Sleep::new(Duration::ZERO), 0), Kind::WrongKind),
        (aio.submit(own, Recv::pooled(), 0), Kind::WrongKind),
        (aio.submit(conn, Recv::into(Vec::new()), 0), Kind::EmptyBuffer),
        (aio.submit(conn, Recv::into(Vec::with_capacity(100)), 0), Kind::EmptyBuffer),
        (aio.submit(conn, Recv::exact(Buffer::None), 0), Kind::EmptyBuffer),
        (aio.submit(conn, Send::new(""), 0), Kind::EmptyBuffer),
        (aio.submit(conn, Send::new("abc").skip(3), 0), Kind::EmptyBuffer),
        (aio.submit(conn, Send::new("abc").skip(4), 0), Kind::OutOfRange),
        (aio.submit(conn, Send::new("abc").first(4), 0), Kind::OutOfRange),
        (aio.submit(conn, Recv::into("static"), 0), Kind::NotWritable),
        (aio.submit(conn, Recv::pooled_from(PoolId::new(1)), 0), Kind::NoPool),
    ];
    for (nth, (refused, kind)) in refusals.into_iter().enumerate() {
        let error = refused.expect_err("it makes no sense");
        assert_eq!(error.kind, kind, "the {nth}th");
    }
    assert_eq!(aio.resume(conn), Err(ResumeError::NotTainted));
    assert_eq!(aio.set_pool(conn, PoolId::new(1)), Err(SetPoolError::NoPool));
    assert_eq!((aio.stats().credits, aio.stats().counters.refused), (0, 15));
    aio.submit(conn, Shutdown::write(), 1).unwrap();
    assert_eq!(aio.submit(conn, Send::new("x"), 2).unwrap_err().kind, Kind::WriteShutDown);
    aio.shut_down();
    assert_eq!(aio.submit(conn, Recv::pooled(), 3).unwrap_err().kind, Kind::ShutDown);
    assert_eq!(aio.submit(own, Sleep::new(Duration::ZERO), 4).unwrap_err().kind, Kind::ShutDown);
}
