//! Webhook signatures as OpenAI makes them: HMAC-SHA256 over id, time and the raw body
//! (OpenAI, "Webhooks"; the format is Standard Webhooks).
//!
//! The bytes are verified before anything reads them. A secret that begins with `whsec_` is base64;
//! any other is used as it is, which generic Standard-Webhooks libraries get wrong.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::ids::WebhookId;
use crate::secret::Secret;

/// The longest id of a delivery; OpenAI's have 35 characters.
const ID_BYTES_MAX: usize = 128;
/// How many signatures of one header are tried; a rotation makes two.
const SIGNATURES_MAX: usize = 16;

/// The three headers of a delivery, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `webhook-id`: the same on every retry.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`: Unix seconds of this attempt.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`: one or more `v1,<base64>`, separated by spaces.
    pub signature: Option<&'a str>,
}

/// Why a delivery is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One of the three headers is missing, or the id is not one.
    #[error("a header is missing or empty")]
    MissingHeader,
    /// The timestamp is not a number of seconds.
    #[error("the timestamp is not a number")]
    BadTimestamp,
    /// The attempt was made too long ago: perhaps recorded and played again.
    #[error("the timestamp is too old")]
    TooOld,
    /// The attempt was made in the future: one of the clocks is wrong.
    #[error("the timestamp is in the future")]
    TooNew,
    /// No secret makes any of the signatures.
    #[error("no signature matches")]
    NoMatch,
}

impl Refusal {
    /// A short name for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::MissingHeader => "missing_header",
            Refusal::BadTimestamp => "bad_timestamp",
            Refusal::TooOld => "too_old",
            Refusal::TooNew => "too_new",
            Refusal::NoMatch => "bad_signature",
        }
    }
}

/// Verifies a delivery over its raw body; the comparison takes the same time for every signature.
///
/// # Errors
///
/// [`Refusal`] for whatever does not hold.
pub fn verify(
    secrets: &[Secret],
    headers: &Headers<'_>,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<WebhookId, Refusal> {
    let present = |value: Option<&'_ str>| value.filter(|value| !value.is_empty()).map(str::to_owned);
    let id = present(headers.id).ok_or(Refusal::MissingHeader)?;
    let timestamp = present(headers.timestamp).ok_or(Refusal::MissingHeader)?;
    let signatures = headers.signature.ok_or(Refusal::MissingHeader)?;
    if id.len() > ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::MissingHeader);
    }
    check_time(&timestamp, now, tolerance)?;
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let Some(mac) = mac(secret, &id, &timestamp, body) else { continue };
        for signature in signatures.split_whitespace().take(SIGNATURES_MAX) {
            let text = signature.strip_prefix("v1,").unwrap_or(signature);
            let Ok(bytes) = STANDARD.decode(text) else { continue };
            if mac.clone().verify_slice(&bytes).is_ok() {
                return Ok(WebhookId(id));
            }
        }
    }
    Err(Refusal::NoMatch)
}

/// The signature of a delivery, `v1,<base64>`; none when the secret is not one.
pub fn sign(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
    let mac = mac(secret, id, timestamp, body)?;
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn check_time(timestamp: &str, now: Timestamp, tolerance: Duration) -> Result<(), Refusal> {
    let seconds: i64 = timestamp.trim().parse().map_err(|_| Refusal::BadTimestamp)?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    if now.saturating_sub(seconds) > tolerance {
        return Err(Refusal::TooOld);
    }
    if seconds.saturating_sub(now) > tolerance {
        return Err(Refusal::TooNew);
    }
    Ok(())
}

fn mac(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let secret = secret.expose();
    let key = match secret.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).ok()?,
        None => secret.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"object":"event","id":"evt_test_0001","type":"realtime.call.incoming","created_at":1795000000,"data":{"call_id":"rtc_u1_test0001","sip_headers":[{"name":"From","value":"<sip:+14155550101@example.net>"}]}}"#;
    const ID: &str = "wh_0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const SECRET_A: &str = "whsec_Z2F0ZXdheS10ZXN0LXNpZ25pbmcta2V5LTMyYnl0ZXM=";
    const SIGNATURE_A: &str = "v1,jglUgt6aJnW03bOwE7Lm28PvK2praDd5SYXNWDuw57o=";
    const SIGNATURE_B: &str = "v1,UaG9I/JBTxGiiGB93aXSZt3qk8b/3vl9OqHMBlVyl6g=";

    fn check(secret: &str, signature: &str, now: u64) -> Result<WebhookId, Refusal> {
        let headers = Headers { id: Some(ID), timestamp: Some("1795000000"), signature: Some(signature) };
        let secrets = [Secret::new("other"), Secret::new(secret)];
        verify(&secrets, &headers, BODY.as_bytes(), Timestamp::from_secs(now), Duration::from_secs(300))
    }

    #[test]
    fn the_vendors_vectors_hold() {
        let now = 1_795_000_000;
        assert!(check(SECRET_A, SIGNATURE_A, now).is_ok());
        assert!(check("plain-secret-without-prefix", SIGNATURE_B, now).is_ok());
        assert!(check(SECRET_A, &format!("v1,AAAA {SIGNATURE_A}"), now).is_ok());
        assert_eq!(check(SECRET_A, SIGNATURE_B, now), Err(Refusal::NoMatch));
        let ours = sign(&Secret::new(SECRET_A), ID, "1795000000", BODY.as_bytes());
        assert_eq!(ours.as_deref(), Some(SIGNATURE_A));
    }

    #[test]
    fn a_delivery_is_good_for_five_minutes_either_way() {
        let sent = 1_795_000_000;
        assert!(check(SECRET_A, SIGNATURE_A, sent + 300).is_ok());
        assert!(check(SECRET_A, SIGNATURE_A, sent - 300).is_ok());
        assert_eq!(check(SECRET_A, SIGNATURE_A, sent + 301), Err(Refusal::TooOld));
        assert_eq!(check(SECRET_A, SIGNATURE_A, sent - 301), Err(Refusal::TooNew));
    }
}
