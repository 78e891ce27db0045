//! OpenAI's REST: accept, reject, refer, hang up (OpenAI, "Realtime API with SIP", "Calls API").
//!
//! A caller is waiting while these run, so each has a deadline of its own and the connections are kept
//! warm. What may be repeated is repeated a few times; an accept whose answer was lost is not, because
//! only the sideband can tell whether it worked; a refer never is.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Client, Deadlines, Settings};
use crate::call::event::AcceptAnswer;
use crate::ids::ProviderCallId;

/// How much of an error's body is read; what is behind it is not an explanation.
const ERROR_BYTES_MAX: usize = 16 << 10;
/// How much of an explanation is kept.
const ERROR_CHARS_MAX: usize = 300;
/// Tries of what may be repeated.
const TRIES: u32 = 3;
/// Before the one repetition of an accept.
const QUICK_RETRY: Duration = Duration::from_millis(150);
/// Before a repetition of a reject or hang-up, doubled each time.
const RETRY: Duration = Duration::from_millis(250);

/// How a request failed.
enum Failure {
    /// It never left: the connection could not be made.
    NotSent(String),
    /// It may have arrived: no answer came.
    Unclear(String),
}

pub(super) fn http_client(
    settings: &Settings,
    deadlines: &Deadlines,
) -> Result<reqwest::Client, super::ClientError> {
    let mut headers = HeaderMap::new();
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", settings.api_key.expose()))
        .map_err(|_| super::ClientError::BadKey)?;
    bearer.set_sensitive(true);
    headers.insert(AUTHORIZATION, bearer);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(organization) = &settings.organization {
        let value = HeaderValue::from_str(organization).map_err(|_| super::ClientError::BadOrganization)?;
        headers.insert("OpenAI-Organization", value);
    }
    reqwest::Client::builder()
        .default_headers(headers)
        .connect_timeout(deadlines.connect)
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(Duration::from_secs(300))
        .tcp_nodelay(true)
        .no_proxy()
        .build()
        .map_err(super::ClientError::Http)
}

impl Client {
    /// Opens a connection before the first caller needs it. That it fails is no failure yet.
    pub async fn warm_up(&self) {
        let request =
            self.http.get(format!("{}/models", self.settings.base_url)).timeout(self.deadlines.connect);
        if let Err(error) = request.send().await {
            tracing::warn!(error = %error.without_url(), "the provider cannot be reached at the moment");
        }
    }

    /// Asks the provider to answer the call with this session (`POST …/accept`).
    pub async fn accept(&self, call: &ProviderCallId, body: String) -> AcceptAnswer {
        let answer = tokio::time::timeout(self.deadlines.accept, self.accept_once_more(call, body)).await;
        answer.unwrap_or_else(|_| AcceptAnswer::Unclear("no answer in time".to_owned()))
    }

    async fn accept_once_more(&self, call: &ProviderCallId, body: String) -> AcceptAnswer {
        let url = self.url(call, "accept");
        let first = self.post(&url, Some(body.clone())).await;
        let may_retry = match &first {
            Err(Failure::NotSent(_)) => true,
            Ok(response) => {
                matches!(response.status(), StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE)
            }
            Err(Failure::Unclear(_)) => false,
        };
        let answer = if may_retry {
            tokio::time::sleep(QUICK_RETRY).await;
            self.post(&url, Some(body)).await
        } else {
            first
        };
        match answer {
            Ok(response) => accept_answer(response).await,
            Err(Failure::NotSent(why)) => AcceptAnswer::Refused(why),
            Err(Failure::Unclear(why)) => AcceptAnswer::Unclear(why),
        }
    }

    /// Asks the provider to turn the call away with a SIP code (`POST …/reject`). A call that is gone or
    /// decided needs no more.
    pub async fn reject(&self, call: &ProviderCallId, sip_code: u16) {
        let body = json!({ "status_code": sip_code }).to_string();
        self.until_done(call, "reject", Some(body)).await;
    }

    /// Asks the provider to end the call (`POST …/hangup`). A call that is gone needs no more.
    pub async fn hangup(&self, call: &ProviderCallId) {
        self.until_done(call, "hangup", None).await;
    }

    /// Asks the provider to hand the caller to somebody else (`POST …/refer`). Never repeated.
    ///
    /// # Errors
    ///
    /// Why it did not work, for a person.
    pub async fn refer(&self, call: &ProviderCallId, target: &str) -> Result<(), String> {
        let body = json!({ "target_uri": target }).to_string();
        let url = self.url(call, "refer");
        let request = self.post(&url, Some(body));
        match tokio::time::timeout(self.deadlines.request, request).await {
            Ok(Ok(response)) if response.status().is_success() => Ok(()),
            Ok(Ok(response)) => Err(explain(response).await),
            Ok(Err(Failure::NotSent(why) | Failure::Unclear(why))) => Err(why),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn until_done(&self, call: &ProviderCallId, verb: &'static str, body: Option<String>) {
        let url = self.url(call, verb);
        for attempt in 0..TRIES {
            tokio::time::sleep(if attempt == 0 { Duration::ZERO } else { RETRY * 2u32.pow(attempt - 1) })
                .await;
            let request = self.post(&url, body.clone());
            match tokio::time::timeout(self.deadlines.request, request).await {
                Ok(Ok(response)) if !response.status().is_server_error() => {
                    let status = response.status();
                    let is_done = status.is_success() || matches!(status.as_u16(), 404 | 409);
                    if !is_done {
                        let why = explain(response).await;
                        tracing::warn!(%call, verb, why, "the provider refused");
                    }
                    return;
                }
                _ => {}
            }
        }
        tracing::warn!(%call, verb, "the provider did not answer");
    }

    async fn post(&self, url: &str, body: Option<String>) -> Result<Response, Failure> {
        let mut request = self.http.post(url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        request.send().await.map_err(|error| {
            let is_unsent = error.is_connect() || error.is_builder();
            let why = error.without_url().to_string();
            if is_unsent { Failure::NotSent(why) } else { Failure::Unclear(why) }
        })
    }

    fn url(&self, call: &ProviderCallId, verb: &str) -> String {
        let mut url = format!("{}/realtime/calls/", self.settings.base_url);
        crate::phone::percent::encode_into(&mut url, call.as_str());
        url.push('/');
        url.push_str(verb);
        url
    }
}

async fn accept_answer(response: Response) -> AcceptAnswer {
    match response.status() {
        status if status.is_success() => AcceptAnswer::Ok,
        StatusCode::NOT_FOUND => AcceptAnswer::Gone,
        StatusCode::CONFLICT => AcceptAnswer::AlreadyDecided,
        StatusCode::TOO_MANY_REQUESTS => {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.map(|after| format!(" (retry after {after} s)")).unwrap_or_default();
            AcceptAnswer::Refused(explain(response).await + &after)
        }
        _ => AcceptAnswer::Refused(explain(response).await),
    }
}

/// An error of the provider in one line. Bodies may be JSON, text, or nothing.
async fn explain(mut response: Response) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        message: Option<String>,
        code: Option<String>,
    }
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ERROR_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() == ERROR_BYTES_MAX {
            break;
        }
    }
    let words = match serde_json::from_slice::<Envelope>(&bytes) {
        Ok(Envelope { error }) => {
            [error.code, error.message].into_iter().flatten().collect::<Vec<_>>().join(": ")
        }
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let words: String = words.chars().filter(|c| !c.is_control()).take(ERROR_CHARS_MAX).collect();
    if words.is_empty() { format!("status {status}") } else { format!("status {status}: {words}") }
}
