//! What can be adopted.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use aio_model::{Kind, SystemError, SystemErrorKind};
use rustix::net::SocketType;
use socket2::{Domain, Type};

use crate::errno;
use crate::platform;

/// A stream socket or a listener, on its way to be adopted: TCP or Unix, from `std`, `socket2` or an
/// [`OwnedFd`].
///
/// It owns the descriptor, and so does, once it is adopted, the [`Os`](crate::Os). Adopting makes the
/// descriptor non-blocking and close-on-exec. That holds for all who share the open file: a clone made before
/// (`TcpStream::try_clone`) is non-blocking from then on, too.
///
/// # What others may change
///
/// Every holder of a clone, or of the descriptor that [`Os::descriptor`](crate::Os::descriptor) hands out,
/// shares flags and options with the [`Os`](crate::Os), and may set them at any time; what a listener accepts
/// inherits most of its options. None of them makes a call of the `Os` wait for a peer:
///
/// | what | what it would do | what comes of it |
/// |---|---|---|
/// | `O_NONBLOCK` taken away | every call waits | Receives and sends say in each call that they do not wait (`MSG_DONTWAIT`). accept(2) has no such flag: the descriptor is set non-blocking before each accept (0.2 µs), and Linux gets a time limit for the rest |
/// | `SO_RCVTIMEO` | limits how long an accept waits | A listener that is adopted gets the least that there is, a tick of the kernel's clock (1 to 10 ms): so long waits, on Linux, an accept whose listener was set blocking just then. Who takes both away from a listener again and again can make the `Os` wait; so can, outside of Linux, who takes away `O_NONBLOCK` just before an accept that then finds nothing. Of a connection that is accepted and then handed out it is cleared |
/// | `SO_SNDTIMEO`, and `SO_RCVTIMEO` of a stream | limit how long calls wait that do | nothing: ours do not |
/// | `SO_LINGER`, more than zero seconds | close(2) waits for the peer, non-blocking or not | turned off when the descriptor is closed |
/// | `SO_LINGER`, zero seconds | close(2) resets the connection | it does |
/// | `SO_RCVLOWAT` | a receive is not reported before so many bytes have come, or the end, or the buffer is full | just that: it is for who sets it to know. What is there is received if a receive is tried for another reason |
/// | `SO_SNDLOWAT` | Linux has it at one byte, and refuses to change it | nothing |
/// | `TCP_NOTSENT_LOWAT`, `SO_SNDBUF`, `SO_RCVBUF`, `SO_MAX_PACING_RATE` | sends take less at once, receives bring less | nothing but that: the event follows |
/// | `TCP_CORK`, no `TCP_NODELAY` | small packets are held back, for 200 ms or for a round trip | they are late: see [`nodelay`](Socket::nodelay). FIN takes them along |
/// | `TCP_DEFER_ACCEPT` | a connection is accepted only once it has sent something | that |
/// | `SO_BUSY_POLL`, `SO_PREFER_BUSY_POLL` | receives and waits poll the network card first | for as many microseconds: see [`busy_poll`](Socket::busy_poll) |
/// | `SO_OOBINLINE` | urgent data are among the others | they are received as bytes |
/// | `O_ASYNC` with an owner | SIGIO at each change; a program that does not handle it ends | nothing: it is the program's own |
/// | `SO_ZEROCOPY`, timestamps, `IP_RECVERR` | a send with `MSG_ZEROCOPY` is answered through the error queue, which is reported as an error | an attempt in vain for each report. Over poll(2), which reports it for as long as it is not read, an attempt in every turn |
/// | `TCP_ULP` (TLS in the kernel) | receives end at records | set before it is adopted or after, it may hide that more is at hand: not supported |
///
/// A receive, send, shutdown, or read of `SO_ERROR` on a clone takes from the `Os` what it would have
/// been told.
///
/// ```
/// use std::net::TcpListener;
/// use aio_sys::Socket;
///
/// let listener = Socket::from(TcpListener::bind("127.0.0.1:0")?).nodelay(true);
/// assert_eq!(listener.kind(), Ok(aio_model::Kind::Listener));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    options: Options,
}

/// What is to be set when it is adopted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    nodelay: bool,
    busy_poll: Option<Duration>,
    keep_peer_addr: bool,
}

impl Socket {
    /// Whether to set `TCP_NODELAY` when it is adopted: on a stream, or on every connection that a listener
    /// accepts, so that nothing small waits for the acknowledgement of what was sent before. Sockets that are
    /// not TCP ignore it. `false` leaves the option as it is, and so does not calling this: the system's
    /// default is off, and two small sends before an answer then take 40 ms longer.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Socket {
        self.options.nodelay = nodelay;
        self
    }

    /// For how long a receive that finds nothing may poll the network card, in microseconds, when it is
    /// adopted: Linux's `SO_BUSY_POLL`. What a listener accepts inherits it. Zero turns it off; not called,
    /// the option stays as it is.
    ///
    /// A kernel that watches sockets by epoll polls in its wait only if `net.core.busy_poll` is set, too, and
    /// never for the loopback device, which has no card to ask. What polls without such conditions, from user
    /// space, is [`Spin`](aio_model::Spin).
    ///
    /// Adopting fails with [`PermissionDenied`](SystemErrorKind::PermissionDenied) if the time is to be more
    /// than it was and the process lacks `CAP_NET_ADMIN`, and with ENOPROTOOPT where there is no such option.
    #[must_use]
    pub fn busy_poll(mut self, span: Duration) -> Socket {
        self.options.busy_poll = Some(span);
        self
    }

    /// Whether the address of each peer that this listener accepts is kept from the accept on, as
    /// [`Listen::keep_peer_addr`](aio_model::Listen::keep_peer_addr) says. Off unless set: that is for
    /// listeners of the system's own making. A stream ignores it.
    #[must_use]
    pub fn keep_peer_addr(mut self, keep: bool) -> Socket {
        self.options.keep_peer_addr = keep;
        self
    }

    /// Makes it what it has to be to be adopted as what it is, with the options that were asked for.
    pub(crate) fn prepare(&self, kind: Kind) -> Result<(), SystemError> {
        platform::prepare(self.as_fd()).map_err(errno::from_errno)?;
        if kind == Kind::Listener {
            platform::bound_accepts(self.as_fd()).map_err(errno::from_errno)?;
        }
        let Some(span) = self.options.busy_poll else { return Ok(()) };
        // Less than a microsecond still means on.
        let micros = span.as_nanos().div_ceil(1000);
        let micros = i32::try_from(micros).unwrap_or(i32::MAX).unsigned_abs();
        platform::set_busy_poll(self.as_fd(), micros).map_err(errno::from_errno)
    }

    /// What kind of socket it is.
    ///
    /// Where the system does not tell listeners from others (Darwin), a stream socket that was never
    /// connected counts as a listener.
    ///
    /// # Errors
    ///
    /// [`SystemErrorKind::Unsupported`] if it is a socket of another kind, or no socket.
    pub fn kind(&self) -> Result<Kind, SystemError> {
        let kind = rustix::net::sockopt::socket_type(self).map_err(|errno| match errno {
            rustix::io::Errno::NOTSOCK => {
                SystemError::new(SystemErrorKind::Unsupported, errno.raw_os_error())
            }
            errno => errno::from_errno(errno),
        })?;
        if kind != SocketType::STREAM {
            return Err(SystemError::from_kind(SystemErrorKind::Unsupported));
        }
        let listens = platform::is_listener(self.as_fd()).map_err(errno::from_errno)?;
        Ok(if listens { Kind::Listener } else { Kind::Stream })
    }

    pub(crate) fn wants_nodelay(&self) -> bool {
        self.options.nodelay
    }

    pub(crate) fn keeps_peer_addr(&self) -> bool {
        self.options.keep_peer_addr
    }

    pub(crate) fn into_parts(self) -> (OwnedFd, Options) {
        (self.fd, self.options)
    }

    pub(crate) fn from_parts(fd: OwnedFd, options: Options) -> Socket {
        Socket { fd, options }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Socket {
        Socket { fd, options: Options::default() }
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> OwnedFd {
        socket.fd
    }
}

macro_rules! from {
    ($($source:ty),*) => {
        $(impl From<$source> for Socket {
            fn from(source: $source) -> Socket {
                OwnedFd::from(source).into()
            }
        })*
    };
}

from!(TcpStream, TcpListener, UnixStream, UnixListener, socket2::Socket);

/// A new stream socket, close-on-exec and silent on a broken pipe. It blocks.
pub(crate) fn stream(domain: Domain) -> Result<OwnedFd, SystemError> {
    let socket = socket2::Socket::new(domain, Type::STREAM, None);
    socket.map(OwnedFd::from).map_err(|error| errno::from_io(&error))
}
