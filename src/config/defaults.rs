//! What holds where the file says nothing: `default.toml`, compiled in.

use toml::de::{DeTable, DeValue};

use super::raw;
use super::shape::typed;

const TEXT: &str = include_str!("default.toml");

/// Tables of `default.toml` that are not tables of a configuration.
const APART: [&str; 5] = ["session", "server_vad", "semantic_vad", "plugin", "tool"];

/// The defaults, as tables to put under what the file says.
pub(super) struct Defaults {
    /// What goes under the file as it is.
    pub(super) table: DeTable<'static>,
    /// What goes under every session.
    pub(super) session: DeTable<'static>,
    /// What goes under every plugin.
    pub(super) plugin: DeTable<'static>,
    /// What goes under every HTTP tool.
    pub(super) tool: DeTable<'static>,
    /// What a `server_vad` begins with.
    pub(super) server_vad: raw::TurnDetection,
    /// What a `semantic_vad` begins with.
    pub(super) semantic_vad: raw::TurnDetection,
}

impl Defaults {
    /// Reads the compiled-in text.
    pub(super) fn read() -> Defaults {
        let mut table = DeTable::parse(TEXT).expect("default.toml is TOML: a test reads it").into_inner();
        let [session, server_vad, semantic_vad, plugin, tool] = APART.map(|key| match table.remove(key) {
            Some(value) => match value.into_inner() {
                DeValue::Table(inner) => inner,
                _ => DeTable::new(),
            },
            None => DeTable::new(),
        });
        let vad =
            |table: DeTable<'static>| typed(table).expect("default.toml has its shape: a test reads it");
        Defaults {
            table,
            session,
            plugin,
            tool,
            server_vad: vad(server_vad),
            semantic_vad: vad(semantic_vad),
        }
    }
}
