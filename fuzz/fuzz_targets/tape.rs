//! Any bytes are a script for the simulator; the contract holds on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::fuzzing::{must_hold, tape};

fuzz_target!(|bytes: &[u8]| must_hold(tape(bytes)));
