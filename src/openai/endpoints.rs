//! What OpenAI says of a project's webhooks: whether the key is taken, and where calls are told. Only reads.
//!
//! Facts: OpenAI's SDK 3.54.0, `webhook_endpoints` (`GET /v1/webhook_endpoints?after&limit`).

use std::time::Duration;

use reqwest::header::DATE;
use reqwest::{Response, Url, redirect};
use serde::Deserialize;

use super::{Settings, SettingsError, headers};
use crate::clock::Timestamp;
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

/// Why there is no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoList {
    /// No answer came.
    Unreached(String),
    /// The answer was a refusal.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The vendor's words.
        words: String,
    },
    /// The answer was something else.
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
    let base = Url::parse(&settings.base_url).map_err(|_| SettingsError::BaseUrl)?;
    let mut builder = reqwest::Client::builder()
        .default_headers(headers(settings)?)
        .redirect(redirect::Policy::none())
        .timeout(ANSWER_WITHIN);
    if super::rest::is_loopback(&base) {
        builder = builder.no_proxy();
    }
    let client = builder.build()?;
    let mut date = None;
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut url = base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("webhook_endpoints");
        }
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
        match page(response).await {
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

async fn page(mut response: Response) -> Result<Page, NoList> {
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
