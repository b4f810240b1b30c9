//! Urgent data under a storm of signals: a receive that begins at their mark while a signal waits is told
//! EAGAIN, although there are bytes behind it. Each of these bytes must be heard of all the same.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aio_model::testing::Ids;
use aio_model::{ConnId, Outcome, Rearm, Syscall, System};
use aio_sys::Os;
use rustix::net::SendFlags;
use rustix::process::{Signal, getpid, kill_process};

const EVENTS_MAX: std::num::NonZeroU32 = aio_model::Limits::DEFAULT.turn_events_max;

/// How often it has to have happened, and how many rounds that may take: mostly a few hundred, but where both
/// threads have to share a processor it happens to none.
const TIMES: u32 = 5;
const ROUNDS_MAX: u32 = 60_000;

/// Receives until there are two bytes, as the model does: what a receive proves to be empty is not tried
/// again before an event says so. Returns how often it would have blocked. Where only that has an event
/// follow (poll(2)), it is what every round begins with.
fn receive_two(os: &mut Os, conn: ConnId, round: u32) -> u32 {
    let one_shot = os.rearm() == Rearm::OnWouldBlock;
    let (mut count, mut ready, mut blocked) = (0, one_shot, 0);
    let end = os.now() + Duration::from_secs(10);
    while count < 2 {
        if !ready {
            let now =
                os.wait(Some(end), EVENTS_MAX, |_, readiness| ready |= readiness.wakes_receive()).unwrap();
            assert!(now < end, "a lost wake-up in round {round}: {count} bytes, and {blocked} times none");
            continue;
        }
        let mut buffer = [0; 8];
        match os.perform(Syscall::Recv { conn, buffer: &mut buffer }) {
            Outcome::Transferred(bytes) => (count, ready) = (count + bytes, one_shot),
            Outcome::Partial(bytes) => count += bytes,
            Outcome::WouldBlock => (blocked, ready) = (blocked + 1, false),
            Outcome::Interrupted => {}
            other => panic!("{other:?}"),
        }
    }
    blocked
}

/// What an attacker would send: urgent data of which nothing follows. That is no reason to be busy.
fn idle_with_urgent_data(os: &mut Os, conn: ConnId, peer: &TcpStream) {
    rustix::net::send(peer, b"X", SendFlags::OOB).unwrap();
    let (mut waits, end) = (0, os.now() + Duration::from_millis(100));
    let mut ready = true;
    loop {
        let now = os.wait(Some(end), EVENTS_MAX, |_, readiness| ready |= readiness.wakes_receive()).unwrap();
        waits += 1;
        if now >= end {
            break;
        }
        while std::mem::take(&mut ready) {
            let outcome = os.perform(Syscall::Recv { conn, buffer: &mut [0; 8] });
            assert_eq!(outcome, Outcome::WouldBlock);
        }
    }
    assert!(waits < 20, "{waits} waits in 100 ms");
}

// Signals go to the first thread of a process, so the test has to be on it.
fn main() {
    let (mut os, mut ids) = (Os::new().unwrap(), Ids::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_nodelay(true).unwrap();
    let conn = ids.open();
    os.adopt(conn, listener.accept().unwrap().0.into()).unwrap();
    idle_with_urgent_data(&mut os, conn, &peer);

    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::new(AtomicBool::new(false))).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let storm = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                kill_process(getpid(), Signal::USR1).unwrap();
            }
        })
    };
    let (mut rounds, mut blocked) = (0, 0);
    while blocked < TIMES && rounds < ROUNDS_MAX {
        rounds += 1;
        peer.write_all(b"a").unwrap();
        rustix::net::send(&peer, b"X", SendFlags::OOB).unwrap();
        peer.write_all(b"b").unwrap();
        blocked += receive_two(&mut os, conn, rounds);
    }
    over.store(true, Ordering::Relaxed);
    storm.join().unwrap();
    println!(
        "{rounds} urgent bytes, {blocked} receives at their mark that were told EAGAIN, and no wake-up lost: ok"
    );
}
