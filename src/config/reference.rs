//! Every key of `gateway.toml` on one page, made of the types that read it and of the defaults that are compiled in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use toml::Table;

use super::schema::{Form, schema};

const DEFAULTS: &str = include_str!("default.toml");
/// What every table of names begins with, where `default.toml` says it: the path here, and the name there.
const BEGINNINGS: [(&str, &str); 3] =
    [("sessions.NAME", "session"), ("plugins.NAME", "plugin"), ("tools.NAME", "tool")];
const HEAD: &str = "# Every key\n\n\
    What `gateway.toml` may say, table by table; [config.md](config.md) explains it with examples. Any text may hold `${NAME}`, which stands \
    for a variable, or `${file:PATH}`; numbers, `true` and `false` may be written as texts, so that they can too. This page is made of the types that read \
    the file and of the defaults that are compiled in, as is the schema for editors (`switchboard config schema`).\n";

/// The page, in Markdown.
pub fn page() -> String {
    let schema = schema();
    let defaults: Table = DEFAULTS.parse().expect("default.toml is TOML: a test reads it");
    let definitions = schema["definitions"].as_object().cloned().unwrap_or_default();
    let mut book = Book { definitions, told: BTreeMap::new(), page: HEAD.to_owned() };
    for (key, value) in schema["properties"].as_object().into_iter().flatten() {
        book.below(key, value, defaults.get(key).and_then(toml::Value::as_table), &defaults);
    }
    book.page
}

struct Book {
    definitions: Map<String, Value>,
    /// Where the keys of a table stand that may be in several places.
    told: BTreeMap<String, String>,
    page: String,
}

/// A table in a value, and how its head is written.
struct Inner {
    definition: String,
    path: String,
    is_list: bool,
}

impl Book {
    /// The tables that a value may be, each with its keys.
    fn below(&mut self, path: &str, value: &Value, own: Option<&Table>, all: &Table) {
        for inner in self.tables(path, value) {
            if self.told.contains_key(&inner.definition) {
                continue;
            }
            let head =
                if inner.is_list { format!("[[{}]]", inner.path) } else { format!("[{}]", inner.path) };
            self.told.insert(inner.definition.clone(), head.clone());
            let begins = BEGINNINGS.iter().find(|(at, _)| *at == inner.path).map(|(_, name)| *name);
            let own = begins.and_then(|name| all.get(name)?.as_table()).or(own);
            self.table(&inner, &head, own, all);
        }
    }

    fn table(&mut self, inner: &Inner, head: &str, own: Option<&Table>, all: &Table) {
        let Some(definition) = self.definitions.get(&inner.definition).cloned() else { return };
        let about = definition["description"].as_str().unwrap_or_default();
        let _ = write!(
            self.page,
            "\n## `{head}`\n\n{about}\n\n| key | value | default | |\n| --- | --- | --- | --- |\n"
        );
        let keys = definition["properties"].as_object().cloned().unwrap_or_default();
        for (key, value) in &keys {
            let takes = self.takes(&format!("{}.{key}", inner.path), value);
            let default = own.and_then(|own| own.get(key)).filter(|value| !value.is_table());
            let default = default.map(|value| format!("`{value}`")).unwrap_or_default();
            let about = value["description"].as_str().unwrap_or_default();
            let _ =
                writeln!(self.page, "| `{key}` | {} | {} | {} |", cell(&takes), cell(&default), cell(about));
        }
        for (key, value) in &keys {
            let own = own.and_then(|own| own.get(key)).and_then(toml::Value::as_table);
            self.below(&format!("{}.{key}", inner.path), value, own, all);
        }
    }

    /// The tables that a value may be.
    fn tables(&self, path: &str, value: &Value) -> Vec<Inner> {
        let inner = |definition: &str, path: String, is_list| Inner {
            definition: definition.to_owned(),
            path,
            is_list,
        };
        if let Some(name) = reference(value) {
            return vec![inner(name, path.to_owned(), false)];
        }
        let parts = ["allOf", "anyOf"].into_iter().filter_map(|kind| value[kind].as_array()).flatten();
        let mut found: Vec<Inner> = parts.flat_map(|part| self.tables(path, part)).collect();
        if let Some(name) = reference(&value["items"]) {
            found.push(inner(name, path.to_owned(), true));
        }
        if value["additionalProperties"].is_object() {
            found.extend(self.tables(&format!("{path}.NAME"), &value["additionalProperties"]));
        }
        found
    }

    /// What may be written, in few words.
    fn takes(&self, path: &str, value: &Value) -> String {
        if let Some(name) = reference(value) {
            let place = self.told.get(name).cloned().unwrap_or_else(|| format!("[{path}]"));
            return format!("a table, see `{place}`");
        }
        if let Some(only) = value["allOf"].as_array().and_then(|list| list.first()) {
            return self.takes(path, only);
        }
        if let Some(list) = value["anyOf"].as_array() {
            // What is a number or a flag may also be written as a text.
            let is_plain =
                |part: &&Value| matches!(part["type"].as_str(), Some("integer" | "number" | "boolean"));
            if let Some(plain) = list.first().filter(is_plain) {
                return self.takes(path, plain);
            }
            let mut words: Vec<String> = Vec::new();
            for part in list.iter().filter(|part| part["pattern"] != r"\$") {
                let word = self.takes(path, part);
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            return words.join(", or ");
        }
        if let Some(words) = value["enum"].as_array() {
            let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            return quoted.join(", ");
        }
        match value["type"].as_str() {
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => "a whole number".to_owned(),
            Some("number") => "a number".to_owned(),
            Some("array") => format!("a list, each {}", self.takes(path, &value["items"])),
            Some("object") => {
                format!(
                    "a table by name, each {}",
                    self.takes(&format!("{path}.NAME"), &value["additionalProperties"])
                )
            }
            Some("string") => of_form(value),
            _ => "anything".to_owned(),
        }
    }
}

/// The name of the table that stands for this value.
fn reference(value: &Value) -> Option<&str> {
    value["$ref"].as_str()?.strip_prefix("#/definitions/")
}

/// A text of a form, by its pattern.
fn of_form(value: &Value) -> String {
    let known = [
        (Form::Duration, "a time, such as `\"30s\"`"),
        (Form::DurationOrOff, "a time, such as `\"30d\"`, or `\"off\"`"),
        (Form::Size, "a size, such as `\"64MiB\"`"),
        (Form::Address, "an address, such as `\"127.0.0.1:8080\"`"),
        (Form::Url, "a URL"),
        (Form::Code, "two letters, such as `\"ja\"`"),
        (Form::Rate, "a rate, such as `\"20/10m\"`"),
        (Form::Share, "`true`, `false`, or a share, such as `\"25%\"`"),
        (Form::Span, "a span of the day, such as `\"09:00-18:00\"`"),
    ];
    let found = known.iter().find(|(form, _)| form.text()["pattern"] == value["pattern"]);
    found.map_or("a text", |(_, words)| words).to_owned()
}

/// As it stands in a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
