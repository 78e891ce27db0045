//! A week of calls of every kind through the whole gateway, and its report: every printed figure is compared with
//! what this file computes from the store's records by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::Value;
use switchboard::call::record::{CallDetail, CallRecord, EndedReason, Path, Stages, State};
use switchboard::clock::{Clock, SystemClock, Timestamp};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::twilio::CallerSetup;
use switchboard::store::{CallQuery, Cursor, PAGE_MAX};
use tempfile::TempDir;

use super::report_with;
use crate::harness::{CALLEE, CALLER, CONFIG, House, Operator, Plan, SHORT, eventually, script};
use crate::transfer::TRANSFER;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Is turned away at the door.
const UNWANTED: &str = "+819099999999";

const TALK: &str = r#"steps = [
    { model = { says = "はい、さくら商店です。" } },
    { caller = { says = "また掛けます。" } },
    { model = { says = "お待ちしております。" } },
    { hang_up = "caller" },
]"#;
/// The provider drops the call; where it goes on over the other path, the model goes on too.
const BROKEN: &str = r#"steps = [
    { model = { says = "はい、さくら商店です。" } },
    { caller = { says = "注文はどこですか。" } },
    { provider_drops_after_ms = 300 },
    { model = { says = "失礼いたしました。" } },
    { hang_up = "caller" },
]"#;
/// Nobody hangs up but an operator.
const OPEN: &str = r#"steps = [{ model = { says = "はい、さくら商店です。" } }, { hang_up = "gateway" }]"#;

/// The machine's clock, so many microseconds ago.
struct PastClock(AtomicU64);

impl Clock for PastClock {
    fn now(&self) -> Timestamp {
        SystemClock.now() - Duration::from_micros(self.0.load(Ordering::SeqCst))
    }
}

impl PastClock {
    /// It is `then` now. Only ever forward.
    fn leap_to(&self, then: Timestamp) {
        let back = SystemClock.now().since(then).as_micros();
        self.0.store(u64::try_from(back).expect("a short time"), Ordering::SeqCst);
    }
}

/// The week under way: its calls are of one store, and each of its houses has troubles of its own.
struct Week {
    clock: Arc<PastClock>,
    data: Option<TempDir>,
    /// Each world has ids of its own: a carrier never gives one twice.
    worlds: u64,
}

const OVER_SIP: (&str, &str) = ("SWITCHBOARD__FEATURES__OPENAI_SIP", "true");
const BRIDGED: (&str, &str) = ("SWITCHBOARD__FEATURES__OPENAI_SIP", "false");
const FAILOVER: (&str, &str) = ("SWITCHBOARD__FEATURES__FAILOVER", "true");
/// Whoever is slow here is the machine.
const PATIENT: (&str, &str) = ("SWITCHBOARD__FAILOVER__ACCEPT_WITHIN", "10s");

impl Week {
    async fn open(&mut self, faults: ProviderFaults, environment: &[(&'static str, &str)]) -> House {
        let config = CONFIG.split("[plugins").next().unwrap_or_default().replacen(
            "[[routes]]",
            &format!("[[routes]]\nname = \"unwanted\"\nmatch = {{ from = [\"{UNWANTED}\"] }}\nreject = 603\n\n[[routes]]"),
            1,
        );
        let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let clock = Arc::clone(&self.clock);
        self.worlds += 1;
        let seed = 100 * self.worlds;
        let plan = Plan { config, faults, environment, clock, seed, ..Plan::default() };
        House::at(plan, self.data.take().expect("a data directory")).await
    }

    async fn close(&mut self, house: House) {
        self.data = Some(house.close().await);
    }

    /// One part of the week: these calls all at once, at `then`.
    async fn part(
        &mut self,
        then: Timestamp,
        faults: ProviderFaults,
        environment: &[(&'static str, &str)],
        calls: &[(&str, &str)],
    ) {
        self.clock.leap_to(then);
        let house = self.open(faults, environment).await;
        play(&house, calls).await;
        self.close(house).await;
    }
}

/// Plays calls (from whom, and what is said) until everything about them is known.
async fn play(house: &House, calls: &[(&str, &str)]) {
    join_all(calls.iter().map(|(from, steps)| house.play(CallerSetup::new(from, CALLEE, script(steps)))))
        .await;
    settled(house).await;
}

/// Waits until no call is under way, and of no transfer it is open how it went.
async fn settled(house: &House) {
    eventually("every call is over", || async {
        let calls = house.calls().await;
        let is_over = |call: &CallRecord| {
            call.ended.is_some() && call.handed.as_ref().is_none_or(|handed| handed.result.is_some())
        };
        calls.iter().all(is_over).then_some(())
    })
    .await;
}

/// A call that begins shortly before midnight and is ended by an operator a minute and a half later.
async fn across_midnight(house: &House, clock: &PastClock, begins: Timestamp) {
    let talking = house.play(CallerSetup::new(CALLER, CALLEE, script(OPEN)));
    let ending = async {
        let id = eventually("the caller was greeted", || async {
            let calls = house.calls().await;
            calls.iter().find(|call| call.state == State::Live && call.counts.lines == 1).map(|call| call.id)
        })
        .await;
        clock.leap_to(begins + Duration::from_secs(90));
        let path = format!("/api/v1/calls/{id}/hangup");
        let (status, text) = Operator::of(house).ask(Method::POST, &path, "").await;
        assert!(status < 300, "{status} {text}");
    };
    tokio::join!(talking, ending);
    settled(house).await;
}

/// Lets the week happen, and leaves the house of its last hour open.
async fn happen(week: &mut Week, now: Timestamp) -> House {
    let today = Timestamp::from_secs(now.as_secs() / DAY.as_secs() * DAY.as_secs());
    let none = ProviderFaults::default;
    let refused = || ProviderFaults { leg_status: Some(503), ..none() };
    let talk = (CALLER, TALK);
    // Too old, the second of them for a week only.
    week.part(now - DAY * 9, none(), &[OVER_SIP], &[talk, (CALLER, TRANSFER)]).await;
    week.part(now - DAY * 7 - HOUR, none(), &[OVER_SIP], &[talk, talk]).await;
    week.part(
        now - DAY * 7 + HOUR,
        none(),
        &[OVER_SIP],
        &[talk, talk, (CALLER, TRANSFER), (UNWANTED, SHORT)],
    )
    .await;
    week.part(today - DAY * 6 + HOUR * 10, refused(), &[OVER_SIP], &[talk, talk]).await;
    let moves = [OVER_SIP, FAILOVER, PATIENT];
    week.part(today - DAY * 5 + HOUR * 10, refused(), &moves, &[talk, talk]).await;
    week.part(today - DAY * 5 + HOUR * 12, none(), &[OVER_SIP], &[(CALLER, BROKEN), (CALLER, BROKEN)]).await;
    week.part(today - DAY * 5 + HOUR * 14, none(), &moves, &[(CALLER, BROKEN), talk]).await;

    let midnight = today - DAY * 3;
    week.clock.leap_to(midnight - MINUTE);
    let house = week.open(none(), &[OVER_SIP]).await;
    across_midnight(&house, &week.clock, midnight - MINUTE).await;
    week.clock.leap_to(midnight + MINUTE);
    play(&house, &[(CALLER, SHORT)]).await;
    week.close(house).await;

    week.part(midnight + HOUR * 12, none(), &[BRIDGED], &[talk, talk, (CALLER, TRANSFER), (UNWANTED, SHORT)])
        .await;
    let no_session = ProviderFaults { session_refused_times: u32::MAX, ..none() };
    week.part(today - DAY * 2 + HOUR * 10, no_session, &[BRIDGED], &[talk, talk]).await;
    let not_accepted = ProviderFaults { accept_status: Some(500), ..none() };
    week.part(today - DAY + HOUR * 10, not_accepted, &[OVER_SIP], &[talk]).await;

    week.clock.leap_to(now - HOUR / 2);
    let house = week.open(none(), &[OVER_SIP]).await;
    play(&house, &[talk, talk, (CALLER, SHORT), (CALLER, TRANSFER)]).await;
    house
}

/// What the report must say of a path, as the printed row has it.
#[derive(Debug, Default)]
struct Expected {
    calls: u64,
    answered: u64,
    dropped: u64,
    moved: u64,
    transferred: u64,
    failed: BTreeMap<String, u64>,
    ended: BTreeMap<String, u64>,
    first_words_ms: Vec<f64>,
    lengths_s: Vec<f64>,
    cost_usd: f64,
}

impl Expected {
    /// One try on a path: whether it was up, how it ended there, when the first word was heard.
    fn count(&mut self, stages: &Stages, reason: EndedReason) {
        self.calls += 1;
        self.answered += u64::from(stages.attached.is_some());
        if let (Some(webhook), Some(audio)) = (stages.webhook_received, stages.first_audio) {
            self.first_words_ms.push((audio.as_micros() - webhook.as_micros()) as f64 / 1_000.0);
        }
        let name = name_of(reason);
        match name.as_str() {
            "provider_silent" | "accept_failed" | "attach_failed" | "leg_failed" => {
                *self.failed.entry(name).or_default() += 1;
            }
            "provider_dropped" => self.dropped += 1,
            "transferred" => self.transferred += 1,
            _ => *self.ended.entry(name).or_default() += 1,
        }
    }

    /// The smallest first word that so many of a hundred do not exceed.
    fn first_word_ms(&self, percent: usize) -> Option<f64> {
        let all = &self.first_words_ms;
        let is_enough =
            |limit: &&f64| all.iter().filter(|ms| ms <= limit).count() * 100 >= all.len() * percent;
        all.iter().filter(is_enough).copied().min_by(f64::total_cmp)
    }

    fn mean_length_s(&self) -> Option<f64> {
        let count = self.lengths_s.len() as f64;
        (count > 0.0).then(|| self.lengths_s.iter().sum::<f64>() / count)
    }

    /// The row under the printed table's head.
    fn row(&self, path: &str) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let millis = |percent| or_dash(self.first_word_ms(percent).map(|ms| format!("{ms:.0} ms")));
        vec![
            path.to_owned(),
            self.calls.to_string(),
            self.answered.to_string(),
            self.failed.values().sum::<u64>().to_string(),
            self.dropped.to_string(),
            self.transferred.to_string(),
            millis(50),
            millis(95),
            or_dash(self.mean_length_s().map(|seconds| format!("{seconds:.1} s"))),
            format!("${:.4}", self.cost_usd),
        ]
    }

    fn reasons(&self, path: &str) -> Option<String> {
        let all = self.failed.iter().chain(&self.ended);
        let all: Vec<String> = all.map(|(reason, count)| format!("{reason} {count}")).collect();
        (!all.is_empty()).then(|| format!("{path}: {}", all.join(", ")))
    }
}

fn name_of(reason: EndedReason) -> String {
    let name = serde_json::to_value(reason).expect("a name");
    name.as_str().expect("a word").to_owned()
}

fn began(kept: &CallDetail) -> Timestamp {
    let stages = &kept.call.stages;
    stages.carrier_asked.or(stages.webhook_received).expect("it began")
}

/// What the report must say, path by path.
fn expected(kept: &[CallDetail], since: Timestamp) -> BTreeMap<String, Expected> {
    let mut paths: BTreeMap<String, Expected> = BTreeMap::new();
    for kept in kept.iter().filter(|kept| began(kept) >= since) {
        let call = &kept.call;
        if let Some(moved) = &call.moved {
            let from = paths.entry(moved.from.as_str().to_owned()).or_default();
            from.count(&moved.stages, moved.reason);
            from.moved += 1;
        }
        let path = paths.entry(call.path.as_str().to_owned()).or_default();
        path.count(&call.stages, call.ended.as_ref().expect("an end").reason);
        path.cost_usd += kept.usage.iter().filter_map(|usage| usage.cost_usd).sum::<f64>();
        if let (Some(_), Some(ended)) = (call.stages.attached, call.stages.ended) {
            path.lengths_s.push((ended.as_micros() - began(kept).as_micros()) as f64 / 1e6);
        }
    }
    paths
}

/// Why the SIP path has not proven itself at `until`.
fn expected_verdict(kept: &[CallDetail], sip: &Expected, until: Timestamp) -> (usize, Vec<String>) {
    let was_over_sip = |call: &CallRecord| {
        call.path == Path::Sip || call.moved.as_ref().is_some_and(|moved| moved.from == Path::Sip)
    };
    let moments: Vec<Timestamp> = kept.iter().filter(|kept| was_over_sip(&kept.call)).map(began).collect();
    let dates: BTreeSet<String> = moments
        .iter()
        .filter(|began| until.since(**began) <= DAY * 7)
        // `2026-11-29T…`, UTC.
        .map(|began| began.to_string().chars().take(10).collect())
        .collect();
    let mut why = Vec::new();
    if moments.iter().all(|began| until.since(*began) < DAY * 7) {
        why.push("the first call over SIP is less than seven days old".to_owned());
    }
    if dates.len() < 5 {
        why.push(format!("calls came on only {} of the last seven days", dates.len()));
    }
    let trouble = (sip.failed.values().sum::<u64>() + sip.dropped) as f64 / sip.calls as f64 * 100.0;
    if trouble > 1.0 {
        why.push(format!("{trouble:.1} % of the calls failed or were dropped, 1 % may"));
    }
    if let Some(p95) = sip.first_word_ms(95).filter(|p95| *p95 > 2_000.0) {
        why.push(format!(
            "one caller in twenty waits {p95:.0} ms or more for the first word, 2000 ms is the limit"
        ));
    }
    (dates.len(), why)
}

/// Everything that is kept, from the store itself.
async fn everything(house: &House) -> Vec<CallDetail> {
    let store = house.gateway.control().store();
    let (mut all, mut after): (Vec<CallDetail>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let page = store.calls(CallQuery::default(), after, PAGE_MAX).await.expect("a page");
        for call in &page.items {
            all.push(store.detail(call.id).await.expect("a readable store").expect("a call"));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

/// The figures as a page of JSON has them.
fn check_page(page: &Value, kept: &[CallDetail]) {
    let moment = |name: &str| Timestamp::from_micros(page["report"][name].as_u64().expect("a moment"));
    let expected = expected(kept, moment("since"));
    let names: Vec<&String> = expected.keys().collect();
    let paths = page["report"]["paths"].as_object().expect("paths");
    assert_eq!(paths.keys().collect::<Vec<_>>(), names, "{page:#}");
    let near = |value: &Value, expected: Option<f64>| match (value.as_f64(), expected) {
        (Some(value), Some(expected)) => (value - expected).abs() < 1e-6,
        (value, expected) => value == expected,
    };
    for (path, fared) in &expected {
        let page = &paths[path];
        for (name, count) in [
            ("calls", fared.calls),
            ("answered", fared.answered),
            ("dropped", fared.dropped),
            ("moved", fared.moved),
            ("transferred", fared.transferred),
        ] {
            assert_eq!(page[name], count, "{path} {name}: {page:#}");
        }
        assert_eq!(page["failed"], serde_json::json!(fared.failed), "{path}");
        assert_eq!(page["ended"], serde_json::json!(fared.ended), "{path}");
        for (name, figure) in [
            ("first_word_p50_ms", fared.first_word_ms(50)),
            ("first_word_p95_ms", fared.first_word_ms(95)),
            ("mean_length_s", fared.mean_length_s()),
            ("cost_usd", Some(fared.cost_usd)),
        ] {
            assert!(near(&page[name], figure), "{path} {name}: {figure:?} {page:#}");
        }
    }
    let (days, why) = expected_verdict(kept, &expected["sip"], moment("until"));
    assert_eq!(page["report"]["sip_days"], days, "{page:#}");
    assert_eq!((&page["sip_is_stable"], &page["why_not"]), (&why.is_empty().into(), &serde_json::json!(why)));
}

/// The same as it is printed; `moments` is the page of JSON that was asked for just before.
fn check_text(text: &str, moments: &Value, kept: &[CallDetail]) {
    let moment = |name: &str| Timestamp::from_micros(moments["report"][name].as_u64().expect("a moment"));
    let expected = expected(kept, moment("since"));
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip(1)
        .take(expected.len())
        .map(|line| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        })
        .collect();
    let wanted: Vec<Vec<String>> = expected.iter().map(|(path, fared)| fared.row(path)).collect();
    assert_eq!(rows, wanted, "{text}");
    let told: Vec<&str> = text.lines().skip(1 + expected.len()).filter(|line| !line.is_empty()).collect();
    let (_, why) = expected_verdict(kept, &expected["sip"], moment("until"));
    let mut wanted: Vec<String> = expected.iter().filter_map(|(path, fared)| fared.reasons(path)).collect();
    wanted.push(format!("keep Media Streams as the way back: {}", why.join("; ")));
    assert_eq!(told, wanted, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_of_a_week_is_what_the_records_say() {
    let now = SystemClock.now();
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut week = Week { clock: Arc::new(PastClock(AtomicU64::new(0))), data: Some(data), worlds: 0 };
    let house = happen(&mut week, now).await;
    let kept = everything(&house).await;

    // The week had calls of every kind, and one that began on one day and ended on the next.
    let sums = expected(&kept, now - DAY * 7);
    let (sip, bridge) = (&sums["sip"], &sums["media-streams"]);
    assert_eq!((kept.len(), sip.calls, bridge.calls, sums["none"].calls), (29, 18, 8, 2), "{sums:#?}");
    assert_eq!((sip.moved, sip.dropped, sip.transferred), (3, 3, 2), "{sip:#?}");
    assert_eq!(
        sip.failed,
        BTreeMap::from([("accept_failed".to_owned(), 1), ("provider_silent".to_owned(), 4)])
    );
    assert_eq!((bridge.transferred, bridge.failed["accept_failed"]), (1, 2), "{bridge:#?}");
    assert!(sip.ended["operator"] == 1 && sums["none"].ended["rejected"] == 2, "{sums:#?}");
    assert!(sip.cost_usd > 0.0 && sip.lengths_s.iter().any(|seconds| *seconds > 60.0), "{sip:#?}");

    let path = house.data.path().to_owned();
    let environment = [("SWITCHBOARD__ADMIN__LISTEN", house.gateway.admin.to_string())];
    // Since the last midnight but one: there is no call near it.
    let yesterday = (SystemClock.now().as_secs() % DAY.as_secs()) + DAY.as_secs();
    let spans = ["7d".to_owned(), "30d".to_owned(), format!("{yesterday}s")];
    let check = async |environment: Vec<(&'static str, String)>| {
        for since in spans.clone() {
            let (path, environment) = (path.clone(), environment.clone());
            let asking = tokio::task::spawn_blocking(move || {
                let page = report_with(&path, &environment, &["--since", &since, "--json"]);
                (page, report_with(&path, &environment, &["--since", &since]))
            });
            let (page, text) = asking.await.expect("printed");
            let page: Value = serde_json::from_str(&page).expect("JSON");
            check_page(&page, &kept);
            check_text(&text, &page, &kept);
        }
    };
    check(environment.to_vec()).await;
    let data = house.close().await;
    check(Vec::new()).await;
    drop(data);
}
