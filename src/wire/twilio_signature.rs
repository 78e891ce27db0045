//! Twilio's request signatures (Twilio, "Security: validating requests are coming from Twilio").
//!
//! A signature covers the URL as Twilio was told it and every form field, sorted. It is checked against
//! the *configured* public URL: what a proxy or a caller says about hosts proves nothing. HMAC-SHA1 with
//! the account's auth token, or with a shared key (public beta, September 2026) and the hash that the
//! request names.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::form::Form;
use crate::secret::Secret;

/// Keys that may sign.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Auth tokens of the account; several while rotating.
    pub auth_tokens: &'a [Secret],
    /// Shared keys by id.
    pub shared_keys: &'a [(String, Secret)],
    /// Whether a request must be signed with a shared key, so that leaving out a header is no way back.
    pub require_shared_key: bool,
}

/// A request as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The public URL of the gateway, as configured: scheme, host, port, perhaps a path.
    pub public_url: &'a str,
    /// The request's target as it came: path and query, byte for byte.
    pub target: &'a str,
    /// `X-Twilio-Signature`.
    pub signature: Option<&'a str>,
    /// `X-Twilio-Webhooks-Signature-Settings`.
    pub settings: Option<&'a str>,
}

/// What of the body is signed.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The fields of a form (POST); an empty form for GET.
    Form(&'a Form),
    /// The bytes of a JSON body, whose digest stands in the query as `bodySHA256`.
    Json(&'a [u8]),
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no signature.
    #[error("there is no signature")]
    Missing,
    /// The request names a hash we do not know.
    #[error("the signature's algorithm is not known")]
    UnknownAlgorithm,
    /// The request names a shared key we do not have.
    #[error("the signature's key is not configured")]
    UnknownKey,
    /// A shared key is required, and the request is signed with the auth token.
    #[error("a shared key is required")]
    SharedKeyRequired,
    /// The digest in the query is not that of the body.
    #[error("the body is not the one that was signed")]
    BodyChanged,
    /// No key makes the signature.
    #[error("no signature matches")]
    NoMatch,
}

impl Refusal {
    /// A short name for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Missing => "missing_signature",
            Refusal::UnknownAlgorithm => "unknown_algorithm",
            Refusal::UnknownKey => "unknown_key",
            Refusal::SharedKeyRequired => "shared_key_required",
            Refusal::BodyChanged => "body_changed",
            Refusal::NoMatch => "bad_signature",
        }
    }
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA1: always with the auth token, sometimes with a shared key.
    Sha1,
    /// HMAC-SHA256: only with a shared key.
    Sha256,
}

/// Verifies a request.
///
/// # Errors
///
/// [`Refusal`] for whatever does not hold.
pub fn verify(keys: &Keys<'_>, request: &Signed<'_>, content: Content<'_>) -> Result<(), Refusal> {
    let signature = request.signature.filter(|value| !value.is_empty()).ok_or(Refusal::Missing)?;
    let signature = STANDARD.decode(signature).map_err(|_| Refusal::NoMatch)?;
    let (secrets, algorithm) = choose_keys(keys, request.settings)?;
    let fields = match content {
        Content::Form(form) => signed_fields(form),
        Content::Json(body) => {
            check_digest(request.target, body)?;
            String::new()
        }
    };
    for url in candidates(request.public_url, request.target) {
        let text = url + &fields;
        let is_match = |secret: &&Secret| matches(algorithm, secret, &text, &signature);
        if secrets.iter().any(is_match) {
            return Ok(());
        }
    }
    Err(Refusal::NoMatch)
}

/// The signature of a form sent to `url`.
pub fn sign(algorithm: Algorithm, secret: &Secret, url: &str, form: &Form) -> String {
    let text = url.to_owned() + &signed_fields(form);
    let key = secret.expose().as_bytes();
    match algorithm {
        Algorithm::Sha1 => STANDARD.encode(sha1(key, &text).finalize().into_bytes()),
        Algorithm::Sha256 => STANDARD.encode(sha256(key, &text).finalize().into_bytes()),
    }
}

/// The URLs that Twilio may have signed for this target. For voice over HTTPS it drops the port, but its
/// back ends do not agree; the scheme never changes.
fn candidates(public_url: &str, target: &str) -> Vec<String> {
    let base = public_url.split('#').next().unwrap_or_default().trim_end_matches('/');
    let target = target.split('#').next().unwrap_or_default();
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    // In `[::1]:80` only the colon behind the bracket begins a port.
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let port_at = authority[after_bracket..].rfind(':').map(|at| at + after_bracket);
    let (host, port) = port_at.map_or((authority, None), |at| (&authority[..at], Some(&authority[at + 1..])));
    let default_port = if matches!(scheme, "https" | "wss") { "443" } else { "80" };
    let mut urls = vec![format!("{scheme}://{host}{path}{target}")];
    for port in [port, Some(default_port)].into_iter().flatten() {
        urls.push(format!("{scheme}://{host}:{port}{path}{target}"));
    }
    urls.dedup();
    urls
}

fn choose_keys<'a>(keys: &Keys<'a>, settings: Option<&str>) -> Result<(Vec<&'a Secret>, Algorithm), Refusal> {
    let part = |name: &str| {
        let pairs = settings.unwrap_or_default().split(',');
        pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
    };
    let Some(algorithm) = part("algorithm") else {
        if keys.require_shared_key {
            return Err(Refusal::SharedKeyRequired);
        }
        let tokens = keys.auth_tokens.iter().filter(|token| !token.is_empty()).collect();
        return Ok((tokens, Algorithm::Sha1));
    };
    let algorithm = match algorithm {
        "HMAC_SHA1" => Algorithm::Sha1,
        "HMAC_SHA256" => Algorithm::Sha256,
        _ => return Err(Refusal::UnknownAlgorithm),
    };
    let id = part("key").ok_or(Refusal::UnknownKey)?;
    let known = keys.shared_keys.iter().find(|(known, _)| known == id).ok_or(Refusal::UnknownKey)?;
    Ok((vec![&known.1], algorithm))
}

/// Names and values without separators: names sorted, values of one name sorted and made distinct.
fn signed_fields(form: &Form) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in form.fields() {
        sorted.entry(name).or_default().insert(value);
    }
    let pairs = sorted.iter().flat_map(|(name, values)| values.iter().map(move |value| [*name, *value]));
    pairs.flatten().collect()
}

fn check_digest(target: &str, body: &[u8]) -> Result<(), Refusal> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let named = query.split('&').find_map(|pair| pair.strip_prefix("bodySHA256="));
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    if named == Some(digest.as_str()) { Ok(()) } else { Err(Refusal::BodyChanged) }
}

fn matches(algorithm: Algorithm, secret: &Secret, text: &str, signature: &[u8]) -> bool {
    let key = secret.expose().as_bytes();
    match algorithm {
        Algorithm::Sha1 => sha1(key, text).verify_slice(signature).is_ok(),
        Algorithm::Sha256 => sha256(key, text).verify_slice(signature).is_ok(),
    }
}

fn sha1(key: &[u8], text: &str) -> Hmac<Sha1> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac
}

fn sha256(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac
}
