//! Encryption at rest: what was said and what tools did, sealed before it is written and opened when it is read.
//!
//! Sealed are the values of calls, transcript lines, tool calls, events, notifications and plugins' values, and the
//! sound of recordings. Keys of the index (ids, times, states, and numbers, so that a caller can be found and forgotten), usage
//! and the records of recordings stay readable. The cipher is AES-256-GCM-SIV with a random nonce, of the library that
//! TLS uses; what is sealed is bound to its place, so it cannot be moved to another one unseen.
//!
//! The first key of `store.encryption_keys` seals, all of them open: a new key is put first, and after a compaction the
//! old one is needed only for recordings that it sealed. Which keys are needed stands in the file `keys`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::error::{OpenError, StoreError};
use super::{files, key};
use crate::secret::Secret;
use crate::text::hex;

/// The bytes of a key.
const KEY_BYTES: usize = 32;
/// How many letters of a key's digest name it.
const ID_CHARS: usize = 8;
/// What sealing adds to some bytes: the nonce and the tag.
pub(super) const ADDED_BYTES: usize = NONCE_LEN + 16;
/// How a sealed value begins in the journal: it is a JSON string, and no value that is sealed is one by itself.
const MARK: &str = "\"~1";
/// The file that names the keys without which not everything here can be read.
const KEYS: &str = "keys";

/// The keys of one store; none: nothing is sealed. A cheap handle.
#[derive(Clone, Default)]
pub struct Vault(Arc<Vec<Key>>);

struct Key {
    id: String,
    cipher: RandomizedNonceKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

/// Text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key for encryption is 32 bytes in base64")]
pub struct NotAKey;

/// Something is sealed with a key that is not there, or was altered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Locked {
    #[error("it is sealed with the key {0}, which is not among `store.encryption_keys`")]
    NoKey(String),
    #[error("it is sealed, and was altered or cut")]
    Altered,
}

/// What the file `keys` says.
#[derive(Default, Serialize, Deserialize)]
struct Needed {
    keys: BTreeSet<String>,
}

impl Vault {
    /// Keys as they stand in the configuration; the first one seals.
    ///
    /// # Errors
    ///
    /// One of them is none.
    pub fn new(secrets: &[Secret]) -> Result<Vault, NotAKey> {
        let key = |secret: &Secret| {
            let bytes = STANDARD.decode(secret.expose()).map_err(|_| NotAKey)?;
            if bytes.len() != KEY_BYTES {
                return Err(NotAKey);
            }
            let mut id = hex(&Sha256::digest(&bytes));
            id.truncate(ID_CHARS);
            let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| NotAKey)?;
            Ok(Key { id, cipher })
        };
        Ok(Vault(Arc::new(secrets.iter().map(key).collect::<Result<_, _>>()?)))
    }

    /// The name of the key that seals; none: nothing is sealed.
    pub(super) fn seals_with(&self) -> Option<&str> {
        self.0.first().map(|key| key.id.as_str())
    }

    /// Sees to it that every key that is needed is here, and writes down that the first one will be.
    pub(super) fn prepare(&self, data: &Path) -> Result<(), OpenError> {
        let mut needed = Needed::read(data)?;
        if let Some(missing) = needed.keys.iter().find(|id| self.find(id).is_err()) {
            return Err(OpenError::Sealed { path: data.to_owned(), key: missing.clone() });
        }
        match self.seals_with() {
            Some(id) if needed.keys.insert(id.to_owned()) => needed.write(data),
            _ => Ok(()),
        }
    }

    /// All values are sealed with the key that seals: the others are needed only for recordings, which say so themselves.
    pub(super) fn settle(&self, data: &Path) -> Result<(), OpenError> {
        match self.seals_with() {
            Some(id) => Needed { keys: BTreeSet::from([id.to_owned()]) }.write(data),
            None => Ok(()),
        }
    }

    // === values ===

    /// The value as it is written: sealed, where it is of a kind that is.
    pub(super) fn seal_value(&self, key: &str, json: String) -> String {
        let (Some(first), true) = (self.0.first(), key::is_sealed(key)) else { return json };
        let sealed = first.seal(key.as_bytes(), json.as_bytes());
        format!("{MARK}{}{}\"", first.id, STANDARD_NO_PAD.encode(sealed))
    }

    /// The value as it was before it was sealed.
    pub(super) fn open_value<'a>(&self, key: &str, value: &'a [u8]) -> Result<Cow<'a, [u8]>, StoreError> {
        let is_sealed = value.starts_with(MARK.as_bytes()) && key::is_sealed(key);
        if !is_sealed {
            return Ok(Cow::Borrowed(value));
        }
        let opened = self.open_text(key, value);
        opened
            .map(Cow::Owned)
            .map_err(|locked| StoreError::Corrupt { key: key.to_owned(), problem: locked.to_string() })
    }

    /// The value as it would be written now; the same text where nothing is to be done. Claims whether it is another one.
    pub(super) fn renew_value<'a>(
        &self,
        key: &str,
        value: &'a str,
    ) -> Result<(Cow<'a, str>, bool), StoreError> {
        let Some(id) = self.seals_with().filter(|_| key::is_sealed(key)) else {
            return Ok((Cow::Borrowed(value), false));
        };
        let is_current = value.strip_prefix(MARK).is_some_and(|rest| rest.starts_with(id));
        if is_current {
            return Ok((Cow::Borrowed(value), false));
        }
        let plain = self.open_value(key, value.as_bytes())?;
        let plain = String::from_utf8_lossy(&plain).into_owned();
        Ok((Cow::Owned(self.seal_value(key, plain)), true))
    }

    fn open_text(&self, key: &str, value: &[u8]) -> Result<Vec<u8>, Locked> {
        let text = std::str::from_utf8(value).map_err(|_| Locked::Altered)?;
        let text = text.strip_prefix(MARK).and_then(|rest| rest.strip_suffix('"')).ok_or(Locked::Altered)?;
        let (id, sealed) = text.split_at_checked(ID_CHARS).ok_or(Locked::Altered)?;
        let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| Locked::Altered)?;
        self.find(id)?.open(key.as_bytes(), sealed)
    }

    // === pieces of files ===

    /// Seals a piece of a file with the key that seals.
    pub(super) fn seal_piece(&self, place: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.first().map(|key| key.seal(place.as_bytes(), bytes))
    }

    /// Opens a piece of a file.
    pub(super) fn open_piece(&self, id: &str, place: &str, sealed: Vec<u8>) -> Result<Vec<u8>, Locked> {
        self.find(id)?.open(place.as_bytes(), sealed)
    }

    fn find(&self, id: &str) -> Result<&Key, Locked> {
        self.0.iter().find(|key| key.id == id).ok_or_else(|| Locked::NoKey(id.to_owned()))
    }
}

impl Key {
    fn seal(&self, place: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut text = bytes.to_vec();
        let nonce = self.cipher.seal_in_place_append_tag(Aad::from(place), &mut text);
        // It fails for a text of more than 2^36 bytes, and without the system's chance, without which nothing goes.
        let nonce = nonce.expect("what is sealed is bounded");
        let mut sealed = Vec::with_capacity(text.len() + NONCE_LEN);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        sealed
    }

    fn open(&self, place: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, Locked> {
        if sealed.len() < ADDED_BYTES {
            return Err(Locked::Altered);
        }
        let mut text = sealed.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).map_err(|_| Locked::Altered)?;
        let opened = self.cipher.open_in_place(nonce, Aad::from(place), &mut text);
        let bytes = opened.map_err(|_| Locked::Altered)?.len();
        text.truncate(bytes);
        Ok(text)
    }
}

impl Needed {
    fn read(data: &Path) -> Result<Needed, OpenError> {
        let path = data.join(KEYS);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| OpenError::Damaged {
                path,
                problem: format!("it cannot be read ({error})"),
                fix: "write {\"keys\":[]} into it: what is sealed tells its key itself",
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Needed::default()),
            Err(error) => Err(OpenError::io("read", &path, error)),
        }
    }

    fn write(&self, data: &Path) -> Result<(), OpenError> {
        let written = files::replace(data, KEYS, &super::tx::json(self));
        written.map_err(|error| OpenError::io("write", &data.join(KEYS), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Secret {
        Secret::new(STANDARD.encode([byte; KEY_BYTES]))
    }

    const PLACE: &str = "l/call_1/00000001";
    const WORDS: &str = r#"{"text":"my card is 4111"}"#;

    #[test]
    fn what_is_sealed_is_read_by_its_key_at_its_place_only() {
        let vault = Vault::new(&[key(1)]).unwrap();
        let sealed = vault.seal_value(PLACE, WORDS.to_owned());
        assert!(!sealed.contains("4111") && serde_json::from_str::<String>(&sealed).is_ok(), "{sealed}");
        assert_ne!(sealed, vault.seal_value(PLACE, WORDS.to_owned()), "another nonce");
        assert_eq!(vault.open_value(PLACE, sealed.as_bytes()).unwrap(), WORDS.as_bytes());
        let refused =
            |vault: &Vault, place: &str, sealed: &str| match vault.open_value(place, sealed.as_bytes()) {
                Err(StoreError::Corrupt { problem, .. }) => problem,
                other => panic!("{other:?}"),
            };
        assert!(refused(&vault, "l/call_1/00000002", &sealed).contains("altered"));
        let altered = sealed.replacen('A', "B", 1).replacen('a', "b", 1);
        assert!(altered == sealed || !refused(&vault, PLACE, &altered).is_empty());
        assert!(refused(&vault, PLACE, &format!("{}\"", &sealed[..20])).contains("altered"));
        assert!(refused(&Vault::new(&[key(2)]).unwrap(), PLACE, &sealed).contains("store.encryption_keys"));
        assert!(refused(&Vault::default(), PLACE, &sealed).contains("store.encryption_keys"));
    }

    #[test]
    fn a_new_key_takes_over_and_the_old_one_still_opens() {
        let (old, both) = (Vault::new(&[key(1)]).unwrap(), Vault::new(&[key(2), key(1)]).unwrap());
        let sealed = old.seal_value(PLACE, WORDS.to_owned());
        assert_eq!(both.open_value(PLACE, sealed.as_bytes()).unwrap(), WORDS.as_bytes());
        let (renewed, is_another) = both.renew_value(PLACE, &sealed).unwrap();
        assert!(is_another && Vault::new(&[key(2)]).unwrap().open_value(PLACE, renewed.as_bytes()).is_ok());
        assert!(!both.renew_value(PLACE, &renewed).unwrap().1, "once");
        assert!(both.renew_value(PLACE, WORDS).unwrap().1, "what was never sealed is sealed, too");
        assert_eq!(both.renew_value("u/call_1/00000001", WORDS).unwrap(), (WORDS.into(), false));
    }

    #[test]
    fn a_store_says_which_key_it_needs() {
        let data = tempfile::tempdir().unwrap();
        Vault::default().prepare(data.path()).unwrap();
        assert!(!data.path().join(KEYS).exists(), "nothing is sealed");
        Vault::new(&[key(1)]).unwrap().prepare(data.path()).unwrap();
        Vault::new(&[key(2), key(1)]).unwrap().prepare(data.path()).unwrap();
        for vault in [Vault::default(), Vault::new(&[key(2)]).unwrap()] {
            assert!(matches!(vault.prepare(data.path()), Err(OpenError::Sealed { .. })));
        }
        assert_eq!(Vault::new(&[Secret::new("short")]).unwrap_err(), NotAKey);
    }
}
