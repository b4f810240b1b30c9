//! The echo server on a thread of its own.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use aio::{Builder, Counters, Proactor, Socket};

use crate::serve::{Ctx, serve};

/// The server of the echo example, until it is stopped.
#[derive(Debug)]
pub struct EchoServer {
    address: SocketAddr,
    stop: UnixStream,
    thread: JoinHandle<io::Result<EchoReport>>,
}

/// What a server did, and what it left behind.
#[derive(Debug)]
#[non_exhaustive]
pub struct EchoReport {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes sent back, of the echoes that were finished.
    pub bytes: u64,
    /// The counters at the end.
    pub stats: Counters,
    /// The buffers that were still lent: none.
    pub outstanding: u32,
}

impl EchoServer {
    /// Starts a server on a free port.
    ///
    /// # Errors
    ///
    /// When the system gives no port or no readiness queue.
    pub fn start(builder: Builder) -> io::Result<EchoServer> {
        EchoServer::on(listen()?, builder)
    }

    /// Starts a server on a listener.
    ///
    /// # Errors
    ///
    /// When the system gives no readiness queue.
    pub fn on(listener: TcpListener, builder: Builder) -> io::Result<EchoServer> {
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::spawn(move || {
            let mut aio: Proactor<Ctx> = builder.build()?;
            let listener = aio.adopt(Socket::from(listener).nodelay(true))?;
            let stopped = aio.adopt(stopped)?;
            let served = serve(&mut aio, listener, Some(stopped), None)?;
            aio.check().map_err(io::Error::other)?;
            let (stats, outstanding) = (aio.stats().counters, aio.stats().leases);
            Ok(EchoReport { connections: served.connections, bytes: served.bytes, stats, outstanding })
        });
        Ok(EchoServer { address, stop, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops the server, and says what it did.
    ///
    /// # Errors
    ///
    /// When the server failed.
    ///
    /// # Panics
    ///
    /// When the server panicked.
    pub fn stop(mut self) -> io::Result<EchoReport> {
        self.stop.write_all(&[0])?;
        self.thread.join().expect("the server did not panic")
    }
}

/// A listener with room for every test's connections at once; `TcpListener::bind` has room for 128, and what
/// the kernel does with the next is not what is tested here.
///
/// # Errors
///
/// When the system gives no port.
pub fn listen() -> io::Result<TcpListener> {
    bind(SocketAddr::from(([127, 0, 0, 1], 0)), false)
}

/// [`listen`], on a port that others may listen on, too, if they say so as well; 0 for a new one.
///
/// # Errors
///
/// When the system gives no port.
pub fn listen_beside(port: u16) -> io::Result<TcpListener> {
    bind(SocketAddr::from(([127, 0, 0, 1], port)), true)
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
