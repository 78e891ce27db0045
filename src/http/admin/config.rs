//! The configuration that the gateway runs with, each value with where it came from; and another one, checked.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask, Problem};
use crate::clock::Timestamp;
use crate::http::{ConfigChange, Reloaded, answer};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigOrigin {
    /// `default`, `file` or `environment`.
    pub kind: &'static str,
    /// The file.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// The variable of the environment.
    pub variable: Option<String>,
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigEntry {
    /// Its key from the top, such as `routes[0].session`.
    pub key: String,
    /// As it is written; what is secret is `•••`, what stands for a variable or a file stands for it here too.
    pub value: String,
    /// Where it came from.
    pub origin: ConfigOrigin,
}

/// The configuration that the gateway runs with.
#[derive(Clone, Debug, Default)]
pub struct ConfigShown {
    /// The file.
    pub path: String,
    /// When it was read.
    pub read_at: Timestamp,
    /// Every value that holds, in the order of their keys.
    pub entries: Vec<ConfigEntry>,
}

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigProblem {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// `E0104` …
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// What to do.
    pub help: Option<String>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ConfigChecked {
    /// A gateway could run with it.
    pub ok: bool,
    /// All of it.
    pub problems: Vec<ConfigProblem>,
    /// The same for a person.
    pub rendered: String,
    /// What would change if it took the place of what holds; empty also where it could not.
    pub changes: Vec<ConfigChange>,
}

/// Checks the text of a configuration as if it stood in the gateway's file.
#[derive(Clone)]
pub struct ConfigChecker(pub Arc<dyn Fn(&str) -> ConfigChecked + Send + Sync>);

impl fmt::Debug for ConfigChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigChecker")
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ConfigNow<'a> {
    path: &'a str,
    /// When what holds was read.
    read_at: Timestamp,
    entries: &'a [ConfigEntry],
    /// What came of reading it again last; none: nobody had it read again.
    last_reload: Option<Reloaded>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigText {
    text: String,
}

/// `GET /api/v1/config`.
pub(super) async fn show(ask: Ask) -> Answered {
    let shown = &ask.doors.settings.config;
    Ok(answer::json(&ConfigNow {
        path: &shown.path,
        read_at: shown.read_at,
        entries: &shown.entries,
        last_reload: ask.doors.reloads.last(),
    }))
}

/// `POST /api/v1/config/check`.
pub(super) async fn check(ask: Ask) -> Answered {
    let ConfigText { text } = ask.json()?;
    ask.audit("config.check", None, None).await?;
    let checker = ask.doors.settings.checker.clone();
    let checked = tokio::task::spawn_blocking(move || (checker.0)(&text)).await;
    let checked = checked.map_err(|_| Problem::broken("the configuration could not be checked"))?;
    Ok(answer::json(&checked))
}

/// `POST /api/v1/config/reload`: 200 when it holds, 422 with what is wrong when it was refused whole.
pub(super) async fn reload(ask: Ask) -> Answered {
    ask.audit("config.reload", None, None).await?;
    let reloaded = ask.doors.reloads.reload().await;
    let reloaded = reloaded.ok_or_else(|| Problem::conflict("the configuration is being read already"))?;
    if reloaded.ok { Ok(answer::json(&reloaded)) } else { Err(Problem::unfit(reloaded.problems)) }
}
