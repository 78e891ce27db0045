//! Transfers with proof: who is dialled for a caller that is handed on, whether anybody answers there, and what
//! the caller and the record are told, over both paths.

use switchboard::call::record::{CallDetail, EndedReason, HandedBy};
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::http::{TWILIO_DIAL_RESULT, TWILIO_HANDED_ON, TWILIO_REFER};
use switchboard::ids::CallId;
use switchboard::sim::fault::ProviderFaults;
use switchboard::sim::twilio::{CallerSetup, CarrierReport, Fields, Heard, Human, Reaction};

use crate::harness::{CALLEE, CALLER, House, Plan, eventually, script};

/// The model hands the caller on.
pub const TRANSFER: &str = r#"steps = [
    { model = { says = "はい。" } },
    { caller = { says = "担当の方をお願いします。" } },
    { model = { says = "おつなぎします。", calls = [{ name = "transfer", arguments = { to = "desk" } }] } },
    { hang_up = "gateway" },
]"#;
const DESK: &str = "+81312345678";

/// Plays a transfer to somebody who reacts so, and gives the call once it is known how that went.
async fn transfer(house: &House, reaction: Reaction) -> (CarrierReport, CallDetail) {
    let human = Human { reaction, ..Human::default() };
    let caller = CallerSetup { human, ..CallerSetup::new(CALLER, CALLEE, script(TRANSFER)) };
    let carrier = house.play(caller).await.carrier;
    assert_eq!(carrier.problems, [""; 0], "{}", house.world.log.text());
    let id = house.calls().await[0].id;
    let kept = eventually("it is known how the transfer went", || async {
        let kept = house.ended_call(id).await;
        kept.call.handed.as_ref()?.result.is_some().then_some(kept)
    })
    .await;
    (carrier, kept)
}

/// Claims that the caller was handed on because of this, and that the desk answered.
fn check_answered(carrier: &CarrierReport, kept: &CallDetail, by: HandedBy) {
    let handed = kept.call.handed.as_ref().expect("the proof");
    assert_eq!((handed.by, handed.answered, handed.result.as_deref()), (by, Some(true), Some("completed")));
    assert_eq!(kept.call.handed_to.as_deref(), Some("tel:+81312345678"));
    let ended = kept.call.ended.as_ref().expect("an end");
    assert_eq!((ended.reason, ended.detail.as_deref()), (EndedReason::Transferred, None));
    assert_eq!(carrier.heard.last(), Some(&Heard::Connected(DESK.to_owned())), "{:?}", carrier.heard);
}

fn has_event(kept: &CallDetail, kind: &str) -> bool {
    kept.events.iter().any(|event| event.kind == kind)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_handed_on_is_seen_to_be() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    let (carrier, kept) = transfer(&house, Reaction::Answers).await;
    check_answered(&carrier, &kept, HandedBy::Refer);
    assert!(has_event(&kept, "transfer.followed") && has_event(&kept, "transfer.answered"));
    assert_eq!(house.metric(r#"switchboard_transfers_total{result="answered"}"#), 1.0);
    assert_eq!(house.world.carrier_rest.requests(), [], "nobody else had to be asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_of_a_bridged_call_is_seen_to_be_handed_on() {
    let config = crate::harness::CONFIG.split("[plugins").next().unwrap_or_default().to_owned();
    let house = crate::bridge::house(Plan { config, ..Plan::default() }).await;
    let (carrier, kept) = transfer(&house, Reaction::Answers).await;
    check_answered(&carrier, &kept, HandedBy::StreamOver);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_ends_the_call_instead_of_handing_it_on_costs_nobody_the_desk() {
    let faults = ProviderFaults { refer_ends_the_call: true, ..ProviderFaults::default() };
    let house = House::without_plugins(faults).await;
    let (carrier, kept) = transfer(&house, Reaction::Answers).await;
    check_answered(&carrier, &kept, HandedBy::DialOver);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_carrier_is_asked_for_is_seen_too() {
    let faults = ProviderFaults { refer_status: Some(500), ..ProviderFaults::default() };
    let house = House::without_plugins(faults).await;
    let (carrier, kept) = transfer(&house, Reaction::Answers).await;
    check_answered(&carrier, &kept, HandedBy::Request);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whom_nobody_answers_is_told_so() {
    for (reaction, status) in [(Reaction::Busy, "busy"), (Reaction::Absent, "no-answer")] {
        let house = House::without_plugins(ProviderFaults::default()).await;
        let (carrier, kept) = transfer(&house, reaction).await;
        let handed = kept.call.handed.as_ref().expect("the proof");
        assert_eq!((handed.answered, handed.result.as_deref()), (Some(false), Some(status)));
        assert!(matches!(carrier.heard.last(), Some(Heard::Said(_))), "{:?}", carrier.heard);
        assert!(has_event(&kept, "transfer.unanswered"));
        let ended = kept.call.ended.as_ref().expect("an end");
        assert_eq!(ended.reason, EndedReason::Transferred);
        assert_eq!(ended.detail, Some(format!("nobody answered: {status}")));
        assert_eq!(house.metric(r#"switchboard_transfers_total{result="unanswered"}"#), 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_dialled_but_whom_the_call_asked_for() {
    let elsewhere = Some("tel:+1900555\"/><Number>+19005551234</Number>".to_owned());
    let faults = ProviderFaults { refer_elsewhere: elsewhere, ..ProviderFaults::default() };
    let house = House::without_plugins(faults).await;
    let (carrier, kept) = transfer(&house, Reaction::Answers).await;
    check_answered(&carrier, &kept, HandedBy::Refer);
    assert_eq!(carrier.dials.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_xml_would_read_stays_words_wherever_it_comes_from() {
    const APOLOGY: &str = "</Say><Hangup/> & \"もう\" '一度' <お願い>";
    let desk = "sip:desk@pbx.example.com;transport=tls?X-Note=a%26b&X-Other=%3Cc%3E";
    let config = crate::harness::CONFIG.split("[plugins").next().unwrap_or_default();
    let config = config.replace(DESK, desk);
    let apology = format!("[twilio.apology]\ntext = {}\nlanguage = \"ja-JP\"\n", toml_text(APOLOGY));
    let house = House::with(Plan { config: apology + &config, ..Plan::default() }).await;
    let (carrier, kept) = transfer(&house, Reaction::Answers).await;
    assert_eq!(kept.call.handed_to.as_deref(), Some(desk));
    assert!(carrier.documents.iter().any(|document| document.contains("a%26b&amp;X-Other")), "{carrier:#?}");
    // Nobody is there, and the carrier's own parser found one `<Say>` with these words.
    assert_eq!(carrier.heard.last(), Some(&Heard::Said(APOLOGY.to_owned())));
}

/// A text as TOML has it.
fn toml_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

// === bad input ===

const CALL_SID: &str = "CA0123456789abcdef0123456789abcdef";

fn fields(house: &House, more: &[(&str, &str)]) -> Fields {
    let mut fields = house.world.twilio.voice_fields(CALL_SID, CALLER, CALLEE, "in-progress");
    fields.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fields
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refer_that_nobody_asked_for_dials_nobody() {
    let house = House::without_plugins(ProviderFaults::default()).await;
    house.ask(CALL_SID, CALLER).await;
    let call = house.calls().await[0].id;
    let refer = fields(&house, &[("ReferTransferTarget", "tel:+19005551234")]);
    let answer = house.tell(&format!("{TWILIO_REFER}?call={call}"), refer.clone()).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("Dial") && answer.text().contains("<Say"), "{}", answer.text());
    assert_eq!(house.calls().await[0].handed, None);
    let unknown = CallId::new(SystemClock.now(), [7; 10]);
    let result = fields(&house, &[("DialCallStatus", "completed"), ("DialBridged", "true")]);
    for (path, fields) in [(TWILIO_REFER, &refer), (TWILIO_HANDED_ON, &result)] {
        let answer = house.tell(&format!("{path}?call={unknown}"), fields.clone()).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().contains("<Response><Hangup/></Response>"), "{}", answer.text());
        for address in ["", "?call=nonsense"] {
            assert_eq!(house.tell(&format!("{path}{address}"), fields.clone()).await.status, 400, "{path}");
        }
    }
    // The end of a dial nobody was handed on by tells nothing.
    for _ in 0..2 {
        let answer = house.tell(&format!("{TWILIO_HANDED_ON}?call={call}"), result.clone()).await;
        assert!(answer.text().contains("<Response></Response>"), "{}", answer.text());
    }
    let answer = house.tell(&format!("{TWILIO_DIAL_RESULT}?call={call}"), result).await;
    assert!(!answer.text().contains("Dial"), "{}", answer.text());
    assert_eq!(house.ended_call(call).await.call.handed, None);
}
