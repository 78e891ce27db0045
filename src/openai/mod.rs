//! OpenAI Realtime: the calls of its REST interface and the sideband of a live call.

use std::time::Duration;

use crate::secret::Secret;

pub mod dialect;
mod usage;

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
