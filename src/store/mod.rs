//! (in the making)

use std::path::PathBuf;

/// What the store needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory (`store.path`); created with mode 0700 when absent.
    pub path: PathBuf,
    /// How much memory the index may use for its cache, in bytes.
    pub cache_bytes: u64,
}
