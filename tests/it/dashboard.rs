//! The dashboard in a real browser, before a real gateway with simulated callers: what a person sees and does in it.
//!
//! One browser and one gateway serve all of it, in the order of a person's morning. With `BLESS=1` it also makes the
//! pictures of `docs/images`. Where there is no Chromium it is skipped, and says so.

mod access;
mod acts;
mod browser;
mod devtools;
mod gateway;
mod many;
mod roles;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard::call::record::{CallRecord, EndedReason};
use switchboard::clock::SystemClock;
use switchboard::config;
use switchboard::http::Role;
use switchboard::ids::CallId;
use switchboard::sim::log::WorldLog;
use switchboard::sim::twilio::CallerSetup;
use switchboard::sim::world::{API_KEY, Options, World};

use self::browser::Browser;
use self::gateway::Receivers;
use self::wire::Wire;
use crate::author::toolchains::is_here;
use crate::harness::{
    CALLEE, CALLER, CONFIG, House, Operator, SHORT, SPEED, attach, eventually, place, script,
};

/// A caller whose words want to be markup.
const HOSTILE: &str = r#"steps = [
    { model = { says = "はい。" } },
    { caller = { says = "<img src=x onerror='document.title=1'>" } },
    { model = { says = "はい。" } },
    { hang_up = "caller" },
]"#;
const ORDER: &str = r#"steps = [
    { model = { says = "お電話ありがとうございます。さくら商店でございます。" } },
    { caller = { says = "もしもし、佐藤です。注文した便箋はいつ届きますか。" } },
    { model = { says = "お調べいたします。", calls = [{ name = "lookup_customer" }] } },
    { model = { says = "{/name}様、ご注文の便箋は発送済みでございます。" } },
    { caller = { says = "ありがとうございます。助かりました。" } },
    { model = { says = "お電話ありがとうございました。" } },
    { hang_up = "caller" },
]"#;
/// A call that goes on when somebody attaches one sideband more.
const LONG: &str = r#"steps = [
    { model = { says = "お電話ありがとうございます。さくら商店でございます。" } },
    { await_sidebands = 2 },
    { caller = { says = "封筒もありますか。" } },
    { model = { says = "はい、十枚入りでございます。" } },
    { await_sidebands = 3 },
    { caller = { says = "では、二つください。" } },
    { model = { says = "かしこまりました。" } },
    { hang_up = "gateway" },
]"#;
/// The pages, and what is there when they are.
const PAGES: [(&str, &str); 10] = [
    ("/live", "document.querySelector('main .badge')"),
    ("/calls", "document.querySelector('.vbody .vrow')"),
    ("/routes", "document.querySelector('.routes li')"),
    ("/tools?tool=lookup_customer", "document.querySelector('form.try')"),
    ("/webhooks", "document.querySelector('tbody tr')"),
    ("/notifications", "document.querySelector('tbody tr')"),
    ("/config", "document.querySelector('tbody tr')"),
    ("/health", "document.querySelector('tbody tr')"),
    ("/cost", "document.querySelector('.chart')"),
    ("/audit", "document.querySelector('tbody tr')"),
];

/// Whether there is a browser here.
pub fn has_browser() -> bool {
    browser::program().is_some()
}

struct Office {
    house: House,
    receivers: Receivers,
    /// The configuration's file, in a folder of its own.
    path: PathBuf,
    _folder: tempfile::TempDir,
    browser: Browser,
    wire: Wire,
    /// How many calls there are beside those that are looked at.
    more: u32,
}

/// The plugin's file, below the folder of the configuration.
const PLUGIN: &str = "plugins/customer-lookup/customer-lookup.wasm";

impl Office {
    async fn open(program: &std::path::Path) -> Office {
        let receivers = Receivers::open().await;
        let recordings = "[features]\nrecordings = true\n\n[recordings]\nannouncement = { text = \"録音します。\", language = \"ja-JP\" }\n";
        let text = format!("{recordings}{CONFIG}{}{}", receivers.config, roles::tokens());
        let folder = tempfile::tempdir().expect("a folder");
        let (path, plugin) = (folder.path().join("gateway.toml"), folder.path().join(PLUGIN));
        std::fs::create_dir_all(plugin.parent().expect("a folder")).expect("a folder");
        std::fs::copy(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PLUGIN), plugin).expect("the plugin");
        std::fs::write(&path, text).expect("a file");
        // In pictures people speak as fast as people speak.
        let is_pictured = std::env::var_os("BLESS").is_some();
        let clock = Arc::new(SystemClock);
        let log = WorldLog::new(clock.clone(), None);
        let world = World::start(Options::new(clock, log, if is_pictured { 1.0 } else { SPEED })).await;
        let (world, data) = (world.expect("a world"), tempfile::tempdir().expect("a folder"));
        let mut environment = world.environment();
        environment.extend(place(data.path()));
        let config = config::load(&path, &environment.into_iter().collect());
        let config = config.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let house = House::of(world, config, data).await;
        let wire = Wire::to(house.gateway.admin).await;
        let browser = Browser::open(program, format!("http://{}", wire.address)).await;
        browser.prefers("light").await;
        let more = if is_pictured { 9 } else { 0 };
        Office { house, receivers, path, _folder: folder, browser, wire, more }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_works_with_the_dashboard() {
    if !is_here("chromium", "the dashboard in a browser") {
        return;
    }
    let program = browser::program().expect("a browser");
    let office = Office::open(&program).await;

    office.signs_in().await;
    let order = office.has_calls_behind_it().await;
    office.sees_a_call_grow_and_hangs_up().await;
    office.sees_words_as_words().await;
    office.looks_at_a_call(order).await;
    office.filters_calls().await;
    office.asks_for_a_route_and_tries_a_tool().await;
    office.uses_the_keyboard_only(order).await;
    let acted_on = office.acts_on_a_live_call().await;
    office.saves_calls_as_files(order).await;
    office.erases_a_call(acted_on).await;
    office.has_the_configuration_read_again().await;
    office.reads_japanese_on_a_telephone(order).await;
    office.is_seen_by_every_role(order).await;
    office.signs_in_as(Role::Admin).await;
    office.sends_notifications_again().await;
    office.holds_ten_thousand_rows().await;
    let call = format!("/calls/{order}");
    let mut pages = PAGES.to_vec();
    pages.push((&call, "document.querySelector('.transcript li')"));
    access::is_for_everybody(&office.browser, &pages).await;

    let seen = office.browser.devtools.seen();
    assert_eq!(seen.troubles, [""; 0]);
    let base = format!("http://{}/", office.wire.address);
    let own =
        |url: &&String| !url.starts_with(&base) && !url.starts_with("data:") && !url.starts_with("blob:");
    assert_eq!(seen.requests.iter().filter(own).collect::<Vec<_>>(), [""; 0], "a request left the origin");
    assert!(seen.requests.len() > 50, "the requests were seen");
    office.house.close().await;
}

impl Office {
    async fn signs_in(&self) {
        let browser = &self.browser;
        browser.go("/calls?outcome=operator").await;
        browser.shows("Sign in to Switchboard").await;
        assert_eq!(access::faults(browser, "").await, [""; 0], "signing in");
        browser.until("the field has the focus", "document.activeElement.name === 'token'").await;
        browser.write("wrong").await;
        browser.key("Enter").await;
        browser.until("the refusal is told", "document.querySelector('[role=alert]').textContent").await;
        browser.write(&Operator::of(&self.house).token).await;
        browser.key("Enter").await;
        // To where somebody wanted to go.
        browser
            .until("the calls are shown", "location.pathname + location.search === '/calls?outcome=operator'")
            .await;
        browser.shows("Audit log").await;
        assert_eq!(browser.text("document.cookie").await, "", "no script can read the session");
        assert_eq!(browser.text("JSON.stringify(localStorage)").await, "{}", "the token is kept nowhere");
    }

    /// Calls that are over: in one of them, which is recorded, somebody asked for an order.
    async fn has_calls_behind_it(&self) -> CallId {
        let more = (0..self.more).map(|n| {
            let from = format!("+8190123400{n:02}");
            self.house.play(CallerSetup::new(&from, CALLEE, script(SHORT)))
        });
        futures_util::future::join_all(more).await;
        self.house.play(CallerSetup::new("anonymous", CALLEE, script(HOSTILE))).await;
        self.house.play(CallerSetup::new(CALLER, CALLEE, script(ORDER))).await;
        let kept = || async {
            let id = self.call_of(|call| call.caller.as_deref() == Some(CALLER)).await?;
            let detail = self.house.ended_call(id).await;
            detail.recordings.iter().any(|record| record.is_kept()).then_some(id)
        };
        eventually("the recording is kept", kept).await
    }

    async fn call_of(&self, is_it: impl Fn(&CallRecord) -> bool) -> Option<CallId> {
        self.house.calls().await.iter().find(|call| is_it(call)).map(|call| call.id)
    }

    async fn sees_a_call_grow_and_hangs_up(&self) {
        let (browser, house) = (&self.browser, &self.house);
        browser.go("/live").await;
        browser.shows("No call is up.").await;
        let mut setup = CallerSetup::new(CALLER, CALLEE, script(LONG));
        setup.time_limit = Duration::from_secs(24 * 3600);
        let watching = async {
            // It comes by itself.
            browser.shows("さくら商店でございます。").await;
            browser.shows("1 active").await;
            let provider = provider_call(house).await;
            let _second = attach(&house.world.openai, &provider, API_KEY).await;
            browser.shows("封筒もありますか。").await;
            browser.shows("はい、十枚入りでございます。").await;
            browser
                .until(
                    "what was said is told aloud",
                    "document.querySelector('[aria-live]').textContent.includes('十枚入り')",
                )
                .await;
            browser.picture("live").await;
            // What is said while the wire is cut is there when it is mended, once.
            self.wire.cut();
            browser.shows("Reconnecting…").await;
            let _third = attach(&house.world.openai, &provider, API_KEY).await;
            eventually("the call goes on", || async {
                let calls = house.calls().await;
                calls.first().filter(|call| call.counts.lines >= 5).map(|_| ())
            })
            .await;
            self.wire.mend();
            browser.shows("かしこまりました。").await;
            let lines = "[...document.querySelectorAll('.transcript .words')].filter((each) => each.textContent.includes('二つください')).length";
            assert_eq!(browser.eval(lines).await, 1);
            browser
                .until("it is live again", "document.querySelector('.connection').dataset.state === 'open'")
                .await;
            browser.press("Hang up").await;
            browser.click("dialog[open] button.danger").await;
        };
        let (played, ()) = tokio::join!(house.play(setup), watching);
        assert_eq!(played.carrier.problems, [""; 0]);
        let reason =
            house.calls().await.first().and_then(|call| call.ended.as_ref().map(|ended| ended.reason));
        assert_eq!(reason, Some(EndedReason::Operator));
        browser.shows("Operator").await;
    }

    async fn sees_words_as_words(&self) {
        let id = self.call_of(|call| call.caller.is_none()).await.expect("the hostile caller's call");
        self.browser.go(&format!("/calls/{id}")).await;
        self.browser.shows("<img src=x onerror=").await;
        assert_eq!(self.browser.eval("document.querySelectorAll('main img').length").await, 0);
    }

    async fn looks_at_a_call(&self, id: CallId) {
        let browser = &self.browser;
        browser.go(&format!("/calls/{id}")).await;
        browser.shows("発送済みでございます。").await;
        browser.until("the sound is there", "document.querySelector('.player input[type=range]')").await;
        browser
            .until("the line of time is drawn", "document.querySelectorAll('.drawing rect').length >= 5")
            .await;
        browser.click(".transcript .assistant:nth-last-child(3) button").await;
        browser.until("its place is in the address", "/^#t=[0-9.]+$/.test(location.hash)").await;
        browser
            .until(
                "the sound is at that place",
                "Number(document.querySelector('.player .num').textContent.slice(3)) >= Number(location.hash.slice(3)) - 0.06",
            )
            .await;
        browser
            .until(
                "the line is marked",
                "document.querySelector('.transcript [aria-current]').textContent.includes('発送済み')",
            )
            .await;
        let place = browser.eval("document.querySelector('.playhead').x1.baseVal.value").await;
        assert!(place.as_f64() > Some(10.0), "{place}");
        let address = browser.text("location.pathname + location.hash").await;
        browser.picture("call").await;
        // The address alone leads to the same place.
        browser.go("/health").await;
        browser.go(&address).await;
        browser
            .until(
                "the line is marked again",
                "document.querySelector('.transcript [aria-current]').textContent.includes('発送済み')",
            )
            .await;
        for (tab, words) in [
            ("Tool calls", "lookup_customer"),
            ("Events", "recording.kept"),
            ("SIP & webhook", "our signed token"),
            ("Ran with", "gpt-realtime-2.1"),
        ] {
            browser.press(tab).await;
            browser
                .until(
                    &format!("the tab {tab} tells"),
                    &format!("document.querySelector('.tabpanel').innerText.includes({})", json!(words)),
                )
                .await;
        }
        assert_eq!(browser.text("location.search").await, "?tab=config");
    }

    async fn filters_calls(&self) {
        let browser = &self.browser;
        browser.go("/calls").await;
        browser.until("all are there", "document.querySelectorAll('.vbody .vrow').length >= 3").await;
        browser.choose("select[name=outcome]", "operator").await;
        browser.until("there is one", "document.querySelectorAll('.vbody .vrow').length === 1").await;
        assert_eq!(browser.text("location.search").await, "?outcome=operator");
        browser.shows("1 call").await;
        browser.eval("history.back()").await;
        browser
            .until(
                "there are three again",
                "document.querySelectorAll('.vbody .vrow').length >= 3 && location.search === ''",
            )
            .await;
        browser.picture("calls").await;
    }

    async fn asks_for_a_route_and_tries_a_tool(&self) {
        let browser = &self.browser;
        browser.go("/routes").await;
        browser.click("input[name=to]").await;
        browser.write(CALLEE).await;
        browser.key("Enter").await;
        browser
            .until(
                "the route is marked",
                "document.querySelector('.routes .taken').textContent.includes('all')",
            )
            .await;
        assert!(browser.text("location.search").await.contains("to=%2B815012345678"));
        browser.picture("routes").await;

        browser.go("/tools").await;
        browser.press("lookup_customer").await;
        browser.click("form.try input[inputmode=tel]").await;
        browser.write(CALLER).await;
        browser.press("Run").await;
        browser
            .until(
                "its answer is shown",
                "document.querySelector('form.try pre').textContent.includes('佐藤')",
            )
            .await;
        browser.picture("tools").await;
    }

    async fn uses_the_keyboard_only(&self, id: CallId) {
        let browser = &self.browser;
        browser.go("/health").await;
        browser.key("Tab").await;
        browser
            .until("the first stop leads past the navigation", "document.activeElement.matches('.skip')")
            .await;
        browser.key("Enter").await;
        browser.until("the focus is in the page", "document.activeElement.id === 'main'").await;
        browser.key("?").await;
        browser.until("the shortcuts are told", "document.querySelector('dialog[open] .keys')").await;
        browser.key("Escape").await;
        browser.until("they are away", "!document.querySelector('dialog')").await;
        browser.key("g").await;
        browser.key("c").await;
        browser
            .until(
                "the calls are there",
                "location.pathname === '/calls' && document.querySelectorAll('.vbody .vrow').length >= 3",
            )
            .await;
        browser.key("j").await;
        browser.key("j").await;
        browser
            .until(
                "the second row has the focus",
                "document.activeElement.closest('.vrow')?.dataset.at === '1'",
            )
            .await;
        browser.key("Enter").await;
        browser
            .until(
                "it is open",
                &format!("location.pathname === '/calls/{id}' && document.querySelector('[role=tab]')"),
            )
            .await;
        browser.key("]").await;
        browser
            .until("the next line is marked", "document.querySelector('.transcript [aria-current]')")
            .await;
        browser.eval("document.querySelector('[role=tab][aria-selected=true]').focus()").await;
        browser.key("ArrowRight").await;
        browser.until("the next tab is open", "document.activeElement.textContent.includes('Tool calls') && document.querySelector('.toolcalls')").await;
    }

    async fn reads_japanese_on_a_telephone(&self, id: CallId) {
        let browser = &self.browser;
        browser.size(360, 740).await;
        browser.go("/calls").await;
        browser.press("Menu").await;
        browser.until("the menu is open", "document.querySelector('nav').offsetHeight > 0").await;
        browser.choose(".switches select", "ja").await;
        browser.until("it is Japanese", "document.documentElement.lang === 'ja' && document.querySelector('h1').textContent === '通話履歴'").await;
        browser.go(&format!("/calls/{id}")).await;
        browser.shows("文字起こし").await;
        let wide = browser.eval("document.documentElement.scrollWidth <= innerWidth").await;
        assert_eq!(wide, true, "nothing is wider than a telephone");
        browser.prefers("dark").await;
        browser.picture_of("telephone", 360, 740).await;
        browser.prefers("light").await;
        browser.size(1280, 800).await;
        browser.eval("localStorage.setItem('switchboard.language', 'en')").await;
    }

    async fn holds_ten_thousand_rows(&self) {
        let told = self
            .browser
            .eval(
                "import('/assets/vlist.js').then(async ({ vlist }) => {
                    const list = vlist({ label: 'rows', columns: [{ name: 'when', title: 'n' }], row: (n) => [String(n)], href: () => '/calls' });
                    document.querySelector('main').replaceChildren(list.node);
                    list.node.style.height = '500px';
                    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                    list.set(Array.from({ length: 10000 }, (_, n) => n));
                    let most = 0;
                    for (let part = 0; part <= 20; part += 1) {
                        list.node.scrollTop = (list.node.scrollHeight * part) / 20;
                        await frame();
                        most = Math.max(most, document.querySelectorAll('.vbody .vrow').length);
                    }
                    list.end();
                    return [most, document.querySelector('.vbody').lastElementChild.textContent];
                })",
            )
            .await;
        assert!(told[0].as_u64().is_some_and(|most| (10..80).contains(&most)), "{told}");
        assert_eq!(told[1], "9999");
    }
}

/// The provider's id of the newest call.
async fn provider_call(house: &House) -> String {
    eventually("the provider has the call", || async {
        let calls = house.calls().await;
        calls.first()?.provider.as_ref().map(|provider| provider.call_id.to_string())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_come_with_rules_for_browsers() {
    let house = House::without_plugins(Default::default()).await;
    let operator = Operator::of(&house);
    for path in ["/", "/calls/call_1", "/assets/main.js", "/assets/words/ja.js", "/assets/icon.svg"] {
        let answer = operator.request(reqwest::Method::GET, path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("a text").to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("cache-control"), "no-cache");
        let again = operator.request(reqwest::Method::GET, path).header("if-none-match", header("etag"));
        assert_eq!(again.send().await.expect("an answer").status(), 304, "{path}");
    }
    let missing = operator.request(reqwest::Method::GET, "/assets/none.js").send().await.expect("an answer");
    assert_eq!(missing.status(), 404);
    house.close().await;
}
