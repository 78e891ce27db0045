//! `GET /api/v1/plugins`: what is loaded, how it fares, what became of the last change, and what is out of order.

use std::time::Duration;

use poem::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Accepted, Answered, Ask};
use crate::clock::Timestamp;
use crate::http::answer;
use crate::tool::generation::{Change, Generations};
use crate::tool::plugin::{Grants, Limits, Origin, Plugin};

/// All plugins of the configuration, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginList {
    /// Those that new calls get.
    pub plugins: Vec<PluginView>,
    /// Those that new calls do without, because they could not be taken in since the start.
    pub out_of_order: Vec<OutOfOrderView>,
}

/// A plugin that new calls do without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutOfOrderView {
    /// Its name in the configuration.
    pub name: String,
    /// When it was tried last.
    pub at: Timestamp,
    /// Why it could not be taken in, and what to do.
    pub why: String,
}

/// A plugin as new calls get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginView {
    /// Its name in the configuration.
    pub name: String,
    /// SHA-256 of its file, in hexadecimal digits.
    pub digest: String,
    /// Whether it came from the cache of compiled plugins.
    pub from_cache: bool,
    /// How long loading it took.
    pub loaded_in_ms: u64,
    /// Its tools.
    pub tools: Vec<String>,
    /// What it asks for, in the words of `switchboard plugin inspect`: `kv`, `http https://…`, `call say`.
    pub needs: Vec<String>,
    /// What it is granted, whether or not it asks for it.
    pub grants: GrantsView,
    /// What one tool call may use up.
    pub limits: LimitsView,
    /// The most memory that one call had since this version was loaded.
    pub memory_peak_bytes: usize,
    /// `closed`, `open` (it is not called at the moment) or `off`.
    pub breaker: String,
    /// What became of the last change of its file; none: it never changed.
    pub last_change: Option<ChangeView>,
}

/// What a plugin is granted. Secrets are there by name only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantsView {
    /// Its key-value namespace.
    pub kv: Option<String>,
    /// Where its requests may go.
    pub http: Vec<String>,
    /// Hosts that may be at addresses which are not public.
    pub private_hosts: Vec<String>,
    /// Secrets that it may have put into a request.
    pub secrets: Vec<String>,
    /// Those that it may read itself.
    pub reveal: Vec<String>,
    /// Whether it may read what was said.
    pub history: bool,
    /// What it may do to a call.
    pub calls: Vec<String>,
    /// When it is asked or told.
    pub hooks: Vec<String>,
}

/// What one tool call, or one call of a hook, may use up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitsView {
    /// Memory of its instance.
    pub memory_bytes: usize,
    /// Elements of each of its tables.
    pub table_elements: usize,
    /// Core instances that it may consist of.
    pub instances: usize,
    /// Its stack; the same for all plugins.
    pub stack_bytes: usize,
    /// Time until its answer.
    pub time_ms: u64,
    /// The longest wait for a place.
    pub wait_ms: u64,
    /// Length of its answer.
    pub output_bytes: usize,
    /// Length of its log.
    pub log_bytes: usize,
    /// HTTP requests.
    pub http_requests: u32,
    /// Length of one HTTP response.
    pub http_response_bytes: usize,
    /// Length of all HTTP bodies.
    pub http_bytes: usize,
    /// Keys in its namespace.
    pub kv_keys: u64,
    /// Bytes in its namespace.
    pub kv_bytes: u64,
    /// Tool calls at once.
    pub concurrency: usize,
}

/// What became of a changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// When it was decided.
    pub at: Timestamp,
    /// Why the new version was refused; none: it is in use.
    pub refused: Option<String>,
}

/// `GET /api/v1/plugins`.
pub(super) async fn list(ask: Ask) -> Answered {
    let tools = ask.doors.control.tools();
    let current = tools.current();
    let plugins = current.plugins().iter().map(|plugin| view(plugin, tools)).collect();
    let out_of_order = current.left_out().iter().filter_map(|name| {
        let Change { at, refused } = tools.change_of(name)?;
        Some(OutOfOrderView { name: name.clone(), at, why: refused? })
    });
    Ok(answer::json(&PluginList { plugins, out_of_order: out_of_order.collect() }))
}

/// `POST /api/v1/plugins/reload`: what came of it is in `GET /plugins` and in the log.
pub(super) async fn reload(ask: Ask) -> Answered {
    ask.audit("plugins.reload", None, None).await?;
    ask.doors.reloads.look_again();
    Ok(answer::json_with(StatusCode::ACCEPTED, &Accepted {}))
}

fn view(plugin: &Plugin, tools: &Generations) -> PluginView {
    let (settings, loaded) = (plugin.settings(), plugin.loaded());
    let breaker = match settings.breaker {
        None => "off",
        Some(_) if plugin.is_resting() => "open",
        Some(_) => "closed",
    };
    PluginView {
        name: plugin.name().to_owned(),
        digest: loaded.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        from_cache: loaded.origin == Origin::Cache,
        loaded_in_ms: u64::try_from(loaded.took.as_millis()).unwrap_or(u64::MAX),
        tools: plugin.tools().iter().map(|tool| tool.name.clone()).collect(),
        needs: plugin.about().needs.iter().map(ToString::to_string).collect(),
        grants: grants(&settings.grants),
        limits: limits(&settings.limits, plugin.stack_bytes()),
        memory_peak_bytes: plugin.memory_peak_bytes(),
        breaker: breaker.to_owned(),
        last_change: tools.change_of(plugin.name()).map(|Change { at, refused }| ChangeView { at, refused }),
    }
}

fn grants(granted: &Grants) -> GrantsView {
    GrantsView {
        kv: granted.kv.clone(),
        http: granted.http.iter().map(ToString::to_string).collect(),
        private_hosts: granted.private_hosts.clone(),
        secrets: granted.secrets.keys().cloned().collect(),
        reveal: granted.reveal.clone(),
        history: granted.history,
        calls: granted.calls.iter().map(|power| power.as_str().to_owned()).collect(),
        hooks: granted.hooks.iter().map(|hook| hook.as_str().to_owned()).collect(),
    }
}

fn limits(limits: &Limits, stack_bytes: usize) -> LimitsView {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    LimitsView {
        memory_bytes: limits.memory_bytes,
        table_elements: limits.table_elements,
        instances: limits.instances,
        stack_bytes,
        time_ms: millis(limits.time),
        wait_ms: millis(limits.wait),
        output_bytes: limits.output_bytes,
        log_bytes: limits.log_bytes,
        http_requests: limits.http_requests,
        http_response_bytes: limits.http_response_bytes,
        http_bytes: limits.http_bytes,
        kv_keys: limits.kv_keys,
        kv_bytes: limits.kv_bytes,
        concurrency: limits.concurrency,
    }
}
