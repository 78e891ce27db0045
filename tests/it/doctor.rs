//! `switchboard doctor --online`, with the simulators in the vendors' places and a gateway behind its public address.

use std::path::Path;
use std::process::{Command, Output};

use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::world::{ACCOUNT_SID, API_KEY, AUTH_TOKEN, PROJECT_ID, WEBHOOK_SECRET};

use crate::cli::text;
use crate::harness::House;

/// Runs the doctor in this folder with a configuration for this house; `changed` replaces single variables.
async fn doctor(house: &House, folder: &Path, changed: &[(&str, &str)]) -> Output {
    let base_url = house.world.openai.base_url();
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(["doctor", "--online"]).current_dir(folder).env_clear();
    for (name, value) in [
        ("OPENAI_API_KEY", API_KEY),
        ("OPENAI_PROJECT_ID", PROJECT_ID),
        ("OPENAI_WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("OPENAI_BASE_URL", &base_url),
        ("SWITCHBOARD__OPENAI__SIP_HOST", "localhost"),
        ("TWILIO_ACCOUNT_SID", ACCOUNT_SID),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN),
        ("SWITCHBOARD__TWILIO__BASE_URL", &house.world.carrier_rest.base_url()),
        ("SWITCHBOARD__SERVER__MAX_CALLS", "2"),
        ("SWITCHBOARD__SERVER__MAX_CONNECTIONS", "16"),
        ("BASE_URL", &house.url("")),
    ] {
        command.env(name, value);
    }
    command.envs(changed.iter().copied());
    std::fs::write(folder.join("gateway.toml"), "[sessions.shop]\ninstructions = \"Be kind.\"\n")
        .expect("a file");
    let run = move || command.output().expect("the command runs");
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

/// What it says of one thing: the mark, and the rest of the line.
fn line(said: &str, what: &str) -> String {
    let found = said.lines().find(|line| line.split_whitespace().nth(1) == Some(what));
    found.unwrap_or_else(|| panic!("nothing of `{what}` in\n{said}")).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_can_be_asked_is_well() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let output = doctor(&house, folder.path(), &[]).await;
    let said = text(&output.stdout);
    for what in ["files", "names", "clock", "key", "webhook", "carrier", "public"] {
        assert!(line(&said, what).starts_with('✓'), "{said}{}", text(&output.stderr));
    }
    assert!(line(&said, "number").starts_with('?'), "{said}");
    assert!(!folder.path().join("data").exists(), "it changes nothing");
    assert!(house.calls().await.is_empty(), "the gateway was offered no call");
    // Room on the disk is what this machine has.
    let is_roomy = line(&said, "disk").starts_with('✓');
    assert_eq!(output.status.code(), Some(i32::from(!is_roomy)), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_is_wrong_is_said_with_its_fix_and_no_secret() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    let changed = [
        ("OPENAI_API_KEY", "sk-hunter2"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_aHVudGVyMg=="),
        ("TWILIO_AUTH_TOKEN", "hunter2"),
        ("SWITCHBOARD__OPENAI__SIP_HOST", "sip.switchboard.invalid"),
        ("SWITCHBOARD__SERVER__MAX_CONNECTIONS", "100000"),
        ("SWITCHBOARD__SERVER__MAX_CALLS", "100000"),
    ];
    let output = doctor(&house, folder.path(), &changed).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for (what, words, fix) in [
        ("names", "sip.switchboard.invalid", "look at the spelling"),
        ("key", "is refused: Incorrect API key provided.", "into OPENAI_API_KEY"),
        ("carrier", "refuses our credentials", "into TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
        ("public", "refuses what is signed with our secret", "another secret or clock"),
    ] {
        let line = line(&said, what);
        assert!(line.starts_with('✗') && line.contains(words), "{said}");
        assert!(said.contains(fix), "`{fix}` is missing in\n{said}");
    }
    assert!(!said.contains("hunter2") && !said.contains("aHVudGVyMg"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_that_leads_elsewhere_or_nowhere_is_seen() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let folder = tempfile::tempdir().expect("a folder");
    // The provider's own address is no gateway, and no webhook leads there.
    let elsewhere = house.world.openai.base_url().trim_end_matches("/v1").to_owned();
    let said = text(&doctor(&house, folder.path(), &[("BASE_URL", &elsewhere)]).await.stdout);
    assert!(line(&said, "public").contains("that is no gateway"), "{said}");
    assert!(line(&said, "webhook").contains("none of the project's 1 leads here"), "{said}");
    let nowhere = text(&doctor(&house, folder.path(), &[("BASE_URL", "http://127.0.0.1:1")]).await.stdout);
    assert!(line(&nowhere, "public").contains("does not answer"), "{nowhere}");
    assert!(nowhere.contains("is `switchboard serve` running"), "{nowhere}");
}
