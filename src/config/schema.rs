//! The JSON Schema of `gateway.toml`: what editors complete, explain and underline.
//!
//! It is made from the types in `raw.rs`. It knows keys, kinds of values, words and units; what only `check` can know
//! (does the session exist, is the time zone known) is left to `check`. Every text may be a reference to a variable, so
//! each pattern also takes what has a `$` in it.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::forms::{Count, Flag, Number, OneOrMany, Scalar, WordOr};
use super::raw::Raw;

/// The name under which the schema is kept beside a configuration.
pub const FILE_NAME: &str = "gateway.schema.json";

/// Draft 7, which the language servers for TOML read.
pub fn schema() -> Value {
    let mut schema: Value = SchemaSettings::draft07().into_generator().into_root_schema_for::<Raw>().into();
    schema["title"] = "gateway.toml".into();
    schema
}

/// The form of a text.
pub(super) enum Form {
    /// Any text.
    Text,
    /// `30s`, `1m 30s`.
    Duration,
    /// The same, or `off`.
    DurationOrOff,
    /// `64KiB`.
    Size,
    /// An IP address and a port.
    Address,
    /// `https://…`, or another scheme.
    Url,
    /// Two lower-case letters: a language or a country.
    Code,
    /// `20/10m`.
    Rate,
    /// `25%`, or a word for all or nobody.
    Share,
    /// `09:00-18:00`.
    Span,
    /// One of these.
    Words(&'static [&'static str]),
    /// One of these, most likely.
    Suggested(Vec<&'static str>),
}

/// What stands for a variable or a file somewhere in a text.
const REFERENCE: &str = r"\$";

impl Form {
    pub(super) fn text(&self) -> Value {
        let duration = r"(\d+\s*(ms|s|m|min|h|d)\s*)+";
        let pattern = match self {
            Form::Text => return json!({ "type": "string" }),
            Form::Words(words) => {
                return json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": REFERENCE }] });
            }
            Form::Suggested(words) => return json!({ "anyOf": [{ "enum": words }, { "type": "string" }] }),
            Form::Duration => format!(r"^\s*{duration}$"),
            Form::DurationOrOff => format!(r"^(\s*{duration}|off)$"),
            Form::Size => r"^\s*\d+\s*(B|KiB|MiB|GiB|kB|MB|GB)\s*$".to_owned(),
            Form::Address => r":\d+$".to_owned(),
            Form::Url => "^[a-z]+://".to_owned(),
            Form::Code => "^[a-z]{2}$".to_owned(),
            Form::Rate => format!(r"^\s*\d+\s*/\s*{duration}$"),
            Form::Share => r"^\s*(\d+(\.\d+)?\s*%|true|false|1|0|yes|no|on|off)\s*$".to_owned(),
            Form::Span => r"^\s*\d\d:\d\d\s*-\s*\d\d:\d\d\s*$".to_owned(),
        };
        json!({ "type": "string", "pattern": format!("{pattern}|{REFERENCE}") })
    }
}

/// A type of `raw.rs`, with texts of a form.
pub(super) trait Typed {
    /// Its schema.
    fn schema(form: &Form, generator: &mut SchemaGenerator) -> Value;
}

impl Typed for String {
    fn schema(form: &Form, _: &mut SchemaGenerator) -> Value {
        form.text()
    }
}

impl Typed for OneOrMany<String> {
    fn schema(form: &Form, _: &mut SchemaGenerator) -> Value {
        json!({ "anyOf": [form.text(), { "type": "array", "items": form.text() }] })
    }
}

impl<T: Typed> Typed for WordOr<T> {
    fn schema(form: &Form, generator: &mut SchemaGenerator) -> Value {
        json!({ "anyOf": [form.text(), T::schema(&Form::Text, generator)] })
    }
}

impl<T: Typed> Typed for Vec<T> {
    fn schema(form: &Form, generator: &mut SchemaGenerator) -> Value {
        json!({ "type": "array", "items": T::schema(form, generator) })
    }
}

impl<T: Typed> Typed for BTreeMap<String, T> {
    fn schema(form: &Form, generator: &mut SchemaGenerator) -> Value {
        json!({ "type": "object", "additionalProperties": T::schema(form, generator) })
    }
}

impl<T: Typed> Typed for Box<T> {
    fn schema(form: &Form, generator: &mut SchemaGenerator) -> Value {
        T::schema(form, generator)
    }
}

impl Typed for Scalar {
    fn schema(form: &Form, _: &mut SchemaGenerator) -> Value {
        json!({ "anyOf": [form.text(), { "type": ["boolean", "number"] }] })
    }
}

impl Typed for Count {
    fn schema(_: &Form, _: &mut SchemaGenerator) -> Value {
        let text = format!(r"^\d+$|{REFERENCE}");
        json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": text }] })
    }
}

impl Typed for Number {
    fn schema(_: &Form, _: &mut SchemaGenerator) -> Value {
        let text = format!(r"^-?\d+(\.\d+)?$|{REFERENCE}");
        json!({ "anyOf": [{ "type": "number" }, { "type": "string", "pattern": text }] })
    }
}

impl Typed for Flag {
    fn schema(_: &Form, _: &mut SchemaGenerator) -> Value {
        let text = format!("^(true|false|1|0|yes|no|on|off)$|{REFERENCE}");
        json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": text }, { "enum": [0, 1] }] })
    }
}

impl Typed for toml::Value {
    fn schema(_: &Form, _: &mut SchemaGenerator) -> Value {
        json!({})
    }
}

/// The schema of a table, while its keys are told.
pub(super) struct TableSchema {
    about: String,
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl TableSchema {
    pub fn new(about: &[&str]) -> TableSchema {
        TableSchema { about: words(about), properties: Map::new(), required: Vec::new() }
    }

    /// A key, what its comment says, and what its value is.
    pub fn key(&mut self, name: &str, doc: &[&str], mut value: Value) {
        value["description"] = words(doc).into();
        self.properties.insert(plain(name), value);
    }

    /// Without this key the table means nothing.
    pub fn require(&mut self, name: &str) {
        self.required.push(plain(name));
    }

    pub fn into_schema(self) -> Schema {
        let mut schema = Schema::default();
        schema.insert("type".into(), "object".into());
        schema.insert("description".into(), self.about.into());
        schema.insert("properties".into(), self.properties.into());
        schema.insert("additionalProperties".into(), false.into());
        if !self.required.is_empty() {
            schema.insert("required".into(), self.required.into());
        }
        schema
    }
}

/// A key as it is typed.
fn plain(name: &str) -> String {
    name.trim_start_matches("r#").to_owned()
}

/// The lines of a comment as one text.
fn words(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
