//! `X-Twilio-Signature`: proof that a request comes from the account that holds the key.
//!
//! The signature covers the URL as Twilio knows it and every form field, so it is checked against the
//! *configured* public base URL and the raw request target, never against `Host` or forwarded
//! headers. There is no time and no nonce in it: a request can be replayed, so callers of this module
//! must be idempotent. Every way to fail is a [`Refusal`].
//!
//! Vendor documentation: Twilio, "Webhooks security" ("Validating signatures from Twilio") and
//! "Webhook signature settings" (SharedKey). The escaped forms of a query that Twilio's npm library
//! also tries are not accepted.

mod url;
#[cfg(test)]
mod vectors;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::secret::Secret;
use crate::wire::form::Form;

/// A request whose signature is to be checked, as plain data.
#[derive(Clone, Copy)]
pub struct Signed<'a> {
    /// The configured address under which Twilio reaches us, such as `https://gw.example.jp`.
    pub public_base_url: &'a str,
    /// The request target as it stood in the request line: path and query, not decoded.
    pub target: &'a str,
    /// What was sent besides the URL.
    pub content: Content<'a>,
    /// `X-Twilio-Signature`.
    pub signature: Option<&'a str>,
    /// `X-Twilio-Webhooks-Signature-Settings`, sent with SharedKey signatures.
    pub settings: Option<&'a str>,
}

/// What was sent besides the URL, and how it is signed.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// A GET: only the URL is signed.
    Nothing,
    /// A POSTed form: its fields are signed.
    Form(&'a Form),
    /// A POSTed JSON body: its SHA-256 stands in the URL as `bodySHA256`.
    Json(&'a [u8]),
    /// The upgrade to a WebSocket: the URL is signed with the scheme `wss`. The signature is the same
    /// for every call, so it proves the account and nothing more.
    Upgrade,
}

/// What may have signed a request.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Auth tokens of the account; several while rotating.
    pub auth_tokens: &'a [Secret],
    /// Shared keys as (id, secret).
    pub shared_keys: &'a [(String, Secret)],
    /// Whether signatures made with an auth token are refused, so that leaving out the settings header
    /// cannot lower the guard.
    pub require_shared_key: bool,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// With an auth token, or a shared key that says so.
    HmacSha1,
    /// With a shared key that says so.
    HmacSha256,
}

/// Why a request is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `X-Twilio-Signature`, or an empty one.
    #[error("X-Twilio-Signature is missing")]
    MissingSignature,
    /// An auth token's signature where a shared key is required.
    #[error("the request is not signed with a shared key, which is required")]
    SharedKeyRequired,
    /// The settings header names no shared key that is configured.
    #[error("X-Twilio-Webhooks-Signature-Settings names a shared key that is not configured")]
    UnknownSharedKey,
    /// The settings header names an algorithm that is not known.
    #[error("X-Twilio-Webhooks-Signature-Settings names an algorithm that is not known")]
    UnknownAlgorithm,
    /// The body's hash is not the one in the URL, or the URL has none.
    #[error("the body's SHA-256 is not the `bodySHA256` of the URL")]
    BodyHash,
    /// The signature would fit if `CallToken` and `StirVerstat` had not been signed. Some integrators
    /// reported such requests; the vendor says all fields are signed, so they are refused too.
    #[error("X-Twilio-Signature only matches without CallToken and StirVerstat")]
    FieldsNotSigned,
    /// The signature fits no key and no form of the URL.
    #[error("X-Twilio-Signature does not match: check the auth token and the public base URL")]
    NoMatch,
}

impl Refusal {
    /// A stable name, for metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::MissingSignature => "missing_signature",
            Refusal::SharedKeyRequired => "shared_key_required",
            Refusal::UnknownSharedKey => "unknown_shared_key",
            Refusal::UnknownAlgorithm => "unknown_algorithm",
            Refusal::BodyHash => "body_hash",
            Refusal::FieldsNotSigned => "fields_not_signed",
            Refusal::NoMatch => "no_match",
        }
    }
}

/// Claims that the request was signed with one of `keys`.
pub fn verify(request: &Signed<'_>, keys: Keys<'_>) -> Result<(), Refusal> {
    let signature = request.signature.filter(|text| !text.is_empty()).ok_or(Refusal::MissingSignature)?;
    let (algorithm, secrets) = key_material(request.settings, keys)?;
    if let Content::Json(body) = request.content {
        check_body_hash(request.target, body)?;
    }
    let tag = STANDARD.decode(signature).map_err(|_| Refusal::NoMatch)?;
    let urls = match request.content {
        Content::Upgrade => url::upgrade_candidates(request.public_base_url, request.target),
        _ => url::candidates(request.public_base_url, request.target),
    };
    let matches = |fields: &[u8]| {
        let fits = |url: &String, secret: &Secret| is_signature(&tag, algorithm, secret, url, fields);
        urls.iter().any(|url| secrets.iter().any(|secret| fits(url, secret)))
    };
    let Content::Form(form) = request.content else {
        return if matches(b"") { Ok(()) } else { Err(Refusal::NoMatch) };
    };
    if matches(&signed_fields(form.as_slice())) {
        return Ok(());
    }
    Err(if matches(&fields_some_leave_out(form)) { Refusal::FieldsNotSigned } else { Refusal::NoMatch })
}

/// The value of `X-Twilio-Signature` for a request to `url` with these form fields.
pub fn sign(url: &str, form: &Form, secret: &Secret, algorithm: Algorithm) -> String {
    let fields = signed_fields(form.as_slice());
    STANDARD.encode(match algorithm {
        Algorithm::HmacSha1 => sha1_mac(secret, url, &fields).finalize().into_bytes().to_vec(),
        Algorithm::HmacSha256 => sha256_mac(secret, url, &fields).finalize().into_bytes().to_vec(),
    })
}

/// Which secrets may have made the signature, and how. Key material is chosen by the id in the settings
/// header; without an algorithm there, the auth tokens are meant.
fn key_material<'a>(settings: Option<&str>, keys: Keys<'a>) -> Result<(Algorithm, Vec<&'a Secret>), Refusal> {
    let settings = settings.unwrap_or_default();
    let setting = |wanted: &str| {
        let pairs = settings.split(',').filter_map(|part| part.split_once('='));
        let mut values = pairs.filter(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim());
        values.find(|value| !value.is_empty())
    };
    let Some(algorithm) = setting("algorithm") else {
        if keys.require_shared_key {
            return Err(Refusal::SharedKeyRequired);
        }
        return Ok((Algorithm::HmacSha1, keys.auth_tokens.iter().collect()));
    };
    let algorithm = match algorithm {
        "HMAC_SHA1" => Algorithm::HmacSha1,
        "HMAC_SHA256" => Algorithm::HmacSha256,
        _ => return Err(Refusal::UnknownAlgorithm),
    };
    let id = setting("key").ok_or(Refusal::UnknownSharedKey)?;
    let key = keys.shared_keys.iter().find(|(known, _)| known == id).ok_or(Refusal::UnknownSharedKey)?;
    Ok((algorithm, vec![&key.1]))
}

fn check_body_hash(target: &str, body: &[u8]) -> Result<(), Refusal> {
    let query = target.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let claimed = query.split('&').find_map(|field| field.strip_prefix("bodySHA256="));
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    // The hash is no secret (the sender wrote it), so a plain comparison gives nothing away.
    if claimed == Some(hash.as_str()) { Ok(()) } else { Err(Refusal::BodyHash) }
}

/// The fields as they are signed: distinct pairs, sorted by name, then value, without separators.
fn signed_fields<'a>(fields: impl IntoIterator<Item = &'a (String, String)>) -> Vec<u8> {
    let mut fields: Vec<_> = fields.into_iter().collect();
    fields.sort_unstable();
    fields.dedup();
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes
}

fn fields_some_leave_out(form: &Form) -> Vec<u8> {
    let left_out = |name: &str| name == "CallToken" || name == "StirVerstat";
    signed_fields(form.as_slice().iter().filter(|(name, _)| !left_out(name)))
}

/// Compares in constant time. An empty secret signs nothing: anyone could use it.
fn is_signature(tag: &[u8], algorithm: Algorithm, secret: &Secret, url: &str, fields: &[u8]) -> bool {
    if secret.is_empty() {
        return false;
    }
    match algorithm {
        Algorithm::HmacSha1 => sha1_mac(secret, url, fields).verify_slice(tag).is_ok(),
        Algorithm::HmacSha256 => sha256_mac(secret, url, fields).verify_slice(tag).is_ok(),
    }
}

fn sha1_mac(secret: &Secret, url: &str, fields: &[u8]) -> Hmac<Sha1> {
    let mac = Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.chain_update(url).chain_update(fields)
}

fn sha256_mac(secret: &Secret, url: &str, fields: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.chain_update(url).chain_update(fields)
}
