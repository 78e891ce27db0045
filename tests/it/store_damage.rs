//! A damaged data directory: whatever was done to its files, everything acknowledged is there, or the store says that it
//! is not and does not open; and the doctor says the same without touching anything.
//!
//! `EVERY_POSITION=1` tries every byte of the journal, which takes minutes; else every so many bytes are tried.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use switchboard::call::record::{FORMAT, Line, LineStatus, Speaker};
use switchboard::clock::{SystemClock, Timestamp};
use switchboard::ids::CallId;
use switchboard::store::{Finding, OpenError, Opened, Settings, Store, Thoroughness, Tx, Write, examine};

/// Lines that were acknowledged, one commit each.
const LINES: u32 = 24;
/// Of these so many were written by the run that was killed; the others by one that closed in order.
const AFTER: u32 = 8;

fn settings(path: &Path) -> Settings {
    Settings { cache_bytes: 4 << 20, free_bytes_min: 0, ..Settings::at(path) }
}

fn id() -> CallId {
    CallId::from_bytes([7; 16])
}

fn line(n: u32) -> Tx {
    let line = Line {
        v: FORMAT,
        n,
        speaker: Speaker::Assistant,
        text: format!("line {n}"),
        started: Timestamp::from_millis(u64::from(n)),
        ended: None,
        status: LineStatus::Final,
        item: None,
        turn: None,
    };
    Tx { expect: vec![], writes: vec![Write::Line(id(), line)] }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A data directory of two runs: one that closed in order, and one that was killed, or closed in order too.
fn image(path: &Path, is_clean: bool) {
    for (lines, closes) in [(0..LINES - AFTER, true), (LINES - AFTER..LINES, is_clean)] {
        let (store, _) = Store::open(&settings(path), Arc::new(SystemClock)).expect("it opens");
        runtime().block_on(async {
            for n in lines {
                store.commit(line(n)).await.expect("a commit");
            }
            if closes {
                store.close().await.expect("it closes");
            }
        });
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let place = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_all(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).expect("a copy")),
        }
    }
}

/// The store as it opens, with the lines that it has.
fn opened(path: &Path) -> Result<(Opened, u32), OpenError> {
    let (store, opened) = Store::open(&settings(path), Arc::new(SystemClock))?;
    let lines = runtime().block_on(store.lines(id())).expect("readable lines");
    let numbers: Vec<u32> = lines.iter().map(|line| line.n).collect();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u32), "a line in the middle is gone: {numbers:?}");
    Ok((opened, numbers.len() as u32))
}

fn looked_at(path: &Path) -> Vec<Finding> {
    let scratch = tempfile::tempdir().expect("a folder");
    examine(path, scratch.path(), Thoroughness { digests: true, ..Thoroughness::default() })
}

/// Damages a copy, and has it opened and looked at. Gives whether anything was noticed.
fn try_damage(image: &Path, what: &str, damage: impl FnOnce(&Path)) -> bool {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("data");
    copy_all(image, &path);
    damage(&path);
    let findings = looked_at(&path);
    let is_well = findings.iter().all(|finding| finding.is_well);
    match opened(&path) {
        Ok((_, lines)) if lines == LINES => !is_well,
        // The last record cannot be told from one that nobody was told of; that it is gone is said.
        Ok((opened, lines)) => {
            assert_eq!(lines, LINES - 1, "{what}: {findings:#?}");
            assert!(
                opened.torn_bytes > 0 && !opened.quarantined.is_empty(),
                "{what}: lost in silence: {opened:?}"
            );
            true
        }
        Err(error) => {
            assert!(
                !error.to_string().is_empty() && !is_well,
                "{what}: {error}, but the doctor saw {findings:#?}"
            );
            true
        }
    }
}

/// The segments that have records.
fn segments(image: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(image.join("journal"))
        .expect("a journal")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| fs::metadata(path).is_ok_and(|found| found.len() > 0))
        .collect();
    paths.sort();
    paths
}

/// Every byte, or every so many with those around the ends of records.
fn positions(text: &[u8], step: usize) -> Vec<usize> {
    if std::env::var_os("EVERY_POSITION").is_some() {
        return (0..text.len()).collect();
    }
    let last = text.len() - 1;
    let mut positions: Vec<usize> = (0..text.len()).step_by(step).chain([last - 1, last]).collect();
    positions.dedup();
    positions
}

/// Torn, zeroed and flipped at every position tried, in both segments.
fn journal_damage(is_clean: bool) {
    let place = tempfile::tempdir().expect("a folder");
    let image_path = place.path().join("image");
    image(&image_path, is_clean);
    assert_eq!(opened_copy(&image_path), LINES);
    let segments = segments(&image_path);
    assert_eq!(segments.len(), 2, "{segments:?}");
    for segment in &segments {
        let name = segment.file_name().expect("a name").to_owned();
        let text = fs::read(segment).expect("a segment");
        for at in positions(&text, 401) {
            for (way, spoil) in WAYS {
                let what = format!("{way} at byte {at} of {}", name.display());
                let is_noticed = try_damage(&image_path, &what, |path| {
                    fs::write(path.join("journal").join(&name), spoil(&text, at)).expect("written");
                });
                assert!(is_noticed, "{what}: nobody noticed");
            }
        }
    }
}

fn opened_copy(image: &Path) -> u32 {
    let place = tempfile::tempdir().expect("a folder");
    copy_all(image, &place.path().join("data"));
    opened(&place.path().join("data")).expect("it opens").1
}

type Spoil = fn(&[u8], usize) -> Vec<u8>;

const WAYS: [(&str, Spoil); 3] = [
    ("truncated", |text, at| text[..at].to_vec()),
    ("zeroed", |text, at| {
        let mut text = text.to_vec();
        let end = text.len().min(at + 64);
        text[at..end].fill(0);
        text
    }),
    ("flipped", |text, at| {
        let mut text = text.to_vec();
        text[at] ^= 0x01;
        text
    }),
];

#[test]
fn a_journal_that_was_closed_in_order_loses_nothing_in_silence() {
    journal_damage(true);
}

#[test]
fn a_journal_of_a_killed_process_loses_at_most_its_last_record_and_says_so() {
    journal_damage(false);
}

#[test]
fn a_damaged_index_is_made_anew_and_the_doctor_says_so() {
    let place = tempfile::tempdir().expect("a folder");
    let image_path = place.path().join("image");
    image(&image_path, true);
    let index = image_path.join("index");
    let files: Vec<PathBuf> = fs::read_dir(&index)
        .expect("an index")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    for file in &files {
        let name = file.file_name().expect("a name").to_owned();
        let content = fs::read(file).expect("a file");
        if content.is_empty() {
            continue;
        }
        for at in (0..content.len()).step_by((content.len() / 6).max(1)) {
            for (way, spoil) in WAYS {
                let copy = tempfile::tempdir().expect("a folder");
                let path = copy.path().join("data");
                copy_all(&image_path, &path);
                // Not closed in order: then the index is read whole before it is believed.
                fs::remove_file(path.join("clean")).expect("a mark");
                fs::write(path.join("index").join(&name), spoil(&content, at)).expect("written");
                let found = looked_at(&path);
                let lines =
                    opened(&path).unwrap_or_else(|error| panic!("{way} at {at} of {name:?}: {error}")).1;
                assert_eq!(lines, LINES, "{way} at byte {at} of {}", name.display());
                assert!(found.iter().all(|finding| finding.is_well || finding.what == "index"), "{found:#?}");
            }
        }
    }
    let copy = tempfile::tempdir().expect("a folder");
    let path = copy.path().join("data");
    copy_all(&image_path, &path);
    fs::write(path.join("index/db"), "no index at all").expect("written");
    let index = looked_at(&path).into_iter().find(|finding| finding.what == "index").expect("a finding");
    assert!(!index.is_well && index.words.contains("made anew from the journal"), "{index:?}");
}

#[test]
fn the_doctor_changes_nothing_and_looks_beside_a_running_gateway() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("data");
    image(&path, false);
    let before = listed(&path);
    let found = looked_at(&path);
    assert!(found.iter().all(|finding| finding.is_well), "{found:#?}");
    assert_eq!(listed(&path), before, "something was changed");

    let (store, _) = Store::open(&settings(&path), Arc::new(SystemClock)).expect("it opens");
    runtime().block_on(store.commit(line(LINES))).expect("a commit");
    let found = looked_at(&path);
    assert!(found.iter().all(|finding| finding.is_well), "{found:#?}");
    let words: Vec<&str> = found.iter().map(|finding| finding.words.as_str()).collect();
    assert!(words[1].starts_with("25 records up to number 25"), "{words:?}");
    assert!(words[3].starts_with("not looked at"), "{words:?}");
    drop(store);

    let nothing = tempfile::tempdir().expect("a folder");
    let found = looked_at(nothing.path());
    assert!(found[0].words.ends_with("it is no data directory"), "{found:#?}");
}

/// Every file with its content.
fn listed(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => files.push((path.clone(), fs::read(&path).expect("a file"))),
            }
        }
    }
    files.sort();
    files
}
