//! What measures: a load, servers to compare, figures that noise does not touch; and what the
//! micro-benchmarks share.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- compare` sets the servers against each other
//! ([`compare`]); `-- figures` counts what noise does not touch ([`figures`]). The rows of the
//! micro-benchmarks are in `benches/`, one file per room of `aio-model`:
//! `cargo bench --manifest-path bench/Cargo.toml` runs them all; `-- arm_cancel` after it, those with that
//! name.
#![forbid(unsafe_code)]

pub mod compare;
mod deadlines;
pub mod figures;
pub mod load;
pub mod micro;
pub mod peers;
pub mod process;

pub use deadlines::DeadlineMix;

/// How many entries live beside the one that is measured.
pub const LIVE: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];
