//! System calls made to fail from outside of the process, the first few of each kind. The long form is
//! `cargo run --release -p tests --bin strace`. Skipped, not passed, where strace is not installed or may not
//! trace.

use std::path::Path;

use tests::failing::outside::{CASES, StraceFinding, inject, obstacle};

/// So many of each kind.
const NTH_MAX: u32 = 3;

fn main() {
    if let Some(obstacle) = obstacle() {
        println!("failures from outside: SKIPPED: {obstacle}");
        return;
    }
    let victim = Path::new(env!("CARGO_BIN_EXE_strace"));
    let (mut runs, mut reached) = (0, 0);
    for case in CASES {
        for nth in 1..=NTH_MAX {
            match inject(victim, *case, nth) {
                Ok(Some(_)) => runs += 1,
                Ok(None) => break,
                Err(broken) => panic!("{broken}"),
            }
            reached += u32::from(nth == 1);
        }
    }
    assert!(runs > 0 && reached > 30, "{runs} runs of {reached} cases");

    // The canaries: an error that nobody is told of, and one that somebody is.
    for case in [
        ("recvfrom", "ECONNRESET", &[StraceFinding::Nothing] as &[StraceFinding]),
        ("accept4", "EMFILE", &[StraceFinding::Dropped]),
    ] {
        inject(victim, case, 1).expect_err("the check can not fail");
    }
    println!("failures from outside: {runs} calls of {reached} cases failed as they should: ok");
}
