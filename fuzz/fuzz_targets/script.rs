//! The whole model under any calls of a user and any answers of a system.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::fuzzing::{must_hold, script};

fuzz_target!(|bytes: &[u8]| must_hold(script(bytes)));
