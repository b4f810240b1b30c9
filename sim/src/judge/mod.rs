//! The judge: a workload drives the model in the simulated world, and two accounts of the contract judge it.
//!
//! The oracle judges an episode of the model after every step. The reference predicts what `aio::Proactor`
//! does, call by call. Neither shares code with the model, nor with the other.

pub(crate) mod asking;
pub(crate) mod context;
pub mod episode;
pub(crate) mod observer;
pub(crate) mod odd;
pub mod oracle;
pub(crate) mod plan;
pub mod probes;
pub mod reference;
pub(crate) mod watch;
pub(crate) mod workload;
