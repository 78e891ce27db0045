//! `[tools.NAME.params]`: typed parameters, and the JSON Schema that they become.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::config::document::Place;
use crate::config::forms::{Count, Number, WordOr};
use crate::config::raw;
use crate::config::{codes, files};
use crate::tool::schema::Schema;

use super::Checker;
use super::plugins::json as to_json;

/// How deep lists of lists may go.
const DEPTH_MAX: usize = 4;
/// The longest schema, in bytes: the model reads it on every turn.
const SCHEMA_BYTES_MAX: usize = 32 << 10;
/// The longest `parameters` file.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What an operator says about a tool's arguments, checked.
pub(super) struct Parameters {
    /// The schema.
    pub schema: Value,
    /// What is put in where an argument is absent.
    pub defaults: BTreeMap<String, Value>,
    /// Arguments that the model may leave out and that have no default.
    pub optional: Vec<String>,
}

impl Parameters {
    /// Arguments to try templates with: everything that is always there.
    pub fn sample(&self) -> Value {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        let always = |name: &String| !self.optional.contains(name);
        let sampled =
            properties.into_iter().flatten().filter(|(name, _)| always(name)).map(|(name, rules)| {
                let value = self.defaults.get(name).cloned().unwrap_or_else(|| sample(rules));
                (name.clone(), value)
            });
        Value::Object(sampled.collect())
    }
}

fn sample(rules: &Value) -> Value {
    if let Some(first) = rules.get("enum").and_then(|values| values.get(0)) {
        return first.clone();
    }
    match rules.get("type").and_then(Value::as_str) {
        Some("integer") => rules.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("sample"),
    }
}

impl Checker<'_> {
    pub(super) fn parameters(
        &mut self,
        params: Option<BTreeMap<String, raw::Param>>,
        parameters: Option<WordOr<BTreeMap<String, toml::Value>>>,
        place: &Place,
    ) -> Option<Parameters> {
        let own = place.key("parameters");
        let checked = match (params, parameters) {
            (Some(_), Some(_)) => {
                self.report(&codes::TOOL_SCHEMA, &own, "the tool has `params` and `parameters`")
                    .help("keep one of them: `params` for typed parameters, `parameters` for a JSON Schema");
                return None;
            }
            (params, None) => return self.typed(params.unwrap_or_default(), &place.key("params")),
            (None, Some(WordOr::Word(path))) => self.schema_file(&path, &own)?,
            (None, Some(WordOr::Table(table))) => to_json(toml::Value::Table(table.into_iter().collect())),
        };
        if let Err(error) = Schema::compile(&checked) {
            self.report(&codes::TOOL_SCHEMA, &own, format!("`{own}` is no JSON Schema of an object"))
                .label(error.to_string());
            return None;
        }
        let required: Vec<&str> = checked
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let properties = checked.get("properties").and_then(Value::as_object);
        let names = properties.into_iter().flat_map(Map::keys);
        let optional = names.filter(|name| !required.contains(&name.as_str())).cloned().collect();
        self.bounded(Parameters { optional, defaults: BTreeMap::new(), schema: checked.clone() }, &own)
    }

    fn schema_file(&mut self, path: &str, place: &Place) -> Option<Value> {
        let read = files::read_text(&self.path(path), FILE_BYTES_MAX);
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                self.report(
                    &codes::INCLUDED_FILE,
                    place,
                    format!("`{place}` names a file that cannot be read"),
                )
                .label(why)
                .help("the path is relative to this file's directory");
                return None;
            }
        };
        match serde_json::from_str(&text) {
            Ok(schema) => Some(schema),
            Err(error) => {
                self.report(&codes::TOOL_SCHEMA, place, format!("`{place}` names a file that is not JSON"))
                    .label(error.to_string());
                None
            }
        }
    }

    fn typed(&mut self, params: BTreeMap<String, raw::Param>, place: &Place) -> Option<Parameters> {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        let (mut defaults, mut optional) = (BTreeMap::new(), Vec::new());
        let mut is_good = true;
        for (name, param) in params {
            let here = place.key(&name);
            is_good &= self.name(&name, &here);
            let default = param.default.clone().map(to_json);
            let may_be_absent = param.optional.is_some_and(|flag| flag.0);
            let Some(rules) = self.param(param, &here, 0) else {
                is_good = false;
                continue;
            };
            match default {
                Some(value) => {
                    is_good &= self.keeps(&value, &rules, &here.key("default")) && {
                        defaults.insert(name.clone(), value);
                        true
                    }
                }
                None if may_be_absent => optional.push(name.clone()),
                None => required.push(name.clone()),
            }
            properties.insert(name, rules);
        }
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if !is_good {
            return None;
        }
        self.bounded(Parameters { schema, defaults, optional }, place)
    }

    fn bounded(&mut self, parameters: Parameters, place: &Place) -> Option<Parameters> {
        if parameters.schema.to_string().len() <= SCHEMA_BYTES_MAX {
            return Some(parameters);
        }
        self.report(&codes::TOOL_SCHEMA, place, "the schema has more than 32 KiB")
            .help("the model reads it on every turn: leave out what it does not need");
        None
    }

    /// The rules of one parameter as a JSON Schema.
    fn param(&mut self, raw: raw::Param, place: &Place, depth: usize) -> Option<Value> {
        let kind = self.required(raw.r#type, place, "type", "say what it is: `type = \"string\"`")?;
        let kinds = ["string", "integer", "number", "boolean", "array", "object"].map(|kind| (kind, kind));
        let kind = self.word(&kind, &place.key("type"), &kinds)?;
        let mut is_good = true;
        let mut rules = json!({ "type": kind });
        let number = |number: Option<Number>| number.map(|number| whole(number.0));
        let count = |count: Option<Count>| count.map(|count| json!(count.0));
        for (key, word, value, of) in [
            ("description", "description", raw.description.map(Value::from), &[] as &[&str]),
            ("format", "format", raw.format.map(Value::from), &["string"]),
            ("pattern", "pattern", raw.pattern.map(Value::from), &["string"]),
            ("min_length", "minLength", count(raw.min_length), &["string"]),
            ("max_length", "maxLength", count(raw.max_length), &["string"]),
            ("minimum", "minimum", number(raw.minimum), &["integer", "number"]),
            ("maximum", "maximum", number(raw.maximum), &["integer", "number"]),
            ("min_items", "minItems", count(raw.min_items), &["array"]),
            ("max_items", "maxItems", count(raw.max_items), &["array"]),
        ] {
            let Some(value) = value else { continue };
            if !of.is_empty() && !of.contains(&kind) {
                let message = format!("`{key}` does not go with `type = \"{kind}\"`");
                self.report(&codes::TOOL_PARAM, &place.key(key), message);
                is_good = false;
            }
            rules[word] = value;
        }
        match (raw.items, kind) {
            (Some(items), "array") if depth < DEPTH_MAX => {
                match self.param(*items, &place.key("items"), depth + 1) {
                    Some(inner) => rules["items"] = inner,
                    None => is_good = false,
                }
            }
            (Some(_), _) => {
                let message = "`items` goes with `type = \"array\"`, at most four deep";
                self.report(&codes::TOOL_PARAM, &place.key("items"), message);
                is_good = false;
            }
            (None, _) => {}
        }
        if !is_good || !self.is_schema(&rules, place) {
            return None;
        }
        if let Some(values) = raw.r#enum {
            let values: Vec<Value> = values.into_iter().map(to_json).collect();
            let own = place.key("enum");
            if values.is_empty() {
                self.report(&codes::TOOL_PARAM, &own, "`enum` is empty: no argument could be right");
                return None;
            }
            // All of them are looked at, so that all that is wrong is told.
            let breaks = |(at, value): &(usize, &Value)| !self.keeps(value, &rules, &own.index(*at));
            if values.iter().enumerate().filter(breaks).count() > 0 {
                return None;
            }
            rules["enum"] = values.into();
        }
        Some(rules)
    }

    /// Claims that a value keeps the rules of its parameter.
    fn keeps(&mut self, value: &Value, rules: &Value, place: &Place) -> bool {
        let whole = json!({ "type": "object", "properties": { "it": rules } });
        let complaint = match Schema::compile(&whole) {
            Ok(schema) => schema.check(&json!({ "it": value })).err(),
            Err(error) => Some(error.to_string()),
        };
        if let Some(complaint) = complaint {
            let label = complaint.strip_prefix("/it: ").unwrap_or(&complaint).to_owned();
            self.report(&codes::TOOL_PARAM, place, format!("`{place}` breaks the parameter's own rules"))
                .label(label);
            return false;
        }
        true
    }

    fn is_schema(&mut self, rules: &Value, place: &Place) -> bool {
        let whole = json!({ "type": "object", "properties": { "it": rules } });
        if let Err(error) = Schema::compile(&whole) {
            self.report(&codes::TOOL_PARAM, place, format!("`{place}` makes no JSON Schema"))
                .label(error.to_string());
            return false;
        }
        true
    }
}

/// A number without a needless fraction: `12`, not `12.0`.
fn whole(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}
