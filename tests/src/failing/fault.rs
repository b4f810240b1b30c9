//! What can fail, with what, and what is to come of it.

use std::fmt;
use std::time::Duration;

use aio::system::Outcome;
use aio::{SystemError, SystemErrorKind};
use rustix::io::Errno;

/// The kinds of calls that a proactor makes on its system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Asking what kind of socket is handed in.
    Kind,
    /// Registering a socket that is handed in.
    Adopt,
    /// A receive.
    Recv,
    /// A receive into several parts.
    RecvVectored,
    /// A receive of a connection that flushes or lingers.
    Discard,
    /// Asking whether a receive would not block.
    PollReceive,
    /// Asking whether a send would not block.
    PollSend,
    /// Asking what a receive would find.
    Peek,
    /// A send.
    Send,
    /// A send of several parts.
    SendVectored,
    /// An accept.
    Accept,
    /// Registering what was accepted.
    AcceptRegister,
    /// The start of a connect.
    Connect,
    /// Asking what came of a connect that was under way.
    ConnectFinish,
    /// Registering what connects.
    ConnectRegister,
    /// Sending FIN, as an operation.
    Shutdown,
    /// Waiting for events.
    Wait,
    /// Asking for the time.
    Clock,
}

impl Call {
    /// Every kind, in the order of the tables.
    pub const ALL: [Call; 18] = [
        Call::Kind,
        Call::Adopt,
        Call::Recv,
        Call::RecvVectored,
        Call::Discard,
        Call::PollReceive,
        Call::PollSend,
        Call::Peek,
        Call::Send,
        Call::SendVectored,
        Call::Accept,
        Call::AcceptRegister,
        Call::Connect,
        Call::ConnectFinish,
        Call::ConnectRegister,
        Call::Shutdown,
        Call::Wait,
        Call::Clock,
    ];
}

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallFailure {
    /// With this error number.
    Errno(Errno),
    /// With this error number, and so do all calls of its kind for [`DROUGHT`].
    Drought(Errno),
    /// The clock says once that it is the beginning of time.
    StepBack,
    /// The clock is an hour ahead from now on.
    Jump,
    /// A single byte goes through, for a reason of the kernel's own.
    Short,
    /// Every connection is reported in both directions, for no reason.
    Spurious,
    /// What there is to report is reported by the next wait.
    Late,
}

impl fmt::Debug for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallFailure::StepBack => f.write_str("a step back"),
            CallFailure::Jump => f.write_str("an hour's jump"),
            CallFailure::Short => f.write_str("a single byte"),
            CallFailure::Spurious => f.write_str("events for nothing"),
            CallFailure::Late => f.write_str("events too late"),
            CallFailure::Drought(errno) => write!(f, "{:?} for a while", CallFailure::Errno(*errno)),
            CallFailure::Errno(errno) => match NAMES.iter().find(|(named, _, _)| named == errno) {
                Some((_, name, _)) => f.write_str(name),
                None => write!(f, "errno {}", errno.raw_os_error()),
            },
        }
    }
}

/// How long a drought lasts: several pauses of a lane that backs off, and an eternity for one that spins.
pub const DROUGHT: Duration = Duration::from_millis(15);

/// What is to come of a call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing that a program or a peer could tell from no failure at all.
    Passes,
    /// The operation, and all that is queued in its lane, end with the error; nothing else does.
    Ends,
    /// The connection that was to be accepted is dropped; nothing else happens.
    Drops,
    /// A connection that flushes or lingers is closed at once, and its close completes.
    CutsShort,
    /// The socket is not adopted, and comes back.
    GivesBack,
    /// The turn returns the error; the next one goes on as if nothing had happened.
    FailsTurn,
    /// Whatever has a deadline may end with it.
    Expires,
}

/// One way for one kind of call to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallFault {
    /// What fails.
    pub call: Call,
    /// How.
    pub failure: CallFailure,
    /// What is to come of it.
    pub effect: Effect,
}

macro_rules! names {
    ($($errno:ident => $name:literal, $kind:ident;)*) => {
        const NAMES: &[(Errno, &str, SystemErrorKind)] =
            &[$((Errno::$errno, $name, SystemErrorKind::$kind),)*];
    };
}

names! {
    ACCESS => "EACCES", PermissionDenied;
    ADDRINUSE => "EADDRINUSE", AddressInUse;
    ADDRNOTAVAIL => "EADDRNOTAVAIL", AddressNotAvailable;
    AFNOSUPPORT => "EAFNOSUPPORT", Unsupported;
    AGAIN => "EAGAIN", Other;
    BADF => "EBADF", InvalidInput;
    CONNABORTED => "ECONNABORTED", ConnectionAborted;
    CONNREFUSED => "ECONNREFUSED", ConnectionRefused;
    CONNRESET => "ECONNRESET", ConnectionReset;
    FAULT => "EFAULT", InvalidInput;
    HOSTUNREACH => "EHOSTUNREACH", Unreachable;
    INTR => "EINTR", Other;
    INVAL => "EINVAL", InvalidInput;
    IO => "EIO", Other;
    MFILE => "EMFILE", DescriptorsExhausted;
    NAMETOOLONG => "ENAMETOOLONG", NameTooLong;
    NETDOWN => "ENETDOWN", Unreachable;
    NETUNREACH => "ENETUNREACH", Unreachable;
    NFILE => "ENFILE", DescriptorsExhausted;
    NOBUFS => "ENOBUFS", OutOfMemory;
    NOENT => "ENOENT", NotFound;
    NOMEM => "ENOMEM", OutOfMemory;
    NOPROTOOPT => "ENOPROTOOPT", Other;
    NOSPC => "ENOSPC", OutOfMemory;
    NOTCONN => "ENOTCONN", NotConnected;
    NOTSOCK => "ENOTSOCK", InvalidInput;
    OPNOTSUPP => "EOPNOTSUPP", Unsupported;
    PERM => "EPERM", PermissionDenied;
    PIPE => "EPIPE", BrokenPipe;
    PROTO => "EPROTO", Other;
    TIMEDOUT => "ETIMEDOUT", TimedOut;
}

macro_rules! faults {
    ($($call:ident { $($effect:ident: $($errno:ident)*;)* })*) => {
        /// Every call with every error number that it plausibly fails with, and what a call may do that is no
        /// error. The effects are the contract's (K4, K5, K7), written down without a look at how `aio-sys`
        /// sorts the numbers; that it sorts them so is what the failures from outside of the process show.
        pub const FAULTS: &[CallFault] = &[
            $($($(CallFault {
                call: Call::$call,
                failure: CallFailure::Errno(Errno::$errno),
                effect: Effect::$effect,
            },)*)*)*
            CallFault { call: Call::Recv, failure: CallFailure::Drought(Errno::NOBUFS), effect: Effect::Passes },
            CallFault { call: Call::Discard, failure: CallFailure::Drought(Errno::NOBUFS), effect: Effect::Passes },
            CallFault { call: Call::Send, failure: CallFailure::Drought(Errno::NOBUFS), effect: Effect::Passes },
            CallFault { call: Call::Accept, failure: CallFailure::Drought(Errno::MFILE), effect: Effect::Passes },
            CallFault { call: Call::Connect, failure: CallFailure::Drought(Errno::AGAIN), effect: Effect::Passes },
            CallFault { call: Call::Recv, failure: CallFailure::Short, effect: Effect::Passes },
            CallFault { call: Call::Send, failure: CallFailure::Short, effect: Effect::Passes },
            CallFault { call: Call::Wait, failure: CallFailure::Spurious, effect: Effect::Passes },
            CallFault { call: Call::Wait, failure: CallFailure::Late, effect: Effect::Passes },
            CallFault { call: Call::Clock, failure: CallFailure::StepBack, effect: Effect::Passes },
            CallFault { call: Call::Clock, failure: CallFailure::Jump, effect: Effect::Expires },
        ];
    };
}

faults! {
    Kind { GivesBack: NOTSOCK BADF NOBUFS; }
    Adopt { GivesBack: NOMEM NOSPC PERM; }
    Recv {
        Passes: INTR AGAIN NOBUFS NOMEM;
        Ends: CONNRESET CONNREFUSED TIMEDOUT HOSTUNREACH NETDOWN NOTCONN IO BADF;
    }
    RecvVectored {
        Passes: INTR AGAIN NOBUFS NOMEM;
        Ends: CONNRESET TIMEDOUT HOSTUNREACH NOTCONN IO;
    }
    PollReceive {
        Passes: INTR AGAIN NOMEM;
        Ends: IO BADF;
    }
    PollSend {
        Passes: INTR AGAIN NOMEM;
        Ends: IO BADF;
    }
    Peek {
        Passes: INTR AGAIN NOBUFS NOMEM;
        Ends: CONNRESET TIMEDOUT NOTCONN IO;
    }
    Discard {
        Passes: INTR AGAIN NOBUFS NOMEM;
        CutsShort: CONNRESET TIMEDOUT NOTCONN IO;
    }
    Send {
        Passes: INTR AGAIN NOBUFS NOMEM;
        Ends: PIPE CONNRESET TIMEDOUT HOSTUNREACH NETUNREACH NETDOWN PERM ACCESS NOTCONN IO BADF;
    }
    SendVectored {
        Passes: INTR AGAIN NOBUFS NOMEM;
        Ends: PIPE CONNRESET TIMEDOUT HOSTUNREACH PERM IO;
    }
    Accept {
        Passes: INTR AGAIN CONNABORTED CONNRESET PROTO NETDOWN NETUNREACH HOSTUNREACH NOPROTOOPT TIMEDOUT
            OPNOTSUPP MFILE NFILE NOBUFS NOMEM NOSPC PERM IO;
        Ends: INVAL BADF NOTSOCK;
    }
    AcceptRegister { Drops: NOMEM NOSPC; }
    Connect {
        Passes: AGAIN INTR;
        Ends: CONNREFUSED TIMEDOUT ADDRNOTAVAIL ADDRINUSE NETUNREACH HOSTUNREACH NETDOWN MFILE NFILE NOBUFS NOMEM
            ACCESS PERM NOENT NAMETOOLONG AFNOSUPPORT INVAL;
    }
    ConnectFinish { Ends: CONNREFUSED CONNRESET TIMEDOUT HOSTUNREACH NETUNREACH; }
    ConnectRegister { Ends: NOMEM NOSPC; }
    Shutdown {
        Passes: INTR NOBUFS;
        Ends: NOTCONN INVAL IO;
    }
    Wait {
        Passes: INTR;
        FailsTurn: INVAL BADF FAULT IO NOMEM;
    }
}

/// The error that a program is told of.
pub fn error(errno: Errno) -> SystemError {
    let kind = NAMES.iter().find(|(named, _, _)| *named == errno).map(|(_, _, kind)| *kind);
    SystemError::new(kind.unwrap_or(SystemErrorKind::Other), errno.raw_os_error())
}

impl CallFault {
    /// The error that a program is told of, if it is told of one.
    pub fn error(&self) -> Option<SystemError> {
        match self.failure {
            CallFailure::Errno(errno) | CallFailure::Drought(errno) => Some(error(errno)),
            _ => None,
        }
    }

    /// What the real system would tell the model: where there is more than one way to pass, the way of this
    /// call.
    pub fn outcome(&self) -> Outcome {
        let (CallFailure::Errno(errno) | CallFailure::Drought(errno)) = self.failure else {
            return Outcome::Interrupted;
        };
        let error = error(errno);
        match (self.effect, errno, self.call) {
            (Effect::Passes, Errno::AGAIN, Call::Connect) => Outcome::Exhausted(error),
            (Effect::Passes, Errno::AGAIN, _) => Outcome::WouldBlock,
            (Effect::Passes, Errno::INTR, _) => Outcome::Interrupted,
            (Effect::Passes, errno, Call::Accept) if PASSES_WITH_ITS_CONNECTION.contains(&errno) => {
                Outcome::Interrupted
            }
            (Effect::Passes, Errno::OPNOTSUPP | Errno::PERM | Errno::IO, Call::Accept) => {
                Outcome::Refused(error)
            }
            (Effect::Passes | Effect::Drops, _, _) => Outcome::Exhausted(error),
            _ => Outcome::Failed(error),
        }
    }
}

/// What an accept fails with on behalf of the connection that it would have accepted.
const PASSES_WITH_ITS_CONNECTION: [Errno; 8] = [
    Errno::CONNABORTED,
    Errno::CONNRESET,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::HOSTUNREACH,
    Errno::NOPROTOOPT,
    Errno::TIMEDOUT,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_name_and_every_call_a_fault() {
        for fault in FAULTS {
            assert!(!format!("{:?}", fault.failure).starts_with("errno"), "{fault:?}");
        }
        for call in Call::ALL {
            assert!(FAULTS.iter().any(|fault| fault.call == call), "{call:?}");
        }
    }

    #[test]
    fn no_fault_is_there_twice() {
        let mut seen = std::collections::HashSet::new();
        assert!(FAULTS.iter().all(|fault| seen.insert((fault.call, fault.failure))));
    }
}
