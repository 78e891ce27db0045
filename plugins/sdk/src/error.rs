//! From what went wrong to what the model may say about it.
//!
//! Words of a [`ToolError`] other than `Internal` are read by the model: say what to do, as in "the number is
//! withheld; ask for it". What only the operator can mend is `Internal`, and the model reads "it failed inside".

use crate::{ToolError, http, kv, log, secrets};

/// What the model reads when something that a tool leans on cannot be reached.
const UNREACHABLE: &str = "what this needs cannot be reached at the moment";

impl ToolError {
    /// The arguments make no sense; say what to ask the caller for.
    pub fn invalid(words: impl Into<String>) -> ToolError {
        ToolError::InvalidArguments(words.into())
    }

    /// What was asked for is not there. Mostly an answer is better, such as `{"found": false}`.
    pub fn not_found(words: impl Into<String>) -> ToolError {
        ToolError::NotFound(words.into())
    }

    /// This may not be done.
    pub fn denied(words: impl Into<String>) -> ToolError {
        ToolError::Denied(words.into())
    }

    /// It cannot be done at the moment.
    pub fn unavailable(words: impl Into<String>) -> ToolError {
        ToolError::Unavailable(words.into())
    }

    /// A bug, or something that only the operator can mend. Keep callers' words and numbers out of it.
    pub fn internal(words: impl Into<String>) -> ToolError {
        ToolError::Internal(words.into())
    }
}

impl From<kv::Error> for ToolError {
    fn from(error: kv::Error) -> ToolError {
        let words = match error {
            kv::Error::Denied => "the key-value store is not granted: `allow = { kv = \"NAMESPACE\" }`",
            kv::Error::TooLarge => "a key or a value is too large for the key-value store",
            kv::Error::Quota => "the namespace of the key-value store is full",
            kv::Error::Conflict => "a value of the key-value store was changed meanwhile",
            kv::Error::Unavailable(reason) => {
                log::warn(format!("the key-value store does not answer: {reason}"));
                return ToolError::unavailable(UNREACHABLE);
            }
        };
        ToolError::internal(words)
    }
}

impl From<http::Error> for ToolError {
    fn from(error: http::Error) -> ToolError {
        match error {
            http::Error::Denied(words) => ToolError::internal(format!("a request is not allowed: {words}")),
            http::Error::InvalidRequest(words) => {
                ToolError::internal(format!("a request is not valid: {words}"))
            }
            http::Error::TooLarge => ToolError::internal("a response is larger than `limits.http_response`"),
            http::Error::Quota => ToolError::internal("more requests than `limits.http_requests`"),
            http::Error::Dns(words) | http::Error::Connect(words) | http::Error::Other(words) => {
                log::warn(format!("a request failed: {words}"));
                ToolError::unavailable(UNREACHABLE)
            }
            http::Error::Timeout => {
                log::warn("a request took too long");
                ToolError::unavailable(UNREACHABLE)
            }
        }
    }
}

impl From<secrets::Error> for ToolError {
    fn from(_: secrets::Error) -> ToolError {
        ToolError::internal("a secret may not be revealed: `allow.reveal` has to name it")
    }
}

impl From<serde_json::Error> for ToolError {
    fn from(error: serde_json::Error) -> ToolError {
        ToolError::internal(format!("JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::{ToolError, http, kv};

    #[test]
    fn only_what_the_caller_can_wait_for_is_unavailable() {
        for error in [
            ToolError::from(kv::Error::Unavailable("disk".to_owned())),
            ToolError::from(http::Error::Timeout),
            ToolError::from(http::Error::Connect("refused by 192.0.2.1".to_owned())),
        ] {
            assert!(
                matches!(&error, ToolError::Unavailable(words) if !words.contains("192.0.2.1")),
                "{error:?}"
            );
        }
        for error in
            [ToolError::from(kv::Error::Denied), ToolError::from(http::Error::Denied("no".to_owned()))]
        {
            assert!(matches!(error, ToolError::Internal(_)), "{error:?}");
        }
    }
}
