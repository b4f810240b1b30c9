//! What can be seen from outside: a sound episode whose account is changed in one place.

use super::episodes::{canary, connected};
use super::*;
use crate::judge::episode::Episode;

/// An episode with a stream, on which a receive with a deadline waits.
fn waiting() -> (Episode, ConnId) {
    let (mut episode, conn, _) = connected();
    let (deadline, bytes) = (Some(ms(60_000)), vec![0; 8]);
    let recv = Recv::into(bytes.clone()).deadline(ms(60_000));
    let id = episode.model.submit(conn, recv, Context::new(9), || Instant::ZERO).expect("there is room");
    let submission = Submission {
        conn,
        task: Task::Recv,
        context: 9,
        bytes,
        lease: None,
        lent: 0,
        deadline,
        renewal: None,
        at: Instant::ZERO,
    };
    episode.oracle.on_submitted(submission, Ok(id));
    episode.oracle.on_seen(&episode.model);
    (episode, conn)
}

#[test]
fn a_connection_that_is_older_than_it_looks() {
    let (episode, conn) = waiting();
    canary("conn-seen", episode, |episode| {
        episode.oracle.conns.get_mut(&conn).expect("it is there").opened_at = ms(1);
        episode.oracle.on_seen(&episode.model);
    });
}

#[test]
fn an_operation_that_looks_as_if_it_had_another_deadline() {
    let (episode, _) = waiting();
    canary("op-seen", episode, |episode| {
        episode.oracle.ops.get_mut(&9).expect("it is there").due = Some((60_001, 0));
        episode.oracle.on_seen(&episode.model);
    });
}

#[test]
fn a_connect_that_no_gauge_shows() {
    let (episode, conn) = waiting();
    canary("gauges-seen", episode, |episode| {
        // As if it had been accepted, and its completion were yet to be taken.
        episode.oracle.accepted += 1;
        assert!(episode.oracle.knows(conn));
        episode.oracle.on_seen(&episode.model);
    });
}

#[test]
fn a_turn_that_is_counted_twice() {
    let (episode, _) = waiting();
    canary("counters-seen", episode, |episode| {
        episode.oracle.counted.turns += 1;
        episode.oracle.on_seen(&episode.model);
    });
}
