//! Who listens where, and what the ends of connections are called.
//!
//! A simulated system has every address of the internet, and one folder of Unix sockets. Ports that it
//! chooses are from [`PORT_MIN`] on for listeners, and below that for those who connect.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aio_model::{Address, ConnId, Listen, SystemError};

use crate::world::errno::{EADDRINUSE, EBADF, EMFILE, ENAMETOOLONG, ENOTCONN};
use crate::world::link::{Family, Handshake, Side};
use crate::world::names::Known;
use crate::world::socket::{Listener, Socket, SocketId, What};
use crate::world::state::World;

/// The first port that is chosen for a listener.
pub(crate) const PORT_MIN: u16 = 49_152;

/// The first port, and how many, that connections are made from.
const CLIENT_PORTS: (u16, u16) = (32_768, PORT_MIN - 32_768);

/// The longest path of a Unix socket, as on Linux.
const PATH_BYTES_MAX: usize = 107;

/// As `net.core.somaxconn` has it.
const BACKLOG_MAX: u32 = 4096;

/// The names of listeners and of the ends of connections.
#[derive(Debug, Default)]
pub(crate) struct AddressTable {
    listeners: Vec<Bound>,
    /// Paths of Unix sockets whose listeners were closed.
    stale: BTreeSet<Box<[u8]>>,
    /// What the ends of a connection are called, client and server, where that was said.
    ends: BTreeMap<u32, [Address; 2]>,
    /// The connections whose server keeps its peer's address.
    kept: BTreeSet<u32>,
}

#[derive(Debug)]
struct Bound {
    socket: SocketId,
    address: Address,
    shares: bool,
    /// Of an IPv6 address: whether it takes IPv4 connections, too.
    takes_v4: bool,
}

impl Bound {
    /// Whether it takes connections to `address`.
    fn takes(&self, address: &Address) -> bool {
        match (&self.address, address) {
            (Address::Internet(own), Address::Internet(other)) => {
                own.port() == other.port() && self.takes_ip(own.ip(), other.ip())
            }
            (own, other) => own == other,
        }
    }

    fn takes_ip(&self, own: IpAddr, other: IpAddr) -> bool {
        let same_family = own.is_ipv4() == other.is_ipv4() || self.takes_v4;
        own == other || (own.is_unspecified() && same_family)
    }

    /// Whether both can not be there at once.
    fn conflicts(&self, other: &Bound) -> bool {
        (self.takes(&other.address) || other.takes(&self.address)) && !(self.shares && other.shares)
    }
}

fn is_file(path: &[u8]) -> bool {
    path.first().is_some_and(|first| *first != 0)
}

impl World {
    /// Makes a listener that has a name.
    pub(crate) fn listen(&mut self, listen: &Listen) -> Result<SocketId, SystemError> {
        listen.validate()?;
        if self.descriptors.count() >= self.descriptors.count_max {
            return Err(EMFILE);
        }
        // The ids of sockets are not reused, so this is the one that comes next.
        let mut bound = Bound {
            socket: SocketId::new(self.sockets.len()),
            address: listen.address().clone(),
            shares: listen.reuses_port(),
            takes_v4: listen.is_v6only() != Some(true)
                && listen.address().as_internet().is_some_and(|address| address.is_ipv6()),
        };
        self.addresses.settle(&mut bound, listen.unlinks_stale())?;
        let mut listener = Listener::new(listen.backlog_max().min(BACKLOG_MAX) as usize);
        listener.keeps_peer = listen.keeps_peer_addr();
        let socket = self.create(What::Listener(listener)).ok_or(EMFILE)?;
        debug_assert_eq!(socket, bound.socket);
        self.addresses.listeners.push(bound);
        Ok(socket)
    }

    /// The listener that takes connections to an address: by chance, where several share it.
    pub(crate) fn listener_at(&mut self, address: &Address) -> Option<SocketId> {
        let bound = self.addresses.listeners.iter().filter(|bound| bound.takes(address));
        // One on the address itself goes before one on all addresses.
        let exact = |bound: &&Bound| bound.address == *address;
        let any_exact = bound.clone().any(|bound| exact(&bound));
        let sockets: Vec<_> =
            bound.filter(|bound| exact(bound) || !any_exact).map(|bound| bound.socket).collect();
        match sockets[..] {
            [] => None,
            [only] => Some(only),
            _ => Some(*self.dice.choice.pick(&sockets)),
        }
    }

    /// A connection to a listener that has a name is of that listener's family.
    pub(crate) fn adapt_family(&mut self, link: u32, listener: SocketId) {
        if let Some(bound) = self.addresses.bound(listener) {
            let is_unix = bound.address.as_unix().is_some();
            let family = if is_unix { Family::Unix } else { Family::Tcp };
            self.connections[link as usize].link.family = family;
        }
    }

    /// What the ends of a connection that is made are called: `from` and `to`, or what follows from the
    /// listener.
    pub(crate) fn name_ends(
        &mut self,
        link: u32,
        from: Option<SocketAddr>,
        to: Option<&Address>,
        listener: Option<SocketId>,
    ) {
        let bound = listener.and_then(|listener| self.addresses.bound(listener));
        let Some(server) = to.or_else(|| bound.map(|bound| &bound.address)) else { return };
        let ends = match server {
            Address::Internet(server) => {
                let loopback = if server.is_ipv4() {
                    IpAddr::from(Ipv4Addr::LOCALHOST)
                } else {
                    Ipv6Addr::LOCALHOST.into()
                };
                let ip = if server.ip().is_unspecified() { loopback } else { server.ip() };
                let client_ip = from.map(|from| from.ip()).filter(|ip| !ip.is_unspecified());
                let client_port = from.map(|from| from.port()).filter(|port| *port != 0);
                let client = SocketAddr::new(
                    client_ip.unwrap_or(loopback),
                    client_port.unwrap_or_else(|| client_port_of(link)),
                );
                [client.into(), SocketAddr::new(ip, server.port()).into()]
            }
            server => [Address::unix([]), server.clone()],
        };
        self.addresses.ends.insert(link, ends);
    }

    /// A connection was accepted from a listener.
    pub(crate) fn note_accepted(&mut self, link: u32, listener: SocketId) {
        if self.socket(listener).listener().is_some_and(|listener| listener.keeps_peer) {
            self.addresses.kept.insert(link);
        }
    }

    /// What a connection or listener is bound to.
    pub(crate) fn local_addr(&self, poller: usize, conn: ConnId) -> Result<Address, SystemError> {
        let (socket, what) = self.named(poller, conn)?;
        Ok(match &what.what {
            What::Stream(end) => self.ends_of(end.link)[end.side as usize].clone(),
            What::Listener(_) => match self.addresses.bound(socket) {
                Some(bound) => bound.address.clone(),
                None => self.no_address(),
            },
        })
    }

    /// What a connection's peer is bound to.
    pub(crate) fn peer_addr(&self, poller: usize, conn: ConnId) -> Result<Address, SystemError> {
        let (_, socket) = self.named(poller, conn)?;
        let end = socket.stream().ok_or(ENOTCONN)?;
        let link = self.link(end);
        let is_kept = end.side == Side::Server && self.addresses.kept.contains(&end.link);
        // A Unix socket knows its peer for as long as it is open; TCP forgets it when all is over.
        let over = link.sent_by(end.side).has_ended() && link.sent_by(!end.side).has_ended();
        let forgotten = link.family == Family::Tcp && (link.is_dead(end.side) || over);
        if link.handshake != Handshake::Made || (forgotten && !is_kept) {
            return Err(ENOTCONN);
        }
        Ok(self.ends_of(end.link)[end.far().side as usize].clone())
    }

    fn named(&self, poller: usize, conn: ConnId) -> Result<(SocketId, &Socket), SystemError> {
        match self.pollers[poller].names.look_up(conn) {
            Known::Open(socket) => Ok((socket, self.socket(socket))),
            Known::Closed | Known::Never => Err(EBADF),
        }
    }

    fn ends_of(&self, link: u32) -> [Address; 2] {
        if let Some(ends) = self.addresses.ends.get(&link) {
            return ends.clone();
        }
        match self.connections[link as usize].link.family {
            Family::Tcp => {
                let client = SocketAddr::from((Ipv4Addr::LOCALHOST, client_port_of(link)));
                [client.into(), self.no_address()]
            }
            Family::Unix => [Address::unix([]), Address::unix([])],
        }
    }

    /// What a socket without a name is called.
    fn no_address(&self) -> Address {
        match self.family {
            Family::Tcp => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into(),
            Family::Unix => Address::unix([]),
        }
    }
}

fn client_port_of(link: u32) -> u16 {
    let (first, count) = CLIENT_PORTS;
    first + u16::try_from(link % u32::from(count)).expect("less than the count")
}

impl AddressTable {
    fn bound(&self, socket: SocketId) -> Option<&Bound> {
        self.listeners.iter().find(|bound| bound.socket == socket)
    }

    /// Sees to it that the address can be had, and has a port.
    fn settle(&mut self, bound: &mut Bound, unlinks_stale: bool) -> Result<(), SystemError> {
        let is_free = |bound: &Bound| !self.listeners.iter().any(|other| other.conflicts(bound));
        match &bound.address {
            Address::Internet(address) if address.port() == 0 => {
                let ip = address.ip();
                for port in PORT_MIN..=u16::MAX {
                    bound.address = SocketAddr::new(ip, port).into();
                    // Not even one that could be shared: nobody has asked for that one.
                    let is_taken = self
                        .listeners
                        .iter()
                        .any(|other| other.address.as_internet().is_some_and(|other| other.port() == port));
                    if !is_taken {
                        return Ok(());
                    }
                }
                Err(EADDRINUSE)
            }
            Address::Unix(path) if path.len() > PATH_BYTES_MAX => Err(ENAMETOOLONG),
            Address::Unix(path) if self.stale.contains(path) => {
                if !unlinks_stale {
                    return Err(EADDRINUSE);
                }
                self.stale.remove(path);
                Ok(())
            }
            _ => is_free(bound).then_some(()).ok_or(EADDRINUSE),
        }
    }

    /// A listener is closed. The path of a Unix socket stays.
    pub(crate) fn on_closed(&mut self, socket: SocketId) {
        let Some(index) = self.listeners.iter().position(|bound| bound.socket == socket) else { return };
        if let Address::Unix(path) = self.listeners.remove(index).address
            && is_file(&path)
        {
            self.stale.insert(path);
        }
    }

    /// A path is removed, as a program or its user may do at any time.
    pub(crate) fn unlink(&mut self, path: &[u8]) -> bool {
        self.stale.remove(path)
    }
}
