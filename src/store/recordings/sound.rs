//! The bytes of a recording's file, sealed or not: read and written by position, whichever it is.
//!
//! A sealed file is a head (a mark and the key's name) and pieces of 16 KiB, each sealed for itself and bound to its
//! file and number, so any part can be read or written over alone. A piece that is written over is sealed anew: a power
//! cut in the middle of that loses this piece, half a second of sound.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::super::vault::{ADDED_BYTES, Vault};

/// How a sealed file begins; the key's name follows.
const MARK: &[u8; 8] = b"SWBSEAL1";
const HEAD_BYTES: u64 = 16;
const PIECE_BYTES: u64 = 16 << 10;
const SEALED_BYTES: u64 = PIECE_BYTES + ADDED_BYTES as u64;

/// A file of sound.
#[derive(Debug)]
pub struct Sound {
    file: File,
    /// Its size, as those see it who read it.
    bytes: u64,
    seal: Option<Seal>,
}

#[derive(Debug)]
struct Seal {
    vault: Vault,
    key: String,
    /// Which recording it is.
    name: String,
}

/// How many bytes a file holds, of this many that are on the disk.
pub(in super::super) fn bytes_in(file: &File) -> io::Result<u64> {
    let on_disk = file.metadata()?.len();
    Ok(if key_of(file)?.is_some() { plain_bytes(on_disk) } else { on_disk })
}

/// The key with which a file is sealed; none: it is not.
fn key_of(file: &File) -> io::Result<Option<String>> {
    let mut head = [0; HEAD_BYTES as usize];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) if head.starts_with(MARK) => {
            Ok(Some(String::from_utf8_lossy(&head[MARK.len()..]).into_owned()))
        }
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn plain_bytes(on_disk: u64) -> u64 {
    let pieces = on_disk.saturating_sub(HEAD_BYTES);
    let rest = (pieces % SEALED_BYTES).saturating_sub(ADDED_BYTES as u64);
    pieces / SEALED_BYTES * PIECE_BYTES + rest
}

impl Sound {
    /// Begins a file, in the place of an earlier one; sealed, where there is a key.
    pub(super) fn create(path: &Path, name: &str, vault: &Vault) -> io::Result<Sound> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let seal = vault.seals_with().map(|key| Seal {
            vault: vault.clone(),
            key: key.to_owned(),
            name: name.to_owned(),
        });
        if let Some(seal) = &seal {
            file.write_all_at(&[&MARK[..], seal.key.as_bytes()].concat(), 0)?;
        }
        Ok(Sound { file, bytes: 0, seal })
    }

    /// Opens a file for reading, or to go on with it.
    pub(super) fn open(path: &Path, name: &str, vault: &Vault, is_written: bool) -> io::Result<Sound> {
        let file = OpenOptions::new().read(true).write(is_written).open(path)?;
        let seal = key_of(&file)?.map(|key| Seal { vault: vault.clone(), key, name: name.to_owned() });
        // What is sealed with a key that seals no more is read, and not written.
        if is_written && seal.as_ref().is_some_and(|seal| vault.seals_with() != Some(&seal.key)) {
            let problem = "it was begun with another of `store.encryption_keys` than the first";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let bytes = bytes_in(&file)?;
        let mut sound = Sound { file, bytes, seal };
        if is_written && sound.last_piece_is_torn() {
            sound.cut_to_piece((bytes - 1) / PIECE_BYTES)?;
        }
        Ok(sound)
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads from `at` on; gives how much, which is nothing at the end.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidData` for what is sealed and cannot be opened.
    pub fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let Some(seal) = &self.seal else { return self.file.read_at(into, at) };
        if at >= self.bytes {
            return Ok(0);
        }
        let piece = self.piece(seal, at / PIECE_BYTES)?;
        let from = piece.get((at % PIECE_BYTES) as usize..).unwrap_or_default();
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        Ok(count)
    }

    /// Writes at `at`, which is not behind the end.
    pub(super) fn write_at(&mut self, at: u64, mut bytes: &[u8]) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        match &self.seal {
            None => self.file.write_all_at(bytes, at)?,
            Some(seal) => {
                let mut at = at;
                while !bytes.is_empty() {
                    let (number, inside) = (at / PIECE_BYTES, (at % PIECE_BYTES) as usize);
                    let (now, later) = bytes.split_at(bytes.len().min(PIECE_BYTES as usize - inside));
                    let is_there = number * PIECE_BYTES < self.bytes;
                    let mut piece = if is_there { self.piece(seal, number)? } else { Vec::new() };
                    let new_end = piece.len().max(inside + now.len());
                    piece.resize(new_end, 0);
                    piece[inside..inside + now.len()].copy_from_slice(now);
                    self.write_piece(seal, number, &piece)?;
                    at += now.len() as u64;
                    // A next piece may read what was written here.
                    self.bytes = self.bytes.max(at);
                    bytes = later;
                }
            }
        }
        self.bytes = self.bytes.max(end);
        Ok(())
    }

    /// Cuts it off at this size.
    pub(super) fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let Some(seal) = &self.seal else {
            self.file.set_len(bytes)?;
            self.bytes = bytes;
            return Ok(());
        };
        let (number, inside) = (bytes / PIECE_BYTES, (bytes % PIECE_BYTES) as usize);
        let kept = if inside > 0 { self.piece(seal, number)? } else { Vec::new() };
        self.file.set_len(HEAD_BYTES + number * SEALED_BYTES)?;
        if inside > 0 {
            self.write_piece(seal, number, kept.get(..inside).unwrap_or(&kept))?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Brings it to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn piece(&self, seal: &Seal, number: u64) -> io::Result<Vec<u8>> {
        let on_disk = PIECE_BYTES.min(self.bytes - number * PIECE_BYTES) as usize + ADDED_BYTES;
        let mut sealed = vec![0; on_disk];
        self.file.read_exact_at(&mut sealed, HEAD_BYTES + number * SEALED_BYTES)?;
        let opened = seal.vault.open_piece(&seal.key, &seal.place(number), sealed);
        opened.map_err(|locked| io::Error::new(io::ErrorKind::InvalidData, locked))
    }

    fn write_piece(&self, seal: &Seal, number: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(sealed) = seal.vault.seal_piece(&seal.place(number), bytes) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no key to seal it with"));
        };
        self.file.write_all_at(&sealed, HEAD_BYTES + number * SEALED_BYTES)
    }

    fn last_piece_is_torn(&self) -> bool {
        let Some(seal) = &self.seal else { return false };
        self.bytes > 0 && self.piece(seal, (self.bytes - 1) / PIECE_BYTES).is_err()
    }

    fn cut_to_piece(&mut self, number: u64) -> io::Result<()> {
        self.file.set_len(HEAD_BYTES + number * SEALED_BYTES)?;
        self.bytes = number * PIECE_BYTES;
        Ok(())
    }
}

impl Seal {
    fn place(&self, number: u64) -> String {
        format!("recording {} {number}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::secret::Secret;

    fn vault(byte: u8) -> Vault {
        Vault::new(&[Secret::new(STANDARD.encode([byte; 32]))]).unwrap()
    }

    fn whole(sound: &Sound) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 10_000];
        loop {
            match sound.read_at(all.len() as u64, &mut buffer).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever is written where, sealed or not, the file is what a plain row of bytes would be.
        #[test]
        fn a_sealed_file_is_as_the_bytes_written(
            writes in prop::collection::vec((0.0..1.0f64, 1..40_000usize, any::<u8>(), prop::bool::weighted(0.1)), 1..12),
            is_sealed: bool,
        ) {
            let data = tempfile::tempdir().unwrap();
            let path = data.path().join("x");
            let vault = if is_sealed { vault(1) } else { Vault::default() };
            let mut sound = Sound::create(&path, "x", &vault).unwrap();
            let mut model: Vec<u8> = Vec::new();
            for (place, count, byte, is_cut) in writes {
                let at = (model.len() as f64 * place) as usize;
                if is_cut {
                    sound.cut(at as u64).unwrap();
                    model.truncate(at);
                    continue;
                }
                sound.write_at(at as u64, &vec![byte; count]).unwrap();
                model.resize(model.len().max(at + count), 0);
                model[at..at + count].fill(byte);
            }
            prop_assert_eq!(sound.bytes(), model.len() as u64);
            prop_assert!(whole(&sound) == model);
            drop(sound);
            let again = Sound::open(&path, "x", &vault, true).unwrap();
            prop_assert!(whole(&again) == model);
            prop_assert_eq!(bytes_in(&File::open(&path).unwrap()).unwrap(), model.len() as u64);
        }
    }

    #[test]
    fn a_sealed_file_tells_nothing_and_cannot_be_altered_or_moved() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("x");
        let words = b"RIFF....WAVE what a caller said".repeat(1_000);
        Sound::create(&path, "x", &vault(1)).unwrap().write_at(0, &words).unwrap();
        let on_disk = std::fs::read(&path).unwrap();
        assert!(!on_disk.windows(4).any(|part| part == b"RIFF"));
        let refused = |name: &str, key: u8| {
            let sound = Sound::open(&path, name, &vault(key), false).unwrap();
            sound.read_at(0, &mut [0; 8]).unwrap_err().to_string()
        };
        assert!(refused("y", 1).contains("altered"), "another recording's");
        assert!(refused("x", 2).contains("store.encryption_keys"));
        assert!(Sound::open(&path, "x", &vault(2), true).is_err(), "nor is it gone on with");
        let mut flipped = on_disk;
        flipped[HEAD_BYTES as usize + 40] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        assert!(refused("x", 1).contains("altered"));
    }

    #[test]
    fn a_torn_piece_costs_itself_only() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("x");
        let words = vec![7; 40_000];
        Sound::create(&path, "x", &vault(1)).unwrap().write_at(0, &words).unwrap();
        let on_disk = std::fs::metadata(&path).unwrap().len();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(on_disk - 100).unwrap();
        let mut sound = Sound::open(&path, "x", &vault(1), true).unwrap();
        assert_eq!(sound.bytes(), 2 * PIECE_BYTES);
        sound.write_at(sound.bytes(), b"goes on").unwrap();
        assert!(whole(&sound).ends_with(b"\x07goes on"));
    }
}
