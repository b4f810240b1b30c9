//! The simulated operating system: sockets, a network, readiness engines, a clock, and faults.
//!
//! It knows `aio-model`'s seam, and nothing of what is asked of the model: no rule of the contract is judged
//! here but those of the border (`wrong_call`).

pub(crate) mod agenda;
pub(crate) mod calls;
pub(crate) mod choice;
pub(crate) mod clock;
pub(crate) mod connecting;
pub(crate) mod dice;
pub(crate) mod engine;
#[cfg(test)]
mod engine_tests;
pub(crate) mod errno;
pub(crate) mod faults;
pub(crate) mod known_readiness;
pub(crate) mod link;
pub(crate) mod listening;
#[cfg(test)]
mod listening_tests;
pub(crate) mod names;
pub(crate) mod net;
pub(crate) mod os;
#[cfg(test)]
mod os_tests;
pub mod pattern;
pub(crate) mod peer;
pub(crate) mod pieces;
pub(crate) mod pipe;
#[cfg(test)]
mod sim_contract;
pub(crate) mod socket;
pub(crate) mod state;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod timing;
pub(crate) mod trace;
pub(crate) mod traffic;
pub(crate) mod wait;
pub(crate) mod wrong_call;
