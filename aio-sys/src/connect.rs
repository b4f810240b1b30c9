//! Making connections: connect(2) without blocking, and how it ended.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aio_model::{Address, Kind, SystemError, SystemErrorKind, Target};
use rustix::io::Errno;
use socket2::Domain;

use crate::errno;
use crate::platform;
use crate::prepared;
use crate::socket;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// An event will tell.
    UnderWay,
    /// It is made.
    Made,
}

/// Why a connection was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue of the one who listens is full: try again later, no event will tell when.
    Full(SystemError),
    Failed(SystemError),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::Failed(errno::from_errno(errno))
    }
}

/// Makes a socket, or takes the one that was prepared, and has it connect.
pub(crate) fn begin(target: &Target) -> Result<(OwnedFd, Progress), Refusal> {
    let Some(socket) = prepared::take(target)? else {
        let fd = match target.address() {
            Address::Internet(address) => stream_socket(Domain::for_address(*address))?,
            Address::Unix(path) => {
                // Before there is a descriptor.
                platform::unix_address(path)?;
                stream_socket(Domain::UNIX)?
            }
            _ => return Err(Errno::AFNOSUPPORT.into()),
        };
        let progress = connect(fd.as_fd(), target, target.nodelay())?;
        return Ok((fd, progress));
    };
    socket.prepare(Kind::Stream).map_err(Refusal::Failed)?;
    match connect(socket.as_fd(), target, target.nodelay() || socket.wants_nodelay()) {
        Ok(progress) => Ok((socket.into(), progress)),
        Err(refusal) => {
            if let Refusal::Full(_) = refusal {
                prepared::put_back(target, socket);
            } else {
                // It is closed, and may have been connected to itself with `SO_LINGER` set.
                platform::never_wait_in_close(socket.as_fd());
            }
            Err(refusal)
        }
    }
}

fn connect(fd: BorrowedFd<'_>, target: &Target, nodelay: bool) -> Result<Progress, Refusal> {
    match target.address() {
        Address::Internet(address) => {
            if let Some(local) = target.local() {
                // A local port may be used again while an earlier connection from it lingers in TIME_WAIT.
                rustix::net::sockopt::set_socket_reuseaddr(fd, true)?;
                if local.port() == 0 {
                    platform::reserve_no_port(fd);
                }
                rustix::net::bind(fd, &local)?;
            }
            if nodelay {
                rustix::net::sockopt::set_tcp_nodelay(fd, true)?;
            }
            progress(rustix::net::connect(fd, address), fd)
        }
        Address::Unix(_) if target.local().is_some() => Err(Errno::INVAL.into()),
        Address::Unix(path) => progress(rustix::net::connect(fd, &platform::unix_address(path)?), fd),
        _ => Err(Errno::AFNOSUPPORT.into()),
    }
}

/// A socket that is non-blocking, close-on-exec, and silent on a broken pipe.
fn stream_socket(domain: Domain) -> Result<OwnedFd, Refusal> {
    let socket = socket::stream(domain).map_err(Refusal::Failed)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

fn progress(connected: rustix::io::Result<()>, fd: BorrowedFd<'_>) -> Result<Progress, Refusal> {
    match connected {
        Ok(()) => finish(fd),
        // Interrupted, it goes on all the same (connect(2) of POSIX).
        Err(Errno::INPROGRESS | Errno::INTR) => Ok(Progress::UnderWay),
        Err(errno @ Errno::AGAIN) => Err(Refusal::Full(errno::from_errno(errno))),
        Err(errno) => Err(errno.into()),
    }
}

/// How far a connection that was under way has come. Whether there is a peer tells, not an event: those may
/// be spurious.
pub(crate) fn finish(fd: BorrowedFd<'_>) -> Result<Progress, Refusal> {
    rustix::net::sockopt::socket_error(fd)??;
    let peer = match rustix::net::getpeername(fd) {
        Ok(peer) => peer,
        Err(Errno::NOTCONN) => return Ok(Progress::UnderWay),
        // Darwin's, of a connection that was made and is dead by now.
        Err(Errno::INVAL) => return Err(Errno::CONNRESET.into()),
        Err(errno) => return Err(errno.into()),
    };
    let internet = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let local = SocketAddr::try_from(rustix::net::getsockname(fd)?).ok();
    if internet.is_some() && internet == local {
        return Err(Refusal::Failed(SystemError::from_kind(SystemErrorKind::SelfConnected)));
    }
    Ok(Progress::Made)
}

#[cfg(test)]
#[path = "connect_tests.rs"]
mod tests;
