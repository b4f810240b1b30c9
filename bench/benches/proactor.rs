//! `aio::Proactor` on a system that answers at once: from submit to completion.
//!
//! A sample is one operation on each connection, so what a turn costs is shared by as many. The items per
//! second are operations.

use aio_bench::micro::{CONNECTIONS, Ops, Patience};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn bench(bencher: Bencher, connections: usize, patience: Patience, step: fn(&mut Ops) -> u64) {
    let mut ops = Ops::new(connections, patience);
    bencher.counter(ItemsCount::new(connections)).bench_local(|| step(&mut ops));
}

/// A pooled receive, with the event that it waits for; the lease is dropped.
#[divan::bench(args = CONNECTIONS, sample_size = 100)]
fn receive(bencher: Bencher, connections: usize) {
    bench(bencher, connections, Patience::Endless, Ops::receive);
}

/// The same with a deadline: one more timer is armed and cancelled.
#[divan::bench(args = CONNECTIONS, sample_size = 100)]
fn receive_with_deadline(bencher: Bencher, connections: usize) {
    bench(bencher, connections, Patience::Deadline, Ops::receive);
}

/// A send of a message.
#[divan::bench(args = CONNECTIONS, sample_size = 100)]
fn send(bencher: Bencher, connections: usize) {
    bench(bencher, connections, Patience::Endless, Ops::send);
}

/// The same with a deadline.
#[divan::bench(args = CONNECTIONS, sample_size = 100)]
fn send_with_deadline(bencher: Bencher, connections: usize) {
    bench(bencher, connections, Patience::Deadline, Ops::send);
}
