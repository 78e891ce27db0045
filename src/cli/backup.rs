//! `switchboard backup` and `restore`: a copy of everything that is kept, made beside a running gateway too, and read
//! whole before it is called good.
//!
//! The journal is the truth, and recordings are files beside it; the index is made anew from the journal. The journal is copied
//! first: it only grows, and whatever it says of recordings is on disk by then.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use indicatif::ProgressBar;

use super::scratch::Scratch;
use super::{Failure, print, progress};
use crate::store::{Finding, Thoroughness, Vault, examine};

#[derive(Debug, Args)]
pub(super) struct BackupArguments {
    /// The folder to make; it must not exist yet.
    folder: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArguments {
    /// A folder that `backup` made, or any copy of a data directory's journal and recordings.
    folder: PathBuf,
}

/// How the folder is called until it is whole.
const UNFINISHED: &str = "unfinished";
/// How often a copy is begun anew that does not fit together.
const ATTEMPTS: u32 = 3;

pub(super) async fn back_up(path: &Path, arguments: BackupArguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    copy(config.store.path.clone(), arguments.folder, config.store.vault.clone(), "backed up").await
}

pub(super) async fn restore(path: &Path, arguments: RestoreArguments) -> Result<(), Failure> {
    let config = super::load_config(path)?;
    let to = config.store.path.clone();
    if fs::read_dir(&to).is_ok_and(|mut entries| entries.next().is_some()) {
        let words =
            format!("{} has something in it: move it away first, or name another `store.path`", to.display());
        return Err(Failure::Unavailable(anyhow!(words)));
    }
    // An empty folder makes place for the whole one.
    let _ = fs::remove_dir(&to);
    copy(arguments.folder, to, config.store.vault.clone(), "restored").await
}

/// Copies what is kept in `from` to `to`, which must not exist, and says so once the copy has been read.
async fn copy(from: PathBuf, to: PathBuf, vault: Vault, done: &'static str) -> Result<(), Failure> {
    if to.exists() {
        return Err(anyhow!("{} exists already: name a new folder", to.display()).into());
    }
    if !from.join("journal").is_dir() {
        return Err(Failure::Unavailable(anyhow!(
            "{} has no journal: nothing is kept there",
            from.display()
        )));
    }
    let scratch = Scratch::new().context("a temporary folder cannot be made")?;
    let copied = tokio::task::spawn_blocking(move || {
        let copied = copy_checked(&from, &to, scratch.path(), &vault);
        (copied, to)
    });
    let (copied, to) = copied.await?;
    let findings = copied?;
    let words = findings.iter().filter(|finding| matches!(finding.what, "journal" | "recordings"));
    let words: Vec<&str> = words.map(|finding| finding.words.as_str()).collect();
    print(&format!("{done} to {}: {}\n", to.display(), words.join("; recordings: ")))
}

fn copy_checked(from: &Path, to: &Path, scratch: &Path, vault: &Vault) -> anyhow::Result<Vec<Finding>> {
    let mut name = to.file_name().context("name a folder")?.to_owned();
    name.push(format!(".{UNFINISHED}"));
    let unfinished = to.with_file_name(name);
    let mut outcome = copy_and_read(from, &unfinished, scratch, vault);
    for _ in 1..ATTEMPTS {
        if outcome.is_ok() {
            break;
        }
        // Perhaps a recording was deleted after the journal was copied.
        fs::remove_dir_all(&unfinished)?;
        outcome = copy_and_read(from, &unfinished, scratch, vault);
    }
    let placed = outcome.and_then(|findings| {
        fs::rename(&unfinished, to)?;
        if let Some(above) = to.parent().filter(|above| !above.as_os_str().is_empty()) {
            File::open(above)?.sync_all()?;
        }
        Ok(findings)
    });
    placed.with_context(|| {
        format!("nothing was copied to {}; what there is of it is in {}", to.display(), unfinished.display())
    })
}

fn copy_and_read(from: &Path, to: &Path, scratch: &Path, vault: &Vault) -> anyhow::Result<Vec<Finding>> {
    let bar = progress::bytes(size_of(from), "copied");
    copy_into(from, to, &bar)?;
    bar.finish_and_clear();
    let bar = progress::working("reading the copy");
    let findings = examine(to, scratch, Thoroughness { vault: vault.clone(), digests: true });
    bar.finish_and_clear();
    match findings.iter().find(|finding| !finding.is_well) {
        Some(wrong) => Err(anyhow!("the copy is not whole: {}: {}", wrong.what, wrong.words)),
        None => Ok(findings),
    }
}

/// About how much is copied: what grows meanwhile is not counted.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(what) if what.is_dir() && entry.file_name() != "index" => size_of(&entry.path()),
        Ok(what) if what.is_file() => what.len(),
        _ => 0,
    });
    sizes.sum()
}

fn copy_into(from: &Path, to: &Path, bar: &ProgressBar) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    copy_file(&from.join("format"), &to.join("format"), bar)?;
    copy_folder(&from.join("journal"), &to.join("journal"), bar)?;
    // Which keys open it; the keys themselves are elsewhere.
    if from.join("keys").is_file() {
        copy_file(&from.join("keys"), &to.join("keys"), bar)?;
    }
    let recordings = from.join("recordings");
    if recordings.is_dir() {
        copy_folder(&recordings, &to.join("recordings"), bar)?;
    }
    File::open(to)?.sync_all()
}

/// Copies whole files; what is being written now under a name of its own is not kept yet.
fn copy_folder(from: &Path, to: &Path, bar: &ProgressBar) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        let is_unfinished =
            path.extension().is_some_and(|extension| extension == "part" || extension == "growing");
        match entry.file_type()?.is_dir() {
            true => copy_folder(&path, &place, bar)?,
            false if is_unfinished => {}
            false => match copy_file(&path, &place, bar) {
                // Deleted meanwhile, as its record will say.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => copied?,
            },
        }
    }
    File::open(to)?.sync_all()
}

fn copy_file(from: &Path, to: &Path, bar: &ProgressBar) -> io::Result<()> {
    bar.inc(fs::copy(from, to)?);
    File::open(to)?.sync_all()
}
