//! The state machine behind `aio`: pure, deterministic, and the same on every operating system.
//!
//! [`Model`] holds all state: connections, each with two lanes of queued operations; timers; pools. It makes
//! no system call, reads no clock and knows no thread. [`turn()`] drives it against a [`System`], which is
//! the operating system (`aio-sys`) or a simulated one (`sim`): the loop is the same code. Users import
//! `aio`, which wraps the two together. What it promises, and how each promise is kept, is in [`contract`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod buffer;
mod check;
mod completion;
mod completions;
mod conn;
mod connect;
pub mod contract;
mod deadlines;
mod direction;
mod error;
mod extra;
mod id;
mod info;
mod lane;
mod lanes;
mod lease;
mod limits;
mod listen;
mod metrics;
mod model;
mod noun;
mod op;
mod own;
mod pool;
mod queue;
pub mod slab;
mod spin;
mod stats;
#[cfg(feature = "std")]
mod std_io;
mod system;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
pub mod timers;
mod together;
mod transfer;
mod turn;

pub use buffer::{Buffer, Parts, SLICES_MAX, Slices, SlicesMut};
pub use check::Violation;
pub use completion::{CloseReason, Completion, Done, OpError};
pub use connect::{Address, Target, UserSocket};
pub use direction::Direction;
pub use error::{
    AddrError, IdError, InvalidListen, Limit, ListenError, OpIdError, OpenError, ResumeError, SetIdleError,
    SetPoolError, SubmitError, SubmitErrorKind, SystemError, SystemErrorKind,
};
pub use id::{ConnId, Key, OpId, PoolId};
pub use info::{ConnInfo, ConnPhase, LaneInfo, LanePlace, OpInfo};
pub use lane::End as LaneEnd;
pub use lease::{Home, Lease, Returned};
pub use limits::Limits;
pub use listen::Listen;
pub use metrics::{Counters, Queued};
#[doc(hidden)]
pub use model::Begun;
pub use model::{Config, Model};
pub use noun::{Accept, AcceptMany, Close, Connect, Post, Recv, RecvMany, Send, Shutdown, Sleep, Wait};
pub use op::{Operation, Request};
pub use pool::PoolSize;
pub use spin::Spin;
pub use stats::{Layout, LeaseHolders, Stats};
pub use system::{Kind, Outcome, Readiness, Rearm, Syscall, System, Wake};
pub use time::{Deadline, Instant, Tick};
pub use turn::{Turn, TurnStage, turn};
