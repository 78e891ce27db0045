//! Twilio: what is needed to answer it, and [`rest`], the requests we make of it ourselves.

pub mod rest;


use crate::secret::Secret;

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
