//! Sockets that users prepare before they are connected.

use std::any::Any;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use aio_model::{Address, Connect, SystemError, SystemErrorKind, Target, UserSocket};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::errno;
use crate::platform;
use crate::socket::Socket;

/// A stream socket that is to be connected, with options that the user set before: buffers that the handshake
/// already announces, a mark, a device, a local address, or what else [`Connect`] has no option for.
///
/// It is checked when it is made, and then connected by [`connect`](PreparedSocket::connect)'s operation. The
/// socket is in here until the system is asked to connect: if the operation is refused, or ends before that,
/// [`take`](PreparedSocket::take) gives it back. From then on it is the system's, and closed if the
/// connection is not made.
///
/// ```
/// use aio_sys::PreparedSocket;
/// use socket2::{Domain, Socket, Type};
///
/// let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
/// socket.set_recv_buffer_size(4 << 20)?;
/// let address: std::net::SocketAddr = "127.0.0.1:8110".parse().unwrap();
/// let prepared = PreparedSocket::new(socket, address)?;
/// let connect = prepared.connect(); // to be submitted
/// # drop(connect);
/// assert!(prepared.take().is_some(), "it was not submitted");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PreparedSocket {
    slot: Arc<Slot>,
    address: Address,
}

/// Where the socket is until it is connected.
#[derive(Debug)]
struct Slot(Mutex<Option<Socket>>);

impl Slot {
    fn take(&self) -> Option<Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put_back(&self, socket: Socket) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }
}

impl PreparedSocket {
    /// Checks a socket: that it can be connected to that address. It may be bound, and may block.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] gives the socket back.
    pub fn new(
        socket: impl Into<Socket>,
        address: impl Into<Address>,
    ) -> Result<PreparedSocket, PrepareError> {
        let (socket, address) = (socket.into(), address.into());
        match check(socket.as_fd(), &address) {
            Ok(()) => Ok(PreparedSocket { slot: Arc::new(Slot(Mutex::new(Some(socket)))), address }),
            Err(kind) => Err(PrepareError { kind, socket }),
        }
    }

    /// The operation that connects it. Its deadline, `nodelay` and [`from`](Connect::from) are set as of any
    /// other; it ends with `InvalidInput` if the socket is not in here (any more).
    pub fn connect(&self) -> Connect {
        let slot: Arc<dyn Any + Send + Sync> = Arc::clone(&self.slot) as _;
        Connect::with(UserSocket::new(slot), self.address.clone())
    }

    /// Takes the socket out, if the system has not been asked to connect it. An operation that would connect
    /// it fails then.
    pub fn take(&self) -> Option<Socket> {
        self.slot.take()
    }
}

/// The socket that a connect brings along, out of its slot; none if it brings none.
pub(crate) fn take(target: &Target) -> Result<Option<Socket>, Errno> {
    let Some(slot) = target.socket() else { return Ok(None) };
    let slot: &Slot = slot.downcast_ref().ok_or(Errno::INVAL)?;
    slot.take().map(Some).ok_or(Errno::INVAL)
}

/// Puts it back: it is connected another time.
pub(crate) fn put_back(target: &Target, socket: Socket) {
    if let Some(slot) = target.socket().and_then(|slot| slot.downcast_ref::<Slot>()) {
        slot.put_back(socket);
    }
}

fn check(fd: BorrowedFd<'_>, address: &Address) -> Result<(), PrepareErrorKind> {
    let system = |errno| PrepareErrorKind::System(errno::from_errno(errno));
    match sockopt::socket_type(fd) {
        Ok(SocketType::STREAM) => {}
        Ok(_) | Err(Errno::NOTSOCK) => return Err(PrepareErrorKind::NoStream),
        Err(errno) => return Err(system(errno)),
    }
    let family = rustix::net::getsockname(fd).map_err(system)?.address_family();
    let expected = match address {
        Address::Internet(address) if address.is_ipv4() => AddressFamily::INET,
        Address::Internet(_) => AddressFamily::INET6,
        Address::Unix(path) => {
            platform::unix_address(path).map_err(system)?;
            AddressFamily::UNIX
        }
        _ => return Err(system(Errno::AFNOSUPPORT)),
    };
    if family != expected {
        return Err(PrepareErrorKind::OtherFamily);
    }
    if platform::TELLS_LISTENERS && platform::is_listener(fd).map_err(system)? {
        return Err(PrepareErrorKind::Listens);
    }
    match rustix::net::getpeername(fd) {
        Err(Errno::NOTCONN) => Ok(()),
        // The second is Darwin's, of one that was connected once.
        Ok(_) | Err(Errno::INVAL) => Err(PrepareErrorKind::Connected),
        Err(errno) => Err(system(errno)),
    }
}

/// Why a socket can not be connected to an address. It gives the socket back.
pub struct PrepareError {
    /// Why.
    pub kind: PrepareErrorKind,
    /// The socket, as it was.
    pub socket: Socket,
}

/// The reasons for which a socket can not be connected to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrepareErrorKind {
    /// It is no stream socket, or no socket.
    NoStream,
    /// It is of another family than the address: IPv4, IPv6, Unix.
    OtherFamily,
    /// It listens. Where the system does not tell listeners from others (Darwin), the operation fails
    /// instead.
    Listens,
    /// It is connected already. Of one that was, and was reset, the operation fails instead.
    Connected,
    /// The system does not tell what it is, or the path of the Unix socket is too long (`NameTooLong`).
    System(SystemError),
}

impl fmt::Display for PrepareErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrepareErrorKind::NoStream => f.write_str("not a stream socket"),
            PrepareErrorKind::OtherFamily => f.write_str("the socket and the address are of two families"),
            PrepareErrorKind::Listens => f.write_str("the socket listens"),
            PrepareErrorKind::Connected => f.write_str("the socket is connected already"),
            PrepareErrorKind::System(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl std::error::Error for PrepareErrorKind {}

impl fmt::Debug for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrepareError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl std::error::Error for PrepareError {}

impl From<PrepareError> for std::io::Error {
    fn from(error: PrepareError) -> std::io::Error {
        match error.kind {
            PrepareErrorKind::System(error) if error.kind() != SystemErrorKind::Other => error.into(),
            kind => std::io::Error::new(std::io::ErrorKind::InvalidInput, kind),
        }
    }
}
