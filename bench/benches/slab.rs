//! `aio_model::slab`: what a place costs, however many are taken.

use aio_bench::LIVE;
use aio_model::Key;
use aio_model::slab::Slab;
use divan::{Bencher, black_box};
use fastrand::Rng;

fn main() {
    divan::main();
}

/// As large as an operation, about.
type Value = [u64; 16];

fn filled(live: u32) -> (Slab<Value>, Vec<Key>) {
    let mut slab = Slab::new();
    let keys = (0..live).map(|nth| slab.insert([u64::from(nth); 16])).collect();
    (slab, keys)
}

/// In and out again: the place that was just freed is the next one used.
#[divan::bench(args = LIVE)]
fn insert_remove(bencher: Bencher, live: u32) {
    let (mut slab, _) = filled(live);
    bencher.bench_local(|| {
        let key = slab.insert(black_box([1; 16]));
        slab.remove(black_box(key))
    });
}

/// Takes any value out and puts another in: each a cache miss once there are many.
#[divan::bench(args = LIVE)]
fn replace(bencher: Bencher, live: u32) {
    let (mut slab, mut keys) = filled(live);
    let mut random = Rng::with_seed(7);
    bencher.bench_local(|| {
        let nth = random.u32(..live) as usize;
        let value = slab.remove(keys[nth]).expect("it lives");
        keys[nth] = slab.insert(black_box(value));
    });
}

/// Looks any value up by its key.
#[divan::bench(args = LIVE)]
fn get(bencher: Bencher, live: u32) {
    let (slab, keys) = filled(live);
    let mut random = Rng::with_seed(7);
    bencher.bench_local(|| slab.get(keys[random.u32(..live) as usize]).map(|value| value[0]));
}
