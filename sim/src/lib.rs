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
//! The folders of `sim/src`, from the bottom up; none imports from one above it, and `sim/tests/layers.rs`
//! says so:
//!
//! | folder | what is in it |
//! |---|---|
//! | `world` | the simulated operating system, its network and its faults |
//! | `judge` | the workload, and the accounts of the contract that judge what the model does with it |
//! | `check` | tapes, how they are made short, and the page that shows a run |
//! | `tools` | campaigns, walks, seeded bugs, fuzzing, the command line: the feature `tools`, on by default |
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

mod check;
mod judge;
#[cfg(feature = "tools")]
mod tools;
#[cfg_attr(not(feature = "tools"), expect(dead_code, reason = "some of it is there for the tools alone"))]
mod world;

pub use aio_model::Violation;
pub use check::{picture, shrink, tape};
pub use judge::context::Context;
pub use judge::{episode, oracle, probes, reference};
#[cfg(feature = "tools")]
pub use tools::{bugs, campaign, exhaust, fuzzing, summary};
pub use world::choice::{Choice, Draw, Odds};
pub use world::connecting::Answer;
pub use world::engine::EngineKind;
pub use world::faults::{Fault, Faults};
pub use world::known_readiness::KnownReadiness;
pub use world::link::{Change, Condition, Family, Side};
pub use world::net::{Net, SimSocket};
pub use world::os::{SimOs, SimWaker};
pub use world::pattern;
pub use world::peer::{Act, PeerId, PeerState};
pub use world::pipe::Capacity;
pub use world::socket::SocketId;
pub use world::state::Counts;
pub use world::trace::{Call, TraceEntry};
pub use world::wrong_call::WrongCall;
