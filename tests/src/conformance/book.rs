//! The book: how far each connection is, so that a step is only taken when it makes sense.

use aio_model::{Direction, Outcome};

use crate::conformance::history::{Deed, Name, Number, PeerSaw, Seen};
use crate::conformance::script::Step;

/// How far this end of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ours {
    /// It waits to be accepted.
    Waiting,
    /// It is being connected.
    UnderWay,
    Open {
        shut: bool,
    },
    Closed,
}

/// How far the peer's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Theirs {
    Absent,
    Open { shut: bool },
    Closed,
}

/// How far every connection is.
#[derive(Debug, Default)]
pub(crate) struct Book {
    conns: Vec<(Ours, Theirs)>,
    listens: bool,
}

/// The most connections of a script.
const CONNS_MAX: usize = 6;

impl Book {
    /// What to do for a step, if it makes sense now. For those that go on until something is seen: what to do
    /// first.
    pub(crate) fn deed(&self, step: &Step) -> Option<Deed> {
        let next = self.conns.len();
        let more = next < CONNS_MAX;
        Some(match step {
            Step::Adopt => more.then_some(Deed::Adopt(next))?,
            Step::Connect => more.then_some(Deed::Connect { conn: next, nobody: false })?,
            Step::ConnectNobody => more.then_some(Deed::Connect { conn: next, nobody: true })?,
            Step::PeerConnect if !self.listens => Deed::Listen,
            Step::PeerConnect => more.then_some(Deed::PeerConnect(next))?,
            Step::PeerVanish { reset } => {
                let conn = self.waiting().find(|&conn| matches!(self.conns[conn].1, Theirs::Open { .. }))?;
                if *reset { Deed::PeerReset(conn) } else { Deed::PeerClose(conn) }
            }
            Step::Accept => self.listens.then(|| Deed::Accept(self.waiting().next().unwrap_or(next)))?,
            Step::Unlisten => self.listens.then_some(Deed::Unlisten)?,
            Step::Wait => Deed::Wait,
            Step::Nap => Deed::Nap,
            Step::Stall { millis } => Deed::Stall(*millis),
            Step::BlockListener => self.listens.then_some(Deed::Block(Name::Listener))?,
            Step::AskError { at } | Step::Block { at } => self.shared(*at, step)?,
            Step::Recv { at, .. }
            | Step::Drain { at, .. }
            | Step::Discard { at }
            | Step::Send { at, .. }
            | Step::Fill { at, .. }
            | Step::Poll { at, .. }
            | Step::Peek { at }
            | Step::Shutdown { at }
            | Step::Close { at }
            | Step::Abort { at } => self.ours(*at, step)?,
            Step::PeerWrite { at, .. }
            | Step::PeerFill { at }
            | Step::PeerRead { at, .. }
            | Step::PeerDrain { at }
            | Step::PeerShutdown { at }
            | Step::PeerClose { at }
            | Step::PeerReset { at } => self.theirs(*at, step)?,
        })
    }

    fn ours(&self, at: usize, step: &Step) -> Option<Deed> {
        let known = |&conn: &Number| matches!(self.conns[conn].0, Ours::UnderWay | Ours::Open { .. });
        let conn = pick(at, (0..self.conns.len()).filter(known))?;
        let shut = match self.conns[conn].0 {
            Ours::UnderWay if matches!(step, Step::Close { .. } | Step::Abort { .. }) => {
                return Some(Deed::Close(conn));
            }
            Ours::UnderWay => return Some(Deed::ConnectAgain(conn)),
            Ours::Open { shut } => shut,
            _ => false,
        };
        Some(match step {
            Step::Recv { pieces, .. } => Deed::Recv(conn, pieces.clone()),
            Step::Drain { piece, .. } => Deed::Recv(conn, vec![*piece]),
            Step::Discard { .. } => Deed::Discard(conn),
            Step::Send { pieces, .. } => (!shut).then(|| Deed::Send(conn, pieces.clone()))?,
            Step::Fill { piece, .. } => (!shut).then(|| Deed::Send(conn, vec![*piece]))?,
            Step::Poll { direction: Direction::Send, .. } if shut => None?,
            Step::Poll { direction, .. } => Deed::Poll(conn, *direction),
            Step::Peek { .. } => Deed::Peek(conn),
            Step::Shutdown { .. } => (!shut).then_some(Deed::Shutdown(conn))?,
            Step::Abort { .. } => Deed::Abort(conn),
            _ => Deed::Close(conn),
        })
    }

    /// What somebody does to a socket of this end who shares it.
    fn shared(&self, at: usize, step: &Step) -> Option<Deed> {
        let open = |&conn: &Number| matches!(self.conns[conn].0, Ours::Open { .. });
        let conn = pick(at, (0..self.conns.len()).filter(open))?;
        Some(match step {
            Step::AskError { .. } => Deed::AskError(conn),
            _ => Deed::Block(Name::Conn(conn)),
        })
    }

    fn theirs(&self, at: usize, step: &Step) -> Option<Deed> {
        let open = |&conn: &Number| matches!(self.conns[conn].1, Theirs::Open { .. });
        let conn = pick(at, (0..self.conns.len()).filter(open))?;
        let shut = self.conns[conn].1 == Theirs::Open { shut: true };
        Some(match step {
            Step::PeerWrite { bytes, .. } => (!shut).then_some(Deed::PeerWrite(conn, *bytes))?,
            Step::PeerFill { .. } => (!shut).then_some(Deed::PeerWrite(conn, 16 << 10))?,
            Step::PeerRead { bytes, .. } => Deed::PeerRead(conn, *bytes),
            Step::PeerDrain { .. } => Deed::PeerRead(conn, 16 << 10),
            Step::PeerShutdown { .. } => (!shut).then_some(Deed::PeerShutdown(conn))?,
            Step::PeerClose { .. } => Deed::PeerClose(conn),
            _ => Deed::PeerReset(conn),
        })
    }

    fn waiting(&self) -> impl Iterator<Item = Number> {
        (0..self.conns.len()).filter(|&conn| self.conns[conn].0 == Ours::Waiting)
    }

    /// Takes note of what came of a deed.
    pub(crate) fn note(&mut self, deed: &Deed, seen: &Seen) {
        let open = (Ours::Open { shut: false }, Theirs::Open { shut: false });
        match (deed, seen) {
            (Deed::Listen, _) => self.listens = true,
            (Deed::Unlisten, _) => {
                self.listens = false;
                let waiting: Vec<Number> = self.waiting().collect();
                waiting.into_iter().for_each(|conn| self.conns[conn].0 = Ours::Closed);
            }
            (Deed::PeerConnect(_), _) => self.conns.push((Ours::Waiting, open.1)),
            (Deed::Accept(conn), Seen::Outcome(Outcome::Done)) => self.conns[*conn].0 = open.0,
            (Deed::Adopt(_), _) | (Deed::Connect { .. }, Seen::Outcome(Outcome::Done)) => {
                self.conns.push(open);
            }
            (Deed::Connect { .. }, Seen::Outcome(Outcome::WouldBlock)) => {
                self.conns.push((Ours::UnderWay, Theirs::Absent));
            }
            (Deed::Connect { .. }, _) => self.conns.push((Ours::Closed, Theirs::Absent)),
            (Deed::ConnectAgain(conn), Seen::Outcome(Outcome::Done)) => self.conns[*conn] = open,
            (Deed::ConnectAgain(conn), Seen::Outcome(Outcome::Failed(_)))
            | (Deed::Close(conn) | Deed::Abort(conn), _) => {
                self.conns[*conn].0 = Ours::Closed;
            }
            (Deed::Shutdown(conn), Seen::Outcome(Outcome::Done)) => {
                self.conns[*conn].0 = Ours::Open { shut: true };
            }
            (Deed::PeerShutdown(conn), _) => self.conns[*conn].1 = Theirs::Open { shut: true },
            (Deed::PeerClose(conn) | Deed::PeerReset(conn), _) => self.conns[*conn].1 = Theirs::Closed,
            (_, _) => {}
        }
    }
}

fn pick(at: usize, mut conns: impl Iterator<Item = Number> + Clone) -> Option<Number> {
    let count = conns.clone().count();
    conns.nth(at.checked_rem(count)?)
}

/// Whether a step goes on: it is one that repeats its deed until something else than `seen` comes.
pub(crate) fn goes_on(step: &Step, deed: &Deed, seen: &Seen) -> bool {
    match (step, deed, seen) {
        (Step::Drain { .. }, Deed::Recv(..), Seen::Outcome(Outcome::Transferred(1..) | Outcome::Partial(_)))
        | (Step::Fill { .. }, Deed::Send(..), Seen::Outcome(Outcome::Transferred(_)))
        | (Step::PeerFill { .. } | Step::PeerDrain { .. }, _, Seen::Peer(PeerSaw::Bytes(_)))
        // Who has a listener now wants to connect to it.
        | (Step::PeerConnect, Deed::Listen, _) => true,
        (_, _, _) => false,
    }
}
