//! A component as a guest of one of the interface's versions.
//!
//! A version is a folder of WIT and a module here that converts its words to those of this room, which are
//! the newest version's.

use std::path::Path;

use wasmtime::Store;
use wasmtime::component::{Component, Linker};

use super::failure::{Failure, LoadError};
use super::needs::Need;
use super::state::State;
use super::{PluginTool, v0_1, v0_2};
use crate::tool::context::CallContext;
use crate::tool::hooks::{CallEvent, Hook, IncomingAnswer};

/// What every plugin exports, in whatever version.
const TOOLS: &str = "switchboard:plugin/tools@";
const HOOKS: &str = "switchboard:plugin/hooks@";
/// Whose imports are ours.
const OURS: &str = "switchboard:plugin/";
/// The versions that are spoken, oldest first.
pub(super) const VERSIONS: [&str; 2] = [v0_1::VERSION, v0_2::VERSION];
/// What of WASI 0.2 is there, with nothing granted.
const WASI: [&str; 6] =
    ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// A component, linked and ready to be instantiated.
pub(super) enum Guest {
    V0_1(v0_1::Guest),
    V0_2(v0_2::Guest),
}

/// What a plugin says of itself.
pub(super) struct Described {
    pub name: String,
    pub version: String,
    pub tools: Vec<PluginTool>,
    pub needs: Vec<Result<Need, BadNeed>>,
}

/// Something that is asked for and cannot be granted.
pub(super) struct BadNeed {
    pub need: String,
    pub problem: String,
}

/// What a component has to do with the world around it.
pub(super) struct Surface {
    /// The version of the interface that it speaks.
    pub version: &'static str,
    /// The names of its imports, in order.
    pub imports: Vec<String>,
    /// It exports the hooks.
    pub has_hooks: bool,
}

impl Surface {
    /// Reads it from the component's type.
    ///
    /// # Errors
    ///
    /// [`LoadError`] for what is no plugin, or one for another gateway.
    pub fn of(component: &Component, path: &Path) -> Result<Surface, LoadError> {
        let component_type = component.component_type();
        let engine = component.engine();
        let exports: Vec<String> = component_type.exports(engine).map(|(name, _)| name.to_owned()).collect();
        let imports: Vec<String> = component_type.imports(engine).map(|(name, _)| name.to_owned()).collect();
        let version = version_of(&exports, path)?;
        if let Some(unknown) = imports.iter().find(|name| !is_known(name, version)) {
            return Err(LoadError::UnknownImport {
                path: path.to_owned(),
                import: unknown.clone(),
                help: help_with(unknown),
            });
        }
        let has_hooks = exports.iter().any(|name| name.strip_prefix(HOOKS) == Some(version));
        Ok(Surface { version, imports, has_hooks })
    }
}

fn version_of(exports: &[String], path: &Path) -> Result<&'static str, LoadError> {
    let found: Vec<&str> = exports.iter().filter_map(|name| name.strip_prefix(TOOLS)).collect();
    let newest_first = VERSIONS.iter().rev();
    match newest_first.copied().find(|version| found.contains(version)) {
        Some(version) => Ok(version),
        None if found.is_empty() => Err(LoadError::NoTools { path: path.to_owned() }),
        None => Err(LoadError::OtherVersion { path: path.to_owned(), found: found.join(" and ") }),
    }
}

fn is_known(import: &str, version: &str) -> bool {
    if let Some(ours) = import.strip_prefix(OURS) {
        return ours.split_once('@').is_some_and(|(_, own)| own == version);
    }
    WASI.iter().any(|known| import.starts_with(known)) && import.contains("@0.2.")
}

fn help_with(import: &str) -> &'static str {
    if import.starts_with("wasi:http/") {
        "requests go through `switchboard:plugin/http`; have the build leave `wasi:http` out"
    } else if import.starts_with("wasi:") {
        "of WASI only 0.2 is here: cli, clocks, filesystem, io, random and sockets, with nothing granted"
    } else if import.starts_with(OURS) {
        "all of its interfaces must be of one version, that of its `switchboard:plugin/tools`: 0.1.0 or 0.2.0"
    } else {
        "a plugin can import only what docs/plugins/reference.md lists, of switchboard:plugin 0.1.0 or 0.2.0"
    }
}

impl Guest {
    /// Links a component to the host's side of its version.
    ///
    /// # Errors
    ///
    /// [`LoadError::OtherInterface`]: the names are right, but not what is behind them.
    pub fn link(component: &Component, surface: &Surface, path: &Path) -> Result<Guest, LoadError> {
        let linked = || -> wasmtime::Result<Guest> {
            let mut linker = Linker::<State>::new(component.engine());
            if surface.imports.iter().any(|name| name.starts_with("wasi:")) {
                wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
            }
            match surface.version {
                v0_1::VERSION => Ok(Guest::V0_1(v0_1::Guest::link(linker, component)?)),
                _ => Ok(Guest::V0_2(v0_2::Guest::link(linker, component, surface.has_hooks)?)),
            }
        };
        linked().map_err(|error| LoadError::OtherInterface {
            path: path.to_owned(),
            version: surface.version,
            problem: format!("{error:#}"),
        })
    }

    /// Asks what it is, and what it needs.
    pub async fn describe(&self, store: &mut Store<State>, surface: &Surface) -> wasmtime::Result<Described> {
        match self {
            Guest::V0_1(guest) => guest.describe(store, surface).await,
            Guest::V0_2(guest) => guest.describe(store).await,
        }
    }

    /// Calls a tool. The outer error is the sandbox's, the inner one the plugin's own.
    pub async fn call(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        tool: &str,
        arguments: &str,
    ) -> wasmtime::Result<Result<String, Failure>> {
        match self {
            Guest::V0_1(guest) => guest.call(store, context, tool, arguments).await,
            Guest::V0_2(guest) => guest.call(store, context, tool, arguments).await,
        }
    }

    /// Asks it about a call that is offered.
    pub async fn incoming(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        headers: &[(String, String)],
    ) -> wasmtime::Result<IncomingAnswer> {
        match self {
            Guest::V0_1(_) => Err(no_hook(Hook::Incoming)),
            Guest::V0_2(guest) => guest.incoming(store, context, headers).await,
        }
    }

    /// Tells it of something that happened in a call.
    pub async fn event(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        event: &CallEvent,
    ) -> wasmtime::Result<()> {
        match self {
            Guest::V0_1(_) => Err(no_hook(Hook::Event)),
            Guest::V0_2(guest) => guest.event(store, context, event).await,
        }
    }

    /// Tells it that a call is over.
    pub async fn ended(
        &self,
        store: &mut Store<State>,
        context: &CallContext,
        record: &str,
    ) -> wasmtime::Result<()> {
        match self {
            Guest::V0_1(_) => Err(no_hook(Hook::Ended)),
            Guest::V0_2(guest) => guest.ended(store, context, record).await,
        }
    }
}

/// A hook is asked only where it was exported, asked for and granted; this is what happens elsewhere.
pub(super) fn no_hook(hook: Hook) -> wasmtime::Error {
    wasmtime::Error::msg(format!("it has no hook `{}`", hook.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(exports: &[&str]) -> Result<&'static str, String> {
        let exports: Vec<String> = exports.iter().map(|name| (*name).to_owned()).collect();
        version_of(&exports, Path::new("x.wasm")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_version_is_read_from_the_exports_and_an_unknown_one_is_named() {
        assert_eq!(version(&["switchboard:plugin/tools@0.1.0"]), Ok("0.1.0"));
        let both = ["switchboard:plugin/tools@0.1.0", "switchboard:plugin/tools@0.2.0"];
        assert_eq!(version(&both), Ok("0.2.0"), "the newest of those it speaks");
        let later = version(&["switchboard:plugin/hooks@0.3.0", "switchboard:plugin/tools@0.3.0"]);
        let words = "x.wasm speaks `switchboard:plugin@0.3.0`; this gateway speaks 0.1.0 and 0.2.0";
        assert_eq!(later, Err(words.to_owned()));
        let none = version(&["wasi:cli/run@0.2.3"]);
        assert!(none.is_err_and(|words| words.contains("no plugin")));
    }

    #[test]
    fn help_names_every_version_that_is_spoken() {
        for import in ["switchboard:plugin/kv@0.9.0", "acme:gadget/spin@1.0.0"] {
            assert!(help_with(import).ends_with(&VERSIONS.join(" or ")), "{import}");
        }
    }

    #[test]
    fn imports_are_known_by_name_and_version() {
        for (import, expected) in [
            ("switchboard:plugin/kv@0.2.0", true),
            ("switchboard:plugin/kv@0.1.0", false),
            ("switchboard:plugin/kv", false),
            ("wasi:cli/environment@0.2.3", true),
            ("wasi:sockets/tcp@0.2.0", true),
            ("wasi:cli/environment@0.3.0", false),
            ("wasi:http/types@0.2.3", false),
            ("wasi:keyvalue/store@0.2.0", false),
            ("env", false),
        ] {
            assert_eq!(is_known(import, "0.2.0"), expected, "{import}");
        }
    }
}
