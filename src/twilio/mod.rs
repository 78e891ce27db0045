//! Twilio: what is needed to answer it, and [`rest`], the requests we make of it ourselves.

pub mod rest;

use crate::phone::{CallingCode, E164};
use crate::routing::Target;
use crate::secret::Secret;
use crate::wire::sip_uri::{BadSipUri, SipUri};
use crate::wire::twiml::{self, Noun, Verb};

/// How long a person may let it ring, in seconds.
const FORWARD_TIMEOUT_S: u32 = 30;

/// What is needed to speak with Twilio.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The account whose calls we take (`AC…`).
    pub account_sid: String,
    /// Auth tokens that may sign requests; several while rotating.
    pub auth_tokens: Vec<Secret>,
    /// Shared keys (id, secret) for `X-Twilio-Webhooks-Signature-Settings` signing.
    pub shared_keys: Vec<(String, Secret)>,
    /// Whether requests signed with the auth token are refused (no downgrade from a shared key).
    pub require_shared_key: bool,
    /// REST base, `https://api.twilio.com`.
    pub base_url: String,
    /// An API key (`SK…` and its secret) for the REST API; none: the first auth token is used.
    pub api_key: Option<(String, Secret)>,
    /// How the provider is dialled.
    pub dial: Dial,
    /// What a caller hears when nobody can answer.
    pub apology: Say,
}

/// The `<Dial>` towards the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// `timeout`: seconds until the provider must have answered (5 to 600; Twilio adds about 5).
    pub timeout_s: u32,
    /// `timeLimit`: the longest call in seconds.
    pub time_limit_s: u32,
    /// `ringTone`, a two-letter country such as `jp`.
    pub ring_tone: Option<String>,
    /// Twilio edge the INVITE leaves from, such as `tokyo`.
    pub edge: Option<String>,
    /// `secure=true`: SRTP for the media.
    pub secure_media: bool,
    /// Whether a provider that cannot agree on that is dialled once more without.
    pub is_plain_taken: bool,
}

/// Something spoken by the carrier's own voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// The words.
    pub text: String,
    /// BCP 47, such as `ja-JP`.
    pub language: String,
    /// The carrier's voice name; none for its default.
    pub voice: Option<String>,
}

impl Dial {
    /// The `<Dial>` of these settings to somebody, without anything to be told or asked.
    pub fn to(&self, noun: Noun) -> twiml::Dial {
        twiml::Dial {
            answer_on_bridge: true,
            timeout_s: self.timeout_s,
            time_limit_s: self.time_limit_s,
            caller_id: None,
            ring_tone: self.ring_tone.clone(),
            action: None,
            refer_url: None,
            recording_callback: None,
            status_callback: None,
            noun,
        }
    }
}

/// Dials somebody else; `action` is asked afterwards, where something is to be told.
///
/// # Errors
///
/// The target is no place that can be dialled.
pub fn forward(
    dial: &Dial,
    target: &Target,
    country: CallingCode,
    action: Option<String>,
) -> Result<Vec<Verb>, BadSipUri> {
    let noun = match target {
        Target::Sip(uri) => Noun::Sip(SipUri::verbatim(uri)?),
        Target::Number(number) => match E164::parse(number, country) {
            Ok(number) => Noun::Number(number),
            Err(_) => return Err(BadSipUri::BadPart("number")),
        },
    };
    // A person may take longer to answer than a model.
    let timeout_s = dial.timeout_s.max(FORWARD_TIMEOUT_S);
    Ok(vec![Verb::Dial(twiml::Dial { timeout_s, action, ..dial.to(noun) })])
}
