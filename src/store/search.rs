//! Looking for text in a data directory: the proof that what was erased is in no file any more.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use serde::Serialize;

/// What was looked through, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Searched {
    /// How many files.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Where something was found.
    pub found: Vec<Found>,
}

/// A file with something in it that was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The file, below the directory.
    pub path: PathBuf,
    /// How often.
    pub times: u64,
}

/// Looks for `needles` in every file of `dir`, names of files included. The sound of recordings is not read, only their
/// names are.
///
/// Blocks: it reads all that is there. What goes away meanwhile is passed over.
///
/// # Errors
///
/// What the system says of the first file or directory that cannot be read.
pub fn search(dir: &Path, needles: &[String]) -> io::Result<Searched> {
    let needles = AhoCorasick::new(needles).map_err(io::Error::other)?;
    let mut searched = Searched::default();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        let below = path.strip_prefix(dir).unwrap_or(&path);
        let mut times = u64::from(needles.is_match(below.to_string_lossy().as_ref()));
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                open.push(entry?.path());
            }
        } else {
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            searched.files += 1;
            if !below.starts_with("recordings") {
                searched.bytes += file.metadata()?.len();
                for found in needles.stream_find_iter(file) {
                    found?;
                    times += 1;
                }
            }
        }
        if times > 0 {
            searched.found.push(Found { path: below.to_owned(), times });
        }
    }
    searched.found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(searched)
}
