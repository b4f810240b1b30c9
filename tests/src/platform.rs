//! What differs from system to system, as far as tests must know.

/// Whether Unix sockets may have names that are no paths.
pub const HAS_ABSTRACT_NAMES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether the kernel deals connections out to all listeners of a shared port, and not to one of them alone.
pub const SHARED_PORTS_ARE_BALANCED: bool = cfg!(any(target_os = "linux", target_os = "android"));
