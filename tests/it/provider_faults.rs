//! A provider that misbehaves: what the caller is left with, what is kept, and that the next call goes well.

use std::time::Duration;

use futures_util::future::join_all;
use switchboard::call::record::{CallDetail, Ended, EndedReason};
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::openai::CallReport;
use switchboard::sim::twilio::CallerSetup;

use crate::harness::{House, eventually, script};

/// A call that goes well: two lines of the assistant around one of the caller.
const TALK: &str = r#"
steps = [
    { model = { says = "はい、便箋堂です。" } },
    { caller = { says = "また掛けます。" } },
    { model = { says = "お待ちしております。", calls = [{ name = "hangup" }] } },
    { hang_up = "gateway" },
]
"#;
const TALK_LINES: [&str; 3] = ["はい、便箋堂です。", "また掛けます。", "お待ちしております。"];

/// A call in which the sideband is lost between two sentences.
fn talk_with(trouble: &str) -> String {
    format!(
        r#"
steps = [
    {{ model = {{ says = "はい、便箋堂です。" }} }},
    {{ pause_ms = 100 }},
    {trouble}
    {{ caller = {{ says = "また掛けます。" }} }},
    {{ model = {{ says = "お待ちしております。", calls = [{{ name = "hangup" }}] }} }},
    {{ hang_up = "gateway" }},
]
"#
    )
}

/// Plays a call into this trouble.
async fn call_into(faults: ProviderFaults) -> (House, CallReport, CallDetail) {
    call_with(faults, TALK).await
}

async fn call_with(faults: ProviderFaults, steps: &str) -> (House, CallReport, CallDetail) {
    let house = House::without_plugins(faults).await;
    let played = house.call(steps).await;
    assert_eq!(played.carrier.problems, [""; 0], "{}", house.world.log.text());
    let provider = played.provider.expect("the carrier dialled the provider");
    assert_eq!(provider.protocol_errors, [""; 0], "{}", house.world.log.text());
    let kept = house.ended().await;
    (house, provider, kept)
}

fn reason(kept: &CallDetail) -> EndedReason {
    ended(kept).reason
}

fn ended(kept: &CallDetail) -> &Ended {
    kept.call.ended.as_ref().expect("an ended call")
}

fn detail(kept: &CallDetail) -> &str {
    ended(kept).detail.as_deref().unwrap_or_default()
}

fn lines(kept: &CallDetail) -> Vec<&str> {
    kept.lines.iter().map(|line| line.text.as_str()).collect()
}

fn has_event(kept: &CallDetail, kind: &str) -> bool {
    kept.events.iter().any(|event| event.kind == kind)
}

/// The trouble of the first call is over, and nothing of it is left.
async fn the_next_call_goes_well(house: &House) {
    let played = house.call(TALK).await;
    let provider = played.provider.expect("the carrier dialled the provider");
    assert_eq!((provider.accepted, provider.protocol_errors.len()), (1, 0));
    let newest = house.calls().await[0].id;
    let kept = house.ended_call(newest).await;
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
}

// === accept ===

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_gone_at_the_accept_is_not_rejected() {
    let faults = ProviderFaults { calls: 1, accept_status: Some(404), ..ProviderFaults::default() };
    let (house, provider, kept) = call_into(faults).await;
    assert_eq!(reason(&kept), EndedReason::CallerGone);
    assert_eq!((provider.accepts.len(), provider.rejects.len(), provider.attached), (1, 0, 0));
    the_next_call_goes_well(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accept_that_worked_before_is_proved_by_the_sideband() {
    join_all(
        [(409, 1, "accept.already_decided"), (504, 1, "accept.unclear"), (502, 2, "accept.already_decided")]
            .map(async |(status, accepts, event)| {
                let faults = ProviderFaults {
                    accept_status: Some(status),
                    accept_status_times: 1,
                    accept_works_anyway: true,
                    ..ProviderFaults::default()
                };
                let (_, provider, kept) = call_into(faults).await;
                assert_eq!((provider.accepts.len(), provider.accepted), (accepts, 1), "{status}");
                assert!(has_event(&kept, event), "{status}: {:#?}", kept.events);
                assert_eq!(
                    (reason(&kept), lines(&kept)),
                    (EndedReason::AssistantHangup, TALK_LINES.to_vec())
                );
            }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_accept_frees_the_carrier_at_once() {
    join_all([(429, "retry-after 7"), (500, "upstream connect error"), (401, "status 401")].map(
        async |(status, words)| {
            let faults =
                ProviderFaults { calls: 1, accept_status: Some(status), ..ProviderFaults::default() };
            let house = House::without_plugins(faults).await;
            let played = house.call(TALK).await;
            let kept = house.ended().await;
            assert_eq!(reason(&kept), EndedReason::AcceptFailed, "{status}");
            assert!(detail(&kept).contains(words), "{status}: {}", detail(&kept));
            let provider = played.provider.expect("the carrier dialled the provider");
            assert_eq!((provider.accepts.len(), provider.rejects), (1, vec![503]), "{status}");
            assert_eq!(played.carrier.dials[0].sip_code, Some(503), "{status}");
            the_next_call_goes_well(&house).await;
        },
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_failure_of_the_accept_is_tried_once_more() {
    let faults =
        ProviderFaults { accept_status: Some(503), accept_status_times: 1, ..ProviderFaults::default() };
    let (_, provider, kept) = call_into(faults).await;
    assert_eq!((provider.accepts.len(), provider.accepted), (2, 1));
    assert_eq!(provider.accepts[0], provider.accepts[1]);
    assert_eq!(reason(&kept), EndedReason::AssistantHangup);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_accept_is_waited_for() {
    let faults = ProviderFaults { accept_delay_ms: 300, ..ProviderFaults::default() };
    let (_, provider, kept) = call_into(faults).await;
    assert_eq!(provider.accepts.len(), 1);
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
}

// === the sideband ===

#[tokio::test(flavor = "multi_thread")]
async fn a_sideband_that_is_not_there_yet_is_tried_again() {
    let faults = ProviderFaults { sideband_missing_times: 3, ..ProviderFaults::default() };
    let (_, provider, kept) = call_into(faults).await;
    assert_eq!((provider.attached, provider.response_creates), (1, 1));
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_cannot_be_served_is_hung_up_on() {
    let faults = ProviderFaults { calls: 1, sideband_missing_times: u32::MAX, ..ProviderFaults::default() };
    let (house, provider, kept) = call_into(faults).await;
    assert_eq!(reason(&kept), EndedReason::AttachFailed);
    assert!(detail(&kept).contains("404"), "{}", detail(&kept));
    assert_eq!((provider.attached, provider.hangups), (0, 1));
    the_next_call_goes_well(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sideband_that_is_cut_is_found_again() {
    join_all([1006, 1011].map(async |code| {
        let trouble = format!("{{ drop_sideband = {code} }}, {{ await_sidebands = 2 }},");
        let (house, provider, kept) = call_with(ProviderFaults::default(), &talk_with(&trouble)).await;
        assert_eq!((provider.attached, provider.response_creates), (2, 1), "{code}");
        let record = kept.call.provider.as_ref().expect("a provider");
        assert_eq!(record.reattached, 1, "{code}");
        assert!(has_event(&kept, "sideband.lost") && has_event(&kept, "sideband.reattached"), "{code}");
        assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
        assert_eq!(house.metric("switchboard_sideband_losses_total"), 1.0, "{code}");
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_output_that_was_lost_is_sent_again() {
    let faults = ProviderFaults { tool_output_lost: true, ..ProviderFaults::default() };
    let steps = r#"
steps = [
    { model = { says = "はい。", calls = [{ name = "order_pizza" }] } },
    { model = { says = "{/error}です。" } },
    { pause_ms = 300 },
    { hang_up = "caller" },
]
"#;
    let (_, provider, kept) = call_with(faults, steps).await;
    assert_eq!(provider.spoken, ["はい。", "unknown_toolです。"]);
    assert_eq!((provider.attached, provider.tool_outputs.len(), provider.response_creates), (2, 1, 2));
    assert_eq!((reason(&kept), kept.tool_calls.len()), (EndedReason::CallerHangup, 1));
    assert_eq!(lines(&kept), ["はい。", "unknown_toolです。"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_make_no_sense_change_nothing() {
    let frames = [
        r#"{ "type": "response.done", "resp"#.to_owned(),
        r#"{ "type": "session.moved", "event_id": "event_x" }"#.to_owned(),
        r#"{ "type": "response.done", "event_id": 7, "response": "none" }"#.to_owned(),
        "\u{0}\u{1}\u{fffd}\u{7f}".to_owned(),
        "[[[[".repeat(50_000),
        format!(r#"{{ "type": "session.moved", "padding": "{}" }}"#, "x".repeat(2 << 20)),
    ];
    let trouble: String = frames
        .iter()
        .map(|frame| format!("{{ frame = {} }},\n", toml::Value::String(frame.clone())))
        .collect();
    let (house, provider, kept) = call_with(ProviderFaults::default(), &talk_with(&trouble)).await;
    assert_eq!(provider.attached, 1);
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
    let unknown: Vec<_> = kept.events.iter().filter(|event| event.kind == "provider.unknown").collect();
    assert_eq!(unknown.len(), frames.len(), "{:#?}", kept.events);
    assert!(
        unknown
            .iter()
            .any(|event| event.data.as_ref().is_some_and(|data| data.get().contains("session.moved")))
    );
    assert_eq!(house.metric("switchboard_provider_events_unknown_total"), frames.len() as f64);
}

// === the webhook ===

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_comes_twice_is_one_call() {
    let faults =
        ProviderFaults { webhook_copies: 3, webhook_other_family: true, ..ProviderFaults::default() };
    let (house, provider, kept) = call_into(faults).await;
    assert_eq!((provider.accepts.len(), provider.attached, provider.response_creates), (1, 1, 1));
    assert_eq!(provider.webhook_statuses, [200, 200, 200]);
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
    let webhooks = |verdict| {
        house.metric(&format!("switchboard_webhooks_total{{source=\"openai\",verdict=\"{verdict}\"}}"))
    };
    assert_eq!((webhooks("taken"), webhooks("duplicate"), webhooks("ignored")), (1.0, 2.0, 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_a_little_late_is_still_answered() {
    let faults = ProviderFaults { webhook_delay_ms: 12_000, ..ProviderFaults::default() };
    let (_, _, kept) = call_into(faults).await;
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_webhook_the_caller_hears_it_ring_until_the_carrier_gives_up() {
    let cases = [
        ProviderFaults { calls: 1, webhook_never: true, ..ProviderFaults::default() },
        ProviderFaults { calls: 1, webhook_forged: true, ..ProviderFaults::default() },
        ProviderFaults { calls: 1, webhook_age_s: 120, ..ProviderFaults::default() },
    ];
    join_all(cases.map(async |faults| {
        let case = format!("{faults:?}");
        let (house, provider, kept) = call_into(faults).await;
        assert_eq!((reason(&kept), detail(&kept)), (EndedReason::ProviderSilent, "SIP 487"), "{case}");
        assert_eq!((provider.accepts.len(), provider.rejects.len()), (0, 0), "{case}");
        assert!(kept.lines.is_empty(), "{case}");
        the_next_call_goes_well(&house).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_after_the_carrier_gave_up_is_turned_away() {
    let faults = ProviderFaults { calls: 1, webhook_delay_ms: 40_000, ..ProviderFaults::default() };
    let (house, provider, kept) = call_into(faults).await;
    assert_eq!(reason(&kept), EndedReason::ProviderSilent);
    let statuses = eventually("the webhook came", || async {
        let report = house.world.openai.call(&provider.call_id)?;
        (!report.webhook_statuses.is_empty()).then_some(report.webhook_statuses)
    });
    assert_eq!(statuses.await, [200]);
    let late = house.ended_call(house.calls().await[0].id).await;
    assert_eq!((reason(&late), late.call.carrier), (EndedReason::Rejected, None));
    let report = house.world.openai.call(&provider.call_id).expect("a report");
    assert_eq!((report.accepts.len(), report.attached), (0, 0));
    the_next_call_goes_well(&house).await;
}

// === the end ===

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_that_fails_is_tried_again() {
    let faults = ProviderFaults { hangup_status: Some(500), ..ProviderFaults::default() };
    let (_, provider, kept) = call_into(faults).await;
    assert_eq!(provider.hangups, 2);
    assert_eq!((reason(&kept), lines(&kept)), (EndedReason::AssistantHangup, TALK_LINES.to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_while_it_rings_is_not_answered() {
    let house =
        House::without_plugins(ProviderFaults { webhook_delay_ms: 15_000, ..ProviderFaults::default() })
            .await;
    let mut caller = CallerSetup::new("+819012345678", "+815012345678", script(TALK));
    caller.hangs_up_after = Some(Duration::from_secs(3));
    let played = house.play(caller).await;
    assert_eq!(played.carrier.problems, [""; 0]);
    let kept = house.ended().await;
    assert_eq!(reason(&kept), EndedReason::CallerGone);
    let provider = played.provider.expect("the carrier dialled the provider");
    assert_eq!((provider.accepts.len(), provider.rejects.len()), (0, 0));
}
