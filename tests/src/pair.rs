//! Two ends of a stream: one for the proactor, and one to play the peer with.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::bytes::Bytes;

/// How long a peer waits for anything: for ever, but a test that hangs must end.
const PATIENCE: Duration = Duration::from_secs(20);

/// What kind of sockets a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// TCP over the loopback device.
    Tcp,
    /// The same over IPv6.
    Tcp6,
    /// Unix.
    Unix,
}

impl Family {
    /// The kinds that every host has.
    pub const ALL: [Family; 2] = [Family::Tcp, Family::Unix];

    /// What this host says when it is asked for a socket of this kind and has none: `None` if it has.
    pub fn lack(self) -> Option<io::Error> {
        match self {
            Family::Tcp | Family::Tcp6 => self.port().err(),
            Family::Unix => None,
        }
    }

    /// Whether it is TCP, over whatever.
    pub fn is_tcp(self) -> bool {
        matches!(self, Family::Tcp | Family::Tcp6)
    }

    /// A TCP socket that is bound to a free port of the loopback device.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub fn port(self) -> io::Result<Socket> {
        let (domain, host) = match self {
            Family::Tcp => (Domain::IPV4, IpAddr::from(Ipv4Addr::LOCALHOST)),
            Family::Tcp6 => (Domain::IPV6, IpAddr::from(Ipv6Addr::LOCALHOST)),
            Family::Unix => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((host, 0)).into())?;
        Ok(socket)
    }

    /// A stream of which `peer` is the other end.
    ///
    /// # Errors
    ///
    /// When the system gives no socket.
    pub fn pair(self, says: u64, hears: u64) -> io::Result<(Socket, Peer)> {
        self.with_peer(None, says, hears)
    }

    /// A stream that takes little before the peer reads: so many bytes in the kernel on either side, or as
    /// few more as the kernel agrees to.
    ///
    /// # Errors
    ///
    /// When the system gives no socket.
    pub fn narrow_pair(self, bytes: usize, says: u64, hears: u64) -> io::Result<(Socket, Peer)> {
        self.with_peer(Some(bytes), says, hears)
    }

    fn with_peer(self, buffers: Option<usize>, says: u64, hears: u64) -> io::Result<(Socket, Peer)> {
        let (ours, theirs) = self.sockets(buffers)?;
        Ok((ours, Peer::new(theirs, says, hears)?))
    }

    /// The two ends of a stream, with so small buffers if any are named.
    ///
    /// # Errors
    ///
    /// When the system gives no socket.
    pub fn sockets(self, buffers: Option<usize>) -> io::Result<(Socket, Socket)> {
        let (ours, theirs) = match self {
            Family::Unix => {
                let (ours, theirs) = UnixStream::pair()?;
                (Socket::from(OwnedFd::from(ours)), Socket::from(OwnedFd::from(theirs)))
            }
            Family::Tcp | Family::Tcp6 => {
                let listener = self.port()?;
                listener.listen(1)?;
                let address = listener.local_addr()?;
                let theirs = Socket::new(address.domain(), Type::STREAM, None)?;
                // Once connected it is too late: the window has been promised.
                buffers.map_or(Ok(()), |bytes| theirs.set_recv_buffer_size(bytes))?;
                theirs.connect(&address)?;
                (listener.accept()?.0, theirs)
            }
        };
        buffers.map_or(Ok(()), |bytes| ours.set_send_buffer_size(bytes))?;
        Ok((ours, theirs))
    }
}

/// The other end of a stream: it says the bytes of one seed, and expects to hear those of another.
#[derive(Debug)]
pub struct Peer {
    socket: Socket,
    says: Bytes,
    hears: Bytes,
    heard: u64,
}

impl Peer {
    /// The peer at this end, with the seeds of what it says and hears.
    ///
    /// # Errors
    ///
    /// When the socket refuses a time limit.
    pub fn new(socket: Socket, says: u64, hears: u64) -> io::Result<Peer> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Peer { socket, says: Bytes::new(says), hears: Bytes::new(hears), heard: 0 })
    }

    /// Says the next bytes.
    ///
    /// # Panics
    ///
    /// When they can not be sent.
    pub fn say(&mut self, count: usize) {
        self.socket.write_all(&self.says.take(count)).unwrap();
    }

    /// Hears that many bytes, and that they are the next.
    ///
    /// # Panics
    ///
    /// When they are others, or do not come.
    pub fn hear(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        self.socket.read_exact(&mut bytes).unwrap();
        self.check(&bytes);
    }

    /// Hears all that comes, in pieces of at most so many bytes, to the end of the stream: how many bytes
    /// were heard since the stream began.
    ///
    /// # Errors
    ///
    /// When the stream ends with one.
    ///
    /// # Panics
    ///
    /// When the bytes are not those that were expected, or nothing comes.
    pub fn hear_all(&mut self, piece: usize) -> io::Result<u64> {
        let mut bytes = vec![0; piece];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return Ok(self.heard),
                Ok(count) => self.check(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("neither bytes nor an end"),
                Err(error) => return Err(error),
            }
        }
    }

    /// Hears what there is of a stream that the other side broke off after so many bytes: over TCP a reset
    /// says that it was, and may overtake some of them; a Unix socket just ends.
    ///
    /// # Panics
    ///
    /// When it ends otherwise.
    pub fn hear_break(&mut self, family: Family, sent: u64) {
        let end = self.hear_all(4096);
        if family.is_tcp() {
            let reset = end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
            assert!(reset && self.heard <= sent, "{end:?} after {} of {sent} bytes", self.heard);
        } else {
            assert_eq!(end.unwrap(), sent);
        }
    }

    /// The bytes heard since the stream began.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Ends what it says. It goes on hearing.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn fall_silent(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Throws the connection away, and whatever is on its way.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn check(&mut self, bytes: &[u8]) {
        assert!(self.hears.matches(bytes), "within the {} bytes after byte {}", bytes.len(), self.heard);
        self.heard += bytes.len() as u64;
    }
}
