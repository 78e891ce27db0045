//! Answers what it was asked: the least that an Extism plugin can do.

use extism_pdk::{FnResult, plugin_fn};

/// Gives the input back.
#[plugin_fn]
pub fn echo(input: String) -> FnResult<String> {
    Ok(input)
}
