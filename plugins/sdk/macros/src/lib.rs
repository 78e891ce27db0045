//! The attributes of `switchboard_plugin`, which re-exports them.
//!
//! `#[tool]` leaves a function as it is and puts a type of the same name beside it, which says what the model
//! and the host have to know of the tool. `#[arguments]` makes a type one that a tool may take.

mod arguments;
mod constraints;
mod doc;
mod expand;
mod options;

use proc_macro::TokenStream;

/// Makes a function a tool. Its doc comment is what the model reads.
///
/// The function takes the call's context (`&Context`), or its arguments (a type with `#[arguments]`),
/// or both, or neither, and gives `Result<T, E>`, where `T: Serialize` and `E: Into<ToolError>`.
///
/// | option | meaning |
/// | --- | --- |
/// | `name = "…"` | what the model calls it; the function's name where it is left out |
/// | `repeatable` | running it twice does no harm |
/// | `timeout = "1s"` | the longest it should take: `250ms`, `3s` |
/// | `say_first = "…"` | what the caller hears when the answer takes a while |
/// | `not_interruptible` | what the caller says meanwhile waits for the answer |
#[proc_macro_attribute]
pub fn tool(options: TokenStream, item: TokenStream) -> TokenStream {
    expand::tool(options.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct one that a tool takes, or a struct or an enum of plain words a part of one: it derives
/// `Deserialize`, and says its JSON Schema. What the fields' doc comments say, the model reads. `Option` fields
/// and those with `#[serde(default)]` may be left out; a field that is not there is refused.
///
/// Of `serde`, `rename`, `rename_all`, `default`, `alias` and `with` are understood; anything else, where it would
/// show in the schema, is refused. `#[schema(…)]` on a field narrows it: `min_length`, `max_length`, `pattern`,
/// `format`, `minimum`, `maximum`, `min_items`, `max_items`, `example`.
#[proc_macro_attribute]
pub fn arguments(options: TokenStream, item: TokenStream) -> TokenStream {
    arguments::arguments(options.into(), item.into()).unwrap_or_else(|error| error.to_compile_error()).into()
}
