//! Delivers a call's requests: those that are answered with TwiML at once, callbacks in the
//! background and in order, both with the trouble that was asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Shared;
use super::faults::{CarrierFaults, Signing};
use super::form::Fields;
use super::report::{Delivery, RequestKind};
use super::web::{Answer, Outgoing, idempotency_token, path};
use crate::clock::Entropy;
use crate::sim::log::Party;
use crate::sim::twiml::{Method, Request};

/// Callbacks waiting to be sent; a call has a handful.
const QUEUE_MAX: usize = 64;

/// A request about a call: why, where to (absolute), with which fields.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub kind: RequestKind,
    pub to: Request,
    pub fields: Fields,
    /// What the world's log says about it.
    pub note: String,
}

/// Carries a call's requests to the gateway.
pub(super) struct Courier {
    shared: Arc<Shared>,
    faults: Arc<CarrierFaults>,
    entropy: Entropy,
    queue: mpsc::Sender<Errand>,
    worker: JoinHandle<Vec<Delivery>>,
}

impl Courier {
    pub fn start(shared: Arc<Shared>, faults: CarrierFaults) -> Courier {
        let faults = Arc::new(faults);
        let (queue, errands) = mpsc::channel(QUEUE_MAX);
        let entropy = shared.own_entropy();
        let worker = work(Arc::clone(&shared), Arc::clone(&faults), shared.own_entropy(), errands);
        let worker = tokio::spawn(worker);
        Courier { shared, faults, entropy, queue, worker }
    }

    /// Delivers now. More than one delivery means that the request was doubled.
    pub async fn deliver(&self, errand: &Errand) -> Vec<Delivery> {
        deliver(&self.shared, &self.faults, &self.entropy, errand).await
    }

    /// Delivers in the background, after what was queued before.
    pub async fn queue(&self, errand: Errand) {
        // The worker only ends when this queue is closed.
        let _ = self.queue.send(errand).await;
    }

    /// Waits until every callback was delivered.
    pub async fn finish(self) -> Vec<Delivery> {
        drop(self.queue);
        self.worker.await.unwrap_or_default()
    }
}

async fn work(
    shared: Arc<Shared>,
    faults: Arc<CarrierFaults>,
    entropy: Entropy,
    mut errands: mpsc::Receiver<Errand>,
) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    let mut held = Vec::new();
    while let Some(errand) = errands.recv().await {
        if faults.shuffled {
            held.push(errand);
            continue;
        }
        tokio::time::sleep(shared.pace.real(Duration::from_millis(faults.delayed_ms))).await;
        deliveries.extend(deliver(&shared, &faults, &entropy, &errand).await);
    }
    shuffle(&entropy, &mut held);
    for errand in held {
        deliveries.extend(deliver(&shared, &faults, &entropy, &errand).await);
    }
    deliveries
}

/// Fisher and Yates.
fn shuffle(entropy: &Entropy, errands: &mut [Errand]) {
    for last in (1..errands.len()).rev() {
        let chance = usize::from(u16::from_be_bytes(entropy.bytes()));
        errands.swap(last, chance % (last + 1));
    }
}

async fn deliver(
    shared: &Shared,
    faults: &CarrierFaults,
    entropy: &Entropy,
    errand: &Errand,
) -> Vec<Delivery> {
    let token = idempotency_token(entropy);
    let signing = match errand.kind {
        kind if faults.unsigned.contains(&kind) => Signing::Missing,
        kind if faults.wrong_token.contains(&kind) => Signing::WrongToken,
        _ => Signing::Right,
    };
    let once = || deliver_once(shared, errand, signing, &token, faults.dropped.contains(&errand.kind));
    if faults.doubled.contains(&errand.kind) {
        let (first, second) = tokio::join!(once(), once());
        return vec![first, second];
    }
    vec![once().await]
}

async fn deliver_once(
    shared: &Shared,
    errand: &Errand,
    signing: Signing,
    token: &str,
    is_lost: bool,
) -> Delivery {
    let options = &shared.options;
    let method = errand.to.method;
    options.log.say(Party::Twilio, Party::Gateway, || {
        let lost = if is_lost { "  (lost)" } else { "" };
        format!("{} {}  {}{lost}", method.as_str(), path(&errand.to.url), errand.note)
    });
    let (at, began) = (options.clock.now(), Instant::now());
    let url = errand.to.url.as_str();
    let outgoing = Outgoing { method, url, fields: &errand.fields, signing, idempotency_token: token };
    let (attempts, answer) = match is_lost {
        true => (0, Err("the request was lost".to_owned())),
        false => shared.web.send(&outgoing).await,
    };
    log_answer(shared, &answer);
    Delivery {
        kind: errand.kind,
        url: url.to_owned(),
        fields: errand.fields.clone(),
        at,
        took: began.elapsed(),
        attempts,
        answer,
    }
}

fn log_answer(shared: &Shared, answer: &Result<Answer, String>) {
    shared.options.log.answer(Party::Gateway, Party::Twilio, || match answer {
        Ok(answer) => format!("{}{}", answer.status, document_note(answer)),
        Err(problem) => problem.clone(),
    });
}

/// What a document says, behind its status.
fn document_note(answer: &Answer) -> String {
    if answer.status != 200 || answer.body.is_empty() {
        return String::new();
    }
    match crate::sim::twiml::Document::read(answer.content_type.as_deref(), &answer.body) {
        Ok(document) => format!(" {}", document.summary()),
        Err(_) => String::new(),
    }
}

impl Errand {
    /// A POST of `fields` to `url`.
    pub fn post(kind: RequestKind, url: String, fields: Fields, note: String) -> Errand {
        Errand { kind, to: Request { url, method: Method::Post }, fields, note }
    }
}
