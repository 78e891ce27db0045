//! How long tool calls of live calls take while everything goes wrong at once: ten times as many callers as there is room
//! for, a plugin that attacks, and a provider that refuses every accept. `cargo bench --bench trouble`; the figures are in
//! `docs/performance.md`.
//!
//! Calm and trouble alternate within one run, on one machine. The gateway is a process of its own; callers, carrier and
//! provider are simulated in this one, and share the processors with it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use switchboard::clock::{Clock, SystemClock, Timestamp};
use switchboard::http::OPENAI_WEBHOOK;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::log::WorldLog;
use switchboard::sim::script::Script;
use switchboard::sim::twilio::CallerSetup;
use switchboard::sim::world::{ConnectedWorld, Options, World};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Calls that are live all the time.
const CALM: u32 = 40;
/// Calls whose tools attack, in each window of trouble.
const ATTACKERS: u32 = 10;
/// Calls that may be answered at once: these and ten more.
const ROOM: u32 = 60;
/// Callers who ring in each window of trouble: ten times the room.
const CALLERS: u32 = 600;
/// How often calm and trouble alternate, and how long each lasts.
const WINDOWS: u32 = 4;
const FOR: Duration = Duration::from_secs(8);
/// What begins with a window is not yet what goes on in it, and what ends with it is over when the next begins.
const SETTLES: Duration = Duration::from_secs(2);

const CONFIG: &str = concat!(
    r#"
[sessions.shop]
instructions = "You are the shop."
greeting = "Greet the caller."
tools = ["lookup_customer"]
limits = { tool_calls = 1000 }

[sessions.attacked]
instructions = "You are attacked."
greeting = "Greet the caller."
tools = ["spin", "eat_memory", "flood_log"]
limits = { tool_calls = 1000 }

[[routes]]
name = "attacked"
match = { from = "+8170*" }
session = "attacked"

[[routes]]
name = "all"
session = "shop"

[plugins.customer-lookup]
allow = { kv = "customers" }
path = ""#,
    env!("CARGO_MANIFEST_DIR"),
    r#"/plugins/customer-lookup/customer-lookup.wasm"

[[plugins.customer-lookup.config.customers]]
name = "Sato"
phone = "+819012340000"
orders = [{ id = "A-1001", item = "paper", status = "shipped" }]

[plugins.attacker]
breaker = "off"
config = { needs = "" }
path = ""#,
    env!("CARGO_MANIFEST_DIR"),
    r#"/plugins/test-guests/test-guests.wasm"
"#
);

fn main() {
    // What `cargo bench` and `cargo test` add says how to run, not what: only a run for figures does anything.
    if std::env::args().any(|argument| argument == "--bench") {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(measure());
    }
}

/// A call in which the model goes on after each tool with another one, until it has done so often enough.
fn asking(tools: &[&str], times: usize) -> Script {
    let step = |tool: &&str| format!("{{ model = {{ calls = [{{ name = \"{tool}\" }}] }} }},\n");
    let steps: String = tools.iter().cycle().take(times).map(step).collect();
    toml::from_str(&format!("steps = [\n{steps}{{ hang_up = \"caller\" }}, ]")).expect("a script")
}

async fn measure() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let world = World::start(Options::new(Arc::clone(&clock), WorldLog::quiet(Arc::clone(&clock)), 1.0));
    let world = world.await.expect("a world");
    let data = tempfile::tempdir().expect("a folder");
    let mut environment: BTreeMap<String, String> = world.environment().into_iter().collect();
    environment.insert("SWITCHBOARD__SERVER__MAX_CALLS".to_owned(), ROOM.to_string());
    let (mut gateway, public) = serve(data.path(), &environment);
    let world = world.connect(&format!("http://{public}"), OPENAI_WEBHOOK).expect("a client");

    let mut callers = JoinSet::new();
    let lasts = (FOR + SETTLES) * 2 * WINDOWS;
    let times = usize::try_from(lasts.as_millis() / 200).expect("few");
    for n in 0..CALM {
        ring(&mut callers, &world, format!("+81901234{n:04}"), asking(&["lookup_customer"], times));
        sleep(Duration::from_millis(20)).await;
    }
    sleep(SETTLES).await;
    let (mut calm, mut trouble) = (Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        calm.push(window(&clock).await);
        sleep(SETTLES).await;
        let mut troublemakers = JoinSet::new();
        for n in 0..ATTACKERS {
            let script = asking(&["spin", "eat_memory", "flood_log"], 12);
            ring(&mut troublemakers, &world, format!("+81701234{n:04}"), script);
        }
        sleep(SETTLES).await;
        let outage = ProviderFaults { accept_status: Some(503), ..ProviderFaults::default() };
        world.openai.set_faults(Some(outage));
        let crowd = crowd(world.clone());
        let (seen, ()) = tokio::join!(window(&clock), crowd);
        trouble.push(seen);
        world.openai.set_faults(None);
        troublemakers.shutdown().await;
        sleep(SETTLES).await;
    }
    report(&world, &calm, &trouble);
    gateway.kill().expect("it runs");
    gateway.wait().expect("it ends");
}

/// From now on for a while.
async fn window(clock: &Arc<dyn Clock>) -> (Timestamp, Timestamp) {
    let began = clock.now();
    sleep(FOR).await;
    (began, clock.now())
}

fn ring(callers: &mut JoinSet<()>, world: &ConnectedWorld, from: String, script: Script) {
    let world = world.clone();
    callers.spawn(async move {
        world.play(CallerSetup::new(&from, "+815012345678", script)).await;
    });
}

/// Ten times as many callers as there is room for, spread over a window.
async fn crowd(world: ConnectedWorld) {
    let script: Script = toml::from_str("steps = [{ hang_up = \"caller\" }]").expect("a script");
    let mut crowd = JoinSet::new();
    for n in 0..CALLERS {
        ring(&mut crowd, &world, format!("+81801234{n:04}"), script.clone());
        sleep(FOR / CALLERS).await;
    }
    crowd.shutdown().await;
}

/// What tool calls of the calm calls took, by the window in which they were asked for.
fn report(world: &ConnectedWorld, calm: &[(Timestamp, Timestamp)], trouble: &[(Timestamp, Timestamp)]) {
    let reports = world.openai.calls();
    let is_within = |windows: &[(Timestamp, Timestamp)], at: Timestamp| {
        windows.iter().any(|(from, until)| (*from..*until).contains(&at))
    };
    println!(
        "{CALM} live calls, a tool call every 0.2 s or so each; {CALLERS} more callers in {} s",
        FOR.as_secs()
    );
    println!("                   calls      p50 ms      p99 ms      max ms");
    for (name, windows) in [("calm", calm), ("in trouble", trouble)] {
        let outputs = reports.iter().flat_map(|report| &report.tool_outputs);
        // The attackers' own do not count.
        let mut took: Vec<Duration> = outputs
            .filter(|output| output.output.contains("\"found\"") && is_within(windows, output.asked))
            .map(|output| output.answered.since(output.asked))
            .collect();
        took.sort_unstable();
        let at = |share: f64| {
            let place = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
            took.get(place).copied().unwrap_or_default().as_secs_f64() * 1_000.0
        };
        println!("{name:<14} {:>9} {:>11.2} {:>11.2} {:>11.2}", took.len(), at(0.5), at(0.99), at(1.0));
    }
    let all = reports.len();
    let refused = reports.iter().filter(|report| report.accepted == 0).count();
    println!(
        "{all} calls reached the provider, which refused {refused}; the others of the crowd heard the busy tone"
    );
}

/// A gateway of its own, and where its public listener is.
fn serve(data: &std::path::Path, environment: &BTreeMap<String, String>) -> (Child, String) {
    let config = data.join("trouble.toml");
    std::fs::write(&config, CONFIG).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.arg("--config").arg(&config).arg("serve").envs(environment);
    for (name, value) in [
        ("SERVER__LISTEN", "127.0.0.1:0"),
        ("ADMIN__LISTEN", "127.0.0.1:0"),
        ("FEATURES__FAILOVER", "false"),
        ("TELEMETRY__LOG__LEVEL", "warn,switchboard::cli=info"),
        ("TELEMETRY__LOG__FORMAT", "json"),
    ] {
        command.env(format!("SWITCHBOARD__{name}"), value);
    }
    command.env("SWITCHBOARD__STORE__PATH", data.join("data"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the gateway starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a log")).lines().map_while(Result::ok);
    let ready = lines.by_ref().find_map(|line| {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) else {
            // Something is wrong with the configuration.
            eprintln!("{line}");
            return None;
        };
        (line["message"] == "ready").then(|| line["public"].as_str().map(str::to_owned))?
    });
    // Somebody must read it, or the gateway would wait for that.
    std::thread::spawn(move || lines.for_each(drop));
    (child, ready.expect("a gateway that is ready"))
}
