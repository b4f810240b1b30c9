//! Making listeners, and what addresses are called.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use aio_model::{Address, Listen, SystemError, SystemErrorKind};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketAddrUnix, sockopt};
use socket2::Domain;

use crate::errno;
use crate::platform;
use crate::socket::{self, Socket};

/// Makes a listener. Of one that fails nothing is left.
pub(crate) fn listen(listen: &Listen) -> Result<Socket, SystemError> {
    listen.validate()?;
    let fd = match listen.address() {
        Address::Internet(address) => internet(listen, address)?,
        Address::Unix(path) => unix(listen, path)?,
        _ => return Err(errno::from_errno(Errno::AFNOSUPPORT)),
    };
    Ok(Socket::from(fd).nodelay(listen.has_nodelay()).keep_peer_addr(listen.keeps_peer_addr()))
}

fn internet(listen: &Listen, address: &SocketAddr) -> Result<OwnedFd, SystemError> {
    let fd = socket::stream(Domain::for_address(*address))?;
    internet_options(listen, &fd)
        .and_then(|()| rustix::net::bind(&fd, address))
        .and_then(|()| rustix::net::listen(&fd, backlog(listen)))
        .map_err(errno::from_errno)?;
    Ok(fd)
}

/// What is accepted inherits those that are its own. `TCP_NODELAY` it is given when it is accepted.
fn internet_options(listen: &Listen, fd: &OwnedFd) -> rustix::io::Result<()> {
    if listen.reuses_addr() {
        sockopt::set_socket_reuseaddr(fd, true)?;
    }
    if listen.reuses_port() {
        platform::set_reuse_port(fd.as_fd())?;
    }
    if let Some(v6only) = listen.is_v6only() {
        sockopt::set_ipv6_v6only(fd, v6only)?;
    }
    if let Some(secs) = listen.keepalive_secs() {
        platform::set_keepalive(fd.as_fd(), std::time::Duration::from_secs(secs.into()))?;
    }
    if let Some(millis) = listen.user_timeout_ms() {
        platform::set_user_timeout(fd.as_fd(), millis)?;
    }
    Ok(())
}

fn unix(listen: &Listen, path: &[u8]) -> Result<OwnedFd, SystemError> {
    let address = platform::unix_address(path).map_err(errno::from_errno)?;
    let fd = socket::stream(Domain::UNIX)?;
    let mut bound = rustix::net::bind(&fd, &address);
    let is_file = platform::is_file(path);
    if bound == Err(Errno::ADDRINUSE)
        && listen.unlinks_stale()
        && is_file
        && is_stale(path, &address)?
        && std::fs::remove_file(Path::new(OsStr::from_bytes(path))).is_ok()
    {
        bound = rustix::net::bind(&fd, &address);
    }
    bound.map_err(errno::from_errno)?;
    rustix::net::listen(&fd, backlog(listen)).map_err(|errno| {
        if is_file {
            // Nobody could have connected to it yet. If it can not be removed, it is stale.
            let _ = std::fs::remove_file(Path::new(OsStr::from_bytes(path)));
        }
        errno::from_errno(errno)
    })?;
    Ok(fd)
}

/// Whether a path is a socket on which nobody listens.
fn is_stale(path: &[u8], address: &SocketAddrUnix) -> Result<bool, SystemError> {
    let is_socket = std::fs::symlink_metadata(Path::new(OsStr::from_bytes(path)))
        .is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(false);
    }
    // Non-blocking: a listener whose queue is full answers at once, too.
    let probe = socket::stream(Domain::UNIX)?;
    rustix::io::ioctl_fionbio(&probe, true).map_err(errno::from_errno)?;
    Ok(rustix::net::connect(&probe, address) == Err(Errno::CONNREFUSED))
}

fn backlog(listen: &Listen) -> i32 {
    i32::try_from(listen.backlog_max()).unwrap_or(i32::MAX)
}

/// An address, as the model knows it.
pub(crate) fn address(address: SocketAddrAny) -> Result<Address, SystemError> {
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(address.into());
    }
    match SocketAddrUnix::try_from(address) {
        Ok(address) => Ok(Address::unix(platform::unix_path(&address))),
        Err(_) => Err(SystemError::from_kind(SystemErrorKind::Unsupported)),
    }
}
