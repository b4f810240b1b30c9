//! What the user of the workload submits: every operation, with everything that can be said about it.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use aio_model::{
    Accept, Address, Buffer, Close, CloseReason, ConnId, Connect, Deadline, Direction, Operation, Parts,
    PoolId, Post, Recv, Request, Send, Shutdown, Sleep, Wait,
};

use crate::judge::context::Context;
use crate::judge::episode::Episode;
use crate::judge::odd;
use crate::judge::oracle::{Manner, Refused, Submission, Task};
use crate::judge::workload::{Workload, remember, renewal_of};
use crate::world::connecting::Answer;
use crate::world::link::Side;
use crate::world::pattern;
use crate::world::pieces;

/// What a buffer holds, in one piece.
fn all_bytes(buffer: &Buffer) -> Vec<u8> {
    pieces::join(buffer.chunks())
}

/// The address that the connect of this context goes to: each has its own, so that a call tells whose it is.
fn address_of(context: u64) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::from(u128::from(context)), 1))
}

/// Whose connect a call is.
pub(crate) fn context_of(address: &Address) -> u64 {
    match address {
        Address::Internet(SocketAddr::V6(address)) => u64::try_from(u128::from(*address.ip())).unwrap_or(0),
        _ => 0,
    }
}

impl Episode {
    fn context(&mut self) -> u64 {
        self.workload.contexts += 1;
        self.workload.contexts
    }

    /// Bytes of the user's, different for each operation.
    fn bytes(&self, context: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        pattern::fill(context, Side::Server, 0, &mut bytes);
        bytes
    }

    pub(crate) fn submit_recv(&mut self) {
        let context = self.context();
        let size = self.size();
        let pools = self.plan.pools.len();
        let manner = self.choose(|choice| choice.below(7));
        let bytes = if matches!(manner, 2..=5) { self.bytes(context, size) } else { Vec::new() };
        // Nothing is drawn for whether it goes on, and with how many leases out.
        let (goes_on, leases_max) = (context % 2 == 1, (size % 4).to_le_bytes()[0]);
        let (task, recv) = match manner {
            1 if goes_on => {
                let task = Task::RecvMany { pool: None, leases_max };
                return self.submit(task, Recv::many(leases_max).into_request(), context, bytes);
            }
            0 | 1 => (Task::RecvOwnPool, Recv::pooled()),
            6 => {
                let pool = self.choose(|choice| choice.index(pools));
                let id = PoolId::new(u16::try_from(pool).unwrap_or(0));
                if goes_on {
                    let (task, recv) =
                        (Task::RecvMany { pool: Some(pool), leases_max }, Recv::many(leases_max).from(id));
                    return self.submit(task, recv.into_request(), context, bytes);
                }
                (Task::RecvPooled { pool }, Recv::pooled_from(id))
            }
            2 if context % 4 == 1 => {
                let wait = Wait::readable().into_request();
                return self.submit(Task::Wait(Direction::Receive), wait, context, Vec::new());
            }
            2 => (Task::Recv, Recv::into(bytes.clone())),
            3 => (Task::RecvExact, Recv::exact(bytes.clone())),
            4 => (Task::Recv, Recv::into(self.cut(&bytes))),
            _ => (Task::RecvExact, Recv::exact(self.cut(&bytes))),
        };
        self.submit(task, recv.into_request(), context, bytes);
    }

    pub(crate) fn submit_send(&mut self) {
        let context = self.context();
        let lease = self.choose(|choice| choice.below(4)) == 3;
        let buffer = match self.workload.leases.pop() {
            Some(lease_buffer) if lease => lease_buffer,
            other => {
                self.workload.leases.extend(other);
                let bytes = self.bytes(context, self.size());
                match self.choose(|choice| choice.below(3)) {
                    0 => bytes.into(),
                    1 => Buffer::Bytes(bytes.into()),
                    _ => self.cut(&bytes).into(),
                }
            }
        };
        let bytes = all_bytes(&buffer);
        // Now and then a part of the buffer, or one that does not lie within it.
        let (start, end) = self.choose(|choice| match choice.below(10) {
            8 => (choice.index(bytes.len() + 2), usize::MAX),
            9 => (usize::MAX - choice.index(2), usize::MAX),
            7 => (choice.index(bytes.len() + 2), choice.index(bytes.len() + 2)),
            _ => (0, bytes.len()),
        });
        let send = Send::new(buffer).skip(start).first(end);
        self.submit(Task::Send { start, end }, send.into_request(), context, bytes);
    }

    /// The same bytes, in pieces; some of them may be empty.
    fn cut(&self, bytes: &[u8]) -> Parts {
        let pieces = self.choose(|choice| choice.within(1..=5));
        let mut rest = bytes;
        let mut parts = Parts::default();
        for _ in 1..pieces {
            let (piece, after) = rest.split_at(self.choose(|choice| choice.index(rest.len() + 1)));
            parts.extend([Buffer::from(piece.to_vec())]);
            rest = after;
        }
        parts.extend([Buffer::from(rest.to_vec())]);
        parts
    }

    pub(crate) fn submit_accept(&mut self) {
        let context = self.context();
        let (task, accept) = if self.choose(|choice| choice.below(2)) == 0 {
            (Task::AcceptMany, Accept::many().into_request())
        } else {
            (Task::AcceptOne, Accept::one().into_request())
        };
        self.submit(task, accept, context, Vec::new());
    }

    pub(crate) fn submit_shut(&mut self) {
        let context = self.context();
        let (manner, close) = match self.choose(|choice| choice.below(7)) {
            4 if context % 2 == 1 => {
                let wait = Wait::writable().into_request();
                return self.submit(Task::Wait(Direction::Send), wait, context, Vec::new());
            }
            0 | 4 | 5 => {
                let request = Shutdown::write().into_request();
                return self.submit(Task::Shutdown, request, context, Vec::new());
            }
            1 => (Manner::Flush, Close::flush()),
            2 => {
                let span = self.choose(|choice| match choice.magnitude(5_000) {
                    0 => odd::span(choice),
                    millis => Duration::from_millis(millis),
                });
                (Manner::Linger(odd::in_millis(span)), Close::linger(span))
            }
            6 => (Manner::Abort, Close::abort()),
            _ => (Manner::Now, Close::now()),
        };
        let reason = self.reason();
        let close = if let CloseReason::Code(code) = reason { close.code(code) } else { close };
        self.submit(Task::Close { manner, reason }, close.into_request(), context, Vec::new());
    }

    pub(crate) fn submit_connect(&mut self) {
        let context = self.context();
        let answers = [Answer::Accepts, Answer::Refuses, Answer::Unreachable, Answer::Silent];
        let answer = answers[self.choose(|choice| choice.weighted(&[8, 1, 1, 1]))];
        let address = address_of(context);
        self.net.host(address, answer);
        self.submit(Task::Connect, Connect::to(address).into_request(), context, Vec::new());
    }

    pub(crate) fn submit_own(&mut self) {
        let context = self.context();
        if self.choose(|choice| choice.below(3)) == 2 {
            let bytes = self.bytes(context, self.size());
            self.submit(Task::Post, Post::with(bytes.clone()).into_request(), context, bytes);
        } else {
            // When it falls due is drawn like any deadline.
            self.submit(Task::Sleep, Sleep::new(Duration::MAX).into_request(), context, Vec::new());
        }
    }

    /// Submits so many sleeps that end around one instant, one of them at it: more than a list of timers
    /// holds.
    pub(crate) fn submit_crowd(&mut self) {
        let now = self.net.now();
        let (at, unit) = self.choose(|choice| odd::boundary_of(choice, now));
        for nth in 0..18 + self.choose(|choice| choice.below(16)) {
            if self.oracle.broken().is_some() {
                return;
            }
            let context = self.context();
            let deadline = self.choose(|choice| odd::around(choice, at, unit, nth));
            let request = Sleep::new(Duration::MAX).into_request();
            self.submit_by(Some(Deadline::At(deadline)), Task::Sleep, request, context, Vec::new());
        }
    }

    /// What happens so seldom that it is no action, if it is to happen at all: places grow old, and crowds
    /// are armed.
    pub(crate) fn now_and_then(&mut self) {
        let (ages, crowds) = (self.plan.ages, self.plan.crowds);
        if self.choose(|choice| choice.chance(ages)) {
            let uses = self.choose(|choice| (1 << choice.pick(&[8, 16, 24, 31])) - 1 - choice.below(3));
            self.note(|| format!("{uses} uses of each place go by"));
            self.model.age(u32::try_from(uses).unwrap_or(0));
        }
        if self.choose(|choice| choice.chance(crowds)) {
            self.submit_crowd();
        }
    }

    fn submit(&mut self, task: Task, request: Request<Context>, context: u64, bytes: Vec<u8>) {
        let deadline = if task == Task::Post { None } else { self.deadline() };
        self.submit_by(deadline, task, request, context, bytes);
    }

    fn submit_by(
        &mut self,
        deadline: Option<Deadline>,
        task: Task,
        request: Request<Context>,
        context: u64,
        bytes: Vec<u8>,
    ) {
        let wrong = self.choose(|choice| choice.below(16)) == 15;
        let conn = match task {
            Task::Sleep | Task::Post | Task::Connect => Some(self.model.own()),
            Task::Close { .. } => self.pick_conn(&self.workload.conns),
            Task::AcceptOne | Task::AcceptMany => self.pick_of_kind(!wrong),
            _ => self.pick_of_kind(wrong),
        };
        let Some(conn) = conn else { return };
        let request = match deadline {
            Some(deadline) => request.with_deadline(deadline),
            None => request,
        };
        let lease = match request.buffer() {
            Buffer::Lease(lease) => Some((lease.pool(), lease.as_ptr().addr())),
            _ => None,
        };
        let lent = lease.map_or(0, |(pool, _)| self.model.lent(pool));
        let renewal = renewal_of(deadline);
        let (answer, deadline, at) =
            self.timed(deadline, |model, clock| model.submit(conn, request, Context::new(context), clock));
        self.note(|| format!("submits {task:?} on {conn} as {context}, deadline {deadline:?}: {answer:?}"));
        if let Ok(id) = answer {
            remember(&mut self.workload.ops, (id, context));
            if task == Task::Sleep {
                self.workload.sleeps.push((id, context));
            }
        }
        let submission = Submission { conn, task, context, bytes, lease, lent, deadline, renewal, at };
        if let Err(error) = &answer {
            self.probes.refused(task, error.kind);
        }
        let answer = answer.map_err(|error| Refused {
            kind: error.kind,
            context: error.context.number(),
            bytes: self.reclaim(error.buffer),
        });
        self.oracle.on_submitted(submission, answer);
    }

    /// A listener, or a stream, to do something to.
    fn pick_of_kind(&self, listener: bool) -> Option<ConnId> {
        let Workload { conns, listeners, .. } = &self.workload;
        let listeners = listeners.iter().map(|(conn, _)| *conn);
        let among: Vec<ConnId> = if listener {
            listeners.collect()
        } else {
            conns.iter().copied().filter(|conn| listeners.clone().all(|listener| listener != *conn)).collect()
        };
        self.pick_conn(&among)
    }

    /// A buffer that came back: its bytes, and if it is a lease it is the user's again.
    fn reclaim(&mut self, buffer: Buffer) -> Vec<u8> {
        let bytes = all_bytes(&buffer);
        if let Buffer::Lease(_) = buffer {
            self.workload.leases.push(buffer);
        }
        bytes
    }
}
