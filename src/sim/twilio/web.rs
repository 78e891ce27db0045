//! Twilio as an HTTP client: forms, signatures, idempotency tokens, retries
//! ("Webhooks: Connection overrides" for the defaults).
//!
//! It connects to one gateway only: a URL outside of it is an error, never a request to a stranger.

use std::fmt::Write;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HOST, USER_AGENT};

use super::faults::Signing;
use super::form::{Fields, encoded};
use super::sign::{signature, without_fragment};
use crate::clock::Entropy;
use crate::secret::Secret;
use crate::sim::twiml::Method;

/// TCP connect, and the hard cap of a whole exchange.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15);
/// Tries after the first, made only when no connection came about.
const RETRIES: u32 = 1;
/// More of an answer is not read; larger than any document that would be accepted.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What the gateway answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The carrier's HTTP client.
pub(super) struct Web {
    client: reqwest::Client,
    /// Where to connect.
    gateway_url: String,
    /// What stands in the URLs that are signed.
    public_url: String,
    auth_token: Secret,
}

/// One request to send.
pub(super) struct Outgoing<'a> {
    pub method: Method,
    /// Absolute, with the public address; perhaps with a fragment.
    pub url: &'a str,
    pub fields: &'a Fields,
    pub signing: Signing,
    pub idempotency_token: &'a str,
}

impl Web {
    pub fn new(gateway_url: &str, public_url: &str, auth_token: Secret) -> Result<Web, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(EXCHANGE_TIMEOUT)
            .tcp_nodelay(true)
            .build()?;
        let base = |url: &str| url.trim_end_matches('/').to_owned();
        Ok(Web { client, gateway_url: base(gateway_url), public_url: base(public_url), auth_token })
    }

    /// The public URL of a path of the gateway.
    pub fn public(&self, path: &str) -> String {
        format!("{}{path}", self.public_url)
    }

    /// `url` as it stands in TwiML, made absolute against the URL its document came from.
    pub fn absolute(&self, base: &str, url: &str) -> String {
        if url.starts_with("http://") || url.starts_with("https://") {
            return url.to_owned();
        }
        if url.starts_with('/') {
            return self.public(url);
        }
        let directory = base.split(['?', '#']).next().and_then(|path| path.rsplit_once('/'));
        directory.map_or_else(|| self.public("/"), |(directory, _)| format!("{directory}/{url}"))
    }

    /// Sends one request, again where Twilio would. Gives the number of tries and the answer, or why
    /// there was none.
    pub async fn send(&self, outgoing: &Outgoing<'_>) -> (u32, Result<Answer, String>) {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let request = match self.request(outgoing) {
                Ok(request) => request,
                Err(problem) => return (attempts, Err(problem)),
            };
            match exchange(request).await {
                Ok(answer) => return (attempts, Ok(answer)),
                Err(error) if error.is_connect() && attempts <= RETRIES => {}
                Err(error) => return (attempts, Err(describe(&error))),
            }
        }
    }

    fn request(&self, outgoing: &Outgoing<'_>) -> Result<reqwest::RequestBuilder, String> {
        let form = encoded(outgoing.fields);
        let url = without_fragment(outgoing.url);
        let (url, signed_fields, body) = match outgoing.method {
            Method::Post => (url.to_owned(), outgoing.fields.as_slice(), Some(form)),
            Method::Get if form.is_empty() => (url.to_owned(), [].as_slice(), None),
            Method::Get => {
                let joint = if url.contains('?') { '&' } else { '?' };
                (format!("{url}{joint}{form}"), [].as_slice(), None)
            }
        };
        let mut request = match body {
            Some(body) => self
                .client
                .post(self.address(&url)?)
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
                .body(body),
            None => self.client.get(self.address(&url)?),
        };
        if let Some(token) = self.signing_token(outgoing.signing) {
            request = request.header("X-Twilio-Signature", signature(token, &url, signed_fields));
        }
        Ok(request
            .header(HOST, authority(&url))
            .header(USER_AGENT, "TwilioProxy/1.1")
            .header("I-Twilio-Idempotency-Token", outgoing.idempotency_token))
    }

    fn signing_token(&self, signing: Signing) -> Option<&str> {
        match signing {
            Signing::Right => Some(self.auth_token.expose()),
            Signing::WrongToken => Some("0000000000000000000000000000dead"),
            Signing::Missing => None,
        }
    }

    /// Where to connect for the public URL of a socket, which must be `wss` and have no query.
    pub fn socket_address(&self, url: &str) -> Result<String, String> {
        let rest = match url.strip_prefix("wss://") {
            Some(rest) if !url.contains(['?', '#']) => rest,
            _ => return Err(format!("`{}` is not a `wss` URL without a query", path(url))),
        };
        let address = self.address(&format!("https://{rest}"))?;
        Ok(address.replacen("http", "ws", 1))
    }

    /// Claims that the gateway takes connections.
    pub async fn is_listening(&self) -> bool {
        let address = self.gateway_url.trim_start_matches("http://");
        tokio::net::TcpStream::connect(address).await.is_ok()
    }

    /// Where to connect for a public URL.
    fn address(&self, url: &str) -> Result<String, String> {
        for base in [&self.public_url, &self.gateway_url] {
            if let Some(rest) = url.strip_prefix(base.as_str())
                && (rest.is_empty() || rest.starts_with(['/', '?']))
            {
                return Ok(format!("{}{rest}", self.gateway_url));
            }
        }
        Err(format!("`{}` is not an address of the gateway ({})", authority(url), self.public_url))
    }
}

/// A token that is the same on every try of one request.
pub(super) fn idempotency_token(entropy: &Entropy) -> String {
    uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid().to_string()
}

/// `prefix` and 32 random hexadecimal digits, the form of Twilio's ids.
pub(super) fn sid(prefix: &str, entropy: &Entropy) -> String {
    entropy.bytes::<16>().iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The path of a URL, for the log: queries may carry tokens.
pub(super) fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(Answer { status, content_type, body })
}

fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", EXCHANGE_TIMEOUT.as_secs());
    }
    if error.is_connect() {
        return "could not connect".to_owned();
    }
    "the connection broke".to_owned()
}

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Web {
        Web::new("http://127.0.0.1:8080/", "https://gw.example.jp", Secret::new("token")).unwrap()
    }

    #[test]
    fn only_the_gateway_is_asked() {
        let web = web();
        let address = |url| web.address(url);
        assert_eq!(address("https://gw.example.jp/a?b=c").unwrap(), "http://127.0.0.1:8080/a?b=c");
        assert_eq!(address("http://127.0.0.1:8080/a").unwrap(), "http://127.0.0.1:8080/a");
        for stranger in ["https://gw.example.jp.evil.test/a", "https://evil.test/", "http://127.0.0.1:80801/"]
        {
            assert!(address(stranger).is_err(), "{stranger}");
        }
    }

    #[test]
    fn relative_urls_are_resolved_like_links() {
        let web = web();
        let base = "https://gw.example.jp/twilio/voice?c=1";
        assert_eq!(web.absolute(base, "/twilio/leg?x"), "https://gw.example.jp/twilio/leg?x");
        assert_eq!(web.absolute(base, "leg"), "https://gw.example.jp/twilio/leg");
        assert_eq!(web.absolute(base, "https://gw.example.jp/x"), "https://gw.example.jp/x");
    }

    #[test]
    fn the_log_shows_no_query() {
        assert_eq!(path("https://gw.example.jp/twilio/leg?c=secret#rc=1"), "/twilio/leg");
        assert_eq!(path("https://gw.example.jp?x"), "/");
    }
}
