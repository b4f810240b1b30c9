//! Figures of this process, as the kernel counts them.

use std::fs;
use std::io;

/// The resident memory of this process in bytes.
///
/// # Errors
///
/// Where there is no `/proc` to ask.
pub fn resident_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}

/// How many descriptors this process has open.
///
/// # Errors
///
/// Where there is no `/proc` to ask.
pub fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
