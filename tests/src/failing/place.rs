//! A place to connect to, TCP or Unix.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use aio::Address;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::pair::Family;

/// A listener's address; the file of a Unix one goes with it.
#[derive(Debug)]
pub struct ServerPlace {
    address: SockAddr,
    path: Option<PathBuf>,
}

/// Room for all who connect at once in any scenario.
const BACKLOG: i32 = 64;

impl ServerPlace {
    /// A listener, and where it listens.
    ///
    /// # Errors
    ///
    /// When the system gives none.
    pub fn listen(family: Family) -> io::Result<(Socket, ServerPlace)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (socket, path) = match family {
            Family::Tcp | Family::Tcp6 => (family.port()?, None),
            Family::Unix => {
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let name = format!("aio-place-{}-{number}", std::process::id());
                let path = std::env::temp_dir().join(name);
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.bind(&SockAddr::unix(&path)?)?;
                (socket, Some(path))
            }
        };
        socket.listen(BACKLOG)?;
        let place = ServerPlace { address: socket.local_addr()?, path };
        Ok((socket, place))
    }

    /// A connection to it; the listener need not have accepted it.
    ///
    /// # Errors
    ///
    /// When it can not be made.
    pub fn connect(&self) -> io::Result<Socket> {
        let socket = Socket::new(self.address.domain(), Type::STREAM, None)?;
        socket.connect(&self.address)?;
        Ok(socket)
    }

    /// The address, as a connect takes it.
    ///
    /// # Panics
    ///
    /// When it is of another family.
    pub fn target(&self) -> Address {
        match &self.path {
            Some(path) => Address::from(path.as_path()),
            None => Address::from(self.address.as_socket().expect("an internet address")),
        }
    }
}

impl Drop for ServerPlace {
    fn drop(&mut self) {
        self.path.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}
