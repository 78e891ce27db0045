//! Plugins: WebAssembly components in a sandbox, one fresh instance for each tool call.
//!
//! A plugin can compute, log, read its own config and the clock, and use what it was granted; it has no
//! files, no sockets and no environment. Its time, memory, answer and log are limited. Whatever a plugin
//! does, it costs its own call a [`Failure`] and nobody else anything.

mod cache;
mod engine;
mod health;
mod kv;
mod limits;
mod settings;
mod v0_1;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::tool::context::CallContext;
use crate::tool::hooks::{CallEvent, Hook, IncomingAnswer};

use health::Health;

pub use cache::{CacheError, Origin};
pub use engine::{Host, HostError, HostSettings};
pub use kv::{Entry, KeyPage, KeyValueError, KeyValueStore, NothingKept};
pub use settings::{Grants, Limits, Settings};

/// How many tools one plugin may have.
const TOOLS_MAX: usize = 64;
/// The longest description and schema of a tool, in bytes: the model reads them on every turn.
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
const SCHEMA_BYTES_MAX: usize = 32 << 10;

/// A loaded plugin; cloning gives another handle.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    tools: Vec<PluginTool>,
    guest: v0_1::Guest,
    places: Semaphore,
    health: Health,
    loaded: Loaded,
}

/// How a plugin was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// SHA-256 of its file.
    pub digest: [u8; 32],
    /// Where its machine code came from.
    pub origin: Origin,
    /// How long it took to read, to compile and to describe itself.
    pub took: Duration,
}

/// A tool of a plugin, as the plugin describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginTool {
    /// Its name.
    pub name: String,
    /// What the model reads about it.
    pub description: String,
    /// JSON Schema of its arguments.
    pub parameters: Value,
    /// Running it twice does no harm.
    pub may_repeat: bool,
    /// The longest it wants to take.
    pub timeout: Option<Duration>,
    /// What the caller hears when the answer takes a while.
    pub say_first: Option<String>,
    /// Whether the model listens while it runs.
    pub interruptible: bool,
}

/// Why a tool call of a plugin failed. The words of the first five are the plugin's own, meant for the
/// model; the others are for the operator's log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The plugin does not know the tool.
    #[error("unknown tool: {0}")]
    UnknownTool(String),
    /// The plugin does not accept the arguments.
    #[error("invalid arguments: {0}")]
    InvalidArguments(String),
    /// There is no such thing.
    #[error("not found: {0}")]
    NotFound(String),
    /// The plugin refuses, or was not granted what it needs.
    #[error("denied: {0}")]
    Denied(String),
    /// The plugin's backend is away, or too many of its calls run.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// It took longer than it may.
    #[error("it took longer than the {} ms that `limits.time` or the tool itself allows", .0.as_millis())]
    Timeout(Duration),
    /// Its answer, or something it hands to the host, is longer than it may be.
    #[error("its answer is longer than `limits.output` allows ({bytes_max} bytes)")]
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// Its answer is not JSON.
    #[error("its answer is not JSON: {0}")]
    BadOutput(String),
    /// It wanted more memory than it may have, and trapped.
    #[error("it wanted more memory than `limits.memory` allows ({0} bytes)")]
    OutOfMemory(usize),
    /// It trapped: a bug.
    #[error("it trapped: {0}")]
    Trapped(String),
    /// It says of itself that it failed inside.
    #[error("it failed inside: {0}")]
    Internal(String),
}

/// Why a plugin cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not the one that was pinned.
    #[error("{} has the digest {found}, and `sha256` pins {pinned}: pin the new one if you trust the file", path.display())]
    OtherDigest {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
        /// What was pinned.
        pinned: String,
    },
    /// A core module.
    #[error("{} is a core WebAssembly module, not a component: build it as docs/plugins/README.md tells", path.display())]
    CoreModule {
        /// The file.
        path: PathBuf,
    },
    /// Not WebAssembly, or cut off.
    #[error("{} is not a WebAssembly component: {problem}", path.display())]
    NotAComponent {
        /// The file.
        path: PathBuf,
        /// What the compiler said.
        problem: String,
    },
    /// It imports something that does not exist here, or does not export what it must.
    #[error("{} does not fit `switchboard:plugin@0.1.0`: {problem}", path.display())]
    OtherInterface {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        problem: String,
    },
    /// It wants something that the operator does not grant.
    #[error("it uses `{import}`, which is not granted: add `{fix}` to `[plugins.{name}]`")]
    NotGranted {
        /// The plugin.
        name: String,
        /// The interface.
        import: String,
        /// What grants it.
        fix: String,
    },
    /// It cannot describe itself.
    #[error("it cannot describe itself")]
    Describe(#[source] Failure),
    /// One of its tools cannot be offered to a model.
    #[error("its tool `{tool}` cannot be offered: {problem}")]
    Tool {
        /// The tool.
        tool: String,
        /// What is wrong.
        problem: String,
    },
}

impl Plugin {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.settings.name
    }

    /// Its tools.
    pub fn tools(&self) -> &[PluginTool] {
        &self.inner.tools
    }

    /// What the operator says about it.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// How it was loaded.
    pub fn loaded(&self) -> Loaded {
        self.inner.loaded
    }

    /// The longest one tool call may take.
    pub fn time_max(&self) -> Duration {
        self.inner.settings.limits.time
    }

    /// Claims that it is not called at the moment, because it failed too often.
    pub fn is_resting(&self) -> bool {
        self.inner.health.is_resting()
    }

    /// Calls a tool in a fresh instance. The answer is JSON, no longer than allowed.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn call(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &str,
        time: Duration,
    ) -> Result<String, Failure> {
        self.inner.health.watch(self.call_anyway(context, tool, arguments, time)).await
    }

    async fn call_anyway(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &str,
        time: Duration,
    ) -> Result<String, Failure> {
        let deadline = Instant::now() + time;
        let waiting = tokio::time::timeout_at(deadline, self.inner.places.acquire()).await;
        let Ok(Ok(_place)) = waiting else {
            let concurrency = self.inner.settings.limits.concurrency;
            tracing::warn!(
                plugin = self.name(),
                tool,
                concurrency,
                "a tool call waited in vain: more of them run than `limits.concurrency` allows"
            );
            return Err(Failure::Unavailable("too many calls of it are running".to_owned()));
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let called = self.inner.guest.call(&self.inner.settings, context, tool, arguments, left).await;
        let output = called.map_err(|failure| match failure {
            Failure::Timeout(_) => Failure::Timeout(time),
            other => other,
        })?;
        let bytes_max = self.inner.settings.limits.output_bytes;
        if output.len() > bytes_max {
            return Err(Failure::TooLarge { bytes_max });
        }
        match serde_json::from_str::<&RawValue>(&output) {
            Ok(_) => Ok(output),
            Err(error) => Err(Failure::BadOutput(error.to_string())),
        }
    }
}

// === hooks ===

impl Plugin {
    /// The hooks that it exports, asks for and is granted.
    pub fn hooks(&self) -> &[Hook] {
        &[]
    }

    /// Asks it about a call that is offered.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn incoming(
        &self,
        _context: &CallContext,
        _headers: &[(String, String)],
        _time: Duration,
    ) -> Result<IncomingAnswer, Failure> {
        Ok(IncomingAnswer::default())
    }

    /// Tells it of something that happened in a call.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn event(&self, _context: &CallContext, _event: &CallEvent) -> Result<(), Failure> {
        Ok(())
    }

    /// Tells it that a call is over, with its record as JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn ended(&self, _context: &CallContext, _record: &str) -> Result<(), Failure> {
        Ok(())
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).field("tools", &self.tools().len()).finish()
    }
}

impl Host {
    /// Reads, checks and compiles a plugin, and asks it for its tools.
    ///
    /// # Errors
    ///
    /// [`LoadError`], saying what to do.
    pub async fn load(
        &self,
        settings: &Settings,
        kv: Option<Arc<dyn KeyValueStore>>,
    ) -> Result<Plugin, LoadError> {
        let began = Instant::now();
        let (bytes, digest) = read(settings).await?;
        let guest = v0_1::Guest::load(self, settings, digest, bytes, kv).await?;
        let tools = guest.describe(settings).await.map_err(LoadError::Describe)?;
        check_tools(&tools)?;
        let places = Semaphore::new(settings.limits.concurrency);
        let health = Health::new(&settings.name, settings.breaker, Arc::clone(&self.metrics));
        let loaded = Loaded { digest, origin: guest.origin, took: began.elapsed() };
        self.count(loaded.origin);
        let settings = settings.clone();
        Ok(Plugin { inner: Arc::new(Inner { settings, tools, guest, places, health, loaded }) })
    }

    fn count(&self, origin: Origin) {
        match origin {
            Origin::Cache => self.metrics.plugin_cached("hit"),
            Origin::Compiled => self.metrics.plugin_cached("miss"),
            Origin::Distrusted => self.metrics.plugin_cached("distrusted"),
            Origin::NoCache => {}
        }
    }
}

/// A file's bytes and their digest, read off the async threads: a plugin may have many megabytes.
async fn read(settings: &Settings) -> Result<(Vec<u8>, [u8; 32]), LoadError> {
    let path = settings.path.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(path)?;
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        Ok((bytes, digest))
    });
    let unreadable = |source| LoadError::Unreadable { path: settings.path.clone(), source };
    let (bytes, found) = reading.await.map_err(io::Error::other).flatten().map_err(unreadable)?;
    match settings.sha256 {
        Some(pinned) if pinned != found => Err(LoadError::OtherDigest {
            path: settings.path.clone(),
            found: hex(&found),
            pinned: hex(&pinned),
        }),
        _ => Ok((bytes, found)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_tools(tools: &[PluginTool]) -> Result<(), LoadError> {
    let wrong = |tool: &str, problem: &str| {
        let tool = tool.chars().take(80).collect();
        Err(LoadError::Tool { tool, problem: problem.to_owned() })
    };
    if tools.len() > TOOLS_MAX {
        return wrong("*", "a plugin has at most 64 tools");
    }
    for (at, tool) in tools.iter().enumerate() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if tool.name.is_empty() || tool.name.len() > 64 || !tool.name.bytes().all(is_plain) {
            return wrong(&tool.name, "a name has 1 to 64 letters, digits, `_` and `-`");
        }
        if tools[..at].iter().any(|other| other.name == tool.name) {
            return wrong(&tool.name, "the plugin has two tools of this name");
        }
        if tool.description.len() > DESCRIPTION_BYTES_MAX {
            return wrong(&tool.name, "its description has more than 4 KiB");
        }
        if tool.parameters.to_string().len() > SCHEMA_BYTES_MAX {
            return wrong(&tool.name, "its parameters have more than 32 KiB");
        }
        if let Err(error) = super::schema::Schema::compile(&tool.parameters) {
            return wrong(&tool.name, &format!("its parameters are not a usable JSON Schema: {error}"));
        }
    }
    Ok(())
}
