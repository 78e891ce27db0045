//! Plugins that change under a running gateway: new calls get the new version, calls that run keep the old
//! one, and no broken version is taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use sha2::{Digest as _, Sha256};
use switchboard::http::{LimitsView, PluginList};
use switchboard::sim::twilio::CallerSetup;
use switchboard::sim::world::API_KEY;
use switchboard::tool::Toolbox;

use crate::harness::{CALLEE, CALLER, House, Operator, Plan, attach, eventually, script};

/// A folder of plugin files, and a gateway that uses them.
struct Bench {
    house: House,
    plugins: tempfile::TempDir,
    config: String,
}

impl Bench {
    /// A gateway whose plugin `guests` is this file.
    async fn with(component: &[u8]) -> Bench {
        Bench::of(&[("guests", component)], "").await
    }

    /// A gateway with these plugins; each has this in its table.
    async fn of(files: &[(&str, &[u8])], more: &str) -> Bench {
        Bench::offering(r#""say_*", "hangup""#, files, more).await
    }

    /// The same, whose session offers these tools.
    async fn offering(tools: &str, files: &[(&str, &[u8])], more: &str) -> Bench {
        let plugins = tempfile::tempdir().expect("a directory");
        let mut config = SHOP.replace(r#""say_*", "hangup""#, tools);
        for (name, component) in files {
            let path = plugins.path().join(format!("{name}.wasm"));
            std::fs::write(&path, component).expect("a file");
            let path = path.display();
            config +=
                &format!("[plugins.{name}]\npath = \"{path}\"\nallow = {{ kv = \"{name}\" }}\n{more}\n");
        }
        let house = House::with(Plan { config: config.clone(), ..Plan::default() }).await;
        Bench { house, plugins, config }
    }

    /// Stops the gateway, lets something happen to the folder of plugins, and starts again.
    async fn restarted(self, meanwhile: impl FnOnce(&Path)) -> Bench {
        let Bench { house, plugins, config } = self;
        let data = house.close().await;
        meanwhile(plugins.path());
        let house = House::at(Plan { config: config.clone(), ..Plan::default() }, data).await;
        Bench { house, plugins, config }
    }

    /// What `GET /api/v1/plugins` tells: the names of those in use, and of those that are not, with the reason.
    async fn listed(&self) -> (Vec<String>, Vec<(String, String)>) {
        let list: PluginList = self.ask("/api/v1/plugins", true).await.json().await.expect("a list");
        let place = format!("{}/", self.plugins.path().display());
        let out = list.out_of_order.into_iter().map(|out| (out.name, out.why.replace(&place, "")));
        (list.plugins.into_iter().map(|plugin| plugin.name).collect(), out.collect())
    }

    /// Waits until all plugins are in use.
    async fn whole(&self) {
        eventually("all plugins are in use", || async { self.toolbox().left_out().is_empty().then_some(()) })
            .await;
    }

    fn path(&self, name: &str) -> PathBuf {
        self.plugins.path().join(format!("{name}.wasm"))
    }

    /// Puts a whole new file in the place of the old one.
    fn replace(&self, name: &str, component: &[u8]) {
        let new = self.plugins.path().join("new");
        std::fs::write(&new, component).expect("a file");
        std::fs::rename(new, self.path(name)).expect("a replaced file");
    }

    /// Waits until so many versions of the plugin were `loaded` or `refused`.
    async fn counted(&self, name: &str, result: &str, times: f64) {
        let line = format!(r#"switchboard_plugin_reloads_total{{plugin="{name}",result="{result}"}}"#);
        let what = format!("{name} {result} {times}");
        eventually(&what, || async { (self.house.metric(&line) >= times).then_some(()) }).await;
        assert_eq!(self.house.metric(&line), times, "{line}");
    }

    /// What the operator is told about the last change of a plugin.
    fn refusal(&self, name: &str) -> Option<String> {
        let change = self.house.gateway.control().tools().change_of(name).expect("it changed");
        let place = format!("{}/", self.plugins.path().display());
        change.refused.map(|why| why.replace(&place, ""))
    }

    /// What a new call hears when it asks for an order.
    async fn heard(&self) -> String {
        let played = self.house.call(&format!("steps = [{ASK}, {{ hang_up = \"caller\" }}]")).await;
        let provider = played.provider.expect("the provider saw the call");
        provider.tool_outputs.into_iter().map(|output| output.output).collect()
    }

    /// An operator asks, with or without the token.
    async fn ask(&self, path: &str, has_token: bool) -> reqwest::Response {
        let operator = Operator::of(&self.house);
        let mut request = operator.request(Method::GET, path);
        if has_token {
            request = request.bearer_auth(&operator.token);
        }
        request.send().await.expect("an answer")
    }

    fn toolbox(&self) -> Arc<Toolbox> {
        self.house.gateway.control().tools().current()
    }

    fn tools(&self) -> Vec<String> {
        self.toolbox().names()
    }
}

const SHOP: &str = r#"
[sessions.shop]
instructions = "You are the shop."
greeting = "Say hello."
tools = ["say_*", "hangup"]

"#;

/// The model asks for an order and says what it heard.
const ASK: &str =
    r#"{ model = { calls = [{ name = "say_not_found" }] } }, { model = { says = "{/message}" } }"#;

/// The words of the guests' tool `say_not_found`, and others of the same length.
const ORDER: &str = "no such order";
const PARTS: &str = "no such parts";
const GOODS: &str = "no such goods";

fn component(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("plugins/{name}/{name}.wasm"));
    std::fs::read(path).expect("a plugin of this repository")
}

/// A version of the guests whose tool says these words.
fn guests(words: &str) -> Vec<u8> {
    let mut guests = component("test-guests");
    let at = guests.windows(ORDER.len()).position(|part| part == ORDER.as_bytes()).expect("its words");
    guests[at..at + words.len()].copy_from_slice(words.as_bytes());
    guests
}

/// The digest of a file, as `sha256sum` prints it.
fn hex(component: &[u8]) -> String {
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(words: &str) -> String {
    format!(r#"{{"error":"not_found","message":"{words}","retryable":false}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_runs_keeps_the_old_version_and_a_new_call_gets_the_new_one() {
    let bench = Bench::with(&guests(ORDER)).await;
    let first_generation = Arc::downgrade(&bench.toolbox());
    let steps =
        format!("steps = [{ASK}, {{ await_sidebands = 2 }}, {{ caller = {{ says = \"えっ。\" }} }}, {ASK}]");
    let long = bench.house.play(CallerSetup::new(CALLER, CALLEE, script(&steps)));
    let meanwhile = async {
        // By its id: calls are listed in no order.
        let id = eventually("the first answer", || async {
            let calls = bench.house.world.openai.calls();
            calls.into_iter().find(|call| !call.tool_outputs.is_empty()).map(|call| call.call_id)
        })
        .await;
        let find = || bench.house.world.openai.calls().into_iter().find(|call| call.call_id == id);
        bench.replace("guests", &guests(PARTS));
        bench.counted("guests", "loaded", 1.0).await;
        assert_eq!(bench.heard().await, answer(PARTS));
        let long = find().expect("the long call");
        assert!(!long.is_over && long.tool_outputs.len() == 1, "the long call is in its silence");
        assert!(first_generation.upgrade().is_some(), "the long call has its tools");
        // Somebody listens in: that is what the caller waits for.
        let _second = attach(&bench.house.world.openai, &long.call_id, API_KEY).await;
        eventually("the second answer", || async { find().filter(|call| call.tool_outputs.len() == 2) })
            .await;
    };
    let (long, ()) = tokio::join!(long, meanwhile);
    let heard: Vec<String> =
        long.provider.expect("a call").tool_outputs.into_iter().map(|output| output.output).collect();
    assert_eq!(heard, [answer(ORDER), answer(ORDER)]);
    eventually("the old tools are gone with their last call", || async {
        first_generation.upgrade().is_none().then_some(())
    })
    .await;
    assert_eq!(bench.refusal("guests"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_version_is_refused_and_the_next_good_one_is_taken() {
    let bench = Bench::with(&guests(ORDER)).await;
    let before = bench.toolbox();
    bench.replace("guests", b"\0asm\x01\0\0\0");
    bench.counted("guests", "refused", 1.0).await;
    let told = bench.refusal("guests").expect("a refusal");
    assert!(told.starts_with("guests.wasm is a core WebAssembly module, not a component"), "{told}");
    assert!(Arc::ptr_eq(&before, &bench.toolbox()), "the old tools stay");
    assert_eq!(bench.heard().await, answer(ORDER));

    std::fs::remove_file(bench.path("guests")).expect("removed");
    bench.counted("guests", "refused", 2.0).await;
    assert_eq!(
        bench.refusal("guests").as_deref(),
        Some(
            "cannot read guests.wasm: No such file or directory (os error 2); build the plugin, or correct its `path`"
        )
    );
    assert_eq!(bench.heard().await, answer(ORDER));

    bench.replace("guests", &guests(PARTS));
    bench.counted("guests", "loaded", 1.0).await;
    assert_eq!((bench.refusal("guests"), bench.heard().await), (None, answer(PARTS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_is_loaded_and_what_was_refused() {
    let bench = Bench::with(&guests(ORDER)).await;
    let list = || async {
        let answer = bench.ask("/api/v1/plugins", true).await;
        let list: PluginList = answer.json().await.expect("a list");
        assert_eq!(list.plugins.len(), 1);
        list.plugins.into_iter().next().expect("the guests")
    };
    assert_eq!(bench.ask("/api/v1/plugins", false).await.status(), 401);
    let loaded = list().await;
    assert_eq!((loaded.name.as_str(), loaded.digest), ("guests", hex(&guests(ORDER))));
    assert!(loaded.tools.contains(&"say_not_found".to_owned()) && !loaded.from_cache);
    assert_eq!(
        (loaded.grants.kv.as_deref(), loaded.breaker.as_str(), loaded.last_change),
        (Some("guests"), "closed", None)
    );
    let limits = LimitsView {
        memory_bytes: 64 << 20,
        table_elements: 100_000,
        instances: 32,
        stack_bytes: 512 << 10,
        time_ms: 2_000,
        wait_ms: 500,
        output_bytes: 64 << 10,
        log_bytes: 16 << 10,
        http_requests: 8,
        http_response_bytes: 256 << 10,
        http_bytes: 1 << 20,
        kv_keys: 10_000,
        kv_bytes: 16 << 20,
        concurrency: 16,
    };
    assert_eq!((loaded.limits, loaded.needs, loaded.memory_peak_bytes), (limits, vec!["kv".to_owned()], 0));

    bench.replace("guests", b"broken");
    bench.counted("guests", "refused", 1.0).await;
    let refused = list().await;
    assert_eq!(refused.digest, hex(&guests(ORDER)), "what is in use");
    let why = refused.last_change.and_then(|change| change.refused).expect("a refusal");
    assert!(why.contains("is not a WebAssembly component: it does not begin like WebAssembly; "), "{why}");

    bench.replace("guests", &guests(PARTS));
    bench.counted("guests", "loaded", 1.0).await;
    let changed = list().await;
    assert_eq!(
        (changed.digest, changed.last_change.map(|change| change.refused)),
        (hex(&guests(PARTS)), Some(None))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_version_is_told_once_until_an_operator_asks() {
    let bench = Bench::with(&guests(ORDER)).await;
    let half = guests(PARTS)[..20_000].to_vec();
    bench.replace("guests", &half);
    bench.counted("guests", "refused", 1.0).await;
    // The same bytes in another file are the same version.
    bench.replace("guests", &half);
    bench.house.gateway.reload();
    bench.counted("guests", "refused", 2.0).await;
    // An interrupted copy goes on.
    std::fs::write(bench.path("guests"), guests(PARTS)).expect("a file");
    bench.counted("guests", "loaded", 1.0).await;
    bench.counted("guests", "refused", 2.0).await;
    assert_eq!(bench.heard().await, answer(PARTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_touched_is_the_version_in_use() {
    let bench = Bench::with(&guests(ORDER)).await;
    bench.replace("guests", b"broken");
    bench.counted("guests", "refused", 1.0).await;
    bench.replace("guests", &guests(ORDER));
    eventually("the operator is told that all is well", || async {
        bench.refusal("guests").is_none().then_some(())
    })
    .await;
    bench.counted("guests", "loaded", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_lacks_an_offered_tool_is_refused() {
    let bench = Bench::with(&guests(ORDER)).await;
    bench.replace("guests", &component("customer-lookup"));
    bench.counted("guests", "refused", 1.0).await;
    let told = bench.refusal("guests").expect("a refusal");
    assert!(
        told.contains("session `shop` offers a tool that does not exist") && told.contains("say_*"),
        "{told}"
    );
    assert!(bench.tools().contains(&"say_not_found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_fit_only_together_are_taken_together() {
    let (guests, lookup) = (guests(ORDER), component("customer-lookup"));
    let bench = Bench::of(&[("one", &guests), ("two", &lookup)], "").await;
    let before = bench.tools();
    bench.replace("two", &guests);
    bench.counted("two", "refused", 1.0).await;
    let told = bench.refusal("two").expect("a refusal");
    assert!(told.contains("plugin `two` provides the tool `echo`, which plugin `one` provides"), "{told}");
    bench.replace("one", &lookup);
    bench.counted("one", "loaded", 1.0).await;
    bench.counted("two", "loaded", 1.0).await;
    assert_eq!((bench.tools(), bench.refusal("two")), (before, None));
    assert_eq!(bench.heard().await, answer(ORDER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_file_is_not_replaced() {
    let pinned = guests(ORDER);
    let digest = hex(&pinned);
    let bench = Bench::of(&[("guests", &pinned)], &format!("sha256 = \"{digest}\"")).await;
    bench.replace("guests", &guests(PARTS));
    bench.counted("guests", "refused", 1.0).await;
    let told = bench.refusal("guests").expect("a refusal");
    assert!(
        told.contains("`sha256` pins") && told.contains("pin the new one if you trust the file"),
        "{told}"
    );
    assert_eq!(bench.heard().await, answer(ORDER));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_the_place_of_a_link_is_noticed() {
    // As a ConfigMap does it: `guests.wasm` → `..data/guests.wasm`, and `..data` → the newest folder.
    let plugins = tempfile::tempdir().expect("a directory");
    let place = |name: &str| plugins.path().join(name);
    for (folder, words) in [("..1", ORDER), ("..2", PARTS), ("..3", GOODS)] {
        std::fs::create_dir(place(folder)).expect("a folder");
        std::fs::write(place(folder).join("guests.wasm"), guests(words)).expect("a file");
    }
    std::os::unix::fs::symlink("..1", place("..data")).expect("a link");
    std::os::unix::fs::symlink("..data/guests.wasm", place("guests.wasm")).expect("a link");
    let path = place("guests.wasm").display().to_string();
    let config = format!("{SHOP}[plugins.guests]\npath = \"{path}\"\nallow = {{ kv = \"guests\" }}\n");
    let house = House::with(Plan { config: config.clone(), ..Plan::default() }).await;
    let bench = Bench { house, plugins, config };
    for (n, (folder, words)) in [(1.0, ("..2", PARTS)), (2.0, ("..3", GOODS))] {
        std::os::unix::fs::symlink(folder, bench.plugins.path().join("..new")).expect("a link");
        let data = bench.plugins.path().join("..data");
        std::fs::rename(bench.plugins.path().join("..new"), data).expect("a replaced link");
        bench.counted("guests", "loaded", n).await;
        assert_eq!(bench.heard().await, answer(words));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_after_the_first_takes_compiled_plugins_from_the_cache() {
    let bench = Bench::with(&guests(ORDER)).await;
    let cached = |house: &House, result: &str| {
        house.metric(&format!(r#"switchboard_plugin_cache_total{{result="{result}"}}"#))
    };
    assert_eq!((cached(&bench.house, "miss"), cached(&bench.house, "hit")), (1.0, 0.0));
    let bench = bench.restarted(|_| {}).await;
    assert_eq!((cached(&bench.house, "miss"), cached(&bench.house, "hit")), (0.0, 1.0));
    assert_eq!(bench.heard().await, answer(ORDER));
    bench.replace("guests", &guests(PARTS));
    bench.counted("guests", "loaded", 1.0).await;
    assert_eq!(cached(&bench.house, "miss"), 1.0, "a new version is compiled, and kept too");
    let entries = std::fs::read_dir(bench.house.data.path().join("plugin-cache"));
    assert_eq!(entries.expect("the cache").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_stops_while_it_watches() {
    let bench = Bench::with(&guests(ORDER)).await;
    bench.replace("guests", &guests(PARTS));
    bench.house.gateway.reload();
    let stopped = tokio::time::timeout(Duration::from_secs(10), bench.house.gateway.stop()).await;
    assert_eq!(stopped, Ok(0));
}

// === a start with a plugin that is broken ===

const OUT_OF_ORDER: &str = "switchboard_plugins_out_of_order";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_broke_meanwhile_does_not_keep_the_gateway_down() {
    let (guests, lookup) = (guests(ORDER), component("customer-lookup"));
    let files: [(&str, &[u8]); 2] = [("guests", &guests), ("lookup", &lookup)];
    let bench = Bench::offering(r#""say_*", "lookup_customer""#, &files, "").await;
    assert_eq!(bench.ask("/readyz", false).await.text().await.expect("words"), "ready\n");
    let half = &guests[..guests.len() / 2];
    let bench = bench
        .restarted(|plugins| std::fs::write(plugins.join("guests.wasm"), half).expect("a damaged file"))
        .await;

    let ready = bench.ask("/readyz", false).await;
    assert_eq!(ready.status(), 200);
    let words = "ready\nthe plugin guests is out of order: calls are answered without its tools and hooks\n";
    assert_eq!(ready.text().await.expect("words"), words);
    assert_eq!(bench.house.metric(OUT_OF_ORDER), 1.0);
    let (in_use, out) = bench.listed().await;
    assert_eq!(in_use, ["lookup"]);
    let [(name, why)] = out.as_slice() else { panic!("{out:?}") };
    assert_eq!(name, "guests");
    assert!(why.starts_with("guests.wasm is not a WebAssembly component: "), "{why}");
    assert!(why.ends_with("or copy it again whole"), "{why}");

    // Calls are answered, the tools of others work, and a model that wants one that it knew before is told.
    let both = r#"[{ name = "lookup_customer", arguments = { phone = "03-0000-0000" } }, { name = "say_not_found" }]"#;
    let steps = format!(
        "steps = [{{ model = {{ calls = {both} }} }}, {{ model = {{ says = \"はい。\" }} }}, {{ hang_up = \"caller\" }}]"
    );
    let provider = bench.house.call(&steps).await.provider.expect("the provider saw the call");
    assert!(provider.accepts[0].contains("lookup_customer"), "{:?}", provider.accepts);
    assert!(!provider.accepts[0].contains("say_not_found"), "it is not offered: {:?}", provider.accepts);
    let mut heard: Vec<String> = provider.tool_outputs.into_iter().map(|output| output.output).collect();
    heard.sort();
    let words = r#"{"error":"unavailable","message":"`say_not_found` is out of order for the moment","retryable":true}"#;
    assert!(heard.iter().any(|output| output == words), "{heard:?}");
    assert!(heard.iter().any(|output| output.contains(r#""found":false"#)), "{heard:?}");

    // What is no better is refused, and it stays out of order.
    bench.replace("guests", EMPTY);
    bench.counted("guests", "refused", 1.0).await;
    assert!(
        bench.listed().await.1[0].1.starts_with("guests.wasm is not a WebAssembly component: it is empty; ")
    );
    bench.replace("guests", &guests);
    bench.counted("guests", "loaded", 1.0).await;
    assert_eq!((bench.listed().await.1, bench.house.metric(OUT_OF_ORDER)), (Vec::new(), 0.0));
    assert_eq!(bench.ask("/readyz", false).await.text().await.expect("words"), "ready\n");
    assert_eq!(bench.heard().await, answer(ORDER));
}

const EMPTY: &[u8] = b"";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_to_a_plugin_only_that_one_is_left_out_until_it_is_good_again() {
    let (guests, lookup) = (guests(ORDER), component("customer-lookup"));
    let mut bench = Bench::of(&[("guests", &guests), ("lookup", &lookup)], "").await;
    let write = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        move |file: &Path| std::fs::write(file, &bytes).expect("a file")
    };
    type Happened<'a> = Box<dyn Fn(&Path) + 'a>;
    let ways: [(&str, Happened<'_>, &str); 4] = [
        ("removed", Box::new(|_| {}), "cannot read lookup.wasm: No such file or directory"),
        (
            "a folder",
            Box::new(|file| std::fs::create_dir(file).expect("a folder")),
            "cannot read lookup.wasm: ",
        ),
        ("a pipe", Box::new(pipe), "cannot read lookup.wasm: it is not a plain file"),
        (
            "of another",
            Box::new(write(&guests)),
            "tool `echo` is provided by plugin `guests` and by plugin `lookup`",
        ),
    ];
    for (way, happen, expected) in ways {
        bench = bench
            .restarted(|plugins| {
                let file = plugins.join("lookup.wasm");
                std::fs::remove_file(&file).expect("there is one");
                happen(&file);
            })
            .await;
        let (in_use, out) = bench.listed().await;
        assert_eq!(in_use, ["guests"], "{way}");
        assert!(out[0].0 == "lookup" && out[0].1.starts_with(expected), "{way}: {out:?}");
        assert!(bench.tools().contains(&"say_not_found".to_owned()), "{way}");
        if way == "a folder" {
            std::fs::remove_dir(bench.path("lookup")).expect("a folder");
        }
        bench.replace("lookup", &lookup);
        bench.whole().await;
    }
    assert_eq!(bench.heard().await, answer(ORDER));
}

fn pipe(file: &Path) {
    let made = std::process::Command::new("mkfifo").arg(file).status().expect("a system with pipes");
    assert!(made.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_lacks_an_offered_tool_is_better_than_no_gateway() {
    let bench = Bench::with(&guests(ORDER)).await;
    let lookup = component("customer-lookup");
    let bench = bench
        .restarted(|plugins| std::fs::write(plugins.join("guests.wasm"), lookup).expect("another plugin"))
        .await;
    assert_eq!(bench.listed().await, (vec!["guests".to_owned()], Vec::new()));
    let heard = bench.heard().await;
    assert!(heard.contains("there is no tool `say_not_found`"), "{heard}");
    bench.replace("guests", &guests(PARTS));
    bench.counted("guests", "loaded", 1.0).await;
    assert_eq!(bench.heard().await, answer(PARTS));
    // What it can do now it may not lose again.
    bench.replace("guests", &component("customer-lookup"));
    bench.counted("guests", "refused", 1.0).await;
    assert_eq!(bench.heard().await, answer(PARTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_fit_only_without_each_other_are_taken_in_when_the_other_is_put_right() {
    let (guests, lookup) = (guests(ORDER), component("customer-lookup"));
    let bench = Bench::of(&[("one", &lookup), ("two", &guests)], "").await;
    let bench = bench
        .restarted(|plugins| std::fs::write(plugins.join("one.wasm"), &guests).expect("the same tools"))
        .await;
    assert_eq!(bench.listed().await.0, ["one"], "the first in the configuration");
    assert_eq!(bench.heard().await, answer(ORDER));
    bench.replace("one", &lookup);
    bench.whole().await;
    assert_eq!(bench.listed().await.0, ["one", "two"]);
    assert_eq!(bench.heard().await, answer(ORDER));
}
