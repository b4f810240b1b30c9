//! What somebody else does to a socket of ours: its open file is shared with every holder of a duplicate of
//! the descriptor.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use aio_model::SystemErrorKind;
use socket2::Socket;

use crate::conformance::history::{Name, Number};

use super::{Player, kind};

impl Player<'_> {
    /// Takes the error that waits to be told: it is reported once, to the first who asks.
    pub(super) fn ask_error(&mut self, conn: Number) -> io::Result<Option<SystemErrorKind>> {
        let taken = self.duplicate(Name::Conn(conn))?.take_error()?;
        Ok(taken.as_ref().map(kind))
    }

    /// Makes it blocking, and goes: the open file stays so.
    pub(super) fn block(&mut self, name: Name) -> io::Result<()> {
        self.duplicate(name)?.set_nonblocking(false)
    }

    fn duplicate(&mut self, name: Name) -> io::Result<Socket> {
        let id = match name {
            Name::Listener => self.listener.as_ref().map(|(id, ..)| *id),
            Name::Conn(conn) => self.conns[conn].id,
        };
        let descriptor = id.and_then(|id| self.caller.system.descriptor(id)).ok_or(ErrorKind::NotFound)?;
        let duplicate: OwnedFd = descriptor.try_clone_to_owned()?;
        Ok(Socket::from(duplicate))
    }
}
