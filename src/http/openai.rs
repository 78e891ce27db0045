//! The provider's webhook: verified over its raw bytes, then brought to call control.
//!
//! The answer says one thing: this delivery is on disk (200), was not for us to take (400, 408, 413),
//! or could not be kept (503), in which case it will be delivered again. What becomes of the accept is
//! not its business: a second delivery could not help that caller.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{Request, Response};

use super::verdict::Verdict;
use super::{Doors, answer};
use crate::call_control::{Delivery, Offered};
use crate::clock::Timestamp;
use crate::ids::WebhookId;
use crate::wire::incoming::{self, Kind};
use crate::wire::webhook::{self, Headers};

pub(super) const SOURCE: &str = "openai";
/// The provider's name in records.
const PROVIDER: &str = "openai-realtime";

/// `POST /api/openai/webhook/call-incoming`.
pub(super) async fn call_incoming(doors: Arc<Doors>, mut request: Request) -> Response {
    let (verdict, mut response) = match take(&doors, &mut request).await {
        Ok(verdict) => (verdict, answer::status(StatusCode::OK)),
        Err((verdict, response)) => (verdict, response),
    };
    doors.control.metrics().webhook(SOURCE, verdict.name());
    response.extensions_mut().insert(verdict);
    response
}

/// Gives the verdict, and the answer where it is not 200.
async fn take(doors: &Arc<Doors>, request: &mut Request) -> Result<Verdict, (Verdict, Response)> {
    let body = answer::body(doors, request).await.map_err(|unread| (unread.verdict, unread.response))?;
    let received = doors.clock.now();
    let webhook_id = verify(doors, request, &body, received)?;
    let incoming = incoming::parse(&body).map_err(|error| {
        tracing::warn!(%webhook_id, %error, "a signed webhook could not be read");
        (Verdict::Unreadable, answer::text(StatusCode::BAD_REQUEST, error.to_string()))
    })?;
    match incoming.kind {
        Kind::Realtime { call_id, sip_headers, .. } => {
            // An event without a time of its own is as new as its delivery.
            let created = incoming.created_at.unwrap_or(received);
            let delivery =
                Delivery { provider: PROVIDER, webhook_id, call_id, created, received, sip_headers };
            offer(doors, delivery).await
        }
        // Another product's event for the same ringing call, or one that is no call at all.
        _ => Ok(Verdict::Ignored),
    }
}

fn verify(
    doors: &Doors,
    request: &Request,
    body: &[u8],
    now: Timestamp,
) -> Result<WebhookId, (Verdict, Response)> {
    let headers = Headers {
        id: request.header("webhook-id"),
        timestamp: request.header("webhook-timestamp"),
        signature: request.header("webhook-signature"),
    };
    let settings = &doors.settings.openai;
    webhook::verify(headers, body, &settings.webhook_secrets, settings.tolerance, now).map_err(|refusal| {
        tracing::warn!(verdict = refusal.name(), "a webhook was refused");
        (Verdict::Webhook(refusal), answer::text(StatusCode::BAD_REQUEST, "the signature does not verify"))
    })
}

async fn offer(doors: &Arc<Doors>, delivery: Delivery) -> Result<Verdict, (Verdict, Response)> {
    let webhook_id = delivery.webhook_id.clone();
    // On the heap, or every future around it had room for it.
    match Box::pin(doors.control.provider_offered(delivery)).await {
        Ok(Offered::Taken) => Ok(Verdict::Taken),
        Ok(Offered::Duplicate) => Ok(Verdict::Duplicate),
        Ok(Offered::Stale) => Ok(Verdict::Stale),
        Err(error) => {
            tracing::error!(%webhook_id, %error, "a webhook could not be kept");
            let words = "the delivery could not be kept; deliver it again";
            Err((Verdict::NotKept, answer::text(StatusCode::SERVICE_UNAVAILABLE, words)))
        }
    }
}
