//! A configuration that changes under a running gateway: followed whole by what is decided from then on, or refused
//! whole; calls that run go on as they began.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;
use switchboard::call::record::State;
use switchboard::clock::SystemClock;
use switchboard::config;
use switchboard::http::{ConfigChange, Reloaded, Role, TokenSettings};
use switchboard::sim::log::WorldLog;
use switchboard::sim::openai::CallReport;
use switchboard::sim::twilio::CallerSetup;
use switchboard::sim::world::{Options, World};

use crate::harness::{CALLEE, CALLER, House, Operator, SPEED, eventually, place, script};

const SHOP: &str = r#"
[sessions.shop]
instructions = "You are the old shop."
greeting = "Say hello."

[[routes]]
name = "all"
session = "shop"
"#;

/// A call that goes on until the gateway ends it.
const HELD: &str = "steps = [{ await_sidebands = 1 }, { hang_up = \"gateway\" }]";

/// A gateway whose configuration is a file.
struct Office {
    house: House,
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Office {
    async fn open(text: &str) -> Office {
        Office::of(text, false).await
    }

    async fn of(text: &str, is_watched: bool) -> Office {
        let (data, folder) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, text).expect("a file");
        let clock = Arc::new(SystemClock);
        let log = WorldLog::new(clock.clone(), None);
        let world = World::start(Options::new(clock, log, SPEED)).await.expect("a world");
        let mut environment = world.environment();
        environment.extend(place(data.path()));
        let config = config::load(&path, &environment.iter().cloned().collect())
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let config = if is_watched { config.watched() } else { config };
        let house = House::of(world, config, data).await;
        Office { house, folder, environment }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: &str) {
        // As editors do: a new file in the place of the old one.
        std::fs::write(self.path("new"), text).expect("a file");
        std::fs::rename(self.path("new"), self.path("gateway.toml")).expect("a replaced file");
    }

    async fn ask(&self, method: Method, path: &str) -> (u16, Value) {
        let (status, text) = Operator::of(&self.house).ask(method, path, "").await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// What comes of reading it again: what an operator is told who asks for it.
    async fn reload(&self) -> Result<Reloaded, String> {
        let (status, told) = self.ask(Method::POST, "/api/v1/config/reload").await;
        match status {
            200 => Ok(serde_json::from_value(told).expect("what came of it")),
            422 => Err(told["error"]["message"].as_str().expect("why").replace(&self.folder_name(), "")),
            other => panic!("{other}: {told}"),
        }
    }

    fn folder_name(&self) -> String {
        format!("{}/", self.folder.path().display())
    }

    async fn last_reload(&self) -> Value {
        self.ask(Method::GET, "/api/v1/config").await.1["last_reload"].clone()
    }

    /// What the model of the next call was told to be.
    async fn instructions_of_the_next_call(&self) -> String {
        let played = self.house.call("steps = [{ hang_up = \"caller\" }]").await;
        let provider = played.provider.expect("the provider saw the call");
        instructions(&provider)
    }

    /// The call that is live.
    async fn live(&self) -> String {
        let live = || async {
            let calls = self.house.calls().await;
            calls.into_iter().find(|call| call.state == State::Live)
        };
        eventually("a live call", live).await.id.to_string()
    }

    async fn hang_up(&self, call: &str) {
        let (status, told) = self.ask(Method::POST, &format!("/api/v1/calls/{call}/hangup")).await;
        assert_eq!(status, 202, "{told}");
    }

    /// What `switchboard reload` prints, and how it ends.
    async fn reload_by_command(&self) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        command.env_clear().envs(self.environment.clone());
        command.env("SWITCHBOARD__ADMIN__LISTEN", self.house.gateway.admin.to_string());
        command.arg("--config").arg(self.path("gateway.toml")).arg("reload");
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.expect("no panic").expect("the command runs");
        let words = [output.stdout, output.stderr].map(|words| String::from_utf8_lossy(&words).into_owned());
        (output.status.code().expect("a code"), words.concat().replace(&self.folder_name(), ""))
    }
}

/// What the model was told to be.
fn instructions(provider: &CallReport) -> String {
    let accepted: Value = serde_json::from_str(&provider.accepts[0]).expect("JSON");
    accepted["instructions"].as_str().expect("a text").to_owned()
}

fn change(key: &str, old: Option<&str>, new: Option<&str>) -> ConfigChange {
    let text = |value: Option<&str>| value.map(str::to_owned);
    ConfigChange { key: key.to_owned(), old: text(old), new: text(new) }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_calls_follow_a_changed_configuration_and_calls_that_run_go_on() {
    let office = Office::open(SHOP).await;
    assert_eq!(office.last_reload().await, Value::Null);
    let running = office.house.world.play(CallerSetup::new(CALLER, CALLEE, script(HELD)));
    let reloading = async {
        let id = office.live().await;
        office.write(
            &SHOP.replace("old shop", "new shop").replace("shop]", "store]").replace("\"shop\"", "\"store\""),
        );
        let reloaded = office.reload().await.expect("it holds");
        office.hang_up(&id).await;
        reloaded
    };
    let (played, reloaded) = tokio::join!(running, reloading);
    let key = "sessions.shop.instructions";
    assert!(reloaded.ok && reloaded.needs_restart.is_empty() && reloaded.problems.is_empty(), "{reloaded:?}");
    assert!(reloaded.changes.contains(&change("routes[all].session", Some("shop"), Some("store"))));
    assert!(reloaded.changes.contains(&change(key, Some("You are the old shop."), None)));
    // The session that the running call has is gone from the configuration, not from the call.
    let provider = played.provider.expect("the provider saw the call");
    assert_eq!(instructions(&provider), "You are the old shop.");
    let old = office.house.ended().await;
    assert_eq!(old.call.session.as_deref(), Some("shop"));
    assert_eq!(office.instructions_of_the_next_call().await, "You are the new shop.");
    let (_, shown) = office.ask(Method::GET, "/api/v1/config").await;
    assert_eq!(shown["last_reload"]["at"], shown["read_at"], "{shown}");
    assert!(shown.to_string().contains("sessions.store.instructions"));
    assert_eq!(office.house.metric("switchboard_config_reloads_total{result=\"loaded\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_refused_whole_and_everything_stays_as_it_is() {
    let office = Office::open(SHOP).await;
    for (wrong, words) in [
        (SHOP.replace("old shop", "new shop").replace("session = \"shop\"", "session = \"shpo\""), "shpo"),
        (format!("{}\n[plugins.gone]\npath = \"gone.wasm\"\n", SHOP.replace("old", "new")), "gone.wasm"),
        (SHOP.replace("greeting", "tools = [\"lookup\"]\ngreeting").replace("old", "new"), "lookup"),
        ("[[routes]\n".to_owned(), "gateway.toml:1:"),
    ] {
        office.write(&wrong);
        let why = office.reload().await.expect_err("it is refused");
        assert!(why.contains(words) && why.contains("error[E"), "{why}");
        let last = office.last_reload().await;
        assert_eq!(
            (&last["ok"], &last["changes"]),
            (&Value::Bool(false), &Value::Array(Vec::new())),
            "{last}"
        );
        assert_eq!(office.instructions_of_the_next_call().await, "You are the old shop.");
    }
    assert_eq!(office.house.metric("switchboard_config_last_reload_successful"), 0.0);
    let (code, words) = office.reload_by_command().await;
    assert_eq!(code, 78, "{words}");
    assert!(words.contains("everything stays as it is") || words.contains("gateway.toml:1:"), "{words}");
    office.write(SHOP);
    assert_eq!(office.reload().await.expect("it holds").changes, []);
    assert_eq!(office.house.metric("switchboard_config_last_reload_successful"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_tokens_and_what_only_the_next_process_follows() {
    let office = Office::open(SHOP).await;
    let hash = TokenSettings::of("ops", Role::Viewer, "swb_ops").hash();
    let token = format!("[[admin.tokens]]\nname = \"ops\"\nrole = \"viewer\"\nhash = \"{hash}\"\n");
    let as_ops = Operator::of(&office.house).showing("swb_ops");
    assert_eq!(as_ops.get("/api/v1/routes").await.0, 401);
    let limited = format!("[server]\nmax_calls = 1\n{SHOP}{token}[sandbox]\ninstances = 17\n");
    office.write(&limited);
    let reloaded = office.reload().await.expect("it holds");
    assert_eq!(reloaded.needs_restart, ["sandbox.instances"]);
    assert!(reloaded.changes.contains(&change("server.max_calls", Some("200"), Some("1"))), "{reloaded:?}");
    assert_eq!(as_ops.get("/api/v1/routes").await.0, 200);
    // One call is being answered: there is room for no other.
    let running = office.house.world.play(CallerSetup::new(CALLER, CALLEE, script(HELD)));
    let second = async {
        let id = office.live().await;
        let busy = office.house.ask("CA00000000000000000000000000000099", "+819000000001").await;
        assert!(String::from_utf8_lossy(&busy.body).contains("<Reject reason=\"busy\"/>"));
        // The call that is counted already counts for a limit that comes later.
        office.write(&limited.replace("max_calls = 1", "max_calls = 2"));
        let told = office.reload_by_command().await;
        office.house.ask("CA00000000000000000000000000000098", "+819000000002").await;
        assert_eq!(office.house.gateway.control().active(), 2);
        office.hang_up(&id).await;
        told
    };
    let (_, (code, told)) = tokio::join!(running, second);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("server.max_calls: 1 → 2"), "{told}");
    assert!(told.contains("from its next start, or `switchboard handover`: sandbox.instances"), "{told}");
    office.write(SHOP);
    assert_eq!(office.reload().await.expect("it holds").needs_restart, [] as [&str; 0]);
    assert_eq!(as_ops.get("/api/v1/routes").await.0, 401, "its token is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_the_files_need_not_ask() {
    let with_file =
        SHOP.replace("instructions = \"You are the old shop.\"", "instructions_file = \"shop.md\"");
    let office = Office::of(SHOP, true).await;
    std::fs::write(office.path("shop.md"), "You are in a file.").expect("a file");
    office.write(&with_file);
    let loaded = "switchboard_config_reloads_total{result=\"loaded\"}";
    eventually("it is read", || async { (office.house.metric(loaded) == 1.0).then_some(()) }).await;
    assert_eq!(office.instructions_of_the_next_call().await, "You are in a file.");
    // A file that it names is watched as well.
    std::fs::write(office.path("shop.md"), "You are in another file.").expect("a file");
    eventually("it is read again", || async { (office.house.metric(loaded) == 2.0).then_some(()) }).await;
    assert_eq!(office.instructions_of_the_next_call().await, "You are in another file.");
    office.write("nonsense");
    let refused = "switchboard_config_reloads_total{result=\"refused\"}";
    eventually("it is refused", || async { (office.house.metric(refused) >= 1.0).then_some(()) }).await;
    assert_eq!(office.instructions_of_the_next_call().await, "You are in another file.");
}
