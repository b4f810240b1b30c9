//! Each system call made to fail in turn: a system that fails on demand, programs and peers that live with
//! it, and a judge of what came of it.
//!
//! ```text
//! scenario ── plays on ──▶ Stage: a program (Ledger over Failing) and its peers, in one thread
//! plan ── n-th call of a kind fails with an errno ──▶ Failing ── all other calls ──▶ Os
//! judge ◀── completions, bytes at the peers, descriptors, leases, turns
//! ```

pub mod campaign;
pub mod fault;
pub mod judge;
pub mod outside;
pub mod peer;
pub mod place;
pub mod programs;
pub mod stage;
pub mod system;
