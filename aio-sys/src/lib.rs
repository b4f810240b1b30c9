//! The operating system behind `aio`: [`Os`] implements [`aio_model::System`] over mio (epoll, kqueue).
//!
//! One attempt of the model is one system call here, and its answer is passed on as it is. What to call,
//! when, how often and what to make of the answer is decided by the model: **there is no policy in this
//! crate**, no queue, no timer and no buffer. What it does own is the descriptors: each is closed once, by
//! [`Syscall::Close`](aio_model::Syscall::Close) or by the drop of [`Os`].
//!
//! | room | what is in it |
//! |---|---|
//! | `os` | [`Os`]: the seam, call by call |
//! | `table` | the descriptors, by connection |
//! | `engine` | mio: registration, re-arming, waiting |
//! | `token` | what an event carries, so that a late one is known |
//! | `waker` | [`OsWaker`] |
//! | `connect` | making connections |
//! | `listen` | making listeners; addresses |
//! | `peers` | the addresses of those who were accepted |
//! | `clock` | the time, and how long to sleep |
//! | `socket` | [`Socket`]: what can be adopted |
//! | `prepared` | [`PreparedSocket`]: what can be connected |
//! | `errno` | every error number, mapped once |
//! | `platform` | everything that differs from system to system |
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!("aio-sys needs a Unix: descriptors, and epoll, kqueue or poll");

mod clock;
mod connect;
mod engine;
mod errno;
mod flag;
mod listen;
mod os;
mod peers;
mod platform;
mod prepared;
mod socket;
mod sync;
mod table;
mod token;
mod waker;

pub use os::Os;
pub use prepared::{PrepareError, PrepareErrorKind, PreparedSocket};
pub use socket::Socket;
pub use waker::OsWaker;
