//! What an operator is told who does not get what was asked for: a status, a code that programs know, and what to do.

use std::error::Error;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use serde_json::json;

use crate::call_control::DeliverError;
use crate::http::answer;
use crate::ids::NotACallId;
use crate::store::StoreError;
use crate::text::chain;

/// The kinds of refusals. `switchboard explain` tells cause and remedy of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request cannot be understood.
    BadRequest,
    /// Nobody has shown who asks.
    Unauthorized,
    /// Who asks may not have it.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The path takes other methods.
    MethodNotAllowed,
    /// It cannot be done as things stand.
    Conflict,
    /// The body is too long.
    TooLarge,
    /// What it says cannot be followed.
    Unprocessable,
    /// Too many ask at once.
    TooMany,
    /// It cannot be done just now.
    Unavailable,
    /// Something of ours is broken.
    Internal,
    /// What else the server refused.
    Refused,
}

impl Refusal {
    /// The code that programs know.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::BadRequest => "bad_request",
            Refusal::Unauthorized => "unauthorized",
            Refusal::Forbidden => "forbidden",
            Refusal::NotFound => "not_found",
            Refusal::MethodNotAllowed => "method_not_allowed",
            Refusal::Conflict => "conflict",
            Refusal::TooLarge => "too_large",
            Refusal::Unprocessable => "unprocessable",
            Refusal::TooMany => "too_many",
            Refusal::Unavailable => "unavailable",
            Refusal::Internal => "internal",
            Refusal::Refused => "refused",
        }
    }
}

/// A refusal. Its body is `{"error": {"code": …, "message": …}}`.
#[derive(Debug)]
pub(in crate::http) struct Problem {
    status: StatusCode,
    code: Refusal,
    message: String,
}

impl Problem {
    fn new(status: StatusCode, code: Refusal, message: impl Into<String>) -> Problem {
        Problem { status, code, message: message.into() }
    }

    /// The request cannot be understood.
    pub fn bad(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, Refusal::BadRequest, message)
    }

    /// Nobody has shown who asks.
    pub fn unknown(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, Refusal::Unauthorized, message)
    }

    /// Who asks may not have it.
    pub fn forbidden(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, Refusal::Forbidden, message)
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, Refusal::NotFound, message)
    }

    /// It cannot be done as things stand.
    pub fn conflict(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, Refusal::Conflict, message)
    }

    /// What it says cannot be followed.
    pub fn unfit(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Refusal::Unprocessable, message)
    }

    /// The body is too long.
    pub fn too_large(bytes_max: usize) -> Problem {
        let message = format!("the body is longer than {bytes_max} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Refusal::TooLarge, message)
    }

    /// Too many ask at once.
    pub fn too_many(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, Refusal::TooMany, message)
    }

    /// It cannot be done just now.
    pub fn unavailable(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, Refusal::Unavailable, message)
    }

    /// Something of ours is broken; the log has the rest.
    pub fn broken(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Refusal::Internal, message)
    }

    /// What could not be done, with all that caused it.
    pub fn failed(what: &'static str, error: &(dyn Error + 'static)) -> Problem {
        tracing::error!(error = %chain(error), what);
        Problem::unavailable(chain(error))
    }

    /// What the server's own router refused.
    pub fn of_router(error: &poem::Error) -> Problem {
        match error.status() {
            StatusCode::NOT_FOUND => Problem::missing("there is no such path: see `/api/`"),
            StatusCode::METHOD_NOT_ALLOWED => Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                Refusal::MethodNotAllowed,
                "this path takes other methods: see `/api/`",
            ),
            status => Problem::new(status, Refusal::Refused, error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code.name(), "message": self.message } });
        answer::json_with(self.status, &body)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        tracing::error!(%error, "the store could not be used");
        match error {
            StoreError::Corrupt { .. } => Problem::broken("the store could not be read"),
            error => Problem::unavailable(chain(&error)),
        }
    }
}

impl From<DeliverError> for Problem {
    fn from(error: DeliverError) -> Problem {
        match error {
            DeliverError::NoSuchCall(_) => Problem::missing(error.to_string()),
            error => Problem::unavailable(chain(&error)),
        }
    }
}

impl From<NotACallId> for Problem {
    fn from(error: NotACallId) -> Problem {
        Problem::bad(error.to_string())
    }
}
