//! JSON Schemas of tool arguments: compiled once, checked on every call.
//!
//! A schema never reaches out: references to other documents are refused when it is compiled.

use serde_json::Value;

/// How many complaints the model is told at once.
const COMPLAINTS_MAX: usize = 3;
/// How much of a complaint it is told.
const COMPLAINT_CHARS_MAX: usize = 200;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema(jsonschema::Validator);

/// Why a schema is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Arguments are always an object.
    #[error("it must describe an object: `\"type\": \"object\"`")]
    NotAnObject,
    /// It breaks the rules of JSON Schema.
    #[error("{0}")]
    Invalid(String),
}

impl Schema {
    /// Compiles a schema of an argument object. Formats such as `date` are checked like any other rule.
    ///
    /// # Errors
    ///
    /// [`SchemaError`].
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            return Err(SchemaError::NotAnObject);
        }
        let options = jsonschema::options().should_validate_formats(true);
        options.build(schema).map(Schema).map_err(|error| SchemaError::Invalid(error.to_string()))
    }

    /// Checks arguments.
    ///
    /// # Errors
    ///
    /// What is wrong, in words the model can act on.
    pub fn check(&self, arguments: &Value) -> Result<(), String> {
        let mut complaints = self.0.iter_errors(arguments).take(COMPLAINTS_MAX).map(|error| {
            let place = error.instance_path().to_string();
            let words: String = error.to_string().chars().take(COMPLAINT_CHARS_MAX).collect();
            if place.is_empty() { words } else { format!("{place}: {words}") }
        });
        match complaints.next() {
            None => Ok(()),
            Some(first) => Err(complaints.fold(first, |all, next| all + "; " + &next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_complaint_names_the_argument() {
        let schema = json!({
            "type": "object",
            "properties": { "party": { "type": "integer", "minimum": 1 } },
            "required": ["party"],
            "additionalProperties": false
        });
        let schema = Schema::compile(&schema).unwrap();
        assert_eq!(schema.check(&json!({ "party": 2 })), Ok(()));
        let complaint = schema.check(&json!({ "party": 0 })).unwrap_err();
        assert!(complaint.contains("/party"), "{complaint}");
        assert!(schema.check(&json!({})).unwrap_err().contains("party"));
        assert!(schema.check(&json!({ "party": 1, "smoke": true })).unwrap_err().contains("smoke"));
    }

    #[test]
    fn a_format_is_a_rule() {
        let schema =
            json!({ "type": "object", "properties": { "day": { "type": "string", "format": "date" } } });
        let schema = Schema::compile(&schema).unwrap();
        assert_eq!(schema.check(&json!({ "day": "2026-12-24" })), Ok(()));
        assert!(schema.check(&json!({ "day": "tomorrow" })).unwrap_err().contains("/day"));
    }

    #[test]
    fn what_is_no_schema_of_an_object_is_refused() {
        for schema in [json!(true), json!({}), json!({ "type": "string" })] {
            assert!(matches!(Schema::compile(&schema), Err(SchemaError::NotAnObject)), "{schema}");
        }
        for schema in [
            json!({ "type": "object", "properties": 5 }),
            json!({ "type": "object", "$ref": "https://example.com/schema.json" }),
        ] {
            assert!(matches!(Schema::compile(&schema), Err(SchemaError::Invalid(_))), "{schema}");
        }
    }
}
