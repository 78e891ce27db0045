//! A project's webhooks at OpenAI: where calls are told, and with that whether the key is taken; and a new one.
//!
//! Facts: OpenAI's SDK 3.54.0, `webhook_endpoints` (`GET /v1/webhook_endpoints?after&limit`,
//! `POST /v1/webhook_endpoints {name, url, event_types}`, answered with a `signing_secret` that is shown once).

use std::time::Duration;

use reqwest::header::DATE;
use reqwest::{Response, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Settings, SettingsError, headers};
use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::text::{chain, excerpt};

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest answer: a page of endpoints.
const BODY_BYTES_MAX: usize = 256 << 10;
/// So many pages are read, of twenty endpoints each: nobody has as many webhooks.
const PAGES_MAX: usize = 5;
/// How much of the vendor's own text goes into ours.
const EXCERPT_CHARS_MAX: usize = 200;

/// Where events of the project are sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Endpoint {
    #[serde(default)]
    id: String,
    /// The address.
    #[serde(default)]
    pub url: String,
    /// The events that are sent there.
    #[serde(default)]
    pub event_types: Vec<String>,
}

/// Why there is no list, or nothing new in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoList {
    /// No answer came.
    #[error("the provider does not answer: {0}")]
    Unreached(String),
    /// The answer was a refusal.
    #[error("the provider refuses ({status}): {words}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The vendor's words.
        words: String,
    },
    /// The answer was something else.
    #[error("the provider's answer cannot be read: {0}")]
    Unreadable(String),
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The provider's time, in whole seconds, as its answer says it.
    pub date: Option<Timestamp>,
    /// The endpoints.
    pub endpoints: Result<Vec<Endpoint>, NoList>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Endpoint>,
    #[serde(default)]
    has_more: bool,
}

/// Asks for the webhooks of the key's project.
///
/// # Errors
///
/// The settings cannot become a request.
pub async fn look_up(settings: &Settings) -> Result<Found, SettingsError> {
    let (client, base) = client(settings)?;
    let mut date = None;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut url = base.clone();
        if let Some(last) = endpoints.last() {
            url.query_pairs_mut().append_pair("after", &last.id);
        }
        let response = match client.get(url).send().await {
            Ok(response) => response,
            Err(error) => {
                let why = NoList::Unreached(chain(&error.without_url()));
                return Ok(Found { date, endpoints: Err(why) });
            }
        };
        date = date.or_else(|| date_of(&response));
        match answer::<Page>(response).await {
            Ok(page) => {
                let is_last = !page.has_more || page.data.is_empty();
                endpoints.extend(page.data);
                if is_last {
                    break;
                }
            }
            Err(why) => return Ok(Found { date, endpoints: Err(why) }),
        }
    }
    Ok(Found { date, endpoints: Ok(endpoints) })
}

/// Adds a webhook to the key's project, once; gives the secret that will sign what is sent there.
///
/// # Errors
///
/// The settings cannot become a request; inside, why there is no new webhook, or none of which the secret is known.
pub async fn add(
    settings: &Settings,
    name: &str,
    url: &str,
    event: &str,
) -> Result<Result<Secret, NoList>, SettingsError> {
    #[derive(Deserialize)]
    struct Added {
        signing_secret: String,
    }
    let (client, endpoints) = client(settings)?;
    let wanted = serde_json::json!({ "name": name, "url": url, "event_types": [event] });
    Ok(match client.post(endpoints).json(&wanted).send().await {
        Ok(response) => answer::<Added>(response).await.map(|added| Secret::new(added.signing_secret)),
        Err(error) => Err(NoList::Unreached(chain(&error.without_url()))),
    })
}

/// Who asks, and where.
fn client(settings: &Settings) -> Result<(reqwest::Client, Url), SettingsError> {
    let mut url = Url::parse(&settings.base_url).map_err(|_| SettingsError::BaseUrl)?;
    let mut builder = reqwest::Client::builder()
        .default_headers(headers(settings)?)
        .redirect(redirect::Policy::none())
        .timeout(ANSWER_WITHIN);
    if super::rest::is_loopback(&url) {
        builder = builder.no_proxy();
    }
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().push("webhook_endpoints");
    }
    Ok((builder.build()?, url))
}

async fn answer<T: DeserializeOwned>(mut response: Response) -> Result<T, NoList> {
    let status = response.status();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(NoList::Unreadable("the answer is too long".to_owned())),
            Ok(None) => break,
            Err(error) => return Err(NoList::Unreached(chain(&error.without_url()))),
        }
    }
    if !status.is_success() {
        let told: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let message = told.as_ref().and_then(|told| told["error"]["message"].as_str());
        let text = message.map_or_else(|| String::from_utf8_lossy(&body).into_owned(), str::to_owned);
        return Err(NoList::Refused { status: status.as_u16(), words: excerpt(&text, EXCERPT_CHARS_MAX) });
    }
    serde_json::from_slice(&body).map_err(|error| NoList::Unreadable(error.to_string()))
}

/// The time in the head of an answer (RFC 9110, `Date`).
fn date_of(response: &Response) -> Option<Timestamp> {
    let text = response.headers().get(DATE)?.to_str().ok()?;
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    u64::try_from(moment.as_second()).ok().map(Timestamp::from_secs)
}
