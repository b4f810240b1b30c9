//! What a connection takes while it waits, with a pooled receive and a deadline, from a thousand of them to a
//! million.
//!
//! Counted is what was asked of the allocator and not given back: the tables of the model, and those of the
//! system, which the null system keeps as large as the real one's. Not counted is what the kernel has of a
//! connection.

use std::time::Duration;

use aio::{Completion, OpError, Proactor, Recv};
use aio_bench::compare::stats::number;
use aio_bench::micro::null::Null;

/// The most that an idle connection may take.
const BYTES_MAX: f64 = 272.0;

const DEADLINE: Duration = Duration::from_secs(600);

/// Tables grow by doubling, so these are just full: what is set aside, and never touched, weighs on none of
/// them.
const FULL: [u32; 4] = [1 << 10, 1 << 13, 1 << 17, 1 << 20];

/// Connections that wait, each with an operation and its deadline; and the bytes for each.
fn crowd(connections: u32, recv: impl Fn() -> Recv) -> (Proactor<u32, Null>, f64) {
    let mut aio = None;
    let counted = allocation_counter::measure(|| {
        let built = Proactor::<u32>::builder().build_on(Null::silent()).unwrap();
        let built: &mut Proactor<u32, Null> = aio.insert(built);
        for nth in 0..connections {
            let conn = built.adopt(()).unwrap();
            built.submit(conn, recv().within(DEADLINE), nth).unwrap();
        }
        // It looks for the earliest deadline, and makes no attempt: nobody is readable.
        assert!(built.turn(&mut Vec::new(), Some(Duration::ZERO)).unwrap());
    });
    (aio.unwrap(), number(counted.bytes_current.try_into().unwrap()) / f64::from(connections))
}

/// They do wait, none with a buffer, and the deadline of each comes when it is due.
fn all_end(mut aio: Proactor<u32, Null>, connections: u32) {
    assert_eq!(
        (aio.stats().connections, aio.stats().credits, aio.stats().leases),
        (connections, connections, 0)
    );
    let mut batch: Vec<Completion<u32>> = Vec::with_capacity(connections as usize);
    aio.system_mut().pass(DEADLINE - Duration::from_millis(1));
    assert!(aio.turn(&mut batch, Some(Duration::ZERO)).unwrap());
    assert!(batch.is_empty(), "it is not time yet");
    aio.system_mut().pass(Duration::from_millis(1));
    while batch.len() < connections as usize {
        assert!(aio.turn(&mut batch, Some(Duration::ZERO)).unwrap());
    }
    batch.sort_unstable_by_key(|done| done.context);
    for (nth, done) in (0..connections).zip(&batch) {
        assert_eq!((done.context, &done.result), (nth, &Err(OpError::Deadline)));
    }
    assert_eq!(aio.system().receives, 0);
}

#[test]
fn an_idle_connection_takes_the_same_among_a_million_as_among_a_thousand() {
    let bytes = FULL.map(|connections| {
        let (aio, bytes) = crowd(connections, Recv::pooled);
        println!("{connections:>9} connections: {bytes:.1} bytes each");
        all_end(aio, connections);
        bytes
    });
    let most = bytes.into_iter().fold(0.0, f64::max);
    let least = bytes.into_iter().fold(f64::MAX, f64::min);
    assert!(most <= BYTES_MAX, "{most} bytes each");
    // Among a thousand, what a proactor has once weighs two bytes.
    assert!(most - least <= 0.02 * least, "not flat: {bytes:?}");
}

#[test]
fn a_buffer_for_each_would_be_seen() {
    let (_, bytes) = crowd(FULL[0], || Recv::into(vec![0; 4096]));
    // And what lies apart of a connection that receives into a buffer of the user's.
    assert!((4096.0..4096.0 + 3.0 * BYTES_MAX).contains(&bytes), "{bytes}");
}
