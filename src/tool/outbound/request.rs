//! One request, as it is written and as it is sent, and what a redirect makes of it.

use std::fmt;
use std::str::FromStr as _;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use reqwest::{Method, Url};

use super::pattern::METHODS;
use super::{FetchError, url};
use crate::secret::Secret;

/// How many headers a request may have, and how long they may be together.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 32 << 10;
/// The longest body of a request: a tool sends what a model said, not files.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Headers that belong to the connection, not to whoever writes a request.
const OURS: [&str; 12] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// The only headers that go along to another origin: none of them can be a credential.
const HARMLESS: [&str; 4] = ["accept", "accept-language", "content-type", "user-agent"];

/// A request as a tool or a plugin writes it.
#[derive(Clone)]
pub struct Request {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Headers, in order.
    pub headers: Vec<(String, String)>,
    /// Headers whose values are secrets; they do not go along to another origin.
    pub secret_headers: Vec<(String, Secret)>,
    /// The body.
    pub body: Option<Vec<u8>>,
}

/// Shows neither values nor the query: any of them may hold what is not for a log.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url.split(['?', '#']).next().unwrap_or_default())
            .field("headers", &names)
            .field("secret_headers", &self.secret_headers)
            .field("body_bytes", &self.body.as_ref().map(Vec::len))
            .finish()
    }
}

/// An answer, whatever its status.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, in order; bytes that are no text are replaced.
    pub headers: Vec<(String, String)>,
    /// The body as it came: nothing is unpacked.
    pub body: Vec<u8>,
}

/// Shows neither headers nor body: both come from outside.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

impl Response {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A request as it is sent: the first one, or what a redirect made of it.
pub(super) struct Step {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
}

impl Step {
    /// # Errors
    ///
    /// [`FetchError::InvalidRequest`] for what cannot or may not be sent.
    pub(super) fn first(request: Request) -> Result<Step, FetchError> {
        let invalid = |words: String| FetchError::InvalidRequest(words);
        let method = Method::from_str(&request.method).ok().filter(|method| METHODS.contains(method));
        let method = method.ok_or_else(|| invalid("its method is none that can be used".to_owned()))?;
        let url = url::normal(&request.url).map_err(invalid)?;
        if request.body.as_ref().is_some_and(|body| body.len() > BODY_BYTES_MAX) {
            return Err(invalid(format!("its body has more than {} KiB", BODY_BYTES_MAX >> 10)));
        }
        let headers = headers(&request).map_err(invalid)?;
        Ok(Step { method, url, headers, body: request.body })
    }

    /// The request that a redirect asks for; none where it does not say where to.
    ///
    /// # Errors
    ///
    /// [`FetchError::Denied`] for a place that no request could name.
    pub(super) fn redirected(&self, response: &reqwest::Response) -> Result<Option<Step>, FetchError> {
        let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
        let denied = |words: &str| FetchError::Denied(format!("it is redirected to an odd place: {words}"));
        let location = location.to_str().map_err(|_| denied("not a URL"))?;
        let mut target = self.url.join(location).map_err(|_| denied("not a URL"))?;
        target.set_fragment(None);
        let url = url::normal_form(target).map_err(|words| denied(&words))?;
        let becomes_get = match response.status().as_u16() {
            303 => self.method != Method::HEAD,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        let mut headers = self.headers.clone();
        if becomes_get {
            headers.remove(CONTENT_TYPE);
        }
        if url.origin() != self.url.origin() {
            headers = headers
                .into_iter()
                .filter_map(|(name, value)| {
                    name.filter(|name| HARMLESS.contains(&name.as_str())).map(|name| (name, value))
                })
                .collect();
        }
        let method = if becomes_get { Method::GET } else { self.method.clone() };
        let body = self.body.clone().filter(|_| !becomes_get);
        Ok(Some(Step { method, url, headers, body }))
    }
}

fn headers(request: &Request) -> Result<HeaderMap, String> {
    let plain = request.headers.iter().map(|(name, value)| (name, value.as_str(), false));
    let secret = request.secret_headers.iter().map(|(name, value)| (name, value.expose(), true));
    let mut headers = HeaderMap::new();
    let mut bytes = 0;
    for (name, value, is_secret) in plain.chain(secret) {
        bytes += name.len() + value.len();
        if headers.len() >= HEADERS_MAX || bytes > HEADER_BYTES_MAX {
            return Err(format!(
                "it has more than {HEADERS_MAX} headers or {} KiB of them",
                HEADER_BYTES_MAX >> 10
            ));
        }
        let known = HeaderName::from_str(name).map_err(|_| "a header's name is none".to_owned())?;
        if OURS.contains(&known.as_str()) || known.as_str().starts_with("http2-") {
            return Err(format!("the header `{known}` is set by the connection itself"));
        }
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("the header `{known}` has a value with line ends or control characters"))?;
        value.set_sensitive(is_secret);
        headers.append(known, value);
    }
    let own = HeaderValue::from_static(concat!("switchboard/", env!("CARGO_PKG_VERSION")));
    headers.entry(USER_AGENT).or_insert(own);
    Ok(headers)
}

/// The headers of an answer as text.
pub(super) fn readable(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        Request {
            method: "GET".to_owned(),
            url: "https://api.example.com/v2/a?key=private".to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            secret_headers: vec![("Authorization".to_owned(), Secret::new("Bearer private"))],
            body: None,
        }
    }

    fn refused(request: Request) -> String {
        match Step::first(request) {
            Err(FetchError::InvalidRequest(words)) => words,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was taken"),
        }
    }

    #[test]
    fn headers_of_the_connection_are_refused() {
        for name in [
            "Host",
            "content-length",
            "Connection",
            "TE",
            "Transfer-Encoding",
            "Proxy-Authorization",
            "http2-settings",
        ] {
            assert!(refused(request(&[(name, "x")])).contains("connection"), "{name}");
        }
        for (name, value) in
            [("X y", "a"), ("", "a"), ("X:", "a"), ("X\r\nY", "a"), ("X", "a\r\nY: b"), ("X", "a\0")]
        {
            refused(request(&[(name, value)]));
        }
        let many: Vec<(&str, &str)> = vec![("X", "y"); 65];
        refused(request(&many));
        let long = "y".repeat(HEADER_BYTES_MAX);
        refused(request(&[("X", &long)]));
    }

    #[test]
    fn methods_and_bodies_have_bounds() {
        for method in ["get", "CONNECT", "TRACE", "", "GET /x"] {
            refused(Request { method: method.to_owned(), ..request(&[]) });
        }
        refused(Request { body: Some(vec![0; BODY_BYTES_MAX + 1]), ..request(&[]) });
    }

    #[test]
    fn nothing_secret_is_shown() {
        let secret =
            Request { secret_headers: vec![("X-Key".to_owned(), Secret::new("pri\nvate"))], ..request(&[]) };
        assert!(!refused(secret.clone()).contains("vate"));
        let shown = format!("{:?} {secret:?}", request(&[("X-Other-Key", "private")]));
        assert!(!shown.contains("private") && !shown.contains("vate\""), "{shown}");
    }
}
