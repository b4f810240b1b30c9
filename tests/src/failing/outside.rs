//! Calls made to fail from outside of the process, by strace: what the system below makes of an error number,
//! and what it does between one call and the next, no wrapper above it can see.
//!
//! The victim is a proxy in a process of its own; callers and upstream are here. A call that strace has fail
//! is not made.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use aio::Recv;
use socket2::Socket;

use super::programs::{Proxy, proxy_builder};
use super::stage::Stage;
use super::system::Failing;
use crate::bytes::Bytes;
use crate::process::descriptors;
use crate::turns::PATIENCE;

/// What is to come of a call that fails, as the callers and the victim tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StraceFinding {
    /// Nothing.
    Nothing,
    /// An operation ends with this error.
    Error(&'static str),
    /// A caller is dropped.
    Dropped,
    /// The victim does not start, and says why.
    NotStarted,
    /// A turn fails, and the next goes on.
    TurnFails,
}

/// One kind of failure: the system call, the error number, and what may come of it, which depends on what the
/// call was made for.
pub type StraceCase = (&'static str, &'static str, &'static [StraceFinding]);

const DESCRIPTORS: &str = "too many open files";
const MEMORY: &str = "out of kernel memory";
const INVALID: &str = "invalid argument";
const UNREACHABLE: &str = "host or network unreachable";

/// What fails, and what may come of it.
pub const CASES: &[StraceCase] = &{
    use StraceFinding::{Dropped, Error, NotStarted, Nothing, TurnFails};
    [
        ("accept4", "EINTR", &[Nothing] as &[StraceFinding]),
        ("accept4", "ECONNABORTED", &[Nothing]),
        ("accept4", "EPROTO", &[Nothing]),
        ("accept4", "ENETDOWN", &[Nothing]),
        ("accept4", "EHOSTUNREACH", &[Nothing]),
        ("accept4", "EMFILE", &[Nothing]),
        ("accept4", "ENFILE", &[Nothing]),
        ("accept4", "ENOBUFS", &[Nothing]),
        ("accept4", "ENOMEM", &[Nothing]),
        ("accept4", "EPERM", &[Nothing]),
        ("accept4", "EIO", &[Nothing]),
        ("accept4", "EINVAL", &[Error(INVALID)]),
        ("accept4", "EBADF", &[Error(INVALID)]),
        ("recvfrom", "EINTR", &[Nothing]),
        ("recvfrom", "ENOBUFS", &[Nothing]),
        ("recvfrom", "ENOMEM", &[Nothing]),
        ("recvfrom", "ECONNRESET", &[Error("connection reset by peer")]),
        ("recvfrom", "ETIMEDOUT", &[Error("connection timed out")]),
        ("recvfrom", "EHOSTUNREACH", &[Error(UNREACHABLE)]),
        ("recvfrom", "ENOTCONN", &[Error("not connected")]),
        ("recvfrom", "EIO", &[Error("system error")]),
        ("sendto", "EINTR", &[Nothing]),
        ("sendto", "ENOBUFS", &[Nothing]),
        ("sendto", "ENOMEM", &[Nothing]),
        ("sendto", "EPIPE", &[Error("broken pipe")]),
        ("sendto", "ECONNRESET", &[Error("connection reset by peer")]),
        ("sendto", "ETIMEDOUT", &[Error("connection timed out")]),
        ("sendto", "EPERM", &[Error("permission denied")]),
        ("sendto", "EIO", &[Error("system error")]),
        ("shutdown", "ENOTCONN", &[Error("not connected")]),
        ("shutdown", "EIO", &[Error("system error")]),
        ("socket", "EMFILE", &[Error(DESCRIPTORS), NotStarted]),
        ("socket", "ENFILE", &[Error(DESCRIPTORS), NotStarted]),
        ("socket", "ENOBUFS", &[Error(MEMORY), NotStarted]),
        ("socket", "EACCES", &[Error("permission denied"), NotStarted]),
        ("connect", "ECONNREFUSED", &[Error("connection refused")]),
        ("connect", "ETIMEDOUT", &[Error("connection timed out")]),
        ("connect", "EADDRNOTAVAIL", &[Error("address not available")]),
        ("connect", "ENETUNREACH", &[Error(UNREACHABLE)]),
        ("connect", "EPERM", &[Error("permission denied")]),
        ("connect", "EAGAIN", &[Nothing]),
        ("getsockopt", "ENOBUFS", &[Error(MEMORY), NotStarted, Nothing]),
        ("getpeername", "ENOBUFS", &[Error(MEMORY)]),
        ("getsockname", "ENOBUFS", &[Error(MEMORY), NotStarted, Nothing]),
        ("setsockopt", "ENOBUFS", &[Error(MEMORY), NotStarted, Nothing]),
        ("ioctl", "ENOMEM", &[Error(MEMORY), NotStarted, Nothing]),
        ("fcntl", "EMFILE", &[NotStarted, Nothing]),
        ("epoll_create1", "EMFILE", &[NotStarted]),
        ("eventfd2", "ENFILE", &[NotStarted]),
        ("epoll_ctl", "ENOMEM", &[Error(MEMORY), Dropped, Nothing, NotStarted]),
        ("epoll_ctl", "ENOSPC", &[Error(MEMORY), Dropped, Nothing, NotStarted]),
        ("epoll_wait", "EINTR", &[Nothing]),
        ("epoll_wait", "EINVAL", &[TurnFails]),
        ("epoll_wait", "ENOMEM", &[TurnFails]),
    ]
};

/// Callers, one after the other; each is served, but for the one that suffers from the failure.
const CALLERS: u64 = 3;

/// How much each says, and hears.
const BYTES: usize = 3000;

/// A run that was not as it should be.
#[derive(Debug)]
pub struct BrokenRun {
    case: StraceCase,
    nth: u32,
    detail: String,
}

impl fmt::Display for BrokenRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((call, errno, _), nth) = (self.case, self.nth);
        let command = "cargo run --release -p tests --bin strace --";
        write!(f, "{command} --call {call} --errno {errno} --nth {nth}\n    {}", self.detail)
    }
}

/// Why failures can not be made from outside here, if they can not.
pub fn obstacle() -> Option<String> {
    match Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output() {
        Err(error) => Some(format!("strace: {error}")),
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Has the n-th call fail in a victim (`program`, which is to call [`victim`]): what was seen, or nothing if
/// there are not so many calls.
///
/// # Errors
///
/// When it is not what should be.
pub fn inject(program: &Path, case: StraceCase, nth: u32) -> Result<Option<StraceFinding>, BrokenRun> {
    let log = Log::new();
    let run = run(program, case, nth, &log.0);
    let injected = std::fs::read_to_string(&log.0).unwrap_or_default().contains("(INJECTED)");
    let broken = |detail| BrokenRun { case, nth, detail };
    let run = run.map_err(|error| broken(error.to_string()))?;
    let seen = run.judge().map_err(|detail| broken(format!("{detail}: {run:?}")))?;
    let expected = if injected { case.2 } else { &[StraceFinding::Nothing] };
    if !expected.contains(&seen) {
        return Err(broken(format!("{seen:?} is none of {expected:?}: {run:?}")));
    }
    Ok(injected.then_some(seen))
}

/// Where strace writes to; removed in the end.
struct Log(PathBuf);

impl Log {
    fn new() -> Log {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Log(std::env::temp_dir().join(format!("aio-strace-{}-{number}", std::process::id())))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the callers and the victim tell.
#[derive(Debug)]
struct Run {
    /// For each caller, whether it heard all.
    whole: Vec<bool>,
    /// What the victim says, line by line.
    says: Vec<String>,
    status: Option<i32>,
}

impl Run {
    fn says(&self, what: &str) -> Vec<&str> {
        self.says.iter().filter_map(|line| line.strip_prefix(what)).map(str::trim).collect()
    }

    fn judge(&self) -> Result<StraceFinding, String> {
        if self.status == Some(3) && !self.says("not started:").is_empty() && self.says.len() == 1 {
            return Ok(StraceFinding::NotStarted);
        }
        let (errors, turns) = (self.says("error:"), self.says("turn failed:"));
        let lost = self.whole.iter().filter(|whole| !**whole).count();
        let listener = self.says("listener ended").len();
        if self.status != Some(0) || self.says("finished").len() != 1 {
            return Err("the victim did not finish well".to_owned());
        }
        if listener == 0 && (lost > 1 || self.whole.last() == Some(&false)) {
            return Err("more callers suffer than have to".to_owned());
        }
        match (errors.as_slice(), turns.as_slice(), lost) {
            ([], [], 0) => Ok(StraceFinding::Nothing),
            ([], [], 1) => Ok(StraceFinding::Dropped),
            ([], [_], 0) => Ok(StraceFinding::TurnFails),
            ([error], [], _) => {
                let known = CASES.iter().flat_map(|case| case.2).find(|seen| match seen {
                    StraceFinding::Error(text) => error.starts_with(text),
                    _ => false,
                });
                known.copied().ok_or_else(|| "an error that nobody expects".to_owned())
            }
            _ => Err("too much".to_owned()),
        }
    }
}

fn run(program: &Path, (call, errno, _): StraceCase, nth: u32, log: &Path) -> io::Result<Run> {
    let upstream = upstream()?.to_string();
    let ((stop, stopped), (output, says)) = (UnixStream::pair()?, UnixStream::pair()?);
    output.set_read_timeout(Some(PATIENCE))?;
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(log)
        .args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={errno}:when={nth}")])
        .arg(program)
        .args(["--victim", &upstream])
        // If it is built with one, its leak sanitizer can not look while it is traced itself.
        .env("LSAN_OPTIONS", "detect_leaks=0")
        .stdin(Stdio::from(OwnedFd::from(stopped)))
        .stdout(Stdio::from(OwnedFd::from(says)))
        .stderr(Stdio::null())
        .spawn()?;
    let played = converse(stop, output);
    if played.is_err() {
        child.kill()?;
    }
    let status = child.wait()?.code();
    played.map(|(whole, says)| Run { whole, says, status })
}

/// The address of an echo server that runs as long as this process.
fn upstream() -> io::Result<SocketAddr> {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    if let Some(address) = ADDRESS.get() {
        return Ok(*address);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| echo(stream));
        }
    });
    Ok(*ADDRESS.get_or_init(|| address))
}

/// The callers, one after the other; then the victim is told to stop, and heard to its end.
fn converse(stop: UnixStream, output: UnixStream) -> io::Result<(Vec<bool>, Vec<String>)> {
    let mut lines = BufReader::new(output).lines();
    let first = lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
    let mut whole = Vec::new();
    let mut says = Vec::new();
    match first.strip_prefix("listening on ").map(str::parse::<SocketAddr>) {
        Some(Ok(address)) => {
            for seed in 0..CALLERS {
                whole.push(call(address, seed)?);
            }
            if whole.last() == Some(&false) {
                // Connections after the failed one are served.
                whole.push(call(address, CALLERS)?);
            }
        }
        _ => says.push(first),
    }
    drop(stop);
    for line in lines {
        says.push(line?);
    }
    Ok((whole, says))
}

/// Says something and hears it again, to the end of the stream. Whether all of it came back.
///
/// # Errors
///
/// When other bytes come back, or neither bytes nor an end.
fn call(address: SocketAddr, seed: u64) -> io::Result<bool> {
    // When the listener has ended there is nobody.
    let Ok(mut stream) = TcpStream::connect(address) else { return Ok(false) };
    stream.set_read_timeout(Some(PATIENCE))?;
    let _ = stream.write_all(&Bytes::new(seed).take(BYTES));
    let _ = stream.shutdown(Shutdown::Write);
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
        Ok(_) | Err(_) => {}
    }
    if !Bytes::new(seed).matches(&heard) {
        return Err(io::Error::other("a caller heard other bytes than it said"));
    }
    Ok(heard.len() == BYTES)
}

fn echo(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    // A stream that breaks off is answered with what came.
    let _ = stream.read_to_end(&mut bytes);
    let _ = stream.write_all(&bytes);
}

/// The context of the receive that ends when the victim is to stop.
const STOP: usize = 9;

/// Be the victim: a proxy to `upstream` until standard input, which is a socket, ends. Says on standard
/// output where it listens and what has failed. The exit code: 3 if it can not even start.
///
/// # Panics
///
/// When anything but the expected goes wrong.
pub fn victim(upstream: SocketAddr) -> u8 {
    let before = descriptors().expect("descriptors");
    let served = serve(upstream);
    assert_eq!(descriptors().expect("descriptors"), before, "after {served:?}");
    match served {
        Ok(()) => {
            println!("finished");
            0
        }
        Err(error) => {
            println!("not started: {error}");
            3
        }
    }
}

fn serve(upstream: SocketAddr) -> io::Result<()> {
    let mut stage = Stage::new(proxy_builder(), Failing::new(&[])?);
    let stop = Socket::from(io::stdin().as_fd().try_clone_to_owned()?);
    let listener = Socket::from(TcpListener::bind("127.0.0.1:0")?);
    let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    let stop = stage.adopt(stop).ok_or_else(|| refusal(&stage))?;
    let listener = stage.adopt(listener).ok_or_else(|| refusal(&stage))?;
    stage.submit(stop, Recv::into(vec![0]), STOP);
    Proxy::serve(&mut stage, listener);
    println!("listening on {address}");
    let mut proxy = Proxy::to(upstream.into());
    stage.serve(&mut proxy, STOP);
    stage.errors().iter().for_each(|error| println!("error: {}", error.error));
    stage.failed_turns().iter().for_each(|error| println!("turn failed: {error}"));
    if stage.errors().iter().any(|error| error.conn == listener) {
        println!("listener ended");
    }
    stage.close();
    Ok(())
}

fn refusal(stage: &Stage) -> io::Error {
    let error = stage.given_back().first().map(|back| back.error.to_string());
    io::Error::other(error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(whole: &[bool], says: &[&str], status: i32) -> Run {
        let says = says.iter().map(|line| (*line).to_owned()).collect();
        Run { whole: whole.to_vec(), says, status: Some(status) }
    }

    #[test]
    fn what_a_victim_must_not_do_is_noticed() {
        assert_eq!(run(&[true; 3], &["finished"], 0).judge(), Ok(StraceFinding::Nothing));
        assert_eq!(run(&[false, true, true], &["finished"], 0).judge(), Ok(StraceFinding::Dropped));
        assert_eq!(run(&[], &["not started: why"], 3).judge(), Ok(StraceFinding::NotStarted));
        let broken = [
            run(&[true; 3], &[], 101),
            run(&[true; 3], &["finished"], 1),
            run(&[], &[], 3),
            run(&[false, false, true], &["error: broken pipe (os error 32)", "finished"], 0),
            run(&[true, true, false, false], &["finished"], 0),
            run(&[true, true, true, false], &["finished"], 0),
            run(&[false, true, true], &["error: nobody knows", "finished"], 0),
            run(&[true; 3], &["error: broken pipe (os error 32)", "turn failed: x", "finished"], 0),
        ];
        for run in broken {
            assert!(run.judge().is_err(), "{run:?}");
        }
    }
}
