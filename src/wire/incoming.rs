//! The body of the provider's webhook (OpenAI, "Webhooks" and "Realtime API with SIP").
//!
//! Read liberally: unknown fields and unknown kinds of events are expected. One endpoint may receive
//! events of other products; they are acknowledged and ignored.

use serde::Deserialize;

use crate::clock::Timestamp;
use crate::ids::ProviderCallId;
use crate::phone::SipHeaders;

/// The longest id we keep; OpenAI's have about 40 characters.
const ID_BYTES_MAX: usize = 128;

/// What a webhook tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// `realtime.call.incoming`: a call rings and waits for our decision.
    Call(IncomingCall),
    /// The same ringing call as another product sees it (`live.…`): not ours to decide.
    OtherFamily {
        /// The event's type.
        kind: String,
    },
    /// Nothing that concerns calls.
    Unrelated {
        /// The event's type.
        kind: String,
    },
}

/// A call that rings at the provider.
#[derive(Clone, Debug, PartialEq)]
pub struct IncomingCall {
    /// The provider's id of it, to be used unchanged in every request.
    pub call_id: ProviderCallId,
    /// When the event was made (whole seconds of the provider's clock).
    pub created_at: Timestamp,
    /// The INVITE's headers, in order, without its authorization headers. Untrusted.
    pub sip_headers: SipHeaders,
    /// `srtp`, `rtp`, or whatever the provider says of the media.
    pub media_security: Option<String>,
}

/// Why a body is not a webhook event.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// It is not JSON, or not of the form of an event.
    #[error("the body is not a webhook event")]
    NotAnEvent(#[source] serde_json::Error),
    /// The call has no usable id.
    #[error("`data.call_id` is missing, or not 1 to {ID_BYTES_MAX} printable ASCII characters")]
    NoCallId,
    /// The time of the event is missing.
    #[error("`created_at` is missing")]
    NoTime,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    created_at: Option<f64>,
    data: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct CallData {
    call_id: Option<String>,
    #[serde(default)]
    sip_headers: Option<Vec<Header>>,
    sip_media_security: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<String>,
}

/// Reads a verified body.
///
/// # Errors
///
/// [`Unreadable`].
pub fn parse(body: &[u8]) -> Result<Incoming, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?;
    let envelope: Envelope = serde_json::from_str(text).map_err(Unreadable::NotAnEvent)?;
    match envelope.kind.as_str() {
        "realtime.call.incoming" => read_call(envelope).map(Incoming::Call),
        kind if kind.starts_with("live.") => Ok(Incoming::OtherFamily { kind: kind.to_owned() }),
        _ => Ok(Incoming::Unrelated { kind: envelope.kind }),
    }
}

fn read_call(envelope: Envelope) -> Result<IncomingCall, Unreadable> {
    let data = envelope.data.unwrap_or_default();
    let data: CallData = serde_json::from_value(data).map_err(Unreadable::NotAnEvent)?;
    let call_id = data.call_id.filter(|id| is_id(id)).ok_or(Unreadable::NoCallId)?;
    let created_at =
        envelope.created_at.filter(|at| at.is_finite() && *at >= 0.0).ok_or(Unreadable::NoTime)?;
    let headers = data.sip_headers.unwrap_or_default();
    let named =
        headers.into_iter().filter_map(|header| Some((header.name?, header.value.unwrap_or_default())));
    Ok(IncomingCall {
        call_id: ProviderCallId(call_id),
        created_at: Timestamp::from_micros((created_at * 1e6) as u64),
        sip_headers: SipHeaders::new(named),
        media_security: data.sip_media_security,
    })
}

fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
