//! Plugins for Switchboard: a tool is one typed function.
//!
//! ```
//! use switchboard_plugin::{Context, ToolError, arguments, plugin, tool};
//!
//! #[arguments]
//! struct GreetArguments {
//!     /// The caller's name.
//!     name: String,
//! }
//!
//! /// Greet the caller by name. Call this once, when the caller has told their name.
//! #[tool(repeatable, timeout = "1s")]
//! fn greet(context: &Context, arguments: GreetArguments) -> Result<String, ToolError> {
//!     match context.language.as_deref() {
//!         Some("ja") => Ok(format!("{}様、こんにちは。", arguments.name)),
//!         _ => Ok(format!("Hello, {}.", arguments.name)),
//!     }
//! }
//!
//! plugin! { tools: [greet] }
//! ```
//!
//! What the host offers is a module each: [`config`], [`kv`], [`http`], [`secrets`], [`calls`], [`progress`],
//! [`history`], [`log`], [`clock`] and [`random`]. What needs a grant is asked for in [`plugin!`] under `needs`.
//!
//! A tool call runs in a fresh instance: a `static` starts anew each time, and what has to last goes into [`kv`].
//!
//! # Without a host
//!
//! The crate builds for the machine it is written on too, so that `cargo test` runs a plugin's own tests. There
//! is no host then: [`log`] writes to standard error, [`clock`] and [`random`] are the machine's, [`config`] has
//! no keys, [`progress`] is dropped, and whatever could fail fails with [`NO_HOST`] or the error next to it.
//! Nothing panics. `switchboard plugin test` runs the plugin itself, over mocked host calls.

#[doc(hidden)]
pub mod bindings;
pub mod calls;
pub mod clock;
pub mod config;
mod context;
mod error;
pub mod history;
pub mod hooks;
pub mod http;
pub mod kv;
pub mod log;
mod plugin;
pub mod progress;
pub mod random;
mod schema;
pub mod secrets;
mod tool;

pub use serde_json as json;
pub use switchboard_plugin_macros::{arguments, tool};

pub use crate::bindings::tools::switchboard::plugin::types::{
    CallContext as Context, Direction, Line, Need, Speaker, ToolError,
};
pub use crate::hooks::Hooks;
pub use crate::schema::Schema;
pub use crate::tool::Tool;

/// What a host call fails with where there is no host.
pub const NO_HOST: &str = "there is no host: this runs outside Switchboard";

/// Whether the host's functions are there: on WebAssembly they are.
const HAS_HOST: bool = cfg!(target_family = "wasm");

/// What the macros' expansions lean on; no part of the crate's promise.
#[doc(hidden)]
pub mod __private {
    pub use serde;

    pub use crate::bindings;
    pub use crate::bindings::tools::switchboard::plugin::types::{CallPower, Hook, PluginInfo, Tool};
    pub use crate::plugin::{catch_panics, definition};
    pub use crate::schema::{Property, choice, object};
    pub use crate::tool::{answer, arguments};
}
