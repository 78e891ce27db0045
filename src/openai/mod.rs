//! OpenAI Realtime over SIP: its REST, its sideband, its dialect.
//!
//! Nothing above this room knows a name of an OpenAI event or field.

pub mod dialect;
mod rest;
mod sideband;

use std::time::Duration;

use tokio_tungstenite::Connector;

use crate::secret::Secret;

pub use sideband::{Sideband, SidebandItem, Stalled};

/// What is needed to speak with OpenAI.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A standard project API key.
    pub api_key: Secret,
    /// The project that owns the SIP address and the webhook: the user part of the SIP URI.
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

/// How long each kind of request may take.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// To make a connection.
    pub connect: Duration,
    /// An accept, its one repetition included; the carrier gives up after about as long.
    pub accept: Duration,
    /// A reject, refer or hang-up.
    pub request: Duration,
    /// To open a sideband.
    pub attach: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            connect: Duration::from_secs(3),
            accept: Duration::from_secs(10),
            request: Duration::from_secs(5),
            attach: Duration::from_secs(5),
        }
    }
}

/// The provider, as far as we call it: REST and sidebands.
pub struct Client {
    settings: Settings,
    deadlines: Deadlines,
    http: reqwest::Client,
    connector: Connector,
}

/// Why the provider cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The API key has characters that no header can carry.
    #[error("`openai.api_key` has characters that a header cannot carry")]
    BadKey,
    /// The organization has characters that no header can carry.
    #[error("`openai.organization` has characters that a header cannot carry")]
    BadOrganization,
    /// HTTP cannot be set up.
    #[error("HTTP cannot be set up")]
    Http(#[source] reqwest::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Client {
    /// A client with the ordinary deadlines.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn new(settings: &Settings) -> Result<Client, ClientError> {
        Client::with_deadlines(settings, Deadlines::default())
    }

    /// A client with deadlines of its own.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn with_deadlines(settings: &Settings, deadlines: Deadlines) -> Result<Client, ClientError> {
        Ok(Client {
            http: rest::http_client(settings, &deadlines)?,
            connector: sideband::connector()?,
            settings: settings.clone(),
            deadlines,
        })
    }
}
