//! Leases that come home from other threads, with more than one pool.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use aio::{Buffer, Completion, ConnId, PoolId, Proactor, Recv};

fn until_one(aio: &mut Proactor<&'static str>) -> Completion<&'static str> {
    let mut batch = Vec::with_capacity(1);
    while batch.is_empty() {
        assert!(aio.turn(&mut batch, Some(Duration::from_secs(10))).unwrap());
    }
    batch.remove(0)
}

/// A buffer of one pool comes home while a connection waits for one of another: the proactor must still be woken
/// when that one comes.
#[test]
fn a_buffer_of_another_pool_does_not_hide_the_one_that_is_waited_for() {
    let mut aio: Proactor<&'static str> = Proactor::<()>::builder().pool(1, 64).pool(1, 64).build().unwrap();
    let mut pair = || {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        (aio.adopt(ours).unwrap(), theirs)
    };
    let ((first, _a), (second, _b), (third, _c)) = (pair(), pair(), pair());
    let mut receive = |conn: ConnId, pool: u16, context| {
        aio.submit(conn, Recv::pooled_from(PoolId::new(pool)), context).unwrap();
    };
    receive(first, 0, "first");
    receive(second, 1, "second");
    let (one, other) = (until_one(&mut aio), until_one(&mut aio));
    let (wanted, unwanted) = if one.context == "first" { (one, other) } else { (other, one) };
    aio.submit(third, Recv::pooled_from(PoolId::new(0)), "third").unwrap();
    let mut batch = Vec::with_capacity(1);
    while aio.stats().counters.parked == 0 {
        aio.turn(&mut batch, Some(Duration::ZERO)).unwrap();
    }
    assert!(matches!((&wanted.buffer, &unwanted.buffer), (Buffer::Lease(_), Buffer::Lease(_))));
    drop(unwanted);
    let start = Instant::now();
    let thread = std::thread::spawn(move || {
        // Long enough for the proactor to be asleep, which is when it matters; earlier it is no harder.
        std::thread::sleep(Duration::from_millis(100));
        drop(wanted);
    });
    assert_eq!(until_one(&mut aio).context, "third");
    assert!(start.elapsed() < Duration::from_secs(5), "woken, not timed out");
    thread.join().unwrap();
}
