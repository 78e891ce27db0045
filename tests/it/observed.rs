//! What is told of a call that is over, and what is told of it to nobody: one wide line of the log, by the real binary, and
//! words that are not even kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use switchboard::clock::SystemClock;
use switchboard::http::{OPENAI_WEBHOOK, TWILIO_STATUS, TWILIO_VOICE};
use switchboard::sim::log::WorldLog;
use switchboard::sim::twilio::{CallerSetup, ExplicitRequest, Fields, Signing};
use switchboard::sim::twiml;
use switchboard::sim::world::{ConnectedWorld, Options, World};
use switchboard::store::search;

use crate::cli::Served;
use crate::harness::{CALLEE, CALLER, House, Operator, Plan, place, script};

/// A shop that turns one caller away.
const SHOP: &str = r#"
[telemetry.log]
format = "json"

[sessions.shop]
instructions = "You are the shop."
greeting = "Say hello."
tools = ["*"]
turn_detection = { type = "server_vad", silence_duration = "200ms" }

[[routes]]
name = "nobody"
match = { from = "+819099999999" }
reject = 603

[[routes]]
name = "all"
session = "shop"
"#;

/// The caller says a number of a card, the model makes a tool up, and says goodbye.
const TALK: &str = r#"
steps = [
    { model = { says = "お電話ありがとうございます。" } },
    { caller = { says = "カードは 4111 1111 1111 1111 です。" } },
    { model = { says = "お待ちください。", calls = [{ name = "kumquat", arguments = { card = "4111111111111111" } }] } },
    { model = { calls = [{ name = "lookup_customer" }] } },
    { model = { says = "失礼いたします。", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]
"#;

/// The real binary with this configuration, and the world around it.
async fn serve(config: &str) -> (Served, ConnectedWorld) {
    let clock = Arc::new(SystemClock);
    let log = WorldLog::new(clock.clone(), None);
    let world = World::start(Options::new(clock, log, 50.0)).await.expect("a world");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("gateway.toml"), config).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("serve").current_dir(folder.path()).env_clear().env("HOME", folder.path());
    command.envs(world.environment()).envs(place(&folder.path().join("data")));
    let mut served = Served::of(command, folder);
    let ready = served.says("ready");
    let public = ready["public"].as_str().expect("an address");
    let world = world.connect(&format!("http://{public}"), OPENAI_WEBHOOK).expect("a client");
    (served, world)
}

/// A request of the carrier.
async fn tell(world: &ConnectedWorld, path: &str, fields: Fields) {
    let (method, path, signing) = (twiml::Method::Post, path.to_owned(), Signing::Right);
    let asked = world.twilio.request(ExplicitRequest { method, path, fields, signing }).await;
    asked.expect("an answer");
}

fn keys(line: &Value) -> BTreeSet<&str> {
    line.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The line that the page about operations shows; with `BLESS=1` it becomes this one.
fn shown(line: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(&path).expect("a page");
    let (before, rest) = page.split_once("```json\n{\"timestamp\"").expect("an example");
    let (example, after) = rest.split_once("\n```").expect("its end");
    if std::env::var_os("BLESS").is_none() {
        return serde_json::from_str(&format!("{{\"timestamp\"{example}")).expect("JSON");
    }
    fs::write(&path, format!("{before}```json\n{line}\n```{after}")).expect("a writable page");
    serde_json::from_str(line).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_has_one_line_in_the_log() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/customer-lookup/customer-lookup.wasm");
    let granted = "allow = { kv = \"customers\" }";
    let plugin = format!("{SHOP}\n[plugins.customer-lookup]\npath = {plugin:?}\n{granted}\n");
    let (mut served, world) = serve(&plugin).await;
    world.play(CallerSetup::new(CALLER, CALLEE, script(TALK))).await;
    let written = served.line("call finished");
    let line: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(keys(&line), keys(&shown(&written)), "docs/operations.md shows such a line: {line}");
    assert_eq!(line["level"], "INFO");
    for (key, value) in [
        ("reason", "assistant_hangup"),
        ("route", "all"),
        ("session", "shop"),
        ("path", "sip"),
        ("caller", "+81•••••5678"),
        ("callee", "+81•••••5678"),
        ("carrier", "twilio"),
        ("model", "gpt-realtime-2.1"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    assert_eq!((&line["tool_calls"], &line["tools_failed"]), (&3.into(), &1.into()), "{line}");
    let tools: Value = serde_json::from_str(line["tools"].as_str().expect("a list")).expect("JSON");
    // What the model made up is no tool's name.
    assert_eq!((&tools[0]["name"], &tools[0]["outcome"]), (&"unknown".into(), &"unknown_tool".into()));
    assert_eq!((&tools[2]["name"], &tools[2]["outcome"]), (&"hangup".into(), &"ok".into()));
    assert_eq!(tools[1]["name"], "lookup_customer");
    assert!(
        line["plugins"].as_str().is_some_and(|plugins| plugins.starts_with("customer-lookup ")),
        "{line}"
    );
    assert!(line["turns"].as_u64() >= Some(3) && line["cost_usd"].as_f64() > Some(0.0), "{line}");
    assert!(line["reply_p50_ms"].as_f64() <= line["reply_p90_ms"].as_f64(), "{line}");
    assert!(line["started"].as_str() < line["answered"].as_str(), "{line}");
    assert!(line["answered"].as_str() < line["ended"].as_str(), "{line}");
    assert_eq!(line["recorded"], false);
    for words in ["ありがとう", "4111", "kumquat", "9012345678"] {
        assert!(!line.to_string().contains(words), "{line}");
    }

    // What comes late for a call that is over tells nothing again, nor does the next process.
    let ended = line["carrier_call"].as_str().expect("an id");
    let late = world.twilio.voice_fields(ended, CALLER, CALLEE, "completed");
    tell(&world, TWILIO_STATUS, late).await;
    let handing = tokio::task::spawn_blocking(move || {
        served.hand_over();
        served
    });
    let mut served = handing.await.expect("no panic");
    // Who is turned away has a line, too: it is the next one.
    let fields =
        world.twilio.voice_fields("CA000000000000000000000000000000ff", "+819099999999", CALLEE, "ringing");
    tell(&world, TWILIO_VOICE, fields).await;
    let next = served.says("call finished");
    assert_eq!((&next["reason"], &next["route"]), (&"rejected".into(), &"nobody".into()), "{next}");
    assert_eq!((&next["path"], &next["caller"]), (&"none".into(), &"+81•••••9999".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_kept_is_nowhere_and_the_model_has_it() {
    let config = format!("{SHOP}\n[redact]\npatterns = ['\\d(?:[ -]?\\d){{12,18}}']\n");
    let house = House::with(Plan { config, ..Plan::default() }).await;
    let mut watch = house.gateway.control().feed().watch(None).expect("a place");
    let played = house.call(TALK).await;
    let kept = house.ended().await;
    let texts: Vec<&str> = kept.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(texts.contains(&"カードは ••• です。"), "{texts:?}");
    assert_eq!(kept.tool_calls[0].arguments, r#"{"card":"•••"}"#);
    let provider = played.provider.expect("the provider saw the call");
    assert_eq!(provider.protocol_errors, [""; 0]);

    let (status, shown) =
        Operator::of(&house).get(&format!("/api/v1/calls/{}?unmasked=true", kept.call.id)).await;
    assert_eq!(status, 200);
    assert!(shown.contains("カードは ••• です。"), "{shown}");
    house.gateway.control().feed().close();
    let mut news = Vec::new();
    while let Some(more) = watch.next().await {
        news.extend(more.into_iter().map(|(_, news)| format!("{news:?}")));
    }
    assert!(news.iter().any(|news| news.contains("カードは ••• です。")), "{news:#?}");
    let leaks = |text: &String| ["4111 1111", "41111111"].iter().any(|digits| text.contains(digits));
    assert!(!leaks(&shown) && !news.iter().any(leaks), "{news:#?}");

    let data = house.close().await;
    let digits = ["4111 1111", "41111111"].map(str::to_owned);
    let found = search(data.path(), &digits).expect("a search").found;
    assert!(found.is_empty(), "{:?}", found.iter().map(|found| &found.path).collect::<Vec<_>>());
    // The search would have found it: what is kept of the line is there.
    assert!(!search(data.path(), &["カードは •••".to_owned()]).expect("a search").found.is_empty());
}
