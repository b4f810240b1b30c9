//! What the proactor gives out, in the plain words of the reference: what is to be compared.

use std::sync::atomic::Ordering;

use aio::Proactor;
use aio_model::{
    Accept, Buffer, Close, CloseReason, Completion, Connect, Direction, Done, LaneInfo, OpId, Operation,
    Parts, Post, Recv, Request, Send, Shutdown, Sleep, Wait,
};
use sim::reference::{self, ConnLook, Gauges, Id, LaneLook, Manner, OpLook, Work};

use super::world::{Os, plain};

pub(crate) fn plain_op(op: OpId) -> Id {
    Id { proactor_id: op.realm(), index: u32::try_from(op.number()).unwrap(), generation: 1 }
}

/// An operation of the proactor's, of the same work.
pub(crate) fn operation(request: &reference::Request, buffer: Buffer) -> Request<u32> {
    let made = match request.work {
        Work::Recv { exact: false } => Recv::into(buffer).into_request(),
        Work::Recv { exact: true } => Recv::exact(buffer).into_request(),
        Work::RecvPooled { pool: None } => Recv::pooled().into_request(),
        Work::RecvPooled { pool: Some(pool) } => Recv::pooled_from(pool).into_request(),
        Work::RecvMany { pool: None, leases_max } => Recv::many(leases_max).into_request(),
        Work::RecvMany { pool: Some(pool), leases_max } => Recv::many(leases_max).from(pool).into_request(),
        Work::Send { start, end } => Send::new(buffer).skip(start).first(end).into_request(),
        Work::Accept { many: false } => Accept::one().into_request(),
        Work::Accept { many: true } => Accept::many().into_request(),
        Work::Connect => Connect::to(std::net::SocketAddr::from(([127, 0, 0, 1], 1))).into_request(),
        Work::Shutdown => Shutdown::write().into_request(),
        Work::Wait(Direction::Receive) => Wait::readable().into_request(),
        Work::Wait(Direction::Send) => Wait::writable().into_request(),
        Work::Close { manner, reason } => {
            let close = match manner {
                Manner::Now => Close::now(),
                Manner::Abort => Close::abort(),
                Manner::Flush => Close::flush(),
                Manner::Linger { ms } => Close::linger(std::time::Duration::from_millis(ms.into())),
            };
            match reason {
                CloseReason::Code(code) => close.code(code).into_request(),
                _ => close.into_request(),
            }
        }
        Work::Sleep => Sleep::new(std::time::Duration::MAX).into_request(),
        Work::Post => Post::with(buffer).into_request(),
    };
    match request.deadline {
        None => made,
        Some(deadline) => made.with_deadline(deadline),
    }
}

/// A buffer of the proactor's like one of the reference's, which has no leases.
pub(crate) fn buffer(like: &reference::Buffer) -> Buffer {
    match like {
        reference::Buffer::None => Buffer::None,
        reference::Buffer::Own(bytes) => bytes.clone().into(),
        reference::Buffer::Shared(bytes, _) => Buffer::Bytes(bytes.clone().into()),
        reference::Buffer::Lease { .. } => unreachable!("leases are not made by users"),
        reference::Buffer::Parts(parts) => parts.iter().map(buffer).collect::<Parts>().into(),
    }
}

/// Whether two buffers are of one kind and hold the same.
pub(crate) fn same(found: &Buffer, expected: &reference::Buffer) -> bool {
    match (found, expected) {
        (Buffer::None, reference::Buffer::None) => true,
        (Buffer::Vec(found), reference::Buffer::Own(expected)) => found == expected,
        (Buffer::Bytes(found), reference::Buffer::Shared(expected, _)) => found == expected,
        (Buffer::Lease(found), reference::Buffer::Lease { space, bytes, .. }) => {
            found.capacity() == *space && **found == **bytes
        }
        (Buffer::Parts(found), reference::Buffer::Parts(expected)) => {
            let found = found.as_slice();
            found.len() == expected.len() && found.iter().zip(expected).all(|(one, other)| same(one, other))
        }
        _ => false,
    }
}

/// A completion, but for its buffer.
pub(crate) fn completion(done: &Completion<u32>, expected: &reference::Completion) -> Result<(), String> {
    let result = done.result.map(|done| match done {
        Done::Received { end_of_stream } => reference::Done::Received { end_of_stream },
        Done::Sent => reference::Done::Sent,
        Done::Accepted(conn) => reference::Done::Accepted(plain(conn)),
        Done::Connected => reference::Done::Connected,
        Done::ShutDown => reference::Done::ShutDown,
        Done::Ready => reference::Done::Ready,
        Done::Closed => reference::Done::Closed,
        Done::Elapsed => reference::Done::Elapsed,
        Done::Posted => reference::Done::Posted,
        other => unreachable!("{other:?} is new"),
    });
    let found = (done.context, plain(done.conn), plain_op(done.op), done.bytes, result, done.more);
    let reference::Completion { context, conn, op, bytes, result, more, .. } = expected;
    let wanted = (*context, *conn, *op, *bytes as u64, *result, *more);
    if found != wanted {
        return Err(format!("completed {found:?}, not {wanted:?}"));
    }
    if !same(&done.buffer, &expected.buffer) {
        let what: Vec<&[u8]> = done.buffer.chunks().collect();
        return Err(format!("{:?} with {:?} {what:?}, not {:?}", done.op, done.buffer, expected.buffer));
    }
    Ok(())
}

pub(crate) fn conns(aio: &Proactor<u32, Os>) -> Vec<ConnLook> {
    let lane = |lane: LaneInfo| LaneLook {
        ops: lane.ops as usize,
        queued_bytes: usize::try_from(lane.queued_bytes).expect("it is in memory"),
        bytes: lane.bytes,
        ready: lane.ready,
        place: lane.place,
        tainted: lane.tainted,
        shut: lane.shut,
        end: lane.end,
    };
    let looks = aio.conns().map(|(id, info)| ConnLook {
        id: plain(id),
        kind: info.kind,
        phase: info.phase,
        age: info.age,
        pool: info.pool,
        last_progress: info.last_progress,
        idle: info.idle,
        receive: lane(info.receive),
        send: lane(info.send),
    });
    looks.collect()
}

pub(crate) fn ops(aio: &Proactor<u32, Os>) -> Vec<OpLook> {
    let looks = aio.ops_info().map(|(id, info)| OpLook {
        id: plain_op(id),
        conn: plain(info.conn),
        ended: info.ended,
        bytes: usize::try_from(info.bytes).expect("few bytes"),
        due: info.due,
        lease: info.lease,
        place: info.place,
    });
    let mut looks: Vec<OpLook> = looks.collect();
    looks.sort_by_key(|look| (look.id, look.ended));
    looks
}

pub(crate) fn gauges(aio: &Proactor<u32, Os>) -> Gauges {
    let stats = aio.stats();
    Gauges {
        connections: stats.connections as usize,
        ops: stats.credits as usize,
        completions: stats.completions as usize,
        leases: stats.leases as usize,
        lanes_parked: stats.lanes_parked as usize,
        lanes_held: stats.lanes_held as usize,
        lanes_backing_off: stats.lanes_backing_off as usize,
        lanes_runnable: stats.lanes_runnable as usize,
        timers: stats.timers as usize,
        wakes: aio.system().waker.0.load(Ordering::Relaxed),
    }
}
