//! How much room is left on the disk.
//!
//! Two marks. Below `Settings::free_bytes_min` the store reports [`Health::Full`](super::Health), so
//! that no new calls are taken while running calls can still be written. Below [`needed_bytes`] it
//! refuses every commit before touching a file, because a write that fails half-way would poison it.

use std::io;
use std::path::Path;

/// What must be free for a group of commits and for what the index writes on its own.
pub(super) const RESERVE_BYTES: u64 = 16 << 20;
/// How much more than its size a change may take in the index.
const INDEX_FACTOR: u64 = 2;

/// What must be free to commit while the index has yet to write changes of `owed_bytes`.
pub(super) fn needed_bytes(owed_bytes: usize) -> u64 {
    RESERVE_BYTES + INDEX_FACTOR * owed_bytes as u64
}

/// Bytes that an ordinary user may still write on the file system of `path`.
///
/// # Errors
///
/// The path does not exist, or may not be looked at.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}
