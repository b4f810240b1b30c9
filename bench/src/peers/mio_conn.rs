//! A connection of the loops that are written by hand.

use std::io::{self, ErrorKind, Write};

use mio::net::TcpStream;

/// A connection, and what could not be sent yet.
#[derive(Debug)]
pub(super) struct EchoConn {
    pub(super) stream: TcpStream,
    /// What is to be sent before anything else.
    pub(super) unsent: Option<Box<Unsent>>,
}

/// What the kernel has not taken.
#[derive(Debug)]
pub(super) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// Whether to go on with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EchoFate {
    Keep,
    Close,
}

impl EchoConn {
    pub(super) fn new(stream: TcpStream) -> EchoConn {
        EchoConn { stream, unsent: None }
    }

    /// Sends behind what could not be sent yet.
    pub(super) fn send_in_turn(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match &mut self.unsent {
            Some(unsent) => {
                unsent.bytes.extend_from_slice(bytes);
                Ok(false)
            }
            None => self.send(bytes),
        }
    }

    /// Sends, and keeps what the kernel does not take. Returns whether it took everything.
    #[inline]
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match self.stream.write(bytes) {
            Ok(count) if count == bytes.len() => Ok(true),
            first => self.send_rest(bytes, first),
        }
    }

    /// What is rare: the kernel took a part, or nothing.
    #[cold]
    fn send_rest(&mut self, bytes: &[u8], first: io::Result<usize>) -> io::Result<bool> {
        let (mut sent, mut last) = (0, first);
        loop {
            match last {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.unsent = Some(Box::new(Unsent { bytes: bytes[sent..].to_vec(), sent: 0 }));
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if sent == bytes.len() {
                return Ok(true);
            }
            last = self.stream.write(&bytes[sent..]);
        }
    }

    /// Sends what was kept. Returns whether nothing is left of it.
    #[cold]
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let Some(unsent) = &mut self.unsent else { return Ok(true) };
        while unsent.sent < unsent.bytes.len() {
            match self.stream.write(&unsent.bytes[unsent.sent..]) {
                Ok(count) => unsent.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent = None;
        Ok(true)
    }
}
