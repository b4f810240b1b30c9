//! Memory that is refused, and user code that panics.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aio_model::Outcome::{Transferred, WouldBlock};
use aio_model::testing::nowhere;
use aio_model::{
    Accept, Config, Instant, Kind, Limits, Model, Outcome, Readiness, Rearm, Recv, Syscall, SystemErrorKind,
};

use crate::bench::{Asked, Bench, MS};

const NO_TIME: Duration = Duration::ZERO;

#[test]
fn b3_a_pool_that_memory_is_refused_is_as_one_at_its_limit_and_asks_again() {
    let mut bench = Bench::with_pools(&[(9, 8)]);
    let conns = [(); 3].map(|()| bench.stream());
    let [first, second, third] = conns;
    for conn in conns {
        bench.submit(conn, Recv::pooled(), "receive");
        bench.readable(conn);
    }
    bench.refuse_memory(true);
    assert_eq!(bench.round(NO_TIME, &[]), [], "nobody has a buffer");
    let stats = bench.model.stats();
    assert_eq!((stats.lanes_parked, stats.pools_refused, stats.counters.buffers_refused), (3, 1, 1));
    for pause in [1, 2, 4] {
        assert_eq!(bench.model.next_deadline(), Some(bench.now + pause * MS), "a pause, not a spin");
        bench.round(pause * MS, &[]);
    }
    bench.refuse_memory(false);
    bench.round(8 * MS, &[]);
    let asked = bench.round(NO_TIME, &[Transferred(1); 3]);
    assert_eq!(asked, conns.map(|conn| Asked::Recv(conn, 8)), "in line");
    assert_eq!((bench.model.stats().pools_refused, bench.model.next_deadline()), (0, None));

    // Lanes that come while it is refused wait in line; a returned buffer goes to the first.
    bench.refuse_memory(true);
    let mut leases = bench.completions();
    for conn in [third, first, second] {
        bench.submit(conn, Recv::pooled(), "again");
        bench.readable(conn);
    }
    assert_eq!(bench.round(NO_TIME, &[]), []);
    drop(leases.pop());
    bench.fetch();
    assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Recv(third, 8)]);
    assert_eq!(bench.round(NO_TIME, &[Transferred(1)]), [Asked::Recv(first, 8)]);
    assert_eq!(bench.model.stats().lanes_parked, 1);
}

#[test]
fn k5_memory_that_is_refused_for_long_is_told_once() {
    let mut bench = Bench::new();
    let conn = bench.stream();
    bench.submit(conn, Recv::pooled(), "receive");
    bench.readable(conn);
    bench.refuse_memory(true);
    bench.round(NO_TIME, &[]);
    for nth in 1..=12 {
        let told = bench.model.take_shortage().map(|(conn, error)| (conn, error.kind()));
        assert_eq!(told, (nth == 8).then_some((conn, SystemErrorKind::OutOfMemory)), "{nth}");
        bench.round(2000 * MS, &[]);
    }
}

/// A context whose code panics when it is told to.
#[derive(Debug)]
struct Fragile(&'static Cell<(bool, bool)>);

impl Clone for Fragile {
    fn clone(&self) -> Fragile {
        assert!(!self.0.get().0, "on purpose");
        Fragile(self.0)
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        if self.0.get().1 && !std::thread::panicking() {
            self.0.set((false, false));
            panic!("on purpose");
        }
    }
}

fn accepting() -> (Model<Fragile>, &'static Cell<(bool, bool)>) {
    let config = Config { limits: Limits::DEFAULT, pools: vec![], realm: 1, rearm: Rearm::OnArrival };
    let (mut model, fragile) =
        (Model::new(config, &nowhere()), &*Box::leak(Box::new(Cell::new((false, false)))));
    let listener = model.open(Kind::Listener).unwrap();
    model.submit(listener, Accept::many(), Fragile(fragile), || Instant::ZERO).unwrap();
    model.on_ready(listener, Readiness::READABLE);
    (model, fragile)
}

fn attempt(model: &mut Model<Fragile>, outcome: Outcome) -> Result<u32, ()> {
    model.begin_round();
    let mut calls = 0;
    let attempt = || {
        model.attempt(|call| {
            assert!(matches!(call, Syscall::Accept { .. }));
            calls += 1;
            outcome
        })
    };
    catch_unwind(AssertUnwindSafe(attempt)).map_err(drop)?;
    Ok(calls)
}

#[test]
fn c7_a_context_whose_clone_panics_leaves_everything_as_it_was_before_the_call() {
    let (mut model, fragile) = accepting();
    fragile.set((true, false));
    for _ in 0..3 {
        assert_eq!(attempt(&mut model, Outcome::Done), Err(()));
        assert_eq!((model.check(), model.connections(), model.completions()), (Ok(()), 1, 0));
    }
    fragile.set((false, false));
    assert_eq!(attempt(&mut model, Outcome::Done), Ok(1));
    assert_eq!((model.check(), model.connections(), model.completions()), (Ok(()), 2, 1));
    assert!(model.next_completion().is_some_and(|done| done.result.is_ok() && done.more));
}

#[test]
fn c7_a_context_whose_drop_panics_leaves_everything_as_it_is_after_the_call() {
    let (mut model, fragile) = accepting();
    fragile.set((false, true));
    assert_eq!(attempt(&mut model, WouldBlock), Err(()), "the clone that was of no use is dropped");
    assert_eq!((model.check(), model.stats().counters.would_blocks), (Ok(()), 1));
    assert!(!model.is_busy(), "it waits for an event");
}
