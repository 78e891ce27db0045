//! Trouble a carrier can make, as it stands in a scenario's `[carrier_faults]`.

use serde::Deserialize;

use super::report::RequestKind;

/// Which requests of a call go wrong, and how. By default none does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CarrierFaults {
    /// Sent twice at the same time with one idempotency token.
    pub doubled: Vec<RequestKind>,
    /// Never arrive.
    pub dropped: Vec<RequestKind>,
    /// Sent without a signature.
    pub unsigned: Vec<RequestKind>,
    /// Signed with somebody else's token.
    pub wrong_token: Vec<RequestKind>,
    /// Callbacks are held until the call is over, then sent in a random order.
    pub shuffled: bool,
    /// Each callback waits this long before it is sent, in milliseconds.
    pub delayed_ms: u64,
    /// The number has a fallback URL: the gateway's own voice path. Where a document cannot be had because nobody
    /// listens, it is asked as soon as somebody does, at most so many (real) milliseconds later; 0: it has none.
    pub fallback_within_ms: u64,
    /// How the upgrade to a media stream is signed.
    pub stream_signing: Signing,
    /// From and until when, in milliseconds of the stream, nothing at all is sent of the caller's microphone.
    pub stream_muted_ms: Option<[u64; 2]>,
    /// A caller who leaves a media stream only closes it.
    pub stream_without_stop: bool,
    /// What goes wrong with recordings.
    pub recording: RecordingFaults,
    /// `DialCallStatus` of a dial towards the provider, whatever came of it: which one stands for which answer is
    /// written nowhere.
    pub dial_status: Option<DialStatus>,
}

/// `DialCallStatus` (Twilio, "TwiML Voice: <Dial>").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DialStatus {
    /// The leg was answered, and has ended.
    Completed,
    /// The leg was answered.
    Answered,
    /// The other side was busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// The other side could not be reached.
    Failed,
    /// The leg was ended before it was answered.
    Canceled,
}

impl DialStatus {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            DialStatus::Completed => "completed",
            DialStatus::Answered => "answered",
            DialStatus::Busy => "busy",
            DialStatus::NoAnswer => "no-answer",
            DialStatus::Failed => "failed",
            DialStatus::Canceled => "canceled",
        }
    }
}

/// What can go wrong with the recording of a call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingFaults {
    /// Its sound is asked for in vain (404) so many times.
    pub not_ready: u32,
    /// There is nothing in it: the callback says `absent`.
    pub absent: bool,
    /// It has one channel, and two cannot be had.
    pub mono: bool,
    /// What is sent as its sound breaks off in the middle, so many times.
    pub cut: u32,
    /// What is sent as its sound is no sound.
    pub garbled: bool,
    /// `RecordingUrl` leads here.
    pub url: Option<String>,
    /// Nothing but its own callback names it.
    pub unnamed: bool,
}

impl CarrierFaults {
    /// Whether requests of this kind must be refused by a careful gateway.
    pub(super) fn spoil(&self, kind: RequestKind) -> bool {
        self.unsigned.contains(&kind) || self.wrong_token.contains(&kind)
    }
}

/// How a request is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// With the account's token.
    #[default]
    Right,
    /// With a token that is not the account's.
    WrongToken,
    /// Not at all.
    Missing,
}
