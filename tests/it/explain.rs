//! What `switchboard explain` says: of a code, and of a call.

use std::path::Path;
use std::process::{Command, Output};

use switchboard::call::story::{Went, Whose, story};
use switchboard::cli::catalogue::{self, Kind};
use switchboard::sim::fault::ProviderFaults;

use crate::harness::{House, SHORT};

fn switchboard(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(words).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    command.output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_code_is_explained_and_one_that_is_misspelt_is_guessed() {
    let output = switchboard(&["explain", "e0405"]);
    let said = text(&output.stdout);
    assert!(
        output.status.success() && said.starts_with("error[E0405]: not a credential of its kind\n\n"),
        "{said}"
    );
    assert!(said.lines().all(|line| line.chars().count() <= 78), "{said}");
    let output = switchboard(&["explain", "E9405"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("did you mean `E0405`"), "{said}");
}

#[test]
fn whatever_an_operator_meets_is_explained_with_what_to_do() {
    let all = catalogue::all();
    let one_of_each = Kind::ALL.map(|kind| all.iter().find(|entry| entry.kind == kind).expect("a code"));
    for entry in one_of_each {
        let said = text(&switchboard(&["explain", entry.code]).stdout);
        let (said, fix) = (said.replace('\n', " "), format!("What to do: {}", entry.fix));
        assert!(said.contains(entry.cause) && said.contains(&fix), "{}: {said}", entry.code);
    }
    let said = text(&switchboard(&["explain", "not_found"]).stdout);
    for head in ["not_found: what came of a tool call\n", "not_found: a refusal of the admin API\n"] {
        assert!(said.contains(head), "one word, met in two places: {said}");
    }
    let output = switchboard(&["explain", "provider_silence"]);
    let said = text(&output.stderr);
    let is_guessed = said.contains("did you mean `provider_silent`, why a call ended?");
    assert!(output.status.code() == Some(1) && is_guessed, "{said}");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let output = switchboard(&["completions", "bash"]);
    assert!(
        output.status.success() && text(&output.stdout).contains("switchboard__subcmd__handover"),
        "bash"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man");
    let output = switchboard(&["man", pages.to_str().expect("text")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let has = |page: &str| Path::new(&pages).join(page).is_file();
    assert!(has("switchboard.1") && has("switchboard-serve.1") && has("switchboard-calls-forget.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_went_well_is_told_in_order() {
    let house = House::open().await;
    house.call(SHORT).await;
    let told = story(&house.ended().await);
    let words: Vec<&str> = told.iter().map(|happened| happened.words.as_str()).collect();
    assert_eq!(words.first(), Some(&"the carrier asked what to do with the caller"), "{words:#?}");
    assert!(words.last().is_some_and(|last| last.starts_with("the call was over: ")), "{words:#?}");
    assert!(told.iter().all(|happened| !matches!(happened.went, Went::Failed(_))), "{told:#?}");
    assert!(words.iter().any(|words| words.contains("heard the assistant's first word")), "{words:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_says_where_to_look_first() {
    let faults = ProviderFaults { calls: 1, accept_status: Some(500), ..ProviderFaults::default() };
    let house = House::without_plugins(faults).await;
    house.call(SHORT).await;
    let told = story(&house.ended().await);
    let failed: Vec<_> = told.iter().filter(|happened| matches!(happened.went, Went::Failed(_))).collect();
    assert!(
        !failed.is_empty() && failed.iter().all(|one| one.went == Went::Failed(Whose::Provider)),
        "{told:#?}"
    );
}
