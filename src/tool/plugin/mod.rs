//! Plugins: WebAssembly components in a sandbox, one fresh instance for each tool call.
//!
//! A plugin can compute, log, read its own config and the clock, and use what it was granted; it has no
//! files, no sockets and no environment. Its time, memory, answer and log are limited. Whatever a plugin
//! does, it costs its own call a [`Failure`] and nobody else anything.

// what an operator says, and what a plugin asks for
mod needs;
mod settings;

// what plugins run on, and what their imports reach for
mod cache;
mod engine;
mod hands;
mod kv;

// one instance: what it may use up, and what it can do; how a plugin fares
mod health;
mod limits;
mod state;
mod wasi;

// the versions of the interface, each a module that converts
mod guest;
mod v0_1;
mod v0_2;

// from a file to a plugin, and its calls
mod compile;
mod failure;
mod lane;
mod load;
mod sandbox;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::tool::context::CallContext;
use crate::tool::hooks::{CallEvent, Hook, IncomingAnswer, Instructions};

use health::Health;

pub use cache::{CacheError, Origin};
pub use engine::{Host, HostError, HostSettings};
pub use failure::{Failure, LoadError};
pub use hands::{Fetch, Fetching, Hands, LogLevel, LogSink, OperatorsLog, Outbound};
pub use kv::{Entry, Kept, KeyPage, KeyValueError, KeyValueStore, NothingKept};
pub(crate) use load::open;
pub use load::{About, Loaded};
pub use needs::{Need, Power, Unused};
pub use settings::{Grants, Limits, Settings};

use sandbox::Sandbox;

/// How many variables the answer of a hook may set.
const VARIABLES_MAX: usize = 64;

/// A loaded plugin; cloning gives another handle.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    about: About,
    sandbox: Sandbox,
    places: Semaphore,
    health: Health,
    loaded: Loaded,
    stack_bytes: usize,
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

impl Plugin {
    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.inner.settings.name
    }

    /// Its tools.
    pub fn tools(&self) -> &[PluginTool] {
        &self.inner.about.tools
    }

    /// What the operator says about it.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// What it says of itself.
    pub fn about(&self) -> &About {
        &self.inner.about
    }

    /// Grants that it does not ask for, by their places in `[plugins.NAME.allow]`.
    pub fn unused_grants(&self) -> Vec<Unused> {
        self.inner.settings.grants.unused(&self.inner.about.needs)
    }

    /// How it was loaded.
    pub fn loaded(&self) -> Loaded {
        self.inner.loaded
    }

    /// The longest one tool call may take.
    pub fn time_max(&self) -> Duration {
        self.inner.settings.limits.time
    }

    /// The stack of each of its instances, in bytes.
    pub fn stack_bytes(&self) -> usize {
        self.inner.stack_bytes
    }

    /// The most memory that one of its calls had so far, in bytes.
    pub fn memory_peak_bytes(&self) -> usize {
        self.inner.sandbox.shared.memory_peak_bytes.load(Ordering::Relaxed)
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
        // Pinned here and not there: a future that is handed over has room for it twice.
        self.inner.health.watch(pin!(self.call_anyway(context, tool, arguments, time))).await
    }

    async fn call_anyway(
        &self,
        context: &CallContext,
        tool: &str,
        arguments: &str,
        time: Duration,
    ) -> Result<String, Failure> {
        let deadline = Instant::now() + time;
        let _place = self.place(tool, time).await?;
        let left = deadline.saturating_duration_since(Instant::now());
        let called = self.inner.sandbox.call(context, tool, arguments, left).await;
        let output = called.map_err(|failure| within(failure, time))?;
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
        &self.inner.sandbox.shared.powers.hooks
    }

    /// Asks it about a call that is offered.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn incoming(
        &self,
        context: &CallContext,
        headers: &[(String, String)],
        time: Duration,
    ) -> Result<IncomingAnswer, Failure> {
        let asked = async {
            let deadline = Instant::now() + time;
            let _place = self.place(Hook::Incoming.as_str(), time).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let answered = self.inner.sandbox.incoming(context, headers, left).await;
            let answer = answered.map_err(|failure| within(failure, time))?;
            self.check_answer(&answer)?;
            Ok(answer)
        };
        self.inner.health.watch(pin!(asked)).await
    }

    /// Tells it of something that happened in a call.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn event(&self, context: &CallContext, event: &CallEvent) -> Result<(), Failure> {
        let told = async {
            let time = self.time_max();
            let _place = self.place(Hook::Event.as_str(), time).await?;
            self.inner.sandbox.event(context, event, time).await
        };
        self.inner.health.watch(pin!(told)).await
    }

    /// Tells it that a call is over, with its record as JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`].
    pub async fn ended(&self, context: &CallContext, record: &str) -> Result<(), Failure> {
        let told = async {
            let time = self.time_max();
            let _place = self.place(Hook::Ended.as_str(), time).await?;
            self.inner.sandbox.ended(context, record, time).await
        };
        self.inner.health.watch(pin!(told)).await
    }

    /// Its texts are no longer than an answer may be, and its variables have names that variables can have.
    fn check_answer(&self, answer: &IncomingAnswer) -> Result<(), Failure> {
        if answer.vars.len() > VARIABLES_MAX {
            return Err(Failure::BadOutput(format!("it sets more than {VARIABLES_MAX} variables")));
        }
        if answer.vars.iter().any(|(name, _)| !state::is_name(name)) {
            return Err(Failure::BadOutput("it sets a variable whose name is none".to_owned()));
        }
        let bytes_max = self.inner.settings.limits.output_bytes;
        let instructions = match &answer.instructions {
            Some(Instructions::Append(text) | Instructions::Replace(text)) => text.len(),
            None => 0,
        };
        let variables: usize = answer.vars.iter().map(|(name, value)| name.len() + value.len()).sum();
        if instructions + variables > bytes_max { Err(Failure::TooLarge { bytes_max }) } else { Ok(()) }
    }
}

impl Plugin {
    /// A place to run in, waited for no longer than `limits.wait`.
    async fn place(&self, what: &str, time: Duration) -> Result<SemaphorePermit<'_>, Failure> {
        let limits = &self.inner.settings.limits;
        let waiting = tokio::time::timeout(limits.wait.min(time), self.inner.places.acquire()).await;
        let Ok(Ok(place)) = waiting else {
            tracing::warn!(
                plugin = self.name(),
                what,
                concurrency = limits.concurrency,
                "a call of a plugin waited in vain: more of them run than `limits.concurrency` allows"
            );
            return Err(Failure::Busy("too many calls of it are running"));
        };
        Ok(place)
    }
}

/// A timeout tells of all the time that there was, waiting included.
fn within(failure: Failure, time: Duration) -> Failure {
    match failure {
        Failure::Timeout(_) => Failure::Timeout(time),
        other => other,
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name()).field("tools", &self.tools().len()).finish()
    }
}
