//! The JSON Schema of `gateway.toml`: it takes what `check` takes, knows the same words, and sees what is misspelt.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use switchboard::config::{self, Environment, Location, Problems, codes, schema};

use crate::cli::{switchboard, text};

fn environment() -> Environment {
    [
        ("OPENAI_API_KEY", "sk-test-0123456789"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000abc"),
        ("TWILIO_AUTH_TOKEN", "0123456789abcdef"),
        ("BASE_URL", "https://voice.example.com"),
    ]
    .into_iter()
    .collect()
}

fn files(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = fs::read_dir(root.join(directory)).expect("a readable directory");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(!files.is_empty(), "no files in {directory}");
    files
}

/// Everything that we hand out.
fn handed_out() -> Vec<PathBuf> {
    let mut files = files("examples/configs");
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.toml"));
    files
}

fn read(path: &Path) -> toml::Table {
    fs::read_to_string(path).expect("a readable file").parse().expect("TOML")
}

fn as_json(table: &toml::Table) -> Value {
    serde_json::to_value(table).expect("JSON")
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&schema::schema()).expect("a JSON Schema")
}

fn complaints(validator: &jsonschema::Validator, document: &Value) -> Vec<String> {
    validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn the_schema_is_one_and_takes_what_we_hand_out() {
    assert!(jsonschema::meta::is_valid(&schema::schema()));
    let validator = validator();
    for path in handed_out() {
        let found = complaints(&validator, &as_json(&read(&path)));
        assert!(found.is_empty(), "{}: {found:#?}", path.display());
    }
}

#[test]
fn what_check_takes_the_schema_takes_and_unknown_keys_neither() {
    let (validator, folder) = (validator(), Path::new("tests/fixtures/config"));
    let mut refused = 0;
    for path in files("tests/fixtures/config") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Ok(table) = text.parse::<toml::Table>() else { continue };
        let found = complaints(&validator, &as_json(&table));
        match config::parse("gateway.toml", text.as_bytes(), folder, &environment()) {
            Ok(_) => assert!(found.is_empty(), "{}: {found:#?}", path.display()),
            Err(problems) if problems.iter().any(|problem| problem.code.id == "E0104") => {
                refused += 1;
                assert!(!found.is_empty(), "{} has an unknown key", path.display());
            }
            Err(_) => {}
        }
    }
    assert!(refused > 0, "no fixture has an unknown key");
}

/// Tables whose keys are the operator's own.
const FREE: [&str; 17] = [
    "sessions", "plugins", "tools", "pricing", "config", "vars", "params", "secrets", "transfer", "mcp",
    "headers", "query", "form", "json", "status", "header", "metadata",
];

/// Every way to misspell one key of the document.
fn misspelt(table: &toml::Table, is_free: bool) -> Vec<toml::Table> {
    let mut all = Vec::new();
    for (key, value) in table {
        if !is_free {
            let mut wrong = table.clone();
            let value = wrong.remove(key).expect("the key");
            wrong.insert(format!("{key}x"), value);
            all.push(wrong);
        }
        let deeper: Vec<toml::Value> = match value {
            toml::Value::Table(inner) => {
                let inside = FREE.contains(&key.as_str()) && !is_free;
                // What is below plugins' `config` and a tool's `json` is all free.
                if matches!(key.as_str(), "config" | "json") {
                    continue;
                }
                misspelt(inner, inside).into_iter().map(toml::Value::Table).collect()
            }
            toml::Value::Array(list) => {
                let mut wrong_lists = Vec::new();
                for (at, inner) in list.iter().enumerate() {
                    let toml::Value::Table(inner) = inner else { continue };
                    for wrong in misspelt(inner, false) {
                        let mut list = list.clone();
                        list[at] = toml::Value::Table(wrong);
                        wrong_lists.push(toml::Value::Array(list));
                    }
                }
                wrong_lists
            }
            _ => Vec::new(),
        };
        all.extend(deeper.into_iter().map(|wrong| {
            let mut table = table.clone();
            table.insert(key.clone(), wrong);
            table
        }));
    }
    all
}

#[test]
fn a_misspelt_key_is_seen_wherever_it_stands() {
    let validator = validator();
    let mut count = 0;
    for path in handed_out() {
        for wrong in misspelt(&read(&path), false) {
            count += 1;
            assert!(!complaints(&validator, &as_json(&wrong)).is_empty(), "{}:\n{wrong}", path.display());
        }
    }
    assert!(count > 150, "only {count} keys");
}

/// A configuration with something in every table that has words.
const WHOLE: &str = r#"
[[admin.tokens]]
name = "ops"
role = "viewer"
hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

[twilio.dial]
edge = "tokyo"

[recordings.announcement]
text = "This call is recorded."
language = "en-US"

[sessions.x]
instructions = "Be kind."
transcription = { model = "gpt-realtime-whisper" }
turn_detection = { type = "semantic_vad" }
noise_reduction = { type = "near_field" }
mcp = { m = { url = "https://mcp.example.com/" } }

[[routes]]
name = "r"
session = "x"
announcement = { text = "This call is recorded.", language = "en-US" }

[tools.t]
description = "Finds things."
params = { p = { type = "string" } }

[tools.t.http]
url = "https://api.example.com/"
retry = { attempts = 2 }
status = { 404 = "not_found" }

[plugins.p]
path = "plugin.wasm"

[[tests]]
name = "it is answered"
given = { from = "+819012345678" }
expect = { session = "x" }
"#;

/// A key of a table, or an element of a list.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    First,
}

/// Every place in the schema where one of a few words stands, with the words.
fn words(schema: &Value, node: &Value, at: &[Step], found: &mut Vec<(Vec<Step>, Vec<String>)>) {
    if let Some(name) = node["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("a name");
        return words(schema, &schema["definitions"][name], at, found);
    }
    let either = node["anyOf"].as_array();
    if let Some(either) = either {
        let texts = either.iter().filter_map(|kind| kind["enum"].as_array());
        let list: Vec<String> = texts.flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let is_open = either.iter().any(|kind| kind["type"] == "string" && kind.get("pattern").is_none());
        if !list.is_empty() && !is_open {
            found.push((at.to_vec(), list));
        }
    }
    for inner in either.into_iter().chain(node["allOf"].as_array()).flatten() {
        words(schema, inner, at, found);
    }
    let deeper = |step: Step| [at, &[step]].concat();
    for (key, inner) in node["properties"].as_object().into_iter().flatten() {
        if key == "items" {
            continue; // A parameter's `items` are a parameter again.
        }
        words(schema, inner, &deeper(Step::Key(key.clone())), found);
    }
    if node["additionalProperties"].is_object() {
        words(schema, &node["additionalProperties"], &deeper(Step::Key(String::new())), found);
    }
    if node["items"].is_object() {
        words(schema, &node["items"], &deeper(Step::First), found);
    }
}

/// Puts the text there; a key without a name is the one that is there.
fn put(value: &mut toml::Value, at: &[Step], text: &str) {
    let Some((step, rest)) = at.split_first() else {
        *value = toml::Value::String(text.to_owned());
        return;
    };
    match step {
        Step::Key(key) => {
            if !value.is_table() {
                *value = toml::Value::Table(toml::Table::new());
            }
            let table = value.as_table_mut().expect("a table");
            let first = table.keys().next().cloned();
            let key = if key.is_empty() { first.unwrap_or_else(|| "it".to_owned()) } else { key.clone() };
            put(table.entry(key).or_insert(toml::Value::Boolean(false)), rest, text);
        }
        Step::First => {
            let list = value.as_array().cloned().unwrap_or_default();
            let mut first = list.into_iter().next().unwrap_or(toml::Value::Boolean(false));
            put(&mut first, rest, text);
            *value = toml::Value::Array(vec![first]);
        }
    }
}

fn problems_with(at: &[Step], word: &str) -> Problems {
    let mut whole = toml::Value::Table(WHOLE.parse().expect("TOML"));
    put(&mut whole, at, word);
    let text = toml::to_string(&whole).expect("TOML");
    match config::parse("gateway.toml", text.as_bytes(), Path::new("tests/fixtures/config"), &environment()) {
        Ok(config) => config.warnings,
        Err(problems) => problems,
    }
}

#[test]
fn the_schema_and_check_know_the_same_words() {
    let schema = schema::schema();
    let mut found = Vec::new();
    words(&schema, &schema, &[], &mut found);
    assert!(found.len() > 25, "only {} places have words", found.len());
    let word_code = codes::ALL.iter().find(|code| code.id == "E0115").expect("the code");
    for (at, words) in &found {
        let wrong = problems_with(at, "nonsense");
        let about = wrong.iter().find(|problem| match &problem.location {
            Location::Text(source, span) => {
                source.text.as_deref().and_then(|text| text.get(span.clone())) == Some("\"nonsense\"")
            }
            _ => false,
        });
        let about = about.unwrap_or_else(|| panic!("{at:?} takes nonsense:\n{wrong}"));
        // What `check` says can stand there, the schema says too.
        if let Some(list) = about.help.as_deref().and_then(|help| help.strip_prefix("it can be ")) {
            for word in list.split('`').skip(1).step_by(2) {
                assert!(words.iter().any(|known| known == word), "{at:?}: the schema lacks `{word}`");
            }
        }
        for word in words {
            let told = problems_with(at, word);
            let is_refused = told.iter().any(|problem| problem.code == *word_code);
            assert!(!is_refused, "{at:?}: check refuses `{word}`:\n{told}");
        }
    }
}

#[test]
fn the_command_prints_the_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = switchboard(&["config", "schema"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed, schema::schema());
    assert_eq!(printed["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(printed["additionalProperties"], false);
    let role = &printed["definitions"]["Token"]["properties"]["role"];
    assert_eq!(role["description"], "What they may do.");
}
