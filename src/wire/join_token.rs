//! The token that joins a carrier's call to a provider's call.
//!
//! We hand it to the carrier in TwiML, the carrier puts it into the INVITE as header [`HEADER`], and
//! the provider repeats it in its webhook. INVITEs can be forged by anyone who knows the project's
//! address; a valid token cannot. It says which call and which attempt it was made for and until when
//! it holds. That it is used once is for whoever keeps the calls to see to.
//!
//! Its text is 55 characters of URL-safe base64: nothing in it needs escaping in a SIP URI.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::ids::CallId;

/// The SIP header that carries the token.
pub const HEADER: &str = "X-Switchboard-Token";
/// The parameter of a media stream that carries it, where the audio passes through us.
pub const PARAMETER: &str = "token";

/// Keeps these signatures apart from any other use of the same key, and from later formats.
const DOMAIN: &[u8] = b"switchboard join token 1";

/// Call id, attempt, expiry in microseconds.
const CLAIM_BYTES: usize = 16 + 1 + 8;

/// 128 bits cannot be guessed, and keep the token short: carriers bound a URI's headers to 1024 bytes.
const TAG_BYTES: usize = 16;

/// The key of the tokens. It prints as `***`.
#[derive(Clone)]
pub struct JoinKey([u8; 32]);

impl JoinKey {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> JoinKey {
        JoinKey(bytes)
    }

    /// Makes the token of one attempt to dial the provider; the same text for the same arguments.
    pub fn mint(&self, call_id: CallId, attempt: u8, expires: Timestamp) -> String {
        let mut token = Vec::with_capacity(CLAIM_BYTES + TAG_BYTES);
        token.extend_from_slice(call_id.as_bytes());
        token.push(attempt);
        token.extend_from_slice(&expires.as_micros().to_be_bytes());
        let tag = self.mac(&token).finalize().into_bytes();
        token.extend_from_slice(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Reads a token that this key made and that has not expired.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Joined, TokenRefusal> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenRefusal::Malformed)?;
        let (claim, tag) = bytes.split_first_chunk::<CLAIM_BYTES>().ok_or(TokenRefusal::Malformed)?;
        // A shorter tag would also be a prefix of the right one, and easier to guess.
        let tag: &[u8; TAG_BYTES] = tag.try_into().map_err(|_| TokenRefusal::Malformed)?;
        self.mac(claim).verify_truncated_left(tag).map_err(|_| TokenRefusal::BadSignature)?;
        let joined = read(claim).ok_or(TokenRefusal::Malformed)?;
        if now > joined.expires {
            return Err(TokenRefusal::Expired);
        }
        Ok(joined)
    }

    fn mac(&self, claim: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(DOMAIN).chain_update(claim)
    }
}

impl fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The call it was made for.
    pub call_id: CallId,
    /// Which attempt to dial the provider, from 1.
    pub attempt: u8,
    /// The last moment it holds.
    pub expires: Timestamp,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not the shape of a token.
    #[error("not a join token")]
    Malformed,
    /// Not made by this key.
    #[error("the join token's signature is wrong")]
    BadSignature,
    /// It held once.
    #[error("the join token has expired")]
    Expired,
}

impl TokenRefusal {
    /// A stable name, for metric labels and records.
    pub fn name(self) -> &'static str {
        match self {
            TokenRefusal::Malformed => "malformed",
            TokenRefusal::BadSignature => "bad_signature",
            TokenRefusal::Expired => "expired",
        }
    }
}

fn read(claim: &[u8; CLAIM_BYTES]) -> Option<Joined> {
    let (call_id, rest) = claim.split_first_chunk::<16>()?;
    let (attempt, expires) = rest.split_first()?;
    let expires = u64::from_be_bytes(expires.try_into().ok()?);
    Some(Joined {
        call_id: CallId::from_bytes(*call_id),
        attempt: *attempt,
        expires: Timestamp::from_micros(expires),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
    const EXPIRES: Timestamp = Timestamp::from_secs(1_795_000_060);

    fn key() -> JoinKey {
        JoinKey::new([7; 32])
    }

    fn call_id() -> CallId {
        CallId::new(NOW, [1; 10])
    }

    #[test]
    fn a_token_says_what_it_was_made_for() {
        let token = key().mint(call_id(), 2, EXPIRES);
        let joined = Joined { call_id: call_id(), attempt: 2, expires: EXPIRES };
        assert_eq!(key().verify(&token, NOW), Ok(joined));
        assert_eq!(token, key().mint(call_id(), 2, EXPIRES));
        assert_eq!(token.len(), 55);
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn a_token_ends() {
        let token = key().mint(call_id(), 1, EXPIRES);
        assert!(key().verify(&token, EXPIRES).is_ok());
        let later = Timestamp::from_micros(EXPIRES.as_micros() + 1);
        assert_eq!(key().verify(&token, later), Err(TokenRefusal::Expired));
    }

    #[test]
    fn another_key_or_shape_is_refused() {
        let token = key().mint(call_id(), 1, EXPIRES);
        assert_eq!(JoinKey::new([8; 32]).verify(&token, NOW), Err(TokenRefusal::BadSignature));
        for text in ["", "x", "call_01", &token[..54], &format!("{token}A"), &format!("{token}="), " "] {
            assert_eq!(key().verify(text, NOW), Err(TokenRefusal::Malformed), "{text}");
        }
        // Only the claim, with no tag at all, or a tag cut short.
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for length in CLAIM_BYTES..bytes.len() {
            let cut = URL_SAFE_NO_PAD.encode(&bytes[..length]);
            assert_eq!(key().verify(&cut, NOW), Err(TokenRefusal::Malformed));
        }
        assert_eq!(format!("{:?}", key()), "***");
    }

    proptest! {
        #[test]
        fn one_changed_character_is_refused(at in 0_usize..55, other in "[A-Za-z0-9_-]") {
            let token = key().mint(call_id(), 1, EXPIRES);
            let mut changed = token.clone();
            changed.replace_range(at..at + 1, &other);
            prop_assume!(changed != token);
            prop_assert!(key().verify(&changed, NOW).is_err());
        }

        #[test]
        fn verifying_never_panics(text: String, bytes: Vec<u8>) {
            let _ = key().verify(&text, NOW);
            let _ = key().verify(&URL_SAFE_NO_PAD.encode(bytes), NOW);
        }
    }
}
