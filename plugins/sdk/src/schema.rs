//! The JSON Schema of a tool's arguments: self-contained and small, because the model pays for each word.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of an argument type, as text.
pub fn parameters<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.inline_subschemas = true;
        settings.transforms.clear();
    });
    let mut schema: Value = settings.into_generator().into_root_schema_for::<T>().into();
    if let Some(object) = schema.as_object_mut() {
        // What the tool does stands in its own description.
        object.remove("description");
    }
    tidy(&mut schema);
    schema.to_string()
}

/// The schema of a tool without arguments.
pub fn no_parameters() -> String {
    r#"{"type":"object","properties":{},"additionalProperties":false}"#.to_owned()
}

/// Drops what tells the model nothing: names of Rust types, and the widths of numbers.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|key, value| match key.as_str() {
                "title" => !value.is_string(),
                "format" => !value.as_str().is_some_and(is_width),
                "default" => !value.is_null(),
                _ => true,
            });
            for (key, value) in object.iter_mut() {
                match (key.as_str(), value) {
                    // Here the keys are the author's names.
                    ("properties" | "$defs", Value::Object(named)) => named.values_mut().for_each(tidy),
                    ("default" | "const" | "enum" | "examples" | "required", _) => {}
                    (_, value) => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn is_width(format: &str) -> bool {
    format.starts_with("int") || format.starts_with("uint") || matches!(format, "float" | "double")
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::{no_parameters, parameters};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Wanted {
        /// A day.
        #[schemars(length(max = 10))]
        date: String,
        people: Option<u8>,
        #[serde(default)]
        title: Kind,
        others: Vec<Guest>,
    }

    #[derive(Default, Deserialize, JsonSchema, serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        #[default]
        Lunch,
        LateDinner,
    }

    #[derive(Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Guest {
        name: String,
        age: Option<f64>,
    }

    fn schema(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn a_schema_is_whole_and_has_nothing_but_what_the_model_needs() {
        let guest = json!({
            "type": "object",
            "properties": { "name": { "type": "string" }, "age": { "type": ["number", "null"] } },
            "required": ["name"]
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "date": { "type": "string", "description": "A day.", "maxLength": 10 },
                "people": { "type": ["integer", "null"], "minimum": 0, "maximum": 255 },
                "title": { "type": "string", "enum": ["lunch", "late_dinner"], "default": "lunch" },
                "others": { "type": "array", "items": guest }
            },
            "required": ["date", "others"],
            "additionalProperties": false
        });
        assert_eq!(schema(&parameters::<Wanted>()), expected);
    }

    #[test]
    fn no_arguments_are_an_empty_object() {
        assert_eq!(schema(&no_parameters())["additionalProperties"], json!(false));
    }
}
