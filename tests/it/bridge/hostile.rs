//! The stream's door under bad input: whoever is not let in is closed, and whatever comes wrong on a stream
//! that was let in is noted once and changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use switchboard::call::record::{EndedReason, Heard};
use switchboard::http::{TWILIO_AFTER_STREAM, TWILIO_MEDIA, TWILIO_STATUS};
use switchboard::secret::Secret;
use switchboard::sim::twiml::{Document, Verb};
use switchboard::sim::world::{AUTH_TOKEN, PUBLIC_URL};
use switchboard::wire::form::Form;
use switchboard::wire::twilio_signature::{Algorithm, sign};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::plain;
use crate::harness::{CALLEE, CALLER, House, eventually};

const CALL_SID: &str = "CA0123456789abcdef0123456789abcdef";
const STREAM_SID: &str = "MZ0123456789abcdef0123456789abcdef";
const ACCOUNT_SID: &str = "AC00000000000000000000000000000abc";
/// RFC 6455: the house's rules were broken.
const POLICY: u16 = 1008;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The signature of the upgrade.
fn right() -> String {
    let form = Form::parse(b"").expect("an empty form");
    let url = format!("{}{TWILIO_MEDIA}", PUBLIC_URL.replacen("http", "ws", 1));
    sign(&url, &form, &Secret::new(AUTH_TOKEN), Algorithm::HmacSha1)
}

/// Opens a socket; gives the status where there is none.
async fn open(house: &House, signature: Option<&str>) -> Result<Socket, u16> {
    let url = house.url(TWILIO_MEDIA).replacen("http", "ws", 1);
    let mut request = url.into_client_request().expect("a request");
    if let Some(signature) = signature {
        request.headers_mut().insert("x-twilio-signature", signature.parse().expect("a header"));
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn let_in(house: &House) -> Socket {
    open(house, Some(&right())).await.unwrap_or_else(|status| panic!("{status}"))
}

/// The carrier asks about a caller; gives the token of the stream it is to open.
async fn token(house: &House) -> String {
    let answer = house.ask(CALL_SID, CALLER).await;
    let document = Document::read(answer.content_type.as_deref(), &answer.body).expect("a document");
    let [Verb::Connect(stream), Verb::Redirect(_)] = document.verbs.as_slice() else {
        panic!("{document:?}")
    };
    let found = stream.parameters.iter().find(|(name, _)| name == "token");
    found.map(|(_, value)| value.clone()).expect("a token")
}

fn start(account_sid: &str, call_sid: &str, token: &str) -> Value {
    json!({ "event": "start", "sequenceNumber": "1", "streamSid": STREAM_SID, "start": {
        "accountSid": account_sid, "streamSid": STREAM_SID, "callSid": call_sid, "tracks": ["inbound"],
        "mediaFormat": { "encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1 },
        "customParameters": { "token": token } } })
}

/// The token with one sign of its proof changed.
fn forged(token: &str) -> String {
    let at = token.len() - 5;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

fn media(chunk: u64, payload: &str) -> Value {
    json!({ "event": "media", "sequenceNumber": (chunk + 1).to_string(), "streamSid": STREAM_SID,
        "media": { "track": "inbound", "chunk": chunk.to_string(), "timestamp": "20", "payload": payload } })
}

async fn say(socket: &mut Socket, message: &Value) {
    // A gateway that has closed the socket hears nothing more; the test sees that where it reads.
    let _ = socket.send(Message::from(message.to_string())).await;
}

/// The close code with which the gateway ends the socket; 1006 where there is none.
async fn closed(mut socket: Socket) -> u16 {
    let ended = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map_or(1005, |frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return 1006,
            }
        }
    };
    let limit = std::time::Duration::from_secs(15);
    tokio::time::timeout(limit, ended).await.expect("the gateway ends the socket")
}

fn refused(house: &House, verdict: &str) -> f64 {
    house.metric(&format!("switchboard_webhooks_total{{source=\"twilio_media\",verdict=\"{verdict}\"}}"))
}

/// A stream that was let in, and whose session hears it.
async fn live(house: &House) -> Socket {
    let token = token(house).await;
    let mut socket = let_in(house).await;
    say(&mut socket, &json!({ "event": "connected", "protocol": "Call", "version": "1.0.0" })).await;
    say(&mut socket, &start(ACCOUNT_SID, CALL_SID, &token)).await;
    eventually("the call is up", || async { house.calls().await[0].stages.attached }).await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_a_stream_without_the_accounts_signature() {
    let house = plain(50.0, |config| config).await;
    assert_eq!(open(&house, None).await.err(), Some(403));
    assert_eq!(open(&house, Some("AAAA")).await.err(), Some(403));
    let form = Form::parse(b"").expect("an empty form");
    let https =
        sign(&format!("{PUBLIC_URL}{TWILIO_MEDIA}"), &form, &Secret::new(AUTH_TOKEN), Algorithm::HmacSha1);
    assert_eq!(open(&house, Some(&https)).await.err(), Some(403), "an upgrade is signed as wss");
    assert_eq!((refused(&house, "missing_signature"), refused(&house, "no_match")), (1.0, 2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_must_say_first_and_truly_who_it_is_for() {
    let house = plain(50.0, |config| config).await;
    let token = token(&house).await;
    let other_sid = "CAffffffffffffffffffffffffffffffff";
    let other_account = "ACffffffffffffffffffffffffffffffff";
    let cases = [
        ("malformed", start(ACCOUNT_SID, CALL_SID, "")),
        ("malformed", start(ACCOUNT_SID, CALL_SID, &token[1..])),
        ("bad_signature", start(ACCOUNT_SID, CALL_SID, &forged(&token))),
        ("other_call", start(ACCOUNT_SID, other_sid, &token)),
        ("other_account", start(other_account, CALL_SID, &token)),
        ("no_start", media(1, "//8=")),
        ("no_start", json!({ "event": "stop", "streamSid": STREAM_SID })),
        ("unreadable", json!({ "event": "start", "start": { "streamSid": "MZ<&>" } })),
        ("unreadable", json!(["start"])),
    ];
    for (verdict, message) in &cases {
        let before = refused(&house, verdict);
        let mut socket = let_in(&house).await;
        say(&mut socket, message).await;
        assert_eq!(closed(socket).await, POLICY, "{message}");
        eventually("it is counted", || async { (refused(&house, verdict) > before).then_some(()) }).await;
    }
    // None of them has spoilt the token.
    let mut socket = let_in(&house).await;
    say(&mut socket, &start(ACCOUNT_SID, CALL_SID, &token)).await;
    eventually("the call is up", || async { house.calls().await[0].stages.attached }).await;
    drop(socket);
    house.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_says_nothing_is_closed() {
    let house = plain(50.0, |config| config).await;
    assert_eq!(closed(let_in(&house).await).await, POLICY);
    eventually("it is counted", || async { (refused(&house, "start_late") == 1.0).then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_one_stream() {
    let house = plain(50.0, |config| config).await;
    let token = token(&house).await;
    let opened = (let_in(&house).await, let_in(&house).await);
    let (mut first, mut second) = opened;
    let start = start(ACCOUNT_SID, CALL_SID, &token);
    say(&mut first, &start).await;
    eventually("the call is up", || async { house.calls().await[0].stages.attached }).await;
    say(&mut second, &start).await;
    assert_eq!(closed(second).await, POLICY);
    assert!(house.calls().await[0].ended.is_none(), "the first goes on");
    let stop = json!({ "event": "stop", "streamSid": STREAM_SID, "stop": { "callSid": CALL_SID } });
    say(&mut first, &stop).await;
    assert_eq!(closed(first).await, 1000);
    house.ended().await;
    let mut third = let_in(&house).await;
    say(&mut third, &start).await;
    assert_eq!(closed(third).await, POLICY, "the call is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_gone_has_no_stream() {
    let house = plain(50.0, |config| config).await;
    let token = token(&house).await;
    let fields = house.world.twilio.voice_fields(CALL_SID, CALLER, CALLEE, "completed");
    assert_eq!(house.tell(TWILIO_STATUS, fields).await.status, 204);
    let mut socket = let_in(&house).await;
    say(&mut socket, &start(ACCOUNT_SID, CALL_SID, &token)).await;
    assert_eq!(closed(socket).await, POLICY);
    assert_eq!(house.ended().await.call.ended.map(|ended| ended.reason), Some(EndedReason::CallerGone));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_wrong_is_noted_once_and_changes_nothing() {
    let house = plain(50.0, |config| config).await;
    let mut socket = live(&house).await;
    let silence = STANDARD.encode([0xFF; 160]);
    for round in 0..20u64 {
        let chunk = round + 1;
        say(&mut socket, &media(chunk, &silence)).await;
        for wrong in [
            media(chunk, &silence),
            media(0, &silence),
            media(100, "not base64"),
            media(100, "AAA"),
            media(100, &"A".repeat(9_000)),
            json!({ "event": "media", "streamSid": "MZffffffffffffffffffffffffffffffff",
                "media": { "payload": silence } }),
            json!({ "event": "media" }),
            json!({ "event": "video", "streamSid": STREAM_SID }),
            json!({ "event": "mark", "streamSid": STREAM_SID, "mark": { "name": "g0n99999999999999999999" } }),
            json!({ "event": "dtmf", "streamSid": STREAM_SID, "dtmf": { "digit": "<" } }),
            start(ACCOUNT_SID, CALL_SID, "x"),
            json!({ "event": 7 }),
        ] {
            say(&mut socket, &wrong).await;
        }
        let _ = socket.send(Message::from("{")).await;
        let _ = socket.send(Message::binary(vec![0; 100])).await;
    }
    let heard = eventually("the provider heard what was right", || async {
        house.world.openai.calls().into_iter().find(|call| call.heard_blocks >= 20)
    })
    .await;
    assert_eq!(heard.heard_blocks, 20, "and nothing else");
    assert_eq!(heard.protocol_errors, [""; 0]);
    say(&mut socket, &json!({ "event": "stop", "streamSid": STREAM_SID })).await;
    assert_eq!(closed(socket).await, 1000);
    let kept = house.ended().await;
    let noted = kept.events.iter().filter(|event| event.kind.starts_with("stream.")).count();
    assert!((6..=14).contains(&noted), "{:#?}", kept.events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_and_a_huge_message_end_the_stream_and_nothing_else() {
    for is_flood in [true, false] {
        let house = plain(50.0, |config| config).await;
        let mut socket = live(&house).await;
        if is_flood {
            for chunk in 0..5_000 {
                say(&mut socket, &media(chunk + 1, "//8=")).await;
            }
        } else {
            say(&mut socket, &media(1, &"A".repeat(100_000))).await;
        }
        closed(socket).await;
        let kept = house.ended().await;
        assert_eq!(kept.call.ended.map(|ended| ended.reason), Some(EndedReason::CallerHangup));
        // The carrier says that the caller is still there.
        let id = kept.call.id;
        let fields = house.world.twilio.voice_fields(CALL_SID, CALLER, CALLEE, "in-progress");
        let answer = house.tell(&format!("{TWILIO_AFTER_STREAM}?call={id}"), fields).await;
        assert!(answer.text().contains("<Say"), "{}", answer.text());
        let kept = house.ended_call(id).await;
        assert_eq!(kept.call.ended.map(|ended| ended.reason), Some(EndedReason::ProviderDropped));
    }
}

/// A call in which the caller sends this audio, and what the gateway has sent to be played is played or not.
async fn one_way(sound: u8, is_played: bool) -> (String, Heard) {
    let house = plain(50.0, |config| config).await;
    let mut socket = live(&house).await;
    let payload = STANDARD.encode([sound; 160]);
    let id = house.calls().await[0].id;
    let mut chunk = 0;
    let noted = async {
        loop {
            chunk += 1;
            say(&mut socket, &media(chunk, &payload)).await;
            let heard = tokio::time::timeout(std::time::Duration::from_millis(20), socket.next()).await;
            if let Ok(Some(Ok(Message::Text(text)))) = heard
                && is_played
                && text.contains("\"mark\"")
            {
                let _ = socket.send(Message::Text(text)).await;
            }
            let kept = switchboard::http::detail(house.gateway.control().store(), id).await;
            let kept = kept.expect("a readable store").expect("a call");
            let event = kept.events.iter().find(|event| event.kind == "audio.one_way").cloned();
            if let Some(event) = event {
                return (event.data.map(|data| data.get().to_owned()).unwrap_or_default(), kept.call.heard);
            }
        }
    };
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, noted).await.expect("it is noted")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_heard_is_known_after_ten_seconds() {
    let (silence, tone) = (0xFF, 0x20);
    // The caller's line is dead and the model's words are played; the other way round; neither.
    let cases = tokio::join!(one_way(silence, true), one_way(tone, false), one_way(silence, false));
    let heard = |caller, assistant| Heard { caller, assistant };
    for ((words, is_heard), (expected, is_expected)) in [cases.0, cases.1, cases.2].into_iter().zip([
        ("the caller was not heard", heard(false, true)),
        ("the assistant was not heard", heard(true, false)),
        ("neither the caller nor the assistant was heard", heard(false, false)),
    ]) {
        assert!(words.contains(expected), "{words}");
        assert_eq!(is_heard, is_expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_stream_of_nobodys_call_is_the_end() {
    let house = plain(50.0, |config| config).await;
    let fields = || house.world.twilio.voice_fields(CALL_SID, CALLER, CALLEE, "in-progress");
    let unknown = format!("{TWILIO_AFTER_STREAM}?call=call_{}", "0".repeat(32));
    let answer = house.tell(&unknown, fields()).await;
    assert_eq!((answer.status, answer.text().contains("<Hangup/>")), (200, true));
    assert_eq!(house.tell(TWILIO_AFTER_STREAM, fields()).await.status, 400);
}
