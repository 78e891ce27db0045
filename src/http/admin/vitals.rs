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
    match doors.control.store().health() {
        _ if doors.control.is_refusing() => {
            let words = "stopping: no new calls, running ones may end\n";
            answer::text(StatusCode::SERVICE_UNAVAILABLE, words)
        }
        Health::Ok if let Some(lag) = doors.control.behind() => {
            let words = format!("the machine is {} ms late: new calls are refused\n", lag.as_millis());
            answer::text(StatusCode::SERVICE_UNAVAILABLE, words)
        }
        Health::Ok => {
            // Calls are taken all the same, over the other path.
            let resting = doors.control.resting_paths().into_iter().map(|path| {
                format!("the path {} failed too often and is left alone for now\n", path.as_str())
            });
            // Why is for those who have the token.
            let tools = doors.control.tools().current();
            let left_out = tools.left_out().iter().map(|plugin| {
                format!(
                    "the plugin {plugin} is out of order: calls are answered without its tools and hooks\n"
                )
            });
            let degraded: String = resting.chain(left_out).collect();
            answer::text(StatusCode::OK, format!("ready\n{degraded}"))
        }
        Health::Full { free_bytes, needed_bytes } => {
            let words = format!("the disk is full: {free_bytes} bytes are free, {needed_bytes} are needed\n");
            answer::text(StatusCode::SERVICE_UNAVAILABLE, words)
        }
        Health::Poisoned { reason } => {
            answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("the store takes no writes: {reason}\n"))
        }
    }
}

/// `GET /metrics`.
pub(super) fn metrics(doors: &Doors) -> Response {
    Response::builder()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(doors.control.metrics().text())
}
