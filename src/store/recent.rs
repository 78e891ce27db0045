//! What was committed but is not in sled yet.
//!
//! sled is slow to take small batches: each costs two writes and wakes its pool of threads. So a commit
//! becomes visible here, in memory, and every so often all of it is handed to sled as one [`Layer`], in which
//! a key that was written ten times stands once. Readers look here first. Nothing is lost with this
//! memory, for the journal has it all.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sled::IVec;

/// Above this the committer waits for sled.
const BYTES_MAX: usize = 32 << 20;
/// How often a waiting committer looks whether sled is still alive.
const WAIT: Duration = Duration::from_millis(100);
/// About what an entry costs beside its key and value.
const ENTRY_BYTES: usize = 64;

/// Changes of keys, and the journal record that the last of them came from.
#[derive(Default)]
pub(super) struct Layer {
    entries: BTreeMap<String, Option<String>>,
    bytes: usize,
    seq: u64,
    crc: u32,
}

impl Layer {
    /// Adds the changes up to the record `last` (its number and CRC).
    pub(super) fn add<I>(&mut self, changes: I, last: (u64, u32))
    where
        I: IntoIterator<Item = (String, Option<String>)>,
    {
        for (key, value) in changes {
            self.bytes += ENTRY_BYTES + key.len() + value.as_ref().map_or(0, String::len);
            self.entries.insert(key, value);
        }
        (self.seq, self.crc) = last;
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// The last record's number and CRC.
    pub(super) fn last(&self) -> (u64, u32) {
        (self.seq, self.crc)
    }

    /// How much was added, a key written twice counted twice.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The layer that grows, and the one that is on its way into sled.
#[derive(Default)]
pub(super) struct Recent {
    layers: Mutex<Layers>,
    changed: Condvar,
}

#[derive(Default)]
struct Layers {
    fresh: Layer,
    leaving: Arc<Layer>,
}

impl Recent {
    /// The value of a key that is here; none within when it was deleted.
    pub(super) fn get(&self, key: &str) -> Option<Option<IVec>> {
        let layers = self.lock();
        let found = layers.fresh.entries.get(key).or_else(|| layers.leaving.entries.get(key))?;
        Some(found.as_deref().map(IVec::from))
    }

    /// The keys within `range` that are here, with whether there is a value.
    pub(super) fn keys(&self, range: &Range<String>) -> BTreeMap<String, bool> {
        if range.is_empty() {
            return BTreeMap::new();
        }
        let layers = self.lock();
        let older = layers.leaving.entries.range(range.clone());
        let newer = layers.fresh.entries.range(range.clone());
        older.chain(newer).map(|(key, value)| (key.clone(), value.is_some())).collect()
    }

    /// Makes changes visible.
    pub(super) fn add<I>(&self, changes: I, last: (u64, u32))
    where
        I: IntoIterator<Item = (String, Option<String>)>,
    {
        self.lock().fresh.add(changes, last);
    }

    /// Waits while too much is here, as long as `is_well` says that somebody takes it away.
    pub(super) fn wait_for_room(&self, is_well: impl Fn() -> bool) {
        let mut layers = self.lock();
        while layers.fresh.bytes > BYTES_MAX && is_well() {
            let waited = self.changed.wait_timeout(layers, WAIT);
            layers = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How much is here.
    pub(super) fn bytes(&self) -> usize {
        let layers = self.lock();
        layers.fresh.bytes + layers.leaving.bytes
    }

    /// What is to go into sled next; it stays readable until [`Recent::forget`].
    pub(super) fn take(&self) -> Arc<Layer> {
        let mut layers = self.lock();
        layers.leaving = Arc::new(std::mem::take(&mut layers.fresh));
        self.changed.notify_all();
        layers.leaving.clone()
    }

    /// Forgets what was taken last: sled has it.
    pub(super) fn forget(&self) {
        let gone = std::mem::take(&mut self.lock().leaving);
        // Freed here, after the lock.
        drop(gone);
    }

    /// A panic cannot leave the layers half changed: inserting is all that happens under the lock.
    fn lock(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_change_hides_an_older_one_until_both_have_left() {
        let recent = Recent::default();
        let add = |key: &str, value: Option<&str>, seq: u64| {
            recent.add([(key.to_owned(), value.map(str::to_owned))], (seq, 0));
        };
        let read = |key: &str| recent.get(key).map(|value| value.map(|value| value.to_vec()));
        add("a", Some("1"), 1);
        add("b", Some("1"), 2);
        assert_eq!(recent.take().last(), (2, 0));
        add("a", None, 3);
        add("c", Some("2"), 4);
        assert_eq!(read("a"), Some(None));
        assert_eq!(read("b"), Some(Some(b"1".to_vec())));
        assert_eq!(read("d"), None);
        let keys = recent.keys(&("a".to_owned().."c".to_owned()));
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), [("a".to_owned(), false), ("b".to_owned(), true)]);
        recent.forget();
        assert_eq!(read("b"), None);
        assert_eq!(read("c"), Some(Some(b"2".to_vec())));
        let rest = recent.take();
        assert_eq!((rest.last(), rest.entries().count()), ((4, 0), 2));
    }
}
