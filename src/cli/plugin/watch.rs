//! `switchboard plugin watch`: builds and tests again whenever something changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::build::{self, Options};
use super::manifest::{self, Manifest};
use super::{cases, source, test};
use crate::cli::{Failure, report};

/// Editors write a file in several steps, and people save several files: all of it is one change.
const QUIET: Duration = Duration::from_millis(200);
/// Changes that wait while a build runs; more of them mean the same.
const CHANGES_MAX: usize = 1_024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// What has to be done again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Again {
    /// The tests.
    Test,
    /// The build, and then the tests.
    Build,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let folder = arguments.dir.canonicalize().map_err(|error| {
        Failure::Unavailable(anyhow!("cannot watch {}: {error}", arguments.dir.display()))
    })?;
    let outside = build::sources_outside(&Manifest::read(&arguments.dir)?)?;
    let (sender, mut changes) = mpsc::channel(CHANGES_MAX);
    let inside = folder.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for again in event.paths.iter().filter_map(|path| again(&inside, path)) {
            // A full queue will be looked at anyway.
            let _ = sender.try_send(again);
        }
    })
    .context("this system does not tell of changes")?;
    for place in std::iter::once(folder.clone()).chain(outside.iter().map(|path| folder.join(path))) {
        watcher
            .watch(&place, RecursiveMode::Recursive)
            .with_context(|| format!("cannot watch {}", place.display()))?;
    }
    tokio::select! {
        () = forever(&arguments, &mut changes) => Ok(()),
        ended = tokio::signal::ctrl_c() => Ok(ended?),
    }
}

async fn forever(arguments: &Arguments, changes: &mut mpsc::Receiver<Again>) {
    let mut todo = Some(Again::Build);
    while let Some(again) = todo {
        once(&arguments.dir, arguments.options, again).await;
        eprintln!("\nwaiting for a change (Ctrl-C ends)");
        todo = next(changes).await;
    }
}

/// What a change of this file asks for.
fn again(folder: &Path, path: &Path) -> Option<Again> {
    let name = path.strip_prefix(folder).ok().and_then(Path::to_str).unwrap_or_default();
    if name == cases::FILE {
        return Some(Again::Test);
    }
    (name == manifest::FILE || source::is_source(folder, path)).then_some(Again::Build)
}

/// The next changes, when nothing has changed for a moment; none when there will be no more.
async fn next(changes: &mut mpsc::Receiver<Again>) -> Option<Again> {
    let mut todo = changes.recv().await?;
    while let Ok(Some(more)) = tokio::time::timeout(QUIET, changes.recv()).await {
        todo = todo.max(more);
    }
    Some(todo)
}

/// Builds where needed, and tests; what goes wrong is said, and the next change awaited.
async fn once(folder: &Path, options: Options, todo: Again) {
    let done = async {
        // Read again each time: it may be what has changed.
        let manifest = Manifest::read(folder)?;
        if todo == Again::Build {
            build::build(&manifest, options).await?;
        }
        test::test(&manifest, None).await.map(|_| ())
    };
    if let Err(failure) = done.await {
        let _ = report(failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_asks_for_what_it_changes() {
        let folder = Path::new("/p");
        for (path, todo) in [
            ("/p/src/lib.rs", Some(Again::Build)),
            ("/p/plugin.toml", Some(Again::Build)),
            ("/sdk/src/lib.rs", Some(Again::Build)),
            ("/p/tests.toml", Some(Again::Test)),
            ("/p/p.wasm", None),
            ("/p/dist/plugin.wasm", None),
            ("/p/target/release/x", None),
            ("/p/.git/index", None),
            ("/p", None),
        ] {
            assert_eq!(again(folder, Path::new(path)), todo, "{path}");
        }
    }
}
