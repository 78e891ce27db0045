//! OpenAI Realtime: the calls of its REST interface and the sideband of a live call.
//!
//! [`rest::Client`] decides calls, [`sideband::Connector`] opens the socket beside a live one, and
//! [`dialect`] turns what the socket carries into the neutral vocabulary and back. Both are built once
//! and shared; building them is where wrong settings show. Neither logs, and neither prints a secret.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};

use crate::secret::Secret;

pub mod dialect;
pub mod endpoints;
pub mod rest;
pub mod sideband;
mod usage;

/// What is needed to speak with OpenAI.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A standard project API key.
    pub api_key: Secret,
    /// The project that owns the SIP address and the webhook: the user part of the SIP URI. Empty only where no call
    /// is answered: a key then speaks for its project.
    pub project_id: String,
    /// Sent as `OpenAI-Organization` where given.
    pub organization: Option<String>,
    /// REST base, `https://api.openai.com/v1`, without a slash at the end.
    pub base_url: String,
    /// WebSocket base of the sideband, `wss://api.openai.com/v1/realtime`.
    pub realtime_url: String,
    /// The host of the SIP URI, `sip.api.openai.com`.
    pub sip_host: String,
    /// Signing secrets of the webhook endpoint; several while rotating.
    pub webhook_secrets: Vec<Secret>,
    /// How far a webhook's timestamp may be from our clock, either way.
    pub tolerance: Duration,
}

/// How long to wait for OpenAI before something else is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// For a connection to stand, name lookup and TLS included.
    pub connect: Duration,
    /// For the answer to an accept, its retry included: the caller hears it ring meanwhile.
    pub accept: Duration,
    /// For the answer to each try of a reject, a refer or a hangup.
    pub control: Duration,
    /// Before the first retry; each further one waits twice as long.
    pub retry_pause: Duration,
    /// For a sideband to stand, connection and handshake included.
    pub attach: Duration,
    /// Between two pings on a sideband.
    pub ping_every: Duration,
    /// Without a message from the other side, not even a pong, a sideband counts as lost.
    pub silence_max: Duration,
    /// A sideband whose peer does not take what we send counts as lost.
    pub send: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            connect: Duration::from_secs(3),
            accept: Duration::from_secs(10),
            control: Duration::from_secs(5),
            retry_pause: Duration::from_millis(200),
            attach: Duration::from_secs(5),
            ping_every: Duration::from_secs(20),
            // Two pings and a little more.
            silence_max: Duration::from_secs(45),
            send: Duration::from_secs(10),
        }
    }
}

/// Settings with which OpenAI cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `base_url` does not name a place.
    #[error("`openai.base_url` must be an address that begins with https:// or http://")]
    BaseUrl,
    /// `realtime_url` does not name a place.
    #[error("`openai.realtime_url` must be an address that begins with wss:// or ws://")]
    RealtimeUrl,
    /// A setting that becomes a header cannot be one.
    #[error("`openai.{0}` contains characters that an HTTP header cannot carry")]
    Header(&'static str),
    /// A sideband over TLS cannot be checked.
    #[error("no trusted certificates were found: install `ca-certificates` or set `SSL_CERT_FILE`")]
    NoCertificates,
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP library refuses the settings.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] reqwest::Error),
}

/// The headers of every request. Facts: OpenAI API reference, "Authentication".
fn headers(settings: &Settings) -> Result<HeaderMap, SettingsError> {
    let mut headers = HeaderMap::new();
    let mut key = header("api_key", &format!("Bearer {}", settings.api_key.expose()))?;
    key.set_sensitive(true);
    headers.insert(AUTHORIZATION, key);
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("switchboard/", env!("CARGO_PKG_VERSION"))));
    // A key belongs to a project anyway: saying which is only a check.
    if !settings.project_id.is_empty() {
        let project = header("project_id", &settings.project_id)?;
        headers.insert(HeaderName::from_static("openai-project"), project);
    }
    if let Some(organization) = &settings.organization {
        let organization = header("organization", organization)?;
        headers.insert(HeaderName::from_static("openai-organization"), organization);
    }
    Ok(headers)
}

fn header(setting: &'static str, value: &str) -> Result<HeaderValue, SettingsError> {
    HeaderValue::from_str(value).map_err(|_| SettingsError::Header(setting))
}
