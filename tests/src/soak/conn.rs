//! One connection as one of its sides sees it: the stream that it sends, and the one that it expects.

use std::collections::HashMap;
use std::time::Duration;

use aio::{Buffer, Completion, ConnId, Deadline, Done, OpError, OpId, Operation, Parts, Recv, Request, Send};
use aio::{Shutdown, SystemErrorKind};
use fastrand::Rng;

use super::Side;
use super::chance::Chance;
use super::head::{Head, StreamFate};
use super::party::Ctx;
use crate::bytes::Bytes;

/// The larger pieces exceed what the sockets hold.
const PIECE_MAX: usize = 128 << 10;

/// The socket that sends takes no more than this at once.
const LARGE: usize = 32 << 10;

/// The two directions, as indices.
pub(super) const RECEIVE: usize = 0;
pub(super) const SEND: usize = 1;

/// A connection.
#[derive(Debug)]
pub(super) struct SoakConn {
    pub(super) head: Head,
    pub(super) side: Side,
    /// What is queued in each direction.
    pub(super) ops: [Option<OpId>; 2],
    /// The sleeps that each direction waits for.
    pub(super) pauses: [Option<OpId>; 2],
    /// How many completions there were.
    pub(super) events: u64,
    says: Bytes,
    /// Bytes that have not been put into a piece yet.
    unsaid: u64,
    /// A piece that is not sent, or not to its end.
    rest: Option<Piece>,
    shut: bool,
    hears: Bytes,
    /// Bytes that have not come yet.
    unheard: u64,
    heard_end: bool,
}

/// Bytes to send: those from `start` to `end`.
#[derive(Debug)]
struct Piece {
    buffer: Buffer,
    start: usize,
    end: usize,
}

/// What is to be done after a completion.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on in this direction.
    Go,
    /// There is nothing to do in this direction: it has ended, or it is the other's turn.
    Rest,
    /// Go on in the other direction.
    Other,
    /// A send ended after a part of its bytes: resume, then go on.
    Resume,
    /// The connection is of no use any more, as was to be expected.
    Part,
}

impl SoakConn {
    pub(super) fn new(head: Head, side: Side) -> SoakConn {
        let (unsaid, unheard) = match side {
            Side::Client => (head.up, head.down),
            Side::Server => (head.down, head.up),
        };
        let echoes = head.echo && side == Side::Server;
        SoakConn {
            head,
            side,
            ops: [None; 2],
            pauses: [None; 2],
            events: 0,
            says: Bytes::new(head.seed_of(side)),
            unsaid: if echoes { 0 } else { unsaid },
            rest: (side == Side::Client).then(|| Piece::whole(head.to_bytes().into())),
            shut: false,
            hears: Bytes::new(head.seed_of(side.other())),
            unheard,
            heard_end: false,
        }
    }

    /// Whether it sends back what it receives.
    fn echoes(&self) -> bool {
        self.head.echo && self.side == Side::Server
    }

    /// Whether both streams have come to their end.
    pub(super) fn is_over(&self) -> bool {
        self.shut && self.heard_end && self.ops == [None; 2]
    }

    /// Whether it is this side's to break it off now.
    pub(super) fn is_doomed(&self) -> bool {
        matches!(self.head.fate, StreamFate::BrokenOff(side, after) if side == self.side && self.events > u64::from(after))
    }

    /// The next receive, if one is due.
    pub(super) fn receive(&self, chance: &mut Rng) -> Option<Request<Ctx>> {
        if self.heard_end || self.ops[RECEIVE].is_some() || self.rest.is_some() && self.echoes() {
            return None;
        }
        let size = chance.size(PIECE_MAX);
        let left = usize::try_from(self.unheard).unwrap_or(usize::MAX);
        let recv = match chance.u64(..5) {
            0 => Recv::into(vec![0; size]),
            1 if left > 0 && !self.echoes() => Recv::exact(vec![0; size.min(left)]),
            2 => Recv::into(parts(&vec![0; size], chance)),
            _ => Recv::pooled(),
        };
        Some(hurried(recv, 4, 300_000, chance))
    }

    /// The next send, or the end of what is sent, if one is due.
    pub(super) fn send(&mut self, chance: &mut Rng) -> Option<(Request<Ctx>, Ctx)> {
        if self.shut || self.ops[SEND].is_some() {
            return None;
        }
        if self.rest.is_none() && self.unsaid > 0 {
            let left = usize::try_from(self.unsaid).unwrap_or(usize::MAX);
            let bytes = self.says.take(chance.size(PIECE_MAX).min(left));
            self.unsaid -= bytes.len() as u64;
            let buffer = if chance.one_in(4) { parts(&bytes, chance) } else { bytes.into() };
            self.rest = Some(Piece::whole(buffer));
        }
        if let Some(Piece { buffer, start, end }) = &mut self.rest {
            let send = Send::new(std::mem::take(buffer)).skip(*start).first(*end);
            // What the sockets do not hold at once is cut off more often than not.
            let large = *end - *start > LARGE;
            let (one_in, span_us) = if large { (2, 20_000) } else { (4, 300_000) };
            return Some((hurried(send, one_in, span_us, chance), Ctx::Send));
        }
        // What still comes has to be sent back.
        let ends = !self.echoes() || self.heard_end;
        ends.then(|| (Shutdown::write().into_request(), Ctx::Shutdown))
    }

    /// A receive has ended: what comes next, or what is wrong. The buffer is left to the caller, but for an
    /// echo.
    pub(super) fn received(&mut self, done: &mut Completion<Ctx>) -> Result<Next, String> {
        self.hear(&done.buffer, done.bytes)?;
        let next = match done.result {
            Ok(Done::Received { end_of_stream: false }) => Next::Go,
            Ok(Done::Received { end_of_stream: true }) | Err(OpError::UnexpectedEof) => {
                self.heard_end = true;
                if self.unheard > 0 {
                    self.broken(|conn| format!("the stream ends, {} bytes before its end", conn.unheard))?;
                }
                Next::Rest
            }
            Err(OpError::Deadline | OpError::Cancelled) => Next::Go,
            Err(error) => return self.failed(error),
            Ok(other) => return Err(format!("a receive ended with {other:?}")),
        };
        if !self.echoes() {
            return Ok(next);
        }
        if done.bytes > 0 {
            let end = usize::try_from(done.bytes).unwrap_or(usize::MAX);
            self.rest = Some(Piece { buffer: std::mem::take(&mut done.buffer), start: 0, end });
        }
        Ok(if self.rest.is_some() || self.heard_end { Next::Other } else { next })
    }

    /// A send has ended: what comes next, or what is wrong.
    pub(super) fn sent(&mut self, done: &mut Completion<Ctx>) -> Result<Next, String> {
        let Some(mut piece) = self.rest.take() else { return Err("a send ended that was not begun".into()) };
        let moved = usize::try_from(done.bytes).unwrap_or(usize::MAX);
        piece.buffer = std::mem::take(&mut done.buffer);
        piece.start += moved;
        match done.result {
            Ok(Done::Sent) if piece.start == piece.end => {
                Ok(if self.echoes() { Next::Other } else { Next::Go })
            }
            Err(OpError::Deadline | OpError::Cancelled) if piece.start < piece.end => {
                self.rest = Some(piece);
                Ok(if moved > 0 { Next::Resume } else { Next::Go })
            }
            Err(OpError::Deadline | OpError::Cancelled | OpError::Tainted) | Ok(_) => {
                Err(format!("a send ended with {:?} at byte {} of {}", done.result, piece.start, piece.end))
            }
            Err(error) => self.failed(error),
        }
    }

    /// A shutdown has ended: what comes next, or what is wrong.
    pub(super) fn shut_down(&mut self, result: Result<Done, OpError>) -> Result<Next, String> {
        match result {
            Ok(Done::ShutDown) => {
                self.shut = true;
                Ok(Next::Rest)
            }
            Err(OpError::Cancelled | OpError::Deadline) => Ok(Next::Go),
            Err(error) => self.failed(error),
            Ok(other) => Err(format!("a shutdown ended with {other:?}")),
        }
    }

    fn hear(&mut self, buffer: &Buffer, count: u64) -> Result<(), String> {
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        for chunk in buffer.chunks() {
            let bytes = &chunk[..chunk.len().min(left)];
            if !self.hears.matches(bytes) {
                return Err(format!("other bytes than were sent, {} before the end", self.unheard));
            }
            left -= bytes.len();
        }
        if left > 0 {
            return Err(format!("{count} bytes received, and {left} of them are nowhere"));
        }
        self.unheard = self.unheard.checked_sub(count).ok_or("more bytes than were sent")?;
        Ok(())
    }

    /// The system says that the connection is no more.
    fn failed(&self, error: OpError) -> Result<Next, String> {
        if let OpError::System(system) = error {
            let kinds = [SystemErrorKind::ConnectionReset, SystemErrorKind::BrokenPipe];
            let plausible = kinds.contains(&system.kind()) || system.kind() == SystemErrorKind::NotConnected;
            if !plausible {
                return Err(format!("an error that nothing explains: {error:?}"));
            }
        }
        self.broken(|_| format!("{error:?}"))?;
        Ok(Next::Part)
    }

    /// Something that must not happen to a connection that is to stay whole.
    fn broken(&self, what: impl FnOnce(&SoakConn) -> String) -> Result<(), String> {
        if self.head.fate == StreamFate::Whole { Err(what(self)) } else { Ok(()) }
    }
}

impl Piece {
    fn whole(buffer: Buffer) -> Piece {
        let end = buffer.len();
        Piece { buffer, start: 0, end }
    }
}

/// An operation, one in so many with a deadline that may come too soon.
fn hurried(op: impl Operation<Ctx>, one_in: u64, span_us_max: usize, chance: &mut Rng) -> Request<Ctx> {
    let request = op.into_request();
    if !chance.one_in(one_in) {
        return request;
    }
    request.with_deadline(Deadline::Within(Duration::from_micros(chance.size(span_us_max) as u64)))
}

/// The same bytes in a few parts.
fn parts(bytes: &[u8], chance: &mut Rng) -> Buffer {
    let piece = chance.size(bytes.len()).max(bytes.len() / 8).max(1);
    let parts: Parts = bytes.chunks(piece).map(|part| Buffer::from(part.to_vec())).collect();
    parts.into()
}

/// The connections of one side, to be looked up and to be drawn from.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    conns: HashMap<ConnId, (SoakConn, usize)>,
    ids: Vec<ConnId>,
}

impl Crowd {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut SoakConn> {
        self.conns.get_mut(&id).map(|(conn, _)| conn)
    }

    pub(super) fn insert(&mut self, id: ConnId, conn: SoakConn) {
        self.conns.insert(id, (conn, self.ids.len()));
        self.ids.push(id);
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<SoakConn> {
        let (conn, place) = self.conns.remove(&id)?;
        self.ids.swap_remove(place);
        if let Some((_, moved)) = self.ids.get(place).and_then(|id| self.conns.get_mut(id)) {
            *moved = place;
        }
        Some(conn)
    }

    /// Any of them.
    pub(super) fn any(&mut self, chance: &mut Rng) -> Option<(ConnId, &mut SoakConn)> {
        let place = chance.usize(..self.ids.len().max(1));
        let id = *self.ids.get(place)?;
        self.get_mut(id).map(|conn| (id, conn))
    }

    pub(super) fn ids(&self) -> &[ConnId] {
        &self.ids
    }
}
