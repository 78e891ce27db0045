//! Deciding calls: accept, reject, refer and hang up over OpenAI's REST interface.
//!
//! Each request goes over one warm pool (HTTP/2 over TLS, kept-alive HTTP/1.1 without), within a
//! deadline, without redirects, and without reading more of an answer than a person would. What may be
//! tried again and what may not is decided here, see each method. Errors are text for a person: the
//! status, the provider's code and message, or what the connection did.
//!
//! Facts: OpenAI API reference, "Realtime calls", and guide "Realtime API with SIP".

use std::net::IpAddr;
use std::time::Duration;

use hyper::body::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Url, redirect};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{Deadlines, Settings, SettingsError, headers};
use crate::call::event::AcceptAnswer;
use crate::ids::ProviderCallId;
use crate::text::{chain, excerpt};

/// How often a reject or a hangup is tried again.
const RETRIES: u32 = 3;

/// How much of an answer's body is read; the rest goes unread, and its connection is given up.
const BODY_BYTES_MAX: usize = 16 << 10;

/// How long to wait for an answer's body when its head is there: the head decides.
const BODY_WAIT: Duration = Duration::from_secs(1);

/// How much of the vendor's own text goes into ours.
const EXCERPT_CHARS_MAX: usize = 300;

/// Idle connections are kept this long, so that the next caller need not wait for a handshake.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// Decides calls at OpenAI. Clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// The base of all paths, without a slash at the end.
    base: Url,
    deadlines: Deadlines,
}

impl Client {
    /// Sets up a client; nothing is sent yet.
    pub fn new(settings: &Settings, deadlines: Deadlines) -> Result<Client, SettingsError> {
        let base = Url::parse(&settings.base_url).map_err(|_| SettingsError::BaseUrl)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(SettingsError::BaseUrl);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers(settings)?)
            .redirect(redirect::Policy::none())
            .connect_timeout(deadlines.connect)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_MAX)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .http2_keep_alive_while_idle(true);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        Ok(Client { http: builder.build()?, base, deadlines })
    }

    /// Opens a connection and leaves it in the pool, so that the first caller need not wait for it.
    ///
    /// # Errors
    /// Why no connection stands. An answer of any kind is none: only the connection matters.
    pub async fn warm_up(&self) -> Result<(), String> {
        let request = self.http.head(self.url(&["models"]));
        match timeout(self.deadlines.control, request.send()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(chain(&error.without_url())),
            Err(_) => Err(too_late(self.deadlines.control)),
        }
    }

    /// Asks the provider to answer the call with the session `body`, JSON text.
    ///
    /// The caller hears it ring meanwhile, so there is one quick retry, and only where the provider was
    /// not reached or says itself that it was a passing failure (502, 503). The answer is `Unclear`
    /// where the provider may have taken the call although it did not say so. The time before this is
    /// called counts as the time the accept was sent.
    pub async fn accept(&self, call: &ProviderCallId, body: String) -> AcceptAnswer {
        let accepting = self.try_accept(self.call_url(call, "accept"), Bytes::from(body));
        match timeout(self.deadlines.accept, accepting).await {
            Ok(answer) => answer,
            Err(_) => AcceptAnswer::Unclear(too_late(self.deadlines.accept)),
        }
    }

    /// Asks the provider to turn the call away; the carrier is given `sip_code`.
    ///
    /// Tried again up to three times. A call that is over, or was decided before, needs no rejection.
    ///
    /// # Errors
    /// What the provider, or the connection, said last.
    pub async fn reject(&self, call: &ProviderCallId, sip_code: u16) -> Result<(), String> {
        let body = serde_json::json!({ "status_code": sip_code }).to_string();
        self.insist(self.call_url(call, "reject"), Some(body.into())).await
    }

    /// Asks the provider to end the call.
    ///
    /// Tried again up to three times. A call that is over already is as wanted.
    ///
    /// # Errors
    /// What the provider, or the connection, said last.
    pub async fn hangup(&self, call: &ProviderCallId) -> Result<(), String> {
        self.insist(self.call_url(call, "hangup"), None).await
    }

    /// Asks the provider to hand the call to `target`, a `tel:` or `sip:` URI.
    ///
    /// Success says that the request was passed on, not that somebody answered. It is tried again once
    /// where the provider was not reached, and never when it may have been: that would dial twice.
    ///
    /// # Errors
    /// What the provider, or the connection, said.
    pub async fn refer(&self, call: &ProviderCallId, target: &str) -> Result<(), String> {
        let url = self.call_url(call, "refer");
        let body = Bytes::from(serde_json::json!({ "target_uri": target }).to_string());
        let mut outcome = self.post_in_time(url.clone(), Some(body.clone())).await;
        if matches!(outcome, Outcome::NotSent(_)) {
            sleep(self.deadlines.retry_pause).await;
            outcome = self.post_in_time(url, Some(body)).await;
        }
        match outcome {
            Outcome::Answered(answer) if answer.status.is_success() => Ok(()),
            other => Err(other.into_text()),
        }
    }

    async fn try_accept(&self, url: Url, body: Bytes) -> AcceptAnswer {
        let first = self.post(url.clone(), Some(body.clone())).await;
        let is_passing = match &first {
            Outcome::NotSent(_) => true,
            Outcome::Broken(_) => false,
            Outcome::Answered(answer) => matches!(answer.status.as_u16(), 502 | 503),
        };
        if !is_passing {
            return accept_answer(first, false);
        }
        sleep(self.deadlines.retry_pause).await;
        let may_have_worked = first.may_have_worked();
        accept_answer(self.post(url, Some(body)).await, may_have_worked)
    }

    /// Posts until the provider has heard it: for requests that do no harm when they come twice.
    async fn insist(&self, url: Url, body: Option<Bytes>) -> Result<(), String> {
        let mut pause = self.deadlines.retry_pause;
        for _ in 0..RETRIES {
            let outcome = self.post_in_time(url.clone(), body.clone()).await;
            if !outcome.is_passing() {
                return outcome.settled();
            }
            sleep(pause).await;
            pause *= 2;
        }
        self.post_in_time(url, body).await.settled()
    }

    async fn post_in_time(&self, url: Url, body: Option<Bytes>) -> Outcome {
        match timeout(self.deadlines.control, self.post(url, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Broken(too_late(self.deadlines.control)),
        }
    }

    async fn post(&self, url: Url, body: Option<Bytes>) -> Outcome {
        let mut request = self.http.post(url);
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, json).body(body);
        }
        match request.send().await {
            Ok(response) => Outcome::Answered(Answer::read(response).await),
            Err(error) if error.is_connect() || error.is_builder() => {
                Outcome::NotSent(chain(&error.without_url()))
            }
            Err(error) => Outcome::Broken(chain(&error.without_url())),
        }
    }

    fn call_url(&self, call: &ProviderCallId, verb: &str) -> Url {
        self.url(&["realtime", "calls", call.as_str(), verb])
    }

    /// The address of a path below the base; its segments are percent-encoded.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

/// What came of one request.
#[derive(Debug)]
enum Outcome {
    /// An answer.
    Answered(Answer),
    /// No connection: the provider has not seen the request.
    NotSent(String),
    /// No answer: the provider may have seen the request.
    Broken(String),
}

impl Outcome {
    /// Claims that the provider may have done what was asked although it did not say so.
    fn may_have_worked(&self) -> bool {
        match self {
            Outcome::NotSent(_) => false,
            Outcome::Broken(_) => true,
            // Whoever speaks for the provider here has lost its answer.
            Outcome::Answered(answer) => matches!(answer.status.as_u16(), 502 | 504),
        }
    }

    /// Claims that another try may fare better.
    fn is_passing(&self) -> bool {
        match self {
            Outcome::NotSent(_) | Outcome::Broken(_) => true,
            Outcome::Answered(answer) => {
                answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    /// Whether the call is over, or will be, as was asked.
    fn settled(self) -> Result<(), String> {
        match self {
            Outcome::Answered(answer) if answer.status.is_success() => Ok(()),
            Outcome::Answered(answer) if matches!(answer.status.as_u16(), 404 | 409) => Ok(()),
            other => Err(other.into_text()),
        }
    }

    fn into_text(self) -> String {
        match self {
            Outcome::Answered(answer) => answer.text,
            Outcome::NotSent(text) | Outcome::Broken(text) => text,
        }
    }
}

/// What an accept's last outcome means, when an earlier try may have worked or not.
fn accept_answer(outcome: Outcome, earlier_may_have_worked: bool) -> AcceptAnswer {
    if let Outcome::Answered(answer) = &outcome {
        match answer.status.as_u16() {
            200..300 => return AcceptAnswer::Ok,
            404 => return AcceptAnswer::Gone,
            409 => return AcceptAnswer::AlreadyDecided,
            _ => {}
        }
    }
    if earlier_may_have_worked || outcome.may_have_worked() {
        return AcceptAnswer::Unclear(outcome.into_text());
    }
    AcceptAnswer::Refused(outcome.into_text())
}

/// An answer, read within bounds.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    /// What it says, for a person; empty for a success.
    text: String,
}

impl Answer {
    async fn read(response: Response) -> Answer {
        let status = response.status();
        if status.is_success() {
            // Only when it was read to its end is its connection used again.
            read_body(response).await;
            return Answer { status, text: String::new() };
        }
        let headers = response.headers().clone();
        let body = read_body(response).await;
        Answer { status, text: told(status, &headers, &body) }
    }
}

async fn read_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = BODY_BYTES_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == BODY_BYTES_MAX {
                break;
            }
        }
    };
    // What has come until then is enough: the body is for people.
    let _ = timeout(BODY_WAIT, reading).await;
    body
}

/// `status 429 rate_limit_exceeded: Slow down (retry-after 2, x-request-id req_1)`.
fn told(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let mut text = format!("status {}", status.as_u16());
    let (code, message) = error_of(body);
    for (mark, part) in [(" ", code), (": ", message)] {
        if let Some(part) = part {
            text.push_str(mark);
            text.push_str(&excerpt(&part, EXCERPT_CHARS_MAX));
        }
    }
    let notes: Vec<String> = ["retry-after-ms", "retry-after", "x-request-id"]
        .into_iter()
        .filter_map(|name| Some(format!("{name} {}", excerpt(headers.get(name)?.to_str().ok()?, 80))))
        .collect();
    if !notes.is_empty() {
        text.push_str(&format!(" ({})", notes.join(", ")));
    }
    text
}

/// The code and the message of an error's body, which may be the documented envelope, or plain text.
fn error_of(body: &[u8]) -> (Option<String>, Option<String>) {
    #[derive(Deserialize)]
    struct Envelope {
        error: ErrorBody,
    }
    #[derive(Deserialize)]
    struct ErrorBody {
        message: Option<String>,
        code: Option<String>,
        r#type: Option<String>,
    }
    if let Ok(Envelope { error }) = serde_json::from_slice(body) {
        return (error.code.or(error.r#type), error.message);
    }
    let text = String::from_utf8_lossy(body);
    (None, Some(text.into_owned()).filter(|text| !text.trim().is_empty()))
}

fn too_late(deadline: Duration) -> String {
    format!("no answer within {deadline:?}")
}

/// Claims that `url` names this machine, where no proxy should stand between.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
