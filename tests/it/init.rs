//! `switchboard init`: what it writes works, and what is there stays.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::cli::{switchboard, text};

/// Runs the command with the variables that `.env.example` names.
fn with_variables(words: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(words).current_dir(folder).env_clear().env("HOME", folder);
    let example = fs::read_to_string(folder.join(".env.example")).expect("the example");
    for name in example.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name) {
        let value = match name {
            "OPENAI_API_KEY" => "sk-x",
            "OPENAI_PROJECT_ID" => "proj_x",
            "OPENAI_WEBHOOK_SECRET" => "whsec_c2VjcmV0",
            "TWILIO_ACCOUNT_SID" => "AC00000000000000000000000000000abc",
            "TWILIO_AUTH_TOKEN" => "x",
            "BASE_URL" => "https://voice.example.com",
            "USE_OPENAI_SIP" => "true",
            name if name.starts_with('#') => continue,
            name => panic!("`{name}` is new: what is its value here?"),
        };
        command.env(name, value);
    }
    command.output().expect("the command runs")
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn what_is_proposed_passes_check_and_is_heard_in_the_demo() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = switchboard(&["init", "--yes"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let next = text(&output.stdout);
    for step in [
        "switchboard demo",
        "cp .env.example .env",
        "switchboard check",
        "switchboard serve",
        "switchboard doctor",
    ] {
        assert!(next.contains(step), "`{step}` is missing in\n{next}");
    }
    assert!(read(folder.path(), "gateway.toml").starts_with("#:schema ./gateway.schema.json\n"));
    assert_eq!(read(folder.path(), ".gitignore"), "/.env\n/data\n/data-dev\n");

    let output = with_variables(&["check", "--deny-warnings"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with("\n1 test passed\n"), "{}", text(&output.stdout));
    // As a newcomer: nothing is set yet.
    let output = switchboard(&["demo", "--speed", "20"], folder.path());
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("· ended caller_hangup ·"), "{}", text(&output.stdout));
    let output = switchboard(&["test"], folder.path());
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("2 passed, 0 failed"), "{}", text(&output.stdout));
    // A copy that nobody has filled in yet is no reason to be told less.
    fs::copy(folder.path().join(".env.example"), folder.path().join(".env")).expect("a copy");
    let output = switchboard(&["check"], folder.path());
    assert_eq!(output.status.code(), Some(78));
    for variable in ["OPENAI_API_KEY", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET"] {
        assert!(text(&output.stderr).contains(variable), "{}", text(&output.stderr));
    }
}

#[test]
fn the_answers_stand_where_they_belong() {
    let folder = tempfile::tempdir().expect("a folder");
    let words = [
        "init",
        "--yes",
        "desk",
        "--name",
        "Bücher & \"Mehr\" $5",
        "--language",
        "de",
        "--number",
        "+49 30 123456",
        "--forward",
        "sip:desk@example.com",
        "--url",
        "https://voice.example.com/",
    ];
    let output = switchboard(&words, folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("  cd desk\n"), "{}", text(&output.stdout));
    let desk = folder.path().join("desk");
    let table: toml::Table = read(&desk, "gateway.toml").parse().expect("TOML");
    assert_eq!(table["server"]["public_url"].as_str(), Some("https://voice.example.com"));
    assert_eq!(table["server"]["default_country"].as_str(), Some("49"));
    let session = &table["sessions"]["reception"];
    assert_eq!(session["vars"]["business"].as_str(), Some("Bücher & \"Mehr\" $$5"), "`$$` is a dollar sign");
    assert_eq!(
        session["greeting"].as_str(),
        Some(
            "Open the call with these words: Guten Tag, hier ist Bücher & \"Mehr\" $5. Was kann ich für Sie tun?"
        )
    );
    assert_eq!(table["routes"][0]["fallback"]["forward"].as_str(), Some("sip:desk@example.com"));
    assert_eq!(table["tests"][0]["given"]["to"].as_str(), Some("+4930123456"));
    let example = read(&desk, ".env.example");
    assert!(example.contains("https://voice.example.com/twilio/voice\n"), "{example}");
    assert!(example.contains("https://voice.example.com/api/openai/webhook/call-incoming\n"), "{example}");
    let output = with_variables(&["check", "--deny-warnings"], &desk);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let schema: serde_json::Value = serde_json::from_str(&read(&desk, "gateway.schema.json")).expect("JSON");
    let document = serde_json::to_value(&table).expect("JSON");
    assert!(jsonschema::is_valid(&schema, &document));
}

#[test]
fn nothing_that_is_there_is_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), "# mine\n").expect("a file");
    fs::write(folder.path().join(".gitignore"), "target\n.env").expect("a file");
    let output = switchboard(&["init", "--yes"], folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("gateway.toml in .: already there"), "{}", text(&output.stderr));
    assert_eq!(read(folder.path(), "gateway.toml"), "# mine\n");
    assert!(!folder.path().join(".env.example").exists(), "all or nothing");

    let output = switchboard(&["init", "--yes", "--force"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(read(folder.path(), "gateway.toml").contains("[sessions.reception]"));
    assert_eq!(read(folder.path(), ".gitignore"), "target\n.env\n/data\n/data-dev\n");
}

#[test]
fn what_cannot_be_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    for (words, said) in [
        (&["init"][..], "nobody can be asked here"),
        (&["init", "--yes", "--number", "030 123456"], "`030 123456`: write it with + and country code"),
        (&["init", "--yes", "--forward", "desk"], "neither a number"),
        (&["init", "--yes", "--url", "http://voice.example.com"], "write it as https://"),
        (&["init", "--yes", "--greeting", "Hello {{ name"], "the template cannot be used"),
    ] {
        let output = switchboard(words, folder.path());
        assert!(matches!(output.status.code(), Some(1 | 78)), "{words:?}");
        assert!(text(&output.stderr).contains(said), "{words:?}: {}", text(&output.stderr));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "{words:?}");
    }
}
