//! Whether the gateway runs and can take calls, and what it counts.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};

use super::health;
use crate::http::{Doors, answer};
use crate::store::Health;

/// `GET /healthz`.
pub(super) async fn live(_: Arc<Doors>, _: Request) -> Response {
    answer::text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`; with `?verbose` every check, without the reasons, which are for those who have a token.
pub(super) async fn ready(doors: Arc<Doors>, request: Request) -> Response {
    if request.uri().query().is_some_and(|query| query.split('&').any(|word| word.starts_with("verbose"))) {
        return verbose(&doors);
    }
    if let Some(why) = why_not_ready(&doors) {
        return answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    }
    // Calls are taken all the same, over the other path.
    let resting = doors
        .control
        .resting_paths()
        .into_iter()
        .map(|path| format!("the path {} failed too often and is left alone for now\n", path.as_str()));
    // Why is for those who have the token.
    let tools = doors.control.tools().current();
    let left_out = tools.left_out().iter().map(|plugin| {
        format!("the plugin {plugin} is out of order: calls are answered without its tools and hooks\n")
    });
    let degraded: String = resting.chain(left_out).collect();
    answer::text(StatusCode::OK, format!("ready\n{degraded}"))
}

/// As Kubernetes writes such a list.
fn verbose(doors: &Doors) -> Response {
    let (_, checks) = health::checks(doors);
    let line = |check: &health::Check| {
        let (mark, word) = if check.ok { ('+', "ok") } else { ('-', "failed") };
        format!("[{mark}]{} {word}\n", check.name)
    };
    let list: String = checks.iter().map(line).collect();
    match why_not_ready(doors) {
        None => answer::text(StatusCode::OK, format!("{list}ready\n")),
        Some(why) => answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{list}{why}\n")),
    }
}

/// Why no new calls are taken; none: they are.
pub(super) fn why_not_ready(doors: &Doors) -> Option<String> {
    if doors.control.is_refusing() {
        return Some("stopping: no new calls, running ones may end".to_owned());
    }
    match doors.control.store().health() {
        Health::Ok => doors
            .control
            .behind()
            .map(|lag| format!("the machine is {} ms late: new calls are refused", lag.as_millis())),
        Health::Full { free_bytes, needed_bytes } => {
            Some(format!("the disk is full: {free_bytes} bytes are free, {needed_bytes} are needed"))
        }
        Health::Poisoned { reason } => Some(format!("the store takes no writes: {reason}")),
    }
}

/// `GET /metrics`.
pub(super) fn metrics(doors: &Doors) -> Response {
    Response::builder()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(doors.control.metrics().text())
}
