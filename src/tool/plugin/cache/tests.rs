//! Whatever lies in the cache's place, a plugin is compiled right or loaded right, and nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// How a component begins, and this one ends (Component Model, Binary.md).
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

struct Room {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Room {
    fn new() -> Room {
        Room { dir: tempfile::tempdir().unwrap(), engine: engine(true) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("plugin-cache")
    }

    fn open(&self) -> Cache {
        Cache::open(&self.path(), &self.engine).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where the component comes from when it is wanted once more.
    fn origin(&self) -> Origin {
        self.origin_of(EMPTY)
    }

    fn origin_of(&self, bytes: &[u8]) -> Origin {
        origin_in(&self.open(), &self.engine, bytes)
    }

    /// The one entry.
    fn entry(&self) -> PathBuf {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        self.path().join(&entries[0])
    }

    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(&self, path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }
}

/// Where the component of these bytes comes from; there always is one.
fn origin_in(cache: &Cache, engine: &Engine, bytes: &[u8]) -> Origin {
    component(Some(cache), engine, &Sha256::digest(bytes).into(), bytes).expect("a component").1
}

fn engine(interrupts: bool) -> Engine {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true).epoch_interruption(interrupts);
    Engine::new(&config).unwrap()
}

/// The empty component with something in a section of no meaning: another plugin.
fn variant(n: u8) -> Vec<u8> {
    [EMPTY, &[0, 3, 1, b'n', n]].concat()
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn what_was_compiled_once_is_not_compiled_again() {
    let room = Room::new();
    assert_eq!(
        [room.origin(), room.origin(), room.origin()],
        [Origin::Compiled, Origin::Cache, Origin::Cache]
    );
    assert_eq!((room.mode(&room.path()), room.mode(&room.entry())), (0o700, 0o600));
    assert_eq!(room.origin_of(&variant(1)), Origin::Compiled);
    assert_eq!(room.entries().len(), 2, "nothing unfinished is left");
    assert_eq!(component(None, &room.engine, &[0; 32], EMPTY).unwrap().1, Origin::NoCache);
}

#[test]
fn an_entry_that_is_cut_off_anywhere_is_not_trusted_and_is_replaced() {
    let room = Room::new();
    room.origin();
    let whole = fs::read(room.entry()).unwrap();
    let ends = whole.len() - 50..whole.len();
    let steps = (0..whole.len()).step_by(whole.len() / 50).chain([1, 7, 8, 39, 40, 41]).chain(ends);
    for length in steps {
        write_private(&room.entry(), &whole[..length]);
        assert_eq!(room.origin(), Origin::Distrusted, "cut at {length}");
        assert_eq!(room.origin(), Origin::Cache, "it was replaced after a cut at {length}");
    }
    write_private(&room.entry(), &[&whole[..], b"x"].concat());
    assert_eq!(room.origin(), Origin::Distrusted, "a byte too many");
}

#[test]
fn an_entry_with_a_flipped_bit_anywhere_is_not_trusted() {
    let room = Room::new();
    room.origin();
    let whole = fs::read(room.entry()).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 100).chain(0..64).chain(whole.len() - 48..whole.len()) {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 1 << (at % 8);
        write_private(&room.entry(), &spoilt);
        assert_eq!(room.origin(), Origin::Distrusted, "flipped at {at}");
    }
}

#[test]
fn an_entry_of_another_plugin_or_engine_does_not_pass_for_this_one() {
    let room = Room::new();
    room.origin();
    let own = room.entry();
    room.origin_of(&variant(1));
    let other =
        room.entries().into_iter().map(|name| room.path().join(name)).find(|path| *path != own).unwrap();
    fs::copy(&other, &own).unwrap();
    assert_eq!(room.origin(), Origin::Distrusted, "of another plugin, renamed");

    let foreign = engine(false);
    let cache = Cache::open(&room.path(), &foreign).unwrap();
    assert_eq!(origin_in(&cache, &foreign, EMPTY), Origin::Compiled, "another engine's name");
    fs::copy(room.path().join(cache.name(&Sha256::digest(EMPTY).into())), &own).unwrap();
    assert_eq!(room.origin(), Origin::Distrusted, "of another engine, renamed");
}

#[test]
fn what_wasmtime_does_not_take_is_compiled_anew_though_its_seal_is_right() {
    let room = Room::new();
    room.origin();
    let name = room.entries().remove(0);
    let code = b"not machine code";
    write_private(&room.entry(), &[&code[..], &tail(&name, code)].concat());
    assert_eq!((room.origin(), room.origin()), (Origin::Distrusted, Origin::Cache));
}

#[test]
fn what_is_no_file_of_ours_alone_is_not_read() {
    let room = Room::new();
    room.origin();
    let (entry, elsewhere) = (room.entry(), room.dir.path().join("elsewhere"));

    fs::set_permissions(&entry, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(room.origin(), Origin::Distrusted, "others may read it, so it was not written by us");
    assert_eq!((room.mode(&entry), room.origin()), (0o600, Origin::Cache));

    fs::rename(&entry, &elsewhere).unwrap();
    symlink(&elsewhere, &entry).unwrap();
    assert_eq!(room.origin(), Origin::Distrusted, "a link");
    assert!(fs::symlink_metadata(&entry).unwrap().is_file() && room.origin() == Origin::Cache);

    fs::remove_file(&entry).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &entry, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(room.origin(), Origin::Distrusted, "a pipe, which does not hold us up");

    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    assert_eq!([room.origin(), room.origin()], [Origin::Distrusted; 2], "a directory, which stays");
}

#[test]
fn a_directory_that_others_could_fill_is_refused() {
    let room = Room::new();
    let refusal = || Cache::open(&room.path(), &room.engine).expect_err("it is refused").to_string();
    let place = room.path().display().to_string();
    for mode in [0o755, 0o750, 0o770, 0o777, 0o707] {
        fs::create_dir(room.path()).unwrap();
        fs::set_permissions(room.path(), fs::Permissions::from_mode(mode)).unwrap();
        let words = format!(
            "{place} is open to other users (mode {mode:03o}): remove it, as what is in it may be theirs"
        );
        assert_eq!(refusal(), words);
        fs::remove_dir(room.path()).unwrap();
    }
    let private = room.dir.path().join("private");
    Cache::open(&private, &room.engine).unwrap();
    symlink(&private, room.path()).unwrap();
    assert_eq!(refusal(), format!("{place} cannot be used as a directory"), "a link to one of ours");
    fs::remove_file(room.path()).unwrap();
    fs::write(room.path(), "").unwrap();
    assert_eq!(refusal(), format!("{place} cannot be used as a directory"), "a file");
    let missing = room.dir.path().join("no/such/directory");
    assert!(matches!(Cache::open(&missing, &room.engine), Err(CacheError::Unusable { .. })));
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let room = Room::new();
    // Only root can give a directory away; to all others `/` is somebody else's.
    let foreign = if rustix::process::geteuid().is_root() {
        room.open();
        std::os::unix::fs::chown(room.path(), Some(1), None).unwrap();
        room.path()
    } else {
        PathBuf::from("/")
    };
    let refused = Cache::open(&foreign, &room.engine);
    assert!(matches!(refused, Err(CacheError::Foreign { .. })), "{refused:?}");
}

#[test]
fn what_no_plugin_uses_is_removed_except_the_newest_few() {
    let room = Room::new();
    let old = engine(false);
    origin_in(&Cache::open(&room.path(), &old).unwrap(), &old, EMPTY);
    write_private(&room.path().join("4711-0.tmp"), b"half an entry");
    write_private(&room.path().join("notes.txt"), b"an operator's own");
    let in_use = [EMPTY.to_vec(), variant(0)];
    let mut began = 1_700_000_000;
    let mut written = |bytes: &[u8]| {
        assert_eq!(room.origin_of(bytes), Origin::Compiled);
        let file = File::open(room.path().join(room.open().name(&Sha256::digest(bytes).into()))).unwrap();
        began += 1;
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(began)).unwrap();
    };
    in_use.iter().for_each(|bytes| written(bytes));
    (1..=20).for_each(|n| written(&variant(n)));
    assert_eq!(room.entries().len(), 1 + 2 + 2 + 20);

    room.open().prune(&in_use.map(|bytes| Sha256::digest(bytes).into()));
    assert_eq!(room.entries().len(), 1 + 2 + SPARE_MAX, "{:?}", room.entries());
    assert!(room.entries().contains(&"notes.txt".to_owned()));
    for bytes in [EMPTY.to_vec(), variant(0), variant(20), variant(13)] {
        assert_eq!(room.origin_of(&bytes), Origin::Cache, "{bytes:?}");
    }
    assert_eq!(room.origin_of(&variant(12)), Origin::Compiled);
}
