//! What stands in for the world of a plugin that is tried out: what it keeps, the network, the log.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::given::{self, Answer, NetworkError};
use crate::store::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::tool::outbound::{FetchError, Request, Response};
use crate::tool::plugin::{Entry, Fetch, Fetching, KeyPage, KeyValueError, KeyValueStore, LogLevel, LogSink};

/// What a trial keeps, in memory. Time stands still in a trial, so that nothing expires.
#[derive(Debug, Default)]
pub(super) struct Memory {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<String, Entry>,
    /// The last revision that was given to anything.
    revision: u64,
}

/// The network of a trial.
#[derive(Debug, Default)]
pub(super) struct Network {
    answers: Vec<Answer>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How often each answer was given.
    given: BTreeMap<usize, usize>,
    requests: Vec<Value>,
    unanswered: Vec<String>,
}

/// The log of a trial.
#[derive(Debug, Default)]
pub(super) struct Log {
    messages: Mutex<Vec<(LogLevel, String)>>,
}

/// Nothing that is behind these locks can be left half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Keeps these values.
    pub fn with(values: &BTreeMap<String, toml::Value>) -> Memory {
        let memory = Memory::default();
        for (key, value) in values {
            locked(&memory.kept).put(key, given::text(value).into_bytes());
        }
        memory
    }

    /// What is kept, as JSON where it is JSON, else as text.
    pub fn values(&self) -> Value {
        let kept = locked(&self.kept);
        let shown = |(key, entry): (&String, &Entry)| (key.clone(), shown(&entry.value));
        Value::Object(kept.entries.iter().map(shown).collect())
    }
}

/// Bytes as JSON where they are JSON, else as text.
fn shown(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

impl Kept {
    fn put(&mut self, key: &str, value: Vec<u8>) -> u64 {
        self.revision += 1;
        self.entries.insert(key.to_owned(), Entry { value, revision: self.revision });
        self.revision
    }
}

/// What an operation on values gives.
type Now<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyValueError>> + Send + 'a>>;

impl KeyValueStore for Memory {
    fn get<'a>(&'a self, key: &'a str) -> Now<'a, Option<Entry>> {
        Box::pin(async move { Ok(locked(&self.kept).entries.get(key).cloned()) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Vec<u8>,
        _: Option<Duration>,
        if_revision: Option<u64>,
    ) -> Now<'a, u64> {
        Box::pin(async move {
            if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return Err(KeyValueError::TooLarge);
            }
            let mut kept = locked(&self.kept);
            let revision = kept.entries.get(key).map_or(0, |entry| entry.revision);
            if if_revision.is_some_and(|expected| expected != revision) {
                return Err(KeyValueError::Conflict);
            }
            Ok(kept.put(key, value))
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Now<'a, bool> {
        Box::pin(async move { Ok(locked(&self.kept).entries.remove(key).is_some()) })
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>, limit: u32) -> Now<'a, KeyPage> {
        Box::pin(async move {
            let kept = locked(&self.kept);
            let is_after = |key: &&String| after.is_none_or(|after| key.as_str() > after);
            let mut keys = kept.entries.keys().filter(|key| key.starts_with(prefix)).filter(is_after);
            let page: Vec<String> = keys.by_ref().take(limit as usize).cloned().collect();
            let next = keys.next().and_then(|_| page.last().cloned());
            Ok(KeyPage { keys: page, next })
        })
    }
}

impl Network {
    /// A network that gives these answers, and no others.
    pub fn with(answers: Vec<Answer>) -> Network {
        Network { answers, seen: Mutex::default() }
    }

    /// The requests that were made, in order, as they are compared.
    pub fn requests(&self) -> Vec<Value> {
        locked(&self.seen).requests.clone()
    }

    /// The requests that nothing answers.
    pub fn unanswered(&self) -> Vec<String> {
        locked(&self.seen).unanswered.clone()
    }

    fn answer(&self, request: &Request) -> Result<Response, FetchError> {
        let mut seen = locked(&self.seen);
        seen.requests.push(request_json(request));
        let fitting: Vec<usize> =
            (0..self.answers.len()).filter(|at| self.answers[*at].is_for(request)).collect();
        // In their order, each once; the last one for good.
        let fresh = fitting.iter().find(|at| !seen.given.contains_key(at)).or(fitting.last());
        let Some(at) = fresh.copied() else {
            seen.unanswered.push(format!("{} {}", request.method, request.url));
            return Err(FetchError::Connect("no mock answers this request".to_owned()));
        };
        *seen.given.entry(at).or_default() += 1;
        self.answers[at].give()
    }
}

impl Fetch for Network {
    fn fetch<'a>(&'a self, request: Request, _: Duration) -> Fetching<'a> {
        Box::pin(async move { self.answer(&request) })
    }
}

impl Answer {
    fn is_for(&self, request: &Request) -> bool {
        let plain = |text: &str| Url::parse(text).map_or_else(|_| text.to_owned(), |url| url.to_string());
        let asked = plain(&request.url);
        let is_there = match self.url.strip_suffix('*') {
            Some(beginning) => asked.starts_with(beginning),
            None => asked == plain(&self.url),
        };
        is_there && self.method.eq_ignore_ascii_case(&request.method)
    }

    fn give(&self) -> Result<Response, FetchError> {
        match self.error {
            Some(NetworkError::Timeout) => return Err(FetchError::Timeout),
            Some(NetworkError::Connect) => return Err(FetchError::Connect("connection refused".to_owned())),
            Some(NetworkError::Dns) => return Err(FetchError::Dns("no such name".to_owned())),
            Some(NetworkError::TooLarge) => return Err(FetchError::TooLarge { bytes_max: 0 }),
            None => {}
        }
        let mut headers: Vec<(String, String)> = self.headers.clone().into_iter().collect();
        let is_typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if self.json.is_some() && !is_typed {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let json = self.json.as_ref().map(|value| given::json(value).to_string());
        let body = json.or_else(|| self.body.clone()).unwrap_or_default().into_bytes();
        Ok(Response { status: self.status.unwrap_or(200), headers, body })
    }
}

/// A request as it is compared: headers by their names in small letters, the body as text and, where it is
/// that, as JSON. Secrets are shown: in a trial they are the author's own.
fn request_json(request: &Request) -> Value {
    let plain = request.headers.iter().map(|(name, value)| (name, value.as_str()));
    let secret = request.secret_headers.iter().map(|(name, value)| (name, value.expose()));
    let headers: serde_json::Map<String, Value> =
        plain.chain(secret).map(|(name, value)| (name.to_ascii_lowercase(), value.into())).collect();
    let mut page = json!({ "method": request.method, "url": request.url, "headers": headers });
    if let Some(body) = &request.body {
        page["body"] = String::from_utf8_lossy(body).into_owned().into();
        if let Ok(parsed) = serde_json::from_slice::<Value>(body) {
            page["json"] = parsed;
        }
    }
    page
}

impl Log {
    /// The messages, in order: `info looked up`.
    pub fn lines(&self) -> Vec<String> {
        let word = |level: &LogLevel| match level {
            LogLevel::Debug => "debug",
            LogLevel::Info => "info",
            LogLevel::Warn => "warn",
            LogLevel::Error => "error",
        };
        locked(&self.messages).iter().map(|(level, text)| format!("{} {text}", word(level))).collect()
    }
}

impl LogSink for Log {
    fn write(&self, _: &str, level: LogLevel, message: &str) {
        locked(&self.messages).push((level, message.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn request(method: &str, url: &str) -> Request {
        Request {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: vec![("Accept".to_owned(), "x".to_owned())],
            secret_headers: vec![("Authorization".to_owned(), Secret::new("Bearer t"))],
            body: Some(b"{\"n\":1}".to_vec()),
        }
    }

    fn network(text: &str) -> Network {
        #[derive(serde::Deserialize)]
        struct File {
            http: Vec<Answer>,
        }
        Network::with(toml::from_str::<File>(text).unwrap().http)
    }

    #[test]
    fn answers_come_in_order_and_the_last_one_stays() {
        let network = network(
            "http = [{ url = 'https://a.example/x', status = 503 }, { url = 'https://a.example/x', json = [1] },
             { method = 'POST', url = 'https://a.example/*', error = 'timeout' }]",
        );
        let statuses: Vec<u16> = (0..3)
            .map(|_| network.answer(&request("GET", "https://A.example:443/x")).unwrap().status)
            .collect();
        assert_eq!(statuses, [503, 200, 200]);
        assert_eq!(network.answer(&request("POST", "https://a.example/y")), Err(FetchError::Timeout));
        assert!(network.unanswered().is_empty());
        assert!(network.answer(&request("GET", "https://b.example/")).is_err());
        assert_eq!(network.unanswered(), ["GET https://b.example/"]);
        let seen = &network.requests()[0];
        assert_eq!(seen["headers"], json!({ "accept": "x", "authorization": "Bearer t" }));
        assert_eq!(seen["json"], json!({ "n": 1 }));
    }

    #[tokio::test]
    async fn values_have_revisions_and_pages() {
        let memory = Memory::with(&toml::from_str("a = 'text'\nb = { n = 1 }\nc = 7").unwrap());
        assert_eq!(memory.values(), json!({ "a": "text", "b": { "n": 1 }, "c": 7 }));
        let first = memory.get("a").await.unwrap().unwrap().revision;
        assert_eq!(memory.put("a", vec![1], None, Some(0)).await, Err(KeyValueError::Conflict));
        assert!(memory.put("a", vec![1], None, Some(first)).await.unwrap() > first);
        let page = memory.list("", None, 2).await.unwrap();
        assert_eq!((page.keys.len(), page.next.as_deref()), (2, Some("b")));
        assert_eq!(memory.list("", Some("b"), 2).await.unwrap().keys, ["c"]);
        assert_eq!(
            memory.put("x", vec![0; VALUE_BYTES_MAX + 1], None, None).await,
            Err(KeyValueError::TooLarge)
        );
    }
}
