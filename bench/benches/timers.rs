//! `aio_model::timers`: is the cost of a timer the same, however many there are?
//!
//! Each row has a number of timers that live beside the one that is measured, and a distribution of
//! deadlines. The claim is that `arm_cancel` is flat. `replace` is the same work on timers that are not in
//! the cache, which no structure escapes: what it adds are the misses. `arm_fire` moves timers towards the
//! front now and then, many at once, so its *mean* is the cost of a timer, and its slowest sample says how
//! much came at once.

use aio_bench::{DeadlineMix, LIVE};
use aio_model::Tick;
use aio_model::timers::{TimerId, Timers};
use divan::{Bencher, black_box};
use fastrand::Rng;

fn main() {
    divan::main();
}

/// `live` armed timers, and the point in time at which the last of them was armed.
struct Crowd {
    timers: Timers<u32>,
    ids: Vec<TimerId>,
    deadlines: DeadlineMix,
    random: Rng,
    now: u64,
}

impl Crowd {
    fn new(live: u32, deadlines: DeadlineMix) -> Crowd {
        let (mut timers, mut random) = (Timers::new(), Rng::with_seed(7));
        let arm = |nth| timers.arm(deadlines.draw(deadlines.armed_at(nth, live), &mut random), nth);
        let ids = (0..live).map(arm).collect();
        Crowd { timers, ids, deadlines, random, now: deadlines.armed_at(live, live) }
    }

    fn deadline(&mut self) -> Tick {
        self.deadlines.draw(self.now, &mut self.random)
    }
}

/// Every number of timers with every distribution.
fn rows() -> impl Iterator<Item = MicroRow> {
    DeadlineMix::ALL.into_iter().flat_map(|deadlines| LIVE.map(|live| MicroRow { deadlines, live }))
}

#[derive(Clone, Copy)]
struct MicroRow {
    deadlines: DeadlineMix,
    live: u32,
}

impl std::fmt::Display for MicroRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.deadlines, self.live)
    }
}

/// The life of most deadlines: armed with an operation, cancelled when it completes.
#[divan::bench(args = rows())]
fn arm_cancel(bencher: Bencher, row: MicroRow) {
    let mut crowd = Crowd::new(row.live, row.deadlines);
    bencher.bench_local(|| {
        let at = crowd.deadline();
        let timer = crowd.timers.arm(at, 0);
        crowd.timers.cancel(black_box(timer))
    });
}

/// The same, in a loop that asks for the earliest deadline every time, as a turn does.
#[divan::bench(args = rows())]
fn arm_earliest_cancel(bencher: Bencher, row: MicroRow) {
    let mut crowd = Crowd::new(row.live, row.deadlines);
    // The first to ask sorts what was armed before anybody did. A loop asks from the start.
    crowd.timers.earliest();
    bencher.bench_local(|| {
        let at = crowd.deadline();
        let timer = crowd.timers.arm(at, 0);
        black_box(crowd.timers.earliest());
        crowd.timers.cancel(black_box(timer))
    });
}

/// Cancels any of the timers and arms another in its stead.
#[divan::bench(args = rows())]
fn replace(bencher: Bencher, row: MicroRow) {
    let mut crowd = Crowd::new(row.live, row.deadlines);
    bencher.bench_local(|| {
        let nth = crowd.random.u32(..row.live) as usize;
        let at = crowd.deadline();
        let owner = crowd.timers.cancel(crowd.ids[nth]);
        crowd.ids[nth] = crowd.timers.arm(at, owner);
    });
}

/// Waits for the earliest, fires it, and arms it again: time passes, and every timer comes to the front.
#[divan::bench(args = rows(), sample_count = 200, sample_size = 10_000)]
fn arm_fire(bencher: Bencher, row: MicroRow) {
    let mut crowd = Crowd::new(row.live, row.deadlines);
    bencher.bench_local(|| {
        let first = crowd.timers.earliest().expect("there are timers");
        crowd.now = crowd.now.max(first.0);
        let owner = crowd.timers.pop_due(first).expect("it is due");
        let at = crowd.deadline();
        crowd.timers.arm(at, owner);
    });
}
