//! What a listener is to be like.

use core::time::Duration;

use crate::connect::Address;
use crate::error::InvalidListen;

/// Describes a listener: where it listens, and the options of it and of what it accepts. Plain data: nothing
/// happens until a proactor, or its system, is asked to listen.
///
/// | option | unless set | on a Unix socket |
/// |---|---|---|
/// | [`backlog`](Listen::backlog) | 1024 | the same |
/// | [`reuse_addr`](Listen::reuse_addr) | on | ignored |
/// | [`reuse_port`](Listen::reuse_port) | off | refused |
/// | [`v6only`](Listen::v6only) | as the system has it | refused, and so on an IPv4 address |
/// | [`nodelay`](Listen::nodelay) | off | ignored |
/// | [`keepalive`](Listen::keepalive) | off | ignored |
/// | [`user_timeout`](Listen::user_timeout) | none | ignored |
/// | [`unlink_stale`](Listen::unlink_stale) | off; ignored on TCP | |
/// | [`keep_peer_addr`](Listen::keep_peer_addr) | on | ignored: the address is never lost |
///
/// ```
/// use std::net::SocketAddr;
/// use std::time::Duration;
/// use aio_model::Listen;
///
/// let address: SocketAddr = "[::1]:0".parse().unwrap();
/// let listen = Listen::on(address).backlog(64).nodelay(true).keepalive(Duration::from_secs(60));
/// assert_eq!(listen.validate(), Ok(()));
/// assert!(listen.backlog(0).validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "hand it to a proactor's `listen`"]
pub struct Listen {
    address: Address,
    backlog: u32,
    reuse_addr: bool,
    reuse_port: bool,
    v6only: Option<bool>,
    nodelay: bool,
    keepalive: Option<Duration>,
    user_timeout: Option<Duration>,
    unlink_stale: bool,
    keep_peer_addr: bool,
}

impl Listen {
    /// The number of connections that may wait to be accepted, unless it is set.
    pub const BACKLOG_DEFAULT: u32 = 1024;

    /// The longest [`keepalive`](Listen::keepalive), which is Linux's.
    pub const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);

    /// The longest [`user_timeout`](Listen::user_timeout): 24 days.
    pub const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

    /// Listens on an address: a [`SocketAddr`](core::net::SocketAddr), where port 0 lets the system choose
    /// one, or the path of a Unix socket.
    pub fn on(address: impl Into<Address>) -> Listen {
        Listen {
            address: address.into(),
            backlog: Listen::BACKLOG_DEFAULT,
            reuse_addr: true,
            reuse_port: false,
            v6only: None,
            nodelay: false,
            keepalive: None,
            user_timeout: None,
            unlink_stale: false,
            keep_peer_addr: true,
        }
    }

    /// How many connections may wait to be accepted. The system may allow fewer (Linux:
    /// `net.core.somaxconn`). Zero is refused.
    pub fn backlog(self, backlog: u32) -> Listen {
        Listen { backlog, ..self }
    }

    /// Sets `SO_REUSEADDR`, on unless turned off: a server that starts again gets its port although
    /// connections of the last run linger in `TIME_WAIT`.
    pub fn reuse_addr(self, reuse_addr: bool) -> Listen {
        Listen { reuse_addr, ..self }
    }

    /// Sets `SO_REUSEPORT`: several listeners of the same user may listen on one address if all have it set,
    /// and the system distributes the connections.
    pub fn reuse_port(self, reuse_port: bool) -> Listen {
        Listen { reuse_port, ..self }
    }

    /// Sets `IPV6_V6ONLY`: whether a listener on an IPv6 address takes no IPv4 connections. Not called, the
    /// system decides (Linux: `net.ipv6.bindv6only`, which is off).
    pub fn v6only(self, v6only: bool) -> Listen {
        Listen { v6only: Some(v6only), ..self }
    }

    /// Sets `TCP_NODELAY` on what is accepted, so that nothing small waits for the acknowledgement of what
    /// was sent before.
    pub fn nodelay(self, nodelay: bool) -> Listen {
        Listen { nodelay, ..self }
    }

    /// Has the kernel probe whether the peer is still there, on each accepted connection that was idle for
    /// `idle`, in whole seconds, rounded up (`SO_KEEPALIVE`, `TCP_KEEPIDLE`). Zero, and more than
    /// [`KEEPALIVE_MAX`](Listen::KEEPALIVE_MAX), are refused.
    pub fn keepalive(self, idle: Duration) -> Listen {
        Listen { keepalive: Some(idle), ..self }
    }

    /// How long what was sent on an accepted connection may stay unacknowledged before the kernel ends the
    /// connection with `TimedOut`: Linux's `TCP_USER_TIMEOUT`, in milliseconds, rounded up. Where there is no
    /// such option, listening fails. Zero, and more than [`USER_TIMEOUT_MAX`](Listen::USER_TIMEOUT_MAX), are
    /// refused.
    pub fn user_timeout(self, span: Duration) -> Listen {
        Listen { user_timeout: Some(span), ..self }
    }

    /// If the path of a Unix socket is in use, removes it and tries once more, but only if it is a socket,
    /// and connecting to it is refused: the process that listened there has ended. Whatever else is at the
    /// path stays, and listening fails with `AddressInUse`.
    ///
    /// Two processes that do this at the same moment may remove each other's path, as the path exists shortly
    /// before anybody listens on it: start one at a time, or hold a lock.
    pub fn unlink_stale(self, unlink_stale: bool) -> Listen {
        Listen { unlink_stale, ..self }
    }

    /// Whether the address of each accepted connection's peer is kept from the accept on. It is what lets
    /// `peer_addr` answer after the peer has reset the connection, which a system forgets the peer of. It
    /// costs 8 bytes for each connection of IPv4, 32 of IPv6, and no system call. Turned off, `peer_addr`
    /// asks the system when it is called.
    pub fn keep_peer_addr(self, keep_peer_addr: bool) -> Listen {
        Listen { keep_peer_addr, ..self }
    }

    /// Whether it makes sense. A proactor and a system check that first, before any system call.
    ///
    /// # Errors
    ///
    /// The first option that does not.
    pub fn validate(&self) -> Result<(), InvalidListen> {
        let (is_unix, is_v6) = match &self.address {
            Address::Unix(path) if path.is_empty() => return Err(InvalidListen::EmptyPath),
            // Without the zero byte that ends it for the kernel, the file would have another name.
            Address::Unix(path) if path[0] != 0 && path.contains(&0) => {
                return Err(InvalidListen::ZeroInPath);
            }
            Address::Unix(_) => (true, false),
            Address::Internet(address) => (false, address.is_ipv6()),
        };
        let lies_outside =
            |span: Option<Duration>, span_max| span.is_some_and(|span| span.is_zero() || span > span_max);
        if self.backlog == 0 {
            Err(InvalidListen::NoBacklog)
        } else if self.reuse_port && is_unix {
            Err(InvalidListen::ReusePortOfUnix)
        } else if self.v6only.is_some() && !is_v6 {
            Err(InvalidListen::V6OnlyOfOther)
        } else if lies_outside(self.keepalive, Listen::KEEPALIVE_MAX) {
            Err(InvalidListen::Keepalive)
        } else if lies_outside(self.user_timeout, Listen::USER_TIMEOUT_MAX) {
            Err(InvalidListen::UserTimeout)
        } else {
            Ok(())
        }
    }
}

/// What a system reads.
impl Listen {
    /// Where to listen.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How many connections may wait to be accepted.
    pub fn backlog_max(&self) -> u32 {
        self.backlog
    }

    /// Whether to set `SO_REUSEADDR`.
    pub fn reuses_addr(&self) -> bool {
        self.reuse_addr
    }

    /// Whether to set `SO_REUSEPORT`.
    pub fn reuses_port(&self) -> bool {
        self.reuse_port
    }

    /// What to set `IPV6_V6ONLY` to, if to anything.
    pub fn is_v6only(&self) -> Option<bool> {
        self.v6only
    }

    /// Whether what is accepted gets `TCP_NODELAY`.
    pub fn has_nodelay(&self) -> bool {
        self.nodelay
    }

    /// After how many idle seconds an accepted connection is probed.
    pub fn keepalive_secs(&self) -> Option<u32> {
        let secs = |idle: Duration| idle.as_secs() + u64::from(idle.subsec_nanos() > 0);
        self.keepalive.map(|idle| u32::try_from(secs(idle)).unwrap_or(u32::MAX))
    }

    /// For how many milliseconds what was sent may stay unacknowledged.
    pub fn user_timeout_ms(&self) -> Option<u32> {
        let millis = |span: Duration| span.as_nanos().div_ceil(1_000_000);
        self.user_timeout.map(|span| u32::try_from(millis(span)).unwrap_or(u32::MAX))
    }

    /// Whether to remove the path of a socket that nobody listens on.
    pub fn unlinks_stale(&self) -> bool {
        self.unlink_stale
    }

    /// Whether to keep the address of each peer.
    pub fn keeps_peer_addr(&self) -> bool {
        self.keep_peer_addr
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::*;

    fn v4() -> Listen {
        Listen::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)))
    }

    fn v6() -> Listen {
        Listen::on(SocketAddr::from((Ipv6Addr::LOCALHOST, 80)))
    }

    fn unix(path: &[u8]) -> Listen {
        Listen::on(Address::unix(path))
    }

    #[test]
    fn what_makes_sense_is_valid() {
        let second = Duration::from_secs(1);
        for listen in [v4(), v6(), unix(b"/run/x"), unix(b"\0x"), unix(b"\0x\0y")] {
            let with_all = listen.reuse_addr(false).nodelay(true).keepalive(second).user_timeout(second);
            assert_eq!(with_all.clone().unlink_stale(true).backlog(u32::MAX).validate(), Ok(()));
        }
        assert_eq!(v4().reuse_port(true).keepalive(Listen::KEEPALIVE_MAX).validate(), Ok(()));
        assert_eq!(v6().v6only(false).user_timeout(Listen::USER_TIMEOUT_MAX).validate(), Ok(()));
    }

    #[test]
    fn what_makes_none_is_told_by_its_name() {
        let instant = Duration::from_nanos(1);
        let wrong = [
            (unix(b""), InvalidListen::EmptyPath),
            (unix(b"/run/\0"), InvalidListen::ZeroInPath),
            (v4().backlog(0), InvalidListen::NoBacklog),
            (unix(b"x").reuse_port(true), InvalidListen::ReusePortOfUnix),
            (v4().v6only(false), InvalidListen::V6OnlyOfOther),
            (unix(b"x").v6only(true), InvalidListen::V6OnlyOfOther),
            (v4().keepalive(Duration::ZERO), InvalidListen::Keepalive),
            (v4().keepalive(Listen::KEEPALIVE_MAX + instant), InvalidListen::Keepalive),
            (v4().user_timeout(Duration::ZERO), InvalidListen::UserTimeout),
            (v4().user_timeout(Listen::USER_TIMEOUT_MAX + instant), InvalidListen::UserTimeout),
        ];
        for (listen, error) in wrong {
            assert_eq!(listen.validate(), Err(error), "{listen:?}");
        }
    }

    #[test]
    fn spans_are_rounded_up() {
        let listen = v4().keepalive(Duration::from_millis(1_001)).user_timeout(Duration::from_micros(1_001));
        assert_eq!((listen.keepalive_secs(), listen.user_timeout_ms()), (Some(2), Some(2)));
    }
}
