//! Remote MCP servers: tools that the provider itself calls, without us in between.
//!
//! Facts: OpenAI, "Realtime: session object", tools of type `mcp`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::secret::Secret;

/// One `[sessions.NAME.mcp.LABEL]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct McpServer {
    /// How the model and the log name it.
    pub label: String,
    /// Where it is.
    pub url: String,
    /// What the provider shows it.
    pub authorization: Option<Secret>,
    /// Headers that the provider sends along; some are secrets.
    pub headers: BTreeMap<String, Secret>,
    /// The tools that may be used; none: all of them.
    pub allowed_tools: Option<Vec<String>>,
    /// What the model reads about it.
    pub description: Option<String>,
}

/// The server as the provider reads it.
#[derive(Serialize)]
pub(super) struct McpForm<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    server_label: &'a str,
    server_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_tools: Option<&'a [String]>,
    /// Always said: left out, the provider asks for approvals that nobody could give.
    require_approval: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_description: Option<&'a str>,
}

impl McpServer {
    pub(super) fn form(&self) -> McpForm<'_> {
        McpForm {
            kind: "mcp",
            server_label: &self.label,
            server_url: &self.url,
            authorization: self.authorization.as_ref().map(Secret::expose),
            headers: self.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect(),
            allowed_tools: self.allowed_tools.as_deref(),
            require_approval: "never",
            server_description: self.description.as_deref(),
        }
    }
}
