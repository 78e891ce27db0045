//! What an operator says about a plugin: where it is, what it may do, what it may use up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::breaker;
use crate::secret::Secret;
use crate::store::Quota;
use crate::tool::hooks::Hook;
use crate::tool::outbound::Pattern;

use super::needs::Power;

/// One plugin, as the operator configured it.
#[derive(Clone, Debug, PartialEq)]
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

/// What a plugin may do besides compute, log and read its own config. It can do what it asks for **and**
/// is granted here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants {
    /// The key-value namespace it may use; none: no key-value store.
    pub kv: Option<String>,
    /// Where its requests may go.
    pub http: Vec<Pattern>,
    /// Hosts that may be at addresses which are not public.
    pub private_hosts: Vec<String>,
    /// Secrets that it may have put into a request's header, by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Those of them that it may read itself.
    pub reveal: Vec<String>,
    /// Whether it may read what was said in the call so far.
    pub history: bool,
    /// What it may do to the call.
    pub calls: Vec<Power>,
    /// The moments of a call at which it is asked or told.
    pub hooks: Vec<Hook>,
}

/// What one tool call, or one call of a hook, may use up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of the instance, in bytes; at most 1 GiB.
    pub memory_bytes: usize,
    /// Elements of each table.
    pub table_elements: usize,
    /// Core instances that one component may consist of; Python's have 14.
    pub instances: usize,
    /// Time from the call to its answer, waiting and host calls included; a tool may ask for less.
    pub time: Duration,
    /// The longest wait for a place, where more calls run than `concurrency` allows.
    pub wait: Duration,
    /// Length of the answer, in bytes.
    pub output_bytes: usize,
    /// Length of all log messages of one call, in bytes, each counted as 64 more; the rest is dropped and
    /// counted.
    pub log_bytes: usize,
    /// HTTP requests of one call.
    pub http_requests: u32,
    /// Length of one HTTP response, in bytes.
    pub http_response_bytes: usize,
    /// Length of all HTTP bodies of one call, sent and received, in bytes.
    pub http_bytes: usize,
    /// Keys that its namespace may have after it kept something.
    pub kv_keys: u64,
    /// Bytes, keys and values together, that its namespace may have after it kept something.
    pub kv_bytes: u64,
    /// Calls of this plugin that may run at once; more wait.
    pub concurrency: usize,
}

impl Limits {
    /// What its namespace may keep.
    pub fn kv_quota(&self) -> Quota {
        Quota { keys_max: self.kv_keys, bytes_max: self.kv_bytes }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            instances: 32,
            time: Duration::from_secs(2),
            wait: Duration::from_millis(500),
            output_bytes: 64 << 10,
            log_bytes: 16 << 10,
            http_requests: 8,
            http_response_bytes: 256 << 10,
            http_bytes: 1 << 20,
            kv_keys: 10_000,
            kv_bytes: 16 << 20,
            concurrency: 16,
        }
    }
}
