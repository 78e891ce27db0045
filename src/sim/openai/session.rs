//! The session of a simulated call: what an accept may say, and what the provider makes of it
//! (OpenAI, "Realtime API reference: session").

use serde_json::{Map, Value, json};

/// Fields of a session, by the path of the table they are in.
const FIELDS: [(&str, &[&str]); 4] = [
    (
        "",
        &[
            "type",
            "model",
            "instructions",
            "output_modalities",
            "audio",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "max_output_tokens",
            "truncation",
            "tracing",
            "prompt",
            "include",
        ],
    ),
    ("audio", &["input", "output"]),
    ("audio.input", &["format", "noise_reduction", "transcription", "turn_detection"]),
    ("audio.output", &["format", "voice", "speed"]),
];

/// Whether a value is what a field takes.
type Fits = fn(&Value) -> bool;

/// Fields of a tool of type `mcp`, and what they are.
const MCP_FIELDS: [(&str, Fits); 9] = [
    ("type", Value::is_string),
    ("server_label", Value::is_string),
    ("server_url", Value::is_string),
    ("authorization", Value::is_string),
    ("headers", Value::is_object),
    ("allowed_tools", |value| value.is_array() || value.is_object()),
    ("require_approval", |value| value.is_object() || ["always", "never"].map(Value::from).contains(value)),
    ("server_description", Value::is_string),
    ("defer_loading", Value::is_boolean),
];

/// Fields of a tool of type `function`.
const FUNCTION_FIELDS: [&str; 4] = ["type", "name", "description", "parameters"];

/// Fields that may be null, which turns them off.
const NULLABLE: [&str; 5] = [
    "audio.input.noise_reduction",
    "audio.input.transcription",
    "audio.input.turn_detection",
    "tracing",
    "prompt",
];

/// The effective session of a call.
#[derive(Clone, Debug)]
pub(super) struct Session {
    value: Value,
    /// Its audio goes over the socket, so that its formats may, and must, be said.
    is_bridged: bool,
}

/// What is wrong with a session: a code and the field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub code: &'static str,
    pub param: String,
}

impl Session {
    /// The session of an accept's body.
    pub fn accepted(body: &str, id: &str, expires_at: u64) -> Result<Session, Wrong> {
        let given: Value = serde_json::from_str(body).map_err(|_| wrong("invalid_json", ""))?;
        for field in ["type", "model"] {
            if given.get(field).is_none() {
                return Err(wrong("missing_required_parameter", field));
            }
        }
        check(&given, false)?;
        let mut session = Session { value: defaults(id, expires_at, "audio/pcmu"), is_bridged: false };
        merge(&mut session.value, &given);
        Ok(session)
    }

    /// The session of a socket of its own, before its client has said anything.
    pub fn opened(id: &str, model: &str, expires_at: u64) -> Session {
        let mut value = defaults(id, expires_at, "audio/pcm");
        value["model"] = model.into();
        Session { value, is_bridged: true }
    }

    /// Whether μ-law was agreed on both ways.
    pub fn is_configured(&self) -> bool {
        ["input", "output"]
            .iter()
            .all(|way| self.value.pointer(&format!("/audio/{way}/format/type")) == Some(&"audio/pcmu".into()))
    }

    /// Applies a `session.update`.
    pub fn update(&mut self, given: &Value) -> Result<(), Wrong> {
        if given.get("type").and_then(Value::as_str) != Some("realtime") {
            return Err(wrong("missing_required_parameter", "session.type"));
        }
        if given.get("model").is_some() {
            return Err(wrong("invalid_value", "session.model"));
        }
        check(given, self.is_bridged)?;
        merge(&mut self.value, given);
        Ok(())
    }

    /// As it is echoed. In a world that runs faster, spans on the wire are those of real time, like the
    /// offsets of its audio clock.
    pub fn echo(&self, speed: f64) -> Value {
        let mut echo = self.value.clone();
        for span in ["prefix_padding_ms", "silence_duration_ms"] {
            let pointer = format!("/audio/input/turn_detection/{span}");
            if let Some(value) = echo.pointer_mut(&pointer)
                && let Some(millis) = value.as_f64()
            {
                *value = ((millis / speed).round() as u64).into();
            }
        }
        echo
    }

    /// Silence that ends speech; none when turns are not detected at all.
    pub fn silence_ms(&self) -> Option<u64> {
        let detection = self.value.pointer("/audio/input/turn_detection").filter(|value| !value.is_null())?;
        // A semantic detector has no fixed silence; a short one is what it feels like.
        Some(detection.get("silence_duration_ms").and_then(Value::as_u64).unwrap_or(300))
    }

    /// Audio before the speech that counts as speech.
    pub fn padding_ms(&self) -> u64 {
        self.value
            .pointer("/audio/input/turn_detection/prefix_padding_ms")
            .and_then(Value::as_u64)
            .unwrap_or(0)
    }

    /// Whether the end of speech makes the model answer.
    pub fn creates_response(&self) -> bool {
        let value = self.value.pointer("/audio/input/turn_detection/create_response");
        value.and_then(Value::as_bool).unwrap_or(true)
    }

    /// Whether speech stops the model.
    pub fn interrupts_response(&self) -> bool {
        let value = self.value.pointer("/audio/input/turn_detection/interrupt_response");
        value.and_then(Value::as_bool).unwrap_or(true)
    }

    /// Whether the caller's words are written down.
    pub fn transcribes(&self) -> bool {
        self.value.pointer("/audio/input/transcription").is_some_and(|value| !value.is_null())
    }
}

/// What a session is when nothing is said of it.
fn defaults(id: &str, expires_at: u64, format: &str) -> Value {
    json!({
        "type": "realtime", "object": "realtime.session", "id": id, "expires_at": expires_at,
        "output_modalities": ["audio"], "tools": [], "tool_choice": "auto", "max_output_tokens": "inf",
        "tracing": null, "prompt": null, "truncation": "auto", "include": null,
        "audio": {
            "input": {
                "format": { "type": format }, "transcription": null, "noise_reduction": null,
                "turn_detection": {
                    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                    "silence_duration_ms": 200, "idle_timeout_ms": null,
                    "create_response": true, "interrupt_response": true
                }
            },
            "output": { "format": { "type": format }, "voice": "marin", "speed": 1 }
        }
    })
}

fn wrong(code: &'static str, param: &str) -> Wrong {
    Wrong { code, param: param.to_owned() }
}

/// Unknown fields, nulls and, on a SIP call, audio formats are refused.
fn check(given: &Value, is_bridged: bool) -> Result<(), Wrong> {
    for (path, fields) in FIELDS {
        let pointer = if path.is_empty() { String::new() } else { format!("/{}", path.replace('.', "/")) };
        let Some(table) = given.pointer(&pointer).and_then(Value::as_object) else { continue };
        for (name, value) in table {
            let name = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let last = name.rsplit('.').next().unwrap_or_default();
            if !fields.contains(&last) {
                return Err(wrong("unknown_parameter", &name));
            }
            if last == "format" && !is_bridged {
                return Err(wrong("audio_format_on_sip", &name));
            }
            if value.is_null() && !NULLABLE.contains(&name.as_str()) {
                return Err(wrong("invalid_type", &name));
            }
        }
    }
    let tools = given.get("tools").and_then(Value::as_array);
    tools.into_iter().flatten().try_for_each(check_tool)
}

/// A tool is a function or a remote MCP server with a label and a place, and nothing else.
fn check_tool(tool: &Value) -> Result<(), Wrong> {
    let fields = tool.as_object().ok_or_else(|| wrong("invalid_type", "tools"))?;
    let is_name = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let text = |field: &str| fields.get(field).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "function" => {
            if let Some(field) = fields.keys().find(|field| !FUNCTION_FIELDS.contains(&field.as_str())) {
                return Err(wrong("unknown_parameter", &format!("tools.{field}")));
            }
            if !is_name(text("name")) {
                return Err(wrong("invalid_value", "tools.name"));
            }
            Ok(())
        }
        "mcp" => {
            for (field, value) in fields {
                match MCP_FIELDS.iter().find(|(name, _)| name == field) {
                    None => return Err(wrong("unknown_parameter", &format!("tools.{field}"))),
                    Some((_, fits)) if !fits(value) => {
                        return Err(wrong("invalid_type", &format!("tools.{field}")));
                    }
                    Some(_) => {}
                }
            }
            if !is_name(text("server_label")) {
                return Err(wrong("invalid_value", "tools.server_label"));
            }
            if !text("server_url").starts_with("https://") {
                return Err(wrong("invalid_value", "tools.server_url"));
            }
            Ok(())
        }
        _ => Err(wrong("invalid_value", "tools.type")),
    }
}

/// Absent keeps, null and anything else replaces; a turn detection is replaced whole.
fn merge(into: &mut Value, given: &Value) {
    let (Some(into), Some(given)) = (into.as_object_mut(), given.as_object()) else { return };
    for (name, value) in given {
        match (into.get_mut(name), value) {
            (Some(old @ Value::Object(_)), Value::Object(_)) if name != "turn_detection" => merge(old, value),
            (Some(old @ Value::Object(_)), Value::Object(new)) => *old = detection(old, new),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A turn detection of the same type keeps what is not said; another type starts afresh.
fn detection(old: &Value, new: &Map<String, Value>) -> Value {
    let is_same = new.get("type").is_none_or(|kind| old.get("type") == Some(kind));
    let mut merged = if is_same { old.clone() } else { json!({}) };
    if let Some(table) = merged.as_object_mut() {
        table.extend(new.clone());
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(body: Value) -> Result<Session, Wrong> {
        Session::accepted(&body.to_string(), "sess_1", 0)
    }

    #[test]
    fn what_a_real_call_would_die_of_is_refused() {
        let cases = [
            (json!({ "model": "m" }), "missing_required_parameter"),
            (json!({ "type": "realtime", "model": "m", "voice": "marin" }), "unknown_parameter"),
            (json!({ "type": "realtime", "model": "m", "instructions": null }), "invalid_type"),
            (
                json!({ "type": "realtime", "model": "m", "audio": { "input": { "format": { "type": "audio/pcmu" } } } }),
                "audio_format_on_sip",
            ),
        ];
        for (body, code) in cases {
            assert_eq!(accept(body.clone()).unwrap_err().code, code, "{body}");
        }
    }

    #[test]
    fn a_tool_is_a_function_or_an_mcp_server() {
        let with = |tool: Value| accept(json!({ "type": "realtime", "model": "m", "tools": [tool] }));
        let mcp = json!({
            "type": "mcp", "server_label": "crm", "server_url": "https://mcp.example/sse", "authorization": "x",
            "headers": { "X-T": "1" }, "allowed_tools": ["find"], "require_approval": "never",
            "server_description": "…", "defer_loading": false
        });
        assert!(with(mcp.clone()).is_ok());
        let echo = with(mcp.clone()).unwrap().echo(1.0);
        assert_eq!(echo["tools"][0]["server_label"], "crm");
        for (field, value, code) in [
            ("label", json!("x"), "unknown_parameter"),
            ("server_label", json!("c r m"), "invalid_value"),
            ("server_label", json!(""), "invalid_value"),
            ("server_url", json!("http://mcp.example"), "invalid_value"),
            ("require_approval", json!("sometimes"), "invalid_type"),
            ("headers", json!(["x"]), "invalid_type"),
            ("authorization", Value::Null, "invalid_type"),
            ("type", json!("hosted"), "invalid_value"),
        ] {
            let mut tool = mcp.clone();
            tool[field] = value;
            assert_eq!(with(tool).unwrap_err().code, code, "{field}");
        }
        assert_eq!(
            with(json!({ "type": "function", "name": "a", "strict": true })).unwrap_err().code,
            "unknown_parameter"
        );
        assert_eq!(with(json!({ "type": "function", "name": "a b" })).unwrap_err().code, "invalid_value");
    }

    #[test]
    fn null_turns_off_and_absence_keeps() {
        let body =
            json!({ "type": "realtime", "model": "m", "audio": { "input": { "turn_detection": null } } });
        let mut session = accept(body).unwrap();
        assert_eq!(session.silence_ms(), None);
        let patch = json!({ "type": "realtime", "audio": { "input": { "turn_detection": { "type": "server_vad", "silence_duration_ms": 500 } } } });
        session.update(&patch).unwrap();
        assert_eq!(session.silence_ms(), Some(500));
        assert_eq!(session.update(&json!({})).unwrap_err().code, "missing_required_parameter");
    }
}
