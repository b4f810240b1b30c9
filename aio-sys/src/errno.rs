//! Every error number, mapped once: to what the model is told.

use std::io;

use aio_model::{Outcome, SystemError, SystemErrorKind};
use rustix::io::Errno;

/// Where there is no number it was mio that failed, on a call that should not have been made.
pub(crate) fn from_io(error: &io::Error) -> SystemError {
    Errno::from_io_error(error).map_or(SystemError::from_kind(SystemErrorKind::Other), from_errno)
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
/// those of TCP/IP to be ignored. A listener outlives them all: only an error that is about the listener
/// itself ends it. One that nobody has thought of, or a filter's, is a refusal: perhaps of this connection,
/// perhaps of all.
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
            Outcome::Failed(error) => Outcome::Refused(error),
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
        Errno::NOENT | Errno::NOTDIR => SystemErrorKind::NotFound,
        Errno::NAMETOOLONG => SystemErrorKind::NameTooLong,
        // The last: of a path whose Unix socket is none of streams.
        Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::PROTOTYPE => {
            SystemErrorKind::Unsupported
        }
        Errno::ACCESS | Errno::PERM => SystemErrorKind::PermissionDenied,
        Errno::ADDRINUSE => SystemErrorKind::AddressInUse,
        Errno::ADDRNOTAVAIL => SystemErrorKind::AddressNotAvailable,
        Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK => SystemErrorKind::InvalidInput,
        _ => SystemErrorKind::Other,
    }
}

#[cfg(test)]
#[path = "errno_tests.rs"]
mod tests_of_every_number;

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
        for (errno, kind) in [(Errno::PERM, Kind::PermissionDenied), (Errno::NOSYS, Kind::Other)] {
            let refused = Outcome::Refused(SystemError::new(kind, errno.raw_os_error()));
            assert_eq!(accept_outcome(errno), refused);
        }
        assert_eq!(accept_outcome(Errno::INVAL), failed(Kind::InvalidInput, Errno::INVAL));
        assert_eq!(accept_outcome(Errno::BADF), failed(Kind::InvalidInput, Errno::BADF));
    }

    #[test]
    fn every_number_survives_the_way_through_std() {
        use SystemErrorKind as Kind;
        let known = [
            (Errno::CONNRESET, Kind::ConnectionReset),
            (Errno::CONNREFUSED, Kind::ConnectionRefused),
            (Errno::PIPE, Kind::BrokenPipe),
            (Errno::NOTCONN, Kind::NotConnected),
            (Errno::HOSTUNREACH, Kind::Unreachable),
            (Errno::MFILE, Kind::DescriptorsExhausted),
            (Errno::NOMEM, Kind::OutOfMemory),
            (Errno::OPNOTSUPP, Kind::Unsupported),
            (Errno::ACCESS, Kind::PermissionDenied),
            (Errno::ADDRINUSE, Kind::AddressInUse),
            (Errno::ADDRNOTAVAIL, Kind::AddressNotAvailable),
            (Errno::INVAL, Kind::InvalidInput),
            (Errno::XDEV, Kind::Other),
        ];
        for (errno, kind) in known {
            let error = from_io(&from_errno(errno).into());
            assert_eq!((error.kind(), error.code()), (kind, Some(errno.raw_os_error())));
        }
        assert_eq!(from_io(&io::ErrorKind::NotFound.into()), SystemError::from_kind(Kind::Other));
    }
}
