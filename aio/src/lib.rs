//! A proactor network library: submit operations, get completions.
#![forbid(unsafe_code)]

mod builder;
mod mailbox;
mod proactor;
mod sync;
mod traced;

pub use aio_model::{
    Accept, AcceptMany, Buffer, CancelError, Close, CloseReason, Completion, ConnId, Deadline, Done, IdError,
    Instant, Lease, Limit, OpError, OpId, Operation, PoolId, Recv, Request, ResumeError, Send, Shutdown,
    Stats, SubmitError, SubmitErrorKind, System, SystemError, SystemErrorKind,
};
pub use aio_sys::{Os, Socket};
pub use builder::{AdoptError, BuildError, Builder};
pub use proactor::Proactor;
