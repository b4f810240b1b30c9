//! The timers against a sorted map.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::fuzzing::{must_hold, timers};

fuzz_target!(|bytes: &[u8]| must_hold(timers(bytes)));
