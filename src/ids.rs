//! Identifiers, one type each, so that a phone call is never mistaken for a function call.
//!
//! Vendors' ids are opaque: they are kept and compared as given, never parsed or derived from one
//! another. Our own [`CallId`] is a UUIDv7, so that its text sorts by time.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;

/// Our id of one caller's conversation: `call_` and 32 hexadecimal digits of a UUIDv7.
///
/// Its text sorts by the time the call began.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(Uuid);

impl CallId {
    /// Makes the id of a call that began `at`; `chance` keeps calls of one millisecond apart.
    pub fn new(at: Timestamp, chance: [u8; 10]) -> CallId {
        CallId(uuid::Builder::from_unix_timestamp_millis(at.as_millis(), &chance).into_uuid())
    }

    /// The 16 bytes of the id, for use inside signed tokens.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the call began, in whole milliseconds.
    pub fn began(&self) -> Timestamp {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.as_bytes()[..6]);
        Timestamp::from_millis(u64::from_be_bytes(millis))
    }

    /// The id with these 16 bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> CallId {
        CallId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call_{}", self.0.simple())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not `call_` and 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not a call id: `{0}` (expected `call_` and 32 hexadecimal digits)")]
pub struct NotACallId(String);

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<CallId, NotACallId> {
        let refuse = || NotACallId(text.chars().take(64).collect());
        let hex = text.strip_prefix("call_").ok_or_else(refuse)?;
        if hex.len() != 32 {
            return Err(refuse());
        }
        Uuid::try_parse(hex).map(CallId).map_err(|_| refuse())
    }
}

impl JsonSchema for CallId {
    fn schema_name() -> Cow<'static, str> {
        "CallId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^call_[0-9a-f]{32}$" })
    }
}

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<CallId, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Declares opaque text ids of vendors.
macro_rules! opaque_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as the vendor wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> $name {
                $name(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> $name {
                $name(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

opaque_ids! {
    /// The voice provider's id of a phone call (`rtc_…` at OpenAI), as it stands in webhooks and URLs.
    ProviderCallId;
    /// The id of one webhook delivery, the same on every retry (header `webhook-id`).
    WebhookId;
    /// Our id of a notification (`msg_` and 32 hexadecimal digits), the same on every try (header `webhook-id`) and for
    /// every endpoint that is told. Its text sorts by time.
    NotificationId;
    /// A carrier's id of one leg of a call (`CA…` at Twilio).
    CallSid;
    /// The id of one recording of a call (`RE…` at Twilio, `bridge` for one that was made here).
    RecordingId;
    /// The `Call-ID` header of a SIP dialogue.
    SipCallId;
    /// The id of one request of the model to call a tool (`call_…` at OpenAI; not a phone call).
    ToolCallId;
    /// One item of the conversation: a message, a tool call, a tool's output.
    ItemId;
    /// One turn of the assistant (a *response* at OpenAI).
    TurnId;
}

impl NotificationId {
    /// Makes the id of a notification of something that happened `at`; `chance` keeps those of one millisecond apart.
    pub fn new(at: Timestamp, chance: [u8; 10]) -> NotificationId {
        let id = uuid::Builder::from_unix_timestamp_millis(at.as_millis(), &chance).into_uuid();
        NotificationId(format!("msg_{}", id.simple()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_reads_back_and_sorts_by_time() {
        let early = CallId::new(Timestamp::from_millis(1_795_000_000_000), [7; 10]);
        let late = CallId::new(Timestamp::from_millis(1_795_000_000_001), [0; 10]);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse::<CallId>().unwrap(), early);
        assert_eq!(CallId::from_bytes(*early.as_bytes()), early);
        assert_eq!(late.began(), Timestamp::from_millis(1_795_000_000_001));
    }

    #[test]
    fn what_is_not_a_call_id_is_refused() {
        for text in ["", "call_", "call_12", "rtc_0123", "call_zz000000000000000000000000000000"] {
            assert!(text.parse::<CallId>().is_err(), "{text}");
        }
    }
}
