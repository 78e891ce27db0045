//! How the provider's call is joined to the carrier's: tokens forged, old, used twice or absent, and
//! INVITEs with hostile headers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use switchboard::call::record::{CallDetail, EndedReason, JoinedBy, State};
use switchboard::clock::{Clock as _, SystemClock, Timestamp};
use switchboard::ids::CallId;
use switchboard::sim::openai::CallReport;
use switchboard::sim::twiml::{Document, Target, Verb};
use switchboard::wire::join_token::{HEADER, JoinKey};

use crate::harness::{CALLER, CONFIG, House, Plan, SHORT, eventually};

const FROM: &str = "<sip:+819012345678@carrier.example>;tag=1";

/// A call that the carrier asked about: our id of it, and the token that the carrier was given.
pub async fn asked(house: &House) -> (CallId, String) {
    let sid = house.world.twilio.new_call_sid();
    let answer = house.ask(&sid, CALLER).await;
    let document = Document::read(answer.content_type.as_deref(), &answer.body).expect("a good document");
    let [Verb::Dial(dial)] = document.verbs.as_slice() else { panic!("{document:?}") };
    let Target::Sip(uri) = &dial.noun.target else { panic!("{document:?}") };
    let token = uri.headers.iter().find(|(name, _)| name == HEADER).map(|(_, value)| value.clone());
    let call = house.gateway.control().call_of_carrier(&sid.as_str().into());
    (call.expect("a readable store").expect("a call"), token.expect("a token"))
}

/// A token that the gateway itself could have made.
fn minted(house: &House, call: CallId, expires: Timestamp) -> String {
    let kept = house.gateway.control().store().meta("join_key").expect("a readable store");
    let key = URL_SAFE_NO_PAD.decode(kept.expect("a key")).expect("base64");
    JoinKey::new(key.try_into().expect("32 bytes")).mint(call, 1, expires)
}

fn in_a_minute() -> Timestamp {
    SystemClock.now() + Duration::from_secs(60)
}

/// Offers a call with this token by hand; gives both sides of it once it is over.
async fn offered(house: &House, token: &str) -> (CallReport, CallDetail) {
    let leg = house.invite(&[("From", FROM), (HEADER, token)], SHORT).await;
    let kept = house.ended_at_provider(&leg.call_id).await;
    (house.provider_call(&leg.call_id, |report| report.is_over).await, kept)
}

/// Claims that a call with this token is declined, on a record of its own that says why.
async fn check_declined(house: &House, token: &str, why: &str) {
    let (provider, kept) = offered(house, token).await;
    assert_eq!((provider.rejects.as_slice(), provider.accepts.len()), (&[603][..], 0), "{why}");
    let ended = kept.call.ended.expect("it is over");
    assert_eq!((ended.reason, ended.detail.as_deref()), (EndedReason::Rejected, Some(why)));
    assert!(kept.call.carrier.is_none());
    assert_eq!(kept.call.provider.map(|provider| provider.joined_by), Some(JoinedBy::None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_ours_or_no_longer_holds_joins_nothing() {
    let house = House::open().await;
    let (call, token) = asked(&house).await;
    let forged = JoinKey::new([7; 32]).mint(call, 1, in_a_minute());
    check_declined(&house, &forged, "join token refused: the join token's signature is wrong").await;
    for broken in ["", "?", &token[1..], &format!("{token}A")] {
        check_declined(&house, broken, "join token refused: not a join token").await;
    }
    let expired = minted(&house, call, SystemClock.now());
    check_declined(&house, &expired, "join token refused: the join token has expired").await;
    let unknown = minted(&house, CallId::new(SystemClock.now(), [7; 10]), in_a_minute());
    check_declined(&house, &unknown, "the join token names a call that is not known").await;

    // The call itself still waits for its own token.
    let (provider, kept) = offered(&house, &token).await;
    assert_eq!((kept.call.id, provider.accepted, provider.rejects.len()), (call, 1, 0));
    assert_eq!(kept.call.provider.map(|provider| provider.joined_by), Some(JoinedBy::Token));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_joins_one_call_only() {
    let house = House::open().await;
    let (mine, _) = asked(&house).await;
    let (other, token) = asked(&house).await;
    let (_, kept) = offered(&house, &token).await;
    assert_eq!(kept.call.id, other);
    check_declined(&house, &token, "the call was joined before, or is over").await;
    let waiting = house.calls().await.into_iter().find(|call| call.id == mine).expect("the other caller");
    assert_eq!((waiting.state, waiting.provider), (State::Dialing, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_that_races_with_its_copy_is_answered_once() {
    let house = House::open().await;
    let (call, token) = asked(&house).await;
    let headers = [("From", FROM), (HEADER, token.as_str())];
    let (first, second) = tokio::join!(house.invite(&headers, SHORT), house.invite(&headers, SHORT));
    let (first_kept, second_kept) =
        (house.ended_at_provider(&first.call_id).await, house.ended_at_provider(&second.call_id).await);
    let winners = [&first_kept, &second_kept].map(|kept| kept.call.id == call);
    assert!(winners[0] != winners[1], "{first_kept:#?}\n{second_kept:#?}");
    let accepted: u32 = house.world.openai.calls().iter().map(|report| report.accepted).sum();
    assert_eq!(accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_a_call_is_declined_where_bare_trunks_are_off() {
    let house = House::open().await;
    let leg = house.invite(&[("From", FROM)], SHORT).await;
    let provider = house.provider_call(&leg.call_id, |report| report.is_over).await;
    assert_eq!(provider.rejects, [603]);
    let ended = house.ended_at_provider(&leg.call_id).await.call.ended.expect("it is over");
    assert_eq!(ended.detail.as_deref(), Some("no join token, and `server.direct_sip` is off"));
}

async fn bare_trunk() -> House {
    House::with(Plan { config: format!("[server]\ndirect_sip = true\n{CONFIG}"), ..Plan::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_a_bare_trunk_is_answered_by_its_headers() {
    let house = bare_trunk().await;
    let headers = [
        ("From", "\"Hanako\" <sip:09012345678@carrier.example>;tag=1"),
        ("To", "<sip:proj_demo@sip.api.openai.com;transport=tls>"),
        ("Diversion", "<sip:+815012345678@carrier.example>;reason=unconditional"),
    ];
    let leg = house.invite(&headers, SHORT).await;
    let call = house.ended_at_provider(&leg.call_id).await.call;
    assert_eq!(call.ended.map(|ended| ended.reason), Some(EndedReason::CallerHangup));
    assert_eq!((call.caller.as_deref(), call.callee.as_deref()), (Some(CALLER), Some("+815012345678")));
    assert!(call.carrier.is_none());
    let provider = call.provider.expect("the provider's side");
    assert_eq!(provider.joined_by, JoinedBy::None);
    let kept: Vec<_> = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    assert_eq!(provider.sip_headers, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_in_a_callers_name_is_words_to_the_model() {
    let house = bare_trunk().await;
    let leg = house.invite(&[("From", "{{ 7*7 }} {% for i in range(9) %}x{% endfor %}")], SHORT).await;
    let provider = house.provider_call(&leg.call_id, |report| report.accepted == 1).await;
    let body: serde_json::Value = serde_json::from_str(&provider.accepts[0]).expect("JSON");
    assert_eq!(
        body["instructions"],
        "You are the shop. The caller is {{ 7*7 }} {% for i in range(9) %}x{% endfor %}."
    );
    house.ended_at_provider(&leg.call_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_headers_are_kept_bounded_and_clean_and_the_call_is_answered() {
    let house = bare_trunk().await;
    let huge = "é".repeat(32 * 1024);
    let headers = [
        ("From", "Eve\r\nVia: forged\u{0}\u{1b}[2J <sip:+819012345678@x>"),
        ("X-Huge", huge.as_str()),
        ("X-Right-To-Left", "a\u{202e}b\u{2028}c"),
        ("X Blank", "no name of a header"),
        ("X-Twilio-CallSid", "CA00000000000000000000000000000000"),
        ("Call-ID", "\u{7f}\u{7f}\u{7f}"),
    ];
    let leg = house.invite(&headers, SHORT).await;
    let call = house.ended_at_provider(&leg.call_id).await.call;
    assert_eq!(call.caller.as_deref(), Some(CALLER));
    assert_eq!(call.ended.map(|ended| ended.reason), Some(EndedReason::CallerHangup));
    let kept = call.provider.expect("the provider's side").sip_headers;
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["From", "X-Huge", "X-Right-To-Left", "X-Twilio-CallSid", "Call-ID"]);
    assert_eq!(kept[0].1, "Eve Via: forged [2J <sip:+819012345678@x>");
    assert_eq!(kept[1].1.chars().count(), 1024);
    assert_eq!((kept[2].1.as_str(), kept[4].1.as_str()), ("a b c", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_name_of_64_kib_is_cut() {
    let house = bare_trunk().await;
    let name = "x".repeat(64 * 1024);
    let leg = house.invite(&[("From", &name)], SHORT).await;
    let call = house.ended_at_provider(&leg.call_id).await.call;
    assert_eq!(call.ended.map(|ended| ended.reason), Some(EndedReason::CallerHangup));
    assert_eq!(call.caller.map(|caller| caller.len()), Some(64));
    eventually("nobody looks after it", || async { (house.gateway.control().active() == 0).then_some(()) })
        .await;
}
