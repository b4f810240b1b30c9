//! The tools that count: callgrind, memcheck and strace, each run twice, so that what both runs do cancels
//! out.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

use super::lockstep::{CLIENT_CALLS, CLIENTS};
use crate::compare::stats::number;

/// The rounds of two runs.
pub type Rounds = [usize; 2];

/// 2,000 and 12,000 echoes.
pub const ROUNDS: Rounds = [40, 240];

/// The operations of two runs of a row.
const ROW_OPS: [u64; 2] = [10_000, 60_000];

/// What is needed beside this program.
pub const TOOLS: [&str; 2] = ["valgrind", "strace"];

/// The tools that are not there.
pub fn missing() -> Vec<&'static str> {
    let is_missing = |tool: &&str| Command::new(tool).arg("--version").output().is_err();
    TOOLS.into_iter().filter(is_missing).collect()
}

/// User-space instructions of a server for an echo.
///
/// # Errors
///
/// When valgrind fails, or saw no turn.
pub fn instructions(program: &Path, peer: &str, rounds: Rounds) -> io::Result<f64> {
    per_echo(rounds, |rounds| {
        let valgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"];
        // What is counted is a turn of the server, with all that it calls; `inline(never)` keeps its name.
        let turns = "--toggle-collect=aio_bench::peers::*Echo::turn";
        let run = run("valgrind", valgrind.into_iter().chain([turns]), program, peer, rounds)?;
        let collected = number_after(&String::from_utf8_lossy(&run.stderr), "Collected :");
        collected.filter(|&count| count > 0).ok_or_else(|| puzzled("callgrind", &run))
    })
}

/// User-space instructions of a [row](crate::micro) for an operation, with what it takes to see that it
/// happened.
///
/// # Errors
///
/// When valgrind fails.
pub fn instructions_of_row(program: &Path, row: &str) -> io::Result<f64> {
    let count = |ops: u64| {
        let valgrind = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
        let mut command = Command::new("valgrind");
        command.args(valgrind).arg(program).args(["micro", "--row", row, "--ops", &ops.to_string()]);
        let run = finished("valgrind", &mut command)?;
        let did = number_after(&String::from_utf8_lossy(&run.stdout), "operations:");
        let collected = number_after(&String::from_utf8_lossy(&run.stderr), "Collected :");
        did.zip(collected).ok_or_else(|| puzzled("callgrind", &run))
    };
    let [(few, before), (many, after)] = [count(ROW_OPS[0])?, count(ROW_OPS[1])?];
    Ok((number(after) - number(before)) / number(many - few))
}

/// Heap allocations of a server for an echo; the clients make none.
///
/// # Errors
///
/// When valgrind fails.
pub fn allocations(program: &Path, peer: &str, rounds: Rounds) -> io::Result<f64> {
    per_echo(rounds, |rounds| {
        let valgrind = ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"];
        let run = run("valgrind", valgrind, program, peer, rounds)?;
        number_after(&String::from_utf8_lossy(&run.stderr), "total heap usage:")
            .ok_or_else(|| puzzled("memcheck", &run))
    })
}

/// System calls of a server for an echo, by name, and how many of all failed (EAGAIN included), as `failed`.
///
/// # Errors
///
/// When strace fails, or the server makes the calls that are taken for the clients'.
pub fn calls(program: &Path, peer: &str, rounds: Rounds) -> io::Result<BTreeMap<String, f64>> {
    let [short, long] = rounds.map(|rounds| calls_of(program, peer, rounds));
    let (short, long) = (short?, long?);
    let echoes = echoes(rounds);
    let per_echo = long.iter().map(|(name, &count)| {
        let before = short.get(name).copied().unwrap_or(0);
        (name.clone(), (number(count) - number(before)) / echoes)
    });
    // What happens once or twice in a run is not part of an echo.
    Ok(per_echo.filter(|(name, count)| *count > 0.001 || name == FAILED).collect())
}

const FAILED: &str = "failed";

fn calls_of(program: &Path, peer: &str, rounds: usize) -> io::Result<BTreeMap<String, u64>> {
    // The clients fail when they ask too early, so the failures of calls of theirs are none of the server's.
    let run = run("strace", ["-f", "-c", "-U", "name,calls,errors"], program, peer, rounds)?;
    let said = String::from_utf8_lossy(&run.stdout);
    let by_clients = number_after(&said, "client calls:").ok_or_else(|| puzzled("lockstep", &run))?;
    let mut calls = parse_summary(&String::from_utf8_lossy(&run.stderr));
    let seen: u64 = CLIENT_CALLS.iter().filter_map(|&name| calls.remove(name)).map(|call| call.0).sum();
    if seen != by_clients {
        return Err(io::Error::other(format!("the clients made {by_clients} calls, strace saw {seen}")));
    }
    let failed = calls.values().map(|call| call.1).sum();
    Ok(calls.into_iter().map(|(name, call)| (name, call.0)).chain([(FAILED.to_owned(), failed)]).collect())
}

/// Calls and failures of each system call in strace's summary.
fn parse_summary(text: &str) -> BTreeMap<String, (u64, u64)> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, calls) = (words.next()?, words.next()?.parse().ok()?);
        let errors = words.next().map_or(Some(0), |word| word.parse().ok())?;
        Some((name.to_owned(), (calls, errors)))
    };
    text.lines().filter_map(line).filter(|(name, _)| name != "total").collect()
}

fn per_echo(rounds: Rounds, count: impl Fn(usize) -> io::Result<u64>) -> io::Result<f64> {
    let [short, long] = rounds.map(count);
    let echoes = echoes(rounds);
    Ok((number(long?) - number(short?)) / echoes)
}

fn echoes(rounds: Rounds) -> f64 {
    number((CLIENTS * (rounds[1] - rounds[0])) as u64)
}

fn run(
    tool: &str,
    options: impl IntoIterator<Item: AsRef<OsStr>>,
    program: &Path,
    peer: &str,
    rounds: usize,
) -> io::Result<Output> {
    let mut command = Command::new(tool);
    command.args(options).arg(program).args(["lockstep", "--peer", peer, "--rounds", &rounds.to_string()]);
    finished(tool, &mut command)
}

fn finished(tool: &str, command: &mut Command) -> io::Result<Output> {
    let run = command.output()?;
    if run.status.success() { Ok(run) } else { Err(puzzled(tool, &run)) }
}

fn puzzled(tool: &str, run: &Output) -> io::Error {
    io::Error::other(format!("{tool}: {}\n{}", run.status, String::from_utf8_lossy(&run.stderr)))
}

/// The number that follows a text, thousands separated or not.
fn number_after(text: &str, mark: &str) -> Option<u64> {
    let word = text.split_once(mark)?.1.split_whitespace().next()?;
    word.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_what_the_tools_say() {
        let text = "==7== Collected : 12345\n==7==   total heap usage: 1,234 allocs, 1,200 frees";
        assert_eq!(number_after(text, "Collected :"), Some(12_345));
        assert_eq!(number_after(text, "total heap usage:"), Some(1234));
        assert_eq!(number_after(text, "Refs:"), None);
    }

    #[test]
    fn a_summary_of_strace_is_read_with_its_failures() {
        let text = "\
syscall               calls    errors
---------------- --------- ---------
recvfrom             12003         3
epoll_wait             242
---------------- --------- ---------
total                12245         3
";
        let calls = parse_summary(text);
        assert_eq!(calls.len(), 2);
        assert_eq!((calls["recvfrom"], calls["epoll_wait"]), ((12_003, 3), (242, 0)));
    }
}
