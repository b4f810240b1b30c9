//! Peers that take nothing of what they are sent keep no one else from being received from: sends hold at
//! most a share of a pool's buffers.

use std::time::Duration;

use crate::bench::{Asked, Bench, ended, limits};
use aio_model::Outcome::{Transferred, WouldBlock};
use aio_model::{Buffer, ConnId, Parts, Recv, Send};

const NO_TIME: Duration = Duration::ZERO;

/// What is received on a connection.
fn received(bench: &mut Bench, conn: ConnId) -> Buffer {
    bench.submit(conn, Recv::pooled(), "recv");
    bench.readable(conn);
    bench.round(NO_TIME, &[Transferred(3)]);
    bench.completions().pop().expect("there is a buffer").buffer
}

fn in_sends(bench: &Bench) -> (u32, u32) {
    let holders = bench.model.lease_holders();
    let lent = bench.model.stats().leases;
    assert_eq!(holders.sends + holders.receives + holders.program, lent);
    (holders.sends, lent)
}

#[test]
fn b3_of_a_pool_of_four_three_may_be_in_sends_and_what_comes_then_is_copied() {
    let mut bench = Bench::with(limits(), 4);
    let conns = [(); 6].map(|()| bench.stream());
    for (nth, conn) in conns.into_iter().enumerate() {
        let lease = received(&mut bench, conn);
        bench.submit(conn, Send::new(lease), "send");
        assert_eq!(bench.round(NO_TIME, &[WouldBlock]), [Asked::Send(conn, 3)], "its peer takes nothing");
        let held = u32::try_from(nth + 1).unwrap().min(3);
        assert_eq!(in_sends(&bench), (held, held));
    }
    // Each comes back with what it held.
    for (nth, conn) in conns.into_iter().enumerate() {
        bench.model.close(conn).unwrap();
        bench.round(NO_TIME, &[]);
        let done = bench.completions().pop().unwrap();
        assert_eq!((done.context, done.buffer.as_slice()), ("send", [1, 2, 3].as_slice()));
        assert_eq!(matches!(done.buffer, Buffer::Lease(_)), nth < 3, "{:?}", done.buffer);
    }
    bench.fetch();
    assert_eq!(in_sends(&bench), (0, 0));
}

/// However small a pool is, one buffer is left to receive into.
#[test]
fn b3_the_only_buffer_of_a_pool_is_in_no_send() {
    let mut bench = Bench::with(limits(), 1);
    let [stuck, other] = [(); 2].map(|()| bench.stream());
    bench.submit(other, Recv::pooled(), "other");
    let lease = received(&mut bench, stuck);
    bench.readable(other);
    bench.round(NO_TIME, &[]);
    assert!(bench.model.has_parked());
    // The buffer goes to who waits for it as soon as the send is submitted.
    bench.submit(stuck, Send::new(lease), "send");
    let asked = bench.round(NO_TIME, &[Transferred(2), WouldBlock]);
    assert_eq!(asked, [Asked::Recv(other, 8), Asked::Send(stuck, 3)]);
    assert_eq!(bench.ended(), [ended("other", 2, "Received { end_of_stream: false }")]);
}

#[test]
fn b3_leases_among_parts_are_copied_until_few_enough_are_lent() {
    let mut bench = Bench::with(limits(), 4);
    let conns = [(); 4].map(|()| bench.stream());
    let mut parts = conns.map(|conn| received(&mut bench, conn)).into_iter();
    let first: Parts = [parts.next().unwrap(), "-".into(), parts.next().unwrap()].into_iter().collect();
    bench.submit(conns[0], Send::new(first), "two");
    assert_eq!(in_sends(&bench), (1, 3), "one was too many");
    let second: Parts = [parts.next().unwrap(), parts.next().unwrap()].into_iter().collect();
    bench.submit(conns[1], Send::new(second).skip(1), "two more");
    assert_eq!(in_sends(&bench), (3, 3));
    bench.round(NO_TIME, &[Transferred(7), Transferred(5)]);
    let kinds = |buffer: &Buffer| match buffer {
        Buffer::Parts(parts) => parts.as_slice().iter().map(|part| format!("{part:?}")).collect::<Vec<_>>(),
        other => panic!("{other:?} has no parts"),
    };
    let done = bench.completions();
    assert_eq!(kinds(&done[0].buffer), ["Vec(3 bytes)", "Static(1 bytes)", "Lease(3 bytes)"]);
    assert_eq!((done[1].bytes, kinds(&done[1].buffer)), (5, vec!["Lease(3 bytes)".into(); 2]));
    assert_eq!(in_sends(&bench), (0, 3), "they are the user's again");
}

/// The program's own are lent, too: where it keeps all, it sends copies.
#[test]
fn b3_where_the_program_keeps_its_leases_others_are_copied() {
    let mut bench = Bench::with(limits(), 4);
    let conns = [(); 4].map(|()| bench.stream());
    let mut kept = conns.map(|conn| received(&mut bench, conn)).into_iter().collect::<Vec<_>>();
    bench.submit(conns[0], Send::new(kept.pop().unwrap()), "copied");
    assert_eq!(in_sends(&bench), (0, 3));
    bench.submit(conns[1], Send::new(kept.pop().unwrap()), "as it is");
    assert_eq!(in_sends(&bench), (1, 3));
    drop(kept);
    bench.fetch();
    assert_eq!(in_sends(&bench), (1, 1));
}

/// Another proactor's buffers are not this one's to count.
#[test]
fn b3_a_lease_of_another_proactor_is_sent_as_it_is() {
    let (mut bench, mut other) = (Bench::with(limits(), 1), Bench::foreign());
    let from = other.stream();
    let lease = received(&mut other, from);
    let conn = bench.stream();
    bench.submit(conn, Send::new(lease), "send");
    assert_eq!(in_sends(&bench), (0, 0));
    bench.round(NO_TIME, &[Transferred(3)]);
    assert!(matches!(bench.completions().remove(0).buffer, Buffer::Lease(_)));
}
