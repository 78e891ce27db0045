//! The last requests of carrier and provider, kept in memory for whoever asks what came.
//!
//! Requests that were refused have places of their own: a stranger's flood does not push out what the vendors sent.
//! What proves a request or opens something (signatures, tokens) is not kept.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poem::{Request, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::Doors;
use super::verdict::Verdict;
use crate::clock::Timestamp;
use crate::ids::{CallId, CallSid, ProviderCallId};
use crate::store::{Alias, Store};
use crate::wire::join_token;

/// How many that were taken are kept.
const TAKEN_MAX: usize = 150;
/// How many that were refused.
const REFUSED_MAX: usize = 50;
/// How much of a body is kept, in bytes.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How many headers are kept of one, and how much of each.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 1 << 10;
/// Headers whose values prove or open something.
const SECRET_HEADERS: [&str; 6] = [
    "authorization",
    "cookie",
    "webhook-signature",
    "x-twilio-signature",
    "x-twilio-webhooks-signature-settings",
    "proxy-authorization",
];
/// What stands for a secret.
const HIDDEN: &str = "•••";

/// Where the body of a request is put by whoever reads it.
#[derive(Clone, Default)]
pub(super) struct Capture(Arc<Mutex<(usize, Vec<u8>)>>);

impl Capture {
    /// The body is this.
    pub fn put(&self, body: &[u8]) {
        let kept = body[..body.len().min(BODY_BYTES_MAX)].to_vec();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (body.len(), kept);
    }
}

/// One request and its answer.
#[derive(Debug)]
pub(super) struct Delivery {
    pub id: u64,
    pub at: Timestamp,
    pub source: &'static str,
    /// With its query.
    pub path: String,
    pub verdict: &'static str,
    pub status: u16,
    pub took_ms: u64,
    pub bytes: usize,
    /// The call that it was about, as far as that was known then.
    pub call: Option<CallId>,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The last of them.
#[derive(Default)]
pub(super) struct Deliveries {
    next: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    taken: VecDeque<Arc<Delivery>>,
    refused: VecDeque<Arc<Delivery>>,
}

impl Deliveries {
    /// All of them, newest first.
    pub fn list(&self) -> Vec<Arc<Delivery>> {
        let kept = self.kept();
        let mut all: Vec<_> = kept.taken.iter().chain(&kept.refused).cloned().collect();
        all.sort_by_key(|delivery| std::cmp::Reverse(delivery.id));
        all
    }

    /// Nothing of a call that was erased stays.
    pub fn forget_where(&self, is_gone: impl Fn(CallId) -> bool) {
        let mut kept = self.kept();
        let stays = |delivery: &Arc<Delivery>| !delivery.call.is_some_and(&is_gone);
        kept.taken.retain(stays);
        kept.refused.retain(stays);
    }

    fn put(&self, mut delivery: Delivery) {
        delivery.id = self.next.fetch_add(1, Ordering::Relaxed);
        let is_taken = delivery.status < 400;
        let mut kept = self.kept();
        let (places, most) = match is_taken {
            true => (&mut kept.taken, TAKEN_MAX),
            false => (&mut kept.refused, REFUSED_MAX),
        };
        if places.len() == most {
            places.pop_front();
        }
        places.push_back(Arc::new(delivery));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Each change leaves the lists whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a door answer a request, and keeps both.
pub(super) async fn watched<F>(
    doors: Arc<Doors>,
    source: &'static str,
    answer: fn(Arc<Doors>, Request) -> F,
    mut request: Request,
) -> Response
where
    F: Future<Output = Response> + Send + 'static,
{
    let (at, began) = (doors.clock.now(), Instant::now());
    let capture = Capture::default();
    request.extensions_mut().insert(capture.clone());
    let path = request.original_uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let headers = headers_of(&request);
    let response = answer(Arc::clone(&doors), request).await;
    let verdict = response.extensions().get::<Verdict>().map_or("unknown", |verdict| verdict.name());
    let (bytes, body) = std::mem::take(&mut *capture.0.lock().unwrap_or_else(PoisonError::into_inner));
    let body = String::from_utf8_lossy(&body).into_owned();
    // Also what was refused may name a call, and then goes with it.
    let call = call_of(doors.control.store(), source, &path, &body);
    doors.deliveries.put(Delivery {
        id: 0,
        at,
        source,
        path,
        verdict,
        status: response.status().as_u16(),
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        bytes,
        call,
        headers,
        body: without_token(body),
    });
    response
}

/// The call that a request is about.
fn call_of(store: &Store, source: &str, path: &str, body: &str) -> Option<CallId> {
    let named = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("call="));
    if let Some(call) = named {
        return call.parse().ok();
    }
    let alias = if source == super::twilio::SOURCE {
        let sid = body.split('&').find_map(|pair| pair.strip_prefix("CallSid="))?;
        Alias::Carrier(CallSid(sid.to_owned()))
    } else {
        #[derive(Deserialize)]
        struct Event {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            call_id: ProviderCallId,
        }
        Alias::ProviderCall(serde_json::from_str::<Event>(body).ok()?.data.call_id)
    };
    store.call_by_alias(&alias).ok().flatten()
}

fn headers_of(request: &Request) -> Vec<(String, String)> {
    let headers = request.headers().iter().take(HEADERS_MAX);
    let shown = headers.map(|(name, value)| {
        let is_secret = SECRET_HEADERS.contains(&name.as_str());
        let value = String::from_utf8_lossy(value.as_bytes());
        let value = &value[..value.floor_char_boundary(HEADER_BYTES_MAX)];
        (name.as_str().to_owned(), if is_secret { HIDDEN } else { value }.to_owned())
    });
    shown.collect()
}

/// The body without the token that joins a call, which stands in a SIP header.
fn without_token(body: String) -> String {
    if !body.contains(join_token::HEADER) {
        return body;
    }
    match serde_json::from_str::<Value>(&body) {
        Ok(mut value) => {
            hide_token(&mut value);
            value.to_string()
        }
        // Cut, so that it cannot be read: then nothing of it is shown.
        Err(_) => HIDDEN.to_owned(),
    }
}

fn hide_token(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(hide_token),
        Value::Object(table) => {
            let is_token = table
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(|name| name.eq_ignore_ascii_case(join_token::HEADER));
            if is_token && table.contains_key("value") {
                table.insert("value".to_owned(), HIDDEN.into());
            }
            table.values_mut().for_each(hide_token);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_that_joins_a_call_is_not_kept() {
        let body = r#"{"data":{"sip_headers":[{"name":"x-switchboard-token","value":"secret"},{"name":"To","value":"a"}]}}"#;
        let shown = without_token(body.replace("x-switchboard-token", join_token::HEADER));
        assert!(!shown.contains("secret") && shown.contains(r#""value":"a""#), "{shown}");
        assert_eq!(without_token(format!("{{{} secret", join_token::HEADER)), HIDDEN);
        assert_eq!(without_token("From=a".to_owned()), "From=a");
    }

    #[test]
    fn what_was_refused_does_not_push_out_what_was_taken() {
        let deliveries = Deliveries::default();
        let put = |status| {
            deliveries.put(Delivery {
                id: 0,
                at: Timestamp::default(),
                source: "twilio",
                path: String::new(),
                verdict: "",
                status,
                took_ms: 0,
                bytes: 0,
                call: None,
                headers: Vec::new(),
                body: String::new(),
            });
        };
        put(200);
        (0..1_000).for_each(|_| put(403));
        let all = deliveries.list();
        assert_eq!((all.len(), all[0].id, all[REFUSED_MAX].status), (REFUSED_MAX + 1, 1_000, 200));
    }
}
