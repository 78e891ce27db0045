//! Interface `switchboard:plugin@0.1.0` on the host's side: a component is loaded, instantiated afresh
//! for each call, and its imports are answered within what it was granted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::time::Instant;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, UpdateDeadline};

use super::cache::{self, Origin};
use super::engine::{Host, Ticker};
use super::kv::{KeyValueError, KeyValueStore};
use super::limits::{LogBudget, Watch};
use super::{Failure, LoadError, PluginTool, Settings};
use crate::tool::context::CallContext;

wasmtime::component::bindgen!({
    path: "plugins/wit/v0.1.0",
    world: "tool-plugin",
    imports: { default: async },
    exports: { default: async },
});

use exports::switchboard::plugin::tools as exported;
use switchboard::plugin::{clock, config, kv, log, types};

/// The interface that needs a grant.
const KV: &str = "switchboard:plugin/kv";

/// The most that a guest may hand over in one host call, besides its answer.
const HOST_CALL_BYTES_MAX: usize = 1 << 20;
/// How long a plugin may take to describe itself.
const DESCRIBE_WITHIN: Duration = Duration::from_secs(5);
/// How much a plugin may say when it describes itself, in bytes: some more than its tools may have.
const DESCRIBE_BYTES_MAX: usize = 4 << 20;
/// How much of a plugin's own words about an error is taken, in characters.
const WORDS_CHARS_MAX: usize = 500;

/// A component, ready to be instantiated.
pub(super) struct Guest {
    pre: ToolPluginPre<State>,
    pub origin: Origin,
    name: Arc<str>,
    config: Arc<BTreeMap<String, String>>,
    kv: Option<Arc<dyn KeyValueStore>>,
    /// Without it nothing would stop a loop.
    _ticker: Arc<Ticker>,
}

/// What an instance's imports work on.
struct State {
    name: Arc<str>,
    config: Arc<BTreeMap<String, String>>,
    kv: Option<Arc<dyn KeyValueStore>>,
    watch: Watch,
    log: LogBudget,
}

impl Guest {
    pub async fn load(
        host: &Host,
        settings: &Settings,
        digest: [u8; 32],
        bytes: Vec<u8>,
        kv: Option<Arc<dyn KeyValueStore>>,
    ) -> Result<Guest, LoadError> {
        let (component, origin) = compile(host, settings, digest, bytes).await?;
        check_grants(&component, settings, kv.is_some())?;
        let misfit = |error: wasmtime::Error| LoadError::OtherInterface {
            path: settings.path.clone(),
            problem: format!("{error:#}"),
        };
        let mut linker = Linker::<State>::new(component.engine());
        ToolPlugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state).map_err(misfit)?;
        let instance = linker.instantiate_pre(&component).map_err(misfit)?;
        Ok(Guest {
            pre: ToolPluginPre::new(instance).map_err(misfit)?,
            origin,
            name: settings.name.as_str().into(),
            config: Arc::new(settings.config.clone()),
            kv,
            _ticker: Arc::clone(&host.ticker),
        })
    }

    pub async fn describe(&self, settings: &Settings) -> Result<Vec<PluginTool>, Failure> {
        let time = DESCRIBE_WITHIN;
        let mut store = self.store(settings, time);
        store.set_hostcall_fuel(DESCRIBE_BYTES_MAX);
        let described = async {
            let plugin = self.pre.instantiate_async(&mut store).await?;
            plugin.switchboard_plugin_tools().call_describe(&mut store).await
        };
        let described = tokio::time::timeout(time, described).await;
        let info = match described {
            Ok(Ok(info)) => info,
            Ok(Err(error)) => return Err(failure_of(error, &store, settings, time)),
            Err(_) => return Err(Failure::Timeout(time)),
        };
        let tools = info.tools.into_iter().map(|tool| PluginTool {
            // What is not JSON is no schema; that is said when the tools are checked.
            parameters: serde_json::from_str(&tool.parameters).unwrap_or(Value::Null),
            name: tool.name,
            description: tool.description,
            may_repeat: tool.read_only,
            timeout: tool.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            say_first: None,
            interruptible: true,
        });
        Ok(tools.collect())
    }

    pub async fn call(
        &self,
        settings: &Settings,
        context: &CallContext,
        tool: &str,
        arguments: &str,
        time: Duration,
    ) -> Result<String, Failure> {
        let mut store = self.store(settings, time);
        // What crosses over is copied: no more than an answer may have, and what host calls need.
        store.set_hostcall_fuel(settings.limits.output_bytes.saturating_add(HOST_CALL_BYTES_MAX));
        let (context, arguments) = (context_of(context, time), arguments.to_owned());
        let called = async {
            let plugin = self.pre.instantiate_async(&mut store).await?;
            plugin.switchboard_plugin_tools().call_call(&mut store, &context, tool, &arguments).await
        };
        // The epoch stops a guest that computes; the timeout stops one that waits in a host call.
        let called = tokio::time::timeout(time, called).await;
        let dropped = store.data().log.dropped;
        if dropped > 0 {
            tracing::warn!(
                plugin = &*self.name,
                tool,
                dropped,
                "a plugin logs more than `limits.log` allows"
            );
        }
        match called {
            Ok(Ok(answer)) => answer.map_err(said),
            // The engine has no type for this; the test of a huge answer keeps the words honest.
            Ok(Err(error)) if error.root_cause().to_string().contains("fuel allocated for hostcalls") => {
                Err(Failure::TooLarge { bytes_max: settings.limits.output_bytes })
            }
            Ok(Err(error)) => Err(failure_of(error, &store, settings, time)),
            Err(_) => Err(Failure::Timeout(time)),
        }
    }

    fn store(&self, settings: &Settings, time: Duration) -> Store<State> {
        let state = State {
            name: Arc::clone(&self.name),
            config: Arc::clone(&self.config),
            kv: self.kv.clone(),
            watch: Watch::new(settings.limits.memory_bytes),
            log: LogBudget::new(settings.limits.log_bytes),
        };
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.watch);
        // A guest that computes lets everybody else go first at every tick, and stops at its deadline.
        let deadline = Instant::now() + time;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if Instant::now() >= deadline {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        store
    }
}

/// Compiles off the async threads: it takes from milliseconds to seconds of pure computing.
async fn compile(
    host: &Host,
    settings: &Settings,
    digest: [u8; 32],
    bytes: Vec<u8>,
) -> Result<(Component, Origin), LoadError> {
    let path = settings.path.clone();
    // The magic number, then version 1 and layer 0: a core module (WebAssembly core specification, 5.5.16).
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(LoadError::CoreModule { path });
    }
    // Text would be compiled as well; a plugin is a binary.
    if !bytes.starts_with(b"\0asm") {
        let problem = "it does not begin like WebAssembly".to_owned();
        return Err(LoadError::NotAComponent { path, problem });
    }
    let (engine, cache) = (host.engine.clone(), host.cache.clone());
    let compiled =
        tokio::task::spawn_blocking(move || cache::component(cache.as_deref(), &engine, &digest, &bytes))
            .await;
    match compiled {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(LoadError::NotAComponent { path, problem: format!("{error:#}") }),
        Err(panic) => Err(LoadError::NotAComponent { path, problem: panic.to_string() }),
    }
}

fn check_grants(component: &Component, settings: &Settings, has_kv: bool) -> Result<(), LoadError> {
    let component_type = component.component_type();
    let uses_kv = component_type.imports(component.engine()).any(|(name, _)| name.starts_with(KV));
    if uses_kv && !has_kv {
        return Err(LoadError::NotGranted {
            name: settings.name.clone(),
            import: KV.to_owned(),
            fix: format!("allow = {{ kv = \"{}\" }}", settings.name),
        });
    }
    Ok(())
}

fn context_of(context: &CallContext, time: Duration) -> types::CallContext {
    types::CallContext {
        call_id: context.call_id.to_string(),
        direction: types::Direction::Inbound,
        caller: context.caller.clone(),
        callee: context.callee.clone(),
        language: context.language.clone(),
        route: context.route.clone(),
        session: context.session.clone(),
        deadline_ms: now_ms() + u64::try_from(time.as_millis()).unwrap_or(0),
        variables: context.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

/// The failure that a plugin names itself.
fn said(error: exported::ToolError) -> Failure {
    use exported::ToolError;
    match error {
        ToolError::UnknownTool(words) => Failure::UnknownTool(cut(&words)),
        ToolError::InvalidArguments(words) => Failure::InvalidArguments(cut(&words)),
        ToolError::NotFound(words) => Failure::NotFound(cut(&words)),
        ToolError::Denied(words) => Failure::Denied(cut(&words)),
        ToolError::Unavailable(words) => Failure::Unavailable(cut(&words)),
        ToolError::Internal(words) => Failure::Internal(cut(&words)),
    }
}

fn cut(words: &str) -> String {
    words.chars().take(WORDS_CHARS_MAX).collect()
}

/// Why a guest was stopped.
fn failure_of(error: wasmtime::Error, store: &Store<State>, settings: &Settings, time: Duration) -> Failure {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return Failure::Timeout(time);
    }
    if store.data().watch.is_out_of_memory {
        return Failure::OutOfMemory(settings.limits.memory_bytes);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::Unavailable("too many tools are running".to_owned());
    }
    // Where it trapped is for the plugin's author.
    tracing::debug!(plugin = settings.name, "a plugin trapped: {error:#}");
    Failure::Trapped(cut(&error.root_cause().to_string()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a guest's clock is the machine's; nothing of ours depends on it"
)]
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl types::Host for State {}

impl log::Host for State {
    async fn write(&mut self, level: log::Level, message: String) {
        if !self.log.take(message.len()) {
            return;
        }
        let plugin = &*self.name;
        match level {
            log::Level::Debug => tracing::debug!(plugin, "{message}"),
            log::Level::Info => tracing::info!(plugin, "{message}"),
            log::Level::Warn => tracing::warn!(plugin, "{message}"),
            log::Level::Error => tracing::error!(plugin, "{message}"),
        }
    }
}

impl config::Host for State {
    async fn get(&mut self, key: String) -> Option<String> {
        self.config.get(&key).cloned()
    }
}

impl clock::Host for State {
    async fn now_ms(&mut self) -> u64 {
        now_ms()
    }
}

impl kv::Host for State {
    async fn get(&mut self, key: String) -> Result<Option<kv::Entry>, kv::Error> {
        let found = self.kept()?.get(&key).await.map_err(told)?;
        Ok(found.map(|entry| kv::Entry { value: entry.value, revision: entry.revision }))
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_s: Option<u32>,
        if_revision: Option<u64>,
    ) -> Result<u64, kv::Error> {
        let ttl = ttl_s.map(|seconds| Duration::from_secs(seconds.into()));
        self.kept()?.put(&key, value, ttl, if_revision).await.map_err(told)
    }

    async fn delete(&mut self, key: String) -> Result<bool, kv::Error> {
        self.kept()?.delete(&key).await.map_err(told)
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<kv::Page, kv::Error> {
        let page = self.kept()?.list(&prefix, after.as_deref(), limit).await.map_err(told)?;
        Ok(kv::Page { keys: page.keys, next: page.next })
    }
}

impl State {
    /// The namespace; a plugin without one is not loaded, so that this does not fail in practice.
    fn kept(&self) -> Result<Arc<dyn KeyValueStore>, kv::Error> {
        self.kv.clone().ok_or_else(|| kv::Error::Unavailable("no namespace is granted".to_owned()))
    }
}

fn told(error: KeyValueError) -> kv::Error {
    match error {
        KeyValueError::TooLarge => kv::Error::TooLarge,
        KeyValueError::Quota => kv::Error::Quota,
        KeyValueError::Conflict => kv::Error::Conflict,
        KeyValueError::Unavailable(why) => kv::Error::Unavailable(why),
    }
}
