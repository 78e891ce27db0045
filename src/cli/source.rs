//! Where commands read calls: the running gateway, which has its data directory to itself, or else the
//! store.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use clap::Args;
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::Failure;
use crate::call::record::{CallDetail, CallRecord};
use crate::clock::{SystemClock, Timestamp};
use crate::config::Config;
use crate::gateway::ADMIN_TOKEN_FILE;
use crate::http::{API, Page, Role, SignedIn, detail};
use crate::ids::CallId;
use crate::store::{By, CallQuery, OpenError, PAGE_MAX, Store};

/// A gateway that is asked over its admin API, wherever it runs.
#[derive(Clone, Debug, Args)]
pub(super) struct Remote {
    /// Ask the gateway at this address, such as `https://phones.example.com`, in place of the one of the configuration.
    #[arg(long, global = true, value_name = "URL", env = "SWITCHBOARD_REMOTE")]
    pub remote: Option<String>,
    /// The file that holds the token for it (`switchboard token new`).
    #[arg(long, global = true, value_name = "FILE", env = "SWITCHBOARD_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// Where calls are read.
pub(super) enum Source {
    Gateway {
        base: String,
        token: String,
        client: reqwest::Client,
        /// The token may see whole numbers.
        unmasked: bool,
    },
    Store(Store),
}

impl Source {
    /// The running gateway, or the store where none runs.
    pub async fn open(config: &Config) -> Result<Source, Failure> {
        let settings = config.store.clone();
        let opened =
            tokio::task::spawn_blocking(move || Store::open(&settings, Arc::new(SystemClock))).await?;
        match opened {
            Ok((store, _)) => Ok(Source::Store(store)),
            Err(OpenError::InUse { .. }) => Ok(Source::gateway(config)?),
            Err(error) => Err(Failure::Unavailable(error.into())),
        }
    }

    /// The running gateway, and nothing else.
    pub fn of_gateway(config: &Config) -> Result<Source, Failure> {
        Source::gateway(config).map_err(Failure::Unavailable)
    }

    /// A gateway elsewhere, with a token of its own; what it shows is what the token's role sees.
    pub async fn remote(remote: &Remote, url: &str) -> Result<Source, Failure> {
        let base = base_of(url)?;
        let path = remote.token_file.as_ref().ok_or_else(|| {
            anyhow!("give the file that holds your token with `--token-file`, or in SWITCHBOARD_TOKEN_FILE")
        })?;
        let token = std::fs::read_to_string(path);
        let token = token.with_context(|| format!("cannot read the token in {}", path.display()))?;
        let client = reqwest::Client::builder().build()?;
        let mut source = Source::Gateway { base, token: token.trim().to_owned(), client, unmasked: false };
        let who: SignedIn = source.ask(Method::GET, "/session", None).await?;
        if let Source::Gateway { unmasked, .. } = &mut source {
            *unmasked = who.role >= Role::Listener;
        }
        Ok(source)
    }

    /// Asks something of the running gateway, below `/api/v1`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, Failure> {
        let response = self.send(method, path, body, None).await?;
        match response.status() {
            status if status.is_success() => Ok(response.json().await?),
            _ => Err(refusal(response).await),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        header: Option<(&str, HeaderValue)>,
    ) -> Result<reqwest::Response, Failure> {
        let Source::Gateway { base, token, client, .. } = self else {
            return Err(Failure::Unavailable(anyhow!("no gateway runs here")));
        };
        let mut request = client.request(method, format!("{base}{path}")).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let response = request.send().await;
        response
            .with_context(|| format!("nobody answers at {base}: does `serve` run with this configuration?"))
            .map_err(Failure::Unavailable)
    }

    /// Asks the running gateway to do something; what it says with this status is given as an answer too.
    pub async fn ask_unless<T: DeserializeOwned>(
        &self,
        refused: StatusCode,
        method: Method,
        path: &str,
    ) -> Result<Result<T, String>, Failure> {
        let response = self.send(method, path, None, None).await?;
        match response.status() {
            status if status == refused => Ok(Err(words_of(response).await)),
            status if status.is_success() => Ok(Ok(response.json().await?)),
            _ => Err(refusal(response).await),
        }
    }

    /// The same gateway, of which numbers are asked for masked.
    pub fn masked(mut self) -> Source {
        if let Source::Gateway { unmasked, .. } = &mut self {
            *unmasked = false;
        }
        self
    }

    /// The running gateway's metrics, as text.
    pub async fn metrics(&self) -> Result<String, Failure> {
        let Source::Gateway { base, token, client, .. } = self else {
            return Err(Failure::Unavailable(anyhow!("no gateway runs here")));
        };
        let url = format!("{}/metrics", base.strip_suffix(API).unwrap_or(base));
        let response = client.get(url).bearer_auth(token).send().await?;
        match response.status() {
            status if status.is_success() => Ok(response.text().await?),
            _ => Err(refusal(response).await),
        }
    }

    /// The stream of what happens in calls, behind the event of this id; the answer may be a refusal.
    pub async fn watch(
        &self,
        call: Option<CallId>,
        seen: Option<&str>,
    ) -> Result<reqwest::Response, Failure> {
        let unmasked = matches!(self, Source::Gateway { unmasked: true, .. });
        let call = call.map(|call| format!("&call={call}")).unwrap_or_default();
        let seen = seen.map(|seen| HeaderValue::from_str(seen).map(|seen| ("last-event-id", seen)));
        self.send(Method::GET, &format!("/events?unmasked={unmasked}{call}"), None, seen.transpose()?).await
    }

    fn gateway(config: &Config) -> anyhow::Result<Source> {
        let path = config.store.path.join(ADMIN_TOKEN_FILE);
        let token = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read the running gateway's token in {}: does `serve` run with this configuration?",
                path.display()
            )
        })?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://{}{API}", config.admin.listen);
        Ok(Source::Gateway { base, token: token.trim().to_owned(), client, unmasked: true })
    }

    /// The newest calls, or those from or to a number.
    pub async fn calls(&self, number: Option<&str>, limit: u16) -> Result<Page, Failure> {
        self.page(number, None, limit).await
    }

    /// All calls from or to a number, newest first.
    pub async fn calls_of(&self, number: &str) -> Result<Vec<CallRecord>, Failure> {
        let mut calls = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.page(Some(number), after.as_deref(), PAGE_MAX).await?;
            calls.extend(page.calls);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(calls),
            }
        }
    }

    /// Everything that is kept of a call.
    pub async fn detail(&self, id: CallId) -> Result<Option<CallDetail>, Failure> {
        match self {
            Source::Store(store) => Ok(detail(store, id).await?),
            Source::Gateway { unmasked, .. } => self.get(&format!("/calls/{id}?unmasked={unmasked}")).await,
        }
    }

    /// All calls that began at this time or later, newest first.
    pub async fn since(&self, since: Timestamp) -> Result<Vec<CallRecord>, Failure> {
        let mut calls: Vec<CallRecord> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.page(None, after.as_deref(), PAGE_MAX).await?;
            let all = page.calls.len();
            let fresh = page
                .calls
                .into_iter()
                .take_while(|call| call.stages.began().is_none_or(|began| began >= since));
            let before = calls.len();
            calls.extend(fresh);
            match page.next {
                Some(next) if calls.len() - before == all => after = Some(next),
                _ => return Ok(calls),
            }
        }
    }

    async fn page(&self, number: Option<&str>, after: Option<&str>, limit: u16) -> Result<Page, Failure> {
        match self {
            Source::Store(store) => {
                let by = number.map_or(By::Time, |number| By::Number(number.to_owned()));
                let query = CallQuery { by, ..CallQuery::default() };
                let page = store.calls(query, after.map(str::parse).transpose()?, limit).await?;
                Ok(Page { calls: page.items, next: page.next.map(|cursor| cursor.to_string()) })
            }
            Source::Gateway { unmasked, .. } => {
                let number = number.map(|number| format!("&number={}", number.replace('+', "%2B")));
                let after = after.map(|after| format!("&after={after}"));
                let path = format!(
                    "/calls?unmasked={unmasked}&limit={limit}{}{}",
                    number.unwrap_or_default(),
                    after.unwrap_or_default()
                );
                self.get(&path).await?.ok_or_else(|| anyhow!("the gateway has no list of calls").into())
            }
        }
    }

    /// What the running gateway answers below `/api/v1`; none: there is no such thing.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        let Source::Gateway { base, token, client, .. } = self else { return Ok(None) };
        let response = client.get(format!("{base}{path}")).bearer_auth(token).send().await;
        let response = response
            .with_context(|| format!("the data directory is in use, but nobody answers at {base}"))
            .map_err(Failure::Unavailable)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response.json().await?)),
            _ => Err(refusal(response).await),
        }
    }
}

/// Where the API of a gateway begins. A token goes over the network only where nobody can read it there.
fn base_of(url: &str) -> anyhow::Result<String> {
    let parsed = Url::parse(url).with_context(|| format!("`{url}` is not a URL"))?;
    let is_here = match parsed.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    };
    if parsed.scheme() == "https" || (parsed.scheme() == "http" && is_here) {
        return Ok(format!("{}{API}", url.trim_end_matches('/')));
    }
    Err(anyhow!("`{url}` would have the token be read on its way: use https, or a tunnel to this machine"))
}

/// Why the gateway does not do what it was asked, in its own words.
pub(super) async fn refusal(response: reqwest::Response) -> Failure {
    let status = response.status();
    anyhow!("the gateway answered {status}: {}", words_of(response).await).into()
}

/// The words of a refusal; what is none of ours is given as it is.
pub(super) async fn words_of(response: reqwest::Response) -> String {
    let text = response.text().await.unwrap_or_default();
    let told: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let message = told.as_ref().and_then(|told| told["error"]["message"].as_str());
    message.unwrap_or(text.trim()).to_owned()
}
