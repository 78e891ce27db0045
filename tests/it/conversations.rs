//! `switchboard test`: scenarios as tests of a configuration, against simulated vendors and against a model that is not
//! the scenario's own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;
use switchboard::clock::{Entropy, SystemClock};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::log::WorldLog;
use switchboard::sim::openai::{OpenAiSim, Options};
use switchboard::sim::sound::{self, Tag};

use crate::cli::{switchboard, text};
use crate::harness::script;

/// A shop that finds orders in a system of its own.
const CONFIG: &str = r#"
[sessions.shop]
instructions = "You are {{ vars.shop }}. The caller is {{ call.from }}."
greeting = "Say hello."
tools = ["find_order", "hangup", "transfer"]
turn_detection = { type = "server_vad", silence_duration = "200ms" }

[sessions.shop.transfer]
desk = "+81312345678"

[[routes]]
name = "all"
session = "shop"
vars = { shop = "the Sakura Shop" }

[tools.find_order]
description = "Find out where an order is."

[tools.find_order.params]
order = { type = "string", description = "The order's number" }
copies = { type = "integer", description = "How many" }
note = { type = "string", optional = true, description = "What else was said" }

[tools.find_order.http]
url = "${ORDERS_URL:-http://127.0.0.1:1}/orders/{{ args.order }}"
private_hosts = ["127.0.0.1"]

[[tests]]
name = "everybody reaches the shop"
given = { to = "+815012345678", from = "+819012345678" }
expect = { session = "shop" }
"#;

/// Somebody asks for an order; what must come of it is appended.
const CALL: &str = r#"name = "order"
environment = { ORDERS_URL = "${BACKEND_URL}" }
time_limit_s = 60

[caller]
from = "+819012345678"
to = "+815012345678"

[[backend]]
path = "/orders/A-1001"
delay_ms = 3000
json = { status = "sent", parts = [1, 2] }

[[steps]]
model = { says = "Sakura Shop, good morning.", for_ms = 1500 }
[[steps]]
caller = { says = "Where is my order A-1001?", for_ms = 1500 }
[[steps]]
model = { calls = [{ name = "find_order", arguments = { order = "A-1001", copies = 2 } }] }
[[steps]]
model = { says = "It was {/status}, I ＧＵＡＲＡＮＴＥＥ it.", for_ms = 1500, calls = [{ name = "hangup" }] }
[[steps]]
hang_up = "gateway"

[expect]
"#;

/// A folder with a configuration, and scenarios in `tests`.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let bench = Bench(tempfile::tempdir().expect("a folder"));
        fs::create_dir(bench.path().join("tests")).expect("a folder");
        bench.write("gateway.toml", CONFIG);
        bench
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a written file");
        path
    }

    fn test(&self, words: &[&str]) -> Output {
        let words: Vec<&str> = std::iter::once("test").chain(words.iter().copied()).collect();
        switchboard(&words, self.path())
    }
}

/// The command's exit code, after what it said is told.
fn ends(output: &Output, code: i32) -> String {
    let (said, also) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}\n{also}");
    said + &also
}

fn has(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "`{words}` is missing in\n{said}");
    }
}

#[test]
fn everything_that_can_be_expected_of_a_call_holds_or_is_told() {
    let bench = Bench::new();
    bench.write(
        "tests/good.toml",
        &format!(
            r#"{CALL}
ended = "assistant_hangup"
route = "all"
session = "shop"
instructions_contain = ["You are the Sakura Shop. The caller is +819012345678."]
never_says = ["refund"]
never_calls = ["transfer"]
within = {{ first_word = "20s", reply = "20s", tool = "30s", call = "120s" }}
vars = {{ shop = {{ matches = "^the Sakura" }}, tier = {{ absent = true }} }}
tool_calls_order = "any"
tool_calls = [
    {{ name = "hangup" }},
    {{ name = "find_order", outcome = "ok", arguments = {{ order = {{ matches = "^A-[0-9]+$" }}, copies = {{ min = 1, max = 8 }}, note = {{ absent = true }} }}, output = {{ status = {{ one_of = ["sent", "lost"] }}, parts = [1, {{ any = true }}] }} }},
]
"#
        ),
    );
    let bad = format!(
        r#"{CALL}
ended = "caller_hangup"
route = "none"
instructions_contain = ["You are a bank"]
never_says = ["guarantee"]
within = {{ tool = "1s" }}
vars = {{ shop = "the Ume Shop" }}
transferred_to = {{ any = true }}
events = ["no.such.event"]
tool_calls = [
    {{ name = "find_order", arguments = {{ order = "A-1002", copies = {{ max = 1 }}, note = {{ any = true }} }}, output = {{ is = {{ status = "sent" }} }} }},
    {{ name = "hangup" }},
]
"#
    )
    .replace("name = \"order\"", "name = \"wrong\"");
    bench.write("tests/wrong.toml", &bad);
    let place = |key: &str| {
        let line = bad.lines().position(|line| line.starts_with(key)).expect("the key") + 1;
        format!("tests/wrong.toml:{line}:")
    };
    let said = ends(&bench.test(&[]), 1);
    has(
        &said,
        &[
            "ok    everybody reaches the shop",
            "ok    order (",
            "FAIL  wrong (",
            "2 passed, 1 failed (",
            &format!("{}1: expect.ended: expected `caller_hangup`, saw `assistant_hangup`", place("ended")),
            &format!("{}1: expect.route: expected `none`, saw `all`", place("route")),
            "expect.instructions_contain[0]: expected something with `You are a bank`, saw `You are the Sakura Shop.",
            "expect.never_says[0]: expected the assistant never to say `guarantee`, saw `It was sent, I ＧＵＡＲＡＮＴＥＥ it.`",
            "expect.within.tool: expected `find_order` within 1.0 s, saw 3.",
            r#"expect.vars.shop: expected `"the Ume Shop"`, saw `"the Sakura Shop"`"#,
            "expect.transferred_to: expected anything, saw nothing",
            "expect.events[0]: expected `no.such.event` there, saw",
            r#"expect.tool_calls[0].arguments.order: expected `"A-1002"`, saw `"A-1001"`"#,
            "expect.tool_calls[0].arguments.copies: expected a number of at most 1, saw `2`",
            "expect.tool_calls[0].arguments.note: expected anything, saw nothing",
            r#"expect.tool_calls[0].output: expected exactly `{"status":"sent"}`, saw"#,
            // and what was said
            "caller     Where is my order A-1001?",
        ],
    );
}

#[test]
fn results_are_read_back_as_junit_and_as_json() {
    let bench = Bench::new();
    bench.write("tests/a.toml", &format!("{CALL}ended = \"assistant_hangup\"\n"));
    bench.write(
        "tests/b.toml",
        &format!("{CALL}lines = [{{ speaker = \"caller\", contains = \"<&\\\">\\u0007\" }}]\n"),
    );
    bench.write("tests/c.toml", "name = \"c\"\nnonsense = 1\n");
    let output = bench.test(&["--format", "json", "--junit", "result.xml"]);
    ends(&output, 1);
    let page: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&page["passed"], &page["failed"]), (&2.into(), &2.into()), "{page:#}");
    let outcomes: Vec<_> =
        page["tests"].as_array().expect("a list").iter().map(|test| &test["outcome"]).collect();
    assert_eq!(outcomes, ["passed", "passed", "failed", "error"]);
    let mismatch = &page["tests"][2]["mismatches"][0];
    assert_eq!(mismatch["key"], "expect.lines[0]");
    assert!(mismatch["line"].as_u64().is_some_and(|line| line > 20), "{mismatch}");
    assert_eq!(page["tests"][2]["call"]["call"]["route"], "all");

    let xml = fs::read_to_string(bench.path().join("result.xml")).expect("a file");
    let mut reader = Reader::from_str(&xml);
    let (mut open, mut cases, mut failures, mut errors, mut outputs) = (Vec::new(), Vec::new(), 0, 0, 0);
    loop {
        match reader.read_event().expect("XML") {
            Event::Start(element) => {
                let name = element.name().as_ref().to_owned();
                let attribute = |key: &str| {
                    let found = element.try_get_attribute(key).expect("attributes");
                    found.map(|found| found.value.into_owned())
                };
                match name.as_str() {
                    "testsuites" => {
                        let counts = ["tests", "failures", "errors", "skipped"].map(attribute);
                        assert_eq!(counts, ["4", "1", "1", "0"].map(|count| Some(count.to_owned())));
                    }
                    "testcase" => {
                        let took: f64 = attribute("time").expect("a time").parse().expect("a number");
                        assert!(took >= 0.0);
                        assert_eq!(attribute("classname"), attribute("file"));
                        cases.push((attribute("file").expect("a file"), attribute("name").expect("a name")));
                    }
                    "failure" => {
                        failures += 1;
                        let message = attribute("message").expect("a message");
                        assert!(
                            message.contains("expect.lines[0]: expected caller saying `&lt;&amp;"),
                            "{message}"
                        );
                    }
                    "error" => errors += 1,
                    "system-out" => outputs += 1,
                    _ => {}
                }
                open.push(name);
            }
            Event::End(element) => {
                let name = open.pop().expect("an open element");
                assert_eq!(name, element.name().as_ref());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty() && !xml.contains('\u{7}'), "{xml}");
    let expected = [
        ("gateway.toml", "everybody reaches the shop"),
        ("tests/a.toml", "order"),
        ("tests/b.toml", "order"),
        ("tests/c.toml", "c"),
    ];
    assert_eq!(cases, expected.map(|(file, name)| (file.to_owned(), name.to_owned())));
    assert_eq!((failures, errors, outputs), (1, 1, 2), "{xml}");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_rest_is_run() {
    let bench = Bench::new();
    bench.write("tests/good.toml", &format!("{CALL}ended = \"assistant_hangup\"\n"));
    bench.write("tests/wrong.toml", &format!("{CALL}within = {{ reply = \"soon\" }}\n"));
    let line = CALL.lines().count() + 1;
    let said = ends(&bench.test(&["tests"]), 1);
    let place = format!("tests/wrong.toml:{line}:20: `soon` is no span of time");
    has(&said, &[&place, "ok    order", "FAIL  wrong", "1 passed, 1 failed"]);
    assert!(!said.contains("everybody reaches"), "what is named is run, and nothing else:\n{said}");
}

#[test]
fn there_must_be_something_to_run() {
    let bench = Bench::new();
    let said = ends(&bench.test(&["tests/no.toml"]), 2);
    has(&said, &["cannot read tests/no.toml"]);
    let said = ends(&bench.test(&["tests"]), 2);
    has(&said, &["there is no scenario (`*.toml`) in tests"]);
    let said = ends(&bench.test(&["--filter", "nobody"]), 2);
    has(&said, &["none of the 1 tests has `nobody` in its name"]);
    bench.write("gateway.toml", CONFIG.split("[[tests]]").next().expect("what is before"));
    let said = ends(&bench.test(&[]), 2);
    has(&said, &["there is nothing to test", "tests", "scenarios", "gateway.toml"]);
}

#[test]
fn a_configuration_that_is_wrong_is_no_failed_test() {
    let bench = Bench::new();
    bench.write("tests/good.toml", &format!("{CALL}ended = \"assistant_hangup\"\n"));
    bench.write("gateway.toml", &format!("{CONFIG}\n[nonsense]\n"));
    for words in [&[][..], &["tests/good.toml"]] {
        let said = ends(&bench.test(words), 78);
        has(&said, &["nonsense", "gateway.toml:"]);
    }
    // One of its own tests is one.
    bench.write(
        "gateway.toml",
        &CONFIG.replace("session = \"shop\" }", "session = \"shop\", route = \"x\" }"),
    );
    let said = ends(&bench.test(&["--junit", "result.xml"]), 1);
    has(
        &said,
        &["FAIL  everybody reaches the shop", "0 passed, 1 failed, 1 not run", "there is no such route"],
    );
    assert!(fs::read_to_string(bench.path().join("result.xml")).expect("a file").contains("<skipped/>"));
    let said = ends(&bench.test(&["-c", "missing.toml", "tests/good.toml"]), 78);
    has(&said, &["missing.toml", "cannot be read"]);
}

#[test]
fn one_failure_can_be_enough() {
    let bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.write(&format!("tests/{name}.toml"), &format!("{CALL}route = \"{name}\"\n"));
    }
    let words = ["tests", "--fail-fast", "--jobs", "1"];
    has(&ends(&bench.test(&words), 1), &["0 passed, 1 failed, 2 not run"]);
    let said = ends(&bench.test(&["tests", "--filter", "b.toml"]), 1);
    has(&said, &["0 passed, 1 failed ("]);
}

/// A running `test --watch`, which is ended when this is dropped.
struct Watched {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watched {
    fn start(bench: &Bench) -> Watched {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.args(["test", "--watch"]).current_dir(bench.path()).env_clear().env("HOME", bench.path());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the command starts");
        let (sender, lines) = channel();
        let output = child.stdout.take().expect("its output");
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Watched { child, lines }
    }

    /// Waits until a run ends like this.
    fn ends(&self, summary: &str) {
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.starts_with(summary)) {
            match self.lines.recv_timeout(Duration::from_secs(120)) {
                Ok(line) => said.push(line),
                Err(error) => panic!("{error}: it said\n{}", said.join("\n")),
            }
        }
    }
}

#[test]
fn what_is_saved_is_run_again() {
    let bench = Bench::new();
    let watched = Watched::start(&bench);
    watched.ends("1 passed, 0 failed");
    // A scenario comes, the configuration changes, the scenario is corrected.
    bench.write("tests/order.toml", &format!("{CALL}route = \"all\"\n"));
    watched.ends("2 passed, 0 failed");
    bench.write("gateway.toml", &CONFIG.replace("name = \"all\"", "name = \"everybody\""));
    watched.ends("1 passed, 1 failed");
    bench.write("tests/order.toml", &format!("{CALL}route = \"everybody\"\n"));
    watched.ends("2 passed, 0 failed");
}

/// The provider, with a model that does this on its next session, whoever is on the line.
async fn provider(steps: &str) -> OpenAiSim {
    let provider = OpenAiSim::start(Options {
        clock: Arc::new(SystemClock),
        entropy: Entropy::seeded(3),
        log: WorldLog::quiet(Arc::new(SystemClock)),
        project_id: "proj_x".to_owned(),
        api_key: "sk-x".to_owned(),
        webhook_secrets: Vec::new(),
        pending_ttl: Duration::from_secs(10),
        speed: 20.0,
        faults: ProviderFaults::default(),
    });
    let provider = provider.await.expect("a provider");
    provider.expect_written(script(steps));
    provider
}

/// The configuration of somebody who has an account at that provider.
fn with_account(key: &str, base_url: &str) -> String {
    let realtime_url = base_url.replacen("http", "ws", 1) + "/realtime";
    format!(
        "[openai]\napi_key = \"{key}\"\nproject_id = \"proj_x\"\nbase_url = \"{base_url}\"\n\
         realtime_url = \"{realtime_url}\"\n{CONFIG}"
    )
}

async fn test_live(bench: Bench, words: &'static [&'static str]) -> Output {
    let words: Vec<&str> = ["--live", "--speed", "20"].into_iter().chain(words.iter().copied()).collect();
    tokio::task::spawn_blocking(move || bench.test(&words)).await.expect("the command runs")
}

/// What the real model says and calls, whatever the scenario has it do.
const MODEL: &str = r#"steps = [
    { model = { says = "Hello, this is the shop." } },
    { model = { calls = [{ name = "find_order", arguments = { order = "A-1001", copies = 3, note = "soon" } }] } },
    { model = { says = "It was {/status}; that is guaranteed." } },
    { model = { says = "Goodbye.", calls = [{ name = "hangup" }] } },
]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_is_asked_what_the_file_says_and_its_tools_are_run() {
    let provider = provider(MODEL).await;
    let bench = Bench::new();
    bench.write("gateway.toml", &with_account("sk-x", &provider.base_url()));
    let thanks = "caller = { says = \"Thank you.\" }\n[[steps]]\nhang_up = \"gateway\"";
    // A machine that is busy has all the time it needs.
    let live =
        CALL.replace("hang_up = \"gateway\"", thanks).replace("time_limit_s = 60", "time_limit_s = 600");
    bench.write(
        "tests/live.toml",
        &format!(
            r#"{live}
ended = "assistant_hangup"
route = "all"
session = "shop"
instructions_contain = ["The caller is +819012345678."]
never_says = {{ assistant = ["GUARANTEED"], caller = ["refund"] }}
tool_calls = [
    {{ name = "find_order", outcome = "ok", arguments = {{ copies = 3, order = {{ matches = "1001$" }} }}, output = {{ status = "sent" }} }},
    {{ name = "hangup" }},
]
lines = [
    {{ speaker = "assistant", contains = "Hello, this is the shop." }},
    {{ speaker = "caller", contains = "Where is my order A-1001?" }},
    {{ speaker = "assistant", contains = "It was sent" }},
    {{ speaker = "caller", contains = "Thank you." }},
    {{ speaker = "assistant", contains = "Goodbye." }},
]
"#
        ),
    );
    let said = ends(&test_live(bench, &["tests"]).await, 1);
    has(
        &said,
        &[
            "expected the assistant never to say `GUARANTEED`, saw `It was sent; that is guaranteed.`",
            "0 passed, 1 failed (",
        ],
    );
    // That is all that is wrong, and the provider had nothing to complain about.
    assert_eq!(said.matches(" expect.").count(), 1, "{said}");
    let calls = provider.calls();
    assert_eq!(calls.len(), 1, "one session: {calls:?}");
    let call = &calls[0];
    assert_eq!(call.protocol_errors, Vec::<String>::new());
    assert_eq!(call.injected, ["Where is my order A-1001?", "Thank you."]);
    assert_eq!(call.heard_blocks, 0, "nobody pays for a silent line");
    assert_eq!(call.instructions, ["You are the Sakura Shop. The caller is +819012345678."]);
}

/// A recording that the simulated provider knows sample by sample: μ-law in a WAV file.
fn recording(blocks: u32) -> Vec<u8> {
    let sound = (0..blocks).flat_map(|block| sound::speech(Tag { voice: 7, block, blocks }));
    let sound: Vec<u8> = sound.collect();
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x07\0\x01\0".to_vec();
    file.extend(8_000_u32.to_le_bytes());
    file.extend(8_000_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend((sound.len() as u32).to_le_bytes());
    file.extend(sound);
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_heard_as_it_is() {
    let provider = provider(
        r#"steps = [
            { model = { says = "Hello, this is the shop." } },
            { model = { says = "I heard that. Goodbye.", calls = [{ name = "hangup" }] } },
        ]"#,
    )
    .await;
    let bench = Bench::new();
    bench.write("gateway.toml", &with_account("sk-x", &provider.base_url()));
    fs::write(bench.path().join("tests/order.wav"), recording(20)).expect("a file");
    let call = CALL.replace("A-1001?\"", "A-1001?\", audio = \"order.wav\"");
    let call = call.replace("time_limit_s = 60", "time_limit_s = 600");
    bench.write("tests/live.toml", &format!("{call}ended = \"assistant_hangup\"\n"));
    ends(&test_live(bench, &["--audio", "tests"]).await, 0);
    let calls = provider.calls();
    let call = &calls[0];
    assert_eq!((call.protocol_errors.len(), call.injected.len(), call.garbled), (0, 0, 0), "{call:?}");
    assert!(call.heard_blocks >= 20, "{call:?}");

    let bench = Bench::new();
    bench.write("gateway.toml", &with_account("sk-x", &provider.base_url()));
    let call = CALL.replace("A-1001?\"", "A-1001?\", audio = \"live.toml\"");
    bench.write("tests/live.toml", &call);
    let said = ends(&test_live(bench, &["--audio", "tests"]).await, 1);
    has(&said, &["live.toml: it is not a WAV file", "ffmpeg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_cannot_be_asked_is_no_failed_test() {
    let provider = provider(MODEL).await;
    // Taken, so that no other test listens there, and listened at by nobody.
    let taken = tokio::net::TcpSocket::new_v4().expect("a socket");
    taken.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let nobody = format!("http://{}/v1", taken.local_addr().expect("its address"));
    for (key, base_url, words) in [
        ("sk-wrong", provider.base_url(), "it denied the key or the project (401)"),
        ("sk-x", nobody, "refused"),
    ] {
        let bench = Bench::new();
        bench.write("gateway.toml", &with_account(key, &base_url));
        bench.write("tests/live.toml", CALL);
        let said = ends(&test_live(bench, &["tests"]).await, 69);
        has(&said, &["the provider cannot be reached", words]);
    }
    // And without a key there is no configuration.
    let bench = Bench::new();
    bench.write("tests/live.toml", CALL);
    has(&ends(&test_live(bench, &["tests"]).await, 78), &["OPENAI_API_KEY"]);
}
