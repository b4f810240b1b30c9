//! The servers that are compared, each written as its library's documentation would have it written.
//!
//! One process serves one peer. A peer is a file here and a row in [`PEERS`]; what it can be asked for is a
//! [`Service`].

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

mod aio_broadcast;
pub mod aio_echo;
mod aio_proxy;
pub mod child;
#[cfg(feature = "compio")]
mod compio_echo;
#[cfg(feature = "may")]
mod may_echo;
mod mio_broadcast;
mod mio_conn;
mod mio_proxy;
pub mod mio_raw;
#[cfg(feature = "monoio")]
mod monoio_echo;
#[cfg(feature = "smol")]
mod smol_echo;
#[cfg(feature = "tokio")]
mod tokio_echo;
#[cfg(feature = "tokio")]
mod tokio_services;

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// Sends back what comes.
    Echo,
    /// Sends what comes on the first connection to all the others.
    Broadcast,
    /// Connects once to the upstream for every connection, and passes bytes through.
    Proxy,
}

/// How a server is set up.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// What it does.
    pub service: Service,
    /// The size of a receive buffer, shared or for each connection.
    pub buffer: usize,
    /// Where a proxy connects to.
    pub upstream: Option<SocketAddr>,
}

impl ServeOptions {
    /// Where a proxy connects to.
    ///
    /// # Errors
    ///
    /// When nobody said.
    pub fn upstream(&self) -> io::Result<SocketAddr> {
        self.upstream.ok_or_else(|| io::Error::other("a proxy needs --upstream"))
    }
}

/// A server to compare.
#[derive(Debug)]
pub struct ComparedServer {
    /// Its name in tables and on the command line.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// What it can be asked for.
    pub services: &'static [Service],
    /// Whether it is a row of every scenario, or only where it is asked for.
    pub common: bool,
    /// Serves, for ever.
    pub serve: fn(&ListenAddress, &ServeOptions) -> io::Result<()>,
}

const ALL: &[Service] = &[Service::Echo, Service::Broadcast, Service::Proxy];
const ECHO: &[Service] = &[Service::Echo];

/// The name of the peer that all others are measured by.
pub const BASELINE: &str = "mio_raw";

/// Every peer that was built, the baseline first.
pub const PEERS: &[ComparedServer] = &[
    ComparedServer {
        name: BASELINE,
        about: "an epoll loop written by hand, on mio",
        services: ALL,
        common: true,
        serve: mio_raw::serve,
    },
    ComparedServer {
        name: "aio",
        about: "ours: a pooled receive, then a send of the lease",
        services: ALL,
        common: true,
        serve: aio_echo::serve,
    },
    ComparedServer {
        name: "aio_deadline",
        about: "ours, with a deadline on every receive",
        services: ECHO,
        common: false,
        serve: aio_echo::serve_with_deadlines,
    },
    ComparedServer {
        name: "aio_spin",
        about: "ours, polling before it sleeps while that pays",
        services: ECHO,
        common: true,
        serve: aio_echo::serve_spinning,
    },
    #[cfg(feature = "tokio")]
    ComparedServer {
        name: "tokio_ct",
        about: "tokio, on the current thread",
        services: ALL,
        common: true,
        serve: tokio_echo::current_thread,
    },
    #[cfg(feature = "tokio")]
    ComparedServer {
        name: "tokio_mt",
        about: "tokio, two workers on one core",
        services: ALL,
        common: true,
        serve: tokio_echo::multi_thread,
    },
    #[cfg(feature = "smol")]
    ComparedServer {
        name: "smol",
        about: "smol, its local executor",
        services: ECHO,
        common: true,
        serve: smol_echo::serve,
    },
    #[cfg(feature = "monoio")]
    ComparedServer {
        name: "monoio",
        about: "monoio, on epoll (its legacy driver)",
        services: ECHO,
        common: true,
        serve: monoio_echo::serve,
    },
    #[cfg(feature = "compio")]
    ComparedServer {
        name: "compio",
        about: "compio, on epoll (its polling driver)",
        services: ECHO,
        common: true,
        serve: compio_echo::serve,
    },
    #[cfg(feature = "may")]
    ComparedServer {
        name: "may",
        about: "may: a coroutine for each connection, one worker",
        services: ECHO,
        common: true,
        serve: may_echo::serve,
    },
];

/// The deadline of `aio_deadline`: it never comes.
pub const DEADLINE: Duration = Duration::from_secs(600);

/// The peer of that name.
pub fn find(name: &str) -> Option<&'static ComparedServer> {
    PEERS.iter().find(|peer| peer.name == name)
}

/// The address on which a server is to listen. Its starter waits until the server announces that it does.
#[derive(Debug)]
pub struct ListenAddress {
    /// The address; with port 0, the system chooses one.
    pub address: SocketAddr,
}

impl ListenAddress {
    /// A [`listener`], announced.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn open(&self) -> io::Result<TcpListener> {
        let listener = listener(self.address)?;
        self.announce(listener.local_addr()?)?;
        Ok(listener)
    }

    /// Says on standard output where somebody listens, for a library that makes its listener itself.
    ///
    /// # Errors
    ///
    /// When nobody reads it.
    pub fn announce(&self, local: SocketAddr) -> io::Result<()> {
        let mut out = io::stdout();
        writeln!(out, "listening on {local}")?;
        out.flush()
    }
}

/// A non-blocking listener with room for a crowd that connects at once. What it accepts
/// sends at once (`TCP_NODELAY`), as connections inherit that from it.
///
/// # Errors
///
/// When the system refuses.
pub fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 4096)?;
    Ok(socket.into())
}
