//! The plugin's own `[plugins.NAME.config]`.

use serde::de::DeserializeOwned;

use crate::bindings::tools::switchboard::plugin::config as host;
use crate::{HAS_HOST, ToolError};

/// The value of a key: a text as it is, all else as JSON.
pub fn get(key: &str) -> Option<String> {
    if HAS_HOST { host::get(key) } else { None }
}

/// The value of a key that holds a table, an array, a number or a truth value.
///
/// # Errors
/// `Internal`, when the operator wrote something else.
pub fn json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, ToolError> {
    let Some(text) = get(key) else { return Ok(None) };
    let wrong = |error| ToolError::internal(format!("config `{key}`: {error}"));
    serde_json::from_str(&text).map(Some).map_err(wrong)
}

/// The text of a key that has to be there.
///
/// # Errors
/// `Internal`, when it is not.
pub fn required(key: &str) -> Result<String, ToolError> {
    get(key).ok_or_else(|| ToolError::internal(format!("config `{key}` is missing")))
}
