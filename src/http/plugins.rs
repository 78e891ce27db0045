//! `GET /api/v1/plugins`: what is loaded, how it fares, and what became of the last change.

use std::sync::Arc;

use poem::{Request, Response};
use serde::{Deserialize, Serialize};

use super::{Doors, admin, answer};
use crate::clock::Timestamp;
use crate::tool::generation::{Change, Generations};
use crate::tool::plugin::{Origin, Plugin};

/// All plugins, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginList {
    /// The plugins.
    pub plugins: Vec<PluginView>,
}

/// A plugin as new calls get it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The key-value namespace that it is granted.
    pub kv: Option<String>,
    /// What one tool call may use up.
    pub limits: LimitsView,
    /// `closed`, `open` (it is not called at the moment) or `off`.
    pub breaker: String,
    /// What became of the last change of its file; none: it never changed.
    pub last_change: Option<ChangeView>,
}

/// What one tool call may use up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsView {
    /// Memory of its instance.
    pub memory_bytes: usize,
    /// Time until its answer.
    pub time_ms: u64,
    /// Length of its answer.
    pub output_bytes: usize,
    /// Length of its log.
    pub log_bytes: usize,
    /// Tool calls at once.
    pub concurrency: usize,
}

/// What became of a changed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeView {
    /// When it was decided.
    pub at: Timestamp,
    /// Why the new version was refused; none: it is in use.
    pub refused: Option<String>,
}

/// `GET /api/v1/plugins`.
pub(super) async fn list(doors: Arc<Doors>, request: Request) -> Response {
    if let Err(refused) = admin::authorize(&doors, &request) {
        return refused;
    }
    let tools = doors.control.tools();
    let plugins = tools.current().plugins().iter().map(|plugin| view(plugin, tools)).collect();
    answer::json(&PluginList { plugins })
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
        kv: settings.grants.kv.clone(),
        limits: LimitsView {
            memory_bytes: settings.limits.memory_bytes,
            time_ms: u64::try_from(settings.limits.time.as_millis()).unwrap_or(u64::MAX),
            output_bytes: settings.limits.output_bytes,
            log_bytes: settings.limits.log_bytes,
            concurrency: settings.limits.concurrency,
        },
        breaker: breaker.to_owned(),
        last_change: tools.change_of(plugin.name()).map(|Change { at, refused }| ChangeView { at, refused }),
    }
}
