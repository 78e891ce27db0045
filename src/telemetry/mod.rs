//! Traces of calls that are over, told to an OpenTelemetry collector: OTLP over HTTP, in protobuf.
//!
//! A call never waits: its trace is put into a bounded queue, out of which one task sends batches. While the collector is away
//! traces wait there; those for which there is no place are dropped and counted. At a stop what is left is sent, if that takes
//! no longer than a few seconds.
//!
//! Facts: OpenTelemetry, "OTLP Specification" 1.9 (paths, statuses that may be tried again, partial success).

pub mod names;
pub mod trace;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, redirect};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::call::record::CallDetail;
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::text::chain;

/// How many calls' traces wait while the collector is away: some minutes of a busy gateway, some tens of megabytes at the most.
pub const QUEUE_MAX: usize = 512;
/// How many are sent in one request.
const BATCH_MAX: usize = 32;
/// How long one request may take (OpenTelemetry, "OTLP Exporter Configuration": 10 s).
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long after a failure the same batch is tried again, at first and at the most; it doubles in between.
const RETRY_AFTER_LEAST: Duration = Duration::from_secs(1);
const RETRY_AFTER_MOST: Duration = Duration::from_secs(30);
/// How long a gateway that stops waits for the last traces.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The path of traces below an endpoint.
const TRACES: &str = "/v1/traces";
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
/// Who tells.
const SERVICE: &str = env!("CARGO_PKG_NAME");

/// `[telemetry.otlp]`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the collector takes traces.
    pub url: String,
    /// What is sent along: credentials, mostly.
    pub headers: Vec<(String, Secret)>,
    /// Which share of the calls is told of, 0 to 1.
    pub sample: f64,
    /// Whether words are told too.
    pub content: bool,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A header that HTTP does not have.
    #[error("`telemetry.otlp.headers.{0}` is not a header")]
    Header(String),
    /// The HTTP library refuses.
    #[error("the HTTP client for traces cannot be set up")]
    Http(#[from] reqwest::Error),
}

/// The address for traces at an endpoint, which may be that address already.
pub fn traces_url(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with(TRACES) { endpoint.to_owned() } else { format!("{endpoint}{TRACES}") }
}

/// Where calls leave their traces.
pub struct Traces {
    queue: mpsc::Sender<Vec<Span>>,
    sample: f64,
    content: bool,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// Tells of a call that is over, if it is one of those that are told of.
    pub fn tell(&self, detail: &CallDetail) {
        if !trace::is_sampled(detail.call.id, self.sample) {
            return;
        }
        let spans = trace::spans(detail, self.content);
        if !spans.is_empty() && self.queue.try_send(spans).is_err() {
            self.metrics.traces("dropped", 1);
        }
    }
}

/// The task that sends them.
pub struct Exporter {
    task: JoinHandle<()>,
    stopping: CancellationToken,
}

impl Exporter {
    /// Sends what is left, and ends. No call is told of any more.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if tokio::time::timeout(FLUSH_WITHIN, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last traces could not be delivered in time");
        }
    }
}

/// Begins to send traces.
///
/// # Errors
///
/// [`SettingsError`].
pub fn start(settings: Settings, metrics: &Arc<Metrics>) -> Result<(Traces, Exporter), SettingsError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let refuse = || SettingsError::Header(name.clone());
        let value = HeaderValue::from_str(value.expose()).map_err(|_| refuse())?;
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse())?, value);
    }
    headers.insert(CONTENT_TYPE, PROTOBUF);
    let client = reqwest::Client::builder()
        .default_headers(headers)
        .timeout(ANSWER_WITHIN)
        // Our credentials are for the collector.
        .redirect(redirect::Policy::none())
        .build()?;
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let stopping = CancellationToken::new();
    let metrics = Arc::clone(metrics);
    let traces = Traces {
        queue: sender,
        sample: settings.sample,
        content: settings.content,
        metrics: Arc::clone(&metrics),
    };
    let sender =
        Sender { queue, client, url: settings.url, metrics, stopping: stopping.clone(), is_away: false };
    Ok((traces, Exporter { task: tokio::spawn(sender.run()), stopping }))
}

struct Sender {
    queue: mpsc::Receiver<Vec<Span>>,
    client: reqwest::Client,
    url: String,
    metrics: Arc<Metrics>,
    stopping: CancellationToken,
    /// It was said that the collector is away.
    is_away: bool,
}

/// Why a batch was not taken.
enum NotTaken {
    /// It may be the next time, not before this long.
    Passing(String, Option<Duration>),
    /// It never will be.
    Refused(String),
}

impl Sender {
    async fn run(mut self) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                _ = self.queue.recv_many(&mut batch, BATCH_MAX) => {}
                () = self.stopping.cancelled(), if !self.queue.is_closed() => {
                    // What is in it is still given out.
                    self.queue.close();
                    continue;
                }
            }
            if batch.is_empty() {
                return;
            }
            self.deliver(batch).await;
        }
    }

    /// Sends a batch until it is taken, refused, or the gateway stops.
    async fn deliver(&mut self, batch: Vec<Vec<Span>>) {
        let calls = batch.len() as u64;
        let body = request(batch.into_iter().flatten().collect()).encode_to_vec();
        let mut pause = RETRY_AFTER_LEAST;
        loop {
            let is_last = self.stopping.is_cancelled();
            match self.send(body.clone()).await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_away) {
                        tracing::info!("traces are delivered again");
                    }
                    return self.metrics.traces("sent", calls);
                }
                Err(NotTaken::Refused(why)) => {
                    tracing::warn!(why, calls, "the collector refuses traces");
                    return self.metrics.traces("refused", calls);
                }
                Err(NotTaken::Passing(why, _)) if is_last => {
                    tracing::warn!(why, calls, "the last traces could not be delivered");
                    return self.metrics.traces("dropped", calls);
                }
                Err(NotTaken::Passing(why, wanted)) => {
                    if !std::mem::replace(&mut self.is_away, true) {
                        tracing::warn!(
                            why,
                            "traces cannot be delivered: they wait, and are dropped when there are too many"
                        );
                    }
                    let wait = wanted.unwrap_or(pause).min(RETRY_AFTER_MOST);
                    pause = (pause * 2).min(RETRY_AFTER_MOST);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.stopping.cancelled() => {}
                    }
                }
            }
        }
    }

    async fn send(&self, body: Vec<u8>) -> Result<(), NotTaken> {
        let passing = |error: reqwest::Error| NotTaken::Passing(chain(&error.without_url()), None);
        let mut response = self.client.post(&self.url).body(body).send().await.map_err(passing)?;
        let status = response.status();
        if !status.is_success() {
            let seconds =
                response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(match status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => {
                    NotTaken::Passing(status.to_string(), seconds.map(Duration::from_secs))
                }
                status => NotTaken::Refused(status.to_string()),
            });
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(passing)? {
            answer.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX - answer.len())]);
            if answer.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        // What is no such answer, as of a collector that answers in JSON, says nothing of refused spans.
        let told = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default();
        if let Some(partial) = told.partial_success.filter(|partial| partial.rejected_spans > 0) {
            let (spans, why) = (partial.rejected_spans, partial.error_message);
            tracing::warn!(spans, why, "the collector refuses some spans");
        }
        Ok(())
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let text = |name: &str, text: &str| KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) }),
        ..KeyValue::default()
    };
    let version = env!("CARGO_PKG_VERSION");
    let attributes = vec![text(names::SERVICE_NAME, SERVICE), text(names::SERVICE_VERSION, version)];
    let scope = InstrumentationScope {
        name: SERVICE.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = ScopeSpans { scope: Some(scope), spans, schema_url: String::new() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![spans],
            schema_url: String::new(),
        }],
    }
}
