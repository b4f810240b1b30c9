//! Addresses; where a connection is to be made to, and from.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// What can be connected to, or listened on.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A TCP port.
    Internet(SocketAddr),
    /// The path of a Unix socket. On Linux, one that begins with a zero byte is not a path but a name in the
    /// abstract namespace (unix(7)). Of a socket that has no name, as most that connect have none, it is
    /// empty.
    Unix(Box<[u8]>),
}

impl Address {
    /// The Unix socket at that path.
    pub fn unix(path: impl Into<Box<[u8]>>) -> Address {
        Address::Unix(path.into())
    }

    /// The address and port, of what is not a Unix socket.
    pub fn as_internet(&self) -> Option<SocketAddr> {
        match self {
            Address::Internet(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The path of a Unix socket.
    pub fn as_unix(&self) -> Option<&[u8]> {
        match self {
            Address::Internet(_) => None,
            Address::Unix(path) => Some(path),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Internet(address)
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Address {
        Address::Internet(address.into())
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Address {
        Address::Internet(address.into())
    }
}

#[cfg(all(feature = "std", unix))]
impl From<&std::path::Path> for Address {
    fn from(path: &std::path::Path) -> Address {
        use std::os::unix::ffi::OsStrExt;
        Address::unix(path.as_os_str().as_bytes())
    }
}

#[cfg(all(feature = "std", unix))]
impl From<std::path::PathBuf> for Address {
    fn from(path: std::path::PathBuf) -> Address {
        use std::os::unix::ffi::OsStringExt;
        Address::unix(path.into_os_string().into_vec())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Internet(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A socket that the user of a system has prepared, in a form that only that system knows. Several of it are
/// one.
#[derive(Clone)]
pub struct UserSocket(Arc<dyn Any + Send + Sync>);

impl UserSocket {
    /// Wraps what the system will know by its type.
    pub fn new(socket: Arc<dyn Any + Send + Sync>) -> UserSocket {
        UserSocket(socket)
    }

    /// What it is, if it is of that type.
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl PartialEq for UserSocket {
    fn eq(&self, other: &UserSocket) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for UserSocket {}

impl fmt::Debug for UserSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSocket")
    }
}

/// What a [`Connect`](crate::Connect) asks a system for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    address: Address,
    local: Option<SocketAddr>,
    nodelay: bool,
    socket: Option<UserSocket>,
}

impl Target {
    pub(crate) fn new(address: Address) -> Target {
        Target { address, local: None, nodelay: false, socket: None }
    }

    pub(crate) fn with_socket(self, socket: UserSocket) -> Target {
        Target { socket: Some(socket), ..self }
    }

    pub(crate) fn with_local(self, local: SocketAddr) -> Target {
        Target { local: Some(local), ..self }
    }

    pub(crate) fn with_nodelay(self, nodelay: bool) -> Target {
        Target { nodelay, ..self }
    }

    /// Where to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What to bind to before.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Whether to set `TCP_NODELAY`.
    pub fn nodelay(&self) -> bool {
        self.nodelay
    }

    /// The socket to connect, if it is not to be a new one.
    pub fn socket(&self) -> Option<&UserSocket> {
        self.socket.as_ref()
    }
}
