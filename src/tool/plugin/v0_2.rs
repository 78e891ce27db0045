//! Interface `switchboard:plugin@0.2.0` on the host's side: its words, and ours for them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};

use super::PluginTool;
use super::failure::{Failure, cut};
use super::guest::{BadNeed, Described, no_hook};
use super::hands::LogLevel;
use super::kv::{KeyValueError, KeyValueStore};
use super::needs::{Need, Power};
use super::state::{ActError, Ask, AskError, Credential, State};
use crate::call::event::Wish;
use crate::call::record::Speaker;
use crate::tool::context::{CallContext, Said};
use crate::tool::hooks::{CallEvent, Decision, Hook, IncomingAnswer, Instructions};
use crate::tool::outbound::{FetchError, Pattern};

wasmtime::component::bindgen!({
    path: "plugins/wit/v0.2.0",
    world: "call-plugin",
    imports: { "switchboard:plugin/kv": async, "switchboard:plugin/http": async },
    exports: { default: async },
});

use exports::switchboard::plugin::{hooks as exported_hooks, tools as exported_tools};
use switchboard::plugin::{calls, clock, config, history, http, kv, log, progress, random, secrets, types};

/// As it stands behind the `@`.
pub(super) const VERSION: &str = "0.2.0";

/// A component, ready to be instantiated.
pub(super) struct Guest {
    pre: InstancePre<State>,
    tools: exported_tools::GuestIndices,
    hooks: Option<exported_hooks::GuestIndices>,
}

impl Guest {
    pub fn link(
        mut linker: Linker<State>,
        component: &Component,
        has_hooks: bool,
    ) -> wasmtime::Result<Guest> {
        CallPlugin::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        let pre = linker.instantiate_pre(component)?;
        let tools = exported_tools::GuestIndices::new(&pre)?;
        let hooks = if has_hooks { Some(exported_hooks::GuestIndices::new(&pre)?) } else { None };
        Ok(Guest { pre, tools, hooks })
    }

    pub async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Described> {
        let info = self.tools(store).await?.call_describe(&mut *store).await?;
        Ok(Described {
            name: info.name,
            version: info.version,
            tools: info.tools.into_iter().map(tool_of).collect(),
            needs: info.needs.into_iter().map(need_of).collect(),
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
        let tools = self.tools(store).await?;
        let answer = tools.call_call(&mut *store, &context, &tool, &arguments).await?;
        Ok(answer.map_err(said))
    }

    pub async fn incoming(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        headers: &[(String, String)],
    ) -> wasmtime::Result<IncomingAnswer> {
        let context = context_of(context, store.data());
        let hooks = self.hooks(store, Hook::Incoming).await?;
        let answer = hooks.call_incoming(&mut *store, &context, headers).await?;
        Ok(IncomingAnswer {
            decision: match answer.decision {
                exported_hooks::Decision::Proceed => Decision::Proceed,
                exported_hooks::Decision::Reject(code) => Decision::Reject(code),
                exported_hooks::Decision::Forward(target) => Decision::Forward(target),
            },
            session: answer.session,
            vars: answer.variables,
            instructions: answer.instructions.map(|instructions| match instructions {
                exported_hooks::Instructions::Append(text) => Instructions::Append(text),
                exported_hooks::Instructions::Replace(text) => Instructions::Replace(text),
            }),
        })
    }

    pub async fn event(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        event: &CallEvent,
    ) -> wasmtime::Result<()> {
        let context = context_of(context, store.data());
        let event = match event {
            CallEvent::Line(said) => exported_hooks::CallEvent::Line(line_of(said)),
            CallEvent::Keys(keys) => exported_hooks::CallEvent::Keys(keys.clone()),
            CallEvent::State(state) => exported_hooks::CallEvent::State((*state).to_owned()),
        };
        let hooks = self.hooks(store, Hook::Event).await?;
        hooks.call_event(&mut *store, &context, &event).await
    }

    pub async fn ended(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        record: &str,
    ) -> wasmtime::Result<()> {
        let (context, record) = (context_of(context, store.data()), record.to_owned());
        let hooks = self.hooks(store, Hook::Ended).await?;
        hooks.call_ended(&mut *store, &context, &record).await
    }

    async fn tools(&self, store: &mut Store<State>) -> wasmtime::Result<exported_tools::Guest> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        self.tools.load(&mut *store, &instance)
    }

    async fn hooks(&self, store: &mut Store<State>, hook: Hook) -> wasmtime::Result<exported_hooks::Guest> {
        let hooks = self.hooks.as_ref().ok_or_else(|| no_hook(hook))?;
        let instance = self.pre.instantiate_async(&mut *store).await?;
        hooks.load(&mut *store, &instance)
    }
}

// === from the plugin's words to ours ===

fn tool_of(tool: types::Tool) -> PluginTool {
    PluginTool {
        // What is not JSON is no schema; that is said when the tools are checked.
        parameters: serde_json::from_str(&tool.parameters).unwrap_or(Value::Null),
        name: tool.name,
        description: tool.description,
        may_repeat: tool.repeatable,
        timeout: tool.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        say_first: tool.say_first.filter(|words| !words.trim().is_empty()),
        interruptible: tool.interruptible,
    }
}

fn need_of(need: types::Need) -> Result<Need, BadNeed> {
    Ok(match need {
        types::Need::Kv => Need::Kv,
        types::Need::Http(text) => {
            Need::Http(Pattern::parse(&text).map_err(|error| BadNeed {
                need: format!("http {}", cut(&text)),
                problem: error.to_string(),
            })?)
        }
        types::Need::Secret(name) if super::state::is_name(&name) => Need::Secret(name),
        types::Need::Secret(name) => {
            let problem = "a secret's name has 1 to 64 letters, digits, `_` and `-`".to_owned();
            return Err(BadNeed { need: format!("secret {}", cut(&name)), problem });
        }
        types::Need::History => Need::History,
        types::Need::Call(power) => Need::Call(match power {
            types::CallPower::Say => Power::Say,
            types::CallPower::InjectContext => Power::InjectContext,
            types::CallPower::Transfer => Power::Transfer,
            types::CallPower::HangUp => Power::HangUp,
            types::CallPower::SetVariable => Power::SetVariable,
        }),
        types::Need::Hook(hook) => Need::Hook(match hook {
            types::Hook::Incoming => Hook::Incoming,
            types::Hook::Event => Hook::Event,
            types::Hook::Ended => Hook::Ended,
        }),
    })
}

/// The failure that a plugin names itself.
fn said(error: exported_tools::ToolError) -> Failure {
    use exported_tools::ToolError;
    match error {
        ToolError::UnknownTool(words) => Failure::UnknownTool(cut(&words)),
        ToolError::InvalidArguments(words) => Failure::InvalidArguments(cut(&words)),
        ToolError::NotFound(words) => Failure::NotFound(cut(&words)),
        ToolError::Denied(words) => Failure::Denied(cut(&words)),
        ToolError::Unavailable(words) => Failure::Unavailable(cut(&words)),
        ToolError::Internal(words) => Failure::Internal(cut(&words)),
    }
}

// === from our words to the plugin's ===

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
        deadline_ms: State::now_ms(state) + u64::try_from(left.as_millis()).unwrap_or(0),
        variables: context.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

fn line_of(said: &Said) -> types::Line {
    types::Line {
        speaker: match said.speaker {
            // What is typed is the caller's too.
            Speaker::Caller | Speaker::Keypad => types::Speaker::Caller,
            Speaker::Assistant => types::Speaker::Assistant,
        },
        text: said.text.clone(),
        started_ms: said.started.as_millis(),
    }
}

// === imports ===

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

impl secrets::Host for State {
    fn reveal(&mut self, name: String) -> Result<String, secrets::Error> {
        State::reveal(self, &name).ok_or(secrets::Error::Denied)
    }
}

impl clock::Host for State {
    fn now_ms(&mut self) -> u64 {
        State::now_ms(self)
    }

    fn monotonic_ns(&mut self) -> u64 {
        State::monotonic_ns(self)
    }
}

impl random::Host for State {
    fn bytes(&mut self, count: u32) -> Vec<u8> {
        self.random(count)
    }
}

impl progress::Host for State {
    fn report(&mut self, text: String) {
        State::report(self, text);
    }
}

impl history::Host for State {
    fn lines(&mut self, last: u32) -> Result<Vec<types::Line>, history::Error> {
        let lines = State::lines(self, last).ok_or(history::Error::Denied)?;
        Ok(lines.iter().map(line_of).collect())
    }
}

impl calls::Host for State {
    fn act(&mut self, action: calls::Action) -> Result<(), calls::Error> {
        let (power, wish) = match action {
            calls::Action::Say(text) => (Power::Say, Wish::Say(text)),
            calls::Action::InjectContext(text) => (Power::InjectContext, Wish::InjectContext(text)),
            calls::Action::Transfer(target) => (Power::Transfer, Wish::Transfer(target)),
            calls::Action::HangUp => (Power::HangUp, Wish::HangUp),
            calls::Action::SetVariable((name, value)) => {
                (Power::SetVariable, Wish::SetVariable { name, value })
            }
        };
        State::act(self, power, wish).map_err(|error| match error {
            ActError::Denied => calls::Error::Denied,
            ActError::NoCall => calls::Error::NoCall,
            ActError::Quota => calls::Error::Quota,
        })
    }
}

impl http::Host for State {
    async fn fetch(&mut self, request: http::Request) -> Result<http::Response, http::Error> {
        let ask = Ask {
            method: match request.method {
                http::Method::Get => "GET",
                http::Method::Head => "HEAD",
                http::Method::Post => "POST",
                http::Method::Put => "PUT",
                http::Method::Patch => "PATCH",
                http::Method::Delete => "DELETE",
            },
            url: request.url,
            headers: request.headers,
            body: request.body,
            timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
            credential: request.credential.map(|credential| Credential {
                header: credential.header,
                prefix: credential.prefix,
                secret: credential.secret,
            }),
        };
        match State::fetch(self, ask).await {
            Ok(found) => {
                Ok(http::Response { status: found.status, headers: found.headers, body: found.body })
            }
            Err(AskError::Quota) => Err(http::Error::Quota),
            Err(AskError::Fetch(error)) => Err(unanswered(error)),
        }
    }
}

fn unanswered(error: FetchError) -> http::Error {
    match error {
        FetchError::Denied(words) => http::Error::Denied(words),
        FetchError::InvalidRequest(words) => http::Error::InvalidRequest(words),
        FetchError::Dns(words) => http::Error::Dns(words),
        FetchError::Connect(words) => http::Error::Connect(words),
        FetchError::Timeout => http::Error::Timeout,
        FetchError::TooLarge { .. } => http::Error::TooLarge,
        FetchError::Other(words) => http::Error::Other(words),
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

fn kept(state: &State) -> Result<Arc<dyn KeyValueStore>, kv::Error> {
    let kept = state.kv().ok_or(kv::Error::Denied)?;
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
