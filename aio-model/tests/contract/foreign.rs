//! What belongs to another proactor.

use std::time::Duration;

use aio_model::{Outcome::Transferred, Recv};

use crate::bench::{Bench, limits};

const NO_TIME: Duration = Duration::ZERO;

#[test]
fn b1_a_buffer_of_another_proactor_that_is_given_back_here_is_taken_by_nobody() {
    let (mut bench, mut other) = (Bench::with(limits(), 1), Bench::foreign());
    let theirs = other.stream();
    other.submit(theirs, Recv::pooled(), "theirs");
    other.readable(theirs);
    other.round(NO_TIME, &[Transferred(8)]);
    drop(other.completions());
    assert_eq!(other.hand_over(&mut bench), 1);
    assert_eq!((bench.model.outstanding(), other.model.outstanding()), (0, 1), "it is lost to its pool");

    // Nor by one that is parked for want of a buffer.
    let (first, parked) = (bench.stream(), bench.stream());
    for conn in [first, parked] {
        bench.submit(conn, Recv::pooled(), "recv");
        bench.readable(conn);
    }
    bench.round(NO_TIME, &[Transferred(8)]);
    assert!(bench.model.has_parked());
    other.submit(theirs, Recv::pooled(), "theirs");
    other.readable(theirs);
    other.round(NO_TIME, &[Transferred(8)]);
    drop(other.completions());
    assert_eq!(other.hand_over(&mut bench), 1);
    assert!(bench.model.has_parked());
    // Its own is.
    drop(bench.completions());
    bench.fetch();
    assert!(!bench.model.has_parked());
    bench.round(NO_TIME, &[Transferred(1)]);
    assert_eq!(bench.ended().len(), 1);
}
