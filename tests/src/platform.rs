//! What differs from system to system, as far as tests must know.

/// Whether Unix sockets may have names that are no paths.
pub const HAS_ABSTRACT_NAMES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether the kernel deals connections out to all listeners of a shared port, and not to one of them alone.
pub const SHARED_PORTS_ARE_BALANCED: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Has the kernel give up a peer that takes nothing for so long, if it has an option for that.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn give_up_after(socket: &socket2::Socket, span: std::time::Duration) -> Option<std::io::Result<()>> {
    Some(socket.set_tcp_user_timeout(Some(span)))
}

/// There is no option for that.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn give_up_after(_: &socket2::Socket, _: std::time::Duration) -> Option<std::io::Result<()>> {
    None
}
