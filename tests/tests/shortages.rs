//! What the system refuses, and what it is short of: who waits for it goes on as soon as it is there, and
//! somebody hears of it (K5). On real sockets; what no test can bring about by itself, strace does to a child
//! of this test. The tests lower the limits of this process, so they take turns, in a process of their own.

use std::fs::File;
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aio::{Accept, Connect, Done, OpError, Proactor, SystemErrorKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, SockAddr, Socket, Type};
use tests::echo::listen;
use tests::failing::outside::obstacle;
use tests::turns::{PATIENCE, complete, turns_for};

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    limit_descriptors(4096);
    alone
}

fn limit_descriptors(count: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(maximum.map_or(count, |maximum| maximum.min(count)));
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// Takes all descriptors that there are.
fn take_all() -> Vec<File> {
    limit_descriptors(200);
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

/// The pauses are long by then: without a word it would be half a second until the next try.
#[test]
fn k5_a_descriptor_that_is_closed_is_used_at_once() {
    let _alone = alone();
    let mut aio: Proactor<u32> = Proactor::new().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(listener).unwrap();
    aio.submit(listener, Accept::many(), 0).unwrap();
    let _peer = TcpStream::connect(address).unwrap();
    let Ok(Done::Accepted(first)) = complete(&mut aio, 1)[0].result else { panic!("one is accepted") };
    let fillers = take_all();
    limit_descriptors(4096);
    let _more = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    limit_descriptors(200);
    let during = turns_for(&mut aio, Duration::from_millis(700));
    assert_eq!(during.len(), 0, "there is no descriptor for anybody");
    assert_eq!(aio.stats().lanes_backing_off, 1);
    let (began, mut batch, mut turns) = (Instant::now(), Vec::new(), 0);
    aio.close(first);
    while batch.is_empty() {
        aio.turn(&mut batch, Some(PATIENCE)).unwrap();
        turns += 1;
    }
    assert!(matches!(batch[0].result, Ok(Done::Accepted(_))), "{batch:?}");
    assert!(
        turns <= 2 && began.elapsed() < Duration::from_millis(50),
        "{turns} turns, {:?}",
        began.elapsed()
    );
    drop(fillers);
}

/// A peer's queue that has room again is no event for those who want in.
#[test]
fn k5_a_full_unix_queue_is_tried_again_within_50_ms() {
    let _alone = alone();
    let path = std::env::temp_dir().join(format!("aio-full-{}", std::process::id()));
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let mut aio: Proactor<u32> = Proactor::new().unwrap();
    for context in 0..2 {
        aio.submit(aio.own(), Connect::to(path.as_path()), context).unwrap();
    }
    // After eleven tries a pause that only doubles is a second long.
    let mut made = Vec::new();
    while aio.stats().counters.exhaustions < 11 {
        aio.turn(&mut made, Some(PATIENCE)).unwrap();
    }
    assert_eq!(made.len(), 1, "there is room for one");
    let taken = listener.accept().unwrap();
    let began = Instant::now();
    assert_eq!(complete(&mut aio, 1)[0].result, Ok(Done::Connected));
    assert!(began.elapsed() < Duration::from_millis(50), "{:?}", began.elapsed());
    drop(taken);
    std::fs::remove_file(path).unwrap();
}

/// Runs [`child`] in a process of its own, with these calls failing.
fn run_child(calls: &str, errno: &str) -> Option<Output> {
    if let Some(obstacle) = obstacle() {
        println!("SKIPPED: {obstacle}");
        return None;
    }
    let inject = format!("inject={calls}:error={errno}");
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env("LSAN_OPTIONS", "detect_leaks=0")
        .output();
    Some(output.unwrap())
}

/// Accepts one, and tells what came of it. Only as a child.
#[test]
#[ignore = "it is run by other tests, under strace"]
fn child() {
    let mut aio: Proactor<u32> = Proactor::new().unwrap();
    let listener = listen().unwrap();
    let address = listener.local_addr().unwrap();
    let listener = aio.adopt(listener).unwrap();
    let _peer = TcpStream::connect(address).unwrap();
    for _ in 0..2 {
        aio.submit(listener, Accept::many(), 0).unwrap();
        let (mut batch, began) = (Vec::new(), Instant::now());
        while batch.is_empty() && began.elapsed() < Duration::from_secs(3) {
            aio.turn(&mut batch, Some(Duration::from_millis(100))).unwrap();
        }
        let tries = aio.stats().counters.attempts;
        match batch.pop().map(|done| (done.result, done.more)) {
            Some((Ok(Done::Accepted(_)), true)) => return println!("child: accepted"),
            Some((Err(OpError::System(error)), false)) => {
                println!("child: refused {:?} {tries}", error.kind());
            }
            other => println!("child: nothing {other:?}"),
        }
    }
}

/// What the child says; the test harness may have begun its line.
fn told(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = said.lines().filter_map(|line| line.split_once("child: "));
    lines.map(|(_, told)| told.to_owned()).collect()
}

#[test]
fn k5_an_accept_that_the_system_refuses_ends_with_the_error_and_may_be_tried_anew() {
    let _alone = alone();
    for (errno, kind) in [("EPERM", SystemErrorKind::PermissionDenied), ("ENOSYS", SystemErrorKind::Other)] {
        let Some(output) = run_child("accept,accept4", errno) else { return };
        let expected = [4, 8].map(|tries| format!("refused {kind:?} {tries}"));
        assert_eq!(told(&output), expected, "{output:?}");
    }
}

#[test]
fn k5_where_accept4_is_forbidden_accept_is_taken() {
    let _alone = alone();
    for errno in ["ENOSYS", "EPERM"] {
        let Some(output) = run_child("accept4", errno) else { return };
        assert_eq!(told(&output), ["accepted"], "{output:?}");
    }
}
