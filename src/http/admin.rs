//! What operators read and do: calls, metrics, health.
//!
//! `/healthz` says only that the process runs, `/readyz` that it can take calls; neither tells of
//! calls and neither wants a token. Everything else does.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Doors, answer};
use crate::call::event::Command;
use crate::call::record::{CallDetail, CallRecord, State};
use crate::call_control::DeliverError;
use crate::ids::CallId;
use crate::store::{By, CallQuery, Cursor, Health, Store, StoreError};

/// How many calls one page holds where the question does not say.
const PAGE: u16 = 50;

/// A page of calls, newest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    /// The calls.
    pub calls: Vec<CallRecord>,
    /// Where the next page begins; none on the last one.
    pub next: Option<String>,
}

/// What `GET /api/v1/calls` may be asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    number: Option<String>,
    state: Option<State>,
    after: Option<String>,
    limit: Option<u16>,
}

/// Everything that is kept of a call; none when there is no such call.
///
/// # Errors
///
/// [`StoreError`] when the store cannot be read.
pub async fn detail(store: &Store, id: CallId) -> Result<Option<CallDetail>, StoreError> {
    store.detail(id).await
}

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
pub(super) async fn metrics(doors: Arc<Doors>, request: Request) -> Response {
    if let Err(refused) = authorize(&doors, &request) {
        return refused;
    }
    Response::builder()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(doors.control.metrics().text())
}

/// `GET /api/v1/calls`.
pub(super) async fn calls(doors: Arc<Doors>, request: Request) -> Response {
    if let Err(refused) = authorize(&doors, &request) {
        return refused;
    }
    let question: Question = match request.params() {
        Ok(question) => question,
        Err(error) => return answer::text(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let after = match question.after.as_deref().map(str::parse::<Cursor>).transpose() {
        Ok(after) => after,
        Err(error) => return answer::text(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let by = match (question.number, question.state) {
        (Some(number), _) => By::Number(number),
        (None, Some(state)) => By::State(state),
        (None, None) => By::Time,
    };
    let query = CallQuery { by, ..CallQuery::default() };
    let limit = question.limit.unwrap_or(PAGE);
    match doors.control.store().calls(query, after, limit).await {
        Ok(page) => {
            let next = page.next.map(|cursor| cursor.to_string());
            answer::json(&Page { calls: page.items, next })
        }
        Err(error) => unreadable(&error),
    }
}

/// `GET /api/v1/calls/ID`.
pub(super) async fn call(doors: Arc<Doors>, request: Request) -> Response {
    let id = match authorize(&doors, &request).and_then(|()| call_id(&request)) {
        Ok(id) => id,
        Err(refused) => return refused,
    };
    match detail(doors.control.store(), id).await {
        Ok(Some(detail)) => answer::json(&detail),
        Ok(None) => answer::text(StatusCode::NOT_FOUND, format!("no call `{id}`\n")),
        Err(error) => unreadable(&error),
    }
}

/// `POST /api/v1/calls/ID/hangup`.
pub(super) async fn hang_up(doors: Arc<Doors>, request: Request) -> Response {
    let id = match authorize(&doors, &request).and_then(|()| call_id(&request)) {
        Ok(id) => id,
        Err(refused) => return refused,
    };
    match doors.control.command(id, Command::HangUp).await {
        Ok(()) => answer::status(StatusCode::ACCEPTED),
        Err(DeliverError::NoSuchCall(id)) => answer::text(StatusCode::NOT_FOUND, format!("no call `{id}`\n")),
        Err(error) => answer::text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

pub(super) fn call_id(request: &Request) -> Result<CallId, Response> {
    let text = request.raw_path_param("id").unwrap_or_default();
    text.parse()
        .map_err(|error: crate::ids::NotACallId| answer::text(StatusCode::BAD_REQUEST, error.to_string()))
}

pub(super) fn unreadable(error: &StoreError) -> Response {
    tracing::error!(%error, "the store could not be read");
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the store could not be read\n")
}

/// Wants `Authorization: Bearer TOKEN`; compared by digest, so that neither length nor content leaks.
pub(super) fn authorize(doors: &Doors, request: &Request) -> Result<(), Response> {
    let shown = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let wanted = Sha256::digest(doors.settings.admin_token.expose());
    let is_right = shown.is_some_and(|shown| Sha256::digest(shown).ct_eq(&wanted).into());
    if is_right {
        return Ok(());
    }
    let words =
        "show the admin token: `Authorization: Bearer …` (it is in `admin.token` in the data directory)\n";
    Err(answer::text(StatusCode::UNAUTHORIZED, words))
}
