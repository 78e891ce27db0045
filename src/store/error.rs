//! What can go wrong with the store: while it runs ([`StoreError`]) and while it opens ([`OpenError`]).
//!
//! A [`StoreError`] is cloned to everybody who waited for the same group of commits. An [`OpenError`]
//! is read by a person at start, so it names the place, the problem and the way out.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a commit or a read failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A precondition did not hold; nothing of the transaction was written.
    #[error("{what}")]
    Conflict {
        /// What stands in the way.
        what: String,
    },
    /// Too little space is left on the disk to write safely; nothing was written, and the store goes on
    /// as soon as there is space again.
    #[error("the disk is full: {free_bytes} bytes are free and {needed_bytes} are needed; free some space")]
    Full {
        /// Bytes free on the file system of the data directory.
        free_bytes: u64,
        /// Bytes that must be free.
        needed_bytes: u64,
    },
    /// An earlier write or sync failed. Whether the commit survives is unknown until the store is opened
    /// again.
    #[error("the store takes no more writes: {reason}; repair the cause and restart")]
    Poisoned {
        /// What failed first.
        reason: String,
    },
    /// The store was closed before the commit was written.
    #[error("the store is closed")]
    Closed,
    /// A stored value cannot be read.
    #[error("the stored value `{key}` cannot be read: {problem}")]
    Corrupt {
        /// The value's key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The index failed to answer.
    #[error("the index cannot be read")]
    Index(#[from] sled::Error),
    /// A transaction, a plugin's key or a plugin's value is larger than allowed.
    #[error("{what} of {bytes} bytes is larger than {bytes_max}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The size allowed.
        bytes_max: usize,
    },
    /// A plugin's namespace has used up what it may keep.
    #[error("the namespace `{namespace}` may keep {max} {what}")]
    Quota {
        /// The namespace.
        namespace: String,
        /// `keys` or `bytes`.
        what: &'static str,
        /// How many are allowed.
        max: u64,
    },
}

/// Why the store could not be opened. Nothing acknowledged was thrown away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or this one) has the directory open.
    #[error("the data directory {} is in use by another process: stop it, or set another `store.path`", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// Our user may not write there.
    #[error("{} is not writable: give it to the user that runs the gateway, or set another `store.path`", path.display())]
    NotWritable {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too little space to start.
    #[error("the disk of the data directory {} is full ({free_bytes} bytes are free, {needed_bytes} are needed): free some space, or set another `store.path`", path.display())]
    Full {
        /// The data directory, or the file that could not be written.
        path: PathBuf,
        /// Bytes free.
        free_bytes: u64,
        /// Bytes that must be free.
        needed_bytes: u64,
    },
    /// Records that were acknowledged are damaged or missing.
    #[error("{} is damaged: {problem}; {fix}", path.display())]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What can be done.
        fix: &'static str,
    },
    /// Something in it is sealed with a key that is not there.
    #[error("{} holds what is sealed with the key {key}, which is not among `store.encryption_keys`: add it there, behind the key that seals", path.display())]
    Sealed {
        /// The data directory.
        path: PathBuf,
        /// The key's name: how the SHA-256 of its bytes begins.
        key: String,
    },
    /// The directory was written by a later version.
    #[error("{} has format {found}, and this version reads up to {supported}: run the version that wrote it, or a later one", path.display())]
    NewerFormat {
        /// The file that tells the format.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this version reads.
        supported: u32,
    },
    /// The system refused something else.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `create`, `read` …
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A freshly made index failed; the journal is untouched.
    #[error("the index in {} cannot be written: {problem}; check the disk", path.display())]
    Index {
        /// The index' directory.
        path: PathBuf,
        /// What failed.
        problem: String,
    },
}

/// Why the journal was not compacted. It is as it was, and so is everything that is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The store takes no requests any more.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file is damaged, or cannot be read or written.
    #[error(transparent)]
    Files(#[from] OpenError),
    /// The new base would not find room beside what is there.
    #[error(
        "the disk is too full to compact the journal: {free_bytes} bytes are free and {needed_bytes} are needed"
    )]
    Full {
        /// Bytes free on the disk.
        free_bytes: u64,
        /// Bytes needed.
        needed_bytes: u64,
    },
    /// The store was closed meanwhile; what was begun is thrown away.
    #[error("the store is being closed: the journal stays as it is")]
    Stopped,
    /// The index was not synced in time.
    #[error("the index was not synced within {} s: the disk is slow; try again", within.as_secs())]
    Slow {
        /// How long it was waited for.
        within: Duration,
    },
}

impl OpenError {
    /// Sorts a system error on `path` by what a person can do about it.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> OpenError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                OpenError::NotWritable { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let free_bytes = super::space::free_bytes(&path).unwrap_or(0);
                OpenError::Full { path, free_bytes, needed_bytes: super::space::RESERVE_BYTES }
            }
            _ => OpenError::Io { action, path, source },
        }
    }
}
