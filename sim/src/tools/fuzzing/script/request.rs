//! What a script submits, as operations.

use std::net::SocketAddr;
use std::time::Duration;

use aio_model::{
    Accept, Buffer, Close, Connect, Operation, Parts, PoolId, Post, Recv, Request, Send, Shutdown, Sleep,
};

use super::player::Player;
use super::promise::Kind;
use super::step::What;

impl Player {
    /// An operation, and what it promises if it is accepted.
    pub(super) fn request(&mut self, what: &What) -> (Request<u32>, Kind) {
        let receive = |exact, room| Kind::Receive { exact, pooled: false, room };
        match what {
            What::Recv(len) => into(Recv::into(vec![0; usize::from(*len)]), receive(false, (*len).into())),
            What::RecvExact(len) => {
                into(Recv::exact(vec![0; usize::from(*len)]), receive(true, (*len).into()))
            }
            What::RecvPooled(pool) => {
                let pool = PoolId::new(u16::from(*pool) % 3);
                into(Recv::pooled_from(pool), Kind::Receive { exact: false, pooled: true, room: 0 })
            }
            What::RecvLease(nth) => match self.lease(*nth) {
                Some(lease) => {
                    let room = lease.capacity();
                    into(Recv::exact(lease), receive(true, room))
                }
                None => into(Recv::into(Buffer::None), receive(false, 0)),
            },
            What::RecvShared => into(Recv::into("shared"), receive(false, 0)),
            What::Send { len, skip, cut } => {
                let bytes = self.pattern(*len);
                send(Buffer::from(bytes.clone()), &bytes, *skip, *cut)
            }
            What::Gather { lens, skip, cut } => {
                let pieces = lens.map(|len| self.pattern(len % 16));
                let bytes = pieces.concat();
                send(Parts::from_iter(pieces.map(Buffer::from)).into(), &bytes, *skip, *cut)
            }
            What::SendLease(nth) => {
                let lease = self.lease(*nth);
                let bytes = lease.as_ref().map_or(vec![], |lease| lease.to_vec());
                send(lease.map_or(Buffer::None, Buffer::from), &bytes, 0, 0)
            }
            What::AcceptOne => into(Accept::one(), Kind::Accept { many: false }),
            What::AcceptMany => into(Accept::many(), Kind::Accept { many: true }),
            What::Shutdown => into(Shutdown::write(), Kind::Shutdown),
            What::CloseNow => into(Close::now(), Kind::Close { aborts: false }),
            What::CloseAbort => into(Close::abort(), Kind::Close { aborts: true }),
            What::CloseFlush => into(Close::flush(), Kind::Close { aborts: false }),
            What::CloseLinger(ms) => {
                let close = Close::linger(Duration::from_millis((*ms).into())).code((*ms).into());
                into(close, Kind::Close { aborts: false })
            }
            What::Scatter { lens, exact } => {
                let lens = lens.map(|len| usize::from(len % 16));
                let parts: Parts = lens.into_iter().map(|len| Buffer::from(vec![0; len])).collect();
                let recv = if *exact { Recv::exact(parts) } else { Recv::into(parts) };
                into(recv, receive(*exact, lens.iter().sum()))
            }
            What::Connect | What::ConnectThere => {
                into(Connect::to(SocketAddr::from(([127, 0, 0, 1], 1))), Kind::Connect)
            }
            What::Sleep | What::SleepThere => into(Sleep::new(Duration::MAX), Kind::Sleep),
            What::Post(len) => into(Post::with(self.pattern(*len)), Kind::Post),
            What::PostThere => into(Post::new(), Kind::Post),
        }
    }

    /// Bytes that no other send has, about.
    fn pattern(&self, len: u8) -> Vec<u8> {
        let start = self.serial.wrapping_mul(31).to_le_bytes()[0];
        (0..len).map(|offset| start.wrapping_add(offset)).collect()
    }
}

fn into(op: impl Operation<u32>, kind: Kind) -> (Request<u32>, Kind) {
    (op.into_request(), kind)
}

/// A send without the first `skip` bytes and the last `cut`; by small numbers, so that most are within.
fn send(buffer: Buffer, bytes: &[u8], skip: u8, cut: u8) -> (Request<u32>, Kind) {
    let (start, end) = (usize::from(skip) % 4, bytes.len().saturating_sub(usize::from(cut) % 4));
    let range = bytes.get(start..end).unwrap_or(&[]).to_vec();
    into(Send::new(buffer).skip(start).first(end), Kind::Send(range))
}
