//! Everything that differs from system to system, and nothing else.

use mio::Interest;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::{Errno, FdFlags, Result};
use rustix::net::sockopt::Timeout;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix};

/// Whether mio reports a direction once and then drops it, until it is registered again: its engines over
/// poll(2) and event ports. Both also keep a record of each descriptor, which closing it does not erase.
///
/// The list is mio's own, of the systems that are Unix.
pub(crate) const ONE_SHOT: bool = cfg!(any(
    mio_unsupported_force_poll_poll,
    target_os = "aix",
    target_os = "cygwin",
    target_os = "espidf",
    target_os = "fuchsia",
    target_os = "haiku",
    target_os = "horizon",
    target_os = "hurd",
    target_os = "nto",
    target_os = "nuttx",
    target_os = "solaris",
    target_os = "vita",
));

/// The flags of every send: no wait, as with [receives](RECV_FLAGS), and no SIGPIPE. Where there is no such
/// flag the socket has the option instead, from [`prepare`].
pub(crate) const SEND_FLAGS: SendFlags = {
    #[cfg(not(any(target_vendor = "apple", target_os = "redox", target_os = "vita")))]
    let flags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
    #[cfg(any(target_vendor = "apple", target_os = "redox", target_os = "vita"))]
    let flags = SendFlags::DONTWAIT;
    flags
};

/// The flags of every receive: no wait, whatever the descriptor's own flag says, which all who share the open
/// file may change at any time.
pub(crate) const RECV_FLAGS: RecvFlags = RecvFlags::DONTWAIT;

/// Whether the engine tells of urgent data, at whose mark a receive stops although more bytes are at hand.
pub(crate) const TELLS_URGENT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether the engine watches open files, and goes on while any descriptor of one is open; the others watch
/// descriptors.
#[cfg(test)]
pub(crate) const WATCHES_FILES: bool = TELLS_URGENT && !ONE_SHOT;

/// What a stream is registered for.
pub(crate) const STREAM_INTEREST: Interest = {
    let both = STREAM_INTEREST_WITHOUT_URGENT;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let both = both.add(Interest::PRIORITY);
    both
};

/// The same, but for urgent data.
pub(crate) const STREAM_INTEREST_WITHOUT_URGENT: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// What an accept gives: the connection, and the address of its peer, if that was wanted.
type Accepted = (OwnedFd, Option<SocketAddrAny>);

/// A way to accept, and whether to ask for the address of the peer.
type Accept = fn(BorrowedFd<'_>, bool) -> Result<Accepted>;

/// The ways to accept a connection that there are here; the last is the best.
const ACCEPTS: &[Accept] = &[
    accept_in_steps,
    // Most systems have a call that does it all.
    #[cfg(not(any(
        target_vendor = "apple",
        target_os = "aix",
        target_os = "espidf",
        target_os = "haiku",
        target_os = "horizon",
        target_os = "nto",
        target_os = "redox",
        target_os = "vita",
    )))]
    |listener, wants_peer| {
        use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        if wants_peer {
            acceptfrom_with(listener, flags)
        } else {
            accept_with(listener, flags).map(|accepted| (accepted, None))
        }
    },
];

/// Accepts a connection: non-blocking, close-on-exec, and silent on a broken pipe.
///
/// No flag of accept(2) keeps it from waiting, only the one of the descriptor, which all who share the open
/// file may change. So it is set before each accept. Who changes it between the two calls has this one wait
/// for as long as [`bound_accepts`] allows.
pub(crate) fn accept(listener: BorrowedFd<'_>, wants_peer: bool) -> Result<Accepted> {
    // What can be wrong with the descriptor, the accept says.
    let _ = rustix::io::ioctl_fionbio(listener, true);
    accept_by(ACCEPTS, listener, wants_peer)
}

/// Accepts in the last of these ways; where a filter forbids that call, or the kernel has none, in the one
/// before it.
fn accept_by(ways: &[Accept], listener: BorrowedFd<'_>, wants_peer: bool) -> Result<Accepted> {
    let mut outcome = Err(Errno::NOSYS);
    for way in ways.iter().rev() {
        outcome = way(listener, wants_peer);
        if !matches!(outcome, Err(Errno::NOSYS | Errno::PERM)) {
            break;
        }
    }
    outcome
}

/// [`accept`] where no call does it all. Until it has returned, a process forked by another thread may
/// inherit the connection; nothing can be done about it.
fn accept_in_steps(listener: BorrowedFd<'_>, wants_peer: bool) -> Result<Accepted> {
    use std::os::fd::AsFd;
    let (accepted, peer) =
        if wants_peer { rustix::net::acceptfrom(listener)? } else { (rustix::net::accept(listener)?, None) };
    // Darwin refuses to set options once the peer has gone. That is the connection's end, not the listener's.
    match prepare(accepted.as_fd()) {
        Ok(()) => Ok((accepted, peer)),
        Err(errno) => {
            never_wait_in_close(accepted.as_fd());
            Err(if errno == Errno::INVAL { Errno::CONNABORTED } else { errno })
        }
    }
}

/// Makes a descriptor non-blocking, close-on-exec, and silent on a broken pipe.
pub(crate) fn prepare(fd: BorrowedFd<'_>) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true)?;
    rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(fd, true)?;
    Ok(())
}

/// Bounds for how long an accept could wait at most: for a tick of the kernel's clock (1 to 10 ms), the least
/// that there is. What is accepted inherits it; see [`unbind_receives`].
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn bound_accepts(listener: BorrowedFd<'_>) -> Result<()> {
    rustix::net::sockopt::set_socket_timeout(listener, Timeout::Recv, Some(Duration::from_micros(1)))
}

/// Elsewhere accepts do not heed the option.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn bound_accepts(_: BorrowedFd<'_>) -> Result<()> {
    Ok(())
}

/// Undoes what a connection has inherited from [`bound_accepts`]: no receive of ours heeds it, but those of
/// others would.
pub(crate) fn unbind_receives(accepted: BorrowedFd<'_>) {
    // A socket refuses it under no circumstances; and if one did, nothing of ours would change.
    let _ = rustix::net::sockopt::set_socket_timeout(accepted, Timeout::Recv, None);
}

/// Has a bind to an address without a port reserve none: the connect then chooses one, and may choose one
/// that other connections, to other targets, have, too. Otherwise there are no more connections from an
/// address than ports.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn reserve_no_port(fd: BorrowedFd<'_>) {
    use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
    // A kernel that has no such option (before Linux 4.2) reserves a port, as all others do.
    let _ = setsockopt(&fd, IpBindAddressNoPort, &true);
}

/// FreeBSD and others have nothing of the kind.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn reserve_no_port(_: BorrowedFd<'_>) {}

/// Sees to it that closing a socket does not wait for its peer: with `SO_LINGER` at more than zero seconds it
/// would, non-blocking or not. Zero seconds stay what they are, a wish to reset.
pub(crate) fn never_wait_in_close(fd: BorrowedFd<'_>) {
    if let Ok(Some(span)) = rustix::net::sockopt::socket_linger(fd)
        && !span.is_zero()
    {
        // What can be told can be changed. If not, nothing is left to try: the descriptor has to be closed.
        let _ = rustix::net::sockopt::set_socket_linger(fd, None);
    }
}

/// Whether a socket is a TCP connection or listener: not MPTCP, SCTP, vsock or what else there may be.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn is_tcp(fd: BorrowedFd<'_>) -> bool {
    use rustix::net::{AddressFamily, ipproto, sockopt};
    matches!(sockopt::socket_domain(fd), Ok(AddressFamily::INET | AddressFamily::INET6))
        && sockopt::socket_protocol(fd) == Ok(Some(ipproto::TCP))
}

/// It makes a difference only where the engine [tells](TELLS_URGENT) of urgent data.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn is_tcp(_: BorrowedFd<'_>) -> bool {
    false
}

/// Has receives on a socket poll its network card for so many microseconds.
#[cfg(target_os = "linux")]
pub(crate) fn set_busy_poll(fd: BorrowedFd<'_>, micros: u32) -> Result<()> {
    let set = socket2::SockRef::from(&fd).set_busy_poll(micros);
    set.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOPROTOOPT))
}

/// There is nothing of the kind here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn set_busy_poll(_: BorrowedFd<'_>, _: u32) -> Result<()> {
    Err(Errno::NOPROTOOPT)
}

/// Whether the system tells listeners from streams that were never connected.
pub(crate) const TELLS_LISTENERS: bool = cfg!(not(target_vendor = "apple"));

/// Whether a stream socket listens.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn is_listener(fd: BorrowedFd<'_>) -> Result<bool> {
    rustix::net::sockopt::socket_acceptconn(fd)
}

/// Whether a stream socket listens: Darwin does not tell, but a stream that was once connected is distinct
/// from one that never was.
#[cfg(target_vendor = "apple")]
pub(crate) fn is_listener(fd: BorrowedFd<'_>) -> Result<bool> {
    match rustix::net::getpeername(fd) {
        // EINVAL: connected once, and shut down since.
        Ok(_) | Err(Errno::INVAL) => Ok(false),
        Err(Errno::NOTCONN) => Ok(true),
        Err(errno) => Err(errno),
    }
}

/// The address of a Unix socket. On Linux, one that begins with a zero byte is a name in the abstract
/// namespace.
pub(crate) fn unix_address(path: &[u8]) -> Result<SocketAddrUnix> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some((0, name)) = path.split_first() {
        return SocketAddrUnix::new_abstract_name(name);
    }
    SocketAddrUnix::new(path)
}

/// The path of a Unix socket, or its abstract name, in the form that [`unix_address`] takes; empty if it has
/// none.
pub(crate) fn unix_path(address: &SocketAddrUnix) -> Vec<u8> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name().filter(|name| !name.is_empty()) {
        return [&[0], name].concat();
    }
    address.path_bytes().unwrap_or_default().to_vec()
}

/// Whether a socket's address is a path in the file system: not an abstract name.
pub(crate) fn is_file(path: &[u8]) -> bool {
    !(cfg!(any(target_os = "linux", target_os = "android")) && path.first() == Some(&0))
}

/// Has what a listener accepts ended by the kernel if what was sent is not acknowledged for so long.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn set_user_timeout(listener: BorrowedFd<'_>, millis: u32) -> Result<()> {
    rustix::net::sockopt::set_tcp_user_timeout(listener, millis)
}

/// There is nothing of the kind here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn set_user_timeout(_: BorrowedFd<'_>, _: u32) -> Result<()> {
    Err(Errno::NOPROTOOPT)
}

/// Has what a listener accepts probed after so long without traffic.
pub(crate) fn set_keepalive(listener: BorrowedFd<'_>, idle: Duration) -> Result<()> {
    let keepalive = socket2::TcpKeepalive::new().with_time(idle);
    let set = socket2::SockRef::from(&listener).set_tcp_keepalive(&keepalive);
    set.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOPROTOOPT))
}

/// Lets several listeners have one address.
pub(crate) fn set_reuse_port(listener: BorrowedFd<'_>) -> Result<()> {
    #[cfg(not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin")))]
    let set = socket2::SockRef::from(&listener)
        .set_reuse_port(true)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOPROTOOPT));
    #[cfg(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))]
    let set = Err(Errno::NOPROTOOPT);
    set
}

/// Whether a send that failed may succeed if tried again at once.
///
/// Darwin answers EPROTOTYPE while the peer's close is being worked out; the next attempt has the real error.
pub(crate) fn is_passing_send_error(errno: Errno) -> bool {
    cfg!(target_vendor = "apple") && errno == Errno::PROTOTYPE
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn accepting_in_steps_gives_what_accepting_at_once_gives() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (accept, wants_peer) in ACCEPTS.iter().flat_map(|accept| [(accept, false), (accept, true)]) {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, peer) = accept(listener.as_fd(), wants_peer).unwrap();
            let peer = peer.map(|peer| std::net::SocketAddr::try_from(peer).unwrap());
            assert_eq!(peer, wants_peer.then(|| client.local_addr().unwrap()));
            assert_eq!(rustix::io::fcntl_getfd(&accepted), Ok(FdFlags::CLOEXEC));
            let error = TcpStream::from(accepted).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn k5_where_one_way_to_accept_is_forbidden_another_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        for (errno, falls_back) in [(Errno::NOSYS, true), (Errno::PERM, true), (Errno::MFILE, false)] {
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let forbidden: Accept = match errno {
                Errno::NOSYS => |_, _| Err(Errno::NOSYS),
                Errno::PERM => |_, _| Err(Errno::PERM),
                _ => |_, _| Err(Errno::MFILE),
            };
            let accepted = accept_by(&[accept_in_steps, forbidden], listener.as_fd(), false);
            assert_eq!(accepted.is_ok(), falls_back, "{errno}");
            assert_eq!(accept_by(&[forbidden], listener.as_fd(), true).unwrap_err(), errno);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests_of_linux {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use aio_model::testing::Ids;
    use aio_model::{Outcome, Syscall, System};

    use crate::{Os, Socket};

    #[test]
    fn what_is_accepted_inherits_how_long_a_silent_peer_is_waited_for() {
        use aio_model::Listen;
        let (mut os, mut ids) = (Os::new().unwrap(), Ids::default());
        let (listener, accepted) = (ids.open(), ids.open());
        let listen = Listen::on(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        let listen = listen.keepalive(Duration::from_millis(76_001)).user_timeout(Duration::from_secs(9));
        let socket = os.listen(&listen).unwrap();
        os.adopt(listener, socket).unwrap();
        let _peer = TcpStream::connect(os.local_addr(listener).unwrap().as_internet().unwrap()).unwrap();
        while os.perform(Syscall::Accept { listener, conn: accepted }) == Outcome::WouldBlock {
            os.wait(None, std::num::NonZeroU32::MIN, |_, _| ()).unwrap();
        }
        let fd = os.descriptor(accepted).unwrap();
        assert_eq!(rustix::net::sockopt::tcp_keepidle(fd), Ok(Duration::from_secs(77)));
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(fd), Ok(9_000));
    }

    /// Whether the kernel grants it is not ours to say. That it is asked, and what it answers, is.
    #[test]
    fn polling_the_card_is_asked_for_and_a_refusal_is_told() {
        let busy_poll =
            |os: &mut Os, conn| socket2::SockRef::from(&os.descriptor(conn).unwrap()).busy_poll().unwrap();
        let (mut os, mut ids) = (Os::new().unwrap(), Ids::default());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let granted = socket2::SockRef::from(&listener.try_clone().unwrap()).set_busy_poll(20);
        let id = ids.open();
        let listener = Socket::from(listener).busy_poll(Duration::from_nanos(49_001));
        match (os.adopt(id, listener), granted) {
            (Ok(()), Ok(())) => assert_eq!(busy_poll(&mut os, id), 50, "rounded up"),
            (Err((error, _)), Err(refused)) => {
                return assert_eq!(error.code(), refused.raw_os_error(), "there is no capability for it");
            }
            (ours, direct) => panic!("{ours:?}, asked directly {direct:?}"),
        }

        let (peer, accepted, most) = (ids.open(), ids.open(), ids.open());
        os.adopt(peer, TcpStream::connect(address).unwrap().into()).unwrap();
        while os.perform(Syscall::Accept { listener: id, conn: accepted }) == Outcome::WouldBlock {
            os.wait(None, std::num::NonZeroU32::MIN, |_, _| ()).unwrap();
        }
        assert_eq!(
            (busy_poll(&mut os, peer), busy_poll(&mut os, accepted)),
            (0, 50),
            "whom it accepts inherits it"
        );
        let stream = Socket::from(TcpStream::connect(address).unwrap());
        os.adopt(most, stream.busy_poll(Duration::MAX)).unwrap();
        assert_eq!(busy_poll(&mut os, most), i32::MAX.unsigned_abs());
    }
}
