//! Acts that are asked for twice and done once: the same `Idempotency-Key` from the same token gets the first answer
//! again.
//!
//! An act under a key goes on to its end when whoever asked hangs up: who asks again must learn what came of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::table::Endpoint;
use super::{Answered, Ask, Problem};
use crate::clock::Timestamp;

/// The header that names an act.
pub(super) const KEY: &str = "idempotency-key";
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 200;
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// How many answers are kept; the oldest goes first.
const KEPT_MAX: usize = 1_024;
/// The longest answer that is kept, in bytes; of a longer one only the status is.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The acts of the last minutes.
#[derive(Default)]
pub(in crate::http) struct Again(Mutex<VecDeque<Act>>);

struct Act {
    /// Of token, endpoint and key.
    name: [u8; 32],
    body: [u8; 32],
    at: Timestamp,
    answer: watch::Receiver<Option<Kept>>,
}

/// An answer that can be given again.
#[derive(Clone)]
struct Kept {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Arc<[u8]>,
}

/// Does the act, unless it was done under this key before.
pub(super) async fn once(ask: Ask, endpoint: &'static Endpoint) -> Answered {
    let key = ask.request.header(KEY).unwrap_or_default();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Problem::bad(format!("`Idempotency-Key` has 1 to {KEY_BYTES_MAX} letters")));
    }
    let path = ask.request.original_uri().path();
    let name = Sha256::digest([ask.who.name.as_str(), path, key].join("\0"));
    let (doors, now) = (Arc::clone(&ask.doors), ask.doors.clock.now());
    let (mut answer, first) = doors.again.enter(name.into(), Sha256::digest(&ask.body).into(), now)?;
    if let Some(sender) = first {
        let again = Arc::clone(&doors);
        doors.control.finish(async move {
            let answered = (endpoint.answer)(ask).await.unwrap_or_else(Problem::into_response);
            if answered.status().is_server_error() {
                // Nothing was done, as far as we know: it may be tried again under the same key.
                again.again.forget(name.into());
            }
            // Whoever asked may be gone.
            let _ = sender.send(Some(Kept::of(answered).await));
        });
    }
    let answered = answer.wait_for(Option::is_some).await.map(|kept| kept.clone());
    let kept = answered.ok().flatten();
    kept.map(Kept::answer).ok_or_else(|| Problem::broken("what was asked for broke off: see the log"))
}

impl Again {
    /// Where the answer comes, and where to put it for who is the first to ask.
    #[expect(clippy::type_complexity, reason = "the two ends of one channel")]
    fn enter(
        &self,
        name: [u8; 32],
        body: [u8; 32],
        now: Timestamp,
    ) -> Result<(watch::Receiver<Option<Kept>>, Option<watch::Sender<Option<Kept>>>), Problem> {
        let mut acts = self.acts();
        acts.retain(|act| now.since(act.at) < KEPT_FOR);
        if let Some(known) = acts.iter().find(|act| act.name == name) {
            if known.body != body {
                return Err(Problem::conflict(
                    "this `Idempotency-Key` came with something else before: take a new one",
                ));
            }
            return Ok((known.answer.clone(), None));
        }
        if acts.len() == KEPT_MAX {
            acts.pop_front();
        }
        let (sender, answer) = watch::channel(None);
        acts.push_back(Act { name, body, at: now, answer: answer.clone() });
        Ok((answer, Some(sender)))
    }

    fn forget(&self, name: [u8; 32]) {
        self.acts().retain(|act| act.name != name);
    }

    fn acts(&self) -> MutexGuard<'_, VecDeque<Act>> {
        // Each change leaves the list whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    async fn of(mut response: Response) -> Kept {
        let content_type = response.headers().get(header::CONTENT_TYPE).cloned();
        let body = response.take_body().into_bytes_limit(ANSWER_BYTES_MAX).await.unwrap_or_default();
        Kept { status: response.status(), content_type, body: body.to_vec().into() }
    }

    fn answer(self) -> Response {
        let mut response = Response::builder().status(self.status).body(self.body.to_vec());
        if let Some(content_type) = self.content_type {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_one_act_and_for_a_while() {
        let (again, now) = (Again::default(), Timestamp::from_secs(1_000));
        let (_, first) = again.enter([1; 32], [1; 32], now).expect("a new act");
        assert!(first.is_some());
        assert!(again.enter([1; 32], [1; 32], now).expect("the same act").1.is_none());
        assert!(again.enter([1; 32], [2; 32], now).is_err(), "another act");
        assert!(again.enter([1; 32], [2; 32], now + KEPT_FOR).expect("long ago").1.is_some());
        for n in 0..=KEPT_MAX as u64 {
            let mut name = [2; 32];
            name[..8].copy_from_slice(&n.to_be_bytes());
            assert!(again.enter(name, [1; 32], now).expect("a new act").1.is_some());
        }
        assert_eq!(again.acts().len(), KEPT_MAX);
    }
}
