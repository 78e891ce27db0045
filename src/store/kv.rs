//! Small values that plugins keep, each plugin in a namespace of its own.
//!
//! A value is bytes with a revision and, if wished, an end. An expired value is as good as absent; its space is
//! taken back when the namespace needs it. A namespace may keep a number of keys and of bytes, counted
//! as stored: keys escaped, values as JSON; who writes may have to leave it smaller than the store itself
//! would. `put` and `delete` are durable when they return.
//!
//! Revisions are numbers of journal records: they only grow, and none is ever given twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Store;
use super::committer::{Request, View};
use super::error::StoreError;
use super::index::with_prefix;
use super::key;
use super::tx::{Op, json};
use crate::clock::Timestamp;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// The largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 * 1024;
/// The most keys listed at once.
pub const LIST_MAX: u32 = 1_000;
/// The most expired values that are removed for one put.
const EXPIRED_MAX: usize = 1_000;

/// A plugin's values. A cheap handle.
#[derive(Clone)]
pub struct KeyValue {
    store: Store,
    namespace: Arc<str>,
    quota: Quota,
}

/// How much a namespace may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Keys.
    pub keys_max: u64,
    /// Bytes of keys and values, as they are stored.
    pub bytes_max: u64,
}

/// A value as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Changes with every put; for compare-and-set.
    pub revision: u64,
}

/// Some of a namespace's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Keys in a fixed order (that of letters, for keys of ASCII letters and digits).
    pub keys: Vec<String>,
    /// Where to go on; none at the end.
    pub next: Option<String>,
}

impl KeyValue {
    pub(super) fn new(store: Store, namespace: &str) -> KeyValue {
        let settings = &store.0.shared.settings;
        let quota = Quota { keys_max: settings.plugin_keys_max, bytes_max: settings.plugin_bytes_max };
        KeyValue { store, namespace: Arc::from(namespace), quota }
    }

    /// The same values, where a put may leave the namespace no larger than this. Of two plugins that share a
    /// namespace each is held to its own.
    pub fn within(self, quota: Quota) -> KeyValue {
        KeyValue { quota, ..self }
    }

    /// The value under `key`, unless there is none or it has expired.
    pub async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let key = self.full_key(key)?;
        let Some(text) = self.store.0.shared.index.get(&key)? else { return Ok(None) };
        let stored = Stored::parse(&key, &text)?;
        if stored.has_expired(self.store.0.shared.clock.now()) {
            return Ok(None);
        }
        let (revision, value) = (stored.rev, stored.value(&key)?);
        Ok(Some(Entry { value, revision }))
    }

    /// Keeps `value` under `key`, for `ttl` if one is given; gives the new revision.
    ///
    /// With `if_revision` it is only kept while the present revision is that one, 0 meaning that there must be
    /// none; else the error is [`StoreError::Conflict`]. [`StoreError::Quota`] and [`StoreError::TooLarge`]
    /// tell of bounds.
    pub async fn put(
        &self,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
        if_revision: Option<u64>,
    ) -> Result<u64, StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            let bytes = value.len();
            return Err(StoreError::TooLarge { what: "a plugin's value", bytes, bytes_max: VALUE_BYTES_MAX });
        }
        let expires = ttl.map(|ttl| self.store.0.shared.clock.now() + ttl);
        let stored = Stored::new(value, expires);
        let committed = self.change(key, Some(stored), if_revision).await?;
        Ok(committed.seq.unwrap_or_default())
    }

    /// Removes what is kept under `key`; says whether there was something.
    pub async fn delete(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.change(key, None, None).await?.seq.is_some())
    }

    /// Up to `limit` (at most [`LIST_MAX`]) keys that begin with `prefix`, after the key `cursor`.
    pub async fn list(&self, prefix: &str, cursor: Option<&str>, limit: u32) -> Result<Keys, StoreError> {
        let space = key::namespace(&self.namespace);
        let prefix = format!("{space}{}", key::escape(prefix));
        let from = match cursor {
            // The first key after the cursor's.
            Some(cursor) => prefix.clone().max(format!("{space}{}\u{1}", key::escape(cursor))),
            None => prefix.clone(),
        };
        let now = self.store.0.shared.clock.now();
        let limit = limit.clamp(1, LIST_MAX) as usize;
        self.store
            .scan(move |index| {
                let mut keys = Vec::new();
                for full in index.keys(&(from..with_prefix(&prefix).end)) {
                    let full = full?;
                    let Some(text) = index.get(&full)? else { continue };
                    if Stored::parse(&full, &text)?.has_expired(now) {
                        continue;
                    }
                    if keys.len() == limit {
                        return Ok(Keys { next: keys.last().cloned(), keys });
                    }
                    keys.push(
                        key::unescape(&full[space.len()..])
                            .ok_or_else(|| unreadable(&full, "not an escaped key"))?,
                    );
                }
                Ok(Keys { keys, next: None })
            })
            .await
    }

    async fn change(
        &self,
        key: &str,
        value: Option<Stored>,
        if_revision: Option<u64>,
    ) -> Result<super::Committed, StoreError> {
        let (key, namespace, quota) = (self.full_key(key)?, self.namespace.clone(), self.quota);
        let change = Change { key, namespace, quota, value, if_revision };
        self.store.request(|answer| Request::Kv(change, answer)).await?.await
    }

    fn full_key(&self, key: &str) -> Result<String, StoreError> {
        if key.len() > KEY_BYTES_MAX {
            let bytes = key.len();
            return Err(StoreError::TooLarge { what: "a plugin's key", bytes, bytes_max: KEY_BYTES_MAX });
        }
        Ok(format!("{}{}", key::namespace(&self.namespace), key::escape(key)))
    }
}

/// A value as it stands in the journal: text as text, other bytes in Base64.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    rev: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl Stored {
    fn new(value: &[u8], expires: Option<Timestamp>) -> Stored {
        let text = std::str::from_utf8(value).ok().map(str::to_owned);
        let base64 = text.is_none().then(|| STANDARD.encode(value));
        Stored { rev: 0, expires, text, base64 }
    }

    fn parse(key: &str, json: &[u8]) -> Result<Stored, StoreError> {
        serde_json::from_slice(json).map_err(|error| unreadable(key, &error.to_string()))
    }

    fn value(self, key: &str) -> Result<Vec<u8>, StoreError> {
        match (self.text, self.base64) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(base64)) => STANDARD.decode(base64).map_err(|_| unreadable(key, "not Base64")),
            _ => Err(unreadable(key, "neither text nor Base64")),
        }
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn unreadable(key: &str, problem: &str) -> StoreError {
    StoreError::Corrupt { key: key.to_owned(), problem: problem.to_owned() }
}

/// A put or a delete on its way to the committer.
pub(super) struct Change {
    namespace: Arc<str>,
    quota: Quota,
    key: String,
    /// What to keep; none to delete.
    value: Option<Stored>,
    if_revision: Option<u64>,
}

/// What each namespace has used up; belongs to the committer.
#[derive(Default)]
pub(super) struct Ledger {
    spaces: HashMap<Arc<str>, Used>,
}

#[derive(Clone, Copy, Default)]
struct Used {
    keys: u64,
    bytes: u64,
    /// Before this nothing expires.
    first_expiry: Option<Timestamp>,
}

impl Ledger {
    /// Deletes expired values of a namespace that is about to need their space.
    pub(super) fn make_room(
        &mut self,
        change: &Change,
        view: &View<'_>,
        now: Timestamp,
    ) -> Result<Vec<Op>, StoreError> {
        let used = self.used(&change.namespace, view)?;
        let needs_room = change.value.is_some()
            && (used.keys >= change.quota.keys_max
                || used.bytes + 2 * VALUE_BYTES_MAX as u64 > change.quota.bytes_max);
        if !needs_room || used.first_expiry.is_none_or(|first| first > now) {
            return Ok(Vec::new());
        }
        let mut kept = Used::default();
        let mut ops = Vec::new();
        for (key, value) in view.values(&key::namespace(&change.namespace))? {
            let expires = Stored::parse(&key, &value)?.expires;
            if expires.is_some_and(|expires| expires <= now) && ops.len() < EXPIRED_MAX {
                ops.push(Op::delete(key));
            } else {
                kept.add(&key, value.len(), expires);
            }
        }
        self.spaces.insert(change.namespace.clone(), kept);
        Ok(ops)
    }

    /// Decides a change; gives what to write, which is nothing for the deletion of what is not there.
    pub(super) fn decide(
        &mut self,
        change: Change,
        view: &View<'_>,
        now: Timestamp,
        revision: u64,
    ) -> Result<Option<Op>, StoreError> {
        let mut used = self.used(&change.namespace, view)?;
        let mut present = None;
        if let Some(old) = view.get(&change.key)? {
            let stored = Stored::parse(&change.key, &old)?;
            used.remove(&change.key, old.len());
            present = (!stored.has_expired(now)).then_some(stored.rev);
        }
        if change.if_revision.is_some_and(|wanted| wanted != present.unwrap_or(0)) {
            let what = format!("the value is at revision {}", present.unwrap_or(0));
            return Err(StoreError::Conflict { what });
        }
        let Some(mut value) = change.value else {
            if present.is_some() {
                self.spaces.insert(change.namespace, used);
            }
            return Ok(present.map(|_| Op::delete(change.key)));
        };
        value.rev = revision;
        let text = json(&value);
        used.add(&change.key, text.len(), value.expires);
        check(&change.namespace, change.quota, used)?;
        self.spaces.insert(change.namespace, used);
        Ok(Some(Op::put(change.key, text)))
    }

    /// What a namespace has used; counted when it is first asked for.
    fn used(&mut self, namespace: &Arc<str>, view: &View<'_>) -> Result<Used, StoreError> {
        if let Some(used) = self.spaces.get(namespace) {
            return Ok(*used);
        }
        let mut used = Used::default();
        for (key, value) in view.values(&key::namespace(namespace))? {
            used.add(&key, value.len(), Stored::parse(&key, &value)?.expires);
        }
        self.spaces.insert(namespace.clone(), used);
        Ok(used)
    }
}

fn check(namespace: &str, quota: Quota, used: Used) -> Result<(), StoreError> {
    let refused = |what, max| StoreError::Quota { namespace: namespace.to_owned(), what, max };
    if used.keys > quota.keys_max {
        return Err(refused("keys", quota.keys_max));
    }
    if used.bytes > quota.bytes_max {
        return Err(refused("bytes", quota.bytes_max));
    }
    Ok(())
}

impl Used {
    fn add(&mut self, key: &str, value_bytes: usize, expires: Option<Timestamp>) {
        self.keys += 1;
        self.bytes += (key.len() + value_bytes) as u64;
        self.first_expiry = match (self.first_expiry, expires) {
            (Some(first), Some(expires)) => Some(first.min(expires)),
            (first, expires) => first.or(expires),
        };
    }

    fn remove(&mut self, key: &str, value_bytes: usize) {
        self.keys -= 1;
        self.bytes -= (key.len() + value_bytes) as u64;
    }
}
