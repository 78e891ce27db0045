//! Traces of calls that are over, as a collector gets them: over a real socket, decoded with OpenTelemetry's own types.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use switchboard::call::record::CallDetail;
use switchboard::metrics::Metrics;
use switchboard::telemetry::{self, QUEUE_MAX, traces_url};

use crate::backend::{Asked, Backend, Reply};
use crate::harness::{House, Plan, eventually};

const TALK: &str = r#"
steps = [
    { model = { says = "お電話ありがとうございます。" } },
    { frame = '{"type":"news.from.afar"}' },
    { caller = { says = "カードは 4111 1111 1111 1111 です。" } },
    { model = { says = "お待ちください。", calls = [{ name = "kumquat", arguments = { card = "4111111111111111" } }] } },
    { model = { says = "失礼いたします。", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]
"#;

/// A call in a gateway that tells this collector of it; what is left to be told is told before it is gone.
async fn call(collector: &Backend, more: &str) -> CallDetail {
    call_told_after(collector, more, 0).await
}

/// The same, where the gateway stays until the collector was asked so often.
async fn call_told_after(collector: &Backend, more: &str, tries: usize) -> CallDetail {
    let config = format!(
        r#"
[telemetry.otlp]
endpoint = "{}"
headers = {{ X-Tenant = "shop" }}
{more}

[sessions.shop]
instructions = "You are the shop."
greeting = "Say hello."
turn_detection = {{ type = "server_vad", silence_duration = "200ms" }}
"#,
        collector.url("")
    );
    let house = House::with(Plan { config, ..Plan::default() }).await;
    house.call(TALK).await;
    let kept = house.ended().await;
    eventually("it is told", || async { (collector.asked().len() >= tries).then_some(()) }).await;
    house.close().await;
    kept
}

fn spans(asked: &Asked) -> Vec<Span> {
    assert_eq!((asked.line().as_str(), asked.header("x-tenant")), ("POST /v1/traces", Some("shop")));
    assert_eq!(asked.header("content-type"), Some("application/x-protobuf"));
    let request = ExportTraceServiceRequest::decode(asked.bytes.as_slice()).expect("OTLP");
    let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
    let service = told(&resource.resource.as_ref().expect("a resource").attributes);
    assert_eq!(service["service.name"], "switchboard");
    resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()).collect()
}

/// Attributes as texts.
fn told(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(list) => {
            format!("{:?}", list.values.iter().map(|value| &value.value).collect::<Vec<_>>())
        }
        other => panic!("{other:?}"),
    };
    let pair = |each: &KeyValue| {
        let value = each.value.as_ref().and_then(|value| value.value.as_ref()).expect("a value");
        (each.key.clone(), text(value))
    };
    attributes.iter().map(pair).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_over_is_one_trace_without_words() {
    // It is away at first: the trace waits.
    let collector = Backend::start(|_, n| match n {
        0 => Reply::new(503, "").header("retry-after", "0"),
        _ => Reply::new(200, ""),
    })
    .await;
    let kept = call_told_after(&collector, "", 2).await;
    let asked = collector.asked();
    assert_eq!(asked.len(), 2, "{:?}", collector.lines());
    let spans = spans(&asked[1]);

    let trace: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!(trace, BTreeSet::from([kept.call.id.as_bytes().to_vec()]), "its id is the call's");
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    assert_eq!(ids.len(), spans.len());
    let root = named(&spans, "call")[0];
    assert!(root.parent_span_id.is_empty() && root.kind == i32::from(SpanKind::Server));
    for span in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
        assert!(root.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
        assert!(span.parent_span_id == root.span_id || span == root, "{span:?}");
    }
    let about = told(&root.attributes);
    let provider = kept.call.provider.as_ref().expect("a provider");
    for (name, value) in [
        ("gen_ai.conversation.id", kept.call.id.to_string().as_str()),
        ("gen_ai.realtime_session.id", provider.call_id.as_str()),
        ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "gpt-realtime-2.1"),
        ("switchboard.path", "sip"),
        ("switchboard.reason", "assistant_hangup"),
    ] {
        assert_eq!(about[name], value, "{about:?}");
    }
    let events: Vec<&str> = root.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, kept.events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>());
    assert!(events.contains(&"provider.unknown"), "{events:?}");

    let [speech] = named(&spans, "user_speech")[..] else { panic!("{spans:#?}") };
    assert_eq!(told(&speech.attributes)["gen_ai.operation.name"], "user_speech");
    let turns = named(&spans, "realtime_inference gpt-realtime-2.1");
    let reported: u64 =
        kept.usage.iter().filter(|usage| usage.turn.is_some()).map(|usage| usage.usage.audio_out).sum();
    let counted = turns.iter().map(|turn| told(&turn.attributes));
    let counted: u64 =
        counted.filter_map(|turn| turn.get("gen_ai.usage.audio.output_tokens")?.parse::<u64>().ok()).sum();
    assert!(turns.len() >= 3 && counted == reported && counted > 0, "{turns:#?}");
    assert!(turns.iter().all(|turn| turn.kind == i32::from(SpanKind::Client)));
    let [made_up] = named(&spans, "execute_tool unknown")[..] else { panic!("{spans:#?}") };
    let about = told(&made_up.attributes);
    assert_eq!(
        (about["gen_ai.tool.name"].as_str(), about["error.type"].as_str()),
        ("unknown", "unknown_tool")
    );
    assert_eq!(about["gen_ai.tool.call.id"], kept.tool_calls[0].tool_call_id.as_str());
    assert_eq!(made_up.status.as_ref().map(|status| status.code), Some(StatusCode::Error.into()));
    assert!(named(&spans, "execute_tool hangup")[0].status.is_none());

    let all = String::from_utf8_lossy(&asked[1].bytes).into_owned();
    for words in ["カード", "4111", "kumquat", "失礼", "9012345678"] {
        assert!(!all.contains(words), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_told_where_they_are_wanted_and_no_more_than_is_kept() {
    let collector = Backend::answering(200, "").await;
    let more = "content = true\n[redact]\npatterns = ['\\d(?:[ -]?\\d){12,18}']\n";
    let kept = call(&collector, more).await;
    let spans = spans(&collector.asked()[0]);
    let speech = told(&named(&spans, "user_speech")[0].attributes);
    assert_eq!(
        speech["gen_ai.input.messages"],
        r#"[{"parts":[{"content":"カードは ••• です。","type":"text"}],"role":"user"}]"#
    );
    let tool = told(&named(&spans, "execute_tool unknown")[0].attributes);
    assert_eq!(tool["gen_ai.tool.call.arguments"], r#"{"card":"•••"}"#);
    assert_eq!(Some(&tool["gen_ai.tool.call.result"]), kept.tool_calls[0].output.as_ref());
    assert!(spans.iter().any(|span| {
        let about = told(&span.attributes);
        about.get("gen_ai.output.messages").is_some_and(|said| said.contains("失礼いたします。"))
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_calls_that_are_not_sampled() {
    let collector = Backend::answering(200, "").await;
    call(&collector, "sample = 0.0").await;
    assert!(collector.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_a_call_nothing() {
    let collector = Backend::answering(200, "").await;
    let kept = call(&collector, "").await;
    // A port at which nobody listens any more.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let metrics = Arc::new(Metrics::new());
    let url = traces_url(&format!("http://127.0.0.1:{port}"));
    let settings = telemetry::Settings { url, headers: Vec::new(), sample: 1.0, content: false };
    let (traces, exporter) = telemetry::start(settings, &metrics).expect("a client");
    let calls = QUEUE_MAX * 2;
    // It does not wait, for it could not: nothing of this is awaited.
    (0..calls).for_each(|_| traces.tell(&kept));
    let dropped = |line: &str| line.starts_with("switchboard_traces_total{result=\"dropped\"}");
    assert!(metrics.text().lines().any(dropped), "{}", metrics.text());
    exporter.stop().await;
    let all = format!("switchboard_traces_total{{result=\"dropped\"}} {calls}");
    assert!(metrics.text().contains(&all), "{}", metrics.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_refuses_is_not_sent_again() {
    let collector = Backend::answering(400, "no").await;
    call(&collector, "").await;
    assert_eq!(collector.lines(), ["POST /v1/traces"]);
}

#[test]
fn an_endpoint_is_given_with_its_path_or_without() {
    for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
        assert_eq!(traces_url(endpoint), "http://c:4318/v1/traces", "{endpoint}");
    }
    assert_eq!(traces_url("https://c/otlp"), "https://c/otlp/v1/traces");
}
