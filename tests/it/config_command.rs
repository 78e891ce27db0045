//! `switchboard config show` and `config diff`, as a person runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::text;

const CONFIG: &str = r#"[server]
public_url = "https://voice.example.com"
max_calls = 20

[twilio]
account_sid = "AC00000000000000000000000000000abc"
auth_tokens = "${TOKEN}"

[sessions.shop]
instructions = "Be kind."

[sessions.night]
instructions = "We are closed."

[[routes]]
name = "night"
match = { hours = { outside = "09:00-18:00", tz = "Asia/Tokyo" } }
session = "night"

[[routes]]
name = "everyone"
session = "shop"
"#;

/// Runs `switchboard config …` in this folder.
fn config(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("config").args(words).current_dir(folder).env_clear();
    for (name, value) in [
        ("OPENAI_API_KEY", "sk-hunter2"),
        ("OPENAI_PROJECT_ID", "proj_x"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("SWITCHBOARD__SERVER__LISTEN", "127.0.0.1:8181"),
    ] {
        command.env(name, value);
    }
    command.output().expect("the command runs")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), CONFIG).expect("a file");
    fs::write(folder.path().join(".env"), "TOKEN=swordfish\nOTHER=trout\n").expect("a file");
    folder
}

#[test]
fn every_value_is_shown_with_where_it_comes_from() {
    let folder = folder();
    let output = config(folder.path(), &["show", "--origin"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    let line = |key: &str| {
        let line = shown.lines().find(|line| line.split_whitespace().next() == Some(key));
        line.unwrap_or_else(|| panic!("no {key} in\n{shown}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("server.max_calls"), "server.max_calls gateway.toml:3 20");
    assert_eq!(line("server.listen"), "server.listen environment SWITCHBOARD__SERVER__LISTEN 127.0.0.1:8181");
    assert_eq!(line("server.body_max"), "server.body_max default 256KiB");
    assert_eq!(line("openai.api_key"), "openai.api_key environment OPENAI_API_KEY •••");
    assert_eq!(line("twilio.auth_tokens"), "twilio.auth_tokens gateway.toml:7 ${TOKEN}");
    assert_eq!(line("routes[1].session"), "routes[1].session gateway.toml:22 shop");
    for secret in ["swordfish", "hunter2", "c2VjcmV0"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_part_is_shown_as_json() {
    let folder = folder();
    let output = config(folder.path(), &["show", "sessions.shop", "--format", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(
        shown.iter().all(|entry| entry["key"].as_str().is_some_and(|key| key.starts_with("sessions.shop.")))
    );
    let instructions =
        shown.iter().find(|entry| entry["key"] == "sessions.shop.instructions").expect("the key");
    assert_eq!(instructions["value"], "Be kind.");
    assert_eq!(instructions["origin"]["line"], 10);
    let output = config(folder.path(), &["show", "sessions.sho"]);
    assert_eq!(output.status.code(), Some(1), "half a name is none: {}", text(&output.stdout));
}

#[test]
fn another_file_that_says_the_same_differs_in_nothing() {
    let folder = folder();
    // The same values, one written out and one from elsewhere.
    let same = CONFIG.replace("max_calls = 20", "max_calls = \"${CALLS:-20}\"\nmax_connections = 512");
    fs::write(folder.path().join("same.toml"), same).expect("a file");
    let output = config(folder.path(), &["diff", "same.toml"]);
    assert_eq!(text(&output.stdout), "nothing would change\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_another_file_would_change_is_said_key_by_key_and_no_secret() {
    let folder = folder();
    let withheld =
        "[[routes]]\nname = \"withheld\"\nmatch = { from = \"anonymous\" }\nreject = 603\n\n[[routes]]";
    let other = CONFIG
        .replace("max_calls = 20", "max_calls = 30")
        .replace("${TOKEN}", "${OTHER}")
        .replace("We are closed.", "Call tomorrow.")
        .replacen("[[routes]]", withheld, 1);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let path = elsewhere.path().join("next.toml");
    fs::write(&path, other).expect("a file");
    let path = path.display().to_string();
    let output = config(folder.path(), &["diff", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(
        text(&output.stdout),
        "~ routes: [night, everyone] → [withheld, night, everyone]\n\
         + routes[withheld].match.from: anonymous\n\
         + routes[withheld].name: withheld\n\
         + routes[withheld].reject: 603\n\
         ~ server.max_calls: 20 → 30\n\
         ~ sessions.night.instructions: We are closed. → Call tomorrow.\n\
         ~ twilio.auth_tokens: ${TOKEN} → ${OTHER}\n"
    );
    let output = config(folder.path(), &["diff", &path, "--format", "json"]);
    let changes: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(changes[4], serde_json::json!({ "key": "server.max_calls", "old": "20", "new": "30" }));
}

#[test]
fn a_secret_that_changes_is_seen_and_not_shown() {
    let folder = folder();
    let key = |key: &str| format!("{CONFIG}\n[openai]\napi_key = \"{key}\"\n");
    fs::write(folder.path().join("gateway.toml"), key("sk-before")).expect("a file");
    fs::write(folder.path().join("next.toml"), key("sk-after")).expect("a file");
    let output = config(folder.path(), &["diff", "next.toml"]);
    assert_eq!(text(&output.stdout), "~ openai.api_key: ••• → another one\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_file_that_is_wrong_is_no_change_but_a_mistake() {
    let folder = folder();
    fs::write(folder.path().join("next.toml"), CONFIG.replace("session = \"night\"", "session = \"nite\""))
        .expect("a file");
    let output = config(folder.path(), &["diff", "next.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(text(&output.stderr).contains("E0203"), "{}", text(&output.stderr));
}
