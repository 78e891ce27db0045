//! Whether the gateway runs and can take calls, and what it counts.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};

use crate::http::{Doors, answer};
use crate::store::Health;

/// `GET /healthz`.
pub(super) async fn live(_: Arc<Doors>, _: Request) -> Response {
    answer::text(StatusCode::OK, "ok\n")
}

/// `GET /readyz`.
pub(super) async fn ready(doors: Arc<Doors>, _: Request) -> Response {
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
