//! The JSON Schema of a tool's arguments: self-contained and small, because the model pays for each word, and
//! put together without a library, because each call's instance carries what is linked.

use std::collections::BTreeMap;

/// A type that says its own JSON Schema. `#[arguments]` implements it for structs and enums; by hand, a schema of
/// any form can be given.
pub trait Schema {
    /// Whether a field of this type may be left out.
    const IS_OPTIONAL: bool = false;

    /// The schema, as a JSON object.
    fn schema() -> String;
}

/// A field of an argument object.
pub struct Property {
    /// What the model calls it.
    pub name: &'static str,
    /// What the model reads of it; may be empty.
    pub description: &'static str,
    /// Keys and JSON values to be put into the schema.
    pub constraints: &'static [(&'static str, &'static str)],
    /// The schema of its type.
    pub schema: String,
    /// Whether it has to be there.
    pub is_required: bool,
}

/// An object of these fields, and no others.
pub fn object(properties: &[Property]) -> String {
    let mut json = String::from(r#"{"type":"object","properties":{"#);
    for (index, property) in properties.iter().enumerate() {
        separate(&mut json, index);
        text(&mut json, property.name);
        json.push(':');
        json.push_str(property.schema.strip_suffix('}').unwrap_or("{"));
        let mut is_empty = json.ends_with('{');
        let mut key = |json: &mut String, name: &str| {
            separate(json, usize::from(!is_empty));
            text(json, name);
            json.push(':');
            is_empty = false;
        };
        for (name, value) in property.constraints {
            key(&mut json, name);
            json.push_str(value);
        }
        if !property.description.is_empty() {
            key(&mut json, "description");
            text(&mut json, property.description);
        }
        json.push('}');
    }
    json.push('}');
    let required = properties.iter().filter(|property| property.is_required);
    for (index, property) in required.enumerate() {
        json.push_str(if index == 0 { r#","required":["# } else { "," });
        text(&mut json, property.name);
    }
    if properties.iter().any(|property| property.is_required) {
        json.push(']');
    }
    json.push_str(r#","additionalProperties":false}"#);
    json
}

/// A choice of words.
pub fn choice(words: &[&str]) -> String {
    let mut json = String::from(r#"{"type":"string","enum":["#);
    for (index, word) in words.iter().enumerate() {
        separate(&mut json, index);
        text(&mut json, word);
    }
    json.push_str("]}");
    json
}

fn separate(json: &mut String, index: usize) {
    if index > 0 {
        json.push(',');
    }
}

/// Appends a text as JSON.
fn text(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
}

/// Types whose schema is always the same.
macro_rules! plain {
    ($($schema:literal: $($ty:ty),+;)+) => {
        $($(impl Schema for $ty {
            fn schema() -> String {
                $schema.to_owned()
            }
        })+)+
    };
}

plain! {
    r#"{"type":"string"}"#: String;
    r#"{"type":"boolean"}"#: bool;
    r#"{"type":"number"}"#: f32, f64;
    r#"{"type":"integer"}"#: i8, i16, i32, i64;
    r#"{"type":"integer","minimum":0}"#: u16, u32, u64, usize;
    r#"{"type":"integer","minimum":0,"maximum":255}"#: u8;
    "{}": serde_json::Value;
}

impl<T: Schema> Schema for Option<T> {
    const IS_OPTIONAL: bool = true;

    /// It may be left out; `null` is not asked for.
    fn schema() -> String {
        T::schema()
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn schema() -> String {
        [r#"{"type":"array","items":"#, &T::schema(), "}"].concat()
    }
}

impl<T: Schema> Schema for BTreeMap<String, T> {
    fn schema() -> String {
        [r#"{"type":"object","additionalProperties":"#, &T::schema(), "}"].concat()
    }
}
