//! `GET /api/v1/health`: how the gateway fares, with the reasons that `/readyz` does not tell everybody.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Answered, Ask, vitals};
use crate::http::{Doors, answer};
use crate::store::Health as StoreHealth;

/// How the gateway fares.
#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    /// It takes calls.
    ready: bool,
    checks: Vec<Check>,
    store: StoreView,
    build: Build,
    uptime_s: u64,
    calls_active: usize,
    /// How late a timer fired that fires ten times a second.
    lag_ms: f64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Check {
    pub name: String,
    pub ok: bool,
    detail: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct StoreView {
    path: String,
    /// `ok`, `full` or `poisoned`.
    state: &'static str,
    free_bytes: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Build {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
    debug: bool,
}

/// `GET /api/v1/health`.
pub(super) async fn show(ask: Ask) -> Answered {
    let (store, checks) = checks(&ask.doors);
    Ok(answer::json(&Health {
        ready: vitals::why_not_ready(&ask.doors).is_none(),
        checks,
        store,
        build: Build {
            version: env!("CARGO_PKG_VERSION"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            debug: cfg!(debug_assertions),
        },
        uptime_s: ask.doors.clock.now().since(ask.doors.since).as_secs(),
        calls_active: ask.doors.control.active(),
        lag_ms: ask.doors.control.metrics().lag_seconds() * 1_000.0,
    }))
}

/// Everything that is looked at, and how the store is.
pub(super) fn checks(doors: &Doors) -> (StoreView, Vec<Check>) {
    let control = &doors.control;
    let (store, of_store) = store_check(doors);
    let behind = control.behind();
    let late = behind.map_or("it keeps up".to_owned(), |lag| format!("it is {} ms late", lag.as_millis()));
    let is_refusing = control.is_refusing();
    let told = if is_refusing { "new calls are refused: it is being stopped" } else { "new calls are taken" };
    let mut checks = vec![
        of_store,
        check("machine", behind.is_none(), late),
        check("doors", !is_refusing, told.to_owned()),
    ];
    // Calls are taken without these all the same.
    let resting = control.resting_paths();
    for path in ["sip", "media-streams"] {
        let is_resting = resting.iter().any(|resting| resting.as_str() == path);
        let detail = if is_resting { "it failed too often and is left alone for now" } else { "it is used" };
        checks.push(check(&format!("path {path}"), !is_resting, detail.to_owned()));
    }
    let tools = control.tools();
    for plugin in tools.current().left_out() {
        let why = tools.change_of(plugin).and_then(|change| change.refused).unwrap_or_default();
        checks.push(check(&format!("plugin {plugin}"), false, why));
    }
    let (is_followed, file) = match doors.reloads.last() {
        Some(reloaded) if !reloaded.ok => (false, "what its file says was refused: the one before holds"),
        _ => (true, "what its file said when it was read last holds"),
    };
    checks.push(check("configuration", is_followed, file.to_owned()));
    (store, checks)
}

fn check(name: &str, ok: bool, detail: String) -> Check {
    Check { name: name.to_owned(), ok, detail }
}

fn store_check(doors: &Doors) -> (StoreView, Check) {
    let store = doors.control.store();
    let path = store.path().display().to_string();
    let (state, free_bytes, detail) = match store.health() {
        StoreHealth::Ok => ("ok", None, "it takes writes".to_owned()),
        StoreHealth::Full { free_bytes, needed_bytes } => {
            let detail = format!("the disk is full: {free_bytes} bytes are free, {needed_bytes} are needed");
            ("full", Some(free_bytes), detail)
        }
        StoreHealth::Poisoned { reason } => ("poisoned", None, format!("it takes no writes: {reason}")),
    };
    (StoreView { path, state, free_bytes }, check("store", state == "ok", detail))
}
