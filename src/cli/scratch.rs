//! A folder for one simulated gateway.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::{Clock as _, SystemClock};

/// Apart from others of this process that are made within the same microsecond.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed with everything in it.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> std::io::Result<Scratch> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let (process, now) = (std::process::id(), SystemClock.now().as_micros());
        let path = std::env::temp_dir().join(format!("switchboard-demo-{process}-{now}-{number}"));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the system's temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
