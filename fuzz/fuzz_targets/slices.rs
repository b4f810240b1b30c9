//! Gathered sends against the concatenation of their parts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::fuzzing::{must_hold, slices};

fuzz_target!(|bytes: &[u8]| must_hold(slices(bytes)));
