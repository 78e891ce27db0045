//! A recording that is made here, as it is made: a file that grows while its call lasts.
//!
//! It stands under a name of its own until it is whole, and what of it was written survives the process:
//! [`Recordings::take_up`] finds it after a crash. Its head, which says how long it is, is made true again and
//! again. What does not fit on the disk is refused before it is written, so that a file is never cut in the
//! middle of what was appended.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{FileError, Recordings, Sound, at, full_or};
use crate::call::recording::StoredFile;
use crate::store::files;

/// What a file is called while it grows.
pub(super) const GROWING: &str = "growing";

/// A file that grows. Dropping it leaves what there is of it, to be taken up later.
#[derive(Debug)]
pub struct Growing {
    file: Sound,
    name: String,
    files: Recordings,
}

impl Recordings {
    /// Begins a file that grows; what an earlier one of that name left is lost.
    ///
    /// # Errors
    ///
    /// [`FileError`]; `Full` before anything was written.
    pub fn grow(&self, name: &str) -> Result<Growing, FileError> {
        let path = self.growing_path(name)?;
        let directory = path.parent().unwrap_or(&self.root);
        files::create_dir(directory).map_err(|source| at(directory, source))?;
        self.check_room(0)?;
        let file = Sound::create(&path, name, &self.vault);
        let file = file.map_err(|source| at(&path, source))?;
        // Its name is as durable as what will stand in it.
        self.sync_above(&path)?;
        Ok(Growing { file, name: name.to_owned(), files: self.clone() })
    }

    /// Takes up what is there of a file that did not become whole; none when nothing is.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn take_up(&self, name: &str) -> Result<Option<Growing>, FileError> {
        let path = self.growing_path(name)?;
        let file = match Sound::open(&path, name, &self.vault, true) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(at(&path, source)),
        };
        Ok(Some(Growing { file, name: name.to_owned(), files: self.clone() }))
    }

    pub(super) fn growing_path(&self, name: &str) -> Result<PathBuf, FileError> {
        Ok(self.path(name)?.with_extension(GROWING))
    }
}

impl Growing {
    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    /// Adds bytes: all of them or none.
    ///
    /// # Errors
    ///
    /// [`FileError`]; `Full` and `TooLarge` before anything was written. It may be tried again.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let end = self.bytes();
        if end + bytes.len() as u64 > self.files.bytes_max {
            return Err(FileError::TooLarge { bytes_max: self.files.bytes_max });
        }
        self.files.check_room(bytes.len() as u64)?;
        let path = self.files.growing_path(&self.name)?;
        if let Err(source) = self.file.write_at(end, bytes) {
            // What came through of it goes again: what is written next shall stand where it belongs.
            let back = self.file.cut(end);
            return Err(full_or(&path, back.err().unwrap_or(source)));
        }
        Ok(())
    }

    /// Writes over its first bytes.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn set_head(&mut self, head: &[u8]) -> Result<(), FileError> {
        let path = self.files.growing_path(&self.name)?;
        self.file.write_at(0, head).map_err(|source| full_or(&path, source))
    }

    /// Cuts it off at this size; for what is longer than it should be.
    ///
    /// # Errors
    ///
    /// [`FileError`].
    pub fn cut(&mut self, bytes: u64) -> Result<(), FileError> {
        let path = self.files.growing_path(&self.name)?;
        self.file.cut(bytes).map_err(|source| at(&path, source))
    }

    /// Makes it whole: on disk, under its name, its directories synced, and read once for its digest.
    ///
    /// # Errors
    ///
    /// [`FileError`]: then it can be taken up again.
    pub fn finish(self) -> Result<StoredFile, FileError> {
        let Growing { file, name, files } = self;
        let (growing, whole) = (files.growing_path(&name)?, files.path(&name)?);
        file.sync().map_err(|source| full_or(&growing, source))?;
        fs::rename(&growing, &whole).map_err(|source| at(&growing, source))?;
        files.sync_above(&whole)?;
        files.digest(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Vault;

    const NAME: &str = "2026/11/22/c/bridge.wav";

    #[test]
    fn what_grew_is_whole_at_the_end_and_not_before() {
        let data = tempfile::tempdir().unwrap();
        let files = Recordings::below(data.path(), 10, 0, &Vault::default());
        let mut growing = files.grow(NAME).unwrap();
        growing.append(b"..").unwrap();
        growing.append(b"abc").unwrap();
        growing.set_head(b"05").unwrap();
        growing.append(b"d").unwrap();
        assert!(matches!(growing.append(b"12345"), Err(FileError::TooLarge { bytes_max: 10 })));
        assert!(files.open(NAME).is_err(), "not before it is finished");
        let stored = growing.finish().unwrap();
        assert_eq!((stored.bytes, stored.file.as_str()), (6, NAME));
        assert_eq!(fs::read(data.path().join("recordings").join(NAME)).unwrap(), b"05abcd");
        assert_eq!(files.digest(NAME).unwrap(), stored);
        assert!(files.take_up(NAME).unwrap().is_none());
    }

    #[test]
    fn what_a_crash_left_is_taken_up() {
        let data = tempfile::tempdir().unwrap();
        let files = Recordings::below(data.path(), 100, 0, &Vault::default());
        files.grow(NAME).unwrap().append(b"..abc!").unwrap();
        assert_eq!(files.clean().unwrap(), 0, "it is not swept away");
        let mut left = files.take_up(NAME).unwrap().expect("what was left");
        assert_eq!(left.bytes(), 6);
        left.cut(5).unwrap();
        left.set_head(b"03").unwrap();
        assert_eq!(left.finish().unwrap().bytes, 5);
        assert_eq!(fs::read(data.path().join("recordings").join(NAME)).unwrap(), b"03abc");
    }

    #[test]
    fn one_that_is_removed_is_gone_also_while_it_grows() {
        let data = tempfile::tempdir().unwrap();
        let files = Recordings::below(data.path(), 100, 0, &Vault::default());
        let mut growing = files.grow(NAME).unwrap();
        growing.append(b"abc").unwrap();
        files.remove(NAME).unwrap();
        assert!(growing.append(b"d").is_ok(), "the writer does not notice");
        assert!(growing.finish().is_err());
        assert_eq!(fs::read_dir(data.path().join("recordings")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_begun_on_a_full_disk() {
        let data = tempfile::tempdir().unwrap();
        let full = Recordings::below(data.path(), 100, u64::MAX, &Vault::default());
        assert!(matches!(full.grow(NAME), Err(FileError::Full { .. })));
        assert!(full.take_up(NAME).unwrap().is_none());
    }
}
