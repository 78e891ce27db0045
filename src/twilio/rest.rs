//! Twilio's REST API: recordings are fetched and deleted, live calls redirected.
//!
//! Every request goes to the host of `twilio.base_url` and to paths that are built here from ids; no address
//! that Twilio or anybody else tells is ever asked, and no redirect is followed, so that our credentials
//! cannot be led elsewhere. Answers are read within deadlines and bounds. Errors say what may help: waiting
//! ([`RestError::NotFound`], [`RestError::Busy`], [`RestError::Passing`]) or a person.
//!
//! Facts: Twilio, "Recordings resource", "Call resource", "API credentials", "Error and Warning Dictionary".

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use tokio::time::timeout;

use super::Settings;
use crate::clock::Timestamp;
use crate::ids::{CallSid, RecordingId};
use crate::phone::CallingCode;
use crate::routing::Target;
use crate::secret::Secret;
use crate::text::{chain, excerpt};
use crate::wire::twiml;

/// The version of the API; it stands in every path.
const VERSION: &str = "2010-04-01";
/// How much of an answer is read where it is not the sound itself.
const BODY_BYTES_MAX: usize = 64 << 10;
/// How much of the vendor's own text goes into ours.
const EXCERPT_CHARS_MAX: usize = 200;
/// The longest `Twiml` parameter, in characters (error 32018).
const TWIML_CHARS_MAX: usize = 4_000;
/// More than this is not waited for because the carrier says so.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// A TCP connection and its TLS.
    pub connect: Duration,
    /// The head of an answer, and a small answer whole.
    pub answer: Duration,
    /// The next piece of a recording.
    pub piece: Duration,
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        let seconds = Duration::from_secs;
        Deadlines { connect: seconds(5), answer: seconds(15), piece: seconds(30) }
    }
}

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// `base_url` does not name a place.
    #[error("`twilio.base_url` must be an address that begins with https:// or http://")]
    BaseUrl,
    /// There is nothing to show.
    #[error("`twilio.auth_tokens` is empty, and there is no `twilio.api_key`")]
    NoCredentials,
    /// The HTTP library refuses.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] reqwest::Error),
}

/// Why a request did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// 404: there is no such thing, or not yet.
    #[error("the carrier knows no such thing (yet)")]
    NotFound,
    /// 401 or 403: our credentials are not taken.
    #[error("the carrier refuses our credentials: {0}")]
    Denied(String),
    /// 429 or 503: later.
    #[error("the carrier is busy: {text}")]
    Busy {
        /// How long it wants us to wait, where it says so.
        after: Option<Duration>,
        /// What it said.
        text: String,
    },
    /// It will not do it, and asking again will not help.
    #[error("the carrier refuses: {text}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Twilio's code, such as 21220.
        code: Option<u32>,
        /// What it said.
        text: String,
    },
    /// It was not reached, did not answer in time, or failed inside.
    #[error("the carrier did not answer: {0}")]
    Passing(String),
    /// It was not asked, because it would refuse.
    #[error("{0}")]
    Unsendable(&'static str),
}

/// Speaks with Twilio's REST API. Clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    account_sid: String,
    user: String,
    secret: Secret,
    dial: super::Dial,
    deadlines: Deadlines,
}

/// A recording on its way to us.
#[derive(Debug)]
pub struct Media {
    response: Response,
    piece: Duration,
    /// How many bytes it will have, where that is told.
    pub length: Option<u64>,
    /// How many channels were asked for, and are therefore in it.
    pub channels: u8,
}

/// What the carrier knows of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `completed`, `processing`, `absent` …
    pub status: String,
    /// Whole seconds.
    pub duration_s: Option<u32>,
    /// One or two.
    pub channels: Option<u8>,
    /// Its first moment, in whole seconds.
    pub started: Option<Timestamp>,
}

impl Client {
    /// Sets up a client; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`SettingsError`].
    pub fn new(settings: &Settings, deadlines: Deadlines) -> Result<Client, SettingsError> {
        let base = Url::parse(&settings.base_url).map_err(|_| SettingsError::BaseUrl)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SettingsError::BaseUrl);
        }
        let by_token = || Some((settings.account_sid.clone(), settings.auth_tokens.first()?.clone()));
        let (user, secret) =
            settings.api_key.clone().or_else(by_token).ok_or(SettingsError::NoCredentials)?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(deadlines.connect)
            .tcp_nodelay(true);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let account_sid = settings.account_sid.clone();
        let dial = settings.dial.clone();
        Ok(Client { http: builder.build()?, base, account_sid, user, secret, dial, deadlines })
    }

    /// Fetches the sound of a recording as WAV: both channels apart, or mixed where it has only one.
    ///
    /// # Errors
    ///
    /// [`RestError`]; `NotFound` until the carrier has it ready.
    pub async fn recording_media(&self, id: &RecordingId) -> Result<Media, RestError> {
        match self.media(id, 2).await {
            // "400 if dual is not available": then there is one channel.
            Err(RestError::Refused { status: 400, .. }) => self.media(id, 1).await,
            other => other,
        }
    }

    /// What the carrier knows of a recording.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub async fn recording(&self, id: &RecordingId) -> Result<Metadata, RestError> {
        #[derive(Deserialize)]
        struct Body {
            status: String,
            duration: Option<String>,
            channels: Option<u8>,
            start_time: Option<String>,
        }
        let url = self.url(&["Recordings", &format!("{}.json", id.as_str())]);
        let response = self.send(self.request(Method::GET, url)).await?;
        let body = self.body(response).await?;
        let body: Body = serde_json::from_slice(&body)
            .map_err(|error| RestError::Passing(format!("its answer cannot be read: {error}")))?;
        Ok(Metadata {
            status: excerpt(&body.status, EXCERPT_CHARS_MAX),
            duration_s: body.duration.and_then(|seconds| seconds.parse().ok()),
            channels: body.channels,
            started: body.start_time.and_then(|text| moment(&text)),
        })
    }

    /// Deletes the carrier's copy of a recording. One that is gone already is as wanted.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub async fn delete_recording(&self, id: &RecordingId) -> Result<(), RestError> {
        let url = self.url(&["Recordings", &format!("{}.json", id.as_str())]);
        match self.send(self.request(Method::DELETE, url)).await {
            Ok(_) | Err(RestError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Has a live call carry out this TwiML from now on; what it did before ends.
    ///
    /// Never tried again by itself: the carrier may have heard it, and a second time would dial twice.
    ///
    /// # Errors
    ///
    /// [`RestError`]; `Refused` with code 21220 when the call is not in progress (any more).
    pub async fn redirect_call(&self, call: &CallSid, twiml: &str) -> Result<(), RestError> {
        if twiml.chars().count() > TWIML_CHARS_MAX {
            return Err(RestError::Unsendable("the document is longer than 4000 characters"));
        }
        self.update_call(call, &[("Twiml", twiml)]).await
    }

    /// The document that has a caller dialled on to somebody else; `action` is asked when that is over.
    ///
    /// # Errors
    ///
    /// Why nobody can be dialled there.
    pub fn forward(
        &self,
        target: &Target,
        country: CallingCode,
        action: String,
    ) -> Result<twiml::Response, String> {
        let verbs = super::forward(&self.dial, target, country, Some(action));
        verbs.map(twiml::Response::from).map_err(|error| error.to_string())
    }

    /// The status of a leg, in the carrier's words: `in-progress`, `completed` …
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub async fn call_status(&self, call: &CallSid) -> Result<String, RestError> {
        #[derive(Deserialize)]
        struct Body {
            status: String,
        }
        let url = self.url(&["Calls", &format!("{}.json", call.as_str())]);
        let response = self.send(self.request(Method::GET, url)).await?;
        let body = self.body(response).await?;
        let body: Body = serde_json::from_slice(&body)
            .map_err(|error| RestError::Passing(format!("its answer cannot be read: {error}")))?;
        Ok(excerpt(&body.status, EXCERPT_CHARS_MAX))
    }

    /// Ends a live call, or one leg of it; also one that rings.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub async fn hang_up(&self, call: &CallSid) -> Result<(), RestError> {
        self.update_call(call, &[("Status", "completed")]).await
    }

    /// Sets what a number does with calls: `fields` are those of the resource (Twilio, "IncomingPhoneNumber resource").
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub async fn set_number(&self, number: &str, fields: &[(&str, &str)]) -> Result<(), RestError> {
        self.update(self.url(&["IncomingPhoneNumbers", &format!("{number}.json")]), fields).await
    }

    async fn update_call(&self, call: &CallSid, fields: &[(&str, &str)]) -> Result<(), RestError> {
        self.update(self.url(&["Calls", &format!("{}.json", call.as_str())]), fields).await
    }

    async fn update(&self, url: Url, fields: &[(&str, &str)]) -> Result<(), RestError> {
        let request = self
            .request(Method::POST, url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(fields));
        let response = self.send(request).await?;
        self.body(response).await.map(drop)
    }

    async fn media(&self, id: &RecordingId, channels: u8) -> Result<Media, RestError> {
        let mut url = self.url(&["Recordings", &format!("{}.wav", id.as_str())]);
        url.set_query(Some(&format!("RequestedChannels={channels}")));
        let response = self.send(self.request(Method::GET, url)).await?;
        Ok(Media { length: response.content_length(), response, piece: self.deadlines.piece, channels })
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).basic_auth(&self.user, Some(self.secret.expose()))
    }

    /// Sends, and takes nothing but a success for one.
    async fn send(&self, request: RequestBuilder) -> Result<Response, RestError> {
        let sent = timeout(self.deadlines.answer, request.send()).await;
        let response = sent
            .map_err(|_| RestError::Passing(format!("nothing within {:?}", self.deadlines.answer)))?
            .map_err(|error| RestError::Passing(chain(&error.without_url())))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.body(response).await.unwrap_or_default();
        Err(refusal(status, &headers, &body))
    }

    /// A small answer, whole.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, RestError> {
        let reading = async {
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                let room = BODY_BYTES_MAX - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == BODY_BYTES_MAX {
                    break;
                }
            }
            Ok(body)
        };
        match timeout(self.deadlines.answer, reading).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(RestError::Passing(format!("no end within {:?}", self.deadlines.answer))),
        }
    }

    /// The address of a path below our account; its segments are percent-encoded.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([VERSION, "Accounts", &self.account_sid]).extend(path);
        }
        url
    }
}

impl Media {
    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// [`RestError`]: the rest does not come.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, RestError> {
        match timeout(self.piece, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece.map(|piece| piece.to_vec())),
            Ok(Err(error)) => Err(broken(error)),
            Err(_) => Err(RestError::Passing(format!("no more of it within {:?}", self.piece))),
        }
    }
}

/// `application/x-www-form-urlencoded`.
fn form(fields: &[(&str, &str)]) -> String {
    let encoded = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    encoded.collect::<Vec<_>>().join("&")
}

fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// What an answer that is no success means.
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> RestError {
    let (code, message) = error_of(body);
    let mut text = format!("status {}", status.as_u16());
    if let Some(code) = code {
        text.push_str(&format!(", code {code}"));
    }
    if let Some(message) = message {
        text.push_str(&format!(": {}", excerpt(&message, EXCERPT_CHARS_MAX)));
    }
    match status.as_u16() {
        404 => RestError::NotFound,
        401 | 403 => RestError::Denied(text),
        429 | 503 => RestError::Busy { after: retry_after(headers), text },
        500.. => RestError::Passing(text),
        300..=399 => {
            let text = format!("{text}: it wants to lead us elsewhere");
            RestError::Refused { status: status.as_u16(), code, text }
        }
        status => RestError::Refused { status, code, text },
    }
}

/// The code and the text of an error's body: Twilio's own envelope, RFC 9457, or plain text.
fn error_of(body: &[u8]) -> (Option<u32>, Option<String>) {
    #[derive(Deserialize)]
    struct Envelope {
        code: Option<u32>,
        message: Option<String>,
        detail: Option<String>,
        title: Option<String>,
    }
    match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => (envelope.code, envelope.message.or(envelope.detail).or(envelope.title)),
        Err(_) => {
            let text = String::from_utf8_lossy(body).into_owned();
            (None, Some(text).filter(|text| !text.trim().is_empty()))
        }
    }
}

/// `Retry-After` in seconds; a date is not understood, and our own pause is taken.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment = jiff::fmt::rfc2822::parse(text).ok()?;
    u64::try_from(moment.timestamp().as_second()).ok().map(Timestamp::from_secs)
}

fn broken(error: reqwest::Error) -> RestError {
    RestError::Passing(chain(&error.without_url()))
}

/// Claims that `url` names this machine, where no proxy should stand between.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(base_url: &str) -> Client {
        let settings = Settings {
            account_sid: "AC00000000000000000000000000000abc".to_owned(),
            auth_tokens: vec![Secret::new("token")],
            shared_keys: Vec::new(),
            require_shared_key: false,
            base_url: base_url.to_owned(),
            api_key: None,
            dial: super::super::Dial {
                timeout_s: 20,
                time_limit_s: 3_600,
                ring_tone: None,
                edge: None,
                secure_media: true,
                is_plain_taken: false,
            },
            apology: super::super::Say { text: "x".into(), language: "en-US".into(), voice: None },
        };
        Client::new(&settings, Deadlines::default()).unwrap()
    }

    #[test]
    fn an_id_never_leads_elsewhere() {
        let client = client("https://api.twilio.com");
        for id in ["../../x", "//evil.example/x", "RE1?x=y#z", "https://evil.example/", "\\\\evil"] {
            let url = client.url(&["Recordings", &format!("{id}.wav")]);
            assert_eq!(url.host_str(), Some("api.twilio.com"), "{id}");
            let account = "/2010-04-01/Accounts/AC00000000000000000000000000000abc/Recordings/";
            assert!(url.path().starts_with(account), "{url}");
            assert_eq!(url.path_segments().unwrap().count(), 5, "{url}");
            assert_eq!((url.query(), url.fragment()), (None, None), "{url}");
        }
    }

    #[test]
    fn both_envelopes_and_plain_text_are_read() {
        let read = |status: u16, body: &str| {
            refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
        };
        let legacy = r#"{"code":21220,"message":"Call is not in-progress","more_info":"x","status":400}"#;
        let RestError::Refused { status: 400, code: Some(21_220), text } = read(400, legacy) else {
            panic!()
        };
        assert_eq!(text, "status 400, code 21220: Call is not in-progress");
        let problem = r#"{"type":"x","title":"Bad","detail":"Twiml too long","code":32018}"#;
        assert!(read(400, problem).to_string().contains("32018: Twiml too long"));
        assert_eq!(read(404, "nope"), RestError::NotFound);
        assert!(matches!(read(401, ""), RestError::Denied(_)));
        assert!(matches!(read(502, "<html>\r\n"), RestError::Passing(_)));
        assert!(matches!(read(302, ""), RestError::Refused { status: 302, .. }));
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let busy = refusal(StatusCode::TOO_MANY_REQUESTS, &headers, b"");
        assert!(matches!(busy, RestError::Busy { after: Some(after), .. } if after.as_secs() == 7));
    }

    #[test]
    fn a_form_holds_any_text() {
        assert_eq!(
            form(&[("Twiml", "<a b=\"1\">&+ é</a>")]),
            "Twiml=%3Ca%20b%3D%221%22%3E%26%2B%20%C3%A9%3C%2Fa%3E"
        );
    }

    #[tokio::test]
    async fn a_document_that_is_too_long_is_not_sent() {
        let client = client("http://127.0.0.1:9");
        let sent = client.redirect_call(&"CA1".into(), &"x".repeat(4_001)).await;
        assert!(matches!(sent, Err(RestError::Unsendable(_))), "{sent:?}");
    }
}
