//! The halves of an attempt apart: an engine whose outcomes come later, and in another order than the calls,
//! for the calls that lend no bytes.

use std::collections::BTreeMap;

use aio_model::testing::nowhere;
use aio_model::{
    Accept, Begun, Config, Connect, Done, Instant, Kind, Limits, Model, OpError, Outcome, Readiness, Rearm,
    Shutdown, SystemError, SystemErrorKind,
};
use sim::Choice;

fn model(connections: u32, ops: u32) -> Model<u32> {
    let limits = Limits {
        connections_max: connections.try_into().unwrap(),
        ops_max: ops.try_into().unwrap(),
        ..Limits::DEFAULT
    };
    Model::new(Config { limits, pools: Vec::new(), realm: 1, rearm: Rearm::OnArrival }, &nowhere())
}

const REFUSED: SystemError = SystemError::new(SystemErrorKind::ConnectionRefused, 111);
const SHORT: SystemError = SystemError::from_kind(SystemErrorKind::OutOfMemory);

/// Begins all calls that can be, and answers them in another order, until nothing is left to be begun.
struct Engine {
    model: Model<u32>,
    random: Choice,
    begun: Vec<Begun<u32>>,
    /// The most calls that were under way at once.
    most: usize,
    outcomes: fn(&mut Choice) -> Outcome,
}

impl Engine {
    fn new(model: Model<u32>, seed: u64, outcomes: fn(&mut Choice) -> Outcome) -> Engine {
        Engine { model, random: Choice::seeded(seed), begun: Vec::new(), most: 0, outcomes }
    }

    fn round(&mut self) {
        self.model.begin_round();
        while let Some(begun) = self.model.begin(|_| ()) {
            self.begun.push(begun);
        }
        self.most = self.most.max(self.begun.len());
        for index in (1..self.begun.len()).rev() {
            let other = self.random.index(index + 1);
            self.begun.swap(index, other);
        }
        // Some outcomes come after the next calls have begun.
        let now = if self.random.below(2) == 0 { self.begun.len() } else { self.begun.len().div_ceil(2) };
        for begun in self.begun.drain(..now) {
            let outcome = (self.outcomes)(&mut self.random);
            self.model.apply(begun, outcome);
        }
        if self.begun.is_empty() {
            self.model.check().unwrap();
        }
    }

    fn on_time(&mut self, millis: u64) {
        self.model.on_time(Instant::from_nanos(millis * 1_000_000));
        while self.model.expire(|call| panic!("{call:?}: nothing has a deadline")) {}
    }
}

fn anything(random: &mut Choice) -> Outcome {
    let outcomes = [
        Outcome::Done,
        Outcome::Done,
        Outcome::Interrupted,
        Outcome::Exhausted(SHORT),
        Outcome::Failed(REFUSED),
    ];
    *random.pick(&outcomes)
}

#[test]
fn c1_outcomes_that_come_later_and_in_another_order_complete_each_operation_once() {
    let mut most = 0;
    for seed in 0..200 {
        let mut engine = Engine::new(model(1000, 1000), seed, anything);
        let mut submitted = 0;
        for _ in 0..10 {
            let listener = engine.model.open(Kind::Listener).unwrap();
            let stream = engine.model.open(Kind::Stream).unwrap();
            let own = engine.model.own();
            for _ in 0..3 {
                engine.model.submit(listener, Accept::one(), submitted, || Instant::ZERO).unwrap();
                submitted += 1;
            }
            let target = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
            engine.model.submit(own, Connect::to(target), submitted, || Instant::ZERO).unwrap();
            engine.model.submit(stream, Shutdown::write(), submitted + 1, || Instant::ZERO).unwrap();
            submitted += 2;
            engine.model.on_ready(listener, Readiness::READABLE);
        }
        let (mut ended, mut millis) = (BTreeMap::new(), 0);
        while ended.len() < submitted as usize {
            engine.round();
            millis += 500;
            engine.on_time(millis);
            while let Some(done) = engine.model.next_completion() {
                let right = match done.result {
                    Ok(Done::Accepted(_) | Done::Connected | Done::ShutDown) => true,
                    Err(OpError::System(error)) => error == REFUSED,
                    _ => false,
                };
                assert!(right, "{done:?}");
                assert_eq!(ended.insert(done.context, done.op), None, "seed {seed}: one completion each");
            }
            assert!(millis < 1_000_000, "seed {seed}: {} of {submitted} have ended", ended.len());
        }
        // The last calls under way are of operations that have ended all the same.
        assert!(engine.begun.is_empty());
        assert_eq!((engine.model.ops(), engine.model.check()), (0, Ok(())));
        most = most.max(engine.most);
    }
    assert!(most >= 20, "many calls were under way at once: {most}");
}

/// What is under way counts: of accepts that are begun together, only as many as there are places for.
#[test]
fn k5_accepts_under_way_take_no_more_places_than_there_are() {
    for seed in 0..200 {
        let mut engine = Engine::new(model(7, 100), seed, |random| {
            if random.below(10) < 7 { Outcome::Done } else { Outcome::Interrupted }
        });
        let listeners: Vec<_> = (0..4).map(|_| engine.model.open(Kind::Listener).unwrap()).collect();
        for listener in &listeners {
            engine.model.submit(*listener, Accept::many(), 0, || Instant::ZERO).unwrap();
            engine.model.on_ready(*listener, Readiness::READABLE);
        }
        let mut accepted = Vec::new();
        for _ in 0..50 {
            engine.round();
            assert!(engine.model.connections() <= 7, "seed {seed}");
            while let Some(done) = engine.model.next_completion() {
                let Ok(Done::Accepted(conn)) = done.result else { panic!("{done:?}") };
                accepted.push(conn);
            }
        }
        assert_eq!(accepted.len(), 3, "seed {seed}: as many as there are places beside the listeners");
        assert_eq!(engine.model.stats().lanes_held, 4, "and then all wait for one");
    }
}
