//! What the system is asked for.

use super::*;
use aio_model::{Direction, PoolId, Spin};

const WOULD_BLOCK: Outcome = Outcome::WouldBlock;
const SHORT: Outcome = Outcome::Exhausted(crate::world::errno::ENOBUFS);

#[test]
fn a_wait_past_a_deadline() {
    let mut story = Story::new();
    let mut sleep = story.submission(story.model.own(), Task::Sleep, &[]);
    sleep.deadline = Some(ms(5));
    story.accepted(sleep);
    canary("wakes-in-time", story, |story| story.oracle.on_wait(Some(ms(6)), None));
}

#[test]
fn a_wait_past_what_was_asked_for() {
    canary("wakes-in-time", Story::new(), |story| story.oracle.on_wait(Some(ms(6)), Some(ms(5))));
}

#[test]
fn a_wait_that_ends_when_nothing_is_due() {
    canary("waits-with-reason", Story::new(), |story| story.oracle.on_wait(Some(ms(5)), None));
}

#[test]
fn a_wait_while_a_descriptor_is_to_be_closed() {
    let (mut story, conn) = Story::stream();
    story.oracle.on_close_called(conn, CloseReason::Requested, true);
    canary("no-sleep-before-close", story, |story| story.oracle.on_wait(None, None));
}

#[test]
fn polling_that_nobody_asked_for() {
    canary("spins-as-asked", Story::new(), |story| story.oracle.on_spin(Duration::from_nanos(1), false));
}

#[test]
fn polling_in_vain_again_and_again() {
    let mut story = Story::new();
    story.oracle.spin = Spin::Adaptive;
    let spin = Duration::from_micros(50);
    (0..10).for_each(|_| story.oracle.on_spin(spin, true));
    canary("spins-if-it-pays", story, |story| story.oracle.on_spin(spin, true));
}

#[test]
fn turns_that_never_look_outside() {
    let mut story = Story::new();
    story.oracle.on_turn();
    story.oracle.on_wait(None, None);
    story.oracle.on_turn_over();
    story.oracle.on_turn();
    story.oracle.on_turn_over();
    canary("events-asked-for", story, |story| {
        story.oracle.on_turn();
        story.oracle.on_turn_over();
    });
}

#[test]
fn a_lane_that_is_served_too_often() {
    let mut story = Story::within(|limits| limits.lane_attempts_max = NonZeroU32::MIN);
    let conn = story.adopt(Kind::Stream);
    story.submit_send(conn, 1);
    story.oracle.on_send(conn, b"x", Outcome::Interrupted);
    canary("lane-budget", story, |story| story.oracle.on_send(conn, b"x", Outcome::Interrupted));
}

#[test]
fn a_lane_that_has_more_than_its_bytes() {
    let mut story = Story::within(|limits| limits.lane_transfer_max = NonZeroU32::MIN);
    let conn = story.adopt(Kind::Stream);
    story.submit_send(conn, 2);
    story.oracle.on_send(conn, b"xx", Outcome::Transferred(1));
    story.oracle.on_turn();
    story.oracle.on_event(conn, Readiness::WRITABLE);
    story.submit_send(conn, 1);
    story.oracle.on_send(conn, b"x", Outcome::Transferred(1));
    canary("lane-bytes", story, |story| story.oracle.on_send(conn, b"x", Outcome::Transferred(1)));
}

/// The one behind it fits into the share of bytes, or it does not.
#[test]
fn a_send_that_is_left_out_and_one_that_does_not_fit() {
    for (bytes_max, bytes) in [(2, b"x".as_slice()), (1, b"xx")] {
        let mut story =
            Story::within(|limits| limits.lane_transfer_max = NonZeroU32::new(bytes_max).unwrap());
        let conn = story.adopt(Kind::Stream);
        story.submit_send(conn, 1);
        story.submit_send(conn, 1);
        canary("send-bytes", story, |story| story.oracle.on_send(conn, bytes, WOULD_BLOCK));
    }
}

#[test]
fn a_turn_that_does_not_end() {
    let mut story = Story::within(|limits| limits.turn_attempts_max = NonZeroU32::MIN);
    (0..4).for_each(|_| story.oracle.on_turn_step(0));
    canary("turn-ends", story, |story| story.oracle.on_turn_step(0));
}

#[test]
fn a_wait_for_more_events_than_the_limit_and_for_fewer() {
    for (limit, events_max) in [(1, 2), (2, 1)] {
        let [limit, events_max] = [limit, events_max].map(|count| NonZeroU32::new(count).unwrap());
        let mut story = Story::within(|limits| limits.turn_events_max = limit);
        story.oracle.on_events_max(limit);
        canary("events-in-a-wait", story, |story| story.oracle.on_events_max(events_max));
    }
}

/// It had a place for a moment; that is an excuse only if it was the last one.
#[test]
fn an_accept_that_is_passed_over_because_a_socket_was_refused() {
    for connections_max in [2, 3] {
        let mut story =
            Story::within(|limits| limits.connections_max = NonZeroU32::new(connections_max).unwrap());
        let listener = story.adopt(Kind::Listener);
        story.submit_recv(listener, Task::AcceptOne);
        story.oracle.on_event(listener, Readiness::READABLE);
        story.oracle.on_round(0);
        story.oracle.on_adopt_refused();
        if connections_max == 2 {
            story.oracle.on_round_over();
            assert_eq!(story.oracle.broken(), None);
        } else {
            canary("lane-share", story, |story| story.oracle.on_round_over());
        }
    }
}

#[test]
fn a_turn_that_is_too_long() {
    let mut story = Story::within(|limits| limits.turn_attempts_max = NonZeroU32::MIN);
    let conns = [(); 2].map(|()| story.adopt(Kind::Stream));
    for conn in conns {
        story.submit_send(conn, 1);
    }
    story.oracle.on_send(conns[0], b"x", WOULD_BLOCK);
    canary("turn-budget", story, |story| story.oracle.on_send(conns[1], b"x", WOULD_BLOCK));
}

#[test]
fn a_pool_that_asks_for_memory_again_and_again() {
    let mut story = Story::new();
    story.oracle.on_asked(PoolId::DEFAULT, false);
    canary("memory-too-soon", story, |story| story.oracle.on_asked(PoolId::DEFAULT, true));
}

#[test]
fn a_call_on_what_does_not_exist() {
    let mut story = Story::new();
    let stranger = story.stranger();
    canary("call-on-known", story, |story| story.oracle.on_recv(stranger, 8, WOULD_BLOCK));
}

#[test]
fn a_call_on_what_is_closed() {
    let (mut story, conn) = Story::stream();
    story.oracle.on_close_called(conn, CloseReason::Requested, true);
    canary("call-after-close", story, |story| story.oracle.on_recv(conn, 8, WOULD_BLOCK));
}

#[test]
fn a_call_that_nobody_asked_for() {
    let (story, conn) = Story::stream();
    canary("call-for-op", story, |story| story.oracle.on_recv(conn, 8, WOULD_BLOCK));
}

/// A stream whose send the system was short of something for, at 0 and at 1 ms: it pauses until 3 ms.
fn pausing() -> (Story, ConnId) {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 1);
    story.oracle.on_send(conn, b"x", SHORT);
    story.oracle.on_time(ms(1));
    story.oracle.on_send(conn, b"x", SHORT);
    (story, conn)
}

#[test]
fn a_call_again_at_once_although_the_system_is_exhausted() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 1);
    story.oracle.on_send(conn, b"x", SHORT);
    canary("call-too-soon", story, |story| story.oracle.on_send(conn, b"x", SHORT));
}

#[test]
fn a_second_pause_as_short_as_the_first() {
    let (story, conn) = pausing();
    canary("call-too-soon", story, |story| {
        story.oracle.on_time(ms(2));
        story.oracle.on_send(conn, b"x", SHORT);
    });
}

#[test]
fn a_pause_that_is_too_long() {
    let (mut story, _) = pausing();
    story.oracle.on_wait(Some(ms(3)), None);
    canary("pause-ends", story, |story| story.oracle.on_wait(Some(ms(4)), Some(ms(4))));
}

#[test]
fn a_pause_that_does_not_end() {
    canary("pause-ends", pausing().0, |story| story.oracle.on_wait(None, None));
}

#[test]
fn a_pause_that_is_too_long_after_a_success() {
    let (mut story, conn) = pausing();
    story.oracle.on_time(ms(3));
    story.oracle.on_send(conn, b"x", Outcome::Transferred(1));
    story.submit_send(conn, 1);
    story.oracle.on_send(conn, b"x", SHORT);
    canary("pause-ends", story, |story| story.oracle.on_wait(Some(ms(7)), None));
}

#[test]
fn a_wait_for_the_end_of_a_pause_that_nobody_makes() {
    let (mut story, conn) = pausing();
    story.oracle.on_time(ms(3));
    story.oracle.on_send(conn, b"x", WOULD_BLOCK);
    canary("waits-with-reason", story, |story| story.oracle.on_wait(Some(ms(7)), None));
}

#[test]
fn a_call_that_no_event_gave_a_reason_for() {
    let (mut story, conn) = Story::stream();
    story.submit(conn, Task::Recv, &[0; 8]);
    canary("call-when-ready", story, |story| story.oracle.on_recv(conn, 8, WOULD_BLOCK));
}

#[test]
fn a_receive_instead_of_an_accept() {
    let mut story = Story::new();
    let listener = story.adopt(Kind::Listener);
    story.submit_recv(listener, Task::AcceptOne);
    canary("recv-in-turn", story, |story| story.oracle.on_recv(listener, 8, WOULD_BLOCK));
}

#[test]
fn a_receive_of_more_than_there_is_room_for() {
    let (mut story, conn) = Story::stream();
    story.submit_recv(conn, Task::Recv);
    canary("recv-space", story, |story| story.oracle.on_recv(conn, 9, WOULD_BLOCK));
}

#[test]
fn a_send_instead_of_a_shutdown() {
    let (mut story, conn) = Story::stream();
    story.submit(conn, Task::Shutdown, &[]);
    canary("send-in-turn", story, |story| story.oracle.on_send(conn, b"x", WOULD_BLOCK));
}

#[test]
fn a_send_that_begins_again_after_a_part() {
    let (mut story, conn) = Story::stream();
    story.submit(conn, Task::Send { start: 0, end: 2 }, b"ab");
    story.oracle.on_send(conn, b"ab", Outcome::Transferred(1));
    story.oracle.on_event(conn, Readiness::WRITABLE);
    canary("send-bytes", story, |story| story.oracle.on_send(conn, b"ab", WOULD_BLOCK));
}

#[test]
fn an_accept_with_connections_at_their_limit() {
    let mut story = Story::within(|limits| limits.connections_max = NonZeroU32::MIN);
    let listener = story.adopt(Kind::Listener);
    story.submit_recv(listener, Task::AcceptOne);
    let new = story.stranger();
    canary("accept-place", story, |story| story.oracle.on_accept(listener, new, None, WOULD_BLOCK));
}

#[test]
fn an_accept_without_a_credit_for_its_completion() {
    let mut story = Story::within(|limits| limits.ops_max = NonZeroU32::MIN.saturating_add(1));
    let listener = story.adopt(Kind::Listener);
    story.submit_recv(listener, Task::AcceptMany);
    let [first, second] = [(); 2].map(|()| story.stranger());
    story.oracle.on_accept(listener, first, None, Outcome::Done);
    canary("accept-credit", story, |story| story.oracle.on_accept(listener, second, None, Outcome::Done));
}

#[test]
fn a_listener_that_takes_place_after_place() {
    let mut story = Story::new();
    let [greedy, patient] = [(); 2].map(|()| story.adopt(Kind::Listener));
    for listener in [greedy, patient] {
        story.submit_recv(listener, Task::AcceptMany);
    }
    let accept = |story: &mut Story| {
        story.oracle.on_turn();
        let new = story.stranger();
        story.oracle.on_accept(greedy, new, None, Outcome::Done);
    };
    if let Some(lane) = story.oracle.lane(patient, super::super::RECEIVE) {
        lane.held = Some(0);
    }
    accept(&mut story);
    canary("places-in-turn", story, accept);
}

#[test]
fn an_accept_instead_of_a_receive() {
    let (mut story, conn) = Story::stream();
    story.submit_recv(conn, Task::Recv);
    let new = story.stranger();
    canary("accept-in-turn", story, |story| story.oracle.on_accept(conn, new, None, Outcome::Done));
}

#[test]
fn a_wait_before_the_send_in_front_of_it() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 1);
    story.submit(conn, Task::Wait(Direction::Send), &[]);
    canary("wait-in-turn", story, |story| story.oracle.on_poll(conn, Direction::Send, Outcome::Done));
}

#[test]
fn a_peek_at_what_can_be_received() {
    let (mut story, conn) = Story::stream();
    story.submit_recv(conn, Task::RecvPooled { pool: 0 });
    canary("peek-with-reason", story, |story| story.oracle.on_peek(conn, Outcome::Transferred(1)));
}

#[test]
fn a_shutdown_before_the_send_in_front_of_it() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 1);
    story.submit(conn, Task::Shutdown, &[]);
    canary("shutdown-in-turn", story, |story| story.oracle.on_shutdown(conn, Outcome::Done));
}

#[test]
fn a_descriptor_that_is_closed_twice() {
    let (mut story, conn) = Story::stream();
    story.oracle.on_close_called(conn, CloseReason::Requested, true);
    story.oracle.on_close(conn, false);
    canary("closed-once", story, |story| story.oracle.on_close(conn, false));
}

#[test]
fn a_descriptor_that_is_closed_unasked() {
    let (story, conn) = Story::stream();
    canary("close-asked-for", story, |story| story.oracle.on_close(conn, false));
}

#[test]
fn an_end_that_the_peer_has_not_sent() {
    let (mut story, conn) = Story::stream();
    story.submit_recv(conn, Task::Recv);
    canary("end-was-sent", story, |story| {
        story.oracle.on_recv(conn, 8, Outcome::Transferred(0));
        story.oracle.on_no_more(conn, false);
    });
}
