//! A simulated operating system for `aio`: sockets, a network, readiness engines and a clock, in memory,
//! deterministic, and with everything that can go wrong going wrong on demand.
//!
//! ```text
//!   system under test ──Syscall──▶ calls ──▶ link ◀── peer ◀── test, workload
//!          ▲                         │        │pipes     (the far ends)
//!          │                         ▼        ▼
//!          └──events── wait ◀── engine ◀── traffic      dice: choice + faults, asked by all
//!                       clock, agenda                   trace: told by all
//! ```
//!
//! A run is a pure function of its [`Choice`]s: of a seed, a tape, or a fuzzer's bytes. Nothing here iterates
//! over a hash map, reads a clock, or looks at an address.
//!
//! ```
//! use aio_model::System;
//! use sim::{EngineKind, Net, SimOs};
//!
//! let net = Net::calm();
//! let os = SimOs::new(net.clone(), EngineKind::Epoll);
//! let listener = net.listen(16)?;
//! let peer = net.connect(listener.id())?;
//! assert_eq!(net.peer_write(peer, b"hello"), 5);
//! # Ok::<(), aio_model::SystemError>(())
//! ```
#![forbid(unsafe_code)]

mod agenda;
mod asking;
pub mod bugs;
mod calls;
pub mod campaign;
mod choice;
mod clock;
mod context;
mod dial;
mod dice;
mod engine;
#[cfg(test)]
mod engine_tests;
pub mod episode;
mod errno;
pub mod exhaust;
mod faults;
pub mod fuzzing;
#[cfg(test)]
mod honesty;
mod lender;
mod link;
mod names;
mod net;
mod odd;
pub mod oracle;
mod os;
#[cfg(test)]
mod os_tests;
pub mod pattern;
mod peer;
pub mod picture;
mod pieces;
mod pipe;
mod plan;
pub mod probes;
pub mod reference;
mod shelf;
pub mod shrink;
mod socket;
pub mod summary;
pub mod tape;
#[cfg(test)]
mod testing;
mod timing;
mod trace;
mod traffic;
mod violation;
mod wait;
mod watch;
mod workload;
mod world;

pub use choice::{Choice, Draw, Odds};
pub use context::Context;
pub use dial::Answer;
pub use engine::{Direction, EngineKind};
pub use faults::{Fault, Faults};
pub use lender::Lender;
pub use link::{Change, Condition, Family, Side};
pub use net::{Net, SimSocket};
pub use os::{SimOs, SimWaker};
pub use peer::{Act, PeerId, PeerState};
pub use pipe::Capacity;
pub use socket::SocketId;
pub use trace::{Call, TraceEntry};
pub use violation::Violation;
pub use world::Counts;
