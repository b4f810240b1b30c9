//! What the user is answered, and what comes back.

use aio_model::{Limit, PoolId, SubmitErrorKind};

use super::*;
use crate::judge::oracle::Refused;

const RECEIVED: Result<Done, OpError> = Ok(Done::Received { end_of_stream: false });

/// A stream with a receive that ended with [`OpError::Cancelled`], and its context.
fn cancelled() -> (Story, u64) {
    let (mut story, conn) = Story::stream();
    let recv = story.submit_recv(conn, Task::Recv);
    story.oracle.on_cancel(recv, true);
    (story, recv)
}

/// A message that was posted, and its context.
fn posted() -> (Story, u64) {
    let mut story = Story::new();
    let post = story.submit_own(Task::Post);
    (story, post)
}

#[test]
fn a_refusal_that_keeps_the_buffer() {
    let mut story = Story::new();
    let stranger = story.stranger();
    let submission = story.submission(stranger, Task::Recv, &[0; 8]);
    let refused = Refused { kind: SubmitErrorKind::Stale, context: submission.context, bytes: Vec::new() };
    canary("refusal-whole", story, |story| story.oracle.on_submitted(submission, Err(refused)));
}

#[test]
fn a_refusal_without_a_reason() {
    let (story, conn) = Story::stream();
    let submission = story.submission(conn, Task::Shutdown, &[]);
    let kind = SubmitErrorKind::Busy(Limit::Ops);
    let refused = Refused { kind, context: submission.context, bytes: Vec::new() };
    canary("refusal-right", story, |story| story.oracle.on_submitted(submission, Err(refused)));
}

#[test]
fn a_receive_into_nothing_that_is_accepted() {
    let (story, conn) = Story::stream();
    canary("acceptance-right", story, |story| _ = story.submit(conn, Task::Recv, &[]));
}

#[test]
fn a_cancel_that_does_not_find_what_is_queued() {
    let (mut story, conn) = Story::stream();
    let recv = story.submit_recv(conn, Task::Recv);
    canary("cancel-answer", story, |story| story.oracle.on_cancel(recv, false));
}

#[test]
fn a_deadline_for_what_has_ended() {
    let (story, recv) = cancelled();
    canary("set-deadline-answer", story, |story| story.oracle.on_set_deadline(recv, None, None, true));
}

#[test]
fn a_cancel_of_more_than_there_is() {
    let (mut story, conn) = Story::stream();
    story.submit_recv(conn, Task::Recv);
    canary("cancel-all-answer", story, |story| story.oracle.on_cancel_all(conn, Some(2)));
}

#[test]
fn a_lane_that_is_resumed_and_was_not_tainted() {
    let (story, conn) = Story::stream();
    canary("resume-answer", story, |story| story.oracle.on_resume(conn, true));
}

#[test]
fn a_bound_for_the_bytes_of_a_connection_that_is_gone() {
    let mut story = Story::new();
    let conn = story.stranger();
    canary("set-lane-bytes-answer", story, |story| story.oracle.on_set_lane_bytes_max(conn, None, true));
}

#[test]
fn a_pool_that_does_not_exist() {
    let (story, conn) = Story::stream();
    canary("set-pool-answer", story, |story| story.oracle.on_set_pool(conn, 1, true));
}

#[test]
fn a_close_of_what_is_gone() {
    let mut story = Story::new();
    let stranger = story.stranger();
    canary("close-answer", story, |story| {
        story.oracle.on_close_called(stranger, CloseReason::Requested, true);
    });
}

#[test]
fn a_second_completion() {
    let (mut story, post) = posted();
    story.complete(post, Ok(Done::Posted));
    canary("one-final", story, |story| story.complete(post, Ok(Done::Posted)));
}

#[test]
fn a_completion_of_another_connection() {
    let (mut story, post) = posted();
    let mut done = story.completion(post, Ok(Done::Posted));
    done.conn = story.stranger();
    canary("whose-completion", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn a_completion_of_what_goes_on() {
    let (mut story, conn) = Story::stream();
    let recv = story.submit_recv(conn, Task::Recv);
    canary("final-after-end", story, |story| story.complete(recv, RECEIVED));
}

#[test]
fn a_deadline_that_has_not_come() {
    let (mut story, conn) = Story::stream();
    let recv = story.submit_recv(conn, Task::Recv);
    canary("deadline-not-early", story, |story| story.complete(recv, Err(OpError::Deadline)));
}

/// A send that a deadline or a cancel ends before any of its bytes was sent was not there.
#[test]
fn a_taint_for_nothing() {
    let (mut story, conn) = Story::stream();
    let first = story.submit_send(conn, 1);
    let second = story.submit_send(conn, 1);
    story.oracle.on_cancel(first, true);
    canary("taint-with-reason", story, |story| story.complete(second, Err(OpError::Tainted)));
}

#[test]
fn a_deadline_after_the_bytes_had_moved() {
    let (mut story, conn) = Story::stream();
    let send = story.submit_send(conn, 1);
    story.oracle.on_send(conn, b"x", Outcome::Transferred(1));
    canary("success-first", story, |story| story.complete(send, Err(OpError::Deadline)));
}

#[test]
fn a_deadline_after_a_cancel() {
    let (story, recv) = cancelled();
    canary("deadline-result", story, |story| story.complete(recv, Err(OpError::Deadline)));
}

#[test]
fn a_taint_that_came_from_nowhere() {
    let (story, recv) = cancelled();
    canary("taint-result", story, |story| story.complete(recv, Err(OpError::Tainted)));
}

#[test]
fn a_close_that_came_from_nowhere() {
    let (story, recv) = cancelled();
    let closed = OpError::Closed(CloseReason::Requested);
    canary("close-result", story, |story| story.complete(recv, Err(closed)));
}

#[test]
fn an_end_of_stream_that_came_from_nowhere() {
    let (story, recv) = cancelled();
    canary("end-result", story, |story| story.complete(recv, Ok(Done::Received { end_of_stream: true })));
}

#[test]
fn a_success_that_came_from_nowhere() {
    let (story, recv) = cancelled();
    canary("result", story, |story| story.complete(recv, RECEIVED));
}

#[test]
fn a_count_that_forgets_the_first_bytes() {
    let (mut story, conn) = Story::stream();
    let send = story.submit_send(conn, 2);
    story.oracle.on_send(conn, b"xx", Outcome::Transferred(1));
    story.oracle.on_event(conn, Readiness::WRITABLE);
    story.oracle.on_send(conn, b"x", Outcome::Transferred(1));
    let mut done = story.completion(send, Ok(Done::Sent));
    done.bytes = 1;
    canary("byte-count", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn a_completion_that_overtakes_another() {
    let (mut story, conn) = Story::stream();
    let [_, second] = [(); 2].map(|()| story.submit_send(conn, 1));
    story.oracle.on_send(conn, b"xx", Outcome::Transferred(2));
    let mut dones = [second, second - 1].map(|send| story.completion(send, Ok(Done::Sent)));
    dones.iter_mut().for_each(|done| done.bytes = 1);
    story.oracle.on_completion(&dones[0]);
    canary("lane-order", story, |story| story.oracle.on_completion(&dones[1]));
}

#[test]
fn an_accepted_connection_that_overtakes_another() {
    let mut story = Story::new();
    let listener = story.adopt(Kind::Listener);
    let accept = story.submit_recv(listener, Task::AcceptMany);
    let [first, second] = [(); 2].map(|()| story.stranger());
    for conn in [first, second] {
        story.oracle.on_accept(listener, conn, None, Outcome::Done);
    }
    let mut done = story.completion(accept, Ok(Done::Accepted(second)));
    done.more = true;
    canary("accept-order", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn an_idle_time_of_a_connection_that_is_gone() {
    let mut story = Story::new();
    let gone = story.stranger();
    canary("set-idle-answer", story, |story| story.oracle.on_set_idle(gone, None, None, ms(0), Ok(())));
}

/// A receive that goes on, of one lease, which has brought so many bytes.
fn receiving_many(count: usize) -> (Story, ConnId, u64) {
    let (mut story, conn) = Story::stream();
    let many = story.submit_recv(conn, Task::RecvMany { pool: None, leases_max: 1 });
    story.oracle.on_recv(conn, POOL.1, Outcome::Transferred(count));
    (story, conn, many)
}

#[test]
fn a_receive_that_goes_on_with_all_its_leases_out() {
    let (story, conn, _) = receiving_many(POOL.1);
    canary("leases-max", story, |story| story.oracle.on_recv(conn, POOL.1, Outcome::WouldBlock));
}

#[test]
fn a_receive_that_goes_on_and_tells_of_other_bytes() {
    let (mut story, _, many) = receiving_many(3);
    let mut done = story.completion(many, RECEIVED);
    (done.more, done.bytes, done.buffer) = (true, 2, story.lease(2));
    canary("receive-order", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn a_pooled_receive_that_brings_no_buffer() {
    let (mut story, conn) = Story::stream();
    let recv = story.submit_recv(conn, Task::RecvPooled { pool: 0 });
    story.oracle.on_recv(conn, POOL.1, Outcome::Transferred(3));
    let mut done = story.completion(recv, RECEIVED);
    done.bytes = 3;
    canary("pooled-buffer", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn a_lease_that_was_sent_and_comes_back_as_a_copy() {
    let (mut story, conn) = Story::stream();
    story.oracle.pools[0].0 = 4;
    let lease = story.lease(1);
    let mut submission = story.submission(conn, Task::Send { start: 0, end: 1 }, lease.as_slice());
    submission.lease = Some((PoolId::DEFAULT, 0));
    let send = story.accepted(submission);
    story.oracle.on_send(conn, b"x", Outcome::Transferred(1));
    let mut done = story.completion(send, Ok(Done::Sent));
    done.bytes = 1;
    canary("lease-comes-back", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn a_buffer_that_is_another_one() {
    let (mut story, recv) = cancelled();
    let mut done = story.completion(recv, Err(OpError::Cancelled));
    done.buffer = vec![0; 7].into();
    canary("same-buffer", story, |story| story.oracle.on_completion(&done));
}

#[test]
fn a_byte_that_was_not_sent() {
    let (mut story, conn) = Story::stream();
    let recv = story.submit_recv(conn, Task::Recv);
    story.oracle.on_recv(conn, 8, Outcome::Transferred(8));
    let mut done = story.completion(recv, RECEIVED);
    done.bytes = 8;
    canary("gap-free-prefix", story, |story| story.oracle.on_completion(&done));
}
