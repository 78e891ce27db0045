//! Files that are either wholly there or not at all, and where damaged ones go.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::clock::Timestamp;

/// Creates `path` and what is missing above it, readable by our user only.
pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file that must not exist yet, readable by our user only.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Replaces the content of `dir/name` so that a crash leaves the old or the new, durable on return.
pub(super) fn replace(dir: &Path, name: &str, content: &str) -> io::Result<()> {
    let unfinished = dir.join(format!("{name}.tmp"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(name))?;
    sync_dir(dir)
}

/// Removes `dir/name` for good; fine when it is not there.
pub(super) fn remove(dir: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(dir.join(name)) {
        Ok(()) => sync_dir(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A fresh name `quarantine/<millis>-<what>` below the data directory.
pub(super) fn quarantine_place(dir: &Path, now: Timestamp, what: &str) -> io::Result<PathBuf> {
    let quarantine = dir.join("quarantine");
    create_dir(&quarantine)?;
    sync_dir(dir)?;
    let name = format!("{}-{what}", now.as_millis());
    let mut place = quarantine.join(&name);
    let mut again = 1;
    while place.exists() {
        again += 1;
        place = quarantine.join(format!("{name}-{again}"));
    }
    Ok(place)
}
