//! The forms of a URL that Twilio may have signed.
//!
//! Twilio drops an explicit port from voice URLs over HTTPS, keeps it over plain HTTP, and some of its
//! back ends add the default port. Vendor documentation: Twilio, "Webhooks security"; the candidates
//! are those of Twilio's own libraries.

/// The URL of an HTTP request without a port, with the configured port, with the scheme's default port.
pub(super) fn candidates(public_base_url: &str, target: &str) -> Vec<String> {
    Parts::new(public_base_url).with_ports(target)
}

/// The same for the upgrade to a WebSocket, with the scheme `wss` (`ws` where the base is plain HTTP),
/// each also with a slash at the end of the path. `https` is not among them.
pub(super) fn upgrade_candidates(public_base_url: &str, target: &str) -> Vec<String> {
    let mut parts = Parts::new(public_base_url);
    parts.scheme = if parts.is_plain() { "ws" } else { "wss" };
    let mut urls = parts.with_ports(target);
    let path = without_fragment(target);
    if !path.ends_with('/') && !path.contains('?') {
        urls.extend(parts.with_ports(&format!("{path}/")));
    }
    urls
}

/// A base URL, taken apart.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    port: Option<&'a str>,
    /// A path that the proxy before us strips, without a slash at the end.
    prefix: &'a str,
}

impl<'a> Parts<'a> {
    /// User and password are dropped, as Twilio drops them before it signs.
    fn new(base: &'a str) -> Parts<'a> {
        let (scheme, rest) = without_fragment(base).split_once("://").unwrap_or(("https", base));
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        // A colon inside the brackets of an IPv6 address does not start a port.
        let host_end = authority.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match authority[host_end..].split_once(':') {
            Some((more, port)) => (&authority[..host_end + more.len()], Some(port)),
            None => (authority, None),
        };
        Parts { scheme, host, port, prefix: prefix.trim_end_matches('/') }
    }

    fn is_plain(&self) -> bool {
        matches!(self.scheme, "http" | "ws")
    }

    fn with_ports(&self, target: &str) -> Vec<String> {
        let Parts { scheme, host, prefix, .. } = self;
        let target = without_fragment(target);
        let default = if self.is_plain() { "80" } else { "443" };
        let mut urls = vec![format!("{scheme}://{host}{prefix}{target}")];
        for port in self.port.into_iter().chain([default]) {
            let url = format!("{scheme}://{host}:{port}{prefix}{target}");
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }
}

fn without_fragment(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_url_is_tried_without_port_with_its_port_and_with_the_default() {
        for (base, target, expected) in [
            ("https://gw.jp", "/v", vec!["https://gw.jp/v", "https://gw.jp:443/v"]),
            ("https://gw.jp/", "/v?a=%41#rc=2", vec!["https://gw.jp/v?a=%41", "https://gw.jp:443/v?a=%41"]),
            ("https://gw.jp:443", "/v", vec!["https://gw.jp/v", "https://gw.jp:443/v"]),
            (
                "https://gw.jp:8443/a/",
                "/v/",
                vec!["https://gw.jp/a/v/", "https://gw.jp:8443/a/v/", "https://gw.jp:443/a/v/"],
            ),
            (
                "http://u:p@127.0.0.1:18080",
                "/v",
                vec!["http://127.0.0.1/v", "http://127.0.0.1:18080/v", "http://127.0.0.1:80/v"],
            ),
            ("https://[2001:db8::1]", "/v", vec!["https://[2001:db8::1]/v", "https://[2001:db8::1]:443/v"]),
            (
                "https://[2001:db8::1]:8443",
                "/v",
                vec![
                    "https://[2001:db8::1]/v",
                    "https://[2001:db8::1]:8443/v",
                    "https://[2001:db8::1]:443/v",
                ],
            ),
        ] {
            assert_eq!(candidates(base, target), expected, "{base} {target}");
        }
    }

    #[test]
    fn an_upgrade_is_also_tried_with_a_slash_and_never_as_https() {
        assert_eq!(
            upgrade_candidates("https://gw.jp", "/media"),
            ["wss://gw.jp/media", "wss://gw.jp:443/media", "wss://gw.jp/media/", "wss://gw.jp:443/media/"]
        );
        assert_eq!(upgrade_candidates("https://gw.jp", "/m/"), ["wss://gw.jp/m/", "wss://gw.jp:443/m/"]);
        assert_eq!(
            upgrade_candidates("http://h:1", "/m?c=1"),
            ["ws://h/m?c=1", "ws://h:1/m?c=1", "ws://h:80/m?c=1"]
        );
    }

    proptest::proptest! {
        #[test]
        fn taking_apart_never_panics(base: String, target: String, odd in "[a-z:/@#?\\[\\]é]{0,20}") {
            let _ = candidates(&base, &target);
            let _ = upgrade_candidates(&odd, &target);
        }
    }
}
