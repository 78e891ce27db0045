//! What an operator says about an HTTP tool: `[tools.NAME]`, checked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::template::RequestTemplate;
use crate::breaker;
use crate::call::record::ToolOutcomeKind;
use crate::call::terms::ToolTerms;
use crate::tool::outbound::Pattern;

/// One `[tools.NAME]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the model calls it.
    pub name: String,
    /// What the model reads about it.
    pub description: String,
    /// JSON Schema of the argument object.
    pub parameters: Value,
    /// What is put in where the model leaves an argument out.
    pub defaults: BTreeMap<String, Value>,
    /// What the life of a call must know of it.
    pub terms: ToolTerms,
    /// Running it twice does no harm.
    pub may_repeat: bool,
    /// What is sent.
    pub request: RequestTemplate,
    /// The longest it takes, all tries and pauses together.
    pub time: Duration,
    /// How often and after what it is tried again.
    pub retry: Retry,
    /// When the backend is left alone for a while; none: never.
    pub breaker: Option<breaker::Settings>,
    /// How long an answer serves the same request again; none: never.
    pub cache: Option<Duration>,
    /// The part of the answer that the model sees, a JSON pointer; none: all of it.
    pub pick: Option<String>,
    /// The longest answer, in bytes, before anything is picked from it.
    pub response_bytes_max: usize,
    /// Hosts that may be at addresses which are not public.
    pub private_hosts: Vec<String>,
    /// Where a redirect may lead beyond the URL's own origin.
    pub follow: Vec<Pattern>,
    /// What a status means, where that is not the ordinary meaning.
    pub statuses: BTreeMap<u16, Meaning>,
    /// What the model is told when the backend does not answer as it should.
    pub on_error: Option<String>,
}

/// How often and after what a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many tries there are at most, the first one included.
    pub attempts: u32,
    /// After what.
    pub on: Vec<RetryOn>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 1, on: Vec::new() }
    }
}

/// A failure after which another try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// The backend failed.
    ServerError,
    /// Too many requests.
    TooMany,
}

/// What a status means for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The body is the answer.
    Ok,
    /// The call failed in this way.
    Failed(ToolOutcomeKind),
}

impl Meaning {
    /// What a status means ordinarily.
    pub fn of(status: u16) -> Meaning {
        use ToolOutcomeKind::{Denied, Failed, InvalidArguments, NotFound, Unavailable};
        match status {
            200..=299 => Meaning::Ok,
            401 | 403 | 407 => Meaning::Failed(Denied),
            404 | 410 => Meaning::Failed(NotFound),
            408 | 425 | 429 | 500..=599 => Meaning::Failed(Unavailable),
            400..=499 => Meaning::Failed(InvalidArguments),
            _ => Meaning::Failed(Failed),
        }
    }
}
