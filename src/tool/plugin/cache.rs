//! Compiled plugins, kept between runs so that a start need not compile.
//!
//! An entry is machine code that will be run outside of any sandbox, so the question here is always
//! *who wrote it*. Entries are taken only from a directory that nobody else can write, only from files that
//! are ours, and only when their own digest says that they are, to the last byte, what this engine wrote for
//! this plugin. Whatever is not so costs a compilation and a line in the log, never more.
//!
//! An entry is read once to compare its digest, and then mapped, not copied: the memory of a large plugin
//! stays in the system's file cache, where pages that no call needs take up no room. A Python plugin of 18 MB
//! has an entry of 35 MB: copied, all of that would be our own memory; mapped, 4 MB of the cache are in use.
//! After the check an entry can change only by a hand that could change this program's own file as well, which
//! is mapped in just the same way; we ourselves never write into an entry, but put a new file in its place.

use std::fs::{DirBuilder, File};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::text::hex;

/// What stands between the machine code and the seal that ends an entry; the number is the version of this
/// layout. The code comes first, because it is mapped from the beginning of a page.
const MARK: &[u8; 8] = b"SWBDAOT1";
const SEAL_BYTES: usize = 32;
const TAIL_BYTES: usize = MARK.len() + SEAL_BYTES;
/// An entry is hashed in parts of this size.
const READ_BYTES: usize = 256 << 10;
/// Where open files have names, so that what was checked is what is mapped.
const OPEN_FILES: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
/// How the name of an entry ends, and that of one being written.
const ENDING: &str = ".cwasm";
const UNFINISHED: &str = ".tmp";
/// A longer entry is not taken: the machine code of the largest known plugins has a tenth of this.
const ENTRY_BYTES_MAX: u64 = 1 << 30;
/// How many entries that no plugin uses are kept, the newest first: an operator may go back a version.
const SPARE_MAX: usize = 8;
/// Group and others: they may not even read.
const STRANGERS: u32 = 0o077;

/// Where the machine code of a plugin came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the cache.
    Cache,
    /// Compiled, because the cache had nothing.
    Compiled,
    /// Compiled, because what the cache had could not be trusted.
    Distrusted,
    /// Compiled; there is no cache.
    NoCache,
}

/// Why a directory is not used as a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// It cannot be made or opened; a link in its place is one reason.
    #[error("{} cannot be used as a directory", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else owns it.
    #[error("{} belongs to user {owner}, not to the gateway's: remove it", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
    },
    /// Somebody else may look in or write.
    #[error("{} is open to other users (mode {mode:03o}): remove it, as what is in it may be theirs", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// A directory of compiled plugins, for one engine.
#[derive(Debug)]
pub(super) struct Cache {
    /// Everything is done below this handle, so that the directory that was checked is the one that is used.
    dir: OwnedFd,
    path: PathBuf,
    /// What machine code must have been made for: version, processor, settings.
    engine: String,
    /// Makes the names of unfinished entries differ.
    written: AtomicU64,
}

/// What the cache had.
enum Found {
    Nothing,
    Good(Box<Component>),
    Bad(String),
}

/// Makes a component of a plugin's bytes: from the cache where it has it, else by compiling, which takes
/// from milliseconds to minutes. `digest` is the SHA-256 of the bytes.
///
/// # Errors
///
/// The compiler's; the cache has none.
pub(super) fn component(
    cache: Option<&Cache>,
    engine: &Engine,
    digest: &[u8; 32],
    bytes: &[u8],
) -> wasmtime::Result<(Component, Origin)> {
    let Some(cache) = cache else {
        return Ok((Component::from_binary(engine, bytes)?, Origin::NoCache));
    };
    let name = cache.name(digest);
    let origin = match cache.find(engine, &name) {
        Found::Good(component) => return Ok((*component, Origin::Cache)),
        Found::Nothing => Origin::Compiled,
        Found::Bad(problem) => {
            let path = cache.path.join(&name);
            tracing::warn!(
                path = %path.display(),
                problem,
                "a compiled plugin in the cache is not trusted: it is compiled anew"
            );
            Origin::Distrusted
        }
    };
    let component = Component::from_binary(engine, bytes)?;
    let kept = component.serialize().map_err(io::Error::other).and_then(|code| cache.keep(&name, &code));
    if let Err(error) = kept {
        tracing::warn!(
            path = %cache.path.display(),
            %error,
            "a compiled plugin cannot be kept: the next start compiles it again"
        );
    }
    Ok((component, origin))
}

impl Cache {
    /// Opens the directory, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`CacheError`]: it may not be used.
    pub fn open(path: &Path, engine: &Engine) -> Result<Cache, CacheError> {
        let unusable = |source: io::Error| CacheError::Unusable { path: path.to_owned(), source };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unusable(error.into()))?;
        let stat = rustix::fs::fstat(&dir).map_err(|error| unusable(error.into()))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(CacheError::Foreign { path: path.to_owned(), owner: stat.st_uid });
        }
        if stat.st_mode & STRANGERS != 0 {
            return Err(CacheError::Open { path: path.to_owned(), mode: stat.st_mode & 0o777 });
        }
        let written = AtomicU64::new(0);
        Ok(Cache { dir, path: path.to_owned(), engine: fingerprint(engine), written })
    }

    /// The name of the entry of a plugin with this digest.
    fn name(&self, digest: &[u8; 32]) -> String {
        format!("{}-{}{ENDING}", hex(digest), self.engine)
    }

    fn find(&self, engine: &Engine, name: &str) -> Found {
        let trusted = match self.open_entry(name) {
            Ok(None) => return Found::Nothing,
            Ok(Some(file)) => is_sealed(name, &file).map(|is_sealed| is_sealed.then_some(file)),
            Err(error) => Err(error),
        };
        match trusted {
            Ok(Some(file)) => match machine_code(engine, &file) {
                Ok(component) => Found::Good(Box::new(component)),
                Err(error) => Found::Bad(format!("{error:#}")),
            },
            Ok(None) => Found::Bad("it is not what was written".to_owned()),
            Err(error) => Found::Bad(error.to_string()),
        }
    }

    /// An entry that is ours alone, whatever is in it; none where there is no such entry.
    fn open_entry(&self, name: &str) -> io::Result<Option<File>> {
        // Without `NONBLOCK` a pipe in the entry's place would hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match distrust(&rustix::fs::fstat(&file)?) {
            Some(problem) => Err(io::Error::other(problem)),
            None => Ok(Some(file)),
        }
    }

    /// Writes an entry, so that it is either whole or not there.
    fn keep(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{}-{number}{UNFINISHED}", std::process::id());
        let written = self.write(&unfinished, name, code);
        if written.is_err() {
            // What cannot be written may still take up room.
            let _ = rustix::fs::unlinkat(&self.dir, &unfinished, AtFlags::empty());
        }
        written
    }

    fn write(&self, unfinished: &str, name: &str, code: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match rustix::fs::openat(&self.dir, unfinished, flags, mode) {
            // Left by a process of our number that was killed.
            Err(rustix::io::Errno::EXIST) => {
                rustix::fs::unlinkat(&self.dir, unfinished, AtFlags::empty())?;
                rustix::fs::openat(&self.dir, unfinished, flags, mode)?
            }
            opened => opened?,
        };
        let mut file = File::from(file);
        file.write_all(code)?;
        file.write_all(&tail(name, code))?;
        file.sync_all()?;
        rustix::fs::renameat(&self.dir, unfinished, &self.dir, name)?;
        rustix::fs::fsync(&self.dir)?;
        Ok(())
    }

    /// Removes what no plugin uses, except the newest few, and what was left unfinished.
    pub fn prune(&self, in_use: &[[u8; 32]]) {
        if let Err(error) = self.try_prune(in_use) {
            tracing::warn!(path = %self.path.display(), %error, "old compiled plugins cannot be removed");
        }
    }

    fn try_prune(&self, in_use: &[[u8; 32]]) -> io::Result<()> {
        let used: Vec<String> = in_use.iter().map(|digest| self.name(digest)).collect();
        let (mut spare, mut useless) = (Vec::new(), Vec::new());
        for entry in Dir::read_from(&self.dir)? {
            let Ok(name) = entry?.file_name().to_str().map(str::to_owned) else { continue };
            let is_ours = name.ends_with(&format!("-{}{ENDING}", self.engine));
            if name.ends_with(UNFINISHED) || (name.ends_with(ENDING) && !is_ours) {
                useless.push(name);
            } else if is_ours && !used.contains(&name) {
                let stat = rustix::fs::statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                spare.push((stat.st_mtime, name));
            }
        }
        spare.sort_by(|one, other| other.cmp(one));
        useless.extend(spare.into_iter().skip(SPARE_MAX).map(|(_, name)| name));
        for name in useless {
            rustix::fs::unlinkat(&self.dir, &name, AtFlags::empty())?;
        }
        Ok(())
    }
}

/// Why a file is not taken, whatever is in it.
fn distrust(stat: &Stat) -> Option<&'static str> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Some("it is not a plain file");
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Some("it belongs to another user");
    }
    if stat.st_mode & STRANGERS != 0 {
        return Some("it is open to other users");
    }
    let bytes = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    (bytes > ENTRY_BYTES_MAX).then_some("it is longer than any compiled plugin")
}

/// Claims that an entry was written for this name, and is whole.
fn is_sealed(name: &str, mut entry: &File) -> io::Result<bool> {
    let mut unread = entry.metadata()?.len().saturating_sub(TAIL_BYTES as u64);
    let (mut seal, mut part) = (seal_of(name), vec![0; READ_BYTES]);
    while unread > 0 {
        let most = usize::try_from(unread).unwrap_or(READ_BYTES).min(READ_BYTES);
        match entry.read(&mut part[..most])? {
            0 => return Ok(false),
            bytes => {
                seal.update(&part[..bytes]);
                unread = unread.saturating_sub(bytes as u64);
            }
        }
    }
    let mut found = Vec::with_capacity(TAIL_BYTES);
    entry.take(TAIL_BYTES as u64 + 1).read_to_end(&mut found)?;
    Ok(found == ended(seal))
}

/// How the entry of this machine code under this name ends.
fn tail(name: &str, code: &[u8]) -> Vec<u8> {
    ended(seal_of(name).chain_update(code))
}

/// A digest that begins with the name, so that no entry passes for another.
fn seal_of(name: &str) -> Sha256 {
    Sha256::new_with_prefix(name).chain_update([0])
}

fn ended(seal: Sha256) -> Vec<u8> {
    [&MARK[..], &seal.finalize()].concat()
}

/// Maps an entry as a component: the only unsafe call of this program.
#[expect(
    unsafe_code,
    reason = "`deserialize_file` wants a file that `Component::serialize` made, unchanged before and after. This one \
              is: (1) it was opened below a directory handle, both owned by our user and closed to all others, \
              neither reached over a link, so that only our user wrote it; (2) in that directory this module alone \
              writes, and it writes what `serialize` gave, under a name that carries the plugin's digest and the \
              engine's compatibility hash; (3) a SHA-256 over that name and every byte was compared just now \
              through the very handle that is mapped, so that a torn, spoilt, renamed or older entry does not get \
              here; (4) an entry is never written to again, but replaced by another file or unlinked, which leaves \
              the mapped one as it is; (5) wasmtime itself compares version, target and settings. Whoever can \
              change the file after the check acts as our user, and could change this program's file as well."
)]
fn machine_code(engine: &Engine, entry: &File) -> wasmtime::Result<Component> {
    let path = Path::new(OPEN_FILES).join(entry.as_raw_fd().to_string());
    // SAFETY: see the reason above.
    unsafe { Component::deserialize_file(engine, path) }
}

/// What an engine's machine code depends on, in few letters.
fn fingerprint(engine: &Engine) -> String {
    /// Gives what is hashed to SHA-256: unlike the standard hasher it is the same in every version of Rust.
    struct Feed(Sha256);

    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// The digest itself is taken, not this.
        fn finish(&self) -> u64 {
            0
        }
    }

    let mut feed = Feed(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    hex(&feed.0.finalize()[..8])
}

#[cfg(test)]
mod tests;
