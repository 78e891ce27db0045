//! Which path calls take: shown, and changed at run time. What is set here holds for the next calls until it
//! is taken back or the gateway is restarted; calls that run stay where they are.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};
use serde::{Deserialize, Serialize};

use super::admin::authorize;
use super::{Doors, answer};
use crate::routing::Rollout;

/// The longest body of a change.
const BODY_BYTES_MAX: usize = 4 << 10;

/// What `POST /api/v1/features/openai-sip` takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetOpenAiSip {
    /// `true`, `false`, or a share such as `"25%"`.
    pub value: Value,
    /// The route; none: all of them, whatever was set or configured for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}

/// A value as JSON has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// All or none.
    Flag(bool),
    /// In words.
    Text(String),
}

/// `GET /api/v1/features`.
pub(super) async fn show(doors: Arc<Doors>, request: Request) -> Response {
    match authorize(&doors, &request) {
        Ok(()) => answer::json(&doors.control.features()),
        Err(refused) => refused,
    }
}

/// `POST /api/v1/features/openai-sip`.
pub(super) async fn set(doors: Arc<Doors>, mut request: Request) -> Response {
    if let Err(refused) = authorize(&doors, &request) {
        return refused;
    }
    let unreadable = |why: String| answer::text(StatusCode::BAD_REQUEST, format!("{why}\n"));
    let body = match request.take_body().into_bytes_limit(BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(error) => return unreadable(error.to_string()),
    };
    let wanted: SetOpenAiSip = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => return unreadable(format!("write {{\"value\": \"25%\"}}: {error}")),
    };
    let value = match wanted.value {
        Value::Flag(is_on) => Rollout::from(is_on),
        Value::Text(text) => match text.parse() {
            Ok(value) => value,
            Err(error) => return unreadable(format!("`value`: {error}")),
        },
    };
    match doors.control.set_openai_sip(wanted.route.as_deref(), value) {
        Ok(()) => answer::json(&doors.control.features()),
        Err(error) => answer::text(StatusCode::NOT_FOUND, format!("{error}\n")),
    }
}

/// `DELETE /api/v1/features/openai-sip`: as the configuration says.
pub(super) async fn reset(doors: Arc<Doors>, request: Request) -> Response {
    if let Err(refused) = authorize(&doors, &request) {
        return refused;
    }
    doors.control.reset_openai_sip();
    answer::json(&doors.control.features())
}
