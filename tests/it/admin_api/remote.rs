//! The command line as a client of a gateway elsewhere, and tokens made by it.

use std::path::Path;
use std::process::Output;

use reqwest::Method;
use serde_json::Value;
use switchboard::http::Role;

use super::{Office, token_of};
use crate::cli::{switchboard, text};
use crate::harness::{CALLER, SHORT, configure, place};

/// Runs the command with a token of this role, from a folder without a configuration.
async fn run(office: &Office, role: Role, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), token_of(role)).expect("a file");
    let url = format!("http://{}", office.house.gateway.admin);
    let mut all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    all.extend(["--remote", &url, "--token-file", "token"].map(str::to_owned));
    let command = move || {
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        switchboard(&words, folder.path())
    };
    tokio::task::spawn_blocking(command).await.expect("the command runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_read_and_erased_from_afar_as_far_as_the_role_goes() {
    let office = Office::open("").await;
    office.house.call(SHORT).await;
    let id = office.house.ended().await.call.id.to_string();
    let listed = run(&office, Role::Listener, &["calls", "ls", "--format", "json"]).await;
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let page: Value = serde_json::from_str(&text(&listed.stdout)).expect("JSON");
    assert_eq!((&page["calls"][0]["id"], &page["calls"][0]["caller"]), (&id.as_str().into(), &CALLER.into()));
    let masked = run(&office, Role::Viewer, &["calls", "ls"]).await;
    assert!(text(&masked.stdout).contains("+81•••••5678"), "{}", text(&masked.stdout));
    let shown = run(&office, Role::Listener, &["calls", "show", &id]).await;
    assert!(text(&shown.stdout).contains("はい。"), "{}", text(&shown.stdout));
    let exported = run(&office, Role::Viewer, &["calls", "export", "--format", "csv"]).await;
    assert!(text(&exported.stdout).contains(&id), "{}", text(&exported.stderr));

    let refused = run(&office, Role::Operator, &["calls", "delete", &id]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("for the role `admin`"), "{}", text(&refused.stderr));
    let over = run(&office, Role::Operator, &["calls", "transfer", &id, "desk"]).await;
    assert!(text(&over.stderr).contains("is over"), "{}", text(&over.stderr));
    let erased = run(&office, Role::Admin, &["calls", "delete", &id]).await;
    assert!(text(&erased.stdout).contains("is erased"), "{}", text(&erased.stderr));
    assert_eq!(office.ask(Role::Admin, Method::GET, &format!("/calls/{id}"), "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_compared_with_what_the_gateway_runs_with() {
    let office = Office::open("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let next = folder.path().join("next.toml");
    let text_of_next = r#"
[server]
public_url = "https://voice.example.com"
max_calls = 7

[openai]
api_key = "sk-next"
project_id = "proj_demo"
webhook_secrets = "whsec_c2VjcmV0"

[sessions.desk]
instructions = "Be kind."
"#;
    std::fs::write(&next, text_of_next).expect("a file");
    let next = next.display().to_string();
    let compared = run(&office, Role::Viewer, &["config", "diff", &next]).await;
    assert_eq!(compared.status.code(), Some(1), "{}", text(&compared.stderr));
    let said = text(&compared.stdout);
    assert!(said.contains("~ server.max_calls: 200 → 7\n"), "{said}");
    assert!(said.contains("+ sessions.desk.instructions: Be kind.\n"), "{said}");
    assert!(!said.contains("api_key") && !said.contains("project_id"), "{said}");
    assert!(text(&compared.stderr).contains("secrets are not compared"), "{}", text(&compared.stderr));
}

#[test]
fn a_token_does_not_go_where_it_could_be_read() {
    let words = ["calls", "ls", "--remote", "http://phones.example.com", "--token-file", "none"];
    let refused = switchboard(&words, Path::new("/"));
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("use https"), "{}", text(&refused.stderr));
}

#[test]
fn a_token_is_made_with_the_lines_to_paste() {
    let words = ["token", "new", "--name", "dashboard", "--role", "viewer"];
    let made = text(&switchboard(&words, Path::new("/")).stdout);
    let (head, lines) = made.split_once("[[admin.tokens]]").expect("the lines");
    let token = head.lines().map(str::trim).find(|line| line.starts_with("swb_")).expect("a token");
    assert!(!lines.contains(token), "the configuration has only the hash");
    let data = tempfile::tempdir().expect("a folder");
    let mut environment = place(data.path());
    let secrets = [
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("BASE_URL", "https://voice.example.com"),
    ];
    environment.extend(secrets.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let config = configure(
        &format!("[sessions.shop]\ninstructions = \"Be kind.\"\n[[admin.tokens]]{lines}"),
        environment,
    );
    let known = config.admin.tokens.first().expect("a token");
    let expected = switchboard::http::TokenSettings::of("dashboard", Role::Viewer, token);
    assert_eq!(known, &expected);
    for bad in [
        ["--name", "admin", "--role", "viewer"],
        ["--name", "a b", "--role", "viewer"],
        ["--name", "a", "--role", "root"],
    ] {
        let refused = switchboard(&[&["token", "new"][..], &bad[..]].concat(), Path::new("/"));
        assert_eq!(refused.status.code(), Some(2), "{bad:?}");
    }
}
