//! `[sessions.NAME.mcp.LABEL]`: remote MCP servers that the provider itself connects to.

use std::collections::BTreeMap;

use crate::config::codes;
use crate::config::raw;
use crate::secret::Secret;
use crate::session::McpServer;
use crate::tool::outbound::Pattern;

use super::Checker;
use super::sessions::SessionPlace;

impl Checker<'_> {
    pub(super) fn mcp(
        &mut self,
        raw: Option<BTreeMap<String, raw::Mcp>>,
        place: &SessionPlace<'_>,
    ) -> Option<Vec<McpServer>> {
        let servers: Vec<Option<McpServer>> = raw
            .unwrap_or_default()
            .into_iter()
            .map(|(label, server)| self.mcp_server(label, server, place))
            .collect();
        servers.into_iter().collect()
    }

    fn mcp_server(&mut self, label: String, raw: raw::Mcp, place: &SessionPlace<'_>) -> Option<McpServer> {
        let own = place.key(&["mcp", &label]);
        let is_named = self.name(&label, &own);
        let url = self.required(raw.url, &own, "url", "say where the server is: `url = \"https://…\"`")?;
        // The same rules as for what we reach ourselves: no user, no fragment, an ordinary host.
        let without_query = url.split('?').next().unwrap_or_default();
        let (scheme, rest) = without_query.split_once("://").unwrap_or_default();
        let with_path =
            if rest.contains('/') { without_query.to_owned() } else { format!("{without_query}/") };
        if !scheme.eq_ignore_ascii_case("https") || Pattern::parse(&with_path).is_err() {
            let at = own.key("url");
            self.report(&codes::MCP, &at, format!("`{at}` is not the URL of an MCP server")).help(
                "it begins with `https://` and names a public host, without user, password or fragment",
            );
            return None;
        }
        match raw.require_approval.as_deref() {
            None | Some("never") => {}
            Some(_) => {
                let at = own.key("require_approval");
                self.report(&codes::MCP, &at, "nobody can approve on a phone call")
                    .label("can only be `never`")
                    .help("leave out what may not be used by naming the others in `allowed_tools`");
                return None;
            }
        }
        for (name, value) in raw.headers.iter().flatten() {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_plain) || value.chars().any(char::is_control) {
                let at = own.key("headers").key(name);
                self.report(&codes::MCP, &at, format!("`{}` is not a header", name.escape_debug()))
                    .help("headers have letters, digits and `-`, and values on one line");
                return None;
            }
        }
        is_named.then_some(McpServer {
            label,
            url,
            authorization: raw.authorization.map(Secret::new).filter(|secret| !secret.is_empty()),
            headers: raw
                .headers
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| (name, Secret::new(value)))
                .collect(),
            allowed_tools: raw.allowed_tools,
            description: raw.description,
        })
    }
}
