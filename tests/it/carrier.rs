//! The carrier's door under bad input, against a whole gateway: forged and broken requests, repetitions,
//! hostile callers, and callers who are not answered by a model.

use switchboard::call::record::{EndedReason, JoinedBy, Path, State};
use switchboard::clock::{Clock as _, SystemClock};
use switchboard::http::{TWILIO_AFTER_STREAM, TWILIO_DIAL_RESULT, TWILIO_MEDIA, TWILIO_STATUS, TWILIO_VOICE};
use switchboard::ids::CallId;
use switchboard::sim::twilio::{Answer, CallerSetup, Fields, Signing};
use switchboard::sim::twiml::{Dial, Document, RejectReason, Target, Verb};

use crate::harness::{CALLEE, CALLER, CONFIG, House, Plan, SHORT, eventually, oversized, raw, script};

const CALL_SID: &str = "CA0123456789abcdef0123456789abcdef";
const LEG_SID: &str = "CAfedcba9876543210fedcba9876543210";

/// What a caller's leg is told with, `changes` in place of the usual fields; empty takes one away.
fn voice(house: &House, changes: &[(&str, &str)]) -> Fields {
    changed(house.world.twilio.voice_fields(CALL_SID, CALLER, CALLEE, "ringing"), changes)
}

fn changed(mut fields: Fields, changes: &[(&str, &str)]) -> Fields {
    fields.retain(|(name, _)| changes.iter().all(|(other, _)| name != other));
    let kept = changes.iter().filter(|(_, value)| !value.is_empty());
    fields.extend(kept.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    fields
}

/// A report on the leg towards the provider.
fn leg(house: &House, status: &str, sequence: u32) -> Fields {
    let sequence = sequence.to_string();
    let changes = [
        ("CallSid", LEG_SID),
        ("ParentCallSid", CALL_SID),
        ("CallStatus", status),
        ("SequenceNumber", &sequence),
    ];
    voice(house, &changes)
}

fn document(answer: &Answer) -> Document {
    assert_eq!(answer.status, 200, "{}", answer.text());
    Document::read(answer.content_type.as_deref(), &answer.body)
        .unwrap_or_else(|problems| panic!("{problems:?}\n{}", answer.text()))
}

/// The document's one verb, a dial.
fn dial(answer: &Answer) -> Dial {
    let verbs = document(answer).verbs;
    let [Verb::Dial(dial)] = verbs.as_slice() else { panic!("{verbs:?}") };
    (**dial).clone()
}

fn seen(house: &House, verdict: &str) -> f64 {
    house.metric(&format!("switchboard_webhooks_total{{source=\"twilio\",verdict=\"{verdict}\"}}"))
}

/// A house whose one route does this instead of answering.
async fn routed(action: &str) -> House {
    let config = CONFIG.replace("name = \"all\"\nsession = \"shop\"", &format!("name = \"all\"\n{action}"));
    assert_ne!(config, CONFIG);
    House::with(Plan { config, ..Plan::default() }).await
}

/// Claims that the next caller is served by a model, with nothing for the vendors to complain about.
async fn check_served(house: &House) {
    let played = house.call(SHORT).await;
    assert_eq!(played.carrier.problems, [""; 0]);
    assert_eq!(played.provider.map(|provider| provider.spoken), Some(vec!["はい。".to_owned()]));
}

// === forged and broken ===

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_by_our_carrier_is_forbidden_in_no_words() {
    let house = House::open().await;
    let call = CallId::new(SystemClock.now(), [7; 10]);
    let other_account = [("AccountSid", "AC0000000000000000000000000000dead")];
    for path in [
        TWILIO_VOICE.to_owned(),
        TWILIO_STATUS.to_owned(),
        format!("{TWILIO_STATUS}?call={call}"),
        format!("{TWILIO_DIAL_RESULT}?call={call}"),
        format!("{TWILIO_DIAL_RESULT}?call=nonsense"),
    ] {
        for (signing, changes, verdict) in [
            (Signing::Missing, &[][..], "missing_signature"),
            (Signing::WrongToken, &[][..], "no_match"),
            (Signing::Right, &other_account[..], "other_account"),
            (Signing::Right, &[("AccountSid", "")][..], "other_account"),
        ] {
            let before = seen(&house, verdict);
            let answer = house.request(&path, voice(&house, changes), signing).await;
            assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{path} {verdict}");
            assert_eq!(seen(&house, verdict) - before, 1.0, "{path} {verdict}");
        }
    }
    assert_eq!(house.calls().await, []);
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_what_it_needs_is_refused_by_name() {
    let house = House::open().await;
    let long = "9".repeat(10_000);
    for (changes, word) in [
        ([("CallSid", "")], "CallSid"),
        ([("CallSid", "CA1")], "CallSid"),
        ([("CallSid", &long)], "CallSid"),
        ([("From", "")], "From"),
        ([("To", "")], "To"),
        ([("CallStatus", "")], "CallStatus"),
    ] {
        let answer = house.tell(TWILIO_VOICE, voice(&house, &changes)).await;
        assert_eq!(answer.status, 400, "{word}");
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    assert_eq!(seen(&house, "unreadable"), 6.0);
    assert_eq!(house.calls().await, []);
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_beyond_the_limit_is_not_read() {
    let house = House::open().await;
    for path in [TWILIO_VOICE, TWILIO_STATUS] {
        for request in oversized(path) {
            let answer = raw(house.gateway.public, &request).await;
            assert!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
        }
    }
    assert_eq!(seen(&house, "too_large"), 4.0);
    assert_eq!(house.calls().await, []);
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_lead_nowhere() {
    let house = House::open().await;
    for path in ["/", "/twilio", "/twilio/voice/", "/metrics", "/api/v1/calls", "//twilio/voice"] {
        assert_eq!(house.tell(path, voice(&house, &[])).await.status, 404, "{path}");
    }
    let get = format!("GET {TWILIO_VOICE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let answer = raw(house.gateway.public, get.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_eq!(house.calls().await, []);
}

// === repetitions ===

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_gets_the_same_answer_and_is_one_call() {
    let house = House::open().await;
    let first = house.ask(CALL_SID, CALLER).await;
    assert_eq!(house.ask(CALL_SID, CALLER).await, first);
    let again = voice(&house, &[("CallStatus", "in-progress")]);
    assert_eq!(house.tell(TWILIO_VOICE, again).await, first);
    assert!(dial(&first).answer_on_bridge);
    assert_eq!(house.calls().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_of_the_same_question_at_once_are_one_call() {
    let house = House::open().await;
    let questions: Vec<_> = (0..20).map(|_| house.ask(CALL_SID, CALLER)).collect();
    let answers = futures_util::future::join_all(questions).await;
    dial(&answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(house.calls().await.len(), 1);
    assert_eq!(house.gateway.control().active(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_out_of_order_and_doubled_end_a_call_once() {
    let house = House::open().await;
    house.ask(CALL_SID, CALLER).await;
    let id = house.calls().await[0].id;
    let path = format!("{TWILIO_STATUS}?call={id}");
    for (status, sequence) in [
        ("completed", 3),
        ("ringing", 1),
        ("completed", 3),
        ("in-progress", 2),
        ("initiated", 0),
        ("dancing", 9),
    ] {
        let answer = house.tell(&path, leg(&house, status, sequence)).await;
        assert_eq!((answer.status, answer.text().as_str()), (204, ""), "{status}");
    }
    let over = [("DialCallStatus", "no-answer"), ("DialCallSid", LEG_SID), ("CallStatus", "in-progress")];
    for _ in 0..2 {
        let answer = house.tell(&format!("{TWILIO_DIAL_RESULT}?call={id}"), voice(&house, &over)).await;
        // Somebody who is still there and was never connected is not left without a word.
        assert!(matches!(document(&answer).verbs[..], [Verb::Say { .. }, Verb::Hangup]), "{answer:?}");
    }
    for status in ["completed", "completed", "in-progress"] {
        let answer = house.tell(TWILIO_STATUS, voice(&house, &[("CallStatus", status)])).await;
        assert_eq!(answer.status, 204);
    }
    let call = house.ended().await.call;
    let carrier = call.carrier.expect("the carrier's side");
    assert_eq!((carrier.leg_status.as_deref(), carrier.status.as_str()), (Some("completed"), "completed"));
    assert_eq!(carrier.leg_sid.map(|sid| sid.to_string()).as_deref(), Some(LEG_SID));
    assert_eq!(call.ended.map(|ended| ended.reason), Some(EndedReason::ProviderSilent));
    assert_eq!(house.metric(r#"switchboard_calls_total{route="all",outcome="provider_silent"}"#), 1.0);
    check_served(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_on_calls_that_are_not_known_change_nothing() {
    let house = House::open().await;
    let unknown = CallId::new(SystemClock.now(), [7; 10]);
    let status = house.tell(&format!("{TWILIO_STATUS}?call={unknown}"), leg(&house, "ringing", 1)).await;
    assert_eq!((status.status, seen(&house, "unknown_call")), (204, 1.0));
    let over = voice(&house, &[("DialCallStatus", "completed")]);
    let result = house.tell(&format!("{TWILIO_DIAL_RESULT}?call={unknown}"), over.clone()).await;
    assert_eq!((result.status, seen(&house, "unknown_call")), (200, 2.0));
    assert_eq!(document(&result).verbs, [Verb::Hangup]);
    let caller = house.tell(TWILIO_STATUS, voice(&house, &[("CallStatus", "completed")])).await;
    assert_eq!(caller.status, 204);
    for call in ["?call=nonsense", "?call=", "?call=%00%00", "?call=../../etc", "?call=1&call=2"] {
        let status = house.tell(&format!("{TWILIO_STATUS}{call}"), leg(&house, "ringing", 1)).await;
        let result = house.tell(&format!("{TWILIO_DIAL_RESULT}{call}"), over.clone()).await;
        assert_eq!((status.status, result.status), (400, 400), "{call}");
    }
    assert_eq!(house.tell(TWILIO_DIAL_RESULT, over).await.status, 400);
    assert_eq!(house.calls().await, []);
    check_served(&house).await;
}

// === callers ===

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_caller_id_stays_out_of_the_document() {
    let house = House::open().await;
    let hostile = [
        "<Hangup/>",
        "\"/><Say>broken in</Say><Dial x=\"",
        "</Sip></Dial><Say>broken in</Say>",
        "'&amp;&lt;&#0;]]>",
        "+8190\r\n1234\r\n5678\u{0}",
        "{{ 7*7 }}",
        "client:</Response>",
    ];
    for from in hostile {
        let answer = house.ask(&house.world.twilio.new_call_sid(), from).await;
        let dial = dial(&answer);
        assert!(matches!(dial.noun.target, Target::Sip(_)), "{from}: {dial:?}");
        let shown = dial.caller_id.is_none_or(|id| id == "+819012345678");
        assert!(shown && !answer.text().contains("<Say>"), "{from}: {}", answer.text());
    }
    let calls = house.calls().await;
    assert_eq!(calls.len(), hostile.len());
    let is_clean = |caller: &str| !caller.contains(char::is_control);
    assert!(calls.iter().all(|call| call.caller.as_deref().is_none_or(is_clean)), "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withheld_number_is_answered_and_kept_as_none() {
    let house = House::open().await;
    for from in ["anonymous", "+266696687", "Restricted"] {
        let answer = house.ask(&house.world.twilio.new_call_sid(), from).await;
        assert_eq!(dial(&answer).caller_id, None, "{from}");
    }
    assert!(house.calls().await.iter().all(|call| call.caller.is_none() && call.state == State::Dialing));
    let played = house.play(CallerSetup::new("anonymous", CALLEE, script(SHORT)));
    let played = played.await;
    assert_eq!(played.carrier.problems, [""; 0]);
    let provider = played.provider.expect("the provider saw the call");
    let call = house.ended_at_provider(&provider.call_id).await.call;
    assert_eq!(call.provider.map(|provider| provider.joined_by), Some(JoinedBy::Token));
}

// === not answered by a model ===

#[tokio::test(flavor = "multi_thread")]
async fn with_the_feature_off_callers_are_connected_to_a_stream() {
    let environment = vec![("SWITCHBOARD__FEATURES__OPENAI_SIP", "false".to_owned())];
    let house = House::with(Plan { environment, ..Plan::default() }).await;
    // Asked twice, the carrier is told the same: the same call, the same token.
    let verbs = document(&house.ask(CALL_SID, CALLER).await).verbs;
    assert_eq!(document(&house.ask(CALL_SID, CALLER).await).verbs, verbs);
    let [call] = &house.calls().await[..] else { panic!("one call") };
    let [Verb::Connect(stream), Verb::Redirect(after)] = verbs.as_slice() else { panic!("{verbs:?}") };
    assert!(stream.url.starts_with("ws") && stream.url.ends_with(TWILIO_MEDIA), "{}", stream.url);
    let names: Vec<_> = stream.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["call", "token"], "the URL carries nothing: it is the same for every call");
    assert!(after.url.ends_with(&format!("{TWILIO_AFTER_STREAM}?call={}", call.id)), "{}", after.url);
    assert_eq!((call.path, call.state), (Path::MediaStreams, State::Dialing));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_turn_callers_away() {
    for (code, expected) in [(486, RejectReason::Busy), (603, RejectReason::Rejected)] {
        let house = routed(&format!("reject = {code}")).await;
        for _ in 0..2 {
            let answer = house.ask(CALL_SID, CALLER).await;
            assert_eq!(document(&answer).verbs, [Verb::Reject(expected)]);
        }
        let ended = house.ended().await.call.ended.expect("it is over");
        assert_eq!((ended.reason, ended.detail), (EndedReason::Rejected, Some(format!("SIP {code}"))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_send_callers_to_a_person() {
    let house = routed("forward = \"+81312345678\"").await;
    let answer = house.ask(CALL_SID, CALLER).await;
    let dial = dial(&answer);
    assert_eq!(dial.noun.target, Target::Number("+81312345678".to_owned()));
    let call = house.ended().await.call;
    let action = dial.action.expect("an action").url;
    assert!(action.ends_with(&format!("{TWILIO_DIAL_RESULT}?call={}", call.id)), "{action}");
    assert_eq!(call.ended.map(|ended| ended.reason), Some(EndedReason::Forwarded));

    let played = house.call("").await;
    assert_eq!(played.carrier.problems, [""; 0]);
    assert!(played.provider.is_none());
    assert!(played.carrier.dials[0].is_bridged, "{:?}", played.carrier.dials);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_caller_more_than_there_is_room_for_hears_the_busy_tone() {
    let config = format!("[server]\nmax_calls = 1\n{CONFIG}");
    let house = House::with(Plan { config, ..Plan::default() }).await;
    dial(&house.ask(CALL_SID, CALLER).await);
    for _ in 0..2 {
        let second = house.ask(LEG_SID, CALLER).await;
        assert_eq!(document(&second).verbs, [Verb::Reject(RejectReason::Busy)]);
    }
    // The first caller goes, and there is room again.
    house.tell(TWILIO_STATUS, voice(&house, &[("CallStatus", "completed")])).await;
    let mut ends = house.calls().await.into_iter().map(|call| call.ended.map(|ended| ended.reason));
    assert_eq!(
        (ends.next(), ends.next()),
        (Some(Some(EndedReason::Busy)), Some(Some(EndedReason::CallerGone)))
    );
    eventually("there is room", || async { (house.gateway.control().active() == 0).then_some(()) }).await;
    check_served(&house).await;
}
