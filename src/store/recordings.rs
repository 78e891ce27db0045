//! Recordings: their records in the index, and their files beside it.
//!
//! A file is written to a `.part` of its own, hashed as it is written, synced, renamed, and its directory
//! synced; only then may a record say that it is kept. After a crash there are therefore at most `.part`
//! files, which [`Recordings::clean`] removes, and whole files without a record, which are written again.
//! A record that says "deleting" is committed before its file goes, so that no record ever claims a file
//! that was taken away.
//!
//! A recording that is made here is written while its call lasts, see `growing`.
//!
//! Everything here that touches a file blocks: run it where that is allowed.

mod growing;
mod sound;

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::StoreError;
use super::index::{Index, with_prefix};
use super::key::{self, RecordingList};
use super::{Store, Vault, files, read, space, values};
use crate::call::recording::{RecordingRecord, StoredFile};
use crate::clock::Timestamp;
use crate::ids::{CallId, RecordingId};
use crate::text::hex;

pub use growing::Growing;
pub use sound::Sound;
pub(super) use sound::bytes_in;

/// The directory of the files, below the data directory.
const DIRECTORY: &str = "recordings";
/// What a file is called while it is being written.
const UNFINISHED: &str = "part";
/// How a WAV file begins, and what stands at its eighth byte (RIFF, "WAVE form").
const RIFF: &[u8] = b"RIFF";
const WAVE: &[u8] = b"WAVE";

/// A recording as the lists have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedRecording {
    /// Its call.
    pub call: CallId,
    /// Its id.
    pub id: RecordingId,
    /// The size of its file; zero while there is none.
    pub bytes: u64,
}

/// Why a file could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too little would be left on the disk for calls.
    #[error(
        "the disk is full: {free_bytes} bytes are free, and {keep_bytes} must stay free beside the recording; free some space"
    )]
    Full {
        /// Bytes free on the disk.
        free_bytes: u64,
        /// Bytes that must stay free.
        keep_bytes: u64,
    },
    /// It is larger than a recording may be.
    #[error("it is larger than {bytes_max} bytes, the most a recording may have")]
    TooLarge {
        /// The size allowed.
        bytes_max: u64,
    },
    /// It ended too soon, or went on too long.
    #[error("it has {bytes} bytes, and {expected} were announced")]
    WrongSize {
        /// Its size.
        bytes: u64,
        /// The size announced.
        expected: u64,
    },
    /// It is no WAV file.
    #[error("it does not begin like a WAV file")]
    NotWave,
    /// The name leads out of the directory.
    #[error("`{0}` is not the name of a recording's file")]
    BadName(String),
    /// The system refused.
    #[error("{}", path.display())]
    Io {
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The files of recordings below one data directory. A cheap handle.
#[derive(Clone, Debug)]
pub struct Recordings {
    root: PathBuf,
    bytes_max: u64,
    keep_bytes: u64,
    vault: Vault,
}

/// A file that is being written. Dropping it removes what there is of it.
#[derive(Debug)]
pub struct Writing {
    file: Sound,
    name: String,
    part: PathBuf,
    whole: PathBuf,
    files: Recordings,
    hash: Sha256,
    head: Vec<u8>,
    bytes: u64,
    expected: Option<u64>,
    is_finished: bool,
}

impl Recordings {
    /// The files below this data directory. No file may be larger than `bytes_max`, and none is written
    /// that would leave less than `keep_bytes` free on the disk. They are sealed, where there is a key.
    pub fn below(data: &Path, bytes_max: u64, keep_bytes: u64, vault: &Vault) -> Recordings {
        Recordings { root: data.join(DIRECTORY), bytes_max, keep_bytes, vault: vault.clone() }
    }

    /// The name of a recording's file, below the directory: by the day on which its call began (UTC), so
    /// that no directory has more entries than a day has calls.
    pub fn name(call: CallId, id: &RecordingId) -> String {
        let seconds = i64::try_from(call.began().as_secs()).unwrap_or(0);
        let day = jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y/%m/%d");
        // Ids come from outside: what could lead elsewhere is escaped.
        format!("{day}/{call}/{}.wav", key::escape(id.as_str()).replace('.', "%2E"))
    }

    /// Begins to write a file; one of that name is replaced when this one is finished. `expected` is its
    /// size, where that is known.
    ///
    /// # Errors
    ///
    /// [`FileError`]; `Full` and `TooLarge` before anything was written.
    pub fn create(&self, name: &str, expected: Option<u64>) -> Result<Writing, FileError> {
        let whole = self.path(name)?;
        if expected.is_some_and(|bytes| bytes > self.bytes_max) {
            return Err(FileError::TooLarge { bytes_max: self.bytes_max });
        }
        let directory = whole.parent().unwrap_or(&self.root);
        files::create_dir(directory).map_err(|source| at(directory, source))?;
        self.check_room(expected.unwrap_or(0))?;
        let part = whole.with_extension(UNFINISHED);
        let file = Sound::create(&part, name, &self.vault);
        Ok(Writing {
            file: file.map_err(|source| at(&part, source))?,
            name: name.to_owned(),
            part,
            whole,
            files: self.clone(),
            hash: Sha256::new(),
            head: Vec::new(),
            bytes: 0,
            expected,
            is_finished: false,
        })
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// [`FileError`]; also when it is not there.
    pub fn open(&self, name: &str) -> Result<Sound, FileError> {
        let path = self.path(name)?;
        Sound::open(&path, name, &self.vault, false).map_err(|source| at(&path, source))
    }

    /// Removes a file for good, also one that grows; fine when it is not there.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        let path = self.path(name)?;
        let mut is_removed = false;
        for path in [&path, &self.growing_path(name)?] {
            match fs::remove_file(path) {
                Ok(()) => is_removed = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(at(path, source)),
            }
        }
        if !is_removed {
            return Ok(());
        }
        let mut directory = path.as_path();
        files::sync_dir(path.parent().unwrap_or(&self.root)).map_err(|source| at(&path, source))?;
        // Directories that are left empty go too, up to our own; one that is not empty stays.
        while let Some(parent) = directory.parent().filter(|parent| *parent != self.root) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
            directory = parent;
        }
        Ok(())
    }

    /// The size and the SHA-256 of a file, read whole.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn digest(&self, name: &str) -> Result<StoredFile, FileError> {
        let path = self.path(name)?;
        let file = self.open(name)?;
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read_at(bytes, &mut buffer).map_err(|source| at(&path, source))?;
            if read == 0 {
                return Ok(StoredFile { file: name.to_owned(), bytes, sha256: hex(&hash.finalize()) });
            }
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
    }

    /// Removes what an earlier run did not finish. Gives how many files that were.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn clean(&self) -> Result<usize, FileError> {
        let mut removed = 0;
        let mut open = vec![self.root.clone()];
        while let Some(directory) = open.pop() {
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(at(&directory, source)),
            };
            for entry in entries {
                let path = entry.map_err(|source| at(&directory, source))?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                    fs::remove_file(&path).map_err(|source| at(&path, source))?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn path(&self, name: &str) -> Result<PathBuf, FileError> {
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        if name.is_empty() || !Path::new(name).components().all(is_plain) {
            return Err(FileError::BadName(name.chars().take(80).collect()));
        }
        Ok(self.root.join(name))
    }

    /// Syncs every directory that may have been made for a file (day, month, year, ours), and where ours stands.
    fn sync_above(&self, path: &Path) -> Result<(), FileError> {
        let ours = path.ancestors().skip(1).take_while(|directory| directory.starts_with(&self.root));
        for directory in ours.chain(self.root.parent()) {
            files::sync_dir(directory).map_err(|source| at(directory, source))?;
        }
        Ok(())
    }

    fn check_room(&self, bytes: u64) -> Result<(), FileError> {
        let free_bytes = space::free_bytes(&self.root).map_err(|source| at(&self.root, source))?;
        if free_bytes < self.keep_bytes.saturating_add(bytes) {
            return Err(FileError::Full { free_bytes, keep_bytes: self.keep_bytes });
        }
        Ok(())
    }
}

impl Writing {
    /// Adds bytes.
    ///
    /// # Errors
    ///
    /// [`FileError`]: the file cannot be finished then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.files.bytes_max {
            return Err(FileError::TooLarge { bytes_max: self.files.bytes_max });
        }
        if let Some(expected) = self.expected.filter(|expected| self.bytes > *expected) {
            return Err(FileError::WrongSize { bytes: self.bytes, expected });
        }
        let wanted = (RIFF.len() + 4 + WAVE.len()).saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(wanted)]);
        self.hash.update(bytes);
        self.file
            .write_at(self.bytes - bytes.len() as u64, bytes)
            .map_err(|source| full_or(&self.part, source))
    }

    /// Makes it whole: on disk, under its name, and its directory synced.
    ///
    /// # Errors
    ///
    /// [`FileError`]: then nothing is left of it.
    pub fn finish(mut self) -> Result<StoredFile, FileError> {
        if let Some(expected) = self.expected.filter(|expected| self.bytes != *expected) {
            return Err(FileError::WrongSize { bytes: self.bytes, expected });
        }
        if !self.head.starts_with(RIFF) || !self.head.ends_with(WAVE) {
            return Err(FileError::NotWave);
        }
        self.file.sync().map_err(|source| full_or(&self.part, source))?;
        fs::rename(&self.part, &self.whole).map_err(|source| at(&self.part, source))?;
        self.is_finished = true;
        self.files.sync_above(&self.whole)?;
        let sha256 = hex(&self.hash.finalize_reset());
        Ok(StoredFile { file: self.name.clone(), bytes: self.bytes, sha256 })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_finished {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.part);
        }
    }
}

impl Store {
    /// One recording of a call.
    pub fn recording(&self, call: CallId, id: &RecordingId) -> Result<Option<RecordingRecord>, StoreError> {
        read(&self.0.shared.index, &key::recording(call, id))
    }

    /// A call's recordings, in the order of their ids.
    pub async fn recordings_of(&self, call: CallId) -> Result<Vec<RecordingRecord>, StoreError> {
        self.scan(move |index| of_call(index, call)).await
    }

    /// All recordings, newest call first, at most `limit` of them.
    pub async fn recordings(&self, limit: usize) -> Result<Vec<RecordingRecord>, StoreError> {
        self.scan(move |index| {
            let mut found = Vec::new();
            for key in index.keys_back(&with_prefix(key::RECORDINGS)).take(limit) {
                found.extend(read(index, &key?)?);
            }
            Ok(found)
        })
        .await
    }

    /// The recordings that have something left to do, oldest call first.
    pub async fn recordings_with_work(&self) -> Result<Vec<ListedRecording>, StoreError> {
        self.recording_list(RecordingList::Work, None, usize::MAX).await
    }

    /// The recordings on disk whose calls began before `until`, oldest first, at most `limit` of them.
    pub async fn recordings_kept(
        &self,
        until: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<ListedRecording>, StoreError> {
        self.recording_list(RecordingList::Kept, until, limit).await
    }

    async fn recording_list(
        &self,
        list: RecordingList,
        until: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<ListedRecording>, StoreError> {
        self.scan(move |index| {
            let prefix = key::recording_list(list);
            let mut range = with_prefix(prefix);
            if let Some(until) = until {
                range.end = format!("{prefix}{}", key::first_call_at(until));
            }
            let mut found = Vec::new();
            for key in index.keys(&range).take(limit) {
                found.extend(read::<ListedRecording>(index, &key?)?);
            }
            Ok(found)
        })
        .await
    }
}

fn at(path: &Path, source: io::Error) -> FileError {
    FileError::Io { path: path.to_owned(), source }
}

/// A disk that fills up while a file is written is full like one that was full before.
fn full_or(path: &Path, source: io::Error) -> FileError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            FileError::Full { free_bytes: space::free_bytes(path).unwrap_or(0), keep_bytes: 0 }
        }
        _ => at(path, source),
    }
}

/// A call's recordings, in the order of their ids.
pub(super) fn of_call(index: &Index, call: CallId) -> Result<Vec<RecordingRecord>, StoreError> {
    values(index, &key::recordings_of(call))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAV: &[u8] = b"RIFF\x04\0\0\0WAVEdata";

    fn call() -> CallId {
        CallId::new(Timestamp::from_secs(1_795_316_403), [7; 10])
    }

    #[test]
    fn a_file_is_whole_or_not_there() {
        let data = tempfile::tempdir().unwrap();
        let files = Recordings::below(data.path(), 1_000, 0, &Vault::default());
        let name = Recordings::name(call(), &"RE1".into());
        assert_eq!(name, format!("2026/11/22/{}/RE1.wav", call()));
        let mut writing = files.create(&name, Some(WAV.len() as u64)).unwrap();
        for byte in WAV {
            writing.write(&[*byte]).unwrap();
        }
        assert!(files.open(&name).is_err(), "not before it is finished");
        let stored = writing.finish().unwrap();
        assert_eq!((stored.bytes, stored.sha256.len()), (WAV.len() as u64, 64));
        assert_eq!(files.digest(&name).unwrap(), stored);
        files.remove(&name).unwrap();
        files.remove(&name).unwrap();
        assert!(files.open(&name).is_err());
        assert_eq!(fs::read_dir(data.path().join(DIRECTORY)).unwrap().count(), 0, "no empty directories");
    }

    #[test]
    fn what_is_not_as_announced_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let files = Recordings::below(data.path(), 100, 0, &Vault::default());
        let outcome = |bytes: &[u8], expected: Option<u64>| {
            let mut writing = files.create("a/b.wav", expected)?;
            writing.write(bytes)?;
            writing.finish().map(drop)
        };
        assert!(matches!(outcome(WAV, Some(5)), Err(FileError::WrongSize { .. })));
        assert!(matches!(outcome(WAV, Some(50)), Err(FileError::WrongSize { bytes: 16, expected: 50 })));
        assert!(matches!(outcome(b"<html>not found</html>", None), Err(FileError::NotWave)));
        assert!(matches!(outcome(b"", None), Err(FileError::NotWave)));
        assert!(matches!(outcome(&[0; 101], None), Err(FileError::TooLarge { .. })));
        assert!(matches!(outcome(WAV, Some(101)), Err(FileError::TooLarge { .. })));
        assert!(!data.path().join(DIRECTORY).join("a/b.wav").exists());
        assert_eq!(files.clean().unwrap(), 0, "nothing unfinished is left");
        assert!(outcome(WAV, None).is_ok());
        let full = Recordings::below(data.path(), 100, u64::MAX, &Vault::default());
        assert!(matches!(full.create("a/c.wav", Some(1)), Err(FileError::Full { .. })));
    }

    #[test]
    fn names_stay_inside_and_unfinished_files_are_cleaned() {
        let data = tempfile::tempdir().unwrap();
        let files = Recordings::below(data.path(), 100, 0, &Vault::default());
        for name in ["", "/etc/passwd", "../x.wav", "a/../../x.wav", "./x.wav"] {
            assert!(matches!(files.create(name, None), Err(FileError::BadName(_))), "{name}");
        }
        let hostile = Recordings::name(call(), &"../../x".into());
        assert!(files.create(&hostile, None).is_ok(), "{hostile}");
        assert!(!hostile.contains(".."), "{hostile}");
        std::mem::forget(files.create("2026/x.wav", None).unwrap());
        assert_eq!((files.clean().unwrap(), files.clean().unwrap()), (1, 0));
    }
}
