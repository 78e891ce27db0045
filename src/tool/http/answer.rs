//! What a backend's answer, or its absence, is to the model.
//!
//! The body of an error is never shown: it is written for programmers, and may hold anything.

use serde_json::{Value, json};

use super::settings::{Meaning, Settings};
use crate::call::record::ToolOutcomeKind;
use crate::tool::outbound::{FetchError, Response};

/// Why there is no answer for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How it failed.
    pub kind: ToolOutcomeKind,
    /// What the model is told.
    pub message: String,
    /// What the operator reads; none where it is the model's own doing.
    pub detail: Option<String>,
}

impl Trouble {
    pub(super) fn new(kind: ToolOutcomeKind, message: impl Into<String>) -> Trouble {
        Trouble { kind, message: message.into(), detail: None }
    }

    pub(super) fn because(self, detail: impl Into<String>) -> Trouble {
        Trouble { detail: Some(detail.into()), ..self }
    }

    /// Claims that the backend is to blame.
    pub(super) fn is_of_backend(&self) -> bool {
        matches!(self.kind, ToolOutcomeKind::Unavailable | ToolOutcomeKind::Timeout)
    }
}

/// The answer as JSON text.
pub(super) fn read(settings: &Settings, response: &Response) -> Result<String, Trouble> {
    let status = response.status;
    let meaning = settings.statuses.get(&status).copied().unwrap_or_else(|| Meaning::of(status));
    if let Meaning::Failed(kind) = meaning {
        return Err(Trouble::new(kind, words(kind)).because(format!("the backend answered {status}")));
    }
    let value = value(response)?;
    let Some(pointer) = &settings.pick else { return Ok(value.to_string()) };
    value.pointer(pointer).map(Value::to_string).ok_or_else(|| {
        Trouble::new(ToolOutcomeKind::BadOutput, words(ToolOutcomeKind::BadOutput))
            .because(format!("`pick` leads to nothing in the answer: {pointer}"))
    })
}

/// The body as JSON: what is not JSON and is text becomes a JSON text.
fn value(response: &Response) -> Result<Value, Trouble> {
    if response.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({ "ok": true }));
    }
    if let Ok(value) = serde_json::from_slice(&response.body) {
        return Ok(value);
    }
    let says_text = response.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
    match std::str::from_utf8(&response.body) {
        Ok(text) if says_text => Ok(Value::String(text.to_owned())),
        _ => Err(Trouble::new(ToolOutcomeKind::BadOutput, words(ToolOutcomeKind::BadOutput))
            .because("the answer is neither JSON nor `text/plain`")),
    }
}

/// What came of a request that got no answer.
pub(super) fn failed(error: &FetchError) -> Trouble {
    let kind = match error {
        FetchError::Denied(_) => ToolOutcomeKind::Denied,
        FetchError::InvalidRequest(_) => ToolOutcomeKind::InvalidArguments,
        FetchError::Timeout => ToolOutcomeKind::Timeout,
        FetchError::TooLarge { .. } => ToolOutcomeKind::BadOutput,
        FetchError::Dns(_) | FetchError::Connect(_) | FetchError::Other(_) => ToolOutcomeKind::Unavailable,
    };
    Trouble::new(kind, words(kind)).because(error.to_string())
}

fn words(kind: ToolOutcomeKind) -> &'static str {
    match kind {
        ToolOutcomeKind::NotFound => "there is no such thing",
        ToolOutcomeKind::InvalidArguments => "these arguments are not accepted",
        ToolOutcomeKind::Denied => "it is not allowed",
        ToolOutcomeKind::Timeout => "it took too long",
        ToolOutcomeKind::Unavailable => "it cannot be reached at the moment",
        ToolOutcomeKind::BadOutput => "the answer was not readable",
        _ => "it failed inside",
    }
}
