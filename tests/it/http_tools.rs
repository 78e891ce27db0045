//! HTTP tools: from TOML to a backend and back to the model. Over real sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchboard::call::event::ToolCall;
use switchboard::call::record::ToolOutcomeKind;
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::config::{self, Config, Environment};
use switchboard::ids::{CallId, ToolCallId};
use switchboard::tool::Toolbox;
use switchboard::tool::context::{CallContext, Wishes};
use switchboard::tool::http::HttpTool;
use switchboard::tool::outbound::{Resolve, Resolving, SystemResolver};
use tracing_subscriber::fmt::MakeWriter;

use crate::backend::{Asked, Backend, Manner, Reply};
use crate::harness::{House, Plan};

/// What `[tools.find]` says, with the backend's address as `${BACKEND}`.
fn config(backend: &str, tool: &str) -> Config {
    let text = format!(
        "[sessions.shop]\ninstructions = \"Be kind.\"\ntools = [\"*\"]\nvars = {{ shop = \"Da Vinci\" }}\n\n\
         [tools.find]\ndescription = \"Finds things.\"\n{tool}\n"
    );
    let environment: Environment = [
        ("OPENAI_API_KEY", "sk-test-0123456789"),
        ("OPENAI_PROJECT_ID", "proj_test"),
        ("OPENAI_WEBHOOK_SECRET", "whsec_c2VjcmV0"),
        ("BASE_URL", "https://voice.example.com"),
        ("BACKEND", backend),
        ("TOKEN", "hunter2{{7*6}}"),
    ]
    .into_iter()
    .collect();
    config::parse("test.toml", text.as_bytes(), Path::new("."), &environment)
        .unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

fn toolbox_with(backend: &str, tool: &str, resolve: Arc<dyn Resolve>) -> Toolbox {
    let config = config(backend, tool);
    let tools = config.tools.iter().map(|settings| HttpTool::new(settings.clone(), resolve.clone()));
    Toolbox::of([], tools.collect::<Vec<_>>()).expect("a toolbox")
}

/// The tool against a backend on loopback, which is granted.
fn toolbox(backend: &Backend, tool: &str) -> Toolbox {
    let tool = tool.replacen("[tools.find.http]", "[tools.find.http]\nprivate_hosts = [\"127.0.0.1\"]", 1);
    toolbox_with(&backend.url(""), &tool, Arc::new(SystemResolver))
}

fn context() -> CallContext {
    CallContext {
        call_id: CallId::new(SystemClock.now(), [7; 10]),
        caller: Some("+819012345678".to_owned()),
        callee: Some("+815012345678".to_owned()),
        language: Some("ja".to_owned()),
        route: Some("all".to_owned()),
        session: Some("shop".to_owned()),
        vars: BTreeMap::from([("shop".to_owned(), "Da Vinci".to_owned())]),
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

async fn run(toolbox: &Toolbox, arguments: Value) -> (ToolOutcomeKind, Value) {
    let call = ToolCall {
        id: ToolCallId("call_1".to_owned()),
        name: "find".to_owned(),
        arguments: arguments.to_string(),
    };
    let finished = toolbox.run_any(&context(), &call, 16 << 10).await;
    (finished.kind, serde_json::from_str(&finished.output).expect("JSON"))
}

const GET: &str = r#"
[tools.find.params]
id = { type = "string" }
[tools.find.http]
url = "${BACKEND}/things/{{ args.id }}"
"#;

#[tokio::test]
async fn a_tool_asks_what_its_table_says_and_picks_from_the_answer() {
    let backend =
        Backend::answering(200, r#"{"data": {"free": [{"table": 4}]}, "secret": "internal"}"#).await;
    let toolbox = toolbox(
        &backend,
        r#"
        [tools.find.params]
        day = { type = "string", format = "date", description = "Day of the visit" }
        party = { type = "integer", minimum = 1, maximum = 12 }
        area = { type = "string", enum = ["inside", "terrace"], optional = true }
        seats = { type = "string", default = "any" }
        [tools.find.http]
        method = "POST"
        url = "${BACKEND}/tables/{{ args.day }}?shop={{ vars.shop }}"
        headers = { Authorization = "Bearer ${TOKEN}", "X-Caller" = "{{ call.from }}", "X-Area" = "{{ args.area }}" }
        query = { seats = "{{ args.seats }}", area = "{{ args.area }}" }
        json = { party = "{{ args.party }}", area = "{{ args.area }}", call = { language = "{{ call.language }}" } }
        pick = "/data/free"
        "#,
    );
    let answer = run(&toolbox, json!({ "day": "2026-12-24", "party": 2 })).await;
    assert_eq!(answer, (ToolOutcomeKind::Ok, json!([{ "table": 4 }])));
    let asked = &backend.asked()[0];
    assert_eq!(asked.line(), "POST /tables/2026-12-24?shop=Da%20Vinci&seats=any");
    assert_eq!(asked.header("authorization"), Some("Bearer hunter2{{7*6}}"), "a secret is no template");
    assert_eq!(asked.header("x-caller"), Some("+819012345678"));
    assert_eq!(asked.header("x-area"), None);
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_str(&asked.body).expect("JSON");
    assert_eq!(body, json!({ "party": 2, "call": { "language": "ja" } }));
    let schema = toolbox.tools().next().expect("a tool").definition.parameters;
    assert_eq!(
        schema,
        json!({
            "type": "object",
            "properties": {
                "day": { "type": "string", "format": "date", "description": "Day of the visit" },
                "party": { "type": "integer", "minimum": 1, "maximum": 12 },
                "area": { "type": "string", "enum": ["inside", "terrace"] },
                "seats": { "type": "string" }
            },
            "required": ["day", "party"],
            "additionalProperties": false
        })
    );
}

#[tokio::test]
async fn arguments_that_break_the_schema_or_the_address_are_not_sent() {
    let backend = Backend::answering(200, "{}").await;
    let toolbox = toolbox(&backend, GET);
    for arguments in [
        json!({}),
        json!({ "id": 7 }),
        json!({ "id": "7", "admin": true }),
        json!({ "id": "" }),
        json!({ "id": ".." }),
        json!({ "id": "../admin" }),
        json!({ "id": "a\r\nX-Admin: 1" }),
    ] {
        let (kind, output) = run(&toolbox, arguments.clone()).await;
        assert_eq!(kind, ToolOutcomeKind::InvalidArguments, "{arguments}: {output}");
    }
    assert!(backend.lines().is_empty());
    for (id, path) in [("a/b", "a%2Fb"), ("a?x=1", "a%3Fx%3D1"), ("@evil.example#", "%40evil.example%23")] {
        assert_eq!(run(&toolbox, json!({ "id": id })).await.0, ToolOutcomeKind::Ok);
        assert_eq!(backend.lines().pop(), Some(format!("GET /things/{path}")));
    }
}

#[tokio::test]
async fn a_status_is_an_outcome_and_an_error_is_not_shown_raw() {
    use ToolOutcomeKind::{Denied, Failed, InvalidArguments, NotFound, Ok, Unavailable};
    let backend = Backend::start(|asked, _| {
        let status = asked.target.rsplit('/').next().and_then(|status| status.parse().ok()).unwrap_or(500);
        Reply::new(status, r#"{"trace": "NullPointerException at Secrets.java:7"}"#)
    })
    .await;
    let tool = format!(
        "{GET}status = {{ 409 = \"not_found\", 418 = \"ok\", 410 = \"failed\" }}\non_error = \"Offer to call back.\""
    );
    let toolbox = toolbox(&backend, &tool);
    for (status, kind, words) in [
        ("200", Ok, ""),
        ("418", Ok, ""),
        ("400", InvalidArguments, "these arguments are not accepted"),
        ("422", InvalidArguments, "these arguments are not accepted"),
        ("404", NotFound, "there is no such thing"),
        ("409", NotFound, "there is no such thing"),
        ("401", Denied, "Offer to call back."),
        ("403", Denied, "Offer to call back."),
        ("410", Failed, "Offer to call back."),
        ("429", Unavailable, "Offer to call back."),
        ("503", Unavailable, "Offer to call back."),
    ] {
        let (found, output) = run(&toolbox, json!({ "id": status })).await;
        assert_eq!(found, kind, "{status}");
        if kind == Ok {
            continue;
        }
        assert_eq!(output["message"], words, "{status}");
        assert!(!output.to_string().contains("Null"), "{output}");
    }
}

#[tokio::test]
async fn what_is_not_json_is_text_or_unreadable() {
    use ToolOutcomeKind::{BadOutput, Ok};
    let backend = Backend::start(|asked, _| match asked.target.as_str() {
        "/things/text" => {
            Reply::new(200, "open until six").header("Content-Type", "text/plain; charset=utf-8")
        }
        "/things/html" => Reply::new(200, "<html>").header("Content-Type", "text/html"),
        "/things/empty" => Reply::new(204, ""),
        "/things/long" => Reply::new(200, &format!("\"{}\"", "x".repeat(2_000))),
        _ => Reply::new(200, r#"{"other": 1}"#),
    })
    .await;
    let plain = toolbox(&backend, &format!("{GET}max_response = \"1KiB\""));
    assert_eq!(run(&plain, json!({ "id": "text" })).await, (Ok, json!("open until six")));
    assert_eq!(run(&plain, json!({ "id": "empty" })).await, (Ok, json!({ "ok": true })));
    assert_eq!(run(&plain, json!({ "id": "html" })).await.0, BadOutput);
    assert_eq!(run(&plain, json!({ "id": "long" })).await.0, BadOutput);
    let picking = toolbox(&backend, &format!("{GET}pick = \"/wanted\""));
    assert_eq!(run(&picking, json!({ "id": "other" })).await.0, BadOutput);
}

fn failing_first(times: usize, reply: Reply) -> impl Fn(&Asked, usize) -> Reply {
    move |_, before| if before < times { reply.clone() } else { Reply::new(200, "1") }
}

#[tokio::test]
async fn tries_are_as_many_as_allowed_and_only_after_what_is_named() {
    use ToolOutcomeKind::{Ok, Timeout, Unavailable};
    let retry = |words: &str| format!("{GET}timeout = \"3s\"\nretry = {words}");
    for (reply, words, kind, tries) in [
        (Reply::new(503, ""), "{ attempts = 3 }", Ok, 3),
        (Reply::new(503, ""), "{ attempts = 2 }", Unavailable, 2),
        (Reply::new(503, ""), "{ attempts = 3, on = [\"429\"] }", Unavailable, 1),
        (Reply::new(429, "").header("Retry-After", "1"), "{ attempts = 3 }", Ok, 3),
        (Reply::new(429, "").header("Retry-After", "60"), "{ attempts = 3 }", Unavailable, 1),
        (Reply::new(404, ""), "{ attempts = 3 }", ToolOutcomeKind::NotFound, 1),
        (Reply::new(200, "").manner(Manner::Silent), "{ attempts = 2 }", Timeout, 2),
        (Reply::new(200, "").manner(Manner::Silent), "{ attempts = 3 }", Ok, 3),
    ] {
        let shown = format!("{reply:?} {words}");
        let backend = Backend::start(failing_first(2, reply)).await;
        let (found, _) = run(&toolbox(&backend, &retry(words)), json!({ "id": "1" })).await;
        assert_eq!((found, backend.lines().len()), (kind, tries), "{shown}");
    }
}

#[tokio::test]
async fn without_retry_there_is_one_try() {
    let backend = Backend::start(failing_first(1, Reply::new(503, ""))).await;
    let (kind, _) = run(&toolbox(&backend, GET), json!({ "id": "1" })).await;
    assert_eq!((kind, backend.lines().len()), (ToolOutcomeKind::Unavailable, 1));
}

/// A backend that carries out what it is asked, and answers as if it had not.
const POST: &str = r#"
[tools.find.params]
id = { type = "string" }
[tools.find.http]
method = "POST"
url = "${BACKEND}/orders"
json = { id = "{{ args.id }}" }
timeout = "3s"
"#;

#[tokio::test]
async fn what_may_not_happen_twice_is_sent_once() {
    use ToolOutcomeKind::{Timeout, Unavailable};
    for method in ["POST", "PATCH"] {
        for (reply, kind) in [
            (Reply::new(503, ""), Unavailable),
            (Reply::new(429, "").header("Retry-After", "1"), Unavailable),
            // Neither does the client under it try again: the request may have been carried out.
            (Reply::new(200, "").manner(Manner::Closed), Unavailable),
            (Reply::new(200, "").manner(Manner::Silent), Timeout),
        ] {
            let shown = format!("{method} {reply:?}");
            let backend = Backend::start(failing_first(1, reply)).await;
            let tool = POST.replace("\"POST\"", &format!("\"{method}\""));
            // The silent one is waited for to the end.
            let tool = if kind == Timeout { tool.replace("3s", "1s") } else { tool };
            let (found, _) = run(&toolbox(&backend, &tool), json!({ "id": "1" })).await;
            assert_eq!((found, backend.lines()), (kind, vec![format!("{method} /orders")]), "{shown}");
        }
    }
}

#[tokio::test]
async fn what_may_happen_twice_is_sent_again_where_the_operator_says_so() {
    let told = |backend: &Backend, words: &str| toolbox(backend, &format!("{POST}retry = {words}"));
    for reply in [Reply::new(503, ""), Reply::new(200, "").manner(Manner::Silent)] {
        let shown = format!("{reply:?}");
        let backend = Backend::start(failing_first(1, reply)).await;
        let (found, _) = run(&told(&backend, "{ unsafe = true }"), json!({ "id": "1" })).await;
        assert_eq!((found, backend.lines().len()), (ToolOutcomeKind::Ok, 2), "{shown}");
        let bodies: Vec<String> = backend.asked().into_iter().map(|asked| asked.body).collect();
        assert_eq!(bodies, [r#"{"id":"1"}"#; 2], "{shown}");
    }
}

#[tokio::test]
async fn a_breaker_opens_and_recovers() {
    let backend = Backend::start(failing_first(2, Reply::new(500, ""))).await;
    let tool = toolbox(&backend, &format!("{GET}breaker = {{ failures = 2, open_for = \"1s\" }}"));
    let ask = || run(&tool, json!({ "id": "1" }));
    for _ in 0..2 {
        assert_eq!(ask().await.0, ToolOutcomeKind::Unavailable);
    }
    let (kind, output) = ask().await;
    assert_eq!((kind, backend.lines().len()), (ToolOutcomeKind::Unavailable, 2), "nothing is sent");
    assert!(output["message"].as_str().expect("words").contains("several times"), "{output}");
    let began = Instant::now();
    while ask().await.0 != ToolOutcomeKind::Ok {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not recover");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(backend.lines().len(), 3, "one trial closed it");
}

#[tokio::test]
async fn what_the_model_did_wrong_does_not_open_a_breaker() {
    let backend = Backend::answering(404, "").await;
    let tool = toolbox(&backend, &format!("{GET}breaker = {{ failures = 1, open_for = \"1h\" }}"));
    for _ in 0..3 {
        assert_eq!(run(&tool, json!({ "id": "1" })).await.0, ToolOutcomeKind::NotFound);
    }
    assert_eq!(backend.lines().len(), 3);
}

#[tokio::test]
async fn an_answer_is_kept_for_the_same_request_only() {
    let backend = Backend::start(|_, before| match before {
        1 => Reply::new(500, ""),
        _ => Reply::new(200, &before.to_string()),
    })
    .await;
    let tool = toolbox(&backend, &format!("{GET}cache = \"1h\""));
    let mut answers = Vec::new();
    for id in ["a", "a", "b", "b", "b", "a"] {
        let (kind, answer) = run(&tool, json!({ "id": id })).await;
        answers.push(if kind == ToolOutcomeKind::Ok { answer.to_string() } else { kind.as_str().to_owned() });
    }
    assert_eq!(answers, ["0", "0", "unavailable", "2", "2", "0"], "a failure is not kept");
    assert_eq!(backend.lines(), ["GET /things/a", "GET /things/b", "GET /things/b"]);
}

#[tokio::test]
async fn a_drip_ends_with_the_time() {
    let backend = Backend::start(|_, _| Reply::new(200, "").manner(Manner::Drip)).await;
    let tool = toolbox(&backend, &format!("{GET}timeout = \"300ms\""));
    assert_eq!(run(&tool, json!({ "id": "1" })).await.0, ToolOutcomeKind::Timeout);
}

#[tokio::test]
async fn redirects_stay_at_home_unless_followed_by_name() {
    use ToolOutcomeKind::{Denied, Ok};
    let other = Backend::answering(200, "\"other\"").await;
    let target = other.url("/files/1");
    let backend = Backend::start(move |asked, _| match asked.target.as_str() {
        "/things/near" => Reply::new(302, "").header("Location", "/elsewhere"),
        "/elsewhere" => Reply::new(200, "\"near\""),
        "/things/metadata" => Reply::new(302, "").header("Location", "http://169.254.169.254/latest/"),
        _ => Reply::new(302, "").header("Location", target.clone()),
    })
    .await;
    let bound = toolbox(&backend, GET);
    assert_eq!(run(&bound, json!({ "id": "near" })).await, (Ok, json!("near")));
    assert_eq!(run(&bound, json!({ "id": "far" })).await.0, Denied);
    assert_eq!(run(&bound, json!({ "id": "metadata" })).await.0, Denied);
    assert!(other.lines().is_empty());
    let follow = format!("{GET}follow = [\"{}\", \"http://169.254.169.254/*\"]", other.url("/files/*"));
    let free = toolbox(&backend, &follow);
    assert_eq!(run(&free, json!({ "id": "far" })).await, (Ok, json!("other")));
    assert_eq!(
        run(&free, json!({ "id": "metadata" })).await.0,
        Denied,
        "a pattern grants no private address"
    );
}

struct Loopback;

impl Resolve for Loopback {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { io::Result::Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

#[tokio::test]
async fn a_private_address_needs_a_grant_by_name() {
    let backend = Backend::answering(200, "1").await;
    let named = format!("http://shop.example:{}", backend.address.port());
    for (base, grant, expected) in [
        (named.as_str(), "", ToolOutcomeKind::Unavailable),
        (named.as_str(), "private_hosts = [\"127.0.0.1\"]", ToolOutcomeKind::Unavailable),
        (named.as_str(), "private_hosts = [\"shop.example\"]", ToolOutcomeKind::Ok),
        (backend.url("").as_str(), "", ToolOutcomeKind::Denied),
    ] {
        let tool = toolbox_with(base, &format!("{GET}{grant}"), Arc::new(Loopback));
        assert_eq!(run(&tool, json!({ "id": "1" })).await.0, expected, "{base} {grant}");
    }
    assert_eq!(backend.lines().len(), 1);
}

/// Everything that is logged by this thread while it is the subscriber.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Sink;

    fn make_writer(&'a self) -> Sink {
        self.clone()
    }
}

#[tokio::test]
async fn neither_secrets_nor_what_was_said_is_logged() {
    let sink = Sink::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(sink.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let backend = Backend::start(|_, before| Reply::new(if before == 0 { 200 } else { 500 }, "1")).await;
    let tool = toolbox(
        &backend,
        r#"
        [tools.find.params]
        who = { type = "string" }
        [tools.find.http]
        url = "${BACKEND}/by/${TOKEN}/{{ args.who }}?key=${TOKEN}&from={{ call.from }}"
        headers = { Authorization = "Bearer ${TOKEN}" }
        "#,
    );
    for _ in 0..2 {
        run(&tool, json!({ "who": "Hanako" })).await;
    }
    let gone = toolbox_with(
        "http://127.0.0.1:9",
        &format!("{GET}private_hosts = [\"127.0.0.1\"]\nheaders = {{ X-Api-Key = \"${{TOKEN}}\" }}"),
        Arc::new(SystemResolver),
    );
    run(&gone, json!({ "id": "Hanako" })).await;
    let log = String::from_utf8(sink.0.lock().expect("no writer panics").clone()).expect("text");
    // Only our own lines: at this level the HTTP library tells the address it connects to.
    let own: String =
        log.lines().filter(|line| line.contains("switchboard::")).map(|line| format!("{line}\n")).collect();
    assert!(own.contains("an HTTP tool answered") && own.contains("an HTTP tool failed"), "{own}");
    assert!(own.contains("/by/${TOKEN}/{{ args.who }}") && own.contains("/things/{{ args.id }}"), "{own}");
    for secret in ["hunter2", "Hanako", "819012345678"] {
        assert!(!log.contains(secret), "the log shows `{secret}`:\n{log}");
    }
}

#[tokio::test]
async fn a_session_with_an_mcp_server_is_accepted_by_a_strict_provider() {
    let config = r#"
        [sessions.shop]
        instructions = "You are the shop."
        greeting = "Say hello."

        [sessions.shop.mcp.crm]
        url = "https://mcp.example.com/sse"
        authorization = "${TOKEN}"
        headers = { X-Tenant = "davinci" }
        allowed_tools = ["find_customer"]
        description = "Customers."
    "#;
    let environment = vec![("TOKEN", "hunter2".to_owned())];
    let house = House::with(Plan { config: config.to_owned(), environment, ..Plan::default() }).await;
    house.call(crate::harness::SHORT).await;
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason.as_str()), Some("caller_hangup"));
    assert!(!serde_json::to_string(&kept).expect("JSON").contains("hunter2"));
    house.close().await;
}

#[tokio::test]
async fn a_model_asks_an_http_tool_in_a_call() {
    let backend = Backend::answering(200, r#"{"free": ["18:00"]}"#).await;
    let config = r#"
        [sessions.shop]
        instructions = "You are the shop."
        greeting = "Say hello."
        tools = ["check_table"]
        vars = { shop = "davinci" }

        [[routes]]
        name = "all"
        session = "shop"

        [tools.check_table]
        description = "Find free tables."
        [tools.check_table.params]
        party = { type = "integer", minimum = 1 }
        [tools.check_table.http]
        url = "${BACKEND}/{{ vars.shop }}/tables?n={{ args.party }}&from={{ call.from }}"
        private_hosts = ["127.0.0.1"]
        pick = "/free"
    "#;
    let plan = Plan {
        config: config.to_owned(),
        environment: vec![("BACKEND", backend.url(""))],
        ..Plan::default()
    };
    let house = House::with(plan).await;
    let steps = r#"
        [[steps]]
        caller = { says = "A table for two?" }
        [[steps]]
        model = { says = "Let me see.", calls = [{ name = "check_table", arguments = { party = 2 } }] }
        [[steps]]
        model = { says = "At six." }
        [[steps]]
        hang_up = "caller"
    "#;
    house.call(steps).await;
    let kept = house.ended().await;
    let tool = &kept.tool_calls[0];
    assert_eq!((tool.outcome, tool.output.as_deref()), (Some(ToolOutcomeKind::Ok), Some(r#"["18:00"]"#)));
    assert_eq!(backend.lines(), ["GET /davinci/tables?n=2&from=%2B819012345678"]);
    assert_eq!(house.metric("switchboard_tool_calls_total{tool=\"check_table\",outcome=\"ok\"}"), 1.0);
    house.close().await;
}
