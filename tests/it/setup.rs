//! `switchboard setup`, with the simulators in the vendors' places: what it would set, and that it sets it when told to.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use switchboard::clock::SystemClock;
use switchboard::sim::log::WorldLog;
use switchboard::sim::twilio::CarrierRest;
use switchboard::sim::world::{ACCOUNT_SID, API_KEY, AUTH_TOKEN, Options, PROJECT_ID, WEBHOOK_SECRET, World};

use crate::cli::text;

const NUMBER: &str = "PN0123456789abcdef0123456789abcdef";

/// Runs `switchboard setup …` in this folder with these variables and a small configuration.
async fn setup(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Output {
    std::fs::write(folder.join("gateway.toml"), "[sessions.shop]\ninstructions = \"Be kind.\"\n")
        .expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("setup").args(words).current_dir(folder).env_clear().envs(variables.iter().copied());
    let run = move || command.output().expect("the command runs");
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

fn log() -> WorldLog {
    WorldLog::new(Arc::new(SystemClock), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_added_once_and_its_secret_told_once() {
    let world = World::start(Options::new(Arc::new(SystemClock), log(), 1.0)).await.expect("a world");
    let environment = world.environment();
    let base_url =
        environment.iter().find(|(name, _)| name == "SWITCHBOARD__OPENAI__BASE_URL").expect("an address");
    // Neither a webhook's secret nor a carrier yet.
    let variables = [
        ("OPENAI_API_KEY", API_KEY),
        ("OPENAI_PROJECT_ID", PROJECT_ID),
        ("OPENAI_BASE_URL", base_url.1.as_str()),
        ("BASE_URL", "https://voice.example.com"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        let output = setup(folder.path(), &["openai"], &variables).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(
            said.contains(
                "realtime.call.incoming → https://voice.example.com/api/openai/webhook/call-incoming"
            ),
            "{said}"
        );
        assert!(said.ends_with("nothing was changed: `--apply` does it\n"), "{said}");
        assert!(output.stdout.is_empty(), "nothing that could get into `.env`");
    }
    let output = setup(folder.path(), &["openai", "--apply"], &variables).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), format!("OPENAI_WEBHOOK_SECRET={WEBHOOK_SECRET}\n"));
    let output = setup(folder.path(), &["openai", "--apply"], &variables).await;
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stdout));
    assert!(text(&output.stderr).starts_with("nothing to do: "), "{}", text(&output.stderr));

    let mut wrong = variables;
    wrong[0].1 = "sk-other";
    let output = setup(folder.path(), &["openai", "--apply"], &wrong).await;
    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("Incorrect API key provided."), "{}", text(&output.stderr));
    let mut wrong = variables;
    wrong[3].1 = "http://127.0.0.1:8080";
    let output = setup(folder.path(), &["openai", "--apply"], &wrong).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("must begin with https://"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_set_only_when_told_to() {
    let carrier = CarrierRest::start(log(), ACCOUNT_SID, AUTH_TOKEN).await.expect("a carrier");
    let base_url = carrier.base_url();
    let variables = [
        ("TWILIO_ACCOUNT_SID", ACCOUNT_SID),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("SWITCHBOARD__TWILIO__BASE_URL", base_url.as_str()),
        ("BASE_URL", "https://voice.example.com"),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let output = setup(folder.path(), &["twilio", "--number", NUMBER], &variables).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("VoiceUrl = https://voice.example.com/twilio/voice\n"));
    assert!(carrier.requests().is_empty(), "nothing is asked for a plan");

    let fallback = "https://elsewhere.example.com/person.xml";
    let words = ["twilio", "--number", NUMBER, "--fallback-url", fallback, "--apply"];
    let output = setup(folder.path(), &words, &variables).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let number = carrier.number(NUMBER);
    let number: Vec<(&str, &str)> =
        number.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        number,
        [
            ("VoiceUrl", "https://voice.example.com/twilio/voice"),
            ("VoiceMethod", "POST"),
            ("VoiceFallbackUrl", fallback),
            ("VoiceFallbackMethod", "POST"),
            ("StatusCallback", "https://voice.example.com/twilio/status"),
            ("StatusCallbackMethod", "POST"),
        ]
    );
    let output = setup(folder.path(), &["twilio", "--number", "+4930123456"], &variables).await;
    assert_eq!(output.status.code(), Some(2), "a number is no SID");
}
