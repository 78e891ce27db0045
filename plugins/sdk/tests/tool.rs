//! A plugin as an author writes it, looked at from outside.

use serde_json::{Value, json};
use switchboard_plugin::{Context, Direction, Schema, Tool, ToolError, arguments, plugin, tool};

#[arguments]
#[expect(dead_code, reason = "only the schema of some fields is looked at")]
struct Wanted {
    /// A day,
    /// as `2026-12-01`.
    #[schema(pattern = "^\\d{4}-\\d{2}-\\d{2}$", max_length = 10)]
    date: String,
    people: Option<u8>,
    #[serde(default)]
    part: Option<Part>,
    #[serde(default, rename = "title")]
    heading: String,
    #[serde(default)]
    others: Vec<Guest>,
    anything: Option<Value>,
}

#[arguments]
#[serde(rename_all = "snake_case")]
#[derive(PartialEq)]
enum Part {
    Morning,
    LateEvening,
}

#[arguments]
#[expect(dead_code, reason = "only its schema is looked at")]
struct Guest {
    name: String,
    /// In years.
    age: Option<f64>,
}

/// Find a table.
/// Ask for the day first.
///
/// Never guess.
#[tool(name = "find-table", repeatable, timeout = "2s", say_first = "One moment.", not_interruptible)]
fn find(wanted: Wanted, context: &Context) -> Result<Value, ToolError> {
    if wanted.part == Some(Part::LateEvening) {
        return Err(ToolError::not_found("nothing is free so late"));
    }
    Ok(json!({ "date": wanted.date, "caller": context.caller }))
}

/// Tell the time.
#[tool]
fn now() -> Result<u64, switchboard_plugin::kv::Error> {
    Err(switchboard_plugin::kv::Error::Denied)
}

plugin! { tools: [find, now], needs: [kv, http("https://example.com/*"), call(say), call(hang_up), hook(ended)] }

fn context() -> Context {
    Context {
        call_id: "call_1".to_owned(),
        direction: Direction::Inbound,
        caller: Some("+819012345678".to_owned()),
        callee: None,
        language: None,
        route: None,
        session: None,
        deadline_ms: 0,
        variables: Vec::new(),
    }
}

#[test]
fn a_schema_is_whole_and_has_nothing_but_what_the_model_needs() {
    let guest = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "age": { "type": "number", "description": "In years." } },
        "required": ["name"],
        "additionalProperties": false
    });
    let date = json!({
        "type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}$", "maxLength": 10,
        "description": "A day, as `2026-12-01`."
    });
    let expected = json!({
        "type": "object",
        "properties": {
            "date": date,
            "people": { "type": "integer", "minimum": 0, "maximum": 255 },
            "part": { "type": "string", "enum": ["morning", "late_evening"] },
            "title": { "type": "string" },
            "others": { "type": "array", "items": guest },
            "anything": {}
        },
        "required": ["date"],
        "additionalProperties": false
    });
    let schema: Value = serde_json::from_str(&Wanted::schema()).expect("JSON");
    assert_eq!(schema, expected);
    let none: Value = serde_json::from_str(&now::parameters()).expect("JSON");
    assert_eq!(none, json!({ "type": "object", "properties": {}, "additionalProperties": false }));
}

#[test]
fn a_tool_is_what_its_attribute_says() {
    assert_eq!((find::NAME, now::NAME), ("find-table", "now"));
    assert_eq!(find::DESCRIPTION, "Find a table. Ask for the day first.\nNever guess.");
    assert_eq!((find::TIMEOUT_MS, find::SAY_FIRST), (Some(2_000), Some("One moment.")));
    let yes_and_no = [find::REPEATABLE, find::INTERRUPTIBLE, now::REPEATABLE, now::INTERRUPTIBLE];
    assert_eq!(yes_and_no, [true, false, false, true]);
}

#[test]
fn a_call_goes_from_json_to_json() {
    let answer = find::call(&context(), r#"{"date":"2026-12-01"}"#).expect("an answer");
    assert_eq!(answer, r#"{"caller":"+819012345678","date":"2026-12-01"}"#);
    let late = find::call(&context(), r#"{"date":"2026-12-01","part":"late_evening"}"#);
    assert!(matches!(late, Err(ToolError::NotFound(_))), "{late:?}");
    let unknown = find::call(&context(), r#"{"date":"2026-12-01","day":1}"#);
    assert!(
        matches!(&unknown, Err(ToolError::InvalidArguments(words)) if words.contains("day")),
        "{unknown:?}"
    );
    assert!(matches!(now::call(&context(), "{}"), Err(ToolError::Internal(_))));
}
