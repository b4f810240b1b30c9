//! The state machine behind `aio`: pure, deterministic, and the same on every operating system.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod buffer;
mod completion;
mod error;
mod id;
mod lease;
mod list;
mod op;
mod pool;
pub mod slab;
mod system;
mod time;
pub mod timers;

pub use buffer::Buffer;
pub use completion::{CloseReason, Completion, Done, OpError};
pub use error::{IdError, Limit, SubmitError, SubmitErrorKind, SystemError, SystemErrorKind};
pub use id::{ConnId, Key, OpId};
pub use lease::{Home, Lease, Returned};
pub use op::{Accept, AcceptMany, Close, Operation, Recv, Request, Send, Shutdown};
pub use pool::{PoolId, PoolSize};
pub use system::{Kind, Outcome, Readiness, Rearm, Syscall, System, Wake};
pub use time::{Deadline, Instant, Tick};
