//! `switchboard test --watch`: everything is run again when something changes that it depends on.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::find::is_scenario;
use crate::cli::Failure;

/// Editors write a file in several steps, and people save several files: all of it is one change.
const QUIET: Duration = Duration::from_millis(200);

/// Watches files, and folders of scenarios.
pub(super) struct Watch {
    system: RecommendedWatcher,
    changed: Arc<Notify>,
    wanted: Arc<Mutex<Wanted>>,
}

/// What a change is told of, by whole paths without links.
#[derive(Default)]
struct Wanted {
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    ///
    /// The system does not tell of changes.
    pub fn new() -> Result<Watch, Failure> {
        let (changed, wanted) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Wanted::default())));
        let (tells, known) = (Arc::clone(&changed), Arc::clone(&wanted));
        let system = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let known = known.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // An error may be a change that was lost.
            let is_nothing =
                event.is_ok_and(|event| !is_change(event.kind) || !known.are_wanted(&event.paths));
            if !is_nothing {
                tells.notify_one();
            }
        })
        .context("this system does not tell of changes")?;
        Ok(Watch { system, changed, wanted })
    }

    /// From now on these are watched, in place of others. A file that is not there yet is noticed when it comes, if its
    /// folder is there.
    ///
    /// # Errors
    ///
    /// One of them cannot be watched.
    pub fn follow(&mut self, files: &[PathBuf], folders: &[PathBuf]) -> Result<(), Failure> {
        let mut wanted = Wanted::default();
        let mut around = BTreeSet::new();
        for file in files {
            // A file is watched by its folder: editors put a new one in its place. Both ends of a link count.
            let whole = std::path::absolute(file).context("there is no folder to be in")?;
            for path in [file.canonicalize().ok(), whole_of(&whole), Some(whole)].into_iter().flatten() {
                around.extend(path.parent().map(Path::to_owned));
                wanted.files.insert(path);
            }
        }
        wanted.folders.extend(folders.iter().filter_map(|folder| folder.canonicalize().ok()));
        let recursive = wanted.folders.iter().map(|folder| (folder.clone(), RecursiveMode::Recursive));
        let watched: Vec<_> =
            around.into_iter().map(|folder| (folder, RecursiveMode::NonRecursive)).chain(recursive).collect();
        *self.wanted.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = wanted;
        for (folder, mode) in watched.iter().filter(|(folder, _)| folder.is_dir()) {
            self.system.watch(folder, *mode).with_context(|| format!("cannot watch {}", folder.display()))?;
        }
        Ok(())
    }

    /// Waits for the next change, and until nothing has changed for a moment.
    pub async fn changed(&self) {
        self.changed.notified().await;
        while tokio::time::timeout(QUIET, self.changed.notified()).await.is_ok() {}
    }
}

impl Wanted {
    fn are_wanted(&self, paths: &[PathBuf]) -> bool {
        paths.iter().any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_inside = || self.folders.iter().any(|folder| path.starts_with(folder));
            self.files.contains(path) || (is_scenario(&name) && is_inside())
        })
    }
}

/// The file by its folder without links, also where the file itself is not there.
fn whole_of(file: &Path) -> Option<PathBuf> {
    Some(file.parent()?.canonicalize().ok()?.join(file.file_name()?))
}

/// Our own reading is an event too.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
