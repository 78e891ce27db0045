//! `[plugins.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::WordOr;
use crate::config::problem::Location;
use crate::config::raw;
use crate::tool::breaker;
use crate::tool::plugin;

use super::Checker;

impl Checker<'_> {
    pub(super) fn plugins(&mut self, raw: BTreeMap<String, raw::Plugin>) -> Option<Vec<plugin::Settings>> {
        let place = Place::of(&["plugins"]);
        let checked: Vec<Option<plugin::Settings>> = raw
            .into_iter()
            .map(|(name, plugin)| self.plugin(name.clone(), plugin, &place.key(&name)))
            .collect();
        checked.into_iter().collect()
    }

    /// Where each plugin's file is named, for what is wrong with the file itself.
    pub(super) fn plugin_places(&self, raw: &BTreeMap<String, raw::Plugin>) -> BTreeMap<String, Location> {
        let place = |name: &str| Place::of(&["plugins", name, "path"]);
        raw.keys().map(|name| (name.clone(), self.document.locate(&place(name)))).collect()
    }

    fn plugin(&mut self, name: String, raw: raw::Plugin, place: &Place) -> Option<plugin::Settings> {
        let is_named = self.name(&name, place);
        let path = self.required(raw.path, place, "path", "name the plugin's `.wasm` file");
        let path = path.and_then(|path| self.plugin_file(&path, &place.key("path")));
        let sha256 = match raw.sha256 {
            Some(text) => self.sha256(&text, &place.key("sha256")).map(Some),
            None => Some(None),
        };
        let kv = raw.allow.unwrap_or_default().kv;
        let is_granted = kv.as_ref().is_none_or(|space| self.name(space, &place.key("allow").key("kv")));
        let limits = self.plugin_limits(raw.limits.unwrap_or_default(), &place.key("limits"));
        let breaker = self.breaker(raw.breaker, &place.key("breaker"));
        let config = raw.config.unwrap_or_default();
        (is_named && is_granted).then_some(())?;
        Some(plugin::Settings {
            name,
            path: path?,
            sha256: sha256?,
            config: config.into_iter().map(|(key, value)| (key, config_text(value))).collect(),
            grants: plugin::Grants { kv },
            limits: limits?,
            breaker: breaker?,
        })
    }

    fn plugin_file(&mut self, path: &str, place: &Place) -> Option<std::path::PathBuf> {
        let file = self.path(path);
        if file.is_file() {
            return Some(file);
        }
        self.report(&codes::PLUGIN_FILE, place, format!("`{place}` names a file that does not exist"))
            .help("build the plugin, or correct the path; it is relative to this file's directory");
        None
    }

    fn sha256(&mut self, text: &str, place: &Place) -> Option<[u8; 32]> {
        let hash = parse_sha256(text);
        if hash.is_none() {
            self.report(&codes::HASH, place, format!("`{place}` is not a SHA-256"))
                .help("write 64 hexadecimal digits, as `sha256sum` prints them");
        }
        hash
    }

    /// A circuit breaker, or none where it is switched off.
    pub(super) fn breaker(
        &mut self,
        raw: Option<WordOr<raw::Breaker>>,
        place: &Place,
    ) -> Option<Option<breaker::Settings>> {
        let raw = match raw? {
            WordOr::Word(word) => return self.word(&word, place, &[("off", None)]),
            WordOr::Table(table) => table,
        };
        let failures = self.count(raw.failures, &place.key("failures"), 1..=1_000);
        let open_for = Duration::from_secs(1)..=Duration::from_secs(3_600);
        let open_for = self.span(raw.open_for, &place.key("open_for"), open_for);
        Some(Some(breaker::Settings { failures: failures?, open_for: open_for? }))
    }

    fn plugin_limits(&mut self, raw: raw::PluginLimits, place: &Place) -> Option<plugin::Limits> {
        let memory = self.size(raw.memory, &place.key("memory"), 1 << 20..=1 << 30);
        let time = Duration::from_millis(1)..=Duration::from_secs(60);
        let time = self.span(raw.time, &place.key("time"), time);
        let output = self.size(raw.output, &place.key("output"), 256..=1 << 20);
        let log = self.size(raw.log, &place.key("log"), 0..=1 << 20);
        let concurrency = self.count(raw.concurrency, &place.key("concurrency"), 1..=1_000);
        Some(plugin::Limits {
            memory_bytes: usize::try_from(memory?).ok()?,
            time: time?,
            output_bytes: usize::try_from(output?).ok()?,
            log_bytes: usize::try_from(log?).ok()?,
            concurrency: usize::try_from(concurrency?).ok()?,
        })
    }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(hash)
}

/// A value as a plugin reads it: a text as it is, all else as JSON.
fn config_text(value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        other => json(other).to_string(),
    }
}

/// A value of TOML as JSON; moments become texts.
pub(super) fn json(value: toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(moment) => moment.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(json).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, json(value))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_json() {
        let table: toml::Table = toml::from_str("a = [{ name = \"x\", n = 1 }]\nb = 2026-11-24").unwrap();
        assert_eq!(config_text(table["a"].clone()), r#"[{"n":1,"name":"x"}]"#);
        assert_eq!(config_text(table["b"].clone()), "\"2026-11-24\"");
        assert_eq!(config_text("x".into()), "x");
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_hash() {
        assert_eq!(parse_sha256(&"0a".repeat(32)), Some([10; 32]));
        assert_eq!(parse_sha256(&"0a".repeat(31)), None);
        assert_eq!(parse_sha256(&"+1".repeat(32)), None);
    }
}
