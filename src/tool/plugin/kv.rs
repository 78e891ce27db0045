//! What plugins keep between calls: the port through which they do.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::store::{KeyValue, StoreError};

/// A value and how often it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Grows with every change of the key.
    pub revision: u64,
}

/// Some keys of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys, in order.
    pub keys: Vec<String>,
    /// Where the next page begins; none on the last one.
    pub next: Option<String>,
}

/// Why a plugin's value was not kept or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// The key or the value is too large.
    #[error("the key or the value is too large")]
    TooLarge,
    /// The namespace is full.
    #[error("the namespace is full")]
    Quota,
    /// The key is at another revision.
    #[error("the key is at another revision")]
    Conflict,
    /// The store does not answer.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

/// What an operation on values gives.
pub type Kept<'a, T> = Pin<Box<dyn Future<Output = Result<T, KeyValueError>> + Send + 'a>>;

/// One namespace of values.
pub trait KeyValueStore: Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, key: &'a str) -> Kept<'a, Option<Entry>>;

    /// Keeps a value; gives the key's new revision. `if_revision`: only at this one, 0 for none.
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Vec<u8>,
        ttl: Option<Duration>,
        if_revision: Option<u64>,
    ) -> Kept<'a, u64>;

    /// Forgets a key; gives whether there was one.
    fn delete<'a>(&'a self, key: &'a str) -> Kept<'a, bool>;

    /// Keys that begin with `prefix`, after a key.
    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>, limit: u32) -> Kept<'a, KeyPage>;
}

/// Keeps nothing: for looking at a plugin without running it for anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingKept;

impl KeyValueStore for NothingKept {
    fn get<'a>(&'a self, _: &'a str) -> Kept<'a, Option<Entry>> {
        Box::pin(async { Ok(None) })
    }

    fn put<'a>(&'a self, _: &'a str, _: Vec<u8>, _: Option<Duration>, _: Option<u64>) -> Kept<'a, u64> {
        Box::pin(async { Err(KeyValueError::Unavailable("nothing is kept here".to_owned())) })
    }

    fn delete<'a>(&'a self, _: &'a str) -> Kept<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>, _: u32) -> Kept<'a, KeyPage> {
        Box::pin(async { Ok(KeyPage::default()) })
    }
}

impl KeyValueStore for KeyValue {
    fn get<'a>(&'a self, key: &'a str) -> Kept<'a, Option<Entry>> {
        Box::pin(async move {
            let found = KeyValue::get(self, key).await.map_err(refused)?;
            Ok(found.map(|entry| Entry { value: entry.value, revision: entry.revision }))
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: Vec<u8>,
        ttl: Option<Duration>,
        if_revision: Option<u64>,
    ) -> Kept<'a, u64> {
        Box::pin(async move { KeyValue::put(self, key, &value, ttl, if_revision).await.map_err(refused) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Kept<'a, bool> {
        Box::pin(async move { KeyValue::delete(self, key).await.map_err(refused) })
    }

    fn list<'a>(&'a self, prefix: &'a str, after: Option<&'a str>, limit: u32) -> Kept<'a, KeyPage> {
        Box::pin(async move {
            let page = KeyValue::list(self, prefix, after, limit).await.map_err(refused)?;
            Ok(KeyPage { keys: page.keys, next: page.next })
        })
    }
}

fn refused(error: StoreError) -> KeyValueError {
    match error {
        StoreError::TooLarge { .. } => KeyValueError::TooLarge,
        StoreError::Quota { .. } => KeyValueError::Quota,
        StoreError::Conflict { .. } => KeyValueError::Conflict,
        other => KeyValueError::Unavailable(other.to_string()),
    }
}
