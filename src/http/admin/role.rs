//! What an operator may do, and the tokens that say so.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Entropy;
use crate::text::hex;

/// What stands before the digits of a token's hash.
const HASH_PREFIX: &str = "sha256:";
/// What a token begins with, so that it is known where it is found.
const TOKEN_PREFIX: &str = "swb_";

/// What somebody may see and do. Each role has what the one before it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees calls without words and with masked numbers, and how the gateway fares.
    Viewer,
    /// Reads and hears what was said.
    Listener,
    /// Acts on calls, features and tools.
    Operator,
    /// Deletes, compacts, hands over, reads the audit log.
    Admin,
}

impl Role {
    /// All of them, the lowest first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Listener, Role::Operator, Role::Admin];

    /// The name as it stands in the configuration and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Listener => "listener",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write `viewer`, `listener`, `operator` or `admin`")]
pub struct NotARole;

impl FromStr for Role {
    type Err = NotARole;

    fn from_str(text: &str) -> Result<Role, NotARole> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(NotARole)
    }
}

/// A token as the gateway knows it: by its digest. Tokens are long and random, so that a plain digest gives
/// nothing away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// Whose it is, for the audit log.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its SHA-256.
    pub digest: [u8; 32],
}

impl TokenSettings {
    /// What the gateway keeps of this token.
    pub fn of(name: &str, role: Role, token: &str) -> TokenSettings {
        TokenSettings { name: name.to_owned(), role, digest: Sha256::digest(token).into() }
    }

    /// The digest as the configuration has it: `sha256:` and 64 hexadecimal digits.
    pub fn hash(&self) -> String {
        format!("{HASH_PREFIX}{}", hex(&self.digest))
    }
}

/// The digest in a text such as `sha256:9f86…`; none where it is no such text.
pub fn digest_in(hash: &str) -> Option<[u8; 32]> {
    let digits = hash.strip_prefix(HASH_PREFIX)?;
    let is_hex = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    is_hex.then_some(digest)
}

/// A new token, which nobody can guess.
pub fn new_token(entropy: &Entropy) -> String {
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_digest() {
        let token = TokenSettings::of("ops", Role::Operator, &new_token(&Entropy::seeded(1)));
        assert_eq!(digest_in(&token.hash()), Some(token.digest));
        for bad in ["", "sha256:", "sha256:zz", "md5:00", &token.hash()[7..], &format!("{}0", token.hash())] {
            assert_eq!(digest_in(bad), None, "{bad}");
        }
        assert_eq!(digest_in(&format!("sha256:{}", "é".repeat(32))), None);
    }

    #[test]
    fn roles_are_in_order() {
        assert!(Role::ALL.is_sorted());
        assert_eq!("operator".parse(), Ok(Role::Operator));
        assert_eq!("root".parse::<Role>(), Err(NotARole));
    }
}
