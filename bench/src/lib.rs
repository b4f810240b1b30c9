//! What the benchmarks share: chance, and deadlines like those of real programs.
//!
//! The rows are in `benches/`, one file per room of `aio-model`. `cargo bench --manifest-path bench/Cargo.toml`
//! runs them all; `-- arm_cancel` after it, those with that name.
#![forbid(unsafe_code)]

mod chance;
mod deadlines;

pub use chance::Chance;
pub use deadlines::Deadlines;

/// How many entries live beside the one that is measured.
pub const LIVE: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
