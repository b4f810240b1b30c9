//! Addresses; where a connection is to be made to, and from.

use alloc::boxed::Box;
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

/// What a [`Connect`](crate::Connect) asks a system for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    address: Address,
    local: Option<SocketAddr>,
    nodelay: bool,
}

impl Target {
    pub(crate) fn new(address: Address) -> Target {
        Target { address, local: None, nodelay: false }
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
}
