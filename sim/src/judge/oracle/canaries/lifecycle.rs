//! How connections begin and end.

use super::*;

/// A stream that lingers, and has yet to send FIN.
fn lingering() -> (Story, ConnId) {
    let (mut story, conn) = Story::stream();
    story.submit(conn, Task::Close { manner: Manner::Linger(100), reason: CloseReason::Requested }, &[]);
    (story, conn)
}

#[test]
fn a_name_that_two_connections_have() {
    let (story, conn) = Story::stream();
    canary("new-id", story, |story| story.oracle.on_adopted(conn, Kind::Stream, None));
}

#[test]
fn a_connect_as_a_connection_that_has_something_to_send() {
    let (mut story, conn) = Story::stream();
    let send = story.submit_send(conn, 1);
    canary("connect-in-turn", story, |story| story.oracle.on_connect(conn, send, None, Outcome::Done));
}

#[test]
fn a_second_fin() {
    let (mut story, conn) = lingering();
    story.oracle.on_shutdown(conn, Outcome::Done);
    canary("one-fin", story, |story| story.oracle.on_shutdown(conn, Outcome::Done));
}

#[test]
fn a_fin_again_at_once_although_the_system_is_exhausted() {
    let (mut story, conn) = lingering();
    let exhausted = Outcome::Exhausted(crate::world::errno::ENOBUFS);
    story.oracle.on_shutdown(conn, exhausted);
    // That it is due is no reason to keep awake.
    story.oracle.on_wait(Some(ms(1)), None);
    canary("call-too-soon", story, |story| story.oracle.on_shutdown(conn, Outcome::Done));
}

#[test]
fn a_discard_again_at_once_although_the_system_is_exhausted() {
    let (mut story, conn) = lingering();
    let exhausted = Outcome::Exhausted(crate::world::errno::ENOBUFS);
    story.oracle.on_shutdown(conn, Outcome::Done);
    story.oracle.on_event(conn, Readiness::READABLE);
    story.oracle.on_discard(conn, exhausted);
    canary("call-too-soon", story, |story| story.oracle.on_discard(conn, Outcome::Transferred(1)));
}

#[test]
fn a_close_that_the_system_is_short_of_something_for_and_that_is_made_all_the_same() {
    let (mut story, conn) = lingering();
    story.oracle.on_shutdown(conn, Outcome::Exhausted(crate::world::errno::ENOBUFS));
    canary("close-asked-for", story, |story| story.oracle.on_close(conn, false));
}

#[test]
fn lingering_that_a_shortage_makes_longer() {
    let (mut story, conn) = lingering();
    story.oracle.on_shutdown(conn, Outcome::Exhausted(crate::world::errno::ENOBUFS));
    story.oracle.on_time(ms(90));
    story.oracle.on_shutdown(conn, Outcome::Done);
    canary("wakes-in-time", story, |story| story.oracle.on_wait(Some(ms(190)), None));
}

#[test]
fn bytes_thrown_away_that_somebody_may_still_ask_for() {
    let (mut story, conn) = Story::stream();
    story.oracle.on_event(conn, Readiness::READABLE);
    canary("discard-ends", story, |story| story.oracle.on_discard(conn, Outcome::Transferred(1)));
}

#[test]
fn a_discard_that_no_event_gave_a_reason_for() {
    let (mut story, conn) = lingering();
    story.oracle.on_shutdown(conn, Outcome::Done);
    canary("discard-when-ready", story, |story| story.oracle.on_discard(conn, Outcome::WouldBlock));
}

#[test]
fn a_close_with_a_fin_in_the_middle_of_a_send() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 2);
    story.oracle.on_send(conn, b"xx", Outcome::Transferred(1));
    story.oracle.on_close_called(conn, CloseReason::Requested, true);
    canary("broken-off-is-reset", story, |story| story.oracle.on_close(conn, false));
}

#[test]
fn an_id_of_a_connection_that_was_used_before() {
    let (mut story, conn) = Story::stream();
    story.oracle.on_close_called(conn, CloseReason::Requested, true);
    story.oracle.on_close(conn, false);
    canary("ids-go-on", story, |story| story.oracle.on_adopted(conn, Kind::Stream, None));
}

#[test]
fn an_id_of_an_operation_that_was_used_before() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 1);
    canary("ops-go-on", story, |story| {
        let (id, ..) = story.told[0];
        let again = story.submission(conn, Task::Send { start: 0, end: 1 }, b"x");
        story.oracle.on_submitted(again, Ok(id));
    });
}

/// A stream that flushes one byte, and is to linger for a tenth of a second then.
fn flushing() -> (Story, ConnId) {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 2);
    story.submit(conn, Task::Close { manner: Manner::Linger(100), reason: CloseReason::Requested }, &[]);
    (story, conn)
}

#[test]
fn a_discard_behind_the_end_of_the_peer() {
    let (mut story, conn) = flushing();
    story.oracle.on_event(conn, Readiness::READABLE);
    story.oracle.on_discard(conn, Outcome::Transferred(0));
    canary("discard-ends", story, |story| story.oracle.on_discard(conn, Outcome::Transferred(1)));
}

#[test]
fn a_discard_before_a_fin_that_is_due() {
    let (mut story, conn) = lingering();
    story.oracle.on_event(conn, Readiness::READABLE);
    canary("discard-ends", story, |story| story.oracle.on_discard(conn, Outcome::Transferred(1)));
}

#[test]
fn flushing_that_what_the_peer_says_makes_longer() {
    let (mut story, conn) = flushing();
    story.oracle.on_event(conn, Readiness::READABLE);
    story.oracle.on_time(ms(90));
    story.oracle.on_discard(conn, Outcome::Transferred(1));
    canary("wakes-in-time", story, |story| story.oracle.on_wait(Some(ms(190)), None));
}

#[test]
fn flushing_that_is_no_longer_for_what_the_peer_took() {
    let (mut story, conn) = flushing();
    story.oracle.on_time(ms(90));
    story.oracle.on_send(conn, b"xx", Outcome::Transferred(1));
    canary("waits-with-reason", story, |story| story.oracle.on_wait(Some(ms(100)), None));
}

#[test]
fn a_deadline_of_a_close_that_what_the_peer_took_puts_off() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 2);
    let task = Task::Close { manner: Manner::Linger(100), reason: CloseReason::Requested };
    story.accepted(Submission { deadline: Some(ms(150)), ..story.submission(conn, task, &[]) });
    story.oracle.on_time(ms(90));
    story.oracle.on_send(conn, b"xx", Outcome::Transferred(1));
    canary("wakes-in-time", story, |story| story.oracle.on_wait(Some(ms(190)), None));
}
