//! What has happened is counted: after every step exactly that, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use aio_model::testing::Shelf;
use aio_model::{
    Accept, Address, Close, Config, ConnId, Connect, Counters, Instant, Kind, Limits, Model, OpId, Operation,
    Outcome, PoolSize, Post, Readiness, Rearm, Recv, Send, Sleep, SystemError, SystemErrorKind, turn,
};

const MS: Duration = Duration::from_millis(1);

/// A model that is driven by hand, and what has happened to it.
struct Story {
    model: Model<u32>,
    shelf: Arc<Shelf>,
    counted: Counters,
}

impl Story {
    fn new() -> Story {
        let shelf = Arc::new(Shelf::default());
        let home = shelf.home();
        let pools = vec![PoolSize { buffers_max: 1, buffer_bytes: 8 }];
        let config = Config { limits: Limits::default(), pools, realm: 1, rearm: Rearm::OnArrival };
        Story { model: Model::new(config, &home), shelf, counted: Counters::default() }
    }

    /// This has happened since the last time, and nothing else.
    fn counts(&mut self, what: impl FnOnce(&mut Counters)) {
        what(&mut self.counted);
        assert_eq!(self.model.stats().counters, self.counted);
    }

    fn open(&mut self, kind: Kind) -> ConnId {
        let conn = self.model.open(kind).unwrap();
        self.counts(|counts| counts.opened += 1);
        conn
    }

    fn submit(&mut self, conn: ConnId, op: impl Operation<u32>) -> OpId {
        let op = self.model.submit(conn, op, 0, || Instant::ZERO).unwrap();
        self.counts(|counts| counts.submitted += 1);
        op
    }

    fn event(&mut self, conn: ConnId, readiness: Readiness) {
        self.model.on_ready(conn, readiness);
        self.counts(|counts| counts.events += 1);
    }

    /// Makes one attempt, with that outcome, which counts for something beside the attempt.
    fn attempt(&mut self, outcome: Outcome, what: impl FnOnce(&mut Counters)) {
        self.model.begin_round();
        assert!(self.model.attempt(|_| outcome), "there is something to attempt");
        self.counts(|counts| {
            counts.attempts += 1;
            what(counts);
        });
    }

    /// Lets time pass; whatever has a deadline by then gets a last attempt in vain.
    fn pass(&mut self, span: Duration) {
        self.model.on_time(self.model.now() + span);
        self.model.begin_round();
        while self.model.expire(|_| Outcome::WouldBlock) {}
    }

    /// Takes every completion, that many of them final.
    fn take(&mut self, completed: u64) {
        while self.model.next_completion().is_some() {}
        self.counts(|counts| counts.completed += completed);
    }
}

fn exhausted() -> Outcome {
    Outcome::Exhausted(SystemError::from_kind(SystemErrorKind::OutOfMemory))
}

#[test]
fn attempts_and_bytes() {
    let mut story = Story::new();
    let conn = story.open(Kind::Stream);
    story.submit(conn, Send::new("abcdef"));
    for _ in 0..2 {
        story.attempt(Outcome::Interrupted, |counts| counts.interrupts += 1);
        // It takes less than it is offered: only an event says that it will take more.
        story.attempt(Outcome::Transferred(1), |counts| counts.bytes_sent += 1);
        story.event(conn, Readiness::WRITABLE);
        story.attempt(Outcome::WouldBlock, |counts| {
            counts.would_blocks += 1;
            counts.events_spurious += 1;
        });
        story.event(conn, Readiness::WRITABLE);
        story.attempt(Outcome::Transferred(1), |counts| counts.bytes_sent += 1);
        story.event(conn, Readiness::WRITABLE);
        story.attempt(exhausted(), |counts| counts.exhaustions += 1);
        story.pass(10 * MS);
    }
    story.attempt(Outcome::Transferred(2), |counts| counts.bytes_sent += 2);
    story.take(1);
    for _ in 0..2 {
        story.submit(conn, Recv::exact(vec![0; 2]));
        story.event(conn, Readiness::READABLE);
        story.attempt(Outcome::Partial(1), |counts| counts.bytes_received += 1);
        // Ready as it was: what is not there now is no event's fault.
        story.event(conn, Readiness::READABLE);
        story.attempt(Outcome::WouldBlock, |counts| counts.would_blocks += 1);
        story.event(conn, Readiness::READABLE);
        story.attempt(Outcome::Partial(1), |counts| counts.bytes_received += 1);
        story.take(1);
    }
}

#[test]
fn events_of_who_is_gone_and_turns() {
    let mut story = Story::new();
    let gone = story.open(Kind::Stream);
    story.model.rollback_open(gone);
    story.counts(|counts| counts.opened -= 1);
    for _ in 0..2 {
        story.model.on_ready(gone, Readiness::READABLE);
        story.counts(|counts| counts.events_stale += 1);
        story.model.rollback_open(gone);
        story.counts(|_| ());
    }
    let mut os = sim::SimOs::new(sim::Net::calm(), sim::EngineKind::Epoll);
    for _ in 0..2 {
        turn(&mut story.model, &mut os, Some(Instant::ZERO), &mut Vec::new()).unwrap();
        story.counts(|counts| (counts.turns, counts.waits) = (counts.turns + 1, counts.waits + 1));
    }
    let own = story.model.own();
    story.submit(own, Post::new());
    turn(&mut story.model, &mut os, Some(Instant::ZERO), &mut Vec::new()).unwrap();
    story.counts(|counts| counts.turns += 1);
}

#[test]
fn connections() {
    let mut story = Story::new();
    let (own, listener) = (story.model.own(), story.open(Kind::Listener));
    for _ in 0..2 {
        story.submit(listener, Accept::one());
        story.event(listener, Readiness::READABLE);
        story.attempt(Outcome::Done, |counts| {
            counts.accepted += 1;
            counts.opened += 1;
        });
        let connect = Connect::to(Address::unix(*b"/x"));
        story.model.submit(own, connect, 0, || Instant::ZERO).unwrap();
        story.counts(|counts| {
            counts.submitted += 1;
            counts.opened += 1;
        });
        story.attempt(Outcome::Done, |counts| counts.connected += 1);
        story.take(2);
    }
    for conn in story.model.conns().map(|(conn, _)| conn).collect::<Vec<_>>() {
        story.submit(conn, Close::now());
        story.attempt(Outcome::Done, |counts| counts.closed += 1);
        story.take(1);
    }
    assert_eq!(story.counted.closed, 5);
}

#[test]
fn accepts_that_are_refused() {
    let mut story = Story::new();
    let listener = story.open(Kind::Listener);
    for _ in 0..2 {
        story.submit(listener, Accept::one());
        story.event(listener, Readiness::READABLE);
        let refused = Outcome::Refused(SystemError::from_kind(SystemErrorKind::PermissionDenied));
        for pausing in [1, 1, 1, 0] {
            story.attempt(refused, |counts| counts.accepts_refused += 1);
            assert_eq!(story.model.stats().lanes_backing_off, pausing);
            story.pass(2000 * MS);
            assert_eq!(story.model.stats().lanes_backing_off, 0);
        }
        story.take(1);
    }
}

#[test]
fn operations() {
    let mut story = Story::new();
    let (own, conn) = (story.model.own(), story.open(Kind::Stream));
    for _ in 0..2 {
        assert!(story.model.submit(conn, Send::new(""), 0, || Instant::ZERO).is_err());
        story.counts(|counts| counts.refused += 1);
        story.submit(conn, Recv::pooled().within(MS));
        // What a sleep ends with is no failure.
        story.submit(own, Sleep::new(MS));
        story.pass(20 * MS);
        story.counts(|counts| {
            counts.expired += 1;
            counts.attempts += 1;
            counts.would_blocks += 1;
        });
        let op = story.submit(conn, Recv::pooled());
        story.model.cancel(op).unwrap();
        story.counts(|counts| counts.cancelled += 1);
        assert!(story.model.cancel(op).is_err());
        story.submit(conn, Recv::pooled());
        story.submit(conn, Recv::pooled());
        assert_eq!(story.model.cancel_all(conn), Ok(2));
        story.counts(|counts| counts.cancelled += 2);
        story.take(5);
    }
}

#[test]
fn lanes_that_find_their_pool_empty() {
    let mut story = Story::new();
    let conns = [(); 3].map(|()| story.open(Kind::Stream));
    for conn in conns {
        story.submit(conn, Recv::pooled());
        story.event(conn, Readiness::READABLE);
    }
    story.attempt(Outcome::Partial(1), |counts| counts.bytes_received += 1);
    story.model.begin_round();
    assert!(!story.model.attempt(|call| unreachable!("{call:?} without a buffer")));
    story.counts(|counts| counts.parked += 2);
    assert_eq!(story.model.stats().lanes_parked, 2);
    story.take(1);
    for left in [1, 0] {
        let home = story.shelf.pop().expect("the lease was returned");
        story.model.give_back(home);
        assert_eq!(story.model.stats().lanes_parked, left);
        story.attempt(Outcome::Partial(1), |counts| counts.bytes_received += 1);
        story.take(1);
    }
}
