//! The pool: what it costs that a receive is lent its buffer.
//!
//! `own` is a receive without the pool, so what the others are above it is the lease and its way home by the
//! mailbox. A sample is one receive on each of 1,000 connections.

use aio_bench::micro::{Abroad, Ops, Patience};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

const CONNECTIONS: usize = 1000;

fn bench(bencher: Bencher, step: impl FnMut() -> u64) {
    bencher.counter(ItemsCount::new(CONNECTIONS)).bench_local(step);
}

/// Into the program's own buffers.
#[divan::bench(sample_size = 20)]
fn own(bencher: Bencher) {
    let mut ops = Ops::new(CONNECTIONS, Patience::Endless);
    bench(bencher, || ops.receive_own());
}

/// Into leases that are dropped on the thread of the proactor.
#[divan::bench(sample_size = 20)]
fn lease(bencher: Bencher) {
    let mut ops = Ops::new(CONNECTIONS, Patience::Endless);
    bench(bencher, || ops.receive());
}

/// Into leases that are dropped on another thread, all 1,000 handed over at once.
#[divan::bench(sample_size = 20)]
fn lease_dropped_abroad(bencher: Bencher) {
    let mut abroad = Abroad::new(CONNECTIONS);
    bench(bencher, || abroad.receive());
}
