//! What an author gives a plugin that is tried out: the call it serves, and what its host calls find.
//!
//! A test of `tests.toml` and a file of mocks have these keys in common.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

use crate::call::record::Speaker;
use crate::clock::Timestamp;
use crate::ids::CallId;

use super::places::Misplaced;

/// The call, as far as a plugin may know it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Context {
    /// The call's id, where it matters.
    pub call_id: Option<CallId>,
    pub caller: Option<String>,
    pub callee: Option<String>,
    pub language: Option<String>,
    pub route: Option<String>,
    pub session: Option<String>,
    pub vars: BTreeMap<String, String>,
}

/// A line of the conversation so far.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub speaker: Speaker,
    pub text: String,
}

/// What answers a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    #[serde(default = "get")]
    pub method: String,
    /// The whole URL; a `*` at its end stands for anything.
    pub url: String,
    pub status: Option<u16>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Option<String>,
    pub json: Option<toml::Value>,
    pub error: Option<NetworkError>,
}

fn get() -> String {
    "GET".to_owned()
}

/// What can go wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NetworkError {
    Timeout,
    Connect,
    Dns,
    TooLarge,
}

/// Everything that is given.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub context: Context,
    pub config: BTreeMap<String, toml::Value>,
    pub kv: BTreeMap<String, toml::Value>,
    pub http: Vec<Answer>,
    pub secrets: BTreeMap<String, String>,
    pub now: Option<Timestamp>,
    pub history: Vec<Line>,
}

/// Declares a table that has the keys of [`Given`] besides its own.
macro_rules! with_given {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
            #[serde(default)]
            context: $crate::cli::plugin::given::Context,
            #[serde(default)]
            config: std::collections::BTreeMap<String, toml::Value>,
            #[serde(default)]
            kv: std::collections::BTreeMap<String, toml::Value>,
            #[serde(default)]
            http: Vec<toml::Spanned<$crate::cli::plugin::given::Answer>>,
            #[serde(default)]
            secrets: std::collections::BTreeMap<String, String>,
            now: Option<toml::Spanned<toml::Value>>,
            #[serde(default)]
            history: Vec<$crate::cli::plugin::given::Line>,
        }

        impl $name {
            /// Takes out what is given.
            ///
            /// # Errors
            ///
            /// A value makes no sense.
            pub fn take_given(
                &mut self,
            ) -> Result<$crate::cli::plugin::given::Given, $crate::cli::plugin::places::Misplaced> {
                use std::mem::take;
                use $crate::cli::plugin::given;
                Ok(given::Given {
                    context: take(&mut self.context),
                    config: take(&mut self.config),
                    kv: take(&mut self.kv),
                    http: take(&mut self.http).into_iter().map(given::checked).collect::<Result<_, _>>()?,
                    secrets: take(&mut self.secrets),
                    now: self.now.take().map(given::moment).transpose()?,
                    history: take(&mut self.history),
                })
            }
        }
    };
}
pub(super) use with_given;

with_given! {
    /// A file of mocks.
    Mocks {}
}

/// An answer that can be given.
///
/// # Errors
///
/// It says two things at once.
pub(super) fn checked(answer: Spanned<Answer>) -> Result<Answer, Misplaced> {
    let span = answer.span();
    let answer = answer.into_inner();
    let (has_body, has_json) = (answer.body.is_some(), answer.json.is_some());
    let has_answer = has_body || has_json || answer.status.is_some() || !answer.headers.is_empty();
    let words = if has_body && has_json {
        "give `body` or `json`, not both"
    } else if answer.error.is_some() && has_answer {
        "a request that fails has no answer: give `error` alone, or leave it out"
    } else {
        return Ok(answer);
    };
    Err(Misplaced { span, words: words.to_owned() })
}

/// A moment: TOML's own, or the same as text.
///
/// # Errors
///
/// It has no offset, or is none.
pub(super) fn moment(value: Spanned<toml::Value>) -> Result<Timestamp, Misplaced> {
    let text = match value.get_ref() {
        toml::Value::Datetime(moment) => moment.to_string(),
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parsed: Option<jiff::Timestamp> = text.parse().ok();
    let micros = parsed.and_then(|moment| u64::try_from(moment.as_microsecond()).ok());
    micros.map(Timestamp::from_micros).ok_or_else(|| Misplaced {
        span: value.span(),
        words: format!("`{text}` is not a moment: write one with its offset, as `2026-11-24T10:00:00+09:00`"),
    })
}

/// A value as JSON.
pub(super) fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(truth) => (*truth).into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(list) => list.iter().map(json).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), json(value))).collect(),
    }
}

/// A value as text: a text as it is, all else as JSON.
pub(super) fn text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => json(other).to_string(),
    }
}
