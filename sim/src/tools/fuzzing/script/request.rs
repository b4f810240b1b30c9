//! What a script submits, as operations.

use std::net::SocketAddr;
use std::time::Duration;

use aio_model::{
    Accept, Buffer, Close, Connect, Operation, Parts, PoolId, Post, Recv, Request, Send, Shutdown, Sleep,
    Wait,
};

use super::player::Player;
use super::promise::PromiseKind;
use super::step::ScriptOp;

impl Player {
    /// An operation, and what it promises if it is accepted.
    pub(super) fn request(&mut self, what: &ScriptOp) -> (Request<u32>, PromiseKind) {
        let receive = |exact, room| PromiseKind::Receive { exact, pooled: false, many: false, room };
        let pooled = |many| PromiseKind::Receive { exact: false, pooled: true, many, room: 0 };
        match what {
            ScriptOp::Recv(len) => {
                into(Recv::into(vec![0; usize::from(*len)]), receive(false, (*len).into()))
            }
            ScriptOp::RecvExact(len) => {
                into(Recv::exact(vec![0; usize::from(*len)]), receive(true, (*len).into()))
            }
            ScriptOp::RecvPooled(pool) => {
                let pool = PoolId::new(u16::from(*pool) % 3);
                into(Recv::pooled_from(pool), pooled(false))
            }
            ScriptOp::RecvMany(leases_max) => into(Recv::many(*leases_max), pooled(true)),
            ScriptOp::RecvLease(nth) => match self.lease(*nth) {
                Some(lease) => {
                    let room = lease.capacity();
                    into(Recv::exact(lease), receive(true, room))
                }
                None => into(Recv::into(Buffer::None), receive(false, 0)),
            },
            ScriptOp::RecvShared => into(Recv::into("shared"), receive(false, 0)),
            ScriptOp::Send { len, skip, cut } => {
                let bytes = self.pattern(*len);
                send(Buffer::from(bytes.clone()), &bytes, *skip, *cut)
            }
            ScriptOp::Gather { lens, skip, cut } => {
                let pieces = lens.map(|len| self.pattern(len % 16));
                let bytes = pieces.concat();
                send(Parts::from_iter(pieces.map(Buffer::from)).into(), &bytes, *skip, *cut)
            }
            ScriptOp::SendLease(nth) => {
                let lease = self.lease(*nth);
                let bytes = lease.as_ref().map_or(vec![], |lease| lease.to_vec());
                send(lease.map_or(Buffer::None, Buffer::from), &bytes, 0, 0)
            }
            ScriptOp::AcceptOne => into(Accept::one(), PromiseKind::Accept { many: false }),
            ScriptOp::AcceptMany => into(Accept::many(), PromiseKind::Accept { many: true }),
            ScriptOp::Shutdown => into(Shutdown::write(), PromiseKind::Shutdown),
            ScriptOp::Wait { sends: false } => into(Wait::readable(), PromiseKind::Wait { sends: false }),
            ScriptOp::Wait { sends: true } => into(Wait::writable(), PromiseKind::Wait { sends: true }),
            ScriptOp::CloseNow => into(Close::now(), PromiseKind::Close { aborts: false }),
            ScriptOp::CloseAbort => into(Close::abort(), PromiseKind::Close { aborts: true }),
            ScriptOp::CloseFlush => into(Close::flush(), PromiseKind::Close { aborts: false }),
            ScriptOp::CloseLinger(ms) => {
                let close = Close::linger(Duration::from_millis((*ms).into())).code((*ms).into());
                into(close, PromiseKind::Close { aborts: false })
            }
            ScriptOp::Scatter { lens, exact } => {
                let lens = lens.map(|len| usize::from(len % 16));
                let parts: Parts = lens.into_iter().map(|len| Buffer::from(vec![0; len])).collect();
                let recv = if *exact { Recv::exact(parts) } else { Recv::into(parts) };
                into(recv, receive(*exact, lens.iter().sum()))
            }
            ScriptOp::Connect | ScriptOp::ConnectThere => {
                into(Connect::to(SocketAddr::from(([127, 0, 0, 1], 1))), PromiseKind::Connect)
            }
            ScriptOp::Sleep | ScriptOp::SleepThere => into(Sleep::new(Duration::MAX), PromiseKind::Sleep),
            ScriptOp::Post(len) => into(Post::with(self.pattern(*len)), PromiseKind::Post),
            ScriptOp::PostThere => into(Post::new(), PromiseKind::Post),
        }
    }

    /// Bytes that no other send has, about.
    fn pattern(&self, len: u8) -> Vec<u8> {
        let start = self.serial.wrapping_mul(31).to_le_bytes()[0];
        (0..len).map(|offset| start.wrapping_add(offset)).collect()
    }
}

fn into(op: impl Operation<u32>, kind: PromiseKind) -> (Request<u32>, PromiseKind) {
    (op.into_request(), kind)
}

/// A send without the first `skip` bytes and the last `cut`; by small numbers, so that most are within.
fn send(buffer: Buffer, bytes: &[u8], skip: u8, cut: u8) -> (Request<u32>, PromiseKind) {
    let (start, end) = (usize::from(skip) % 4, bytes.len().saturating_sub(usize::from(cut) % 4));
    let range = bytes.get(start..end).unwrap_or(&[]).to_vec();
    into(Send::new(buffer).skip(start).first(end), PromiseKind::Send(range))
}
