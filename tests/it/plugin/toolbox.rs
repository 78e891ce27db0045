//! All plugins' tools together: what a session offers, what is checked before a plugin runs, and what
//! the model reads when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use switchboard::call::event::ToolCall;
use switchboard::call::record::ToolOutcomeKind;
use switchboard::config::{self, Environment};
use switchboard::ids::ToolCallId;
use switchboard::session::Session;
use switchboard::tool::Toolbox;
use switchboard::tool::plugin::{Limits, Settings};

use super::{chain, from, guests_with, guests_within, load, root, settings};

/// A session that offers these tools, with little room for their answers.
pub(super) fn session(tools: &[&str]) -> Arc<Session> {
    let environment: Environment = [
        ("OPENAI_API_KEY", "sk-test-0123456789"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("BASE_URL", "https://voice.example.com"),
    ]
    .into_iter()
    .collect();
    let text = format!(
        "[sessions.shop]\ninstructions = \"Be kind.\"\ntools = {tools:?}\nlimits = {{ tool_output = \"1KiB\" }}\n"
    );
    let config = config::parse("test.toml", text.as_bytes(), root(), &environment)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    Arc::clone(&config.sessions["shop"])
}

async fn toolbox(settings: &Settings) -> Toolbox {
    Toolbox::new([load(settings).await]).expect("a toolbox")
}

pub(super) async fn run(
    toolbox: &Toolbox,
    session: &Session,
    name: &str,
    arguments: &str,
) -> (ToolOutcomeKind, String) {
    let id = ToolCallId("call_1".to_owned());
    let call = ToolCall { id: id.clone(), name: name.to_owned(), arguments: arguments.to_owned() };
    let finished = toolbox.run(session, &from(None), &call).await;
    assert_eq!(finished.tool_call, id);
    (finished.kind, finished.output)
}

pub(super) fn message(output: &str) -> (String, String, bool) {
    let value: Value = serde_json::from_str(output).expect("JSON");
    let text = |key: &str| value[key].as_str().expect("a text").to_owned();
    (text("error"), text("message"), value["retryable"].as_bool().expect("a truth"))
}

#[tokio::test]
async fn arguments_are_checked_before_the_plugin_runs() {
    let (toolbox, session) = (toolbox(&guests_with("describe", "strict")).await, session(&["*"]));
    let good = run(&toolbox, &session, "echo", "{\"party\": 2}").await;
    assert_eq!(good, (ToolOutcomeKind::Ok, "{\"party\": 2}".to_owned()));
    for (arguments, complaint) in [
        ("{party: 2}", "not JSON"),
        ("{\"party\": 2", "not JSON"),
        ("[]", "object"),
        ("\"two\"", "object"),
        ("{\"party\": 0}", "/party"),
        ("{\"party\": \"two\"}", "/party"),
        ("{\"party\": 2, \"smoke\": true}", "smoke"),
        ("{}", "party"),
        ("", "party"),
    ] {
        let (kind, output) = run(&toolbox, &session, "echo", arguments).await;
        let (error, words, may_retry) = message(&output);
        assert_eq!((kind, error.as_str()), (ToolOutcomeKind::InvalidArguments, "invalid_arguments"));
        assert!(words.contains(complaint) && !may_retry, "{arguments}: {words}");
    }
    let deep = format!("{{\"party\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(run(&toolbox, &session, "echo", &deep).await.0, ToolOutcomeKind::InvalidArguments);
}

#[tokio::test]
async fn no_arguments_at_all_are_an_empty_object() {
    let (toolbox, session) = (toolbox(&settings("test-guests")).await, session(&["*"]));
    for arguments in ["", "  \n", "{}"] {
        let ran = run(&toolbox, &session, "echo", arguments).await;
        assert_eq!(ran, (ToolOutcomeKind::Ok, "{}".to_owned()));
    }
}

#[tokio::test]
async fn only_what_the_session_offers_is_shown_and_run() {
    let (toolbox, session) = (toolbox(&settings("test-guests")).await, session(&["kv_*", "hangup"]));
    let offered: Vec<String> =
        toolbox.offered_in(&session).into_iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(offered, ["kv_get", "kv_get_key", "kv_list", "kv_put", "kv_put_new", "hangup"]);
    for name in ["echo", "no_such_tool", "", "kv_nothing"] {
        let (kind, output) = run(&toolbox, &session, name, "{}").await;
        assert_eq!(kind, ToolOutcomeKind::UnknownTool, "{name}");
        let words = format!("there is no tool `{name}`");
        assert_eq!(message(&output), ("unknown_tool".to_owned(), words, false));
    }
    assert_eq!(
        (toolbox.label("echo"), toolbox.label("hangup"), toolbox.label("x")),
        ("echo", "hangup", "unknown")
    );
    assert!(toolbox.may_repeat("kv_get") && !toolbox.may_repeat("kv_put"));
}

#[tokio::test]
async fn what_went_wrong_inside_is_not_for_the_model() {
    use ToolOutcomeKind::{BadOutput, Failed, NotFound, Ok, Timeout};
    let limits =
        Limits { memory_bytes: 8 << 20, time: std::time::Duration::from_millis(200), ..Limits::default() };
    let quick = toolbox(&guests_within(limits)).await;
    let (ample, session) = (toolbox(&settings("test-guests")).await, session(&["*"]));
    let long = json!({ "words": "x".repeat(1_024) }).to_string();
    for (toolbox, tool, arguments, kind, words, may_retry) in [
        (&quick, "spin", "{}", Timeout, "it took too long", true),
        (&ample, "trap", "{}", Failed, "it failed inside", false),
        (&ample, "fail_inside", "{}", Failed, "it failed inside", false),
        (&ample, "not_json", "{}", BadOutput, "the answer was not readable", false),
        (&ample, "say_not_found", "{}", NotFound, "no such order", false),
        (&ample, "echo", &long, BadOutput, "the answer is too long to be spoken about; ask for less", false),
    ] {
        let (found, output) = run(toolbox, &session, tool, arguments).await;
        assert_eq!(found, kind, "{tool}: {output}");
        assert_eq!(message(&output), (kind.as_str().to_owned(), words.to_owned(), may_retry), "{tool}");
    }
    let longest = json!({ "w": "x".repeat(1_024 - 8) }).to_string();
    assert_eq!(run(&ample, &session, "echo", &longest).await, (Ok, longest));
}

#[tokio::test]
async fn a_broken_config_of_the_customer_lookup_is_not_told_to_the_caller() {
    let config = BTreeMap::from([("customers".to_owned(), "the password is 1234".to_owned())]);
    let toolbox = toolbox(&Settings { config, ..settings("customer-lookup") }).await;
    let arguments = "{\"phone\":\"09012345678\"}";
    let (kind, output) = run(&toolbox, &session(&["*"]), "lookup_customer", arguments).await;
    assert_eq!(kind, ToolOutcomeKind::Failed);
    assert_eq!(message(&output), ("failed".to_owned(), "it failed inside".to_owned(), false));
}

#[tokio::test]
async fn two_tools_of_one_name_are_refused() {
    let first = load(&settings("test-guests")).await;
    let second = load(&Settings { name: "again".to_owned(), ..guests_with("describe", "only_echo") }).await;
    let twice = Toolbox::new([first, second]).expect_err("two tools of one name");
    insta::assert_snapshot!(chain(&twice), @"tool `echo` is provided by plugin `test-guests` and by plugin `again`: rename one of them");
    let hangup = load(&guests_with("describe", "built_in")).await;
    let built_in = Toolbox::new([hangup]).expect_err("a built-in name");
    insta::assert_snapshot!(chain(&built_in), @"tool `hangup` of plugin `test-guests` has the name of a built-in tool: rename it");
}
