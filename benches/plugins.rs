//! What a tool call costs: a native function, a fresh instance of a guest in each language, and loading
//! from the cache. `cargo bench --bench plugins`; an Extism plugin is measured by `benches/extism`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use switchboard::clock::Timestamp;
use switchboard::ids::CallId;
use switchboard::secret::Secret;
use switchboard::tool::context::{CallContext, Wishes};
use switchboard::tool::outbound::Pattern;
use switchboard::tool::plugin::{Grants, Host, HostSettings, Limits, Plugin, Settings};
use tokio::runtime::Runtime;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Longer than anything here takes.
const AMPLE: Duration = Duration::from_secs(10);

/// A plugin of this repository that needs no grant for what is measured.
fn settings(name: &str, config: &[(&str, &str)], kv: Option<&str>) -> Settings {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Settings {
        name: name.to_owned(),
        path: Path::new(ROOT).join(format!("plugins/{name}/{name}.wasm")),
        sha256: None,
        config: config.iter().map(own).collect(),
        grants: Grants { kv: kv.map(str::to_owned), ..Grants::default() },
        limits: Limits { time: AMPLE, ..Limits::default() },
        breaker: None,
    }
}

fn context() -> CallContext {
    CallContext {
        call_id: CallId::new(Timestamp::from_millis(1_795_000_000_000), [7; 10]),
        caller: Some("+819012345678".to_owned()),
        callee: Some("+815012345678".to_owned()),
        language: Some("ja".to_owned()),
        route: Some("all".to_owned()),
        session: Some("shop".to_owned()),
        vars: BTreeMap::new(),
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

const CUSTOMERS: &str = r#"[{"name":"佐藤 花子","phone":"090-1234-5678","orders":[{"id":"A-1001"}]}]"#;
const HOURS: &str = r#"{"mon":["09:00-18:00"]}"#;

/// What is measured: a plugin, a tool that answers without going outside, and its arguments.
fn guests() -> [(&'static str, Settings, &'static str, &'static str); 3] {
    [
        ("trivial", settings("test-guests", &[("needs", "")], None), "echo", r#"{"text":"hello"}"#),
        (
            "rust_customer_lookup",
            settings("customer-lookup", &[("customers", CUSTOMERS)], Some("customers")),
            "lookup_customer",
            "{}",
        ),
        (
            "python_opening_hours",
            settings("opening-hours", &[("utc_offset", "+09:00"), ("hours", HOURS)], None),
            "opening_hours",
            r#"{"at":"2026-11-30T10:00"}"#,
        ),
    ]
}

/// In TypeScript nothing answers without the backend: a day that does not exist is refused in the guest.
fn typescript() -> Settings {
    settings("appointment-booking", &[("base_url", "https://booking.example.com/v1")], Some("appointments"))
}

fn tool_calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let host = Host::new(&HostSettings::default()).expect("a machine for plugins");
    let context = context();
    let mut group = criterion.benchmark_group("tool_call");
    group.bench_function("native_function", |bencher| {
        bencher.iter(|| black_box(native(black_box(r#"{"text":"hello"}"#))));
    });
    for (name, settings, tool, arguments) in guests() {
        let plugin = load(&runtime, &host, &settings);
        group.bench_function(format!("fresh_instance/{name}"), |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| async { plugin.call(&context, tool, arguments, AMPLE).await.expect("an answer") });
        });
    }
    let mut typescript = typescript();
    let wanted = [Pattern::parse("https://booking.example.com/v1/*").expect("a pattern")];
    typescript.grants.http = wanted.into();
    typescript.grants.secrets = BTreeMap::from([("BOOKING_TOKEN".to_owned(), Secret::new("unused"))]);
    let plugin = load(&runtime, &host, &typescript);
    group.bench_function("fresh_instance/typescript_refused_day", |bencher| {
        bencher.to_async(&runtime).iter(|| async {
            let answer = plugin.call(&context, "find_slots", r#"{"date":"2026-02-30"}"#, AMPLE).await;
            answer.expect_err("the day does not exist")
        });
    });
    group.finish();
}

/// The least a tool can do, without a sandbox.
fn native(arguments: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(arguments).expect("JSON");
    value.to_string()
}

fn load(runtime: &Runtime, host: &Host, settings: &Settings) -> Plugin {
    let kv =
        settings.grants.kv.as_ref().map(|_| std::sync::Arc::new(switchboard::tool::plugin::NothingKept) as _);
    runtime.block_on(host.load(settings, kv)).unwrap_or_else(|error| panic!("{}: {error:?}", settings.name))
}

fn loading(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let cache = tempfile::tempdir().expect("a folder");
    let mut host = Host::new(&HostSettings::default()).expect("a machine for plugins");
    host.open_cache(&cache.path().join("cache")).expect("a cache");
    let mut group = criterion.benchmark_group("load_from_cache");
    for (name, settings, _, _) in guests() {
        load(&runtime, &host, &settings);
        group.bench_function(name, |bencher| bencher.iter(|| load(&runtime, &host, &settings)));
    }
    group.finish();
}

criterion_group! {
    name = plugins;
    config = Criterion::default().without_plots();
    targets = tool_calls, loading
}
criterion_main!(plugins);
