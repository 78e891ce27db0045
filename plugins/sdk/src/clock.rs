//! The time.

use crate::HAS_HOST;
use crate::bindings::tools::switchboard::plugin::clock as host;

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    if HAS_HOST { host::now_ms() } else { of_the_machine() }
}

/// Nanoseconds that only ever grow. Outside Switchboard they are those of [`now_ms`].
pub fn monotonic_ns() -> u64 {
    if HAS_HOST { host::monotonic_ns() } else { of_the_machine().saturating_mul(1_000_000) }
}

fn of_the_machine() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
