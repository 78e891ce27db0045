//! What an operator says about a plugin: where it is, what it may do, what it may use up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::tool::breaker;

/// One plugin, as the operator configured it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name under which the config knows it.
    pub name: String,
    /// The component file.
    pub path: PathBuf,
    /// SHA-256 that the file must have, where pinned.
    pub sha256: Option<[u8; 32]>,
    /// What the plugin can read through its `config` import; nested values are JSON text.
    pub config: BTreeMap<String, String>,
    /// What it may do.
    pub grants: Grants,
    /// What it may use up.
    pub limits: Limits,
    /// When it is left alone because it fails; none: never.
    pub breaker: Option<breaker::Settings>,
}

/// What a plugin may do besides compute, log and read its own config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The key-value namespace it may use; none: no key-value store.
    pub kv: Option<String>,
}

/// What one tool call of a plugin may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of the instance, in bytes; at most 1 GiB.
    pub memory_bytes: usize,
    /// Time from the call to its answer, waiting and host calls included; a tool may ask for less.
    pub time: Duration,
    /// Length of the answer, in bytes.
    pub output_bytes: usize,
    /// Length of all log messages of one call, in bytes, each counted as 64 more; the rest is dropped and
    /// counted.
    pub log_bytes: usize,
    /// Tool calls of this plugin that may run at once; more wait until their own deadline.
    pub concurrency: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 64 << 20,
            time: Duration::from_secs(2),
            output_bytes: 64 << 10,
            log_bytes: 16 << 10,
            concurrency: 16,
        }
    }
}
