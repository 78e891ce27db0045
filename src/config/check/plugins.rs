//! `[plugins.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::breaker;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::WordOr;
use crate::config::problem::Location;
use crate::config::raw;
use crate::secret::Secret;
use crate::tool::hooks::Hook;
use crate::tool::outbound::{Pattern, normal_host};
use crate::tool::plugin;

use super::Checker;

/// What the pool of instances has room for; see `tool/plugin/engine.rs`.
const TABLE_ELEMENTS_MAX: u32 = 200_000;
const INSTANCES_MAX: u32 = 64;
/// The pool reserves some gigabytes of addresses for each, of the 128 TiB that a process has.
const SANDBOX_INSTANCES_MAX: u32 = 2_000;

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
        let path = path.map(|path| self.plugin_file(&path, &place.key("path")));
        let sha256 = match raw.sha256 {
            Some(text) => self.sha256(&text, &place.key("sha256")).map(Some),
            None => Some(None),
        };
        let grants = self.plugin_grants(raw.allow.unwrap_or_default(), &place.key("allow"));
        let limits = self.plugin_limits(raw.limits.unwrap_or_default(), &place.key("limits"));
        let breaker = self.breaker(raw.breaker, &place.key("breaker"));
        let config = raw.config.unwrap_or_default();
        is_named.then_some(())?;
        Some(plugin::Settings {
            name,
            path: path?,
            sha256: sha256?,
            config: config.into_iter().map(|(key, value)| (key, config_text(value))).collect(),
            grants: grants?,
            limits: limits?,
            breaker: breaker?,
        })
    }

    fn plugin_grants(&mut self, raw: raw::Allow, place: &Place) -> Option<plugin::Grants> {
        let mut is_good = raw.kv.as_ref().is_none_or(|space| self.name(space, &place.key("kv")));
        let mut http = Vec::new();
        for (text, place) in listed(raw.http, &place.key("http")) {
            match Pattern::parse(&text) {
                Ok(pattern) => http.push(pattern),
                Err(error) => {
                    is_good = false;
                    self.report(&codes::PATTERN, &place, format!("`{place}` is not a pattern of addresses"))
                        .label(error.to_string())
                        .help("write it like `https://api.example.com/v2/*` or `GET,HEAD https://*.example.com/*`");
                }
            }
        }
        let mut private_hosts = Vec::new();
        for (host, place) in listed(raw.private_hosts, &place.key("private_hosts")) {
            is_good &= self.host(&host, &place);
            private_hosts.push(host);
        }
        let secrets = self.granted_secrets(raw.secrets.unwrap_or_default(), &place.key("secrets"));
        let reveal = raw.reveal.unwrap_or_default();
        for (name, place) in listed(Some(reveal.clone()), &place.key("reveal")) {
            let names = || secrets.iter().flat_map(BTreeMap::keys).map(String::as_str);
            if secrets.is_some() && !names().any(|known| known == name) {
                is_good = false;
                let message = format!("`{place}` names a secret that `secrets` does not grant");
                self.report(&codes::REVEAL, &place, message)
                    .help(format!("grant it: `secrets = {{ {name} = \"${{{name}}}\" }}`"));
            }
        }
        let powers = plugin::Power::ALL.map(|power| (power.as_str(), power));
        let calls = self.words(raw.calls, &place.key("calls"), &powers);
        let hooks = [Hook::Incoming, Hook::Event, Hook::Ended].map(|hook| (hook.as_str(), hook));
        let hooks = self.words(raw.hooks, &place.key("hooks"), &hooks);
        is_good.then_some(())?;
        Some(plugin::Grants {
            kv: raw.kv,
            http,
            private_hosts,
            secrets: secrets?,
            reveal,
            history: raw.history.is_some_and(|flag| flag.0),
            calls: calls?,
            hooks: hooks?,
        })
    }

    /// Secrets by the names under which plugins ask for them; an empty one is none.
    fn granted_secrets(
        &mut self,
        raw: BTreeMap<String, String>,
        place: &Place,
    ) -> Option<BTreeMap<String, Secret>> {
        let mut secrets = BTreeMap::new();
        let mut is_good = true;
        for (name, text) in raw {
            let place = place.key(&name);
            is_good &= self.name(&name, &place);
            let secret = Secret::new(text);
            if secret.is_empty() {
                is_good = false;
                self.report(&codes::NO_SECRET, &place, format!("`{place}` is empty"))
                    .help(format!("set the environment variable that it refers to, or leave `{name}` out"));
            }
            secrets.insert(name, secret);
        }
        is_good.then_some(secrets)
    }

    /// A host as a URL names it, without scheme, port or path.
    fn host(&mut self, host: &str, place: &Place) -> bool {
        let is_host = normal_host(host).is_some();
        if !is_host {
            self.report(&codes::HOST, place, format!("`{place}` is not a host"))
                .help("write a name or an address and nothing else: `crm.internal`, `10.0.0.5`, `[fd00::1]`");
        }
        is_host
    }

    /// Words of a list; none when one of them cannot be.
    fn words<T: Copy>(
        &mut self,
        list: Option<Vec<String>>,
        place: &Place,
        words: &[(&str, T)],
    ) -> Option<Vec<T>> {
        let read: Vec<Option<T>> =
            listed(list, place).map(|(word, place)| self.word(&word, &place, words)).collect();
        read.into_iter().collect()
    }

    /// Where each grant of a plugin stands, by its place in `allow`.
    pub(super) fn grant_places(
        &self,
        raw: &BTreeMap<String, raw::Plugin>,
    ) -> BTreeMap<(String, String), Location> {
        let mut places = BTreeMap::new();
        for (name, plugin) in raw {
            let Some(allow) = &plugin.allow else { continue };
            let root = Place::of(&["plugins", name, "allow"]);
            let mut keep = |inside: String, place: Place| {
                places.insert((name.clone(), inside), self.document.locate(&place));
            };
            for key in ["kv", "history"] {
                keep(key.to_owned(), root.key(key));
            }
            for (key, list) in [
                ("http", &allow.http),
                ("private_hosts", &allow.private_hosts),
                ("reveal", &allow.reveal),
                ("calls", &allow.calls),
                ("hooks", &allow.hooks),
            ] {
                for at in 0..list.as_ref().map_or(0, Vec::len) {
                    keep(format!("{key}[{at}]"), root.key(key).index(at));
                }
            }
            for secret in allow.secrets.iter().flat_map(BTreeMap::keys) {
                keep(format!("secrets.{secret}"), root.key("secrets").key(secret));
            }
        }
        places
    }

    fn plugin_file(&mut self, path: &str, place: &Place) -> std::path::PathBuf {
        let file = self.path(path);
        if file.is_file() {
            return file;
        }
        self.report(&codes::PLUGIN_FILE, place, format!("`{place}` names a file that does not exist"))
            .help("build the plugin, or correct the path; it is relative to this file's directory");
        file
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
        Some(Some(breaker::Settings { failures: failures?, window: None, open_for: open_for? }))
    }

    /// `[sandbox]`.
    pub(super) fn sandbox(&mut self, raw: raw::Sandbox) -> Option<plugin::HostSettings> {
        let place = Place::of(&["sandbox"]);
        let instances = self.count(raw.instances, &place.key("instances"), 1..=SANDBOX_INSTANCES_MAX);
        let stack = self.size(raw.stack, &place.key("stack"), 64 << 10..=8 << 20);
        Some(plugin::HostSettings { instances_max: instances?, stack_bytes: usize::try_from(stack?).ok()? })
    }

    fn plugin_limits(&mut self, raw: raw::PluginLimits, place: &Place) -> Option<plugin::Limits> {
        let memory = self.size(raw.memory, &place.key("memory"), 1 << 20..=1 << 30);
        let time = Duration::from_millis(1)..=Duration::from_secs(60);
        let time = self.span(raw.time, &place.key("time"), time);
        let wait = self.span(raw.wait, &place.key("wait"), Duration::ZERO..=Duration::from_secs(60));
        let tables = self.count(raw.table_elements, &place.key("table_elements"), 1_000..=TABLE_ELEMENTS_MAX);
        let instances = self.count(raw.instances, &place.key("instances"), 1..=INSTANCES_MAX);
        let requests = self.count(raw.http_requests, &place.key("http_requests"), 0..=1_000);
        let response = self.size(raw.http_response, &place.key("http_response"), 1 << 10..=16 << 20);
        let http = self.size(raw.http_bytes, &place.key("http_bytes"), 1 << 10..=64 << 20);
        let kv_keys = self.count(raw.kv_keys, &place.key("kv_keys"), 1..=1_000_000);
        let kv_bytes = self.size(raw.kv_bytes, &place.key("kv_bytes"), 1 << 10..=1 << 30);
        let output = self.size(raw.output, &place.key("output"), 256..=1 << 20);
        let log = self.size(raw.log, &place.key("log"), 0..=1 << 20);
        let concurrency = self.count(raw.concurrency, &place.key("concurrency"), 1..=1_000);
        Some(plugin::Limits {
            memory_bytes: usize::try_from(memory?).ok()?,
            table_elements: usize::try_from(tables?).ok()?,
            instances: usize::try_from(instances?).ok()?,
            time: time?,
            wait: wait?,
            http_requests: requests?,
            http_response_bytes: usize::try_from(response?).ok()?,
            http_bytes: usize::try_from(http?).ok()?,
            kv_keys: u64::from(kv_keys?),
            kv_bytes: kv_bytes?,
            output_bytes: usize::try_from(output?).ok()?,
            log_bytes: usize::try_from(log?).ok()?,
            concurrency: usize::try_from(concurrency?).ok()?,
        })
    }
}

/// The elements of a list, each with its place.
fn listed(list: Option<Vec<String>>, place: &Place) -> impl Iterator<Item = (String, Place)> + use<> {
    let place = place.clone();
    list.unwrap_or_default().into_iter().enumerate().map(move |(at, text)| (text, place.index(at)))
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
