//! Every error number, mapped once: to what the model is told, and to and from `std::io::Error`.

use std::io;

use aio_model::{Outcome, SystemError, SystemErrorKind};
use rustix::io::Errno;

/// The `std::io::Error` of a system error: that of its number, if it has one.
pub fn io_error(error: SystemError) -> io::Error {
    match error.code() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(io_kind(error.kind()), error),
    }
}

/// The system error of a `std::io::Error`. Undoes [`io_error`].
pub fn system_error(error: &io::Error) -> SystemError {
    if let Some(errno) = Errno::from_io_error(error) {
        return from_errno(errno);
    }
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.copied().unwrap_or_else(|| SystemError::from_kind(from_io_kind(error.kind())))
}

pub(crate) fn from_errno(errno: Errno) -> SystemError {
    SystemError::new(kind(errno), errno.raw_os_error())
}

/// What a failed receive, send or shutdown tells the model.
pub(crate) fn outcome(errno: Errno) -> Outcome {
    if errno == Errno::AGAIN || errno == Errno::WOULDBLOCK {
        Outcome::WouldBlock
    } else if errno == Errno::INTR {
        Outcome::Interrupted
    } else {
        refusal(from_errno(errno))
    }
}

/// What a failed accept tells the model.
///
/// Most of its errors are the early end of the *connection* that would have been accepted; accept(2) asks for
/// those of TCP/IP to be ignored. A listener outlives them all: only an error that is about the listener itself
/// ends it, and one that nobody has thought of makes accepting pause, not end and not spin.
pub(crate) fn accept_outcome(errno: Errno) -> Outcome {
    match errno {
        Errno::CONNABORTED
        | Errno::CONNRESET
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::NOPROTOOPT
        | Errno::PROTO
        | Errno::TIMEDOUT => Outcome::Interrupted,
        Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK => Outcome::Failed(from_errno(errno)),
        _ => match outcome(errno) {
            Outcome::Failed(error) => Outcome::Exhausted(error),
            other => other,
        },
    }
}

/// What an error that will not pass at once tells the model: whether it ever will.
pub(crate) fn refusal(error: SystemError) -> Outcome {
    match error.kind() {
        SystemErrorKind::DescriptorsExhausted | SystemErrorKind::OutOfMemory => Outcome::Exhausted(error),
        _ => Outcome::Failed(error),
    }
}

fn kind(errno: Errno) -> SystemErrorKind {
    match errno {
        Errno::CONNRESET | Errno::NETRESET => SystemErrorKind::ConnectionReset,
        Errno::CONNABORTED => SystemErrorKind::ConnectionAborted,
        Errno::CONNREFUSED => SystemErrorKind::ConnectionRefused,
        Errno::PIPE => SystemErrorKind::BrokenPipe,
        Errno::NOTCONN => SystemErrorKind::NotConnected,
        Errno::TIMEDOUT => SystemErrorKind::TimedOut,
        Errno::HOSTDOWN | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::NETUNREACH => {
            SystemErrorKind::Unreachable
        }
        Errno::MFILE | Errno::NFILE => SystemErrorKind::DescriptorsExhausted,
        Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC => SystemErrorKind::OutOfMemory,
        Errno::OPNOTSUPP => SystemErrorKind::Unsupported,
        Errno::ACCESS | Errno::PERM => SystemErrorKind::PermissionDenied,
        Errno::ADDRINUSE => SystemErrorKind::AddressInUse,
        Errno::ADDRNOTAVAIL => SystemErrorKind::AddressNotAvailable,
        Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK => SystemErrorKind::InvalidInput,
        _ => SystemErrorKind::Other,
    }
}

fn io_kind(kind: SystemErrorKind) -> io::ErrorKind {
    match kind {
        SystemErrorKind::ConnectionReset => io::ErrorKind::ConnectionReset,
        SystemErrorKind::ConnectionAborted => io::ErrorKind::ConnectionAborted,
        SystemErrorKind::ConnectionRefused => io::ErrorKind::ConnectionRefused,
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
        SystemErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::Other,
    }
}

fn from_io_kind(kind: io::ErrorKind) -> SystemErrorKind {
    match kind {
        io::ErrorKind::ConnectionReset => SystemErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted => SystemErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionRefused => SystemErrorKind::ConnectionRefused,
        io::ErrorKind::BrokenPipe => SystemErrorKind::BrokenPipe,
        io::ErrorKind::NotConnected => SystemErrorKind::NotConnected,
        io::ErrorKind::TimedOut => SystemErrorKind::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            SystemErrorKind::Unreachable
        }
        io::ErrorKind::OutOfMemory => SystemErrorKind::OutOfMemory,
        io::ErrorKind::WriteZero => SystemErrorKind::WriteZero,
        io::ErrorKind::Unsupported => SystemErrorKind::Unsupported,
        io::ErrorKind::PermissionDenied => SystemErrorKind::PermissionDenied,
        io::ErrorKind::AddrInUse => SystemErrorKind::AddressInUse,
        io::ErrorKind::AddrNotAvailable => SystemErrorKind::AddressNotAvailable,
        io::ErrorKind::InvalidInput => SystemErrorKind::InvalidInput,
        _ => SystemErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exhausted(kind: SystemErrorKind, errno: Errno) -> Outcome {
        Outcome::Exhausted(SystemError::new(kind, errno.raw_os_error()))
    }

    fn failed(kind: SystemErrorKind, errno: Errno) -> Outcome {
        Outcome::Failed(SystemError::new(kind, errno.raw_os_error()))
    }

    #[test]
    fn an_attempt_blocks_is_interrupted_runs_short_or_fails() {
        use SystemErrorKind as Kind;
        assert_eq!(outcome(Errno::AGAIN), Outcome::WouldBlock);
        assert_eq!(outcome(Errno::WOULDBLOCK), Outcome::WouldBlock);
        assert_eq!(outcome(Errno::INTR), Outcome::Interrupted);
        assert_eq!(outcome(Errno::NOBUFS), exhausted(Kind::OutOfMemory, Errno::NOBUFS));
        assert_eq!(outcome(Errno::NOMEM), exhausted(Kind::OutOfMemory, Errno::NOMEM));
        assert_eq!(outcome(Errno::CONNRESET), failed(Kind::ConnectionReset, Errno::CONNRESET));
        assert_eq!(outcome(Errno::PIPE), failed(Kind::BrokenPipe, Errno::PIPE));
        assert_eq!(outcome(Errno::TIMEDOUT), failed(Kind::TimedOut, Errno::TIMEDOUT));
        assert_eq!(outcome(Errno::CONNABORTED), failed(Kind::ConnectionAborted, Errno::CONNABORTED));
        assert_eq!(outcome(Errno::XDEV), failed(Kind::Other, Errno::XDEV));
    }

    #[test]
    fn only_an_error_of_the_listener_itself_ends_accepting() {
        use SystemErrorKind as Kind;
        assert_eq!(accept_outcome(Errno::AGAIN), Outcome::WouldBlock);
        for errno in [Errno::INTR, Errno::CONNABORTED, Errno::PROTO, Errno::NETDOWN, Errno::HOSTUNREACH] {
            assert_eq!(accept_outcome(errno), Outcome::Interrupted);
        }
        assert_eq!(accept_outcome(Errno::MFILE), exhausted(Kind::DescriptorsExhausted, Errno::MFILE));
        assert_eq!(accept_outcome(Errno::NFILE), exhausted(Kind::DescriptorsExhausted, Errno::NFILE));
        assert_eq!(accept_outcome(Errno::NOBUFS), exhausted(Kind::OutOfMemory, Errno::NOBUFS));
        assert_eq!(accept_outcome(Errno::PERM), exhausted(Kind::PermissionDenied, Errno::PERM));
        assert_eq!(accept_outcome(Errno::INVAL), failed(Kind::InvalidInput, Errno::INVAL));
        assert_eq!(accept_outcome(Errno::BADF), failed(Kind::InvalidInput, Errno::BADF));
    }

    #[test]
    fn system_errors_go_to_io_errors_and_back() {
        let coded = [
            Errno::CONNRESET,
            Errno::CONNREFUSED,
            Errno::PIPE,
            Errno::NOTCONN,
            Errno::HOSTUNREACH,
            Errno::MFILE,
            Errno::NOMEM,
            Errno::ACCESS,
            Errno::ADDRINUSE,
            Errno::ADDRNOTAVAIL,
            Errno::INVAL,
            Errno::XDEV,
        ];
        for error in coded.map(from_errno) {
            assert_eq!(io_error(error).raw_os_error(), error.code());
            assert_eq!(system_error(&io_error(error)), error);
        }
        for kind in [SystemErrorKind::DescriptorsExhausted, SystemErrorKind::Unsupported] {
            let error = SystemError::from_kind(kind);
            assert_eq!(system_error(&io_error(error)), error);
        }
        assert_eq!(
            system_error(&io::ErrorKind::InvalidInput.into()),
            SystemError::from_kind(SystemErrorKind::InvalidInput)
        );
    }

    #[test]
    fn kinds_without_a_number_keep_their_meaning() {
        let plain = [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::NotConnected,
            io::ErrorKind::TimedOut,
            io::ErrorKind::HostUnreachable,
            io::ErrorKind::OutOfMemory,
            io::ErrorKind::WriteZero,
            io::ErrorKind::Unsupported,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::AddrInUse,
            io::ErrorKind::AddrNotAvailable,
            io::ErrorKind::InvalidInput,
            io::ErrorKind::Other,
        ];
        for kind in plain {
            assert_eq!(io_error(system_error(&kind.into())).kind(), kind);
        }
    }
}
