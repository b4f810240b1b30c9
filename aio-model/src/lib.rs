//! The state machine behind `aio`: pure, deterministic, and the same on every operating system.
//!
//! [`Model`] holds all state: connections, each with two lanes of queued operations; timers; pools. It makes no
//! system call, reads no clock and knows no thread. [`turn()`] drives it against a [`System`], which is the
//! operating system (`aio-sys`) or a simulated one (`sim`): the loop is the same code. Users import `aio`, which
//! wraps the two together.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

mod attempt;
mod buffer;
mod check;
mod completion;
mod conn;
mod error;
mod id;
mod lane;
mod lease;
mod limits;
mod list;
mod model;
mod op;
mod parts;
mod pool;
pub mod slab;
mod stats;
#[cfg(feature = "std")]
mod std_io;
mod submit;
mod system;
mod time;
pub mod timers;
mod turn;

pub use buffer::Buffer;
pub use check::Violation;
pub use completion::{CloseReason, Completion, Done, OpError};
pub use error::{
    IdError, Limit, OpIdError, OpenError, ResumeError, SubmitError, SubmitErrorKind, SystemError,
    SystemErrorKind,
};
pub use id::{ConnId, Key, OpId};
pub use lease::{Home, Lease, Returned};
pub use limits::Limits;
pub use model::{Config, Model};
pub use op::{Accept, AcceptMany, Close, Operation, Post, Recv, Request, Send, Shutdown, Sleep};
pub use parts::{Parts, SLICES_MAX, Slices};
pub use pool::{PoolId, PoolSize};
pub use stats::Stats;
pub use system::{Kind, Outcome, Readiness, Rearm, Syscall, System, Wake};
pub use time::{Deadline, Instant, Tick};
pub use turn::{Turn, turn};
