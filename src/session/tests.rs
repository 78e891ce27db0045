//! Bodies and templates, byte for byte.

use serde_json::{Value, json};

use super::*;

/// 24 November 2026, a Tuesday, 22:05 in Tokyo.
const NOW: Timestamp = Timestamp::from_secs(1_795_525_500);

const CALL: CallFacts<'_> = CallFacts {
    id: "call_01",
    from: Some("+819012345678"),
    from_masked: Some("+81•••••5678"),
    to: Some("+815012345678"),
    path: "sip",
};

fn session() -> Session {
    Session {
        name: "reception".to_owned(),
        model: "gpt-realtime-2.1".to_owned(),
        instructions: None,
        greeting: None,
        greeting_protected: false,
        voice: Voice::Named("marin".to_owned()),
        speed: None,
        noise_reduction: None,
        transcription: None,
        turn_detection: None,
        tool_choice: None,
        parallel_tool_calls: None,
        reasoning_effort: None,
        max_output_tokens: None,
        truncation: None,
        tracing: None,
        prompt: None,
        include: Vec::new(),
        vars: BTreeMap::new(),
        time_zone: TimeZone::get("Asia/Tokyo").unwrap(),
        language: Some("ja".to_owned()),
        tools: Vec::new(),
        limits: Limits {
            duration: Duration::from_secs(900),
            silence: None,
            tool_calls: 40,
            tool_output_bytes: 16 << 10,
        },
        transfer: BTreeMap::new(),
        mcp: Vec::new(),
    }
}

fn semantic() -> TurnDetection {
    TurnDetection::SemanticVad { eagerness: Eagerness::Auto, create_response: true, interrupt_response: true }
}

fn tool(name: &str) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: "Does it.".to_owned(),
        parameters: json!({"type": "object"}),
    }
}

fn body(session: &Session, instructions: &str, tools: &[ToolDefinition]) -> Value {
    serde_json::from_str(&session.accept_body(instructions, tools)).unwrap()
}

#[test]
fn an_mcp_server_is_a_tool_of_the_providers_own() {
    let bare = McpServer {
        label: "crm".to_owned(),
        url: "https://mcp.example/sse".to_owned(),
        authorization: None,
        headers: BTreeMap::new(),
        allowed_tools: None,
        description: None,
    };
    let full = McpServer {
        label: "files".to_owned(),
        authorization: Some(crate::secret::Secret::new("token")),
        headers: BTreeMap::from([("X-T".to_owned(), crate::secret::Secret::new("1"))]),
        allowed_tools: Some(vec!["find".to_owned()]),
        description: Some("Files.".to_owned()),
        ..bare.clone()
    };
    assert!(!format!("{full:?}").contains("token"));
    let session = Session { tools: vec![Wildcard::new("*".to_owned())], mcp: vec![bare, full], ..session() };
    let body = body(&session, "", &[tool("look_up")]);
    assert_eq!(body["tools"][0]["type"], "function");
    assert_eq!(
        body["tools"][1],
        json!({
            "type": "mcp", "server_label": "crm", "server_url": "https://mcp.example/sse",
            "require_approval": "never"
        })
    );
    assert_eq!(
        body["tools"][2],
        json!({
            "type": "mcp", "server_label": "files", "server_url": "https://mcp.example/sse",
            "authorization": "token", "headers": { "X-T": "1" }, "allowed_tools": ["find"],
            "require_approval": "never", "server_description": "Files."
        })
    );
}

fn render(template: &str, call: &CallFacts<'_>, language: Option<&str>) -> Result<String, TemplateError> {
    let mut session = session();
    session.language = language.map(str::to_owned);
    session.vars = BTreeMap::from([("shop".to_owned(), "さくら".to_owned())]);
    session.instructions = Some(Template::compile(template)?);
    session.instructions_for(call, &BTreeMap::new(), NOW)
}

#[test]
fn what_is_not_said_is_left_out() {
    let expected = json!({
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "audio": {"input": {"turn_detection": null}, "output": {"voice": "marin"}},
    });
    assert_eq!(body(&session(), "", &[]), expected);
}

#[test]
fn a_bridged_session_says_its_formats_and_not_its_model() {
    let expected = json!({
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be kind.",
        "audio": {
            "input": {"format": {"type": "audio/pcmu"}, "turn_detection": null},
            "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
        },
    });
    let body: Value = serde_json::from_str(&session().bridge_body("Be kind.", &[])).unwrap();
    assert_eq!(body, expected);
}

#[test]
fn everything_can_be_said() {
    let session = Session {
        voice: Voice::Custom { id: "voice_1".to_owned() },
        speed: Some(1.25),
        noise_reduction: Some(NoiseReduction { kind: NoiseKind::NearField, strength: Some(0.5) }),
        transcription: Some(Transcription {
            model: "gpt-transcribe".to_owned(),
            language: Some("ja".to_owned()),
            languages: vec!["ja".to_owned(), "en".to_owned()],
            prompt: Some("電話".to_owned()),
            keywords: vec!["さくら".to_owned()],
            delay: Some(Effort::Low),
        }),
        turn_detection: Some(TurnDetection::ServerVad {
            threshold: 0.5,
            prefix_padding_ms: 300,
            silence_duration_ms: 500,
            idle_timeout_ms: Some(8_000),
            create_response: true,
            interrupt_response: false,
        }),
        tool_choice: Some(ToolChoice::Tool("find".to_owned())),
        parallel_tool_calls: Some(true),
        reasoning_effort: Some(Effort::Xhigh),
        max_output_tokens: Some(MaxOutputTokens::Tokens(1_024)),
        truncation: Some(Truncation::RetentionRatio {
            retention_ratio: 0.75,
            post_instructions: Some(8_000),
        }),
        tracing: Some(Tracing::Named {
            workflow_name: Some("desk".to_owned()),
            group_id: None,
            metadata: BTreeMap::new(),
        }),
        prompt: Some(Prompt {
            id: "pmpt_1".to_owned(),
            version: Some("3".to_owned()),
            variables: BTreeMap::from([("shop".to_owned(), "さくら".to_owned())]),
        }),
        include: vec![Include::TranscriptionLogprobs],
        tools: vec![Wildcard::new("fi*")],
        ..session()
    };
    let expected = json!({
        "type": "realtime",
        "model": "gpt-realtime-2.1",
        "instructions": "こんにちは",
        "audio": {
            "input": {
                "noise_reduction": {"type": "near_field", "strength": 0.5},
                "transcription": {
                    "model": "gpt-transcribe", "language": "ja", "languages": ["ja", "en"],
                    "prompt": "電話", "keywords": ["さくら"], "delay": "low",
                },
                "turn_detection": {
                    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                    "silence_duration_ms": 500, "idle_timeout_ms": 8000,
                    "create_response": true, "interrupt_response": false,
                },
            },
            "output": {"voice": {"id": "voice_1"}, "speed": 1.25},
        },
        "tools": [{
            "type": "function", "name": "find", "description": "Does it.", "parameters": {"type": "object"},
        }],
        "tool_choice": {"type": "function", "name": "find"},
        "parallel_tool_calls": true,
        "reasoning": {"effort": "xhigh"},
        "max_output_tokens": 1024,
        "truncation": {
            "type": "retention_ratio", "retention_ratio": 0.75, "token_limits": {"post_instructions": 8000},
        },
        "tracing": {"workflow_name": "desk"},
        "prompt": {"id": "pmpt_1", "version": "3", "variables": {"shop": "さくら"}},
        "include": ["item.input_audio_transcription.logprobs"],
    });
    assert_eq!(body(&session, "こんにちは", &[tool("find"), tool("drop")]), expected);
}

#[test]
fn a_protected_greeting_turns_detection_on_later() {
    let mut session = session();
    session.turn_detection = Some(semantic());
    session.greeting_protected = true;
    let detection = json!({
        "type": "semantic_vad", "eagerness": "auto", "create_response": true, "interrupt_response": true,
    });
    assert_eq!(body(&session, "", &[])["audio"]["input"]["turn_detection"], detection);
    session.greeting = Some(Template::compile("もしもし").unwrap());
    assert_eq!(body(&session, "", &[])["audio"]["input"]["turn_detection"], Value::Null);
    assert_eq!(session.turn_detection_update(), detection);
}

#[test]
fn a_template_sees_the_call_the_variables_and_the_time() {
    let template = "{{ vars.shop }} {{ call.from_masked }} {{ call.to }} {{ now | datetime }}";
    let expected = "さくら +81•••••5678 +815012345678 2026年11月24日（火曜日）22:05";
    assert_eq!(render(template, &CALL, Some("ja")).unwrap(), expected);
    let english = render("{{ now | datetime }} {{ now | date }} {{ now | weekday }}", &CALL, None).unwrap();
    assert_eq!(english, "Tuesday, November 24, 2026, 22:05 November 24, 2026 Tuesday");
}

#[test]
fn a_routes_variables_go_first() {
    let mut session = session();
    session.vars = BTreeMap::from([("shop".to_owned(), "本店".to_owned())]);
    session.greeting = Some(Template::compile("{{ vars.shop }}").unwrap());
    let route = BTreeMap::from([("shop".to_owned(), "支店".to_owned())]);
    assert_eq!(session.greeting_for(&CALL, &route, NOW).unwrap().unwrap(), "支店");
}

#[test]
fn values_are_data() {
    let from = "{{ 7*7 }}{% raw %}<&\r\nignore";
    let call = CallFacts { from: Some(from), ..CALL };
    assert_eq!(render("{{ call.from }}", &call, None).unwrap(), "{{ 7*7 }}{% raw %}<&ignore");
    let long = "9".repeat(100_000);
    let call = CallFacts { from: Some(&long), ..CALL };
    assert_eq!(render("{{ call.from }}", &call, None).unwrap().len(), 256);
}

#[test]
fn a_withheld_number_is_empty() {
    let call = CallFacts { from: None, from_masked: None, ..CALL };
    let template = "{% if call.from %}known{% else %}withheld{% endif %}{{ call.from }}";
    assert_eq!(render(template, &call, None).unwrap(), "withheld");
}

#[test]
fn a_template_cannot_run_or_grow_without_end() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    assert_eq!(render(endless, &CALL, None).unwrap_err().message, "it takes too many steps");
    let long = "{% for a in range(999) %}{{ '0123456789' * 100 }}{% endfor %}";
    assert_eq!(render(long, &CALL, None).unwrap_err().message, "it becomes longer than 64 KiB");
}

#[test]
fn a_wrong_template_names_the_place() {
    let unknown = render("one\n{{ vars.shpo }}", &CALL, None).unwrap_err();
    assert_eq!((unknown.line, unknown.range), (Some(2), Some(7..16)));
    let broken = Template::compile("{% if %}").unwrap_err();
    assert_eq!(broken.line, Some(1));
    assert!(render("{{ 'x' | date }}", &CALL, None).is_err());
}

#[test]
fn names_are_found_in_branches_that_are_not_taken() {
    let template = Template::compile("{% if false %}{{ vars.shpo }}{% endif %}{{ call.to }}").unwrap();
    assert_eq!(template.names(), ["call.to", "vars.shpo"]);
}
