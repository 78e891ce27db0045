//! Hints of the system that something happened in the directories of some files.
//!
//! Directories are watched, not files: editors, package managers and ConfigMaps put a new file or link in the
//! place of the old one. Where the system gives no hints the caller is told so, and looks by itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use tokio::sync::Notify;

/// Watches directories.
pub(super) struct Watcher {
    system: Option<RecommendedWatcher>,
    hints: Arc<Notify>,
    /// Directories that cannot be watched, as was told already.
    blind: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Watches nothing yet.
    pub fn new() -> Watcher {
        let hints = Arc::new(Notify::new());
        let notify_of = Arc::clone(&hints);
        let system = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may be a hint that was lost.
            if event.is_ok_and(|event| !is_worth_a_look(event.kind)) {
                return;
            }
            notify_of.notify_one();
        });
        let system = system
            .inspect_err(|error| {
                tracing::warn!(%error, "the system does not tell of changed files: plugins are looked at every 2 s");
            })
            .ok();
        Watcher { system, hints, blind: BTreeSet::new() }
    }

    /// Is notified at each hint; several may come as one.
    pub fn hints(&self) -> Arc<Notify> {
        Arc::clone(&self.hints)
    }

    /// Watches the directories of these files, and those of the files that they are links to. A directory
    /// that was replaced is watched anew. `false`: not all of them can be watched.
    pub fn watch(&mut self, files: &[PathBuf]) -> bool {
        let Some(system) = &mut self.system else { return false };
        let links = files.iter().filter_map(|file| file.canonicalize().ok());
        let directories: BTreeSet<PathBuf> =
            files.iter().cloned().chain(links).filter_map(|file| parent(&file)).collect();
        let mut is_whole = true;
        for directory in directories {
            use notify::Watcher as _;
            match system.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.blind.remove(&directory)),
                Err(error) => {
                    is_whole = false;
                    if self.blind.insert(directory.clone()) {
                        let directory = directory.display();
                        tracing::warn!(%directory, %error, "a directory cannot be watched: its plugins are looked at every 2 s");
                    }
                }
            }
        }
        is_whole
    }
}

fn parent(file: &Path) -> Option<PathBuf> {
    let parent = file.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

/// Our own reading is an event too.
fn is_worth_a_look(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
