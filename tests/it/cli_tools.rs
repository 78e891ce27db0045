//! `switchboard tools`: the list, a real call, and what stands in the way of one.

use std::path::Path;
use std::process::{Command, Output};

use crate::backend::{Backend, Reply};
use crate::harness::{House, Plan};

const TOOLS: &str = r#"
[sessions.reception]
instructions = "Be kind."
tools = ["find", "hangup"]
vars = { shop = "davinci" }

[sessions.night]
extends = "reception"
tools = ["hangup"]

[[routes]]
name = "night"
match = { from = "anonymous" }
session = "night"

[[routes]]
name = "all"
session = "reception"

[tools.find]
description = "Finds things."
params = { id = { type = "string" } }

[tools.find.http]
url = "${BACKEND:-https://api.example.com}/{{ vars.shop }}/{{ args.id }}?from={{ call.from }}"
headers = { Authorization = "Bearer ${TOKEN:-none}" }
private_hosts = ["127.0.0.1"]

[tools.drop]
description = "Drops things."
http = { method = "DELETE", url = "https://api.example.com/things", timeout = "2s" }
"#;

/// Runs `switchboard tools …` in this folder.
fn tools(folder: &Path, words: &[&str], more: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("tools").args(words).current_dir(folder).env_clear();
    for (name, value) in [
        ("OPENAI_API_KEY", "sk-x"),
        ("OPENAI_PROJECT_ID", "proj_x"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("BASE_URL", "https://voice.example.com"),
    ] {
        command.env(name, value);
    }
    command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
    command.output().expect("the command runs")
}

fn folder(config: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("gateway.toml"), config).expect("a file");
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_list_tells_who_offers_what() {
    let folder = folder(TOOLS);
    let listed = tools(folder.path(), &["ls"], &[]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let lines: Vec<String> = text(&listed.stdout)
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "TOOL KIND FROM TIMEOUT REPEATABLE SESSIONS",
            "drop http [tools.drop] 2.0 s no none",
            "find http [tools.find] 5.0 s yes reception",
        ]
    );
    assert!(!folder.path().join("data").exists(), "looking opens no store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_really_called() {
    let backend = Backend::start(|asked, _| match asked.target.contains("/none") {
        true => Reply::new(404, "secret trace"),
        false => Reply::new(200, r#"{"found": true}"#),
    })
    .await;
    let folder = folder(TOOLS);
    let more = [("BACKEND", backend.url("")), ("TOKEN", "hunter2".to_owned())];
    let good = tools(folder.path(), &["call", "find", r#"{"id": "7"}"#, "--caller", "+819012345678"], &more);
    assert_eq!(text(&good.stdout), "{\"found\":true}\n", "{}", text(&good.stderr));
    let asked = &backend.asked()[0];
    assert_eq!(asked.line(), "GET /davinci/7?from=%2B819012345678");
    assert_eq!(asked.header("authorization"), Some("Bearer hunter2"));
    let own = ["call", "find", r#"{"id": "8"}"#, "--session", "reception", "--var", "shop=other"];
    assert!(tools(folder.path(), &own, &more).status.success());
    assert_eq!(backend.lines()[1], "GET /other/8?from=");
    for (words, said) in [
        (&["call", "find", r#"{"id": "none"}"#] as &[&str], "not_found: there is no such thing"),
        (&["call", "find", "{}"], "invalid_arguments"),
        (&["call", "find", "no json"], "invalid_arguments: not JSON"),
        (&["call", "found"], "there is no tool `found`; there is `drop`, `find`"),
        (&["call", "hangup"], "built in"),
        (&["call", "find", "--session", "night"], "does not offer"),
        (&["call", "find", "--session", "day"], "no session `day`"),
    ] {
        let failed = tools(folder.path(), words, &more);
        let told = text(&failed.stderr);
        assert_eq!(failed.status.code(), Some(1), "{words:?}: {told}");
        assert!(told.contains(said) && failed.stdout.is_empty(), "{words:?}: {told}");
        assert!(!told.contains("secret trace") && !told.contains("hunter2"), "{told}");
    }
}

#[test]
fn tools_that_do_not_fit_together_are_told_with_their_place() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/customer-lookup/customer-lookup.wasm");
    let config = format!(
        "[sessions.reception]\ninstructions = \"Be kind.\"\n\n[tools.lookup_customer]\ndescription = \"Finds.\"\n\
         http = {{ url = \"https://api.example.com/\" }}\n\n[plugins.customers]\npath = \"{}\"\nallow = {{ kv = \"customers\" }}\n",
        plugin.display()
    );
    let folder = folder(&config);
    let failed = tools(folder.path(), &["ls"], &[]);
    let told = text(&failed.stderr);
    assert_eq!(failed.status.code(), Some(78), "{told}");
    for words in
        ["error[E0510]", "gateway.toml:9:8", "`lookup_customer`", "`[tools.lookup_customer]`", "help:"]
    {
        assert!(told.contains(words), "`{words}` is missing in\n{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_keeps_values_waits_for_the_store() {
    let house = House::with(Plan::default()).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = crate::harness::CONFIG
        .replace("plugins/customer-lookup/", &format!("{}/plugins/customer-lookup/", root.display()));
    let config = format!(
        "{config}\n[tools.find]\ndescription = \"Finds.\"\nhttp = {{ url = \"http://127.0.0.1:9/\", private_hosts = [\"127.0.0.1\"] }}\n"
    );
    let folder = folder(&config);
    let store = [("SWITCHBOARD__STORE__PATH", house.data.path().display().to_string())];
    let call = ["call", "lookup_customer", r#"{"phone": "090-1234-5678"}"#];
    let refused = tools(folder.path(), &call, &store);
    let told = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(69), "{told}");
    assert!(
        told.contains("plugin `customer-lookup` keeps values") && told.contains("running gateway"),
        "{told}"
    );
    let other = tools(folder.path(), &["call", "find"], &store);
    assert_eq!(other.status.code(), Some(1), "it needs no store: {}", text(&other.stderr));
    assert!(text(&other.stderr).contains("unavailable"), "{}", text(&other.stderr));
    let data = house.close().await;
    let found = tools(folder.path(), &call, &store);
    assert!(text(&found.stdout).contains("佐藤 花子"), "{}", text(&found.stderr));
    drop(data);
}
