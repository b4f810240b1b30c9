//! What the tests on real sockets share: a server to talk to, streams with a peer to play, an account of
//! every operation, bytes that can be told from others, turns until something has happened, figures of this
//! process, and calls that are made to fail.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod conformance;
pub mod echo;
pub mod failing;
pub mod ledger;
pub mod pair;
pub mod platform;
pub mod process;
pub mod soak;
pub mod turns;

/// The server of the echo example, as it is.
#[path = "../../aio/examples/echo/serve.rs"]
mod serve;
