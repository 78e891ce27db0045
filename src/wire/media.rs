//! Twilio Media Streams: the text messages that carry a call's audio, both ways.
//!
//! Read liberally (numbers as strings or as numbers, unknown fields, unknown kinds of message) and
//! bounded strictly: a payload must be base64 of a bearable size, a key must be a key, an id must look
//! like one. The payload is borrowed and never decoded here. What cannot be read is a [`BadMessage`];
//! reading never panics. Written messages hold only ids and names of ours and checked base64, so that
//! nothing in them needs escaping.
//!
//! Vendor documentation: Twilio, "Media Streams: WebSocket messages".

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::ids::CallSid;

/// The longest payload in characters of base64: about 0.75 s, where Twilio sends 20 ms (216 characters).
pub const PAYLOAD_CHARS_MAX: usize = 8 << 10;
/// How many parameters of ours may come back; we send two.
const PARAMETERS_MAX: usize = 16;
/// How much of an unknown kind's name is kept, in characters.
const KIND_CHARS_MAX: usize = 60;
/// The longest name of a mark; ours are shorter.
const MARK_CHARS_MAX: usize = 100;

/// One message of Twilio.
#[derive(Debug)]
pub struct FromCarrier<'a> {
    /// `streamSid`; absent in `connected`.
    pub stream_sid: Option<Cow<'a, str>>,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message says.
#[derive(Debug)]
pub enum Body<'a> {
    /// `connected`: the first message of a socket.
    Connected,
    /// `start`: the second, which tells whose audio this is.
    Start(Box<Start>),
    /// `media`: some audio of the caller.
    Media(Media<'a>),
    /// `dtmf`: the caller pressed a key.
    Key(char),
    /// `mark`: playback reached a mark of ours, or was cleared.
    Mark(Cow<'a, str>),
    /// `stop`: the stream is over.
    Stop,
    /// A kind that is not known.
    Unknown(String),
}

/// Whose audio this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The stream.
    pub stream_sid: StreamSid,
    /// The account.
    pub account_sid: String,
    /// The caller's leg.
    pub call_sid: CallSid,
    /// What our TwiML gave along.
    pub parameters: BTreeMap<String, String>,
}

/// Some audio of the caller.
#[derive(Debug)]
pub struct Media<'a> {
    /// Number of the piece, from 1.
    pub chunk: Option<u64>,
    /// When it began, in milliseconds since the stream did.
    pub at_ms: Option<u64>,
    /// Base64 of μ-law, checked, not decoded.
    pub payload: Cow<'a, str>,
    /// How many bytes the payload decodes to.
    pub bytes: usize,
}

/// `MZ` and 32 hexadecimal digits: the id of a media stream.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamSid(String);

impl StreamSid {
    /// Reads an id.
    pub fn parse(text: &str) -> Option<StreamSid> {
        let digits = text.strip_prefix("MZ")?;
        let is_id = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_id.then(|| StreamSid(text.to_owned()))
    }

    /// The id as Twilio wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamSid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a message cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// Not JSON, or not of the documented shape.
    #[error("not a message of a media stream")]
    Unreadable,
    /// A part that its kind needs is missing or senseless.
    #[error("`{0}` is missing or makes no sense")]
    Part(&'static str),
    /// The payload is not base64.
    #[error("the payload is not base64")]
    NotBase64,
    /// The payload is too long.
    #[error("the payload is longer than {PAYLOAD_CHARS_MAX} characters")]
    TooLong,
    /// Not the one format that there is.
    #[error("the audio is not μ-law, 8000 Hz, mono")]
    Format,
}

impl BadMessage {
    /// A stable name, for records.
    pub fn name(self) -> &'static str {
        match self {
            BadMessage::Unreadable => "unreadable",
            BadMessage::Part(_) => "incomplete",
            BadMessage::NotBase64 => "not_base64",
            BadMessage::TooLong => "too_long",
            BadMessage::Format => "format",
        }
    }
}

/// What may be absent, and is borrowed where it is there: serde copies an `Option<Cow<str>>`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Words<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default, borrow)]
    stream_sid: Option<Words<'a>>,
    #[serde(default)]
    start: Option<RawStart>,
    #[serde(default, borrow)]
    media: Option<RawMedia<'a>>,
    #[serde(default, borrow)]
    dtmf: Option<RawKey<'a>>,
    #[serde(default, borrow)]
    mark: Option<RawMark<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawStart {
    #[serde(default)]
    stream_sid: Option<String>,
    #[serde(default)]
    account_sid: Option<String>,
    #[serde(default)]
    call_sid: Option<String>,
    #[serde(default)]
    media_format: Option<RawFormat>,
    #[serde(default)]
    custom_parameters: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawFormat {
    encoding: String,
    #[serde(deserialize_with = "number")]
    sample_rate: Option<u64>,
    #[serde(deserialize_with = "number")]
    channels: Option<u64>,
}

#[derive(Deserialize)]
struct RawMedia<'a> {
    #[serde(default, borrow)]
    track: Option<Words<'a>>,
    #[serde(default, deserialize_with = "number")]
    chunk: Option<u64>,
    #[serde(default, rename = "timestamp", deserialize_with = "number")]
    at_ms: Option<u64>,
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawKey<'a> {
    #[serde(borrow)]
    digit: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawMark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl FromCarrier<'_> {
    /// Reads one text message.
    ///
    /// # Errors
    ///
    /// [`BadMessage`]; the stream itself can go on.
    pub fn read(text: &str) -> Result<FromCarrier<'_>, BadMessage> {
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| BadMessage::Unreadable)?;
        let body = match &*envelope.event {
            "connected" => Body::Connected,
            "start" => Body::Start(Box::new(start(envelope.start.ok_or(BadMessage::Part("start"))?)?)),
            "media" => Body::Media(media(envelope.media.ok_or(BadMessage::Part("media"))?)?),
            "dtmf" => Body::Key(key(&envelope.dtmf.ok_or(BadMessage::Part("dtmf"))?)?),
            "mark" => {
                let name = envelope.mark.ok_or(BadMessage::Part("mark"))?.name;
                if name.len() > MARK_CHARS_MAX {
                    return Err(BadMessage::Part("mark.name"));
                }
                Body::Mark(name)
            }
            "stop" => Body::Stop,
            other => {
                let printable = other.chars().filter(|letter| !letter.is_control());
                Body::Unknown(printable.take(KIND_CHARS_MAX).collect())
            }
        };
        Ok(FromCarrier { stream_sid: envelope.stream_sid.map(|words| words.0), body })
    }
}

fn start(raw: RawStart) -> Result<Start, BadMessage> {
    let format = raw.media_format.ok_or(BadMessage::Part("mediaFormat"))?;
    if (format.encoding.as_str(), format.sample_rate, format.channels)
        != ("audio/x-mulaw", Some(8_000), Some(1))
    {
        return Err(BadMessage::Format);
    }
    let sid = raw.stream_sid.ok_or(BadMessage::Part("streamSid"))?;
    let stream_sid = StreamSid::parse(&sid).ok_or(BadMessage::Part("streamSid"))?;
    if raw.custom_parameters.len() > PARAMETERS_MAX {
        return Err(BadMessage::Part("customParameters"));
    }
    Ok(Start {
        stream_sid,
        account_sid: raw.account_sid.ok_or(BadMessage::Part("accountSid"))?,
        call_sid: CallSid(raw.call_sid.ok_or(BadMessage::Part("callSid"))?),
        parameters: raw.custom_parameters,
    })
}

fn media(raw: RawMedia<'_>) -> Result<Media<'_>, BadMessage> {
    // Only the caller's own track comes on a bidirectional stream.
    if raw.track.is_some_and(|track| !track.0.starts_with("inbound")) {
        return Err(BadMessage::Part("media.track"));
    }
    if raw.payload.len() > PAYLOAD_CHARS_MAX {
        return Err(BadMessage::TooLong);
    }
    let bytes = decoded_len(&raw.payload).ok_or(BadMessage::NotBase64)?;
    Ok(Media { chunk: raw.chunk, at_ms: raw.at_ms, payload: raw.payload, bytes })
}

fn key(raw: &RawKey<'_>) -> Result<char, BadMessage> {
    let mut digits = raw.digit.chars();
    match (digits.next(), digits.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(digit),
        _ => Err(BadMessage::Part("dtmf.digit")),
    }
}

/// 1 for each byte that is no digit of base64.
const STRANGERS: [u8; 256] = {
    let mut strangers = [1; 256];
    let mut byte = 0;
    while byte < 256 {
        if (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'+' | b'/') {
            strangers[byte] = 0;
        }
        byte += 1;
    }
    strangers
};

/// How many bytes a text decodes to, if it is base64 in the standard alphabet with its padding.
pub fn decoded_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let padding = bytes.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    let body = &bytes[..bytes.len() - padding];
    // All bytes are looked at, whatever is found: that is quicker than to look for the first that is wrong.
    let strangers = body.iter().fold(0, |found, byte| found | STRANGERS[usize::from(*byte)]);
    let is_base64 = bytes.len().is_multiple_of(4) && strangers == 0;
    is_base64.then(|| bytes.len() / 4 * 3 - padding)
}

/// Audio for the caller; `payload` is checked base64.
pub fn media_message(stream: &StreamSid, payload: &str) -> String {
    format!(r#"{{"event":"media","streamSid":"{}","media":{{"payload":"{payload}"}}}}"#, stream.0)
}

/// A mark that comes back when playback has reached it; `name` is ours, of letters and digits.
pub fn mark_message(stream: &StreamSid, name: &str) -> String {
    format!(r#"{{"event":"mark","streamSid":"{}","mark":{{"name":"{name}"}}}}"#, stream.0)
}

/// What has not been played shall not be.
pub fn clear_message(stream: &StreamSid) -> String {
    format!(r#"{{"event":"clear","streamSid":"{}"}}"#, stream.0)
}

/// A number, or its digits as text; anything else is absent.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    deserializer.deserialize_any(Number)
}

/// Reads without a copy: two of them come with each frame.
struct Number;

impl<'de> Visitor<'de> for Number {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<u64>, E> {
        Ok(Some(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<u64>, E> {
        Ok(text.parse().ok())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<u64>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<u64>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<u64>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    /// Messages as the vendor's documentation shows them.
    const START: &str = r#"{"event":"start","sequenceNumber":"1","streamSid":"MZ00000000000000000000000000000001",
 "start":{"accountSid":"AC00000000000000000000000000000abc","streamSid":"MZ00000000000000000000000000000001",
  "callSid":"CA0123456789abcdef0123456789abcdef","tracks":["inbound"],
  "mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},
  "customParameters":{"call":"c_01J9","token":"9f2c.b1"}}}"#;

    fn body(text: &str) -> Body<'_> {
        FromCarrier::read(text).unwrap_or_else(|error| panic!("{error}: {text}")).body
    }

    #[test]
    fn the_vendors_messages_are_read() {
        let Body::Start(start) = body(START) else { panic!() };
        assert_eq!(start.stream_sid.as_str(), "MZ00000000000000000000000000000001");
        assert_eq!(start.call_sid.as_str(), "CA0123456789abcdef0123456789abcdef");
        assert_eq!(start.parameters["token"], "9f2c.b1");
        assert!(matches!(
            body(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#),
            Body::Connected
        ));
        let text = r#"{"event":"media","sequenceNumber":"2","streamSid":"MZ1","media":{"track":"inbound","chunk":"1","timestamp":"20","payload":"//////8="}}"#;
        let Body::Media(media) = body(text) else { panic!() };
        assert_eq!((media.chunk, &*media.payload, media.bytes), (Some(1), "//////8=", 5));
        let text = r#"{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"9","dtmf":{"track":"inbound_track","digit":"1"}}"#;
        assert!(matches!(body(text), Body::Key('1')));
        let text = r#"{"event":"mark","sequenceNumber":"10","streamSid":"MZ1","mark":{"name":"g1:3"}}"#;
        assert!(matches!(body(text), Body::Mark(name) if name == "g1:3"));
        let text = r#"{"event":"stop","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}"#;
        assert!(matches!(body(text), Body::Stop));
    }

    #[test]
    fn numbers_may_be_numbers_and_slashes_escaped() {
        let text = r#"{"event":"media","sequenceNumber":2,"media":{"chunk":7,"payload":"\/\/8="}}"#;
        let Body::Media(media) = body(text) else { panic!() };
        assert_eq!((media.chunk, &*media.payload), (Some(7), "//8="));
        assert!(matches!(body(&START.replace("8000", "\"8000\"").replace(":1}", ":\"1\"}")), Body::Start(_)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let long =
            format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(PAYLOAD_CHARS_MAX + 4));
        for (text, expected) in [
            ("", BadMessage::Unreadable),
            ("[]", BadMessage::Unreadable),
            (r#"{"event":7}"#, BadMessage::Unreadable),
            (r#"{"event":"media"}"#, BadMessage::Part("media")),
            (r#"{"event":"media","media":{"payload":"a b="}}"#, BadMessage::NotBase64),
            (r#"{"event":"media","media":{"payload":"AAA"}}"#, BadMessage::NotBase64),
            (r#"{"event":"media","media":{"payload":"A==="}}"#, BadMessage::NotBase64),
            (r#"{"event":"media","media":{"payload":"A\"}="}}"#, BadMessage::NotBase64),
            (
                r#"{"event":"media","media":{"track":"outbound","payload":"AAAA"}}"#,
                BadMessage::Part("media.track"),
            ),
            (&long, BadMessage::TooLong),
            (r#"{"event":"dtmf","dtmf":{"digit":"12"}}"#, BadMessage::Part("dtmf.digit")),
            (r#"{"event":"mark"}"#, BadMessage::Part("mark")),
            (&START.replace("MZ0", "MZx"), BadMessage::Part("streamSid")),
            (&START.replace("audio/x-mulaw", "audio/pcm"), BadMessage::Format),
        ] {
            assert_eq!(FromCarrier::read(text).expect_err(text), expected, "{text}");
        }
        assert!(matches!(body(r#"{"event":"video"}"#), Body::Unknown(kind) if kind == "video"));
    }

    #[test]
    fn messages_of_ours_are_json() {
        let stream = StreamSid::parse("MZ0123456789abcdef0123456789abcdef").unwrap();
        for (text, event) in [
            (media_message(&stream, "/+8="), "media"),
            (mark_message(&stream, "g1:2"), "mark"),
            (clear_message(&stream), "clear"),
        ] {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["event"], event);
            assert_eq!(value["streamSid"], stream.as_str());
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,80}", kind in "(media|start|mark|dtmf|stop)") {
            let _ = FromCarrier::read(&text);
            let _ = FromCarrier::read(&format!(r#"{{"event":"{kind}","{kind}":{text}}}"#));
        }

        #[test]
        fn lengths_are_those_of_the_decoder(audio: Vec<u8>, text in "[A-Za-z0-9+/= ]{0,12}") {
            prop_assert_eq!(decoded_len(&STANDARD.encode(&audio)), Some(audio.len()));
            if let Ok(decoded) = STANDARD.decode(&text) {
                prop_assert_eq!(decoded_len(&text), Some(decoded.len()));
            }
        }
    }
}
