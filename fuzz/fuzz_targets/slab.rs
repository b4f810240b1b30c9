//! The slab against a map that remembers every key there ever was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::fuzzing::{must_hold, slab};

fuzz_target!(|bytes: &[u8]| must_hold(slab(bytes)));
