//! The one way out: every HTTP request that a tool or a plugin makes goes through here, and every notification.
//!
//! A request goes where a [`Pattern`] allows it and to public addresses only, unless the host is granted by
//! name. The address that was checked is the one that is connected: names are looked up once, by the
//! connection itself, through the check. Redirects are followed by hand, and each step is checked as the
//! first one was. Time, size, headers and redirects are bounded. Neither secrets nor
//! paths and queries, which may hold a caller's words, are in an error.

mod address;
mod pattern;
mod request;
mod resolve;
mod url;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Method, StatusCode, Url, redirect};

pub use address::refusal;
pub use pattern::{Pattern, PatternError};
pub use request::{Request, Response};
pub use resolve::{Resolve, Resolving, SystemResolver};

use request::Step;
use resolve::{Guarded, NothingPublic};

pub(crate) use url::normal_host;

/// How many idle connections to one host are kept.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Idle connections are kept this long, so that the next tool call need not wait for a handshake.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// The longest wait for one connection, name lookup and TLS included; the request's own time is often shorter.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How many headers an answer may have, and how long they may be together.
const RESPONSE_HEADERS_MAX: usize = 100;
const RESPONSE_HEADER_BYTES_MAX: usize = 64 << 10;

/// Where requests may go and how large their answers may be.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What may be reached.
    pub allow: Vec<Pattern>,
    /// Hosts, as URLs name them, that may be at addresses which are not public.
    pub private_hosts: Vec<String>,
    /// The longest body of an answer, in bytes.
    pub response_bytes_max: usize,
    /// How many redirects are followed; 0: an answer that redirects is the answer.
    pub redirects_max: u8,
}

/// A client with its rules and its connections; cloning gives another handle.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    rules: Rules,
    private_hosts: Arc<BTreeSet<String>>,
    resolve: Arc<dyn Resolve>,
    /// Set up at the first request: many plugins never make one.
    http: OnceLock<Result<reqwest::Client, String>>,
}

/// What of an answer is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All of it.
    Whole,
    /// Its status and headers.
    Status,
}

/// Why there is no answer. The words are for a person; they hold no secret, no path and no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No pattern allows it, or the address is not public.
    #[error("denied: {0}")]
    Denied(String),
    /// It cannot be sent as it is.
    #[error("invalid request: {0}")]
    InvalidRequest(String),
    /// The name does not resolve, or to nothing that may be reached.
    #[error("name lookup: {0}")]
    Dns(String),
    /// There is no connection.
    #[error("connection: {0}")]
    Connect(String),
    /// It took too long, the answer's body included.
    #[error("it took too long")]
    Timeout,
    /// The answer is too long.
    #[error("the answer has more than {bytes_max} bytes")]
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Client {
    /// A client that has sent nothing yet.
    pub fn new(rules: Rules, resolve: Arc<dyn Resolve>) -> Client {
        let private_hosts = rules.private_hosts.iter().filter_map(|host| normal_host(host)).collect();
        let inner = Inner { rules, private_hosts: Arc::new(private_hosts), resolve, http: OnceLock::new() };
        Client { inner: Arc::new(inner) }
    }

    /// Sends a request and reads the whole answer, all within `time`.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; an answer with any status is none.
    pub async fn fetch(&self, request: Request, time: Duration) -> Result<Response, FetchError> {
        let fetching = Box::pin(self.follow(request, Wanted::Whole));
        tokio::time::timeout(time, fetching).await.unwrap_or(Err(FetchError::Timeout))
    }

    /// The same for who wants to know the status: of the body what fits is read, and no more.
    ///
    /// # Errors
    ///
    /// As [`Client::fetch`]; a long answer is none.
    pub async fn fetch_status(&self, request: Request, time: Duration) -> Result<Response, FetchError> {
        let fetching = Box::pin(self.follow(request, Wanted::Status));
        tokio::time::timeout(time, fetching).await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn follow(&self, request: Request, wanted: Wanted) -> Result<Response, FetchError> {
        let redirects_max = self.inner.rules.redirects_max;
        let mut step = Step::first(request)?;
        for _ in 0..=redirects_max {
            self.permit(&step.method, &step.url)?;
            let response = self.send(&step).await?;
            if redirects_max == 0 || !is_redirect(response.status()) {
                return self.read(&step, response, wanted).await;
            }
            match step.redirected(&response)? {
                Some(next) => step = next,
                None => return self.read(&step, response, wanted).await,
            }
        }
        Err(FetchError::Other(format!("it is redirected more than {redirects_max} times")))
    }

    fn permit(&self, method: &Method, url: &Url) -> Result<(), FetchError> {
        if !self.inner.rules.allow.iter().any(|pattern| pattern.takes(method, url)) {
            // The path is left out: it may hold what a caller said.
            let origin = url.origin().ascii_serialization();
            return Err(FetchError::Denied(format!("nothing allows `{method}` of this path at `{origin}`")));
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        match literal.ok().and_then(refusal) {
            Some(words) if !self.inner.private_hosts.contains(host) => Err(FetchError::Denied(format!(
                "`{host}` is {words}: grant it by name in `private_hosts` if that is meant"
            ))),
            _ => Ok(()),
        }
    }

    async fn send(&self, step: &Step) -> Result<reqwest::Response, FetchError> {
        let http = self.inner.http.get_or_init(|| self.inner.set_up());
        let http = http.as_ref().map_err(|problem| FetchError::Other(problem.clone()))?;
        let mut builder = http.request(step.method.clone(), step.url.clone()).headers(step.headers.clone());
        if let Some(body) = &step.body {
            builder = builder.body(body.clone());
        }
        builder.send().await.map_err(|error| explain(error.without_url()))
    }

    async fn read(
        &self,
        step: &Step,
        mut response: reqwest::Response,
        wanted: Wanted,
    ) -> Result<Response, FetchError> {
        let bytes_max = self.inner.rules.response_bytes_max;
        let headers = request::readable(response.headers());
        let header_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if header_bytes > RESPONSE_HEADER_BYTES_MAX {
            return Err(FetchError::TooLarge { bytes_max: RESPONSE_HEADER_BYTES_MAX });
        }
        // Where the length is told and too long, nothing need be read. An answer to HEAD has no body.
        let told = response.content_length().unwrap_or(0);
        if wanted == Wanted::Whole && step.method != Method::HEAD && told > bytes_max as u64 {
            return Err(FetchError::TooLarge { bytes_max });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| explain(error.without_url()))? {
            if body.len() + chunk.len() > bytes_max {
                if wanted == Wanted::Status {
                    break;
                }
                return Err(FetchError::TooLarge { bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status: response.status().as_u16(), headers, body })
    }
}

impl Inner {
    fn set_up(&self) -> Result<reqwest::Client, String> {
        let guarded = Guarded { resolve: self.resolve.clone(), private_hosts: self.private_hosts.clone() };
        let tls = tls().as_ref().map_err(Clone::clone)?;
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .dns_resolver(Arc::new(guarded))
            // A proxy would look the name up itself, past the check.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            // One protocol with one set of bounds.
            .http1_only()
            .http1_max_headers(RESPONSE_HEADERS_MAX)
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(|error| format!("the HTTP client cannot be set up: {error}"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("rules", &self.inner.rules).finish_non_exhaustive()
    }
}

/// What is trusted, read once: it takes milliseconds, and each plugin has a client of its own.
fn tls() -> &'static Result<rustls::ClientConfig, String> {
    static TLS: OnceLock<Result<rustls::ClientConfig, String>> = OnceLock::new();
    TLS.get_or_init(|| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        // Without roots every certificate is refused, which is told where one is met.
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    })
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// What went wrong, by the causes inside an error.
fn explain(error: reqwest::Error) -> FetchError {
    let mut causes = Vec::new();
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(refused) = cause.downcast_ref::<NothingPublic>() {
            return FetchError::Dns(refused.to_string());
        }
        causes.push(cause.to_string());
        source = cause.source();
    }
    let words = causes.last().cloned().unwrap_or_else(|| error.to_string());
    if error.is_timeout() {
        FetchError::Timeout
    } else if error.is_dns() || causes.iter().any(|cause| cause.contains("dns error")) {
        FetchError::Dns(words)
    } else if error.is_connect() {
        FetchError::Connect(words)
    } else if error.is_builder() {
        FetchError::InvalidRequest(words)
    } else {
        FetchError::Other(words)
    }
}
