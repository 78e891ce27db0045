//! Whole calls over the bridge.

use switchboard::call::record::{EndedReason, JoinedBy, LineStatus, Path, Speaker};
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::twilio::{CallerSetup, CarrierFaults, Heard, RequestKind};

use super::{house, plain, sound};
use crate::harness::{CALLEE, CALLER, CONFIG, House, Plan, SHORT, script};

const ORDER: &str = r#"
steps = [
    { model = { says = "お電話ありがとうございます。" } },
    { caller = { says = "注文はいつ届きますか。" } },
    { model = { says = "お調べします。", calls = [{ name = "lookup_customer" }] } },
    { model = { says = "{/name}様、{/orders/0/status}です。" } },
    { caller = { says = "ありがとう。" } },
    { model = { says = "失礼いたします。", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]
"#;

/// A house at the tests' speed.
async fn quick() -> House {
    plain(50.0, |config| config).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_answered_a_tool_runs_and_the_call_is_kept() {
    // Slow enough for the order of the lines: what holds a busy machine up counts as many times as long.
    let house = house(Plan { speed: 5.0, ..Plan::default() }).await;
    let played = house.call(ORDER).await;
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    assert_eq!((provider.attached, provider.tool_outputs.len()), (1, 2));
    assert!(
        provider.spoken.iter().any(|words| words == "佐藤 花子様、発送済みです。"),
        "{:?}",
        provider.spoken
    );
    let call = &kept.call;
    assert_eq!(call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::AssistantHangup));
    assert_eq!(
        (call.path, call.route.as_deref(), call.session.as_deref()),
        (Path::MediaStreams, Some("all"), Some("shop"))
    );
    let side = call.provider.as_ref().expect("the provider's side");
    assert_eq!((side.joined_by, side.call_id.as_str()), (JoinedBy::Token, provider.call_id.as_str()));
    assert!(call.heard.caller && call.heard.assistant, "{:?}", call.heard);
    let said: Vec<_> = kept.lines.iter().map(|line| (line.speaker, line.status)).collect();
    let (caller, assistant) = (Speaker::Caller, Speaker::Assistant);
    let expected = [assistant, caller, assistant, assistant, caller, assistant];
    assert_eq!(said, expected.map(|speaker| (speaker, LineStatus::Final)), "{:#?}", kept.lines);
    assert!(call.stages.first_audio.is_some() && call.usage.audio_out > 0 && call.cost_usd.is_some());
    // Hung up by us: the carrier asked what comes next, and was told to hang up.
    assert!(!played.carrier.caller_hung_up);
    let after = played.carrier.documents.last().map(String::as_str).unwrap_or_default();
    assert!(after.contains("<Hangup/>"), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_of_sound_arrives_as_it_was_made_both_ways() {
    // Real seconds: audio on a socket is never faster than life. `SLOW_TESTS=1` plays the whole minute.
    let millis = if std::env::var_os("SLOW_TESTS").is_some() { 60_000 } else { 3_000 };
    let house = plain(1.0, |config| format!("features.recordings = true\n{config}")).await;
    let steps = format!(
        r#"steps = [
            {{ model = {{ says = "長いご案内です。", for_ms = {millis} }} }},
            {{ caller = {{ says = "長い用件です。", for_ms = {millis} }} }},
            {{ model = {{ says = "はい。" }} }},
            {{ hang_up = "caller" }},
        ]"#
    );
    let setup = CallerSetup::new(CALLER, CALLEE, script(&steps));
    let limit = std::time::Duration::from_millis(millis * 3 + 30_000);
    let played = tokio::time::timeout(limit, house.world.play(setup)).await.expect("the call ends");
    let provider = sound(&house, &played);
    let stream = &played.carrier.streams[0];
    assert!(stream.heard_bytes as u64 >= millis * 8, "{} bytes", stream.heard_bytes);
    assert!(u64::from(provider.heard_blocks) * 20 >= millis * 2, "{} blocks", provider.heard_blocks);
    // The carrier never holds much more than the lead.
    assert!(stream.most_buffered <= 8_000, "{} bytes", stream.most_buffered);
    let written = super::recording::assert_aligned(&house, stream).await;
    assert!(written as u64 * 20 >= millis, "{written} blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_speaks_over_the_assistant_is_heard_and_the_rest_is_taken_back() {
    let house = plain(5.0, |config| config).await;
    let played = house
        .call(
            r#"steps = [
                { model = { says = "とても長いご案内をいたします。まず一つ目、次に二つ目でございます。", for_ms = 15000 } },
                { caller = { says = "もう結構です。", for_ms = 2000, interrupts_after_ms = 4000 } },
                { model = { says = "失礼いたしました。" } },
                { hang_up = "caller" },
            ]"#,
        )
        .await;
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    let [cut] = provider.truncations.as_slice() else { panic!("{:?}", provider.truncations) };
    // To the block in which the clear arrived, and a few more for a busy machine.
    assert!(cut.end_ms.abs_diff(cut.heard_ms) <= 100, "{cut:?}");
    assert!(cut.end_ms >= 500, "{cut:?}");
    assert_eq!(played.carrier.streams[0].clears, 1);
    let lines: Vec<_> = kept.lines.iter().map(|line| (line.speaker, line.status)).collect();
    assert_eq!(lines[0], (Speaker::Assistant, LineStatus::Interrupted), "{:#?}", kept.lines);
    assert_eq!(lines.last(), Some(&(Speaker::Assistant, LineStatus::Final)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_noticed_whichever_of_its_signs_comes() {
    for (without_stop, dropped) in [(false, vec![]), (true, vec![]), (false, vec![RequestKind::Status])] {
        let house = quick().await;
        let mut setup = CallerSetup::new(CALLER, CALLEE, script(SHORT));
        setup.faults =
            CarrierFaults { stream_without_stop: without_stop, dropped, ..CarrierFaults::default() };
        let played = house.play(setup).await;
        let kept = house.ended().await;
        let ended = kept.call.ended.as_ref().map(|ended| ended.reason);
        assert_eq!(ended, Some(EndedReason::CallerHangup), "{}", house.world.log.text());
        assert!(played.carrier.caller_hung_up);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_told_to_the_model() {
    let house = quick().await;
    let played = house
        .call(
            r##"steps = [
                { model = { says = "番号をどうぞ。" } },
                { keys = "12#" },
                { model = { says = "承りました。" } },
                { hang_up = "caller" },
            ]"##,
        )
        .await;
    let provider = sound(&house, &played);
    assert!(provider.injected.iter().any(|text| text.ends_with("12#")), "{:?}", provider.injected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_put_through_to_a_person() {
    let house = quick().await;
    let played = house
        .call(
            r#"steps = [
                { model = { says = "はい。" } },
                { caller = { says = "担当者をお願いします。" } },
                { model = { says = "おつなぎします。", calls = [{ name = "transfer", arguments = { to = "desk" } }] } },
                { hang_up = "gateway" },
            ]"#,
        )
        .await;
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::Transferred));
    let connected = Heard::Connected("+81312345678".to_owned());
    assert!(played.carrier.heard.contains(&connected), "{:?}", played.carrier.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_is_told_the_conversation_and_goes_on() {
    let house = quick().await;
    let played = house
        .call(
            r#"steps = [
                { model = { says = "山田商店でございます。" } },
                { caller = { says = "便箋はありますか。" } },
                { model = { says = "ございます。" } },
                { pause_ms = 2000 },
                { drop_sideband = 1006 },
                { await_sidebands = 2 },
                { caller = { says = "では一つください。" } },
                { model = { says = "かしこまりました。" } },
                { hang_up = "caller" },
            ]"#,
        )
        .await;
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    assert_eq!(provider.attached, 2, "{}", house.world.log.text());
    for words in ["山田商店でございます。", "便箋はありますか。", "ございます。"] {
        assert!(provider.told_again.iter().any(|told| told == words), "{:?}", provider.told_again);
    }
    assert_eq!(kept.call.provider.as_ref().map(|side| side.reattached), Some(1));
    let said: Vec<_> = kept.lines.iter().map(|line| line.text.as_str()).collect();
    assert!(said.contains(&"では一つください。") && said.contains(&"かしこまりました。"), "{said:?}");
}

/// An event that says when the session ends, and asks for what the house asked for.
fn ends_in(seconds: u64) -> String {
    let expires_at = SystemClock.now().as_secs() + seconds;
    let session = serde_json::json!({ "type": "session.updated", "event_id": "event_ends", "session": {
        "type": "realtime", "expires_at": expires_at,
        "audio": { "input": { "turn_detection": { "type": "server_vad", "interrupt_response": true } } } } });
    session.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aged_session_is_exchanged_in_a_quiet_moment_and_nobody_notices() {
    let house = quick().await;
    let ends = ends_in(290);
    let played = house
        .call(&format!(
            r#"steps = [
                {{ model = {{ says = "山田商店でございます。" }} }},
                {{ caller = {{ says = "便箋はありますか。" }} }},
                {{ model = {{ says = "ございます。" }} }},
                {{ frame = {ends:?} }},
                {{ await_sidebands = 2 }},
                {{ caller = {{ says = "では一つください。" }} }},
                {{ model = {{ says = "かしこまりました。" }} }},
                {{ hang_up = "caller" }},
            ]"#
        ))
        .await;
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    assert_eq!(provider.attached, 2, "{}", house.world.log.text());
    for words in ["山田商店でございます。", "便箋はありますか。", "ございます。"] {
        assert!(provider.told_again.iter().any(|told| told == words), "{:?}", provider.told_again);
    }
    let kinds: Vec<_> = kept.events.iter().map(|event| event.kind.as_str()).collect();
    assert!(kinds.contains(&"stream.session_rotated") && !kinds.contains(&"sideband.lost"), "{kinds:?}");
    // The call that was to end with its session has an hour again, and said nothing of all this.
    assert_eq!(kept.call.provider.as_ref().map(|side| side.reattached), Some(0));
    assert_eq!(provider.spoken.last().map(String::as_str), Some("かしこまりました。"));
    assert_eq!(provider.spoken.len(), 3, "{:?}", provider.spoken);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_never_falls_quiet_is_exchanged_in_the_middle_of_a_turn() {
    let house = plain(5.0, |config| config).await;
    let ends = ends_in(150);
    let played = house
        .call(&format!(
            r#"steps = [
                {{ model = {{ says = "とても長いご案内をいたします。", for_ms = 60000 }} }},
                {{ frame = {ends:?} }},
                {{ model = {{ says = "続けます。" }} }},
                {{ hang_up = "caller" }},
            ]"#
        ))
        .await;
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    assert_eq!(provider.attached, 2, "{}", house.world.log.text());
    assert!(kept.events.iter().any(|event| event.kind == "stream.session_rotated"), "{:#?}", kept.events);
    let asked = provider.asked_to_say.iter().any(|words| words.contains("You were cut off"));
    assert!(asked, "{:?}", provider.asked_to_say);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_waited_long_for_a_new_session_hears_an_apology() {
    // Looked for after 0.5 s, 1 s and 2 s more.
    let faults = ProviderFaults { session_refused_again_times: 2, ..ProviderFaults::default() };
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let house = house(Plan { config, faults, ..Plan::default() }).await;
    let played = house
        .call(
            r#"steps = [
                { model = { says = "山田商店でございます。" } },
                { caller = { says = "便箋はありますか。" } },
                { model = { says = "ございます。" } },
                { pause_ms = 2000 },
                { drop_sideband = 1006 },
                { model = { says = "お待たせして申し訳ございません。" } },
                { caller = { says = "いいえ。" } },
                { model = { says = "恐れ入ります。" } },
                { hang_up = "caller" },
            ]"#,
        )
        .await;
    let kept = house.ended().await;
    let provider = sound(&house, &played);
    assert!(provider.told_again.iter().any(|told| told == "便箋はありますか。"), "{:?}", provider.told_again);
    let asked = provider.asked_to_say.iter().any(|words| words.contains("Apologise in one short sentence"));
    assert!(asked, "{:?}", provider.asked_to_say);
    assert!(provider.spoken.iter().any(|words| words.starts_with("お待たせ")), "{:?}", provider.spoken);
    assert_eq!(kept.call.provider.as_ref().map(|side| side.reattached), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_no_session_can_serve_hears_the_apology() {
    let faults = ProviderFaults { session_refused_times: u32::MAX, ..ProviderFaults::default() };
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let house = house(Plan { config, faults, ..Plan::default() }).await;
    let played = house.call(SHORT).await;
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::AcceptFailed));
    let is_said = |heard: &Heard| matches!(heard, Heard::Said(words) if words.contains("sorry"));
    assert!(played.carrier.heard.iter().any(is_said), "{:?}", played.carrier.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_refused_once_is_opened_all_the_same() {
    let faults = ProviderFaults { session_refused_times: 1, ..ProviderFaults::default() };
    let config = CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let house = house(Plan { config, faults, ..Plan::default() }).await;
    let played = house.call(SHORT).await;
    let kept = house.ended().await;
    sound(&house, &played);
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::CallerHangup));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_opened_ends_in_an_apology() {
    let house = quick().await;
    let mut setup = CallerSetup::new(CALLER, CALLEE, script(SHORT));
    setup.faults.stream_signing = switchboard::sim::twilio::Signing::WrongToken;
    let played = house.play(setup).await;
    let kept = house.ended().await;
    assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::LegFailed));
    assert!(played.carrier.problems[0].starts_with("31920"), "{:?}", played.carrier.problems);
    let is_said = |heard: &Heard| matches!(heard, Heard::Said(words) if words.contains("sorry"));
    assert!(played.carrier.heard.iter().any(is_said), "{:?}", played.carrier.heard);
}
