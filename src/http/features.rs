//! Which path calls take: shown, and changed at run time. What is set here holds for the next calls until it
//! is taken back, also after a restart; calls that run stay where they are.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};
use serde::{Deserialize, Serialize};

use super::admin::authorize;
use super::{Doors, answer};
use crate::call_control::features::{By, ChangeError};
use crate::routing::Rollout;
use crate::text::chain;

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
    /// Who wants it, for whoever looks at it later; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// What `DELETE /api/v1/features/openai-sip` takes, if it has a body.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResetOpenAiSip {
    /// Who wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
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
    let body = match body(&mut request).await {
        Ok(body) => body,
        Err(unreadable) => return unreadable,
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
    match doors.control.set_openai_sip(wanted.route, value, wanted.by).await {
        Ok(()) => answer::json(&doors.control.features()),
        Err(error) => not_changed(&error),
    }
}

/// `DELETE /api/v1/features/openai-sip`: as the configuration says.
pub(super) async fn reset(doors: Arc<Doors>, mut request: Request) -> Response {
    if let Err(refused) = authorize(&doors, &request) {
        return refused;
    }
    let body = match body(&mut request).await {
        Ok(body) => body,
        Err(unreadable) => return unreadable,
    };
    let wanted = match body.as_slice() {
        [] => ResetOpenAiSip::default(),
        body => match serde_json::from_slice(body) {
            Ok(wanted) => wanted,
            Err(error) => return unreadable(format!("write nothing, or {{\"by\": \"a name\"}}: {error}")),
        },
    };
    match doors.control.reset_openai_sip(wanted.by).await {
        Ok(()) => answer::json(&doors.control.features()),
        Err(error) => not_changed(&error.into()),
    }
}

async fn body(request: &mut Request) -> Result<Vec<u8>, Response> {
    let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await;
    body.map(|body| body.to_vec()).map_err(|error| unreadable(error.to_string()))
}

fn unreadable(why: String) -> Response {
    answer::text(StatusCode::BAD_REQUEST, format!("{why}\n"))
}

fn not_changed(error: &ChangeError) -> Response {
    let status = match error {
        ChangeError::NoSuchRoute(_) => StatusCode::NOT_FOUND,
        ChangeError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer::text(status, format!("{}\n", chain(error)))
}
