//! What differs from system to system, as far as tests must know.

/// Whether Unix sockets may have names that are no paths.
pub const HAS_ABSTRACT_NAMES: bool = cfg!(any(target_os = "linux", target_os = "android"));
