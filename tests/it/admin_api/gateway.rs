//! What operators know of the gateway itself: routes, tools, what vendors sent, configuration, health, cost.

use reqwest::Method;
use serde_json::{Value, json};
use switchboard::http::Role;
use switchboard::session::ToolDefinition;
use switchboard::sim::world::{API_KEY, AUTH_TOKEN, WEBHOOK_SECRET};
use switchboard::tool::Toolbox;
use switchboard::tool::embedded::Embedded;

use super::Office;
use super::knowing::TALK;
use crate::harness::{CALLEE, CALLER};

const SECRETS: [&str; 3] = [API_KEY, AUTH_TOKEN, WEBHOOK_SECRET];

const ROUTES: &str = r#"
[sessions.shop]
instructions = "You are the shop."
greeting = "Say hello."
tools = ["*"]

[[routes]]
name = "night"
match = { from = ["+8131*", "anonymous"], hours = { days = "mon-fri", outside = "09:00-18:00", tz = "Asia/Tokyo" } }
reject = 486

[[routes]]
name = "desk"
match = { to = "+81312340000" }
forward = "+81312345678"

[[routes]]
name = "all"
session = "shop"
"#;

fn find<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let found = list.as_array().expect("a list").iter().find(|item| item[key] == name);
    found.unwrap_or_else(|| panic!("no {name} in {list}"))
}

/// A tool that says what it was given, or fails.
fn echo() -> Embedded {
    Embedded {
        definition: ToolDefinition {
            name: "echo".to_owned(),
            description: "Says it again.".to_owned(),
            parameters: json!({
                "type": "object",
                "properties": { "text": { "type": "string" } },
                "required": ["text"]
            }),
        },
        ..crate::following::tool("echo", |context, arguments| {
            Box::pin(async move { Ok(json!({ "caller": context.caller, "heard": arguments }).to_string()) })
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_what_it_is_and_does() {
    let office = Office::of(ROUTES, Default::default()).await;
    let toolbox = Toolbox::default().with_embedded(echo()).expect("a schema");
    office.house.gateway.control().tools().replace(toolbox);
    office.house.call(TALK).await;
    office.house.ended().await;

    // Routes.
    let routes = office.get(Role::Viewer, "/routes").await;
    let night = find(&routes["routes"], "name", "night");
    assert_eq!(night["match"], "from +8131* or anonymous, outside mon-fri 09:00-18:00 Asia/Tokyo");
    assert_eq!(night["action"], "reject 486");
    let all = find(&routes["routes"], "name", "all");
    assert_eq!(
        (&all["match"], &all["session"], &all["hits"]),
        (&"every call".into(), &"shop".into(), &1.into())
    );
    let explain = async |body: Value| {
        office.ask(Role::Viewer, Method::POST, "/routes/explain", &body.to_string()).await
    };
    let (_, taken) = explain(json!({ "from": "090-1234-5678", "to": "050-1234-5678" })).await;
    assert_eq!((&taken["route"], &taken["session"]), (&"all".into(), &"shop".into()));
    assert!(taken["path"].is_string(), "{taken}");
    assert_eq!(taken["steps"][0]["why"], "the caller is +819012345678, not +8131* or anonymous");
    // 18 November 2026 is a Wednesday; 20:00 in Tokyo.
    let (_, late) = explain(json!({ "to": CALLEE, "at": "2026-11-18T11:00:00Z" })).await;
    assert_eq!(
        (&late["route"], &late["action"], &late["path"]),
        (&"night".into(), &"reject 486".into(), &Value::Null)
    );
    assert_eq!(explain(json!({ "from": CALLER })).await.0, 400);

    // Tools.
    let tools = office.get(Role::Viewer, "/tools").await;
    let tool = find(&tools["tools"], "name", "echo");
    assert_eq!(
        (&tool["kind"], &tool["sessions"], &tool["breaker"]),
        (&"embedded".into(), &json!(["shop"]), &"closed".into())
    );
    let call = async |name: &str, body: Value| {
        office.ask(Role::Operator, Method::POST, &format!("/tools/{name}/call"), &body.to_string()).await
    };
    let (_, tried) = call("echo", json!({ "arguments": { "text": "x" }, "caller": CALLER })).await;
    assert_eq!((&tried["outcome"], tried["took_ms"].is_u64()), (&"ok".into(), true));
    assert!(
        tried["output"].as_str().is_some_and(|output| output.contains(CALLER) && output.contains("text"))
    );
    assert_eq!(call("echo", json!({ "arguments": {} })).await.1["outcome"], "invalid_arguments");
    assert_eq!(call("nothing", json!({})).await.0, 404);
    assert_eq!(call("hangup", json!({})).await.0, 400);
    assert!(office.audit().await.contains(&"the-operator tool.call echo".to_owned()));

    // What vendors sent.
    let seen = office.get(Role::Viewer, "/webhooks").await;
    let webhook = find(&seen["webhooks"], "source", "openai");
    assert_eq!(
        (&webhook["verdict"], &webhook["status"], &webhook["body"]),
        (&"taken".into(), &200.into(), &Value::Null)
    );
    let id = office.house.calls().await[0].id.to_string();
    assert_eq!(webhook["call"], json!(id));
    let voice = find(&seen["webhooks"], "path", "/twilio/voice");
    assert_eq!((&voice["call"], &voice["duplicate"]), (&json!(id), &json!(false)));
    assert!(!seen.to_string().contains(&CALLER[1..]));
    let read = office.get(Role::Listener, "/webhooks?unmasked=true").await;
    let body = find(&read["webhooks"], "path", "/twilio/voice")["body"].as_str().expect("a body");
    assert!(body.contains(&CALLER[1..]), "{body}");
    let offered = find(&read["webhooks"], "source", "openai");
    let headers = offered["headers"].to_string();
    assert!(
        headers.contains("webhook-id") && headers.contains("[\"webhook-signature\",\"•••\"]"),
        "{headers}"
    );
    let token = "X-Switchboard-Token\",\"value\":\"•••\"";
    assert!(offered["body"].as_str().is_some_and(|body| body.contains(token)), "{offered}");

    // Configuration.
    let config = office.get(Role::Viewer, "/config").await;
    let entry = |key: &str| find(&config["entries"], "key", key).clone();
    let night = entry("routes[0].match.hours.tz");
    assert_eq!((&night["value"], &night["origin"]["kind"]), (&"Asia/Tokyo".into(), &"file".into()));
    assert_eq!((&night["origin"]["file"], night["origin"]["line"].is_u64()), (&"test.toml".into(), true));
    assert_eq!(entry("server.max_calls")["origin"]["kind"], "default");
    assert_eq!(entry("store.path")["origin"]["variable"], "SWITCHBOARD__STORE__PATH");
    assert_eq!(entry("openai.api_key")["value"], "•••");
    for secret in SECRETS {
        assert!(!config.to_string().contains(secret), "a secret is shown");
    }
    let check = async |text: &str| {
        let body = json!({ "text": text }).to_string();
        office.ask(Role::Admin, Method::POST, "/config/check", &body).await.1
    };
    let good = check(ROUTES).await;
    assert_eq!(good["ok"], true, "{good}");
    let would = check(&ROUTES.replace("reject = 486", "reject = 603")).await;
    let changed = json!({ "key": "routes[night].reject", "old": "486", "new": "603" });
    assert!(would["changes"].as_array().is_some_and(|changes| changes.contains(&changed)), "{would}");
    let bad = check("[[routes]]\nname = \"x!${SWITCHBOARD__OPENAI__API_KEY}\"\nsession = \"none\"\n").await;
    assert_eq!((&bad["ok"], bad["problems"][0]["line"].is_u64()), (&false.into(), true));
    assert!(bad["rendered"].as_str().is_some_and(|words| words.contains("•••")), "{bad}");
    assert!(!bad.to_string().contains(API_KEY), "{bad}");

    // Health and cost.
    let health = office.get(Role::Viewer, "/health").await;
    assert_eq!((&health["ready"], &health["store"]["state"]), (&true.into(), &"ok".into()));
    let cost = office.get(Role::Viewer, "/cost?by=route,model").await;
    let row = &cost["rows"][0];
    assert_eq!(
        (&row["key"]["route"], &row["calls"], &row["key"]["day"]),
        (&"all".into(), &1.into(), &Value::Null)
    );
    let is_more = |name: &str| row[name].as_f64().is_some_and(|value| value > 0.0);
    assert!(is_more("cost_usd") && is_more("minutes") && is_more("audio_out"), "{cost}");
    assert_eq!(office.ask(Role::Viewer, Method::GET, "/cost?by=moon", "").await.0, 400);
    assert_eq!(office.get(Role::Viewer, "/cost?until=2026-01-01T00:00:00Z").await["rows"], json!([]));
    assert_eq!(office.ask(Role::Operator, Method::POST, "/plugins/reload", "").await.0, 202);
}
