//! Conversions to and from `std::io::Error`, for those who have `std`.

use std::io;

use crate::completion::OpError;
use crate::error::{
    AddrError, IdError, InvalidListen, ListenError, OpIdError, OpenError, ResumeError, SetIdleError,
    SetPoolError, SubmitError, SubmitErrorKind, SystemError, SystemErrorKind,
};

/// With the `errno` as it came, where there is one.
impl From<SystemError> for io::Error {
    fn from(error: SystemError) -> io::Error {
        if let Some(code) = error.code() {
            return io::Error::from_raw_os_error(code);
        }
        let kind = match error.kind() {
            SystemErrorKind::ConnectionReset => io::ErrorKind::ConnectionReset,
            SystemErrorKind::ConnectionAborted => io::ErrorKind::ConnectionAborted,
            SystemErrorKind::ConnectionRefused | SystemErrorKind::SelfConnected => {
                io::ErrorKind::ConnectionRefused
            }
            SystemErrorKind::NotFound => io::ErrorKind::NotFound,
            SystemErrorKind::BrokenPipe => io::ErrorKind::BrokenPipe,
            SystemErrorKind::NotConnected => io::ErrorKind::NotConnected,
            SystemErrorKind::TimedOut => io::ErrorKind::TimedOut,
            SystemErrorKind::Unreachable => io::ErrorKind::HostUnreachable,
            SystemErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            SystemErrorKind::WriteZero => io::ErrorKind::WriteZero,
            SystemErrorKind::Unsupported => io::ErrorKind::Unsupported,
            SystemErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            SystemErrorKind::AddressInUse => io::ErrorKind::AddrInUse,
            SystemErrorKind::AddressNotAvailable => io::ErrorKind::AddrNotAvailable,
            SystemErrorKind::NameTooLong => io::ErrorKind::InvalidFilename,
            SystemErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
            SystemErrorKind::DescriptorsExhausted | SystemErrorKind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// So that `?` works in a function that returns `io::Result`. Context and buffer are dropped: match on the
/// error itself to have them back.
impl<C> From<SubmitError<C>> for io::Error {
    fn from(error: SubmitError<C>) -> io::Error {
        error.kind.into()
    }
}

impl From<SubmitErrorKind> for io::Error {
    fn from(kind: SubmitErrorKind) -> io::Error {
        let io_kind = match kind {
            SubmitErrorKind::Busy(_) | SubmitErrorKind::ReceivesMany => io::ErrorKind::ResourceBusy,
            SubmitErrorKind::Stale | SubmitErrorKind::Closing | SubmitErrorKind::ShutDown => {
                io::ErrorKind::NotConnected
            }
            SubmitErrorKind::WriteShutDown | SubmitErrorKind::Tainted => io::ErrorKind::BrokenPipe,
            SubmitErrorKind::Foreign
            | SubmitErrorKind::EmptyBuffer
            | SubmitErrorKind::NotWritable
            | SubmitErrorKind::TooLarge
            | SubmitErrorKind::OutOfRange
            | SubmitErrorKind::WrongKind
            | SubmitErrorKind::NoPool
            | SubmitErrorKind::LeasesMax => io::ErrorKind::InvalidInput,
        };
        io::Error::new(io_kind, kind)
    }
}

macro_rules! into_io {
    ($($type:ty),*) => {
        $(impl From<$type> for io::Error {
            fn from(error: $type) -> io::Error {
                io::Error::other(error)
            }
        })*
    };
}

into_io!(OpIdError, IdError, ResumeError, SetIdleError, SetPoolError);

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> io::Error {
        let kind = match error {
            OpenError::Busy(_) => io::ErrorKind::ResourceBusy,
            OpenError::ShutDown => io::ErrorKind::NotConnected,
        };
        io::Error::new(kind, error)
    }
}

impl From<InvalidListen> for io::Error {
    fn from(error: InvalidListen) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

impl From<ListenError> for io::Error {
    fn from(error: ListenError) -> io::Error {
        match error {
            ListenError::Invalid(error) => error.into(),
            ListenError::Open(error) => error.into(),
            ListenError::System(error) => error.into(),
        }
    }
}

impl From<AddrError> for io::Error {
    fn from(error: AddrError) -> io::Error {
        match error {
            AddrError::System(error) => error.into(),
            error => io::Error::other(error),
        }
    }
}

/// So that `done.result?` works in a function that returns `io::Result`.
impl From<OpError> for io::Error {
    fn from(error: OpError) -> io::Error {
        let kind = match error {
            OpError::System(error) => return error.into(),
            OpError::Deadline | OpError::Idle => io::ErrorKind::TimedOut,
            // Not `Interrupted`, which callers take as an invitation to try again.
            OpError::Cancelled => io::ErrorKind::Other,
            OpError::Closed(_) => io::ErrorKind::NotConnected,
            OpError::Tainted => io::ErrorKind::BrokenPipe,
            OpError::UnexpectedEof => io::ErrorKind::UnexpectedEof,
        };
        io::Error::new(kind, error)
    }
}
