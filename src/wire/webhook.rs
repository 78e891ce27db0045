//! Signatures of webhooks: Standard Webhooks, as OpenAI and xAI send them, and as we send our own.
//!
//! The signature covers the headers `webhook-id` and `webhook-timestamp` and the raw body, so verify
//! before anything is parsed. What fails gives a [`Refusal`]; what passes is authentic, but may still
//! be a repetition: keep the returned id.
//!
//! Vendor documentation: OpenAI, "Webhooks" ("Verifying webhook signatures"); Standard Webhooks,
//! "Symmetric signatures". Where the two differ (secrets without `whsec_`), OpenAI's SDK is followed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::ids::WebhookId;
use crate::secret::Secret;

/// The id becomes a key of the store, so its length (bytes) is bounded; vendors use about 40.
const ID_BYTES_MAX: usize = 128;

/// How many signatures of one header are looked at; two while a secret is rotated.
const SIGNATURES_MAX: usize = 16;

/// How long a key of our own is, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The three headers of a delivery, as received; none where missing or not text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `webhook-id`: the same on every retry of one delivery.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`: Unix seconds of this attempt.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`: one or more `v1,BASE64`, separated by white space.
    pub signature: Option<&'a str>,
}

/// Why a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `webhook-id`, `webhook-timestamp` or `webhook-signature` is missing.
    #[error("a webhook header is missing")]
    MissingHeader,
    /// `webhook-id` is empty, longer than 128 bytes or not printable ASCII.
    #[error("webhook-id is not a bounded, printable id")]
    BadId,
    /// `webhook-timestamp` is not a whole number.
    #[error("webhook-timestamp is not a number of seconds")]
    BadTimestamp,
    /// Signed longer ago than the tolerance.
    #[error("webhook-timestamp is too old")]
    TooOld,
    /// Signed further in the future than the tolerance.
    #[error("webhook-timestamp is too new")]
    TooNew,
    /// No signature in the header belongs to any secret.
    #[error("no webhook signature matches a configured secret")]
    NoMatch,
}

impl Refusal {
    /// A stable name, for metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::MissingHeader => "missing_header",
            Refusal::BadId => "bad_id",
            Refusal::BadTimestamp => "bad_timestamp",
            Refusal::TooOld => "too_old",
            Refusal::TooNew => "too_new",
            Refusal::NoMatch => "no_match",
        }
    }
}

/// A secret that cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a webhook signing secret: it is empty, or what follows `whsec_` is not base64")]
pub struct BadSecret;

/// Claims that `secret` can be used as a key, so that a mistyped one is found before the first call.
pub fn check_secret(secret: &Secret) -> Result<(), BadSecret> {
    keyed(secret).map(drop)
}

/// Claims that the delivery comes from whoever holds one of `secrets`, not more than `tolerance` ago or
/// ahead (inclusive, in whole seconds), and gives its id. Secrets that cannot be keys match nothing.
pub fn verify(
    headers: Headers<'_>,
    body: &[u8],
    secrets: &[Secret],
    tolerance: Duration,
    now: Timestamp,
) -> Result<WebhookId, Refusal> {
    let id = headers.id.ok_or(Refusal::MissingHeader)?;
    let timestamp = headers.timestamp.ok_or(Refusal::MissingHeader)?;
    let signature = headers.signature.ok_or(Refusal::MissingHeader)?;
    if id.is_empty() || id.len() > ID_BYTES_MAX || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::BadId);
    }
    check_time(timestamp, tolerance, now)?;
    let claimed: Vec<Vec<u8>> =
        signature.split_ascii_whitespace().take(SIGNATURES_MAX).filter_map(decode_signature).collect();
    let macs = secrets.iter().filter_map(|secret| mac(secret, id, timestamp, body).ok());
    for mac in macs {
        if claimed.iter().any(|tag| mac.clone().verify_slice(tag).is_ok()) {
            return Ok(WebhookId::from(id));
        }
    }
    Err(Refusal::NoMatch)
}

/// The value of `webhook-signature` for a delivery; `timestamp` is the header's text.
pub fn sign(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Result<String, BadSecret> {
    let tag = mac(secret, id, timestamp, body)?.finalize().into_bytes();
    Ok(format!("v1,{}", STANDARD.encode(tag)))
}

/// The same with several secrets while one is rotated: a signature for each, with a blank between them.
pub fn sign_with_all(
    secrets: &[Secret],
    id: &str,
    timestamp: &str,
    body: &[u8],
) -> Result<String, BadSecret> {
    let signed = secrets.iter().map(|secret| sign(secret, id, timestamp, body));
    Ok(signed.collect::<Result<Vec<String>, BadSecret>>()?.join(" "))
}

/// Claims that `secret` is one that receivers' libraries take: `whsec_` and 24 to 64 bytes in base64 (Standard
/// Webhooks, "Signature scheme").
pub fn check_standard_secret(secret: &Secret) -> Result<(), BadSecret> {
    let encoded = secret.expose().strip_prefix("whsec_").ok_or(BadSecret)?;
    let key = STANDARD.decode(encoded).map_err(|_| BadSecret)?;
    if KEY_BYTES.contains(&key.len()) { Ok(()) } else { Err(BadSecret) }
}

fn check_time(timestamp: &str, tolerance: Duration, now: Timestamp) -> Result<(), Refusal> {
    let signed_s: i64 = timestamp.parse().map_err(|_| Refusal::BadTimestamp)?;
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let tolerance_s = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
    if now_s.saturating_sub(signed_s) > tolerance_s {
        return Err(Refusal::TooOld);
    }
    if signed_s > now_s.saturating_add(tolerance_s) {
        return Err(Refusal::TooNew);
    }
    Ok(())
}

/// Like the SDK, takes a part without `v1,` as it is; one with another version is not base64.
fn decode_signature(part: &str) -> Option<Vec<u8>> {
    STANDARD.decode(part.strip_prefix("v1,").unwrap_or(part)).ok()
}

fn mac(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Result<Hmac<Sha256>, BadSecret> {
    let mut mac = keyed(secret)?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Ok(mac)
}

/// With `whsec_` the rest is base64 of the key, without it the text itself is the key. An empty key is
/// refused: anyone could sign with it.
fn keyed(secret: &Secret) -> Result<Hmac<Sha256>, BadSecret> {
    let key = match secret.expose().strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| BadSecret)?,
        None => secret.expose().as_bytes().to_vec(),
    };
    if key.is_empty() {
        return Err(BadSecret);
    }
    Hmac::new_from_slice(&key).map_err(|_| BadSecret)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "wh_0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    const AT: &str = "1795000000";
    const BODY: &[u8] = br#"{"object":"event","id":"evt_test_0001","type":"realtime.call.incoming","created_at":1795000000,"data":{"call_id":"rtc_u1_test0001","sip_headers":[{"name":"From","value":"<sip:+14155550101@example.net>"}]}}"#;
    const SECRET_A: &str = "whsec_Z2F0ZXdheS10ZXN0LXNpZ25pbmcta2V5LTMyYnl0ZXM=";
    const SIGNATURE_A: &str = "v1,jglUgt6aJnW03bOwE7Lm28PvK2praDd5SYXNWDuw57o=";
    const SECRET_B: &str = "plain-secret-without-prefix";
    const SIGNATURE_B: &str = "v1,UaG9I/JBTxGiiGB93aXSZt3qk8b/3vl9OqHMBlVyl6g=";
    const TOLERANCE: Duration = Duration::from_secs(300);

    fn headers(signature: &str) -> Headers<'_> {
        Headers { id: Some(ID), timestamp: Some(AT), signature: Some(signature) }
    }

    fn verify_with(secrets: &[&str], signature: &str) -> Result<(), Refusal> {
        let secrets: Vec<Secret> = secrets.iter().map(Secret::new).collect();
        let now = Timestamp::from_secs(1_795_000_000);
        verify(headers(signature), BODY, &secrets, TOLERANCE, now).map(drop)
    }

    fn verify_at(timestamp: &str, now_s: u64) -> Result<(), Refusal> {
        let secret = Secret::new(SECRET_A);
        let signature = sign(&secret, ID, timestamp, BODY).unwrap();
        let headers = Headers { timestamp: Some(timestamp), ..headers(&signature) };
        verify(headers, BODY, &[secret], TOLERANCE, Timestamp::from_secs(now_s)).map(drop)
    }

    #[test]
    fn the_vendors_vectors_hold() {
        assert_eq!(verify_with(&[SECRET_A], SIGNATURE_A), Ok(()));
        assert_eq!(verify_with(&[SECRET_B], SIGNATURE_B), Ok(()));
        assert_eq!(verify_with(&[SECRET_A], &format!("v1,AAAA {SIGNATURE_A}")), Ok(()));
        assert_eq!(verify_with(&[SECRET_A], SIGNATURE_B), Err(Refusal::NoMatch));
        assert_eq!(sign(&Secret::new(SECRET_A), ID, AT, BODY).as_deref(), Ok(SIGNATURE_A));
        assert_eq!(sign(&Secret::new(SECRET_B), ID, AT, BODY).as_deref(), Ok(SIGNATURE_B));
    }

    #[test]
    fn xais_vector_holds() {
        let body = br#"{"object":"event","id":"evt_x0001","type":"realtime.call.incoming","created_at":1795000000,"data":{"call_id":"7d1f0a52-3c0e-4b7e-9a54-2f6f5a0c9e11","sip_headers":[{"name":"From","value":"+14155550101"},{"name":"To","value":"+14155550199"}],"metadata":{}}}"#;
        let secret = Secret::new("whsec_eGFpLXNpbS10ZXN0LXNpZ25pbmcta2V5LTMyYnl0ZXM=");
        let signature = sign(&secret, "wh_x0001", AT, body);
        assert_eq!(signature.as_deref(), Ok("v1,XzvIfW9JNIYAB8nJoHFQxmj9lb4uO5S5hVmzo6WV68c="));
    }

    #[test]
    fn any_secret_and_any_signature_may_match() {
        assert_eq!(verify_with(&[SECRET_B, SECRET_A], SIGNATURE_A), Ok(()));
        assert_eq!(verify_with(&[SECRET_A], &format!("{SIGNATURE_B}\t{SIGNATURE_A}")), Ok(()));
        assert_eq!(verify_with(&[&format!("  {SECRET_A}\n")], SIGNATURE_A), Ok(()));
        assert_eq!(verify_with(&[], SIGNATURE_A), Err(Refusal::NoMatch));
    }

    #[test]
    fn signatures_of_another_shape_do_not_match() {
        for signature in ["", "v1,", "v1", "v2,jglU", &SIGNATURE_A.replace("v1,", "v1a,"), "v1,j g l"] {
            assert_eq!(verify_with(&[SECRET_A], signature), Err(Refusal::NoMatch), "{signature}");
        }
        let padding = "v1,AAAA ".repeat(SIGNATURES_MAX) + SIGNATURE_A;
        assert_eq!(verify_with(&[SECRET_A], &padding), Err(Refusal::NoMatch));
    }

    #[test]
    fn the_replay_window_is_inclusive_on_both_sides() {
        for now_s in [1_794_999_700, 1_795_000_000, 1_795_000_300] {
            assert_eq!(verify_at(AT, now_s), Ok(()), "{now_s}");
        }
        assert_eq!(verify_at(AT, 1_795_000_301), Err(Refusal::TooOld));
        assert_eq!(verify_at(AT, 1_794_999_699), Err(Refusal::TooNew));
        assert_eq!(verify_at("-9223372036854775808", 1_795_000_000), Err(Refusal::TooOld));
        assert_eq!(verify_at("9223372036854775807", 1_795_000_000), Err(Refusal::TooNew));
    }

    #[test]
    fn headers_must_be_there_and_make_sense() {
        let whole = headers(SIGNATURE_A);
        let secrets = [Secret::new(SECRET_A)];
        let now = Timestamp::from_secs(1_795_000_000);
        for (headers, expected) in [
            (Headers { id: None, ..whole }, Refusal::MissingHeader),
            (Headers { timestamp: None, ..whole }, Refusal::MissingHeader),
            (Headers { signature: None, ..whole }, Refusal::MissingHeader),
            (Headers { id: Some(""), ..whole }, Refusal::BadId),
            (Headers { id: Some(&"w".repeat(129)), ..whole }, Refusal::BadId),
            (Headers { id: Some("wh_1\u{7f}"), ..whole }, Refusal::BadId),
            (Headers { timestamp: Some("1795000000.0"), ..whole }, Refusal::BadTimestamp),
            (Headers { timestamp: Some(""), ..whole }, Refusal::BadTimestamp),
            (Headers { timestamp: Some("99999999999999999999"), ..whole }, Refusal::BadTimestamp),
        ] {
            let got = verify(headers, BODY, &secrets, TOLERANCE, now);
            assert_eq!(got, Err(expected), "{headers:?}");
        }
    }

    #[test]
    fn a_secret_that_is_no_key_is_refused() {
        for secret in ["", "  ", "whsec_", "whsec_???", "whsec_Z2F0"] {
            let usable = check_secret(&Secret::new(secret)).is_ok();
            assert_eq!(usable, secret == "whsec_Z2F0", "{secret}");
        }
        let signed_with_nothing = sign(&Secret::new(""), ID, AT, BODY);
        assert_eq!(signed_with_nothing, Err(BadSecret));
    }

    #[test]
    fn while_a_secret_is_rotated_both_verify() {
        let secrets = [SECRET_A, SECRET_B].map(Secret::new);
        let signatures = sign_with_all(&secrets, ID, AT, BODY).unwrap();
        assert_eq!(signatures, format!("{SIGNATURE_A} {SIGNATURE_B}"));
        for secret in [SECRET_A, SECRET_B] {
            assert_eq!(verify_with(&[secret], &signatures), Ok(()));
        }
    }

    #[test]
    fn a_secret_of_our_own_has_the_standards_length() {
        let of_bytes = |count| format!("whsec_{}", STANDARD.encode(vec![7; count]));
        for (secret, is_one) in [
            (of_bytes(24), true),
            (of_bytes(64), true),
            (of_bytes(23), false),
            (of_bytes(65), false),
            (SECRET_B.to_owned(), false),
            ("whsec_???".to_owned(), false),
        ] {
            assert_eq!(check_standard_secret(&Secret::new(&secret)).is_ok(), is_one, "{secret}");
        }
    }

    proptest! {
        #[test]
        fn what_was_signed_verifies_and_one_changed_byte_does_not(
            body in prop::collection::vec(any::<u8>(), 1..200),
            key in "[!-~]{1,40}",
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let secret = Secret::new(format!("k{key}"));
            let signature = sign(&secret, ID, AT, &body).unwrap();
            let now = Timestamp::from_secs(1_795_000_000);
            let check = |headers, body: &[u8]| {
                verify(headers, body, std::slice::from_ref(&secret), TOLERANCE, now)
            };
            prop_assert_eq!(check(headers(&signature), &body), Ok(WebhookId::from(ID)));

            let mut changed = body.clone();
            changed[at.index(body.len())] ^= 1 << bit;
            prop_assert_eq!(check(headers(&signature), &changed), Err(Refusal::NoMatch));

            let mut changed = signature.clone().into_bytes();
            changed[at.index(signature.len() - 3) + 3] ^= 1 << (bit % 7);
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(check(headers(&changed), &body), Err(Refusal::NoMatch));

            let mut other_id = ID.to_owned().into_bytes();
            other_id[at.index(ID.len())] ^= 1;
            let other_id = String::from_utf8(other_id).unwrap();
            let changed = Headers { id: Some(&other_id), ..headers(&signature) };
            prop_assert!(check(changed, &body).is_err());
        }

        #[test]
        fn verifying_never_panics(id: String, timestamp: String, signature: String, secret: String, body: Vec<u8>) {
            let headers = Headers { id: Some(&id), timestamp: Some(&timestamp), signature: Some(&signature) };
            let _ = verify(headers, &body, &[Secret::new(secret)], TOLERANCE, Timestamp::from_secs(0));
        }
    }
}
