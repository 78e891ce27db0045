//! The index: reading by key and in order, from what was committed just now and from the disk.
//!
//! Lists are no snapshots: what is committed while one is read may or may not be in it.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use sled::IVec;

use super::disk::Disk;
use super::error::StoreError;
use super::recent::Recent;
use super::vault::Vault;

/// Reads from the index. A cheap handle.
#[derive(Clone)]
pub(super) struct Index {
    recent: Arc<Recent>,
    disk: Disk,
    vault: Vault,
}

impl Index {
    pub(super) fn new(recent: Arc<Recent>, disk: Disk, vault: Vault) -> Index {
        Index { recent, disk, vault }
    }

    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Reads one value whole, and opens it where it is sealed.
    pub(super) fn get(&self, key: &str) -> Result<Option<IVec>, StoreError> {
        let value = match self.recent.get(key) {
            Some(value) => value,
            None => self.disk.get(key)?,
        };
        let Some(value) = value else { return Ok(None) };
        let opened = match self.vault.open_value(key, &value)? {
            Cow::Borrowed(_) => None,
            Cow::Owned(opened) => Some(IVec::from(opened)),
        };
        Ok(Some(opened.unwrap_or(value)))
    }

    pub(super) fn contains(&self, key: &str) -> Result<bool, StoreError> {
        match self.recent.get(key) {
            Some(value) => Ok(value.is_some()),
            None => self.disk.contains(key),
        }
    }

    /// The keys within `range`, in order.
    pub(super) fn keys(
        &self,
        range: &Range<String>,
    ) -> impl Iterator<Item = Result<String, StoreError>> + use<> {
        let recent = self.recent.keys(range).into_iter();
        merge(recent, self.disk.keys(range), |recent, disk| recent <= disk)
    }

    /// The keys within `range`, last first.
    pub(super) fn keys_back(
        &self,
        range: &Range<String>,
    ) -> impl Iterator<Item = Result<String, StoreError>> + use<> {
        let recent = self.recent.keys(range).into_iter().rev();
        merge(recent, self.disk.keys(range).rev(), |recent, disk| recent >= disk)
    }

    /// All values whose keys begin with `prefix`, in order, each whole.
    pub(super) fn values(&self, prefix: &str) -> Result<Vec<(String, IVec)>, StoreError> {
        let mut found = Vec::new();
        for key in self.keys(&with_prefix(prefix)) {
            let key = key?;
            if let Some(value) = self.get(&key)? {
                found.push((key, value));
            }
        }
        Ok(found)
    }
}

/// The range of the keys that begin with `prefix`: no key has a byte above `~`.
pub(super) fn with_prefix(prefix: &str) -> Range<String> {
    prefix.to_owned()..format!("{prefix}\u{7f}")
}

/// Merges two sorted lists of keys. `is_next` says whether the recent key comes before, or is, that of
/// the disk. A key in both stands once, and not at all if it was deleted recently.
fn merge<R, D>(
    recent: R,
    disk: D,
    is_next: fn(&str, &str) -> bool,
) -> impl Iterator<Item = Result<String, StoreError>>
where
    R: Iterator<Item = (String, bool)>,
    D: Iterator<Item = Result<String, StoreError>>,
{
    let mut recent = recent.peekable();
    let mut disk = disk.peekable();
    std::iter::from_fn(move || {
        loop {
            let takes_recent = match (recent.peek(), disk.peek()) {
                (Some((recent, _)), Some(Ok(disk))) => is_next(recent, disk),
                (recent, disk) => recent.is_some() && disk.is_none(),
            };
            if !takes_recent {
                return disk.next();
            }
            let (key, has_value) = recent.next()?;
            disk.next_if(|other| other.as_ref().is_ok_and(|other| *other == key));
            if has_value {
                return Some(Ok(key));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_keys_are_merged_in_order_and_deletions_hide() {
        let recent = [("a", true), ("c", false), ("d", true), ("f", false)];
        let disk = ["b", "c", "d", "e"];
        let recent = recent.map(|(key, has_value)| (key.to_owned(), has_value));
        let disk = disk.map(|key| Ok(key.to_owned()));
        let forth: Result<Vec<String>, StoreError> =
            merge(recent.clone().into_iter(), disk.clone().into_iter(), |recent, disk| recent <= disk)
                .collect();
        assert_eq!(forth.unwrap(), ["a", "b", "d", "e"]);
        let back: Result<Vec<String>, StoreError> =
            merge(recent.into_iter().rev(), disk.into_iter().rev(), |recent, disk| recent >= disk).collect();
        assert_eq!(back.unwrap(), ["e", "d", "b", "a"]);
    }
}
