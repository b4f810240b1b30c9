//! Every error number that there is, and what each call tells the model about it: written down call by call,
//! without a look at how they are sorted.

use aio_model::{Outcome, SystemError, SystemErrorKind as Kind};
use rustix::io::Errno;

use super::{accept_outcome, from_errno, outcome, refusal};

/// More than any system has.
const NUMBERS: std::ops::Range<i32> = 1..200;

/// Those that a program may want to tell apart. All others are [`Kind::Other`].
const KINDS: &[(Kind, &[Errno])] = &[
    (Kind::ConnectionReset, &[Errno::CONNRESET, Errno::NETRESET]),
    (Kind::ConnectionAborted, &[Errno::CONNABORTED]),
    (Kind::ConnectionRefused, &[Errno::CONNREFUSED]),
    (Kind::BrokenPipe, &[Errno::PIPE]),
    (Kind::NotConnected, &[Errno::NOTCONN]),
    (Kind::TimedOut, &[Errno::TIMEDOUT]),
    (Kind::Unreachable, &[Errno::HOSTDOWN, Errno::HOSTUNREACH, Errno::NETDOWN, Errno::NETUNREACH]),
    (Kind::DescriptorsExhausted, &[Errno::MFILE, Errno::NFILE]),
    (Kind::OutOfMemory, &[Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC]),
    (Kind::NotFound, &[Errno::NOENT, Errno::NOTDIR]),
    (Kind::NameTooLong, &[Errno::NAMETOOLONG]),
    (Kind::Unsupported, &[Errno::OPNOTSUPP, Errno::AFNOSUPPORT, Errno::PROTONOSUPPORT, Errno::PROTOTYPE]),
    (Kind::PermissionDenied, &[Errno::ACCESS, Errno::PERM]),
    (Kind::AddressInUse, &[Errno::ADDRINUSE]),
    (Kind::AddressNotAvailable, &[Errno::ADDRNOTAVAIL]),
    (Kind::InvalidInput, &[Errno::BADF, Errno::FAULT, Errno::INVAL, Errno::NOTSOCK]),
];

/// What comes back by itself, without an event.
const SHORTAGES: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::NOSPC];

/// What an accept fails with on behalf of the connection that it would have accepted.
const OF_THE_ACCEPTED: [Errno; 9] = [
    Errno::CONNABORTED,
    Errno::CONNRESET,
    Errno::HOSTDOWN,
    Errno::HOSTUNREACH,
    Errno::NETDOWN,
    Errno::NETUNREACH,
    Errno::NOPROTOOPT,
    Errno::PROTO,
    Errno::TIMEDOUT,
];

/// What an accept fails with that is no listener.
const OF_THE_LISTENER: [Errno; 4] = [Errno::BADF, Errno::FAULT, Errno::INVAL, Errno::NOTSOCK];

fn every_number(mut check: impl FnMut(Errno, SystemError)) {
    for number in NUMBERS {
        let errno = Errno::from_raw_os_error(number);
        let kind = KINDS.iter().find(|(_, numbers)| numbers.contains(&errno));
        check(errno, SystemError::new(kind.map_or(Kind::Other, |(kind, _)| *kind), number));
    }
}

#[test]
fn every_number_is_of_one_kind_and_kept() {
    let listed: Vec<_> = KINDS.iter().flat_map(|(_, numbers)| numbers.iter()).collect();
    let mut numbers = listed.clone();
    numbers.sort_unstable_by_key(|errno| errno.raw_os_error());
    numbers.dedup();
    assert_eq!(numbers.len(), listed.len(), "none is there twice");
    every_number(|errno, error| assert_eq!(from_errno(errno), error, "{errno}"));
}

#[test]
fn every_number_of_a_receive_a_send_and_a_shutdown() {
    every_number(|errno, error| {
        let expected = match errno {
            Errno::AGAIN => Outcome::WouldBlock,
            Errno::INTR => Outcome::Interrupted,
            errno if SHORTAGES.contains(&errno) => Outcome::Exhausted(error),
            _ => Outcome::Failed(error),
        };
        assert_eq!(outcome(errno), expected, "{errno}");
    });
}

#[test]
fn every_number_of_an_accept() {
    every_number(|errno, error| {
        let expected = match errno {
            Errno::AGAIN => Outcome::WouldBlock,
            Errno::INTR => Outcome::Interrupted,
            errno if OF_THE_ACCEPTED.contains(&errno) => Outcome::Interrupted,
            errno if OF_THE_LISTENER.contains(&errno) => Outcome::Failed(error),
            errno if SHORTAGES.contains(&errno) => Outcome::Exhausted(error),
            _ => Outcome::Refused(error),
        };
        assert_eq!(accept_outcome(errno), expected, "{errno}");
    });
}

#[test]
fn every_number_of_a_registration() {
    every_number(|errno, error| {
        let expected =
            if SHORTAGES.contains(&errno) { Outcome::Exhausted(error) } else { Outcome::Failed(error) };
        assert_eq!(refusal(error), expected, "{errno}");
    });
}
