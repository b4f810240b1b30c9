//! Hosts: who listens on real sockets for those that scripts connect.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use aio_model::Address;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::pair::Family;

/// As little as a kernel gives, or a little more.
const NARROW_BYTES: usize = 4096;

/// A place to connect to.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) listener: Socket,
    pub(super) address: Address,
}

/// Who listens for the connections of any number of scripts, one after the other.
#[derive(Debug)]
pub struct Hosts {
    pub(super) family: Family,
    /// With buffers as they come, and with narrow ones.
    pub(super) hosts: [Host; 2],
    /// Where nobody listens; bound, so that nobody will.
    pub(super) nobody: Host,
}

impl Hosts {
    /// The listeners of one family.
    ///
    /// # Errors
    ///
    /// When the system gives no sockets.
    pub fn new(family: Family) -> io::Result<Hosts> {
        let hosts = [Host::new(family, false)?, Host::new(family, true)?];
        hosts.iter().try_for_each(|host| host.listener.listen(1024))?;
        Ok(Hosts { family, hosts, nobody: Host::new(family, false)? })
    }
}

impl Host {
    /// Bound, and not listening.
    pub(super) fn new(family: Family, narrow: bool) -> io::Result<Host> {
        static NAMES: AtomicU64 = AtomicU64::new(0);
        let (listener, address) = match family {
            Family::Tcp | Family::Tcp6 => {
                let listener = family.port()?;
                let address = listener.local_addr()?.as_socket().ok_or(ErrorKind::Unsupported)?;
                (listener, Address::from(address))
            }
            Family::Unix => {
                let name = NAMES.fetch_add(1, Ordering::Relaxed);
                let path = format!("\0aio-conformance-{}-{name}", std::process::id());
                let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                listener.bind(&SockAddr::unix(&path)?)?;
                (listener, Address::unix(path.into_bytes()))
            }
        };
        if narrow {
            narrow_down(&listener)?;
        }
        Ok(Host { listener, address })
    }

    pub(super) fn connect(&self, narrow: bool) -> io::Result<Socket> {
        let address = match &self.address {
            Address::Unix(path) => SockAddr::unix(String::from_utf8_lossy(path).as_ref())?,
            _ => self.listener.local_addr()?,
        };
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        if narrow {
            narrow_down(&socket)?;
        }
        socket.connect(&address)?;
        Ok(socket)
    }

    /// The connection whose other end has this address. Those that come before it are kept.
    pub(super) fn accept(
        &self,
        from: Option<SocketAddr>,
        kept: &mut Vec<(SocketAddr, Socket)>,
    ) -> io::Result<Socket> {
        if let Some(known) = kept.iter().position(|(address, _)| Some(*address) == from) {
            return Ok(kept.swap_remove(known).1);
        }
        loop {
            let (socket, address) = self.listener.accept()?;
            match address.as_socket() {
                Some(address) if from != Some(address) => kept.push((address, socket)),
                _ => return Ok(socket),
            }
        }
    }
}

fn narrow_down(socket: &Socket) -> io::Result<()> {
    socket.set_send_buffer_size(NARROW_BYTES)?;
    socket.set_recv_buffer_size(NARROW_BYTES)
}
