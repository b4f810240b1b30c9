//! A program that runs, and is ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) const ECHO: &str = env!("CARGO_BIN_EXE_example_echo");
pub(crate) const LOOPS: &str = env!("CARGO_BIN_EXE_example_loops");

/// A server that has said where it listens.
pub(crate) struct Program {
    child: Child,
    output: BufReader<ChildStdout>,
    /// The first line that it printed.
    pub(crate) line: String,
}

/// What is left of a program that has ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) errors: String,
}

impl Program {
    /// Starts a program, and waits for its first line; or for its end, if it prints none.
    pub(crate) fn start(path: &str, arguments: &[&str]) -> Result<Program, Ended> {
        let mut command = Command::new(path);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mut program = Program { child, output, line: line.trim_end().to_owned() };
        if line.is_empty() { Err(program.end()) } else { Ok(program) }
    }

    /// Where it listens: the last word of its line.
    pub(crate) fn address(&self) -> &str {
        self.line.rsplit(' ').next().unwrap()
    }

    /// Asks it to end, as Ctrl-C does, and waits until it has.
    pub(crate) fn stop(mut self) -> Ended {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.end()
    }

    /// Ends it without a chance to do anything about it, and waits until it has.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.end();
    }

    fn end(&mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        self.output.read_to_string(&mut String::new()).unwrap();
        Ended { status, errors }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of a test's own, removed with everything in it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Directory {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("aio-examples-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
