//! The simulated provider's webhooks: signed, sent at least once, repeated until somebody takes them.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use super::{Provider, lock};
use crate::sim::fault::ProviderFaults;
use crate::sim::log::Party;
use crate::text::hex;

/// Pauses between deliveries that nobody took. The vendor goes on for 72 hours; a caller does not.
const RETRY_AFTER_MS: [u64; 4] = [500, 1_000, 2_000, 4_000];

/// A webhook exactly as it is sent.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// `webhook-id`.
    pub id: String,
    /// `webhook-timestamp`.
    pub timestamp: String,
    /// `webhook-signature`.
    pub signature: String,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Serialize)]
struct Event<'a> {
    object: &'static str,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: u64,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<String>,
    sip_media_security: &'static str,
    sip_headers: Vec<Header<'a>>,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

/// The signature that one secret makes, `v1,…` (its own reading of OpenAI, "Webhooks").
pub fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
        None => secret.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// Tells the gateway of a call, as the faults allow.
pub(super) async fn announce(
    world: Arc<Provider>,
    call_id: String,
    headers: Vec<(String, String)>,
    faults: ProviderFaults,
) {
    if faults.webhook_never {
        return;
    }
    tokio::time::sleep(world.real(faults.webhook_delay_ms)).await;
    let delivery = delivery(&world, &call_id, &headers, "realtime.call.incoming", &faults);
    if faults.webhook_other_family {
        let other = self::delivery(&world, &call_id, &headers, "live.transport.incoming", &faults);
        let _ = post(&world, &other).await;
    }
    let copies = (0..faults.webhook_copies)
        .map(|_| tokio::spawn(deliver(Arc::clone(&world), call_id.clone(), delivery.clone())));
    for copy in copies.collect::<Vec<_>>() {
        let _ = copy.await;
    }
}

async fn deliver(world: Arc<Provider>, call_id: String, delivery: Delivery) {
    let report = world.entry(&call_id).map(|entry| entry.report);
    for pause in [0].into_iter().chain(RETRY_AFTER_MS) {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let now = world.options.clock.now();
        if let Some(report) = &report {
            lock(report).webhook_sent.get_or_insert(now);
        }
        world.log(Party::OpenAi, Party::Gateway, || format!("realtime.call.incoming {call_id} (signed)"));
        let status = tokio::select! {
            status = post(&world, &delivery) => status.unwrap_or(0),
            () = world.stopping.cancelled() => return,
        };
        world.options.log.answer(Party::Gateway, Party::OpenAi, || format!("{status} to the webhook"));
        if let Some(report) = &report {
            lock(report).webhook_statuses.push(status);
        }
        if (200..300).contains(&status) {
            return;
        }
    }
}

fn delivery(
    world: &Provider,
    call_id: &str,
    headers: &[(String, String)],
    kind: &'static str,
    faults: &ProviderFaults,
) -> Delivery {
    let options = &world.options;
    let now = options.clock.now();
    let is_ours = kind.starts_with("realtime.");
    let event = Event {
        object: "event",
        id: format!("evt_{}", hex(&options.entropy.bytes::<8>())),
        kind,
        created_at: now.as_secs().saturating_sub(faults.webhook_age_s),
        data: Data {
            call_id: is_ours.then_some(call_id),
            session_id: (!is_ours).then(|| format!("live_{}", hex(&options.entropy.bytes::<8>()))),
            sip_media_security: "srtp",
            sip_headers: headers.iter().map(|(name, value)| Header { name, value }).collect(),
        },
    };
    let body = serde_json::to_vec(&event).expect("texts are JSON");
    let id = format!("wh_{}", hex(&options.entropy.bytes::<16>()));
    let timestamp = now.as_secs().to_string();
    let forged = ["forged".to_owned()];
    let secrets = if faults.webhook_forged { &forged[..] } else { &options.webhook_secrets[..] };
    let signatures: Vec<String> = secrets.iter().map(|secret| sign(secret, &id, &timestamp, &body)).collect();
    Delivery { id, timestamp, signature: signatures.join(" "), body }
}

pub(super) async fn post(world: &Provider, delivery: &Delivery) -> reqwest::Result<u16> {
    let url = lock(&world.webhook_url).clone();
    let request = world
        .http
        .post(url)
        .header("user-agent", "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)")
        .header("content-type", "application/json")
        .header("webhook-id", &delivery.id)
        .header("webhook-timestamp", &delivery.timestamp)
        .header("webhook-signature", &delivery.signature)
        .body(delivery.body.clone());
    Ok(request.send().await?.status().as_u16())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_signature_is_the_vendors() {
        let body = br#"{"object":"event","id":"evt_test_0001","type":"realtime.call.incoming","created_at":1795000000,"data":{"call_id":"rtc_u1_test0001","sip_headers":[{"name":"From","value":"<sip:+14155550101@example.net>"}]}}"#;
        let secret = "whsec_Z2F0ZXdheS10ZXN0LXNpZ25pbmcta2V5LTMyYnl0ZXM=";
        let signature = super::sign(secret, "wh_0a1b2c3d4e5f60718293a4b5c6d7e8f9", "1795000000", body);
        assert_eq!(signature, "v1,jglUgt6aJnW03bOwE7Lm28PvK2praDd5SYXNWDuw57o=");
    }
}
