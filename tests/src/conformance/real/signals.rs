//! Signals that strike the thread that plays a script.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use signal_hook::consts::SIGUSR1;

/// The time from one signal to the next: a few strike every wait that sleeps.
const PACE: Duration = Duration::from_micros(50);

/// Calls `play`, and interrupts the thread that does so for as long as it lasts.
///
/// # Errors
///
/// When the signal can not be caught, or `play` fails.
pub(super) fn under_signals<T>(play: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch()?;
    let player = pthread_self();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // The scope outlives the thread that it sends signals from, and is left by the player alone: so the
        // player lives whenever it is sent one.
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                let _ = pthread_kill(player, Signal::SIGUSR1);
                thread::sleep(PACE);
            }
        });
        let over = Over(&over);
        let played = play();
        drop(over);
        played
    })
}

/// Ends the signals when it is dropped, by a panic, too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Has the signal do nothing but interrupt; unless it is caught it ends the process.
fn catch() -> io::Result<()> {
    static CAUGHT: OnceLock<Result<(), i32>> = OnceLock::new();
    let caught = CAUGHT.get_or_init(|| {
        let registered = signal_hook::flag::register(SIGUSR1, Arc::new(AtomicBool::new(false)));
        registered.map(drop).map_err(|error| error.raw_os_error().unwrap_or_default())
    });
    caught.map_err(io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use rustix::event::{Timespec, poll};
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_sleep_is_interrupted() {
        let day = Timespec { tv_sec: 86_400, tv_nsec: 0 };
        let slept = under_signals(|| Ok(poll(&mut [], Some(&day))));
        assert_eq!(slept.unwrap(), Err(Errno::INTR));
    }
}
