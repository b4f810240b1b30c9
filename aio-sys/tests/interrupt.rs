//! A signal ends a wait early, and that is no error.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aio_model::System;
use aio_sys::Os;

const EVENTS_MAX: std::num::NonZeroU32 = aio_model::Limits::DEFAULT.turn_events_max;

fn main() {
    let caught = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&caught)).unwrap();
    let mut os = Os::new().unwrap();
    // Again and again, lest the only one comes before the wait.
    let script = format!("while kill -USR1 {}; do :; done", std::process::id());
    let mut child = Command::new("sh").arg("-c").arg(script).spawn().unwrap();
    for _ in 0..3 {
        os.wait(None, EVENTS_MAX, |conn, readiness| panic!("{conn} is {readiness:?}")).unwrap();
    }
    assert!(caught.load(Ordering::SeqCst), "woken, but not by the signal");
    child.kill().unwrap();
    child.wait().unwrap();
    println!("an interrupted wait returns: ok");
}
