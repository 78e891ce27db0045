//! A tool as the macros describe it, and what happens around its function.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, ToolError};

/// A tool. `#[tool]` implements it; nobody else has to.
pub trait Tool {
    /// What the model calls it.
    const NAME: &'static str;
    /// What the model reads about it.
    const DESCRIPTION: &'static str;
    /// Whether running it twice does no harm.
    const REPEATABLE: bool;
    /// The longest it should take.
    const TIMEOUT_MS: Option<u32>;
    /// What the caller hears when the answer takes a while.
    const SAY_FIRST: Option<&'static str>;
    /// Whether the model listens while it runs.
    const INTERRUPTIBLE: bool;

    /// JSON Schema of the argument object.
    fn parameters() -> String;

    /// One call, from JSON to JSON.
    fn call(context: &Context, arguments: &str) -> Result<String, ToolError>;
}

/// The arguments as the function takes them. The host has checked them against the schema already.
pub fn arguments<T: DeserializeOwned>(arguments: &str) -> Result<T, ToolError> {
    serde_json::from_str(arguments).map_err(|error| ToolError::invalid(error.to_string()))
}

/// What the function gave, as JSON.
pub fn answer<T: Serialize, E: Into<ToolError>>(result: Result<T, E>) -> Result<String, ToolError> {
    let answer = result.map_err(Into::into)?;
    serde_json::to_string(&answer)
        .map_err(|error| ToolError::internal(format!("the answer is no JSON: {error}")))
}
