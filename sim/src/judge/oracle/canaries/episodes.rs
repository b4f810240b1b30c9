//! What must be true when a turn, or an episode, is over: an episode is led astray.

use super::*;
use crate::judge::episode::{Episode, Setup};
use crate::world::choice::Choice;
use crate::world::engine::EngineKind;
use crate::world::peer::{Act, PeerId};

/// Leads an episode astray in which nothing went wrong, and expects that check to say so.
#[track_caller]
pub(super) fn canary(check: &str, mut episode: Episode, sabotage: impl FnOnce(&mut Episode)) {
    assert_eq!(episode.oracle.broken(), None, "nothing is wrong yet");
    sabotage(&mut episode);
    assert_eq!(
        episode.oracle.broken().map(|broken| broken.check),
        Some(check),
        "{:?}",
        episode.oracle.broken()
    );
}

/// An episode without faults and with plenty of everything, in which nothing has happened yet.
fn calm() -> Episode {
    Episode::new(Choice::simplest(), Setup { engine: Some(EngineKind::Epoll), ..Setup::default() })
}

/// The same with a stream in it, whose registration was reported.
pub(super) fn connected() -> (Episode, ConnId, PeerId) {
    let mut episode = calm();
    let (peer, socket) = episode.net.pair().expect("there are descriptors");
    let conn = episode.model.open(Kind::Stream).expect("there is room");
    assert!(aio_model::System::adopt(&mut episode.os, conn, socket).is_ok());
    episode.oracle.on_adopted(conn, Kind::Stream, Some(peer.serial()));
    episode.turn_until(Some(Instant::ZERO));
    (episode, conn, peer)
}

/// Tells the oracle of a submission, and the model of a sleep: so they agree on how many there are, and on no
/// more.
fn pretend(episode: &mut Episode, conn: ConnId, task: Task, bytes: &[u8]) {
    let own = episode.model.own();
    let id = episode
        .model
        .submit(own, Sleep::new(Duration::MAX), Context::new(0), || Instant::ZERO)
        .expect("there is room");
    let context = id.number();
    let submission = Submission {
        conn,
        task,
        context,
        bytes: bytes.to_vec(),
        lease: None,
        lent: 0,
        deadline: None,
        renewal: None,
        at: Instant::ZERO,
    };
    episode.oracle.on_submitted(submission, Ok(id));
}

fn rest(episode: &mut Episode) {
    episode.oracle.on_rest(&episode.model, &episode.net, episode.workload.leases.len());
}

/// A turn that brings a lease to the user.
fn receive(episode: &mut Episode, conn: ConnId, peer: PeerId) {
    let id =
        episode.model.submit(conn, Recv::pooled(), Context::new(9), || Instant::ZERO).expect("there is room");
    let task = Task::RecvPooled { pool: 0 };
    let submission = Submission {
        conn,
        task,
        context: 9,
        bytes: Vec::new(),
        lease: None,
        lent: 0,
        deadline: None,
        renewal: None,
        at: Instant::ZERO,
    };
    episode.oracle.on_submitted(submission, Ok(id));
    episode.net.peer_write_pattern(peer, 1);
    episode.turn_until(Some(Instant::ZERO));
    episode.take().expect("it was received");
}

#[test]
fn a_clock_that_stands_still() {
    canary("clock-clamped", calm(), |episode| {
        episode.oracle.on_time(ms(1_000_000));
        rest(episode);
    });
}

#[test]
fn a_connection_that_only_the_model_knows() {
    canary("credit-count", calm(), |episode| {
        episode.model.open(Kind::Stream).expect("there is room");
        rest(episode);
    });
}

#[test]
fn a_completion_that_never_comes() {
    let mut episode = calm();
    let own = episode.model.own();
    pretend(&mut episode, own, Task::Post, &[]);
    canary("completion-kept", episode, rest);
}

#[test]
fn a_connect_that_is_not_begun() {
    let mut episode = calm();
    let own = episode.model.own();
    pretend(&mut episode, own, Task::Connect, &[]);
    episode.model.open(Kind::Stream).expect("there is room");
    canary("connect-tried", episode, rest);
}

#[test]
fn a_buffer_that_nobody_has() {
    let (mut episode, conn, peer) = connected();
    receive(&mut episode, conn, peer);
    let _hidden = std::mem::take(&mut episode.workload.leases);
    canary("leases-in-use", episode, rest);
}

#[test]
fn a_lane_that_is_never_served() {
    let (mut episode, conn, _) = connected();
    pretend(&mut episode, conn, Task::Send { start: 0, end: 1 }, b"x");
    // A model that has something to do is not expected to have done everything.
    let own = episode.model.own();
    let id =
        episode.model.submit(own, Post::new(), Context::new(9), || Instant::ZERO).expect("there is room");
    let post = Submission {
        conn: own,
        task: Task::Post,
        context: 9,
        bytes: Vec::new(),
        lease: None,
        lent: 0,
        deadline: None,
        renewal: None,
        at: Instant::ZERO,
    };
    episode.oracle.on_submitted(post, Ok(id));
    canary("passed-over", episode, |episode| {
        for _ in 0..4 {
            episode.oracle.on_turn();
            episode.oracle.on_round(0);
            rest(episode);
        }
    });
}

/// A turn in which so many attempts of one are made for a send, none of which gets anywhere.
fn serve(episode: &mut Episode, conn: ConnId, attempts: u32) {
    episode.oracle.on_turn();
    episode.oracle.on_round(0);
    for _ in 0..attempts {
        episode.oracle.on_send(conn, b"x", Outcome::Interrupted);
    }
    episode.oracle.on_round_over();
}

#[test]
fn a_lane_that_gets_less_than_its_share() {
    let (mut episode, conn, _) = connected();
    pretend(&mut episode, conn, Task::Send { start: 0, end: 1 }, b"x");
    let share = episode.plan.limits.lane_attempts_max.get();
    serve(&mut episode, conn, share);
    canary("lane-share", episode, |episode| serve(episode, conn, share - 1));
}

#[test]
fn a_connect_that_gets_no_attempt() {
    let mut episode = calm();
    let own = episode.model.own();
    pretend(&mut episode, own, Task::Connect, &[]);
    canary("connect-share", episode, |episode| {
        episode.oracle.on_turn();
        episode.oracle.on_round(0);
        episode.oracle.on_round_over();
    });
}

#[test]
fn a_lane_whose_buffers_go_to_others() {
    let (mut episode, conn, peer) = connected();
    // All buffers are lent: the next receive has to wait for one.
    let leases = episode.plan.pools[0].buffers_max;
    (0..leases).for_each(|_| receive(&mut episode, conn, peer));
    let id = episode
        .model
        .submit(conn, Recv::pooled(), Context::new(99), || Instant::ZERO)
        .expect("there is room");
    let task = Task::RecvPooled { pool: 0 };
    let submission = Submission {
        conn,
        task,
        context: 99,
        bytes: Vec::new(),
        lease: None,
        lent: 0,
        deadline: None,
        renewal: None,
        at: Instant::ZERO,
    };
    episode.oracle.on_submitted(submission, Ok(id));
    episode.net.peer_write_pattern(peer, 1);
    episode.turn_until(Some(Instant::ZERO));
    canary("parked-in-line", episode, |episode| {
        episode.oracle.on_turn();
        // Some other lane, which has not waited, is said to have been lent one.
        let other = episode.model.open(Kind::Stream).expect("there is room");
        episode.oracle.on_adopted(other, Kind::Stream, None);
        episode.oracle.note_lent(other, 0, 100);
        rest(episode);
    });
}

#[test]
fn a_close_that_is_not_made() {
    let (mut episode, conn, _) = connected();
    episode.oracle.on_close_called(conn, CloseReason::Requested, true);
    canary("close-goes-on", episode, rest);
}

#[test]
fn a_send_that_a_drop_would_cut_off_unseen() {
    let (mut episode, conn, _) = connected();
    let own = episode.model.own();
    let id =
        episode.model.submit(own, Post::new(), Context::new(9), || Instant::ZERO).expect("there is room");
    let task = Task::Send { start: 0, end: 2 };
    let submission = Submission {
        conn,
        task,
        context: 9,
        bytes: vec![b'x'; 2],
        lease: None,
        lent: 0,
        deadline: None,
        renewal: None,
        at: Instant::ZERO,
    };
    episode.oracle.on_submitted(submission, Ok(id));
    episode.oracle.on_send(conn, b"xx", Outcome::Transferred(1));
    canary("drop-resets", episode, rest);
}

#[test]
fn a_fin_that_is_not_sent() {
    let (mut episode, conn, _) = connected();
    let manner = Manner::Linger(100);
    pretend(&mut episode, conn, Task::Close { manner, reason: CloseReason::Requested }, &[]);
    canary("linger-goes-on", episode, rest);
}

#[test]
fn a_receive_that_waits_although_a_buffer_is_free() {
    let (mut episode, conn, _) = connected();
    pretend(&mut episode, conn, Task::RecvPooled { pool: 0 }, &[]);
    episode.oracle.on_event(conn, Readiness::READABLE);
    canary("parked-goes-on", episode, rest);
}

#[test]
fn an_end_that_a_receive_without_a_buffer_is_not_told_of() {
    let (mut episode, conn, peer) = connected();
    episode.net.act(Act::ShutdownWrite { peer });
    (0..3).for_each(|_| episode.turn_until(Some(episode.net.now() + Duration::from_secs(1))));
    pretend(&mut episode, conn, Task::RecvPooled { pool: 0 }, &[]);
    canary("end-without-buffer", episode, rest);
}

#[test]
fn a_send_that_is_not_tried() {
    let (mut episode, conn, _) = connected();
    pretend(&mut episode, conn, Task::Send { start: 0, end: 1 }, b"x");
    canary("ready-goes-on", episode, rest);
}

#[test]
fn a_descriptor_that_became_free_and_is_not_used() {
    let mut episode = calm();
    let listener = episode.model.open(Kind::Listener).expect("there is room");
    episode.oracle.on_adopted(listener, Kind::Listener, None);
    pretend(&mut episode, listener, Task::AcceptOne, &[]);
    episode.oracle.on_event(listener, Readiness::READABLE);
    let new = episode.model.open(Kind::Stream).expect("there is room");
    episode.oracle.on_accept(listener, new, None, Outcome::Exhausted(crate::world::errno::EMFILE));
    episode.model.rollback_open(new);
    rest(&mut episode);
    canary("freed-descriptor-used", episode, |episode| {
        episode.oracle.descriptor_closed();
        rest(episode);
    });
}

#[test]
fn an_event_that_was_lost() {
    let (mut episode, conn, peer) = connected();
    pretend(&mut episode, conn, Task::Recv, &[0; 8]);
    episode.net.peer_write_pattern(peer, 1);
    rest(&mut episode);
    canary("event-owed", episode, |episode| {
        let events_max = std::num::NonZeroU32::MIN;
        aio_model::System::wait(&mut episode.os, Some(Instant::ZERO), events_max, |_, _| {})
            .expect("it does not fail");
        rest(episode);
    });
}

#[test]
fn an_operation_without_an_end() {
    let (mut episode, conn, _) = connected();
    pretend(&mut episode, conn, Task::Recv, &[0; 8]);
    canary("everything-ends", episode, |episode| episode.oracle.on_settled(&episode.net));
}

#[test]
fn a_panic() {
    canary("no-panic", calm(), |episode| episode.guard(|_| panic!("on purpose")));
}

#[test]
fn a_lease_that_outlives_the_end() {
    let (mut episode, conn, peer) = connected();
    receive(&mut episode, conn, peer);
    episode.close_conn(conn, CloseReason::Requested);
    episode.turn_until(Some(Instant::ZERO));
    let _hidden = std::mem::take(&mut episode.workload.leases);
    canary("nothing-left", episode, Episode::shut_down);
}

#[test]
fn a_descriptor_that_outlives_the_end() {
    let mut episode = calm();
    let (_, socket) = episode.net.pair().expect("there are descriptors");
    let conn = episode.model.open(Kind::Stream).expect("there is room");
    assert!(aio_model::System::adopt(&mut episode.os, conn, socket).is_ok());
    episode.model.rollback_open(conn);
    canary("descriptors-closed", episode, Episode::shut_down);
}

#[test]
fn what_the_border_noticed_breaks_the_episode() {
    let mut episode = calm();
    let stranger = episode.model.open(Kind::Stream).expect("there is room");
    aio_model::System::perform(&mut episode.os, Syscall::Close { conn: stranger, reset: false });
    episode.step();
    assert_eq!(episode.oracle.broken().map(|broken| broken.check), Some("border-known"));
}
