//! Reading files that a configuration names: plain ones, and never more than was foreseen.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest configuration, in bytes.
pub(super) const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The longest file that `${file:…}` puts into a value: secrets are short.
pub(super) const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The longest `instructions_file`.
pub(super) const INSTRUCTIONS_BYTES_MAX: u64 = 256 << 10;

/// The path as meant from `directory`.
pub(super) fn resolve(directory: &Path, path: &str) -> PathBuf {
    directory.join(path)
}

/// The bytes of a plain file.
///
/// # Errors
///
/// Why it could not be read, in words.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| error.to_string();
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err("not a plain file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(told)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(told)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("longer than {} KiB", bytes_max >> 10));
    }
    Ok(bytes)
}

/// The text of a plain file.
///
/// # Errors
///
/// As [`read`], and for what is not UTF-8.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, String> {
    String::from_utf8(read(path, bytes_max)?).map_err(|_| "not UTF-8".to_owned())
}
