//! The simulated system from outside: its border, its calls, its waits.

use std::time::Duration;

use aio_model::{Direction, Kind, Outcome, Syscall, System, SystemErrorKind, Wake};

use crate::world::choice::Choice;
use crate::world::choice::Odds;
use crate::world::engine::EngineKind;
use crate::world::faults::Fault;
use crate::world::faults::Faults;
use crate::world::link::{Family, Side};
use crate::world::net::Net;
use crate::world::peer::Act;
use crate::world::pipe::Capacity;
use crate::world::testing::Rig;
use crate::world::trace::Call;
use crate::world::wrong_call::WrongCall;

fn failure(outcome: Outcome) -> Option<SystemErrorKind> {
    match outcome {
        Outcome::Failed(error) | Outcome::Exhausted(error) | Outcome::Refused(error) => Some(error.kind()),
        _ => None,
    }
}

#[test]
fn calls_that_make_no_sense_are_recorded_and_answered() {
    let (mut rig, _peer, conn) = Rig::connected(EngineKind::Epoll);
    let socket = rig.net.listen(1).unwrap();
    let listener = rig.adopt(socket);
    let stranger = rig.ids.open();

    assert_eq!(rig.send(stranger, b"x"), Outcome::Failed(crate::world::errno::EBADF));
    assert_eq!(rig.recv(conn, 0), Err(Outcome::Failed(crate::world::errno::EINVAL)));
    assert_eq!(failure(rig.send(conn, b"")), Some(SystemErrorKind::InvalidInput));
    assert_eq!(failure(rig.send(listener, b"x")), Some(SystemErrorKind::InvalidInput));
    assert_eq!(
        failure(rig.os.perform(Syscall::Accept { listener, conn })),
        Some(SystemErrorKind::InvalidInput)
    );
    assert_eq!((rig.close(conn), rig.close(conn)), (Outcome::Done, Outcome::Done));
    let (_, socket) = rig.net.pair().unwrap();
    assert!(rig.os.adopt(conn, socket).is_err());
    let expected = [
        WrongCall::UnknownConn { conn: stranger, call: Call::Send(1) },
        WrongCall::EmptyBuffer { conn, call: Call::Recv(0) },
        WrongCall::EmptyBuffer { conn, call: Call::Send(0) },
        WrongCall::WrongKind { conn: listener, call: Call::Send(1) },
        WrongCall::NameTaken { conn },
        WrongCall::ClosedConn { conn, call: Call::Close { reset: false } },
        WrongCall::NameTaken { conn },
    ];
    assert_eq!(rig.net.violations(), expected);
}

#[test]
fn a_close_by_a_reset_is_an_error_to_the_peer_of_tcp_alone() {
    for family in [Family::Tcp, Family::Unix] {
        let net = Net::calm();
        net.set_family(family);
        let mut rig = Rig::new(net, EngineKind::Epoll);
        let (peer, socket) = rig.net.pair().unwrap();
        let conn = rig.adopt(socket);
        rig.send(conn, b"a part");
        assert_eq!(rig.os.perform(Syscall::Close { conn, reset: true }), Outcome::Done);
        let state = rig.net.peer_state(peer);
        assert_eq!((state.readable, rig.net.peer_read(peer)), (6, b"a part".to_vec()), "what has arrived");
        assert!(rig.net.peer_state(peer).ended && rig.net.descriptors() == 0);
        let error = rig.net.world_mut().link_mut(peer.end()).take_error(peer.side());
        let reset = (family == Family::Tcp).then_some(crate::world::errno::ECONNRESET);
        assert_eq!(error, reset, "{family:?}");
    }
}

#[test]
fn a_listener_is_not_reset() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
    let socket = rig.net.listen(1).unwrap();
    let conn = rig.adopt(socket);
    rig.os.perform(Syscall::Close { conn, reset: true });
    let call = Call::Close { reset: true };
    assert_eq!(rig.net.violations(), [WrongCall::WrongKind { conn, call }]);
}

#[test]
fn a_second_shutdown_is_recorded() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.os_shutdown(conn);
    assert!(rig.net.peer_state(peer).ended);
    assert_eq!(failure(rig.send(conn, b"x")), Some(SystemErrorKind::BrokenPipe));
    assert_eq!(rig.net.violations(), [WrongCall::AfterShutdown { conn, call: Call::Send(1) }]);
}

#[test]
fn bytes_go_both_ways() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    assert_eq!(rig.net.peer_write(peer, b"ping"), 4);
    assert_eq!(rig.recv(conn, 64), Ok(b"ping".to_vec()));
    assert_eq!(rig.send(conn, b"pong"), Outcome::Transferred(4));
    assert_eq!(rig.net.peer_read(peer), b"pong");
    assert_eq!(rig.net.moved(conn), Some((4, 4)));
    assert_eq!(rig.net.peer_of(conn), Some(peer));
}

#[test]
fn patterns_are_checked_by_the_peer() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    assert_eq!(rig.net.peer_write_pattern(peer, 1000), 1000);
    let bytes = rig.recv(conn, 4096).unwrap();
    assert_eq!(crate::world::pattern::mismatch(peer.serial(), peer.side(), 0, &bytes), None);
    rig.send(conn, &bytes);
    assert_eq!(rig.net.peer_read_pattern(peer, 600, peer.side()), 600);
    assert_eq!(rig.net.peer_read_pattern(peer, usize::MAX, peer.side()), 400);
    assert_eq!(rig.net.violations(), []);
    rig.send(conn, &bytes);
    rig.net.peer_read_pattern(peer, usize::MAX, peer.side());
    let wrong = WrongCall::WrongByte { serial: 0, writer: Side::Client, offset: 1000 };
    assert_eq!(rig.net.violations(), [wrong]);
}

#[test]
fn connections_are_accepted_in_order_with_what_they_sent() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
    let socket = rig.net.listen(2).unwrap();
    assert_eq!(rig.os.kind(&socket), Ok(Kind::Listener));
    let id = socket.id();
    let listener = rig.adopt(socket);
    let peers = [rig.net.connect(id).unwrap(), rig.net.connect(id).unwrap()];
    assert!(rig.net.connect(id).is_err(), "the backlog is full");
    rig.net.peer_write(peers[0], b"first");
    let (first, second) = (rig.accept(listener).0, rig.accept(listener).0);
    assert_eq!(rig.accept(listener).1, Outcome::WouldBlock);
    assert_eq!([first, second].map(|conn| rig.net.peer_of(conn).unwrap()), peers);
    assert_eq!(rig.recv(first, 9), Ok(b"first".to_vec()));
    rig.net.connect(id).unwrap();
    rig.close(listener);
    assert!(rig.net.connect(id).is_err(), "nobody listens");
    assert_eq!(rig.net.descriptors(), 2);
}

#[test]
fn a_peer_that_waits_at_a_closed_listener_is_reset() {
    let net = Net::calm();
    let socket = net.listen(2).unwrap();
    let peer = net.connect(socket.id()).unwrap();
    drop(socket);
    assert!(net.peer_state(peer).reset);
    assert_eq!(net.descriptors(), 0);
}

#[test]
fn descriptors_run_out_and_are_free_again() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
    rig.net.set_descriptors_max(2);
    let socket = rig.net.listen(9).unwrap();
    let id = socket.id();
    let listener = rig.adopt(socket);
    rig.net.connect(id).unwrap();
    rig.net.connect(id).unwrap();
    let (conn, outcome) = rig.accept(listener);
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(failure(rig.accept(listener).1), Some(SystemErrorKind::DescriptorsExhausted));
    assert!(rig.net.pair().is_err());
    rig.close(conn);
    assert_eq!(rig.accept(listener).1, Outcome::Done, "nobody was lost");
}

#[test]
fn accepts_meet_their_faults() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
    let socket = rig.net.listen(9).unwrap();
    let id = socket.id();
    let listener = rig.adopt(socket);
    let peers: Vec<_> = (0..3).map(|_| rig.net.connect(id).unwrap()).collect();
    let mut under = |fault| {
        let mut faults = Faults::NONE;
        faults.set(fault, Odds::ALWAYS);
        rig.net.set_faults(faults);
        let outcome = rig.accept(listener).1;
        assert_eq!(rig.net.struck(fault), 1);
        outcome
    };
    assert_eq!(failure(under(Fault::AcceptDescriptors)), Some(SystemErrorKind::DescriptorsExhausted));
    assert_eq!(failure(under(Fault::AcceptMemory)), Some(SystemErrorKind::OutOfMemory));
    assert!(matches!(under(Fault::AcceptRefused), Outcome::Refused(_)));
    assert_eq!(under(Fault::Interrupted), Outcome::Interrupted);
    assert_eq!(under(Fault::AcceptAborted), Outcome::Interrupted);
    assert_eq!(failure(under(Fault::AcceptRegister)), Some(SystemErrorKind::OutOfMemory));
    rig.net.set_faults(Faults::NONE);
    assert_eq!(rig.accept(listener).1, Outcome::Done);
    let states = peers.iter().map(|&peer| rig.net.peer_state(peer)).map(|state| (state.reset, state.ended));
    assert!(states.eq([(true, true), (false, true), (false, false)]), "aborted, closed, accepted");
}

#[test]
fn a_refused_socket_comes_back_open() {
    let mut rig = Rig::new(Net::calm(), EngineKind::Epoll);
    rig.net.set_faults(Faults { adopt_refused: Odds::ALWAYS, ..Faults::NONE });
    let (peer, socket) = rig.net.pair().unwrap();
    let conn = rig.ids.open();
    let (error, socket) = rig.os.adopt(conn, socket).unwrap_err();
    assert_eq!(error.kind(), SystemErrorKind::OutOfMemory);
    assert!(!rig.net.peer_state(peer).ended);
    rig.net.set_faults(Faults::NONE);
    assert!(rig.os.adopt(conn, socket).is_ok());
    assert_eq!((rig.close(conn), rig.net.descriptors()), (Outcome::Done, 0));
    assert!(rig.net.peer_state(peer).ended);
}

#[test]
fn a_dropped_system_closes_what_it_adopted() {
    let (rig, peer, _conn) = Rig::connected(EngineKind::Epoll);
    let Rig { net, os, .. } = rig;
    assert_eq!(net.descriptors(), 1);
    drop(os);
    assert_eq!((net.descriptors(), net.peer_state(peer).ended), (0, true));
    assert_eq!(net.violations(), []);
}

#[test]
fn a_wait_ends_at_its_deadline_or_at_the_first_event() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    let start = rig.net.now();
    let deadline = start + Duration::from_secs(5);
    assert_eq!(rig.wait(Some(deadline)), (deadline, vec![]));
    rig.net.plan(Duration::from_secs(2), Act::Write { peer, bytes_max: 10 });
    let (now, events) = rig.wait(Some(deadline + Duration::from_secs(9)));
    assert_eq!((now, events.len()), (deadline + Duration::from_secs(2), 1));
    assert_eq!(rig.recv(conn, 99).unwrap().len(), 10);
}

#[test]
fn a_wait_that_nothing_can_end_says_so() {
    let (mut rig, ..) = Rig::connected(EngineKind::Epoll);
    assert!(!rig.net.take_slept_for_ever());
    rig.wait(None);
    assert!(rig.net.take_slept_for_ever() && !rig.net.take_slept_for_ever());
}

#[test]
fn a_wake_ends_one_wait() {
    let (mut rig, ..) = Rig::connected(EngineKind::Epoll);
    let start = rig.net.now();
    rig.os.waker().wake();
    rig.os.waker().wake();
    assert_eq!(rig.wait(None), (start, vec![]));
    assert!(!rig.net.take_slept_for_ever());
    rig.wait(None);
    assert!(rig.net.take_slept_for_ever(), "two wakes, one wait");
}

#[test]
fn waits_return_early_late_and_for_no_reason() {
    let wait = |fault, seed| {
        let (mut rig, peer, _) = Rig::connected(EngineKind::Epoll);
        rig.net.world_mut().dice.choice = Choice::seeded(seed);
        let mut faults = Faults::NONE;
        faults.set(fault, Odds::ALWAYS);
        rig.net.set_faults(faults);
        let deadline = rig.net.now() + Duration::from_secs(1);
        if fault == Fault::WaitInterrupted {
            rig.net.peer_write(peer, b"x");
        }
        let (now, events) = rig.wait(Some(deadline));
        assert!(events.is_empty());
        (now, deadline)
    };
    for seed in 0..20 {
        let (now, deadline) = wait(Fault::WaitEarly, seed);
        assert!(now < deadline);
        let (now, deadline) = wait(Fault::WaitLate, seed);
        assert!(now > deadline);
        let (now, deadline) = wait(Fault::WaitInterrupted, seed);
        assert_eq!(now + Duration::from_secs(1), deadline);
    }
}

/// What a peer does meanwhile is there afterwards, and the wait that was interrupted says nothing of it.
#[test]
fn a_process_that_is_stopped_finds_what_came_without_being_told() {
    for &engine in EngineKind::ALL {
        let (mut rig, peer, conn) = Rig::connected(engine);
        rig.net.set_faults(Faults { process_stopped: Odds::ALWAYS, ..Faults::NONE });
        let start = rig.net.now();
        rig.net.peer_write(peer, b"x");
        let (now, events) = rig.wait(None);
        assert!(now > start && events.is_empty(), "{engine:?}: {now:?} {events:?}");
        assert_eq!(rig.recv(conn, 9), Ok(b"x".to_vec()), "{engine:?}");
        rig.net.heal();
        assert!(!rig.net.take_slept_for_ever());
    }
}

#[test]
fn stale_events_name_the_closed() {
    let (mut rig, _, conn) = Rig::connected(EngineKind::Epoll);
    rig.close(conn);
    let (_, socket) = rig.net.pair().unwrap();
    let next = rig.ids.reopen(conn);
    rig.os.adopt(next, socket).map_err(|(error, _)| error).unwrap();
    rig.net.set_faults(Faults { event_stale: Odds::ALWAYS, ..Faults::NONE });
    let conns: Vec<_> = rig.poll().into_iter().map(|(conn, _)| conn).collect();
    assert!(conns.contains(&conn) && conns.contains(&next), "{conns:?}");
    rig.net.set_faults(Faults { event_duplicated: Odds::ALWAYS, ..Faults::NONE });
    let (_, socket) = rig.net.pair().unwrap();
    let third = rig.adopt(socket);
    let twice = rig.poll();
    assert_eq!(twice.iter().filter(|(conn, _)| *conn == third).count(), 2);
}

#[test]
fn latency_and_stalls_end_when_the_system_is_healed() {
    let mut rig = Rig::new(
        Net::new(Choice::seeded(1), Faults { stall: Odds::ALWAYS, ..Faults::NONE }),
        EngineKind::Epoll,
    );
    rig.net.set_capacity(Some(Capacity::ROOMY));
    let (peer, socket) = rig.net.pair().unwrap();
    let conn = rig.adopt(socket);
    rig.poll();
    rig.net.peer_write(peer, b"late");
    assert_eq!(rig.recv(conn, 9), Err(Outcome::WouldBlock));
    rig.net.heal();
    assert_eq!(rig.poll().len(), 1);
    assert_eq!(rig.recv(conn, 9), Ok(b"late".to_vec()));
}

#[test]
fn pieces_arrive_by_themselves() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.net.set_faults(Faults { segments: Odds::ALWAYS, ..Faults::NONE });
    rig.net.peer_write(peer, &[7; 10]);
    rig.net.peer_close(peer);
    let mut events = 0;
    while !rig.net.condition(conn).unwrap().ended {
        events += rig.wait(None).1.len();
    }
    assert!(events > 1, "in pieces");
    rig.poll();
    assert_eq!(rig.recv(conn, 99), Ok(vec![7; 10]));
}

#[test]
fn bytes_for_a_closed_peer_reset_the_connection() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    rig.net.set_faults(Faults { latency: Odds::ALWAYS, ..Faults::NONE });
    assert_eq!(rig.send(conn, b"too late"), Outcome::Transferred(8));
    rig.net.peer_close(peer);
    rig.net.heal();
    assert!(rig.net.condition(conn).unwrap().error);
}

#[test]
fn misfortune_strikes_the_call_that_finds_out() {
    for (fault, expected) in
        [(Fault::Reset, SystemErrorKind::ConnectionReset), (Fault::TimedOut, SystemErrorKind::TimedOut)]
    {
        let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
        let mut faults = Faults::NONE;
        faults.set(fault, Odds::ALWAYS);
        rig.net.set_faults(faults);
        assert_eq!(failure(rig.send(conn, b"x")), Some(expected));
        assert!(rig.net.peer_state(peer).reset);
        assert_eq!(failure(rig.send(conn, b"x")), Some(SystemErrorKind::BrokenPipe));
    }
}

#[test]
fn a_short_receive_from_a_unix_socket_proves_nothing() {
    let net = Net::calm();
    net.set_family(Family::Unix);
    let mut rig = Rig::new(net, EngineKind::Epoll);
    let (peer, socket) = rig.net.pair().unwrap();
    let conn = rig.adopt(socket);
    rig.net.peer_write(peer, b"abc");
    let mut recv = |buffer: &mut [u8]| rig.os.perform(Syscall::Recv { conn, buffer });
    assert_eq!(recv(&mut [0; 2]), Outcome::Transferred(2));
    assert_eq!(recv(&mut [0; 2]), Outcome::Partial(1));
    assert_eq!(recv(&mut [0; 2]), Outcome::WouldBlock);
}

#[test]
fn what_is_on_its_way_can_be_hurried_in_pieces() {
    let (mut rig, peer, conn) = Rig::connected(EngineKind::Epoll);
    let mut faults = Faults::NONE;
    faults.set(Fault::Latency, Odds::ALWAYS);
    rig.net.set_faults(faults.clone());
    rig.net.peer_write(peer, b"abcde");
    assert_eq!((rig.net.outgoing(peer), rig.poll()), ((0, 5), vec![]));
    faults.set(Fault::Segments, Odds::ALWAYS);
    rig.net.set_faults(faults);
    rig.net.choose(|choice| *choice = Choice::tape([2]));
    rig.net.hurry(peer, Direction::Send);
    assert_eq!(rig.net.outgoing(peer), (3, 2));
    assert_eq!(rig.recv(conn, 9), Ok(b"abc".to_vec()));
    rig.net.set_faults(Faults::NONE);
    rig.net.hurry(peer, Direction::Send);
    assert_eq!(rig.recv(conn, 9), Ok(b"de".to_vec()));
    assert_eq!(rig.net.readiness(conn), Some(aio_model::Readiness::WRITABLE));
}
