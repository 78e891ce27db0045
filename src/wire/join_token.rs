//! The token that joins the provider's call to the carrier's.
//!
//! We put it into the TwiML that tells the carrier to dial; it comes back as a SIP header in the
//! provider's webhook. Anybody can dial the provider with headers of their own, so the token is signed,
//! names one call and one attempt, and is good for about as long as the carrier may dial. That it is
//! used once is kept with the call. The same call and attempt always have the same token, so that a
//! question asked twice gets the same answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::clock::Timestamp;
use crate::ids::CallId;

/// The SIP header that carries the token; carriers pass custom headers only where they begin with `X-`.
pub const TOKEN_HEADER: &str = "X-Switchboard-Token";

/// Call id, attempt, expiry in Unix seconds.
const CLAIM_BYTES: usize = 16 + 1 + 8;
/// Half of the MAC: 128 bits cannot be guessed within a token's life.
const MAC_BYTES: usize = 16;

/// Signs and verifies tokens.
#[derive(Clone)]
pub struct JoinKey([u8; 32]);

/// What a good token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The call it belongs to.
    pub call_id: CallId,
    /// Which attempt to reach the provider it was made for, from 1.
    pub attempt: u8,
    /// Until when it is good.
    pub expires: Timestamp,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not a token, or not one of ours.
    #[error("it is not one of ours")]
    Forged,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
}

impl JoinKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> JoinKey {
        JoinKey(bytes)
    }

    /// The token of a call's attempt.
    pub fn mint(&self, call_id: CallId, attempt: u8, expires: Timestamp) -> String {
        let mut token = Vec::with_capacity(CLAIM_BYTES + MAC_BYTES);
        token.extend_from_slice(call_id.as_bytes());
        token.push(attempt);
        token.extend_from_slice(&expires.as_secs().to_be_bytes());
        let mac = self.mac(&token).finalize().into_bytes();
        token.extend_from_slice(&mac[..MAC_BYTES]);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Reads a token, if it is ours and good.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Joined, TokenRefusal> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim()).map_err(|_| TokenRefusal::Forged)?;
        let (claim, mac) = bytes.split_at_checked(CLAIM_BYTES).ok_or(TokenRefusal::Forged)?;
        if mac.len() != MAC_BYTES || self.mac(claim).verify_truncated_left(mac).is_err() {
            return Err(TokenRefusal::Forged);
        }
        let (call, rest) = claim.split_first_chunk::<16>().ok_or(TokenRefusal::Forged)?;
        let (attempt, expires) = rest.split_first_chunk::<1>().ok_or(TokenRefusal::Forged)?;
        let expires: [u8; 8] = expires.try_into().map_err(|_| TokenRefusal::Forged)?;
        let expires = Timestamp::from_secs(u64::from_be_bytes(expires));
        if expires < now {
            return Err(TokenRefusal::Expired);
        }
        Ok(Joined { call_id: CallId::from_bytes(*call), attempt: attempt[0], expires })
    }

    fn mac(&self, claim: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(b"switchboard join token v1");
        mac.update(claim);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);

    fn token(key: &JoinKey) -> String {
        key.mint(CallId::new(NOW, [7; 10]), 1, Timestamp::from_secs(1_795_000_060))
    }

    #[test]
    fn a_token_says_whose_it_is_and_is_the_same_every_time() {
        let key = JoinKey::new([1; 32]);
        let joined = key.verify(&token(&key), NOW).unwrap();
        assert_eq!((joined.call_id, joined.attempt), (CallId::new(NOW, [7; 10]), 1));
        assert_eq!(token(&key), token(&key));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(token(&key).chars().all(is_plain), "nothing in it needs escaping in a SIP URI");
    }

    #[test]
    fn a_token_of_another_key_or_with_any_bit_changed_is_forged() {
        let key = JoinKey::new([1; 32]);
        assert_eq!(JoinKey::new([2; 32]).verify(&token(&key), NOW), Err(TokenRefusal::Forged));
        let bytes = URL_SAFE_NO_PAD.decode(token(&key)).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(key.verify(&changed, NOW), Err(TokenRefusal::Forged), "byte {at}");
        }
        for text in ["", "x", "💥", &"A".repeat(10_000)] {
            assert_eq!(key.verify(text, NOW), Err(TokenRefusal::Forged));
        }
    }

    #[test]
    fn a_token_ends() {
        let key = JoinKey::new([1; 32]);
        let late = Timestamp::from_secs(1_795_000_061);
        assert_eq!(key.verify(&token(&key), late), Err(TokenRefusal::Expired));
    }
}
