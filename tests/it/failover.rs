//! A call whose path fails goes on over the other one: every failure of the SIP leg, what the bridge knows
//! then, which path new calls take, and how an operator changes that.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use switchboard::call::record::{CallDetail, EndedReason, Path};
use switchboard::call_control::features::Features;
use switchboard::cli::failures::{self, Outcome};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::twilio::{CallerSetup, CarrierFaults, Heard, Refusal, RequestKind};

use crate::bridge::sound;
use crate::harness::{CALLEE, CALLER, CONFIG, House, Operator, Plan, SHORT, eventually, script};
use crate::recordings;

/// Fast enough for a test, and slow enough that a carrier's ten seconds are some real ones.
const SPEED: f64 = 2.0;
/// How many failures are played at once.
const AT_ONCE: usize = 4;
/// Is drawn at 39.7 %: among the first half.
const EARLY_CALLER: &str = "+818099990000";

/// A house whose calls go over SIP first, with a way out.
async fn house(faults: ProviderFaults, more: &[(&'static str, &str)]) -> House {
    let plain = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    with_config(plain, faults, more).await
}

async fn with_config(config: String, faults: ProviderFaults, more: &[(&'static str, &str)]) -> House {
    let mut environment = vec![
        ("SWITCHBOARD__FEATURES__FAILOVER", "true".to_owned()),
        // Whoever is slow here is the machine.
        ("SWITCHBOARD__FAILOVER__ACCEPT_WITHIN", "10s".to_owned()),
    ];
    environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    House::with(Plan { config, faults, environment, ..Plan::default() }).await
}

fn refused(calls: u32) -> ProviderFaults {
    ProviderFaults { calls, leg_status: Some(503), ..ProviderFaults::default() }
}

fn has_event(kept: &CallDetail, kind: &str) -> bool {
    kept.events.iter().any(|event| event.kind == kind)
}

fn reason(kept: &CallDetail) -> EndedReason {
    kept.call.ended.as_ref().expect("an ended call").reason
}

#[tokio::test(flavor = "multi_thread")]
async fn no_failure_of_the_sip_leg_loses_a_caller() {
    let played = stream::iter(failures::ALL).map(async |failure| {
        let outcome =
            failure.play(SPEED, "").await.unwrap_or_else(|error| panic!("{}: {error:#}", failure.name));
        (failure, outcome)
    });
    let played: Vec<_> = played.buffer_unordered(AT_ONCE).collect().await;
    for (failure, outcome) in &played {
        let row = failures::row(failure, outcome);
        assert!(outcome.is_saved, "{row}\n{:#?}", outcome.kept);
        assert_eq!(outcome.carrier.problems, [""; 0], "{row}");
        assert_eq!(outcome.path, Path::MediaStreams, "{row}");
        let moved = outcome.kept.call.moved.as_ref().expect("moved");
        let is_both = failure.name.starts_with("both");
        assert_eq!(outcome.spoke_after_s.is_some(), !is_both, "{row}");
        assert_eq!((moved.from, has_event(&outcome.kept, "path.moved")), (Path::Sip, true), "{row}");
    }
    let last_heard = |name: &str| {
        let (_, outcome) = played.iter().find(|(failure, _)| failure.name == name).expect("played");
        outcome.heard.last().cloned().unwrap_or_default()
    };
    assert!(last_heard("both paths fail: the apology").starts_with("We are sorry"));
    assert_eq!(last_heard("both paths fail: forward"), "connected to +81312345678");
    assert_eq!(last_heard("both paths fail: voicemail"), "beep");
    for (_, broken) in played.iter().filter(|(failure, _)| failure.name.contains("middle")) {
        knows_what_was_said(broken);
    }
    // Each word that Twilio has for the end of a dial was told once, most of them for several answers of SIP.
    let dials = played.iter().flat_map(|(_, outcome)| &outcome.carrier.dials);
    let told: BTreeSet<&str> = dials.map(|dial| dial.status.as_str()).collect();
    assert_eq!(told, ["answered", "busy", "canceled", "completed", "failed", "no-answer"].into());
    for (failure, outcome) in &played {
        let told = failure.dial_status.map(|status| status.as_str().to_owned());
        let first = outcome.carrier.dials.first().map(|dial| dial.status.clone());
        assert!(told.is_none() || told == first, "{}: {first:?}", failure.name);
    }
}

/// The model was told the conversation, and the transcript shows one call.
fn knows_what_was_said(outcome: &Outcome) {
    let said = ["Sakura Shop, good morning.", "Where is my order?", "One moment, please."];
    assert_eq!(outcome.told_again, said);
    let lines: Vec<&str> = outcome.kept.lines.iter().map(|line| line.text.as_str()).collect();
    let again = "Sorry for the break. Your order is on its way.";
    assert_eq!(lines, [said[0], said[1], said[2], again], "{:#?}", outcome.kept.lines);
    assert_eq!(reason(&outcome.kept), EndedReason::CallerHangup);
}

#[test]
fn the_page_has_a_row_for_every_failure() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/failover.md")).expect("a page");
    assert!(page.contains(failures::HEAD), "the table of docs/failover.md is not the command's");
    for failure in failures::ALL {
        let begin = format!("| {} | {} |", failure.name, failure.sip);
        assert!(page.contains(&begin), "docs/failover.md lacks `{begin}`: run `switchboard demo --failures`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_has_the_same_answer_and_the_call_stays_one() {
    let house = house(refused(u32::MAX), &[]).await;
    let mut caller = CallerSetup::new(CALLER, CALLEE, script(SHORT));
    caller.faults =
        CarrierFaults { doubled: vec![RequestKind::DialResult], shuffled: true, ..CarrierFaults::default() };
    let played = house.play(caller).await;
    sound(&house, &played);
    let kept = house.ended().await;
    assert_eq!((kept.call.path, reason(&kept)), (Path::MediaStreams, EndedReason::CallerHangup));
    assert_eq!(played.carrier.heard[0], Heard::Ringing);
    let moves = r#"switchboard_failovers_total{from="sip",to="media-streams",reason="provider_silent"}"#;
    assert_eq!(house.metric(moves), 1.0);
}

/// Nothing is told of the calls.
const SILENT: fn() -> ProviderFaults = || ProviderFaults { webhook_never: true, ..ProviderFaults::default() };

/// A house that soon notices when nothing is told of a call.
async fn impatient(faults: ProviderFaults) -> House {
    let plain = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let environment = vec![
        ("SWITCHBOARD__FEATURES__FAILOVER", "true".to_owned()),
        ("SWITCHBOARD__FAILOVER__WEBHOOK_WITHIN", "200ms".to_owned()),
    ];
    // Life: the carrier's ten seconds are long beside that.
    House::with(Plan { config: plain, faults, environment, speed: 1.0, ..Plan::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_of_which_no_webhook_tells_is_ended_and_the_caller_goes_on() {
    let house = impatient(SILENT()).await;
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    let moved = kept.call.moved.clone().expect("moved");
    assert_eq!(
        (moved.reason, moved.detail.as_deref()),
        (EndedReason::ProviderSilent, Some("no webhook within 200ms"))
    );
    assert!(moved.spoke_again.is_some() && !has_event(&kept, "leg.not_ended"), "{:#?}", kept.events);
    let [dial] = played.carrier.dials.as_slice() else { panic!("{:?}", played.carrier.dials) };
    assert_eq!((dial.status.as_str(), dial.is_bridged), ("canceled", false));
    let asked = house.world.carrier_rest.requests();
    let [ended] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((ended.method.as_str(), ended.status), ("POST", 200));
    assert!(ended.path.ends_with(&format!("/Calls/{}.json", dial.call_sid)), "{}", ended.path);
    assert_eq!((&played.carrier.heard[0], played.carrier.streams.len()), (&Heard::Ringing, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_does_not_end_the_leg_is_waited_for() {
    let house = impatient(SILENT()).await;
    house.world.carrier_rest.refuse([Refusal { status: 503, ..Refusal::default() }]);
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    assert!(has_event(&kept, "leg.not_ended"), "{:#?}", kept.events);
    assert_ne!(played.carrier.dials[0].status, "canceled");
    assert!(kept.call.moved.is_some_and(|moved| moved.spoke_again.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_comes_after_all_is_turned_away_and_makes_no_second_call() {
    let house = impatient(ProviderFaults { webhook_delay_ms: 1_500, ..ProviderFaults::default() }).await;
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    assert_eq!(kept.call.moved.map(|moved| moved.reason), Some(EndedReason::ProviderSilent));
    let told = || async {
        let report = house.world.openai.calls().into_iter().find(|call| !call.webhook_statuses.is_empty())?;
        report.is_over.then_some(report)
    };
    let leg = eventually("the webhook came", told).await;
    assert_eq!((leg.webhook_statuses.as_slice(), leg.accepts.len(), leg.attached), ([200].as_slice(), 0, 0));
    assert_eq!(house.calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_encrypted_sound_is_only_preferred_the_provider_is_dialled_once_more_without() {
    let faults = ProviderFaults { srtp_refused: true, ..ProviderFaults::default() };
    let preferred = [("SWITCHBOARD__TWILIO__DIAL__SECURE_MEDIA", "preferred")];
    let house = house(faults.clone(), &preferred).await;
    let mut caller = CallerSetup::new(CALLER, CALLEE, script(SHORT));
    caller.faults =
        CarrierFaults { doubled: vec![RequestKind::DialResult], shuffled: true, ..CarrierFaults::default() };
    let played = house.play(caller).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    assert_eq!((kept.call.path, reason(&kept)), (Path::Sip, EndedReason::CallerHangup));
    assert!(has_event(&kept, "leg.plain") && kept.call.moved.is_none(), "{:#?}", kept.events);
    let codes: Vec<_> = played.carrier.dials.iter().map(|dial| (dial.sip_code, dial.is_bridged)).collect();
    assert_eq!(codes, [(Some(488), false), (Some(200), true)]);

    // Who wants nothing else goes on over the bridge.
    let strict = self::house(faults, &[]).await;
    let played = strict.call(SHORT).await;
    let kept = strict.ended().await;
    assert_eq!((kept.call.path, played.carrier.dials.len()), (Path::MediaStreams, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_while_it_rings_is_not_moved() {
    let faults = ProviderFaults { webhook_never: true, ..ProviderFaults::default() };
    let house = house(faults, &[]).await;
    let mut caller = CallerSetup::new(CALLER, CALLEE, script(SHORT));
    caller.hangs_up_after = Some(std::time::Duration::from_secs(3));
    let played = house.play(caller).await;
    let kept = house.ended().await;
    assert_eq!((reason(&kept), kept.call.moved), (EndedReason::CallerGone, None));
    assert!(played.carrier.streams.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_that_the_carrier_cuts_for_its_time_is_the_end_of_the_call() {
    let house = house(ProviderFaults::default(), &[("SWITCHBOARD__TWILIO__DIAL__TIME_LIMIT", "200s")]).await;
    let played = house
        .call(r#"steps = [{ model = { says = "とても長いご案内をいたします。", for_ms = 400000 } }, { hang_up = "caller" }]"#)
        .await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    assert_eq!((reason(&kept), kept.call.moved.is_some()), (EndedReason::MaxDuration, false));
    assert!(played.carrier.streams.is_empty() && !has_event(&kept, "fallback"), "{:#?}", kept.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_failover_the_fallback_is_all_there_is() {
    let house = house(refused(u32::MAX), &[("SWITCHBOARD__FEATURES__FAILOVER", "false")]).await;
    let played = house.call(SHORT).await;
    let kept = house.ended().await;
    assert_eq!((reason(&kept), kept.call.moved.is_some()), (EndedReason::ProviderSilent, false));
    assert!(matches!(played.carrier.heard.last(), Some(Heard::Said(_))), "{:?}", played.carrier.heard);
    assert!(has_event(&kept, "fallback"), "{:#?}", kept.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_left_is_fetched_and_kept_like_any_recording() {
    let plain = CONFIG.split("[plugins").next().unwrap_or_default().trim_end();
    let config = format!("{plain}\nfallback = {{ voicemail = {{ text = \"Please leave a message.\" }} }}\n");
    let faults = ProviderFaults { session_refused_times: u32::MAX, ..refused(u32::MAX) };
    let house = with_config(config, faults, &[]).await;
    let mut caller = CallerSetup::new(CALLER, CALLEE, script(SHORT));
    // Asked for at once, it is not ready.
    caller.faults.recording.not_ready = 1;
    let played = house.play(caller).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let [.., Heard::Said(words), Heard::Beep] = played.carrier.heard.as_slice() else {
        panic!("{:?}", played.carrier.heard)
    };
    assert_eq!(words, "Please leave a message.");

    let (detail, record) = recordings::recording(&house, recordings::kept).await;
    assert_eq!((detail.call.consent.as_ref(), has_event(&detail, "voicemail.left")), (None, true));
    let [sid] = played.carrier.recordings.as_slice() else { panic!("{:?}", played.carrier.recordings) };
    let message = house.world.carrier_rest.sound(sid).expect("it is still at the carrier");
    assert_eq!((record.id.as_str(), record.channels), (sid.as_str(), Some(1)));
    assert_eq!(record.sha256, Some(recordings::sha256(&message)));
    let name = record.file.expect("a file");
    assert_eq!(std::fs::read(house.data.path().join("recordings").join(name)).expect("the file"), message);
    let asked: Vec<u16> = house.world.carrier_rest.requests().iter().map(|asked| asked.status).collect();
    assert!(asked.contains(&404) && asked.contains(&200), "{asked:?}");
    let path = format!("/calls/{}/recording", detail.call.id);
    let (status, _, body) = recordings::operator(&house, Method::GET, &path, &[]).await;
    assert_eq!((status.as_u16(), body == message), (200, true));
    recordings::is_metric(&house, r#"switchboard_recordings_total{outcome="kept"}"#, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_cannot_be_opened_is_left_for_sip_where_that_is_on() {
    let faults = ProviderFaults { session_refused_times: u32::MAX, ..ProviderFaults::default() };
    // Drawn at 60.7 %: not among the half that goes over SIP first, which is thereby on.
    let house = house(faults, &[("SWITCHBOARD__FEATURES__OPENAI_SIP", "50%")]).await;
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    let moved = kept.call.moved.clone().expect("moved");
    assert_eq!((moved.from, moved.reason), (Path::MediaStreams, EndedReason::AcceptFailed));
    assert_eq!((kept.call.path, reason(&kept)), (Path::Sip, EndedReason::CallerHangup));
    assert!(moved.spoke_again.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_fails_again_and_again_is_not_tried_by_new_calls() {
    let breaker = [
        ("SWITCHBOARD__FAILOVER__BREAKER__FAILURES", "2"),
        ("SWITCHBOARD__FAILOVER__BREAKER__OPEN_FOR", "1h"),
    ];
    let house = house(refused(u32::MAX), &breaker).await;
    let operator = Operator::of(&house);
    for _ in 0..2 {
        sound(&house, &house.call(SHORT).await);
        assert_eq!(features(&operator).await.openai_sip.value, "true");
    }
    let open = r#"switchboard_path_breaker_open{path="sip"}"#;
    assert_eq!(house.metric(open), 1.0);
    let played = house.call(SHORT).await;
    sound(&house, &played);
    assert!(played.carrier.dials.is_empty(), "the path was tried all the same");
    let newest = house.calls().await[0].id;
    let kept = house.ended_call(newest).await;
    assert_eq!(
        (kept.call.path, kept.call.avoided, kept.call.moved),
        (Path::MediaStreams, Some(Path::Sip), None)
    );
    let features = features(&operator).await;
    assert_eq!(
        (features.breakers["sip"].as_str(), features.breakers["media-streams"].as_str()),
        ("open", "closed")
    );
    let (status, words) = operator.get("/readyz").await;
    assert_eq!(status, 200, "calls are taken all the same");
    assert!(words.contains("the path sip failed too often"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_works_again_is_taken_again() {
    let breaker = [
        ("SWITCHBOARD__FAILOVER__BREAKER__FAILURES", "1"),
        ("SWITCHBOARD__FAILOVER__BREAKER__OPEN_FOR", "1s"),
    ];
    let house = house(refused(1), &breaker).await;
    let operator = Operator::of(&house);
    house.call(SHORT).await;
    eventually("the breaker lets a trial through", || async {
        (features(&operator).await.breakers["sip"] == "closed").then_some(())
    })
    .await;
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.dials.len(), 1, "the trial");
    let closed =
        || async { (house.metric(r#"switchboard_path_breaker_open{path="sip"}"#) == 0.0).then_some(()) };
    eventually("the trial closed it", closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_the_callers_goes_over_sip_and_a_route_has_its_own() {
    let route = "[[routes]]\nname = \"old\"\nmatch = { to = \"+815099999999\" }\nsession = \"shop\"\nopenai_sip = false\n";
    let config = CONFIG.split("[plugins").next().unwrap_or_default().replacen(
        "[[routes]]",
        &format!("{route}\n[[routes]]"),
        1,
    );
    let share = [("SWITCHBOARD__FEATURES__OPENAI_SIP", "50%")];
    let house = with_config(config, ProviderFaults::default(), &share).await;
    for (from, to, path) in [
        (EARLY_CALLER, CALLEE, Path::Sip),
        (CALLER, CALLEE, Path::MediaStreams),
        (EARLY_CALLER, CALLEE, Path::Sip),
        (EARLY_CALLER, "+815099999999", Path::MediaStreams),
    ] {
        house.play(CallerSetup::new(from, to, script(SHORT))).await;
        assert_eq!(house.calls().await[0].path, path, "{from} to {to}");
    }
}

// === the operator ===

async fn features(operator: &Operator) -> Features {
    let (status, text) = operator.get("/api/v1/features").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).expect("features")
}

const SET: &str = "/api/v1/features/openai-sip";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_the_next_calls_and_none_that_runs() {
    let house = house(ProviderFaults::default(), &[]).await;
    let operator = Operator::of(&house);
    // Is on the line while the flag is changed.
    let call_sid = house.world.twilio.new_call_sid();
    let before = house.ask(&call_sid, CALLER).await;
    for (body, value, path) in [
        (r#"{"value": false}"#, "false", Path::MediaStreams),
        (r#"{"value": "true"}"#, "true", Path::Sip),
        (r#"{"value": "50%"}"#, "50%", Path::MediaStreams),
        (r#"{"value": true, "route": "all"}"#, "50%", Path::Sip),
    ] {
        let (status, text) = operator.ask(Method::POST, SET, body).await;
        assert_eq!(status, 200, "{text}");
        let features: Features = serde_json::from_str(&text).expect("features");
        assert_eq!(
            (features.openai_sip.value.as_str(), features.openai_sip.from.as_str()),
            (value, "command")
        );
        house.call(SHORT).await;
        assert_eq!(house.calls().await[0].path, path, "{body}");
    }
    assert_eq!(house.ask(&call_sid, CALLER).await, before, "it stays where it is");
    assert_eq!(features(&operator).await.routes["all"].value, "true");
    let (status, _) = operator.ask(Method::DELETE, SET, "").await;
    assert_eq!((status, features(&operator).await.openai_sip.from.as_str()), (200, "file"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_share_or_no_route_changes_nothing() {
    let house = house(ProviderFaults::default(), &[]).await;
    let operator = Operator::of(&house);
    let before = features(&operator).await;
    for (body, status, words) in [
        ("", 400, r#"write {\"value\": \"25%\"}"#),
        ("{}", 400, "missing field"),
        (r#"{"value": "often"}"#, 400, "25%"),
        (r#"{"value": 25}"#, 400, "value"),
        (r#"{"value": "101%"}"#, 400, "25%"),
        (r#"{"value": true, "rout": "all"}"#, 400, "rout"),
        (r#"{"value": true, "by": ""}"#, 400, "a name of one line"),
        (r#"{"value": true, "by": "a\nb"}"#, 400, "a name of one line"),
        (r#"{"value": true, "route": "none"}"#, 404, "no route `none`"),
    ] {
        let (got, text) = operator.ask(Method::POST, SET, body).await;
        assert_eq!(got, status, "{body}: {text}");
        assert!(text.contains(words), "{body}: {text}");
    }
    let long = format!(r#"{{"value": "{}"}}"#, "x".repeat(8 << 10));
    assert_eq!(operator.ask(Method::POST, SET, &long).await.0, 400);
    let (status, text) = operator.ask(Method::DELETE, SET, r#"{"value": true}"#).await;
    assert!(status == 400 && text.contains("write nothing"), "{status} {text}");
    let stranger = Operator::of(&house).showing("wrong");
    for (method, path) in [(Method::POST, SET), (Method::DELETE, SET), (Method::GET, "/api/v1/features")] {
        assert_eq!(stranger.ask(method, path, r#"{"value": false}"#).await.0, 401);
    }
    assert_eq!(features(&operator).await, before);
}
