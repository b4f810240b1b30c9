//! Makes the system calls of a proxy fail from outside of its process, by strace, one at a time, and says
//! what was seen. Linux, where strace is installed and may trace.
//!
//! ```text
//! cargo run --release -p tests --bin strace -- --nth-max 20
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use tests::failing::outside::{CASES, StraceCase, inject, obstacle, victim};

/// Makes system calls of a proxy fail by strace, and prints what was observed
#[derive(Debug, Parser)]
struct Options {
    /// Only this system call
    #[arg(long)]
    call: Option<String>,

    /// Only this error number
    #[arg(long)]
    errno: Option<String>,

    /// Only the n-th call
    #[arg(long)]
    nth: Option<u32>,

    /// No later calls than the n-th
    #[arg(long, default_value_t = 20)]
    nth_max: u32,

    /// Run as the proxy under test, to this address (the program starts itself so)
    #[arg(long, hide = true)]
    victim: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(upstream) = options.victim {
        return ExitCode::from(victim(upstream));
    }
    if let Some(obstacle) = obstacle() {
        eprintln!("strace: skipped: {obstacle}");
        return ExitCode::from(2);
    }
    let Ok(program) = std::env::current_exe() else { return ExitCode::from(2) };
    let mut broken = 0;
    println!("{:<14} {:<14} {:>5}  what was seen", "call", "fails with", "runs");
    for case in CASES.iter().filter(|case| options.wants(case)) {
        let mut seen = BTreeMap::<String, u32>::new();
        let nths = options.nth.map_or(1..=options.nth_max, |nth| nth..=nth);
        for nth in nths {
            match inject(&program, *case, nth) {
                Ok(Some(one)) => *seen.entry(format!("{one:?}")).or_default() += 1,
                Ok(None) => break,
                Err(error) => {
                    broken += 1;
                    println!("broken: {error}");
                }
            }
        }
        let runs: u32 = seen.values().sum();
        let seen: Vec<_> = seen.into_iter().map(|(seen, runs)| format!("{seen} ×{runs}")).collect();
        println!("{:<14} {:<14} {runs:>5}  {}", case.0, case.1, seen.join(", "));
    }
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Options {
    fn wants(&self, case: &StraceCase) -> bool {
        self.call.as_ref().is_none_or(|call| call == case.0)
            && self.errno.as_ref().is_none_or(|errno| errno == case.1)
    }
}
