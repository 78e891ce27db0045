//! Every message a configuration can get, and every configuration we hand out.
//!
//! `tests/fixtures/config/NAME.toml` is a mistake, `NAME.err` what a person reads about it.
//! Comments `# with: NAME=value` and `# without: NAME` at its top change the environment. After a
//! wanted change `BLESS=1 cargo test config` writes the `.err` files anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use switchboard::cli::catalogue;
use switchboard::clock::Timestamp;
use switchboard::config::{self, Config, Environment, Problems, codes, reference};
use switchboard::routing::{Action, Asked, RejectCode, Rollout};
use switchboard::session::{CallFacts, TurnDetection};

const FIXTURES: &str = "tests/fixtures/config";

/// The four secrets and the address, as the README asks for them.
fn variables() -> BTreeMap<String, String> {
    [
        ("OPENAI_API_KEY", "sk-test-0123456789"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("USE_OPENAI_SIP", "true"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef"),
        ("BASE_URL", "https://voice.example.com"),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .into()
}

fn environment() -> Environment {
    variables().into_iter().collect()
}

/// Reads `text` as if it were `gateway.toml` among the fixtures.
fn parse(text: &str) -> Result<Config, Problems> {
    parse_with(text, &environment())
}

fn parse_with(text: &str, environment: &Environment) -> Result<Config, Problems> {
    config::parse("gateway.toml", text.as_bytes(), Path::new(FIXTURES), environment)
}

/// The session that every fixture may leave out.
const SESSION: &str = "[sessions.reception]\ninstructions = \"Be kind.\"\n";

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a readable directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "no .{extension} in {}", directory.display());
    files
}

/// What a person reads about the fixture.
fn story(path: &Path) -> String {
    let bytes = fs::read(path).expect("a readable fixture");
    let mut variables = variables();
    for line in String::from_utf8_lossy(&bytes).lines().take_while(|line| line.starts_with('#')) {
        if let Some((name, text)) = line.strip_prefix("# with: ").and_then(|rest| rest.split_once('=')) {
            variables.insert(name.to_owned(), text.to_owned());
        } else if let Some(name) = line.strip_prefix("# without: ") {
            variables.remove(name);
        }
    }
    let name = path.file_name().expect("a name").to_string_lossy();
    match config::parse(&name, &bytes, Path::new(FIXTURES), &variables.into_iter().collect()) {
        Ok(config) => config.warnings.render(false),
        Err(problems) => problems.render(false),
    }
}

#[test]
fn every_mistake_has_its_message() {
    let mut wrong = Vec::new();
    for path in files(Path::new(FIXTURES), "toml") {
        let (told, expected) = (story(&path), path.with_extension("err"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &told).expect("a writable fixture");
        }
        if fs::read_to_string(&expected).unwrap_or_default() != told || told.is_empty() {
            wrong.push(format!("{}:\n{told}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nBLESS=1 accepts these", wrong.join("\n"));
}

#[test]
fn the_page_of_keys_is_of_this_version() {
    let (page, file) = (reference::page(), "docs/config-keys.md");
    for part in ["## `[sessions.NAME.limits]`", "| `max_calls` | a whole number | `200` |", "## `[[routes]]`"]
    {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(file, page).expect("a writable page");
    } else {
        let kept = fs::read_to_string(file).unwrap_or_default();
        assert!(page == kept, "{file} is old: BLESS=1 writes it anew");
    }
}

#[test]
fn every_code_has_a_fixture() {
    let told: String =
        files(Path::new(FIXTURES), "err").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // These need a file that is not there, or a plugin that is loaded: see the tests below.
    let elsewhere = ["E0101", "E0110", "E0310", "E0503", "E0504", "W0505"];
    for code in codes::ALL.iter().filter(|code| !elsewhere.contains(&code.id)) {
        assert!(told.contains(&format!("[{}]", code.id)), "no fixture shows {}: {}", code.id, code.title);
    }
}

#[test]
fn no_message_shows_a_secret() {
    for path in files(Path::new(FIXTURES), "toml") {
        let told = story(&path);
        for secret in ["sk-", "whsec_c2", "0123456789", "hunter2"] {
            assert!(!told.contains(secret), "{} shows `{secret}`:\n{told}", path.display());
        }
    }
}

/// Copies what we hand out into a directory where the plugins they name exist, as empty files.
fn handed_out() -> (tempfile::TempDir, Vec<PathBuf>) {
    let house = tempfile::tempdir().expect("a directory");
    let mut copies = Vec::new();
    let prompts = house.path().join("examples/configs/prompts");
    fs::create_dir_all(&prompts).expect("a writable directory");
    for prompt in files(Path::new("examples/configs/prompts"), "md") {
        fs::copy(&prompt, prompts.join(prompt.file_name().expect("a name"))).expect("a writable file");
    }
    let mut originals = files(Path::new("examples/configs"), "toml");
    originals.push(PathBuf::from("gateway.toml"));
    for original in originals {
        let text = fs::read_to_string(&original).expect("a readable example");
        let copy = house.path().join(&original);
        let directory = copy.parent().expect("a directory").to_owned();
        fs::create_dir_all(&directory).expect("a writable directory");
        for named in text.lines().filter_map(|line| line.trim().strip_prefix("path")) {
            if let Some(plugin) = named.split('"').nth(1).filter(|path| path.ends_with(".wasm")) {
                let plugin = directory.join(plugin);
                fs::create_dir_all(plugin.parent().expect("a directory")).expect("a writable directory");
                fs::write(plugin, "").expect("a writable file");
            }
        }
        fs::write(&copy, text).expect("a writable file");
        copies.push(copy);
    }
    (house, copies)
}

#[test]
fn what_we_hand_out_is_right() {
    let (_house, copies) = handed_out();
    for path in copies {
        let config = config::load(&path, &environment()).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.warnings.is_empty(), "{}", config.warnings);
    }
}

#[test]
fn the_reference_of_codes_is_current() {
    let page = fs::read_to_string("docs/errors.md").unwrap_or_default();
    if std::env::var_os("BLESS").is_some() {
        fs::write("docs/errors.md", catalogue::reference()).expect("a writable page");
    } else {
        assert!(page == catalogue::reference(), "docs/errors.md is old: BLESS=1 writes it anew");
    }
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let problems = config::load(Path::new("no/such/gateway.toml"), &environment()).unwrap_err();
    assert!(problems.to_string().starts_with("error[E0101]: the configuration cannot be read"), "{problems}");
}

#[test]
fn the_environments_names_are_enough() {
    let config = parse(SESSION).unwrap();
    assert_eq!(config.server.public_url, "https://voice.example.com");
    assert_eq!(config.openai.api_key.expose(), "sk-test-0123456789");
    assert_eq!(config.openai.project_id, "proj_test");
    assert_eq!(config.openai.realtime_url, "wss://api.openai.com/v1/realtime");
    assert_eq!(config.openai.sip_host, "sip.api.openai.com");
    assert_eq!(config.features.openai_sip, Rollout::ALL);
    assert!(!config.server.direct_sip);
    let twilio = config.twilio.unwrap();
    assert_eq!(twilio.auth_tokens[0].expose(), "0123456789abcdef");
    assert_eq!(twilio.dial.timeout_s, 20);
    // One session and no route: it answers every call.
    let asked = Asked { from: None, to: None, headers: &[], now: Timestamp::from_secs(0) };
    let decision = config.routes.decide(&asked);
    assert_eq!(decision.route, Some("default"));
    assert!(matches!(decision.action, Action::Answer { session, .. } if session == "reception"));
}

#[test]
fn without_twilios_names_calls_come_over_a_bare_trunk() {
    let mut variables = variables();
    variables.retain(|name, _| !name.starts_with("TWILIO"));
    variables.remove("USE_OPENAI_SIP");
    let config = parse_with(SESSION, &variables.into_iter().collect()).unwrap();
    assert!(config.twilio.is_none());
    assert!(config.server.direct_sip);
    assert_eq!(config.features.openai_sip, Rollout::NONE, "absent means off");
}

#[test]
fn a_regional_api_brings_its_hosts() {
    let mut variables = variables();
    variables.insert("OPENAI_BASE_URL".to_owned(), "https://eu.api.openai.com/v1/".to_owned());
    variables.insert("OPENAI_WEBHOOK_SECRET".to_owned(), "whsec_c2VjcmV0, whsec_YW5kZXJl".to_owned());
    let openai = parse_with(SESSION, &variables.into_iter().collect()).unwrap().openai;
    assert_eq!(openai.base_url, "https://eu.api.openai.com/v1");
    assert_eq!(openai.realtime_url, "wss://eu.api.openai.com/v1/realtime");
    assert_eq!(openai.sip_host, "sip-eu.api.openai.com");
    assert_eq!(openai.webhook_secrets.len(), 2);
}

#[test]
fn this_machine_needs_no_tls() {
    let mut variables = variables();
    variables.insert("BASE_URL".to_owned(), "http://127.0.0.1:8080".to_owned());
    variables.insert("OPENAI_BASE_URL".to_owned(), "http://localhost:9000/v1".to_owned());
    let environment = variables.into_iter().collect();
    let openai = parse_with(SESSION, &environment).unwrap().openai;
    assert_eq!(openai.realtime_url, "ws://localhost:9000/v1/realtime");
    let text = format!("[openai]\nrealtime_url = \"ws://[::1]:9000/x\"\n{SESSION}");
    assert_eq!(parse_with(&text, &environment).unwrap().openai.realtime_url, "ws://[::1]:9000/x");
    let text = format!("[openai]\nrealtime_url = \"ws://127.evil.example/x\"\n{SESSION}");
    assert!(parse_with(&text, &environment).is_err());
}

#[test]
fn overrides_go_before_the_file_and_the_file_before_names() {
    let text =
        format!("[server]\nlisten = \"127.0.0.1:1\"\npublic_url = \"https://file.example.com\"\n{SESSION}");
    let mut variables = variables();
    for (name, value) in [
        ("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:2"),
        ("SWITCHBOARD__SERVER__MAX_CALLS", "7"),
        ("SWITCHBOARD__SERVER__DIRECT_SIP", "true"),
        ("SWITCHBOARD__TELEMETRY__LOG__LEVEL", "info,switchboard::openai=debug"),
        ("SWITCHBOARD__SERVER__CALLED_NUMBER_HEADERS", "[\"To\"]"),
        ("SWITCHBOARD__SESSIONS__RECEPTION__SPEED", "1.25"),
    ] {
        variables.insert(name.to_owned(), value.to_owned());
    }
    let config = parse_with(&text, &variables.into_iter().collect()).unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.server.max_calls, 7);
    assert_eq!(config.telemetry.log_level, "info,switchboard::openai=debug");
    assert!(config.server.direct_sip);
    assert_eq!(config.server.called_number_headers, ["To"]);
    assert_eq!(config.server.public_url, "https://file.example.com");
    assert_eq!(config.sessions["reception"].speed, Some(1.25));
}

#[test]
fn dotenv_beside_the_file_is_read() {
    let house = tempfile::tempdir().unwrap();
    fs::write(house.path().join("gateway.toml"), SESSION).unwrap();
    let lines: Vec<String> = variables().iter().map(|(name, text)| format!("{name}=\"{text}\"")).collect();
    fs::write(house.path().join(".env"), lines.join("\n")).unwrap();
    let process: Environment = [("OPENAI_PROJECT_ID", "proj_process")].into_iter().collect();
    let config = config::load(&house.path().join("gateway.toml"), &process).unwrap();
    assert_eq!(config.openai.api_key.expose(), "sk-test-0123456789");
    assert_eq!(config.openai.project_id, "proj_process", "the environment goes before .env");

    fs::write(house.path().join(".env"), "hunter2\n").unwrap();
    let problems = config::load(&house.path().join("gateway.toml"), &environment()).unwrap_err().to_string();
    assert!(problems.contains("[E0110]") && problems.contains(".env:1"), "{problems}");
    assert!(!problems.contains("hunter2"), "{problems}");
}

#[test]
fn secrets_can_stand_in_files() {
    let house = tempfile::tempdir().unwrap();
    fs::write(house.path().join("key"), "sk-from-file\n").unwrap();
    let text =
        format!("[openai]\napi_key = \"${{file:key}}\"\norganization = \"$$${{ORG:-none}}\"\n{SESSION}");
    let config = config::parse("gateway.toml", text.as_bytes(), house.path(), &environment()).unwrap();
    assert_eq!(config.openai.api_key.expose(), "sk-from-file");
    assert_eq!(config.openai.organization.as_deref(), Some("$none"));
}

#[test]
fn sessions_inherit_and_templates_meet_their_route() {
    let text = r#"
[sessions.reception]
instructions = "You answer for {{ vars.shop }}${NOT_A_VARIABLE}."
greeting = "Say: {{ vars.shop }}."
vars = { shop = "Sakura", seats = 40 }
language = "ja"
timezone = "Asia/Tokyo"
limits = { duration = "15m" }
turn_detection = { type = "semantic_vad", eagerness = "high" }

[sessions.night]
extends = "reception"
greeting = "Say that {{ vars.shop }} is closed; it has {{ vars.seats }} seats."
limits = { tool_calls = 3 }
turn_detection = "off"

[[routes]]
name = "night"
match = { hours = { outside = "10:00-23:00", tz = "Asia/Tokyo" } }
session = "night"
vars = { shop = "Ume" }

[[routes]]
name = "day"
session = "reception"
"#;
    let config = parse(text).unwrap();
    let night = &config.sessions["night"];
    assert_eq!(night.limits.duration, Duration::from_secs(900));
    assert_eq!(night.limits.tool_calls, 3);
    assert_eq!(night.turn_detection, None);
    assert!(matches!(config.sessions["reception"].turn_detection, Some(TurnDetection::SemanticVad { .. })));
    assert_eq!(night.transcription.as_ref().unwrap().language.as_deref(), Some("ja"));
    let call = CallFacts { id: "call_1", from: None, from_masked: None, to: None, path: "sip" };
    // 24 November 2026, 23:30 in Tokyo.
    let now = Timestamp::from_secs(1_795_530_600);
    let asked = Asked { from: None, to: None, headers: &[], now };
    let Action::Answer { session, vars } = config.routes.decide(&asked).action else { panic!("answered") };
    assert_eq!(session, "night");
    let greeting = night.greeting_for(&call, vars, now).unwrap().unwrap();
    assert_eq!(greeting, "Say that Ume is closed; it has 40 seats.");
    let instructions = night.instructions_for(&call, vars, now).unwrap();
    assert_eq!(instructions, "You answer for Ume${NOT_A_VARIABLE}.", "instructions are not filled in");
}

#[test]
fn everything_of_a_session_reaches_the_accept() {
    let text = r#"
[sessions.reception]
model = "gpt-realtime-2.1-mini"
instructions_file = "prompts/reception.md"
voice = { id = "voice_1" }
speed = 1
noise_reduction = "near_field"
transcription = { model = "gpt-transcribe", languages = ["ja", "en"], keywords = ["Sakura"] }
turn_detection = { type = "server_vad", idle_timeout = "8s", interrupt_response = false }
tools = ["find_*", "transfer"]
tool_choice = { name = "find_customer" }
parallel_tool_calls = true
reasoning_effort = "low"
max_output_tokens = 1024
truncation = { retention_ratio = 0.8, post_instructions_tokens = 8000 }
tracing = "auto"
prompt = { id = "pmpt_1", version = "3", variables = { shop = "Sakura" } }
include = ["item.input_audio_transcription.logprobs"]
transfer = { sales = "+81312345678" }
"#;
    let config = parse(text).unwrap();
    let body: serde_json::Value =
        serde_json::from_str(&config.sessions["reception"].accept_body("Be kind.", &[])).unwrap();
    let expected = serde_json::json!({
        "type": "realtime",
        "model": "gpt-realtime-2.1-mini",
        "instructions": "Be kind.",
        "audio": {
            "input": {
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "gpt-transcribe", "languages": ["ja", "en"], "keywords": ["Sakura"]},
                "turn_detection": {
                    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                    "silence_duration_ms": 500, "idle_timeout_ms": 8000,
                    "create_response": true, "interrupt_response": false,
                },
            },
            "output": {"voice": {"id": "voice_1"}, "speed": 1.0},
        },
        "tool_choice": {"type": "function", "name": "find_customer"},
        "parallel_tool_calls": true,
        "reasoning": {"effort": "low"},
        "max_output_tokens": 1024,
        "truncation": {
            "type": "retention_ratio", "retention_ratio": 0.8, "token_limits": {"post_instructions": 8000},
        },
        "tracing": "auto",
        "prompt": {"id": "pmpt_1", "version": "3", "variables": {"shop": "Sakura"}},
        "include": ["item.input_audio_transcription.logprobs"],
    });
    assert_eq!(body, expected);
}

#[test]
fn routes_reject_and_forward() {
    let text = format!(
        "{SESSION}\n[[routes]]\nname = \"blocked\"\nmatch = {{ from = [\"+8190*\", \"anonymous\"] }}\nreject = 603\n\
         [[routes]]\nname = \"rest\"\nforward = \"tel:+81312345678\"\n"
    );
    let config = parse(&text).unwrap();
    let decide = |from| {
        config.routes.decide(&Asked { from, to: None, headers: &[], now: Timestamp::from_secs(0) }).action
    };
    assert_eq!(*decide(None), Action::Reject(RejectCode::new(603).unwrap()));
    assert!(
        matches!(decide(Some("+81312345678")), Action::Forward(target) if target.to_string() == "tel:+81312345678")
    );
}

#[test]
fn plugins_and_prices_reach_their_rooms() {
    let text = format!(
        "{SESSION}\n[plugins.crm]\npath = \"plugin.wasm\"\nsha256 = \"{}\"\n\
         config = {{ region = \"eu\", rows = [{{ id = 1 }}] }}\nallow = {{ kv = \"crm\" }}\nlimits = {{ time = \"500ms\" }}\n\
         [pricing.\"my-model\"]\naudio = {{ input = 1.0, output = 2.0 }}\n",
        "0a".repeat(32)
    );
    let config = parse(&text).unwrap();
    let plugin = &config.plugins[0];
    assert_eq!(plugin.config["region"], "eu");
    assert_eq!(plugin.config["rows"], r#"[{"id":1}]"#);
    assert_eq!(plugin.grants.kv.as_deref(), Some("crm"));
    assert_eq!(plugin.limits.time, Duration::from_millis(500));
    assert_eq!(plugin.limits.memory_bytes, switchboard::tool::plugin::Limits::default().memory_bytes);
    let price = |name: &str| config.prices.iter().find(|(model, _)| model == name).map(|(_, price)| price);
    assert_eq!(price("my-model").unwrap().audio.unwrap().cached, 1.0);
    assert_eq!(price("gpt-realtime-2.1").unwrap().text.unwrap().output, 24.0);
    assert_eq!(price("gpt-transcribe").unwrap().per_minute, Some(0.0045));
}

#[test]
fn default_limits_are_those_of_the_room() {
    let text = format!("{SESSION}\n[plugins.crm]\npath = \"plugin.wasm\"\n");
    assert_eq!(parse(&text).unwrap().plugins[0].limits, switchboard::tool::plugin::Limits::default());
}

#[test]
fn a_breaker_has_defaults_and_can_be_off() {
    let breaker = |line: &str| {
        let text = format!("{SESSION}\n[plugins.crm]\npath = \"plugin.wasm\"\n{line}\n");
        parse(&text).unwrap().plugins[0].breaker.map(|breaker| (breaker.failures, breaker.open_for.as_secs()))
    };
    assert_eq!(breaker(""), Some((5, 30)));
    assert_eq!(breaker("breaker = { open_for = \"2m\" }"), Some((5, 120)));
    assert_eq!(breaker("breaker = { failures = 1 }"), Some((1, 30)));
    assert_eq!(breaker("breaker = \"off\""), None);
}

#[test]
fn tools_are_compared_with_what_there_is() {
    let text = format!("{SESSION}tools = [\"hangup\", \"find_custmer\", \"crm.*\"]\n");
    let config = parse(&text).unwrap();
    let available = ["hangup", "find_customer"].map(str::to_owned);
    let problems = config.check_tools(&available).to_string();
    assert!(
        problems.contains("error[E0310]: session `reception` offers a tool that does not exist"),
        "{problems}"
    );
    assert!(problems.contains("gateway.toml:3:20"), "{problems}");
    assert!(problems.contains("help: did you mean `find_customer`?"), "{problems}");
    assert!(problems.contains("no tool `crm.*`"), "{problems}");
    let available = ["hangup", "find_custmer", "crm.find"].map(str::to_owned);
    assert!(config.check_tools(&available).is_empty());
}

#[test]
fn problems_know_their_position() {
    let problems = parse(&format!("{SESSION}speed = 9.0\n")).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(
        (problem.code.id, problem.file(), problem.position()),
        ("E0114", "gateway.toml".to_owned(), Some((3, 9)))
    );
    assert!(problems.render(true).contains("\u{1b}["), "colours where asked");
}

#[test]
fn a_flood_of_problems_is_bounded() {
    let flood: String = (0..5_000).map(|n| format!("key_{n} = 1\n")).collect();
    let problems = parse(&flood).unwrap_err();
    assert!(problems.iter().count() <= 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        if let Err(problems) = config::parse("gateway.toml", &bytes, Path::new(FIXTURES), &environment()) {
            problems.render(false);
        }
    }

    #[test]
    fn no_damage_to_a_right_file_is_too_strange(cut in any::<prop::sample::Index>(), with in ".{0,8}", length in 0..40usize) {
        let mut text = fs::read_to_string("gateway.toml").expect("gateway.toml");
        let at = text.floor_char_boundary(cut.index(text.len()));
        let end = text.ceil_char_boundary((at + length).min(text.len()));
        text.replace_range(at..end, &with);
        if let Err(problems) = parse(&text) {
            problems.render(false);
        }
    }
}
