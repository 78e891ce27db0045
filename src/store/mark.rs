//! Numbers written down beside the journal: small files `<seq> <crc32>`.
//!
//! They betray a journal that lost records at its end, which it could not know by itself.

use std::fs;
use std::io;
use std::path::Path;

use super::error::OpenError;
use super::files;

/// A number of a journal record, in a file of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    /// Up to where the index was synced.
    Checkpoint,
    /// The journal's last record at an orderly close; there is no such file while the store is open.
    Clean,
}

impl Mark {
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Mark::Checkpoint => "checkpoint",
            Mark::Clean => "clean",
        }
    }

    /// The mark's number; none when there is no such mark.
    pub(super) fn read(self, dir: &Path) -> Result<Option<u64>, OpenError> {
        let path = dir.join(self.file_name());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io("read", &path, error)),
        };
        let text = String::from_utf8_lossy(&bytes);
        let seq = text.split_once(' ').and_then(|(seq, _)| seq.parse().ok());
        match seq.filter(|seq| text == content(*seq)) {
            Some(seq) => Ok(Some(seq)),
            None => Err(OpenError::Damaged {
                path,
                problem: "it cannot be read".to_owned(),
                fix: "remove it: it only guards against a journal that lost records at its end",
            }),
        }
    }

    /// Writes the mark, durable on return.
    pub(super) fn write(self, dir: &Path, seq: u64) -> io::Result<()> {
        files::replace(dir, self.file_name(), &content(seq))
    }

    /// Removes the mark, if there is one.
    pub(super) fn remove(self, dir: &Path) -> Result<(), OpenError> {
        let name = self.file_name();
        files::remove(dir, name).map_err(|error| OpenError::io("remove", &dir.join(name), error))
    }
}

fn content(seq: u64) -> String {
    let crc = crc32fast::hash(seq.to_string().as_bytes());
    format!("{seq} {crc:08x}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Mark::Clean.read(dir.path()).unwrap(), None);
        Mark::Clean.write(dir.path(), 42).unwrap();
        assert_eq!(Mark::Clean.read(dir.path()).unwrap(), Some(42));
        for text in ["", "42", "43 00000000\n", "x", "42 zz\n"] {
            fs::write(dir.path().join("clean"), text).unwrap();
            let refused = Mark::Clean.read(dir.path()).unwrap_err().to_string();
            assert!(refused.contains("remove it"), "{refused}");
        }
    }
}
