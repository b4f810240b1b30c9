//! The workload: a user who does anything the interface allows, in any state, and peers who do as they
//! please.

use std::num::NonZeroU32;
use std::time::Duration;

use aio_model::{
    Buffer, CloseReason, Completion, ConnId, Deadline, Done, Instant, Kind, Model, OpId, PoolId, System,
};

use crate::judge::context::Context;
use crate::judge::episode::Episode;
use crate::judge::odd;
use crate::world::choice::Choice;
use crate::world::peer::{Act, PeerId};
use crate::world::socket::SocketId;

/// Something that a user or a peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take a turn.
    Turn,
    /// Submit a receive.
    Recv,
    /// Submit a send.
    Send,
    /// A peer writes.
    PeerWrite,
    /// A peer reads.
    PeerRead,
    /// Take completions.
    Take,
    /// Drop a lease.
    DropLease,
    /// Adopt a connected stream.
    Adopt,
    /// Adopt a listener.
    Listen,
    /// A peer connects.
    PeerConnect,
    /// Submit an accept.
    Accept,
    /// Cancel an operation, or all of a connection.
    Cancel,
    /// Give an operation another deadline.
    SetDeadline,
    /// Resume a lane.
    Resume,
    /// Submit a shutdown or a close.
    Shut,
    /// Close.
    Close,
    /// A peer ends its side.
    PeerEnd,
    /// Submit a sleep or a post.
    Own,
    /// Submit a connect.
    Connect,
    /// Give a connection another pool.
    SetPool,
}

impl Action {
    /// All of them, the simplest first.
    pub(crate) const ALL: &[Action] = &[
        Action::Turn,
        Action::Recv,
        Action::Send,
        Action::PeerWrite,
        Action::PeerRead,
        Action::Take,
        Action::DropLease,
        Action::Adopt,
        Action::Listen,
        Action::PeerConnect,
        Action::Accept,
        Action::Cancel,
        Action::SetDeadline,
        Action::Resume,
        Action::Shut,
        Action::Close,
        Action::PeerEnd,
        Action::Own,
        Action::Connect,
        Action::SetPool,
    ];

    /// How often it is taken, in relation to the others, before the plan of an episode has its say. What ends
    /// much is rare, or there is never much to end.
    pub(crate) const fn weight(self) -> u32 {
        match self {
            Action::Turn => 12,
            Action::Recv | Action::Send | Action::PeerWrite => 8,
            Action::PeerRead | Action::Take => 6,
            Action::DropLease | Action::Adopt | Action::Accept | Action::PeerConnect => 3,
            Action::Listen | Action::Cancel | Action::SetDeadline | Action::Resume => 2,
            Action::Connect | Action::Shut => 2,
            Action::Close | Action::PeerEnd | Action::Own | Action::SetPool => 1,
        }
    }
}

/// What the user and the peers remember.
#[derive(Debug, Default)]
pub(crate) struct Workload {
    /// Connections and listeners, those that are gone included: stale ids are to be tried too.
    pub(crate) conns: Vec<ConnId>,
    pub(crate) listeners: Vec<(ConnId, SocketId)>,
    /// Operations, those that have ended included.
    pub(crate) ops: Vec<(OpId, u64)>,
    /// Sleeps, those that are over included.
    pub(crate) sleeps: Vec<(OpId, u64)>,
    pub(crate) leases: Vec<Buffer>,
    pub(crate) peers: Vec<PeerId>,
    pub(crate) contexts: u64,
}

/// How many ids the user remembers: enough for some of them to be stale.
const MEMORY: usize = 12;
/// How many of them are never forgotten.
const KEEPSAKES: usize = 2;
/// How many connections a peer or user opens before old ones must do.
const CONNECTIONS: usize = 8;

pub(crate) fn remember<T>(memory: &mut Vec<T>, item: T) {
    if memory.len() == MEMORY {
        // The first ones stay for ever: their places are used again and again, and they must never fit.
        memory.remove(KEEPSAKES);
    }
    memory.push(item);
}

/// When a deadline is, for somebody who submits at `now`.
pub(crate) fn resolve(deadline: Option<Deadline>, now: Instant) -> Option<Instant> {
    deadline.map(|deadline| match deadline {
        Deadline::At(at) => at,
        Deadline::Within(span) | Deadline::Progress(span) => now + span,
    })
}

/// How long after the last progress of its lane a deadline is, if that puts it off.
pub(crate) fn renewal_of(deadline: Option<Deadline>) -> Option<Duration> {
    match deadline {
        Some(Deadline::Progress(span)) => Some(span),
        _ => None,
    }
}

impl Episode {
    /// Does one thing.
    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Turn => self.turn(),
            Action::Recv => self.submit_recv(),
            Action::Send => self.submit_send(),
            Action::Accept => self.submit_accept(),
            Action::Shut => self.submit_shut(),
            Action::Own => self.submit_own(),
            Action::Connect => self.submit_connect(),
            Action::SetPool => self.set_pool(),
            Action::Take => {
                let count = 1 + self.choose(|choice| choice.magnitude(15));
                (0..count).for_each(|_| drop(self.take()));
            }
            Action::DropLease => self.drop_lease(),
            Action::Adopt if self.workload.peers.len() < CONNECTIONS => self.adopt_stream(),
            Action::Listen if self.workload.listeners.len() < 2 => self.adopt_listener(),
            Action::Cancel => self.cancel(),
            Action::SetDeadline => self.set_deadline(),
            Action::Resume => self.resume(),
            Action::Close => self.close(),
            Action::PeerConnect if self.workload.peers.len() < CONNECTIONS => self.peer_connect(),
            Action::PeerWrite | Action::PeerRead | Action::PeerEnd => self.peer_act(action),
            Action::Adopt | Action::Listen | Action::PeerConnect => {}
        }
    }

    pub(crate) fn choose<R>(&self, draw: impl FnOnce(&mut Choice) -> R) -> R {
        self.net.choose(draw)
    }

    /// A connection to do something to: mostly one that is there.
    pub(crate) fn pick_conn(&self, among: &[ConnId]) -> Option<ConnId> {
        if self.choose(|choice| choice.below(8)) == 7 {
            return self.pick(among);
        }
        let live: Vec<ConnId> = among.iter().copied().filter(|conn| self.oracle.knows(*conn)).collect();
        self.pick(&live)
    }

    pub(crate) fn pick<T: Copy>(&self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { Some(*self.choose(|choice| choice.pick(items))) }
    }

    pub(crate) fn size(&self) -> usize {
        let bytes_max = self.plan.bytes_max;
        usize::try_from(self.choose(|choice| choice.magnitude(bytes_max))).unwrap_or(0)
    }

    /// Takes a completion, if there is one.
    pub(crate) fn take(&mut self) -> Option<Completion<Context>> {
        let done = self.model.next_completion()?;
        self.note(|| format!("completed: {done:?}"));
        self.observe(|observer, _| observer.completed(&done));
        if let Some(task) = self.oracle.task_of(done.context.number()) {
            self.probes.ended(task, &done);
        }
        self.oracle.on_completion(&done);
        match done.result {
            Ok(Done::Accepted(conn)) => remember(&mut self.workload.conns, conn),
            Ok(Done::Connected) => remember(&mut self.workload.conns, done.conn),
            _ => {}
        }
        Some(done).map(|mut done| {
            if let Buffer::Lease(_) = done.buffer {
                self.workload.leases.push(std::mem::take(&mut done.buffer));
            }
            done
        })
    }

    fn drop_lease(&mut self) {
        if self.workload.leases.is_empty() {
            return;
        }
        let index = self.choose(|choice| choice.index(self.workload.leases.len()));
        drop(self.workload.leases.swap_remove(index));
        self.note(|| "drops a lease".to_owned());
    }

    fn adopt_stream(&mut self) {
        let Ok((peer, socket)) = self.net.pair() else { return };
        self.workload.peers.push(peer);
        let Ok(conn) = self.model.open(Kind::Stream) else { return };
        match self.os.adopt(conn, socket) {
            Ok(()) => {
                self.note(|| format!("adopts {conn}"));
                self.oracle.on_adopted(conn, Kind::Stream, Some(peer.serial()));
                remember(&mut self.workload.conns, conn);
            }
            Err(_) => {
                self.oracle.on_adopt_refused();
                self.model.rollback_open(conn);
            }
        }
    }

    fn adopt_listener(&mut self) {
        let Ok(socket) = self.net.listen(4) else { return };
        let id = socket.id();
        let Ok(conn) = self.model.open(Kind::Listener) else { return };
        match self.os.adopt(conn, socket) {
            Ok(()) => {
                self.note(|| format!("adopts the listener {conn}"));
                self.oracle.on_adopted(conn, Kind::Listener, None);
                remember(&mut self.workload.conns, conn);
                self.workload.listeners.push((conn, id));
            }
            Err(_) => {
                self.oracle.on_adopt_refused();
                self.model.rollback_open(conn);
            }
        }
    }

    /// Asks the model for something that has a deadline, and tells when that is, and what time it was for the
    /// model: it looks at the clock, if need be, and what it sees there is not what it was told last.
    pub(crate) fn timed<R>(
        &mut self,
        deadline: Option<Deadline>,
        ask: impl FnOnce(&mut Model<Context>, &mut dyn FnMut() -> Instant) -> R,
    ) -> (R, Option<Instant>, Instant) {
        let mut latest = self.model.now();
        let answer = ask(&mut self.model, &mut || {
            let read = self.os.now();
            latest = latest.max(read);
            read
        });
        (answer, resolve(deadline, latest), latest)
    }

    pub(crate) fn deadline(&self) -> Option<Deadline> {
        let now = self.net.now();
        self.choose(|choice| match choice.below(14) {
            0..=4 => None,
            // Nothing is drawn for whether progress puts it off.
            5 => Some(match choice.magnitude(5_000) {
                even if even % 2 == 0 => Deadline::Progress(Duration::from_millis(even)),
                odd => Deadline::Within(Duration::from_millis(odd)),
            }),
            6 => Some(Deadline::Within(Duration::from_nanos(choice.magnitude(5_000_000)))),
            7 => Some(Deadline::At(Instant::from_nanos(choice.magnitude(now.as_nanos())))),
            8 => Some(Deadline::Within(Duration::from_secs(choice.magnitude(100_000)))),
            9 => Some(Deadline::Within(Duration::MAX)),
            10 => Some(Deadline::Within(odd::span(choice))),
            11 => Some(Deadline::Progress(odd::span(choice))),
            12 => Some(Deadline::At(odd::boundary(choice, now))),
            _ => Some(Deadline::At(odd::edge(choice, now))),
        })
    }

    /// Why the user closes something.
    pub(crate) fn reason(&self) -> CloseReason {
        match self.choose(|choice| choice.below(6)) {
            3 => CloseReason::Code(7),
            4 => CloseReason::Code(0),
            5 => CloseReason::Code(u32::MAX),
            _ => CloseReason::Requested,
        }
    }

    fn set_pool(&mut self) {
        let Some(conn) = self.pick_conn(&self.workload.conns) else { return };
        let pool = self.choose(|choice| choice.index(4));
        let id = PoolId::new(u16::try_from(pool).unwrap_or(0));
        let done = self.model.set_pool(conn, id).is_ok();
        self.note(|| format!("gives {conn} {id:?}: {done}"));
        self.oracle.on_set_pool(conn, pool, done);
        // With it another bound for the bytes that are queued, for which nothing is drawn.
        let bytes_max = NonZeroU32::new([0, 1, 20, 200][pool]);
        let done = self.model.set_lane_bytes_max(conn, bytes_max).is_ok();
        self.note(|| format!("bounds the bytes of {conn} by {bytes_max:?}: {done}"));
        self.oracle.on_set_lane_bytes_max(conn, bytes_max, done);
        self.set_idle(conn, pool);
    }

    /// And for how long it may be idle, by itself or with another connection.
    fn set_idle(&mut self, conn: ConnId, nth: usize) {
        let span = [None, Some(3), Some(40), Some(5_000)][nth].map(Duration::from_millis);
        let with = self.workload.conns.first().copied().filter(|_| self.workload.contexts % 3 == 2);
        let at = self.model.now();
        let answer = match (with, span) {
            (Some(with), Some(span)) => self.model.set_idle_pair([conn, with], span, || at),
            _ => self.model.set_idle(conn, span, || at),
        };
        let with = with.filter(|_| span.is_some());
        self.note(|| format!("lets {conn}, with {with:?}, be idle for {span:?}: {answer:?}"));
        self.oracle.on_set_idle(conn, span, with, at, answer);
    }

    /// Lets every connection be idle for as long as it likes: each idle time that is over is a turn.
    pub(crate) fn end_idle_times(&mut self) {
        let idle: Vec<ConnId> =
            self.model.conns().filter(|(_, info)| info.idle.is_some()).map(|(conn, _)| conn).collect();
        for conn in idle {
            let at = self.model.now();
            let answer = self.model.set_idle(conn, None, || at);
            self.oracle.on_set_idle(conn, None, None, at, answer);
        }
    }

    /// Shuts down in the middle of everything, at once or with time to flush.
    pub(crate) fn shut_down_early(&mut self) {
        let now = self.net.now();
        let deadline = match self.choose(|choice| choice.below(5)) {
            0 => {
                self.note(|| "shuts down".to_owned());
                self.model.shut_down();
                return self.oracle.on_shut_down(None);
            }
            1 => Deadline::Within(Duration::from_millis(self.choose(|choice| choice.magnitude(5_000)))),
            2 => Deadline::At(Instant::MAX),
            3 => Deadline::Within(self.choose(odd::span)),
            _ => Deadline::At(self.choose(|choice| odd::boundary(choice, now))),
        };
        let ((), until, _) = self.timed(Some(deadline), |model, clock| model.shut_down_by(deadline, clock));
        self.note(|| format!("shuts down by {until:?}"));
        self.oracle.on_shut_down(until);
    }

    /// Ends every sleep: some would go on for ever.
    pub(crate) fn wake_all(&mut self) {
        for (op, context) in std::mem::take(&mut self.workload.sleeps) {
            let done = self.model.cancel(op).is_ok();
            self.oracle.on_cancel(context, done);
        }
    }

    fn cancel(&mut self) {
        if self.choose(|choice| choice.below(4)) == 3 {
            let Some(conn) = self.pick_conn(&self.workload.conns) else { return };
            let count = self.model.cancel_all(conn).ok();
            self.note(|| format!("cancels all of {conn}: {count:?}"));
            self.oracle.on_cancel_all(conn, count);
        } else {
            let Some((op, context)) = self.pick(&self.workload.ops) else { return };
            let place = self.model.op_info(op).ok().and_then(|info| info.place);
            let done = self.model.cancel(op).is_ok();
            if done {
                self.probes.touched(0, place);
            }
            self.note(|| format!("cancels {context}: {done}"));
            self.oracle.on_cancel(context, done);
        }
    }

    fn set_deadline(&mut self) {
        let Some((op, context)) = self.pick(&self.workload.ops) else { return };
        let deadline = self.deadline();
        let place = self.model.op_info(op).ok().and_then(|info| info.place);
        let renewal = renewal_of(deadline);
        let (done, deadline, _) =
            self.timed(deadline, |model, clock| model.set_deadline(op, deadline, clock));
        if done.is_ok() {
            self.probes.touched(1, place);
        }
        self.note(|| format!("sets the deadline of {context} to {deadline:?}: {done:?}"));
        self.oracle.on_set_deadline(context, deadline, renewal, done.is_ok());
    }

    fn resume(&mut self) {
        let Some(conn) = self.pick_conn(&self.workload.conns) else { return };
        let done = self.model.resume(conn).is_ok();
        self.note(|| format!("resumes {conn}: {done}"));
        self.oracle.on_resume(conn, done);
    }

    fn close(&mut self) {
        let Some(conn) = self.pick_conn(&self.workload.conns) else { return };
        // Nothing is drawn for that.
        if self.workload.contexts % 4 == 3 {
            return self.close_if_open(conn);
        }
        let reason = self.reason();
        self.close_conn(conn, reason);
    }

    /// Closes a connection unless it is being closed.
    fn close_if_open(&mut self, conn: ConnId) {
        let done = self.model.close_if_open(conn).unwrap_or(false);
        self.note(|| format!("closes {conn} if it is open: {done}"));
        self.oracle.on_close_if_open(conn, done);
        if done {
            self.workload.listeners.retain(|(listener, _)| *listener != conn);
        }
    }

    pub(crate) fn close_conn(&mut self, conn: ConnId, reason: CloseReason) {
        if let Ok(info) = self.model.conn_info(conn) {
            self.probes.touched(2, Some(info.receive.place));
            self.probes.touched(2, Some(info.send.place));
        }
        let done = match reason {
            CloseReason::Code(code) => self.model.close_with(conn, code).unwrap_or(false),
            _ => self.model.close(conn).unwrap_or(false),
        };
        self.note(|| format!("closes {conn}: {done}"));
        self.oracle.on_close_called(conn, reason, done);
        self.workload.listeners.retain(|(listener, _)| *listener != conn);
    }

    /// Closes every listener.
    pub(crate) fn close_listeners(&mut self) {
        while let Some((listener, _)) = self.workload.listeners.first().copied() {
            self.close_conn(listener, CloseReason::Requested);
        }
    }

    fn peer_connect(&mut self) {
        let listeners: Vec<SocketId> = self.workload.listeners.iter().map(|(_, socket)| *socket).collect();
        let Some(listener) = self.pick(&listeners) else { return };
        if let Ok(peer) = self.net.connect(listener) {
            self.note(|| format!("{peer:?} connects"));
            self.workload.peers.push(peer);
        }
    }

    fn peer_act(&mut self, action: Action) {
        self.workload.peers.extend(self.net.take_arrivals());
        let Some(peer) = self.pick(&self.workload.peers) else { return };
        let bytes_max = self.size();
        let act = match action {
            Action::PeerWrite => Act::Write { peer, bytes_max },
            Action::PeerRead => Act::Read { peer, bytes_max: bytes_max.saturating_mul(4), expects: None },
            _ => match self.choose(|choice| choice.below(4)) {
                0 => Act::ShutdownWrite { peer },
                1 => Act::Close { peer },
                2 => Act::Reset { peer },
                _ => Act::Stall { peer },
            },
        };
        self.net.act(act);
        // A peer that is gone makes room for another.
        if self.net.peer_state(peer).closed {
            self.workload.peers.retain(|other| *other != peer);
        }
    }
}
