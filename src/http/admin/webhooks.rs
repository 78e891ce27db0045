//! `GET /api/v1/webhooks`: what carrier and provider sent lately, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Answered, Ask};
use crate::call::privacy::masked_in;
use crate::clock::Timestamp;
use crate::http::answer;
use crate::ids::CallId;

/// The last requests, newest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct WebhookList {
    webhooks: Vec<Webhook>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Webhook {
    id: u64,
    at: Timestamp,
    /// `openai` or `twilio`.
    source: &'static str,
    path: String,
    verdict: &'static str,
    status: u16,
    took_ms: u64,
    duplicate: bool,
    call: Option<CallId>,
    bytes: usize,
    headers: Vec<(String, String)>,
    /// None for those who may not read words.
    body: Option<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Unmasked {
    unmasked: bool,
}

/// `GET /api/v1/webhooks`.
pub(super) async fn list(ask: Ask) -> Answered {
    let Unmasked { unmasked } = ask.params()?;
    let sight = ask.sight(unmasked)?;
    if sight.words {
        let how = if unmasked { "unmasked" } else { "masked" };
        ask.audit_reading("webhooks.read", None, Some(how.to_owned())).await?;
    }
    let store = ask.doors.control.store();
    // What was erased meanwhile, by whomever, is not shown: it may be asked for by nobody.
    ask.doors.deliveries.forget_where(|call| matches!(store.call(call), Ok(None)));
    let deliveries = ask.doors.deliveries.list();
    let webhooks = deliveries.iter().map(|delivery| Webhook {
        id: delivery.id,
        at: delivery.at,
        source: delivery.source,
        path: delivery.path.clone(),
        verdict: delivery.verdict,
        status: delivery.status,
        took_ms: delivery.took_ms,
        duplicate: delivery.verdict == "duplicate",
        call: delivery.call,
        bytes: delivery.bytes,
        headers: delivery.headers.clone(),
        body: sight.words.then(|| match sight.numbers {
            true => delivery.body.clone(),
            // A form has its plus signs escaped.
            false => masked_in(&delivery.body.replace("%2B", "+")),
        }),
    });
    Ok(answer::json(&WebhookList { webhooks: webhooks.collect() }))
}
