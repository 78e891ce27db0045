//! The body of a voice provider's webhook: somebody calls.
//!
//! Read liberally: unknown fields, missing optional ones and `null` never break it, and malformed SIP
//! headers are left out. Only what the call cannot go on without is an error, see [`BadIncoming`].
//! Verify the signature first ([`super::webhook::verify`]).
//!
//! Vendor documentation: OpenAI, "Webhook events" (`realtime.call.incoming`,
//! `live.transport.incoming`) and "Realtime API with SIP".

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::ids::ProviderCallId;
use crate::phone::SipHeaders;

/// Ids become store keys and parts of URLs, so their length (bytes) is bounded.
const ID_BYTES_MAX: usize = 128;

/// What is kept of words that are only recorded (`type`, `sip_media_security`), in characters.
const WORD_CHARS_MAX: usize = 64;

/// A verified webhook, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What it tells.
    pub kind: Kind,
    /// The body's own id (`evt_…`); not the delivery's `webhook-id`. None where absent or unusable.
    pub event_id: Option<String>,
    /// When the provider made the event, in whole seconds of its clock.
    pub created_at: Option<Timestamp>,
}

/// What a webhook tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `realtime.call.incoming`: a call waits to be accepted or rejected.
    Realtime {
        /// The provider's id of the call, opaque; printable ASCII, which a URL must still escape.
        call_id: ProviderCallId,
        /// The INVITE's headers, bounded and cleaned.
        sip_headers: SipHeaders,
        /// `srtp`, `rtp` or another word; none where the provider does not say.
        media_security: Option<String>,
    },
    /// The same call offered to the other product (`live.…`): ours answers it, so nothing is to be done.
    OtherFamily {
        /// The event's type.
        event_type: String,
        /// The INVITE's headers: `Call-ID` tells which call it is.
        sip_headers: SipHeaders,
    },
    /// Nothing to do with calls; acknowledged and ignored.
    Unrelated {
        /// The event's type.
        event_type: String,
    },
}

/// Why a body cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIncoming {
    /// Not UTF-8.
    #[error("the webhook's body is not UTF-8")]
    NotUtf8,
    /// Not a JSON object.
    #[error("the webhook's body is not a JSON object")]
    NotJson,
    /// A field is missing or no string.
    #[error("the webhook misses the string `{0}`")]
    Misses(&'static str),
    /// An id is empty, longer than 128 bytes or not printable ASCII.
    #[error("the webhook's `{0}` is not 1 to {ID_BYTES_MAX} printable ASCII characters")]
    BadId(&'static str),
}

/// Reads the body of a webhook.
pub fn parse(body: &[u8]) -> Result<Incoming, BadIncoming> {
    let text = std::str::from_utf8(body).map_err(|_| BadIncoming::NotUtf8)?;
    let event: Map<String, Value> = serde_json::from_str(text).map_err(|_| BadIncoming::NotJson)?;
    let event_type = event.get("type").and_then(Value::as_str).ok_or(BadIncoming::Misses("type"))?;
    let data = event.get("data").unwrap_or(&Value::Null);
    let kind = match event_type {
        "realtime.call.incoming" => realtime(data)?,
        "live.transport.incoming" | "live.call.incoming" => {
            Kind::OtherFamily { event_type: word(event_type), sip_headers: sip_headers(data) }
        }
        _ => Kind::Unrelated { event_type: word(event_type) },
    };
    let event_id = event.get("id").and_then(Value::as_str).filter(|id| is_id(id)).map(str::to_owned);
    let created_at = event.get("created_at").and_then(Value::as_u64).map(Timestamp::from_secs);
    Ok(Incoming { kind, event_id, created_at })
}

fn realtime(data: &Value) -> Result<Kind, BadIncoming> {
    let call_id = data.get("call_id").and_then(Value::as_str).ok_or(BadIncoming::Misses("data.call_id"))?;
    if !is_id(call_id) {
        return Err(BadIncoming::BadId("data.call_id"));
    }
    Ok(Kind::Realtime {
        call_id: ProviderCallId::from(call_id),
        sip_headers: sip_headers(data),
        media_security: data.get("sip_media_security").and_then(Value::as_str).map(word),
    })
}

fn sip_headers(data: &Value) -> SipHeaders {
    let entries = data.get("sip_headers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let pairs =
        entries.iter().filter_map(|entry| entry.get("name")?.as_str().zip(entry.get("value")?.as_str()));
    SipHeaders::new(pairs)
}

fn is_id(text: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A vendor's word for records and logs: printable ASCII, bounded.
fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(WORD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<Incoming, BadIncoming> {
        parse(body.to_string().as_bytes())
    }

    fn call(data: Value) -> Value {
        json!({"object": "event", "id": "evt_68fa01", "type": "realtime.call.incoming",
            "created_at": 1_795_000_001, "data": data})
    }

    #[test]
    fn an_incoming_call_is_read() {
        let incoming = read(call(json!({
            "call_id": "rtc_u1_9c2f41aa07",
            "sip_media_security": "srtp",
            "sip_headers": [
                {"name": "From", "value": "\"Ada\" <sip:+14155550101@carrier.example>;tag=7f3"},
                {"name": "Call-ID", "value": "a1b2c3@10.0.0.5"},
            ],
            "metadata": {},
        })))
        .unwrap();
        assert_eq!(incoming.event_id.as_deref(), Some("evt_68fa01"));
        assert_eq!(incoming.created_at, Some(Timestamp::from_secs(1_795_000_001)));
        let Kind::Realtime { call_id, sip_headers, media_security } = incoming.kind else {
            panic!("{:?}", incoming.kind);
        };
        assert_eq!(call_id.as_str(), "rtc_u1_9c2f41aa07");
        assert_eq!(sip_headers.first("call-id"), Some("a1b2c3@10.0.0.5"));
        assert_eq!(media_security.as_deref(), Some("srtp"));
    }

    #[test]
    fn what_is_optional_may_be_missing_null_or_strange() {
        for data in [
            json!({"call_id": "rtc_1"}),
            json!({"call_id": "rtc_1", "sip_headers": null, "sip_media_security": null}),
            json!({"call_id": "rtc_1", "sip_headers": "none", "sip_media_security": 7}),
            json!({"call_id": "rtc_1", "sip_headers": [null, {}, {"name": "To"}, {"name": 1, "value": "x"}]}),
        ] {
            let incoming = read(call(data.clone())).unwrap();
            let expected = Kind::Realtime {
                call_id: ProviderCallId::from("rtc_1"),
                sip_headers: SipHeaders::default(),
                media_security: None,
            };
            assert_eq!(incoming.kind, expected, "{data}");
        }
        let bare =
            json!({"type": "realtime.call.incoming", "created_at": -1.5, "id": 7, "data": {"call_id": "r"}});
        let incoming = read(bare).unwrap();
        assert_eq!((incoming.event_id, incoming.created_at), (None, None));
    }

    #[test]
    fn other_families_and_unrelated_events_are_told_apart() {
        for event_type in ["live.transport.incoming", "live.call.incoming"] {
            let data = json!({"session_id": "live_7Qm2xk", "sip_headers": [{"name": "i", "value": "a@b"}]});
            let incoming = read(json!({"type": event_type, "data": data})).unwrap();
            let sip_headers = SipHeaders::new([("i", "a@b")]);
            assert_eq!(incoming.kind, Kind::OtherFamily { event_type: event_type.to_owned(), sip_headers });
        }
        for event_type in ["response.completed", "live.transport.connected", "safety_identifier.blocked"] {
            let incoming = read(json!({"type": event_type})).unwrap();
            assert_eq!(incoming.kind, Kind::Unrelated { event_type: event_type.to_owned() });
        }
        let hostile = read(json!({"type": "x\r\nforged".to_owned() + &"y".repeat(1000)})).unwrap();
        let Kind::Unrelated { event_type } = hostile.kind else { panic!("{:?}", hostile.kind) };
        assert_eq!((event_type.len(), &event_type[..8]), (WORD_CHARS_MAX, "xforgedy"));
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let error = |body: &[u8]| parse(body).unwrap_err();
        assert_eq!(error(b"{\"type\":\"\xff\"}"), BadIncoming::NotUtf8);
        for body in ["", "{", "[]", "null", "call_id=rtc_1", "{} {}", &"[".repeat(100_000)] {
            assert_eq!(error(body.as_bytes()), BadIncoming::NotJson);
        }
        assert_eq!(read(json!({"data": {}})), Err(BadIncoming::Misses("type")));
        assert_eq!(read(call(json!({}))), Err(BadIncoming::Misses("data.call_id")));
        assert_eq!(read(call(json!({"call_id": 7}))), Err(BadIncoming::Misses("data.call_id")));
        assert_eq!(read(json!({"type": "realtime.call.incoming"})), Err(BadIncoming::Misses("data.call_id")));
        for id in ["", "rtc 1", "rtc_\u{e9}", "rtc_1\n", &"r".repeat(129)] {
            assert_eq!(read(call(json!({"call_id": id}))), Err(BadIncoming::BadId("data.call_id")), "{id}");
        }
        assert!(read(call(json!({"call_id": "r".repeat(128)}))).is_ok());
    }

    /// Any characters at all; `any::<String>()` makes no control characters.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn reading_never_panics(body: Vec<u8>, text in any_text()) {
            let _ = parse(&body);
            let _ = read(call(json!({"call_id": text, "sip_headers": [{"name": text, "value": text}]})));
        }
    }
}
