//! Bounded exhaustion: everything that can happen to one connection with two operations, in every order.
//!
//! A breadth-first walk over the states of model and network. From each state every move is tried; a state
//! that was seen before is not walked on from. From every new state the run is also brought to its end, so
//! that what never ends is found too. Nothing is left to chance: what a fault would do is a move of its own.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use aio_model::{
    Close, CloseReason, ConnId, Deadline, Instant, Kind, OpId, Operation, PoolId, Recv, Request, Send,
    Shutdown, System, Violation,
};

use crate::judge::context::Context;
use crate::judge::episode::{Episode, Setup};
use crate::judge::oracle::{Manner, Submission, Task};
use crate::world::choice::{Choice, Odds};
use crate::world::engine::EngineKind;
use crate::world::faults::{Fault, Faults};
use crate::world::peer::{Act, PeerId};
use crate::world::pipe::Capacity;

/// Something that can happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// A turn in which all goes well.
    Turn,
    /// A turn in which every call is interrupted.
    TurnInterrupted,
    /// A turn in which transfers are cut short.
    TurnShort,
    /// A turn in which transfers would block.
    TurnBlocked,
    /// A turn with an event that is not true.
    TurnSpurious,
    /// A millisecond passes, and a turn is taken.
    Time,
    /// The peer writes two bytes.
    PeerWrites,
    /// The peer reads.
    PeerReads,
    /// The peer ends its side.
    PeerEnds,
    /// The peer resets the connection.
    PeerResets,
    /// The first operation is submitted.
    First,
    /// The second operation is submitted.
    Second,
    /// The first operation is cancelled.
    Cancel,
    /// The connection is closed.
    Close,
    /// The lane is resumed.
    Resume,
    /// Completions are taken, and what they bring is dropped.
    Take,
}

/// All of them.
pub const MOVES: &[Move] = &[
    Move::Turn,
    Move::TurnInterrupted,
    Move::TurnShort,
    Move::TurnBlocked,
    Move::TurnSpurious,
    Move::Time,
    Move::PeerWrites,
    Move::PeerReads,
    Move::PeerEnds,
    Move::PeerResets,
    Move::First,
    Move::Second,
    Move::Cancel,
    Move::Close,
    Move::Resume,
    Move::Take,
];

/// An operation that may be one of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kin {
    /// An exact receive of three bytes.
    RecvExact,
    /// A pooled receive, into one byte.
    RecvPooled,
    /// A send of six bytes, where four find room.
    Send,
    /// The same, for at most a millisecond.
    SendWithin,
    /// A shutdown.
    Shutdown,
    /// A close that flushes, and lingers for a millisecond.
    Linger,
}

/// The pairs of operations that are walked.
pub const PAIRS: &[(Kin, Kin)] = &[
    (Kin::RecvExact, Kin::RecvPooled),
    (Kin::RecvPooled, Kin::RecvPooled),
    (Kin::RecvPooled, Kin::Send),
    (Kin::Send, Kin::SendWithin),
    (Kin::SendWithin, Kin::Shutdown),
    (Kin::SendWithin, Kin::Linger),
    (Kin::RecvExact, Kin::Linger),
];

/// What came of a walk.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Walk {
    /// States that were seen.
    pub states: u64,
    /// Runs that were made.
    pub runs: u64,
    /// The moves that broke a rule, and which.
    pub broken: Option<(Vec<Move>, Violation)>,
}

/// Walks everything that `depth` moves can reach.
pub fn walk(engine: EngineKind, pair: (Kin, Kin), depth: usize) -> Walk {
    let mut walk = Walk::default();
    let mut seen = HashSet::new();
    let mut frontier: Vec<Vec<Move>> = vec![Vec::new()];
    for _ in 0..depth {
        let mut next = Vec::new();
        for moves in &frontier {
            for &one in MOVES {
                let mut moves = moves.clone();
                moves.push(one);
                walk.runs += 1;
                let mut run = Run::new(engine, pair);
                run.play(&moves);
                if seen.insert(run.state()) {
                    walk.states += 1;
                    run.finish();
                    next.push(moves.clone());
                }
                if let Some(broken) = run.episode.oracle.broken() {
                    walk.broken = Some((moves, broken.clone()));
                    return walk;
                }
            }
        }
        frontier = next;
    }
    walk
}

/// A run of moves.
struct Run {
    episode: Episode,
    conn: ConnId,
    peer: PeerId,
    pair: (Kin, Kin),
    submitted: [Option<OpId>; 2],
}

impl Run {
    fn new(engine: EngineKind, pair: (Kin, Kin)) -> Run {
        let mut episode =
            Episode::new(Choice::simplest(), Setup { engine: Some(engine), ..Setup::default() });
        episode.net.set_capacity(Some(Capacity::of(4)));
        let (peer, socket) = episode.net.pair().expect("there are descriptors");
        let conn = episode.model.open(Kind::Stream).expect("there is room");
        assert!(episode.os.adopt(conn, socket).is_ok(), "nothing refuses it");
        episode.oracle.on_adopted(conn, Kind::Stream, Some(peer.serial()));
        episode.workload.peers.push(peer);
        Run { episode, conn, peer, pair, submitted: [None; 2] }
    }

    fn play(&mut self, moves: &[Move]) {
        for one in moves {
            if self.episode.oracle.broken().is_some() {
                break;
            }
            self.make(*one);
            self.episode.step();
        }
    }

    fn make(&mut self, one: Move) {
        let peer = self.peer;
        match one {
            Move::Turn => self.turn(&[]),
            Move::TurnInterrupted => self.turn(&[Fault::Interrupted]),
            Move::TurnShort => self.turn(&[Fault::RecvShort, Fault::SendShort]),
            Move::TurnBlocked => self.turn(&[Fault::RecvWouldBlock, Fault::SendWouldBlock]),
            Move::TurnSpurious => self.turn(&[Fault::EventSpurious]),
            Move::Time => {
                let until = self.episode.net.now() + Duration::from_millis(1);
                self.episode.turn_until(Some(until));
            }
            Move::PeerWrites => self.episode.net.act(Act::Write { peer, bytes_max: 2 }),
            Move::PeerReads => self.episode.net.act(Act::Read { peer, bytes_max: 100, expects: None }),
            Move::PeerEnds => self.episode.net.act(Act::ShutdownWrite { peer }),
            Move::PeerResets => self.episode.net.act(Act::Reset { peer }),
            Move::First => self.submit(0, self.pair.0),
            Move::Second => self.submit(1, self.pair.1),
            Move::Cancel => {
                let Some(op) = self.submitted[0] else { return };
                let done = self.episode.model.cancel(op).is_ok();
                self.episode.oracle.on_cancel(0, done);
            }
            Move::Close => self.episode.close_conn(self.conn, CloseReason::Requested),
            Move::Resume => {
                let done = self.episode.model.resume(self.conn).is_ok();
                self.episode.oracle.on_resume(self.conn, done);
            }
            Move::Take => self.episode.take_all(),
        }
    }

    fn turn(&mut self, faults: &[Fault]) {
        let mut all = Faults::NONE;
        faults.iter().for_each(|fault| all.set(*fault, Odds::ALWAYS));
        self.episode.net.set_faults(all);
        self.episode.turn_until(Some(Instant::ZERO));
        self.episode.net.set_faults(Faults::NONE);
    }

    /// Submits one of the two, once.
    fn submit(&mut self, nth: usize, kin: Kin) {
        if self.submitted[nth].is_some() {
            return;
        }
        let millisecond = Duration::from_millis(1);
        let (task, request, bytes): (Task, Request<Context>, Vec<u8>) = match kin {
            Kin::RecvExact => (Task::RecvExact, Recv::exact(vec![0; 3]).into_request(), vec![0; 3]),
            Kin::RecvPooled => {
                (Task::RecvPooled { pool: 0 }, Recv::pooled_from(PoolId::DEFAULT).into_request(), Vec::new())
            }
            Kin::Send | Kin::SendWithin => {
                let bytes = vec![u8::try_from(nth).unwrap_or(0); 6];
                (Task::Send { start: 0, end: 6 }, Send::new(bytes.clone()).into_request(), bytes)
            }
            Kin::Shutdown => (Task::Shutdown, Shutdown::write().into_request(), Vec::new()),
            Kin::Linger => {
                let (manner, reason) = (Manner::Linger(1), CloseReason::Requested);
                (Task::Close { manner, reason }, Close::linger(millisecond).into_request(), Vec::new())
            }
        };
        let now = self.episode.model.now();
        let deadline = (kin == Kin::SendWithin).then_some(now + millisecond);
        let request = match deadline {
            Some(at) => request.with_deadline(Deadline::At(at)),
            None => request,
        };
        let context = nth as u64;
        let answer = self.episode.model.submit(self.conn, request, Context::new(context), || now);
        self.submitted[nth] = answer.as_ref().ok().copied();
        let submission = Submission {
            conn: self.conn,
            task,
            context,
            bytes: bytes.clone(),
            lease: None,
            lent: 0,
            deadline,
            renewal: None,
            at: now,
        };
        let answer = answer.map_err(|error| crate::judge::oracle::Refused {
            kind: error.kind,
            context: error.context.number(),
            bytes,
        });
        self.episode.oracle.on_submitted(submission, answer);
    }

    /// Brings the run to its end.
    fn finish(&mut self) {
        self.episode.conclude();
    }

    /// The state, as a number. Two states of one number are so unlikely that nobody will see it.
    fn state(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.episode.model.dump().hash(&mut hasher);
        self.episode.net.dump().hash(&mut hasher);
        self.submitted.map(|op| op.is_some()).hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_within_three_moves() {
        for &engine in EngineKind::ALL {
            for &pair in PAIRS {
                let walk = walk(engine, pair, 3);
                assert!(walk.broken.is_none(), "{engine:?} {pair:?}: {:?}", walk.broken);
                assert!(walk.states > 100 && walk.runs > walk.states);
            }
        }
    }

    /// The walk sees what is wrong: here, an oracle that is told of a submission that never was.
    #[test]
    fn a_lie_is_found() {
        let mut run = Run::new(EngineKind::Epoll, PAIRS[0]);
        run.play(&[Move::First, Move::Turn]);
        run.episode.oracle.on_cancel(0, true);
        run.finish();
        assert!(run.episode.oracle.broken().is_some());
    }
}
