//! The configuration as operators are shown it: every value that holds, and where it came from.
//!
//! Nothing secret is in it. A text that refers to a variable or a file is shown as it is written, not as it is filled
//! in, so that whatever is put there stays where it is.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::document::{Document, Place};
use super::interpolate::{has_fallback, has_reference};
use super::problem::{Location, Problem};
use super::read::{is_secret, without_user};
use crate::call::privacy::masked_in;
use crate::http::{ConfigEntry, ConfigOrigin};
use crate::secret::Secret;

/// The longest value that is shown, in bytes: some pages of instructions.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// What stands for a secret.
const HIDDEN: &str = "•••";
/// Parts of keys, in lower case, whose values are taken for secrets wherever an operator may name keys as they like.
const SECRET_WORDS: [&str; 8] =
    ["secret", "token", "password", "passwd", "key", "auth", "credential", "cookie"];

/// The texts that refer to something, by place, as they were written.
pub(super) fn references(document: &mut Document<'_>) -> BTreeMap<String, String> {
    let mut references = BTreeMap::new();
    document.for_each_text(&mut |place, value| {
        if let Some(text) = value.get_ref().as_str().filter(|text| has_reference(text)) {
            references.insert(place.to_string(), text.to_owned());
        }
    });
    references
}

/// Every value that holds, as it is shown and as it is: `whole` is the document with what holds by default below it.
pub(super) fn entries(
    whole: &DeTable<'_>,
    document: &Document<'_>,
    references: &BTreeMap<String, String>,
) -> (Vec<ConfigEntry>, Vec<Secret>) {
    let mut walk = Walk { document, references, entries: Vec::new(), values: Vec::new() };
    walk.table(whole, &Place::default());
    (walk.entries, walk.values)
}

struct Walk<'a> {
    document: &'a Document<'a>,
    references: &'a BTreeMap<String, String>,
    entries: Vec<ConfigEntry>,
    values: Vec<Secret>,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, at: &Place) {
        for (key, value) in table.iter() {
            self.value(value.get_ref(), &at.key(key.get_ref()));
        }
    }

    fn value(&mut self, value: &DeValue<'_>, at: &Place) {
        match value {
            DeValue::Table(table) => self.table(table, at),
            DeValue::Array(list) if list.iter().any(|inner| is_table(inner.get_ref())) => {
                for (index, inner) in list.iter().enumerate() {
                    self.value(inner.get_ref(), &at.index(index));
                }
            }
            value => {
                self.values.push(Secret::new(plain(value)));
                let (key, value) = (at.to_string(), self.shown(value, at));
                self.entries.push(ConfigEntry { key, value, origin: self.origin(at) });
            }
        }
    }

    fn shown(&self, value: &DeValue<'_>, at: &Place) -> String {
        if let Some(reference) = self.references.get(&at.to_string()) {
            // A reference in the middle of a text may stand beside what is secret.
            let is_alone =
                reference.starts_with("${") && reference.ends_with('}') && !has_fallback(reference);
            return if is_alone || !is_hidden(at) { cut(reference) } else { HIDDEN.to_owned() };
        }
        match value {
            _ if is_hidden(at) => HIDDEN.to_owned(),
            DeValue::Array(list) => {
                let inner = list.iter().enumerate();
                let shown = inner.map(|(index, inner)| self.shown(inner.get_ref(), &at.index(index)));
                format!("[{}]", shown.collect::<Vec<_>>().join(", "))
            }
            // What plugins are given may be about people.
            DeValue::String(text) if matches!(at.pattern()[..], ["plugins", _, "config", ..]) => {
                cut(&masked_in(text))
            }
            DeValue::String(text) => cut(&without_user(text.clone().into_owned())),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(is_so) => is_so.to_string(),
            DeValue::Datetime(moment) => moment.to_string(),
            DeValue::Table(_) => String::new(),
        }
    }

    fn origin(&self, at: &Place) -> ConfigOrigin {
        let nowhere = ConfigOrigin { kind: "default", file: None, line: None, variable: None };
        if !self.document.has(at) {
            return nowhere;
        }
        match self.document.locate(at) {
            Location::Variable(name) => ConfigOrigin { kind: "environment", variable: Some(name), ..nowhere },
            location => {
                let problem = Problem::new(&super::codes::FILE, location, "");
                let line = problem.position().map(|(line, _)| line);
                ConfigOrigin { kind: "file", file: Some(problem.file()), line, ..nowhere }
            }
        }
    }
}

/// The value itself, for comparing.
fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(is_so) => is_so.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(list) => list.iter().map(|inner| plain(inner.get_ref()) + "\0").collect(),
        DeValue::Table(_) => String::new(),
    }
}

fn is_table(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Table(_))
}

/// Claims that the value there is not shown: it is a secret, or its key sounds like one where operators name keys.
fn is_hidden(at: &Place) -> bool {
    let pattern = at.pattern();
    let is_free = matches!(
        pattern[..],
        ["plugins", _, "config", ..]
            | ["tools", _, "http", "headers" | "query" | "form", ..]
            | ["tools", _, "http", "json", ..]
            | ["sessions", _, "mcp", _, "headers", ..]
            | ["sessions", _, "vars", ..]
            | ["routes", _, "vars", ..]
    );
    let sounds_secret = |key: &&str| {
        let key = key.to_lowercase();
        SECRET_WORDS.iter().any(|word| key.contains(word))
    };
    let is_header = matches!(
        pattern[..],
        ["tools", _, "http", "headers", _]
            | ["sessions", _, "mcp", _, "headers", _]
            | ["telemetry", "otlp", "headers", _]
    );
    is_secret(at) || is_header || (is_free && pattern.iter().skip(2).any(sounds_secret))
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(VALUE_BYTES_MAX);
    let mark = if end < text.len() { "…" } else { "" };
    format!("{}{mark}", &text[..end])
}
