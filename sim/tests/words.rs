//! What the model says to people and takes from them: names, texts, conversions, and small things that no
//! workload asks for. Secrets are not among them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use aio_model::slab::Slab;
use aio_model::testing::{Shelf, nowhere};
use aio_model::timers::Timers;
use aio_model::{
    Accept, Address, Buffer, Close, CloseReason, Completion, Config, ConnId, Connect, Deadline, IdError,
    Instant, Kind, Lease, Limit, Limits, Model, OpError, OpIdError, OpenError, Operation, Outcome, Parts,
    PoolId, PoolSize, Post, Readiness, Rearm, Recv, ResumeError, Send, SetPoolError, Shutdown, Sleep,
    SubmitErrorKind, Syscall, SystemError, SystemErrorKind, Tick,
};

const MS: Duration = Duration::from_millis(1);

fn model() -> (Model<&'static str>, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    let home = shelf.home();
    let pools = vec![PoolSize { buffers_max: 2, buffer_bytes: 8 }];
    let config = Config { limits: Limits::default(), pools, realm: 1, rearm: Rearm::OnArrival };
    (Model::new(config, &home), shelf)
}

fn submit(model: &mut Model<&'static str>, conn: ConnId, op: impl Operation<&'static str>) {
    model.submit(conn, op, "context", || Instant::ZERO).unwrap();
}

/// Answers every call of a round alike.
fn round(model: &mut Model<&'static str>, outcome: Outcome) {
    model.begin_round();
    while model.attempt(|_| outcome) {}
    model.check().unwrap();
}

/// Receives "xxx" into a lease.
fn lease(model: &mut Model<&'static str>) -> Lease {
    let conn = model.open(Kind::Stream).unwrap();
    submit(model, conn, Recv::pooled());
    model.on_ready(conn, Readiness::READABLE);
    model.begin_round();
    let filled = model.attempt(|call| match call {
        Syscall::Recv { buffer, .. } => {
            buffer[..3].fill(b'x');
            Outcome::Partial(3)
        }
        other => panic!("{other:?}"),
    });
    assert!(filled);
    match model.next_completion().map(|done| done.buffer) {
        Some(Buffer::Lease(lease)) => lease,
        other => panic!("{other:?}"),
    }
}

#[test]
fn buffers_show_their_kind_and_length_and_never_their_bytes() {
    let (mut model, _) = model();
    let parts: Parts = [Buffer::from("ab"), Buffer::from(vec![b'c'])].into_iter().collect();
    assert_eq!(format!("{parts:?}"), "Parts(2 of 3 bytes)");
    let all: [(Buffer, &str, &[u8]); 8] = [
        (Buffer::None, "None", b""),
        (vec![b'v'; 2].into(), "Vec(2 bytes)", b"vv"),
        (vec![b'b'; 3].into_boxed_slice().into(), "Boxed(3 bytes)", b"bbb"),
        (bytes::Bytes::from_static(b"shared").into(), "Bytes(6 bytes)", b"shared"),
        (b"static".into(), "Static(6 bytes)", b"static"),
        ((&b"slice"[..]).into(), "Static(5 bytes)", b"slice"),
        (lease(&mut model).into(), "Lease(3 bytes)", b"xxx"),
        (parts.into(), "Parts(3 bytes)", b"abc"),
    ];
    for (buffer, text, bytes) in all {
        assert_eq!(
            (format!("{buffer:?}"), buffer.len(), buffer.is_empty()),
            (text.into(), bytes.len(), bytes.is_empty())
        );
        assert_eq!(buffer.into_bytes(), bytes);
    }
    assert_eq!(Buffer::from(vec![1]).into_vec().unwrap(), [1]);
    assert!(matches!(Buffer::from("x").into_vec(), Err(Buffer::Static(b"x"))));
    let parts = Parts::from(vec![Buffer::from("ab"), Parts::from(vec![Buffer::from("c")]).into()]);
    assert_eq!(parts.into_vec().len(), 2, "parts of parts are parts");
}

#[test]
fn a_boxed_slice_is_received_into_like_a_vector() {
    let (mut model, _) = model();
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Recv::exact(vec![0; 4].into_boxed_slice()));
    model.on_ready(conn, Readiness::READABLE);
    model.begin_round();
    assert!(model.attempt(|call| match call {
        Syscall::Recv { buffer, .. } => {
            assert_eq!(buffer.len(), 4);
            buffer.copy_from_slice(b"abcd");
            Outcome::Transferred(4)
        }
        other => panic!("{other:?}"),
    }));
    let done: Completion<_> = model.next_completion().unwrap();
    assert_eq!(done.received(), b"abcd");
}

#[test]
fn a_lease_is_read_written_cut_and_shown() {
    let (mut model, shelf) = model();
    let mut lease = lease(&mut model);
    lease[0] = b'y';
    assert_eq!((lease.as_ref(), format!("{lease:?}")), (b"yxx".as_slice(), "Lease(3 of 8 bytes)".into()));
    lease.truncate(2);
    lease.truncate(7);
    assert_eq!((&*lease, lease.capacity()), (b"yx".as_slice(), 8));
    let shared = bytes::Bytes::from(lease);
    assert_eq!((&shared[..], model.outstanding()), (b"yx".as_slice(), 1));
    drop(shared);
    let home = shelf.pop().unwrap();
    assert_eq!(format!("{home:?}"), "Returned(8 bytes of pool0)");
    assert_eq!((home.capacity(), home.pool()), (8, PoolId::DEFAULT));
    model.give_back(home);
    assert_eq!(model.outstanding(), 0);
}

#[test]
fn a_lease_of_another_proactor_is_not_taken_in() {
    let ((mut ours, _), (mut theirs, shelf)) = (model(), model());
    drop(lease(&mut theirs));
    let foreign = shelf.pop().unwrap();
    ours.give_back(foreign);
    assert_eq!((ours.outstanding(), theirs.outstanding()), (0, 1), "it is lost to those it belongs to");
    ours.check().unwrap();
    theirs.check().unwrap();
    assert_eq!(lease(&mut ours).capacity(), 8);
}

#[test]
fn addresses_are_made_from_what_programs_have_and_read_as_people_write_them() {
    let (four, six) =
        (SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), SocketAddrV6::new(Ipv6Addr::LOCALHOST, 2, 0, 0));
    assert_eq!(format!("{} {:?}", Address::from(four), Address::from(six)), "127.0.0.1:1 [::1]:2");
    assert_eq!(Address::unix(*b"/a\0").to_string(), "unix:/a\\x00");
    let (mut model, _) = model();
    let connect =
        Connect::to(SocketAddr::from(four)).from(six.into()).nodelay(true).deadline(Instant::ZERO + MS);
    model.submit(model.own(), connect, "context", || Instant::ZERO).unwrap();
    assert_eq!(model.next_deadline(), Some(Instant::ZERO + MS));
    model.begin_round();
    let asked = model.attempt(|call| match call {
        Syscall::Connect { target, conn } => {
            assert_eq!((target.local(), target.nodelay()), (Some(six.into()), true));
            assert_eq!(call.conn(), conn);
            Outcome::WouldBlock
        }
        other => panic!("{other:?}"),
    });
    assert!(asked);
}

#[test]
fn deadlines_are_set_on_every_operation() {
    let (mut model, _) = model();
    let (conn, listener) = (model.open(Kind::Stream).unwrap(), model.open(Kind::Listener).unwrap());
    let at = |millis: u32| Instant::ZERO + MS * millis;
    submit(&mut model, conn, Recv::pooled().within(9 * MS));
    assert_eq!(model.next_deadline(), Some(at(9)));
    submit(&mut model, conn, Send::new("x").deadline(at(8)));
    assert_eq!(model.next_deadline(), Some(at(8)));
    submit(&mut model, conn, Shutdown::write().within(7 * MS));
    assert_eq!(model.next_deadline(), Some(at(7)));
    submit(&mut model, listener, Accept::one().deadline(at(6)));
    assert_eq!(model.next_deadline(), Some(at(6)));
    submit(&mut model, listener, Accept::many().within(5 * MS));
    assert_eq!(model.next_deadline(), Some(at(5)));
    let own = model.own();
    submit(&mut model, own, Sleep::until(at(4)));
    assert_eq!(model.next_deadline(), Some(at(4)));
    submit(&mut model, conn, Close::flush().within(3 * MS));
    assert_eq!(model.next_deadline(), Some(at(3)));
    let second = model.open(Kind::Stream).unwrap();
    submit(&mut model, second, Send::new("x"));
    submit(&mut model, second, Close::linger(MS * 5).deadline(at(2)));
    assert_eq!(model.next_deadline(), Some(at(2)));
    model.shut_down_by(Deadline::At(at(1)), || unreachable!("it is not relative"));
    assert_eq!(model.next_deadline(), Some(at(1)));
}

#[test]
fn a_model_is_shown_in_short_and_at_length() {
    let (mut model, _) = model();
    let (conn, listener) = (model.open(Kind::Stream).unwrap(), model.open(Kind::Listener).unwrap());
    let ops: [(ConnId, aio_model::Request<&'static str>); 9] = [
        (conn, Recv::into(vec![0; 5]).into_request()),
        (conn, Recv::exact(vec![0; 6]).into_request()),
        (conn, Recv::pooled().into_request()),
        (conn, Send::new("secret").into_request().with_deadline(Deadline::At(Instant::ZERO + MS))),
        (conn, Shutdown::write().into_request()),
        (listener, Accept::one().into_request()),
        (listener, Accept::many().into_request()),
        (model.own(), Sleep::new(MS).into_request()),
        (model.own(), Connect::to(Address::unix(*b"/x")).into_request()),
    ];
    let texts: Vec<String> = ops.iter().map(|(_, op)| format!("{op:?}")).collect();
    assert!(texts[2].contains("recv_pooled"), "{texts:?}");
    for (conn, op) in ops {
        submit(&mut model, conn, op);
    }
    submit(&mut model, conn, Close::linger(2 * MS));
    let closers =
        [Close::now(), Close::flush()].map(|close| format!("{:?}", Operation::<()>::into_request(close)));
    assert!(closers[0].contains("kind: close,") && closers[1].contains("kind: close_flush"), "{closers:?}");
    let post = format!("{:?}", Operation::<()>::into_request(Post::with("x")));
    assert!(post.contains("kind: post") && post.contains("Static(1 bytes)"), "{post}");

    let short = format!("{model:?}");
    assert!(short.starts_with("Model { now: 0ns, connections: 3, ops: 10, completions: 3, "), "{short}");
    let long = format!("{model:#?}");
    for part in [
        "send(0..6), 0 bytes moved, deadline 1ms",
        "shutdown",
        "accept_one",
        "accept_many",
        "sleep",
        "connect(unix:/x)",
        "close_linger(2 ms)",
        "Stream, Flushing, 0ns old",
        "Listener, Open",
        "receive: Idle, not ready, 2 queued, 0 bytes",
        "Stream, Connecting",
        "send: Running, ready, 2 queued, 0 bytes, 6 bytes queued, shut",
    ] {
        assert!(long.contains(part), "{part:?} is not in {long}");
    }
    assert!(!long.contains("secret"));

    // What is out of the ordinary is said.
    let broken = model.open(Kind::Stream).unwrap();
    submit(&mut model, broken, Send::new("x"));
    round(&mut model, Outcome::Failed(SystemError::new(SystemErrorKind::BrokenPipe, 32)));
    let long = format!("{model:#?}");
    assert!(long.contains("ended with Fault(BrokenPipe(32))"), "{long}");
}

#[test]
fn what_there_is_and_what_has_happened_can_be_counted() {
    let (mut model, _) = model();
    assert_eq!(*model.limits(), Limits::DEFAULT);
    let conn = model.open(Kind::Stream).unwrap();
    submit(&mut model, conn, Recv::exact(vec![0; 4]));
    submit(&mut model, conn, Send::new("ab"));
    submit(&mut model, conn, Send::new("cd").within(MS));
    model.on_ready(conn, Readiness::READABLE);
    let stats = model.stats();
    assert_eq!((stats.connections, stats.credits, stats.lanes_runnable, stats.timers), (1, 3, 2, 1));
    assert_eq!((stats.queued.recv, stats.queued.send, stats.queued.total()), (1, 2, 3));
    assert_eq!((stats.lanes_parked, stats.lanes_held, stats.completions, stats.leases), (0, 0, 0, 0));
    round(&mut model, Outcome::Interrupted);
    round(&mut model, Outcome::Partial(1));
    round(&mut model, Outcome::WouldBlock);
    let (info, counters) = (model.conn_info(conn).unwrap(), model.stats().counters);
    assert_eq!((info.receive.bytes, counters.bytes_received), (4, 4), "{counters:?}");
    assert!(counters.interrupts >= 2 && counters.attempts > counters.interrupts);
    assert_eq!((counters.submitted, counters.opened, counters.closed, counters.events), (3, 1, 0, 1));
    while model.next_completion().is_some() {}
    assert_eq!(model.stats().counters.completed, 3);
}

#[test]
fn every_error_says_what_is_wrong() {
    use SubmitErrorKind as Submit;
    let errors: Vec<Box<dyn std::error::Error>> = vec![
        Box::new(Submit::Busy(Limit::Connections)),
        Box::new(Submit::Busy(Limit::Ops)),
        Box::new(Submit::Busy(Limit::LaneOps)),
        Box::new(Submit::Busy(Limit::LaneBytes)),
        Box::new(Submit::Stale),
        Box::new(Submit::Foreign),
        Box::new(Submit::Closing),
        Box::new(Submit::Tainted),
        Box::new(Submit::WriteShutDown),
        Box::new(Submit::EmptyBuffer),
        Box::new(Submit::NotWritable),
        Box::new(Submit::OutOfRange),
        Box::new(Submit::WrongKind),
        Box::new(Submit::NoPool),
        Box::new(Submit::ShutDown),
        Box::new(IdError::Stale),
        Box::new(OpIdError::Stale),
        Box::new(OpIdError::Close),
        Box::new(OpenError::Busy(Limit::Connections)),
        Box::new(ResumeError::NotTainted),
        Box::new(SetPoolError::NoPool),
        Box::new(OpError::Deadline),
        Box::new(OpError::Cancelled),
        Box::new(OpError::UnexpectedEof),
        Box::new(OpError::Closed(CloseReason::Requested)),
        Box::new(OpError::Closed(CloseReason::Code(7))),
        Box::new(OpError::Closed(CloseReason::ShutDown)),
    ];
    let texts: std::collections::BTreeSet<String> = errors.iter().map(ToString::to_string).collect();
    assert!(texts.iter().all(|text| text.len() > 12 && text.starts_with(|first: char| first.is_lowercase())));
    assert!(texts.len() >= errors.len() - 1, "no two say the same, but for two stale ids: {texts:?}");
    assert!(texts.iter().any(|text| text.contains("for the program's reason 7")), "{texts:?}");

    let refused = SystemError::new(SystemErrorKind::ConnectionRefused, 111);
    assert_eq!((refused.kind(), refused.code()), (SystemErrorKind::ConnectionRefused, Some(111)));
    assert_eq!(format!("{refused} {refused:?}"), "connection refused (os error 111) ConnectionRefused(111)");
    let other = SystemError::from_kind(SystemErrorKind::WriteZero);
    assert_eq!((other.code(), other.to_string()), (None, "the system took no bytes".to_owned()));
    assert_eq!(format!("{other:?}"), "WriteZero");
    let (mut model, _) = model();
    let error = model.submit(model.own(), Recv::pooled(), "context", || Instant::ZERO).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!((error.to_string(), error.context), (source, "context"));
}

#[test]
fn ids_readiness_and_time_read_well() {
    let (mut model, _) = model();
    let conn = model.open(Kind::Stream).unwrap();
    assert_eq!(format!("{conn} {conn:?} {:?}", conn.key()), "c0v1 c0v1 0v1");
    let set = Readiness::READABLE | Readiness::ERROR;
    assert_eq!(format!("{set:?} {:?}", Readiness::NONE), "READABLE|ERROR NONE");
    let mut both = Readiness::WRITABLE;
    both |= Readiness::READABLE;
    assert!(both.wakes_receive() && both.wakes_send() && !both.hints_end());
    assert_eq!(format!("{:?}", Instant::ZERO + 1500 * MS), "1.5s");
    assert_eq!(Readiness::default(), Readiness::NONE);
    assert_eq!(format!("{:?}", PoolId::new(3)), "pool3");
}

#[test]
fn empty_structures_are_empty_and_an_empty_place_is_nobodys() {
    let (slab, timers) = (Slab::<u8>::default(), Timers::<u8>::default());
    assert!(slab.is_empty() && timers.is_empty());
    let (mut slab, mut timers) = (slab, timers);
    let key = slab.insert(1);
    timers.arm(Tick(3), 1);
    assert!(!slab.is_empty() && !timers.is_empty());
    slab.remove(key);
    for panics in [
        std::panic::catch_unwind(|| slab[0]).is_err(),
        std::panic::catch_unwind(|| slab.key_at(0)).is_err(),
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut slab = Slab::new();
            let key = slab.insert(1);
            slab.remove(key);
            slab[0] = 2;
        }))
        .is_err(),
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Slab::<u8>::new().remove_at(0))).is_err(),
    ] {
        assert!(panics);
    }
}

/// The loop as programs call it, on a simulated system.
#[test]
fn a_turn_is_all_its_steps() {
    let (net, (mut model, _)) = (sim::Net::calm(), model());
    let mut os = sim::SimOs::new(net.clone(), sim::EngineKind::Epoll);
    let (peer, socket) = net.pair().unwrap();
    let conn = model.open(Kind::Stream).unwrap();
    assert!(aio_model::System::adopt(&mut os, conn, socket).is_ok());
    submit(&mut model, conn, Send::new("hello"));
    aio_model::turn(&mut model, &mut os, Some(Instant::ZERO), &mut Vec::new()).unwrap();
    assert_eq!((net.peer_read(peer), model.completions()), (b"hello".to_vec(), 1));
}

#[test]
fn ids_of_another_proactor_are_foreign() {
    let (mut ours, _) = model();
    let config = Config { limits: Limits::DEFAULT, pools: Vec::new(), realm: 2, rearm: Rearm::OnArrival };
    let mut theirs: Model<&str> = Model::new(config, &nowhere());
    let conn = theirs.open(Kind::Stream).unwrap();
    let op = theirs.submit(theirs.own(), Post::new(), "context", || Instant::ZERO).unwrap();
    assert_eq!(ours.op_info(op), Err(IdError::Foreign));
    assert_eq!(ours.conn_info(conn), Err(IdError::Foreign));
    assert_eq!(ours.set_pool(conn, PoolId::DEFAULT), Err(SetPoolError::Foreign));
    assert_eq!(ours.cancel(op), Err(OpIdError::Foreign));
    assert_eq!(ours.resume(conn), Err(ResumeError::Foreign));
    assert_eq!(ours.close(conn), Err(IdError::Foreign));
}

#[test]
fn what_a_vectored_call_is_lent_is_never_empty() {
    let (mut model, _) = model();
    let conn = model.open(Kind::Stream).unwrap();
    let parts = || Parts::from(vec![Buffer::from(vec![0; 2]), Buffer::from(vec![0; 3])]);
    submit(&mut model, conn, Recv::exact(parts()));
    submit(&mut model, conn, Send::new(parts()));
    model.on_ready(conn, Readiness::READABLE);
    model.begin_round();
    let mut texts = Vec::new();
    let mut look = |call: Syscall<'_>| {
        assert_eq!(call.conn(), conn);
        match call {
            Syscall::RecvVectored { slices, .. } => {
                assert!(!slices.is_empty());
                texts.push(format!("{slices:?}"));
            }
            Syscall::SendVectored { slices, .. } => {
                assert!(!slices.is_empty());
                texts.push(format!("{slices:?}"));
            }
            other => panic!("{other:?}"),
        }
        Outcome::WouldBlock
    };
    while model.attempt(&mut look) {}
    texts.sort();
    assert_eq!(texts, ["Slices(5 bytes)", "SlicesMut(5 bytes)"]);
}
