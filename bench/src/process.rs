//! Processes: where they run, and what they have used.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The core that servers run on, and the one that everything else does.
pub const SERVER_CORE: usize = 0;
/// The core that the load, and this program, run on.
pub const LOAD_CORE: usize = 1;

/// Keeps the calling thread, and those it makes from now on, on one core.
///
/// # Errors
///
/// When there is no such core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)
        .map_err(|error| io::Error::other(format!("can not run on core {core}: {error}; two are needed")))
}

/// What every child does first: it does not outlive its parent, and may open as many descriptors as the
/// system allows.
///
/// # Errors
///
/// When the system refuses.
pub fn begin_as_child(core: Option<usize>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    core.map_or(Ok(()), pin)
}

/// How many descriptors a process may have at most.
pub fn descriptors_max() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// The CPU time, in nanoseconds, that all threads of a process have used, user and system together, as the
/// scheduler accounts for it (`sum_exec_runtime`). Of a thread that runs right now the last few milliseconds
/// may be missing, so ask when it sleeps: [`cpu_settled`].
///
/// # Errors
///
/// When there is no such process.
pub fn cpu_nanos(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while its name is read.
        if let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) {
            sum += first_number(&line).ok_or_else(|| io::Error::other(format!("schedstat: {line:?}")))?;
        }
    }
    Ok(sum)
}

/// [`cpu_nanos`], once the process sleeps: when none of its threads runs or waits for a core, and the figure
/// has stopped to move; or after a second at the latest.
///
/// # Errors
///
/// When there is no such process.
pub fn cpu_settled(pid: u32) -> io::Result<u64> {
    let mut last = cpu_nanos(pid)?;
    for _ in 0..1000 {
        thread::sleep(Duration::from_millis(1));
        let now = cpu_nanos(pid)?;
        if now == last && !is_runnable(pid)? {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// Whether a thread of the process runs, or would if it had a core.
fn is_runnable(pid: u32) -> io::Result<bool> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // Its name, in parentheses, may be anything; its state follows.
        if let Ok(line) = fs::read_to_string(task?.path().join("stat"))
            && line.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('R'))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Bytes of anonymous memory that a process has in RAM: its heap and stacks, without its code.
///
/// As the page tables have it. `RssAnon` of `/proc/PID/status` is cheaper, and on newer kernels off by up to
/// a few dozen pages for each core: the kernel counts there in batches.
///
/// # Errors
///
/// When there is no such process.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup"))?;
    anonymous(&rollup).ok_or_else(|| io::Error::other("smaps_rollup in /proc has no line `Anonymous:`"))
}

fn anonymous(rollup: &str) -> Option<u64> {
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).and_then(first_number)?;
    Some(kib * 1024)
}

/// The id of a child, as the system wants it.
///
/// # Errors
///
/// When it can not be one.
pub fn pid(id: u32) -> io::Result<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};
    use std::time::Instant;

    /// A process that does nothing else, until it is dropped.
    struct Doing(Child);

    impl Doing {
        fn new(script: &str) -> Doing {
            Doing(Command::new("sh").args(["-c", script]).spawn().unwrap())
        }
    }

    impl Drop for Doing {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    /// Of processes of their own: here, threads of other tests come and go, and take their account with them.
    #[test]
    fn work_is_seen_in_the_account_and_sleep_is_not() {
        let busy = Doing::new("while :; do :; done");
        let end = Instant::now() + Duration::from_secs(20);
        while cpu_nanos(busy.0.id()).unwrap() < 20_000_000 {
            assert!(Instant::now() < end, "20 ms of work are never seen");
        }
        assert!(is_runnable(busy.0.id()).unwrap());
        let idle = Doing::new("exec sleep 60");
        // It may settle in between, before it has come to its sleep.
        while cpu_settled(idle.0.id()).unwrap() != cpu_settled(idle.0.id()).unwrap() {
            assert!(Instant::now() < end, "a sleep is taken for work");
        }
        assert!(!is_runnable(idle.0.id()).unwrap());
        assert!(cpu_nanos(u32::MAX).is_err());
    }

    /// In a process of its own: here, other tests take memory and give it back.
    #[test]
    fn memory_is_counted_to_the_page() {
        let pages = |count: u32| {
            let script = format!("x=$(printf %0{}d 0); kill -STOP $$", count * 4096);
            let doing = Doing::new(&script);
            let stat = format!("/proc/{}/stat", doing.0.id());
            while !fs::read_to_string(&stat).unwrap().contains(") T ") {
                thread::yield_now();
            }
            let counts = [0; 3].map(|_: i32| resident_bytes(doing.0.id()).unwrap() / 4096);
            assert_eq!(counts, [counts[0]; 3], "a process that is stopped has what it has");
            counts[0]
        };
        let (few, many) = (pages(1), pages(1001));
        assert!(many >= few + 1000, "1,000 pages more: {few} and {many}");
    }

    #[test]
    fn of_a_summary_the_anonymous_pages_count() {
        let rollup =
            "Rss:       1612 kB\nPss_Anon:   12 kB\nAnonymous:        112 kB\nAnonHugePages:   4 kB\n";
        assert_eq!(anonymous(rollup), Some(112 * 1024));
        assert_eq!(anonymous("Rss:       1612 kB\n"), None);
    }
}
