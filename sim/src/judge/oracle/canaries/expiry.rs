//! What deadlines do.

use super::*;

/// A deadline's turn: the clock shows so many milliseconds, and the next of what has expired is about to end.
fn expire(story: &mut Story, millis: u64, calls: impl FnOnce(&mut Story)) {
    story.oracle.on_turn();
    story.oracle.on_time(ms(millis));
    story.oracle.on_expiry(0);
    calls(story);
    story.oracle.on_expired();
}

/// A submission that is due at 5 ms.
fn due(story: &mut Story, conn: ConnId, task: Task, bytes: &[u8]) -> u64 {
    let mut submission = story.submission(conn, task, bytes);
    submission.deadline = Some(ms(5));
    story.accepted(submission)
}

const SEND: Task = Task::Send { start: 0, end: 1 };

#[test]
fn a_receive_that_expires_without_a_last_attempt() {
    for task in [Task::Recv, Task::RecvExact, Task::RecvPooled { pool: 0 }, SEND, Task::Shutdown] {
        let (mut story, conn) = Story::stream();
        due(&mut story, conn, task, if matches!(task, Task::RecvPooled { .. }) { &[] } else { b"x" });
        canary("last-attempt", story, |story| expire(story, 5, |_| {}));
    }
    // The one that is next in its lane, and no other, has a right to it.
    let (mut story, conn) = Story::stream();
    story.submit(conn, Task::Recv, &[0; 8]);
    let behind = due(&mut story, conn, Task::Recv, &[0; 8]);
    expire(&mut story, 5, |_| {});
    story.complete(behind, Err(OpError::Deadline));
    assert_eq!(story.oracle.broken(), None);
}

#[test]
fn an_accept_or_a_connect_that_expires_without_a_last_attempt() {
    let mut story = Story::new();
    let listener = story.adopt(Kind::Listener);
    due(&mut story, listener, Task::AcceptMany, &[]);
    canary("last-attempt", story, |story| expire(story, 5, |_| {}));
    let mut story = Story::new();
    let own = story.model.own();
    due(&mut story, own, Task::Connect, &[]);
    canary("last-attempt", story, |story| expire(story, 5, |_| {}));
}

#[test]
fn a_close_whose_time_is_up_without_a_last_attempt() {
    let (mut story, conn) = Story::stream();
    story.submit_send(conn, 1);
    due(&mut story, conn, Task::Close { manner: Manner::Flush, reason: CloseReason::Requested }, &[]);
    canary("last-attempt", story, |story| expire(story, 5, |_| {}));
    let (mut story, conn) = Story::stream();
    due(&mut story, conn, Task::Close { manner: Manner::Linger(3), reason: CloseReason::Requested }, &[]);
    story.oracle.on_shutdown(conn, Outcome::Done);
    canary("last-attempt", story, |story| expire(story, 5, |_| {}));
}

/// Nobody may receive again and again because of a deadline.
#[test]
fn a_second_last_attempt() {
    let (mut story, conn) = Story::stream();
    due(&mut story, conn, Task::Recv, &[0; 8]);
    canary("call-when-ready", story, |story| {
        expire(story, 5, |story| {
            story.oracle.on_recv(conn, 8, Outcome::WouldBlock);
            story.oracle.on_recv(conn, 8, Outcome::WouldBlock);
        });
    });
}

#[test]
fn the_later_of_two_deadlines_first() {
    let mut story = Story::new();
    let own = story.model.own();
    let sleeps = [(); 2].map(|()| due(&mut story, own, Task::Sleep, &[]));
    (0..2).for_each(|_| expire(&mut story, 5, |_| {}));
    story.complete(sleeps[1], Ok(Done::Elapsed));
    canary("deadline-order", story, |story| story.complete(sleeps[0], Ok(Done::Elapsed)));
}

/// What a turn has no room for has not ended yet.
#[test]
fn more_deadlines_in_a_turn_than_it_has_room_for() {
    let mut story = Story::within(|limits| limits.turn_attempts_max = NonZeroU32::MIN);
    let conn = story.adopt(Kind::Stream);
    story.submit(conn, Task::Recv, &[0; 8]);
    let [first, second] = [(); 2].map(|()| due(&mut story, conn, Task::Recv, &[0; 8]));
    expire(&mut story, 5, |story| {
        story.oracle.on_expired();
        story.oracle.on_expiry(0);
    });
    story.complete(first, Err(OpError::Deadline));
    canary("deadline-not-early", story, |story| story.complete(second, Err(OpError::Deadline)));
}
