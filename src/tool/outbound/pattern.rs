//! What may be reached, as operators and plugins write it: `https://api.example.com/v2/*`.

use std::fmt;
use std::str::FromStr as _;

use reqwest::{Method, Url};

use super::url;

/// Methods in front of the URL, the host's subdomains, and everything below a path can be left open;
/// scheme, host and port are compared exactly. A query is not part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// None: any method.
    methods: Option<Vec<Method>>,
    scheme: String,
    host: Host,
    port: u16,
    path: Path,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Exactly(String),
    /// Any name that ends with this, its dot included.
    Below(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Path {
    Exactly(String),
    /// Any path that begins with this, its slash included.
    Below(String),
}

/// Why a text is no pattern: words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl Pattern {
    /// Reads `https://api.example.com/v2/*` or `GET,HEAD https://*.example.com/*`.
    ///
    /// # Errors
    ///
    /// [`PatternError`], in words that follow the pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let wrong = |words: &str| PatternError(words.to_owned());
        let (methods, address) = match text.trim().split_once(char::is_whitespace) {
            Some((methods, address)) => (Some(parse_methods(methods)?), address.trim_start()),
            None => (None, text.trim()),
        };
        if address.contains(['?', '#']) {
            return Err(wrong("a pattern ends with its path: it has no `?` and no `#`"));
        }
        let (scheme, rest) = address
            .split_once("://")
            .ok_or_else(|| wrong("a pattern begins with https:// (or http://, where that is meant)"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if path.is_empty() {
            return Err(wrong("a pattern says which paths it means: end it with `/*` for all of them"));
        }
        let (path, is_open) = match path.strip_suffix("/*") {
            Some(before) => (format!("{before}/"), true),
            None => (path.to_owned(), false),
        };
        let (authority, is_below) = match authority.strip_prefix("*.") {
            Some(parent) => (parent, true),
            None => (authority, false),
        };
        if path.contains('*') || authority.contains('*') {
            return Err(wrong(
                "`*` stands at the end of the path (`/v2/*`) or before the host (`*.example.com`)",
            ));
        }
        let url = url::normal(&format!("{scheme}://{authority}{path}")).map_err(PatternError)?;
        let host = match (url.host_str().unwrap_or_default().to_owned(), is_below) {
            (host, false) => Host::Exactly(host),
            (host, true) if is_wide(&host) => {
                return Err(wrong("`*.` needs a host name of at least two parts behind it: `*.example.com`"));
            }
            (host, true) => Host::Below(format!(".{host}")),
        };
        let path = url.path().to_owned();
        Ok(Pattern {
            methods,
            scheme: url.scheme().to_owned(),
            host,
            port: url.port_or_known_default().unwrap_or_default(),
            path: if is_open { Path::Below(path) } else { Path::Exactly(path) },
        })
    }

    /// Claims that every request which `other` matches is matched by this one too.
    pub fn covers(&self, other: &Pattern) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(others)) => others.iter().all(|method| own.contains(method)),
        };
        let host = match (&self.host, &other.host) {
            (Host::Exactly(own), Host::Exactly(other)) => own == other,
            (Host::Exactly(_), Host::Below(_)) => false,
            (Host::Below(own), Host::Exactly(other) | Host::Below(other)) => is_below(other, own),
        };
        let path = match (&self.path, &other.path) {
            (Path::Exactly(own), Path::Exactly(other)) => own == other,
            (Path::Exactly(_), Path::Below(_)) => false,
            (Path::Below(own), Path::Exactly(other) | Path::Below(other)) => other.starts_with(own.as_str()),
        };
        methods && self.scheme == other.scheme && self.port == other.port && host && path
    }

    /// Claims that a request is meant. The URL may be in any form.
    pub fn matches(&self, method: &str, url: &str) -> bool {
        match (Method::from_str(method), url::normal(url)) {
            (Ok(method), Ok(url)) => self.takes(&method, &url),
            _ => false,
        }
    }

    /// As [`Pattern::matches`], for a URL in its one form.
    pub(super) fn takes(&self, method: &Method, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        self.methods.as_ref().is_none_or(|methods| methods.contains(method))
            && self.scheme == url.scheme()
            && Some(self.port) == url.port_or_known_default()
            && match &self.host {
                Host::Exactly(own) => own == host,
                Host::Below(parent) => is_below(host, parent),
            }
            && match &self.path {
                Path::Exactly(own) => own == url.path(),
                Path::Below(own) => url.path().starts_with(own.as_str()),
            }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(methods) = &self.methods {
            let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
            write!(f, "{} ", names.join(","))?;
        }
        write!(f, "{}://", self.scheme)?;
        match &self.host {
            Host::Exactly(host) => f.write_str(host)?,
            Host::Below(parent) => write!(f, "*{parent}")?,
        }
        if !matches!((self.scheme.as_str(), self.port), ("https", 443) | ("http", 80)) {
            write!(f, ":{}", self.port)?;
        }
        match &self.path {
            Path::Exactly(path) => f.write_str(path),
            Path::Below(path) => write!(f, "{path}*"),
        }
    }
}

/// The methods that can be used at all.
pub(super) const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

fn parse_methods(text: &str) -> Result<Vec<Method>, PatternError> {
    let mut methods = Vec::new();
    for name in text.split(',') {
        let known = METHODS.into_iter().find(|method| method.as_str() == name);
        let method = known.ok_or_else(|| {
            PatternError(
                "methods stand before the URL with commas and without blanks: `GET,HEAD https://…`"
                    .to_owned(),
            )
        })?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

/// Claims that a host has so few parts that its subdomains belong to anybody, or is an address.
fn is_wide(host: &str) -> bool {
    !host.contains('.') || host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// Claims that `host` (or all of what is below it) is below `.parent`.
fn is_below(host: &str, parent: &str) -> bool {
    host == parent || (host.len() > parent.len() && host.ends_with(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn patterns_read_and_show() {
        for (text, shown) in [
            ("https://api.example.com/v2/*", "https://api.example.com/v2/*"),
            ("  GET,HEAD   HTTPS://API.example.com:443/* ", "GET,HEAD https://api.example.com/*"),
            ("POST,POST https://a.example/x", "POST https://a.example/x"),
            ("https://*.Example.com./v2/%7ea/*", "https://*.example.com/v2/~a/*"),
            ("http://10.0.0.5:8080/*", "http://10.0.0.5:8080/*"),
            ("https://[::1]/", "https://[::1]/"),
        ] {
            assert_eq!(pattern(text).to_string(), shown, "{text}");
            assert_eq!(pattern(shown), pattern(text));
        }
        for text in [
            "",
            "*",
            "api.example.com/*",
            "https://api.example.com",
            "https://*/",
            "https://*.com/*",
            "https://*.10.0.0.1/*",
            "https://a.*.example.com/*",
            "https://api.example.com/v2*",
            "https://api.example.com/*/orders",
            "https://api.example.com/v2/*?a=b",
            "https://api.example.com/#top",
            "https://user@api.example.com/*",
            "ftp://api.example.com/*",
            "get https://api.example.com/*",
            "GET, HEAD https://api.example.com/*",
            "CONNECT https://api.example.com/*",
            "https://api.example.com/v2/..%2f/*",
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_what_it_says_and_nothing_else() {
        for (text, method, url, expected) in [
            ("https://a.example/v2/*", "GET", "https://a.example/v2/orders?x=1", true),
            ("https://a.example/v2/*", "DELETE", "https://a.example/v2/", true),
            ("https://a.example/v2/*", "GET", "https://A.EXAMPLE.:443/v1/../v2/%6Frders", true),
            ("https://a.example/v2/*", "GET", "https://a.example/v2", false),
            ("https://a.example/v2/*", "GET", "https://a.example/v20/", false),
            ("https://a.example/v2/*", "GET", "https://a.example/v2/../admin", false),
            ("https://a.example/v2/*", "GET", "https://a.example/v2/%2e%2e/admin", false),
            ("https://a.example/v2/*", "GET", "https://a.example/v2/..%2fadmin", false),
            ("https://a.example/v2/*", "GET", "http://a.example/v2/", false),
            ("https://a.example/v2/*", "GET", "https://a.example:8443/v2/", false),
            ("https://a.example/v2/*", "GET", "https://b.a.example/v2/", false),
            ("https://a.example/v2/*", "GET", "https://a.example.evil.example/v2/", false),
            ("https://a.example/v2/*", "GET", "https://a.example@evil.example/v2/", false),
            ("https://a.example/v2/*", "GET", "https://a.example\\@evil.example/v2/", false),
            ("https://a.example/v2", "GET", "https://a.example/v2", true),
            ("https://a.example/v2", "GET", "https://a.example/v2/", false),
            ("GET,HEAD https://a.example/*", "HEAD", "https://a.example/", true),
            ("GET,HEAD https://a.example/*", "POST", "https://a.example/", false),
            ("GET,HEAD https://a.example/*", "get", "https://a.example/", false),
            ("https://*.a.example/*", "GET", "https://x.a.example/", true),
            ("https://*.a.example/*", "GET", "https://x.y.a.example/", true),
            ("https://*.a.example/*", "GET", "https://a.example/", false),
            ("https://*.a.example/*", "GET", "https://xa.example/", false),
            ("http://127.0.0.1/*", "GET", "http://2130706433/", true),
            ("https://bücher.example/*", "GET", "https://xn--bcher-kva.example/", true),
        ] {
            assert_eq!(pattern(text).matches(method, url), expected, "{text} and {method} {url}");
        }
    }

    #[test]
    fn a_grant_covers_an_ask_that_is_no_wider() {
        for (grant, ask, expected) in [
            ("https://a.example/*", "https://a.example/v2/*", true),
            ("https://a.example/*", "GET https://a.example/v2", true),
            ("https://a.example/v2/*", "https://a.example/*", false),
            ("https://a.example/v2", "https://a.example/v2/*", false),
            ("https://a.example/v2", "https://a.example/v2", true),
            ("GET https://a.example/*", "https://a.example/*", false),
            ("GET,POST https://a.example/*", "POST,GET https://a.example/*", true),
            ("https://*.a.example/*", "https://b.a.example/*", true),
            ("https://*.a.example/*", "https://*.b.a.example/*", true),
            ("https://*.a.example/*", "https://*.a.example/*", true),
            ("https://*.a.example/*", "https://a.example/*", false),
            ("https://b.a.example/*", "https://*.a.example/*", false),
            ("https://a.example/*", "http://a.example/*", false),
            ("https://a.example:8443/*", "https://a.example/*", false),
        ] {
            assert_eq!(pattern(grant).covers(&pattern(ask)), expected, "{grant} and {ask}");
        }
    }
}
