//! Values that outlive a call, in a namespace that the operator grants. Durable when a write returns.
//!
//! Needs `kv`.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::tools::switchboard::plugin::kv as host;
use crate::{HAS_HOST, NO_HOST, ToolError};

pub use host::{Entry, Error, Page};

/// The value of a key, with its revision.
///
/// # Errors
/// As the host says.
pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    if HAS_HOST { host::get(key) } else { no_host() }
}

/// The value of a key that was kept with [`put_json`].
///
/// # Errors
/// Those of [`get`], as a tool's; `Internal` when the value is something else.
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ToolError> {
    let Some(entry) = get(key)? else { return Ok(None) };
    let wrong = |error| ToolError::internal(format!("key `{}`: {error}", shown(key)));
    serde_json::from_slice(&entry.value).map(Some).map_err(wrong)
}

/// Whether the operator granted a namespace: for a plugin that can do without.
pub fn is_granted() -> bool {
    !matches!(keys("", None, 1), Err(Error::Denied))
}

/// Keeps a value, for as long as is said or for good. Gives its revision.
///
/// # Errors
/// As the host says.
pub fn put(key: &str, value: &[u8], keep: Option<Duration>) -> Result<u64, Error> {
    if HAS_HOST { host::put(key, value, seconds(keep), None) } else { no_host() }
}

/// Keeps a value only if the key is still at this revision; 0: only if there is none.
///
/// # Errors
/// `Conflict`, when somebody else was faster; else as the host says.
pub fn put_at(key: &str, value: &[u8], keep: Option<Duration>, revision: u64) -> Result<u64, Error> {
    if HAS_HOST { host::put(key, value, seconds(keep), Some(revision)) } else { no_host() }
}

/// Keeps a value as JSON.
///
/// # Errors
/// Those of [`put`], as a tool's.
pub fn put_json<T: Serialize>(key: &str, value: &T, keep: Option<Duration>) -> Result<u64, ToolError> {
    Ok(put(key, &serde_json::to_vec(value)?, keep)?)
}

/// Removes a key. Gives whether it was there.
///
/// # Errors
/// As the host says.
pub fn delete(key: &str) -> Result<bool, Error> {
    if HAS_HOST { host::delete(key) } else { no_host() }
}

/// A page of the keys that begin so, in order; `after` is the last page's `next`.
///
/// # Errors
/// As the host says.
pub fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Page, Error> {
    if HAS_HOST { host::list_keys(prefix, after, limit) } else { no_host() }
}

fn no_host<T>() -> Result<T, Error> {
    Err(Error::Unavailable(NO_HOST.to_owned()))
}

/// Whole seconds, rounded up: what is kept is not gone early.
fn seconds(keep: Option<Duration>) -> Option<u32> {
    keep.map(|time| {
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
        u32::try_from(seconds).unwrap_or(u32::MAX)
    })
}

/// A key without what may be a caller's number: its kind, which stands before the first `/`.
fn shown(key: &str) -> String {
    match key.split_once('/') {
        Some((kind, _)) => format!("{kind}/…"),
        None => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Error, get, seconds, shown};

    #[test]
    fn a_key_is_shown_without_the_number_in_it() {
        assert_eq!(shown("customer/+819012345678"), "customer/…");
        assert_eq!(shown("+819012345678"), "…");
    }

    #[test]
    fn times_are_whole_seconds_and_never_shorter() {
        assert_eq!(seconds(None), None);
        assert_eq!(seconds(Some(Duration::from_millis(1_001))), Some(2));
        assert_eq!(seconds(Some(Duration::MAX)), Some(u32::MAX));
    }

    #[test]
    fn without_a_host_it_is_unavailable() {
        assert!(matches!(get("customer/1"), Err(Error::Unavailable(words)) if words.contains("no host")));
    }
}
