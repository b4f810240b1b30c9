//! The errors that the simulated system gives, with the numbers that Linux has for them.

use aio_model::{SystemError, SystemErrorKind as Kind};

pub(crate) const EPERM: SystemError = SystemError::new(Kind::PermissionDenied, 1);
pub(crate) const EBADF: SystemError = SystemError::new(Kind::InvalidInput, 9);
pub(crate) const EAGAIN: SystemError = SystemError::new(Kind::Other, 11);
pub(crate) const ENOMEM: SystemError = SystemError::new(Kind::OutOfMemory, 12);
pub(crate) const EINVAL: SystemError = SystemError::new(Kind::InvalidInput, 22);
pub(crate) const ENFILE: SystemError = SystemError::new(Kind::DescriptorsExhausted, 23);
pub(crate) const EMFILE: SystemError = SystemError::new(Kind::DescriptorsExhausted, 24);
pub(crate) const ENOSPC: SystemError = SystemError::new(Kind::OutOfMemory, 28);
pub(crate) const EPIPE: SystemError = SystemError::new(Kind::BrokenPipe, 32);
pub(crate) const ENAMETOOLONG: SystemError = SystemError::new(Kind::NameTooLong, 36);
pub(crate) const ENOSYS: SystemError = SystemError::new(Kind::Other, 38);
pub(crate) const EADDRINUSE: SystemError = SystemError::new(Kind::AddressInUse, 98);
pub(crate) const ECONNRESET: SystemError = SystemError::new(Kind::ConnectionReset, 104);
pub(crate) const ENOBUFS: SystemError = SystemError::new(Kind::OutOfMemory, 105);
pub(crate) const ENOTCONN: SystemError = SystemError::new(Kind::NotConnected, 107);
pub(crate) const ETIMEDOUT: SystemError = SystemError::new(Kind::TimedOut, 110);
pub(crate) const ECONNREFUSED: SystemError = SystemError::new(Kind::ConnectionRefused, 111);
pub(crate) const EHOSTUNREACH: SystemError = SystemError::new(Kind::Unreachable, 113);
pub(crate) const SELF_CONNECTED: SystemError = SystemError::from_kind(Kind::SelfConnected);
