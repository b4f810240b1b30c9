//! What each readiness engine owes, event by event, and what it does not.

use std::num::NonZeroU32;

use aio_model::{Direction, Instant, Outcome, Readiness, System};

use crate::world::choice::Choice;
use crate::world::choice::Odds;
use crate::world::engine::EngineKind;
use crate::world::faults::Faults;
use crate::world::link::Change;
use crate::world::net::Net;
use crate::world::pipe::Capacity;
use crate::world::testing::Rig;

const R: Readiness = Readiness::READABLE;
const W: Readiness = Readiness::WRITABLE;
const RC: Readiness = Readiness::READ_CLOSED;
const WC: Readiness = Readiness::WRITE_CLOSED;
const E: Readiness = Readiness::ERROR;

const EDGES: [EngineKind; 2] = [EngineKind::Epoll, EngineKind::Kqueue];

/// What the events at hand say, for a rig with one connection.
fn told(rig: &mut Rig) -> Vec<Readiness> {
    rig.poll().into_iter().map(|(_, readiness)| readiness).collect()
}

#[test]
fn registration_reports_what_is_the_case() {
    for (engine, quiet, busy) in [
        (EngineKind::Epoll, vec![W], vec![R | W]),
        (EngineKind::Kqueue, vec![W], vec![R, W]),
        (EngineKind::Poll, vec![W], vec![R | W]),
    ] {
        let mut rig = Rig::new(Net::calm(), engine);
        let (_peer, socket) = rig.net.pair().unwrap();
        rig.adopt(socket);
        assert_eq!(told(&mut rig), quiet, "{engine:?}");
        assert_eq!(told(&mut rig), [], "{engine:?}: once");

        let mut rig = Rig::new(Net::calm(), engine);
        let (peer, socket) = rig.net.pair().unwrap();
        rig.net.peer_write(peer, b"early");
        rig.adopt(socket);
        assert_eq!(told(&mut rig), busy, "{engine:?}");
    }
}

#[test]
fn a_listener_reports_connections_and_nothing_else() {
    for &engine in EngineKind::ALL {
        let mut rig = Rig::new(Net::calm(), engine);
        let socket = rig.net.listen(8).unwrap();
        let id = socket.id();
        let listener = rig.adopt(socket);
        assert_eq!(told(&mut rig), []);
        rig.net.connect(id).unwrap();
        rig.net.connect(id).unwrap();
        assert_eq!(rig.poll(), [(listener, R)], "{engine:?}: both in one");
        assert_eq!(rig.accept(listener).1, Outcome::Done);
        assert_eq!(told(&mut rig), [W], "{engine:?}: the new connection's; the one left behind is old news");
        rig.net.connect(id).unwrap();
        let expected: &[_] = if engine == EngineKind::Poll { &[] } else { &[(listener, R)] };
        assert_eq!(rig.poll(), expected, "{engine:?}");
    }
}

#[test]
fn a_partial_read_does_not_edge_again_but_an_arrival_does() {
    for (engine, expected) in [(EngineKind::Epoll, R | W), (EngineKind::Kqueue, R)] {
        let (mut rig, peer, conn) = Rig::connected(engine);
        rig.net.peer_write(peer, b"abcdef");
        assert_eq!(told(&mut rig), [expected]);
        assert_eq!(rig.recv(conn, 2), Ok(b"ab".to_vec()));
        assert_eq!(told(&mut rig), [], "{engine:?}: the rest is old news");
        assert!(!rig.net.edge_debt(conn, Direction::Receive));
        rig.net.peer_write(peer, b"g");
        assert!(rig.net.edge_debt(conn, Direction::Receive));
        assert_eq!(told(&mut rig), [expected]);
        assert_eq!(rig.recv(conn, 9), Ok(b"cdefg".to_vec()));
    }
}

#[test]
fn arrivals_before_a_batch_are_one_event_and_drained_ones_none() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Kqueue);
    rig.net.peer_write(peer, b"a");
    rig.net.peer_write(peer, b"b");
    assert_eq!(told(&mut rig), [R]);
    rig.net.peer_write(peer, b"c");
    assert_eq!(rig.recv(conn, 9), Ok(b"abc".to_vec()));
    assert_eq!(told(&mut rig), [], "the filter is asked again when the event is fetched");
    // epoll has the same rule, but has the other side to tell of.
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.net.peer_write(peer, b"c");
    assert_eq!(rig.recv(conn, 9), Ok(b"c".to_vec()));
    assert_eq!(told(&mut rig), [W]);
}

#[test]
fn the_end_edges_even_when_everything_was_read_before() {
    for (engine, expected) in [(EngineKind::Epoll, R | W | RC), (EngineKind::Kqueue, R | RC)] {
        let (mut rig, peer, conn) = Rig::connected(engine);
        rig.net.peer_write(peer, b"x");
        told(&mut rig);
        assert_eq!(rig.recv(conn, 9), Ok(b"x".to_vec()));
        assert_eq!(rig.recv(conn, 9), Err(Outcome::WouldBlock));
        rig.net.peer_shutdown(peer);
        assert_eq!(told(&mut rig), [expected], "{engine:?}");
        assert_eq!(rig.recv(conn, 9), Ok(vec![]));
    }
}

#[test]
fn bytes_and_the_end_may_come_in_one_event() {
    for (engine, expected) in
        [(EngineKind::Epoll, R | W | RC), (EngineKind::Kqueue, R | RC), (EngineKind::Poll, R | RC)]
    {
        let (mut rig, peer, conn) = Rig::connected(engine);
        rig.net.peer_write(peer, b"x");
        rig.net.peer_close(peer);
        assert_eq!(told(&mut rig), [expected], "{engine:?}");
        assert_eq!(rig.recv(conn, 9), Ok(b"x".to_vec()));
        assert_eq!(told(&mut rig), [], "{engine:?}: no second event for the end");
        assert_eq!(rig.recv(conn, 9), Ok(vec![]));
    }
}

#[test]
fn room_edges_only_after_a_send_found_too_little() {
    for (engine, expected) in [(EngineKind::Epoll, W), (EngineKind::Kqueue, W)] {
        let mut rig = Rig::new(Net::calm(), engine);
        rig.net.set_capacity(Some(Capacity { send_bytes_max: 9, recv_bytes_max: 1 }));
        let (peer, socket) = rig.net.pair().unwrap();
        let conn = rig.adopt(socket);
        told(&mut rig);
        assert_eq!(rig.send(conn, b"123456789"), Outcome::Transferred(9));
        while !rig.net.peer_read(peer).is_empty() {}
        assert_eq!(told(&mut rig), [], "{engine:?}: that send was not short");

        assert_eq!(rig.send(conn, &[0; 20]), Outcome::Transferred(9), "one of them arrives at once");
        assert_eq!(rig.send(conn, &[0; 20]), Outcome::Transferred(1));
        assert_eq!(rig.send(conn, &[0; 20]), Outcome::WouldBlock);
        assert_eq!(rig.net.peer_read(peer).len() + rig.net.peer_read(peer).len(), 2);
        assert_eq!(told(&mut rig), [], "{engine:?}: less than a third is free");
        rig.net.peer_read(peer);
        assert!(rig.net.edge_debt(conn, Direction::Send));
        assert_eq!(told(&mut rig), [expected], "{engine:?}");
        while !rig.net.peer_read(peer).is_empty() {}
        assert_eq!(told(&mut rig), [], "{engine:?}: told once");
    }
}

#[test]
fn a_reset_is_told_to_both_sides() {
    for (engine, expected) in [
        (EngineKind::Epoll, vec![R | W | RC | WC | E]),
        (EngineKind::Kqueue, vec![R | RC | E, W | WC | E]),
        (EngineKind::Poll, vec![R | RC | WC | E]),
    ] {
        let (mut rig, peer, conn) = Rig::connected(engine);
        rig.net.peer_reset(peer);
        assert_eq!(told(&mut rig), expected, "{engine:?}");
        assert!(matches!(rig.recv(conn, 9), Err(Outcome::Failed(_))));
        assert_eq!(told(&mut rig), [], "{engine:?}: a hang-up does not repeat itself");
    }
}

#[test]
fn kqueue_may_tell_of_a_reset_on_the_write_side_alone() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Kqueue);
    rig.net.set_faults(Faults { event_write_side_alone: Odds::ALWAYS, ..Faults::NONE });
    rig.net.peer_reset(peer);
    assert!(rig.net.edge_debt(conn, Direction::Receive), "a closed bit wakes both");
    assert_eq!(told(&mut rig), [W | WC | E]);
}

#[test]
fn shutting_down_tells_oneself() {
    let (mut rig, _peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.os_shutdown(conn);
    assert_eq!(told(&mut rig), [W]);
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.net.peer_shutdown(peer);
    told(&mut rig);
    rig.os_shutdown(conn);
    assert_eq!(told(&mut rig), [R | W | RC | WC], "closed both ways is a hang-up");
}

#[test]
fn poll_reports_an_armed_side_once_and_a_blocked_attempt_arms_it() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Poll);
    rig.net.peer_write(peer, b"abc");
    assert_eq!(told(&mut rig), [R], "the write side has fired at registration");
    rig.net.peer_write(peer, b"d");
    assert_eq!(told(&mut rig), [], "not armed, whatever arrives");
    assert_eq!(rig.recv(conn, 9), Ok(b"abcd".to_vec()));
    rig.net.peer_write(peer, b"e");
    assert_eq!(told(&mut rig), [], "a short receive is no promise here");
    assert_eq!(rig.recv(conn, 9), Ok(b"e".to_vec()));
    assert_eq!(rig.recv(conn, 9), Err(Outcome::WouldBlock));
    assert_eq!(told(&mut rig), []);
    rig.net.peer_write(peer, b"f");
    assert_eq!(told(&mut rig), [R]);
}

#[test]
fn poll_sees_what_arrived_before_it_was_armed() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Poll);
    rig.net.set_capacity(Some(Capacity::of(1)));
    let (peer, socket) = rig.net.pair().unwrap();
    let conn = rig.adopt(socket);
    assert_eq!(told(&mut rig), [W]);
    while rig.send(conn, b"x") != Outcome::WouldBlock {}
    assert_eq!(told(&mut rig), []);
    rig.net.peer_read(peer);
    assert!(rig.net.edge_debt(conn, Direction::Send));
    assert_eq!(told(&mut rig), [W]);
}

#[test]
fn what_is_held_back_is_owed_again() {
    let cases = [
        (Faults { recv_would_block: Odds::ALWAYS, ..Faults::NONE }, Err(Outcome::WouldBlock)),
        (Faults { recv_short: Odds::ALWAYS, ..Faults::NONE }, Ok(b"a".to_vec())),
    ];
    for (faults, expected) in cases {
        for engine in EDGES {
            let (mut rig, peer, conn) = Rig::connected(engine);
            rig.net.peer_write(peer, b"abc");
            told(&mut rig);
            rig.net.set_faults(faults.clone());
            assert_eq!(rig.recv(conn, 9), expected);
            assert!(!rig.net.condition(conn).unwrap().arrived, "as if it had not arrived");
            rig.net.set_faults(Faults::NONE);
            assert!(rig.wait(None).1[0].1.wakes_receive(), "{engine:?}");
            let rest = rig.recv(conn, 9).unwrap();
            assert_eq!([expected.clone().unwrap_or_default(), rest].concat(), b"abc");
        }
    }
}

#[test]
fn bytes_behind_the_mark_of_urgent_data_are_there_and_are_told_of() {
    for &engine in EngineKind::ALL {
        let (mut rig, peer, conn) = Rig::connected(engine);
        rig.net.peer_write(peer, b"abc");
        told(&mut rig);
        rig.net.set_faults(Faults { recv_at_mark: Odds::ALWAYS, ..Faults::NONE });
        assert_eq!(rig.recv(conn, 9), Err(Outcome::WouldBlock), "{engine:?}");
        assert!(rig.net.condition(conn).unwrap().arrived, "they are there all the same");
        assert!(rig.net.edge_debt(conn, Direction::Receive));
        rig.net.set_faults(Faults::NONE);
        assert!(told(&mut rig).into_iter().any(Readiness::wakes_receive), "{engine:?}");
        assert_eq!(told(&mut rig), [], "{engine:?}: once");
        assert_eq!(rig.recv(conn, 9), Ok(b"abc".to_vec()));
        // Where there is nothing there is no mark, either.
        rig.net.set_faults(Faults { recv_at_mark: Odds::ALWAYS, ..Faults::NONE });
        assert_eq!(rig.recv(conn, 9), Err(Outcome::WouldBlock));
        assert_eq!(told(&mut rig), []);
    }
}

#[test]
fn pressure_on_a_send_is_followed_by_an_event() {
    for (faults, expected) in [
        (Faults { send_would_block: Odds::ALWAYS, ..Faults::NONE }, Outcome::WouldBlock),
        (Faults { send_short: Odds::ALWAYS, ..Faults::NONE }, Outcome::Transferred(1)),
    ] {
        for engine in EDGES {
            let (mut rig, _peer, conn) = Rig::connected(engine);
            rig.net.set_faults(faults.clone());
            assert_eq!(rig.send(conn, b"abc"), expected);
            assert!(!rig.net.condition(conn).unwrap().sends());
            rig.net.set_faults(Faults::NONE);
            assert_eq!(rig.wait(None).1, [(conn, W)], "{engine:?}");
        }
    }
}

#[test]
fn a_hidden_backlog_comes_again() {
    for &engine in EngineKind::ALL {
        let mut rig = Rig::new(Net::calm(), engine);
        let socket = rig.net.listen(8).unwrap();
        rig.net.connect(socket.id()).unwrap();
        let listener = rig.adopt(socket);
        assert_eq!(rig.poll(), [(listener, R)]);
        rig.net.set_faults(Faults { accept_would_block: Odds::ALWAYS, ..Faults::NONE });
        assert_eq!(rig.accept(listener).1, Outcome::WouldBlock);
        rig.net.set_faults(Faults::NONE);
        assert_eq!(rig.wait(None).1, [(listener, R)], "{engine:?}");
        assert_eq!(rig.accept(listener).1, Outcome::Done);
    }
}

#[test]
fn a_truncated_batch_leaves_the_rest_for_the_next() {
    let faults = Faults { batch_truncated: Odds::one_in(2), batch_permuted: Odds::one_in(2), ..Faults::NONE };
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let mut rig = Rig::new(Net::new(Choice::seeded(seed), faults.clone()), EngineKind::Epoll);
        let mut expected: Vec<_> = (0..5)
            .map(|_| {
                let (_peer, socket) = rig.net.pair().unwrap();
                rig.adopt(socket)
            })
            .collect();
        let mut seen = Vec::new();
        while seen.len() < 5 {
            let events = rig.poll();
            assert!(!events.is_empty(), "some of them at least");
            seen.extend(events.into_iter().map(|(conn, _)| conn));
        }
        orders.insert(seen.clone());
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected, "each of them once");
    }
    assert!(orders.len() > 10, "{} orders", orders.len());
}

#[test]
fn a_wait_takes_in_so_many_events_and_leaves_the_others_whatever_is_invented() {
    for (faults, extras) in
        [(Faults::NONE, false), (Faults { event_duplicated: Odds::ALWAYS, ..Faults::NONE }, true)]
    {
        let mut rig = Rig::new(Net::new(Choice::seeded(1), faults), EngineKind::Epoll);
        let mut expected = Vec::new();
        for _ in 0..5 {
            let (_peer, socket) = rig.net.pair().unwrap();
            expected.push(rig.adopt(socket));
        }
        let events_max = NonZeroU32::new(2).unwrap();
        let (mut seen, mut waits) = (Vec::new(), 0);
        loop {
            let mut events = 0;
            rig.os
                .wait(Some(Instant::ZERO), events_max, |conn, _| {
                    seen.push(conn);
                    events += 1;
                })
                .unwrap();
            assert!(events <= 2);
            if events == 0 {
                break;
            }
            waits += 1;
        }
        assert!(waits >= 3, "{waits}");
        assert_eq!(seen.len() > 5, extras, "{seen:?}");
        seen.sort();
        seen.dedup();
        expected.sort();
        assert_eq!(seen, expected, "each of them");
    }
}

#[test]
fn a_delayed_event_is_owed_until_it_comes() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.net.set_faults(Faults { event_delayed: Odds::ALWAYS, ..Faults::NONE });
    rig.net.peer_write(peer, b"x");
    assert_eq!(rig.poll(), []);
    assert!(rig.net.edge_debt(conn, Direction::Receive));
    let before = rig.net.now();
    assert_eq!(rig.wait(None).1, [(conn, R | W)]);
    assert!(rig.net.now() > before);
}

#[test]
fn changes_of_sockets_that_nobody_watches_are_nobodys() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
    let (peer, socket) = rig.net.pair().unwrap();
    rig.net.peer_write(peer, b"x");
    rig.net.world_mut().announce(socket.id(), Change::Arrival);
    assert_eq!(rig.poll(), []);
}
