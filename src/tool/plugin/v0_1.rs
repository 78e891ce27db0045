//! Interface `switchboard:plugin@0.1.0` on the host's side: its words, and ours for them.
//!
//! This version knows no needs: what a plugin imports is what it asks for.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, Linker};

use super::PluginTool;
use super::failure::{Failure, cut};
use super::guest::{Described, Surface};
use super::hands::LogLevel;
use super::kv::{KeyValueError, KeyValueStore};
use super::needs::Need;
use super::state::State;
use crate::tool::context::CallContext;

wasmtime::component::bindgen!({
    path: "plugins/wit/v0.1.0",
    world: "tool-plugin",
    imports: { "switchboard:plugin/kv": async },
    exports: { default: async },
});

use exports::switchboard::plugin::tools as exported;
use switchboard::plugin::{clock, config, kv, log, types};

/// As it stands behind the `@`.
pub(super) const VERSION: &str = "0.1.0";
/// The import that needs a grant.
const KV: &str = "switchboard:plugin/kv@0.1.0";

/// A component, ready to be instantiated.
pub(super) struct Guest {
    pre: ToolPluginPre<State>,
}

impl Guest {
    pub fn link(mut linker: Linker<State>, component: &Component) -> wasmtime::Result<Guest> {
        ToolPlugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        Ok(Guest { pre: ToolPluginPre::new(linker.instantiate_pre(component)?)? })
    }

    pub async fn describe(&self, store: &mut Store<State>, surface: &Surface) -> wasmtime::Result<Described> {
        let plugin = self.pre.instantiate_async(&mut *store).await?;
        let info = plugin.switchboard_plugin_tools().call_describe(&mut *store).await?;
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
        let asks_kv = surface.imports.iter().any(|name| name == KV);
        Ok(Described {
            name: info.name,
            version: info.version,
            tools: tools.collect(),
            needs: asks_kv.then_some(Ok(Need::Kv)).into_iter().collect(),
        })
    }

    pub async fn call(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        let (context, tool, arguments) =
            (context_of(context, store.data()), tool.to_owned(), arguments.to_owned());
        let plugin = self.pre.instantiate_async(&mut *store).await?;
        let answer =
            plugin.switchboard_plugin_tools().call_call(&mut *store, &context, &tool, &arguments).await?;
        Ok(answer.map_err(said))
    }
}

fn context_of(context: &CallContext, state: &State) -> types::CallContext {
    let left = state.deadline().saturating_duration_since(Instant::now());
    types::CallContext {
        call_id: context.call_id.to_string(),
        direction: types::Direction::Inbound,
        caller: context.caller.clone(),
        callee: context.callee.clone(),
        language: context.language.clone(),
        route: context.route.clone(),
        session: context.session.clone(),
        deadline_ms: state.now_ms() + u64::try_from(left.as_millis()).unwrap_or(0),
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

impl types::Host for State {}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.log(level, &message);
    }
}

impl config::Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        self.config(&key)
    }
}

impl clock::Host for State {
    fn now_ms(&mut self) -> u64 {
        State::now_ms(self)
    }
}

impl kv::Host for State {
    async fn get(&mut self, key: String) -> Result<Option<kv::Entry>, kv::Error> {
        let found = kept(self)?.get(&key).await.map_err(told)?;
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
        kept(self)?.put(&key, value, ttl, if_revision).await.map_err(told)
    }

    async fn delete(&mut self, key: String) -> Result<bool, kv::Error> {
        kept(self)?.delete(&key).await.map_err(told)
    }

    async fn list_keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<kv::Page, kv::Error> {
        let page = kept(self)?.list(&prefix, after.as_deref(), limit).await.map_err(told)?;
        Ok(kv::Page { keys: page.keys, next: page.next })
    }
}

/// The namespace. This version has no word for a denial.
fn kept(state: &State) -> Result<std::sync::Arc<dyn KeyValueStore>, kv::Error> {
    let kept = state.kv().ok_or_else(|| kv::Error::Unavailable("no namespace is granted".to_owned()))?;
    kept.ok_or_else(|| kv::Error::Unavailable("nothing is kept here".to_owned()))
}

fn told(error: KeyValueError) -> kv::Error {
    match error {
        KeyValueError::TooLarge => kv::Error::TooLarge,
        KeyValueError::Quota => kv::Error::Quota,
        KeyValueError::Conflict => kv::Error::Conflict,
        KeyValueError::Unavailable(why) => kv::Error::Unavailable(why),
    }
}
