//! Any bytes are a script for the simulator; the contract holds on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::Choice;
use sim::episode::{Setup, run};

fuzz_target!(|bytes: &[u8]| {
    let report = run(Choice::bytes(bytes), Setup::default());
    if let Some(broken) = report.broken {
        panic!("{}: {}\ntape: {:?}", broken.rule, broken.what, report.tape);
    }
});
