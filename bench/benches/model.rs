//! `aio_model`: a receive and a send by the model alone.

use aio_bench::micro::Steps;
use divan::Bencher;

fn main() {
    divan::main();
}

/// Submit, event, attempt, completion; submit, attempt, completion; on one of a thousand connections after
/// the other.
#[divan::bench(sample_size = 1000)]
fn echo(bencher: Bencher) {
    let mut steps = Steps::default();
    bencher.bench_local(|| steps.echo());
}
