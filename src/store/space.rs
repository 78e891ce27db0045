//! How much room is left on the disk.
//!
//! Two marks: below `Settings::free_bytes_min` the store reports [`Health::Full`](super::Health), so
//! that no new calls are taken while running calls can still be written; below [`RESERVE_BYTES`] it
//! refuses every commit before touching a file, because a half-written group would poison it.

use std::io;
use std::path::Path;

/// What must be free for a group of commits and for what the index writes on its own.
pub(super) const RESERVE_BYTES: u64 = 16 << 20;

/// Bytes that an ordinary user may still write on the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}
