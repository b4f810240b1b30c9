//! Pooled receives against a naive account of who waits for which buffer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::fuzzing::{must_hold, pool};

fuzz_target!(|bytes: &[u8]| must_hold(pool(bytes)));
