//! What the doors answer: bodies read within bounds, refusals in few words.
//!
//! A stranger who is refused learns that he was, and no more: the reason goes into the metrics.

use poem::http::StatusCode;
use poem::http::header::CONTENT_TYPE;
use poem::{Request, Response};

use super::deliveries::Capture;
use super::verdict::Verdict;
use super::{BODY_WITHIN, Doors};

/// A body that could not be read, as an answer.
pub(super) struct Unread {
    /// What became of the request.
    pub verdict: Verdict,
    /// What the stranger is told.
    pub response: Response,
}

/// Reads the whole body, if it is small enough and comes soon enough.
pub(super) async fn body(doors: &Doors, request: &mut Request) -> Result<Vec<u8>, Unread> {
    let limit = doors.settings.body_bytes_max;
    let length = request.header("content-length").and_then(|length| length.parse::<u64>().ok());
    let is_too_large = length.is_some_and(|length| length > limit as u64);
    if is_too_large {
        return Err(too_large());
    }
    let read = request.take_body().into_bytes_limit(limit);
    match tokio::time::timeout(BODY_WITHIN, read).await {
        Ok(Ok(bytes)) => {
            doors.served.is_read(request.remote_addr());
            if let Some(capture) = request.extensions().get::<Capture>() {
                capture.put(&bytes);
            }
            Ok(bytes.to_vec())
        }
        Ok(Err(poem::error::ReadBodyError::PayloadTooLarge)) => Err(too_large()),
        Ok(Err(_)) => Err(Unread { verdict: Verdict::Truncated, response: status(StatusCode::BAD_REQUEST) }),
        Err(_) => Err(Unread { verdict: Verdict::Slow, response: status(StatusCode::REQUEST_TIMEOUT) }),
    }
}

fn too_large() -> Unread {
    Unread { verdict: Verdict::TooLarge, response: status(StatusCode::PAYLOAD_TOO_LARGE) }
}

/// An answer without a body.
pub(super) fn status(status: StatusCode) -> Response {
    Response::builder().status(status).finish()
}

/// An answer with a few words.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    Response::builder().status(status).content_type("text/plain; charset=utf-8").body(text.into())
}

/// An answer in JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

/// An answer in JSON with another status.
pub(super) fn json_with(code: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => Response::builder().status(code).header(CONTENT_TYPE, "application/json").body(json),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}
